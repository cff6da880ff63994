//! The code that finds alterations of a shared part (Cramer, Dodis, Fehr, Padro, Wichs, 2008).
//!
//! `f = x^(d+2) + sum of s_i * x^i` over the d blocks of content, d odd: whoever adds errors to
//! shares without knowing x leaves a valid part with probability at most (d+1)/2^128.

use warifu_kernels::{Isa, PolyHash};

const BLOCK_BYTES: usize = 16;
const CODE_BYTES: usize = 2 * BLOCK_BYTES;

/// A part whose code doesn't hold: the shares it was joined from are not all genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the code of the capsule part does not hold: a share of it was altered")]
pub struct Damaged;

/// Fills in the code at the end of `part`, whose content and zeros are in place.
pub(super) fn protect(isa: Isa, part: &mut [u8], point: &[u8; 16]) {
    let (content, code) = part.split_at_mut(part.len() - CODE_BYTES);
    code[..BLOCK_BYTES].copy_from_slice(point);
    code[BLOCK_BYTES..].copy_from_slice(&value(isa, content, point));
}

/// The content of a joined part, zero-filled to a block, if its code holds.
///
/// # Errors
/// [`Damaged`] where the code doesn't hold, or no part has this length.
pub fn decode_part(isa: Isa, part: &[u8]) -> Result<&[u8], Damaged> {
    let blocks = part.len() / BLOCK_BYTES;
    if !part.len().is_multiple_of(BLOCK_BYTES) || blocks.is_multiple_of(2) || blocks < 3 {
        return Err(Damaged);
    }
    let (content, code) = part.split_at(part.len() - CODE_BYTES);
    let (point, stored) = code.split_first_chunk::<BLOCK_BYTES>().ok_or(Damaged)?;
    let expected = value(isa, content, point);
    let difference = expected.iter().zip(stored).fold(0, |any, (a, b)| any | (a ^ b));
    if difference == 0 { Ok(content) } else { Err(Damaged) }
}

/// `x^(d+2) + sum of s_i * x^i`: the polynomial hash of the content, a zero block and a one.
fn value(isa: Isa, content: &[u8], point: &[u8; 16]) -> [u8; 16] {
    let leading = 1_u128.to_le_bytes();
    PolyHash::new(isa, point).poly(&[content, &[0; BLOCK_BYTES], &leading])
}
