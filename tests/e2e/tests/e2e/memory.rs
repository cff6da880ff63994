//! Jobs at once, compressors and all, stay under the memory ceiling that was given.

use std::fs;
use warifu_e2e::{Lab, LabShape, sample};

/// All of it: program text, catalog and threads are within the ceiling too.
const LIMIT_BYTES: u64 = 128 << 20;

const FILES: usize = 16;
const FILE_BYTES: usize = 8 << 20;

/// Reads of a sequencer, as far as a compressor sees: a third is left of them.
fn reads(seed: u64) -> Vec<u8> {
    let mut data = sample(seed, FILE_BYTES);
    data.iter_mut().for_each(|byte| *byte = b"ACGT"[usize::from(*byte & 3)]);
    data
}

#[test]
fn jobs_and_compressors_share_one_ceiling() {
    let lab = Lab::new(LabShape { sites: 3, key_bytes: 128 << 20, ..LabShape::default() });
    let folder = lab.path("data");
    fs::create_dir(&folder).unwrap();
    for number in 0..FILES {
        fs::write(folder.join(format!("f{number:02}")), reads(number as u64)).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let words = ["--json", "backup", folder, "--individual", "P1", "--scheme", "2/3"];
    let more = ["--compress", "zstd", "--jobs", "32", "--memory-limit", "128MiB"];
    let done = lab.run(&[&words[..], &more].concat()).ok();
    println!("32 jobs under 128 MiB: {} MiB at most", done.peak_bytes >> 20);
    assert!(done.peak_bytes <= LIMIT_BYTES, "{} bytes", done.peak_bytes);
    let summary = done.lines().pop().unwrap();
    assert_eq!((&summary["stored"], &summary["failed"]), (&FILES.into(), &0.into()));
    let object = lab.listed().pop().unwrap();
    let (done, data) = lab.restore(&object);
    println!("a restore: {} MiB at most", done.peak_bytes >> 20);
    assert_eq!(data.unwrap().len(), FILE_BYTES);
}
