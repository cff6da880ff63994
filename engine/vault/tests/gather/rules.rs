//! A gateway that was taken over, and a site that plays along, against sites that go by the rules.

use crate::circle::{Circle, STRANGER, name, refused};
use warifu_core::{ObjectId, Role, XCoord};
use warifu_link::Status;
use warifu_link::body::Work;
use warifu_pipeline::peer::{PeerError, ShareAddress, Step};

/// Asks a helper to take part, as a gateway that skips its own checks.
fn take_part(
    circle: &Circle,
    helper: &str,
    (object, x): (ObjectId, XCoord),
    work: &Work,
) -> Result<(), PeerError> {
    circle.ask(helper).work(ShareAddress { object, x }, work)
}

#[test]
fn no_gateway_collects_shares_at_a_site_that_plays_along() {
    let mut circle = Circle::new();
    let object = circle.store();
    let x = |site: &str| circle.holder(object, site).x;
    let (x1, x2, x3, x4) = (x("s1"), x("s2"), x("s3"), x("s4"));
    let work = |target: &str, helpers: &[&str]| circle.work(object, target, helpers);
    // A holder of another share.
    assert_eq!(
        refused(take_part(&circle, "s1", (object, x4), &work("s3", &["s1", "s2"]))),
        "work-target"
    );
    // Too few for a site that holds none: another few would not hear of it.
    assert_eq!(
        refused(take_part(&circle, "s1", (object, x4), &work(STRANGER, &["s1", "s2"]))),
        "work-few"
    );
    // The share of a helper, a share that there is not, a helper that is not asked.
    let three = work(STRANGER, &["s1", "s2", "s3"]);
    assert_eq!(refused(take_part(&circle, "s1", (object, x3), &three)), "work-helpers");
    let none = XCoord::new(9).unwrap();
    assert_eq!(refused(take_part(&circle, "s1", (object, none), &three)), "work-share");
    assert_eq!(refused(take_part(&circle, "s4", (object, x3), &three)), "work-helpers");
    // The gateway itself, and sites that nobody has named here.
    assert_eq!(
        refused(take_part(&circle, "s1", (object, x4), &work("g", &["s1", "s2", "s3"]))),
        "work-gateway"
    );
    let stranger = work("nowhere", &["s1", "s2", "s3"]);
    assert_eq!(refused(take_part(&circle, "s1", (object, x4), &stranger)), "work-stranger");
    // Chunks that there are not.
    let beyond = Work { first: 2, ..three.clone() };
    assert_eq!(refused(take_part(&circle, "s1", (object, x4), &beyond)), "work-chunks");
    // Once a site was to get one share it never gets another, whoever else helps, also when the
    // daemon that knew has ended.
    for helper in ["s1", "s2", "s3"] {
        take_part(&circle, helper, (object, x4), &three).unwrap();
    }
    let other = work(STRANGER, &["s1", "s3", "s4"]);
    assert_eq!(refused(take_part(&circle, "s1", (object, x2), &other)), "work-target");
    circle.restart("s1");
    assert_eq!(refused(take_part(&circle, "s1", (object, x2), &other)), "work-target");
    let other = circle.work(object, STRANGER, &["s2", "s3", "s4"]);
    assert_eq!(refused(take_part(&circle, "s2", (object, x1), &other)), "work-target");
    take_part(&circle, "s4", (object, x1), &other).unwrap();
    // Every refusal is told.
    let told = circle.told("s1", "work");
    let codes: Vec<&str> = told.iter().filter_map(|event| event["code"].as_str()).collect();
    let expected = [
        "work-target",
        "work-few",
        "work-helpers",
        "work-share",
        "work-gateway",
        "work-stranger",
        "work-chunks",
        "work-target",
        "work-target",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn what_was_said_first_of_an_object_stays_and_only_first_shares_help() {
    let circle = Circle::new();
    let object = circle.store();
    let x4 = circle.holder(object, "s4").x;
    let individual = "P1".parse().unwrap();
    // Another list comes too late.
    let mut holders = circle.holders(object);
    holders[3].site = name(STRANGER);
    let told = circle.ask("s1").own(object, &individual, &holders);
    assert_eq!(refused(told), "holders-other");
    circle.ask("s1").own(object, &individual, &circle.holders(object)).unwrap();
    // An object of another link is not there.
    let theirs = warifu_vault::Vault::init(
        &circle.dir("h"),
        name("h"),
        None,
        warifu_vault::config::ConsentPolicy::default(),
    )
    .unwrap();
    circle.link(&theirs, "s1");
    let work = Work { gateway: name("h"), ..circle.work(object, "s4", &["s1", "s2"]) };
    let asked = circle.peer(&theirs, "s1").work(ShareAddress { object, x: x4 }, &work);
    assert!(matches!(asked, Err(PeerError::Refused { status: Status::NoSuchShare, .. })));
    // A share that was thrown away and put there again might be anything.
    let x1 = circle.holder(object, "s1").x;
    let own = ShareAddress { object, x: x1 };
    let file = circle.file("s1", "shares", own);
    let kept = std::fs::read(&file).unwrap();
    let work = circle.work(object, "s4", &["s1", "s2"]);
    take_part(&circle, "s1", (object, x4), &work).unwrap();
    circle.ask("s1").discard_completed(own).unwrap();
    circle.ask("s1").begin(own, "2/4".parse().unwrap(), Role::Pad).unwrap();
    std::fs::write(&file, kept).unwrap();
    let work = circle.work(object, "s4", &["s1", "s2"]);
    assert_eq!(refused(take_part(&circle, "s1", (object, x4), &work)), "work-restored");
}

#[test]
fn helpers_that_were_told_different_things_contribute_nothing() {
    let circle = Circle::new();
    let object = circle.store();
    let x = |site: &str| circle.holder(object, site).x;
    // One is told of other helpers, which would give its share another weight.
    let one = circle.work(object, "s4", &["s1", "s2"]);
    let other = Work { id: one.id, ..circle.work(object, "s4", &["s1", "s2", "s3"]) };
    take_part(&circle, "s1", (object, x("s4")), &one).unwrap();
    take_part(&circle, "s2", (object, x("s4")), &other).unwrap();
    // Nothing leaves unblinded, nor to the gateway itself.
    let mut peer = circle.ask("s1");
    assert_eq!(refused(peer.proceed(&one.id, Step::Contribute)), "work-unblinded");
    assert_eq!(refused(peer.proceed(&one.id, Step::Contribute)), "work-unknown");
    let address = ShareAddress { object, x: x("s4") };
    assert_eq!(refused(peer.collect(address, &one.id, 0, 1 << 20)), "work-unknown");
    let one = Work { id: [7; 16], ..one };
    take_part(&circle, "s1", (object, x("s4")), &one).unwrap();
    let other = Work { id: one.id, ..other };
    take_part(&circle, "s2", (object, x("s4")), &other).unwrap();
    assert_eq!(refused(peer.proceed(&one.id, Step::Blind)), "work-lost");
    // Ready contributions go to the target alone.
    let good = circle.work(object, STRANGER, &["s1", "s2", "s3"]);
    for helper in ["s1", "s2", "s3"] {
        take_part(&circle, helper, (object, x("s4")), &good).unwrap();
    }
    for helper in ["s1", "s2", "s3"] {
        circle.ask(helper).proceed(&good.id, Step::Blind).unwrap();
    }
    circle.ask("s1").proceed(&good.id, Step::Contribute).unwrap();
    assert_eq!(refused(circle.ask("s1").collect(address, &good.id, 0, 1 << 20)), "work-unknown");
    let mut colleague = circle.peer(&circle.site("s1"), "s2");
    assert_eq!(refused(colleague.collect(address, &good.id, 0, 1 << 20)), "work-unknown");
    // No helper joins twice, and none that was not asked.
    let mut site = circle.peer(&circle.site("s1"), "s3");
    assert_eq!(refused(site.blind(address, &good, 0, 1 << 20)), "work-odd");
    let mut site = circle.peer(&circle.site("s4"), "s3");
    assert_eq!(refused(site.blind(address, &good, 0, 1 << 20)), "work-other");
}
