//! A world whose stores take shares and forget them; all else in it is this machine's.

use std::path::Path;
use std::sync::Arc;
use warifu_backend::{
    Capability, Entry, Error, ShareName, ShareStore, Transport, TransportError, Upload,
};
use warifu_buffers::Bytes;
use warifu_keystore::{Entropy, Medium};
use warifu_pipeline::clock::Clock;
use warifu_pipeline::driver::Driver;
use warifu_vault::world::{ThisMachine, World};

/// The world.
pub(super) struct NullWorld;

impl World for NullWorld {
    fn key_medium(&self, dir: &Path) -> Arc<dyn Medium> {
        ThisMachine.key_medium(dir)
    }

    fn journal_medium(&self, dir: &Path) -> Arc<dyn Medium> {
        ThisMachine.journal_medium(dir)
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        ThisMachine.entropy()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        ThisMachine.clock()
    }

    fn driver(&self) -> Driver {
        ThisMachine.driver()
    }

    fn connect(&self, address: &str) -> Result<Box<dyn Transport>, TransportError> {
        ThisMachine.connect(address)
    }

    fn open_store(&self, _folder: &Path) -> Result<Arc<dyn ShareStore>, Error> {
        Ok(Arc::new(NullStore))
    }
}

/// A store that takes everything and has nothing.
struct NullStore;

impl ShareStore for NullStore {
    fn capability(&self) -> Capability {
        Capability { create_only: true, durable: true, atomic: true, resumable: true }
    }

    fn create(&self, _name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(NullUpload { end: 0 }))
    }

    fn resume(&self, _name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        Err(Error::NotFound)
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        Ok(Vec::new())
    }

    fn read_at(&self, _name: &ShareName, _at: u64, _target: &mut [u8]) -> Result<(), Error> {
        Err(Error::NotFound)
    }

    fn len(&self, _name: &ShareName) -> Result<u64, Error> {
        Err(Error::NotFound)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        Ok(Vec::new())
    }

    fn delete(&self, _name: &ShareName) -> Result<(), Error> {
        Err(Error::NotFound)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

/// An upload that remembers its length only. What is read back of it is zeros.
struct NullUpload {
    end: u64,
}

impl Upload for NullUpload {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        let beyond = Error::Limit { what: "an offset beyond 2^64" };
        self.end = self.end.max(offset.checked_add(bytes.len() as u64).ok_or(beyond)?);
        Ok(())
    }

    fn read_at(&mut self, _offset: u64, target: &mut [u8]) -> Result<(), Error> {
        target.fill(0);
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        self.end
    }

    fn settle(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.end = self.end.min(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }

    fn abandon(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
