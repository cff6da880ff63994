//! What a server may do wrong, and what must come of it.

use crate::fake::{Fake, Lie};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use warifu_backend::{
    Error, MemoryStore, Objects, ShareName, ShareStore, SpooledStore, conformance,
};
use warifu_backend_s3::{Credentials, S3Config, S3Objects};
use warifu_buffers::Bytes;

const MIB: usize = 1 << 20;

fn open(endpoint: &str, notes: &Path) -> Result<S3Objects, Error> {
    let url = format!("s3://bucket/site?endpoint={endpoint}&region=here");
    let credentials = Credentials::Key { id: "somebody", secret: "whatever" };
    S3Objects::open(&S3Config::parse(&url).unwrap(), credentials, notes)
}

/// A store at a server of its own.
struct Bench {
    fake: Fake,
    notes: TempDir,
    store: SpooledStore<S3Objects>,
}

impl Bench {
    fn new() -> Self {
        Self::over(Fake::start())
    }

    fn over(fake: Fake) -> Self {
        let notes = tempfile::tempdir().unwrap();
        let objects = open(&fake.endpoint, &notes.path().join("n")).unwrap();
        let store = SpooledStore::new(objects, Arc::new(MemoryStore::new()));
        Self { fake, notes, store }
    }

    fn upload(&self, bytes: usize) -> Result<(), Error> {
        let mut upload = self.store.create(&name())?;
        upload.write_at(0, contents(bytes))?;
        upload.commit()
    }

    fn assert_kept(&self, bytes: usize) {
        let mut kept = vec![0; bytes];
        self.store.read_at(&name(), 0, &mut kept).unwrap();
        assert!(kept == contents(bytes));
        assert_eq!(self.store.len(&name()).unwrap(), bytes as u64);
        assert_eq!(self.store.unfinished().unwrap(), []);
        assert!(self.fake.shelf().uploads.is_empty(), "an upload is left");
    }
}

fn name() -> ShareName {
    ShareName::new("share").unwrap()
}

fn contents(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect::<Vec<_>>().into()
}

#[test]
fn an_honest_server_conforms() {
    let fakes = std::sync::Mutex::new(Vec::new());
    conformance::all(&|| {
        let Bench { fake, notes, store } = Bench::new();
        fakes.lock().unwrap().push((fake, notes));
        Box::new(store)
    });
}

#[test]
fn an_honest_server_keeps_objects() {
    for case in conformance::objects_cases() {
        let (fake, notes) = (Fake::start(), tempfile::tempdir().unwrap());
        case.run(&open(&fake.endpoint, &notes.path().join("n")).unwrap());
        assert!(fake.shelf().uploads.is_empty(), "{} leaves an upload", case.name());
    }
}

#[test]
fn a_long_share_goes_in_parts_of_8_mib() {
    let bench = Bench::new();
    assert!(bench.store.capability().create_only);
    bench.upload(20 * MIB + 5).unwrap();
    bench.assert_kept(20 * MIB + 5);
    assert_eq!(bench.fake.shelf().longest_body, 8 * MIB);
    assert!(bench.fake.shelf().with_checksum >= 3, "no checksum was sent");
}

#[test]
fn a_server_that_overwrites_is_found_out() {
    let fake = Fake::start();
    fake.lies(Lie::IgnoresConditions);
    let bench = Bench::over(fake);
    assert!(!bench.store.capability().create_only);
    bench.upload(9 * MIB).unwrap();
    let again = open(&bench.fake.endpoint, &bench.notes.path().join("m")).unwrap();
    assert!(!again.capability().create_only, "it must be found out at each opening");
    let again = SpooledStore::new(again, Arc::new(MemoryStore::new()));
    assert!(matches!(again.create(&name()), Err(Error::AlreadyExists)));
    bench.assert_kept(9 * MIB);
}

#[test]
fn an_error_in_a_body_of_200_is_an_error() {
    let bench = Bench::new();
    bench.fake.lies(Lie::ErrorInBody { is_done: false });
    let error = bench.upload(9 * MIB).unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(matches!(bench.store.len(&name()), Err(Error::NotFound)));
    assert!(bench.fake.shelf().uploads.is_empty(), "an upload is left");
    bench.fake.shelf().lie = None;
    bench.store.resume(&name()).unwrap().commit().unwrap();
    bench.assert_kept(9 * MIB);
}

#[test]
fn what_was_done_in_spite_of_an_error_is_done() {
    let bench = Bench::new();
    bench.fake.lies(Lie::ErrorInBody { is_done: true });
    bench.upload(9 * MIB).unwrap();
    bench.assert_kept(9 * MIB);
}

#[test]
fn a_dropped_part_is_noticed() {
    let bench = Bench::new();
    bench.fake.lies(Lie::DropsLastPart);
    assert!(bench.upload(20 * MIB).unwrap_err().is_temporary());
    assert!(matches!(bench.store.len(&name()), Err(Error::NotFound)), "it must not stay");
    bench.fake.shelf().lie = None;
    bench.store.resume(&name()).unwrap().commit().unwrap();
    bench.assert_kept(20 * MIB);
}

#[test]
fn a_lost_answer_is_settled_by_asking() {
    let bench = Bench::new();
    bench.fake.lies(Lie::CutsAfterPut);
    bench.upload(1000).unwrap();
    bench.assert_kept(1000);
}

#[test]
fn a_busy_server_is_asked_again() {
    let bench = Bench::new();
    bench.fake.lies(Lie::Busy { requests: 2 });
    bench.upload(9 * MIB).unwrap();
    bench.assert_kept(9 * MIB);
}

#[test]
fn a_false_conflict_loses_nothing() {
    let bench = Bench::new();
    bench.fake.lies(Lie::FalseConflict { requests: 1 });
    match bench.upload(1000) {
        Ok(()) => {}
        Err(error) => {
            assert!(error.is_temporary(), "{error:?}");
            bench.store.resume(&name()).unwrap().commit().unwrap();
        }
    }
    bench.assert_kept(1000);
}

#[test]
fn a_short_answer_is_never_taken_for_the_range() {
    let bench = Bench::new();
    bench.upload(1000).unwrap();
    bench.fake.lies(Lie::ReadsShort);
    let error = bench.store.read_at(&name(), 10, &mut [0; 100]).unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    let beyond = bench.store.read_at(&name(), 950, &mut [0; 100]).unwrap_err();
    assert!(matches!(beyond, Error::Truncated { held_bytes: 1000, .. }), "{beyond:?}");
}

#[test]
fn a_stale_list_names_nothing_twice_and_reads_find_the_truth() {
    let bench = Bench::new();
    bench.upload(1).unwrap();
    bench.store.delete(&name()).unwrap();
    bench.upload(1).unwrap();
    bench.fake.lies(Lie::ListsStale);
    assert_eq!(bench.store.list().unwrap().len(), 1);
    bench.store.delete(&name()).unwrap();
    assert!(matches!(bench.store.len(&name()), Err(Error::NotFound)));
}

#[test]
fn a_slow_server_is_waited_for() {
    let bench = Bench::new();
    bench.fake.lies(Lie::Slow);
    bench.upload(9 * MIB).unwrap();
    bench.assert_kept(9 * MIB);
}

#[test]
fn what_a_dead_process_left_is_aborted_at_the_next_opening() {
    let bench = Bench::new();
    let notes = bench.notes.path().join("n");
    // A process that died between noting an upload and ending it.
    bench.fake.shelf().uploads.insert("dead".to_owned(), std::collections::BTreeMap::new());
    std::fs::write(notes.join("share"), "dead\n").unwrap();
    std::fs::write(notes.join("cut"), "cut sho").unwrap();
    open(&bench.fake.endpoint, &notes).unwrap();
    assert!(bench.fake.shelf().uploads.is_empty());
    assert!(!notes.join("share").exists());
}

#[test]
fn what_an_earlier_try_left_is_aborted_by_the_next() {
    let bench = Bench::new();
    let notes = bench.notes.path().join("n");
    bench.fake.shelf().uploads.insert("dead".to_owned(), std::collections::BTreeMap::new());
    std::fs::write(notes.join("share"), "dead\n").unwrap();
    bench.upload(9 * MIB).unwrap();
    bench.assert_kept(9 * MIB);
}

#[test]
fn parts_that_are_refused_leave_nothing() {
    let bench = Bench::new();
    bench.fake.lies(Lie::RefusesParts);
    assert!(bench.upload(9 * MIB).unwrap_err().is_temporary());
    assert!(bench.fake.shelf().uploads.is_empty());
    bench.fake.shelf().lie = None;
    bench.store.resume(&name()).unwrap().commit().unwrap();
    bench.assert_kept(9 * MIB);
}

#[test]
fn foreign_objects_are_none_of_its_own() {
    let bench = Bench::new();
    let foreign = ["site/shares/a/b", "site/shares/.hidden", "site/sharesx", "other/shares/c"];
    for key in foreign {
        bench.fake.shelf().objects.insert(key.to_owned(), Bytes::from_static(b"x"));
    }
    assert_eq!(bench.store.list().unwrap(), []);
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let fake = Fake::start();
    let endpoint = fake.endpoint.clone();
    drop(fake);
    let notes = tempfile::tempdir().unwrap();
    let opened = open(&endpoint, &notes.path().join("n"));
    let error = opened.map(|objects| objects.capability()).unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
}
