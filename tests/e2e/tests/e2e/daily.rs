//! What an operator types every day: nothing of it spends what it should not, and what it says is
//! so.

use serde_json::Value;
use std::time::Duration;
use warifu_e2e::{Backup, Lab, LabShape, sample};

fn sum(report: &Value, field: &str) -> u64 {
    let sites = report["sites"].as_array().unwrap();
    sites.iter().map(|site| site[field].as_u64().unwrap()).sum()
}

/// What the pools say, without the sites' end.
fn pools(lab: &Lab) -> Value {
    lab.ask(&["key", "status"])
}

fn lab(key_bytes: u64) -> Lab {
    Lab::new(LabShape { sites: 3, key_bytes, ..LabShape::default() })
}

#[test]
fn an_offline_estimate_spends_nothing_and_bounds_what_the_backup_takes() {
    let lab = lab(24 << 20);
    let data = sample(21, 5_000_000);
    let path = lab.file("in", &data);
    let text = path.to_str().unwrap();
    let before = pools(&lab);
    let offline = lab.ask(&["estimate", text, "--scheme", "2/3", "--offline"]);
    assert_eq!(pools(&lab), before, "not a byte is spent");
    let asked = lab.ask(&["estimate", text, "--scheme", "2/3"]);
    assert_eq!(offline["asked_sites"], false);
    assert_eq!(asked["asked_sites"], true);
    for field in ["key_bytes", "reserved_bytes", "random_bytes", "stored_bytes", "fits"] {
        assert_eq!(offline[field], asked[field], "{field}");
    }
    assert_eq!(offline["time"]["seconds"], Value::Null, "nothing was measured yet");
    let report = lab.backup(Backup::of(&path, "2/3")).ok().json();
    assert_eq!(report["stored_bytes"], asked["stored_bytes"]);
    let taken: u64 =
        report["shares"].as_array().unwrap().iter().map(|s| s["key_bytes"].as_u64().unwrap()).sum();
    let (said, random) = (sum(&asked, "key_bytes"), &asked["random_bytes"]);
    assert_eq!(asked["key_bytes"].as_u64().unwrap(), said);
    assert!((taken..taken + taken / 50 + (256 << 10)).contains(&said), "{said} for {taken}");
    assert!(random.as_u64() >= report["random_bytes"].as_u64(), "{random}");
    let sent: u64 = report["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["sent_bytes"].as_u64().unwrap())
        .sum();
    assert!(sum(&asked, "sent_bytes") >= sent, "{asked:#} {sent}");
    for site in asked["sites"].as_array().unwrap() {
        for (end, field) in [("to", "to_site_bytes_left"), ("from", "from_site_bytes_left")] {
            let pool = lab.pool(&format!("{}/{end}", site["site"].as_str().unwrap()));
            let number = |field: &str| pool[field].as_u64().unwrap();
            let free = number("bytes_left") - number("bytes_reserved_for_restore");
            assert!(site[field].as_u64().unwrap() <= free, "{site:#} {pool:#}");
        }
    }
}

#[test]
fn what_does_not_fit_is_told_with_the_shortfall() {
    let lab = lab(5 << 20);
    let folder = lab.path("folder");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    for (name, seed) in [("a", 1), ("deep/b", 2), ("deep/c", 3)] {
        std::fs::write(folder.join(name), sample(seed, 3_000_000)).unwrap();
    }
    std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
    let text = folder.to_str().unwrap();
    let before = pools(&lab);
    let one =
        lab.ask(&["estimate", folder.join("a").to_str().unwrap(), "--offline", "--scheme", "2/3"]);
    assert_eq!((&one["fits"], &one["inputs"]), (&true.into(), &1.into()));
    let words = ["--json", "estimate", text, "--scheme", "2/3", "--offline"];
    let short = lab.run(&words).exits(7);
    let report = short.json();
    assert_eq!((&report["inputs"], &report["skipped"]), (&3.into(), &1.into()));
    assert_eq!((&report["fits"], &report["inputs_refused"]), (&false.into(), &2.into()));
    let shortfalls = report["shortfalls"].as_array().unwrap();
    let missing = |pool: &str| {
        let row = shortfalls.iter().find(|row| row["pool"] == pool);
        row.map_or(0, |row| row["missing_bytes"].as_u64().unwrap())
    };
    for pool in ["s0/to", "s0/from", "s1/to", "s2/from"] {
        assert!((3_000_000..6_500_000).contains(&missing(pool)), "{pool}: {shortfalls:?}");
    }
    assert_eq!(short.exit_line()["class"], "key-budget");
    assert_eq!(pools(&lab), before);
    // What is said to be missing is enough once it is there, and a little less is not.
    let most = shortfalls.iter().map(|row| row["missing_bytes"].as_u64().unwrap()).max().unwrap();
    (0..3).for_each(|site| lab.deliver(site, most - (64 << 10)));
    let _still_short = lab.run(&words).exits(7);
    (0..3).for_each(|site| lab.deliver(site, 80 << 10));
    assert_eq!(lab.ask(&words[1..])["fits"], true);
}

#[test]
fn what_was_stored_is_found_shown_and_restored_by_its_first_digits() {
    let lab = lab(24 << 20);
    let data = sample(22, 100_000);
    let path = lab.file("in", &data);
    let more = ["--name", "Tumour left", "--override", "zone=only a test"];
    let report = lab.backup(Backup { file: &path, scheme: "2/3", more: &more }).ok().json();
    let object = report["object"].as_str().unwrap();
    let found = |words: &[&str]| {
        let rows = lab.ask(&[&["find"], words].concat());
        let rows = rows.as_array().unwrap();
        assert!(rows.iter().all(|row| row["object"] == object));
        rows.len()
    };
    for words in [
        &["--individual", "P1"][..],
        &["--name", "tumour"],
        &["--site", "s0"],
        &["--since", "2020-01-01", "--until", "9000-01-01"],
        &["--state", "complete"],
        &["--class", "computational"],
    ] {
        assert_eq!(found(words), 1, "{words:?}");
    }
    for words in [
        &["--individual", "P2"][..],
        &["--name", "in"],
        &["--site", "s9"],
        &["--since", "9000-01-01"],
        &["--state", "degraded"],
        &["--limit", "0"],
    ] {
        assert_eq!(found(words), 0, "{words:?}");
    }
    let shown = lab.ask(&["show", &object[..6]]);
    assert_eq!(shown["object"], object);
    assert_eq!(shown["tolerates_lost_sites"], 1);
    assert!(shown["capsule_bytes"].as_u64() > Some(0));
    for share in shown["shares"].as_array().unwrap() {
        assert!(share["reserved_bytes"].as_u64() > Some(100_000), "{share:#}");
        assert!(share["sent_bytes"].as_u64() > Some(0), "{share:#}");
    }
    lab.expect_back(&object[..8], &data);
    let _missing =
        lab.run(&["show", if object.starts_with("0000") { "ffff" } else { "0000" }]).exits(10);
}

#[test]
fn status_tells_the_days_of_key_and_raises_alarms() {
    let mut lab = lab(24 << 20);
    let path = lab.file("in", &sample(23, 2_000_000));
    let fresh = lab.ask(&["status", "--offline"]);
    assert!(fresh["pools"].as_array().unwrap().iter().all(|pool| pool["days_left"].is_null()));
    assert!(fresh["sites"].as_array().unwrap().iter().all(|site| site["up"].is_null()));
    let _object = lab.store(&path, "2/3");
    lab.sites[1].stop();
    let status = lab.ask(&["status"]);
    let pool = |name: &str| {
        let pools = status["pools"].as_array().unwrap();
        pools.iter().find(|pool| pool["pool"] == name).unwrap().clone()
    };
    // One object of 2 MB; minutes of history foretell no days.
    for name in ["s0/to", "s0/from"] {
        assert!(pool(name)["days_left"].is_null(), "{status:#}");
        assert!(pool(name)["spent_bytes_per_day"].as_u64() > Some(2_000_000));
    }
    // What is down counts as lost already: of 2/3 nothing more can go, and 3 sites are not there.
    assert_eq!((&status["restorable_now"], &status["can_lose_any"]), (&1.into(), &0.into()));
    assert_eq!(status["can_lose"], Value::Array(Vec::new()));
    assert_eq!(status["can_back_up"], false);
    let _checked = lab.run(&["status", "--check"]).exits(6);
    let up: Vec<&Value> =
        status["sites"].as_array().unwrap().iter().map(|site| &site["up"]).collect();
    assert_eq!(up, [&Value::from(true), &false.into(), &true.into()]);
    let alarms = status["alarms"].as_array().unwrap();
    for words in ["site s1 can't be used", "class computational", "consent is not enforced here"] {
        let has = |alarm: &&Value| alarm["what"].as_str().unwrap().contains(words);
        assert!(alarms.iter().any(|alarm| has(&alarm)), "{words}: {alarms:#?}");
    }
    let before = pools(&lab);
    let _asked_nobody = lab.ask(&["status", "--offline"]);
    assert_eq!(pools(&lab), before, "not a byte is spent");
    let _pipe = lab.run(&["status", "--watch"]).exits(2);
    let mut watching = lab.spawn(&["--json", "status", "--watch", "--offline"]);
    let line: Value = serde_json::from_str(&watching.first_line()).unwrap();
    assert_eq!(line["objects"], 1);
    watching.terminate();
    let _ended = watching.wait().ok();
}

#[test]
fn what_can_be_done_now_is_told_and_what_is_stopped_is_no_damage() {
    let mut lab = lab(24 << 20);
    let path = lab.file("in", &sample(25, 100_000));
    let _object = lab.store(&path, "2/3");
    for at in [1, 2] {
        lab.sites[at].stop();
    }
    let status = lab.ask(&["status"]);
    assert_eq!((&status["restorable_now"], &status["witness"]), (&0.into(), &"s0".into()));
    assert_eq!(status["bring_back"], serde_json::json!({ "any": 1, "of": ["s1", "s2"] }));
    let _stopped = lab.run(&["doctor"]).exits(6);
    // A site with shares stays; one that was added by mistake goes.
    let _held = lab.run(&["site", "remove", "s1"]).exits(2);
    let _added = lab.run(&["site", "add", "wrong", "warifu://127.0.0.1:1"]).ok();
    let _told = lab.run(&["site", "remove", "wrong", "--dry-run"]).ok();
    let _there = lab.run(&["site", "show", "wrong"]).ok();
    let _removed = lab.run(&["site", "remove", "wrong"]).ok();
    let _gone = lab.run(&["site", "show", "wrong"]).exits(10);
    // A profile with a mistake fails those alone who go by it.
    let config = lab.gateway.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[profile.night]\njobs = 0\n")).unwrap();
    let _list = lab.run(&["list"]).ok();
    let _check = lab.run(&["config", "check"]).exits(2);
}

#[test]
fn an_interrupted_backup_is_a_job_that_can_be_cancelled() {
    let lab = lab(64 << 20);
    let path = lab.file("in", &sample(24, 24_000_000));
    let before = pools(&lab);
    let mut running = lab.spawn_backup(Backup::of(&path, "2/3"));
    while lab.sites.iter().all(|site| site.files("unfinished").is_empty()) {
        assert!(!running.has_ended(), "it ended before it was caught");
        std::thread::sleep(Duration::from_millis(1));
    }
    running.pause();
    let jobs = lab.ask(&["jobs", "list"]);
    let job = &jobs[0];
    assert_eq!((&job["state"], &job["individual"]), (&"running".into(), &"P1".into()));
    assert!(job["total_bytes"].as_u64() > Some(24_000_000), "{job:#}");
    assert_eq!(job["sites"].as_array().unwrap().len(), 3);
    let object = job["object"].as_str().unwrap().to_owned();
    let _busy = lab.run(&["jobs", "cancel", &object[..8]]).exits(11);
    running.kill_nine();
    let _killed = running.wait();
    let shown = lab.ask(&["jobs", "show", &object[..8]]);
    assert_eq!(shown["state"], "interrupted");
    let status = lab.ask(&["status"]);
    assert_eq!((&status["interrupted"], &status["objects"]), (&1.into(), &0.into()));
    let _told = lab.ask(&["jobs", "cancel", &object[..8], "--dry-run"]);
    assert_eq!(lab.ask(&["jobs", "list"]).as_array().unwrap().len(), 1);
    let done = lab.ask(&["jobs", "cancel", &object[..8]]);
    assert_eq!((&done["outcome"], &done["object"]), (&"cleared".into(), &object.as_str().into()));
    assert_eq!(lab.ask(&["jobs", "list"]), Value::Array(Vec::new()));
    for site in &lab.sites {
        assert!(site.files("unfinished").is_empty() && site.files("shares").is_empty());
    }
    let _gone = lab.run(&["jobs", "cancel", &object[..8]]).exits(10);
    let reserved = |rows: &Value| rows[0]["bytes_reserved_for_restore"].clone();
    assert_eq!(reserved(&pools(&lab)), reserved(&before));
    let _stored = lab.store(&path, "2/3");
    let _summary = lab.expect_key_used_once();
}

#[test]
fn profiles_set_the_scheme_and_mistakes_in_them_are_told_with_their_line() {
    let lab = lab(24 << 20);
    let config = lab.gateway.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let good = format!("{text}\n[profile.small]\nscheme = \"2/2\"\nexclude = [\"s1\"]\n");
    std::fs::write(&config, &good).unwrap();
    let path = lab.file("in", &sample(25, 10_000));
    let backup = |more: &[&str]| {
        let words = ["--json", "backup", path.to_str().unwrap(), "--individual", "P1"];
        lab.run(&[&words[..], &["--override", "zone=a test"], more].concat())
    };
    let report = backup(&["--profile", "small"]).ok().json();
    assert_eq!((&report["k"], &report["n"]), (&2.into(), &2.into()));
    assert!(report["shares"].as_array().unwrap().iter().all(|share| share["site"] != "s1"));
    let refused = backup(&["--profile", "small", "--scheme", "2/3"]).exits(2);
    assert!(refused.stderr.contains("error[sites-too-few]"), "s1 stays out: {}", refused.stderr);
    let unknown = backup(&["--profile", "smal"]).exits(2);
    assert!(unknown.stderr.contains("did you mean \\\"small\\\"?"), "{}", unknown.stderr);
    assert_eq!(lab.ask(&["config", "check"])["ok"], true);
    let shown = lab.run(&["config", "show"]).ok();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("[profile.small]\nscheme = \"2/2\""), "{shown}");
    let lines = good.lines().count();
    std::fs::write(&config, format!("{good}schem = 3\n[limits.x]\n")).unwrap();
    let checked = lab.run(&["--json", "config", "check"]).exits(2);
    let mistakes = checked.json()["mistakes"].clone();
    assert_eq!(mistakes[0]["line"].as_u64(), Some(lines as u64 + 1), "{mistakes:#}");
    assert_eq!(mistakes[0]["mend"], "did you mean `scheme`?");
    assert_eq!(mistakes.as_array().unwrap().len(), 2, "{mistakes:#}");
    let refused = lab.run(&["list"]).exits(2);
    assert!(
        refused.stderr.contains(&format!("line {}, column 1", lines + 1)),
        "{}",
        refused.stderr
    );
}

#[test]
fn codes_are_explained_and_manual_pages_written() {
    let lab = Lab::new(LabShape { sites: 0, ..LabShape::default() });
    let one = lab.ask(&["explain", "key-short"]);
    assert_eq!((&one["code"], &one["exits"]), (&"key-short".into(), &vec![7].into()));
    assert_eq!(lab.ask(&["explain", "7"])["exit"]["class"], "key-budget");
    assert!(lab.ask(&["explain"])["topics"].as_array().unwrap().len() > 5);
    let _unknown = lab.run(&["explain", "no-such-code"]).exits(2);
    let short = lab.run(&["list", "--no-such-flag"]).exits(2);
    assert!(!short.stderr.contains("warifu explain"), "no hint where nobody sits");
    let page = String::from_utf8(lab.run(&["man"]).ok().stdout).unwrap();
    assert!(page.starts_with(".ie") || page.contains(".TH warifu 1"), "{page}");
    let out = lab.path("pages");
    let pages = lab.ask(&["man", "--out", out.to_str().unwrap()]);
    let files = pages["files"].as_array().unwrap().len();
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), files);
    assert!(out.join("warifu-jobs-cancel.1").is_file());
}
