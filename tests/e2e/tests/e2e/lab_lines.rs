//! The lab of the manual, line by line, and the JSON that scripts rely on.

use serde_json::{Value, json};
use warifu_e2e::{Done, Running, sample};

/// A folder in which the lines of the manual are typed as they stand there.
struct Desk {
    root: tempfile::TempDir,
    serving: Vec<Running>,
}

impl Desk {
    fn type_in(&self, vault: &str, line: &str) -> Done {
        let words = self.words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Running::start(&self.root.path().join(vault), &words).wait()
    }

    /// Words in capitals or with a dot are files of the desk.
    fn words(&self, line: &str) -> Vec<String> {
        let is_file =
            |word: &str| ["DRIVE", "a.bam", "a.out"].iter().any(|end| word.ends_with(end));
        let path = |word: &str| self.root.path().join(word).to_str().unwrap().to_owned();
        let word = |word: &str| if is_file(word) { path(word) } else { word.to_owned() };
        line.split_whitespace().map(word).collect()
    }

    fn serve(&mut self, vault: &str) -> String {
        let path = self.root.path().join(vault);
        let mut running = Running::start(&path, &["site", "serve"]);
        let line = running.first_line();
        self.serving.push(running);
        line
    }
}

/// Asserts that `value` has the fields of `shape`, each of the same JSON type; where the shape
/// has an array, every item must look like its first one. More fields than promised are no harm.
#[track_caller]
fn looks_like(value: &Value, shape: &Value) {
    match (value, shape) {
        (Value::Object(value), Value::Object(shape)) => {
            for (field, shape) in shape {
                let Some(value) = value.get(field) else { panic!("{field} is missing: {value:?}") };
                looks_like(value, shape);
            }
        }
        (Value::Array(value), Value::Array(shape)) => {
            value.iter().for_each(|value| looks_like(value, &shape[0]));
        }
        (Value::Number(value), Value::Number(shape)) => {
            assert!(value.is_u64() || !shape.is_u64(), "{value} is no whole number");
        }
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => {}
        (Value::Null | Value::String(_), Value::Null) => {}
        (value, shape) => panic!("{value} does not look like {shape}"),
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn made_lab() -> Desk {
    let mut desk = Desk { root: tempfile::tempdir().unwrap(), serving: Vec::new() };
    let _made = desk.type_in("G", "init --no-consent lab").ok();
    for (number, site) in ["sendai", "tokyo", "nagoya", "osaka", "fukuoka"].iter().enumerate() {
        let (vault, port) = (format!("S{number}"), free_port());
        let lines = [
            (&vault[..], format!("init --site {site} --listen 127.0.0.1:{port} --no-consent lab")),
            (
                "G",
                format!(
                    "site add {site} warifu://127.0.0.1:{port} --zone z{number} --domain d{number} \
                 --channel otp"
                ),
            ),
            ("G", format!("key generate --site {site} --bytes 16MiB --courier {site}-DRIVE")),
            (&vault[..], format!("key import {site}-DRIVE")),
        ];
        for (vault, line) in &lines {
            let _done = desk.type_in(vault, line).ok();
        }
        let erased = desk.root.path().join(format!("{site}-DRIVE"));
        let left = std::fs::read_dir(erased).into_iter().flatten().count();
        assert_eq!(left, 0, "import erases the drive");
        let ready = desk.serve(&vault);
        assert_eq!(ready, format!("site {site} listens on 127.0.0.1:{port}"));
    }
    let _made = desk.type_in("G", "key generate --random --bytes 1MiB").ok();
    let _enrolled = desk.type_in("G", "individual enroll P1").ok();
    desk
}

#[test]
fn the_lines_of_the_manual_work_as_they_stand_there() {
    let desk = made_lab();
    let data = sample(1, 3_000_000);
    std::fs::write(desk.root.path().join("a.bam"), &data).unwrap();
    let report = desk.type_in("G", "--json backup a.bam --individual P1 --scheme 3/5").ok().json();
    check_backup(&report, data.len());
    let object = report["object"].as_str().unwrap();
    let restored = desk.type_in("G", &format!("--json restore {object} -o a.out")).ok().json();
    check_restore(&restored, object, data.len());
    assert!(std::fs::read(desk.root.path().join("a.out")).unwrap() == data);
    check_tables(&desk, object);
    let missing = desk.type_in("G", &format!("--json show {}", "0".repeat(32))).exits(10);
    let line = missing.exit_line();
    looks_like(&line, &json!({"v": 1, "type": "", "code": 1, "class": "", "retryable": true}));
    assert_eq!((&line["type"], &line["code"]), (&json!("exit"), &json!(10)));
    assert_eq!((&line["retryable"], line["next"].is_string()), (&json!(false), true));
    for site in desk.serving {
        site.terminate();
        assert_eq!(site.wait().code, 0, "SIGTERM ends a site cleanly");
    }
}

fn check_backup(report: &Value, bytes: usize) {
    let share = json!({"site": "", "x": 1, "role": "", "channel": "", "key_bytes": 1,
                       "sent_bytes": 1});
    looks_like(
        report,
        &json!({
            "v": 1, "type": "", "object": "", "individual": "", "bytes": 1, "stored_bytes": 1,
            "k": 1, "n": 1, "class": "", "tolerates_corrupt_sites": 1, "shares": [share],
            "random_bytes": 1, "seconds": 0.5, "bytes_per_second": 0.5
        }),
    );
    assert_eq!(report["v"], 1);
    assert_eq!((&report["type"], &report["individual"]), (&json!("object"), &json!("P1")));
    assert_eq!(report["bytes"], bytes);
    assert_eq!((&report["k"], &report["n"]), (&json!(3), &json!(5)));
    assert_eq!(report["class"], "computational", "the system's generator makes no true randomness");
    assert_eq!(report["tolerates_corrupt_sites"], 2);
    let shares = report["shares"].as_array().unwrap();
    let roles = |role: &str| shares.iter().filter(|share| share["role"] == role).count();
    assert_eq!((shares.len(), roles("pad"), roles("computed")), (5, 2, 3));
    assert!(shares.iter().all(|share| share["channel"] == "otp"));
}

fn check_restore(report: &Value, object: &str, bytes: usize) {
    let rejected = json!({"site": "", "chunk": 1, "reason": ""});
    looks_like(
        report,
        &json!({
            "v": 1, "type": "", "object": "", "bytes": 1, "sites": [""], "rejected": [rejected],
            "key_bytes": 1, "seconds": 0.5
        }),
    );
    assert_eq!((&report["v"], &report["type"]), (&json!(1), &json!("restore")));
    assert_eq!((&report["object"], &report["bytes"]), (&json!(object), &json!(bytes)));
    assert_eq!(report["sites"].as_array().unwrap().len(), 3);
    assert_eq!(report["rejected"], json!([]));
}

fn check_tables(desk: &Desk, object: &str) {
    let pool = json!({
        "pool": "", "site": null, "bytes_left": 1, "bytes_reserved_for_restore": 1,
        "bytes_consumed": 1, "bytes_burned": 1, "fill_bytes_per_second": 1, "source": ""
    });
    let pools = desk.type_in("G", "--json key status").ok().json();
    looks_like(&pools, &json!([pool]));
    assert_eq!(pools.as_array().unwrap().len(), 11, "two directions of five links, and random");
    let reserved = |pool: &Value| pool["bytes_reserved_for_restore"].as_u64().unwrap();
    let kept = |pool: &&Value| reserved(pool) >= 3_000_000;
    assert_eq!(pools.as_array().unwrap().iter().filter(kept).count(), 5, "{pools:#}");
    let list = desk.type_in("G", "--json list").ok().json();
    looks_like(
        &list,
        &json!([{
            "object": "", "individual": "", "bytes": 1, "k": 1, "n": 1, "sites": [""],
            "created": "", "state": ""
        }]),
    );
    assert_eq!((&list[0]["object"], &list[0]["state"]), (&json!(object), &json!("complete")));
    let status = desk.type_in("G", "--json status").ok().json();
    looks_like(
        &status,
        &json!({
            "v": 1, "sites": [{}], "can_lose": [[""]], "objects": 1, "degraded": 1,
            "oldest_verification": null, "pools": [pool]
        }),
    );
    assert_eq!((&status["objects"], &status["degraded"]), (&json!(1), &json!(0)));
    assert_eq!(status["can_lose"].as_array().unwrap().len(), 10, "any two of five");
}

#[test]
fn a_drive_is_taken_once_and_by_whom_it_is_for() {
    let desk = Desk { root: tempfile::tempdir().unwrap(), serving: Vec::new() };
    for (vault, line) in [
        ("G", "init --no-consent lab"),
        ("H", "init --no-consent lab"),
        ("S1", "init --site a --listen 127.0.0.1:0 --no-consent lab"),
        ("S2", "init --site b --listen 127.0.0.1:0 --no-consent lab"),
        ("G", "site add a warifu://127.0.0.1:1"),
        ("H", "site add a warifu://127.0.0.1:1"),
        ("G", "key generate --site a --bytes 64KiB --courier DRIVE"),
        ("H", "key generate --site a --bytes 64KiB --courier other-DRIVE"),
    ] {
        let _done = desk.type_in(vault, line).ok();
    }
    let copy = |to: &str| {
        let (from, to) = (desk.root.path().join("DRIVE"), desk.root.path().join(to));
        warifu_e2e::tree_copy(&from, &to);
    };
    copy("copied-DRIVE");
    let refused = |vault: &str, drive: &str| {
        let done = desk.type_in(vault, &format!("--json key import {drive}"));
        assert_ne!(done.code, 0, "{drive} at {vault}");
        desk.root.path().join(drive).join("courier.json").exists()
    };
    assert!(refused("S2", "DRIVE"), "a drive for another site stays whole");
    let _taken = desk.type_in("S1", "key import DRIVE").ok();
    assert!(!refused("S1", "copied-DRIVE"), "a copy of what is here already is erased");
    assert!(refused("S1", "other-DRIVE"), "a drive from a gateway of the same name stays whole");
}
