//! The key store itself: all of a link's key, taken as the end that seals, and as the one that
//! opens.

use crate::cost::{Round, Step};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use warifu_core::{Direction, End, KeyClass, KeyRange, PoolId};
use warifu_keystore::medium::{Medium, Opening};
use warifu_keystore::{Confirmation, KeySource, KeyStore, Lease, OsEntropy, PoolKind};

/// Key of a frame that carries a chunk of 1 MiB.
pub(crate) const FRAME_BYTES: usize = (1 << 20) + 192;

/// What is leased at once, as a gateway does it where nothing is said.
const LEASE_BYTES: u64 = 32 << 20;

/// Where the key begins in a segment.
const HEADER_BYTES: u64 = 4096;

const POOL: PoolId = PoolId::from_bytes([7; 16]);

/// Key that can be told again: no 64 bytes of it are zeros.
pub(crate) fn fill(target: &mut [u8], at: u64) {
    for (number, word) in (at..).step_by(8).zip(target.chunks_mut(8)) {
        let bytes = (number | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

struct Counted(u64);

impl KeySource for Counted {
    fn fill(&mut self, target: &mut [u8]) -> io::Result<()> {
        fill(target, self.0);
        self.0 += target.len() as u64;
        Ok(())
    }

    fn class(&self) -> KeyClass {
        KeyClass::Computational
    }

    fn name(&self) -> &'static str {
        "bench"
    }
}

pub(crate) fn measure(
    bytes: u64,
    medium: &Arc<dyn Medium>,
    round: &mut Round,
) -> Result<(), Box<dyn Error>> {
    let opened = || KeyStore::open(medium.clone(), Arc::new(OsEntropy));
    let store = KeyStore::create(medium.clone(), Arc::new(OsEntropy))?;
    store.create_pool(POOL, PoolKind::Link(End::A), None)?;
    for direction in [Direction::AToB, Direction::BToA] {
        store.generate_segment(POOL, direction, bytes, &mut Counted(0), &mut |_| ())?;
    }
    drop(store);
    // A store is closed when all that was used of it is gone.
    let store = opened()?;
    round.time(Step::Seal, || seal(&store, bytes).map(|()| drop(store)))?;
    let store = opened()?;
    round.time(Step::Open, || open(&store, bytes).map(|()| drop(store)))?;
    expect_destroyed(bytes, &**medium)?;
    let directions = opened()?.pool_status(POOL)?.directions;
    match directions.len() == 2 && directions.iter().all(|one| one.bytes_consumed == bytes) {
        true => Ok(()),
        false => Err("the ledger does not say that all of the key was taken and destroyed".into()),
    }
}

/// Nothing of the key is left in the segments.
fn expect_destroyed(bytes: u64, medium: &dyn Medium) -> Result<(), Box<dyn Error>> {
    let folder = Path::new("pools").join(POOL.to_string());
    let (mut page, mut segments) = (vec![0; 1 << 20], 0);
    for name in medium.list(&folder)?.iter().filter(|name| name.ends_with(".segment")) {
        let file = medium.open(&folder.join(name), Opening::Existing)?;
        for at in (0..bytes).step_by(page.len()) {
            file.read_at(HEADER_BYTES + at, &mut page)?;
            if page.iter().any(|byte| *byte != 0) {
                return Err("used key still stands in a segment".into());
            }
        }
        segments += 1;
    }
    if segments == 2 { Ok(()) } else { Err("a segment is gone".into()) }
}

/// Takes `bytes` by leases of the gateway's size, one after another.
fn seal(store: &KeyStore, bytes: u64) -> Result<(), Box<dyn Error>> {
    for start in (0..bytes).step_by(LEASE_BYTES as usize) {
        let range = KeyRange::between(start, bytes.min(start + LEASE_BYTES));
        let confirmation = Confirmation::Authenticated;
        let mut lease = store.accept(POOL, Direction::AToB, range, confirmation)?;
        while let Some(wanted) = next(&lease) {
            let (range, key) = lease.take(wanted)?.into_parts();
            check(range, &key)?;
        }
    }
    Ok(())
}

fn next(lease: &Lease) -> Option<u64> {
    Some(lease.left().min(FRAME_BYTES as u64)).filter(|&wanted| wanted > 0)
}

/// Grants and opens `bytes` in one session, as a site that stores does.
fn open(store: &KeyStore, bytes: u64) -> Result<(), Box<dyn Error>> {
    let grant = || store.grant(POOL, Direction::BToA, LEASE_BYTES, 0);
    let mut range = grant()?;
    let mut granted = store.granted(POOL, Direction::BToA, range)?;
    loop {
        while !range.is_empty() {
            let (frame, rest) = range.split_at(range.len().min(FRAME_BYTES as u64));
            let (frame, key) = granted.open(frame)?.into_parts();
            check(frame, &key)?;
            range = rest;
        }
        if range.end() == bytes {
            return Ok(());
        }
        range = grant()?;
        granted.extend(range)?;
    }
}

/// That key is what was put in, by its first whole word: looking at all of it would take longer
/// than what is measured.
fn check(range: KeyRange, key: &[u8]) -> Result<(), String> {
    let skipped = (8 - range.start() % 8) % 8;
    let mut expected = [0; 8];
    fill(&mut expected, range.start() + skipped);
    let from = usize::try_from(skipped).unwrap_or(0);
    match key.get(from..from + 8) {
        Some(found) if found != expected => Err(format!("{range} reads otherwise than it was put")),
        _ => Ok(()),
    }
}
