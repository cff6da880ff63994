//! A share file is written in any order, taken up by its owner only, and published whole.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use warifu_backend::{Error as StoreError, MemoryStore, ShareName, ShareStore};
use warifu_buffers::Bytes;
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
fn content(index: u64, attempt: u32, bytes: usize) -> Bytes {
    vec![(index as u8) << 4 | attempt as u8; bytes].into()
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
        writer.put(data(index), attempt, &blind, content(index, attempt, bytes)).unwrap();
    }
    writer
}

fn commit(writer: ShareWriter, attempt_of_1: u32) -> Result<(), ShareError> {
    let geometry = geometry();
    let attempts = BTreeMap::from([(data(1), attempt_of_1)]);
    let capsule = shape(&geometry);
    let capsule_generation = 0;
    let attempts = &attempts;
    writer.commit(&CommitOrder { geometry, masks: 0, capsule, capsule_generation, attempts })
}

fn put_capsule(writer: &mut ShareWriter) -> Vec<u8> {
    let bytes = shape(&geometry()).capsule_bytes(draft(1).threshold) as usize;
    let capsule = vec![0xCA; bytes];
    writer.put(CAPSULE, 0, &[0; 16], capsule.clone().into()).unwrap();
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
        assert_eq!((read.attempt, read.bytes, *read.blind), (attempt, bytes, [index as u8; 16]));
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
        let put = writer.put(slot, attempt, &[0; 16], vec![1; bytes].into());
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
fn a_torn_chunk_is_passed_over_when_a_share_is_taken_up() {
    let store = MemoryStore::new();
    drop(written(&store));
    let mut upload = store.resume(&name()).unwrap();
    upload.write_at(4096 + (CHUNK as u64 + 4096) + 5, Bytes::from_static(&[0xEE])).unwrap();
    drop(upload);
    let writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
    assert_eq!(writer.written().keys().copied().collect::<Vec<_>>(), [data(0), data(2)]);
    drop(writer);
    Draft::abandon_left(&store, &name(), LinkId::from_bytes([1; 16])).unwrap();
    assert!(store.unfinished().unwrap().is_empty());
}

/// Chunks come in any order, and so may be missing anywhere when the writer is killed.
#[test]
fn whatever_is_whole_is_taken_up_whatever_is_missing() {
    for missing in 0..8_u8 {
        let there: Vec<u64> = (0..3).filter(|index| missing >> index & 1 == 0).collect();
        let store = MemoryStore::new();
        let mut writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
        for &index in there.iter().rev() {
            let bytes = if index == 2 { LAST } else { CHUNK };
            writer.put(data(index), 0, &[0; 16], content(index, 0, bytes)).unwrap();
        }
        drop(writer);
        let mut writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
        let found: Vec<u64> = writer.written().keys().map(|slot| slot.index).collect();
        assert_eq!(found, there);
        for index in (0..3).filter(|index| !there.contains(index)) {
            let bytes = if index == 2 { LAST } else { CHUNK };
            writer.put(data(index), 0, &[0; 16], content(index, 0, bytes)).unwrap();
        }
        put_capsule(&mut writer);
        commit(writer, 0).unwrap();
        ShareReader::open(&store, &name()).unwrap().scrub_capsule().unwrap();
    }
}

/// A file of holes costs its writer nothing, and whoever takes it up all its length.
#[test]
fn a_share_has_few_holes_and_few_are_looked_past() {
    const HOLES: u64 = 64;
    let store = MemoryStore::new();
    let mut writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
    let put = |writer: &mut ShareWriter, index| {
        writer.put(data(index), 0, &[0; 16], content(index, 0, CHUNK))
    };
    assert!(matches!(put(&mut writer, HOLES), Err(ShareError::Misfit { .. })));
    assert!(matches!(put(&mut writer, (1 << 20) - 1), Err(ShareError::Misfit { .. })));
    put(&mut writer, HOLES - 1).unwrap();
    assert!(matches!(put(&mut writer, HOLES + 1), Err(ShareError::Misfit { .. })));
    (0..HOLES - 1).for_each(|index| put(&mut writer, index).unwrap());
    put(&mut writer, HOLES).unwrap();
    writer.settle().unwrap();
    drop(writer);
    let tear = |index: u64| {
        let mut upload = store.resume(&name()).unwrap();
        let foot = 4096 + index * (CHUNK as u64 + 4096) + CHUNK as u64;
        upload.write_at(foot, Bytes::from_static(&[0; 8])).unwrap();
    };
    let taken_up = || {
        let writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
        writer.written().keys().map(|slot| slot.index).collect::<Vec<_>>()
    };
    (0..HOLES - 1).for_each(tear);
    assert_eq!(taken_up(), [HOLES - 1, HOLES], "a crash may take that much");
    tear(HOLES - 1);
    assert!(taken_up().is_empty(), "and not that much");
}

/// A crash may leave zeros behind what was written, and an earlier capsule a longer one.
#[test]
fn what_lies_beyond_the_capsule_is_cut_off() {
    let store = MemoryStore::new();
    let mut writer = written(&store);
    writer.put(CAPSULE, 0, &[0; 16], vec![0xBB; CHUNK].into()).unwrap();
    let again = writer.put(CAPSULE, 0, &[0; 16], vec![0xBB; 100].into());
    assert!(matches!(again, Err(ShareError::Misfit { .. })), "the same attempt again");
    let bytes = shape(&geometry()).capsule_bytes(draft(1).threshold) as usize;
    writer.put(CAPSULE, 1, &[0; 16], vec![0xCA; bytes].into()).unwrap();
    drop(writer);
    let mut upload = store.resume(&name()).unwrap();
    upload.write_at(9 << 20, Bytes::from_static(&[0])).unwrap();
    drop(upload);
    let mut writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
    let capsule = put_capsule(&mut writer);
    commit(writer, 1).unwrap();
    let reader = ShareReader::open(&store, &name()).unwrap();
    reader.scrub_capsule().unwrap();
    let mut found = vec![0; capsule.len()];
    reader.capsule(0, &mut found).unwrap();
    assert!(found == capsule);
}

#[test]
fn content_is_handed_to_the_store_and_back_without_a_copy() {
    let before = warifu_buffers::copied_bytes();
    let store = MemoryStore::new();
    let mut writer = written(&store);
    put_capsule(&mut writer);
    commit(writer, 1).unwrap();
    let reader = ShareReader::open(&store, &name()).unwrap();
    let mut target = warifu_buffers::Block::aligned_at(144 + CHUNK, 144);
    target.lengthen(144 + CHUNK + 4096);
    let read = reader.chunk(data(0), &mut target[144..]).unwrap();
    assert_eq!(read.bytes, CHUNK);
    assert!(target[144..144 + CHUNK] == content(0, 0, CHUNK)[..]);
    assert!(target[144 + CHUNK..].iter().all(|byte| *byte == 0), "the foot's page is wiped");
    assert_eq!(warifu_buffers::copied_bytes(), before);
}

#[test]
fn a_draft_whose_first_page_is_torn_belongs_to_nobody() {
    let link = |number: u8| LinkId::from_bytes([number; 16]);
    let tear = |store: &MemoryStore| {
        drop(written(store));
        let mut upload = store.resume(&name()).unwrap();
        upload.write_at(2048, vec![0xEE; 2048].into()).unwrap();
    };
    let store = MemoryStore::new();
    tear(&store);
    Draft::abandon_left(&store, &name(), link(1)).unwrap();
    assert!(store.unfinished().unwrap().is_empty(), "it can be thrown away");
    tear(&store);
    let writer = ShareWriter::begin(&store, &name(), draft(1)).unwrap();
    assert!(writer.written().is_empty(), "nothing of it is believed");
    drop(writer);
    let other = Draft::abandon_left(&store, &name(), link(2));
    assert!(matches!(other, Err(ShareError::OtherOwner)), "begun anew, it has an owner");
}
