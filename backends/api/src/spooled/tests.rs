//! Spooled stores over objects in memory, honest ones and others.

use super::*;
use crate::{Contents, MemoryStore, ObjectsCapability, conformance};
use std::sync::Mutex;

/// What goes wrong with the next put.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It is done, nobody hears of it, and nobody answers from then on.
    AnswerLostThenAway,
    /// Nothing is done.
    Away,
    /// Somebody else is first.
    Overtaken,
    /// There is no room.
    Full,
    /// A conflict is told that there is not.
    FalseConflict,
}

#[derive(Default)]
struct MemoryObjects {
    kept: MemoryStore,
    fault: Mutex<Option<Fault>>,
    is_away: Mutex<bool>,
}

impl MemoryObjects {
    fn failing(fault: Fault) -> Self {
        Self { fault: Mutex::new(Some(fault)), ..Self::default() }
    }

    fn keep(&self, name: &ShareName, contents: Vec<u8>) -> Result<(), Error> {
        let mut upload = self.kept.create(name)?;
        upload.write_at(0, Bytes::from(contents))?;
        upload.commit()
    }

    fn answer(&self) -> Result<(), Error> {
        if *self.is_away.lock().unwrap() { Err(away()) } else { Ok(()) }
    }
}

fn away() -> Error {
    Error::Unavailable { what: "test", source: io::Error::other("away") }
}

fn lost() -> Error {
    Error::Unknown { what: "test", source: io::Error::other("lost") }
}

impl Objects for MemoryObjects {
    fn capability(&self) -> ObjectsCapability {
        ObjectsCapability { create_only: true, durable: false }
    }

    fn put(&self, name: &ShareName, bytes: u64, contents: &mut Contents<'_>) -> Result<(), Error> {
        let mut whole = vec![0; bytes as usize];
        let middle = whole.len() / 2;
        contents(middle as u64, &mut whole[middle..])?;
        contents(0, &mut whole[..middle])?;
        let fault = self.fault.lock().unwrap().take();
        match fault {
            None => self.keep(name, whole),
            Some(Fault::AnswerLost) => self.keep(name, whole).and(Err(lost())),
            Some(Fault::AnswerLostThenAway) => {
                *self.is_away.lock().unwrap() = true;
                self.keep(name, whole).and(Err(lost()))
            }
            Some(Fault::Away) => Err(away()),
            Some(Fault::Overtaken) => {
                whole.reverse();
                self.keep(name, whole).and(Err(Error::AlreadyExists))
            }
            Some(Fault::Full) => Err(Error::NoSpace),
            Some(Fault::FalseConflict) => Err(Error::AlreadyExists),
        }
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        self.answer()?;
        self.kept.read_at(name, offset, target)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        self.answer()?;
        self.kept.len(name)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        self.kept.list()
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.kept.delete(name)
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        self.kept.room_bytes()
    }
}

type Store = SpooledStore<MemoryObjects>;

fn store(objects: MemoryObjects) -> Store {
    SpooledStore::new(objects, Arc::new(MemoryStore::new()))
}

fn name() -> ShareName {
    ShareName::new("share").unwrap()
}

fn written(store: &Store) -> Box<dyn Upload> {
    let mut upload = store.create(&name()).unwrap();
    upload.write_at(0, Bytes::from_static(b"contents")).unwrap();
    upload
}

fn assert_kept(store: &Store) {
    let mut kept = [0; 8];
    store.read_at(&name(), 0, &mut kept).unwrap();
    assert_eq!(&kept, b"contents");
    assert_eq!(store.unfinished().unwrap(), []);
}

#[test]
fn it_conforms() {
    conformance::all(&|| Box::new(store(MemoryObjects::default())));
}

#[test]
fn a_lost_answer_is_settled_by_asking() {
    let store = store(MemoryObjects::failing(Fault::AnswerLost));
    written(&store).commit().unwrap();
    assert_kept(&store);
}

#[test]
fn without_any_answer_it_is_unknown_and_settled_later() {
    let store = store(MemoryObjects::failing(Fault::AnswerLostThenAway));
    assert!(matches!(written(&store).commit(), Err(Error::Unknown { .. })));
    assert!(matches!(store.resume(&name()), Err(Error::Unavailable { .. })));
    assert_eq!(store.unfinished().unwrap(), [name()]);
    *store.objects.is_away.lock().unwrap() = false;
    assert!(matches!(store.resume(&name()), Err(Error::NotFound)), "it is published");
    assert_kept(&store);
}

#[test]
fn what_could_not_be_put_waits() {
    let store = store(MemoryObjects::failing(Fault::Away));
    assert!(matches!(written(&store).commit(), Err(Error::Unavailable { .. })));
    assert!(matches!(store.len(&name()), Err(Error::NotFound)));
    store.resume(&name()).unwrap().commit().unwrap();
    assert_kept(&store);
}

#[test]
fn another_that_was_first_stays() {
    let store = store(MemoryObjects::failing(Fault::Overtaken));
    assert!(matches!(written(&store).commit(), Err(Error::AlreadyExists)));
    let mut kept = [0; 8];
    store.read_at(&name(), 0, &mut kept).unwrap();
    assert_eq!(&kept, b"stnetnoc");
    assert_eq!(store.unfinished().unwrap(), []);
}

#[test]
fn no_room_leaves_nothing() {
    let store = store(MemoryObjects::failing(Fault::Full));
    assert!(matches!(written(&store).commit(), Err(Error::NoSpace)));
    assert_eq!(store.unfinished().unwrap(), []);
    written(&store).commit().unwrap();
    assert_kept(&store);
}

#[test]
fn a_conflict_with_nothing_passes() {
    let store = store(MemoryObjects::failing(Fault::FalseConflict));
    assert!(matches!(written(&store).commit(), Err(Error::Unavailable { .. })));
    store.resume(&name()).unwrap().commit().unwrap();
    assert_kept(&store);
}

#[test]
fn an_object_of_the_same_length_is_no_commit() {
    let store = store(MemoryObjects::default());
    drop(written(&store));
    store.objects.keep(&name(), b"CONTENTS".to_vec()).unwrap();
    let upload = store.resume(&name()).unwrap();
    assert!(matches!(upload.commit(), Err(Error::AlreadyExists)));
    assert_eq!(store.unfinished().unwrap(), []);
}
