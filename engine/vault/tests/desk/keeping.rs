//! What is forgotten is gone, and what is held is not forgotten.

use crate::field::*;
use warifu_catalog::Event;
use warifu_core::Role;
use warifu_link::Status;
use warifu_vault::config::ConsentPolicy;

#[test]
fn what_is_forgotten_is_gone_and_does_not_come_back() {
    let mut field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let (address, other) = (field.store(OURS, "P1"), field.store(OURS, "P1"));
    let mut peer = field.peer(OURS);
    present(&mut peer, &mut person, &consent(OURS, address)).unwrap();
    peer.forget(address, "the person asked for it").unwrap();
    peer.forget(address, "asked again").unwrap();
    assert_eq!(declined(read(&mut peer, address, 0)), Status::NoSuchShare);
    assert_eq!(declined(peer.begin(address, threshold(), Role::Pad)), Status::Refused);
    assert_eq!(declined(peer.forget(new_address(), "none there")), Status::NoSuchShare);
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    assert_eq!(declined(peer.begin(address, threshold(), Role::Pad)), Status::Refused);
    peer.close().unwrap();
    let left = field.shares();
    assert_eq!(left.len(), 1);
    assert!(left[0].to_str().unwrap().contains(&other.object.to_string()));
    let events = field.events();
    let forgotten: Vec<_> = events.iter().filter(|event| event.kind == "forget").collect();
    assert_eq!(forgotten.len(), 1);
    assert_eq!(forgotten[0].of("individual"), "P1");
    assert_eq!(forgotten[0].of("purpose"), "the person asked for it");
}

#[test]
fn what_is_held_stays_whoever_holds_it() {
    let mut field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut peer = field.peer(OURS);
    peer.hold(address.object, true, "a court asked for it").unwrap();
    let register = field.site_vault().register().unwrap();
    let event = Event { kind: "hold", json: "{}", at_unix_s: now() };
    register.hold(address.object, None, "the operator too", &event).unwrap();
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    assert_eq!(declined(peer.forget(address, "asked for")), Status::Refused);
    assert_eq!(declined(peer.discard_completed(address)), Status::Refused);
    // Whoever laid it lifts it, and no other.
    peer.hold(address.object, false, "over").unwrap();
    assert_eq!(declined(peer.forget(address, "asked for")), Status::Refused);
    assert_eq!(field.shares().len(), 1);
    assert!(register.lift_hold(address.object, None, &event).unwrap());
    peer.forget(address, "asked for").unwrap();
    assert!(field.shares().is_empty());
    peer.close().unwrap();
    let events = field.events();
    let refused =
        events.iter().filter(|event| event.kind == "forget" && event.of("code") == "held");
    assert_eq!(refused.count(), 2);
    let told: Vec<_> = events.iter().filter(|event| event.kind == "discard").collect();
    assert!(told.len() == 1 && told[0].of("code") == "held", "{told:?}");
}

#[test]
fn a_site_that_does_not_enforce_says_so_and_keeps_its_register() {
    let field = Field::with(ConsentPolicy::not_enforced("a lab"));
    let address = new_address();
    let mut peer = field.peer(OURS);
    assert!(!peer.ping().unwrap().enforces);
    store(&mut peer, address);
    assert!(read(&mut peer, address, 0).is_ok());
    // Another's share is not there for it all the same.
    let mut other = field.peer(THEIRS);
    assert_eq!(declined(read(&mut other, address, 0)), Status::NoSuchShare);
    other.close().unwrap();
    // What was stored before persons decided gets its owner once.
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    field.enrol(OURS, "P2", &mut field.card("p2"));
    peer.own(address.object, &named("P1"), &[]).unwrap();
    assert_eq!(refused(peer.own(address.object, &named("P2"), &[])), "consent-person");
    peer.close().unwrap();
}
