//! GF(2^128) modulo x^128+x^7+x^2+x+1, little-endian bit order, without branch or table.
//!
//! A block of 16 bytes is a little-endian number whose bit i is the coefficient of x^i.

use crate::scalar;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// An element of the field, treated as secret: zeroised on drop, neither cloned, printed nor
/// compared.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Element {
    value: u128,
}

impl Element {
    /// The neutral element of addition.
    #[must_use]
    pub const fn zero() -> Self {
        Self { value: 0 }
    }

    /// The neutral element of multiplication.
    #[must_use]
    pub const fn one() -> Self {
        Self { value: 1 }
    }

    /// The element that a block stands for. Every block is one.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { value: u128::from_le_bytes(bytes) }
    }

    /// The block that stands for the element.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 16] {
        self.value.to_le_bytes()
    }

    /// The sum of both, which is also their difference.
    #[must_use]
    pub const fn add(&self, other: &Self) -> Self {
        Self { value: self.value ^ other.value }
    }

    /// The product of both.
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        Self { value: scalar::multiply(self.value, other.value) }
    }

    /// The element to the power of `exponent`, which is public. The power 0 is one, of zero too.
    #[must_use]
    pub fn pow(&self, exponent: u64) -> Self {
        let mut power = Self::one();
        for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
            power = power.mul(&power);
            if (exponent >> bit) & 1 == 1 {
                power = power.mul(self);
            }
        }
        power
    }
}

/// The polynomial `high * x^128 + low` modulo the field's.
#[inline(always)]
pub(crate) const fn reduce(low: u128, high: u128) -> u128 {
    // x^128 = x^7 + x^2 + x + 1; what that shifts out at the top is below x^7 and goes once more.
    let over = (high >> 127) ^ (high >> 126) ^ (high >> 121);
    let folded = high ^ over;
    low ^ folded ^ (folded << 1) ^ (folded << 2) ^ (folded << 7)
}
