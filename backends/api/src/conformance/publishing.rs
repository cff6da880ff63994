//! Create-only, whole or nothing, and gone when deleted.

use super::{assert_not_committed, get, name, pattern, put, write};
use crate::{Entry, Error, NAME_BYTES_MAX, ShareName, ShareStore};
use std::sync::Barrier;

super::cases! {
    Nothing: nothing_is_seen_before_commit, listed_by_name, every_good_name_is_kept_apart,
        hostile_names_never_reach_it, the_longest_name_works, deleted_is_gone,
        deleted_twice_is_not_found, deleted_then_made_anew, deleting_one_leaves_the_others;
    CreateOnly: a_committed_name_is_taken, an_open_name_is_taken, eight_race_to_one_name,
        eight_write_eight_names;
}

fn nothing_is_seen_before_commit(store: &dyn ShareStore) {
    let share = name("hidden");
    let mut upload = store.create(&share).unwrap();
    assert_not_committed(store, &share);
    write(&mut *upload, 0, &pattern(9_000, 1)).unwrap();
    assert_not_committed(store, &share);
    upload.sync().unwrap();
    assert_not_committed(store, &share);
    assert_eq!(store.list().unwrap(), []);
    upload.commit().unwrap();
    assert_eq!(store.len(&share).unwrap(), 9_000);
    assert_eq!(store.unfinished().unwrap(), []);
}

fn listed_by_name(store: &dyn ShareStore) {
    for (at, text) in ["b", "a", "B", "c.share", "-", "_", "0"].into_iter().enumerate() {
        put(store, &name(text), &pattern(at, 1));
    }
    let entry = |(text, bytes): (&str, u64)| Entry { name: name(text), bytes };
    let expected = [("-", 4), ("0", 6), ("B", 2), ("_", 5), ("a", 1), ("b", 0), ("c.share", 3)];
    assert_eq!(store.list().unwrap(), expected.map(entry));
}

fn every_good_name_is_kept_apart(store: &dyn ShareStore) {
    let names = ["a", "A", "a.", "a-", "a_", "a.a", "a..a", "aa", "con", "nul", "-rf"];
    let good = names.map(name);
    for share in &good {
        put(store, share, share.as_str().as_bytes());
    }
    for share in &good {
        assert_eq!(get(store, share), share.as_str().as_bytes());
    }
}

fn hostile_names_never_reach_it(store: &dyn ShareStore) {
    for text in
        ["", ".", "..", ".a", "../a", "a/../b", "/a", "a/b", "a\\b", "a\0b", "a\n", "\u{130}"]
    {
        assert!(ShareName::new(text).is_err(), "{text:?}");
    }
    assert_eq!(store.list().unwrap(), []);
}

fn the_longest_name_works(store: &dyn ShareStore) {
    let share = name(&"n".repeat(NAME_BYTES_MAX));
    drop(store.create(&share).unwrap());
    assert_eq!(store.unfinished().unwrap(), std::slice::from_ref(&share));
    store.resume(&share).unwrap().commit().unwrap();
    assert_eq!(store.len(&share).unwrap(), 0);
    store.delete(&share).unwrap();
}

fn deleted_is_gone(store: &dyn ShareStore) {
    let share = name("gone");
    put(store, &share, b"x");
    store.delete(&share).unwrap();
    assert_not_committed(store, &share);
    assert_eq!(store.list().unwrap(), []);
}

fn deleted_twice_is_not_found(store: &dyn ShareStore) {
    let share = name("twice");
    put(store, &share, b"x");
    store.delete(&share).unwrap();
    assert!(matches!(store.delete(&share), Err(Error::NotFound)));
}

fn deleted_then_made_anew(store: &dyn ShareStore) {
    let share = name("anew");
    put(store, &share, &pattern(9_000, 1));
    store.delete(&share).unwrap();
    put(store, &share, b"short");
    assert_eq!(get(store, &share), b"short");
}

fn deleting_one_leaves_the_others(store: &dyn ShareStore) {
    for text in ["a", "ab", "b"] {
        put(store, &name(text), text.as_bytes());
    }
    store.delete(&name("a")).unwrap();
    assert_eq!(get(store, &name("ab")), b"ab");
    assert_eq!(get(store, &name("b")), b"b");
}

fn a_committed_name_is_taken(store: &dyn ShareStore) {
    let share = name("taken");
    put(store, &share, b"first");
    assert!(matches!(store.create(&share), Err(Error::AlreadyExists)));
    assert!(matches!(store.resume(&share), Err(Error::NotFound)));
    assert_eq!(get(store, &share), b"first");
    assert_eq!(store.unfinished().unwrap(), []);
}

fn an_open_name_is_taken(store: &dyn ShareStore) {
    let share = name("open");
    let mut upload = store.create(&share).unwrap();
    assert!(matches!(store.create(&share), Err(Error::Busy)));
    assert!(matches!(store.resume(&share), Err(Error::Busy)));
    write(&mut *upload, 0, b"mine").unwrap();
    upload.commit().unwrap();
    assert_eq!(get(store, &share), b"mine");
}

/// Each tries once; exactly one wins, and its contents come out whole.
fn eight_race_to_one_name(store: &dyn ShareStore) {
    for round in 0..10 {
        let share = name(&format!("race-{round}"));
        let barrier = Barrier::new(8);
        let compete = |racer: u64| {
            barrier.wait();
            let mut upload = match store.create(&share) {
                Ok(upload) => upload,
                Err(Error::AlreadyExists | Error::Busy) => return false,
                Err(error) => panic!("racer {racer}: {error:?}"),
            };
            write(&mut *upload, 0, &pattern(20_000, racer)).unwrap();
            match upload.commit() {
                Ok(()) => true,
                Err(Error::AlreadyExists) => false,
                Err(error) => panic!("racer {racer}: {error:?}"),
            }
        };
        let compete = &compete;
        let winners: Vec<u64> = std::thread::scope(|scope| {
            let racers: Vec<_> =
                (0..8).map(|racer| (racer, scope.spawn(move || compete(racer)))).collect();
            let won = racers
                .into_iter()
                .filter_map(|(racer, thread)| thread.join().unwrap().then_some(racer));
            won.collect()
        });
        assert_eq!(winners.len(), 1, "round {round}: won by {winners:?}");
        assert!(get(store, &share) == pattern(20_000, winners[0]), "round {round}");
        assert_eq!(store.unfinished().unwrap(), [], "a loser left litter in round {round}");
    }
}

fn eight_write_eight_names(store: &dyn ShareStore) {
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for turn in 0..4 {
                    let contents = pattern(5_000, writer * 4 + turn);
                    put(store, &name(&format!("{writer}-{turn}")), &contents);
                }
            });
        }
    });
    assert_eq!(store.list().unwrap().len(), 32);
    assert!(get(store, &name("7-3")) == pattern(5_000, 31));
}
