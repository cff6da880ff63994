//! Share files: written slot by slot while a backup runs, published whole, read by chunk.

mod reader;
mod writer;

pub use reader::{ReadChunk, ShareReader};
pub use writer::{CommitOrder, Draft, ShareWriter, WrittenSlot};

use crate::backup::weave::Slot;
use warifu_core::FormatError;

/// What went wrong with a share file.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The store refused or failed.
    #[error("the store failed")]
    Store(#[from] warifu_backend::Error),
    /// The bytes on the medium are not what was written.
    #[error("the share file is damaged")]
    Damaged(#[from] FormatError),
    /// The file is not the share that its name promises.
    #[error("this is not the share that was stored: {what}")]
    OtherShare {
        /// What does not agree.
        what: &'static str,
    },
    /// A slot is asked that the share does not have.
    #[error("the share has no {slot:?}")]
    NoSuchSlot {
        /// What was asked.
        slot: Slot,
    },
    /// At commit a slot is missing or holds another attempt.
    #[error("{slot:?} should hold attempt {expected}, the share holds {held:?}")]
    WrongAttempt {
        /// Which slot.
        slot: Slot,
        /// What the commit names.
        expected: u32,
        /// What is there, if anything.
        held: Option<u32>,
    },
    /// A slot arrives that does not fit what is there.
    #[error("{slot:?} of {bytes} bytes does not fit this share: {why}")]
    Misfit {
        /// Which slot.
        slot: Slot,
        /// Its length.
        bytes: usize,
        /// What it breaks.
        why: &'static str,
    },
    /// An unfinished share of this name belongs to another link or geometry.
    #[error("an unfinished share of this name was begun by another party")]
    OtherOwner,
}
