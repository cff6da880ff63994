//! Two gateways on the same sites: what one of them can do to the other's shares over its own
//! links, speaking to the sites directly. The answer is to be: nothing.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use warifu_core::share_file::CapsuleShape;
use warifu_core::{Geometry, LinkId, ObjectId, PoolId, Role, SiteName, Threshold, XCoord};
use warifu_keystore::{Directory, Entropy, KeyStore, OsEntropy, PoolKind};
use warifu_link::hello::Nonce;
use warifu_link::{ShareClass, Status};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::peer::{Peer, PeerError, PeerSettings, ShareAddress};
use warifu_pipeline::share::CommitOrder;
use warifu_remote::{TcpTransport, Timeouts};
use warifu_vault::config::{ConsentPolicy, SiteConfig};
use warifu_vault::{
    BackupRequest, GenerateRequest, KeySourceChoice, NewSite, ObjectReport, Output, RestoreRequest,
    Source, Target, Vault, Watch,
};

const SITES: usize = 3;

struct RunningSite {
    address: String,
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for RunningSite {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Sites, and two gateways with the same individual and links of their own to each site.
struct Field {
    root: TempDir,
    sites: Vec<RunningSite>,
    ours: Vault,
    theirs: Vault,
}

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn watched<T>(work: impl FnOnce(Watch<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(Watch { progress: &mut |_| (), stop: &stop })
}

fn start(dir: &Path, site: &str) -> RunningSite {
    let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
    let vault = Vault::init(dir, name(site), Some(config), no_consent()).unwrap();
    let server = vault.server().unwrap();
    let (address, stop) = (server.address().to_owned(), Box::new(server.stopper()));
    let thread = std::thread::spawn(move || {
        let _vault = vault;
        server.run().unwrap();
    });
    RunningSite { address, stop, thread: Some(thread) }
}

impl Field {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = |site: usize| root.path().join(format!("s{site}"));
        let sites: Vec<_> = (0..SITES).map(|at| start(&dir(at), &format!("s{at}"))).collect();
        let gateway = |own: &str| {
            let vault = Vault::init(&root.path().join(own), name(own), None, no_consent()).unwrap();
            for (at, site) in sites.iter().enumerate() {
                let (site_name, url) =
                    (name(&format!("s{at}")), format!("warifu://{}", site.address));
                let zone = Some(site_name.clone());
                let new = NewSite {
                    name: site_name.clone(),
                    url,
                    zone: zone.clone(),
                    domain: zone,
                    channel: None,
                };
                vault.add_site(&new).unwrap();
                let drive = root.path().join(format!("drive-{own}-{at}"));
                generate(&vault, Target::Link { site: site_name, drive: drive.clone() }, 16 << 20);
                Vault::open(&dir(at)).unwrap().import(&drive).unwrap();
            }
            generate(&vault, Target::Random, 1 << 20);
            vault.enroll(&"P1".parse().unwrap()).unwrap();
            vault
        };
        let (ours, theirs) = (gateway("ours"), gateway("theirs"));
        Self { root, sites, ours, theirs }
    }

    fn store(&self, vault: &Vault, data: &[u8]) -> ObjectReport {
        let path = self.root.path().join("in");
        std::fs::write(&path, data).unwrap();
        let request = BackupRequest::new(Source::File(path), "P1".parse().unwrap(), scheme());
        watched(|watch| vault.backup(&request, watch)).unwrap()
    }

    fn expect_back(&self, vault: &Vault, object: &str, expected: &[u8]) {
        let output = self.root.path().join("out");
        let object = object.parse().unwrap();
        let request = RestoreRequest {
            object,
            output: Output::Path(output.clone()),
            range: None,
            resume: false,
        };
        let report = watched(|watch| vault.restore(&request, watch)).unwrap();
        assert!(report.rejected.is_empty());
        assert!(std::fs::read(output).unwrap() == expected);
    }

    /// A connection of a gateway to a site, without its vault in between.
    fn peer(&self, vault: &Vault, site: usize) -> Peer {
        let keys = keys_of(vault);
        let link = link_to(&keys, &format!("s{site}"));
        let timeouts = Timeouts {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            write: Duration::from_secs(60),
        };
        let transport = TcpTransport::connect(&self.sites[site].address, timeouts).unwrap();
        let mut nonce = [0; 16];
        OsEntropy.fill(&mut nonce).unwrap();
        let settings = PeerSettings {
            first_lease_bytes: 256 << 10,
            first_answer_bytes: 1 << 10,
            lease_bytes: 1 << 20,
            answer_lease_bytes: 256 << 10,
            patience: Duration::from_secs(60),
        };
        let nonce = Nonce::from_bytes(nonce);
        Peer::connect(Box::new(transport), Arc::new(keys), link, nonce, vault.isa(), settings)
            .unwrap()
    }

    fn shares(&self, site: usize) -> Vec<PathBuf> {
        let folder = self.root.path().join(format!("s{site}/store/shares"));
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn generate(vault: &Vault, target: Target, bytes: u64) {
    let request = GenerateRequest { target, bytes, source: KeySourceChoice::System };
    watched(|watch| vault.generate(&request, watch)).unwrap();
}

fn scheme() -> Threshold {
    "2/3".parse().unwrap()
}

fn keys_of(vault: &Vault) -> KeyStore {
    let medium = Arc::new(Directory::new(vault.dir().join("keys")));
    KeyStore::open(medium, Arc::new(OsEntropy)).unwrap()
}

fn link_to(keys: &KeyStore, site: &str) -> LinkId {
    let pools = keys.pools().unwrap();
    let link = pools.iter().find(|pool| pool.peer == Some(name(site))).unwrap();
    LinkId::from_bytes(*link.pool.bytes())
}

/// The status with which a site declined.
#[track_caller]
fn declined<T>(outcome: Result<T, PeerError>) -> Status {
    match outcome {
        Err(PeerError::Refused { status, .. }) => status,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

fn addresses_at(report: &ObjectReport, site: usize) -> ShareAddress {
    let share = report.shares.iter().find(|share| share.site == format!("s{site}")).unwrap();
    let x = XCoord::new(share.x).unwrap();
    ShareAddress { object: report.object.parse().unwrap(), x }
}

fn data(seed: u8) -> Vec<u8> {
    (0..50_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

const FIRST: Slot = Slot { class: ShareClass::Data, index: 0 };

fn order(attempts: &BTreeMap<Slot, u32>) -> CommitOrder<'_> {
    let geometry = Geometry::new(4096).unwrap();
    let capsule = CapsuleShape::new(1040, &geometry, 0).unwrap();
    CommitOrder { geometry, masks: 0, capsule, capsule_generation: 0, attempts }
}

#[test]
fn a_stored_share_is_not_there_for_another_gateway() {
    let field = Field::new();
    let (ours, theirs) = (data(1), data(2));
    let our_report = field.store(&field.ours, &ours);
    let their_report = field.store(&field.theirs, &theirs);
    let files: Vec<_> = (0..SITES).map(|site| field.shares(site)).collect();
    for (site, files) in files.iter().enumerate() {
        let address = addresses_at(&our_report, site);
        let mut peer = field.peer(&field.theirs, site);
        let listed = peer.stat(ObjectId::from_bytes([0; 16])).unwrap();
        let objects: Vec<_> = listed.iter().map(|stat| stat.object.to_string()).collect();
        assert_eq!(objects, [their_report.object.as_str()], "its own and no other");
        assert!(peer.stat(address.object).unwrap().is_empty());
        peer.read(address, FIRST, 4096).unwrap();
        assert_eq!(declined(peer.receive()), Status::NoSuchShare);
        assert_eq!(declined(peer.read_capsule(address, 0, &mut [0; 64])), Status::NoSuchShare);
        let attempts = BTreeMap::new();
        assert_eq!(declined(peer.commit(address, &order(&attempts))), Status::NoSuchShare);
        peer.keep(address, FIRST, 0, 4096).unwrap();
        assert_eq!(declined(peer.receive()), Status::NoSuchShare);
        // The same ID does not open a share of its own beside it, nor over it.
        assert_eq!(declined(peer.begin(address, scheme(), Role::Pad)), Status::ExistsAlready);
        // Nothing of its own has that name: there is nothing to throw away, and nothing goes.
        let _nothing = peer.discard(address);
        peer.close().unwrap();
        assert_eq!(&field.shares(site), files);
    }
    field.expect_back(&field.ours, &our_report.object, &ours);
    field.expect_back(&field.theirs, &their_report.object, &theirs);
}

#[test]
fn an_unfinished_share_is_not_there_for_another_gateway() {
    let field = Field::new();
    let address =
        ShareAddress { object: ObjectId::from_bytes([9; 16]), x: XCoord::new(1).unwrap() };
    let mut own = field.peer(&field.ours, 0);
    own.begin(address, scheme(), Role::Pad).unwrap();
    own.keep(address, FIRST, 0, 4096).unwrap();
    own.receive().unwrap();
    let mut other = field.peer(&field.theirs, 0);
    let taken = declined(other.begin(address, scheme(), Role::Pad));
    assert!([Status::Refused, Status::Io].contains(&taken), "{taken:?}");
    other.keep(address, FIRST, 0, 4096).unwrap();
    assert_eq!(declined(other.receive()), Status::NoSuchShare);
    let attempts = BTreeMap::new();
    assert_eq!(declined(other.commit(address, &order(&attempts))), Status::NoSuchShare);
    let kept = declined(other.discard(address));
    assert!([Status::Refused, Status::Io].contains(&kept), "{kept:?}");
    assert!(other.stat(address.object).unwrap().is_empty());
    // Its owner goes on where it was, over this connection and the next.
    own.keep(address, Slot { index: 1, ..FIRST }, 0, 4096).unwrap();
    own.receive().unwrap();
    own.close().unwrap();
    let mut again = field.peer(&field.ours, 0);
    assert!(again.begin(address, scheme(), Role::Pad).unwrap().run_count() >= 1);
    again.discard(address).unwrap();
    again.close().unwrap();
    // Now the name is free, for anybody.
    other.begin(address, scheme(), Role::Pad).unwrap();
    other.discard(address).unwrap();
    other.close().unwrap();
}

/// A slot that is wholly of the link's key, at a site.
fn keep(peer: &mut Peer, address: ShareAddress, slot: Slot, attempt: u32, bytes: usize) {
    peer.keep(address, slot, attempt, bytes).unwrap();
    peer.receive().unwrap();
}

#[test]
fn what_comes_late_over_a_superseded_connection_completes_nothing() {
    let field = Field::new();
    let address =
        ShareAddress { object: ObjectId::from_bytes([5; 16]), x: XCoord::new(1).unwrap() };
    let attempts = BTreeMap::new();
    let first = order(&attempts);
    let piece = Slot { class: ShareClass::Capsule, index: 0 };
    let bytes = first.capsule.capsule_bytes(scheme()) as usize;
    let mut old = field.peer(&field.ours, 0);
    old.begin(address, scheme(), Role::Pad).unwrap();
    keep(&mut old, address, FIRST, 0, 4096);
    keep(&mut old, address, piece, 0, bytes);
    // Another process goes on with it. The first one was stopped, and its last words come late.
    let mut new = field.peer(&field.ours, 0);
    assert_eq!(new.begin(address, scheme(), Role::Pad).unwrap().attempt(piece), Some(0));
    assert_eq!(declined(old.commit(address, &first)), Status::Refused);
    old.keep(address, piece, 7, bytes).unwrap();
    assert_eq!(declined(old.receive()), Status::Refused);
    assert_eq!(declined(old.discard(address)), Status::Refused);
    assert!(field.shares(0).is_empty());
    // Nor does a capsule of another generation than was meant.
    let second = CommitOrder { capsule_generation: 1, ..order(&attempts) };
    assert_eq!(declined(new.commit(address, &second)), Status::BadRequest);
    keep(&mut new, address, piece, 1 << 16, bytes);
    assert_eq!(declined(new.commit(address, &first)), Status::BadRequest);
    assert!(field.shares(0).is_empty());
    // What was refused is as it was.
    new.commit(address, &second).unwrap();
    new.commit(address, &second).unwrap();
    assert_eq!(field.shares(0).len(), 1);
    assert_eq!(declined(old.commit(address, &second)), Status::Refused, "it was not that one's");
    // What is complete stays, unless just that is asked for.
    assert!(!new.discard(address).unwrap());
    assert_eq!(field.shares(0).len(), 1);
    new.discard_completed(address).unwrap();
    assert!(field.shares(0).is_empty() && new.discard(address).unwrap());
    old.close().unwrap();
    new.close().unwrap();
}

#[test]
fn one_gateway_takes_neither_places_nor_random_numbers_from_another() {
    let field = Field::new();
    let mut other = field.peer(&field.theirs, 0);
    let address = |number: u16| {
        let mut object = [7; 16];
        object[..2].copy_from_slice(&number.to_le_bytes());
        ShareAddress { object: ObjectId::from_bytes(object), x: XCoord::new(1).unwrap() }
    };
    let begun =
        (0..1000).take_while(|&number| match other.begin(address(number), scheme(), Role::Pad) {
            Ok(_) => true,
            outcome => {
                assert_eq!(declined(outcome), Status::Limit);
                false
            }
        });
    let begun = begun.count();
    assert!((1..1000).contains(&begun), "{begun} unfinished shares of one link");
    // That limit is its own affair.
    let ours = data(3);
    let report = field.store(&field.ours, &ours);
    field.expect_back(&field.ours, &report.object, &ours);
    // The site that witnesses our random pool grants none of it to the other.
    let refused = (0..SITES).filter(|&site| {
        let mut other = field.peer(&field.theirs, site);
        let granted = other.witness(random_pool(&field.ours), 4096, 0, 1 << 20);
        granted.is_err_and(|error| matches!(error, PeerError::Refused { .. }))
    });
    assert!(refused.count() >= 1, "our witness knows whose pool it is");
    let again = field.store(&field.ours, &ours);
    field.expect_back(&field.ours, &again.object, &ours);
}

fn random_pool(vault: &Vault) -> PoolId {
    let pools = keys_of(vault).pools().unwrap();
    pools.iter().find(|pool| pool.kind == PoolKind::Random).unwrap().pool
}

/// These tests are of something else than consent.
fn no_consent() -> ConsentPolicy {
    ConsentPolicy::not_enforced("a test of something else")
}
