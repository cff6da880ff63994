//! GF(2^8) modulo x^8+x^4+x^3+x+1 (0x11B), without branch or table.

/// The modulus without its leading term.
const MODULUS: u8 = 0x1B;

/// The product of `a` and `b`.
#[must_use]
pub const fn mul(a: u8, b: u8) -> u8 {
    let mut product = 0;
    let mut shifted = a;
    let mut bit = 0;
    while bit < 8 {
        product ^= shifted & ((b >> bit) & 1).wrapping_neg();
        shifted = double(shifted);
        bit += 1;
    }
    product
}

/// The inverse of `a`; 0 for 0. (It is a^254.)
#[must_use]
pub const fn inv(a: u8) -> u8 {
    // 254 = 2 + 4 + ... + 128.
    let mut square = a;
    let mut product = 1;
    let mut bit = 1;
    while bit < 8 {
        square = mul(square, square);
        product = mul(product, square);
        bit += 1;
    }
    product
}

/// Twice `a`.
const fn double(a: u8) -> u8 {
    (a << 1) ^ ((a >> 7).wrapping_neg() & MODULUS)
}

/// Twice each of the eight bytes of `word`.
#[inline(always)]
pub(crate) const fn double_each(word: u64) -> u64 {
    const LOW_SEVEN: u64 = splat(0x7F);
    const LOWEST: u64 = splat(0x01);
    let carries = (word >> 7) & LOWEST;
    // A byte of 0xFF wherever one was carried out: 255 * carries, which crosses no byte.
    let carried = (carries << 8).wrapping_sub(carries);
    ((word & LOW_SEVEN) << 1) ^ (carried & splat(MODULUS))
}

/// `byte` eight times.
#[inline(always)]
pub(crate) const fn splat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// What the public `coefficient` makes of each low nibble (byte i is `coefficient * i`) and of
/// each high nibble (byte i is `coefficient * 16 i`): two tables of 16 bytes, meant for registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) const fn nibble_products(coefficient: u8) -> [[u64; 2]; 2] {
    // Where bit b of the byte's own index is set, for the two halves of a table.
    const CHOSEN: [[u64; 2]; 4] = [
        [0xFF00_FF00_FF00_FF00; 2],
        [0xFFFF_0000_FFFF_0000; 2],
        [0xFFFF_FFFF_0000_0000; 2],
        [0, u64::MAX],
    ];
    let mut tables = [[0; 2]; 2];
    let mut shifted = splat(coefficient);
    let mut bit = 0;
    while bit < 8 {
        let table = &mut tables[bit / 4];
        table[0] ^= shifted & CHOSEN[bit % 4][0];
        table[1] ^= shifted & CHOSEN[bit % 4][1];
        shifted = double_each(shifted);
        bit += 1;
    }
    tables
}
