//! The polynomial hash against the definition and against another tool's numbers.

use crate::naive;
use crate::samples::{self, Guarded};
use proptest::prelude::*;
use warifu_kernels::{Isa, PolyHash};

fn poly(isa: Isa, r: u128, parts: &[&[u8]]) -> u128 {
    u128::from_le_bytes(PolyHash::new(isa, &r.to_le_bytes()).poly(parts))
}

const R: u128 = 0x8F3A_77D1_0C55_E92B_41B6_D80F_9E23_6CA7;

#[test]
fn another_tools_numbers() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = if hex == "-" { "" } else { hex };
        let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
        (0..digits.len()).step_by(2).map(pair).collect()
    };
    let lines: Vec<_> = include_str!("../data/poly-vectors.txt").lines().collect();
    assert_eq!(lines.len(), 34);
    for line in lines {
        let [r, parts, hash] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let parts: Vec<_> = parts.split(',').filter(|part| *part != "none").map(bytes).collect();
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let r: [u8; 16] = bytes(r).try_into().expect("a block");
        for isa in samples::isas() {
            assert_eq!(PolyHash::new(isa, &r).poly(&parts)[..], bytes(hash), "{isa:?}: {line}");
        }
    }
}

#[test]
fn every_length_at_every_alignment() {
    let isas = samples::isas();
    for len in 0..=300 {
        let content = samples::bytes(len as u64, len);
        let expected = naive::poly(R, &[&content]);
        for skew in 0..64 {
            let part = Guarded::new(&content, skew);
            for isa in &isas {
                assert_eq!(poly(*isa, R, &[part.stream()]), expected, "{isa:?}, {len}, {skew}");
            }
        }
    }
}

#[test]
fn lengths_around_groups() {
    let isas = samples::isas();
    let lens = (301..=1100).chain([1535, 1536, 1537, 4095, 4096, 4097, 65_536 + 48]);
    for len in lens {
        let content = samples::bytes(len as u64, len);
        let expected = naive::poly(R, &[&content]);
        for isa in &isas {
            assert_eq!(poly(*isa, R, &[&content]), expected, "{isa:?}, {len} bytes");
        }
    }
}

#[test]
fn a_whole_chunk() {
    let content = samples::bytes(5, 1 << 20);
    let (front, back) = (samples::bytes(6, 16), samples::bytes(7, 16));
    let parts: [&[u8]; 3] = [&front, &back, &content];
    let expected = naive::poly(R, &parts);
    for isa in samples::isas() {
        assert_eq!(poly(isa, R, &parts), expected, "{isa:?}");
    }
}

#[test]
fn parts_of_awkward_lengths() {
    let lens = [0, 1, 15, 16, 17, 65, 511, 512, 513];
    let streams: Vec<_> = lens.iter().map(|len| samples::bytes(*len as u64, *len)).collect();
    let isas = samples::isas();
    for a in &streams {
        for b in &streams {
            for c in &streams {
                let parts: [&[u8]; 3] = [a, b, c];
                let expected = naive::poly(R, &parts);
                for isa in &isas {
                    let found = poly(*isa, R, &parts);
                    let lens = parts.map(<[u8]>::len);
                    assert_eq!(found, expected, "{isa:?}, {lens:?}");
                }
            }
        }
    }
}

/// The lowest power belongs to the first block, and it is r, not one.
#[test]
fn the_first_block_has_the_power_one() {
    for isa in samples::isas() {
        let one = 1u128.to_le_bytes();
        assert_eq!(poly(isa, R, &[&one]), R);
        assert_eq!(poly(isa, R, &[&[0; 16], &one]), naive::mul128(R, R));
        assert_eq!(poly(isa, R, &[]), 0);
        assert_eq!(poly(isa, 0, &[&[0xFF; 100]]), 0);
        assert_eq!(poly(isa, R, &[&one, &[], &[0; 33]]), R, "zeros behind change nothing");
    }
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn scaled(factor: u128, blocks: &[u8]) -> Vec<u8> {
    let scale = |block| naive::mul128(factor, block).to_le_bytes();
    naive::blocks(&[blocks]).into_iter().flat_map(scale).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_parts_are_as_defined(
        r: u128,
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..5),
    ) {
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let expected = naive::poly(r, &parts);
        for isa in samples::isas() {
            prop_assert_eq!(poly(isa, r, &parts), expected, "{:?}", isa);
        }
    }

    #[test]
    fn it_is_linear(r: u128, factor: u128, seed: u64, blocks in 0..100usize) {
        let a = samples::bytes(seed, blocks * 16);
        let b = samples::bytes(!seed, blocks * 16);
        for isa in samples::isas() {
            let (of_a, of_b) = (poly(isa, r, &[&a]), poly(isa, r, &[&b]));
            prop_assert_eq!(poly(isa, r, &[&sum(&a, &b)]), of_a ^ of_b);
            prop_assert_eq!(poly(isa, r, &[&scaled(factor, &a)]), naive::mul128(factor, of_a));
        }
    }

    #[test]
    fn any_flipped_bit_shows(r in 1..=u128::MAX, seed: u64, len in 1..600usize, bit: usize) {
        let content = samples::bytes(seed, len);
        let mut forged = content.clone();
        let bit = bit % (8 * len);
        forged[bit / 8] ^= 1 << (bit % 8);
        for isa in samples::isas() {
            prop_assert_ne!(poly(isa, r, &[&content]), poly(isa, r, &[&forged]));
        }
    }
}
