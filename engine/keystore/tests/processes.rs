//! Real processes, real locks, real kills, on the real file system.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use warifu_core::{Direction, End, KeyRange, PoolId, RangeSet};
use warifu_keystore::{
    Confirmation, Directory, Generator, KeyError, KeyStore, OsEntropy, PoolKind,
};

const VAULT: &str = "WARIFU_TEST_VAULT";
const AB: Direction = Direction::AToB;

fn pool() -> PoolId {
    PoolId::from_bytes([7; 16])
}

fn open(path: &Path) -> KeyStore {
    KeyStore::open(Arc::new(Directory::new(path)), Arc::new(OsEntropy)).unwrap()
}

fn create(path: &Path, kind: PoolKind, bytes: u64) -> KeyStore {
    let store = KeyStore::create(Arc::new(Directory::new(path)), Arc::new(OsEntropy)).unwrap();
    store.create_pool(pool(), kind, None).unwrap();
    let mut source = Generator::new(Arc::new(OsEntropy));
    store.generate_segment(pool(), AB, bytes, &mut source, &mut |_| ()).unwrap();
    store
}

/// Not a test of its own: what the killed processes do.
#[test]
fn child() {
    let Some(vault) = std::env::var_os(VAULT) else { return };
    let store = open(Path::new(&vault));
    loop {
        let mut lease = match store.self_lease(pool(), 4000) {
            Err(KeyError::Empty { .. }) => return,
            lease => lease.unwrap(),
        };
        for _ in 0..3 {
            let Ok(pad) = lease.take(1000) else { break };
            println!("used {} {}", pad.range().start(), pad.range().end());
        }
        lease.release().unwrap();
    }
}

fn spawn(vault: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(VAULT, vault)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_processes_that_share_a_vault_never_use_a_position_twice() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path(), PoolKind::Random, 2_000_000));
    let mut used = RangeSet::new();
    let mut lines = 0;
    for round in 0..12u64 {
        let mut children = [(); 3].map(|()| spawn(folder.path()));
        std::thread::sleep(Duration::from_millis(20 + 13 * (round % 5)));
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in &mut children {
            let mut text = String::new();
            child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
            child.wait().unwrap();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            for line in whole.lines().filter_map(|line| line.split_once("used ")) {
                let (start, end) = line.1.split_once(' ').unwrap();
                let range = KeyRange::between(start.parse().unwrap(), end.parse().unwrap());
                assert!(!used.intersects(&range), "ONCE: {range} used twice");
                used.insert(range);
                lines += 1;
            }
        }
    }
    assert!(lines > 50, "the processes did something: {lines} pads");
    let store = open(folder.path());
    assert!(store.audit().unwrap().is_clean());
    let status = store.pool_status(pool()).unwrap();
    let status = status.direction(AB).unwrap();
    assert!(status.bytes_consumed + status.bytes_burned >= used.len());
    assert_eq!(status.bytes_leased, 0, "leases of the killed are burned");
    assert_eq!(std::fs::read_dir(folder.path().join("live")).unwrap().count(), 1);
}

#[test]
fn threads_and_openings_of_one_vault_grant_disjoint_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let first = create(folder.path(), PoolKind::Link(End::B), 100_000);
    let second = open(folder.path());
    let mut used = RangeSet::new();
    let granted: Vec<KeyRange> = std::thread::scope(|scope| {
        let workers: Vec<_> = [&first, &first, &second, &second]
            .into_iter()
            .map(|store| {
                scope.spawn(move || {
                    let grants = (0..25).map(|at| store.grant(pool(), AB, 100 + at, 0).unwrap());
                    grants.collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    for range in granted {
        assert!(!used.intersects(&range));
        used.insert(range);
    }
    assert_eq!(used.len(), 4 * (0..25).map(|at| 100 + at).sum::<u64>());
}

#[test]
fn two_openings_race_for_one_grant_and_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let first = create(folder.path(), PoolKind::Link(End::A), 100_000);
    let second = open(folder.path());
    for at in 0..50u64 {
        let range = KeyRange::new(at * 1000, 1000).unwrap();
        let accept = |store: &KeyStore| {
            let lease = store.accept(pool(), AB, range, Confirmation::Authenticated);
            usize::from(lease.map(std::mem::forget).is_ok())
        };
        let wins: usize = std::thread::scope(|scope| {
            let other = scope.spawn(|| accept(&second));
            accept(&first) + other.join().unwrap()
        });
        assert_eq!(wins, 1, "{range}");
    }
}

#[test]
fn files_are_private_and_a_closed_store_leaves_no_live_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path(), PoolKind::Random, 10));
    assert_eq!(std::fs::read_dir(folder.path().join("live")).unwrap().count(), 0);
    let pool = folder.path().join("pools").join(pool().to_string());
    assert_eq!(std::fs::metadata(&pool).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(pool).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = KeyStore::create(Arc::new(Directory::new(folder.path())), Arc::new(OsEntropy));
    assert!(matches!(again, Err(KeyError::StoreExists)));
    let elsewhere = Arc::new(Directory::new(folder.path().join("nothing")));
    assert!(matches!(KeyStore::open(elsewhere, Arc::new(OsEntropy)), Err(KeyError::NoStore)));
}
