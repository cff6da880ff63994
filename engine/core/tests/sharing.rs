//! Split and join for every scheme up to n = 8, against classic Shamir and another tool's numbers;
//! the at-rest hash of a share chunk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::sharing::{SharingError, SplitPlan, chunk_hash, evaluation_matrix, join_matrix};
use warifu_core::{Threshold, XCoord};
use warifu_kernels::{Isa, Matrix, PolyHash, dot};

fn x(value: u8) -> XCoord {
    XCoord::new(value).unwrap()
}

fn threshold(k: usize, n: usize) -> Threshold {
    Threshold::new(k as u32, n as u32).unwrap()
}

/// Bytes that differ from seed to seed (the 64-bit mixer of SplitMix).
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mix = |i: u64| {
        let mut z = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56
    };
    (0..len as u64).map(|i| mix(i) as u8).collect()
}

fn apply(matrix: &Matrix, sources: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut targets = vec![vec![0; sources[0].len()]; matrix.rows()];
    let mut slices: Vec<&mut [u8]> = targets.iter_mut().map(Vec::as_mut_slice).collect();
    dot(Isa::best(), matrix, &mut slices, sources);
    targets
}

/// A product in GF(2^8), a bit at a time.
fn naive_mul(a: u8, b: u8) -> u8 {
    let shifted = (0..8).map(|bit| if b >> bit & 1 == 1 { u16::from(a) << bit } else { 0 });
    let product = shifted.fold(0, |sum, term| sum ^ term);
    (8..16).rev().fold(product, |p, bit| if p >> bit & 1 == 1 { p ^ 0x11B << (bit - 8) } else { p })
        as u8
}

/// Classic Shamir: the streams of `coefficients` (the secret first) evaluated at `at` by Horner.
fn classic(coefficients: &[Vec<u8>], at: u8) -> Vec<u8> {
    let value = |i| coefficients.iter().rev().fold(0, |sum, c: &Vec<u8>| naive_mul(sum, at) ^ c[i]);
    (0..coefficients[0].len()).map(value).collect()
}

#[test]
fn every_subset_of_every_scheme_joins_to_the_secret() {
    for n in 2..=8_usize {
        for k in 2..=n {
            let coefficients: Vec<_> = (0..k as u64).map(|i| noise(i + 1, 24)).collect();
            let shares: Vec<_> = (1..=n as u8).map(|at| classic(&coefficients, at)).collect();
            let sets =
                |size: usize| (0..1_u32 << n).filter(move |s| s.count_ones() as usize == size);
            let members = |set: u32| (0..n).filter(move |i| set >> i & 1 == 1);
            for set in sets(k) {
                let order: Vec<usize> = members(set).rev().collect();
                let xs: Vec<_> = order.iter().map(|i| x(*i as u8 + 1)).collect();
                let sources: Vec<&[u8]> = order.iter().map(|i| shares[*i].as_slice()).collect();
                assert_eq!(apply(&join_matrix(&xs).unwrap(), &sources), [coefficients[0].clone()]);
                let all: Vec<_> = (1..=n as u8).map(x).collect();
                assert_eq!(apply(&evaluation_matrix(&xs, &all).unwrap(), &sources), shares);
            }
            for set in sets(k - 1) {
                let pads: Vec<usize> = members(set).rev().collect();
                let computed: Vec<usize> = members(!set).collect();
                let xs = |of: &[usize]| of.iter().map(|i| x(*i as u8 + 1)).collect::<Vec<_>>();
                let plan = SplitPlan::new(threshold(k, n), &xs(&pads), &xs(&computed)).unwrap();
                let sources: Vec<&[u8]> = std::iter::once(&coefficients[0])
                    .chain(pads.iter().map(|i| &shares[*i]))
                    .map(Vec::as_slice)
                    .collect();
                let expected: Vec<_> = computed.iter().map(|i| shares[*i].clone()).collect();
                assert_eq!(apply(plan.matrix(), &sources), expected, "{k}/{n}, pads {pads:?}");
            }
        }
    }
}

#[test]
fn fewer_than_k_shares_join_to_something_else() {
    let coefficients: Vec<_> = (0..3).map(|i| noise(i + 1, 64)).collect();
    let shares = [classic(&coefficients, 1), classic(&coefficients, 2)];
    let joined = apply(&join_matrix(&[x(1), x(2)]).unwrap(), &[&shares[0], &shares[1]]);
    assert_ne!(joined[0], coefficients[0]);
}

#[test]
fn wrong_coordinates_are_refused_by_type() {
    let scheme = threshold(3, 5);
    let refused = |pads: &[u8], computed: &[u8]| {
        let xs = |values: &[u8]| values.iter().map(|value| x(*value)).collect::<Vec<_>>();
        SplitPlan::new(scheme, &xs(pads), &xs(computed)).map(|_| ()).unwrap_err()
    };
    let count = |what, needed, got| SharingError::Count { what, needed, got };
    assert_eq!(refused(&[1], &[2, 3, 4]), count("pad shares", 2, 1));
    assert_eq!(refused(&[1, 2, 3], &[4, 5]), count("pad shares", 2, 3));
    assert_eq!(refused(&[1, 2], &[3, 4]), count("computed shares", 3, 2));
    assert_eq!(refused(&[1, 2], &[3, 4, 1]), SharingError::Repeated { x: x(1) });
    assert_eq!(refused(&[7, 7], &[3, 4, 1]), SharingError::Repeated { x: x(7) });
    assert_eq!(join_matrix(&[]).unwrap_err(), count("join", 2, 0));
    assert_eq!(join_matrix(&[x(1)]).unwrap_err(), count("join", 2, 1));
    assert_eq!(join_matrix(&[x(9), x(9)]).unwrap_err(), SharingError::Repeated { x: x(9) });
    assert_eq!(evaluation_matrix(&[x(1), x(2)], &[]).unwrap_err(), count("evaluation", 1, 0));
    assert_eq!(evaluation_matrix(&[x(1)], &[x(2)]).unwrap_err(), count("join", 2, 1));
}

#[test]
fn the_largest_scheme_joins() {
    let coefficients: Vec<_> = (0..255).map(|i| noise(i + 1, 3)).collect();
    let shares: Vec<_> = (1..=255).map(|at| classic(&coefficients, at)).collect();
    let xs: Vec<_> = (1..=255).map(x).collect();
    let sources: Vec<&[u8]> = shares.iter().map(Vec::as_slice).collect();
    assert_eq!(apply(&join_matrix(&xs).unwrap(), &sources)[0], coefficients[0]);
}

/// Numbers made with Python, GF(2^8) by logarithms to the generator 3.
#[test]
fn shares_are_those_of_another_tool() {
    let pad = |a: usize, b: usize, c: usize| {
        (0..12).map(|i| (a * i * i + b * i + c) as u8).collect::<Vec<u8>>()
    };
    let plan = SplitPlan::new(threshold(3, 5), &[x(2), x(4)], &[x(1), x(3), x(5)]).unwrap();
    let shares = apply(plan.matrix(), &[b"warifu tally", &pad(17, 101, 29), &pad(53, 7, 200)]);
    let hex = |share: &Vec<u8>| share.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(shares.iter().map(hex).collect::<Vec<_>>(), GOLDEN_SHARES);
}

const GOLDEN_SHARES: [&str; 3] =
    ["6cc0153516c7e5cbc699ac52", "06324cb9b10d1a9e22fe7356", "d3a5cde644aaa3a1e7390209"];

/// Hashes made with Python's integers, by the length of the content.
const GOLDEN_HASHES: [(usize, &str); 5] = [
    (0, "debf28ba95da99162099bfd3af5c5828"),
    (1, "dc6c28eb68a1be738f23319843e2c667"),
    (16, "f33fec28b7aedd7cd72f74752d0cf6cd"),
    (4096, "2dd1ef075b919657d158a18e92e0b2ae"),
    (1048576, "38fe486c3bdf029525f2a1f57a56dffd"),
];

#[test]
fn chunk_hashes_are_those_of_another_tool() {
    let r: [u8; 16] = std::array::from_fn(|i| i as u8 + 16);
    let blind: [u8; 16] = std::array::from_fn(|i| i as u8 + 100);
    for isa in Isa::available() {
        let hash = PolyHash::new(isa, &r);
        for (len, expected) in GOLDEN_HASHES {
            let content: Vec<u8> =
                (0..len).map(|i| ((i * i * 7 + i * 3 + len) % 251) as u8).collect();
            let found = chunk_hash(&hash, &content, &blind);
            assert_eq!(format!("{:032x}", u128::from_be_bytes(found)), expected, "{isa:?} {len}");
        }
    }
}

#[test]
#[should_panic(expected = "content exceeds a chunk")]
fn longer_content_is_no_chunk() {
    let hash = PolyHash::new(Isa::best(), &[1; 16]);
    let _ = chunk_hash(&hash, &vec![0; (1 << 20) + 1], &[0; 16]);
}

fn xored(a: &[u8], b: &[u8]) -> Vec<u8> {
    let at = |bytes: &[u8], i: usize| bytes.get(i).copied().unwrap_or(0);
    (0..a.len().max(b.len())).map(|i| at(a, i) ^ at(b, i)).collect()
}

proptest! {
    #[test]
    fn hashes_are_linear_in_length_blind_block_and_content(
        r: [u8; 16], blinds: [[u8; 16]; 2], seeds: [u32; 2],
        lens in prop::array::uniform2(0usize..5000),
    ) {
        let hash = PolyHash::new(Isa::best(), &r);
        let contents = [0, 1].map(|i| noise(u64::from(seeds[i]), lens[i]));
        let one = |i: usize| chunk_hash(&hash, &contents[i], &blinds[i]);
        let lengths = ((lens[0] ^ lens[1]) as u128).to_le_bytes();
        let (blind, content) = (xored(&blinds[0], &blinds[1]), xored(&contents[0], &contents[1]));
        prop_assert_eq!(xored(&one(0), &one(1)), hash.poly(&[&lengths, &blind, &content]).to_vec());
    }

    #[test]
    fn a_zero_tail_cut_off_or_added_changes_the_hash(
        r in prop::array::uniform16(1u8..), seed: u32, len in 1usize..5000, tail in 1usize..200,
    ) {
        let hash = PolyHash::new(Isa::best(), &r);
        let mut content = noise(u64::from(seed), len);
        let short = chunk_hash(&hash, &content, &[7; 16]);
        content.resize(len + tail, 0);
        prop_assert_ne!(short, chunk_hash(&hash, &content, &[7; 16]));
    }

    #[test]
    fn blind_block_and_content_do_not_trade_places(
        r in prop::array::uniform16(1u8..), blind: [u8; 16], block: [u8; 16],
    ) {
        prop_assume!(blind != block);
        let hash = PolyHash::new(Isa::best(), &r);
        prop_assert_ne!(chunk_hash(&hash, &block, &blind), chunk_hash(&hash, &blind, &block));
    }
}
