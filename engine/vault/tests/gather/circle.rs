//! Four sites that hold shares, a fifth that holds none, links among all, and a gateway.

use crate::stall::Stall;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use warifu_consent::card::{Algorithm, FileCard};
use warifu_consent::lab::Lab;
use warifu_consent::trust::Role;
use warifu_core::{LinkId, ObjectId, SiteName, XCoord};
use warifu_keystore::{Directory, Entropy, KeyStore, OsEntropy};
use warifu_link::Status;
use warifu_link::body::{Holder, Work};
use warifu_link::hello::Nonce;
use warifu_pipeline::peer::{Peer, PeerError, PeerSettings, ShareAddress};
use warifu_remote::{TcpTransport, Timeouts};
use warifu_vault::config::{ConsentPolicy, SiteConfig};
use warifu_vault::{
    BackupRequest, GenerateRequest, KeySourceChoice, NewSite, Source, Target, Vault, Watch,
};

pub(crate) const SITES: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];

/// The site that holds none of the shares.
pub(crate) const STRANGER: &str = "s5";

/// End A and end B of every link between sites. The stranger asks the first three, and is connected
/// to by the fourth.
const LINKS: [(&str, &str); 10] = [
    ("s1", "s2"),
    ("s1", "s3"),
    ("s1", "s4"),
    ("s2", "s3"),
    ("s2", "s4"),
    ("s4", "s3"),
    ("s5", "s1"),
    ("s5", "s2"),
    ("s5", "s3"),
    ("s4", "s5"),
];

/// Bytes of the object: a whole chunk of its payload, and a short one.
const DATA_BYTES: usize = (1 << 20) + 20_000;

pub(crate) struct Circle {
    pub(crate) root: TempDir,
    pub(crate) gateway: Vault,
    sites: Vec<Running>,
}

struct Running {
    address: String,
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(vault: Vault) -> Self {
        let server = vault.server().unwrap();
        let address = server.address().to_owned();
        let stop = Box::new(server.stopper());
        let thread = std::thread::spawn(move || {
            let _vault = vault;
            server.run().unwrap();
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Running {
    fn end(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Circle {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = |own: &str| root.path().join(own);
        for own in SITES {
            let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
            let policy = ConsentPolicy::default();
            drop(Vault::init(&dir(own), name(own), Some(config), policy).unwrap());
        }
        let mut sites = Vec::new();
        for own in SITES {
            sites.push(Running::start(Vault::open(&dir(own)).unwrap()));
            pin_address(&dir(own), &sites.last().unwrap().address);
        }
        let gateway = Vault::init(&dir("g"), name("g"), None, ConsentPolicy::default()).unwrap();
        let circle = Self { root, gateway, sites };
        let lab = Lab::open_or_make(&circle.dir("ca")).unwrap();
        for own in SITES {
            let site = circle.site(own);
            site.trust_add(Role::CardCa, &std::fs::read(lab.certificate()).unwrap()).unwrap();
            circle.link(&circle.gateway, own);
        }
        for (a, b) in LINKS {
            // Each is named at both, so that both know that the other is a site.
            circle.link(&circle.site(a), b);
            circle.site(b).add_site(&circle.new_site(a)).unwrap();
        }
        let source = KeySourceChoice::System;
        let random = GenerateRequest { target: Target::Random, bytes: 1 << 20, source };
        watched(|watch| circle.gateway.generate(&random, watch)).unwrap();
        let made = lab.new_card("P1", Algorithm::Es256, 30, &circle.dir("p1")).unwrap();
        let mut card = FileCard::open(&made.key.unwrap(), &made.certificate).unwrap();
        circle.gateway.enroll_with(&"P1".parse().unwrap(), &mut card).unwrap();
        circle
    }

    pub(crate) fn dir(&self, own: &str) -> PathBuf {
        self.root.path().join(own)
    }

    pub(crate) fn site(&self, own: &str) -> Vault {
        Vault::open(&self.dir(own)).unwrap()
    }

    pub(crate) fn new_site(&self, own: &str) -> NewSite {
        let url = format!("warifu://{}", self.address(own));
        NewSite { name: name(own), url, zone: None, domain: None, channel: None }
    }

    fn address(&self, own: &str) -> &str {
        let place = SITES.iter().position(|site| *site == own).unwrap();
        &self.sites[place].address
    }

    /// Names a site at `from`, and brings key for a link to it.
    pub(crate) fn link(&self, from: &Vault, to: &str) {
        from.add_site(&self.new_site(to)).unwrap();
        let drive = self.dir(&format!("drive-{}-{to}", from.name()));
        let request = GenerateRequest {
            target: Target::Link { site: name(to), drive: drive.clone() },
            bytes: 12 << 20,
            source: KeySourceChoice::System,
        };
        watched(|watch| from.generate(&request, watch)).unwrap();
        self.site(to).import(&drive).unwrap();
    }

    /// Ends a site's daemon, with all that was only in its memory, and runs another.
    pub(crate) fn restart(&mut self, own: &str) {
        self.restart_as(own, |vault| vault);
    }

    /// The same, of a vault that `changed` gives back.
    pub(crate) fn restart_as(&mut self, own: &str, changed: impl FnOnce(Vault) -> Vault) {
        let place = SITES.iter().position(|site| *site == own).unwrap();
        drop(self.sites.remove(place));
        self.sites.insert(place, Running::start(changed(self.site(own))));
    }

    /// Ends a site's daemon.
    pub(crate) fn stop(&mut self, own: &str) {
        let place = SITES.iter().position(|site| *site == own).unwrap();
        self.sites[place].end();
    }

    /// From now on the answers of a site to others are held back. At an address of its own it can
    /// be asked as before.
    pub(crate) fn stall(&mut self, own: &str) -> Stall {
        let address = self.address(own).to_owned();
        self.stop(own);
        let path = self.dir(own).join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace(&address, "127.0.0.1:0")).unwrap();
        self.restart(own);
        Stall::at(&address, self.address(own).to_owned())
    }

    /// Stores an object of P1 at the first four sites, any two of which can have it back: the share
    /// at x lies at site `s` x.
    pub(crate) fn store(&self) -> ObjectId {
        let path = self.dir("in");
        let data: Vec<u8> = (0..DATA_BYTES as u64)
            .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
            .collect();
        std::fs::write(&path, data).unwrap();
        let request = BackupRequest {
            exclusions: vec![name(STRANGER)],
            ..BackupRequest::new(Source::File(path), "P1".parse().unwrap(), "2/4".parse().unwrap())
        };
        let stored = watched(|watch| self.gateway.backup(&request, watch)).unwrap();
        stored.object.parse().unwrap()
    }

    /// Where the shares of an object lie, by x.
    pub(crate) fn holders(&self, object: ObjectId) -> Vec<Holder> {
        let shown = self.gateway.object(&object).unwrap();
        let holders = shown.shares.iter().map(|share| Holder {
            x: XCoord::new(share.x).unwrap(),
            site: share.site.parse().unwrap(),
        });
        holders.collect()
    }

    /// The holder at `site`.
    pub(crate) fn holder(&self, object: ObjectId, site: &str) -> Holder {
        let mut holders = self.holders(object).into_iter();
        holders.find(|holder| holder.site.as_str() == site).unwrap()
    }

    /// The file of a share in the store of a site.
    pub(crate) fn file(&self, site: &str, folder: &str, address: ShareAddress) -> PathBuf {
        let file = format!("{}-{:02x}.share", address.object, address.x.get());
        self.dir(site).join("store").join(folder).join(file)
    }

    /// The chunks of a share as they lie in a file of a site: contents, without blind blocks.
    pub(crate) fn chunks(&self, site: &str, folder: &str, address: ShareAddress) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(self.file(site, folder, address)).unwrap();
        let mut at = 4096;
        let mut chunks = Vec::new();
        for length in self.lengths(address.object) {
            chunks.push(bytes[at..at + length].to_vec());
            at += length + 4096;
        }
        chunks
    }

    /// The lengths of an object's chunks.
    pub(crate) fn lengths(&self, object: ObjectId) -> Vec<usize> {
        let shown = self.gateway.object(&object).unwrap();
        let payload = usize::try_from(shown.row.bytes).unwrap();
        let whole = payload / (1 << 20);
        let mut lengths = vec![1 << 20; whole];
        lengths.extend(Some(payload % (1 << 20)).filter(|rest| *rest > 0));
        lengths
    }

    /// A work as a gateway would ask for it: all chunks.
    pub(crate) fn work(&self, object: ObjectId, target: &str, helpers: &[&str]) -> Work {
        let mut id = [0; 16];
        OsEntropy.fill(&mut id).unwrap();
        let mut helpers: Vec<Holder> =
            helpers.iter().map(|site| self.holder(object, site)).collect();
        helpers.sort_unstable();
        Work {
            id,
            first: 0,
            count: u32::try_from(self.lengths(object).len()).unwrap(),
            gateway: name("g"),
            target: name(target),
            helpers,
        }
    }

    /// A connection of a vault to a site, spoken over without its program.
    pub(crate) fn peer(&self, from: &Vault, to: &str) -> Peer {
        let medium = Arc::new(Directory::new(from.dir().join("keys")));
        let keys = KeyStore::open(medium, Arc::new(OsEntropy)).unwrap();
        let pools = keys.pools().unwrap();
        let pool = pools.iter().find(|pool| pool.peer == Some(name(to))).unwrap();
        let link = LinkId::from_bytes(*pool.pool.bytes());
        let step = Duration::from_secs(60);
        let timeouts = Timeouts { connect: step, read: step, write: step };
        let transport = TcpTransport::connect(self.address(to), timeouts).unwrap();
        let mut nonce = [0; 16];
        OsEntropy.fill(&mut nonce).unwrap();
        let settings = PeerSettings {
            first_lease_bytes: 64 << 10,
            lease_bytes: 1 << 20,
            answer_lease_bytes: 1 << 20,
            patience: step,
            first_answer_bytes: 1 << 10,
        };
        let (nonce, isa) = (Nonce::from_bytes(nonce), from.isa());
        Peer::connect(Box::new(transport), Arc::new(keys), link, nonce, isa, settings).unwrap()
    }

    /// A connection of the gateway's to a site.
    pub(crate) fn ask(&self, to: &str) -> Peer {
        self.peer(&self.gateway, to)
    }

    /// What a site's audit log tells of `kind`, once it is seen to be sound.
    pub(crate) fn told(&self, site: &str, kind: &str) -> Vec<serde_json::Value> {
        let register = self.site(site).register().unwrap();
        register.verify_audit().unwrap();
        let lines = register.audit(0, u32::MAX).unwrap();
        let lines = lines.iter().map(|entry| serde_json::from_str(&entry.line).unwrap());
        let of_kind = lines.filter(|line: &serde_json::Value| line["kind"] == kind);
        of_kind.map(|line| line["event"].clone()).collect()
    }
}

/// A daemon that is started again listens where it did.
fn pin_address(dir: &Path, address: &str) {
    let path = dir.join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let pinned = text.replace("127.0.0.1:0", address);
    assert_ne!(text, pinned);
    std::fs::write(path, pinned).unwrap();
}

pub(crate) fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

pub(crate) fn watched<T>(work: impl FnOnce(Watch<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(Watch { progress: &mut |_| (), stop: &stop })
}

/// The code with which a site refused.
#[track_caller]
pub(crate) fn refused<T>(outcome: Result<T, PeerError>) -> String {
    match outcome {
        Err(PeerError::Refused { status: Status::Refused, text }) => {
            text.split(':').next().unwrap().to_owned()
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was done"),
    }
}
