//! One upload, from its first byte to its second name.

use crate::error::sorted;
use crate::files::OpenFile;
use crate::shelf::{Claim, Shelf};
use std::io;
use std::sync::Arc;
use warifu_backend::{Error, Upload};
use warifu_buffers::Bytes;

/// Highest length of a file, in bytes: what the system can name.
const FILE_BYTES_MAX: u64 = i64::MAX.cast_unsigned();

/// An upload whose file is open, locked, and under `unfinished`.
pub(crate) struct LocalUpload {
    claim: Claim,
    file: Arc<dyn OpenFile>,
    /// One past the last byte written.
    bytes: u64,
    /// Whether the file's name under `unfinished` is on stable storage.
    name_synced: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Written, resumed, or about to be.
    Open,
    /// A write failed, now or earlier: what is there may be resumed, but not by this upload.
    Spent,
    /// A sync failed and the file could not be removed: nobody may have it.
    Spoilt,
    /// The file is no longer under `unfinished`.
    Gone,
}

impl LocalUpload {
    pub(crate) fn new(claim: Claim, file: Box<dyn OpenFile>, bytes: u64) -> Self {
        Self { claim, file: file.into(), bytes, name_synced: false, state: State::Open }
    }

    fn shelf(&self) -> &Shelf {
        &self.claim.shelf
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.state == State::Open {
            return Ok(());
        }
        let source = io::Error::other("an earlier call failed");
        Err(Error::Other { what: "use the upload", source })
    }

    fn remove(&mut self) -> io::Result<()> {
        let path = self.shelf().unfinished.path(&self.claim.name);
        match self.shelf().files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => {
                self.state = State::Gone;
                Ok(())
            }
        }
    }

    /// Throws away what can't be trusted, and hands `error` on.
    fn spoil(&mut self, error: Error) -> Error {
        self.state = State::Spoilt;
        // Where it fails, the state says so, and dropping keeps the lock.
        let _still_spoilt = self.remove();
        error
    }

    /// Leaves no litter where `error` says that there is no place for it.
    fn after_failure(&mut self, error: Error) -> Error {
        self.state = State::Spent;
        if matches!(error, Error::AlreadyExists | Error::NoSpace) {
            let _stays_for_resume = self.remove();
        }
        error
    }

    /// Waits for the writes on their way, and tells what came of them.
    fn settle_file(&mut self) -> Result<(), Error> {
        let settled = self.file.settle();
        settled.map_err(|error| self.after_failure(sorted("write to the upload", error)))
    }

    fn sync_file(&mut self) -> Result<(), Error> {
        self.settle_file()?;
        self.file.sync().map_err(|error| self.spoil(sorted("sync the upload", error)))
    }

    /// Whether what will be published is what was written, as far as lengths and names tell.
    fn check_file(&self) -> Result<(), Error> {
        let failed = |error| sorted("look at the upload", error);
        let facts = self.file.facts().map_err(failed)?;
        if facts.bytes != self.bytes {
            return Err(Error::Damaged { what: "the upload's length is not what was written" });
        }
        let path = self.shelf().unfinished.path(&self.claim.name);
        if !self.shelf().files.facts(&path).map_err(failed)?.same_file(&facts) {
            return Err(Error::Damaged { what: "the upload's file was replaced" });
        }
        Ok(())
    }

    /// Gives the file its second name, which never replaces anything.
    fn link(&mut self) -> Result<(), Error> {
        let shelf = self.shelf();
        let source = shelf.unfinished.path(&self.claim.name);
        let target = shelf.shares.path(&self.claim.name);
        let Err(error) = shelf.files.link(&source, &target) else { return Ok(()) };
        // The answer may have been lost, and the name given all the same.
        let failed = |error| sorted("look at the upload", error);
        let facts = self.file.facts().map_err(failed)?;
        if shelf.has_twin(&self.claim.name, &facts)? {
            return Ok(());
        }
        Err(self.after_failure(sorted("give the share its name", error)))
    }
}

impl Upload for LocalUpload {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        self.check_open()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= FILE_BYTES_MAX);
        let end = end.ok_or(Error::Limit { what: "an offset of 2^63" })?;
        let written = self.file.write_at(offset, bytes);
        written.map_err(|error| self.after_failure(sorted("write to the upload", error)))?;
        self.bytes = self.bytes.max(end);
        Ok(())
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.check_open()?;
        self.settle_file()?;
        read_within(&*self.file, self.bytes, offset, target)
    }

    fn held_bytes(&self) -> u64 {
        self.bytes
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.check_open()?;
        self.settle_file()
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.check_open()?;
        self.settle_file()?;
        if bytes < self.bytes {
            let cut = self.file.truncate(bytes);
            cut.map_err(|error| self.after_failure(sorted("shorten the upload", error)))?;
            self.bytes = bytes;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.check_open()?;
        self.sync_file()?;
        if !self.name_synced {
            let synced = self.shelf().unfinished.sync();
            synced.map_err(|error| {
                self.after_failure(sorted("sync the folder of unfinished uploads", error))
            })?;
            self.name_synced = true;
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.check_open()?;
        self.sync_file()?;
        self.check_file()?;
        let usable = self.shelf().shares.check();
        usable.map_err(|error| sorted("publish the share", error))?;
        self.link()?;
        let published = self.shelf().publish(&self.claim.name, &*self.file);
        self.state = State::Gone;
        published
    }

    fn abandon(mut self: Box<Self>) -> Result<(), Error> {
        if self.state == State::Gone {
            return Ok(());
        }
        self.remove().map_err(|error| sorted("remove the upload", error))
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if self.state == State::Spoilt {
            self.claim.shelf.keep_spoilt(&self.claim.name, Arc::clone(&self.file));
        }
    }
}

/// Fills `target` from `offset` on, in a file of `held_bytes`.
pub(crate) fn read_within(
    file: &dyn OpenFile,
    held_bytes: u64,
    offset: u64,
    target: &mut [u8],
) -> Result<(), Error> {
    let wanted_bytes = target.len() as u64;
    if offset.checked_add(wanted_bytes).is_none_or(|end| end > held_bytes) {
        return Err(Error::Truncated { offset, wanted_bytes, held_bytes });
    }
    file.read_at(offset, target).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::Damaged { what: "its file became shorter" };
        }
        if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
            return Error::Damaged { what: "the medium can't read it" };
        }
        sorted("read", error)
    })
}
