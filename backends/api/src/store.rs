//! What a store of shares must do.

use crate::{Error, ShareName};
use std::sync::Arc;
use warifu_buffers::Bytes;

/// What a store promises beyond the words of [`ShareStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Two commits of one name can't both succeed, whoever makes them.
    pub create_only: bool,
    /// What `commit` acknowledged survives loss of power.
    pub durable: bool,
    /// No reader ever sees a share half committed.
    pub atomic: bool,
    /// An upload that was dropped can be taken up by `resume`, also by a later process.
    pub resumable: bool,
}

/// One committed share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: ShareName,
    /// Its length, in bytes.
    pub bytes: u64,
}

/// A place that keeps shares: written once, never altered, read in ranges.
///
/// A name has at most one unfinished upload and at most one committed share. Only committed
/// shares are seen by `read_at`, `len`, `list` and `delete`. Every method may be called by many
/// threads at once.
///
/// Besides the errors named below, every method may answer [`Error::PermissionDenied`],
/// [`Error::Unavailable`] and [`Error::Other`].
pub trait ShareStore: Send + Sync {
    /// What this store promises. Never changes while the store is open.
    fn capability(&self) -> Capability;

    /// Begins an upload.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the name is committed, or if an older unfinished upload waits
    /// (only [`ShareStore::resume`] takes it over); [`Error::Busy`] if this store has that upload
    /// open (what another process has open may be told apart by `resume` alone);
    /// [`Error::Damaged`] as for `resume`; [`Error::NoSpace`].
    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error>;

    /// Takes up an unfinished upload with what was written to it so far.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Busy`] if somebody has it open;
    /// [`Error::Damaged`] if it can't be trusted, and can't be removed either.
    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error>;

    /// The names of all unfinished uploads, ascending, those that are open included.
    ///
    /// # Errors
    /// As the trait says.
    fn unfinished(&self) -> Result<Vec<ShareName>, Error>;

    /// Fills `target` with the committed share's bytes from `offset` on. After an error the
    /// contents of `target` are unspecified.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Truncated`] if the range ends beyond the end, also when
    /// `target` is empty; [`Error::Damaged`].
    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error>;

    /// Length of a committed share, in bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Damaged`].
    fn len(&self, name: &ShareName) -> Result<u64, Error>;

    /// All committed shares, by ascending name.
    ///
    /// # Errors
    /// As the trait says.
    fn list(&self) -> Result<Vec<Entry>, Error>;

    /// Removes a committed share, durably when `Ok`. An unfinished upload of that name stays.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unknown`] if it may be back after a loss of power.
    fn delete(&self, name: &ShareName) -> Result<(), Error>;

    /// Bytes that can still be stored, or `None` where nobody can tell.
    ///
    /// # Errors
    /// As the trait says.
    fn room_bytes(&self) -> Result<Option<u64>, Error>;
}

/// An upload that is open here and nowhere else.
///
/// Dropping it leaves what was written for [`ShareStore::resume`]; after a crash it may be longer
/// than what was written, by zeros. Bytes never written, before the last one that was, read as
/// zeros. A write that is refused because no offset can name its end changes nothing. After any
/// other error of `write_at`, `read_at`, `settle`, `truncate` or `sync` the upload is spent:
/// nothing but `abandon` works; only a read refused as [`Error::Truncated`] changes nothing.
/// [`Error::NoSpace`] leaves nothing behind.
pub trait Upload: Send {
    /// Writes `bytes` at `offset`, over what was there. No bytes change nothing, wherever.
    ///
    /// The buffer belongs to the operation until it is completed, which may be after the return:
    /// a failure then comes with a later call. What is written later lies over what was written
    /// earlier in any case.
    ///
    /// # Errors
    /// [`Error::Limit`] if the range ends beyond what an offset can name; [`Error::NoSpace`].
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error>;

    /// Fills `target` with what has been written at `offset`. After an error the contents of
    /// `target` are unspecified.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the range ends beyond the last byte written; what an earlier write
    /// came to.
    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error>;

    /// One past the last byte that was written, here or before it was taken up.
    fn held_bytes(&self) -> u64;

    /// Waits until nothing is on its way any more, and gives back what an upload that rests has no
    /// need of: buffers, descriptors, room. It says nothing about stable storage.
    ///
    /// # Errors
    /// What an earlier write came to.
    fn settle(&mut self) -> Result<(), Error>;

    /// Cuts off what lies beyond `bytes`. Where it is not longer, nothing is changed.
    ///
    /// # Errors
    /// What an earlier write came to.
    fn truncate(&mut self, bytes: u64) -> Result<(), Error>;

    /// Brings what was written to stable storage.
    ///
    /// # Errors
    /// A failure is final: what was written can't be trusted, and is not offered to `resume`.
    fn sync(&mut self) -> Result<(), Error>;

    /// Publishes the upload under its name: whole or nothing, create-only, durable when `Ok`
    /// (where [`Capability`] says so).
    ///
    /// # Errors
    /// What an earlier write came to; it is then not published.
    /// [`Error::AlreadyExists`] if the name was committed meanwhile: the upload is then gone;
    /// [`Error::Unknown`] if it may have been published or not; [`Error::NoSpace`]. After another
    /// error it is not published, and waits for `resume` unless a sync failed.
    fn commit(self: Box<Self>) -> Result<(), Error>;

    /// Throws away what was written.
    ///
    /// # Errors
    /// As [`ShareStore`] says; the upload may then still be there.
    fn abandon(self: Box<Self>) -> Result<(), Error>;
}

impl<S: ShareStore + ?Sized> ShareStore for Arc<S> {
    fn capability(&self) -> Capability {
        (**self).capability()
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        (**self).create(name)
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        (**self).resume(name)
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        (**self).unfinished()
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        (**self).read_at(name, offset, target)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        (**self).len(name)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        (**self).list()
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        (**self).delete(name)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        (**self).room_bytes()
    }
}
