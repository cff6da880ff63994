//! Key material on its way to its one use.
//!
//! A pad leaves the key store after its range has been burned, is consumed by value, and is
//! zeroised when it is dropped. It cannot be cloned, printed, compared or serialised:
//!
//! ```compile_fail
//! fn twice(pad: warifu_core::SealPad) {
//!     let first = pad.into_parts();
//!     let second = pad.into_parts(); // the pad is gone
//! }
//! ```
//!
//! ```compile_fail
//! fn copied(pad: &warifu_core::SealPad) -> warifu_core::SealPad {
//!     pad.clone()
//! }
//! ```

use crate::range::KeyRange;
use std::ops::Deref;
use warifu_buffers::{Block, Bytes};

/// What is claimed of where key material came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum KeyClass {
    /// From a source that the operator declares to be truly random.
    InformationTheoretic,
    /// From a generator: secrecy rests on a computational assumption.
    Computational,
}

impl KeyClass {
    /// The byte by which it is stored.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::InformationTheoretic => 0,
            Self::Computational => 1,
        }
    }

    /// The class stored as `byte`, or `None`.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::InformationTheoretic),
            1 => Some(Self::Computational),
            _ => None,
        }
    }

    /// The word used in listings and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InformationTheoretic => "information-theoretic",
            Self::Computational => "computational",
        }
    }
}

macro_rules! pad {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name {
            range: KeyRange,
            class: KeyClass,
            key: Block,
        }

        impl $name {
            /// Wraps key that the key store has just burned. Only the key store may call this
            /// (checked by `xtask`), and tests.
            ///
            /// # Panics
            /// Where `key` is not as long as `range`.
            #[must_use]
            pub fn from_burned(range: KeyRange, class: KeyClass, key: Block) -> Self {
                assert_eq!(range.len(), key.len() as u64, "key and range differ in length");
                Self { range, class, key }
            }

            /// Which positions of the pool this key held.
            #[must_use]
            pub const fn range(&self) -> KeyRange {
                self.range
            }

            /// What is claimed of its source.
            #[must_use]
            pub const fn class(&self) -> KeyClass {
                self.class
            }

            /// Keeps the first `bytes` bytes; the rest is zeroised and never used.
            #[must_use]
            pub fn shortened(self, bytes: u64) -> Self {
                let range = KeyRange::between(
                    self.range.start(),
                    self.range.end().min(self.range.start().saturating_add(bytes)),
                );
                let mut key = self.key;
                key.truncate(range.len() as usize);
                Self { range, class: self.class, key }
            }

            /// Consumes the pad: range and key.
            #[must_use]
            pub fn into_parts(self) -> (KeyRange, Block) {
                (self.range, self.key)
            }
        }
    };
}

pad!(
    /// Key for one message that this end sends, or random bytes for one use here.
    SealPad
);
pad!(
    /// Key for one message that this end received.
    OpenPad
);

/// Where the part that both ends keep begins in the key of a frame whose message has no body, as
/// has the one that keeps a share. Key is laid down in memory so that this byte begins a page.
pub const KEPT_OFFSET: usize = 96;

/// The tail of a frame's key that both ends keep: a pad share, a blind block, a receipt key.
/// It dereferences to its bytes, which are zeroised when the last who uses them is done.
pub struct Kept {
    tail: Bytes,
}

impl Kept {
    /// Keeps the bytes of `key` from `from` on; the part before is zeroised now.
    ///
    /// # Panics
    /// Where `from` lies beyond the key.
    #[must_use]
    pub fn tail(mut key: Block, from: usize) -> Self {
        key[..from].fill(0);
        Self { tail: key.into_bytes().slice(from..) }
    }

    /// The first `bytes` bytes, for the store that keeps them as a share, without a copy.
    ///
    /// # Panics
    /// Where there are fewer.
    #[must_use]
    pub fn share(&self, bytes: usize) -> Bytes {
        self.tail.slice(..bytes)
    }
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.tail
    }
}
