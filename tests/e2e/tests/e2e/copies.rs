//! Vaults that were copied or restored: never the same key twice, and somebody notices.

use std::path::{Path, PathBuf};
use warifu_e2e::{Backup, Lab, Running, sample, tree_copy};

/// Puts a copy in the place of a folder. The original is gone, as after a restore from a backup.
fn restore_copy(copy: &Path, folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
    tree_copy(copy, folder);
}

/// A lab with one object stored, the object's file, and its data.
fn lab_with_object(seed: u64) -> (Lab, String, PathBuf, Vec<u8>) {
    let lab = Lab::recorded(3, 64 << 20);
    let data = sample(seed, 1_500_000);
    let path = lab.file("in", &data);
    let object = lab.store(&path, "2/3");
    (lab, object, path, data)
}

#[test]
fn a_gateway_restored_from_an_older_copy_is_noticed_and_can_go_on() {
    let (lab, first, path, data) = lab_with_object(50);
    let (copy, newer) = (lab.path("copy"), lab.path("newer"));
    tree_copy(&lab.gateway, &copy);
    for _ in 0..2 {
        let _later = lab.store(&path, "2/3");
    }
    // The newer ledgers are kept for the checker: their leases were used too.
    tree_copy(&lab.gateway, &newer);
    restore_copy(&copy, &lab.gateway);
    let noticed = lab.backup(Backup::of(&path, "2/3")).exits(14);
    assert_eq!(noticed.exit_line()["retryable"], false);
    let _noticed_again = lab.backup(Backup::of(&path, "2/3")).exits(14);
    let _accepted = lab.run(&["--json", "doctor", "--accept-rollback"]).ok();
    let later = lab.store(&path, "2/3");
    lab.expect_back(&first, &data);
    lab.expect_back(&later, &data);
    let _summary = lab.ledgers().vault(&newer).is_clean();
}

#[test]
fn a_key_store_restored_alone_is_noticed_too() {
    let (lab, first, path, data) = lab_with_object(51);
    let (copy, newer) = (lab.path("copy"), lab.path("newer"));
    tree_copy(&lab.gateway.join("keys"), &copy);
    let later = lab.store(&path, "2/3");
    tree_copy(&lab.gateway.join("keys"), &newer.join("keys"));
    restore_copy(&copy, &lab.gateway.join("keys"));
    let _noticed = lab.backup(Backup::of(&path, "2/3")).exits(14);
    let _accepted = lab.run(&["doctor", "--accept-rollback"]).ok();
    let _stored = lab.store(&path, "2/3");
    for object in [&first, &later] {
        lab.expect_back(object, &data);
    }
    let _summary = lab.ledgers().vault(&newer).is_clean();
}

#[test]
fn a_copy_beside_its_original_uses_no_key_twice() {
    let (lab, _first, path, data) = lab_with_object(52);
    let twin = lab.path("twin");
    tree_copy(&lab.gateway, &twin);
    let file = path.to_str().unwrap();
    let words = ["--json", "backup", file, "--individual", "P1", "--scheme", "2/3"];
    let mut noticed = 0;
    for _ in 0..4 {
        let original = lab.spawn_backup(Backup::of(&path, "2/3"));
        let copied = Running::start(&twin, &words);
        for (vault, done) in [(&lab.gateway, original.wait()), (&twin, copied.wait())] {
            match done.code {
                0 => expect_back(&lab, vault, &done.json(), &data),
                // A copy that is seen as such, or two that keep stealing each other's turn.
                14 => noticed += 1,
                6 => {}
                code => panic!("it ended with {code}: {}", done.stderr),
            }
        }
    }
    assert!(noticed > 0, "nobody noticed that there are two of this vault");
    let _summary = lab.ledgers().vault(&twin).is_clean();
}

fn expect_back(lab: &Lab, vault: &Path, report: &serde_json::Value, data: &[u8]) {
    let object = report["object"].as_str().unwrap();
    let done = Running::start(vault, &["restore", object, "-o", "-"]).wait();
    // Its twin may have been seen meanwhile; what is delivered is right in any case.
    match done.code {
        0 => assert!(done.stdout == data),
        code => assert!([6, 14].contains(&code), "{code}: {}", done.stderr),
    }
    assert!(lab.path("in").exists());
}

#[test]
fn a_lost_or_shortened_ledger_is_refused() {
    let (lab, object, path, data) = lab_with_object(53);
    let pools = lab.gateway.join("keys").join("pools");
    for pool in std::fs::read_dir(&pools).unwrap() {
        let ledger = pool.unwrap().path().join("ledger");
        let whole = std::fs::read(&ledger).unwrap();
        let middle = whole.len() / 128 * 64;
        let mut damaged = whole.clone();
        damaged[middle + 20] ^= 4;
        std::fs::remove_file(&ledger).unwrap();
        let refused = lab.backup(Backup::of(&path, "2/3")).exits(14);
        assert_eq!(refused.exit_line()["code"], 14);
        for contents in [&[][..], &damaged] {
            std::fs::write(&ledger, contents).unwrap();
            let _refused = lab.backup(Backup::of(&path, "2/3")).exits(14);
        }
        std::fs::write(&ledger, &whole).unwrap();
    }
    lab.expect_back(&object, &data);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_ledger_cut_back_is_noticed_by_the_sites() {
    let (lab, first, path, data) = lab_with_object(54);
    let pools = lab.gateway.join("keys").join("pools");
    let ledgers = || -> Vec<PathBuf> {
        let pools = std::fs::read_dir(&pools).unwrap();
        pools.map(|pool| pool.unwrap().path().join("ledger")).collect()
    };
    let before: Vec<(PathBuf, u64)> = ledgers()
        .into_iter()
        .map(|ledger| {
            let bytes = ledger.metadata().unwrap().len();
            (ledger, bytes)
        })
        .collect();
    let later = lab.store(&path, "2/3");
    let newer = lab.path("newer");
    tree_copy(&lab.gateway.join("keys"), &newer.join("keys"));
    for (ledger, bytes) in before {
        std::fs::File::options().write(true).open(ledger).unwrap().set_len(bytes).unwrap();
    }
    let _noticed = lab.backup(Backup::of(&path, "2/3")).exits(14);
    let _accepted = lab.run(&["doctor", "--accept-rollback"]).ok();
    let _stored = lab.store(&path, "2/3");
    for object in [&first, &later] {
        lab.expect_back(object, &data);
    }
    let _summary = lab.ledgers().vault(&newer).is_clean();
}

#[test]
fn a_site_restored_from_an_older_copy_is_noticed() {
    let (mut lab, first, path, data) = lab_with_object(55);
    let (copy, newer) = (lab.path("copy"), lab.path("newer"));
    lab.sites[1].stop();
    tree_copy(&lab.sites[1].vault, &copy);
    lab.sites[1].start();
    for _ in 0..2 {
        let _later = lab.store(&path, "2/3");
    }
    lab.sites[1].stop();
    let vault = lab.sites[1].vault.clone();
    tree_copy(&vault, &newer);
    restore_copy(&copy, &vault);
    lab.sites[1].start();
    let noticed = lab.backup(Backup::of(&path, "2/3")).exits(14);
    assert!(noticed.stderr.contains("rolled back"), "{}", noticed.stderr);
    let _summary = lab.ledgers().vault(&newer).is_clean();
    // The operator of the site says that this copy is the one to go on with.
    lab.sites[1].stop();
    let said = Running::start(&vault, &["doctor", "--accept-rollback"]).wait();
    assert_eq!(said.code, 0, "{}", said.stderr);
    lab.sites[1].start();
    let back = lab.backup(Backup::of(&path, "2/3"));
    assert_eq!(back.code, 0, "a restored site must serve again: {}", back.stderr);
    lab.expect_back(&first, &data);
    let _summary = lab.ledgers().vault(&newer).is_clean();
}
