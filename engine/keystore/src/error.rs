//! What the key store refuses, by what the caller can do about it.

use crate::holder::Confirmation;
use std::io;
use std::path::PathBuf;
use warifu_core::{Direction, KeyRange, LinkId, PoolId, SegmentId, SiteName};

/// Why the key store refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The range was taken or burned before. Told by an authenticated peer, one of the two ends was
    /// rolled back; told before authentication, it may be anybody's doing and only
    /// ends the attempt.
    #[error("{range} of pool {pool} was used or burned before, and is refused")]
    AlreadyUsed {
        /// The pool.
        pool: PoolId,
        /// The direction in it.
        direction: Direction,
        /// The range that was offered.
        range: KeyRange,
        /// Whether the offer was authenticated.
        confirmation: Confirmation,
    },
    /// A pad longer than any message, or of no bytes at all.
    #[error("{bytes} bytes of key for one message: must be 1 to {max}")]
    BadSize {
        /// Bytes asked for.
        bytes: u64,
        /// The most that is handed out at once.
        max: u64,
    },
    /// The range or mark lies beyond the segments of this end.
    #[error("position {end} lies beyond pool {pool}, which ends at {capacity} in that direction")]
    BeyondPool {
        /// The pool.
        pool: PoolId,
        /// The direction in it.
        direction: Direction,
        /// One past the highest position named.
        end: u64,
        /// One past the last position there is.
        capacity: u64,
    },
    /// A courier's drive is refused.
    #[error("the courier's drive {path} is refused: {reason}")]
    Drive {
        /// The drive's folder.
        path: PathBuf,
        /// Why.
        reason: DriveRefusal,
    },
    /// No run of the pool is left to grant or lease.
    #[error("pool {pool} has no key left in that direction ({left} bytes in pieces)")]
    Empty {
        /// The pool.
        pool: PoolId,
        /// The direction in it.
        direction: Direction,
        /// Bytes left that cannot be used for this.
        left: u64,
    },
    /// All that was granted has been burned here meanwhile. Nothing is wrong: other positions are
    /// to be asked for.
    #[error("{range} of pool {pool} was burned here before it came: ask for other positions")]
    GrantBurned {
        /// The pool.
        pool: PoolId,
        /// The direction in it.
        direction: Direction,
        /// The range that was granted.
        range: KeyRange,
    },
    /// Reading or writing failed. For a ledger: the pool refuses everything until it is reopened.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key reads as zeros: it was erased, or lost by a copy. It would mask nothing.
    #[error("the key at {range} of pool {pool} reads as zeros: erased, or lost by a copy")]
    KeyErased {
        /// The pool.
        pool: PoolId,
        /// The range that was read.
        range: KeyRange,
    },
    /// The lease has no run long enough.
    #[error("the lease has no {wanted} bytes in one piece left (longest piece: {left})")]
    LeaseEmpty {
        /// Bytes wanted.
        wanted: u64,
        /// The longest piece left.
        left: u64,
    },
    /// The ledger does not read as it was written.
    #[error("the ledger of pool {pool} is damaged at record {record}: {reason}")]
    LedgerDamaged {
        /// The pool.
        pool: PoolId,
        /// The record that is wrong, from 0.
        record: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The pool is there, its ledger is not.
    #[error("the ledger of pool {pool} is gone: what was used cannot be known, nothing is used")]
    LedgerLost {
        /// The pool.
        pool: PoolId,
    },
    /// A list of names of delivered keys does not read as it was written: what was delivered
    /// before can't be known.
    #[error("{path} does not read as it was written: which keys came before can't be known")]
    NamesDamaged {
        /// The file.
        path: PathBuf,
    },
    /// No such pool.
    #[error("there is no pool {pool}")]
    NoPool {
        /// The pool asked for.
        pool: PoolId,
    },
    /// There is no key store.
    #[error("there is no key store here: its folder 'pools' is missing")]
    NoStore,
    /// The range is not (or no longer) granted by this process.
    #[error("{range} of pool {pool} is no grant of this session")]
    NotGranted {
        /// The pool.
        pool: PoolId,
        /// The direction in it.
        direction: Direction,
        /// The range.
        range: KeyRange,
    },
    /// The range was opened before.
    #[error("{range} of pool {pool} was opened before: a frame is opened once")]
    OpenedBefore {
        /// The pool.
        pool: PoolId,
        /// The range.
        range: KeyRange,
    },
    /// Another link's peer has that name.
    #[error("{name} is already the peer of link {link}")]
    PeerNameTaken {
        /// The name.
        name: SiteName,
        /// The link that has it.
        link: LinkId,
    },
    /// The peer shows an opening that another of its copies has used, or that it must have left
    /// behind.
    #[error("the peer of pool {pool} was rolled back or copied: opening {epoch}, seen {highest}")]
    PeerRolledBack {
        /// The pool.
        pool: PoolId,
        /// The epoch that it shows.
        epoch: u64,
        /// The highest epoch of that peer on record. Tell it, so that it can check itself.
        highest: u64,
        /// Whether that very opening was seen of another copy. Else the peer may have two processes
        /// of which the later one was faster.
        is_certain: bool,
    },
    /// The pool's folder does not read as it was written.
    #[error("pool {pool} is damaged: {reason}")]
    PoolDamaged {
        /// The pool.
        pool: PoolId,
        /// What is wrong.
        reason: &'static str,
    },
    /// The pool exists already.
    #[error("pool {pool} exists already")]
    PoolExists {
        /// The pool.
        pool: PoolId,
    },
    /// An earlier failure with the ledger: it is not known what is on the medium.
    #[error("pool {pool} refuses everything after a failure, until the key store is opened again")]
    Refused {
        /// The pool.
        pool: PoolId,
    },
    /// This store was rolled back or copied: the peer has seen openings that it does not know.
    #[error("this key store was rolled back or copied: pool {pool} at opening {own}, seen {known}")]
    RolledBack {
        /// The pool.
        pool: PoolId,
        /// This process's opening.
        own: u64,
        /// The highest that the peer has seen.
        known: u64,
    },
    /// A segment file is missing or does not read as it was written.
    #[error("segment {segment} of pool {pool} is refused: {reason}")]
    Segment {
        /// The pool.
        pool: PoolId,
        /// The segment.
        segment: SegmentId,
        /// Why.
        reason: SegmentRefusal,
    },
    /// A file is no segment at all.
    #[error("{path} is no segment of key: {reason}")]
    SegmentFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: SegmentRefusal,
    },
    /// The source of key failed or ended.
    #[error("the source of key {name:?} failed")]
    Source {
        /// The source's name.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// A key store is there already.
    #[error("a key store exists here already")]
    StoreExists,
    /// This end has another part in that direction, or the pool has no such direction.
    #[error("this end is not the {needed} in that direction of pool {pool}")]
    WrongRole {
        /// The pool.
        pool: PoolId,
        /// The direction in it.
        direction: Direction,
        /// What the call is for.
        needed: &'static str,
    },
}

impl KeyError {
    /// Whether this says that this store or a peer was rolled back, copied or has lost its ledger:
    /// nothing to retry, but for a person to look at (exit status 14 of the program).
    #[must_use]
    pub const fn is_rollback(&self) -> bool {
        matches!(
            self,
            Self::AlreadyUsed { confirmation: Confirmation::Authenticated, .. }
                | Self::LedgerDamaged { .. }
                | Self::LedgerLost { .. }
                | Self::PeerRolledBack { .. }
                | Self::RolledBack { .. }
        )
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a segment of key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentRefusal {
    /// The header is not one: magic, version, zero fields or a value out of bounds.
    #[error("its header is malformed")]
    BadHeader,
    /// The header's checksum is wrong.
    #[error("the checksum of its header is wrong")]
    Checksum,
    /// It leaves positions unfilled.
    #[error("it begins beyond the end of its direction: an earlier segment is missing")]
    Gap,
    /// The file has another length than its header says.
    #[error("its length is not what its header says")]
    Length,
    /// This end has lost more segments than any restored one would have.
    #[error("this end has lost too many segments: the link needs new key under a new link")]
    LostTooMany,
    /// The file is not there.
    #[error("its file is missing")]
    Missing,
    /// It fills positions that are filled already.
    #[error("its positions are filled already")]
    Overlap,
    /// It is in the ledger already.
    #[error("it was imported before")]
    Twice,
    /// The pool has no such direction, or holds no key.
    #[error("its pool has no such direction")]
    WrongDirection,
    /// It belongs to another pool.
    #[error("it belongs to another pool")]
    WrongPool,
    /// What the ledger says of it differs.
    #[error("it is not the one that the ledger tells of")]
    WrongRange,
}

/// Why a courier's drive is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriveRefusal {
    /// `courier.json` is missing, too long or malformed.
    #[error("its courier.json is missing or malformed")]
    Malformed,
    /// It is for another site.
    #[error("it is addressed to another site")]
    OtherSite,
    /// It holds a courier's files already.
    #[error("it holds a courier's files already")]
    Occupied,
    /// It speaks of another peer than the link that is here.
    #[error("its link is known here with another peer or as another end")]
    OtherPeer,
    /// All its segments are here already.
    #[error("it was imported before")]
    Twice,
}
