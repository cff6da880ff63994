//! Another gateway: with the person it gets what they agreed to, without them nothing.

use crate::field::*;
use warifu_consent::statement::{Presence, PresenceKind, VERSION};
use warifu_consent::trust::Role as TrustRole;
use warifu_core::{ObjectId, XCoord};
use warifu_link::Status;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress};

#[test]
fn another_gateway_reads_what_the_person_agreed_to_and_nothing_else() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let (address, secret) = (field.store(OURS, "P1"), field.store(OURS, "P1"));
    let mut peer = field.peer(THEIRS);
    let is_absent = |peer: &mut Peer, address| {
        assert_eq!(declined(read(peer, address, 0)), Status::NoSuchShare);
        assert_eq!(declined(peer.read_capsule(address, 0, &mut [0; 64])), Status::NoSuchShare);
        assert!(peer.stat(address.object).unwrap().is_empty());
    };
    is_absent(&mut peer, address);
    // A consent for the one who stored it is none for another, nor is one for another object.
    assert_eq!(
        refused(present(&mut peer, &mut person, &consent(OURS, address))),
        "consent-requester"
    );
    is_absent(&mut peer, address);
    present(&mut peer, &mut person, &consent(THEIRS, address)).unwrap();
    let stats = peer.stat(address.object).unwrap();
    assert_eq!((stats.len(), stats[0].payload_bytes), (1, (2 << 20) + 4096));
    peer.read_capsule(address, 0, &mut [0; 64]).unwrap();
    for (index, bytes) in CHUNKS.into_iter().enumerate() {
        assert_eq!(read(&mut peer, address, index as u64).unwrap(), bytes + 16);
    }
    is_absent(&mut peer, secret);
    // Reading is all that it may.
    let _nothing = peer.discard_completed(address);
    assert_eq!(declined(peer.forget(address, "not ours")), Status::NoSuchShare);
    assert_eq!(declined(peer.hold(address.object, true, "not ours")), Status::NoSuchShare);
    // Once that is revoked it is as if nothing were there.
    let token = person.sign(&revocation("P1", &[]));
    peer.revoke(&token).unwrap();
    is_absent(&mut peer, address);
    peer.close().unwrap();
    assert_eq!(field.shares().len(), 2);
}

#[test]
fn whoever_owns_an_object_of_the_same_name_opens_their_own_alone() {
    let field = Field::new();
    let (mut person, mut thief) = (field.card("p1"), field.card("thief"));
    field.enrol(OURS, "P1", &mut person);
    field.enrol(THEIRS, "P1", &mut thief);
    let address = field.store(OURS, "P1");
    let beside = ShareAddress { x: XCoord::new(2).unwrap(), ..address };
    let mut peer = field.peer(THEIRS);
    peer.own(address.object, &named("P1"), &[]).unwrap();
    store(&mut peer, beside);
    present(&mut peer, &mut thief, &consent(THEIRS, beside)).unwrap();
    assert!(read(&mut peer, beside, 0).is_ok());
    assert_eq!(declined(read(&mut peer, address, 0)), Status::NoSuchShare);
    assert_eq!(peer.stat(address.object).unwrap().len(), 1);
    // With the person's own consent it is the other way round.
    present(&mut peer, &mut person, &consent(THEIRS, address)).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    peer.close().unwrap();
}

#[test]
fn whoever_claims_an_object_does_not_keep_officers_from_it() {
    let field = Field::new();
    let (mut person, mut other) = (field.card("p1"), field.card("other"));
    field.enrol(OURS, "P1", &mut person);
    field.enrol(THEIRS, "P1", &mut other);
    let address = field.store(OURS, "P1");
    let mut peer = field.peer(THEIRS);
    peer.own(address.object, &named("P1"), &[]).unwrap();
    let mut officers = ["a", "b"].map(|officer| field.card(officer));
    officers.iter().for_each(|officer| field.trust(TrustRole::Officer, &officer.certificate));
    let nonce = peer.challenge(Some(address.object)).unwrap();
    let case = break_glass(THEIRS, address, nonce);
    let tokens = officers.each_mut().map(|officer| officer.sign(&case));
    peer.present(Some(address.object), &[&tokens[0], &tokens[1]]).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    peer.close().unwrap();
    let events = field.events();
    assert_eq!(events.iter().filter(|event| event.kind == "break-glass").count(), 1);
}

fn search(peer: &mut Peer, person: &mut Person, own: usize) -> Result<[u8; 16], PeerError> {
    let nonce = peer.challenge(None).unwrap();
    let session = id();
    let presence = Presence {
        v: VERSION,
        kind: PresenceKind::Find,
        consent: None,
        requester: name(GATEWAYS[own]),
        session,
        object: None,
        ranges: None,
        nonces: nonces(nonce),
        at: now(),
    };
    let token = person.sign(&presence);
    peer.present(None, &[&token])?;
    Ok(session.0)
}

#[test]
fn a_person_finds_what_is_theirs_wherever_it_was_stored() {
    let field = Field::new();
    let (mut person, mut other) = (field.card("p1"), field.card("p2"));
    field.enrol(OURS, "P1", &mut person);
    field.enrol(OURS, "P2", &mut other);
    field.enrol(THEIRS, "Q1", &mut person);
    let mut own = [field.store(OURS, "P1"), field.store(OURS, "P1"), field.store(THEIRS, "Q1")];
    own.sort_by_key(|address| *address.object.bytes());
    let others = field.store(OURS, "P2");
    let mut peer = field.peer(THEIRS);
    let session = search(&mut peer, &mut person, THEIRS).unwrap();
    let (found, total) = peer.find(session, 0).unwrap();
    let objects: Vec<ObjectId> = found.iter().map(|stat| stat.object).collect();
    assert_eq!(objects, own.map(|address| address.object));
    assert_eq!((total, found[0].threshold), (3, threshold()));
    assert_eq!(peer.find(session, 2).unwrap().0, found[2..]);
    assert_eq!(peer.find(session, u64::MAX).unwrap(), (Vec::new(), 3));
    // It lists, and opens nothing.
    let foreign = own
        .iter()
        .find(|address| matches!(peer.stat(address.object), Ok(stats) if stats.is_empty()));
    assert_eq!(declined(read(&mut peer, *foreign.unwrap(), 0)), Status::NoSuchShare);
    // A search is the link's that made it, and of the card that was there.
    let mut ours = field.peer(OURS);
    assert_eq!(refused(ours.find(session, 0)), "presence-stale");
    assert_eq!(refused(peer.find([9; 16], 0)), "presence-stale");
    let theirs = search(&mut ours, &mut other, OURS).unwrap();
    let (found, _) = ours.find(theirs, 0).unwrap();
    assert_eq!(found.iter().map(|stat| stat.object).collect::<Vec<_>>(), [others.object]);
    let mut stranger = field.card_of("other-ca", "x");
    let code = refused(search(&mut ours, &mut stranger, OURS));
    assert!(code.starts_with("certificate-"), "{code}");
    ours.close().unwrap();
    peer.close().unwrap();
}
