//! Several gateways with the same sites, each with links of its own.

use warifu_e2e::{Backup, Done, Lab, LabShape, NO_CONSENT_INIT, Running, sample};

/// A second gateway in the lab, with a link to every one of its sites.
struct Hospital {
    vault: std::path::PathBuf,
}

impl Hospital {
    fn join(lab: &Lab) -> Self {
        let hospital = Self { vault: lab.path("hospital") };
        let _made = hospital.run(&[&NO_CONSENT_INIT[..], &["--name", "hospital"]].concat()).ok();
        for site in &lab.sites {
            let url = format!("warifu://{}", site.proxy().address());
            let words = ["site", "add", &site.name, &url, "--zone", &site.name, "--domain"];
            let _added = hospital.run(&[&words[..], &[&site.name]].concat()).ok();
            let drive = lab.path(&format!("drive-hospital-{}", site.name));
            let drive = drive.to_str().unwrap();
            let words = ["key", "generate", "--site", &site.name, "--bytes", "16MiB", "--courier"];
            let _made = hospital.run(&[&words[..], &[drive]].concat()).ok();
            // The site's daemon is running all the while.
            let _taken = Running::start(&site.vault, &["key", "import", drive]).wait().ok();
        }
        let _made = hospital.run(&["key", "generate", "--random", "--bytes", "1MiB"]).ok();
        let _enrolled = hospital.run(&["individual", "enroll", "P1"]).ok();
        hospital
    }

    fn run(&self, words: &[&str]) -> Done {
        Running::start(&self.vault, words).wait()
    }

    fn store(&self, path: &std::path::Path) -> String {
        let path = path.to_str().unwrap();
        let words = ["--json", "backup", path, "--individual", "P1", "--scheme", "2/3"];
        self.run(&words).ok().json()["object"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_gateway_has_no_way_to_the_shares_of_another() {
    let lab = Lab::recorded(3, 16 << 20);
    let hospital = Hospital::join(&lab);
    let (ours, theirs) = (sample(20, 1_500_000), sample(21, 1_200_000));
    let (our_path, their_path) = (lab.file("ours", &ours), lab.file("theirs", &theirs));
    let our_object = lab.store(&our_path, "2/3");
    let their_object = hospital.store(&their_path);
    lab.expect_back(&our_object, &ours);
    // Neither knows the other's object, nor gets at it with the other's catalog in hand.
    let _unknown = hospital.run(&["--json", "restore", &our_object, "-o", "-"]).exits(10);
    let (unknown, nothing) = lab.restore(&their_object);
    let _unknown = unknown.exits(10);
    assert!(nothing.is_none());
    std::fs::copy(lab.gateway.join("catalog.db"), hospital.vault.join("catalog.db")).unwrap();
    let stolen = hospital.run(&["--json", "restore", &our_object, "-o", "-"]);
    assert!(stolen.code != 0 && stolen.stdout.is_empty(), "{stolen:?}");
    lab.expect_back(&our_object, &ours);
    let all = lab.ledgers().vault(&hospital.vault);
    let summary = all.is_clean();
    assert!(summary["frames"].as_u64().unwrap() > 0);
}

/// Writes files that a batch finds in a folder of this name.
fn folder(lab: &Lab, name: &str, files: u64) -> Vec<Vec<u8>> {
    std::fs::create_dir(lab.path(name)).unwrap();
    let data: Vec<_> = (0..files).map(|at| sample(at + name.len() as u64 * 100, 90_000)).collect();
    for (at, data) in data.iter().enumerate() {
        std::fs::write(lab.path(name).join(format!("f{at:02}")), data).unwrap();
    }
    data
}

#[test]
fn two_gateways_store_at_the_same_time_and_each_has_its_own() {
    let lab = Lab::recorded(3, 32 << 20);
    let hospital = Hospital::join(&lab);
    let (ours, theirs) = (folder(&lab, "ours", 10), folder(&lab, "of-the-hospital", 10));
    let batch = |vault: &std::path::Path, name: &str| {
        let path = lab.path(name);
        let words = ["--json", "backup", path.to_str().unwrap(), "--individual", "P1"];
        Running::start(vault, &[&words[..], &["--scheme", "2/3", "--jobs", "2"]].concat())
    };
    let (our_run, their_run) =
        (batch(&lab.gateway, "ours"), batch(&hospital.vault, "of-the-hospital"));
    let objects = |done: Done| -> Vec<(usize, String)> {
        let lines = done.ok().lines();
        let stored = lines.iter().filter(|line| line["type"] == "object");
        let pair = |line: &serde_json::Value| {
            let number = line["path"].as_str().unwrap().rsplit_once('f').unwrap().1.to_owned();
            (number.parse().unwrap(), line["object"].as_str().unwrap().to_owned())
        };
        stored.map(pair).collect()
    };
    let (our_objects, their_objects) = (objects(our_run.wait()), objects(their_run.wait()));
    assert_eq!((our_objects.len(), their_objects.len()), (10, 10));
    for (number, object) in &our_objects {
        lab.expect_back(object, &ours[*number]);
        let _unknown = hospital.run(&["restore", object, "-o", "-"]).exits(10);
    }
    for (number, object) in &their_objects {
        let came = hospital.run(&["restore", object, "-o", "-"]).ok();
        assert!(came.stdout == theirs[*number]);
        let _unknown = lab.run(&["restore", object, "-o", "-"]).exits(10);
    }
    for site in &lab.sites {
        assert_eq!(site.files("shares").len(), 20);
        assert!(site.files("unfinished").is_empty());
    }
    let summary = lab.ledgers().vault(&hospital.vault).is_clean();
    assert!(summary["frames"].as_u64().unwrap() > 0);
}

#[test]
fn two_backups_of_one_vault_run_side_by_side() {
    let lab = Lab::recorded(3, 48 << 20);
    let (one, other) = (sample(22, 5_000_000), sample(23, 4_000_000));
    let (one_path, other_path) = (lab.file("one", &one), lab.file("other", &other));
    for _ in 0..2 {
        let first = lab.spawn_backup(Backup::of(&one_path, "2/3"));
        let second = lab.spawn_backup(Backup::of(&other_path, "2/3"));
        let (first, second) = (first.wait().ok().json(), second.wait().ok().json());
        lab.expect_back(first["object"].as_str().unwrap(), &one);
        lab.expect_back(second["object"].as_str().unwrap(), &other);
    }
    assert_eq!(lab.listed().len(), 4);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_site_without_the_right_key_is_no_site() {
    let mut lab = Lab::new(LabShape { sites: 3, proxied: true, ..LabShape::default() });
    let data = sample(24, 400_000);
    let path = lab.file("in", &data);
    let object = lab.store(&path, "2/3");
    // Another site's daemon answers in its place: it does not hold the link.
    let impostor = lab.sites[1].proxy().target();
    lab.sites[0].proxy().lead_to(impostor);
    let report = lab.expect_back(&object, &data);
    let used = report["sites"].as_array().unwrap();
    assert!(!used.contains(&"s0".into()), "{report}");
    let refused = lab.backup(Backup::of(&path, "2/3"));
    assert_ne!(refused.code, 0);
    lab.sites[0].stop();
    lab.sites[0].start();
    let _stored = lab.store(&path, "2/3");
    let _summary = lab.expect_key_used_once();
}
