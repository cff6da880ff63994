//! Stores that lie. The conformance suite must catch every one of them, or it proves nothing.

use crate::{Capability, Entry, Error, MemoryStore, ShareName, ShareStore, Upload, conformance};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use warifu_buffers::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    AbandonsNothing,
    CommitsTwice,
    DeletesNothing,
    ForgetsTheDropped,
    ForgetsTheSecondWrite,
    ForgetsWhatItSettles,
    ListsBackwards,
    MixesUpWrites,
    None,
    ReadsShort,
    ResumesTheOpen,
    ShowsTheUncommitted,
    TruncatesNothing,
}

/// A memory store that lies in one way.
struct Liar {
    inner: Arc<MemoryStore>,
    lie: Lie,
    /// Names that were created, for the lies that need them.
    begun: Mutex<Vec<ShareName>>,
}

impl Liar {
    fn new(lie: Lie) -> Self {
        Self { inner: Arc::new(MemoryStore::new()), lie, begun: Mutex::default() }
    }

    fn upload(&self, name: &ShareName, inner: Box<dyn Upload>) -> Box<dyn Upload> {
        let store = Arc::clone(&self.inner);
        let name = name.clone();
        let held_back = None;
        Box::new(LiarUpload {
            inner: Some(inner),
            store,
            name,
            lie: self.lie,
            writes: 0,
            held_back,
        })
    }
}

impl ShareStore for Liar {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        if self.lie == Lie::CommitsTwice && self.inner.len(name).is_ok() {
            self.inner.delete(name)?;
        }
        let upload = self.inner.create(name)?;
        self.begun.lock().unwrap().push(name.clone());
        Ok(self.upload(name, upload))
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        match self.inner.resume(name) {
            Err(Error::Busy) if self.lie == Lie::ResumesTheOpen => {
                let other = ShareName::new("elsewhere").unwrap();
                self.inner.create(&other)
            }
            outcome => Ok(self.upload(name, outcome?)),
        }
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        self.inner.unfinished()
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        match self.inner.read_at(name, offset, target) {
            Err(Error::Truncated { .. }) if self.lie == Lie::ReadsShort => Ok(()),
            outcome => outcome,
        }
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        match self.inner.len(name) {
            Err(Error::NotFound)
                if self.lie == Lie::ShowsTheUncommitted
                    && self.begun.lock().unwrap().contains(name) =>
            {
                Ok(0)
            }
            outcome => outcome,
        }
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        let mut entries = self.inner.list()?;
        if self.lie == Lie::ListsBackwards {
            entries.reverse();
        }
        Ok(entries)
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        if self.lie == Lie::DeletesNothing {
            return self.inner.len(name).map(drop);
        }
        self.inner.delete(name)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        self.inner.room_bytes()
    }
}

struct LiarUpload {
    inner: Option<Box<dyn Upload>>,
    store: Arc<MemoryStore>,
    name: ShareName,
    lie: Lie,
    writes: u64,
    /// A write that comes to the store only after the next one.
    held_back: Option<(u64, Bytes)>,
}

impl LiarUpload {
    fn inner(&mut self) -> &mut Box<dyn Upload> {
        self.inner.as_mut().unwrap()
    }

    fn catch_up(&mut self) -> Result<(), Error> {
        match self.held_back.take() {
            Some((offset, bytes)) => self.inner().write_at(offset, bytes),
            None => Ok(()),
        }
    }
}

impl Upload for LiarUpload {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        self.writes += 1;
        if self.lie == Lie::ForgetsTheSecondWrite && self.writes == 2 {
            return Ok(());
        }
        // A queue that forgets the order in which writes over one place came.
        if self.lie == Lie::MixesUpWrites && self.held_back.is_none() && bytes.len() >= 4096 {
            self.held_back = Some((offset, bytes));
            return Ok(());
        }
        self.inner().write_at(offset, bytes)?;
        self.catch_up()
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.catch_up()?;
        self.inner().read_at(offset, target)
    }

    fn held_bytes(&self) -> u64 {
        let held_back = self.held_back.as_ref();
        let end = held_back.map_or(0, |(offset, bytes)| offset + bytes.len() as u64);
        self.inner.as_ref().unwrap().held_bytes().max(end)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.catch_up()?;
        match self.lie {
            Lie::ForgetsWhatItSettles => self.inner().truncate(0),
            _ => self.inner().settle(),
        }
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.catch_up()?;
        match self.lie {
            Lie::TruncatesNothing => Ok(()),
            _ => self.inner().truncate(bytes),
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.catch_up()?;
        self.inner().sync()
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.catch_up()?;
        self.inner.take().unwrap().commit()
    }

    fn abandon(mut self: Box<Self>) -> Result<(), Error> {
        let inner = self.inner.take().unwrap();
        if self.lie == Lie::AbandonsNothing { Ok(()) } else { inner.abandon() }
    }
}

impl Drop for LiarUpload {
    fn drop(&mut self) {
        if self.inner.is_some() {
            self.catch_up().unwrap();
        }
        let dropped = self.inner.take();
        if dropped.is_some() && self.lie == Lie::ForgetsTheDropped {
            drop(dropped);
            self.store.resume(&self.name).unwrap().abandon().unwrap();
        }
    }
}

fn passes(lie: Lie) -> bool {
    let suite = || conformance::all(&|| Box::new(Liar::new(lie)));
    catch_unwind(AssertUnwindSafe(suite)).is_ok()
}

#[test]
fn an_honest_liar_passes() {
    assert!(passes(Lie::None));
}

#[test]
fn every_lie_is_caught() {
    for lie in [
        Lie::AbandonsNothing,
        Lie::CommitsTwice,
        Lie::DeletesNothing,
        Lie::ForgetsTheDropped,
        Lie::ForgetsTheSecondWrite,
        Lie::ForgetsWhatItSettles,
        Lie::ListsBackwards,
        Lie::MixesUpWrites,
        Lie::ReadsShort,
        Lie::ResumesTheOpen,
        Lie::ShowsTheUncommitted,
        Lie::TruncatesNothing,
    ] {
        assert!(!passes(lie), "{lie:?} passes");
    }
}
