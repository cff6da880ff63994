//! Several connections and processes at once, and processes that are killed.

use super::*;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use warifu_catalog::CatalogError;

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

#[test]
fn of_many_that_take_an_intent_over_one_gets_it() {
    let lab = Lab::new();
    lab.open().begin(&new_object(1)).unwrap();
    let holder = |number: u8| Holder { incarnation: Incarnation::from_bytes([number; 16]), pid: 1 };
    for round in 0..10 {
        let before = lab.open().intents().unwrap()[0].holder;
        let start = std::sync::Barrier::new(4);
        let taken: Vec<bool> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..4)
                .map(|at| {
                    let (lab, start, to) = (&lab, &start, holder(100 + 10 * round + at));
                    scope.spawn(move || {
                        let catalog = lab.open();
                        start.wait();
                        catalog.take_over(&object(1), &before, &to).unwrap()
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
        let winner = taken.iter().position(|taken| *taken).unwrap();
        let found = lab.open().intents().unwrap()[0].holder;
        assert_eq!(found, holder(100 + 10 * round + u8::try_from(winner).unwrap()));
    }
    let catalog = lab.open();
    let last = catalog.intents().unwrap()[0].holder;
    catalog.commit(&object(1), &record()).unwrap();
    assert!(!catalog.take_over(&object(1), &last, &holder(1)).unwrap(), "it is listed");
}

#[test]
fn what_is_planned_anew_replaces_what_was_planned() {
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.begin(&new_object(1)).unwrap();
    let planned = KeyBytes { to_site_bytes: 7, from_site_bytes: 8 };
    catalog.replan(&object(1), 9, &[(x(1), planned)]).unwrap();
    assert_eq!(catalog.planned(&name("a")).unwrap(), planned);
    assert_eq!(catalog.planned(&name("b")).unwrap().to_site_bytes, 3000);
    assert_eq!(catalog.planned_random_bytes().unwrap(), 9);
    for (number, at) in [(1, 4), (2, 1)] {
        let refused = catalog.replan(&object(number), 1, &[(x(at), planned)]);
        assert!(matches!(refused, Err(CatalogError::NotFound { .. })), "{refused:?}");
    }
    assert_eq!(catalog.planned_random_bytes().unwrap(), 9, "all or nothing");
}
