//! What `plan` shows: for every site why it gets a share or not, and for a batch just what
//! `backup` then does.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use warifu_e2e::{Lab, LabShape, sample};

fn row<'a>(plan: &'a Value, site: &str) -> &'a Value {
    plan["sites"].as_array().unwrap().iter().find(|row| row["site"] == site).unwrap()
}

/// `s0` to `s2` can take shares; `s3` is drained, `s4` excluded, `s5` has next to no key, and
/// `room` lies in the domain of `s0`.
fn lab_of_every_reason() -> Lab {
    let mut lab = Lab::new(LabShape { sites: 5, key_bytes: 8 << 20, ..LabShape::default() });
    lab.add_site(&LabShape { key_bytes: 1 << 20, ..LabShape::default() });
    let url = format!("file://{}", lab.path("room").display());
    let room = ["site", "add", "room", &url, "--zone", "zone-room", "--domain", "domain-s0"];
    let _added = lab.run(&room).ok();
    let _drained = lab.run(&["site", "drain", "s3"]).ok();
    let config = lab.gateway.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[placement]\nexclude = [\"domain:domain-s4\"]\n")).unwrap();
    lab
}

#[test]
fn every_site_is_told_why_or_why_not() {
    let lab = lab_of_every_reason();
    let file = lab.file("in", &sample(3, 2_000_000));
    let words = ["plan", file.to_str().unwrap(), "--scheme", "2/3", "--explain"];
    let before = lab.ask(&["key", "status"]);
    let offline = lab.ask(&[&words[..], &["--offline"]].concat());
    assert_eq!(lab.ask(&["key", "status"]), before, "offline, nothing is spent");
    let plan = lab.ask(&words);
    for plan in [&offline, &plan] {
        let chosen = |row: &&Value| row["is_chosen"] == true;
        assert_eq!(plan["sites"].as_array().unwrap().iter().filter(chosen).count(), 3);
        assert_eq!((&plan["inputs_fitting"], &plan["inputs_waiting"]), (&1.into(), &0.into()));
        for (site, reason) in [
            ("s0", "chosen, "),
            ("s3", "draining: `warifu site drain s3 --undo`"),
            ("s4", "excluded by placement.exclude \"domain:domain-s4\", line "),
            ("s5", "short of key: "),
            ("room", "its domain has a share already, at s0"),
        ] {
            let row = row(plan, site);
            assert_eq!(row["is_chosen"] == true, site == "s0", "{row:#}");
            assert!(row["why"].as_str().unwrap().starts_with(reason), "{row:#}");
            assert_eq!(row["rank"].is_null(), matches!(site, "s3" | "s4" | "s5"), "{row:#}");
        }
        let short = row(plan, "s5")["why"].as_str().unwrap();
        assert!(short.contains("to it") && short.contains("from it"), "{short}");
    }
    assert_eq!((&offline["asked_sites"], &plan["asked_sites"]), (&false.into(), &true.into()));

    let text = String::from_utf8(lab.run(&words).ok().stdout).unwrap();
    let line = |site: &str| {
        let of = |line: &&str| line.split_whitespace().next() == Some(site);
        // The last table tells why.
        text.lines().rfind(of).unwrap().to_owned()
    };
    for (site, reason) in [
        ("s1", "chosen, "),
        ("s3", "draining"),
        ("s4", "excluded by placement.exclude"),
        ("s5", "short of key"),
        ("room", "its domain has a share already, at s0"),
    ] {
        assert!(line(site).contains(reason), "{site}: {text}");
    }
    assert!(text.contains("inputs      1 of 1 fit\n") && text.contains("policy      forecast\n"));

    // Without s1 none of the others can take its place: the refusal says what is wrong with each.
    let none = lab.run(&[&words[..], &["--exclude", "s1"]].concat());
    assert_ne!(none.code, 0);
    let told = String::from_utf8(none.stdout.clone()).unwrap();
    assert!(told.contains("usable, but no whole set of sites is"), "{told}");
    assert!(told.contains("excluded by --exclude or the profile"), "{told}");
}

/// Shares at each site.
type Counts = BTreeMap<String, u64>;

fn planned(plan: &Value) -> Counts {
    let rows = plan["sites"].as_array().unwrap().iter();
    let count =
        |row: &Value| (row["site"].as_str().unwrap().to_owned(), row["shares"].as_u64().unwrap());
    rows.map(count).filter(|(_, shares)| *shares > 0).collect()
}

fn stored<'a>(objects: impl Iterator<Item = &'a Value>) -> Counts {
    let mut counts = Counts::new();
    for share in objects.flat_map(|object| object["shares"].as_array().unwrap()) {
        *counts.entry(share["site"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn a_batch_goes_where_its_plan_shows_it() {
    let lab = Lab::new(LabShape { sites: 5, key_bytes: 6 << 20, ..LabShape::default() });
    for (site, bytes) in [(0, 5 << 20), (1, 3 << 20), (2, 1 << 20)] {
        lab.deliver(site, bytes);
    }
    let folder = lab.path("data");
    fs::create_dir(&folder).unwrap();
    for number in 0..14 {
        let length = 700_000 + (number as usize % 3) * 200_000;
        fs::write(folder.join(format!("f{number:02}")), sample(number, length)).unwrap();
    }
    let _second = lab.run(&["individual", "enroll", "P2"]).ok();
    let folder = folder.to_str().unwrap();
    let scheme = ["--scheme", "2/3", "--individual", "P1"];
    let plan = lab.run(&[&["--json", "plan", folder][..], &scheme].concat()).exits(7);
    let plan = plan.lines().remove(0);
    let fitting = plan["inputs_fitting"].as_u64().unwrap();
    assert!((3..14).contains(&fitting), "{plan:#}");
    assert_eq!(plan["inputs_waiting"], 14 - fitting);

    let words = [&["--json", "backup", folder, "--jobs", "1"][..], &scheme].concat();
    let done = lab.run(&words);
    let lines = done.lines();
    let objects: Vec<_> = lines.iter().filter(|line| line["type"] == "object").collect();
    // Those that fit come first. Plans are upper bounds: what they leave may do for one more.
    assert!(objects.len() as u64 >= fitting, "{}", done.stderr);
    let first = objects.iter().copied().take(usize::try_from(fitting).unwrap());
    assert_eq!(stored(first), planned(&plan), "{}", done.stderr);

    // What is stored is not planned again; the rest still waits.
    let again = lab.run(&[&["--json", "plan", folder][..], &scheme].concat());
    let again = again.lines().remove(0);
    assert_eq!(again["stored_before"], objects.len());
    assert_eq!(again["inputs"], 14 - objects.len());
}
