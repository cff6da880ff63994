//! A store of shares in a folder, beside plain files in the same folder.

use crate::clock::timed;
use crate::pace::{Duel, rate};
use crate::plain::{STEP_BYTES, forget, made_up, read, sync_dir, write_parts};
use crate::report::{Clock, Figure, Latency, Taken};
use crate::scratch::Scratch;
use crate::{BenchError, Limit, Pace};
use hdrhistogram::Histogram;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;
use warifu_backend::{ShareName, ShareStore};
use warifu_backend_local::{LocalConfig, LocalStore};
use warifu_buffers::{Block, Bytes};

/// What of a store is measured.
#[derive(Clone, Debug)]
pub struct BackendSettings {
    /// Where the store is made, and removed again.
    pub folder: PathBuf,
    /// Bytes of each share: 1 byte to 16 GiB.
    pub share_bytes: u64,
    /// Shares of each round: 1 to 10,000.
    pub shares: u64,
}

const SHARE_BYTES: std::ops::RangeInclusive<u64> = 1..=(16 << 30);
const SHARES: std::ops::RangeInclusive<u64> = 1..=10_000;

/// So many different contents stand in memory. It is a prime, so that neither the shares nor the
/// steps of one come back to the same content together.
const CONTENTS: u64 = 769;

/// The next content begins so many bytes further on: where a page begins, as a payload does.
const CONTENT_STEP_BYTES: usize = 4096;

/// The longest operation that a histogram tells apart, in microseconds: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Measures putting shares (created, written by the MiB, committed durably, one after the other)
/// and getting them back, with the latency of each share.
///
/// # Errors
/// Where the store fails, or gives back something else.
pub fn backend(settings: &BackendSettings, pace: Pace<'_>) -> Result<Taken, BenchError> {
    pace.check()?;
    for (what, value, range) in [
        ("the bytes of a share", settings.share_bytes, SHARE_BYTES),
        ("the number of shares", settings.shares, SHARES),
    ] {
        let (least, most) = (*range.start(), *range.end());
        if !range.contains(&value) {
            return Err(BenchError::Setting { what, least, most });
        }
    }
    let bytes = settings.share_bytes.saturating_mul(settings.shares);
    let scratch = Scratch::in_folder(&settings.folder, bytes.saturating_mul(2))?;
    let store = LocalStore::open(&LocalConfig::new(scratch.path("store")))?;
    std::fs::create_dir(scratch.path("plain"))
        .map_err(BenchError::io("make a folder for the bench"))?;
    let mut at = At::new(settings, &store, &scratch)?;
    let (mut put, mut get) = (Duel::default(), Duel::default());
    for round in 0..pace.rounds {
        pace.go_on()?;
        put.round(round, &mut at, At::put, At::put_plain)?;
        at.forget()?;
        get.round(round, &mut at, At::get, At::get_plain)?;
        at.check_and_remove()?;
    }
    let mut taken = Taken::default();
    for (name, duel) in [("plain put", &put), ("plain get", &get)] {
        taken.limits.push(Limit {
            bench: "backend".to_owned(),
            limit: name.to_owned(),
            at: "folder".to_owned(),
            of: "bytes of plain files".to_owned(),
            g_per_s: crate::Spread::of(&duel.other).in_giga(),
        });
    }
    let put_by = "plain files: written by the MiB, each synced with its name";
    let get_by = "plain files, read by the MiB, cache emptied";
    for (name, duel, latency, by) in
        [("put", &put, &at.put_us, put_by), ("get", &get, &at.get_us, get_by)]
    {
        taken.figures.push(Figure {
            bench: "backend".to_owned(),
            figure: name.to_owned(),
            at: "folder".to_owned(),
            isa: String::new(),
            of: "bytes of shares".to_owned(),
            bytes,
            rounds: pace.rounds,
            clock: Clock::Wall,
            gb_per_s: duel.rate().in_giga(),
            divided_by: by.to_owned(),
            ratio: duel.ratio(),
            roof: None,
            latency: Some(told(latency)),
            processor_s_per_gb: None,
            copied_bytes: None,
        });
    }
    Ok(taken)
}

/// The store and what lies beside it.
struct At<'a> {
    store: &'a LocalStore,
    shares: Vec<(ShareName, PathBuf)>,
    share_paths: Vec<PathBuf>,
    share_bytes: u64,
    /// All contents, each beginning within the one before.
    content: Bytes,
    buffer: Block,
    put_us: Histogram<u64>,
    get_us: Histogram<u64>,
}

impl<'a> At<'a> {
    fn new(
        settings: &BackendSettings,
        store: &'a LocalStore,
        scratch: &Scratch,
    ) -> Result<Self, BenchError> {
        let bytes = STEP_BYTES + CONTENTS as usize * CONTENT_STEP_BYTES;
        let mut content = Block::zeroed(bytes);
        content.copy_from_slice(&made_up(bytes, 4));
        let (mut shares, mut share_paths) = (Vec::new(), Vec::new());
        for number in 0..settings.shares {
            let text = format!("bench-{number:05}");
            let name =
                ShareName::new(&text).map_err(|_| BenchError::wrong("the name of a share"))?;
            shares.push((name, scratch.path("plain").join(&text)));
            share_paths.push(scratch.path("store").join("shares").join(&text));
        }
        Ok(Self {
            store,
            shares,
            share_paths,
            share_bytes: settings.share_bytes,
            content: content.into_bytes(),
            buffer: Block::zeroed(STEP_BYTES),
            put_us: histogram()?,
            get_us: histogram()?,
        })
    }

    fn put(&mut self) -> Result<f64, BenchError> {
        let (all, took) = timed(|| {
            self.shares.iter().zip(0..).try_for_each(|((name, _), share)| {
                let started = Instant::now();
                let mut upload = self.store.create(name)?;
                for (offset, step) in steps(self.share_bytes) {
                    let content = content(self.share_bytes, share, offset, step);
                    upload.write_at(offset, self.content.slice(content))?;
                }
                upload.commit()?;
                note(&mut self.put_us, started);
                Ok::<_, BenchError>(())
            })
        });
        all.map(|()| self.rate(took.wall_s))
    }

    fn put_plain(&mut self) -> Result<f64, BenchError> {
        let (all, took) = timed(|| {
            self.shares.iter().zip(0..).try_for_each(|((_, path), share)| {
                let parts = steps(self.share_bytes).map(|(offset, step)| {
                    &self.content[content(self.share_bytes, share, offset, step)]
                });
                write_parts(path, parts)?;
                path.parent().map_or(Ok(()), sync_dir)
            })
        });
        all.map(|()| self.rate(took.wall_s))
    }

    fn get(&mut self) -> Result<f64, BenchError> {
        let (all, took) = timed(|| {
            self.shares.iter().try_for_each(|(name, _)| {
                let started = Instant::now();
                for (offset, step) in steps(self.share_bytes) {
                    self.store.read_at(name, offset, &mut self.buffer[..step])?;
                }
                note(&mut self.get_us, started);
                Ok::<_, BenchError>(())
            })
        });
        all.map(|()| self.rate(took.wall_s))
    }

    fn get_plain(&mut self) -> Result<f64, BenchError> {
        let (all, took) = timed(|| {
            self.shares.iter().try_for_each(|(_, path)| read(path, &mut self.buffer).map(drop))
        });
        all.map(|()| self.rate(took.wall_s))
    }

    /// Has the system's cache forget all files.
    fn forget(&self) -> Result<(), BenchError> {
        let plain = self.shares.iter().map(|(_, path)| path);
        plain.chain(&self.share_paths).try_for_each(|path| forget(path))
    }

    /// Compares all bytes of all shares, then removes everything.
    fn check_and_remove(&mut self) -> Result<(), BenchError> {
        for ((name, path), share) in self.shares.iter().zip(0..) {
            for (offset, step) in steps(self.share_bytes) {
                self.store.read_at(name, offset, &mut self.buffer[..step])?;
                let content = content(self.share_bytes, share, offset, step);
                if self.buffer[..step] != self.content[content] {
                    return Err(BenchError::wrong("get"));
                }
            }
            self.store.delete(name)?;
            std::fs::remove_file(path).map_err(BenchError::io("remove a file of the bench"))?;
        }
        Ok(())
    }

    fn rate(&self, seconds: f64) -> f64 {
        rate(self.share_bytes * self.shares.len() as u64, seconds)
    }
}

/// Where each call of a share begins, and how long it is.
fn steps(share_bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    let offsets = (0..share_bytes).step_by(STEP_BYTES);
    offsets.map(move |at| (at, (share_bytes - at).min(STEP_BYTES as u64) as usize))
}

/// Where the content of a step stands among all contents: steps that could be taken for each other
/// have different ones.
fn content(share_bytes: u64, share: u64, offset: u64, step: usize) -> Range<usize> {
    let number = share * share_bytes.div_ceil(STEP_BYTES as u64) + offset / STEP_BYTES as u64;
    let start = (number % CONTENTS) as usize * CONTENT_STEP_BYTES;
    start..start + step
}

fn histogram() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_max(LATENCY_US_MAX, 3).map_err(|_| BenchError::wrong("a histogram"))
}

fn note(latency: &mut Histogram<u64>, started: Instant) {
    let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(LATENCY_US_MAX);
    latency.saturating_record(us);
}

fn told(latency: &Histogram<u64>) -> Latency {
    let at = |quantile| latency.value_at_quantile(quantile) as f64;
    Latency {
        operations: latency.len(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: latency.max() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_a_share_once() {
        let of = |bytes| steps(bytes).collect::<Vec<_>>();
        assert_eq!(of(5), [(0, 5)]);
        let step = STEP_BYTES as u64;
        assert_eq!(of(2 * step), [(0, STEP_BYTES), (step, STEP_BYTES)]);
        assert_eq!(of(step + 1), [(0, STEP_BYTES), (step, 1)]);
    }

    #[test]
    fn neighbours_and_the_same_step_of_other_shares_have_other_contents() {
        let step = STEP_BYTES as u64;
        for share_bytes in [5, 8 * step, 8 * step + 5] {
            let of = |share, number: u64| content(share_bytes, share, number * step, 5);
            let count = share_bytes.div_ceil(step);
            let mut all: Vec<Range<usize>> = (0..CONTENTS / count)
                .flat_map(|share| (0..count).map(move |number| of(share, number)))
                .collect();
            assert!(all.iter().all(|one| one.len() == 5 && one.start % CONTENT_STEP_BYTES == 0));
            let asked = all.len();
            all.sort_by_key(|one| one.start);
            all.dedup();
            assert_eq!(all.len(), asked);
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_noted() {
        let mut latency = histogram().unwrap();
        (1..=1000).for_each(|us| latency.saturating_record(us));
        let told = told(&latency);
        assert_eq!((told.operations, told.p50_us, told.p99_us), (1000, 500.0, 990.0));
        assert_eq!((told.p999_us, told.max_us), (999.0, 1000.0));
    }
}
