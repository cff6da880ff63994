//! What is measured: each kernel as a name, its streams, and how it is run and checked.

use crate::BenchError;
use std::hint::black_box;
use warifu_bench_kernels::Shape;
use warifu_core::sharing::{SplitPlan, join_matrix};
use warifu_core::{Threshold, XCoord};
use warifu_kernels::{Isa, Matrix, PolyHash, Write, dot, xor};

/// The schemes of which `dot` is measured: `k` of `n`.
const SCHEMES: [(u32, u32); 4] = [(2, 3), (3, 5), (4, 7), (6, 10)];

/// Bytes of a check: not whole vectors, and another number in each round.
const CHECK_BYTES: usize = 4096;

/// The secret of the hash; any will do.
const R: [u8; 16] = [0x5a; 16];

/// One kernel.
pub(super) struct Work {
    pub(super) name: String,
    /// What a byte is.
    pub(super) of: &'static str,
    kind: Kind,
}

enum Kind {
    /// `memcpy`, of one source to one target.
    Copy,
    Xor,
    /// `xor` of several pairs of streams by turns, a page of each.
    Streams,
    Dot(Matrix),
    /// All shares, written and not added, in pairs.
    All(Shape),
    Poly,
}

/// Pairs of streams that memory is asked for at once.
const STREAM_PAIRS: usize = 4;

/// What of each is taken at a time, in bytes.
const PAGE_BYTES: usize = 4096;

/// Everything that is measured.
pub(super) fn works() -> Result<Vec<Work>, BenchError> {
    let work = |name: String, of, kind| Work { name, of, kind };
    let mut works = vec![work("xor".to_owned(), "bytes of target", Kind::Xor)];
    for (k, n) in SCHEMES {
        let (threshold, xs) = (Threshold::new(k, n)?, coordinates(n));
        let (pads, computed) = xs.split_at(threshold.pads());
        // One coordinate for each share, each once: there is always a plan.
        let Ok(plan) = SplitPlan::new(threshold, pads, computed) else { continue };
        let split = Kind::Dot(plan.matrix().clone());
        works.push(work(format!("split-{k}-{n}"), "bytes of secret", split));
        let all = Kind::All(Shape::split(k as usize, n as usize));
        works.push(work(format!("split-all-{k}-{n}"), "bytes of secret", all));
        let Ok(row) = join_matrix(&xs[..k as usize]) else { continue };
        works.push(work(format!("join-{k}"), "bytes of secret", Kind::Dot(row)));
    }
    works.push(work("poly".to_owned(), "bytes hashed", Kind::Poly));
    Ok(works)
}

/// The coordinates 1 to `n`.
fn coordinates(n: u32) -> Vec<XCoord> {
    (1..=n).filter_map(|x| u8::try_from(x).ok().and_then(XCoord::new)).collect()
}

impl Work {
    /// What all are divided by.
    pub(super) fn copy() -> Self {
        Self { name: "memcpy".to_owned(), of: "bytes copied", kind: Kind::Copy }
    }

    /// What memory moves where it is asked for several streams at once.
    pub(super) fn streams() -> Self {
        let name = format!("xor of {STREAM_PAIRS} streams");
        Self { name, of: "bytes of targets", kind: Kind::Streams }
    }

    /// Streams of which a byte counts.
    pub(super) fn counted(&self) -> usize {
        if matches!(self.kind, Kind::Streams) { STREAM_PAIRS } else { 1 }
    }

    /// How many streams are changed.
    pub(super) fn targets(&self) -> usize {
        match &self.kind {
            Kind::Copy | Kind::Xor => 1,
            Kind::Streams => STREAM_PAIRS,
            Kind::Dot(matrix) => matrix.rows(),
            Kind::All(shape) => shape.matrix.rows(),
            Kind::Poly => 0,
        }
    }

    /// How many streams are read.
    pub(super) fn sources(&self) -> usize {
        match &self.kind {
            Kind::Copy | Kind::Xor | Kind::Poly => 1,
            Kind::Streams => STREAM_PAIRS,
            Kind::Dot(matrix) => matrix.columns(),
            Kind::All(shape) => shape.matrix.columns(),
        }
    }

    /// Bytes that memory moves for each byte that counts. What is written past the caches is not
    /// read before.
    pub(super) fn moved_per_byte(&self, write: Write) -> f64 {
        let per_target = match (&self.kind, write) {
            (Kind::Copy, _) | (Kind::All(_), Write::Streamed) => 1,
            _ => 2,
        };
        (self.sources() + per_target * self.targets()) as f64 / self.counted() as f64
    }

    /// Cycles that multiplying takes for each 64 bytes at least; 0 where nothing is multiplied.
    pub(super) fn multiply_cycles(&self, clmul_cycles: f64) -> f64 {
        match &self.kind {
            Kind::Copy | Kind::Xor | Kind::Streams => 0.0,
            Kind::Dot(matrix) => {
                let rows = (0..matrix.rows()).flat_map(|i| matrix.row(i));
                rows.filter(|factor| **factor > 1).count() as f64
            }
            Kind::All(shape) => shape.ports().products as f64,
            Kind::Poly => 3.0 * clmul_cycles,
        }
    }

    /// Once over a piece. `isa` is none for what has no kernel of ours.
    pub(super) fn run(
        &self,
        isa: Option<Isa>,
        write: Write,
        hash: &PolyHash,
        targets: &mut [&mut [u8]],
        sources: &[&[u8]],
    ) {
        let isa = isa.unwrap_or_else(Isa::best);
        match (&self.kind, targets) {
            (Kind::Copy, [target, ..]) => target.copy_from_slice(sources[0]),
            (Kind::Xor, [target, ..]) => xor(isa, target, sources[0]),
            (Kind::Streams, targets) => {
                let len = sources.first().map_or(0, |source| source.len());
                for from in (0..len).step_by(PAGE_BYTES) {
                    let page = from..len.min(from + PAGE_BYTES);
                    for (target, source) in targets.iter_mut().zip(sources) {
                        xor(isa, &mut target[page.clone()], &source[page.clone()]);
                    }
                }
            }
            (Kind::Dot(matrix), targets) => dot(isa, matrix, targets, sources),
            (Kind::All(shape), targets) => shape.run(isa, write, targets, sources),
            (Kind::Poly, _) => {
                black_box(hash.poly(sources));
            }
            (Kind::Copy | Kind::Xor, []) => {}
        }
    }

    /// A hash for this instruction set, made before the time runs.
    pub(super) fn hash(isa: Option<Isa>) -> PolyHash {
        PolyHash::new(isa.unwrap_or_else(Isa::best), &R)
    }

    /// Refuses where the output is not the scalar twin's, at another length and alignment in each
    /// round.
    pub(super) fn check(&self, isa: Isa, write: Write, round: usize) -> Result<(), BenchError> {
        let (len, from) = (CHECK_BYTES + round * 13 % 64, round * 7 % 64);
        let streams = made_up(self.sources() + self.targets(), from + len);
        let made = self.made(isa, write, &streams, from);
        let expected = match (&self.kind, Isa::named("scalar")) {
            (Kind::Copy, _) => vec![streams[self.targets()][from..].to_vec()],
            (_, Ok(scalar)) => self.made(scalar, write, &streams, from),
            (_, Err(_)) => Vec::new(),
        };
        match made == expected {
            true => Ok(()),
            false => Err(BenchError::wrong(&format!("{} on {}", self.name, isa.name()))),
        }
    }

    /// What comes of `streams`, targets first, from the byte `from` on.
    fn made(&self, isa: Isa, write: Write, streams: &[Vec<u8>], from: usize) -> Vec<Vec<u8>> {
        let mut streams = streams.to_vec();
        let (targets, sources) = streams.split_at_mut(self.targets());
        let sources: Vec<&[u8]> = sources.iter().map(|one| &one[from..]).collect();
        if matches!(self.kind, Kind::Poly) {
            return vec![PolyHash::new(isa, &R).poly(&sources).to_vec()];
        }
        let mut targets: Vec<&mut [u8]> = targets.iter_mut().map(|one| &mut one[from..]).collect();
        self.run(Some(isa), write, &Self::hash(Some(isa)), &mut targets, &sources);
        targets.into_iter().map(|target| target.to_vec()).collect()
    }
}

/// Streams of bytes without a pattern, always the same.
fn made_up(count: usize, len: usize) -> Vec<Vec<u8>> {
    let byte = |stream: usize, at: usize| {
        let mixed = ((stream << 32 | at) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 56) as u8
    };
    (0..count).map(|stream| (0..len).map(|at| byte(stream, at)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_and_multiplications_are_those_of_the_design() {
        let of = |name: &str, write| {
            let work = works().unwrap().into_iter().find(|work| work.name == name).unwrap();
            let (targets, sources) = (work.targets(), work.sources());
            (targets, sources, work.moved_per_byte(write), work.multiply_cycles(2.0))
        };
        let found = |name: &str| of(name, Write::Cached);
        assert_eq!(found("xor"), (1, 1, 3.0, 0.0));
        // Two pairs of rows and the sum; five pairs, of which the last is a row alone.
        assert_eq!(found("split-all-3-5"), (5, 3, 13.0, 4.0));
        assert_eq!(found("split-all-6-10"), (10, 6, 26.0, 25.0));
        assert_eq!(of("split-all-6-10", Write::Streamed), (10, 6, 16.0, 25.0));
        assert_eq!(of("split-6-10", Write::Streamed), of("split-6-10", Write::Cached));
        let (targets, sources, moved, _) = found("split-3-5");
        assert_eq!((targets, sources, moved), (3, 3, 9.0));
        let (targets, sources, moved, _) = found("join-6");
        assert_eq!((targets, sources, moved), (1, 6, 8.0));
        assert_eq!(found("poly"), (0, 1, 1.0, 6.0));
        let streams = Work::streams();
        assert_eq!((streams.targets(), streams.sources(), streams.counted()), (4, 4, 4));
        let moved = |work: &Work| work.moved_per_byte(Write::Cached);
        assert_eq!((moved(&streams), moved(&Work::copy())), (3.0, 2.0));
    }

    #[test]
    fn every_kernel_passes_its_check_and_a_wrong_one_does_not() {
        for isa in Isa::available() {
            for work in works().unwrap() {
                for write in [Write::Cached, Write::Streamed] {
                    (0..9).for_each(|round| work.check(isa, write, round).unwrap());
                }
            }
        }
        let streams = |round| Work::streams().check(Isa::best(), Write::Cached, round);
        (0..9).for_each(|round| streams(round).unwrap());
        let xor = &works().unwrap()[0];
        let streams = made_up(2, 64);
        assert_ne!(xor.made(Isa::best(), Write::Cached, &streams, 0)[0], streams[0]);
    }
}
