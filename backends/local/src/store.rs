//! The store.

use crate::error::sorted;
use crate::files::{Disk, Files, OpenFile};
use crate::queued::QueuedDisk;
use crate::shelf::{Claim, Folder, Shelf};
use crate::upload::{LocalUpload, read_within};
use crate::{Engine, LocalConfig};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use warifu_backend::{Capability, Entry, Error, ShareName, ShareStore, Upload};

/// How long to wait between tries to take a lock. A process that was killed holds its locks until
/// the writes that it left on their way have ended: then nothing of it comes behind its successor.
const LOCK_PATIENCE: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(30),
    Duration::from_millis(50),
    Duration::from_millis(100),
];

/// Shares in a directory of a file system that has hard links and `flock`.
pub struct LocalStore {
    shelf: Arc<Shelf>,
}

impl LocalStore {
    /// Opens the store, and makes it first where its folder is missing or empty.
    ///
    /// # Errors
    /// [`Error`], above all where the folder can't be made, listed or synced, or where
    /// [`Engine::Ring`] is asked for and the system has none.
    pub fn open(config: &LocalConfig) -> Result<Self, Error> {
        let files: Box<dyn Files> = match config.engine {
            Engine::Plain => Box::new(Disk),
            Engine::Auto => match QueuedDisk::probe() {
                Ok(disk) => Box::new(disk),
                Err(_) => Box::new(Disk),
            },
            Engine::Ring => {
                let probed = QueuedDisk::probe();
                Box::new(probed.map_err(|source| Error::Other { what: "set up io_uring", source })?)
            }
        };
        Self::open_with(config, files)
    }

    pub(crate) fn open_with(config: &LocalConfig, files: Box<dyn Files>) -> Result<Self, Error> {
        Ok(Self { shelf: Arc::new(Shelf::open(config, files)?) })
    }

    fn names(&self, folder: &Folder) -> Result<Vec<ShareName>, Error> {
        let names = self.shelf.files.names(folder.whole_path());
        let names = names.map_err(|error| sorted("list the folder", error))?;
        // Whatever has no name of a share was put there by somebody else.
        let mut names: Vec<ShareName> =
            names.iter().filter_map(|name| ShareName::new(name.to_str()?).ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Takes the lock of an upload's file. `Busy`: somebody else has it, or was faster and has
    /// already removed it.
    fn lock(&self, name: &ShareName, file: &dyn OpenFile) -> Result<(), Error> {
        let mut patience = LOCK_PATIENCE.iter();
        while !file.try_lock().map_err(|error| sorted("lock the upload", error))? {
            std::thread::sleep(*patience.next().ok_or(Error::Busy)?);
        }
        let failed = |error| sorted("look at the upload", error);
        let facts = file.facts().map_err(failed)?;
        match self.shelf.files.facts(&self.shelf.unfinished.path(name)) {
            Ok(there) if there.same_file(&facts) => Ok(()),
            Ok(_) => Err(Error::Busy),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::Busy),
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes the file of a new upload. `AlreadyExists` if the name is committed by now.
    fn begin(&self, claim: Claim) -> Result<LocalUpload, Error> {
        let name = claim.name.clone();
        let path = self.shelf.unfinished.path(&name);
        let file = self.shelf.files.create(&path);
        let file = file.map_err(|error| sorted("make the upload", error))?;
        self.lock(&name, &*file)?;
        let upload = LocalUpload::new(claim, file, 0);
        // Another process may have committed the name since it was looked for.
        match self.shelf.files.facts(&self.shelf.shares.path(&name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(upload),
            outcome => {
                Box::new(upload).abandon()?;
                let found = |error: io::Error| sorted("look for the share", error);
                Err(outcome.map_or_else(found, |_| Error::AlreadyExists))
            }
        }
    }
}

impl ShareStore for LocalStore {
    fn capability(&self) -> Capability {
        Capability { create_only: true, durable: true, atomic: true, resumable: true }
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        match self.shelf.files.facts(&self.shelf.shares.path(name)) {
            Ok(_) => return Err(Error::AlreadyExists),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(sorted("look for the share", error)),
        }
        let usable = self.shelf.shares.check();
        usable.map_err(|error| sorted("begin an upload", error))?;
        let claim = self.shelf.claim(name)?;
        self.shelf.check_spoilt(name)?;
        Ok(Box::new(self.begin(claim)?))
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let claim = self.shelf.claim(name)?;
        self.shelf.check_spoilt(name)?;
        let path = self.shelf.unfinished.path(name);
        let failed = |error| sorted("look at the upload", error);
        let facts = self.shelf.files.facts(&path).map_err(failed)?;
        if !facts.plain {
            return Err(Error::Damaged { what: "the upload is no plain file" });
        }
        if self.shelf.has_twin(name, &facts)? {
            return match self.shelf.settle(&claim) {
                Ok(()) => Err(Error::NotFound),
                Err(Error::NotFound) => Err(Error::Busy),
                Err(error) => Err(error),
            };
        }
        let file = self.shelf.files.open_to_write(&path);
        let file = file.map_err(|error| sorted("open the upload", error))?;
        self.lock(name, &*file)?;
        let facts = file.facts().map_err(failed)?;
        if self.shelf.has_twin(name, &facts)? {
            return Err(Error::Busy);
        }
        Ok(Box::new(LocalUpload::new(claim, file, facts.bytes)))
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        let mut names = self.names(&self.shelf.unfinished)?;
        // A commit that was cut off is settled by looking; it is then no longer unfinished.
        names.retain(|name| {
            let facts = self.shelf.files.facts(&self.shelf.unfinished.path(name));
            facts.is_ok_and(|facts| {
                facts.plain && (facts.links == 1 || self.shelf.committed(name).is_err())
            })
        });
        Ok(names)
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        let expected = self.shelf.committed(name)?;
        let file = self.shelf.files.open_to_read(&self.shelf.shares.path(name));
        let file = file.map_err(|error| sorted("open the share", error))?;
        let facts = file.facts().map_err(|error| sorted("look at the share", error))?;
        if !facts.same_file(&expected) {
            // It was deleted and another upload is being committed in its place.
            return Err(Error::NotFound);
        }
        read_within(&*file, facts.bytes, offset, target)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        self.shelf.committed(name).map(|facts| facts.bytes)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for name in self.names(&self.shelf.shares)? {
            match self.shelf.committed(&name) {
                Ok(facts) => entries.push(Entry { name, bytes: facts.bytes }),
                // Deleted meanwhile, not known to be committed, or nothing that a store made.
                Err(Error::NotFound | Error::Unknown { .. } | Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.shelf.committed(name)?;
        let failed = |error| sorted("delete the share", error);
        self.shelf.shares.check().map_err(failed)?;
        self.shelf.files.remove(&self.shelf.shares.path(name)).map_err(failed)?;
        let unknown = |source| Error::Unknown { what: "sync the folder of shares", source };
        self.shelf.shares.sync().map_err(unknown)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        let room = self.shelf.files.room_bytes(self.shelf.shares.whole_path());
        let room = room.map_err(|error| sorted("ask for the room left", error))?;
        Ok(Some(room.saturating_sub(self.shelf.spared_bytes)))
    }
}
