//! What follows from statements: the one that fits is enough, and whatever is changed is not.

use crate::people::{Authority, NONCE, NOW, TestCard, consent, locator, object, one, presence};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use warifu_consent::check::{self, Asked, Held, PERMIT_S_MAX, Rebound, Release};
use warifu_consent::statement::{
    BreakGlass, Consent, Enrolment, KeyFingerprint, Nonce, Presence, PresenceKind, Rebinding,
    Revocation, StatementId, VERSION,
};
use warifu_consent::trust::{Role, TrustStore};
use warifu_consent::{Unbound, Untrue};
use warifu_core::{ObjectId, SiteName};

/// One site, one person, and all that a release rests on.
struct Scene {
    authority: Authority,
    card: TestCard,
    trust: TrustStore,
    held: Held,
    asked: Asked,
    consent: Consent,
    presence: Presence,
}

impl Scene {
    fn new() -> Self {
        let authority = Authority::new("CA");
        let card = authority.card("P1");
        let trust = TrustStore::of(&[(Role::CardCa, authority.certificate.clone())], &[]).unwrap();
        let held = Held {
            owner: Some("P1".parse().unwrap()),
            key: Some(card.key()),
            used_in: None,
            revocations: vec![],
        };
        let asked = Asked {
            requester: "hospital".parse().unwrap(),
            object: Some(object()),
            nonces: vec![Nonce([77; 32]), NONCE],
            at_unix_s: NOW,
        };
        let (consent, presence) = (consent(), presence());
        Self { authority, card, trust, held, asked, consent, presence }
    }

    fn release(&mut self) -> Result<Release, Untrue> {
        let consent = self.card.says(&self.consent);
        let presence = self.card.says(&self.presence);
        check::release(&consent, &presence, &self.held, &self.asked, &self.trust)
    }

    /// The code of the refusal after `change`.
    fn code(change: impl FnOnce(&mut Self)) -> &'static str {
        let mut scene = Self::new();
        change(&mut scene);
        scene.release().map_or_else(|why| why.code(), |_| "released")
    }
}

#[test]
fn what_fits_is_released_and_no_longer_than_a_day() {
    let mut scene = Scene::new();
    let release = scene.release().unwrap();
    assert_eq!(release.consent, scene.consent.id);
    assert_eq!(release.session, scene.presence.session);
    assert_eq!(release.individual, scene.consent.individual);
    assert_eq!(release.until_unix_s, scene.consent.expires);
    assert_eq!((release.ranges, release.nonce), (None, NONCE));
    assert!(!release.is_software && !release.is_single_use);
    scene.consent.expires = NOW + 10 * PERMIT_S_MAX;
    assert_eq!(scene.release().unwrap().until_unix_s, NOW + PERMIT_S_MAX);
}

#[test]
fn every_single_change_is_refused_by_its_name() {
    type Change = fn(&mut Scene);
    let changes: [(&str, Change); 25] = [
        ("consent-person", |s| s.consent.individual = "P2".parse().unwrap()),
        ("consent-person", |s| s.held.owner = Some("P2".parse().unwrap())),
        ("consent-person", |s| s.held.key = Some(KeyFingerprint([0; 32]))),
        ("consent-unbound", |s| s.held.owner = None),
        ("consent-unbound", |s| s.held.key = None),
        ("consent-requester", |s| s.consent.requester = "insurer".parse().unwrap()),
        ("consent-requester", |s| s.asked.requester = "insurer".parse().unwrap()),
        ("consent-expired", |s| s.consent.expires = NOW),
        ("consent-expired", |s| s.asked.at_unix_s = s.consent.expires),
        ("consent-not-yet", |s| s.consent.not_before = NOW + 1),
        ("consent-not-yet", |s| s.asked.at_unix_s = s.consent.not_before - 1),
        ("consent-not-yet", |s| s.consent.at = NOW + 601),
        ("consent-object", |s| s.consent.objects[0].object = ObjectId::from_bytes([6; 16])),
        ("consent-object", |s| s.asked.object = None),
        ("presence-mismatch", |s| s.presence.object = Some(ObjectId::from_bytes([6; 16]))),
        ("presence-mismatch", |s| s.presence.consent = Some(StatementId([3; 16]))),
        ("presence-mismatch", |s| s.presence.requester = "insurer".parse().unwrap()),
        ("presence-mismatch", |s| {
            s.presence = Presence {
                kind: PresenceKind::Find,
                consent: None,
                object: None,
                ..s.presence.clone()
            };
        }),
        ("presence-stale", |s| s.asked.nonces.clear()),
        ("presence-stale", |s| s.asked.nonces = vec![Nonce([1; 32])]),
        ("presence-stale", |s| s.presence.nonces.retain(|site, _| site != "tokyo")),
        ("consent-range", |s| {
            s.consent.objects[0].ranges = one(10..20);
            s.presence.ranges = one(10..21);
        }),
        ("consent-used", |s| {
            s.consent.single_use = true;
            s.held.used_in = Some(StatementId([5; 16]));
        }),
        ("consent-revoked", |s| s.held.revocations = vec![revocation(&[s.consent.id], NOW)]),
        ("trust-none", |s| s.trust = TrustStore::of(&[], &[]).unwrap()),
    ];
    for (index, (expected, change)) in changes.into_iter().enumerate() {
        assert_eq!(Scene::code(change), expected, "row {index}");
    }
    assert_eq!(Scene::code(|_| {}), "released");
}

#[test]
fn another_persons_card_is_refused_for_consent_presence_or_both() {
    let mut scene = Scene::new();
    let mut other = scene.authority.card("P2");
    let mine = (scene.card.says(&scene.consent), scene.card.says(&scene.presence));
    let theirs = (other.says(&scene.consent), other.says(&scene.presence));
    for (consent, presence) in [(&theirs.0, &theirs.1), (&mine.0, &theirs.1), (&theirs.0, &mine.1)]
    {
        let why =
            check::release(consent, presence, &scene.held, &scene.asked, &scene.trust).unwrap_err();
        assert_eq!(why.code(), "consent-person");
    }
    // Neither statement serves as the other, nor twice as both.
    for (consent, presence) in [(&mine.1, &mine.0), (&mine.0, &mine.0), (&mine.1, &mine.1)] {
        let why =
            check::release(consent, presence, &scene.held, &scene.asked, &scene.trust).unwrap_err();
        assert_eq!(why.code(), "consent-malformed");
    }
}

#[test]
fn the_same_session_may_go_on_with_a_consent_for_one() {
    let mut scene = Scene::new();
    scene.consent.single_use = true;
    assert!(scene.release().unwrap().is_single_use);
    scene.held.used_in = Some(scene.presence.session);
    assert!(scene.release().is_ok());
}

fn revocation(consents: &[StatementId], at: u64) -> Revocation {
    Revocation {
        v: VERSION,
        id: StatementId([4; 16]),
        individual: "P1".parse().unwrap(),
        consents: consents.to_vec(),
        at,
    }
}

#[test]
fn revocations_take_back_what_they_name_or_all_until_then() {
    let made = consent().at;
    for (said, is_revoked) in [
        (revocation(&[consent().id], 1), true),
        (revocation(&[StatementId([3; 16]), consent().id], NOW), true),
        (revocation(&[StatementId([3; 16])], NOW), false),
        (revocation(&[], made), true),
        (revocation(&[], made - 1), false),
        (Revocation { individual: "P2".parse().unwrap(), ..revocation(&[], NOW) }, false),
    ] {
        assert_eq!(check::is_revoked(&consent(), &said), is_revoked, "{said:?}");
    }
}

#[test]
fn only_the_bound_card_revokes_and_not_for_days_to_come() {
    let mut scene = Scene::new();
    let (owner, key) = ("P1".parse().unwrap(), scene.card.key());
    let mine = scene.card.says(&revocation(&[], NOW));
    assert_eq!(check::revocation(&mine, &owner, &key, NOW).unwrap(), revocation(&[], NOW));
    let theirs = scene.authority.card("P1").says(&revocation(&[], NOW));
    let code = |token: &str, owner: &str| {
        let owner = owner.parse().unwrap();
        check::revocation(token, &owner, &key, NOW).unwrap_err().code()
    };
    assert_eq!(code(&theirs, "P1"), "consent-person");
    assert_eq!(code(&mine, "P2"), "consent-person");
    let ahead = scene.card.says(&revocation(&[], NOW + 601));
    assert_eq!(code(&ahead, "P1"), "consent-not-yet");
    let consent = scene.card.says(&scene.consent);
    assert_eq!(code(&consent, "P1"), "consent-malformed");
}

#[test]
fn whoever_is_present_may_find_what_is_his() {
    let mut scene = Scene::new();
    let presence = Presence {
        kind: PresenceKind::Find,
        consent: None,
        object: None,
        ..scene.presence.clone()
    };
    let token = scene.card.says(&presence);
    let asked = Asked { object: None, ..scene.asked.clone() };
    let finder = check::find(&token, &asked, &scene.trust).unwrap();
    assert_eq!((finder.key, finder.session), (scene.card.key(), presence.session));
    let restore = scene.card.says(&scene.presence);
    let code =
        |token: &str, asked: &Asked| check::find(token, asked, &scene.trust).unwrap_err().code();
    assert_eq!(code(&restore, &asked), "presence-mismatch");
    assert_eq!(code(&token, &Asked { nonces: vec![], ..asked.clone() }), "presence-stale");
    let insurer = Asked { requester: "insurer".parse().unwrap(), ..asked.clone() };
    assert_eq!(code(&token, &insurer), "presence-mismatch");
    let stranger = Authority::new("other").card("P1").says(&presence);
    assert_eq!(code(&stranger, &asked), "certificate-chain");
}

fn enrolment() -> Enrolment {
    Enrolment {
        v: VERSION,
        id: StatementId([6; 16]),
        individual: "P1".parse().unwrap(),
        gateway: gateway(),
        at: NOW,
    }
}

fn gateway() -> SiteName {
    "hospital".parse().unwrap()
}

/// A site where P1's card `old` is bound, and `new` is to be.
struct Change {
    old: TestCard,
    new: TestCard,
    registrars: Vec<TestCard>,
    trust: TrustStore,
}

impl Change {
    fn new() -> Self {
        let authority = Authority::new("CA");
        let registrars: Vec<_> = ["R1", "R2"].map(|name| authority.card(name)).into();
        let mut anchors = vec![(Role::CardCa, authority.certificate.clone())];
        let pins = registrars.iter().map(|one| (Role::Registrar, one.chain[0].clone()));
        anchors.extend(pins);
        let trust = TrustStore::of(&anchors, &[]).unwrap();
        Self { old: authority.card("P1"), new: authority.card("P1"), registrars, trust }
    }

    fn rebinding(&self) -> Rebinding {
        Rebinding {
            v: VERSION,
            id: StatementId([8; 16]),
            individual: "P1".parse().unwrap(),
            gateway: gateway(),
            from: self.old.key(),
            to: self.new.key(),
            at: NOW,
            reason: "the card was lost".to_owned(),
        }
    }

    fn judged(&mut self, rebindings: &[String]) -> Result<Rebound, Untrue> {
        let enrolment = self.new.says(&enrolment());
        let rebindings: Vec<&str> = rebindings.iter().map(String::as_str).collect();
        let bound = self.old.key();
        check::rebinding(&enrolment, &rebindings, &gateway(), &bound, NOW, &self.trust)
    }
}

#[test]
fn a_binding_changes_by_the_old_card_or_two_registrars_and_by_nobody_else() {
    let mut change = Change::new();
    let said = change.rebinding();
    let by_old = change.old.says(&said);
    let by = |change: &mut Change, who: usize, said: &Rebinding| change.registrars[who].says(said);
    let (first, other) = (by(&mut change, 0, &said), by(&mut change, 1, &said));
    let later = by(&mut change, 1, &Rebinding { at: NOW - 60, ..said.clone() });
    for enough in
        [vec![by_old.clone()], vec![first.clone(), other.clone()], vec![first.clone(), later]]
    {
        let rebound = change.judged(&enough).unwrap();
        assert_eq!((rebound.key, rebound.signers.len()), (change.new.key(), enough.len()));
    }
    let by_new = change.new.says(&said);
    let mut code = |rebindings: &[String]| change.judged(rebindings).unwrap_err().code();
    // A captured gateway has whatever cards it likes, but neither the old one nor the registrars'.
    assert_eq!(code(&[]), "consent-person");
    assert_eq!(code(std::slice::from_ref(&by_new)), "consent-person");
    assert_eq!(code(std::slice::from_ref(&first)), "consent-person");
    assert_eq!(code(&[first.clone(), first.clone()]), "consent-person");
    assert_eq!(code(&[first.clone(), by_new.clone()]), "certificate-chain");
    assert_eq!(code(&[first.clone(), by_old.clone()]), "certificate-chain");
    assert_eq!(code(&[first, other, by_old]), "consent-person");
}

#[test]
fn a_rebinding_says_just_this_change() {
    type Wrong = fn(&mut Rebinding);
    let wrongs: [(&str, Wrong); 5] = [
        ("presence-mismatch", |said| said.individual = "P2".parse().unwrap()),
        ("consent-requester", |said| said.gateway = "insurer".parse().unwrap()),
        ("presence-mismatch", |said| said.from = KeyFingerprint([1; 32])),
        ("presence-mismatch", |said| said.to = KeyFingerprint([1; 32])),
        ("consent-not-yet", |said| said.at = NOW + 601),
    ];
    for (index, (expected, wrong)) in wrongs.into_iter().enumerate() {
        let mut change = Change::new();
        let right = change.rebinding();
        let mut said = right.clone();
        wrong(&mut said);
        let by_old = change.old.says(&said);
        assert_eq!(change.judged(&[by_old]).unwrap_err().code(), expected, "row {index}");
        let both = [change.registrars[0].says(&said), change.registrars[1].says(&said)];
        assert_eq!(change.judged(&both).unwrap_err().code(), expected, "row {index}");
        // Registrars who say two things say nothing.
        let both = [change.registrars[0].says(&right), change.registrars[1].says(&said)];
        assert!(change.judged(&both).is_err(), "row {index}");
    }
}

#[test]
fn an_enrolment_is_held_from_its_own_gateway_and_by_its_own_key() {
    let mut card = Authority::new("CA").card("P1");
    let token = card.says(&enrolment());
    let (said, key) = check::enrolment(&token, &gateway(), NOW).unwrap();
    assert_eq!((said, key), (enrolment(), card.key()));
    let elsewhere = check::enrolment(&token, &"insurer".parse().unwrap(), NOW);
    assert_eq!(elsewhere.unwrap_err().code(), "consent-requester");
    assert_eq!(
        check::enrolment(&token, &gateway(), NOW - 601).unwrap_err().code(),
        "consent-not-yet"
    );
}

/// Three officers, two of whom must sign.
struct Glass {
    officers: Vec<TestCard>,
    scene: Scene,
    case: BreakGlass,
}

impl Glass {
    fn new() -> Self {
        let mut scene = Scene::new();
        let officers: Vec<_> = ["O1", "O2", "O3"].map(|name| scene.authority.card(name)).into();
        let pins = officers.iter().map(|one| (Role::Officer, one.chain[0].clone()));
        scene.trust = TrustStore::of(&pins.collect::<Vec<_>>(), &[]).unwrap();
        let case = BreakGlass {
            v: VERSION,
            id: StatementId([9; 16]),
            requester: "hospital".parse().unwrap(),
            individual: "P1".parse().unwrap(),
            object: locator(),
            reason: "the person is unconscious".to_owned(),
            expires: NOW + 600,
            nonces: BTreeMap::from([("tokyo".to_owned(), NONCE)]),
            at: NOW,
        };
        Self { officers, scene, case }
    }

    fn signed(&mut self, who: &[usize]) -> Vec<String> {
        who.iter().map(|who| self.officers[*who].says(&self.case)).collect()
    }

    fn code(&self, tokens: &[String], need: Option<usize>) -> &'static str {
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let Scene { held, asked, trust, .. } = &self.scene;
        let judged = check::break_glass(&tokens, need, held, asked, trust);
        judged.map_or_else(|why| why.code(), |_| "released")
    }
}

#[test]
fn the_glass_breaks_by_enough_officers_and_not_otherwise() {
    let mut glass = Glass::new();
    let [one, two, three] = [[0, 1].as_slice(), &[1, 2], &[0, 1, 2]].map(|who| glass.signed(who));
    for enough in [&one, &two, &three] {
        assert_eq!(glass.code(enough, Some(2)), "released");
    }
    assert_eq!(glass.code(&one, None), "break-glass-off");
    assert_eq!(glass.code(&one, Some(0)), "break-glass-off");
    assert_eq!(glass.code(&one, Some(3)), "break-glass-officers");
    assert_eq!(glass.code(&one[..1], Some(2)), "break-glass-officers");
    assert_eq!(glass.code(&[], Some(1)), "break-glass-officers");
    let twice = glass.signed(&[0, 0]);
    assert_eq!(glass.code(&twice, Some(2)), "break-glass-officers");
    let patient = glass.scene.card.says(&glass.case);
    assert_eq!(glass.code(&[one[0].clone(), patient], Some(2)), "certificate-chain");
}

#[test]
fn officers_say_one_thing_and_it_is_what_is_asked() {
    type Wrong = fn(&mut BreakGlass);
    let wrongs: [(&str, Wrong); 6] = [
        ("consent-requester", |case| case.requester = "insurer".parse().unwrap()),
        ("presence-mismatch", |case| case.individual = "P2".parse().unwrap()),
        ("consent-object", |case| case.object.object = ObjectId::from_bytes([6; 16])),
        ("consent-expired", |case| (case.at, case.expires) = (NOW - 10, NOW)),
        ("consent-not-yet", |case| (case.at, case.expires) = (NOW + 601, NOW + 602)),
        ("presence-stale", |case| {
            case.nonces = BTreeMap::from([("tokyo".to_owned(), Nonce([1; 32]))])
        }),
    ];
    for (index, (expected, wrong)) in wrongs.into_iter().enumerate() {
        let mut glass = Glass::new();
        let right = glass.signed(&[0]);
        wrong(&mut glass.case);
        let both = glass.signed(&[0, 1]);
        assert_eq!(glass.code(&both, Some(2)), expected, "row {index}");
        // One says the one and the other the other: that is no case at all.
        let mixed = [right[0].clone(), both[1].clone()];
        assert_eq!(glass.code(&mixed, Some(2)), "presence-mismatch", "row {index}");
    }
    let mut glass = Glass::new();
    glass.scene.held.owner = None;
    let both = glass.signed(&[0, 1]);
    assert_eq!(glass.code(&both, Some(2)), Untrue::Unbound(Unbound::Owner).code());
}

/// Ranges within `0..1 << 20`, ascending and disjoint; they may touch.
fn ranges() -> impl Strategy<Value = Option<Vec<Range<u64>>>> {
    let bounds = proptest::collection::btree_set(0..1u64 << 20, 2..12);
    let some = bounds.prop_map(|bounds| {
        let bounds: Vec<_> = bounds.into_iter().collect();
        bounds.windows(2).step_by(2).map(|pair| pair[0]..pair[1]).collect()
    });
    proptest::option::of(some)
}

fn few() -> ProptestConfig {
    ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few())]

    /// Whatever is consented to and asked for: a byte is released only where both say so, and
    /// there is a refusal exactly where something asked for was not consented to.
    #[test]
    fn no_byte_is_released_that_was_not_consented_to(
        allowed in ranges(),
        wanted in ranges(),
        probes in proptest::collection::vec(0..1u64 << 20, 32),
    ) {
        let mut scene = Scene::new();
        scene.consent.objects[0].ranges.clone_from(&allowed);
        scene.presence.ranges.clone_from(&wanted);
        let within = |ranges: &Option<Vec<Range<u64>>>, at: u64| {
            ranges.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&at)))
        };
        let edges = allowed.iter().chain(&wanted).flatten().flat_map(|range| {
            [range.start.saturating_sub(1), range.start, range.end - 1, range.end]
        });
        let probes: Vec<u64> = probes.into_iter().chain(edges).collect();
        match scene.release() {
            Ok(release) => for at in probes {
                let both = within(&allowed, at) && within(&wanted, at);
                prop_assert_eq!(within(&release.ranges, at), both, "byte {}", at);
            },
            Err(why) => {
                prop_assert_eq!(why, Untrue::Range);
                let wanted = wanted.unwrap();
                let is_outside = wanted.iter().any(|range| {
                    range.clone().any(|at| !within(&allowed, at))
                });
                prop_assert!(is_outside);
            }
        }
    }

    /// Of any time, the permit ends with the consent, within a day, and begins with it.
    #[test]
    fn a_permit_lies_within_its_consent(
        not_before in 0..2_000_000u64,
        lasts in 1..1_000_000u64,
        now in 0..3_000_000u64,
    ) {
        let mut scene = Scene::new();
        // Certificates begin in 2020, so the times count from there.
        let start = 1_600_000_000;
        scene.consent.at = start;
        scene.consent.not_before = start + not_before;
        scene.consent.expires = start + not_before + lasts;
        scene.asked.at_unix_s = start + now;
        let holds = (not_before..not_before + lasts).contains(&now);
        match scene.release() {
            Ok(release) => {
                prop_assert!(holds);
                prop_assert!(release.until_unix_s > scene.asked.at_unix_s);
                prop_assert!(release.until_unix_s <= scene.consent.expires);
                prop_assert!(release.until_unix_s <= scene.asked.at_unix_s + PERMIT_S_MAX);
            }
            Err(why) => {
                prop_assert!(!holds);
                prop_assert!(["consent-expired", "consent-not-yet"].contains(&why.code()));
            }
        }
    }
}
