//! What the key does not cover does not start.

use serde_json::Value;
use warifu_e2e::{Backup, Lab, LabShape, sample};

/// Key that asking a site costs at most, in bytes: the handshake of one connection.
const HANDSHAKE_BYTES: u64 = 16 << 10;

fn numbers(rows: &Value, field: &str) -> Vec<u64> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).collect()
}

#[test]
fn a_shortfall_is_noticed_before_anything_is_spent() {
    let lab = Lab::new(LabShape { sites: 3, key_bytes: 4 << 20, ..LabShape::default() });
    let small = sample(4, 1_000_000);
    let first = lab.store(&lab.file("small", &small), "2/3");
    let before = lab.ask(&["key", "status"]);
    let large = lab.file("large", &sample(5, 8 << 20));
    let short = lab.backup(Backup::of(&large, "2/3")).exits(7);
    let line = short.exit_line();
    assert_eq!((&line["code"], &line["retryable"]), (&7.into(), &false.into()));
    let after = lab.ask(&["key", "status"]);
    assert_eq!(numbers(&before, "bytes_reserved_for_restore"), {
        numbers(&after, "bytes_reserved_for_restore")
    });
    assert_eq!(numbers(&after, "bytes_leased").iter().sum::<u64>(), 0, "{after:#}");
    let left = numbers(&before, "bytes_left").into_iter().zip(numbers(&after, "bytes_left"));
    for (before, after) in left {
        assert!(before - after <= HANDSHAKE_BYTES, "{before} bytes were left, now {after}");
    }
    assert_eq!(lab.listed(), std::slice::from_ref(&first));
    lab.sites.iter().for_each(|site| assert!(site.files("unfinished").is_empty()));
    lab.expect_back(&first, &small);
}

#[test]
fn a_reserve_for_restores_is_not_spent_on_backups() {
    let lab = Lab::new(LabShape { sites: 3, key_bytes: 10 << 20, ..LabShape::default() });
    let data = sample(6, 2_000_000);
    let path = lab.file("in", &data);
    let mut stored = Vec::new();
    let short = loop {
        let done = lab.backup(Backup::of(&path, "2/3"));
        match done.code {
            0 => stored.push(done.json()["object"].as_str().unwrap().to_owned()),
            _ => break done,
        }
    };
    let _short = short.exits(7);
    assert!(stored.len() >= 2, "some fit: {}", stored.len());
    // Every one of them still comes back, one after the other, from what was reserved.
    for object in &stored {
        lab.expect_back(object, &data);
    }
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_restore_that_key_would_mend_says_so_though_a_site_is_away_too() {
    let mut lab = Lab::new(LabShape { sites: 3, key_bytes: 10 << 20, ..LabShape::default() });
    let data = sample(8, 5_000_000);
    let object = lab.store(&lab.file("in", &data), "2/3");
    lab.deliver(2, 64 << 20);
    lab.sites[1].stop();
    lab.expect_back(&object, &data);
    // What s0 had for it is used, s2 has more, and s1 is away.
    let short = lab.restore(&object).0.exits(7);
    assert_eq!(short.exit_line()["class"], "key-budget");
    assert!(short.stderr.contains("s0 has") && short.stderr.contains("s1"), "{}", short.stderr);
    lab.deliver(0, 8 << 20);
    lab.expect_back(&object, &data);
}

#[test]
fn a_crash_of_every_site_leaves_the_reserve_for_a_restore() {
    let mut lab = Lab::new(LabShape {
        sites: 3,
        key_bytes: 6 << 20,
        lease_bytes: None,
        ..LabShape::default()
    });
    let data = sample(7, 1_000_000);
    let first = lab.store(&lab.file("first", &data), "2/3");
    let second = lab.store(&lab.file("second", &data), "2/3");
    lab.expect_back(&first, &data);
    lab.sites.iter_mut().for_each(|site| {
        site.kill_nine();
        site.start();
    });
    lab.expect_back(&second, &data);
    let _summary = lab.expect_key_used_once();
}
