//! Key that a third party delivers to both ends of a link: the words of ETSI GS QKD 014.
//!
//! One end asks for fresh keys and gets names beside them; it tells the names to the other end,
//! which asks for the same keys by name. What is delivered is trusted in nothing but its secrecy:
//! lengths are checked, names are remembered, and both ends compare before it counts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use warifu_buffers::Block;

/// Bytes of a key's name.
pub const KEY_ID_BYTES: usize = 16;

/// The name of a delivered key: a UUID, public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// The name with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes, the first of the text first.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A text that is no name of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key_ID is a UUID, as 8-4-4-4-12 hexadecimal digits")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let text = text.as_bytes();
        let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        if text.len() != 36 || (0..36).any(|at| is_dash(at) != (text[at] == b'-')) {
            return Err(KeyIdError);
        }
        let mut digits = text.iter().filter(|byte| **byte != b'-');
        let mut digit = || match digits.next().map(|byte| char::from(*byte).to_digit(16)) {
            Some(Some(value)) => Ok(value as u8),
            _ => Err(KeyIdError),
        };
        let mut bytes = [0; KEY_ID_BYTES];
        for byte in &mut bytes {
            *byte = digit()? << 4 | digit()?;
        }
        Ok(Self(bytes))
    }
}

/// What a deliverer says it can do for one peer now. None of it is trusted for safety.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryLimits {
    /// Length of a key where none is asked for, in bytes.
    pub key_bytes_default: u64,
    /// Shortest key, in bytes.
    pub key_bytes_min: u64,
    /// Longest key, in bytes.
    pub key_bytes_max: u64,
    /// Most keys that one request gets.
    pub keys_per_request_max: u64,
    /// Keys of the default length that wait there.
    pub keys_stored: u64,
    /// Most that may wait there.
    pub keys_stored_max: u64,
}

/// Keys of one length, in the order in which they were delivered. The material is zeroised on drop.
pub struct DeliveredKeys {
    /// Their names, each once.
    pub names: Vec<KeyId>,
    /// Length of each key, in bytes.
    pub key_bytes: usize,
    /// The keys one after the other: `names.len() * key_bytes` bytes.
    pub material: Block,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// Not now: it has too little key, is overloaded, or can't be reached. Nothing was delivered.
    #[error("{deliverer} has no key now: {why}")]
    NotNow {
        /// Which deliverer.
        deliverer: String,
        /// What it said.
        why: String,
        /// How long it asked to be left alone, if it did.
        after: Option<Duration>,
    },
    /// It does not know (any more) some of the names asked for. They will never be had.
    #[error("{deliverer} does not know the keys asked for: {why}")]
    Gone {
        /// Which deliverer.
        deliverer: String,
        /// What it said.
        why: String,
    },
    /// It refuses, and will until somebody changes something.
    #[error("{deliverer} refuses: {why}")]
    Refused {
        /// Which deliverer.
        deliverer: String,
        /// What it said.
        why: String,
    },
    /// The answer never came or was cut: what it held is lost, and counts as delivered.
    #[error("the answer of {deliverer} was lost: {why}")]
    Lost {
        /// Which deliverer.
        deliverer: String,
        /// What happened.
        why: String,
    },
    /// The answer breaks the protocol: wrong lengths, repeated names, no sense. It is thrown away.
    #[error("{deliverer} breaks the protocol: {why}")]
    Malformed {
        /// Which deliverer.
        deliverer: String,
        /// In what.
        why: String,
    },
}

/// A deliverer of key to both ends of a link, seen from one end. Calls may come from several
/// threads at once; each waits a bounded time.
pub trait KeyDelivery: Send + Sync {
    /// What listings and errors call it: at most 63 bytes, no control characters.
    fn name(&self) -> &str;

    /// What it says it can do for keys shared with `peer`, by the peer's name there.
    ///
    /// # Errors
    /// [`DeliveryError`].
    fn limits(&self, peer: &str) -> Result<DeliveryLimits, DeliveryError>;

    /// Fresh keys that `peer` can have by name: as many as asked for, or fewer, at least one, all
    /// of the length asked for.
    ///
    /// # Errors
    /// [`DeliveryError`].
    fn fresh_keys(
        &self,
        peer: &str,
        count: u64,
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError>;

    /// The keys that `peer` got under these names: all of them, in this order, all of the length
    /// told.
    ///
    /// # Errors
    /// [`DeliveryError`].
    fn named_keys(
        &self,
        peer: &str,
        names: &[KeyId],
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError>;

    /// Whoever asks is to end: what is under way may go on for about a second, and not longer, nor
    /// may what is asked from now on.
    fn hurry(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_reads_as_it_is_written(bytes: [u8; KEY_ID_BYTES]) {
            let name = KeyId::from_bytes(bytes);
            prop_assert_eq!(name.to_string().parse(), Ok(name));
            prop_assert_eq!(name.to_string().to_uppercase().parse(), Ok(name));
        }

        #[test]
        fn what_is_no_name_is_refused(text in "[0-9a-f-]{30,40}|\\PC{0,40}") {
            if let Ok(name) = text.parse::<KeyId>() {
                prop_assert_eq!(name.to_string(), text.to_lowercase());
            }
        }
    }
}
