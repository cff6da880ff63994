//! Compression saves key where there is something to save, and leaves the rest as it is.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use warifu_e2e::{Backup, Dice, Lab, LabShape, sample};

fn lab() -> Lab {
    Lab::new(LabShape { sites: 3, key_bytes: 96 << 20, ..LabShape::default() })
}

fn backup(lab: &Lab, file: &Path, more: &[&str]) -> Value {
    lab.backup(Backup { more, ..Backup::of(file, "2/3") }).ok().json()
}

fn key_bytes(report: &Value) -> u64 {
    let shares = report["shares"].as_array().unwrap().iter();
    shares.map(|share| share["key_bytes"].as_u64().unwrap()).sum()
}

fn expect_back(lab: &Lab, report: &Value, data: &[u8]) {
    lab.expect_back(report["object"].as_str().unwrap(), data);
}

/// Reads of a sequencer as art_illumina simulates one, from a reference of a million bases drawn
/// for the test. None, and a line that says so, where that program is missing.
#[expect(clippy::print_stdout, reason = "what could not be tested is said")]
fn simulated_reads(lab: &Lab) -> Option<PathBuf> {
    let mut dice = Dice::new(40);
    let bases = (0..1_000_000).map(|_| b"ACGT"[dice.below(4) as usize]).collect::<Vec<u8>>();
    let lines: Vec<&[u8]> = bases.chunks(70).collect();
    let reference = lab.file("reference.fa", &[b">r\n", &lines.join(&b'\n')[..], b"\n"].concat());
    let prefix = lab.path("reads");
    let mut art = Command::new("art_illumina");
    art.args(["-ss", "HSXt", "-l", "150", "-f", "8", "-rs", "7", "-na", "-i"]).arg(reference);
    match art.arg("-o").arg(&prefix).stdout(Stdio::null()).status() {
        Ok(status) => assert!(status.success(), "art_illumina: {status}"),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "art_illumina: {error}");
            println!("skipped: no art_illumina, of the package art-nextgen-simulation-tools");
            return None;
        }
    }
    Some(prefix.with_extension("fq"))
}

#[test]
fn simulated_reads_take_half_the_key_at_most() {
    let lab = lab();
    let Some(reads) = simulated_reads(&lab) else { return };
    let data = fs::read(&reads).unwrap();
    let plain = backup(&lab, &reads, &["--compress", "none"]);
    for how in [&["--compress", "auto"][..], &["--compress", "zstd"], &[]] {
        let compressed = backup(&lab, &reads, how);
        let ratio = key_bytes(&compressed) as f64 / key_bytes(&plain) as f64;
        println!("FASTQ of {} bytes, {how:?}: {ratio:.3} of the key", data.len());
        assert!(2 * key_bytes(&compressed) <= key_bytes(&plain), "{ratio}");
        assert_eq!(compressed["bytes"], data.len());
        expect_back(&lab, &compressed, &data);
    }
}

#[test]
fn what_is_compressed_already_is_left_as_it_is() {
    let lab = lab();
    // The first block of every BAM; what follows would compress, and is not even tried.
    let block = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0";
    let bam = [&block[..], &b"ACGT".repeat(400_000)].concat();
    for (name, data) in [("a.bam", bam), ("noise", sample(41, 1_600_000))] {
        let file = lab.file(name, &data);
        let report = backup(&lab, &file, &[]);
        let stored_bytes = report["stored_bytes"].as_u64().unwrap();
        let bytes = data.len() as u64;
        assert!((bytes..bytes + 8192).contains(&stored_bytes), "{name}: {report}");
        expect_back(&lab, &report, &data);
    }
}

#[test]
fn a_padded_length_is_coarse_and_the_same_for_close_ones() {
    let lab = lab();
    let stored = |bytes: usize| {
        let data = sample(42, bytes);
        let report = backup(&lab, &lab.file("in", &data), &["--pad"]);
        expect_back(&lab, &report, &data);
        report["stored_bytes"].as_u64().unwrap()
    };
    assert_eq!([0, 1, 60_000].map(stored), [64 << 10; 3]);
    assert_eq!(stored(4_000_001), stored(4_060_000));
}

/// Key for a third of the file: planned for as long as it may get, it does not fit; counted, it
/// does. What is reserved for a restore is for what was stored.
#[test]
fn a_file_that_fits_only_when_it_is_compressed_is_counted_first() {
    let lab = Lab::new(LabShape { sites: 3, key_bytes: 8 << 20, ..LabShape::default() });
    let mut data = sample(43, 8 << 20);
    data.iter_mut().for_each(|byte| *byte = b"ACGT"[usize::from(*byte & 3)]);
    let file = lab.file("in", &data);
    let none = Backup { more: &["--compress", "none"], ..Backup::of(&file, "2/3") };
    let _short = lab.backup(none).exits(7);
    let plan = backup(&lab, &file, &["--dry-run"]);
    let report = backup(&lab, &file, &[]);
    let stored_bytes = report["stored_bytes"].as_u64().unwrap();
    assert!(stored_bytes < 3 << 20);
    assert_eq!(plan["stored_bytes"], stored_bytes, "counted to the byte");
    let reserved = lab.pool("s0/from")["bytes_reserved_for_restore"].as_u64().unwrap();
    assert!((stored_bytes..stored_bytes + (1 << 20)).contains(&reserved), "{reserved}");
    expect_back(&lab, &report, &data);
}
