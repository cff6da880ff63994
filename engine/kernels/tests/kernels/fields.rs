//! The two fields on their own.

use crate::naive;
use proptest::prelude::*;
use warifu_kernels::gf128::Element;
use warifu_kernels::gf256;

#[test]
fn products_and_inverses_of_gf256() {
    for a in 0..=255 {
        for b in 0..=255 {
            assert_eq!(gf256::mul(a, b), naive::mul8(a, b), "{a} * {b}");
        }
        assert_eq!(gf256::mul(a, gf256::inv(a)), u8::from(a != 0), "1 / {a}");
    }
    assert_eq!(gf256::inv(0), 0);
    // FIPS 197, section 4.2.
    assert_eq!(gf256::mul(0x57, 0x83), 0xC1);
}

fn element(value: u128) -> Element {
    Element::from_bytes(value.to_le_bytes())
}

fn value(element: &Element) -> u128 {
    u128::from_le_bytes(element.to_bytes())
}

fn product(a: u128, b: u128) -> u128 {
    value(&element(a).mul(&element(b)))
}

#[test]
fn single_bits_of_gf128() {
    for i in 0..128 {
        for j in 0..128 {
            assert_eq!(product(1 << i, 1 << j), naive::mul128(1 << i, 1 << j), "x^{i} * x^{j}");
        }
    }
    // x * x^127 is the modulus without its leading term.
    assert_eq!(product(2, 1 << 127), 0x87);
    assert_eq!(product(u128::MAX, u128::MAX), naive::mul128(u128::MAX, u128::MAX));
}

#[test]
fn neutral_elements_and_powers() {
    let a = element(0x0123_4567_89AB_CDEF_0F1E_2D3C_4B5A_6978);
    assert_eq!(value(&Element::one()), 1);
    assert_eq!(value(&Element::zero()), 0);
    let mut power = Element::one();
    for exponent in 0..300 {
        assert_eq!(value(&a.pow(exponent)), value(&power), "power {exponent}");
        power = power.mul(&a);
    }
    assert_eq!(value(&Element::zero().pow(0)), 1);
    assert_eq!(value(&Element::zero().pow(u64::MAX)), 0);
    // a^(2^128 - 1) = 1, with 2^128 - 1 = (2^64 - 1) * (2^64 + 1).
    let part = a.pow(u64::MAX);
    assert_eq!(value(&part.pow(u64::MAX).mul(&part.mul(&part))), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn gf128_is_as_defined(a: u128, b: u128) {
        prop_assert_eq!(product(a, b), naive::mul128(a, b));
        prop_assert_eq!(product(a, b), product(b, a));
        prop_assert_eq!(value(&element(a).add(&element(b))), a ^ b);
    }

    #[test]
    fn gf128_is_a_ring(a: u128, b: u128, c: u128) {
        prop_assert_eq!(product(product(a, b), c), product(a, product(b, c)));
        prop_assert_eq!(product(a, b ^ c), product(a, b) ^ product(a, c));
    }

    #[test]
    fn powers_add_up(a: u128, m: u32, n: u32) {
        let (m, n) = (u64::from(m), u64::from(n));
        let together = element(a).pow(m).mul(&element(a).pow(n));
        prop_assert_eq!(value(&element(a).pow(m + n)), value(&together));
    }
}
