//! Blocks: aligned, zero, wiped when they are let go, and recycled.

use std::collections::BTreeSet;
use warifu_buffers::{ALIGNMENT, Block, SLOT_BYTES, slot_of, stats};

const CHUNK: usize = 1 << 20;

#[test]
fn blocks_are_aligned_and_zero() {
    for len in [0, 1, 4095, 4096, 4097, 600 << 10, CHUNK, SLOT_BYTES, SLOT_BYTES + 1] {
        let mut block = Block::zeroed(len);
        assert_eq!(block.len(), len);
        assert_eq!(block.as_ptr().align_offset(ALIGNMENT), 0);
        assert!(block.iter().all(|&byte| byte == 0));
        block.fill(0xA5);
    }
}

#[test]
fn the_byte_asked_for_stands_on_a_page_with_a_page_behind() {
    for (len, at) in
        [(0, 0), (100, 96), (128 + CHUNK + 16, 128), (144 + CHUNK + 16, 144), (9, 5000)]
    {
        let mut block = Block::aligned_at(len, at);
        let address = block.as_ptr().addr() + at;
        assert_eq!(address % ALIGNMENT, 0, "{len} bytes, aligned at {at}");
        block.fill(1);
        block.lengthen(len + ALIGNMENT);
        assert_eq!(block.len(), len + ALIGNMENT);
        assert!(block[len..].iter().all(|&byte| byte == 0));
        block.fill(2);
        block.truncate(len);
        block.lengthen(len + ALIGNMENT);
        assert!(block[len..].iter().all(|&byte| byte == 0), "what is cut off is wiped at once");
    }
}

#[test]
#[should_panic(expected = "no room")]
fn a_block_never_grows_out_of_its_memory() {
    Block::aligned_at(100, 0).lengthen(100 + ALIGNMENT + 1);
}

#[test]
fn truncate_shortens_and_bytes_share_the_memory() {
    let mut block = Block::copy_of(b"hello world");
    block.truncate(5);
    block.truncate(9);
    let address = block.as_ptr();
    let bytes = block.into_bytes();
    assert_eq!(&bytes[..], b"hello");
    assert_eq!(bytes.as_ptr(), address);
}

#[test]
fn chunks_come_from_slots_that_come_back_wiped() {
    let mut seen = BTreeSet::new();
    for round in 0..200_u32 {
        let mut block = Block::aligned_at(128 + CHUNK + 16, 128);
        assert!(block.iter().all(|&byte| byte == 0), "round {round}");
        let slot = slot_of(&block).unwrap();
        assert!(slot.address <= block.as_ptr().addr());
        assert!(block.as_ptr().addr() + block.len() <= slot.address + slot.bytes);
        seen.insert(slot.index);
        block.fill(0xFF);
        block.truncate(CHUNK);
        let bytes = block.into_bytes();
        let (early, late) = (bytes.slice(..100), bytes.slice(200..));
        drop(bytes);
        drop(early);
        assert_eq!(slot_of(&late).unwrap(), slot, "one handle keeps it out");
        assert!(late.iter().all(|&byte| byte == 0xFF));
    }
    assert!(seen.len() <= 64, "200 blocks one after the other took {} slots", seen.len());
    assert!(stats().slots >= seen.len());
}

#[test]
fn slots_are_apart() {
    let blocks: Vec<Block> = (0..20).map(|_| Block::zeroed(CHUNK)).collect();
    let slots: Vec<_> = blocks.iter().filter_map(|block| slot_of(block)).collect();
    assert_eq!(slots.len(), 20);
    let mut addresses: Vec<usize> = slots.iter().map(|slot| slot.address).collect();
    addresses.sort_unstable();
    for pair in addresses.windows(2) {
        assert!(pair[1] - pair[0] >= SLOT_BYTES, "two slots overlap");
    }
    assert_eq!(slot_of(&[0; 10]), None);
    assert_eq!(slot_of(&Block::zeroed(64 << 10)), None);
}

#[test]
fn blocks_on_many_threads_never_share_memory() {
    std::thread::scope(|scope| {
        for mark in 1..=8_u8 {
            scope.spawn(move || {
                for _ in 0..50 {
                    let mut blocks: Vec<Block> = (0..3).map(|_| Block::zeroed(CHUNK)).collect();
                    for block in &mut blocks {
                        assert!(block.iter().all(|&byte| byte == 0), "it was not wiped");
                        block.fill(mark);
                    }
                    std::thread::yield_now();
                    let all = blocks.iter().all(|block| block.iter().all(|&byte| byte == mark));
                    assert!(all, "another thread wrote into it");
                }
            });
        }
    });
}
