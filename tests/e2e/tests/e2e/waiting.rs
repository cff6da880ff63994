//! Work that waits for key: refused without a loss, queued durably, stored once key is there.

use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use warifu_e2e::{Backup, Lab, LabShape, Running, sample};

/// How long something that must come about is waited for.
const PATIENCE: Duration = Duration::from_secs(240);

fn lab(key_bytes: u64) -> Lab {
    Lab::new(LabShape { sites: 3, key_bytes, ..LabShape::default() })
}

fn files(lab: &Lab, count: u64, bytes: usize) -> Vec<(PathBuf, Vec<u8>)> {
    let file = |number: u64| {
        let data = sample(100 + number, bytes);
        (lab.file(&format!("f{number}"), &data), data)
    };
    (0..count).map(file).collect()
}

fn backup(lab: &Lab, files: &[(PathBuf, Vec<u8>)], more: &[&str]) -> Running {
    let paths = files.iter().map(|(path, _)| path.to_str().unwrap());
    let mut words = vec!["--json", "backup", "--individual", "P1", "--scheme", "2/3"];
    words.extend(["--compress", "none"]);
    words.extend(paths);
    words.extend(more);
    lab.spawn(&words)
}

fn queued(lab: &Lab) -> Vec<Value> {
    let rows = lab.ask(&["jobs", "list"]);
    let rows = rows.as_array().unwrap().iter();
    rows.filter(|row| !row["queue"].is_null()).cloned().collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Queues all and leaves them there: key covers none.
fn queue_all(lab: &Lab, files: &[(PathBuf, Vec<u8>)]) {
    let waiting = backup(lab, files, &["--wait"]);
    until("the queue", || queued(lab).len() == files.len());
    waiting.terminate();
    let done = waiting.wait().exits(143);
    assert_eq!(done.exit_line()["code"], 143);
    assert_eq!(queued(lab).len(), files.len(), "a stop leaves the queue");
    assert!(lab.listed().is_empty());
}

fn expect_all_back(lab: &Lab, files: &[(PathBuf, Vec<u8>)]) {
    let objects = lab.listed();
    assert_eq!(objects.len(), files.len(), "each is stored once");
    let mut back: Vec<Vec<u8>> = objects.iter().map(|id| lab.restore(id).1.unwrap()).collect();
    let mut wanted: Vec<Vec<u8>> = files.iter().map(|(_, data)| data.clone()).collect();
    back.sort();
    wanted.sort();
    assert!(back == wanted, "what comes back is what was queued");
}

#[test]
fn what_does_not_fit_is_refused_with_a_time_and_nothing_is_spent() {
    let lab = lab(4 << 20);
    let large = lab.file("large", &sample(9, 8 << 20));
    let short = lab.backup(Backup::of(&large, "2/3")).exits(7).exit_line();
    assert!(short["class"] == "key-budget" && short["retryable"] == false, "{short:#}");
    assert!(short["next"].as_str().unwrap().contains("no key arrives"), "{short:#}");
    assert!(short.get("retry_after_seconds").is_none(), "{short:#}");
    // A drive that came is a rate.
    (0..3).for_each(|site| lab.deliver(site, 1 << 20));
    let before = lab.ask(&["key", "status"]);
    assert!(before[0]["fill_bytes_per_day"].as_u64().is_some(), "{before:#}");
    let short = lab.backup(Backup::of(&large, "2/3")).exits(7).exit_line();
    assert_eq!(short["retryable"], true, "time helps: {short:#}");
    let days = short["retry_after_seconds"].as_u64().unwrap() / 86_400;
    assert!((1..60).contains(&days), "{short:#}");
    assert!(short["next"].as_str().unwrap().contains("it fits in about"), "{short:#}");
    assert_eq!(lab.ask(&["key", "status"]), before, "nothing is spent, not even on asking");
    assert!(lab.ask(&["jobs", "list"]).as_array().unwrap().is_empty());
    let picture = lab.path("forecast.svg");
    let words = ["key", "forecast", "--days", "30", "-o", picture.to_str().unwrap()];
    let forecast = lab.ask(&words);
    assert_eq!(forecast["pools"].as_array().unwrap().len(), 7, "{forecast:#}");
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));
}

#[test]
fn what_the_policy_keeps_out_is_not_counted_on() {
    let lab = Lab::new(LabShape { sites: 4, key_bytes: 4 << 20, ..LabShape::default() });
    (0..3).for_each(|site| lab.deliver(site, 12 << 20));
    let out = &lab.sites[0].name;
    let config = lab.gateway.join("config.toml");
    let policy = format!("\n[placement]\nexclude = [\"{out}\"]\n");
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &policy).unwrap();
    let large = vec![(lab.file("large", &sample(9, 8 << 20)), Vec::new())];
    let before = lab.ask(&["key", "status"]);
    let alone = lab.backup(Backup::of(&large[0].0, "2/3")).exits(7);
    assert!(alone.stderr.contains(&lab.sites[3].name), "{}", alone.stderr);
    assert_eq!(lab.ask(&["key", "status"]), before, "no site is asked for what can't be placed");
    queue_all(&lab, &large);
    let row = queued(&lab).remove(0);
    assert!(row["queue"]["shortfall"].is_string(), "{row:#}");
    assert_ne!(row["queue"]["fits_in_seconds"], 0, "{row:#}");
    assert_eq!(lab.ask(&["key", "status"]), before, "nor while it waits");
}

#[test]
fn half_of_a_batch_is_stored_and_a_worker_stores_the_rest_when_key_was_brought() {
    let lab = lab(5 << 20);
    (0..3).for_each(|site| lab.deliver(site, 1 << 20));
    let files = files(&lab, 4, 2_300_000);
    let done = backup(&lab, &files, &[]).wait().exits(3);
    let lines = done.lines();
    let summary = lines.last().unwrap();
    assert!(summary["stored"] == 2 && summary["failed"] == 2, "{summary:#}");
    let failed = done.exit_line()["failed"].as_array().unwrap().clone();
    assert!(failed.iter().all(|one| one["code"] == "key-short"), "{failed:#?}");
    assert_eq!(done.stderr.matches("it fits in about").count(), 2, "{}", done.stderr);
    // The same again waits for what is missing, and leaves it in the queue.
    let waiting = backup(&lab, &files, &["--wait"]);
    until("the rest", || queued(&lab).len() == 2);
    waiting.terminate();
    let _stopped = waiting.wait().exits(143);
    let rows = queued(&lab);
    let times: Vec<u64> =
        rows.iter().map(|row| row["queue"]["fits_in_seconds"].as_u64().unwrap()).collect();
    assert!(times[0] > 0 && times[0] <= times[1], "{rows:#?}");
    let status = lab.ask(&["status", "--offline"]);
    assert!(status["queued"] == 2 && status["queue_fits_in_seconds"] == times[1]);
    let once = lab.run(&["--json", "worker", "--once"]).ok();
    assert_eq!(once.lines()[0]["type"], "ready");
    assert_eq!(lab.listed().len(), 2, "without key nothing is stored");
    (0..3).for_each(|site| lab.deliver(site, 8 << 20));
    let once = lab.run(&["--json", "worker", "--once"]).ok();
    let lines = once.lines();
    assert_eq!(lines.iter().filter(|line| line["type"] == "object").count(), 2);
    assert!(lab.ask(&["jobs", "list"]).as_array().unwrap().is_empty());
    expect_all_back(&lab, &files);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_run_that_waits_goes_on_by_itself_when_key_comes() {
    let lab = lab(1 << 20);
    let files = files(&lab, 2, 2_000_000);
    let waiting = backup(&lab, &files, &["--wait"]);
    until("the queue", || queued(&lab).len() == 2);
    let id = queued(&lab)[0]["object"].as_str().unwrap().to_owned();
    let _paused = lab.run(&["jobs", "pause", &id]).ok();
    assert_eq!(lab.ask(&["jobs", "show", &id])["state"], "paused");
    (0..3).for_each(|site| lab.deliver(site, 12 << 20));
    until("the other one", || lab.listed().len() == 1);
    let _resumed = lab.run(&["jobs", "resume", &id[..8]]).ok();
    let done = waiting.wait().ok();
    assert_eq!(done.lines().last().unwrap()["stored"], 2);
    expect_all_back(&lab, &files);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn workers_that_race_and_are_killed_store_each_entry_once() {
    let lab = lab(1 << 20);
    let files = files(&lab, 6, 3_000_000);
    queue_all(&lab, &files);
    let taken_out = queued(&lab)[0]["object"].as_str().unwrap().to_owned();
    let _cancelled = lab.run(&["jobs", "cancel", &taken_out]).ok();
    assert_eq!(queued(&lab).len(), 5);
    queue_again(&lab, &files);
    (0..3).for_each(|site| lab.deliver(site, 96 << 20));
    let worker = || {
        let mut worker = lab.spawn(&["--json", "worker", "--jobs", "1"]);
        let ready: Value = serde_json::from_str(&worker.first_line()).unwrap();
        assert_eq!(ready["type"], "ready");
        worker
    };
    let (mut doomed, steady) = (worker(), worker());
    until("the first", || !lab.listed().is_empty());
    doomed.kill_nine();
    let _dead = doomed.wait();
    until("all", || lab.ask(&["jobs", "list"]).as_array().unwrap().is_empty());
    steady.terminate();
    let _ended = steady.wait().ok();
    expect_all_back(&lab, &files);
    let _summary = lab.expect_key_used_once();
}

/// Gives the same again: what is queued is not queued twice.
fn queue_again(lab: &Lab, files: &[(PathBuf, Vec<u8>)]) {
    let waiting = backup(lab, files, &["--wait"]);
    until("the queue", || queued(lab).len() == files.len());
    waiting.terminate();
    let _stopped = waiting.wait().exits(143);
    assert_eq!(queued(lab).len(), files.len());
}

#[test]
fn what_can_never_be_stored_is_held_back_and_said() {
    let lab = lab(1 << 20);
    let files = files(&lab, 2, 2_000_000);
    queue_all(&lab, &files);
    let alarms = lab.ask(&["status", "--offline"])["alarms"].clone();
    let told = alarms.as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap());
    assert!(told.into_iter().any(|what| what.contains("2 of 2 queued backups never fit")));
    std::fs::remove_file(&files[0].0).unwrap();
    (0..3).for_each(|site| lab.deliver(site, 12 << 20));
    let _failed = lab.run(&["--json", "worker", "--once"]).exits(3);
    let rows = queued(&lab);
    assert!(rows.len() == 1 && rows[0]["state"] == "failed", "{rows:#?}");
    // Back again, it is tried again where the operator says so.
    std::fs::write(&files[0].0, &files[0].1).unwrap();
    let _once = lab.run(&["worker", "--once"]).ok();
    assert_eq!(lab.listed().len(), 1);
    let id = rows[0]["object"].as_str().unwrap();
    let _released = lab.run(&["jobs", "resume", id]).ok();
    let _once = lab.run(&["worker", "--once"]).ok();
    expect_all_back(&lab, &files);
    let _refused = lab.run(&["backup", "-", "--individual", "P1", "--wait"]).exits(2);
}
