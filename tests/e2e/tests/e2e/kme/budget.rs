//! What key covers is stored, and what it does not cover waits for the KME.

use super::{QUICK, lab, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use warifu_e2e::{Backup, Kme, Lab, Running, sample};

/// How fast the KME makes key for each link: so that it arrives while something waits.
const RATE: [&str; 4] = ["--rate", "64000000", "--initial", "1048576"];

fn attach(lab: &mut Lab) -> Kme {
    Kme::attach(lab, &[&QUICK[..], &RATE].concat(), "segment_bytes = \"256KiB\"")
}

/// Lets a little come, so that there is a rate; then the KME has nothing.
fn learn_rate(lab: &Lab, kme: &Kme) {
    let _fetched = lab.run(&["key", "fetch", "--bytes", "4MiB"]).ok();
    kme.fault("a", &["status-503", "1"]);
}

#[test]
fn a_backup_beyond_the_budget_is_refused_with_a_time_and_waits_for_a_kme_if_asked_to() {
    let mut lab = lab(3, 10 << 20);
    let kme = attach(&mut lab);
    let data = sample(50, 12 << 20);
    let large = lab.file("large", &data);
    learn_rate(&lab, &kme);
    let before = lab.ask(&["key", "status"]);
    let done = lab.backup(Backup::of(&large, "2/3")).exits(7);
    let line = done.exit_line();
    assert!(line["class"] == "key-budget" && line["retryable"] == true, "{line:#}");
    assert!(line["retry_after_seconds"].as_u64().is_some_and(|time| time > 0), "{line:#}");
    assert!(line["next"].as_str().unwrap().contains("it fits in about"), "{line:#}");
    assert_eq!(lab.ask(&["key", "status"]), before, "nothing is spent");
    assert!(lab.ask(&["jobs", "list"]).as_array().unwrap().is_empty());
    let waiting = lab.spawn_backup(Backup { more: &["--wait"], ..Backup::of(&large, "2/3") });
    until("the queue", || !lab.ask(&["jobs", "list"]).as_array().unwrap().is_empty());
    assert!(lab.listed().is_empty());
    // What waits fetches by itself.
    kme.fault("a", &["none"]);
    let _stored = waiting.wait().ok();
    let objects = lab.listed();
    assert_eq!(objects.len(), 1);
    lab.expect_back(&objects[0], &data);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn what_was_stored_until_key_ran_out_comes_back_whole() {
    let mut lab = lab(3, 2 << 20);
    let _kme = attach(&mut lab);
    let _fetched = lab.run(&["key", "fetch", "--watermark", "6MiB"]).ok();
    let mut stored = Vec::new();
    loop {
        let data = sample(60 + stored.len() as u64, 600_000);
        let path = lab.file("in", &data);
        let done = lab.backup(Backup { more: &["--compress", "none"], ..Backup::of(&path, "2/3") });
        if done.code != 0 {
            let line = done.exits(7).exit_line();
            assert_eq!(line["class"], "key-budget");
            break;
        }
        stored.push((done.json()["object"].as_str().unwrap().to_owned(), data));
    }
    assert!(stored.len() >= 4, "{} fit", stored.len());
    for (object, data) in &stored {
        lab.expect_back(object, data);
    }
    let _summary = lab.expect_key_used_once();
}

#[test]
fn half_of_a_manifest_is_stored_and_the_rest_when_the_kme_delivers() {
    let mut lab = lab(3, 12 << 20);
    let kme = attach(&mut lab);
    learn_rate(&lab, &kme);
    let data: BTreeMap<String, Vec<u8>> =
        (0..6).map(|number| (format!("f{number}"), sample(70 + number, 3_000_000))).collect();
    let waiting = give_manifest(&lab, &data);
    let waits = |row: &Value| row["queue"]["fits_in_seconds"].as_u64().is_some_and(|time| time > 0);
    until("the half that key covers", || {
        let (listed, left) = (lab.listed().len(), queued(&lab));
        listed > 0 && listed + left.len() == data.len() && left.iter().all(waits)
    });
    waiting.terminate();
    let done = waiting.wait().exits(143);
    assert_eq!(done.exit_line()["code"], 143);
    let (first, rest) = (lab.listed().len(), queued(&lab).len());
    assert!((2..=4).contains(&first) && first + rest == 6, "{first} of 6 were covered");
    let mut worker = lab.spawn(&["--json", "worker"]);
    let _ready = worker.first_line();
    kme.fault("a", &["none"]);
    until("an empty queue", || queued(&lab).is_empty() && lab.listed().len() == data.len());
    worker.terminate();
    let _ended = worker.wait().ok();
    let mut back: Vec<_> = lab.listed().iter().map(|id| lab.restore(id).1.unwrap()).collect();
    let mut wanted: Vec<_> = data.into_values().collect();
    back.sort();
    wanted.sort();
    assert!(back == wanted, "each file is stored once and comes back");
    let _summary = lab.expect_key_used_once();
}

/// Begins to store these files as a table names them, the rest to wait.
fn give_manifest(lab: &Lab, data: &BTreeMap<String, Vec<u8>>) -> Running {
    let mut table = String::from("path\tindividual\tscheme\tcompress\n");
    for (name, bytes) in data {
        let _path: PathBuf = lab.file(name, bytes);
        table += &format!("{name}\tP1\t2/3\tnone\n");
    }
    let table = lab.file("table.tsv", table.as_bytes());
    lab.spawn(&["--json", "backup", "--manifest", table.to_str().unwrap(), "--wait"])
}

fn queued(lab: &Lab) -> Vec<Value> {
    let rows = lab.ask(&["jobs", "list"]);
    rows.as_array().unwrap().iter().filter(|row| !row["queue"].is_null()).cloned().collect()
}
