//! Records: what the audit logs of gateway and sites tell, what contradicts a log that was changed,
//! what is forgotten, what is held, and what officers open.

use serde_json::Value;
use std::fs;
use std::path::Path;
use warifu_e2e::{LabShape, Persons, Running, sample};

const SHAPE: LabShape = LabShape {
    sites: 3,
    key_bytes: 32 << 20,
    random_bytes: 1 << 20,
    lease_bytes: Some(4 << 20),
    proxied: false,
    is_consent_asked: true,
};

fn stored(persons: &Persons, name: &str) -> (String, Vec<u8>) {
    let data = sample(name.len() as u64, 600_000);
    (persons.lab.store(&persons.lab.file(name, &data), "2/3"), data)
}

fn at(vault: &Path, words: &[&str]) -> warifu_e2e::Done {
    Running::start(vault, &[&["--json"], words].concat()).wait()
}

/// Changes the catalog of the gateway behind warifu's back.
fn vandalise(persons: &Persons, script: &str) {
    let raw = rusqlite::Connection::open(persons.lab.gateway.join("catalog.db")).unwrap();
    raw.execute_batch(script).unwrap();
}

fn entries(lines: &Value, kind: &str, result: &str) -> usize {
    let lines = lines.as_array().unwrap().iter();
    lines.filter(|line| line["kind"] == kind && line["event"]["result"] == result).count()
}

#[test]
fn logs_tell_who_did_what_and_any_change_is_contradicted() {
    let persons = Persons::new(SHAPE);
    let (object, data) = stored(&persons, "a.bam");
    let (none, _) = persons.lab.restore(&object);
    let _refused = none.exits(8);
    let consent = persons.grant(("P1", &object), "gateway", "c.jws", &[]);
    let (done, got) = persons.restore(&object, &consent, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    let record = persons.lab.ask(&["audit", "show", "--individual", "P1"]);
    assert_eq!(entries(&record, "restore", "begun"), 2, "{record}");
    assert_eq!(entries(&record, "restore", "refused"), 1, "{record}");
    assert_eq!(entries(&record, "restore", "released"), 1, "{record}");
    let last = record.as_array().unwrap().last().unwrap();
    assert_eq!(last["event"]["purpose"], "treatment");
    assert_eq!(last["event"]["card"], "software");
    for site in &persons.lab.sites {
        let lines = at(&site.vault, &["audit", "show", "--object", &object]).ok().json();
        assert_eq!(entries(&lines, "present", "released"), 1, "{}: {lines}", site.name);
        assert_eq!(at(&site.vault, &["audit", "verify"]).ok().json()["ok"], true);
    }
    let verified = persons.lab.ask(&["audit", "verify"]);
    assert!(verified["checks"].as_array().unwrap().len() >= 3, "{verified}");
    // What was exported proves itself, and nothing that was made of it does.
    let out = persons.path("log.jsonl");
    let _written = persons.lab.run(&["audit", "export", "-o", &out]).ok();
    let _same = persons.lab.run(&["audit", "verify", &out]).ok();
    let text = fs::read_to_string(&out).unwrap();
    let changed = persons.lab.file("changed.jsonl", text.replacen("P1", "P2", 1).as_bytes());
    let done = persons.lab.run(&["audit", "verify", changed.to_str().unwrap()]).exits(4);
    assert!(done.stderr.contains("audit-export-broken"), "{done:?}");
    let table = persons.path("log.csv");
    let _written = persons.lab.run(&["audit", "export", "--format", "csv", "-o", &table]).ok();
    assert!(fs::read_to_string(&table).unwrap().contains("treatment"));
    // A site's log, against what the gateway holds of it.
    let held = persons.path("held.jsonl");
    let name = &persons.lab.sites[0].name;
    let _held = persons.lab.run(&["audit", "export", "--held", name, "-o", &held]).ok();
    let site = &persons.lab.sites[0].vault;
    let report = at(site, &["audit", "verify", "--against", &held]).ok().json();
    assert!(!report["checks"].as_array().unwrap().is_empty(), "{report}");
    // The end cut off, the chain without a break: the sites say so.
    let cut = "DELETE FROM audit WHERE sequence >= 5;
               UPDATE audit_head SET entries = 5,
                   chain = (SELECT chain FROM audit WHERE sequence = 4);";
    vandalise(&persons, cut);
    let _unbroken = persons.lab.run(&["audit", "verify", "--offline"]).ok();
    let done = persons.lab.run(&["audit", "verify"]).exits(14);
    assert!(done.stderr.contains("audit-cut"), "{done:?}");
    let lines = at(site, &["audit", "show", "--result", "conflict"]).ok().json();
    assert!(entries(&lines, "checkpoint", "conflict") > 0, "{lines}");
    // A line changed is found without anybody's help.
    let edit = "UPDATE audit SET line = replace(line, 'operator', 'nobody') WHERE sequence = 2;";
    vandalise(&persons, edit);
    let _broken = persons.lab.run(&["audit", "verify", "--offline"]).exits(4);
}

#[test]
fn where_the_log_cannot_be_written_nothing_is_released_and_reading_goes_on() {
    let persons = Persons::new(SHAPE);
    let (object, data) = stored(&persons, "a.bam");
    let consent = persons.grant(("P1", &object), "gateway", "c.jws", &[]);
    let deny = "CREATE TRIGGER deny BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END;";
    vandalise(&persons, deny);
    let (done, none) = persons.restore(&object, &consent, "P1", &[]);
    assert!(none.is_none(), "something was delivered");
    let done = done.exits(17);
    assert!(done.stderr.contains("error[audit-unwritable]"), "{done:?}");
    for words in [&["list"][..], &["show", &object], &["audit", "show"], &["status", "--offline"]] {
        let _read = persons.lab.run(words).ok();
    }
    for site in &persons.lab.sites {
        let lines = at(&site.vault, &["audit", "show", "--kind", "present"]).ok().json();
        assert_eq!(lines.as_array().unwrap().len(), 0, "no site was asked: {lines}");
    }
    vandalise(&persons, "DROP TRIGGER deny;");
    let (done, got) = persons.restore(&object, &consent, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
}

#[test]
fn what_is_held_stays_and_what_is_forgotten_is_gone_at_every_site() {
    let mut persons = Persons::new(SHAPE);
    let (object, _) = stored(&persons, "a.bam");
    let (other, data) = stored(&persons, "bb.bam");
    let _held = persons.lab.run(&["hold", "add", &object, "--reason", "a court asks"]).ok();
    let forget = ["forget", &object, "--reason", "P1 asked for it"];
    let done = persons.lab.run(&forget).exits(2);
    assert!(done.stderr.contains("a court asks"), "{done:?}");
    for site in &persons.lab.sites {
        assert_eq!(at(&site.vault, &["hold", "list"]).ok().json().as_array().unwrap().len(), 1);
        assert_eq!(site.files("shares").len(), 2);
    }
    let _lifted = persons.lab.run(&["hold", "remove", &object, "--reason", "it is over"]).ok();
    // The operator of one site holds it there: only that share stays.
    let reason = ["--reason", "an audit here"];
    let held = [&["hold", "add", &object][..], &reason[..]].concat();
    let _held = at(&persons.lab.sites[0].vault, &held).ok();
    // Another site is away.
    persons.lab.sites[1].stop();
    let done = persons.lab.run(&forget).exits(6);
    assert!(done.stderr.contains("forget-pending"), "{done:?}");
    let consent = persons.grant(("P1", &other), "gateway", "c.jws", &[]);
    let (done, _) = persons.restore(&object, &consent, "P1", &[]);
    assert!(done.code == 10 && done.stderr.contains("object-forgotten"), "{done:?}");
    persons.lab.sites[1].start();
    let lifted = [&["hold", "remove", &object][..], &reason[..]].concat();
    let _lifted = at(&persons.lab.sites[0].vault, &lifted).ok();
    let out = persons.path("report.json");
    let done = persons.lab.run(&[&forget[..], &["-o", out.as_str()][..]].concat()).ok();
    assert!(String::from_utf8_lossy(&done.stdout).contains("forgotten for good"), "{done:?}");
    for site in &persons.lab.sites {
        assert_eq!(site.files("shares").len(), 1, "{}", site.name);
    }
    let _proved = persons.lab.run(&["audit", "verify", &out]).ok();
    let text = fs::read_to_string(&out).unwrap();
    // Share and pad are one: what of the key was used is gone.
    let signed: Value = serde_json::from_str(&text).unwrap();
    let report: Value = serde_json::from_str(signed["report"].as_str().unwrap()).unwrap();
    let pools = report["key"].as_array().unwrap();
    assert_eq!(pools.len(), 4, "three links and the random pool: {report:#}");
    for pool in pools {
        assert!(pool["used_bytes"].as_u64() > Some(0), "{pool}");
        assert_eq!(pool["erased_bytes"], pool["used_bytes"], "{pool}");
    }
    let changed = persons.lab.file("changed.json", text.replacen("P1", "P3", 1).as_bytes());
    let _wrong = persons.lab.run(&["audit", "verify", changed.to_str().unwrap()]).exits(4);
    assert_eq!(persons.lab.listed(), std::slice::from_ref(&other));
    let (done, got) = persons.restore(&other, &consent, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
}

#[test]
fn officers_open_an_object_only_where_that_is_on_and_enough_of_them_sign() {
    let mut persons = Persons::new(SHAPE);
    let (object, data) = stored(&persons, "a.bam");
    for officer in ["O1", "O2", "X"] {
        persons.new_card(officer, &[]);
    }
    let out = persons.path("got");
    let signed = |persons: &Persons, name: &str, officers: &[&str]| {
        let case = persons.path(name);
        let reason = ["--reason", "she can't be asked, and bleeds"];
        let words = ["break-glass", "request", &object, "-o", &case];
        let _opened = persons.lab.run(&[&words[..], &reason[..]].concat()).ok();
        for officer in officers {
            let card = persons.card(officer);
            let _signed = persons.lab.run(&["break-glass", "sign", &case, "--card", &card]).ok();
        }
        case
    };
    let restore = |persons: &Persons, case: &str| {
        persons.lab.run(&["restore", &object, "--break-glass", case, "-o", &out])
    };
    let expect_refused = |persons: &Persons, name: &str, officers: &[&str], code: &str| {
        let done = restore(persons, &signed(persons, name, officers)).exits(8);
        assert!(done.stderr.contains(code), "{code}: {done:?}");
        assert!(!Path::new(&out).exists());
    };
    expect_refused(&persons, "off", &["O1", "O2"], "break-glass-off");
    for site in &mut persons.lab.sites {
        site.stop();
        let path = site.vault.join("config.toml");
        let config = fs::read_to_string(&path).unwrap();
        let config = match config.contains("[consent]") {
            true => config.replace("break_glass = 0", "break_glass = 2"),
            false => config + "\n[consent]\nbreak_glass = 2\n",
        };
        fs::write(&path, config).unwrap();
        site.start();
    }
    for site in &persons.lab.sites {
        for officer in ["O1", "O2"] {
            let certificate = persons.path(&format!("{officer}.crt"));
            let words = ["trust", "add", &certificate, "--role", "officer"];
            let _pinned = at(&site.vault, &words).ok();
        }
    }
    expect_refused(&persons, "one", &["O1"], "break-glass-officers");
    expect_refused(&persons, "stranger", &["O1", "X"], "certificate-chain");
    let case = signed(&persons, "good", &["O1", "O2"]);
    let _done = restore(&persons, &case).ok();
    assert!(fs::read(&out).unwrap() == data);
    fs::remove_file(&out).unwrap();
    // What sites have drawn for it is used up.
    let done = restore(&persons, &case).exits(8);
    assert!(done.stderr.contains("presence-stale"), "{done:?}");
    let record = persons.lab.ask(&["audit", "show", "--individual", "P1"]);
    assert_eq!(entries(&record, "break-glass", "released"), 1, "{record}");
    for site in &persons.lab.sites {
        let lines = at(&site.vault, &["audit", "show", "--individual", "P1"]).ok().json();
        assert!(entries(&lines, "break-glass", "released") >= 1, "{}: {lines}", site.name);
    }
}
