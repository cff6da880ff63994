//! `weave` against `dot` and the hash by their definitions: every shape, length and alignment.

use crate::naive;
use crate::samples::{self, Guarded};
use proptest::prelude::*;
use warifu_kernels::{Isa, Matrix, PolyHash, Stream, StreamHash, weave, weave_into};

/// Streams, and what must come of them.
struct Case {
    matrix: Matrix,
    targets: Vec<Vec<u8>>,
    sources: Vec<Vec<u8>>,
    hashed: Vec<(u128, Stream)>,
    /// The targets and hashes where the products are added, and where they overwrite.
    added: (Vec<Vec<u8>>, Vec<u128>),
    written: (Vec<Vec<u8>>, Vec<u128>),
}

/// Each stream once, and some of them under a second key.
fn every_stream(seed: u64, rows: usize, columns: usize) -> Vec<(u128, Stream)> {
    let targets = (0..rows).flat_map(|i| [Stream::Product(i), Stream::Target(i)]);
    let once: Vec<_> = (0..columns).map(Stream::Source).chain(targets).collect();
    let twice = once.iter().step_by(3);
    let streams = once.iter().rev().chain(twice).enumerate();
    streams.map(|(i, stream)| (r(seed, i), *stream)).collect()
}

fn r(seed: u64, i: usize) -> u128 {
    let bytes = samples::bytes(seed ^ 0x5eed ^ (i as u64) << 20, 16);
    u128::from_le_bytes(bytes.try_into().expect("a block"))
}

impl Case {
    fn new(seed: u64, rows: usize, columns: usize, len: usize) -> Self {
        let matrix = Matrix::new(rows, columns, samples::bytes(seed, rows * columns));
        let matrix = matrix.expect("not empty");
        let stream = |i: usize| samples::bytes(seed ^ (i as u64 + 1) << 32, len);
        let targets: Vec<_> = (0..rows).map(stream).collect();
        let sources: Vec<_> = (rows..rows + columns).map(stream).collect();
        let hashed = every_stream(seed, rows, columns);
        let [added, written] = [true, false].map(|adds| {
            let from: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let zero = vec![0; len];
            let product = |i: usize| naive::dot(matrix.row(i), &zero, &from);
            let products: Vec<_> = (0..rows).map(product).collect();
            let ends = |i: usize| match adds {
                true => naive::dot(matrix.row(i), &targets[i], &from),
                false => products[i].clone(),
            };
            let ends: Vec<_> = (0..rows).map(ends).collect();
            let hash = |(r, stream): &(u128, Stream)| match *stream {
                Stream::Source(i) => naive::poly(*r, &[&sources[i]]),
                Stream::Product(i) => naive::poly(*r, &[&products[i]]),
                Stream::Target(i) => naive::poly(*r, &[&ends[i]]),
            };
            let hashes = hashed.iter().map(hash).collect();
            (ends, hashes)
        });
        Self { matrix, targets, sources, hashed, added, written }
    }

    fn check(&self, isa: Isa, skew: usize) {
        for adds in [true, false] {
            let at = |i: usize| (skew + 5 * i) % 64;
            let guard = |(i, stream): (usize, &Vec<u8>)| Guarded::new(stream, at(i));
            let mut targets: Vec<_> = self.targets.iter().enumerate().map(guard).collect();
            let sources: Vec<_> = self.sources.iter().enumerate().map(guard).collect();
            let key = |(r, _): &(u128, Stream)| PolyHash::new(isa, &r.to_le_bytes());
            let keys: Vec<_> = self.hashed.iter().map(key).collect();
            let streams = self.hashed.iter().map(|(_, stream)| *stream);
            let mut hashes: Vec<_> =
                keys.iter().zip(streams).map(|(key, of)| StreamHash::new(key, of)).collect();
            {
                let mut to: Vec<_> = targets.iter_mut().map(Guarded::stream_mut).collect();
                let from: Vec<_> = sources.iter().map(Guarded::stream).collect();
                let run = if adds { weave } else { weave_into };
                run(isa, &self.matrix, &mut to, &from, &mut hashes);
            }
            let (ends, sums) = if adds { &self.added } else { &self.written };
            let (rows, columns) = (self.matrix.rows(), self.matrix.columns());
            let name = format!("{isa:?}, {rows} by {columns}, {} bytes, {skew}", ends[0].len());
            for (target, end) in targets.iter().zip(ends) {
                target.assert_guards();
                assert!(target.stream() == end, "a target: {name}");
            }
            for (source, before) in sources.iter().zip(&self.sources) {
                source.assert_guards();
                assert!(source.stream() == before, "a source was written to: {name}");
            }
            for ((hash, sum), (_, of)) in hashes.iter().zip(sums).zip(&self.hashed) {
                assert!(u128::from_le_bytes(hash.sum()) == *sum, "{of:?}, {name}");
            }
        }
    }
}

#[test]
fn every_shape_to_seven_by_ten() {
    for (rows, columns) in (1..=7).flat_map(|rows| (1..=10).map(move |columns| (rows, columns))) {
        let case = Case::new((rows * 100 + columns) as u64, rows, columns, 2048 + 333);
        for isa in samples::isas() {
            case.check(isa, 3 * rows + columns);
        }
    }
}

#[test]
fn lengths_around_blocks_groups_and_tiles() {
    let around = [16, 64, 512, 1024, 2048, 4096, 6144].into_iter();
    for len in around.flat_map(|len| len - 2..=len + 2).chain([0, 1, 7, 8, 9, 63, 100, 9999]) {
        let case = Case::new(len as u64, 3, 3, len);
        for isa in samples::isas() {
            case.check(isa, len % 64);
        }
    }
}

#[test]
fn every_alignment() {
    let case = Case::new(8, 2, 3, 2048 + 131);
    for skew in 0..64 {
        for isa in samples::isas() {
            case.check(isa, skew);
        }
    }
}

#[test]
fn shapes_beyond_what_lies_ready() {
    for (rows, columns) in [(1, 70), (9, 17), (33, 3)] {
        let case = Case::new(4, rows, columns, 2100);
        for isa in samples::isas() {
            case.check(isa, 0);
        }
    }
}

#[test]
fn a_hash_is_woven_anew_and_goes_on_towards_the_front() {
    let matrix = Matrix::new(1, 1, vec![1]).expect("one by one");
    let (front, content) = (samples::bytes(1, 40), samples::bytes(2, 5000));
    for isa in samples::isas() {
        let key = PolyHash::new(isa, &[0xB7; 16]);
        let mut hashes = [StreamHash::new(&key, Stream::Product(0))];
        for _ in 0..2 {
            let mut target = vec![0; content.len()];
            weave(isa, &matrix, &mut [&mut target], &[&content], &mut hashes);
            let whole = key.poly_before(&[&front], &hashes[0].sum());
            assert_eq!(whole, key.poly(&[&front, &content]), "{isa:?}");
        }
        assert_eq!(key.poly_before(&[&front], &[0; 16]), key.poly(&[&front]));
        assert_eq!(key.poly_before(&[], &[9; 16]), [9; 16]);
    }
}

#[test]
fn what_does_not_match_panics() {
    let matrix = Matrix::new(2, 1, vec![1, 2]).expect("two by one");
    let panics = |isa: Isa, key: Isa, of: Stream, lens: &[usize], sources: &[&[u8]]| {
        let key = PolyHash::new(key, &[1; 16]);
        let mut targets: Vec<_> = lens.iter().map(|len| vec![0; *len]).collect();
        let mut to: Vec<_> = targets.iter_mut().map(Vec::as_mut_slice).collect();
        let mut hashes = [StreamHash::new(&key, of)];
        let call = || weave(isa, &matrix, &mut to, sources, &mut hashes);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err()
    };
    let isas = samples::isas();
    for isa in isas.iter().copied() {
        assert!(!panics(isa, isa, Stream::Target(1), &[2, 2], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Target(2), &[2, 2], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Product(2), &[2, 2], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Source(1), &[2, 2], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Source(0), &[2], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Source(0), &[2, 3], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Source(0), &[1, 1], &[&[1, 2]]));
        assert!(panics(isa, isa, Stream::Source(0), &[2, 2], &[]));
        for other in isas.iter().copied().filter(|other| *other != isa) {
            assert!(panics(isa, other, Stream::Source(0), &[2, 2], &[&[1, 2]]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_shape_is_as_defined(
        seed: u64, rows in 1..6usize, columns in 1..8usize, len in 0..5000usize, skew in 0..64usize
    ) {
        let case = Case::new(seed, rows, columns, len);
        for isa in samples::isas() {
            case.check(isa, skew);
        }
    }
}
