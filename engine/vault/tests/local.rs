//! Objects whose sites are folders: what they take from the `random` pool, and that `n - k` of the
//! folders may go.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use std::fs;
use std::sync::atomic::AtomicBool;
use warifu_core::share_file::ShareHeader;
use warifu_vault::{ObjectReport, Output, PoolRow, RestoreRequest, Watch};

fn header(rooms: &Rooms, report: &ObjectReport, x: u8) -> ShareHeader {
    let file = fs::read(rooms.share_file(report, x)).unwrap();
    ShareHeader::decode(file.first_chunk().unwrap()).unwrap()
}

fn random(rooms: &Rooms) -> PoolRow {
    let mut pools = rooms.gateway.key_status().unwrap();
    assert_eq!(pools.len(), 1, "local sites have no pools");
    pools.remove(0)
}

/// Of random numbers: `k - 1` pads of payload and capsule, an `r` for each share, a blind block for
/// each of its chunks, and a point for each of the capsule's codes.
#[test]
fn random_numbers_are_spent_to_the_byte_and_once() {
    let rooms = Rooms::new(7, 32 << 20);
    for (scheme, bytes) in [("2/3", 0), ("3/5", 4096), ("4/7", 1), ("3/5", (2 << 20) + 77)] {
        let before = random(&rooms);
        let (report, data) = rooms.store(bytes, scheme);
        let after = random(&rooms);
        let header = header(&rooms, &report, 1);
        let (k, n) = (u64::from(report.k), u64::from(report.n));
        let chunks = header.geometry.chunk_count();
        let pads = (k - 1) * (header.geometry.payload_bytes() + header.capsule_bytes());
        let expected = pads + 16 * n + 16 * n * chunks + 16 * (n + 1);
        assert_eq!(report.random_bytes, expected, "{scheme}, {bytes} bytes");
        assert_eq!(after.bytes_consumed - before.bytes_consumed, expected);
        assert_eq!(after.bytes_leased, 0);
        assert!(report.shares.iter().all(|share| share.key_bytes == 0), "no link, no key");
        let (restored, back) = rooms.restore(&report.object).unwrap();
        assert!(back == data && restored.rejected.is_empty() && restored.key_bytes == 0);
        assert_eq!(random(&rooms).bytes_left, after.bytes_left, "a restore takes none");
    }
    let audit = rooms.gateway.audit_keys().unwrap();
    assert!(audit.iter().all(|row| row.overlaps == 0 && row.outside_segments == 0));
}

#[test]
fn any_two_of_five_rooms_may_burn_down() {
    for first in 0..5 {
        for second in first + 1..5 {
            let rooms = Rooms::new(5, 4 << 20);
            let (report, data) = rooms.store(100_000, "3/5");
            fs::remove_dir_all(rooms.folder(&format!("s{first}"))).unwrap();
            fs::remove_dir_all(rooms.folder(&format!("s{second}"))).unwrap();
            let (_, back) = rooms.restore(&report.object).unwrap();
            assert!(back == data, "without s{first} and s{second}");
        }
    }
}

/// The file that a restore would have replaced.
#[test]
fn a_failed_restore_leaves_what_was_there() {
    let rooms = Rooms::new(5, 4 << 20);
    let (report, data) = rooms.store(100_000, "3/5");
    let output = rooms.root.path().join("earlier");
    fs::write(&output, b"earlier").unwrap();
    let restore = || {
        let object = report.object.parse().unwrap();
        let output = Output::Path(output.clone());
        let request = RestoreRequest { object, output, range: None, resume: false };
        let stop = AtomicBool::new(false);
        rooms.gateway.restore(&request, Watch { progress: &mut |_| (), stop: &stop })
    };
    let files = [1, 2, 3].map(|x| rooms.share_file(&report, x));
    let good = files.each_ref().map(|file| fs::read(file).unwrap());
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    restore().unwrap_err();
    assert_eq!(fs::read(&output).unwrap(), b"earlier");
    fs::write(&files[1], &good[1]).unwrap();
    restore().unwrap();
    assert!(fs::read(&output).unwrap() == data);
}
