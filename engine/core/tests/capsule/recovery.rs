//! GENUINE for the capsule: any k honest shares recover it, liars are named.

use crate::samples::{capsule, encoded, head, noise, paired, part, shares, x};
use proptest::prelude::*;
use warifu_core::Threshold;
use warifu_core::XCoord;
use warifu_core::capsule::{CapsuleError, Recovered, decode_part, recover_capsule, recover_part};
use warifu_core::sharing::{SharingError, join_matrix};
use warifu_kernels::{Isa, gf256};

fn recovered(k: usize, shares: &[(XCoord, &[u8])]) -> Result<Recovered, CapsuleError> {
    recover_part(Isa::best(), k, shares)
}

fn failure(k: usize, shares: &[(XCoord, &[u8])]) -> CapsuleError {
    recovered(k, shares).map(|_| ()).unwrap_err()
}

fn xs(values: &[u8]) -> Vec<XCoord> {
    values.iter().map(|value| x(*value)).collect()
}

proptest! {
    #[test]
    fn any_k_of_n_recover_in_any_order(
        (k, n) in (2usize..=8).prop_flat_map(|n| (2..=n, Just(n))),
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        more in 0usize..=6,
    ) {
        let (content, shares) = part(k, n);
        let all = paired(&shares);
        let count = (k + more).min(n);
        let present = order.iter().filter(|i| **i < n);
        let chosen: Vec<_> = present.take(count).map(|i| all[*i]).collect();
        let found = recovered(k, &chosen).unwrap();
        prop_assert_eq!(&found.content[..], &content[..]);
        prop_assert!(found.outliers.is_empty() && !found.disputed);
        prop_assert_eq!(
            failure(k, &chosen[..k - 1]),
            CapsuleError::TooFew { needed: k, got: k - 1 }
        );
    }

    #[test]
    fn one_or_two_liars_are_named_wherever_they_sit(
        k in 2usize..=4, liars in prop::collection::btree_set(0usize..8, 1..=2),
        errors in prop::collection::vec(1u8.., 2), at in 0usize..80,
    ) {
        let (content, mut shares) = part(k, 8);
        for (liar, error) in liars.iter().zip(errors) {
            shares[*liar][at] ^= error;
        }
        let found = recovered(k, &paired(&shares)).unwrap();
        prop_assert_eq!(&found.content[..], &content[..]);
        prop_assert_eq!(found.outliers, liars.iter().map(|i| x(*i as u8 + 1)).collect::<Vec<_>>());
        prop_assert!(!found.disputed);
    }
}

#[test]
fn every_altered_byte_of_a_part_or_of_a_share_is_found() {
    let (_, shares) = part(2, 3);
    let capsule = capsule(head(2, 2, 4096, 0));
    let bytes = encoded(&capsule);
    let head_bytes = capsule.shape().head_bytes as usize;
    for part in [&bytes[..head_bytes], &bytes[head_bytes..head_bytes + 80]] {
        assert!(decode_part(Isa::best(), part).is_ok());
        for at in 0..part.len() {
            for error in [1, 0x80, 0xFF] {
                let mut altered = part.to_vec();
                altered[at] ^= error;
                assert!(decode_part(Isa::best(), &altered).is_err(), "byte {at}");
            }
        }
    }
    for at in 0..shares[0].len() {
        let mut altered = shares[0].clone();
        altered[at] ^= 1;
        let two = [(x(1), altered.as_slice()), (x(3), shares[2].as_slice())];
        assert_eq!(failure(2, &two), CapsuleError::NoSubset { needed: 2, got: 2, tried: 1 });
    }
}

/// Numbers made with Python's integers: content, x, f for d = 1, 3, 5.
#[test]
fn codes_are_those_of_another_tool() {
    let golden = [
        (1, "fb5099123b1275780bb0d32902d05067"),
        (3, "f61cad31a3ecfeee1daa78c2d0511669"),
        (5, "24ed7d28052f52bcc5891727ace7715f"),
    ];
    for isa in Isa::available() {
        for (d, code) in golden {
            let content: Vec<u8> = (0..16 * d).map(|i| (i * 29 + d) as u8).collect();
            let point = (200..216).collect::<Vec<u8>>();
            let code = u128::from_str_radix(code, 16).unwrap().to_be_bytes();
            let part = [content.as_slice(), &point, &code].concat();
            assert_eq!(decode_part(isa, &part).unwrap(), content, "{isa:?}, d = {d}");
        }
    }
}

#[test]
fn lengths_that_no_part_has_are_damaged() {
    for len in (0..100).chain([128, 4096]) {
        let is_length_of_a_part = len % 16 == 0 && len / 16 % 2 == 1 && len >= 48;
        // All zeros but the code x = 0, f = 0 is a valid part of that length.
        assert_eq!(decode_part(Isa::best(), &vec![0; len]).is_ok(), is_length_of_a_part, "{len}");
    }
}

/// Errors of the shares at x = 1 and 2 that cancel when `with` joins.
fn conspire(shares: &mut [Vec<u8>], with: &[u8]) {
    let matrix = join_matrix(&xs(with)).unwrap();
    let ratio = gf256::mul(matrix.coefficient(0, 0), gf256::inv(matrix.coefficient(0, 1)));
    for at in 0..shares[0].len() {
        shares[0][at] ^= 0x5A;
        shares[1][at] ^= gf256::mul(0x5A, ratio);
    }
}

#[test]
fn conspirators_who_spare_one_subset_cannot_frame_the_majority() {
    let (content, mut shares) = part(3, 6);
    conspire(&mut shares, &[1, 2, 3]);
    let found = recovered(3, &paired(&shares)).unwrap();
    assert_eq!(&found.content[..], &content[..]);
    assert_eq!(found.outliers, xs(&[1, 2]));
    assert!(!found.disputed);
}

#[test]
fn a_tie_between_liars_and_honest_is_disputed_but_the_content_is_right() {
    let (content, mut shares) = part(3, 5);
    conspire(&mut shares, &[1, 2, 3]);
    let found = recovered(3, &paired(&shares)).unwrap();
    assert_eq!(&found.content[..], &content[..]);
    assert!(found.disputed);
    assert_eq!(found.outliers.len(), 2);
}

#[test]
fn few_liars_among_very_many_shares_are_named() {
    let (content, mut shares) = part(20, 40);
    for liar in [3, 9, 17, 26, 33] {
        shares[liar][5] ^= 1;
    }
    let found = recovered(20, &paired(&shares)).unwrap();
    assert_eq!(&found.content[..], &content[..]);
    assert_eq!(found.outliers, xs(&[4, 10, 18, 27, 34]));
}

#[test]
fn hopeless_searches_end() {
    let (_, mut shares) = part(20, 40);
    for liar in (1..40).step_by(2).chain([0]) {
        let errors = noise(liar as u64, shares[liar].len());
        shares[liar].iter_mut().zip(errors).for_each(|(byte, error)| *byte ^= error);
    }
    let CapsuleError::NoSubset { tried, .. } = failure(20, &paired(&shares)) else {
        panic!("twenty-one liars of forty leave no twenty honest");
    };
    assert!((1_000..=10_000).contains(&tried), "{tried}");
}

#[test]
fn malformed_sets_are_refused_by_type() {
    let (_, shares) = part(2, 3);
    let all = paired(&shares);
    assert_eq!(failure(2, &[]), CapsuleError::TooFew { needed: 2, got: 0 });
    assert_eq!(failure(0, &[]), CapsuleError::TooFew { needed: 2, got: 0 });
    assert_eq!(failure(usize::MAX, &all), CapsuleError::TooFew { needed: usize::MAX, got: 3 });
    assert_eq!(failure(2, &[all[0], (x(2), &all[1].1[1..])]), CapsuleError::Lengths);
    let twice = CapsuleError::Sharing(SharingError::Repeated { x: x(1) });
    assert_eq!(failure(2, &[all[0], all[1], all[0]]), twice);
    let nothing: Vec<(XCoord, &[u8])> = vec![(x(1), &[]), (x(2), &[])];
    assert_eq!(failure(2, &nothing), CapsuleError::NoSubset { needed: 2, got: 2, tried: 1 });
}

#[test]
fn whole_capsules_come_back_and_name_all_liars() {
    let original = capsule(head(3, 5, 70 << 20, 1));
    let (shape, threshold) = (original.shape(), original.head().threshold);
    let bytes = encoded(&original);
    assert_eq!(bytes.len() as u64, shape.capsule_bytes(threshold));
    let mut shares = shares(3, 5, &bytes);
    let recover =
        |shares: &[Vec<u8>]| recover_capsule(Isa::best(), threshold, shape, &paired(shares));
    let check = |shares: &[Vec<u8>], liars: &[u8], disputed: bool| {
        let found = recover(shares).unwrap();
        assert_eq!(found.capsule.head(), original.head());
        for (verdict, expected) in found.capsule.verdicts().iter().zip(original.verdicts()) {
            assert!(verdict.r == expected.r, "r of {:?}", expected.x);
            assert_eq!((verdict.x, &verdict.hashes), (expected.x, &expected.hashes));
            assert_eq!(verdict.masks, expected.masks);
            assert_eq!(verdict.masks.len(), 1);
        }
        assert_eq!((found.outliers, found.disputed), (xs(liars), disputed));
    };
    check(&shares, &[], false);
    check(&shares[..3], &[], false);
    shares[4].truncate(100);
    check(&shares, &[5], false);
    let last = shares[1].len() - 1;
    shares[1][last] ^= 1;
    check(&shares, &[2, 5], false);
    shares[3][0] ^= 1;
    check(&shares, &[2, 4, 5], false);
    shares[3][last] ^= 1;
    let refused = recover(&shares).map(|_| ()).unwrap_err();
    assert_eq!(refused, CapsuleError::NoSubset { needed: 3, got: 4, tried: 4 });
}

#[test]
fn sites_cannot_pass_off_another_scheme_or_shape() {
    let original = capsule(head(2, 3, 4096, 0));
    let (shape, threshold) = (original.shape(), original.head().threshold);
    let shares = shares(2, 3, &encoded(&original));
    let all = paired(&shares);
    let other = Threshold::new(2, 4).unwrap();
    let longer: Vec<Vec<u8>> = shares
        .iter()
        .map(|share| [share.as_slice(), &vec![0; shape.verdict_bytes as usize]].concat())
        .collect();
    let refused = recover_capsule(Isa::best(), other, shape, &paired(&longer)).map(|_| ());
    let contradiction = CapsuleError::Contradiction { what: "the threshold" };
    assert_eq!(refused.unwrap_err(), contradiction);
    let k3 = Threshold::new(3, 3).unwrap();
    assert!(recover_capsule(Isa::best(), k3, shape, &all).is_err());
    let mut shifted = shape;
    shifted.head_bytes += 32;
    let refused = recover_capsule(Isa::best(), threshold, shifted, &all).map(|_| ());
    assert_eq!(refused.unwrap_err(), CapsuleError::TooFew { needed: 2, got: 0 });
}
