//! A gateway that was taken over: all that it holds, in the hands of a program that asks for
//! nothing and checks nothing, against three sites.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use warifu_consent::card::FileCard;
use warifu_consent::jws;
use warifu_consent::statement::{
    Consent, Enrolment, KeyFingerprint, Nonce, Presence, PresenceKind, Rebinding, Statement,
    StatementId, VERSION,
};
use warifu_core::{LinkId, ObjectId, XCoord};
use warifu_kernels::Isa;
use warifu_keystore::{Directory, Entropy, KeyStore, OsEntropy};
use warifu_link::hello::Nonce as HelloNonce;
use warifu_link::{ShareClass, Status};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::peer::{Peer, PeerError, PeerSettings, ShareAddress};
use warifu_remote::{TcpTransport, Timeouts};

const MIB: usize = 1 << 20;

/// Whole chunks of the object; the last one, with the trailer, comes after them.
const WHOLE_CHUNKS: u64 = 2;

/// The program in the place of the gateway.
struct Thief<'a> {
    persons: &'a Persons,
    keys: Arc<KeyStore>,
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsEntropy.fill(&mut bytes).unwrap();
    bytes
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl<'a> Thief<'a> {
    /// Takes the key store of a gateway's vault.
    fn new(persons: &'a Persons, vault: &Path) -> Self {
        let medium = Arc::new(Directory::new(vault.join("keys")));
        let keys = KeyStore::open(medium, Arc::new(OsEntropy)).unwrap();
        Self { persons, keys: Arc::new(keys) }
    }

    fn peer(&self, site: usize) -> Peer {
        let timeouts = Timeouts {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
        };
        let address = self.persons.lab.url(site).replace("warifu://", "");
        let transport = TcpTransport::connect(&address, timeouts).unwrap();
        let name = Some(self.persons.lab.sites[site].name.parse().unwrap());
        let pools = self.keys.pools().unwrap();
        let link = pools.iter().find(|pool| pool.peer == name).unwrap();
        let link = LinkId::from_bytes(*link.pool.bytes());
        let settings = PeerSettings {
            first_lease_bytes: 64 << 10,
            lease_bytes: 2 << 20,
            answer_lease_bytes: 2 << 20,
            first_answer_bytes: 1 << 10,
            patience: Duration::from_secs(60),
        };
        let (nonce, isa) = (HelloNonce::from_bytes(bytes()), Isa::best());
        Peer::connect(Box::new(transport), self.keys.clone(), link, nonce, isa, settings).unwrap()
    }

    fn peers(&self) -> Vec<Peer> {
        (0..self.persons.lab.sites.len()).map(|site| self.peer(site)).collect()
    }

    /// Where each site has its share of an object, as the stolen catalog tells.
    fn addresses(&self, object: &str) -> Vec<ShareAddress> {
        let shown = self.persons.lab.ask(&["show", object]);
        let shares = shown["shares"].as_array().unwrap();
        let of = |site: &warifu_e2e::Site| {
            let share = shares.iter().find(|share| share["site"] == site.name.as_str()).unwrap();
            let x = u8::try_from(share["x"].as_u64().unwrap()).unwrap();
            ShareAddress { object: object.parse().unwrap(), x: XCoord::new(x).unwrap() }
        };
        self.persons.lab.sites.iter().map(of).collect()
    }

    fn card(&self, person: &str) -> FileCard {
        let path = |end| self.persons.lab.path(&format!("{person}.{end}"));
        FileCard::open(&path("key"), &path("crt")).unwrap()
    }

    fn signed<S: Statement>(&self, person: &str, statement: &S) -> String {
        jws::sign(statement, &mut self.card(person)).unwrap()
    }

    fn key(&self, person: &str) -> KeyFingerprint {
        jws::possesses::<Enrolment>(&self.enrolment(person)).unwrap().key
    }

    /// The word of that card that it is P1's.
    fn enrolment(&self, person: &str) -> String {
        let (id, gateway) = (StatementId(bytes()), "gateway".parse().unwrap());
        let individual = "P1".parse().unwrap();
        self.signed(person, &Enrolment { v: VERSION, id, individual, gateway, at: now() })
    }
}

fn read(peer: &mut Peer, at: ShareAddress, slot: Slot) -> Result<usize, PeerError> {
    peer.read(at, slot, MIB)?;
    Ok(peer.receive()?.body().len())
}

fn chunk(index: u64) -> Slot {
    Slot { class: ShareClass::Data, index }
}

/// The code with which a site refused for want of consent.
#[track_caller]
fn code_of<T>(outcome: Result<T, PeerError>) -> String {
    match outcome {
        Err(PeerError::Refused { status: Status::Consent, text }) => {
            text.split(':').next().unwrap().to_owned()
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

fn presence(
    consent: &Consent,
    object: ObjectId,
    range: Option<Range<u64>>,
    nonces: BTreeMap<String, Nonce>,
) -> Presence {
    Presence {
        v: VERSION,
        kind: PresenceKind::Restore,
        consent: Some(consent.id),
        requester: consent.requester.clone(),
        session: StatementId(bytes()),
        object: Some(object),
        ranges: range.map(|range| Vec::from([range])),
        nonces,
        at: now(),
    }
}

/// No site gives any chunk, audit masks included.
#[track_caller]
fn nothing_of(peers: &mut [Peer], addresses: &[ShareAddress], code: &str) {
    for (peer, at) in peers.iter_mut().zip(addresses) {
        for index in 0..=WHOLE_CHUNKS {
            assert_eq!(code_of(read(peer, *at, chunk(index))), code);
        }
        let mask = Slot { class: ShareClass::Mask, index: 0 };
        assert_eq!(code_of(read(peer, *at, mask)), code);
    }
}

/// A consent of the thief's own making for all of `addresses[0].object`, by `person`'s card.
fn forged(thief: &Thief<'_>, good: &str, person: &str, individual: &str) -> (Consent, String) {
    let mut consent = jws::read::<Consent>(good).unwrap().statement;
    consent.id = StatementId(bytes());
    consent.individual = individual.parse().unwrap();
    consent.requester = "gateway".parse().unwrap();
    consent.objects[0].ranges = None;
    let token = thief.signed(person, &consent);
    (consent, token)
}

#[test]
fn a_gateway_that_was_taken_over_gets_no_share_from_any_site() {
    let persons = Persons::new(SHAPE);
    persons.new_card("thief", &[]);
    let object = persons.lab.store(&persons.lab.file("a.bam", &sample(7, 2_500_000)), "2/3");
    let second = persons.lab.store(&persons.lab.file("b.bam", &sample(8, 2_300_000)), "2/3");
    let third = persons.lab.store(&persons.lab.file("c.bam", &sample(9, 2_100_000)), "2/3");
    let part = persons.grant(("P1", &object), "gateway", "part.jws", &["--range", "0-1000000"]);
    let part = std::fs::read_to_string(part).unwrap().trim().to_owned();
    let thief = Thief::new(&persons, &persons.lab.gateway);
    let (first, second) = (thief.addresses(&object), thief.addresses(&second));
    let (object, mut peers) = (first[0].object, thief.peers());
    // With nothing but the gateway's keys.
    nothing_of(&mut peers, &first, "consent-missing");
    // With a card of the same authority, and with the help of another person.
    for (person, individual) in [("thief", "P1"), ("thief", "P2"), ("P2", "P1"), ("P2", "P2")] {
        let (consent, token) = forged(&thief, &part, person, individual);
        for (site, peer) in peers.iter_mut().enumerate() {
            let nonce = Nonce(peer.challenge(Some(object)).unwrap());
            let nonces = BTreeMap::from([(format!("s{site}"), nonce)]);
            let here = thief.signed(person, &presence(&consent, object, None, nonces));
            assert_eq!(code_of(peer.present(Some(object), &[&token, &here])), "consent-person");
        }
    }
    another_card_or_owner(&thief, &mut peers, object);
    nothing_of(&mut peers, &first, "consent-missing");
    one_presence(&thief, &mut peers, (&first, &second), &part);
    peers.into_iter().for_each(|peer| peer.close().unwrap());
    // The gateway's own program, told not to ask anybody.
    change_settings(&persons.lab.gateway, "enforce = true", "enforce = false");
    drop(thief);
    refused(persons.lab.restore(&third), "consent-missing");
    sites_tell(&persons, &third);
    let _used_once = persons.lab.expect_key_used_once();
}

/// Neither the card nor the owner changes by the gateway's word.
fn another_card_or_owner(thief: &Thief<'_>, peers: &mut [Peer], object: ObjectId) {
    let change = Rebinding {
        v: VERSION,
        id: StatementId(bytes()),
        individual: "P1".parse().unwrap(),
        gateway: "gateway".parse().unwrap(),
        from: thief.key("P1"),
        to: thief.key("thief"),
        at: now(),
        reason: "lost".to_owned(),
    };
    let enrolment = thief.enrolment("thief");
    let changes = [thief.signed("thief", &change), thief.signed("P2", &change)];
    for peer in peers {
        assert_eq!(code_of(peer.bind(&[&enrolment])), "consent-person");
        assert_eq!(code_of(peer.bind(&[&enrolment, &changes[0]])), "consent-person");
        // No registrar is pinned anywhere.
        assert_eq!(code_of(peer.bind(&[&enrolment, &changes[0], &changes[1]])), "trust-none");
        assert_eq!(code_of(peer.own(object, &"P2".parse().unwrap(), &[])), "consent-person");
    }
}

/// The person comes once, for a part, and two sites are asked: that opens the part there, and
/// nothing else anywhere.
fn one_presence(
    thief: &Thief<'_>,
    peers: &mut [Peer],
    (first, second): (&[ShareAddress], &[ShareAddress]),
    token: &str,
) {
    let object = first[0].object;
    let consent = jws::read::<Consent>(token).unwrap().statement;
    let mut drawn = |site: usize| Nonce(peers[site].challenge(Some(object)).unwrap());
    let nonces = BTreeMap::from([0, 1].map(|site| (format!("s{site}"), drawn(site))));
    let here = thief.signed("P1", &presence(&consent, object, None, nonces));
    for (site, peer) in peers.iter_mut().enumerate() {
        let shown = peer.present(Some(object), &[token, &here]);
        match site {
            0 | 1 => {
                let _permit = shown.unwrap();
                assert_eq!(read(peer, first[site], chunk(0)).unwrap(), MIB + 16, "agreed to");
                assert_eq!(code_of(read(peer, first[site], chunk(1))), "consent-range");
            }
            _ => assert_eq!(code_of(shown), "presence-stale"),
        }
        let again = peer.present(Some(object), &[token, &here]);
        assert_eq!(code_of(again), "presence-stale", "replayed");
    }
    nothing_of(&mut peers[2..], &first[2..], "consent-missing");
    // The permit for one object opens no other.
    nothing_of(peers, second, "consent-missing");
    // What one site drew, shown at another, under either's name; and a wider part than agreed to.
    for named in ["s0", "s2"] {
        let nonces =
            BTreeMap::from([(named.to_owned(), Nonce(peers[0].challenge(Some(object)).unwrap()))]);
        let relayed = thief.signed("P1", &presence(&consent, object, None, nonces));
        let shown = peers[2].present(Some(object), &[token, &relayed]);
        assert_eq!(code_of(shown), "presence-stale");
    }
    for (site, peer) in peers.iter_mut().enumerate() {
        let nonces =
            BTreeMap::from([(format!("s{site}"), Nonce(peer.challenge(Some(object)).unwrap()))]);
        let wider = Some(0..2 * MIB as u64);
        let wider = thief.signed("P1", &presence(&consent, object, wider, nonces));
        assert_eq!(code_of(peer.present(Some(object), &[token, &wider])), "consent-range");
    }
}

/// Each site's log tells all of it, and of one release for the part that the person agreed to.
fn sites_tell(persons: &Persons, asked_last: &str) {
    for (site, expected) in persons.lab.sites.iter().zip([1, 1, 0]) {
        let log = log_of(&site.vault);
        assert_eq!(log.iter().filter(|line| releases(line)).count(), expected, "{}", site.name);
        let refused = log.iter().filter(|line| line["event"]["result"] == "refused");
        let codes: BTreeSet<&str> =
            refused.map(|line| line["event"]["code"].as_str().unwrap()).collect();
        let of_all = ["consent-missing", "consent-person", "consent-range", "presence-stale"];
        assert!(of_all.iter().all(|code| codes.contains(code)), "{}: {codes:?}", site.name);
        // The gateway's own program came to this site with nothing, and was sent away.
        let of_last = log.iter().filter(|line| line["event"]["object"] == asked_last);
        let of_last = of_last.filter(|line| line["event"]["code"] == "consent-missing");
        assert_eq!(of_last.count(), 1, "{}: {log:?}", site.name);
    }
}
