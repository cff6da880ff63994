//! CRC-64/NVME: finds rot on a medium. It is no defence against forgery.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of the parts, one after the other; the same for every way of cutting.
#[must_use]
pub fn crc64(parts: &[&[u8]]) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One bit at a time, from the definition.
    fn naive(bytes: &[u8]) -> u64 {
        !bytes.iter().fold(u64::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u64::from(byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0x9A6C_9329_AC4B_C9B5 } else { 0 }
            })
        })
    }

    #[test]
    fn check_value() {
        assert_eq!(crc64(&[b"123456789"]), 0xAE8B_1486_0A79_9888);
        assert_eq!(crc64(&[]), 0);
        assert_eq!(0x9A6C_9329_AC4B_C9B5_u64.reverse_bits(), 0xAD93_D235_94C9_3659);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000,
        ) {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(crc64(&[head, tail]), naive(&bytes));
        }
    }
}
