//! Key that crashes and losses have left in pieces: what the budget promises of it is kept.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod rooms;

use proptest::prelude::*;
use rooms::{Rooms, no_consent, watched};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use warifu_core::{Direction, KeyRange, SiteName};
use warifu_keystore::{Confirmation, Directory, KeyStore, OsEntropy, PoolKind};
use warifu_vault::config::SiteConfig;
use warifu_vault::{
    BackupRequest, Compression, EstimateRequest, Failure, GenerateRequest, KeySourceChoice,
    NewSite, Output, PlacementRequest, PoolRow, RestoreRequest, Source, Target, Vault,
};

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

/// A site's daemon in this process.
struct Daemon {
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A gateway with one site `s` on a link and two rooms, `a` and `b`. Every restore needs `s`: the
/// shares of `a` are thrown away first.
struct Lab {
    root: TempDir,
    daemon: Option<Daemon>,
}

impl Lab {
    /// With `link_bytes` of key in each direction and `random_bytes` random numbers.
    fn new(link_bytes: u64, random_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut lab = Self { root, daemon: None };
        let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
        drop(Vault::init(&lab.dir("s"), name("s"), Some(config), no_consent()).unwrap());
        let address = lab.start();
        let path = lab.dir("s").join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("127.0.0.1:0", &address)).unwrap();
        let gateway = Vault::init(&lab.dir("g"), name("gateway"), None, no_consent()).unwrap();
        let local = |site| format!("file://{}", lab.dir(site).display());
        let sites = [("s", format!("warifu://{address}")), ("a", local("a")), ("b", local("b"))];
        for (site, url) in sites {
            let new = NewSite { name: name(site), url, zone: None, domain: None, channel: None };
            gateway.add_site(&new).unwrap();
        }
        let source = KeySourceChoice::System;
        let random = GenerateRequest { target: Target::Random, bytes: random_bytes, source };
        watched(|watch| gateway.generate(&random, watch)).unwrap();
        gateway.enroll(&"P1".parse().unwrap()).unwrap();
        let drive = lab.dir("drive");
        let target = Target::Link { site: name("s"), drive: drive.clone() };
        let source = KeySourceChoice::System;
        let link = GenerateRequest { target, bytes: link_bytes, source };
        watched(|watch| gateway.generate(&link, watch)).unwrap();
        Vault::open(&lab.dir("s")).unwrap().import(&drive).unwrap();
        lab
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn start(&mut self) -> String {
        let server = Vault::open(&self.dir("s")).unwrap().server().unwrap();
        let address = server.address().to_owned();
        let stop = Box::new(server.stopper());
        let thread = std::thread::spawn(move || server.run().unwrap());
        self.daemon = Some(Daemon { stop, thread: Some(thread) });
        address
    }

    fn gateway(&self) -> Vault {
        Vault::open(&self.dir("g")).unwrap()
    }

    fn keys(&self, party: &str) -> KeyStore {
        let medium = Arc::new(Directory::new(self.dir(party).join("keys")));
        KeyStore::open(medium, Arc::new(OsEntropy)).unwrap()
    }

    /// Burns these positions of the link at both ends, as leases of processes that died.
    fn burn(&mut self, holes: &[(Direction, KeyRange)]) {
        self.daemon = None;
        for (party, sends) in [("g", Direction::AToB), ("s", Direction::BToA)] {
            let keys = self.keys(party);
            let mut pools = keys.pools().unwrap().into_iter();
            let link = pools.find(|pool| matches!(pool.kind, PoolKind::Link(_))).unwrap().pool;
            for &(direction, range) in holes {
                if direction == sends {
                    let unconfirmed = Confirmation::Unconfirmed;
                    drop(keys.accept(link, direction, range, unconfirmed).unwrap());
                } else {
                    keys.grant_between(link, direction, range.len(), range).unwrap();
                }
            }
        }
        self.start();
    }

    fn row(&self, pool: &str) -> PoolRow {
        let rows = self.gateway().key_status().unwrap();
        rows.into_iter().find(|row| row.pool == pool).unwrap()
    }

    /// Why so many bytes are not placed.
    fn refusal(&self, bytes: usize) -> Option<Failure> {
        let request = PlacementRequest {
            inputs: EstimateRequest {
                paths: Vec::new(),
                stream_bytes: Some(bytes as u64),
                compression: Compression::None,
                pad: false,
                is_counted: false,
                threshold: "2/3".parse().unwrap(),
                overrides: Vec::new(),
                pins: Vec::new(),
                exclusions: Vec::new(),
                is_offline: true,
            },
            manifest: None,
            individual: None,
            label: None,
        };
        self.gateway().placement(&request).unwrap().refusal
    }

    fn store(&self, data: &[u8]) -> Result<String, Failure> {
        let path = self.dir("in");
        std::fs::write(&path, data).unwrap();
        let request =
            BackupRequest::new(Source::File(path), "P1".parse().unwrap(), "2/3".parse().unwrap());
        let gateway = self.gateway();
        watched(|watch| gateway.backup(&request, watch)).map(|stored| stored.object)
    }

    fn restore(&self, object: &str) -> Result<Vec<u8>, Failure> {
        let output = self.dir("out");
        let request = RestoreRequest {
            object: object.parse().unwrap(),
            output: Output::Path(output.clone()),
            range: None,
            resume: false,
        };
        let gateway = self.gateway();
        watched(|watch| gateway.restore(&request, watch))?;
        Ok(std::fs::read(output).unwrap())
    }

    /// Stores objects of these lengths, over and over, until none of them is placed any more;
    /// then restores all. What is placed is stored, and what is stored comes back.
    fn fill_and_empty(&self, lengths: &[usize]) -> usize {
        let mut stored = Vec::new();
        let mut refused = 0;
        for (turn, &bytes) in lengths.iter().cycle().enumerate() {
            let data: Vec<u8> = (0..bytes).map(|at| ((at + turn) % 251) as u8).collect();
            let foretold = self.refusal(bytes);
            match self.store(&data) {
                Ok(object) => {
                    refused = 0;
                    stored.push((object, data));
                }
                Err(failure) => {
                    // Asking the sites takes some, so it may turn out just now.
                    let now = foretold.or_else(|| self.refusal(bytes));
                    let told = format!("{bytes} bytes after {}: {failure:?}", stored.len());
                    assert!(now.is_some(), "placed, and not stored: {told}");
                    assert_eq!(failure.code(), now.unwrap().code(), "{told}");
                    let is_begun = failure.to_string().contains("before all was stored");
                    assert!(!is_begun && self.gateway().jobs().unwrap().is_empty(), "{told}");
                    refused += 1;
                }
            }
            if refused == lengths.len() {
                break;
            }
        }
        std::fs::remove_dir_all(self.dir("a")).ok();
        for (number, (object, data)) in stored.iter().enumerate() {
            let restored = self.restore(object);
            let told = |failure| format!("{number} of {}: {failure:?}", stored.len());
            assert!(restored.map_err(told).unwrap() == *data);
        }
        stored.len()
    }
}

/// A hole of 512 bytes after every `piece` bytes, in both directions.
fn holes_every(piece: u64, link_bytes: u64) -> Vec<(Direction, KeyRange)> {
    let end = link_bytes - link_bytes / 16;
    let starts = (1..).map(|number| number * piece).take_while(|start| start + 512 <= end);
    let holes = starts.map(|start| KeyRange::between(start, start + 512));
    let both = |hole| [Direction::AToB, Direction::BToA].map(|direction| (direction, hole));
    holes.flat_map(both).collect()
}

/// Plenty of key, no piece of which carries a chunk, is not what a backup is begun on.
#[test]
fn key_in_pieces_too_short_is_told_and_not_counted() {
    let link_bytes = 4 << 20;
    let mut lab = Lab::new(link_bytes, 16 << 20);
    assert!(lab.row("s/to").bytes_too_short == 0 && lab.refusal(1 << 20).is_none());
    lab.burn(&holes_every(300 << 10, link_bytes));
    for pool in ["s/to", "s/from"] {
        let row = lab.row(pool);
        assert!(row.bytes_left > 3 << 20 && row.bytes_too_short > 3 << 20, "{row:?}");
        assert!((290 << 10..600 << 10).contains(&row.free_bytes()), "{row:?}");
    }
    let before = lab.row("s/to");
    let failure = lab.store(&[7; 1 << 20]).unwrap_err();
    assert_eq!((failure.code(), failure.class().exit_code()), ("key-short", 7), "{failure}");
    assert_eq!(lab.row("s/to").bytes_left, before.bytes_left, "no site was even asked");
    assert!(lab.refusal(1 << 20).is_some() && lab.refusal(100 << 10).is_none());
    let stored = lab.fill_and_empty(&[100 << 10]);
    assert!(stored >= 8, "one piece after the other is used: {stored}");
}

/// What a connection leases and gives back must not become a piece between two hellos.
#[test]
fn connections_do_not_cut_a_pool_into_pieces() {
    let lab = Lab::new(4 << 20, 16 << 20);
    for _ in 0..40 {
        lab.gateway().test_site(&name("s")).unwrap();
    }
    let objects: Vec<String> = (0..4).map(|_| lab.store(&[1; 5000]).unwrap()).collect();
    objects.iter().for_each(|object| assert!(lab.restore(object).unwrap() == [1; 5000]));
    for pool in ["s/to", "s/from"] {
        let row = lab.row(pool);
        assert!(row.bytes_too_short < 200 << 10, "48 connections: {row:?}");
    }
    assert_eq!(lab.fill_and_empty(&[2_500_000]), 1);
}

/// The `random` pool in pieces: what can't be drawn in one is not counted.
#[test]
fn random_numbers_in_pieces_are_counted_as_far_as_they_can_be_drawn() {
    let rooms = Rooms::new(3, 4 << 20);
    let dir = rooms.root.path().join("g");
    let Rooms { root, gateway } = rooms;
    drop(gateway);
    let keys = KeyStore::open(Arc::new(Directory::new(dir.join("keys"))), Arc::new(OsEntropy));
    let keys = keys.unwrap();
    let random = keys.pools().unwrap().remove(0).pool;
    let mut kept = Vec::new();
    while let Ok(piece) = keys.self_lease(random, 300 << 10) {
        kept.push(piece);
        drop(keys.self_lease(random, 512).ok());
    }
    kept.into_iter().for_each(|piece| drop(piece.release().unwrap()));
    drop(keys);
    let rooms = Rooms { root, gateway: Vault::open(&dir).unwrap() };
    let row = rooms.gateway.key_status().unwrap().remove(0);
    assert!(row.bytes_left > 3 << 20 && row.free_bytes() < 400 << 10, "{row:?}");
    let path = rooms.root.path().join("in");
    let store = |bytes: usize| {
        std::fs::write(&path, vec![5; bytes]).unwrap();
        rooms.try_store_file(&path, "2/3")
    };
    let refused = store(1 << 20).unwrap_err();
    assert_eq!((refused.code(), rooms.gateway.jobs().unwrap().len()), ("random-short", 0));
    let mut stored = 0;
    let last = loop {
        match store(100 << 10) {
            Ok(_) => stored += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!((last.code(), rooms.gateway.jobs().unwrap().len()), ("random-short", 0), "{last}");
    assert!(stored >= 20, "one piece after the other is used: {stored}");
}

/// Holes in both directions: where, in thousandths of what is leased, and how long, in bytes.
fn holes() -> impl Strategy<Value = Vec<(bool, u64, u64)>> {
    prop::collection::vec((any::<bool>(), 0_u64..1000, 1_u64..100_000), 0..14)
}

fn of_pool(holes: &[(bool, u64, u64)], link_bytes: u64) -> Vec<(Direction, KeyRange)> {
    let mut taken = Vec::new();
    for &(to_site, at, bytes) in holes {
        let direction = if to_site { Direction::AToB } else { Direction::BToA };
        let start = (link_bytes - link_bytes / 16) * at / 1000;
        let range = KeyRange::between(start, (start + bytes).min(link_bytes - link_bytes / 16));
        let is_free = |(other, held): &(Direction, KeyRange)| {
            *other != direction || held.intersection(&range).is_empty()
        };
        if !range.is_empty() && taken.iter().all(is_free) {
            taken.push((direction, range));
        }
    }
    taken.sort_by_key(|(_, range)| range.start());
    taken
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// BUDGET over any pool: what is placed is stored, and whatever is stored comes back, though
    /// it is stored until nothing more is.
    #[test]
    fn what_is_placed_over_holes_is_stored_and_comes_back(
        link_kib in 256_u64..5000,
        holes in holes(),
        lengths in prop::collection::vec(1_usize..1_500_000, 1..4),
    ) {
        let link_bytes = link_kib << 10;
        let mut lab = Lab::new(link_bytes, 64 << 20);
        lab.burn(&of_pool(&holes, link_bytes));
        lab.fill_and_empty(&lengths);
    }
}
