//! One fault of each class, and who catches it.

use crate::{Room, get, name, put};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use warifu_backend::conformance::{self, ObjectsCase};
use warifu_backend::{Error, MemoryStore, Objects, SpooledStore};
use warifu_plugin_host::{About, AboutError, Trusted};

const CRASHES: u32 = 1;
const HANGS: u32 = 2;
const STATUS: u32 = 3;
const COUNT: u32 = 4;
const ORDER: u32 = 5;
const NAME: u32 = 6;
const NO_STORE: u32 = 7;
const NO_PUT: u32 = 8;
const SHORT_TABLE: u32 = 9;
const HOLE: u32 = 10;
const VERSION: u32 = 11;
const PROMISE: u32 = 12;
const FORGETS: u32 = 13;
const OVERWRITES: u32 = 14;
const KEEPS: u32 = 15;
const MESSAGE: u32 = 16;
const SHORT_READ: u32 = 17;
const DIES_PUTTING: u32 = 18;
const TITLE: u32 = 19;

/// What the error says, with its cause.
fn told<T>(outcome: Result<T, Error>) -> String {
    let error = outcome.map(|_| ()).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn what_can_be_seen_in_the_file_is_refused_before_anything_runs() {
    let version = About::read(&Room::new(Some(VERSION)).library);
    assert!(matches!(version, Err(AboutError::Version { found: 2 })), "{version:?}");
    for fault in [PROMISE, TITLE] {
        let invalid = About::read(&Room::new(Some(fault)).library);
        assert!(matches!(invalid, Err(AboutError::Invalid { .. })), "{invalid:?}");
    }
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "no library").unwrap();
    assert!(matches!(About::read(text.path()), Err(AboutError::NoLibrary { .. })));
    let program = About::read(&std::env::current_exe().unwrap());
    assert!(program.is_err(), "{program:?}");
    let nothing = About::read(Path::new("/nowhere/a.so"));
    assert!(matches!(nothing, Err(AboutError::Unreadable { .. })));
}

#[test]
fn a_table_that_can_not_be_used_is_refused() {
    for (fault, says) in [(SHORT_TABLE, "too short"), (HOLE, "a hole"), (NO_STORE, "no store")] {
        let told = told(Room::new(Some(fault)).trusted());
        assert!(told.contains("breaks the ABI") && told.contains(says), "{told}");
    }
}

#[test]
fn answers_that_can_not_be_are_errors() {
    let check = |fault, says: &str, ask: &dyn Fn(&Trusted) -> String| {
        let room = Room::new(Some(fault));
        let plugin = room.trusted().unwrap();
        for share in ["a", "b", "c"] {
            let _maybe = put(&plugin, share, b"contents");
        }
        let told = ask(&plugin);
        assert!(told.contains(says), "{fault}: {told}");
    };
    check(STATUS, "a status that there is not", &|plugin| told(plugin.len(&name("a"))));
    check(COUNT, "more than it has room for", &|plugin| told(plugin.list()));
    check(ORDER, "do not ascend", &|plugin| told(plugin.list()));
    check(NAME, "no name", &|plugin| told(plugin.list()));
    check(NO_PUT, "began nothing", &|plugin| told(put(plugin, "d", b"x")));
    check(MESSAGE, "xxxx", &|plugin| told(plugin.len(&name("a"))));
}

#[test]
fn a_crash_is_an_error_and_the_next_call_goes_on() {
    let room = Room::new(Some(CRASHES));
    let plugin = room.apart(&room.config()).unwrap();
    put(&plugin, "a", b"contents").unwrap();
    for _ in 0..3 {
        let read = plugin.read_at(&name("a"), 0, &mut [0; 8]);
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
        assert_eq!(plugin.len(&name("a")).unwrap(), 8, "it was started again");
    }
}

#[test]
fn death_while_publishing_is_unknown_and_settled_by_asking() {
    let room = Room::new(Some(DIES_PUTTING));
    let plugin = room.apart(&room.config()).unwrap();
    let lost = put(&plugin, "a", b"contents");
    assert!(matches!(lost, Err(Error::Unknown { .. })), "{lost:?}");
    assert_eq!(get(&plugin, "a").unwrap(), b"contents");
    std::fs::remove_file(room.folder.path().join("mark")).unwrap();
    // Through a spool nobody notices.
    let store = SpooledStore::new(plugin, Arc::new(MemoryStore::new()));
    let mut upload = warifu_backend::ShareStore::create(&store, &name("b")).unwrap();
    upload.write_at(0, warifu_buffers::Bytes::from_static(b"contents")).unwrap();
    upload.commit().unwrap();
}

#[test]
fn a_call_that_hangs_is_given_up_and_others_go_on() {
    let room = Room::new(Some(HANGS));
    let mut config = room.config();
    config.patience = Duration::from_secs(1);
    let trusted = Trusted::open(&config).unwrap();
    let apart = room.apart(&config).unwrap();
    for objects in [&trusted as &dyn Objects, &apart] {
        let given_up = objects.len(&name("hangs"));
        assert!(matches!(given_up, Err(Error::Unavailable { .. })), "{given_up:?}");
        assert!(matches!(objects.len(&name("other")), Err(Error::NotFound)));
    }
}

#[test]
fn what_only_shows_in_what_is_kept_is_caught_by_the_suite() {
    for fault in [FORGETS, OVERWRITES, KEEPS, SHORT_READ] {
        let compiled = Room::new(Some(fault));
        let fails = |case: &ObjectsCase| {
            let folder = tempfile::tempdir().unwrap();
            let mut config = compiled.config();
            config.settings = vec![("folder".to_owned(), folder.path().display().to_string())];
            let objects = Trusted::open(&config).unwrap();
            catch_unwind(AssertUnwindSafe(|| case.run(&objects))).is_err()
        };
        assert!(conformance::objects_cases().iter().any(fails), "fault {fault} passes");
    }
}
