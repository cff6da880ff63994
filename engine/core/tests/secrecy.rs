//! SECRECY at the level of symbols: what any k - 1 shares show is the same for every secret.
//!
//! Counted exhaustively where that is possible, and settled by rank for every scheme up to n = 8:
//! with the secret fixed, the k - 1 shares of a view are an affine image of the k - 1 uniform pads,
//! so that the view is uniform exactly where that map is invertible.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use warifu_core::sharing::{SplitPlan, evaluation_matrix};
use warifu_core::{Threshold, XCoord};
use warifu_kernels::{Isa, dot, gf256};

fn x(value: usize) -> XCoord {
    XCoord::new(value as u8).unwrap()
}

/// All ways of choosing `k` of `0..n`.
fn combinations(n: usize, k: usize) -> Vec<Vec<usize>> {
    let sets = (0..1_u32 << n).filter(|set| set.count_ones() as usize == k);
    sets.map(|set| (0..n).filter(|i| set >> i & 1 == 1).collect()).collect()
}

/// The pad and the computed coordinates of `1..=n` where `pads` holds the indices of the pads.
fn roles(n: usize, pads: &[usize]) -> (Vec<XCoord>, Vec<XCoord>) {
    let (pads, computed): (Vec<_>, Vec<_>) = (0..n).partition(|index| pads.contains(index));
    (pads.iter().map(|i| x(i + 1)).collect(), computed.iter().map(|i| x(i + 1)).collect())
}

/// All n share streams, pads first, for a secret stream and pad streams.
fn split(n: usize, pads_at: &[usize], secret: &[u8], pads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (pad_xs, computed_xs) = roles(n, pads_at);
    let threshold = Threshold::new(pads.len() as u32 + 1, n as u32).unwrap();
    let plan = SplitPlan::new(threshold, &pad_xs, &computed_xs).unwrap();
    let mut computed = vec![vec![0; secret.len()]; computed_xs.len()];
    let sources: Vec<&[u8]> =
        std::iter::once(secret).chain(pads.iter().map(Vec::as_slice)).collect();
    let mut targets: Vec<&mut [u8]> = computed.iter_mut().map(Vec::as_mut_slice).collect();
    dot(Isa::best(), plan.matrix(), &mut targets, &sources);
    pads.iter().cloned().chain(computed).collect()
}

#[test]
fn one_share_of_k2_is_uniform_for_every_secret() {
    let secret: Vec<u8> = (0..=65_535_u16).map(|i| (i >> 8) as u8).collect();
    let pad: Vec<u8> = (0..=65_535_u16).map(|i| i as u8).collect();
    for n in 2..=5 {
        for pad_at in 0..n {
            for share in split(n, &[pad_at], &secret, std::slice::from_ref(&pad)) {
                for of_one_secret in share.chunks_exact(256) {
                    let mut seen = [0_u32; 256];
                    of_one_secret.iter().for_each(|&value| seen[usize::from(value)] += 1);
                    assert_eq!(seen, [1; 256], "n = {n}, pad at {}", pad_at + 1);
                }
            }
        }
    }
}

#[test]
fn two_shares_of_k3_are_uniform_for_sampled_secrets() {
    let pads: [Vec<u8>; 2] = [
        (0..=65_535_u16).map(|i| (i >> 8) as u8).collect(),
        (0..=65_535_u16).map(|i| i as u8).collect(),
    ];
    for n in 3..=5 {
        for pads_at in combinations(n, 2) {
            for secret in (0..16_u8).map(|i| i * 17) {
                let shares = split(n, &pads_at, &vec![secret; 65_536], &pads);
                for view in combinations(n, 2) {
                    let mut seen = vec![false; 65_536];
                    for (&a, &b) in shares[view[0]].iter().zip(&shares[view[1]]) {
                        let twice = std::mem::replace(
                            &mut seen[usize::from(a) << 8 | usize::from(b)],
                            true,
                        );
                        assert!(
                            !twice,
                            "n = {n}, pads {pads_at:?}, view {view:?}, secret {secret}"
                        );
                    }
                }
            }
        }
    }
}

/// The control of the tests above: k shares do depend on the secret, and the count sees it.
#[test]
fn two_shares_of_k2_are_far_from_uniform() {
    let pad: Vec<u8> = (0..=255).collect();
    let mut views = vec![0_u32; 65_536];
    for secret in 0..=255_u8 {
        let shares = split(3, &[0], &[secret; 256], std::slice::from_ref(&pad));
        for (&a, &b) in shares[1].iter().zip(&shares[2]) {
            views[usize::from(a) << 8 | usize::from(b)] += 1;
        }
    }
    assert!(views.iter().all(|&count| count == 1), "each view belongs to one secret alone");
}

#[test]
fn every_view_of_every_scheme_up_to_8_is_a_bijection_of_the_pads() {
    for n in 2..=8 {
        for k in 2..=n {
            for pads_at in combinations(n, k - 1) {
                let (pads, computed) = roles(n, &pads_at);
                let threshold = Threshold::new(k as u32, n as u32).unwrap();
                let plan = SplitPlan::new(threshold, &pads, &computed).unwrap();
                let unit = |pad: usize| (0..k - 1).map(|i| u8::from(i == pad)).collect();
                let of_pads: Vec<Vec<u8>> = (0..k - 1)
                    .map(unit)
                    .chain((0..n - k + 1).map(|row| plan.matrix().row(row)[1..].to_vec()))
                    .collect();
                for view in combinations(n, k - 1) {
                    let rows: Vec<Vec<u8>> = view.iter().map(|i| of_pads[*i].clone()).collect();
                    assert!(is_invertible(rows), "{k}/{n}, pads {pads_at:?}, view {view:?}");
                }
                let secret_reaches_all = (0..n - k + 1).all(|row| plan.matrix().row(row)[0] != 0);
                assert!(secret_reaches_all, "{k}/{n}: a computed share without the secret");
            }
        }
    }
}

/// The weights of the shares at `1..=helpers` for the share at `at`.
fn weights(helpers: usize, at: usize) -> Vec<u8> {
    let xs: Vec<XCoord> = (1..=helpers).map(x).collect();
    let matrix = evaluation_matrix(&xs, &[x(at)]).unwrap();
    (0..helpers).map(|place| matrix.coefficient(0, place)).collect()
}

/// Two sites work a share out for a third, which keeps what it gets. For every secret and every
/// polynomial, what it sees is one uniform byte and the sum, which is the share.
#[test]
fn two_contributions_show_their_sum_alone() {
    let weights = weights(2, 3);
    for secret in 0..=255_u8 {
        for slope in 0..=255_u8 {
            let share = |x: u8| secret ^ gf256::mul(slope, x);
            let mut seen = [0_u32; 256];
            for blind in 0..=255_u8 {
                let one = gf256::mul(weights[0], share(1)) ^ blind;
                let two = gf256::mul(weights[1], share(2)) ^ blind;
                assert_eq!(one ^ two, share(3));
                seen[usize::from(one)] += 1;
            }
            assert_eq!(seen, [1; 256], "secret {secret}, slope {slope}");
        }
    }
}

/// Of three helpers the third is in league with the target: together they hold two shares of a
/// scheme in which three join, and the third's blinds. Whichever of the 256 polynomials through
/// these two shares it is, so whichever secret, they see the other contributions in the same way.
#[test]
fn a_helper_in_league_with_the_target_learns_nothing_more() {
    let weights = weights(3, 4);
    let through = evaluation_matrix(&[x(1), x(3), x(4)], &[x(2)]).unwrap();
    let (blind_13, blind_23) = (0x5a_u8, 0xc3_u8);
    for (third, target) in (0..16_u8).map(|at| (at.wrapping_mul(37), at.wrapping_mul(91) ^ 0x1d)) {
        let mut views = Vec::new();
        for first in 0..=255_u8 {
            let known = [first, third, target];
            let second = (0..3).fold(0, |sum, place| {
                sum ^ gf256::mul(through.coefficient(0, place), known[place])
            });
            let mut view: Vec<(u8, u8)> = (0..=255_u8)
                .map(|blind_12| {
                    let one = gf256::mul(weights[0], first) ^ blind_12 ^ blind_13;
                    let two = gf256::mul(weights[1], second) ^ blind_12 ^ blind_23;
                    let three = gf256::mul(weights[2], third) ^ blind_13 ^ blind_23;
                    assert_eq!(one ^ two ^ three, target, "the sum is the share");
                    (one, two)
                })
                .collect();
            view.sort_unstable();
            views.push(view);
        }
        assert!(views.windows(2).all(|pair| pair[0] == pair[1]), "shares {third}, {target}");
    }
}

/// The control of the two tests above: unblinded, the contributions do tell the polynomials apart.
#[test]
fn contributions_without_blinds_tell_the_secret() {
    let weights = weights(2, 3);
    let mut seen = std::collections::BTreeSet::new();
    for secret in 0..=255_u8 {
        for slope in 0..=255_u8 {
            let share = |x: u8| secret ^ gf256::mul(slope, x);
            seen.insert((gf256::mul(weights[0], share(1)), gf256::mul(weights[1], share(2))));
        }
    }
    assert_eq!(seen.len(), 65_536, "each view belongs to one secret alone");
}

/// Gaussian elimination over GF(2^8).
fn is_invertible(mut rows: Vec<Vec<u8>>) -> bool {
    for column in 0..rows.len() {
        let Some(pivot) = (column..rows.len()).find(|row| rows[*row][column] != 0) else {
            return false;
        };
        rows.swap(column, pivot);
        let inverse = gf256::inv(rows[column][column]);
        let pivot_row: Vec<u8> =
            rows[column].iter().map(|cell| gf256::mul(*cell, inverse)).collect();
        for row in &mut rows[column + 1..] {
            let factor = row[column];
            for (cell, pivot_cell) in row.iter_mut().zip(&pivot_row) {
                *cell ^= gf256::mul(factor, *pivot_cell);
            }
        }
    }
    true
}

#[test]
fn rank_is_judged_rightly() {
    assert!(is_invertible(vec![vec![0, 1], vec![1, 0]]));
    assert!(!is_invertible(vec![vec![1, 2], vec![2, 4]]));
    assert!(!is_invertible(vec![vec![0, 0], vec![0, 1]]));
}
