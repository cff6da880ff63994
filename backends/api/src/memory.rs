//! Shares in memory: the model of a store, for tests and rehearsals.

use crate::{Capability, Entry, Error, ShareName, ShareStore, Upload};
use std::collections::{BTreeMap, btree_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_buffers::{Block, Bytes};

/// Room of a store made by [`MemoryStore::new`], in bytes.
const ROOM_BYTES: u64 = 1 << 30;

/// A store that forgets everything with the process. What it held is zeroised.
pub struct MemoryStore {
    shelf: Arc<Mutex<Shelf>>,
}

impl MemoryStore {
    /// An empty store with room for 1 GiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room_bytes(ROOM_BYTES)
    }

    /// An empty store with room for `room_bytes`, unfinished uploads included.
    #[must_use]
    pub fn with_room_bytes(room_bytes: u64) -> Self {
        let shelf = Shelf { room_bytes, committed: BTreeMap::new(), unfinished: BTreeMap::new() };
        Self { shelf: Arc::new(Mutex::new(shelf)) }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        locked(&self.shelf)
    }

    fn upload(&self, name: &ShareName) -> Box<dyn Upload> {
        let shelf = Arc::clone(&self.shelf);
        Box::new(MemoryUpload { shelf, name: name.clone(), spent: false })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ShareStore for MemoryStore {
    fn capability(&self) -> Capability {
        Capability { create_only: true, durable: false, atomic: true, resumable: true }
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let mut shelf = self.shelf();
        if shelf.committed.contains_key(name) {
            return Err(Error::AlreadyExists);
        }
        match shelf.unfinished.get(name) {
            Some(unfinished) if unfinished.open => return Err(Error::Busy),
            Some(_) => return Err(Error::AlreadyExists),
            None => {}
        }
        let unfinished = Unfinished { contents: Contents::empty(), open: true };
        shelf.unfinished.insert(name.clone(), unfinished);
        Ok(self.upload(name))
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let mut shelf = self.shelf();
        let unfinished = shelf.unfinished.get_mut(name).ok_or(Error::NotFound)?;
        if unfinished.open {
            return Err(Error::Busy);
        }
        unfinished.open = true;
        Ok(self.upload(name))
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        Ok(self.shelf().unfinished.keys().cloned().collect())
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.shelf().committed.get(name).ok_or(Error::NotFound)?.read_at(offset, target)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        Ok(self.shelf().committed.get(name).ok_or(Error::NotFound)?.len)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        let shelf = self.shelf();
        let entry =
            |(name, held): (&ShareName, &Contents)| Entry { name: name.clone(), bytes: held.len };
        Ok(shelf.committed.iter().map(entry).collect())
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.shelf().committed.remove(name).map(drop).ok_or(Error::NotFound)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        let shelf = self.shelf();
        Ok(Some(shelf.room_bytes - shelf.used_bytes()))
    }
}

/// An upload of a [`MemoryStore`]. Until it is spent (committed, abandoned or out of room) its name
/// is in `unfinished` and marked open; afterwards the name may be another's.
struct MemoryUpload {
    shelf: Arc<Mutex<Shelf>>,
    name: ShareName,
    spent: bool,
}

impl MemoryUpload {
    /// Why nothing more can be done with an upload whose room ran out.
    fn check_spent(&self) -> Result<(), Error> {
        if self.spent { Err(Error::NoSpace) } else { Ok(()) }
    }
}

impl Upload for MemoryUpload {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        self.check_spent()?;
        let beyond = Error::Limit { what: "an offset beyond 2^64" };
        let end = offset.checked_add(bytes.len() as u64).ok_or(beyond)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let mut shelf = locked(&self.shelf);
        let room = shelf.room_bytes - shelf.used_bytes();
        let Some(unfinished) = shelf.unfinished.get_mut(&self.name) else {
            return Err(Error::NotFound);
        };
        if end.saturating_sub(unfinished.contents.len) > room {
            shelf.unfinished.remove(&self.name);
            self.spent = true;
            return Err(Error::NoSpace);
        }
        unfinished.contents.write_at(offset, &bytes)
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.check_spent()?;
        let shelf = locked(&self.shelf);
        let unfinished = shelf.unfinished.get(&self.name).ok_or(Error::NotFound)?;
        unfinished.contents.read_at(offset, target)
    }

    fn held_bytes(&self) -> u64 {
        let shelf = locked(&self.shelf);
        let unfinished = shelf.unfinished.get(&self.name).filter(|_| !self.spent);
        unfinished.map_or(0, |unfinished| unfinished.contents.len)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.check_spent()
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.check_spent()?;
        let mut shelf = locked(&self.shelf);
        let unfinished = shelf.unfinished.get_mut(&self.name).ok_or(Error::NotFound)?;
        unfinished.contents.truncate(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.check_spent()
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.check_spent()?;
        let mut shelf = locked(&self.shelf);
        self.spent = true;
        let unfinished = shelf.unfinished.remove(&self.name).ok_or(Error::NotFound)?;
        match shelf.committed.entry(self.name.clone()) {
            btree_map::Entry::Occupied(_) => return Err(Error::AlreadyExists),
            btree_map::Entry::Vacant(place) => place.insert(unfinished.contents),
        };
        Ok(())
    }

    fn abandon(mut self: Box<Self>) -> Result<(), Error> {
        if !self.spent {
            locked(&self.shelf).unfinished.remove(&self.name);
            self.spent = true;
        }
        Ok(())
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        if self.spent {
            return;
        }
        if let Some(unfinished) = locked(&self.shelf).unfinished.get_mut(&self.name) {
            unfinished.open = false;
        }
    }
}

struct Shelf {
    room_bytes: u64,
    committed: BTreeMap<ShareName, Contents>,
    unfinished: BTreeMap<ShareName, Unfinished>,
}

impl Shelf {
    fn used_bytes(&self) -> u64 {
        let unfinished = self.unfinished.values().map(|unfinished| &unfinished.contents);
        self.committed.values().chain(unfinished).map(|contents| contents.len).sum()
    }
}

struct Unfinished {
    contents: Contents,
    open: bool,
}

/// Bytes that may grow; a block that was outgrown is zeroised.
struct Contents {
    block: Block,
    len: u64,
}

impl Contents {
    fn empty() -> Self {
        Self { block: Block::zeroed(0), len: 0 }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let beyond = || Error::Limit { what: "more than memory can hold" };
        let start = usize::try_from(offset).map_err(|_| beyond())?;
        let end = start.checked_add(bytes.len()).ok_or_else(beyond)?;
        if end > self.block.len() {
            let mut grown = Block::zeroed(end.checked_next_power_of_two().ok_or_else(beyond)?);
            grown[..self.block.len()].copy_from_slice(&self.block);
            self.block = grown;
        }
        self.block[start..end].copy_from_slice(bytes);
        self.len = self.len.max(end as u64);
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) {
        if bytes < self.len {
            // What is written beyond this later has zeros before it.
            self.block[bytes as usize..self.len as usize].fill(0);
            self.len = bytes;
        }
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        let wanted_bytes = target.len() as u64;
        let truncated = || Error::Truncated { offset, wanted_bytes, held_bytes: self.len };
        let end = offset.checked_add(wanted_bytes).ok_or_else(truncated)?;
        if end > self.len {
            return Err(truncated());
        }
        let range = offset as usize..end as usize;
        target.copy_from_slice(&self.block[range]);
        Ok(())
    }
}

fn locked(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        crate::conformance::all(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn no_room_leaves_nothing_behind() {
        let store = MemoryStore::with_room_bytes(10);
        let name = ShareName::new("a").unwrap();
        let mut upload = store.create(&name).unwrap();
        upload.write_at(0, Bytes::from_static(&[1; 8])).unwrap();
        assert_eq!(store.room_bytes().unwrap(), Some(2));
        upload.write_at(4, Bytes::from_static(&[2; 6])).unwrap();
        assert!(matches!(upload.write_at(10, Bytes::from_static(&[3])), Err(Error::NoSpace)));
        assert_eq!(store.room_bytes().unwrap(), Some(10));
        assert!(store.unfinished().unwrap().is_empty());
        assert!(upload.write_at(0, Bytes::from_static(&[1])).is_err());
        let other = store.create(&name).unwrap();
        assert!(upload.commit().is_err());
        other.commit().unwrap();
        assert_eq!(store.len(&name).unwrap(), 0);
    }
}
