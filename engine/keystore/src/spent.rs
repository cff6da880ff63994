//! Key that is used up: read once, overwritten where it stood, and durably gone soon after.
//!
//! A range is overwritten as it is read, piece by piece, while each piece is still in the caches:
//! what was used stands nowhere but in its pad from then on. That this is durable, and said so in
//! the ledger, follows in batches, beside the work where the medium takes threads. Nothing
//! rests on it: the range was burned before it was read, and what a crash leaves is erased at the
//! next opening.

use crate::error::KeyError;
use crate::pool::{Pool, PoolKind};
use crate::record::Kind;
use crate::segment::Segment;
use crate::store::Inner;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use warifu_buffers::Block;
use warifu_core::{Direction, KEPT_OFFSET, KeyClass, KeyRange, RangeSet};

/// Used key is synced and recorded as destroyed when this many bytes of it have gathered.
const BATCH_BYTES: u64 = 32 << 20;

/// Less than this is not worth another thread's while.
const HANDED_OVER_BYTES_MIN: u64 = 1 << 20;

/// Batches that wait for the thread at most; who brings one more waits, too.
const BATCHES_WAITING_MAX: usize = 2;

/// Read and overwritten in one go: it stays in a core's second cache.
const PIECE_BYTES: u64 = 128 << 10;

/// What of one lease, or of the grants of one session, was used and is not yet durably destroyed.
/// The rest is destroyed when this is dropped.
pub(crate) struct Spent {
    store: Arc<Inner>,
    pool: Arc<Pool>,
    direction: Direction,
    batch: Mutex<Batch>,
}

#[derive(Default)]
struct Batch {
    used: RangeSet,
    /// Of `used`, what the medium did not overwrite when it was read.
    standing: RangeSet,
}

impl Spent {
    pub(crate) fn new(store: Arc<Inner>, pool: Arc<Pool>, direction: Direction) -> Self {
        Self { store, pool, direction, batch: Mutex::default() }
    }

    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) const fn direction(&self) -> Direction {
        self.direction
    }

    /// The key of `range`, which is this process's alone and was not read before, and the worst
    /// class in it. It is used up then, whatever comes of it.
    pub(crate) fn take(&self, range: KeyRange) -> Result<(KeyClass, Block), KeyError> {
        let mut standing = [range].into_iter().collect();
        let key = self.pool.take_key(self.direction, range, &mut standing);
        self.add(range, &standing);
        key
    }

    /// Counts `range` as used, of which `standing` is not overwritten.
    pub(crate) fn add(&self, range: KeyRange, standing: &RangeSet) {
        let full = {
            let mut batch = self.lock();
            batch.used.insert(range);
            standing.iter().for_each(|part| batch.standing.insert(part));
            (batch.used.len() >= BATCH_BYTES).then(|| std::mem::take(&mut *batch))
        };
        // Handing it over may wait for a disk: other claims of the lease don't.
        if let Some(full) = full {
            self.hand_over(full);
        }
    }

    fn hand_over(&self, batch: Batch) {
        if !batch.used.is_empty() {
            let job = Job { pool: self.pool.clone(), direction: self.direction, batch };
            self.store.eraser.take(job);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        // Plain sets, changed in single steps: what a panic leaves is whole.
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut *self.lock());
        self.hand_over(rest);
    }
}

impl Pool {
    /// Reads the key of `range` and overwrites it where it stood. `standing`, all of the range at
    /// first, tells afterwards what could not be overwritten.
    fn take_key(
        &self,
        direction: Direction,
        range: KeyRange,
        standing: &mut RangeSet,
    ) -> Result<(KeyClass, Block), KeyError> {
        let failed = || KeyError::io("read key in", &self.folder);
        let len =
            usize::try_from(range.len()).map_err(|error| failed()(io::Error::other(error)))?;
        // What is kept as a share, or drawn as one, goes to a disk without a copy.
        let at = match self.kind {
            PoolKind::Random => 0,
            PoolKind::Link(_) | PoolKind::Witness => KEPT_OFFSET,
        };
        let mut key = Block::aligned_at(len, at);
        let mut class = KeyClass::InformationTheoretic;
        let mut done = 0;
        let segments = self.segments();
        for (segment, part) in within(&segments, direction, range) {
            class = class.max(segment.header.class);
            let end = done + usize::try_from(part.len()).unwrap_or(len);
            let mut next = part.start();
            while next < part.end() {
                let offset = segment.offset(next);
                let here = KeyRange::between(next, part.end().min(next + to_piece_end(offset)));
                let from = done + usize::try_from(here.start() - part.start()).unwrap_or(len);
                let to = from + usize::try_from(here.len()).unwrap_or(len);
                segment.file.read_at(offset, &mut key[from..to]).map_err(failed())?;
                if segment.file.overwrite(offset, here.len()).is_ok() {
                    standing.remove(here);
                }
                next = here.end();
            }
            done = end;
        }
        if done != len || reads_as_zeros(&key) {
            return Err(KeyError::KeyErased { pool: self.id, range });
        }
        Ok((class, key))
    }

    /// Makes it durable that used key is overwritten, which `standing` of it is not yet, and says
    /// so in the ledger. What fails here is done at the next opening.
    pub(crate) fn erase(
        &self,
        direction: Direction,
        used: &RangeSet,
        standing: &RangeSet,
    ) -> Result<(), KeyError> {
        if self.kind == PoolKind::Witness {
            return Ok(());
        }
        let failed = || KeyError::io("erase key in", &self.folder);
        let segments = self.segments();
        // Positions without key may be as many as the other end says: nothing to overwrite.
        let parts = |set: &RangeSet| -> Vec<_> {
            let parts = set.iter().flat_map(|range| within(&segments, direction, range));
            parts.filter(|(segment, _)| !segment.is_lost()).collect()
        };
        for (segment, part) in parts(standing) {
            let overwritten = segment.file.overwrite(segment.offset(part.start()), part.len());
            overwritten.map_err(failed())?;
        }
        let parts = parts(used);
        for of_one in parts.chunk_by(|(one, _), (next, _)| std::ptr::eq(*one, *next)) {
            let Some((segment, _)) = of_one.first() else { continue };
            segment.file.sync().map_err(failed())?;
            for (_, part) in of_one {
                segment.file.discard(segment.offset(part.start()), part.len());
            }
        }
        for range in used.iter() {
            self.locked(|entry| entry.append(Kind::Zeroised, direction, range))?;
            self.desk(direction).opened.remove(range);
        }
        Ok(())
    }
}

/// Bytes from `offset` to where a piece ends: whole pages of the file, but for the first and last.
const fn to_piece_end(offset: u64) -> u64 {
    PIECE_BYTES - offset % PIECE_BYTES
}

/// The segments that hold positions of `range`, in order, and which those are.
fn within(
    segments: &[Segment],
    direction: Direction,
    range: KeyRange,
) -> impl Iterator<Item = (&Segment, KeyRange)> {
    let place = |one: &Segment| (one.header.direction, one.header.range.end());
    let first = segments.partition_point(|one| place(one) <= (direction, range.start()));
    let found = segments[first..].iter().map(move |one| match one.header.direction == direction {
        true => (one, one.header.range.intersection(&range)),
        false => (one, KeyRange::between(0, 0)),
    });
    found.take_while(|(_, part)| !part.is_empty())
}

/// Whether any whole run of 64 bytes (16 at least, where the key is that short) is all zeros. True
/// randomness does that once in 2^512 (2^128); erased key and holes left by a copy always do.
pub(crate) fn reads_as_zeros(key: &[u8]) -> bool {
    let zeros = |part: &[u8]| part.iter().fold(0, |seen, byte| seen | byte) == 0;
    match key.len() {
        0..16 => false,
        16..64 => zeros(key),
        len => key.chunks_exact(64).any(zeros) || zeros(&key[len - 64..]),
    }
}

/// The thread that makes it durable that used key is gone, where the medium takes one.
pub(crate) struct Eraser {
    takes_threads: bool,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    jobs: SyncSender<Job>,
    ended: JoinHandle<()>,
}

struct Job {
    pool: Arc<Pool>,
    direction: Direction,
    batch: Batch,
}

impl Job {
    fn run(&self) {
        let Self { pool, direction, batch } = self;
        // What fails here is burned and erased when the store is closed, or opened again.
        let _erased = pool.erase(*direction, &batch.used, &batch.standing);
    }
}

impl Eraser {
    pub(crate) const fn new(takes_threads: bool) -> Self {
        Self { takes_threads, thread: Mutex::new(None) }
    }

    /// Destroys what `job` names, now or soon.
    fn take(&self, job: Job) {
        if !self.takes_threads || job.batch.used.len() < HANDED_OVER_BYTES_MIN {
            return job.run();
        }
        match self.jobs() {
            None => job.run(),
            Some(jobs) => {
                // It is gone only if it panicked.
                if let Err(refused) = jobs.send(job) {
                    refused.0.run();
                }
            }
        }
    }

    /// Waits until all that was taken is done.
    pub(crate) fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Thread { jobs, ended }) = thread {
            drop(jobs);
            // What a panic left undone is done at the next opening.
            let _panicked = ended.join();
        }
    }

    fn jobs(&self) -> Option<SyncSender<Job>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (jobs, waiting) = sync_channel(BATCHES_WAITING_MAX);
            let work = move || work(&waiting);
            let ended = Builder::new().name("key-eraser".to_owned()).spawn(work).ok()?;
            *thread = Some(Thread { jobs, ended });
        }
        thread.as_ref().map(|thread| thread.jobs.clone())
    }
}

fn work(waiting: &Receiver<Job>) {
    waiting.iter().for_each(|job| job.run());
}
