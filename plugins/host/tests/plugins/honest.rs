//! The example, as it is.

use crate::{Room, get, name, put};
use std::sync::{Arc, Mutex};
use warifu_backend::{Error, MemoryStore, Objects, SpooledStore, conformance};
use warifu_plugin_host::{About, PluginConfig, Trusted};

#[test]
fn it_says_what_it_is_before_it_runs() {
    let room = Room::new(None);
    let about = About::read(&room.library).unwrap();
    assert_eq!((about.name.as_str(), about.version.as_str()), ("folder", "1.0"));
    assert!(about.create_only && about.durable);
    assert_eq!(room.trusted().unwrap().about(), &about);
}

/// Runs both suites over what `open` makes of each config.
fn conforms<O: Objects + 'static>(open: impl Fn(&Room, &PluginConfig) -> O) {
    let (compiled, rooms) = (Room::new(None), Mutex::new(Vec::new()));
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        let mut config = compiled.config();
        config.settings = vec![("folder".to_owned(), folder.path().display().to_string())];
        rooms.lock().unwrap().push(folder);
        open(&compiled, &config)
    };
    for case in conformance::objects_cases() {
        case.run(&fresh());
    }
    conformance::all(&|| Box::new(SpooledStore::new(fresh(), Arc::new(MemoryStore::new()))));
}

#[test]
fn it_conforms_in_this_process() {
    conforms(|_, config| Trusted::open(config).unwrap());
}

#[test]
fn it_conforms_in_a_process_of_its_own() {
    conforms(|room, config| room.apart(config).unwrap());
}

/// More than a page of names, and contents of several pieces.
#[test]
fn long_lists_and_long_objects_pass_both_ways() {
    let room = Room::new(None);
    let (trusted, apart) = (room.trusted().unwrap(), room.apart(&room.config()).unwrap());
    let long: Vec<u8> = (0..(9 << 20) + 3).map(|at: u32| (at % 251) as u8).collect();
    put(&apart, "long", &long).unwrap();
    assert!(get(&trusted, "long").unwrap() == long);
    put(&trusted, "long2", &long).unwrap();
    assert!(get(&apart, "long2").unwrap() == long);
    for number in 0..300 {
        put(&trusted, &format!("n{number:03}"), b"x").unwrap();
    }
    let listed = apart.list().unwrap();
    assert_eq!(listed.len(), 302);
    assert_eq!(listed, trusted.list().unwrap());
    assert!(trusted.room_bytes().unwrap().is_some_and(|bytes| bytes > 0));
    assert!(apart.room_bytes().unwrap().is_some_and(|bytes| bytes > 0));
}

#[test]
fn contents_that_fail_leave_nothing() {
    let room = Room::new(None);
    let (trusted, apart) = (room.trusted().unwrap(), room.apart(&room.config()).unwrap());
    for objects in [&trusted as &dyn Objects, &apart] {
        let failed = objects.put(&name("a"), 3 << 20, &mut |offset, _| match offset {
            0 => Ok(()),
            _ => Err(Error::Damaged { what: "the spool" }),
        });
        assert!(matches!(failed, Err(Error::Damaged { what: "the spool" })), "{failed:?}");
        assert!(matches!(objects.len(&name("a")), Err(Error::NotFound)));
        let left = std::fs::read_dir(room.folder.path().join("kept")).unwrap().count();
        assert_eq!(left, 0, "a draft is left");
    }
}

#[test]
fn a_setting_that_it_does_not_know_is_told() {
    let room = Room::new(None);
    let mut config = room.config();
    config.set("colour=red").unwrap();
    let error = room.apart(&config).map(|_| ()).unwrap_err();
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert!(told.contains("no setting colour"), "{told}");
}
