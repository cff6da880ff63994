//! What comes out where all keep to the rules.

use crate::circle::{Circle, STRANGER, name, watched};
use std::sync::Arc;
use std::time::Duration;
use warifu_core::{End, ObjectId, XCoord};
use warifu_keystore::OsEntropy;
use warifu_keystore::simulated::kme::SimulatedKme;
use warifu_pipeline::peer::ShareAddress;
use warifu_vault::{
    FetchGoal, FetchRequest, GatherRequest, GenerateRequest, KeySourceChoice, Target, Vault,
};

fn request(object: ObjectId, x: XCoord, target: &str, helpers: &[&str]) -> GatherRequest {
    let helpers = helpers.iter().map(|site| name(site)).collect();
    GatherRequest { object, x, target: name(target), helpers, chunks: None }
}

#[test]
fn a_lost_share_is_worked_out_by_the_others_byte_by_byte() {
    let circle = Circle::new();
    let object = circle.store();
    let lost = circle.holder(object, "s3");
    let address = ShareAddress { object, x: lost.x };
    let before = circle.chunks("s3", "shares", address);
    assert_eq!(before.len(), 2);
    // At a site that held none: two helpers are asked by it, and one connects to it.
    let helpers = ["s1", "s2", "s4"];
    let report = circle.gateway.gather_share(&request(object, lost.x, STRANGER, &helpers));
    let report = report.unwrap();
    assert_eq!((report.chunks, report.target.as_str()), (2, STRANGER));
    assert!(circle.chunks(STRANGER, "unfinished", address) == before);
    assert_eq!(circle.told(STRANGER, "expect")[0]["result"], "expected");
    for helper in helpers {
        assert_eq!(circle.told(helper, "work")[0]["result"], "admitted");
        assert_eq!(circle.told(helper, "contribute")[0]["result"], "contributed");
    }
    // Where it was lost: k others suffice.
    std::fs::remove_file(circle.file("s3", "shares", address)).unwrap();
    circle.gateway.gather_share(&request(object, lost.x, "s3", &["s1", "s2"])).unwrap();
    assert!(circle.chunks("s3", "unfinished", address) == before);
    // No key served twice, at either end of any link.
    for vault in ["g", "s1", "s2", "s3", "s4", "s5"] {
        let rows = Vault::open(&circle.dir(vault)).unwrap().audit_keys().unwrap();
        assert!(rows.iter().all(|row| row.overlaps == 0 && row.outside_segments == 0), "{rows:?}");
    }
}

#[test]
fn sites_are_named_linked_and_counted_like_a_gateways() {
    let circle = Circle::new();
    let rows = circle.site("s1").sites().unwrap();
    let named: Vec<&str> = rows.iter().map(|row| row.site.as_str()).collect();
    assert_eq!(named, ["s2", "s3", "s4", "s5"]);
    assert!(rows.iter().all(|row| row.link.is_some()));
    assert!(circle.site("s1").test_site(&name("s2")).unwrap().ok);
    // The link was made at the other end: from here nobody connects.
    assert_eq!(circle.site("s1").test_site(&name("s5")).unwrap_err().code(), "link-missing");
    let twice = circle.site("s1").add_site(&warifu_vault::NewSite {
        name: name("s2"),
        url: "warifu://127.0.0.1:1".to_owned(),
        zone: None,
        domain: None,
        channel: None,
    });
    assert_eq!(twice.unwrap_err().code(), "exists-already");
    for end in ["s1", "s2"] {
        let other = if end == "s1" { "s2" } else { "s1" };
        let pools = circle.site(end).key_status().unwrap();
        let names: Vec<&str> = pools.iter().map(|row| row.pool.as_str()).collect();
        for way in ["to", "from"] {
            assert!(names.contains(&format!("{other}/{way}").as_str()), "{names:?}");
        }
    }
}

#[test]
fn a_site_that_is_named_again_is_connected_to_as_before() {
    let circle = Circle::new();
    let object = circle.store();
    let (connects, waits) = (circle.site("s1"), circle.site("s2"));
    for (at, other) in [(&connects, "s2"), (&waits, "s1")] {
        at.remove_site(&name(other), true, false).unwrap();
        assert_eq!(at.test_site(&name(other)).unwrap_err().code(), "not-found");
        at.add_site(&circle.new_site(other)).unwrap();
    }
    assert!(connects.sites().unwrap().iter().all(|row| row.link.is_some()));
    assert!(connects.test_site(&name("s2")).unwrap().ok);
    assert_eq!(waits.test_site(&name("s1")).unwrap_err().code(), "link-missing");
    // Its daemon finds the link as well, and key for it goes to the same one.
    let lost = circle.holder(object, "s4");
    let address = ShareAddress { object, x: lost.x };
    std::fs::remove_file(circle.file("s4", "shares", address)).unwrap();
    circle.gateway.gather_share(&request(object, lost.x, "s4", &["s1", "s2"])).unwrap();
    let pools = |vault: &Vault| vault.key_status().unwrap().len();
    let before = pools(&connects);
    let drive = circle.dir("drive-again");
    let order = GenerateRequest {
        target: Target::Link { site: name("s2"), drive: drive.clone() },
        bytes: 1 << 20,
        source: KeySourceChoice::System,
    };
    watched(|watch| connects.generate(&order, watch)).unwrap();
    waits.import(&drive).unwrap();
    assert_eq!(pools(&connects), before);
}

/// The link grows at both ends, by what one deliverer has for both; the other end can't begin it.
#[test]
fn a_link_between_sites_takes_delivered_key_like_any() {
    let mut circle = Circle::new();
    let kme = SimulatedKme::new(Arc::new(OsEntropy), 128, 64);
    circle.restart_as("s2", |vault| vault.with_deliveries(kme.serving(End::B, 64 << 10)));
    let left = |circle: &Circle, at: &str, pool: &str| {
        let rows = circle.site(at).key_status().unwrap();
        rows.iter().find(|row| row.pool == pool).unwrap().bytes_left
    };
    let before = [left(&circle, "s1", "s2/to"), left(&circle, "s1", "s2/from")];
    let fetch = |at: &str, site: &str, end| {
        let goal = FetchGoal::Bytes(256 << 10);
        let (sites, patience) = (vec![name(site)], Duration::from_millis(1500));
        let request = FetchRequest { sites, goal, follow: false, patience, accept_mismatch: false };
        let vault = circle.site(at).with_deliveries(kme.serving(end, 64 << 10));
        watched(|watch| vault.fetch(&request, watch))
    };
    let report = fetch("s1", "s2", End::A).unwrap();
    assert!(report.failure.is_none() && report.sites[0].bytes >= 256 << 10, "{:?}", report.sites);
    for (pool, before) in ["s2/to", "s2/from"].into_iter().zip(before) {
        let now = left(&circle, "s1", pool);
        assert!(now > before + (96 << 10), "{pool}: {before} and {now}");
    }
    let [there, here] = ["from", "to"].map(|way| format!("s1/{way}"));
    assert!(left(&circle, "s2", &there) > before[0] && left(&circle, "s2", &here) > before[1]);
    assert_eq!(fetch("s2", "s1", End::B).unwrap_err().code(), "link-missing");
}
