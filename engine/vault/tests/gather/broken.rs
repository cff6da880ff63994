//! What is left where a work breaks off.

use crate::circle::{Circle, STRANGER, name, refused};
use std::time::Duration;
use warifu_core::Role;
use warifu_pipeline::peer::{ShareAddress, Step};
use warifu_vault::{AuditQuery, Class, Failure, GatherRequest, Vault};

/// Bytes of key that a connection may take that is ended in order, and little came of: far less
/// than the first lease.
const LITTLE_BYTES: u64 = 16 << 10;

fn left(vault: &Vault, pool: &str) -> u64 {
    let rows = vault.key_status().unwrap();
    rows.iter().find(|row| row.pool == pool).unwrap().bytes_left
}

/// A captured gateway ends a work while the target keeps a helper waiting, and begins another one
/// under the same name, for another share and target.
#[test]
fn a_target_that_stalls_gets_nothing_of_the_work_that_has_the_name_then() {
    let mut circle = Circle::new();
    let object = circle.store();
    let stall = circle.stall(STRANGER);
    let address = |site: &str| ShareAddress { object, x: circle.holder(object, site).x };
    let before = left(&circle.site("s4"), "s5/to");
    let first = circle.work(object, STRANGER, &["s1", "s2", "s4"]);
    for helper in ["s1", "s2", "s4"] {
        circle.ask(helper).work(address("s3"), &first).unwrap();
    }
    for helper in ["s1", "s2", "s4"] {
        circle.ask(helper).proceed(&first.id, Step::Blind).unwrap();
    }
    let mut waiting = circle.ask("s4");
    let waiting = std::thread::spawn(move || refused(waiting.proceed(&first.id, Step::Contribute)));
    stall.has_begun();
    // A step that was done already ends the work, and its name is free.
    let mut other = circle.ask("s4");
    assert_eq!(refused(other.proceed(&first.id, Step::Contribute)), "work-odd");
    let mut second = circle.work(object, "s1", &["s3", "s4"]);
    second.id = first.id;
    for helper in ["s3", "s4"] {
        circle.ask(helper).work(address("s1"), &second).unwrap();
    }
    for step in [Step::Blind, Step::Contribute] {
        for helper in ["s4", "s3"] {
            circle.ask(helper).proceed(&second.id, step).unwrap();
        }
    }
    // The target goes on. What is ready under that name is not for it.
    stall.let_go();
    assert_eq!(waiting.join().unwrap(), "work-unknown");
    let site = circle.site("s1");
    let mut sums: Vec<Vec<u8>> = vec![Vec::new(); circle.lengths(object).len()];
    for helper in ["s3", "s4"] {
        let mut peer = circle.peer(&site, helper);
        for (index, bytes) in circle.lengths(object).into_iter().enumerate() {
            let part = peer.collect(address("s1"), &second.id, index as u64, bytes).unwrap();
            let sum = &mut sums[index];
            sum.resize(bytes, 0);
            sum.iter_mut().zip(part.body()).for_each(|(sum, byte)| *sum ^= byte);
        }
        peer.close().unwrap();
    }
    assert!(sums == circle.chunks("s1", "shares", address("s1")));
    // And what was leased to send it to the first target is key again.
    let taken = before - left(&circle.site("s4"), "s5/to");
    assert!(taken < LITTLE_BYTES, "{taken} bytes");
}

#[test]
fn what_was_leased_for_a_work_that_breaks_off_goes_back() {
    let mut circle = Circle::new();
    let object = circle.store();
    let address = ShareAddress { object, x: circle.holder(object, "s4").x };
    // Between helpers: the other one refuses after the first blind.
    let one = circle.work(object, "s4", &["s1", "s2"]);
    let mut other = circle.work(object, "s4", &["s1", "s2", "s3"]);
    other.id = one.id;
    circle.ask("s1").work(address, &one).unwrap();
    circle.ask("s2").work(address, &other).unwrap();
    let before = left(&circle.site("s1"), "s2/to");
    let mut peer = circle.ask("s1");
    assert_eq!(refused(peer.proceed(&one.id, Step::Blind)), "work-lost");
    peer.close().unwrap();
    let taken = before - left(&circle.site("s1"), "s2/to");
    let blind = circle.lengths(object)[0] as u64;
    assert!(taken >= blind && taken < blind + LITTLE_BYTES, "{taken} bytes");
    // At the gateway, where a helper is away.
    circle.stop("s2");
    let request = GatherRequest {
        object,
        x: address.x,
        target: name(STRANGER),
        helpers: ["s1", "s2", "s3"].map(name).to_vec(),
        chunks: None,
    };
    let pools = ["s5/to", "s1/to"];
    let before = pools.map(|pool| left(&circle.gateway, pool));
    let failure = circle.gateway.gather_share(&request).unwrap_err();
    assert_eq!(failure.class(), Class::Temporary, "{failure}");
    for (pool, before) in pools.into_iter().zip(before) {
        let taken = before - left(&circle.gateway, pool);
        assert!(taken < LITTLE_BYTES, "{pool}: {taken} bytes");
    }
    let query = AuditQuery { kind: Some("gather".to_owned()), ..AuditQuery::default() };
    let told = circle.gateway.audit_lines(&query).unwrap();
    let told: Vec<_> = told.iter().map(|line| (line.field("result"), line.field("code"))).collect();
    assert_eq!(told, [(Some("begun"), None), (Some("failed"), Some(failure.code()))]);
}

#[test]
fn a_site_that_another_one_cannot_reach_is_told_from_one_that_refuses() {
    let mut circle = Circle::new();
    let object = circle.store();
    let address = ShareAddress { object, x: circle.holder(object, "s4").x };
    let work = circle.work(object, "s4", &["s1", "s2"]);
    circle.ask("s1").work(address, &work).unwrap();
    circle.stop("s2");
    let asked = circle.ask("s1").proceed(&work.id, Step::Blind);
    let failure = Failure::from(asked.unwrap_err());
    assert_eq!((failure.class(), failure.code()), (Class::Temporary, "site-down"));
}

#[test]
fn a_work_is_over_with_the_connection_that_alone_could_complete_it() {
    let circle = Circle::new();
    let object = circle.store();
    let address = ShareAddress { object, x: circle.holder(object, "s1").x };
    let helpers = ["s2", "s3", "s4"];
    // The target is told where the shares lie.
    let request = GatherRequest {
        object,
        x: address.x,
        target: name(STRANGER),
        helpers: helpers.map(name).to_vec(),
        chunks: Some(0..0),
    };
    assert_eq!(circle.gateway.gather_share(&request).unwrap().chunks, 0);
    let work = circle.work(object, STRANGER, &helpers);
    let mut peer = circle.ask(STRANGER);
    peer.begin(address, "2/4".parse().unwrap(), Role::Pad).unwrap();
    drop(peer.expect(address, &work, 0).unwrap());
    peer.close().unwrap();
    let mut other = circle.ask(STRANGER);
    // The site lets go of the share after the work.
    while other.discard(address).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(refused(other.proceed(&work.id, Step::Collect)), "work-unknown");
}
