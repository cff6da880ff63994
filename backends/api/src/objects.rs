//! What a place offers that takes things whole: an object store, most plugins.

use crate::{Entry, Error, ShareName};
use std::sync::Arc;

/// Fills a buffer with an object's bytes from an offset on.
pub type Contents<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), Error> + 'a;

/// What [`Objects`] promise beyond their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectsCapability {
    /// Two puts of one name can't both succeed, whoever makes them.
    pub create_only: bool,
    /// What `put` acknowledged survives loss of power.
    pub durable: bool,
}

/// A place that keeps objects: put whole, never altered, read in ranges. Many threads may call it
/// at once. [`crate::SpooledStore`] makes a store of shares of one.
///
/// Besides the errors named below, every method may answer [`Error::PermissionDenied`],
/// [`Error::Unavailable`] and [`Error::Other`].
pub trait Objects: Send + Sync {
    /// What is promised here. Never changes while the place is open.
    fn capability(&self) -> ObjectsCapability;

    /// Publishes an object of `bytes` bytes, which `contents` tells piece by piece, in any order:
    /// whole or nothing, and only where there is none of this name.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::NoSpace`]; [`Error::Limit`] if it takes none as long as
    /// that; [`Error::Unknown`] if it may be there or not; what `contents` answered. After any
    /// other error it is not published, and nothing of it is left that anybody pays for.
    fn put(&self, name: &ShareName, bytes: u64, contents: &mut Contents<'_>) -> Result<(), Error>;

    /// Fills `target` with the object's bytes from `offset` on. After an error the contents of
    /// `target` are unspecified.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Truncated`] if the range ends beyond the end, also when
    /// `target` is empty; [`Error::Damaged`].
    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error>;

    /// Length of an object, in bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn len(&self, name: &ShareName) -> Result<u64, Error>;

    /// All objects, by ascending name.
    ///
    /// # Errors
    /// As the trait says.
    fn list(&self) -> Result<Vec<Entry>, Error>;

    /// Removes an object.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unknown`] if it may be there or not.
    fn delete(&self, name: &ShareName) -> Result<(), Error>;

    /// Bytes that can still be put, or `None` where nobody can tell.
    ///
    /// # Errors
    /// As the trait says.
    fn room_bytes(&self) -> Result<Option<u64>, Error>;
}

impl<O: Objects + ?Sized> Objects for Arc<O> {
    fn capability(&self) -> ObjectsCapability {
        (**self).capability()
    }

    fn put(&self, name: &ShareName, bytes: u64, contents: &mut Contents<'_>) -> Result<(), Error> {
        (**self).put(name, bytes, contents)
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
