//! Killed, or without power, at any operation: whole or nothing, and nothing lost that was
//! acknowledged.

use super::model::{Model, Plan, Writes};
use crate::{LocalConfig, LocalStore};
use std::io::ErrorKind;
use warifu_backend::{Error, ShareName, ShareStore, Upload};
use warifu_buffers::Bytes;

const SEEDS: u64 = 24;

pub(super) fn name(text: &str) -> ShareName {
    ShareName::new(text).unwrap()
}

/// The contents that a share of this name always has in these tests.
pub(super) fn contents_of(share: &str) -> Vec<u8> {
    let seed = share.bytes().fold(7_u32, |seed, byte| seed.wrapping_mul(31) + u32::from(byte));
    let byte = |at: u32| (at.wrapping_add(seed).wrapping_mul(0x9e37_79b1) >> 23) as u8 | 1;
    (0..3_000).map(byte).collect()
}

pub(super) fn open(model: &Model) -> Result<LocalStore, Error> {
    LocalStore::open_with(&LocalConfig::new("/store"), Box::new(model.clone()))
}

pub(super) fn write(upload: &mut dyn Upload, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    upload.write_at(offset, Bytes::copy_from_slice(bytes))
}

/// Uploads in three writes, with a sync between.
pub(super) fn put(store: &dyn ShareStore, share: &str) -> Result<(), Error> {
    let contents = contents_of(share);
    let mut upload = store.create(&name(share))?;
    write(&mut *upload, 0, &contents[..1_000])?;
    upload.sync()?;
    write(&mut *upload, 2_000, &contents[2_000..])?;
    write(&mut *upload, 900, &contents[900..2_100])?;
    upload.commit()
}

/// What was acknowledged before things went wrong.
#[derive(Default, Debug)]
pub(super) struct Acknowledged {
    committed: Vec<&'static str>,
    deleted: Vec<&'static str>,
}

/// A store with the share `old` in it, all on the medium.
pub(super) fn with_old(writes: Writes) -> Model {
    let model = Model::new(writes);
    put(&open(&model).unwrap(), "old").unwrap();
    model.without_power(|| false)
}

/// Work that stops at the first failure.
fn work(model: &Model) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let mut steps = || -> Result<(), Error> {
        let store = open(model)?;
        put(&store, "new")?;
        acknowledged.committed.push("new");
        store.delete(&name("old"))?;
        acknowledged.deleted.push("old");
        put(&store, "next")?;
        acknowledged.committed.push("next");
        Ok(())
    };
    let _stopped = steps();
    acknowledged
}

fn coin(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match seed {
            0 => false,
            1 => true,
            _ => state >> 63 == 1,
        }
    }
}

/// What is wrong with what the next process finds, if anything.
pub(super) fn wrong(model: &Model, acknowledged: &Acknowledged) -> Option<String> {
    for (share, found) in model.contents("/store/shares") {
        if found != contents_of(&share) {
            return Some(format!("{share} is not whole"));
        }
    }
    let store = open(model).unwrap();
    let listed = store.list().unwrap();
    for share in ["old", "new", "next"] {
        let known = listed.iter().any(|entry| entry.name == name(share));
        if known != store.len(&name(share)).is_ok() {
            return Some(format!("{share}: list and len don't agree"));
        }
        if acknowledged.committed.contains(&share) && !known {
            return Some(format!("{share} was committed, and is gone"));
        }
        if acknowledged.deleted.contains(&share) && known {
            return Some(format!("{share} was deleted, and is back"));
        }
        if share == "old" && acknowledged.committed.is_empty() && !known {
            return Some("old is gone without being deleted".to_owned());
        }
    }
    None
}

/// The next process takes up what it finds: every name can be brought to an end.
fn finish(model: &Model) {
    let store = open(model).unwrap();
    for left in store.unfinished().unwrap() {
        let mut upload = store.resume(&left).unwrap();
        write(&mut *upload, 0, &contents_of(left.as_str())).unwrap();
        upload.commit().unwrap();
    }
    assert_eq!(store.unfinished().unwrap(), []);
    for share in ["old", "new", "next"] {
        if store.len(&name(share)).is_err() {
            put(&store, share).unwrap();
        }
    }
    let committed = ["old", "new", "next"].into();
    let after = model.without_power(|| false);
    assert_eq!(wrong(&after, &Acknowledged { committed, deleted: Vec::new() }), None);
}

fn dies_at(operation: u64, done: bool) -> Plan {
    Plan { operation, lasting: true, done, kind: ErrorKind::Other }
}

fn operations(writes: Writes) -> u64 {
    let model = with_old(writes);
    model.plan(None);
    assert_eq!(work(&model).committed, ["new", "next"]);
    let operations = model.operations();
    assert!(operations > 40, "{operations} operations are too few to prove anything");
    operations
}

#[test]
fn without_power_at_any_operation() {
    for writes in Writes::BOTH {
        for operation in 0..=operations(writes) {
            for seed in 0..SEEDS {
                let model = with_old(writes);
                model.plan(Some(dies_at(operation, false)));
                let acknowledged = work(&model);
                let after = model.without_power(coin(seed));
                let fault = wrong(&after.without_power(|| false), &acknowledged);
                assert_eq!(fault, None, "operation {operation}, seed {seed}, {acknowledged:?}");
                finish(&after);
            }
        }
    }
}

#[test]
fn killed_at_any_operation_then_asked_then_without_power() {
    for writes in Writes::BOTH {
        for operation in 0..=operations(writes) {
            for (seed, done) in (0..SEEDS).flat_map(|seed| [(seed, false), (seed, true)]) {
                let model = with_old(writes);
                model.plan(Some(dies_at(operation, done)));
                let mut acknowledged = work(&model);
                let next = model.killed();
                assert_eq!(wrong(&next, &acknowledged), None, "operation {operation}");
                // What the next process is told is there must stay, whatever happens then.
                let told = open(&next).unwrap();
                let there =
                    ["new", "next"].into_iter().filter(|share| told.len(&name(share)).is_ok());
                acknowledged.committed = there.collect();
                drop(told);
                let after = next.without_power(coin(seed));
                let fault = wrong(&after, &acknowledged);
                assert_eq!(fault, None, "operation {operation}, seed {seed}, {acknowledged:?}");
                finish(&after);
            }
        }
    }
}

#[test]
fn killed_again_while_a_cut_off_commit_is_settled() {
    for writes in Writes::BOTH {
        let mut settled = 0;
        for (first, second) in
            (0..=operations(writes)).flat_map(|first| (0..40).map(move |at| (first, at)))
        {
            let model = with_old(writes);
            model.plan(Some(dies_at(first, false)));
            let acknowledged = work(&model);
            let next = model.killed();
            let twins = next.contents("/store/unfinished").iter().any(|(twin, _)| {
                next.contents("/store/shares").iter().any(|(share, _)| share == twin)
            });
            if !twins {
                continue;
            }
            next.plan(Some(dies_at(second, false)));
            let told = open(&next).and_then(|store| store.list());
            for seed in 0..6 {
                let after = next.without_power(coin(seed));
                let fault = wrong(&after.without_power(|| false), &acknowledged);
                assert_eq!(
                    fault, None,
                    "{first}, {second}, seed {seed}, {acknowledged:?}, {told:?}"
                );
                finish(&after);
            }
            settled += 1;
        }
        assert!(settled > 100, "{settled} settlings are too few to prove anything");
    }
}

/// The canary: with syncs that do nothing, the same checks must cry out.
#[test]
fn a_medium_that_lies_is_noticed() {
    for writes in Writes::BOTH {
        let model = with_old(writes);
        model.lie();
        let acknowledged = work(&model);
        let noticed = (0..SEEDS).filter(|&seed| {
            let after = model.without_power(coin(seed));
            wrong(&after, &acknowledged).is_some()
        });
        assert!(noticed.count() > SEEDS as usize / 2);
    }
}
