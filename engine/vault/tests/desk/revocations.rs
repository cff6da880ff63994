//! What was agreed to and no longer is, and how a site can know.

use crate::field::*;
use warifu_catalog::{Event, Silence};

#[test]
fn a_revocation_closes_at_once_whoever_brings_it_and_for_good() {
    let mut field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let (first, second) = (consent(OURS, address), consent(OURS, address));
    let mut peer = field.peer(OURS);
    present(&mut peer, &mut person, &first).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    let token = person.sign(&revocation("P1", &[first.id]));
    let mut theirs = field.peer(THEIRS);
    theirs.revoke(&token).unwrap();
    theirs.revoke(&token).unwrap();
    theirs.close().unwrap();
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    assert_eq!(refused(present(&mut peer, &mut person, &first)), "consent-revoked");
    present(&mut peer, &mut person, &second).unwrap();
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    assert_eq!(refused(present(&mut peer, &mut person, &first)), "consent-revoked");
    // All that were made so far, and none that is made later.
    present(&mut peer, &mut person, &second).unwrap();
    let token = person.sign(&revocation("P1", &[]));
    peer.revoke(&token).unwrap();
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    assert_eq!(refused(present(&mut peer, &mut person, &second)), "consent-revoked");
    let mut later = consent(OURS, address);
    later.at = now() + 2;
    present(&mut peer, &mut person, &later).unwrap();
    peer.close().unwrap();
    assert_eq!(field.events().iter().filter(|event| event.kind == "revoke").count(), 2);
}

#[test]
fn nobody_revokes_for_another() {
    let field = Field::new();
    let (mut person, mut other) = (field.card("p1"), field.card("p2"));
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let given = consent(OURS, address);
    let mut peer = field.peer(OURS);
    for consents in [&[given.id][..], &[]] {
        let token = other.sign(&revocation("P1", consents));
        peer.revoke(&token).unwrap();
    }
    present(&mut peer, &mut person, &given).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    peer.close().unwrap();
}

#[test]
fn a_site_that_is_cut_off_releases_nothing_until_somebody_speaks() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let register = field.site_vault().register().unwrap();
    let (ours, theirs) = (field.link(OURS), field.link(THEIRS));
    let silent = |hours: u64| now() - hours * 3600 - 60;
    for link in [ours, theirs] {
        register.contact(link, silent(72)).unwrap();
    }
    let (for_ours, for_theirs) = (consent(OURS, address), consent(THEIRS, address));
    let mut own = field.peer(OURS);
    let mut other = field.peer(THEIRS);
    assert_eq!(refused(present(&mut own, &mut person, &for_ours)), "revocations-stale");
    assert_eq!(refused(present(&mut other, &mut person, &for_theirs)), "revocations-stale");
    // The requester's own word is nothing, unless it is the one who stored the object.
    other.contact(None, 0).unwrap();
    assert_eq!(refused(present(&mut other, &mut person, &for_theirs)), "revocations-stale");
    present(&mut own, &mut person, &for_ours).unwrap();
    register.contact(theirs, silent(72)).unwrap();
    own.contact(None, 0).unwrap();
    present(&mut own, &mut person, &for_ours).unwrap();
    present(&mut other, &mut person, &for_theirs).unwrap();
    // The operator can accept the silence, for a while.
    for link in [ours, theirs] {
        register.contact(link, silent(100)).unwrap();
    }
    for (until_unix_s, is_released) in [(now() - 1, false), (now() + 600, true)] {
        let silence = Silence { until_unix_s, reason: "the gateway burned down".to_owned() };
        let event = Event { kind: "accept-silence", json: "{}", at_unix_s: now() };
        register.accept_silence(&silence, &event).unwrap();
        assert_eq!(present(&mut other, &mut person, &for_theirs).is_ok(), is_released);
    }
    own.close().unwrap();
    other.close().unwrap();
}

#[test]
fn a_contact_that_a_wrong_clock_dated_ahead_is_none() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let register = field.site_vault().register().unwrap();
    let given = consent(THEIRS, address);
    register.contact(field.link(OURS), now() + 365 * 86_400).unwrap();
    let mut peer = field.peer(THEIRS);
    assert_eq!(refused(present(&mut peer, &mut person, &given)), "revocations-stale");
    register.contact(field.link(OURS), now() + 5).unwrap();
    present(&mut peer, &mut person, &given).unwrap();
    peer.close().unwrap();
}

#[test]
fn a_site_whose_clock_is_behind_heeds_what_names_a_consent() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let given = consent(OURS, address);
    let mut peer = field.peer(OURS);
    present(&mut peer, &mut person, &given).unwrap();
    let mut ahead = revocation("P1", &[given.id]);
    ahead.at = now() + 3600;
    peer.revoke(&person.sign(&ahead)).unwrap();
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    assert_eq!(refused(present(&mut peer, &mut person, &given)), "consent-revoked");
    // "All until then" would take back what is not given yet.
    ahead.consents.clear();
    assert_eq!(refused(peer.revoke(&person.sign(&ahead))), "consent-not-yet");
    peer.close().unwrap();
}

#[test]
fn two_revocations_of_one_name_both_count() {
    let mut field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let (first, second) = (consent(OURS, address), consent(OURS, address));
    let mut said = revocation("P1", &[first.id]);
    let mut peer = field.peer(OURS);
    peer.revoke(&person.sign(&said)).unwrap();
    said.consents = vec![second.id];
    peer.revoke(&person.sign(&said)).unwrap();
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    for given in [first, second] {
        assert_eq!(refused(present(&mut peer, &mut person, &given)), "consent-revoked");
    }
    peer.close().unwrap();
}
