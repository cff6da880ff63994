//! Several connections and processes at once, and processes that are killed.

use super::*;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn connections_at_once_lose_nothing() {
    let lab = Lab::new();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let lab = &lab;
            scope.spawn(move || {
                let catalog = lab.open();
                for at in 0..15 {
                    store(&catalog, worker * 100 + at);
                    catalog.append_audit("backup", "{}", at).unwrap();
                    assert!(catalog.objects().unwrap().len() as u64 > at);
                }
            });
        }
    });
    let catalog = lab.open();
    assert_eq!(catalog.objects().unwrap().len(), 60);
    assert_eq!(catalog.verify_audit().unwrap().entries, 60);
    assert_eq!(catalog.reserved(&name("a")).unwrap().from_site_bytes, 60_000);
    catalog.check().unwrap();
}

#[test]
fn an_unfinished_transaction_of_another_is_not_seen() {
    let lab = Lab::new();
    let (catalog, raw) = (lab.open(), lab.raw());
    raw.execute_batch("BEGIN IMMEDIATE; DELETE FROM individuals; DELETE FROM sites").unwrap();
    assert_eq!(catalog.individuals().unwrap().len(), 1);
    drop(raw);
    assert_eq!(lab.open().sites().unwrap().len(), 5);
}

const LAB: &str = "WARIFU_TEST_CATALOG";

#[test]
#[ignore = "run by killed_at_any_moment_an_object_is_listed_or_an_intent"]
fn child_that_stores_until_it_is_killed() {
    let Some(path) = std::env::var_os(LAB) else { return };
    let catalog = Catalog::open(&PathBuf::from(path)).unwrap();
    let first = catalog.objects().unwrap().len() as u64 * 1000;
    for number in first.. {
        catalog.begin(&new_object(number)).unwrap();
        println!("\nbegun {number}");
        catalog.commit(&object(number), &record()).unwrap();
        println!("\ncommitted {number}");
    }
}

#[test]
fn killed_at_any_moment_an_object_is_listed_or_an_intent() {
    let lab = Lab::new();
    let mut reported = BTreeSet::new();
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("processes::child_that_stores_until_it_is_killed")
            .env(LAB, lab.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard: Vec<String> = Vec::new();
        // Its first commit, and then a moment that differs from round to round.
        while !heard.iter().any(|line| line.starts_with("committed")) {
            heard.push(lines.next().unwrap().unwrap());
        }
        std::thread::sleep(Duration::from_micros(round * 700));
        child.kill().unwrap();
        heard.extend(lines.map_while(Result::ok));
        child.wait().unwrap();
        let committed = heard.iter().filter_map(|line| line.strip_prefix("committed "));
        reported.extend(committed.map(|number| object(number.parse().unwrap())));

        let catalog = lab.open();
        catalog.check().unwrap();
        let listed: BTreeSet<_> =
            catalog.objects().unwrap().into_iter().map(|found| found.object).collect();
        assert!(listed.is_superset(&reported), "what was reported is listed");
        for found in &listed {
            (1..=3).for_each(|at| drop(catalog.verdict(found, x(at)).unwrap()));
        }
        let intents = catalog.intents().unwrap();
        assert!(intents.len() <= 1, "{intents:?}");
        for intent in intents {
            assert!(!listed.contains(&intent.object));
            catalog.abandon(&intent.object).unwrap();
        }
        assert_eq!(catalog.planned(&name("a")).unwrap(), KeyBytes::default());
    }
    assert!(reported.len() >= 12);
}
