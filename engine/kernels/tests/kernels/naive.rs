//! The references: one-liners from the definitions, a bit at a time.

/// The remainder of the product of two polynomials over GF(2) modulo one of that degree.
fn times(a: u128, b: u128, degree: u32, modulus: u128) -> u128 {
    (0..degree).rev().fold(0, |product, bit| {
        let carry = (product >> (degree - 1)) & 1;
        let doubled = (product << 1) & (u128::MAX >> (128 - degree));
        doubled ^ (carry * modulus) ^ (((b >> bit) & 1) * a)
    })
}

pub(crate) fn mul8(a: u8, b: u8) -> u8 {
    u8::try_from(times(u128::from(a), u128::from(b), 8, 0x1B)).expect("eight bits")
}

pub(crate) fn mul128(a: u128, b: u128) -> u128 {
    times(a, b, 128, 0x87)
}

/// `target + sum of row[j] * sources[j]`.
pub(crate) fn dot(row: &[u8], target: &[u8], sources: &[&[u8]]) -> Vec<u8> {
    let sum =
        |at| row.iter().zip(sources).fold(0, |sum, (c, s): (_, &&[u8])| sum ^ mul8(*c, s[at]));
    (0..target.len()).map(|at| target[at] ^ sum(at)).collect()
}

/// The blocks of all parts, each zero-filled.
pub(crate) fn blocks(parts: &[&[u8]]) -> Vec<u128> {
    let filled = |chunk: &[u8]| {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        u128::from_le_bytes(block)
    };
    parts.iter().flat_map(|part| part.chunks(16).map(filled)).collect()
}

/// Horner's rule from the last block to the first.
pub(crate) fn poly(r: u128, parts: &[&[u8]]) -> u128 {
    blocks(parts).into_iter().rev().fold(0, |sum, block| mul128(sum ^ block, r))
}
