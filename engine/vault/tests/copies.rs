//! Payload, shares and key go from hand to hand. One test, as the counter is the whole process's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use warifu_buffers::{copied_bytes, stats};

#[test]
fn a_backup_and_a_restore_copy_no_payload() {
    let rooms = Rooms::new(5, 32 << 20);
    let before = copied_bytes();
    let (report, data) = rooms.store((5 << 20) + 77, "3/5");
    assert_eq!(copied_bytes(), before, "a backup has copied");
    let (_, back) = rooms.restore(&report.object).unwrap();
    assert!(back == data);
    assert_eq!(copied_bytes(), before, "a restore has copied");
    assert!(stats().slots > 0, "chunks come from the pool");
    assert_eq!(stats().out_bytes, 0, "every block came home");
}
