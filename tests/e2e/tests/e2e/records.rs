//! What is known of what was stored before, and what a batch takes of the random pool.

use serde_json::Value;
use std::fs;
use std::path::Path;
use warifu_e2e::{Backup, Done, Lab, LabShape, Running, sample};

const MIB: u64 = 1 << 20;

/// A gateway with three folders as sites, in its own room.
fn rooms(random_bytes: u64) -> Lab {
    let lab = Lab::new(LabShape { sites: 0, random_bytes, ..LabShape::default() });
    for site in ["a", "b", "c"] {
        let url = format!("file://{}", lab.path(site).display());
        let _added = lab.run(&["site", "add", site, &url]).ok();
    }
    lab
}

fn texts(lab: &Lab, count: usize, bytes: usize) -> String {
    let folder = lab.path("data");
    fs::create_dir(&folder).unwrap();
    for number in 0..count {
        let line = format!("chr1\t{number}\tACGTACGTTTGACA\n");
        let text = line.repeat(bytes / line.len());
        fs::write(folder.join(format!("f{number}")), text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

fn batch(lab: &Lab, folder: &str, more: &[&str]) -> Running {
    batch_at(lab, folder, "2/3", more)
}

fn batch_at(lab: &Lab, folder: &str, scheme: &str, more: &[&str]) -> Running {
    let words = ["--json", "backup", folder, "--individual", "P1", "--scheme", scheme];
    lab.spawn(&[&words[..], more].concat())
}

fn counts(done: &Done) -> [u64; 3] {
    let lines = done.lines();
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "summary", "{last}");
    ["stored", "skipped", "failed"].map(|count| last[count].as_u64().unwrap())
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap()
}

#[test]
fn parallel_compressed_objects_take_random_numbers_by_what_they_become() {
    // Each may take 12 MiB and its masks, and takes a small part of that; two fit at a time.
    let lab = rooms(64 * MIB);
    let folder = texts(&lab, 12, 12 * MIB as usize);
    let done = batch(&lab, &folder, &["--compress", "zstd", "--jobs", "4"]).wait().ok();
    assert_eq!(counts(&done), [12, 0, 0], "{}", done.stderr);
    let lines = done.lines();
    let drawn = number(lines.last().unwrap(), "random_bytes");
    let pool = lab.pool("random");
    assert_eq!(number(&pool, "bytes_left"), 64 * MIB - drawn, "none burned: {pool}");
    let _audited = lab.expect_key_used_once();
}

#[test]
fn what_was_stored_alone_or_resumed_is_skipped_by_a_batch_that_asks_for_the_same() {
    let lab = rooms(64 * MIB);
    let folder = texts(&lab, 2, 4000);
    let file = Path::new(&folder).join("f0");
    let first = lab.store(&file, "2/3");
    let done = batch(&lab, &folder, &[]).wait().ok();
    assert_eq!(counts(&done), [1, 1, 0]);
    assert!(done.lines().iter().any(|line| line["object"] == first.as_str()));
    // Otherwise compressed or padded, it is another.
    assert_eq!(counts(&batch(&lab, &folder, &["--pad"]).wait().ok()), [2, 0, 0]);
    assert_eq!(counts(&batch(&lab, &folder, &["--pad=yes"]).wait().ok()), [0, 2, 0]);
    assert_eq!(counts(&batch(&lab, &folder, &["--pad=no"]).wait().ok()), [0, 2, 0]);
    assert_eq!(counts(&batch(&lab, &folder, &["--compress", "none"]).wait().ok()), [2, 0, 0]);
    // A single file that is named is stored, and the second copy is told.
    let file = file.to_str().unwrap();
    let words = ["backup", file, "--individual", "P1", "--scheme", "2/3"];
    let again = lab.run(&words).ok();
    assert!(again.stderr.contains(&format!("stored before as {first}")), "{}", again.stderr);
    let _told = lab.run(&["backup", "--forget", "--dry-run"]).ok();
    assert!(lab.gateway.join("batches.log").exists());
    let _erased = lab.run(&["backup", "--forget"]).ok();
    let third = lab.run(&words).ok();
    assert!(!third.stderr.contains("stored before"), "{}", third.stderr);
}

#[test]
fn two_batches_at_once_store_everything_once() {
    let lab = rooms(64 * MIB);
    let folder = texts(&lab, 12, 300_000);
    let runs = [batch(&lab, &folder, &["--jobs", "3"]), batch(&lab, &folder, &["--jobs", "3"])];
    let done = runs.map(|run| run.wait().ok());
    let [one, other] = [counts(&done[0]), counts(&done[1])];
    assert_eq!((one[0] + other[0], one[1] + other[1]), (12, 12), "{one:?} {other:?}");
    assert_eq!(lab.listed().len(), 12);
}

#[test]
fn the_vault_itself_is_never_stored() {
    let lab = rooms(MIB);
    let vault = &lab.gateway;
    let folder = vault.join("keys");
    assert!(folder.is_dir());
    std::os::unix::fs::symlink(&folder, lab.path("link")).unwrap();
    for path in [folder, lab.path("link"), vault.clone()] {
        let done = batch(&lab, path.to_str().unwrap(), &[]).wait();
        assert_eq!(counts(&done), [0, 0, 0], "{}", path.display());
    }
    std::os::unix::fs::symlink(vault.join("catalog.db"), lab.path("other")).unwrap();
    for path in [vault.join("catalog.db"), lab.path("other")] {
        let refused = lab.backup(Backup::of(&path, "2/3")).exits(2);
        assert!(refused.stderr.contains("source-in-vault"), "{}", refused.stderr);
        let planned = Backup { more: &["--dry-run"], ..Backup::of(&path, "2/3") };
        let _refused = lab.backup(planned).exits(2);
    }
    assert!(lab.listed().is_empty());
}

#[test]
fn a_witnessed_pool_burns_no_more_than_a_step_for_each_thread() {
    let lab = Lab::new(LabShape {
        sites: 1,
        random_bytes: 160 * MIB,
        key_bytes: 48 * MIB,
        ..LabShape::default()
    });
    for site in ["a", "b", "c"] {
        let url = format!("file://{}", lab.path(site).display());
        let zones = ["--zone", site, "--domain", site];
        let _added = lab.run(&[&["site", "add", site, &url][..], &zones].concat()).ok();
    }
    let folder = texts(&lab, 6, 20 * MIB as usize);
    // One of two pads lies in this room, so it is drawn from the random pool.
    let more = ["--compress", "zstd", "--jobs", "1"];
    let done = batch_at(&lab, &folder, "3/4", &more).wait().ok();
    assert_eq!(counts(&done), [6, 0, 0], "{}", done.stderr);
    let drawn = number(done.lines().last().unwrap(), "random_bytes");
    let left = number(&lab.pool("random"), "bytes_left");
    assert!(left + drawn + 20 * MIB > 160 * MIB, "{left} left, {drawn} drawn");
    let data = fs::read(Path::new(&folder).join("f3")).unwrap();
    let objects = done.lines();
    let object = objects.iter().find(|line| line["path"].as_str().unwrap_or("").ends_with("f3"));
    lab.expect_back(object.unwrap()["object"].as_str().unwrap(), &data);
    // What does not get shorter takes several steps.
    let noise = sample(3, 40 * MIB as usize);
    let object = lab.store(&lab.file("noise", &noise), "3/4");
    assert!(number(&lab.pool("random"), "bytes_left") + 40 * MIB < left, "it was drawn");
    lab.expect_back(&object, &noise);
    let _audited = lab.expect_key_used_once();
}
