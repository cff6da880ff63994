//! One site's side of a backup: what a lane can do, whatever leads to the site.

use super::weave::Slot;
use crate::held::Held;
use crate::peer::{Peer, PeerError};
use crate::share::{CommitOrder, ShareError};
use warifu_buffers::Block;
use warifu_core::capsule::Verdict;
use warifu_core::{Kept, SiteName};
use warifu_keystore::KeyError;

/// Why a lane can't go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// The site or the way to it failed.
    #[error("the link to the site failed")]
    Peer(#[from] PeerError),
    /// The site's folder failed.
    #[error("the site's store failed")]
    Share(#[from] ShareError),
    /// There is no key.
    #[error("key material ran out or was refused")]
    Key(#[from] KeyError),
    /// The site holds other key than the gateway: it rotted or diverged.
    #[error("the key of {slot:?} differs between the two ends of the link")]
    KeyDiverged {
        /// Where it was found.
        slot: Slot,
    },
    /// The site is lost again and again; every loss costs key.
    #[error("the site was lost {losses} times")]
    LostTooOften {
        /// How often.
        losses: u32,
    },
    /// The site came back without chunks that it had acknowledged.
    #[error("the site has lost {lost} chunks that it had acknowledged")]
    Forgot {
        /// How many.
        lost: u64,
    },
}

impl LaneError {
    /// Whether the way to the site broke, so that another connection may help.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Peer(error) if error.is_lost())
    }
}

/// What a lane spent on one object.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Spent {
    /// Key of the link, both directions, in bytes.
    pub key_bytes: u64,
    /// Bytes sent on the wire, or written to a local store.
    pub sent_bytes: u64,
    /// Key of the `random` pool in bytes.
    pub random_bytes: u64,
    /// Whether any key of class `computational` was used.
    pub is_computational: bool,
}

/// A site's word that it holds a slot.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// Which slot.
    pub slot: Slot,
    /// Under which attempt.
    pub attempt: u32,
    /// The slot's at-rest hash; zero for a piece of the capsule, which has none.
    pub hash: [u8; 16],
    /// What the lane had spent by then.
    pub spent: Spent,
}

/// A way to put one share of one object at one site.
///
/// `draw`, `store` and `mask` may return before the site has answered; `settle` collects the
/// answers in order.
pub trait Lane: Send {
    /// The site's name.
    fn site(&self) -> &SiteName;

    /// Draws `bytes` of pad as this site's share of `slot`; the kept key begins with it.
    ///
    /// # Errors
    /// Where no key is left or the site is lost.
    fn draw(&mut self, slot: Slot, attempt: u32, bytes: usize) -> Result<Kept, LaneError>;

    /// Stores a computed share; the content stands in `frame` at `CONTENT_OFFSET`.
    ///
    /// # Errors
    /// As `draw`.
    fn store(&mut self, slot: Slot, attempt: u32, frame: Block) -> Result<(), LaneError>;

    /// Lays down audit mask `index`.
    ///
    /// # Errors
    /// As `draw`.
    fn mask(&mut self, index: u64, attempt: u32) -> Result<(), LaneError>;

    /// Answers that are still to come.
    fn outstanding(&self) -> usize;

    /// Waits for the next answer: what the site now holds.
    ///
    /// # Errors
    /// Where the site refuses, holds other key, or is lost.
    fn settle(&mut self) -> Result<Receipt, LaneError>;

    /// What the site held of the share when this lane was begun.
    fn held(&self) -> &Held;

    /// Counts a slot that the site holds since an earlier process as acknowledged, with its at-rest
    /// hash.
    fn take_up(&mut self, slot: Slot, attempt: u32, hash: [u8; 16]);

    /// Finds the way to the site again after it was lost, `about` a slot that was being sent; gives
    /// back all slots in doubt.
    ///
    /// # Errors
    /// Where the site does not come back, is lost too often, or has lost what it acknowledged.
    fn recover(&mut self, about: Option<(Slot, u32)>) -> Result<Vec<(Slot, u32)>, LaneError>;

    /// The share's verdict: its r and hashes, with `chunks` data chunks and `masks` masks.
    fn verdict(&self, chunks: u64, masks: u32) -> Verdict;

    /// Completes the share durably.
    ///
    /// # Errors
    /// Where the site can't or is lost; the share may then be there or not.
    fn commit(&mut self, order: &CommitOrder<'_>) -> Result<(), LaneError>;

    /// Gives the unfinished share up, as far as the site can be reached.
    fn abandon(&mut self);

    /// What was spent so far.
    fn spent(&self) -> Spent;

    /// Ends cleanly: unused key goes back, durably at both ends.
    fn close(self: Box<Self>);

    /// Gives the connection back for another object, once the share is committed; `None` where
    /// there is none, or none that can be used again.
    fn into_peer(self: Box<Self>) -> Option<Peer>;
}
