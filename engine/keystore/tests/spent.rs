//! What becomes of used key: gone from where it stood when it is read, durably soon after, whoever
//! dies in between, and never handed out again.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use warifu_core::{Direction, KeyRange, PoolId, RangeSet};
use warifu_keystore::simulated::{Machine, Process, Survives};
use warifu_keystore::{Directory, Generator, KeyError, KeyStore, Lease, OsEntropy, PoolKind};

const VAULT: &str = "WARIFU_TEST_SPENT_VAULT";
const AB: Direction = Direction::AToB;
const HEADER: usize = 4096;
const MIB: u64 = 1 << 20;

fn pool() -> PoolId {
    PoolId::from_bytes([7; 16])
}

/// A simulated machine with a random pool of 10,000 bytes.
fn machine() -> Machine {
    let machine = Machine::new();
    let store = KeyStore::create(machine.process(), Arc::new(OsEntropy)).unwrap();
    store.create_pool(pool(), PoolKind::Random, None).unwrap();
    let mut source = Generator::new(Arc::new(OsEntropy));
    store.generate_segment(pool(), AB, 10_000, &mut source, &mut |_| ()).unwrap();
    machine
}

fn open(machine: &Machine) -> (Arc<Process>, KeyStore) {
    let process = machine.process();
    (process.clone(), KeyStore::open(process, Arc::new(OsEntropy)).unwrap())
}

/// The key of the pool on a simulated machine.
fn key_of(machine: &Machine) -> Vec<u8> {
    let folder = PathBuf::from(format!("pools/{}", pool()));
    let is_segment = |path: &PathBuf| {
        path.parent() == Some(&folder) && path.extension().is_some_and(|end| end == "segment")
    };
    let path = machine.names().into_iter().find(is_segment).unwrap();
    machine.content(&path).unwrap()[HEADER..].to_vec()
}

fn part(key: &[u8], range: KeyRange) -> &[u8] {
    &key[range.start() as usize..range.end() as usize]
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Takes from `lease`, compares it with what was there before, and says where it stood.
fn take(lease: &mut Lease, bytes: u64, before: &[u8]) -> KeyRange {
    let (range, key) = lease.take(bytes).unwrap().into_parts();
    assert_eq!(part(before, range), &key[..]);
    range
}

#[test]
fn key_is_overwritten_as_it_is_read_and_what_a_crash_brings_back_is_never_handed_out() {
    for survives in [Survives::Synced, Survives::Prefix(1), Survives::Torn(0, 70), Survives::All] {
        let machine = machine();
        let before = key_of(&machine);
        let (_process, store) = open(&machine);
        let mut lease = store.self_lease(pool(), 5_000).unwrap();
        let used = [300, 77].map(|bytes| take(&mut lease, bytes, &before));
        let now = key_of(&machine);
        assert!(used.iter().all(|range| is_zero(part(&now, *range))), "before the lease ends");
        let rest = KeyRange::between(used[1].end(), before.len() as u64);
        assert_eq!(part(&now, rest), part(&before, rest), "and nothing else");
        machine.crash(survives);
        if survives == Survives::Synced {
            assert_eq!(key_of(&machine), before, "the medium had not been told to keep it");
        }
        drop(lease);
        let store = open(&machine).1;
        let leased = KeyRange::between(0, 5_000);
        assert!(is_zero(part(&key_of(&machine), leased)), "{survives:?}");
        let next = store.self_lease(pool(), 1_000).unwrap();
        assert!(next.left_ranges().iter().all(|range| range.start() >= 5_000), "{survives:?}");
        assert!(store.audit().unwrap().is_clean());
    }
}

#[test]
fn key_that_could_not_be_overwritten_when_it_was_read_is_when_the_lease_ends() {
    let machine = machine();
    let before = key_of(&machine);
    let (process, store) = open(&machine);
    let mut lease = store.self_lease(pool(), 5_000).unwrap();
    process.fail_after(0);
    let first = take(&mut lease, 300, &before);
    assert_eq!(part(&key_of(&machine), first), part(&before, first), "the medium fails");
    process.fail_after(u64::MAX);
    let second = take(&mut lease, 300, &before);
    assert!(!lease.release().unwrap().is_empty());
    let now = key_of(&machine);
    assert!(is_zero(part(&now, first)) && is_zero(part(&now, second)));
    let status = store.pool_status(pool()).unwrap();
    assert_eq!(status.direction(AB).unwrap().bytes_consumed, 600);
}

#[test]
fn a_claim_outlives_its_lease_and_one_that_is_never_read_is_used_up() {
    let machine = machine();
    let before = key_of(&machine);
    let (_process, store) = open(&machine);
    let mut lease = store.self_lease(pool(), 5_000).unwrap();
    let (read, unread) = (lease.claim(200).unwrap(), lease.claim(300).unwrap());
    let taken = take(&mut lease, 100, &before);
    let (first, second) = (read.range(), unread.range());
    assert!(first.intersection(&second).is_empty() && second.intersection(&taken).is_empty());
    assert!(matches!(lease.claim(4_401), Err(KeyError::LeaseEmpty { .. })));
    let rest = lease.release().unwrap();
    assert!(rest.iter().all(|free| free.start() >= taken.end()), "no claim is given back");
    let (range, key) =
        std::thread::spawn(move || read.read().unwrap().into_parts()).join().unwrap();
    assert_eq!((range, &key[..]), (first, part(&before, first)));
    drop(unread);
    assert!(is_zero(part(&key_of(&machine), KeyRange::between(0, 600))));
    let status = store.pool_status(pool()).unwrap();
    let status = status.direction(AB).unwrap();
    assert_eq!((status.bytes_consumed, status.bytes_leased), (600, 0));
    let again = store.self_lease(pool(), 5_000).unwrap();
    assert!(again.left_ranges().iter().all(|range| range.start() >= 600));
}

fn on_disk(path: &Path) -> KeyStore {
    KeyStore::open(Arc::new(Directory::new(path)), Arc::new(OsEntropy)).unwrap()
}

fn created_on_disk(path: &Path, bytes: u64) {
    let store = KeyStore::create(Arc::new(Directory::new(path)), Arc::new(OsEntropy)).unwrap();
    store.create_pool(pool(), PoolKind::Random, None).unwrap();
    let mut source = Generator::new(Arc::new(OsEntropy));
    // Two segments: pads cross from one to the other.
    for bytes in [bytes / 3, bytes - bytes / 3] {
        store.generate_segment(pool(), AB, bytes, &mut source, &mut |_| ()).unwrap();
    }
}

/// The segments' files, by where they begin.
fn segments(vault: &Path) -> Vec<(u64, File)> {
    let folder = vault.join("pools").join(pool().to_string());
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .map(|path| {
            let file = File::open(path).unwrap();
            let mut base = [0; 8];
            file.read_exact_at(&mut base, 48).unwrap();
            (u64::from_le_bytes(base), file)
        })
        .collect();
    found.sort_by_key(|(base, _)| *base);
    found
}

fn on_medium(vault: &Path) -> Vec<u8> {
    let mut key = Vec::new();
    for (base, mut file) in segments(vault) {
        assert_eq!(base, key.len() as u64);
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        key.extend_from_slice(&content[HEADER..]);
    }
    key
}

#[test]
fn threads_share_a_lease_on_a_disk_and_all_is_destroyed_when_the_store_is_closed() {
    const BYTES: u64 = 90 * MIB;
    let folder = tempfile::tempdir().unwrap();
    created_on_disk(folder.path(), BYTES);
    let before = on_medium(folder.path());
    let store = on_disk(folder.path());
    let lease = Mutex::new(store.self_lease(pool(), BYTES).unwrap());
    let work = || {
        let mut used = Vec::new();
        loop {
            let claim = {
                let mut lease = lease.lock().unwrap();
                match lease.left() {
                    0 => return used,
                    left => lease.claim(left.min(MIB + 192)).unwrap(),
                }
            };
            let (range, key) = claim.read().unwrap().into_parts();
            assert!(part(&before, range) == &key[..], "{range} is another's");
            used.push(range);
        }
    };
    let used = std::thread::scope(|scope| {
        let others = [(); 3].map(|()| scope.spawn(work));
        let mut used = work();
        others.into_iter().for_each(|other| used.extend(other.join().unwrap()));
        used
    });
    let mut all = RangeSet::new();
    for range in used {
        assert!(!all.intersects(&range), "ONCE: {range} handed out twice");
        all.insert(range);
    }
    assert_eq!(all.len(), BYTES);
    drop(lease);
    store.settle();
    assert!(is_zero(&on_medium(folder.path())), "settled: nothing is left on the medium");
    let status = store.pool_status(pool()).unwrap();
    assert_eq!(status.direction(AB).unwrap().bytes_consumed, BYTES, "nor counted as leased");
    drop(store);
    let store = on_disk(folder.path());
    assert!(store.audit().unwrap().is_clean());
    let status = store.pool_status(pool()).unwrap();
    let status = status.direction(AB).unwrap();
    assert_eq!((status.bytes_consumed, status.bytes_burned), (BYTES, 0), "and it was said so");
}

/// Not a test of its own: what the killed processes do, with batches under way beside them.
#[test]
fn spender() {
    let Some(vault) = std::env::var_os(VAULT) else { return };
    let store = on_disk(Path::new(&vault));
    while let Ok(mut lease) = store.self_lease(pool(), 36 * MIB) {
        while let Ok(pad) = lease.take(MIB / 2) {
            println!("used {} {}", pad.range().start(), pad.range().end());
        }
    }
}

/// Where the key was that a process has used, which is killed when it has told of `wanted` pads.
fn used_until_killed(vault: &Path, wanted: usize) -> RangeSet {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spender", "--nocapture", "--test-threads=1"])
        .env(VAULT, vault)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap());
    let (mut used, mut pads) = (RangeSet::new(), 0);
    for line in told.lines().map(Result::unwrap) {
        let Some((_, range)) = line.split_once("used ") else { continue };
        let Some((start, end)) = range.split_once(' ') else { continue };
        let range = KeyRange::between(start.parse().unwrap(), end.parse().unwrap());
        assert!(!used.intersects(&range), "ONCE: {range} used twice");
        used.insert(range);
        pads += 1;
        if pads == wanted {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(pads >= wanted, "the process did something");
    used
}

#[test]
fn key_used_by_a_killed_process_is_destroyed_at_the_next_opening_and_not_used_again() {
    // With no batch full yet, with one on its way, and with several.
    for wanted in [3, 65, 140] {
        let folder = tempfile::tempdir().unwrap();
        created_on_disk(folder.path(), 110 * MIB);
        let used = used_until_killed(folder.path(), wanted);
        let store = on_disk(folder.path());
        assert!(store.audit().unwrap().is_clean());
        let status = store.pool_status(pool()).unwrap();
        let status = *status.direction(AB).unwrap();
        assert_eq!(status.bytes_leased, 0, "leases of the killed are burned");
        assert!(status.bytes_consumed + status.bytes_burned >= used.len());
        let now = on_medium(folder.path());
        for range in used.iter() {
            assert!(is_zero(part(&now, range)), "{range} still stands on the medium");
        }
        let rest = store.self_lease(pool(), status.bytes_left).unwrap();
        assert!(rest.left_ranges().iter().all(|range| !used.intersects(&range)));
    }
}
