//! What [`Objects`] must do. What [`crate::SpooledStore`] would hide is asked of them here.

use super::{name, pattern};
use crate::{Error, Objects, ObjectsCapability, ShareName};
use std::sync::Barrier;

/// One thing that objects must do.
pub struct ObjectsCase {
    name: &'static str,
    is_for: fn(ObjectsCapability) -> bool,
    run: fn(&dyn Objects),
}

impl ObjectsCase {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether objects that promise this have to pass it.
    #[must_use]
    pub fn is_for(&self, capability: ObjectsCapability) -> bool {
        (self.is_for)(capability)
    }

    /// Runs it on fresh, empty objects.
    ///
    /// # Panics
    /// When they do something wrong.
    pub fn run(&self, objects: &dyn Objects) {
        (self.run)(objects);
    }
}

/// All of them.
#[must_use]
pub fn objects_cases() -> &'static [ObjectsCase] {
    CASES
}

macro_rules! cases {
    ($($is_for:ident: $($name:ident),+;)+) => {
        const CASES: &[ObjectsCase] = &[$($(ObjectsCase {
            name: stringify!($name),
            is_for: $is_for,
            run: $name,
        },)+)+];
    };
}

cases! {
    always: put_and_get, empty_object, pieces_of_every_size, ranges, beyond_the_end,
        nothing_of_this_name, put_over_is_refused, deleted_is_gone, a_name_is_free_again,
        listed_by_name, hundreds_are_listed_once, names_of_all_kinds, names_differ_by_case,
        failed_contents_leave_nothing, many_readers, many_names_at_once, length_is_told;
    creates_only: one_of_eight_puts, what_was_first_stays;
}

fn always(_: ObjectsCapability) -> bool {
    true
}

fn creates_only(capability: ObjectsCapability) -> bool {
    capability.create_only
}

fn put(objects: &dyn Objects, share: &ShareName, contents: &[u8]) -> Result<(), Error> {
    objects.put(share, contents.len() as u64, &mut |offset, target| {
        let start = offset as usize;
        target.copy_from_slice(&contents[start..start + target.len()]);
        Ok(())
    })
}

fn get(objects: &dyn Objects, share: &ShareName) -> Vec<u8> {
    let mut contents = vec![0; objects.len(share).unwrap() as usize];
    objects.read_at(share, 0, &mut contents).unwrap();
    contents
}

fn put_and_get(objects: &dyn Objects) {
    let contents = pattern(100_000, 1);
    put(objects, &name("a"), &contents).unwrap();
    assert!(get(objects, &name("a")) == contents, "other bytes come back");
}

fn empty_object(objects: &dyn Objects) {
    put(objects, &name("empty"), b"").unwrap();
    assert_eq!(objects.len(&name("empty")).unwrap(), 0);
    objects.read_at(&name("empty"), 0, &mut []).unwrap();
    let beyond = objects.read_at(&name("empty"), 0, &mut [0]);
    assert!(matches!(beyond, Err(Error::Truncated { held_bytes: 0, .. })), "{beyond:?}");
}

fn pieces_of_every_size(objects: &dyn Objects) {
    const MIB: usize = 1 << 20;
    for (at, bytes) in [1, 4095, 4097, MIB - 1, MIB, MIB + 1, 9 * MIB + 7].into_iter().enumerate() {
        let (share, contents) = (name(&format!("s{at}")), pattern(bytes, at as u64));
        put(objects, &share, &contents).unwrap();
        assert!(get(objects, &share) == contents, "of {bytes} bytes, others come back");
    }
}

fn ranges(objects: &dyn Objects) {
    let contents = pattern(10_000, 2);
    put(objects, &name("a"), &contents).unwrap();
    for (offset, bytes) in [(0, 1), (9_999, 1), (1, 9_999), (4_095, 4_097), (10_000, 0), (5, 0)] {
        let mut target = vec![0; bytes];
        objects.read_at(&name("a"), offset as u64, &mut target).unwrap();
        assert!(target == contents[offset..offset + bytes], "{bytes} bytes at {offset}");
    }
}

fn beyond_the_end(objects: &dyn Objects) {
    put(objects, &name("a"), &[7; 100]).unwrap();
    for (offset, bytes) in [(0, 101), (100, 1), (101, 0), (50, 51), (u64::MAX, 1), (u64::MAX, 0)] {
        let read = objects.read_at(&name("a"), offset, &mut vec![0; bytes]);
        let is_told = matches!(read, Err(Error::Truncated { held_bytes: 100, .. }));
        assert!(is_told, "{bytes} at {offset}: {read:?}");
    }
}

fn nothing_of_this_name(objects: &dyn Objects) {
    let share = name("never");
    assert!(matches!(objects.len(&share), Err(Error::NotFound)), "len");
    assert!(matches!(objects.read_at(&share, 0, &mut [0]), Err(Error::NotFound)), "read_at");
    assert!(matches!(objects.read_at(&share, 0, &mut []), Err(Error::NotFound)), "empty read_at");
    assert!(matches!(objects.delete(&share), Err(Error::NotFound)), "delete");
    assert_eq!(objects.list().unwrap(), []);
}

fn put_over_is_refused(objects: &dyn Objects) {
    put(objects, &name("a"), b"first").unwrap();
    let again = put(objects, &name("a"), b"second, and longer");
    assert!(matches!(again, Err(Error::AlreadyExists)), "{again:?}");
}

fn what_was_first_stays(objects: &dyn Objects) {
    put(objects, &name("a"), b"first").unwrap();
    for contents in [&b"other"[..], b"", &[1; 9 << 20]] {
        assert!(put(objects, &name("a"), contents).is_err(), "it was put twice");
        assert_eq!(get(objects, &name("a")), b"first");
    }
}

fn deleted_is_gone(objects: &dyn Objects) {
    put(objects, &name("a"), b"x").unwrap();
    objects.delete(&name("a")).unwrap();
    nothing_of_this_name(objects);
    assert!(matches!(objects.len(&name("a")), Err(Error::NotFound)), "it is there still");
    assert!(matches!(objects.delete(&name("a")), Err(Error::NotFound)), "deleted twice");
}

fn a_name_is_free_again(objects: &dyn Objects) {
    for round in 0..3 {
        put(objects, &name("a"), &[round; 10]).unwrap();
        assert_eq!(get(objects, &name("a")), [round; 10]);
        objects.delete(&name("a")).unwrap();
    }
}

fn listed_by_name(objects: &dyn Objects) {
    for (share, bytes) in [("b", 2), ("a", 1), ("c-1", 3), ("c.0", 4)] {
        put(objects, &name(share), &vec![0; bytes]).unwrap();
    }
    let listed = objects.list().unwrap();
    let listed: Vec<_> = listed.iter().map(|entry| (entry.name.as_str(), entry.bytes)).collect();
    assert_eq!(listed, [("a", 1), ("b", 2), ("c-1", 3), ("c.0", 4)]);
}

fn hundreds_are_listed_once(objects: &dyn Objects) {
    let names: Vec<_> = (0..520).map(|number| name(&format!("n{number:04}"))).collect();
    for share in names.iter().rev() {
        put(objects, share, b"").unwrap();
    }
    let listed: Vec<_> = objects.list().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(listed, names);
}

fn names_of_all_kinds(objects: &dyn Objects) {
    let longest = "x".repeat(crate::NAME_BYTES_MAX);
    for text in ["-", "_.", "a..b", "con", "nul.txt", "-rf", "probe", "shares", &longest] {
        put(objects, &name(text), text.as_bytes()).unwrap();
        assert_eq!(get(objects, &name(text)), text.as_bytes(), "{text}");
    }
    assert_eq!(objects.list().unwrap().len(), 9);
}

fn names_differ_by_case(objects: &dyn Objects) {
    put(objects, &name("a"), b"small").unwrap();
    put(objects, &name("A"), b"large").unwrap();
    assert_eq!(get(objects, &name("a")), b"small");
    assert_eq!(get(objects, &name("A")), b"large");
}

fn failed_contents_leave_nothing(objects: &dyn Objects) {
    for good_bytes in [0, 1 << 20, 20 << 20] {
        let failed = objects.put(&name("a"), 30 << 20, &mut |offset, target| {
            if offset + target.len() as u64 <= good_bytes {
                return Ok(());
            }
            Err(Error::Damaged { what: "on purpose" })
        });
        assert!(matches!(failed, Err(Error::Damaged { what: "on purpose" })), "{failed:?}");
        assert!(matches!(objects.len(&name("a")), Err(Error::NotFound)), "a part of it is there");
    }
    put(objects, &name("a"), b"whole").unwrap();
    assert_eq!(get(objects, &name("a")), b"whole");
}

fn many_readers(objects: &dyn Objects) {
    let contents = pattern(2 << 20, 3);
    put(objects, &name("a"), &contents).unwrap();
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let contents = &contents;
            scope.spawn(move || {
                let mut target = vec![0; 200_000];
                for round in 0..4 {
                    let offset = (reader * 4 + round) * 50_000;
                    objects.read_at(&name("a"), offset as u64, &mut target).unwrap();
                    assert!(target == contents[offset..offset + target.len()], "reader {reader}");
                }
            });
        }
    });
}

fn many_names_at_once(objects: &dyn Objects) {
    std::thread::scope(|scope| {
        for writer in 0..8_u64 {
            scope.spawn(move || {
                let share = name(&format!("w{writer}"));
                let contents = pattern(300_000, writer);
                put(objects, &share, &contents).unwrap();
                assert!(get(objects, &share) == contents, "writer {writer}");
            });
        }
    });
    assert_eq!(objects.list().unwrap().len(), 8);
}

fn length_is_told(objects: &dyn Objects) {
    for bytes in [0, 1, 1 << 20, (3 << 20) + 1] {
        let share = name(&format!("l{bytes}"));
        put(objects, &share, &vec![1; bytes]).unwrap();
        assert_eq!(objects.len(&share).unwrap(), bytes as u64);
    }
}

fn one_of_eight_puts(objects: &dyn Objects) {
    let start = Barrier::new(8);
    let start = &start;
    let compete = move |racer: u8| {
        start.wait();
        match put(objects, &name("a"), &[racer; 1000]) {
            Ok(()) => Some(racer),
            // One that came too early for the winner may be told to come again.
            Err(Error::AlreadyExists | Error::Unavailable { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    };
    let winners: Vec<u8> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|racer| scope.spawn(move || compete(racer))).collect();
        racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(winners.len(), 1, "several were told that they were first");
    assert_eq!(get(objects, &name("a")), [winners[0]; 1000]);
}
