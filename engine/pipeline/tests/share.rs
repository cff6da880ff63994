//! A share file is written in any order, taken up by its owner only, and published whole.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use warifu_backend::{Error as StoreError, MemoryStore, ShareName, ShareStore};
use warifu_core::share_file::{CapsuleShape, share_file_name};
use warifu_core::{Geometry, LinkId, ObjectId, Role, Threshold, XCoord};
use warifu_link::ShareClass;
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::share::{CommitOrder, Draft, ShareError, ShareReader, ShareWriter};

const CHUNK: usize = 1 << 20;
const LAST: usize = 8192;

fn draft(link: u8) -> Draft {
    Draft {
        object: ObjectId::from_bytes([7; 16]),
        x: XCoord::new(3).unwrap(),
        threshold: Threshold::new(2, 3).unwrap(),
        role: Role::Computed,
        link: Some(LinkId::from_bytes([link; 16])),
    }
}

fn name() -> ShareName {
    ShareName::new(&share_file_name(draft(1).object, draft(1).x)).unwrap()
}

const fn data(index: u64) -> Slot {
    Slot { class: ShareClass::Data, index }
}

const CAPSULE: Slot = Slot { class: ShareClass::Capsule, index: 0 };

/// What a chunk of an attempt holds.
fn content(index: u64, attempt: u32, bytes: usize) -> Vec<u8> {
    vec![(index as u8) << 4 | attempt as u8; bytes]
}

fn shape(geometry: &Geometry) -> CapsuleShape {
    CapsuleShape::new(48, geometry, 0).unwrap()
}

fn geometry() -> Geometry {
    Geometry::new((2 * CHUNK + LAST) as u64).unwrap()
}

/// Two chunks and a short one, the second in two attempts.
fn written(store: &MemoryStore) -> ShareWriter {
    let mut writer = ShareWriter::begin(store, &name(), draft(1)).unwrap();
    for (index, attempt, bytes) in [(1, 0, CHUNK), (0, 0, CHUNK), (1, 1, CHUNK), (2, 0, LAST)] {
        let blind = [index as u8; 16];
        writer.put(data(index), attempt, &blind, &content(index, attempt, bytes)).unwrap();
    }
    writer
}

fn commit(writer: ShareWriter, attempt_of_1: u32) -> Result<(), ShareError> {
    let geometry = geometry();
    let attempts = BTreeMap::from([(data(1), attempt_of_1)]);
    let capsule = shape(&geometry);
    writer.commit(&CommitOrder { geometry, masks: 0, capsule, attempts: &attempts })
}

fn put_capsule(writer: &mut ShareWriter) -> Vec<u8> {
    let bytes = shape(&geometry()).capsule_bytes(draft(1).threshold) as usize;
    let capsule = vec![0xCA; bytes];
    writer.put(CAPSULE, 0, &[0; 16], &capsule).unwrap();
    capsule
}

#[test]
fn what_was_written_is_read_back_and_scrubs() {
    let store = MemoryStore::new();
    let mut writer = written(&store);
    let capsule = put_capsule(&mut writer);
    commit(writer, 1).unwrap();
    let reader = ShareReader::open(&store, &name()).unwrap();
    let mut target = vec![0; CHUNK];
    for (index, attempt, bytes) in [(0, 0, CHUNK), (1, 1, CHUNK), (2, 0, LAST)] {
        let read = reader.chunk(data(index), &mut target).unwrap();
        assert_eq!((read.attempt, read.bytes, read.blind), (attempt, bytes, [index as u8; 16]));
        assert!(target[..bytes] == content(index, attempt, bytes)[..]);
    }
    assert!(matches!(reader.chunk(data(3), &mut target), Err(ShareError::NoSuchSlot { .. })));
    let mut part = vec![0; capsule.len() - 16];
    reader.capsule(16, &mut part).unwrap();
    assert!(part == capsule[16..]);
    assert!(reader.capsule(32, &mut part).is_err(), "beyond the capsule");
    reader.scrub_capsule().unwrap();
    let again = ShareWriter::begin(&store, &name(), draft(1)).err();
    assert!(matches!(again, Some(ShareError::Store(StoreError::AlreadyExists))));
}

#[test]
fn a_commit_of_anything_else_than_what_is_there_publishes_nothing() {
    let store = MemoryStore::new();
    let mut writer = written(&store);
    put_capsule(&mut writer);
    assert!(matches!(commit(writer, 0), Err(ShareError::WrongAttempt { expected: 0, .. })));
    assert!(store.list().unwrap().is_empty());

    let store = MemoryStore::new();
    let writer = written(&store);
    assert!(matches!(commit(writer, 1), Err(ShareError::NoSuchSlot { slot: CAPSULE })));
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn slots_that_do_not_fit_are_refused() {
    let store = MemoryStore::new();
    let mut writer = written(&store);
    let misfits = [
        (data(0), 0, CHUNK, "the same attempt again"),
        (data(1), 0, CHUNK, "an attempt before"),
        (data(1), 2, LAST, "another length"),
        (data(3), 0, 100, "no multiple of a page"),
        (data(1 << 21), 0, LAST, "beyond the largest object"),
        (Slot { class: ShareClass::Mask, index: 0 }, 0, LAST, "a short mask"),
        (Slot { class: ShareClass::Capsule, index: 1 << 40 }, 0, 16, "beyond any capsule"),
    ];
    for (slot, attempt, bytes, why) in misfits {
        let put = writer.put(slot, attempt, &[0; 16], &vec![1; bytes]);
        assert!(matches!(put, Err(ShareError::Misfit { .. })), "{why}");
    }
    put_capsule(&mut writer);
    commit(writer, 1).unwrap();
}

#[test]
fn an_unfinished_share_is_taken_up_by_its_owner_and_nobody_else() {
    let store = MemoryStore::new();
    drop(written(&store));
    let stranger = ShareWriter::begin(&store, &name(), draft(2)).err();
    assert!(matches!(stranger, Some(ShareError::OtherOwner)));
    let removal = Draft::abandon_left(&store, &name(), LinkId::from_bytes([2; 16]));
    assert!(matches!(removal, Err(ShareError::OtherOwner)));

    let mut writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
    let attempts: Vec<u32> = writer.written().values().map(|slot| slot.attempt).collect();
    assert_eq!(attempts, [0, 1, 0], "all three chunks count, in the attempts that stand there");
    put_capsule(&mut writer);
    commit(writer, 1).unwrap();
}

#[test]
fn a_torn_chunk_is_a_hole_in_what_is_taken_up() {
    let store = MemoryStore::new();
    drop(written(&store));
    let mut upload = store.resume(&name()).unwrap();
    upload.write_at(4096 + (CHUNK as u64 + 4096) + 5, &[0xEE]).unwrap();
    drop(upload);
    let mut writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
    assert_eq!(writer.written().keys().copied().collect::<Vec<_>>(), [data(0), data(2)]);
    writer.put(data(1), 1 << 16, &[1; 16], &content(1, 1, CHUNK)).unwrap();
    put_capsule(&mut writer);
    commit(writer, 1 << 16).unwrap();
}

#[test]
fn a_later_attempt_at_the_capsule_may_be_longer() {
    let store = MemoryStore::new();
    let mut writer = written(&store);
    writer.put(CAPSULE, 0, &[0; 16], &[0xAB; 48]).unwrap();
    assert!(writer.put(CAPSULE, 0, &[0; 16], &[0xAB; 64]).is_err(), "the same attempt again");
    let bytes = shape(&geometry()).capsule_bytes(draft(1).threshold) as usize;
    writer.put(CAPSULE, 1 << 16, &[0; 16], &vec![0xCA; bytes]).unwrap();
    commit(writer, 1).unwrap();
    ShareReader::open(&store, &name()).unwrap().scrub_capsule().unwrap();
}

#[test]
fn what_a_stranger_left_is_removed_by_its_owner() {
    let store = MemoryStore::new();
    drop(written(&store));
    Draft::abandon_left(&store, &name(), LinkId::from_bytes([1; 16])).unwrap();
    assert!(store.unfinished().unwrap().is_empty());
}
