//! A range of an object takes the chunks that hold it and no others, counted on the wire.

use std::fs;
use warifu_e2e::{Backup, Lab, LabShape, sample};

const MIB: u64 = 1 << 20;

/// A frame that answers with a chunk is longer than this; everything else is far shorter.
const CHUNK_ANSWER_MIN_BYTES: u32 = 600_000;

/// Chunks that each site has sent so far, in the order of the sites.
fn chunks_sent(lab: &Lab) -> Vec<usize> {
    let sent = |recorded: &[u8]| {
        // Behind the hello, 80 bytes, there are frames: header, payload, tag.
        let (mut at, mut chunks) = (80, 0);
        while let Some(length) = recorded.get(at + 56..at + 60) {
            let payload_bytes = u32::from_le_bytes(length.try_into().unwrap());
            chunks += usize::from(payload_bytes >= CHUNK_ANSWER_MIN_BYTES);
            at += 64 + payload_bytes as usize + 16;
        }
        chunks
    };
    let of_site = |site: &warifu_e2e::Site| {
        let captures = site.proxy().captures();
        captures.iter().map(|capture| sent(&fs::read(&capture.down).unwrap())).sum()
    };
    lab.sites.iter().map(of_site).collect()
}

/// Asks for a range; the bytes, the report, and how many chunks each site sent for it.
fn range(lab: &Lab, object: &str, from: u64, to: u64) -> (Vec<u8>, Vec<usize>) {
    let before = chunks_sent(lab);
    let output = lab.path("part");
    let text = format!("{from}-{to}");
    let words = ["restore", object, "-o", output.to_str().unwrap(), "--range", &text];
    let report = lab.ask(&words);
    assert_eq!(report["bytes"], to - from);
    assert_eq!(report["range"], serde_json::json!([from, to]));
    let sent = chunks_sent(lab).into_iter().zip(before).map(|(now, before)| now - before);
    (fs::read(output).unwrap(), sent.collect())
}

/// `MIB` bytes anywhere in an object of `mib` of them: `most` chunks at each of the two sites that
/// are asked.
fn expect_few_chunks(mib: u64, compress: &str, most: usize) {
    let key_bytes = (mib + mib / 16 + 64) << 20;
    let shape = LabShape { sites: 3, key_bytes, proxied: true, ..LabShape::default() };
    let lab = Lab::new(shape);
    let mut data = sample(20, (mib * MIB) as usize);
    if compress == "zstd" {
        data.iter_mut().for_each(|byte| *byte = b"ACGTN\n"[usize::from(*byte) % 6]);
    }
    let file = lab.file("in", &data);
    let backup = Backup { more: &["--compress", compress], ..Backup::of(&file, "2/3") };
    let report = lab.backup(backup).ok().json();
    let object = report["object"].as_str().unwrap();
    let middle = mib / 2 * MIB;
    let last = mib * MIB - MIB;
    for from in [0, middle, middle - 300, middle + MIB / 2, last] {
        let (bytes, sent) = range(&lab, object, from, from + MIB);
        assert!(bytes == data[from as usize..(from + MIB) as usize], "from {from}");
        let asked: Vec<usize> = sent.into_iter().filter(|chunks| *chunks > 0).collect();
        assert_eq!(asked.len(), 2, "two of three sites are asked");
        assert!(asked.iter().all(|chunks| *chunks <= most), "from {from}: {asked:?} chunks");
    }
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_mebibyte_takes_three_chunks_of_a_site() {
    expect_few_chunks(12, "none", 3);
}

#[test]
fn a_mebibyte_of_what_is_compressed_takes_three_chunks_too() {
    expect_few_chunks(24, "zstd", 3);
}

#[test]
#[ignore = "long"]
fn a_mebibyte_of_a_gibibyte_takes_three_chunks() {
    expect_few_chunks(1024, "none", 3);
    expect_few_chunks(1024, "zstd", 3);
}

#[test]
fn ranges_end_at_the_end_and_go_to_standard_output() {
    let lab = Lab::new(LabShape { sites: 3, key_bytes: 32 << 20, ..LabShape::default() });
    let data = sample(21, 2_500_000);
    let object = lab.store(&lab.file("in", &data), "2/3");
    let beyond = |range: &str| {
        let output = lab.path("beyond");
        let words = ["--json", "restore", &object, "-o", output.to_str().unwrap()];
        let done = lab.run(&[&words[..], &["--range", range]].concat()).exits(2);
        assert!(done.stderr.contains("2500000"), "{}", done.stderr);
        assert_eq!(done.exit_line()["class"], "usage");
        assert!(!output.exists());
    };
    ["2499999-2500001", "2500000-2500001", "2500000-", "3GB-"].into_iter().for_each(beyond);
    let done = lab.run(&["--json", "restore", &object, "-o", "-", "--range", "2MiB-"]).ok();
    assert!(done.stdout == data[2 << 20..]);
    let done = lab.run(&["restore", &object, "-o", "-", "--range", "1kB-1001"]).ok();
    assert!(done.stdout == data[1000..1001]);
    let _nameless = lab.run(&["restore", &object, "--range", "0-1"]).exits(2);
}

/// Key for a few chunks suffices for a range, though not for the whole.
#[test]
fn a_range_asks_for_key_of_its_own_chunks_only() {
    let lab = Lab::new(LabShape { sites: 3, key_bytes: 30 << 20, ..LabShape::default() });
    let data = sample(22, 16 << 20);
    let object = lab.store(&lab.file("in", &data), "2/3");
    lab.expect_back(&object, &data);
    let (done, _) = lab.restore(&object);
    // The first restore took from two of the three: at most one more has key for the whole.
    assert_eq!(done.exits(7).exit_line()["class"], "key-budget");
    let output = lab.path("part");
    let words = ["restore", &object, "-o", output.to_str().unwrap(), "--range", "8MiB-9MiB"];
    let _report = lab.ask(&words);
    assert!(fs::read(output).unwrap() == data[8 << 20..9 << 20]);
}
