//! What a KME lets an application ask for, in the units of the specification: bits and keys.

use serde::{Deserialize, Serialize};

/// The longest key that any setting allows, in bits: 1 MiB.
pub const KEY_SIZE_MAX_BITS: u32 = 8 << 20;

/// The most keys that any setting lets one request have.
pub const KEYS_PER_REQUEST_MAX: u32 = 16_384;

/// The most keys that any setting lets wait for one pair.
pub const KEY_COUNT_MAX: u32 = 1_000_000;

/// The most key that any setting lets one answer hold, in bytes.
pub const ANSWER_MAX_BYTES: u64 = 1 << 30;

/// The limits of every KME of a lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Size of a key where none is asked for, in bits.
    pub key_size_bits: u32,
    /// Smallest key, in bits.
    pub min_key_size_bits: u32,
    /// Largest key, in bits.
    pub max_key_size_bits: u32,
    /// Most keys of the default size that a pool holds; also, most that wait for one pair until
    /// the other end asks for them.
    pub max_key_count: u32,
    /// Most keys of one request.
    pub max_key_per_request: u32,
    /// Most additional slaves of one request.
    pub max_sae_id_count: u32,
    /// Most key in one answer, in bytes.
    pub max_answer_bytes: u64,
}

impl Limits {
    /// What the specification has in its example: 128 keys of up to 1024 bits a request.
    pub const EXAMPLE: Self = Self {
        key_size_bits: 1024,
        min_key_size_bits: 64,
        max_key_size_bits: 1024,
        max_key_count: 100_000,
        max_key_per_request: 128,
        max_sae_id_count: 8,
        max_answer_bytes: 64 << 20,
    };

    /// Keys of 1 MiB, up to 4096 of any size a request.
    pub const LARGE: Self = Self {
        key_size_bits: KEY_SIZE_MAX_BITS,
        max_key_size_bits: KEY_SIZE_MAX_BITS,
        max_key_per_request: 4096,
        ..Self::EXAMPLE
    };

    /// Whether they make sense together.
    ///
    /// # Errors
    /// [`LimitsError`] for the first that does not.
    pub fn check(&self) -> Result<(), LimitsError> {
        let sizes = [self.min_key_size_bits, self.key_size_bits, self.max_key_size_bits];
        if sizes.iter().any(|bits| *bits == 0 || bits % 8 != 0) {
            return Err(LimitsError::WholeBytes);
        }
        if !sizes.is_sorted() || self.max_key_size_bits > KEY_SIZE_MAX_BITS {
            return Err(LimitsError::Sizes);
        }
        let ranges = [
            ("max_key_count", self.max_key_count, 1, KEY_COUNT_MAX),
            ("max_key_per_request", self.max_key_per_request, 1, KEYS_PER_REQUEST_MAX),
            ("max_sae_id_count", self.max_sae_id_count, 0, 255),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(LimitsError::Range { name, value: value.into(), low, high });
            }
        }
        let least = u64::from(self.max_key_size_bits / 8);
        if !(least..=ANSWER_MAX_BYTES).contains(&self.max_answer_bytes) {
            return Err(LimitsError::Answer { value: self.max_answer_bytes, least });
        }
        Ok(())
    }

    /// What a full pool holds, in bits of key.
    pub(crate) const fn pool_bits(&self) -> u64 {
        self.max_key_count as u64 * self.key_size_bits as u64
    }
}

/// Limits that can't be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LimitsError {
    /// This KME delivers whole bytes.
    #[error("sizes of keys are in bits: multiples of 8, and not 0")]
    WholeBytes,
    /// Out of order, or too large.
    #[error(
        "sizes of keys shall be min_key_size <= key_size <= max_key_size <= {KEY_SIZE_MAX_BITS} \
         bits"
    )]
    Sizes,
    /// A count that is out of its range.
    #[error("{name} is {value}, and shall be from {low} to {high}")]
    Range {
        /// Which.
        name: &'static str,
        /// What was asked for.
        value: u64,
        /// The least that is allowed.
        low: u32,
        /// The most that is allowed.
        high: u32,
    },
    /// An answer that no key fits into, or one that is too large.
    #[error(
        "max_answer_bytes is {value}, and shall be from {least} (one key of the largest size) to \
         {ANSWER_MAX_BYTES}"
    )]
    Answer {
        /// What was asked for.
        value: u64,
        /// The least that is allowed.
        least: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sets_of_limits_make_sense() {
        Limits::EXAMPLE.check().unwrap();
        Limits::LARGE.check().unwrap();
    }

    #[test]
    fn each_limit_is_checked() {
        let good = Limits::EXAMPLE;
        let bad = [
            Limits { key_size_bits: 1001, ..good },
            Limits { min_key_size_bits: 0, ..good },
            Limits { key_size_bits: 56, ..good },
            Limits { key_size_bits: 1032, ..good },
            Limits { max_key_size_bits: KEY_SIZE_MAX_BITS + 8, ..good },
            Limits { max_key_count: 0, ..good },
            Limits { max_key_count: KEY_COUNT_MAX + 1, ..good },
            Limits { max_key_per_request: 0, ..good },
            Limits { max_key_per_request: KEYS_PER_REQUEST_MAX + 1, ..good },
            Limits { max_sae_id_count: 256, ..good },
            Limits { max_answer_bytes: 127, ..good },
            Limits { max_answer_bytes: ANSWER_MAX_BYTES + 1, ..good },
        ];
        for limits in bad {
            limits.check().unwrap_err();
        }
    }
}
