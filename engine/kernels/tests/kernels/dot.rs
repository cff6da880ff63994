//! `dot` against the definition, in every shape, length and alignment.

use crate::{naive, samples};
use proptest::prelude::*;
use samples::Guarded;
use warifu_kernels::{Isa, Matrix, dot};

fn refs(streams: &[Guarded]) -> Vec<&[u8]> {
    streams.iter().map(Guarded::stream).collect()
}

/// Runs `dot` over guarded copies, target i and source j skewed differently.
fn run(
    isa: Isa,
    matrix: &Matrix,
    targets: &[Vec<u8>],
    sources: &[&[u8]],
    skew: usize,
) -> Vec<Vec<u8>> {
    let mut guarded: Vec<_> =
        targets.iter().enumerate().map(|(i, t)| Guarded::new(t, (skew + 5 * i) % 64)).collect();
    let skewed: Vec<_> =
        sources.iter().enumerate().map(|(j, s)| Guarded::new(s, (skew * 7 + 3 * j) % 64)).collect();
    let mut to: Vec<_> = guarded.iter_mut().map(Guarded::stream_mut).collect();
    dot(isa, matrix, &mut to, &refs(&skewed));
    for (stream, source) in skewed.iter().zip(sources) {
        stream.assert_guards();
        assert!(stream.stream() == *source, "a source was written to");
    }
    for stream in &guarded {
        stream.assert_guards();
    }
    guarded.iter().map(|stream| stream.stream().to_vec()).collect()
}

struct Case {
    matrix: Matrix,
    targets: Vec<Vec<u8>>,
    sources: Vec<Vec<u8>>,
}

impl Case {
    fn new(seed: u64, rows: usize, columns: usize, len: usize) -> Self {
        let matrix = Matrix::new(rows, columns, samples::bytes(seed, rows * columns));
        let stream = |i: usize| samples::bytes(seed ^ (i as u64 + 1) << 32, len);
        Self {
            matrix: matrix.expect("not empty"),
            targets: (0..rows).map(stream).collect(),
            sources: (rows..rows + columns).map(stream).collect(),
        }
    }

    fn sources(&self) -> Vec<&[u8]> {
        self.sources.iter().map(Vec::as_slice).collect()
    }

    fn expected(&self) -> Vec<Vec<u8>> {
        let each = self.targets.iter().enumerate();
        each.map(|(i, t)| naive::dot(self.matrix.row(i), t, &self.sources())).collect()
    }

    fn check(&self, isa: Isa, skew: usize, expected: &[Vec<u8>]) {
        let (rows, columns) = (self.matrix.rows(), self.matrix.columns());
        let found = run(isa, &self.matrix, &self.targets, &self.sources(), skew);
        let len = self.targets[0].len();
        let name = isa.name();
        assert!(found == expected, "{name}, {rows} by {columns}, {len} bytes, skew {skew}");
    }
}

#[test]
fn every_length_at_every_alignment() {
    let isas = samples::isas();
    for len in 0..=300 {
        for (rows, columns) in [(1, 1), (3, 3)] {
            let case = Case::new(len as u64, rows, columns, len);
            let expected = case.expected();
            for skew in 0..64 {
                for isa in &isas {
                    case.check(*isa, skew, &expected);
                }
            }
        }
    }
}

#[test]
fn every_shape_to_ten_by_ten() {
    for (rows, columns) in (1..=10).flat_map(|rows| (1..=10).map(move |columns| (rows, columns))) {
        for len in [1, 63, 64, 65, 333] {
            let case = Case::new((rows * 100 + columns) as u64, rows, columns, len);
            let expected = case.expected();
            for isa in samples::isas() {
                case.check(isa, 64 - rows, &expected);
            }
        }
    }
}

#[test]
fn long_streams_across_tiles() {
    let tile = 32 * 1024;
    for len in [4095, 4096, 4097, 5000, tile - 1, tile, tile + 1, 2 * tile + 77] {
        let case = Case::new(len as u64, 3, 5, len);
        let expected = case.expected();
        for isa in samples::isas() {
            case.check(isa, 0, &expected);
            case.check(isa, 1, &expected);
        }
    }
}

#[test]
fn a_whole_chunk() {
    let case = Case::new(20, 3, 3, 1 << 20);
    let expected = case.expected();
    for isa in samples::isas() {
        case.check(isa, 0, &expected);
    }
}

#[test]
fn large_shapes() {
    for (rows, columns) in [(1, 254), (254, 1), (17, 33)] {
        let case = Case::new(7, rows, columns, 130);
        let expected = case.expected();
        for isa in samples::isas() {
            case.check(isa, 11, &expected);
        }
    }
}

/// Adding twice is adding nothing: only so if targets are added to, not overwritten.
#[test]
fn it_accumulates() {
    let case = Case::new(3, 3, 3, 1000);
    for isa in samples::isas() {
        let once = run(isa, &case.matrix, &case.targets, &case.sources(), 9);
        assert!(once != case.targets);
        let twice = run(isa, &case.matrix, &once, &case.sources(), 9);
        assert!(twice == case.targets);
    }
}

#[test]
fn all_products() {
    let all: Vec<u8> = (0..=255).collect();
    for isa in samples::isas() {
        for a in 0..=255 {
            let matrix = Matrix::new(1, 1, vec![a]).expect("one by one");
            let mut target = [0; 256];
            dot(isa, &matrix, &mut [&mut target], &[&all]);
            assert!(target.iter().zip(&all).all(|(p, b)| *p == naive::mul8(a, *b)), "{isa:?} {a}");
        }
    }
}

#[test]
fn shapes_that_do_not_match_panic() {
    let matrix = Matrix::new(2, 1, vec![1, 2]).expect("two by one");
    let panics = |isa, lens: &[usize], sources: &[&[u8]]| {
        let mut targets: Vec<_> = lens.iter().map(|len| vec![0; *len]).collect();
        let mut to: Vec<_> = targets.iter_mut().map(Vec::as_mut_slice).collect();
        let call = std::panic::AssertUnwindSafe(|| dot(isa, &matrix, &mut to, sources));
        std::panic::catch_unwind(call).is_err()
    };
    for isa in samples::isas() {
        assert!(!panics(isa, &[2, 2], &[&[1, 2]]));
        assert!(panics(isa, &[2], &[&[1, 2]]));
        assert!(panics(isa, &[2, 2, 2], &[&[1, 2]]));
        assert!(panics(isa, &[2, 3], &[&[1, 2]]));
        assert!(panics(isa, &[3, 3], &[&[1, 2]]));
        assert!(panics(isa, &[1, 1], &[&[1, 2]]));
        assert!(panics(isa, &[2, 2], &[]));
        assert!(panics(isa, &[2, 2], &[&[1, 2], &[1, 2]]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_shape_is_as_defined(
        seed: u64, rows in 1..12usize, columns in 1..12usize, len in 0..600usize, skew in 0..64usize
    ) {
        let case = Case::new(seed, rows, columns, len);
        let expected = case.expected();
        for isa in samples::isas() {
            case.check(isa, skew, &expected);
        }
    }
}
