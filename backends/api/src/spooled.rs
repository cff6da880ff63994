//! A store of shares made of objects: uploads lie in a spool until they are whole.
//!
//! Objects are put whole, while an upload is written, read and cut in any order over hours, and
//! outlives the process. So it is an upload of another store, the spool, until it is committed;
//! then it is synced there, put, and taken out of the spool. A crash in between leaves both, and
//! whoever takes the upload up again compares them: where they are equal, the share is committed
//! and the spool forgets it.

use crate::{Capability, Entry, Error, Objects, ShareName, ShareStore, Upload};
use std::io;
use std::sync::Arc;
use warifu_buffers::{Block, Bytes};

/// Bytes that are compared at a time.
const COMPARED_BYTES: u64 = 1 << 20;

/// Objects as a [`ShareStore`]; what it promises is what both the objects and the spool promise.
pub struct SpooledStore<O> {
    objects: Arc<O>,
    spool: Arc<dyn ShareStore>,
}

impl<O: Objects + 'static> SpooledStore<O> {
    /// A store that keeps its shares in `objects` and what is not committed in `spool`, which
    /// nothing else may use.
    pub fn new(objects: O, spool: Arc<dyn ShareStore>) -> Self {
        Self { objects: Arc::new(objects), spool }
    }

    fn upload(&self, name: &ShareName, draft: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(Spooled { objects: Arc::clone(&self.objects), name: name.clone(), draft })
    }
}

impl<O: Objects + 'static> ShareStore for SpooledStore<O> {
    fn capability(&self) -> Capability {
        let (objects, spool) = (self.objects.capability(), self.spool.capability());
        Capability {
            create_only: objects.create_only,
            durable: objects.durable,
            atomic: true,
            resumable: spool.resumable,
        }
    }

    fn create(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let draft = match self.spool.create(name) {
            Ok(draft) => draft,
            Err(Error::Busy) => match self.objects.len(name) {
                Ok(_) => return Err(Error::AlreadyExists),
                Err(_) => return Err(Error::Busy),
            },
            Err(error) => return Err(error),
        };
        match self.objects.len(name) {
            Err(Error::NotFound) => Ok(self.upload(name, draft)),
            other => {
                draft.abandon()?;
                other.and(Err(Error::AlreadyExists))
            }
        }
    }

    fn resume(&self, name: &ShareName) -> Result<Box<dyn Upload>, Error> {
        let mut draft = self.spool.resume(name)?;
        if ask(&*self.objects, name, &mut *draft)? == Kept::Draft {
            draft.abandon()?;
            return Err(Error::NotFound);
        }
        Ok(self.upload(name, draft))
    }

    fn unfinished(&self) -> Result<Vec<ShareName>, Error> {
        self.spool.unfinished()
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.objects.read_at(name, offset, target)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        self.objects.len(name)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        self.objects.list()
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.objects.delete(name)
    }

    /// What the objects have room for. An upload takes as much of the spool until it is committed.
    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        self.objects.room_bytes()
    }
}

/// An upload in the spool.
struct Spooled<O> {
    objects: Arc<O>,
    name: ShareName,
    draft: Box<dyn Upload>,
}

impl<O: Objects> Upload for Spooled<O> {
    fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<(), Error> {
        self.draft.write_at(offset, bytes)
    }

    fn read_at(&mut self, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.draft.read_at(offset, target)
    }

    fn held_bytes(&self) -> u64 {
        self.draft.held_bytes()
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.draft.settle()
    }

    fn truncate(&mut self, bytes: u64) -> Result<(), Error> {
        self.draft.truncate(bytes)
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.draft.sync()
    }

    fn commit(self: Box<Self>) -> Result<(), Error> {
        let Self { objects, name, mut draft } = *self;
        draft.sync()?;
        let bytes = draft.held_bytes();
        let put = objects.put(&name, bytes, &mut |offset, target| draft.read_at(offset, target));
        if let Err(error) = put {
            match ask(&*objects, &name, &mut *draft) {
                Ok(Kept::Draft) => {}
                Ok(kept) => return Err(given_up(error, kept, draft)),
                Err(asked) => return Err(unknown(error, asked)),
            }
        }
        // Where this fails, whoever takes the upload up finds that it is published.
        let _ = draft.abandon();
        Ok(())
    }

    fn abandon(self: Box<Self>) -> Result<(), Error> {
        self.draft.abandon()
    }
}

/// What becomes of a draft that was not published: it waits for another try, unless that is vain.
fn given_up(error: Error, kept: Kept, draft: Box<dyn Upload>) -> Error {
    match (error, kept) {
        (Error::NoSpace, _) => draft.abandon().err().unwrap_or(Error::NoSpace),
        (_, Kept::Another) => draft.abandon().err().unwrap_or(Error::AlreadyExists),
        // It was asked, and is not there: a conflict that passed, or an answer that was lost.
        (Error::AlreadyExists, _) => {
            let source = io::Error::other("it said that the share exists, and has none");
            Error::Unavailable { what: "putting a share", source }
        }
        (Error::Unknown { what, source }, _) => Error::Unavailable { what, source },
        (error, _) => error,
    }
}

/// Neither the put nor the question after it had an answer.
fn unknown(put: Error, asked: Error) -> Error {
    let what = "whether a share was put";
    Error::Unknown { what, source: io::Error::other(format!("{put}; then {asked}")) }
}

/// What is kept under a draft's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// The same bytes.
    Draft,
    Another,
}

/// Compares what is kept under this name with the draft, byte for byte.
fn ask(objects: &dyn Objects, name: &ShareName, draft: &mut dyn Upload) -> Result<Kept, Error> {
    let bytes = match objects.len(name) {
        Ok(bytes) => bytes,
        Err(Error::NotFound) => return Ok(Kept::Nothing),
        Err(error) => return Err(error),
    };
    if bytes != draft.held_bytes() {
        return Ok(Kept::Another);
    }
    let mut at = 0;
    while at < bytes {
        let step = COMPARED_BYTES.min(bytes - at) as usize;
        let (mut kept, mut spooled) = (Block::zeroed(step), Block::zeroed(step));
        objects.read_at(name, at, &mut kept)?;
        draft.read_at(at, &mut spooled)?;
        if kept[..] != spooled[..] {
            return Ok(Kept::Another);
        }
        at += step as u64;
    }
    Ok(Kept::Draft)
}

#[cfg(test)]
mod tests;
