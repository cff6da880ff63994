//! What store and uploads share: the two folders, who has what open, and how a commit that was
//! cut off is settled.

use crate::LocalConfig;
use crate::error::sorted;
use crate::files::{Facts, Files, OpenFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_backend::{Error, ShareName};

/// One store's folders and what this process does in them.
pub(crate) struct Shelf {
    pub(crate) files: Box<dyn Files>,
    pub(crate) shares: Folder,
    pub(crate) unfinished: Folder,
    pub(crate) spared_bytes: u64,
    open: Mutex<BTreeSet<ShareName>>,
    /// Uploads whose sync failed and that could not be removed. Holding their files holds their
    /// locks, so that no other process takes what the medium may have lost.
    spoilt: Mutex<BTreeMap<ShareName, Arc<dyn OpenFile>>>,
}

impl Shelf {
    pub(crate) fn open(config: &LocalConfig, files: Box<dyn Files>) -> Result<Self, Error> {
        let failed = |error| sorted("open the store", error);
        let folder = &config.folder;
        let made = files.make_folder(folder).map_err(failed)?;
        let shares = Folder::open(&*files, folder.join("shares")).map_err(failed)?;
        let unfinished = Folder::open(&*files, folder.join("unfinished")).map_err(failed)?;
        files.open_folder(folder).and_then(|opened| opened.sync()).map_err(failed)?;
        sync_parent(&*files, folder, made).map_err(failed)?;
        Ok(Self {
            files,
            shares,
            unfinished,
            spared_bytes: config.spared_bytes,
            open: Mutex::default(),
            spoilt: Mutex::default(),
        })
    }

    /// Makes this call the only one in this process that works on the upload of `name`.
    pub(crate) fn claim(self: &Arc<Self>, name: &ShareName) -> Result<Claim, Error> {
        if !locked(&self.open).insert(name.clone()) {
            return Err(Error::Busy);
        }
        Ok(Claim { shelf: Arc::clone(self), name: name.clone() })
    }

    /// Facts of the committed share, once any commit that was cut off has been settled.
    pub(crate) fn committed(self: &Arc<Self>, name: &ShareName) -> Result<Facts, Error> {
        let failed = |error| sorted("look at the share", error);
        let facts = self.files.facts(&self.shares.path(name)).map_err(failed)?;
        if !facts.plain {
            return Err(Error::Damaged { what: "it is no plain file" });
        }
        if facts.links > 1 && self.is_twin(name, &facts)? {
            // Whoever has it open is about to commit it: so far nothing is there.
            let claim = self.claim(name).map_err(|_| Error::NotFound)?;
            self.settle(&claim)?;
        }
        Ok(facts)
    }

    /// Whether the file with these facts goes by `name` in both folders: then its commit came as
    /// far as the second name, and its contents are synced.
    pub(crate) fn has_twin(&self, name: &ShareName, facts: &Facts) -> Result<bool, Error> {
        match self.files.facts(&self.shares.path(name)) {
            Ok(other) => Ok(other.same_file(facts)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(sorted("look at the share", error)),
        }
    }

    fn is_twin(&self, name: &ShareName, facts: &Facts) -> Result<bool, Error> {
        match self.files.facts(&self.unfinished.path(name)) {
            Ok(other) => Ok(other.same_file(facts)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(sorted("look at the upload", error)),
        }
    }

    /// Completes a commit that was cut off after the second name was given. `NotFound`: another
    /// process is at it.
    ///
    /// The second name is taken away and given anew. Whoever gave it first may have been told
    /// that syncing it failed; then the system takes it for written, though it is not, and only
    /// a change makes the next sync mean something.
    pub(crate) fn settle(&self, claim: &Claim) -> Result<(), Error> {
        let path = self.unfinished.path(&claim.name);
        let file = match self.files.open_to_read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(sorted("open the upload", error)),
        };
        if !file.try_lock().map_err(|error| sorted("lock the upload", error))? {
            return Err(Error::NotFound);
        }
        let facts = file.facts().map_err(|error| sorted("look at the upload", error))?;
        if self.has_twin(&claim.name, &facts)? && self.is_twin(&claim.name, &facts)? {
            let unknown = |source| Error::Unknown { what: "settle a commit", source };
            self.shares.check().map_err(unknown)?;
            let share = self.shares.path(&claim.name);
            self.files.remove(&share).map_err(unknown)?;
            self.files.link(&path, &share).map_err(unknown)?;
            self.publish(&claim.name, &*file)?;
        }
        Ok(())
    }

    /// The rest of a commit, once the file has both names. The caller holds the file's lock.
    pub(crate) fn publish(&self, name: &ShareName, file: &dyn OpenFile) -> Result<(), Error> {
        let unknown = |what| move |source| Error::Unknown { what, source };
        file.make_read_only().map_err(unknown("make the share read-only"))?;
        self.shares.sync().map_err(unknown("sync the folder of shares"))?;
        let path = self.unfinished.path(name);
        self.files.remove(&path).map_err(unknown("take the upload's name away"))?;
        // The share is durable whatever comes of this: should the old name come back with a loss
        // of power, it is settled like any other.
        let _settled_later = self.unfinished.sync();
        Ok(())
    }

    pub(crate) fn keep_spoilt(&self, name: &ShareName, file: Arc<dyn OpenFile>) {
        locked(&self.spoilt).insert(name.clone(), file);
    }

    pub(crate) fn check_spoilt(&self, name: &ShareName) -> Result<(), Error> {
        if locked(&self.spoilt).contains_key(name) {
            let what = "a sync of the upload failed, and it could not be removed";
            return Err(Error::Damaged { what });
        }
        Ok(())
    }
}

/// Makes the folder's own name durable. It is tried each time, because who made the folder may
/// have been killed before it came to that; only a folder that was there may have a parent that
/// this user can't read.
fn sync_parent(files: &dyn Files, folder: &Path, made: bool) -> io::Result<()> {
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    match files.open_folder(parent) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !made => Ok(()),
        opened => opened?.sync(),
    }
}

/// The right of one call or upload to work on a name; given back when dropped.
pub(crate) struct Claim {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) name: ShareName,
}

impl Drop for Claim {
    fn drop(&mut self) {
        locked(&self.shelf.open).remove(&self.name);
    }
}

/// A folder that is kept open for as long as the store, because the system tells of a failed
/// write-back only those who had it open then, and each of them once.
pub(crate) struct Folder {
    path: PathBuf,
    handle: Box<dyn OpenFile>,
    /// Set for good by the first failure, under the lock under which all sync: so nobody takes
    /// for synced what somebody else was told is lost.
    failed: Mutex<bool>,
}

impl Folder {
    pub(crate) fn open(files: &dyn Files, path: PathBuf) -> io::Result<Self> {
        files.make_folder(&path)?;
        let handle = files.open_folder(&path)?;
        Ok(Self { path, handle, failed: Mutex::new(false) })
    }

    pub(crate) fn whole_path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path(&self, name: &ShareName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// Brings the names to stable storage.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut failed = locked(&self.failed);
        refuse(*failed)?;
        let outcome = self.handle.sync();
        *failed = outcome.is_err();
        outcome
    }

    /// Fails if a sync has failed before: then nothing can be made durable here any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        refuse(*locked(&self.failed))
    }
}

fn refuse(failed: bool) -> io::Result<()> {
    if failed {
        let why = "an earlier sync of the folder failed: the store must be opened anew";
        return Err(io::Error::other(why));
    }
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
