//! What is shared: `prologue, attributes, data, zeros, frame table, trailer`. The file's name,
//! times and digest live in here and nowhere else.
//!
//! The trailer ends the payload and alone tells where everything lies, so that any range of the
//! data is found without reading the beginning.

mod attributes;
mod frames;
mod layout;
mod prologue;
mod trailer;

pub use attributes::Attributes;
pub use frames::{FRAME_BYTES, Frames};
pub use layout::{Encoding, PayloadLayout, Shape, padded_bytes};
pub use prologue::{Prologue, prologue, write_prologue};
pub use trailer::Trailer;

use crate::format::FormatError;

/// Bytes of the prologue, before the attributes.
pub const PROLOGUE_BYTES: u64 = 64;

/// Bytes of the trailer, which ends the payload.
pub const TRAILER_BYTES: u64 = 96;

/// The most bytes that attributes may take.
pub const ATTRIBUTE_BYTES_MAX: u64 = 65_472;

/// The longest file name, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 1024;

/// The most bytes of data that a payload may hold, compressed or not: 2^40.
pub const DATA_BYTES_MAX: u64 = 1 << 40;

/// Why a payload is refused or can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes are not a payload's.
    #[error("the payload can't be read")]
    Format(#[from] FormatError),
    /// More than the formats admit.
    #[error("{data_bytes} bytes of data do not fit in a payload of at most 2^40 bytes")]
    TooLong {
        /// Bytes of data given.
        data_bytes: u64,
    },
    /// More attributes than the prologue can announce.
    #[error("{attribute_bytes} bytes of attributes exceed 65,472")]
    Attributes {
        /// Bytes of attributes given.
        attribute_bytes: u64,
    },
    /// A file name that no file may get at a restore.
    #[error("a file name must have 1 to 1,024 bytes, no '/' and no zero byte, nor be '.' or '..'")]
    FileName,
    /// Prologue, trailer and length contradict each other.
    #[error("the trailer does not describe this payload")]
    Contradiction,
    /// The frame table is not one that an encoder writes.
    #[error("the frame table is not one of this payload")]
    FrameTable,
}
