//! Large objects: what they cost in key, bytes and memory. Long.

use serde_json::Value;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use warifu_e2e::{Backup, Dice, Done, Lab, LabShape};

const GIB: u64 = 1 << 30;
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// Writes a large file that follows from `seed`.
fn write_large(path: &Path, seed: u64, bytes: u64) {
    let mut dice = Dice::new(seed);
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    for _ in 0..bytes / 8 {
        file.write_all(&dice.roll().to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

fn expect_same(one: &Path, other: &Path) {
    let open = |path: &Path| BufReader::with_capacity(1 << 20, std::fs::File::open(path).unwrap());
    let (mut one, mut other) = (open(one), open(other));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut left).unwrap();
        if count == 0 {
            assert_eq!(other.read(&mut right).unwrap(), 0, "it is longer");
            return;
        }
        other.read_exact(&mut right[..count]).unwrap();
        assert!(left[..count] == right[..count], "it differs");
    }
}

fn sum(report: &Value, field: &str) -> u64 {
    let shares = report["shares"].as_array().unwrap();
    shares.iter().map(|share| share[field].as_u64().unwrap()).sum()
}

fn restore_large(lab: &Lab, object: &str, original: &Path) -> Done {
    let output = lab.path("out");
    let words = ["--json", "restore", object, "-o", output.to_str().unwrap()];
    let done = lab.run(&words).ok();
    expect_same(original, &output);
    std::fs::remove_file(output).unwrap();
    done
}

#[test]
#[ignore = "long"]
fn a_gibibyte_costs_what_the_construction_says() {
    let shape = LabShape { key_bytes: 1200 << 20, lease_bytes: None, ..LabShape::default() };
    let mut lab = Lab::new(shape);
    let path = lab.path("in");
    write_large(&path, 40, GIB);
    let done = lab.backup(Backup::of(&path, "3/5")).ok();
    let report = done.json();
    let stored_bytes = report["stored_bytes"].as_u64().unwrap() as f64;
    let (key, sent) = (sum(&report, "key_bytes"), sum(&report, "sent_bytes"));
    let random_bytes = report["random_bytes"].as_u64().unwrap();
    println!(
        "1 GiB at 3/5: key {:.5}, sent {:.5} of what is stored; {random_bytes} random bytes; \
         {} MiB at most; {:.1} s",
        key as f64 / stored_bytes,
        sent as f64 / stored_bytes,
        done.peak_bytes >> 20,
        report["seconds"].as_f64().unwrap()
    );
    assert!(key as f64 <= 5.01 * stored_bytes, "key: {report}");
    assert!(sent as f64 <= 3.01 * stored_bytes, "sent: {report}");
    assert!(random_bytes <= 16 << 10, "random numbers: {report}");
    assert!(done.peak_bytes <= MEMORY_BYTES_MAX, "memory: {}", done.peak_bytes);
    lab.sites[0].burn();
    lab.sites[2].burn();
    let object = report["object"].as_str().unwrap();
    let restored = restore_large(&lab, object, &path);
    println!("restore: {} MiB at most", restored.peak_bytes >> 20);
    assert!(restored.peak_bytes <= MEMORY_BYTES_MAX, "memory: {}", restored.peak_bytes);
}

#[test]
#[ignore = "long"]
fn memory_does_not_grow_with_the_object() {
    let lab = Lab::new(LabShape { sites: 0, random_bytes: 6 * GIB, ..LabShape::default() });
    for number in 0..3 {
        let (name, folder) = (format!("room-{number}"), lab.path(&format!("store-{number}")));
        let url = format!("file://{}", folder.display());
        let words = ["site", "add", &name, &url, "--zone", &name, "--domain", &name];
        let _added = lab.run(&[&words[..], &["--channel", "local"]].concat()).ok();
    }
    let peak_bytes = |bytes: u64| {
        let path = lab.path("in");
        write_large(&path, bytes, bytes);
        let done = lab.backup(Backup::of(&path, "2/3")).ok();
        let object = done.json()["object"].as_str().unwrap().to_owned();
        (done.peak_bytes, restore_large(&lab, &object, &path).peak_bytes)
    };
    let (small, large) = (peak_bytes(GIB), peak_bytes(4 * GIB));
    println!("peak memory in bytes, backup and restore: 1 GiB {small:?}, 4 GiB {large:?}");
    for (small, large) in [(small.0, large.0), (small.1, large.1)] {
        assert!(large as f64 <= 1.1 * small as f64, "{small} and {large}");
        assert!(large <= MEMORY_BYTES_MAX);
    }
}
