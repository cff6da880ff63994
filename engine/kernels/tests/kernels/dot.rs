//! `dot` against the definition, in every shape, length and alignment.

use crate::{naive, samples};
use proptest::prelude::*;
use samples::Guarded;
use warifu_kernels::{Isa, Matrix, Write, dot, dot_into, gf256};

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
    let by = |to: &mut [&mut [u8]], from: &[&[u8]]| dot(isa, matrix, to, from);
    guarded(by, targets, sources, skew, 5)
}

/// Runs `work` over guarded copies: target i lies `apart * i` bytes further than the first does.
fn guarded(
    work: impl Fn(&mut [&mut [u8]], &[&[u8]]),
    targets: &[Vec<u8>],
    sources: &[&[u8]],
    skew: usize,
    apart: usize,
) -> Vec<Vec<u8>> {
    let place = |i: usize| (skew + apart * i) % 64;
    let mut guarded: Vec<_> =
        targets.iter().enumerate().map(|(i, t)| Guarded::new(t, place(i))).collect();
    let skewed: Vec<_> =
        sources.iter().enumerate().map(|(j, s)| Guarded::new(s, (skew * 7 + 3 * j) % 64)).collect();
    let mut to: Vec<_> = guarded.iter_mut().map(Guarded::stream_mut).collect();
    work(&mut to, &refs(&skewed));
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

    /// The shares of a secret, x from 1.
    fn shares(rows: usize, columns: usize, len: usize) -> Self {
        let matrix = Matrix::shares(rows, columns).expect("a scheme");
        Self { matrix, ..Self::new((rows * 31 + columns) as u64, rows, columns, len) }
    }

    /// What targets are overwritten with.
    fn product(&self) -> Vec<Vec<u8>> {
        let nothing = vec![0; self.targets[0].len()];
        let rows = 0..self.matrix.rows();
        rows.map(|i| naive::dot(self.matrix.row(i), &nothing, &self.sources())).collect()
    }

    /// `dot_into` both ways, with targets that lie alike and that don't.
    fn check_into(&self, isa: Isa, skew: usize, product: &[Vec<u8>]) {
        for (write, apart) in [(Write::Cached, 3), (Write::Streamed, 0), (Write::Streamed, 7)] {
            let by =
                |to: &mut [&mut [u8]], from: &[&[u8]]| dot_into(isa, &self.matrix, to, from, write);
            let found = guarded(by, &self.targets, &self.sources(), skew, apart);
            let (rows, columns, len) =
                (self.matrix.rows(), self.matrix.columns(), self.targets[0].len());
            let name = isa.name();
            assert!(
                found == product,
                "{name}, {write:?}, {rows} by {columns}, {len} bytes, skew {skew}, {apart} apart"
            );
        }
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
fn targets_are_overwritten_at_every_alignment() {
    for (len, (rows, columns)) in (0..=300).step_by(3).zip([(1, 2), (3, 2), (5, 3)].iter().cycle())
    {
        let case = Case::new(len as u64, *rows, *columns, len);
        let product = case.product();
        for skew in 0..64 {
            for isa in samples::isas() {
                case.check_into(isa, skew, &product);
            }
        }
    }
}

#[test]
fn targets_are_overwritten_in_every_shape() {
    for (rows, columns) in (1..=12).flat_map(|rows| (1..=8).map(move |columns| (rows, columns))) {
        for len in [1, 64, 333, 4096 + 77] {
            let case = Case::new((rows * 100 + columns) as u64, rows, columns, len);
            let product = case.product();
            for isa in samples::isas() {
                case.check_into(isa, rows + 40, &product);
            }
        }
    }
}

/// The way by pairs of rows: every scheme, every parity of rows and columns, added and overwritten.
#[test]
fn rows_in_pairs() {
    for (rows, columns) in (1..=13).flat_map(|rows| (1..=8).map(move |columns| (rows, columns))) {
        for len in [1, 65, 333, 2 * 4096 + 77] {
            let case = Case::shares(rows, columns, len);
            let (expected, product) = (case.expected(), case.product());
            for isa in samples::isas() {
                case.check(isa, columns + 7, &expected);
                case.check_into(isa, columns + 20, &product);
            }
        }
    }
}

/// A matrix that is nearly one of pairs has to be taken for what it is.
#[test]
fn rows_that_are_nearly_pairs() {
    let case = Case::shares(5, 5, 200);
    for cell in 0..25 {
        let mut cells: Vec<u8> = (0..5).flat_map(|row| case.matrix.row(row).to_vec()).collect();
        cells[cell] ^= 0x40;
        let matrix = Matrix::new(5, 5, cells).expect("five by five");
        let case = Case { matrix, ..Case::shares(5, 5, 200) };
        for isa in samples::isas() {
            case.check(isa, cell, &case.expected());
            case.check_into(isa, cell, &case.product());
        }
    }
}

/// Column j of the matrix of shares has degree j in x: the secret comes back by Lagrange's weights
/// from any `k` of them.
#[test]
fn shares_are_shamirs() {
    for (k, n) in [(2, 3), (3, 5), (4, 7), (5, 9), (6, 10)] {
        let case = Case::shares(n, k, 100);
        let shares = case.product();
        for first in 0..=n - k {
            let xs: Vec<u8> = (first as u8 + 1..).take(k).collect();
            let weight = |i: usize| {
                let others = xs.iter().filter(|x| **x != xs[i]);
                others.fold(1, |w, x| gf256::mul(w, gf256::mul(*x, gf256::inv(xs[i] ^ x))))
            };
            let row: Vec<u8> = (0..k).map(weight).collect();
            let from: Vec<&[u8]> = shares[first..][..k].iter().map(Vec::as_slice).collect();
            let joined = naive::dot(&row, &[0; 100], &from);
            assert!(joined == case.sources[0], "{k} of {n} from {first}");
        }
    }
    assert!(Matrix::shares(0, 2).is_none());
    assert!(Matrix::shares(2, 0).is_none());
    assert!(Matrix::shares(256, 2).is_none());
}

#[test]
fn long_streams_across_tiles() {
    let tile = 4 * 1024;
    for len in [tile - 1, tile, tile + 1, 5000, 2 * tile + 77] {
        let case = Case::new(len as u64, 7, 9, len);
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
        let into = |lens: [usize; 2]| {
            let mut targets = lens.map(|len| vec![7; len]);
            let call = std::panic::AssertUnwindSafe(|| {
                let mut to: Vec<_> = targets.iter_mut().map(Vec::as_mut_slice).collect();
                dot_into(isa, &matrix, &mut to, &[&[1, 2]], Write::Streamed);
            });
            let panicked = std::panic::catch_unwind(call).is_err();
            (panicked, targets.iter().flatten().any(|byte| *byte != 7))
        };
        assert_eq!(into([2, 2]), (false, true));
        assert_eq!(into([2, 3]), (true, false), "nothing is written where shapes don't match");
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
