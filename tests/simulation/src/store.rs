//! Stores of shares on simulated disks: what was not synced may be lost or torn, room may run
//! out, and a call may fail.

use crate::fuse::Fuse;
use crate::ground::{Canary, Ground};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_backend::{Capability, Entry, Error, ShareName, ShareStore, Upload};
use warifu_buffers::Bytes;

/// Room of a disk that nobody has filled, in bytes.
pub(crate) const ROOM_BYTES: u64 = 1 << 30;

/// A disk. What a process sees of it is a [`MortalStore`].
pub(crate) struct Disk {
    ground: Arc<Ground>,
    shelf: Mutex<Shelf>,
}

struct Shelf {
    room_bytes: u64,
    committed: BTreeMap<ShareName, Committed>,
    unfinished: BTreeMap<ShareName, Unfinished>,
}

struct Committed {
    bytes: Vec<u8>,
    is_durable: bool,
}

struct Unfinished {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What was changed since the last sync, in order.
    pending: Vec<Change>,
    is_open: bool,
    /// Whether its name survives a loss of power.
    is_durable: bool,
}

/// A change that a crash may undo.
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Shelf {
    fn used_bytes(&self) -> u64 {
        let committed = self.committed.values().map(|one| one.bytes.len());
        let unfinished = self.unfinished.values().map(|one| one.seen.len());
        committed.chain(unfinished).sum::<usize>() as u64
    }

    fn free_bytes(&self) -> u64 {
        self.room_bytes.saturating_sub(self.used_bytes())
    }
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub(crate) fn new(ground: Arc<Ground>) -> Arc<Self> {
        let (committed, unfinished) = (BTreeMap::new(), BTreeMap::new());
        let shelf = Shelf { room_bytes: ROOM_BYTES, committed, unfinished };
        Arc::new(Self { ground, shelf: Mutex::new(shelf) })
    }

    /// The store as a process with this fuse sees it.
    #[must_use]
    pub(crate) fn store(self: &Arc<Self>, fuse: Arc<Fuse>) -> MortalStore {
        MortalStore { disk: self.clone(), fuse }
    }

    /// The process that used it is gone; the machine runs on.
    pub(crate) fn let_go(&self) {
        self.shelf().unfinished.values_mut().for_each(|one| one.is_open = false);
    }

    /// The power is cut: of what was not synced, some may be there and some not.
    pub(crate) fn lose_power(&self) {
        let dice = &self.ground.dice;
        let mut shelf = self.shelf();
        shelf.committed.retain(|_, one| one.is_durable);
        shelf.unfinished.retain(|_, one| one.is_durable || dice.permille(500));
        for one in shelf.unfinished.values_mut() {
            one.is_open = false;
            let mut left = one.durable.clone();
            for change in std::mem::take(&mut one.pending) {
                match (change, dice.below(3)) {
                    (_, 0) => {}
                    (Change::Write(at, bytes), 1) => {
                        write(&mut left, at, &bytes[..dice.below(bytes.len())]);
                    }
                    (Change::Write(at, bytes), _) => write(&mut left, at, &bytes),
                    (Change::Cut(bytes), _) => left.truncate(bytes),
                }
            }
            one.seen.clone_from(&left);
            one.durable = left;
        }
    }

    /// Leaves this many bytes free.
    pub(crate) fn leave_free(&self, bytes: u64) {
        let mut shelf = self.shelf();
        shelf.room_bytes = shelf.used_bytes().saturating_add(bytes);
    }

    /// Names of the shares that would be there after a loss of power now, and of unfinished ones.
    #[must_use]
    pub(crate) fn holds(&self) -> (Vec<String>, Vec<String>) {
        let shelf = self.shelf();
        let durable = shelf.committed.iter().filter(|(_, one)| one.is_durable);
        let name = |name: &ShareName| name.as_str().to_owned();
        let committed = durable.map(|(one, _)| name(one)).collect();
        (committed, shelf.unfinished.keys().map(name).collect())
    }

    /// Whether `needle` stands anywhere on it.
    #[must_use]
    pub(crate) fn contains(&self, needle: &[u8]) -> bool {
        let shelf = self.shelf();
        let committed = shelf.committed.values().map(|one| &one.bytes);
        let all = committed.chain(shelf.unfinished.values().map(|one| &one.seen));
        all.into_iter().any(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self, what: &'static str) -> Result<(), Error> {
        if !self.ground.strikes() {
            return Ok(());
        }
        self.ground.fault(&format!("a store fails: {what}"));
        Err(Error::Other { what, source: io::Error::other("the disk fails") })
    }
}

fn write(target: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    target.resize(target.len().max(at + bytes.len()), 0);
    target[at..at + bytes.len()].copy_from_slice(bytes);
}

fn read(source: &[u8], offset: u64, target: &mut [u8]) -> Result<(), Error> {
    let (wanted_bytes, held_bytes) = (target.len() as u64, source.len() as u64);
    let from = usize::try_from(offset).ok();
    let range = from.and_then(|from| Some(from..from.checked_add(target.len())?));
    let part = range.and_then(|range| source.get(range));
    target.copy_from_slice(part.ok_or(Error::Truncated { offset, wanted_bytes, held_bytes })?);
    Ok(())
}

/// A disk as one process sees it, for as long as it lives.
pub(crate) struct MortalStore {
    disk: Arc<Disk>,
    fuse: Arc<Fuse>,
}

fn gone(source: io::Error) -> Error {
    Error::Other { what: "reach the disk", source }
}

impl MortalStore {
    fn upload(&self, name: &ShareName) -> Box<dyn Upload> {
        let (disk, fuse) = (self.disk.clone(), self.fuse.clone());
        Box::new(MortalUpload { disk, fuse, name: name.clone(), spent: None })
    }
}

impl ShareStore for MortalStore {
    fn capability(&self) -> Capability {
        Capability { create_only: true, durable: true, atomic: true, resumable: true }
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        self.fuse.burn().map_err(gone)?;
        self.disk.strikes("create")?;
        let mut shelf = self.disk.shelf();
        if shelf.committed.contains_key(name) {
            return Err(Error::AlreadyExists);
        }
        match shelf.unfinished.get(name) {
            Some(one) if one.is_open => return Err(Error::Busy),
            Some(_) => return Err(Error::AlreadyExists),
            None => {}
        }
        let (seen, durable, pending) = (Vec::new(), Vec::new(), Vec::new());
        let one = Unfinished { seen, durable, pending, is_open: true, is_durable: false };
        shelf.unfinished.insert(name.clone(), one);
        Ok(self.upload(name))
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        self.fuse.burn().map_err(gone)?;
        let mut shelf = self.disk.shelf();
        let one = shelf.unfinished.get_mut(name).ok_or(Error::NotFound)?;
        if one.is_open {
            return Err(Error::Busy);
        }
        one.is_open = true;
        Ok(self.upload(name))
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        self.fuse.look().map_err(gone)?;
        Ok(self.disk.shelf().unfinished.keys().cloned().collect())
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.fuse.look().map_err(gone)?;
        self.disk.strikes("read")?;
        read(&self.disk.shelf().committed.get(name).ok_or(Error::NotFound)?.bytes, offset, target)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        self.fuse.look().map_err(gone)?;
        let shelf = self.disk.shelf();
        Ok(shelf.committed.get(name).ok_or(Error::NotFound)?.bytes.len() as u64)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        self.fuse.look().map_err(gone)?;
        let shelf = self.disk.shelf();
        let entry = |(name, one): (&ShareName, &Committed)| Entry {
            name: name.clone(),
            bytes: one.bytes.len() as u64,
        };
        Ok(shelf.committed.iter().map(entry).collect())
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.fuse.burn().map_err(gone)?;
        self.disk.strikes("delete")?;
        self.disk.shelf().committed.remove(name).map(drop).ok_or(Error::NotFound)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        self.fuse.look().map_err(gone)?;
        Ok(Some(self.disk.shelf().free_bytes()))
    }
}

/// Why an upload is spent.
#[derive(Clone, Copy)]
enum Spent {
    NoSpace,
    Failed,
}

struct MortalUpload {
    disk: Arc<Disk>,
    fuse: Arc<Fuse>,
    name: ShareName,
    spent: Option<Spent>,
}

impl MortalUpload {
    fn expect_usable(&self) -> Result<(), Error> {
        self.fuse.burn().map_err(gone)?;
        match self.spent {
            None => Ok(()),
            Some(Spent::NoSpace) => Err(Error::NoSpace),
            Some(Spent::Failed) => Err(gone(io::Error::other("an earlier call failed"))),
        }
    }

    /// A failure after which nothing but `abandon` works.
    fn strikes(&mut self, what: &'static str) -> Result<(), Error> {
        self.disk.strikes(what).inspect_err(|_| self.spent = Some(Spent::Failed))
    }

    /// Brings all to stable storage, as far as this disk is honest.
    fn persist(one: &mut Unfinished) {
        one.pending.clear();
        one.durable.clone_from(&one.seen);
        one.is_durable = true;
    }
}

impl Upload for MortalUpload {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        self.expect_usable()?;
        let beyond = Error::Limit { what: "an offset beyond 2^64" };
        let end = offset.checked_add(bytes.len() as u64).ok_or(beyond)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.strikes("write")?;
        let mut shelf = self.disk.shelf();
        let free = shelf.free_bytes();
        let one = shelf.unfinished.get_mut(&self.name).ok_or(Error::NotFound)?;
        if end.saturating_sub(one.seen.len() as u64) > free {
            shelf.unfinished.remove(&self.name);
            self.spent = Some(Spent::NoSpace);
            return Err(Error::NoSpace);
        }
        let at = usize::try_from(offset).map_err(|_| Error::NoSpace)?;
        write(&mut one.seen, at, &bytes);
        one.pending.push(Change::Write(at, bytes.to_vec()));
        Ok(())
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.expect_usable()?;
        let shelf = self.disk.shelf();
        read(&shelf.unfinished.get(&self.name).ok_or(Error::NotFound)?.seen, offset, target)
    }

    fn held_bytes(&self) -> u64 {
        self.disk.shelf().unfinished.get(&self.name).map_or(0, |one| one.seen.len() as u64)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.expect_usable()
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.expect_usable()?;
        self.strikes("truncate")?;
        let mut shelf = self.disk.shelf();
        let one = shelf.unfinished.get_mut(&self.name).ok_or(Error::NotFound)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes < one.seen.len() {
            one.seen.truncate(bytes);
            one.pending.push(Change::Cut(bytes));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.expect_usable()?;
        if let Err(error) = self.strikes("sync") {
            // What a failed sync leaves can't be trusted.
            self.disk.shelf().unfinished.remove(&self.name);
            return Err(error);
        }
        let mut shelf = self.disk.shelf();
        Self::persist(shelf.unfinished.get_mut(&self.name).ok_or(Error::NotFound)?);
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.expect_usable()?;
        self.spent = Some(Spent::Failed);
        let ground = self.disk.ground.clone();
        let unknown = ground.strikes();
        let mut shelf = self.disk.shelf();
        let one = shelf.unfinished.remove(&self.name).ok_or(Error::NotFound)?;
        if shelf.committed.contains_key(&self.name) {
            return Err(Error::AlreadyExists);
        }
        let is_durable = !ground.lies(Canary::HastyStores);
        let (name, committed) = (self.name.clone(), Committed { bytes: one.seen, is_durable });
        if unknown {
            let is_there = ground.dice.permille(500);
            ground.fault(&format!("a commit is unknown, and {is_there}"));
            if is_there {
                shelf.committed.insert(name, committed);
            }
            let source = io::Error::other("the disk fails");
            return Err(Error::Unknown { what: "commit", source });
        }
        shelf.committed.insert(name, committed);
        Ok(())
    }

    fn abandon(mut self: Box<Self>) -> Result<(), Error> {
        self.fuse.burn().map_err(gone)?;
        if !matches!(self.spent, Some(Spent::NoSpace)) {
            self.disk.shelf().unfinished.remove(&self.name);
        }
        self.spent = Some(Spent::NoSpace);
        Ok(())
    }
}

impl Drop for MortalUpload {
    fn drop(&mut self) {
        if matches!(self.spent, Some(Spent::NoSpace)) {
            return;
        }
        if let Some(one) = self.disk.shelf().unfinished.get_mut(&self.name) {
            one.is_open = false;
        }
    }
}
