//! What lies on media says nothing of the plaintext, its padded length aside: neither its bytes,
//! nor its digest, name, time or length; and no two shares have a block in common.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use warifu_core::share_file::{ShareHeader, SlotClass};
use warifu_vault::ObjectReport;

const MARK: &[u8; 16] = b"GATTACA-marker-1";
const NAME: &str = "kuchisake-onna.bam";
/// Long enough that its four bytes in the catalog would be no coincidence; no multiple of a page.
const DATA_BYTES: usize = 9_000_001;

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn nothing_on_any_medium_tells_bytes_digest_name_time_or_length() {
    let rooms = Rooms::new(5, 40 << 20);
    let data: Vec<u8> = MARK.iter().copied().cycle().take(DATA_BYTES).collect();
    let path = rooms.root.path().join(NAME);
    fs::write(&path, &data).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let modified_ns = modified.duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let report = rooms.store_file(&path, "3/5");
    let (_, back) = rooms.restore(&report.object).unwrap();
    assert!(back == data);
    fs::remove_file(&path).unwrap();
    let mut files = Vec::new();
    files_below(rooms.root.path(), &mut files);
    assert!(files.len() > 8 && files.iter().any(|file| file.ends_with("catalog.db")));
    let digest = blake3::hash(&data);
    let bytes = DATA_BYTES as u64;
    for file in files {
        let content = fs::read(&file).unwrap();
        let told = file.display();
        assert!(!holds(&content, &MARK[..8]) && !holds(&content, &MARK[8..]), "data in {told}");
        assert!(!holds(&content, &digest.as_bytes()[..8]), "digest in {told}");
        assert!(!holds(&content, &digest.to_hex().as_bytes()[..16]), "digest in {told}");
        assert!(!holds(&content, NAME.as_bytes()), "name in {told}");
        assert!(!holds(&content, &bytes.to_le_bytes()), "length in {told}");
        assert!(!holds(&content, &modified_ns.to_le_bytes()), "time in {told}");
        assert!(!holds(&content, &modified_ns.to_be_bytes()), "time in {told}");
        assert!(!holds(&content, bytes.to_string().as_bytes()), "length in {told}");
        if file.ends_with("catalog.db") {
            assert!(!holds(&content, &(DATA_BYTES as u32).to_be_bytes()), "length in {told}");
        }
    }
}

/// The blocks of all slots of a share.
fn blocks(rooms: &Rooms, report: &ObjectReport, x: u8) -> Vec<[u8; 16]> {
    let image = fs::read(rooms.share_file(report, x)).unwrap();
    let header = ShareHeader::decode(image.first_chunk().unwrap()).unwrap();
    let mut blocks = Vec::new();
    for index in 0..header.geometry.chunk_count() {
        let start = header.slot_offset(SlotClass::Data, index).unwrap() as usize;
        let end = header.foot_offset(SlotClass::Data, index).unwrap() as usize;
        blocks.extend_from_slice(image[start..end].as_chunks().0);
        blocks.push(*image[end + 32..].first_chunk().unwrap());
    }
    let capsule = header.capsule_offset() as usize;
    let capsule = &image[capsule..capsule + header.capsule_bytes() as usize];
    blocks.extend_from_slice(capsule.as_chunks().0);
    blocks
}

/// Twice the same file, all of it one byte, and another: a random number used twice would show as a
/// block that stands twice.
#[test]
fn no_block_of_any_share_occurs_twice() {
    let rooms = Rooms::new(5, 24 << 20);
    let path = rooms.root.path().join("in");
    fs::write(&path, vec![b'A'; (1 << 20) + 70_000]).unwrap();
    let mut seen = HashSet::new();
    let mut all = 0;
    let twice = [(); 2].map(|()| rooms.store_file(&path, "3/5"));
    let (other, _) = rooms.store(70_000, "2/4");
    for report in twice.iter().chain([&other]) {
        for x in 1..=report.n {
            let blocks = blocks(&rooms, report, x);
            all += blocks.len();
            seen.extend(blocks);
        }
        rooms.restore(&report.object).unwrap();
    }
    assert!(all > 10 * (1 << 16));
    assert_eq!(seen.len(), all);
}
