//! The key store: leasing, reading, erasing and zeroising key, as a backup does it.

use crate::clock::timed;
use crate::pace::{Duel, rate};
use crate::plain::made_up;
use crate::report::{Clock, Figure, Taken};
use crate::scratch::{Scratch, is_memory};
use crate::{BenchError, Limit, Pace, Spread};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_core::{Direction, PoolId};
use warifu_keystore::{Directory, Generator, KeyStore, OsEntropy, PoolKind};

/// What of the key store is measured.
#[derive(Clone, Debug)]
pub struct KeysSettings {
    /// Key of each round, in bytes: 2 MiB to 16 GiB.
    pub bytes: u64,
    /// Where the key store is; in memory where no folder is given.
    pub folder: Option<PathBuf>,
}

/// Bytes of key that one message takes: a chunk, and room for headers.
const PAD_BYTES: u64 = (1 << 20) + 4096;

const BYTES: std::ops::RangeInclusive<u64> = (2 << 20)..=(16 << 30);

/// The steps of a round, in their order.
const STEPS: [&str; 4] = ["lease", "take", "zeroise", "erase"];

/// What is divided by.
const COPY: &str = "memcpy of as many bytes, from memory";
const SET: &str = "memset of a pad in cache, as often";

/// Measures each step and the whole: `lease` (durable), `take` (reads and overwrites; what was used
/// is made durable in batches, beside it), `zeroise` (the pad in memory), `erase` (gives the lease
/// back and closes the store, which ends when all that was used is durably destroyed and recorded).
///
/// # Errors
/// Where the key store fails, or the ledger does not tell of just what was used.
pub fn keys(settings: &KeysSettings, pace: Pace<'_>) -> Result<Taken, BenchError> {
    pace.check()?;
    if !BYTES.contains(&settings.bytes) {
        let (least, most) = (*BYTES.start(), *BYTES.end());
        return Err(BenchError::Setting { what: "the key of a round, in bytes,", least, most });
    }
    let pads = settings.bytes.div_ceil(PAD_BYTES);
    let bytes = pads * PAD_BYTES;
    let scratch = Scratch::at(settings.folder.as_deref(), 2 * bytes + (64 << 20))?;
    let folder = scratch.path("keys");
    let pool = pool(&folder)?;
    // Touched, so that no time goes into giving the process its memory.
    let (source, mut target) = (made_up(bytes as usize, 3), vec![1; bytes as usize]);
    let clock = match is_memory(&scratch.path("")) {
        true => Clock::Process,
        false => Clock::Wall,
    };
    let mut whole = Duel::default();
    let mut steps = STEPS.map(|_| Duel::default());
    for round in 0..pace.rounds {
        pace.go_on()?;
        let store = opened(&folder)?;
        let mut generator = Generator::new(Arc::new(OsEntropy));
        store.generate_segment(pool, Direction::AToB, bytes, &mut generator, &mut |_| ())?;
        let mut plain = [0.0; 2];
        let mut took = [0.0; 4];
        let context = &mut (&mut target, &mut plain, &mut took);
        let own = |(_, _, took): &mut (&mut Vec<u8>, &mut [f64; 2], &mut [f64; 4])| {
            **took = used(store, pool, pads, clock)?;
            Ok::<_, BenchError>(rate(bytes, took.iter().sum()))
        };
        whole.round(round, context, own, |(target, plain, _)| {
            **plain = moved(&source, target, clock);
            Ok(rate(bytes, plain[0]))
        })?;
        for (at, duel) in steps.iter_mut().enumerate() {
            duel.own.push(rate(bytes, took[at]));
            duel.other.push(rate(bytes, plain[usize::from(STEPS[at] == "zeroise")]));
        }
        check(&folder, pool, bytes * (round as u64 + 1))?;
    }
    let mut taken = Taken::default();
    let sets = &steps[2].other;
    for (name, at, of, rates) in [
        ("memcpy", "dram", "bytes copied", &whole.other),
        ("memset", "cache", "bytes written", sets),
    ] {
        let (bench, limit) = ("keys".to_owned(), name.to_owned());
        let (at, of) = (at.to_owned(), of.to_owned());
        taken.limits.push(Limit { bench, limit, at, of, g_per_s: Spread::of(rates).in_giga() });
    }
    let figures = STEPS.iter().zip(&steps).chain([(&"whole", &whole)]);
    let at = if clock == Clock::Process { "memory" } else { "folder" };
    taken.figures.extend(figures.map(|(name, duel)| Figure {
        bench: "keys".to_owned(),
        figure: (*name).to_owned(),
        at: at.to_owned(),
        isa: String::new(),
        of: "bytes of key".to_owned(),
        bytes,
        rounds: pace.rounds,
        clock,
        gb_per_s: duel.rate().in_giga(),
        divided_by: if *name == "zeroise" { SET } else { COPY }.to_owned(),
        ratio: duel.ratio(),
        roof: None,
        latency: None,
        processor_s_per_gb: None,
        copied_bytes: None,
    }));
    Ok(taken)
}

/// A pool of random numbers in a new key store, empty yet.
fn pool(folder: &Path) -> Result<PoolId, BenchError> {
    std::fs::create_dir(folder).map_err(BenchError::io("make a folder for the bench"))?;
    let store = KeyStore::create(Arc::new(Directory::new(folder)), Arc::new(OsEntropy))?;
    let pool = store.draw_pool_id()?;
    store.create_pool(pool, PoolKind::Random, None)?;
    Ok(pool)
}

fn opened(folder: &Path) -> Result<KeyStore, BenchError> {
    Ok(KeyStore::open(Arc::new(Directory::new(folder)), Arc::new(OsEntropy))?)
}

/// Uses so many pads and closes the store, and tells the seconds of each step.
fn used(store: KeyStore, pool: PoolId, pads: u64, clock: Clock) -> Result<[f64; 4], BenchError> {
    let (lease, took) = timed(|| store.self_lease(pool, pads * PAD_BYTES));
    let mut lease = lease?;
    let mut steps = [took.by(clock), 0.0, 0.0, 0.0];
    for _ in 0..pads {
        let (pad, took) = timed(|| lease.take(PAD_BYTES));
        let (_, key) = pad?.into_parts();
        steps[1] += took.by(clock);
        black_box(&key[..]);
        steps[2] += timed(|| drop(key)).1.by(clock);
    }
    // A store is closed when the last batch of what was used of it is gone.
    let (rest, took) = timed(|| lease.release().inspect(|_| drop(store)));
    steps[3] = took.by(clock);
    match rest?.is_empty() {
        true => Ok(steps),
        false => Err(BenchError::wrong("a lease that was used up")),
    }
}

/// Seconds of copying all bytes, and of filling a pad so often that it makes as many.
fn moved(source: &[u8], target: &mut [u8], clock: Clock) -> [f64; 2] {
    let ((), copied) = timed(|| target.copy_from_slice(source));
    black_box(&mut *target);
    let pad = &mut target[..PAD_BYTES as usize];
    let ((), set) = timed(|| {
        for _ in 0..source.len() / PAD_BYTES as usize {
            black_box(&mut *pad).fill(0);
        }
    });
    [copied.by(clock), set.by(clock)]
}

/// Refuses where the ledger, opened again, tells of anything but `bytes` used and destroyed.
fn check(folder: &Path, pool: PoolId, bytes: u64) -> Result<(), BenchError> {
    let status = opened(folder)?.pool_status(pool)?;
    let right = status.direction(Direction::AToB).is_some_and(|one| {
        let gone = (one.bytes_total, one.bytes_left, one.bytes_leased, one.bytes_burned);
        gone == (bytes, 0, 0, 0) && one.bytes_consumed == bytes
    });
    match right {
        true => Ok(()),
        false => Err(BenchError::wrong("the ledger of a pool")),
    }
}
