//! Uploads that were dropped, taken up, or thrown away.

use super::{assert_not_committed, get, name, pattern, put, write};
use crate::{Error, ShareName, ShareStore};
use std::sync::Barrier;

super::cases! {
    Nothing: abandoned_leaves_nothing, nothing_to_resume;
    Resumable: dropped_is_resumed, a_dropped_name_is_not_created_over, resumed_then_overwritten,
        dropped_and_resumed_many_times, resumed_then_abandoned, one_of_eight_resumes,
        unfinished_are_listed_by_name, an_unfinished_twin_survives_delete;
}

fn abandoned_leaves_nothing(store: &dyn ShareStore) {
    let share = name("abandoned");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, &pattern(9_000, 1)).unwrap();
    upload.abandon().unwrap();
    assert_not_committed(store, &share);
    assert_eq!(store.unfinished().unwrap(), []);
    assert!(matches!(store.resume(&share), Err(Error::NotFound)));
    put(store, &share, b"new");
    assert_eq!(get(store, &share), b"new");
}

fn nothing_to_resume(store: &dyn ShareStore) {
    assert!(matches!(store.resume(&name("never")), Err(Error::NotFound)));
    assert_eq!(store.unfinished().unwrap(), []);
}

fn dropped_is_resumed(store: &dyn ShareStore) {
    let share = name("dropped");
    let contents = pattern(9_000, 1);
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, &contents[..5_000]).unwrap();
    drop(upload);
    assert_not_committed(store, &share);
    assert_eq!(store.unfinished().unwrap(), std::slice::from_ref(&share));

    let mut upload = store.resume(&share).unwrap();
    let mut target = vec![0; 5_000];
    upload.read_at(0, &mut target).unwrap();
    assert!(target == contents[..5_000]);
    let past = upload.read_at(4_999, &mut [0; 2]);
    assert!(matches!(past, Err(Error::Truncated { held_bytes: 5_000, .. })));
    write(&mut *upload, 5_000, &contents[5_000..]).unwrap();
    upload.commit().unwrap();
    assert!(get(store, &share) == contents);
    assert_eq!(store.unfinished().unwrap(), []);
}

fn a_dropped_name_is_not_created_over(store: &dyn ShareStore) {
    let share = name("kept");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, b"kept").unwrap();
    drop(upload);
    assert!(matches!(store.create(&share), Err(Error::AlreadyExists)));
    store.resume(&share).unwrap().commit().unwrap();
    assert_eq!(get(store, &share), b"kept");
}

fn resumed_then_overwritten(store: &dyn ShareStore) {
    let share = name("overwritten");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, &[1; 100]).unwrap();
    drop(upload);
    let mut upload = store.resume(&share).unwrap();
    write(&mut *upload, 50, &[2; 10]).unwrap();
    upload.commit().unwrap();
    let mut model = [1; 100];
    model[50..60].fill(2);
    assert_eq!(get(store, &share), model);
}

fn dropped_and_resumed_many_times(store: &dyn ShareStore) {
    let share = name("often");
    let contents = pattern(20 * 997, 1);
    drop(store.create(&share).unwrap());
    for (at, piece) in contents.chunks(997).enumerate() {
        let mut upload = store.resume(&share).unwrap();
        write(&mut *upload, at as u64 * 997, piece).unwrap();
    }
    store.resume(&share).unwrap().commit().unwrap();
    assert!(get(store, &share) == contents);
}

fn resumed_then_abandoned(store: &dyn ShareStore) {
    let share = name("given-up");
    drop(store.create(&share).unwrap());
    store.resume(&share).unwrap().abandon().unwrap();
    assert_eq!(store.unfinished().unwrap(), []);
    assert!(matches!(store.resume(&share), Err(Error::NotFound)));
}

fn one_of_eight_resumes(store: &dyn ShareStore) {
    let share = name("one");
    drop(store.create(&share).unwrap());
    let (before, after) = (Barrier::new(8), Barrier::new(8));
    let compete = || {
        before.wait();
        let outcome = store.resume(&share);
        after.wait();
        match outcome {
            Ok(upload) => {
                drop(upload);
                true
            }
            Err(Error::Busy) => false,
            Err(error) => panic!("{error:?}"),
        }
    };
    let compete = &compete;
    let winners = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(compete)).collect();
        racers.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
    });
    assert_eq!(winners, 1);
    store.resume(&share).unwrap().abandon().unwrap();
}

fn unfinished_are_listed_by_name(store: &dyn ShareStore) {
    let names = ["c", "a", "b"].map(name);
    let held = store.create(&names[0]).unwrap();
    drop(store.create(&names[1]).unwrap());
    drop(store.create(&names[2]).unwrap());
    put(store, &name("d"), b"committed");
    let expected: Vec<ShareName> = ["a", "b", "c"].map(name).into();
    assert_eq!(store.unfinished().unwrap(), expected);
    held.abandon().unwrap();
    assert_eq!(store.unfinished().unwrap(), expected[..2]);
}

fn an_unfinished_twin_survives_delete(store: &dyn ShareStore) {
    let share = name("twin");
    drop(store.create(&share).unwrap());
    assert!(matches!(store.delete(&share), Err(Error::NotFound)));
    assert_eq!(store.unfinished().unwrap(), std::slice::from_ref(&share));
    store.resume(&share).unwrap().commit().unwrap();
    assert_eq!(store.len(&share).unwrap(), 0);
}
