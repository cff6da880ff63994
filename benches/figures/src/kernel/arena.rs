//! Memory that streams are laid out in: as much of it as a cache holds, or all.

use super::Sample;
use super::work::Work;
use crate::BenchError;
use crate::clock::timed;
use crate::machine::Caches;
use std::hint::black_box;
use std::io::ErrorKind;
use warifu_bench_kernels::{Arena as Memory, STAGGER_BYTES};
use warifu_kernels::{Isa, Write};

/// Bytes of each stream that one call takes from memory.
const PIECE_BYTES: usize = 256 << 10;

/// Streams of a kernel at most.
const STREAMS_MAX: usize = 16;

/// What stands for all of memory is at least so many times the last cache: else it is the cache
/// that is measured.
const MEMORY_BY_L3: u64 = 2;

/// It is no less than this, in bytes, and no more.
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = (128 << 20)..=(4 << 30);

/// It is at most this part of what the system could give away.
const PART_OF_AVAILABLE: u64 = 4;

/// A place for streams.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub(super) name: &'static str,
    /// How a kernel that does not add to its targets writes them there.
    pub(super) write: Write,
    /// All streams together, in bytes.
    bytes: usize,
    /// Of each stream, what one call takes.
    piece_bytes: usize,
}

impl Level {
    /// Three quarters of the first cache, half of the second, and memory: twice the last cache. On
    /// a machine that can spare less than that, by what it has `available`, the third is `l3`.
    pub(super) fn all(caches: Caches, available: Option<u64>) -> [Self; 3] {
        let whole = |name, bytes: u64| Self {
            name,
            write: Write::Cached,
            bytes: bytes as usize,
            piece_bytes: usize::MAX,
        };
        let wanted = caches.l3.saturating_mul(MEMORY_BY_L3);
        let spared = available.map_or(u64::MAX, |bytes| bytes / PART_OF_AVAILABLE);
        let (least, most) = (*MEMORY_BYTES.start(), *MEMORY_BYTES.end());
        let bytes = wanted.min(spared).clamp(least, most);
        let name = if bytes < wanted { "l3" } else { "dram" };
        let memory =
            Self { name, write: Write::Streamed, bytes: bytes as usize, piece_bytes: PIECE_BYTES };
        [whole("l1", caches.l1 / 4 * 3), whole("l2", caches.l2 / 2), memory]
    }

    /// Bytes of each of so many streams: whole cache lines.
    const fn stream_bytes(self, count: usize) -> usize {
        let len = self.bytes / count / 64 * 64;
        if len < 64 { 64 } else { len }
    }
}

/// All the memory, and where the last sample from it ended.
pub(super) struct Arena {
    memory: Memory,
    /// How far, of a whole: shapes differ in their streams' length.
    at: f64,
}

impl Arena {
    /// Memory for the streams of each level, all of it touched.
    ///
    /// # Errors
    /// [`BenchError::Io`] where the system has none.
    pub(super) fn new(levels: &[Level]) -> Result<Self, BenchError> {
        let bytes = levels.iter().map(|level| level.bytes).max().unwrap_or(0);
        let memory = Memory::new(1, bytes + STREAMS_MAX * (STAGGER_BYTES + 64));
        let none = || BenchError::io("get memory for the bench")(ErrorKind::OutOfMemory.into());
        Ok(Self { memory: memory.ok_or_else(none)?, at: 0.0 })
    }

    /// Runs `work` so often over one piece after the other. In memory it goes on where the sample
    /// before ended, so that what it meets was not touched since all else was.
    pub(super) fn sample(
        &mut self,
        level: Level,
        isa: Option<Isa>,
        work: &Work,
        runs: usize,
    ) -> Sample {
        let hash = Work::hash(isa);
        let count = work.targets() + work.sources();
        let len = level.stream_bytes(count);
        let (targets, sources) = self.memory.streams(count, work.targets(), len);
        let piece_bytes = level.piece_bytes.min(len);
        let mut pieces = pieces(targets, &sources, piece_bytes);
        let first = (self.at * pieces.len() as f64) as usize;
        let last = pieces.len();
        let ((), took) = timed(|| {
            let mut next = first;
            for _ in 0..runs {
                let piece = &mut pieces[next];
                work.run(isa, level.write, &hash, &mut piece.targets, &piece.sources);
                next = if next + 1 == last { 0 } else { next + 1 };
            }
        });
        black_box(&mut pieces);
        self.at = ((first + runs) % last) as f64 / last as f64;
        Sample { bytes: (piece_bytes * runs * work.counted()) as u64, seconds: took.thread_s }
    }
}

/// One call's part of all streams.
struct Piece<'a> {
    targets: Vec<&'a mut [u8]>,
    sources: Vec<&'a [u8]>,
}

/// Cuts streams into whole pieces, of which there is at least one.
fn pieces<'a>(
    targets: Vec<&'a mut [u8]>,
    sources: &[&'a [u8]],
    piece_bytes: usize,
) -> Vec<Piece<'a>> {
    let streams = targets.iter().map(|target| target.len());
    let len = streams.chain(sources.iter().map(|source| source.len())).min().unwrap_or(0);
    let mut pieces: Vec<Piece<'a>> = (0..len / piece_bytes)
        .map(|at| {
            let sources = sources.iter().map(|one| &one[at * piece_bytes..][..piece_bytes]);
            Piece { targets: Vec::new(), sources: sources.collect() }
        })
        .collect();
    for target in targets {
        for (piece, part) in pieces.iter_mut().zip(target.chunks_exact_mut(piece_bytes)) {
            piece.targets.push(part);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn levels(l3: u64, available: Option<u64>) -> [Level; 3] {
        Level::all(Caches { l1: 32 << 10, l2: MIB, l3 }, available)
    }

    #[test]
    fn memory_is_twice_the_last_cache_or_is_named_after_it() {
        let third = |l3, available| {
            let level = levels(l3 * MIB, available)[2];
            (level.name, level.bytes as u64 / MIB)
        };
        assert_eq!(third(32, None), ("dram", 128));
        assert_eq!(third(480, None), ("dram", 960));
        assert_eq!(third(480, Some(3840 * MIB)), ("dram", 960));
        assert_eq!(third(480, Some(3836 * MIB)), ("l3", 959));
        assert_eq!(third(480, Some(1)), ("l3", 128));
        assert_eq!(third(4096, None), ("l3", 4096));
    }

    #[test]
    fn streams_of_every_kernel_fit_begin_on_lines_and_share_no_set() {
        let levels = levels(32 * MIB, None);
        let mut arena = Arena::new(&levels).unwrap();
        for level in levels {
            for count in 1..=STREAMS_MAX {
                let len = level.stream_bytes(count);
                assert!(len * count > level.bytes * 3 / 4, "{} {count}", level.name);
                let (targets, sources) = arena.memory.streams(count, 1, len);
                let starts = targets.iter().map(|one| one.as_ptr().addr());
                let starts = starts.chain(sources.iter().map(|one| one.as_ptr().addr()));
                let mut starts: Vec<usize> = starts.collect();
                assert!(starts.iter().all(|start| start.is_multiple_of(64)), "{count}");
                // Places within what one way of a second cache of 1024 sets holds.
                starts.iter_mut().for_each(|start| *start %= 64 << 10);
                starts.sort_unstable();
                starts.dedup();
                assert_eq!(starts.len(), count, "{} {count}", level.name);
                let pieces = pieces(targets, &sources, len / 3 / 64 * 64);
                assert!(pieces.len() >= 3);
                assert!(
                    pieces
                        .iter()
                        .all(|one| { (one.targets.len(), one.sources.len()) == (1, count - 1) })
                );
            }
        }
    }

    #[test]
    fn a_sample_from_memory_goes_on_where_the_one_before_ended() {
        let level =
            Level { name: "dram", write: Write::Cached, bytes: 8 << 20, piece_bytes: PIECE_BYTES };
        let mut arena = Arena::new(&[level]).unwrap();
        let runs = |arena: &mut Arena| arena.sample(level, None, &Work::copy(), 5);
        assert_eq!(runs(&mut arena).bytes, 5 * PIECE_BYTES as u64);
        let once = arena.at;
        runs(&mut arena);
        assert!(once > 0.0 && arena.at > once, "{once} {}", arena.at);
    }
}
