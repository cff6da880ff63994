//! What was written is what is read.

use super::{assert_not_committed, get, name, pattern, put, write};
use crate::{Error, ShareStore};
use warifu_buffers::{ALIGNMENT, Block, Bytes};

super::cases! {
    Nothing: an_empty_store_is_empty, sizes_around_a_page, one_of_3_mib, nothing_written_at_all,
        written_backwards, written_in_overlapping_pieces, a_gap_reads_as_zeros,
        an_empty_write_changes_nothing, an_upload_reads_itself, an_upload_read_past_its_end,
        overwritten_after_a_sync, read_in_ranges, read_past_the_end, read_at_huge_offsets,
        a_write_beyond_every_offset, many_chunks_from_aligned_memory,
        a_later_write_lies_over_an_earlier_one, aligned_and_unaligned_in_turn,
        settled_between_writes, the_length_follows_the_writes, truncated_then_written_on,
        read_while_others_are_written, room_is_told_or_not;
}

fn an_empty_store_is_empty(store: &dyn ShareStore) {
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(store.unfinished().unwrap(), []);
    assert_not_committed(store, &name("a"));
}

fn sizes_around_a_page(store: &dyn ShareStore) {
    for bytes in [0, 1, 4095, 4096, 4097, 8192] {
        let share = name(&format!("size-{bytes}"));
        let contents = pattern(bytes, bytes as u64);
        put(store, &share, &contents);
        assert_eq!(store.len(&share).unwrap(), bytes as u64);
        assert!(get(store, &share) == contents, "{bytes} bytes");
    }
}

fn one_of_3_mib(store: &dyn ShareStore) {
    let contents = pattern(3 << 20, 3);
    let share = name("large");
    let mut upload = store.create(&share).unwrap();
    for (at, piece) in contents.chunks(1 << 20).enumerate() {
        write(&mut *upload, (at as u64) << 20, piece).unwrap();
        upload.sync().unwrap();
    }
    upload.commit().unwrap();
    assert!(get(store, &share) == contents);
}

fn settled_between_writes(store: &dyn ShareStore) {
    let share = name("settled");
    let mut upload = store.create(&share).unwrap();
    upload.settle().unwrap();
    let mut contents = Vec::new();
    for index in 0..3 {
        let mut block = Block::zeroed(1 << 20);
        block.copy_from_slice(&pattern(1 << 20, index));
        contents.extend_from_slice(&block);
        upload.write_at(index << 20, block.into_bytes()).unwrap();
        upload.settle().unwrap();
        upload.settle().unwrap();
        assert_eq!(upload.held_bytes(), (index + 1) << 20);
    }
    upload.commit().unwrap();
    assert!(get(store, &share) == contents);
}

fn nothing_written_at_all(store: &dyn ShareStore) {
    let share = name("empty");
    store.create(&share).unwrap().commit().unwrap();
    assert_eq!(store.len(&share).unwrap(), 0);
    assert!(get(store, &share).is_empty());
}

fn written_backwards(store: &dyn ShareStore) {
    let contents = pattern(5 * 4096 + 100, 5);
    let share = name("backwards");
    let mut upload = store.create(&share).unwrap();
    for at in (0..contents.len()).step_by(4096).rev() {
        let end = contents.len().min(at + 4096);
        write(&mut *upload, at as u64, &contents[at..end]).unwrap();
    }
    upload.commit().unwrap();
    assert!(get(store, &share) == contents);
}

fn written_in_overlapping_pieces(store: &dyn ShareStore) {
    let share = name("overlap");
    let mut model = vec![0; 20_000];
    let mut upload = store.create(&share).unwrap();
    for (round, at) in [0, 9_000, 4_095, 100, 13_001, 4_096, 0].into_iter().enumerate() {
        let piece = pattern(6_999, round as u64);
        model[at..at + piece.len()].copy_from_slice(&piece);
        write(&mut *upload, at as u64, &piece).unwrap();
    }
    upload.commit().unwrap();
    assert!(get(store, &share) == model);
}

fn a_gap_reads_as_zeros(store: &dyn ShareStore) {
    let share = name("gap");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, &[1; 10]).unwrap();
    write(&mut *upload, 10_000, &[2; 10]).unwrap();
    upload.commit().unwrap();
    let mut model = vec![0; 10_010];
    model[..10].fill(1);
    model[10_000..].fill(2);
    assert!(get(store, &share) == model);
}

fn an_empty_write_changes_nothing(store: &dyn ShareStore) {
    let share = name("empty-write");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, b"abc").unwrap();
    write(&mut *upload, 1, b"").unwrap();
    write(&mut *upload, 3, b"").unwrap();
    write(&mut *upload, 4_000, b"").unwrap();
    write(&mut *upload, u64::MAX, b"").unwrap();
    upload.commit().unwrap();
    assert_eq!(get(store, &share), b"abc");
}

fn an_upload_reads_itself(store: &dyn ShareStore) {
    let mut upload = store.create(&name("itself")).unwrap();
    write(&mut *upload, 0, b"hello world").unwrap();
    let mut target = [0; 5];
    upload.read_at(6, &mut target).unwrap();
    assert_eq!(&target, b"world");
    upload.read_at(11, &mut []).unwrap();
    upload.abandon().unwrap();
}

fn an_upload_read_past_its_end(store: &dyn ShareStore) {
    let mut upload = store.create(&name("short")).unwrap();
    write(&mut *upload, 0, &[7; 100]).unwrap();
    for (offset, bytes) in [(0, 101), (99, 2), (100, 1), (101, 0), (u64::MAX, 1)] {
        let outcome = upload.read_at(offset, &mut vec![0; bytes]);
        let truncated = matches!(outcome, Err(Error::Truncated { held_bytes: 100, .. }));
        assert!(truncated, "{bytes} at {offset}");
    }
    upload.read_at(0, &mut [0; 100]).unwrap();
    write(&mut *upload, 100, &[8; 1]).unwrap();
    upload.commit().unwrap();
    assert_eq!(store.len(&name("short")).unwrap(), 101);
}

fn overwritten_after_a_sync(store: &dyn ShareStore) {
    let share = name("overwritten");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, &pattern(9_000, 1)).unwrap();
    upload.sync().unwrap();
    let second = pattern(9_000, 2);
    write(&mut *upload, 0, &second).unwrap();
    upload.sync().unwrap();
    upload.commit().unwrap();
    assert!(get(store, &share) == second);
}

fn read_in_ranges(store: &dyn ShareStore) {
    let contents = pattern(10_000, 10);
    let share = name("ranges");
    put(store, &share, &contents);
    for (at, bytes) in [(0, 0), (0, 1), (4_095, 2), (1, 9_999), (9_999, 1), (10_000, 0)] {
        let mut target = vec![0xaa; bytes];
        store.read_at(&share, at as u64, &mut target).unwrap();
        assert!(target == contents[at..at + bytes], "{bytes} at {at}");
    }
}

fn read_past_the_end(store: &dyn ShareStore) {
    let share = name("end");
    put(store, &share, &[7; 100]);
    for (offset, bytes) in [(0, 101), (99, 2), (100, 1), (101, 0)] {
        match store.read_at(&share, offset, &mut vec![0; bytes]) {
            Err(Error::Truncated { offset: told, wanted_bytes, held_bytes }) => {
                assert_eq!((told, wanted_bytes, held_bytes), (offset, bytes as u64, 100));
            }
            other => panic!("{bytes} at {offset}: {other:?}"),
        }
    }
}

fn read_at_huge_offsets(store: &dyn ShareStore) {
    let share = name("huge");
    put(store, &share, &[7; 100]);
    for offset in [1 << 40, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX] {
        let outcome = store.read_at(&share, offset, &mut [0; 2]);
        assert!(matches!(outcome, Err(Error::Truncated { .. })), "{offset}: {outcome:?}");
    }
}

fn a_write_beyond_every_offset(store: &dyn ShareStore) {
    let share = name("beyond");
    let mut upload = store.create(&share).unwrap();
    write(&mut *upload, 0, b"kept").unwrap();
    assert!(matches!(write(&mut *upload, u64::MAX, &[1; 2]), Err(Error::Limit { .. })));
    upload.commit().unwrap();
    assert_eq!(get(store, &share), b"kept");
}

/// Page-aligned memory with this content, as the data path hands it over.
fn aligned(contents: &[u8]) -> Bytes {
    let mut block = Block::aligned_at(128 + contents.len() + 16, 128);
    block[128..128 + contents.len()].copy_from_slice(contents);
    let bytes = block.into_bytes().slice(128..128 + contents.len());
    assert_eq!(bytes.as_ptr().align_offset(ALIGNMENT), 0);
    bytes
}

/// The shape of a share: chunks of 1 MiB, each with a page behind it, the header's page last.
fn many_chunks_from_aligned_memory(store: &dyn ShareStore) {
    const CHUNK: usize = 1 << 20;
    let share = name("chunks");
    let contents = pattern(4096 + 9 * (CHUNK + 4096), 9);
    let mut upload = store.create(&share).unwrap();
    for at in (4096..contents.len()).step_by(CHUNK + 4096) {
        upload.write_at(at as u64, aligned(&contents[at..at + CHUNK])).unwrap();
        let foot = at + CHUNK;
        upload.write_at(foot as u64, aligned(&contents[foot..foot + 4096])).unwrap();
    }
    upload.write_at(0, aligned(&contents[..4096])).unwrap();
    assert_eq!(upload.held_bytes(), contents.len() as u64);
    upload.commit().unwrap();
    assert!(get(store, &share) == contents);
    let mut target = Block::aligned_at(144 + CHUNK + 4096, 144);
    store.read_at(&share, 4096, &mut target[144..]).unwrap();
    assert!(target[144..] == contents[4096..4096 + CHUNK + 4096]);
    store.read_at(&share, 8191, &mut target[..5000]).unwrap();
    assert!(target[..5000] == contents[8191..8191 + 5000]);
}

fn a_later_write_lies_over_an_earlier_one(store: &dyn ShareStore) {
    let share = name("over");
    let mut upload = store.create(&share).unwrap();
    let mut model = vec![0; 400 << 10];
    for round in 0..40_u64 {
        let at = (round * 7 % 5) as usize * 4096;
        let piece = pattern(300 << 10, round);
        model[at..at + piece.len()].copy_from_slice(&piece);
        upload.write_at(at as u64, aligned(&piece)).unwrap();
    }
    model.truncate((300 << 10) + 4 * 4096);
    upload.commit().unwrap();
    assert!(get(store, &share) == model);
}

fn aligned_and_unaligned_in_turn(store: &dyn ShareStore) {
    let share = name("turns");
    let mut upload = store.create(&share).unwrap();
    let mut model = vec![0; 3 << 20];
    let mut end = 0;
    for round in 0..60_usize {
        let (at, bytes) = match round % 3 {
            0 => (round * 3 % 16 * 4096, 600 << 10),
            1 => (round * 1000 + 77, 5_001),
            _ => (round % 7 * 4096, 4096),
        };
        let piece = pattern(bytes, round as u64);
        model[at..at + bytes].copy_from_slice(&piece);
        end = end.max(at + bytes);
        upload.write_at(at as u64, aligned(&piece)).unwrap();
        if round % 8 == 7 {
            let mut found = Block::zeroed(64 << 10);
            upload.read_at(8192, &mut found).unwrap();
            assert!(found[..] == model[8192..8192 + (64 << 10)], "round {round}");
        }
    }
    upload.commit().unwrap();
    assert!(get(store, &share) == model[..end]);
}

fn the_length_follows_the_writes(store: &dyn ShareStore) {
    let mut upload = store.create(&name("length")).unwrap();
    assert_eq!(upload.held_bytes(), 0);
    for (at, bytes, held) in [(10, 5, 15), (0, 4, 15), (1 << 20, 1 << 20, 2 << 20), (7, 0, 2 << 20)]
    {
        upload.write_at(at, aligned(&pattern(bytes, 1))).unwrap();
        assert_eq!(upload.held_bytes(), held, "{bytes} at {at}");
    }
    upload.abandon().unwrap();
}

fn truncated_then_written_on(store: &dyn ShareStore) {
    let share = name("cut");
    let contents = pattern(2 << 20, 1);
    let mut upload = store.create(&share).unwrap();
    upload.write_at(0, aligned(&contents)).unwrap();
    upload.truncate(3 << 20).unwrap();
    assert_eq!(upload.held_bytes(), 2 << 20, "truncating never lengthens");
    upload.truncate(5_000).unwrap();
    assert_eq!(upload.held_bytes(), 5_000);
    let past = upload.read_at(4_999, &mut [0; 2]);
    assert!(matches!(past, Err(Error::Truncated { held_bytes: 5_000, .. })));
    upload.write_at(9_000, aligned(&contents[..1])).unwrap();
    upload.sync().unwrap();
    upload.truncate(9_000).unwrap();
    upload.commit().unwrap();
    let mut model = contents[..5_000].to_vec();
    model.resize(9_000, 0);
    assert!(get(store, &share) == model, "what was cut off is not seen again");
}

fn read_while_others_are_written(store: &dyn ShareStore) {
    let contents = pattern(50_000, 1);
    put(store, &name("first"), &contents);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                put(store, &name(&format!("w{writer}")), &pattern(50_000, writer));
            });
        }
        for _ in 0..4 {
            scope.spawn(|| assert!(get(store, &name("first")) == contents));
        }
    });
    for writer in 0..4 {
        assert!(get(store, &name(&format!("w{writer}"))) == pattern(50_000, writer));
    }
}

fn room_is_told_or_not(store: &dyn ShareStore) {
    assert_ne!(store.room_bytes().unwrap(), Some(0), "an empty store has room");
}
