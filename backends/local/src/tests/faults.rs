//! Any operation fails, once or from then on, done or not: whole or nothing, and what a patient
//! caller is told in the end is true after a loss of power.

use super::model::{Model, Plan, Writes};
use super::power::{contents_of, name, open, put, with_old, write};
use crate::LocalStore;
use crate::shelf::Folder;
use proptest::prelude::*;
use std::io::ErrorKind;
use warifu_backend::{Error, MemoryStore, ShareStore, Upload};

const KINDS: [ErrorKind; 3] =
    [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::PermissionDenied];

/// Every way for one operation to fail.
fn plans(operation: u64) -> impl Iterator<Item = Plan> {
    KINDS.into_iter().flat_map(move |kind| {
        [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .map(move |(lasting, done)| Plan { operation, lasting, done, kind })
    })
}

fn operations_of_put(writes: Writes) -> u64 {
    let model = with_old(writes);
    let store = open(&model).unwrap();
    model.plan(None);
    put(&store, "new").unwrap();
    model.operations()
}

/// Under the final names everything is whole, whatever was reported.
fn assert_whole(model: &Model, why: &dyn std::fmt::Debug) {
    for (share, found) in model.contents("/store/shares") {
        assert!(found == contents_of(&share), "{share} is not whole after {why:?}");
    }
}

/// Does what a caller does who wants `new` stored and believes what it is told.
fn insist(model: &Model, store: LocalStore) {
    let mut store = store;
    for _ in 0..4 {
        if store.len(&name("new")).is_ok() {
            return;
        }
        let taken = store.resume(&name("new")).or_else(|error| match error {
            Error::NotFound => store.create(&name("new")),
            other => Err(other),
        });
        let stored = taken.and_then(|mut upload: Box<dyn Upload>| {
            write(&mut *upload, 0, &contents_of("new"))?;
            upload.commit()
        });
        if stored.is_ok() {
            return;
        }
        // As the error says: open the store anew. The old one goes first, as the process would.
        drop(store);
        store = open(model).unwrap();
    }
    panic!("it can't be stored any more");
}

#[test]
fn each_failure_leaves_whole_or_nothing_and_insisting_helps() {
    for writes in Writes::BOTH {
        let operations = operations_of_put(writes);
        for plan in (0..operations).flat_map(plans) {
            let model = with_old(writes);
            let store = open(&model).unwrap();
            model.plan(Some(plan));
            let outcome = put(&store, "new");
            assert_whole(&model, &plan);
            // The last one, syncing the other folder, is not what durability rests on.
            if plan.lasting && !plan.done && plan.operation + 1 < operations {
                assert!(outcome.is_err(), "{plan:?} was not noticed");
            }
            model.plan(None);
            if outcome.is_ok() {
                assert_eq!(store.len(&name("new")).unwrap(), 3_000, "{plan:?}");
            }
            insist(&model, store);
            let after = model.without_power(|| false);
            let store = open(&after).unwrap();
            let mut found = vec![0; 3_000];
            store.read_at(&name("new"), 0, &mut found).unwrap();
            assert!(found == contents_of("new"), "{plan:?}");
            assert_eq!(store.len(&name("old")).unwrap(), 3_000, "{plan:?}");
        }
    }
}

#[test]
fn a_failed_write_or_sync_never_ends_in_a_commit() {
    for writes in Writes::BOTH {
        for operation in 0..operations_of_put(writes) {
            let plan = Plan { operation, lasting: false, done: false, kind: ErrorKind::Other };
            let model = with_old(writes);
            let store = open(&model).unwrap();
            let mut upload = store.create(&name("new")).unwrap();
            model.plan(Some(plan));
            let written = write(&mut *upload, 0, &contents_of("new")).and_then(|()| upload.sync());
            model.plan(None);
            if written.is_err() {
                assert!(write(&mut *upload, 0, b"x").is_err());
                assert!(upload.sync().is_err());
                assert!(upload.commit().is_err());
                assert_eq!(store.list().unwrap().len(), 1);
            }
        }
    }
}

#[test]
fn after_a_folder_sync_failed_nothing_is_committed_until_the_store_is_opened_anew() {
    for writes in Writes::BOTH {
        let mut unknown = 0;
        for operation in 0..operations_of_put(writes) {
            let model = with_old(writes);
            let store = open(&model).unwrap();
            let waiting = store.create(&name("next")).unwrap();
            let kind = ErrorKind::Other;
            model.plan(Some(Plan { operation, lasting: false, done: false, kind }));
            let outcome = put(&store, "new");
            model.plan(None);
            if matches!(&outcome, Err(Error::Unknown { what, .. }) if what.contains("sync")) {
                unknown += 1;
                assert!(matches!(store.len(&name("new")), Err(Error::Unknown { .. })));
                assert!(matches!(store.create(&name("other")), Err(Error::Other { .. })));
                assert!(matches!(waiting.commit(), Err(Error::Other { .. })));
                assert!(matches!(store.delete(&name("old")), Err(Error::Other { .. })));
                assert_eq!(store.len(&name("old")).unwrap(), 3_000);
                drop(store);
                let store = open(&model).unwrap();
                assert_eq!(store.len(&name("new")).unwrap(), 3_000);
                store.resume(&name("next")).unwrap().abandon().unwrap();
            }
        }
        assert_eq!(unknown, 1, "exactly one sync publishes a share");
    }
}

/// Two threads may both be past every other check when the first one's sync fails.
#[test]
fn who_waits_for_a_folder_sync_that_fails_is_told_so_too() {
    let model = Model::new(Writes::AtOnce);
    let folder = Folder::open(&model, "/names".into()).unwrap();
    model.plan(Some(Plan { operation: 0, lasting: false, done: false, kind: ErrorKind::Other }));
    assert!(folder.sync().is_err());
    assert!(folder.sync().is_err());
    assert_eq!(model.operations(), 1, "the failed sync was tried again");
}

#[test]
fn a_write_or_sync_without_room_leaves_nothing() {
    for writes in Writes::BOTH {
        for operation in [0, 1] {
            let model = with_old(writes);
            let store = open(&model).unwrap();
            let mut upload = store.create(&name("new")).unwrap();
            let kind = ErrorKind::StorageFull;
            model.plan(Some(Plan { operation, lasting: false, done: false, kind }));
            let written = write(&mut *upload, 0, &contents_of("new")).and_then(|()| upload.sync());
            assert!(matches!(written, Err(Error::NoSpace)));
            drop(upload);
            assert_eq!(model.contents("/store/unfinished"), []);
            put(&store, "new").unwrap();
        }
    }
}

#[test]
fn a_sync_that_failed_with_a_file_that_stays_is_damaged_until_it_can_go() {
    for writes in Writes::BOTH {
        let model = with_old(writes);
        let store = open(&model).unwrap();
        let mut upload = store.create(&name("new")).unwrap();
        write(&mut *upload, 0, &contents_of("new")).unwrap();
        upload.read_at(0, &mut []).unwrap();
        model.plan(Some(Plan { operation: 0, lasting: true, done: false, kind: ErrorKind::Other }));
        assert!(upload.sync().is_err());
        model.plan(None);
        drop(upload);
        assert!(matches!(store.resume(&name("new")), Err(Error::Damaged { .. })));
        assert!(matches!(store.create(&name("new")), Err(Error::Damaged { .. })));
        let other = open(&model).unwrap();
        assert!(matches!(other.resume(&name("new")), Err(Error::Busy)), "its lock was let go");
    }
}

#[test]
fn a_spoilt_upload_can_still_be_abandoned() {
    for writes in Writes::BOTH {
        let model = with_old(writes);
        let store = open(&model).unwrap();
        let mut upload = store.create(&name("new")).unwrap();
        upload.read_at(0, &mut []).unwrap();
        model.plan(Some(Plan { operation: 0, lasting: true, done: false, kind: ErrorKind::Other }));
        assert!(upload.sync().is_err());
        model.plan(None);
        upload.abandon().unwrap();
        put(&store, "new").unwrap();
    }
}

#[test]
fn the_model_conforms() {
    for writes in Writes::BOTH {
        warifu_backend::conformance::all(&|| Box::new(open(&Model::new(writes)).unwrap()));
    }
}

/// One step of a random history over two names; `usize` says which.
#[derive(Clone, Debug)]
enum Step {
    Abandon(usize),
    Commit(usize),
    Create(usize),
    Delete(usize),
    Drop(usize),
    Resume(usize),
    Write(usize, u64, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..2_usize;
    prop_oneof![
        1 => which().prop_map(Step::Abandon),
        3 => which().prop_map(Step::Commit),
        3 => which().prop_map(Step::Create),
        1 => which().prop_map(Step::Delete),
        2 => which().prop_map(Step::Drop),
        2 => which().prop_map(Step::Resume),
        4 => (which(), 0..40_u64, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(which, offset, bytes)| Step::Write(which, offset, bytes)),
    ]
}

/// One store and the uploads that a history has open in it.
struct Actor {
    store: Box<dyn ShareStore>,
    open: [Option<Box<dyn Upload>>; 2],
}

impl Actor {
    fn new(store: impl ShareStore + 'static) -> Self {
        Self { store: Box::new(store), open: [None, None] }
    }

    /// Does the step and tells everything that can be seen of its outcome.
    fn act(&mut self, step: &Step) -> String {
        let names = [name("a"), name("b")];
        let take = |open: &mut Option<Box<dyn Upload>>, taken: Result<Box<dyn Upload>, Error>| {
            taken.map(|upload| *open = Some(upload))
        };
        let outcome = match step {
            Step::Abandon(at) => self.open[*at].take().map_or(Ok(()), |upload| upload.abandon()),
            Step::Commit(at) => self.open[*at].take().map_or(Ok(()), |upload| upload.commit()),
            Step::Create(at) => take(&mut self.open[*at], self.store.create(&names[*at])),
            Step::Delete(at) => self.store.delete(&names[*at]),
            Step::Drop(at) => {
                self.open[*at] = None;
                Ok(())
            }
            Step::Resume(at) => take(&mut self.open[*at], self.store.resume(&names[*at])),
            Step::Write(at, offset, bytes) => self.open[*at]
                .as_mut()
                .map_or(Ok(()), |upload| write(&mut **upload, *offset, bytes)),
        };
        let contents = names.map(|share| {
            let mut contents = vec![0; self.store.len(&share)? as usize];
            self.store.read_at(&share, 0, &mut contents).map(|()| contents)
        });
        let listed = (self.store.list(), self.store.unfinished());
        format!("{outcome:?} {contents:?} {listed:?}")
    }
}

proptest! {
    #[test]
    fn it_agrees_with_the_store_in_memory(
        steps in prop::collection::vec(step(), 0..60),
        writes in prop::sample::select(&Writes::BOTH[..]),
    ) {
        let mut local = Actor::new(open(&Model::new(writes)).unwrap());
        let mut memory = Actor::new(MemoryStore::new());
        for step in &steps {
            prop_assert_eq!(local.act(step), memory.act(step), "at {:?}", step);
        }
    }
}
