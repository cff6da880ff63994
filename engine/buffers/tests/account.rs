//! The books of memory and copies. One test, as they are the whole process's.

use warifu_buffers::{Block, copied_bytes, copy_payload, reserve, set_limit, slot_of, stats};

#[test]
fn the_books_agree_with_what_happened() {
    // Reservations stay under the limit, whoever asks.
    set_limit(100);
    let first = reserve(60).unwrap();
    assert!(reserve(41).is_none());
    let second = reserve(40).unwrap();
    assert_eq!((first.bytes(), second.bytes()), (60, 40));
    assert!(reserve(1).is_none() && reserve(0).is_some());
    assert!(reserve(u64::MAX).is_none(), "no sum overflows");
    assert_eq!(stats().reserved_bytes, 100);
    drop(first);
    assert!(reserve(60).is_some());
    drop(second);
    assert_eq!(stats().reserved_bytes, 0);

    // Many threads never hold more than the limit together.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let held = reserve(30);
                    assert!(stats().reserved_bytes <= 100);
                    drop(held);
                }
            });
        }
    });
    assert_eq!(stats().reserved_bytes, 0);

    // Beyond the limit there are blocks, but no slots that would stay for ever.
    let beyond = Block::zeroed(1 << 20);
    assert_eq!((slot_of(&beyond), stats().slots), (None, 0));
    assert!(stats().out_bytes >= 1 << 20);
    drop(beyond);
    assert_eq!(stats().out_bytes, 0);
    set_limit(64 << 20);
    let blocks: Vec<Block> = (0..100).map(|_| Block::zeroed(1 << 20)).collect();
    let of_pool = blocks.iter().filter(|block| slot_of(block).is_some()).count();
    assert_eq!(of_pool, stats().slots);
    assert!((48..64).contains(&of_pool), "{of_pool} slots under 64 MiB");
    assert!(stats().out_bytes >= 100 << 20);
    drop(blocks);
    assert_eq!(stats().out_bytes, 0);
    assert!(stats().peak_bytes >= 100 << 20);

    // Copies are counted, handing on is not.
    let before = copied_bytes();
    let bytes = Block::zeroed(1 << 20).into_bytes();
    let half = bytes.slice(..1 << 19);
    assert_eq!(copied_bytes(), before);
    drop(Block::copy_of(&half));
    copy_payload(&mut [0; 7], &[1; 7]);
    assert_eq!(copied_bytes() - before, (1 << 19) + 7);
}
