//! Memory that streams are laid out in: as much of it as a cache holds, or all.

use super::Sample;
use super::work::Work;
use crate::clock::timed;
use crate::machine::Caches;
use std::hint::black_box;
use warifu_kernels::Isa;

/// Streams are staggered by this, so that no two stand in the same sets of a cache, in bytes.
const STAGGER_BYTES: usize = 4096 + 320;

/// Bytes of each stream that one call takes from memory.
const PIECE_BYTES: usize = 256 << 10;

/// A place for streams.
#[derive(Clone, Copy)]
pub(super) struct Level {
    pub(super) name: &'static str,
    /// All streams together, in bytes.
    bytes: usize,
    /// Of each stream, what one call takes.
    piece_bytes: usize,
}

impl Level {
    /// Three quarters of the first cache, half of the second, and memory.
    pub(super) fn all(caches: Caches, dram_bytes: u64) -> [Self; 3] {
        let whole =
            |name, bytes: u64| Self { name, bytes: bytes as usize, piece_bytes: usize::MAX };
        [
            whole("l1", caches.l1 / 4 * 3),
            whole("l2", caches.l2 / 2),
            Self { name: "dram", bytes: dram_bytes as usize, piece_bytes: PIECE_BYTES },
        ]
    }
}

/// All the memory, and where the last sample from it ended.
pub(super) struct Arena {
    memory: Vec<u8>,
    /// How far, of a whole: shapes differ in their streams' length.
    at: f64,
}

impl Arena {
    /// Memory of `bytes` bytes, all of them touched.
    pub(super) fn new(bytes: usize) -> Self {
        let mut memory = vec![0; bytes];
        memory.iter_mut().step_by(64).enumerate().for_each(|(at, byte)| *byte = at as u8);
        Self { memory, at: 0.0 }
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
        let bytes = level.bytes.min(self.memory.len());
        let hash = Work::hash(isa);
        let count = work.targets() + work.sources();
        let streams = streams(&mut self.memory[..bytes], count);
        let len = streams.first().map_or(0, |stream| stream.len());
        let piece_bytes = level.piece_bytes.min(len).max(1);
        let mut pieces = pieces(streams, piece_bytes, work.targets());
        let first = (self.at * pieces.len() as f64) as usize;
        let last = pieces.len();
        let ((), took) = timed(|| {
            let mut next = first;
            for _ in 0..runs {
                let piece = &mut pieces[next];
                work.run(isa, &hash, &mut piece.targets, &piece.sources);
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

/// `count` equally long streams within `memory`, staggered where there is room for it.
fn streams(memory: &mut [u8], count: usize) -> Vec<&mut [u8]> {
    let stride = memory.len() / count.max(1);
    let stagger = if stride > 64 * STAGGER_BYTES { STAGGER_BYTES } else { 0 };
    let len = (stride - count * stagger).max(64) / 64 * 64;
    let parts = memory.chunks_exact_mut(stride).take(count).enumerate();
    parts.map(|(at, part)| &mut part[at * stagger..][..len]).collect()
}

/// Cuts streams, targets first, into whole pieces.
fn pieces(streams: Vec<&mut [u8]>, piece_bytes: usize, targets: usize) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        for (at, part) in stream.chunks_exact_mut(piece_bytes).enumerate() {
            if at == pieces.len() {
                pieces.push(Piece { targets: Vec::new(), sources: Vec::new() });
            }
            match number < targets {
                true => pieces[at].targets.push(part),
                false => pieces[at].sources.push(part),
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_whole_apart_and_equally_long() {
        for (bytes, count) in [(24 << 10, 16), (512 << 10, 5), (64 << 20, 2), (128 << 20, 16)] {
            let mut memory = vec![0; bytes];
            let mut cut = streams(&mut memory, count);
            assert_eq!(cut.len(), count);
            let len = cut[0].len();
            assert!(len.is_multiple_of(64) && len * count > bytes * 3 / 4, "{bytes} {count} {len}");
            cut.iter_mut().for_each(|stream| stream.fill(1));
            assert!(cut.iter().all(|stream| stream.len() == len));
            let pieces = pieces(cut, len / 3, 1);
            assert_eq!(pieces.len(), 3);
            assert!(
                pieces.iter().all(|one| (one.targets.len(), one.sources.len()) == (1, count - 1))
            );
            drop(pieces);
            assert_eq!(memory.iter().filter(|byte| **byte == 1).count(), len * count);
        }
    }

    #[test]
    fn a_sample_from_memory_goes_on_where_the_one_before_ended() {
        let mut arena = Arena::new(8 << 20);
        let level = Level { name: "dram", bytes: 8 << 20, piece_bytes: PIECE_BYTES };
        let runs = |arena: &mut Arena| arena.sample(level, None, &Work::copy(), 5);
        assert_eq!(runs(&mut arena).bytes, 5 * PIECE_BYTES as u64);
        let once = arena.at;
        runs(&mut arena);
        assert!(once > 0.0 && arena.at > once, "{once} {}", arena.at);
    }
}
