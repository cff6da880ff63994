//! The words of warifu as types, the sharing, the formats and the planner.
//!
//! Nothing here does I/O, reads a clock or draws randomness: what is not deterministic is handed
//! in. The byte layouts are in [`FORMAT.md`](../FORMAT.md), which is enough to write another
//! decoder from.

#![forbid(unsafe_code)]

pub mod capsule;
pub mod checksum;
pub mod direction;
pub mod format;
pub mod geometry;
pub mod id;
pub mod pad;
pub mod payload;
pub mod plan;
pub mod range;
pub mod role;
pub mod schedule;
pub mod share_file;
pub mod sharing;
pub mod threshold;

pub use direction::{Direction, End};
pub use format::FormatError;
pub use geometry::{CHUNK_BYTES, Geometry};
pub use id::{IndividualId, LinkId, ObjectId, PoolId, SegmentId, SiteName};
pub use pad::{KEPT_OFFSET, Kept, KeyClass, OpenPad, SealPad};
pub use range::{KeyRange, RangeSet};
pub use role::{Channel, Role};
pub use threshold::{Threshold, XCoord};
