//! One site, two gateways with links of their own to it, a lab's authority and its cards.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use warifu_consent::card::{Algorithm, FileCard};
use warifu_consent::jws;
use warifu_consent::lab::Lab;
use warifu_consent::statement::{
    BreakGlass, Consent, Enrolment, KeyFingerprint, Locator, Nonce, Place, Presence, PresenceKind,
    Rebinding, Revocation, Statement, StatementId, VERSION,
};
use warifu_consent::trust::Role as TrustRole;
use warifu_core::share_file::CapsuleShape;
use warifu_core::{Geometry, IndividualId, LinkId, ObjectId, Role, SiteName, Threshold, XCoord};
use warifu_keystore::{Directory, Entropy, KeyStore, OsEntropy};
use warifu_link::hello::Nonce as HelloNonce;
use warifu_link::{ShareClass, Status};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::peer::{Peer, PeerError, PeerSettings, ShareAddress};
use warifu_pipeline::share::CommitOrder;
use warifu_remote::{TcpTransport, Timeouts};
use warifu_vault::config::{ConsentPolicy, SiteConfig};
use warifu_vault::{GenerateRequest, KeySourceChoice, NewSite, Target, Vault, Watch};

pub(crate) const OURS: usize = 0;
pub(crate) const THEIRS: usize = 1;
pub(crate) const GATEWAYS: [&str; 2] = ["ours", "theirs"];

const MIB: usize = 1 << 20;

/// Payload of every object here: two whole chunks, and a short one with the trailer.
pub(crate) const CHUNKS: [usize; 3] = [MIB, MIB, 4096];

pub(crate) struct Field {
    pub(crate) root: TempDir,
    site: Option<Running>,
    address: String,
    gateways: Vec<Vault>,
}

struct Running {
    stop: Box<dyn Fn() + Send>,
    thread: JoinHandle<()>,
}

impl Drop for Field {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Field {
    /// A site that enforces, and lets two officers break the glass.
    pub(crate) fn new() -> Self {
        Self::with(ConsentPolicy { break_glass: 2, ..ConsentPolicy::default() })
    }

    pub(crate) fn with(policy: ConsentPolicy) -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
        let dir = root.path().join("s");
        drop(Vault::init(&dir, name("s"), Some(config), policy).unwrap());
        let mut field = Self { root, site: None, address: String::new(), gateways: Vec::new() };
        field.start();
        field.gateways = GATEWAYS.iter().map(|own| field.gateway(own)).collect();
        let lab = Lab::open_or_make(&field.root.path().join("ca")).unwrap();
        field.trust(TrustRole::CardCa, lab.certificate());
        // Both gateways have told all that they know.
        for own in [OURS, THEIRS] {
            let mut peer = field.peer(own);
            peer.contact(None, 0).unwrap();
            peer.close().unwrap();
        }
        field
    }

    fn gateway(&self, own: &str) -> Vault {
        let dir = self.root.path().join(own);
        let vault = Vault::init(&dir, name(own), None, ConsentPolicy::default()).unwrap();
        let url = format!("warifu://{}", self.address);
        let site = NewSite { name: name("s"), url, zone: None, domain: None, channel: None };
        vault.add_site(&site).unwrap();
        let drive = self.root.path().join(format!("drive-{own}"));
        let request = GenerateRequest {
            target: Target::Link { site: name("s"), drive: drive.clone() },
            bytes: 48 << 20,
            source: KeySourceChoice::System,
        };
        let stop = AtomicBool::new(false);
        vault.generate(&request, Watch { progress: &mut |_| (), stop: &stop }).unwrap();
        self.site_vault().import(&drive).unwrap();
        vault
    }

    pub(crate) fn site_vault(&self) -> Vault {
        Vault::open(&self.root.path().join("s")).unwrap()
    }

    /// Runs the site's daemon.
    pub(crate) fn start(&mut self) {
        let vault = self.site_vault();
        let server = vault.server().unwrap();
        self.address = server.address().to_owned();
        let stop = Box::new(server.stopper());
        let thread = std::thread::spawn(move || {
            let _vault = vault;
            server.run().unwrap();
        });
        self.site = Some(Running { stop, thread });
    }

    pub(crate) fn stop(&mut self) {
        if let Some(site) = self.site.take() {
            (site.stop)();
            site.thread.join().unwrap();
        }
    }

    /// Ends the daemon, with all that was only in its memory, and runs another.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn trust(&self, role: TrustRole, certificate: &Path) {
        let pem = std::fs::read(certificate).unwrap();
        self.site_vault().trust_add(role, &pem).unwrap();
    }

    /// A new card, certified by the lab's authority that the site trusts.
    pub(crate) fn card(&self, subject: &str) -> Person {
        self.card_of("ca", subject)
    }

    /// A new card, certified by the authority in that folder.
    pub(crate) fn card_of(&self, folder: &str, subject: &str) -> Person {
        let lab = Lab::open_or_make(&self.root.path().join(folder)).unwrap();
        let out = self.root.path().join(format!("{folder}-{subject}"));
        let made = lab.new_card(subject, Algorithm::Es256, 30, &out).unwrap();
        let card = FileCard::open(&made.key.unwrap(), &made.certificate).unwrap();
        let mut person =
            Person { card, key: KeyFingerprint([0; 32]), certificate: made.certificate };
        let token = person.sign(&enrolment(OURS, "X"));
        person.key = jws::possesses::<Enrolment>(&token).unwrap().key;
        person
    }

    /// A connection of a gateway to the site.
    pub(crate) fn peer(&self, own: usize) -> Peer {
        let vault = &self.gateways[own];
        let keys = keys_of(vault);
        let timeouts = Timeouts {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
        };
        let transport = TcpTransport::connect(&self.address, timeouts).unwrap();
        let mut nonce = [0; 16];
        OsEntropy.fill(&mut nonce).unwrap();
        let settings = PeerSettings {
            first_lease_bytes: 64 << 10,
            lease_bytes: 2 << 20,
            answer_lease_bytes: 2 << 20,
            first_answer_bytes: 1 << 10,
            patience: Duration::from_secs(60),
        };
        let (nonce, link) = (HelloNonce::from_bytes(nonce), link_of(&keys));
        Peer::connect(Box::new(transport), Arc::new(keys), link, nonce, vault.isa(), settings)
            .unwrap()
    }

    pub(crate) fn link(&self, own: usize) -> LinkId {
        link_of(&keys_of(&self.gateways[own]))
    }

    /// Has the site hold the person's card for `individual` of a gateway.
    pub(crate) fn enrol(&self, own: usize, individual: &str, person: &mut Person) {
        let token = person.sign(&enrolment(own, individual));
        let mut peer = self.peer(own);
        peer.bind(&[&token]).unwrap();
        peer.close().unwrap();
    }

    /// Stores a share of a new object of `individual`.
    pub(crate) fn store(&self, own: usize, individual: &str) -> ShareAddress {
        let address = new_address();
        let mut peer = self.peer(own);
        peer.own(address.object, &named(individual), &[]).unwrap();
        store(&mut peer, address);
        peer.close().unwrap();
        address
    }

    /// Events of the site's audit log, once it is seen to be sound.
    pub(crate) fn events(&self) -> Vec<Event> {
        let register = self.site_vault().register().unwrap();
        register.verify_audit().unwrap();
        let entries = register.audit(0, u32::MAX).unwrap();
        entries.iter().map(|entry| Event::read(&entry.line)).collect()
    }

    pub(crate) fn shares(&self) -> Vec<PathBuf> {
        let folder = self.root.path().join("s/store/shares");
        let files = std::fs::read_dir(folder).into_iter().flatten();
        files.map(|file| file.unwrap().path()).collect()
    }
}

/// An entry of an audit log.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) told: serde_json::Value,
}

impl Event {
    fn read(line: &str) -> Self {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        Self { kind: line["kind"].as_str().unwrap().to_owned(), told: line["event"].clone() }
    }

    pub(crate) fn of<'a>(&'a self, name: &str) -> &'a str {
        self.told[name].as_str().unwrap_or_default()
    }
}

/// A person, or an officer or registrar, with a card.
pub(crate) struct Person {
    card: FileCard,
    pub(crate) key: KeyFingerprint,
    pub(crate) certificate: PathBuf,
}

impl Person {
    pub(crate) fn sign<S: Statement>(&mut self, statement: &S) -> String {
        jws::sign(statement, &mut self.card).unwrap()
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn id() -> StatementId {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes).unwrap();
    StatementId(bytes)
}

pub(crate) fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

pub(crate) fn named(text: &str) -> IndividualId {
    text.parse().unwrap()
}

pub(crate) fn enrolment(own: usize, individual: &str) -> Enrolment {
    let (individual, gateway) = (named(individual), name(GATEWAYS[own]));
    Enrolment { v: VERSION, id: id(), individual, gateway, at: now() }
}

pub(crate) fn rebinding(
    own: usize,
    individual: &str,
    from: KeyFingerprint,
    to: KeyFingerprint,
) -> Rebinding {
    Rebinding {
        v: VERSION,
        id: id(),
        individual: named(individual),
        gateway: name(GATEWAYS[own]),
        from,
        to,
        at: now(),
        reason: "the card was renewed".to_owned(),
    }
}

pub(crate) fn locator(address: ShareAddress) -> Locator {
    Locator {
        object: address.object,
        k: 2,
        n: 3,
        payload_bytes: CHUNKS.iter().sum::<usize>() as u64,
        ranges: None,
        shares: vec![Place { site: name("s"), x: address.x }],
    }
}

/// A consent of P1 for a gateway, for an hour.
pub(crate) fn consent(own: usize, address: ShareAddress) -> Consent {
    Consent {
        v: VERSION,
        id: id(),
        individual: named("P1"),
        requester: name(GATEWAYS[own]),
        purpose: "diagnosis".to_owned(),
        at: now() - 1,
        not_before: now() - 1,
        expires: now() + 3600,
        single_use: false,
        objects: vec![locator(address)],
    }
}

/// A presence for a consent, answering `nonce`.
pub(crate) fn presence(consent: &Consent, nonce: [u8; 32]) -> Presence {
    Presence {
        v: VERSION,
        kind: PresenceKind::Restore,
        consent: Some(consent.id),
        requester: consent.requester.clone(),
        session: id(),
        object: Some(consent.objects[0].object),
        ranges: None,
        nonces: nonces(nonce),
        at: now(),
    }
}

pub(crate) fn nonces(nonce: [u8; 32]) -> BTreeMap<String, Nonce> {
    BTreeMap::from([("s".to_owned(), Nonce(nonce))])
}

pub(crate) fn revocation(individual: &str, consents: &[StatementId]) -> Revocation {
    let (individual, consents) = (named(individual), consents.to_vec());
    Revocation { v: VERSION, id: id(), individual, consents, at: now() }
}

pub(crate) fn break_glass(own: usize, address: ShareAddress, nonce: [u8; 32]) -> BreakGlass {
    BreakGlass {
        v: VERSION,
        id: id(),
        requester: name(GATEWAYS[own]),
        individual: named("P1"),
        object: locator(address),
        reason: "unconscious after an accident".to_owned(),
        expires: now() + 3600,
        nonces: nonces(nonce),
        at: now(),
    }
}

pub(crate) fn one_range(range: Range<u64>) -> Option<Vec<Range<u64>>> {
    Some(Vec::from([range]))
}

/// Shows consent and presence as a gateway would.
pub(crate) fn present(
    peer: &mut Peer,
    person: &mut Person,
    consent: &Consent,
) -> Result<Duration, PeerError> {
    let object = consent.objects[0].object;
    let nonce = peer.challenge(Some(object)).unwrap();
    let presence = presence(consent, nonce);
    let tokens = [person.sign(consent), person.sign(&presence)];
    peer.present(Some(object), &[&tokens[0], &tokens[1]])
}

pub(crate) fn chunk(index: u64) -> Slot {
    Slot { class: ShareClass::Data, index }
}

/// Asks for a chunk; how many bytes of it came.
pub(crate) fn read(peer: &mut Peer, address: ShareAddress, index: u64) -> Result<usize, PeerError> {
    let bytes = CHUNKS[usize::try_from(index).unwrap()];
    peer.read(address, chunk(index), bytes)?;
    Ok(peer.receive()?.body().len())
}

/// The code with which the site refused for want of consent.
#[track_caller]
pub(crate) fn refused<T>(outcome: Result<T, PeerError>) -> String {
    match outcome {
        Err(PeerError::Refused { status: Status::Consent, text }) => {
            text.split(':').next().unwrap().to_owned()
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

/// The status with which the site declined.
#[track_caller]
pub(crate) fn declined<T>(outcome: Result<T, PeerError>) -> Status {
    match outcome {
        Err(PeerError::Refused { status, .. }) => status,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

pub(crate) fn new_address() -> ShareAddress {
    static NUMBER: AtomicU8 = AtomicU8::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let (StatementId(mut object), x) = (id(), XCoord::new(1).unwrap());
    object[0] = number;
    ShareAddress { object: ObjectId::from_bytes(object), x }
}

pub(crate) fn threshold() -> Threshold {
    "2/3".parse().unwrap()
}

/// Stores a share that is wholly of the link's key.
pub(crate) fn store(peer: &mut Peer, address: ShareAddress) {
    write(peer, address);
    complete(peer, address).unwrap();
}

/// Begins such a share and writes all of it.
pub(crate) fn write(peer: &mut Peer, address: ShareAddress) {
    peer.begin(address, threshold(), Role::Pad).unwrap();
    for (index, bytes) in CHUNKS.into_iter().enumerate() {
        peer.keep(address, chunk(index as u64), 0, bytes).unwrap();
        peer.receive().unwrap();
    }
    let (_, capsule) = shape();
    let bytes = usize::try_from(capsule.capsule_bytes(threshold())).unwrap();
    peer.keep(address, Slot { class: ShareClass::Capsule, index: 0 }, 0, bytes).unwrap();
    peer.receive().unwrap();
}

/// Asks that a share be completed as [`write`] writes it.
pub(crate) fn complete(peer: &mut Peer, address: ShareAddress) -> Result<(), PeerError> {
    let (attempts, (geometry, capsule)) = (BTreeMap::new(), shape());
    let order =
        CommitOrder { geometry, masks: 0, capsule, capsule_generation: 0, attempts: &attempts };
    peer.commit(address, &order)
}

fn shape() -> (Geometry, CapsuleShape) {
    let geometry = Geometry::new(CHUNKS.iter().sum::<usize>() as u64).unwrap();
    (geometry, CapsuleShape::new(1040, &geometry, 0).unwrap())
}

fn keys_of(vault: &Vault) -> KeyStore {
    let medium = Arc::new(Directory::new(vault.dir().join("keys")));
    KeyStore::open(medium, Arc::new(OsEntropy)).unwrap()
}

fn link_of(keys: &KeyStore) -> LinkId {
    let pools = keys.pools().unwrap();
    let link = pools.iter().find(|pool| pool.peer == Some(name("s"))).unwrap();
    LinkId::from_bytes(*link.pool.bytes())
}
