//! Pools of key material, their ledger and leases: what the invariant ONCE rests on.
//!
//! A pool's direction is a space of positions. Its *holder* (the end that seals in it) uses only
//! ranges that its *witness* (the end that opens in it) granted durably and that the holder then
//! accepted durably, each end in a ledger of its own. A [`Lease`] lives in one process; what that
//! process does not give back in an orderly way is never used. So an older copy that was restored,
//! a copy that was opened elsewhere, two processes at once or a peer that was rolled back cannot
//! make any position mask two messages. [`HAZARDS.md`](../HAZARDS.md) goes through it case by case,
//! and the byte layouts are in `engine/core/FORMAT.md`, sections 7, 8, 10 and 13.
//!
//! Burn before use: every record is on stable storage before what it allows exists in memory.

#![forbid(unsafe_code)]

mod audit;
mod book;
mod courier;
mod delivery;
mod entry;
mod error;
pub mod etsi014;
pub mod fetch;
mod fill;
mod holder;
mod ledger;
mod live;
pub mod medium;
mod pairing;
mod peer;
mod pieces;
mod pool;
mod record;
mod segment;
pub mod simulated;
pub mod source;
mod spent;
mod store;
mod witness;

pub use audit::{AuditReport, DirectionAudit, PoolAudit};
pub use courier::{Drive, DriveSegment};
pub use delivery::{
    DeliveredKeys, DeliveryError, DeliveryLimits, KEY_ID_BYTES, KeyDelivery, KeyId, KeyIdError,
};
pub use error::{DriveRefusal, KeyError, SegmentRefusal};
pub use holder::{Claim, Confirmation, Lease};
pub use medium::{Directory, Medium, MediumFile};
pub use pairing::{
    Adopted, AnswerRefusal, DELIVERED_KEYS_MAX, DELIVERED_SEGMENT_BYTES_MAX, Deliverer, Deliveries,
    DeliveryStanding, Gathering, KeptSegment, MISMATCHES_MAX, Pairing, PendingSegment,
    PlacedSegment, Repeats,
};
pub use pieces::Pieces;
pub use pool::PoolKind;
pub use source::{DeclaredRandom, Entropy, FromRandomPool, Generator, KeySource, OsEntropy};
pub use store::{DirectionStatus, KeyStore, PoolStatus};
pub use warifu_core::id::Incarnation;
pub use warifu_core::{Direction, End};
pub use witness::GrantedKey;
