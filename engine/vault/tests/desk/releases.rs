//! What is released, and to what.

use crate::field::*;
use warifu_consent::statement::{Consent, Presence, PresenceKind};
use warifu_consent::trust::Role as TrustRole;
use warifu_core::{ObjectId, Role};
use warifu_link::Status;

#[test]
fn a_share_is_released_to_consent_and_presence_alone() {
    let mut field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut peer = field.peer(OURS);
    assert!(peer.ping().unwrap().enforces);
    for index in 0..3 {
        assert_eq!(refused(read(&mut peer, address, index)), "consent-missing");
    }
    // The capsule says nothing of the content, and whoever stored it has it for repairs.
    peer.read_capsule(address, 0, &mut [0; 64]).unwrap();
    let held_for = present(&mut peer, &mut person, &consent(OURS, address)).unwrap();
    assert!((3590..=3600).contains(&held_for.as_secs()), "{held_for:?}");
    for (index, bytes) in CHUNKS.into_iter().enumerate() {
        assert_eq!(read(&mut peer, address, index as u64).unwrap(), bytes + 16);
    }
    peer.close().unwrap();
    // A permit is the link's, and ends with the daemon.
    let mut peer = field.peer(OURS);
    assert!(read(&mut peer, address, 0).is_ok());
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    peer.close().unwrap();
    // What the operator did is told too, and not by the desk.
    let by_operator = ["init", "key", "trust"];
    let events =
        field.events().into_iter().filter(|event| !by_operator.contains(&event.kind.as_str()));
    let events: Vec<_> = events.collect();
    let kinds: Vec<_> =
        events.iter().map(|event| (event.kind.as_str(), event.of("result"))).collect();
    let expected = [
        ("bind", "bound"),
        ("own", "owned"),
        ("read", "refused"),
        ("present", "released"),
        ("read", "refused"),
    ];
    assert_eq!(kinds, expected, "one line for a refused object, not for every chunk");
    let released = &events[3];
    assert_eq!((released.of("who"), released.of("individual")), ("ours", "P1"));
    assert_eq!(released.of("object"), address.object.to_string());
    assert_eq!((released.of("purpose"), released.of("card")), ("diagnosis", "software"));
    assert_eq!((events[2].of("code"), released.of("consent").len()), ("consent-missing", 32));
}

#[test]
fn nothing_is_stored_that_nobody_owns() {
    let field = Field::new();
    let mut person = field.card("p1");
    let address = new_address();
    let mut peer = field.peer(OURS);
    assert_eq!(refused(peer.begin(address, threshold(), Role::Pad)), "consent-unbound");
    assert_eq!(refused(peer.own(address.object, &named("P1"), &[])), "consent-unbound");
    field.enrol(OURS, "P1", &mut person);
    field.enrol(OURS, "P2", &mut field.card("p2"));
    // A person of one gateway is nobody at another.
    let mut other = field.peer(THEIRS);
    assert_eq!(refused(other.own(address.object, &named("P1"), &[])), "consent-unbound");
    peer.own(address.object, &named("P1"), &[]).unwrap();
    peer.own(address.object, &named("P1"), &[]).unwrap();
    assert_eq!(refused(peer.own(address.object, &named("P2"), &[])), "consent-person");
    assert_eq!(refused(other.begin(address, threshold(), Role::Pad)), "consent-unbound");
    store(&mut peer, address);
    assert_eq!(field.shares().len(), 1);
    peer.close().unwrap();
    other.close().unwrap();
}

type Spoil<'a> = &'a dyn Fn(&mut Consent, &mut Presence);

#[test]
fn whatever_does_not_fit_releases_nothing_and_is_told() {
    let field = Field::new();
    let (mut person, mut other) = (field.card("p1"), field.card("p2"));
    field.enrol(OURS, "P1", &mut person);
    field.enrol(OURS, "P2", &mut other);
    let address = field.store(OURS, "P1");
    let elsewhere = field.store(OURS, "P1");
    let spoilt: [(&str, Spoil<'_>); 12] = [
        ("consent-expired", &|consent, _| {
            consent.not_before = now() - 10;
            consent.expires = now() - 1;
        }),
        ("consent-not-yet", &|consent, _| consent.not_before = now() + 1000),
        ("consent-requester", &|consent, presence| {
            consent.requester = name("theirs");
            presence.requester = name("theirs");
        }),
        ("presence-mismatch", &|_, presence| presence.requester = name("theirs")),
        ("consent-object", &|consent, _| consent.objects[0] = locator(elsewhere)),
        ("presence-mismatch", &|_, presence| presence.object = Some(elsewhere.object)),
        ("presence-mismatch", &|_, presence| presence.consent = Some(id())),
        ("presence-mismatch", &|_, presence| {
            presence.kind = PresenceKind::Find;
            presence.consent = None;
            presence.object = None;
        }),
        ("consent-person", &|consent, _| consent.individual = named("P2")),
        ("presence-stale", &|_, presence| presence.nonces = nonces([7; 32])),
        ("consent-range", &|consent, presence| {
            consent.objects[0].ranges = one_range(0..100);
            presence.ranges = one_range(0..101);
        }),
        ("consent-person", &|consent, _| consent.individual = named("P3")),
    ];
    let mut peer = field.peer(OURS);
    for (code, spoil) in spoilt {
        let nonce = peer.challenge(Some(address.object)).unwrap();
        let mut consent = consent(OURS, address);
        let mut presence = presence(&consent, nonce);
        spoil(&mut consent, &mut presence);
        let tokens = [person.sign(&consent), person.sign(&presence)];
        let shown = peer.present(Some(address.object), &[&tokens[0], &tokens[1]]);
        assert_eq!(refused(shown), code);
        assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing", "{code}");
    }
    let told = field.events();
    let told: Vec<_> = told.iter().filter(|event| event.kind == "present").collect();
    let codes: Vec<_> = told.iter().map(|event| event.of("code")).collect();
    assert_eq!(codes, spoilt.map(|(code, _)| code));
    assert!(told.iter().all(|event| event.of("result") == "refused" && event.of("who") == "ours"));
    // Another person's card, for the consent, for the presence, for both.
    let consent = consent(OURS, address);
    for (by, at) in [(true, false), (false, true), (true, true)] {
        let nonce = peer.challenge(Some(address.object)).unwrap();
        let presence = presence(&consent, nonce);
        let mut sign = |is_other: bool, presence: Option<&Presence>| {
            let signer = if is_other { &mut other } else { &mut person };
            match presence {
                Some(presence) => signer.sign(presence),
                None => signer.sign(&consent),
            }
        };
        let tokens = [sign(by, None), sign(at, Some(&presence))];
        let shown = peer.present(Some(address.object), &[&tokens[0], &tokens[1]]);
        assert_eq!(refused(shown), "consent-person");
    }
    present(&mut peer, &mut person, &consent).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    peer.close().unwrap();
}

#[test]
fn a_presence_serves_once_and_only_where_and_for_what_it_was_asked() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    field.enrol(THEIRS, "P1", &mut person);
    let (address, other) = (field.store(OURS, "P1"), field.store(OURS, "P1"));
    let mut peer = field.peer(OURS);
    let mut tokens =
        |consent: &Consent, nonce| [person.sign(consent), person.sign(&presence(consent, nonce))];
    let shown = consent(OURS, address);
    let nonce = peer.challenge(Some(address.object)).unwrap();
    let used = tokens(&shown, nonce);
    peer.present(Some(address.object), &[&used[0], &used[1]]).unwrap();
    // Replayed, over this connection and another.
    let again = peer.present(Some(address.object), &[&used[0], &used[1]]);
    assert_eq!(refused(again), "presence-stale");
    let mut second = field.peer(OURS);
    let again = second.present(Some(address.object), &[&used[0], &used[1]]);
    assert_eq!(refused(again), "presence-stale");
    // For another object, to find, or over another link.
    for drawn in [Some(other.object), None] {
        let nonce = peer.challenge(drawn).unwrap();
        let tokens = tokens(&shown, nonce);
        let shown = peer.present(Some(address.object), &[&tokens[0], &tokens[1]]);
        assert_eq!(refused(shown), "presence-stale");
    }
    let mut theirs = field.peer(THEIRS);
    let nonce = theirs.challenge(Some(address.object)).unwrap();
    let stolen = tokens(&shown, nonce);
    let shown = peer.present(Some(address.object), &[&stolen[0], &stolen[1]]);
    assert_eq!(refused(shown), "presence-stale");
    // What failed once can't be mended: the nonce is gone.
    let shown = consent(OURS, other);
    let nonce = peer.challenge(Some(other.object)).unwrap();
    let mut expired = shown.clone();
    expired.not_before = now() - 10;
    expired.expires = now() - 1;
    let failed = tokens(&expired, nonce);
    let outcome = peer.present(Some(other.object), &[&failed[0], &failed[1]]);
    assert_eq!(refused(outcome), "consent-expired");
    let mended = tokens(&shown, nonce);
    let outcome = peer.present(Some(other.object), &[&mended[0], &mended[1]]);
    assert_eq!(refused(outcome), "presence-stale");
    for peer in [peer, second, theirs] {
        peer.close().unwrap();
    }
}

#[test]
fn a_range_opens_its_chunks_and_the_last_and_no_other() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut narrow = consent(OURS, address);
    narrow.objects[0].ranges = one_range(100..200);
    let mut peer = field.peer(OURS);
    present(&mut peer, &mut person, &narrow).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    assert_eq!(refused(read(&mut peer, address, 1)), "consent-range");
    assert!(read(&mut peer, address, 2).is_ok());
    // A presence for less than the consent covers opens less.
    let nonce = peer.challenge(Some(address.object)).unwrap();
    let whole = consent(OURS, address);
    let mut less = presence(&whole, nonce);
    less.ranges = one_range(1 << 20..(1 << 20) + 1);
    let tokens = [person.sign(&whole), person.sign(&less)];
    peer.present(Some(address.object), &[&tokens[0], &tokens[1]]).unwrap();
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-range");
    assert!(read(&mut peer, address, 1).is_ok() && read(&mut peer, address, 2).is_ok());
    peer.close().unwrap();
    let events = field.events();
    let ranges: Vec<_> = events.iter().filter(|event| event.kind == "present").collect();
    assert_eq!(ranges[0].told["ranges"], serde_json::json!([[100, 200]]));
}

#[test]
fn a_chunk_that_no_object_has_is_no_last_one() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut narrow = consent(OURS, address);
    narrow.objects[0].ranges = one_range(100..200);
    let mut peer = field.peer(OURS);
    present(&mut peer, &mut person, &narrow).unwrap();
    for index in [3, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        peer.read(address, chunk(index), CHUNKS[0]).unwrap();
        assert_eq!(refused(peer.receive()), "consent-range");
    }
    assert!(read(&mut peer, address, 2).is_ok());
    peer.close().unwrap();
}

#[test]
fn what_was_allowed_and_is_over_is_not_told_as_the_consents_end() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut peer = field.peer(OURS);
    let mut shown = consent(OURS, address);
    shown.expires = now() + 8;
    present(&mut peer, &mut person, &shown).unwrap();
    let ended = loop {
        let asked_unix_s = now();
        match read(&mut peer, address, 2) {
            Ok(_) => {
                assert!(asked_unix_s < shown.expires, "what is over is released");
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            ended => break ended,
        }
    };
    assert_eq!(refused(ended), "permit-ended");
    // The consent itself is over, too.
    assert_eq!(refused(present(&mut peer, &mut person, &shown)), "consent-expired");
    peer.close().unwrap();
    let events = field.events();
    let told: Vec<_> = events.iter().filter(|event| event.kind == "read").collect();
    assert!(told.len() == 1 && told[0].of("code") == "permit-ended", "{told:?}");
}

#[test]
fn a_consent_for_one_restore_serves_one_even_after_a_restart() {
    let mut field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut once = consent(OURS, address);
    once.single_use = true;
    let session = id();
    let mut show = |field: &Field, session| {
        let mut peer = field.peer(OURS);
        let nonce = peer.challenge(Some(address.object)).unwrap();
        let mut presence = presence(&once, nonce);
        presence.session = session;
        let tokens = [person.sign(&once), person.sign(&presence)];
        let shown = peer.present(Some(address.object), &[&tokens[0], &tokens[1]]);
        let is_read = read(&mut peer, address, 0).is_ok();
        peer.close().unwrap();
        (shown, is_read)
    };
    assert!(show(&field, session).1);
    assert!(show(&field, session).0.is_ok(), "the same restore may ask again");
    field.restart();
    let (shown, is_read) = show(&field, id());
    assert_eq!((refused(shown).as_str(), is_read), ("consent-used", false));
    assert!(show(&field, session).1);
}

#[test]
fn nothing_is_released_that_the_audit_log_can_not_be_told() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let register = rusqlite::Connection::open(field.root.path().join("s/register.sqlite")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit
                BEGIN SELECT RAISE(ABORT, 'no space'); END";
    register.execute_batch(full).unwrap();
    let mut once = consent(OURS, address);
    once.single_use = true;
    let mut peer = field.peer(OURS);
    assert_eq!(refused(present(&mut peer, &mut person, &once)), "audit-unwritable");
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    let new = person.sign(&enrolment(OURS, "P9"));
    assert_eq!(refused(peer.bind(&[&new])), "audit-unwritable");
    assert_eq!(refused(peer.forget(address, "asked for")), "audit-unwritable");
    assert_eq!(field.shares().len(), 1);
    // Nothing was used up by that.
    register.execute_batch("DROP TRIGGER full").unwrap();
    present(&mut peer, &mut person, &once).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    peer.close().unwrap();
}

#[test]
fn trust_counts_as_it_is_when_it_is_used() {
    let field = Field::new();
    let mut stranger = field.card_of("other-ca", "p1");
    let token = stranger.sign(&enrolment(OURS, "P1"));
    let mut peer = field.peer(OURS);
    let held = peer.bind(&[&token]).unwrap();
    let warifu_pipeline::peer::Bound::Untrusted { why } = held else { panic!("{held:?}") };
    assert!(why.starts_with("certificate-"), "{why}");
    let address = field.store(OURS, "P1");
    let consent = consent(OURS, address);
    let code = refused(present(&mut peer, &mut stranger, &consent));
    assert!(code.starts_with("certificate-"), "{code}");
    // Pinned beside the running daemon, it is trusted at once; taken back, no longer.
    let authority = field.root.path().join("other-ca/ca.crt");
    field.trust(TrustRole::CardCa, &authority);
    present(&mut peer, &mut stranger, &consent).unwrap();
    let site = field.site_vault();
    for anchor in site.trust_list().unwrap() {
        site.trust_remove(&anchor.fingerprint).unwrap();
    }
    assert_eq!(refused(present(&mut peer, &mut stranger, &consent)), "trust-none");
    peer.close().unwrap();
}

#[test]
fn officers_open_an_object_together_where_the_operator_lets_them() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let mut officers = ["a", "b", "c"].map(|officer| field.card(officer));
    field.trust(TrustRole::Officer, &officers[0].certificate);
    field.trust(TrustRole::Officer, &officers[1].certificate);
    let mut peer = field.peer(OURS);
    let mut show = |peer: &mut warifu_pipeline::peer::Peer, who: &[usize]| {
        let nonce = peer.challenge(Some(address.object)).unwrap();
        let case = break_glass(OURS, address, nonce);
        let tokens: Vec<_> = who.iter().map(|who| officers[*who].sign(&case)).collect();
        let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
        peer.present(Some(address.object), &tokens)
    };
    for too_few in [&[0][..], &[0, 0]] {
        assert_eq!(refused(show(&mut peer, too_few)), "break-glass-officers");
    }
    assert!(refused(show(&mut peer, &[0, 2])).starts_with("certificate-"), "c is not pinned");
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    show(&mut peer, &[0, 1]).unwrap();
    assert!(read(&mut peer, address, 1).is_ok());
    peer.close().unwrap();
    let events = field.events();
    let opened = events.iter().rfind(|event| event.kind == "break-glass").unwrap();
    assert_eq!((opened.of("result"), opened.of("individual")), ("released", "P1"));
    assert_eq!(opened.told["keys"].as_array().unwrap().len(), 2);
    assert_eq!(opened.of("purpose"), "unconscious after an accident");
    // Off is off.
    let off = Field::with(warifu_vault::config::ConsentPolicy::default());
    let mut officer = off.card("a");
    off.trust(TrustRole::Officer, &officer.certificate);
    let mut person = off.card("p1");
    off.enrol(OURS, "P1", &mut person);
    let address = off.store(OURS, "P1");
    let mut peer = off.peer(OURS);
    let nonce = peer.challenge(Some(address.object)).unwrap();
    let token = officer.sign(&break_glass(OURS, address, nonce));
    let shown = peer.present(Some(address.object), &[&token, &token]);
    assert_eq!(refused(shown), "break-glass-off");
    peer.close().unwrap();
}

#[test]
fn one_kind_of_statement_never_serves_as_another() {
    let field = Field::new();
    let mut person = field.card("p1");
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let consent = consent(OURS, address);
    let mut peer = field.peer(OURS);
    let nonce = peer.challenge(Some(address.object)).unwrap();
    let [given, shown, enrolled] = [
        person.sign(&consent),
        person.sign(&presence(&consent, nonce)),
        person.sign(&enrolment(OURS, "P1")),
    ];
    let object = Some(address.object);
    let odd: [&[&str]; 8] = [
        &[&given],
        &[&shown, &given],
        &[&given, &given],
        &[&shown, &shown],
        &[&enrolled],
        &[&given, &shown, &shown],
        &["a.b.c"],
        &["e30.e30.", &shown],
    ];
    for tokens in odd {
        assert_eq!(refused(peer.present(object, tokens)), "consent-malformed");
    }
    assert_eq!(refused(peer.present(object, &[&shown])), "presence-mismatch");
    assert!(refused(peer.bind(&[&given])).starts_with("consent-"));
    assert!(refused(peer.revoke(&given)).starts_with("consent-"));
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    let none = ObjectId::from_bytes([0; 16]);
    assert_eq!(declined(peer.own(none, &named("P1"), &[])), Status::BadRequest);
    peer.close().unwrap();
}
