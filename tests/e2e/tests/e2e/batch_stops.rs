//! Runs over many inputs that are cut short, run out of key, or read what is written to.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use warifu_e2e::{Dice, Done, Lab, LabShape, sample, seed};

const MIB: usize = 1 << 20;

struct Field {
    lab: Lab,
    folder: String,
    files: Vec<Vec<u8>>,
}

impl Field {
    fn new(key_bytes: u64, sizes: &[usize]) -> Self {
        let lab = Lab::new(LabShape { sites: 3, key_bytes, ..LabShape::default() });
        let folder = lab.path("in");
        fs::create_dir(&folder).unwrap();
        let files: Vec<_> =
            sizes.iter().enumerate().map(|(at, &bytes)| sample(at as u64, bytes)).collect();
        for (at, data) in files.iter().enumerate() {
            fs::write(folder.join(format!("f{at:02}")), data).unwrap();
        }
        let folder = folder.to_str().unwrap().to_owned();
        Self { lab, folder, files }
    }

    fn words(&self) -> [&str; 9] {
        let folder = self.folder.as_str();
        ["--json", "backup", folder, "--individual", "P1", "--scheme", "2/3", "--jobs", "3"]
    }

    fn run(&self) -> Done {
        self.lab.run(&self.words())
    }

    /// Everything is listed once and comes back, nothing else is anywhere.
    fn is_whole(&self, done: &Done) {
        let paths = |kind: &str| -> Vec<(String, String)> {
            let lines = done.lines();
            let of_kind = lines.iter().filter(|line| line["type"] == kind);
            let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
            of_kind.map(|line| (text(line, "path"), text(line, "object"))).collect()
        };
        let all = [paths("object"), paths("skipped")].concat();
        assert_eq!(all.len(), self.files.len());
        assert_eq!(self.lab.listed().len(), self.files.len(), "each is stored once");
        for (path, object) in all {
            let number: usize = path.rsplit_once('f').unwrap().1.parse().unwrap();
            self.lab.expect_back(&object, &self.files[number]);
        }
        for site in &self.lab.sites {
            assert_eq!(site.files("shares").len(), self.files.len());
            assert!(site.files("unfinished").is_empty(), "litter at {}", site.name);
        }
        let _summary = self.lab.expect_key_used_once();
    }
}

fn summary(done: &Done) -> Value {
    let last = done.lines().pop().unwrap();
    assert_eq!(last["type"], "summary");
    last
}

#[test]
fn a_signal_begins_no_more_and_a_rerun_goes_on() {
    let field = Field::new(96 << 20, &[MIB; 16]);
    let mut running = field.lab.spawn(&field.words());
    let _stored = running.first_line();
    running.terminate();
    let stopped = running.wait().exits(143);
    let sum = summary(&stopped);
    let count = |name: &str| sum[name].as_u64().unwrap();
    assert!(count("stored") >= 1 && count("not_begun") >= 1, "{sum}");
    assert_eq!(count("stored") + count("failed") + count("not_begun"), 16);
    assert_eq!(field.lab.listed().len() as u64, count("stored"));
    assert_eq!(stopped.exit_line()["retryable"], true);
    let rest = field.run().ok();
    assert_eq!(summary(&rest)["skipped"], sum["stored"]);
    field.is_whole(&rest);
}

#[test]
fn killed_again_and_again_each_input_is_stored_once() {
    let field = Field::new(192 << 20, &[300_000; 24]);
    let mut dice = Dice::new(seed("killed batches"));
    for round in 0..6 {
        let mut running = field.lab.spawn(&field.words());
        // What the first line says was stored before; then at any moment.
        let _line = running.first_line();
        std::thread::sleep(std::time::Duration::from_millis(dice.below(120)));
        running.kill_nine();
        let killed = running.wait();
        assert!([-9, 0].contains(&killed.code), "round {round}: {killed:?}");
    }
    let rest = field.run().ok();
    field.is_whole(&rest);
}

#[test]
fn a_site_that_comes_back_is_spoken_to_again() {
    let mut field = Field::new(192 << 20, &[300_000; 24]);
    let mut running = field.lab.spawn(&field.words());
    let _stored = running.first_line();
    field.lab.sites[1].kill_nine();
    field.lab.sites[1].start();
    let done = running.wait();
    // An input that is begun while the site is away fails; the others don't.
    assert!([0, 3].contains(&done.code), "{done:?}");
    let rest = field.run().ok();
    field.is_whole(&rest);
}

#[test]
fn what_key_does_not_cover_fails_and_the_others_go_on() {
    let field = Field::new(10 << 20, &[100_000, 30 * MIB, 200_000, 300_000]);
    let done = field.run().exits(3);
    let exit = done.exit_line();
    let failed = exit["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{exit}");
    assert!(failed[0]["path"].as_str().unwrap().ends_with("f01"));
    assert_eq!(
        (&failed[0]["class"], &failed[0]["code"]),
        (&"key-budget".into(), &"key-short".into())
    );
    let warning = "warning: key covers 3 of 4 inputs";
    assert!(done.stderr.contains(warning), "{}", done.stderr);
    assert_eq!(field.lab.listed().len(), 3);
    let none = Field::new(4 << 20, &[30 * MIB, 30 * MIB]);
    let _all = none.run().exits(7);
}

/// Writes to a file, in one of two ways, until told otherwise.
fn disturb(path: &std::path::Path, grows: bool, stop: &AtomicBool) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    let mut left = file.metadata().unwrap().len();
    while !stop.load(Ordering::Relaxed) {
        match grows {
            true => file.write_all(b"more").unwrap(),
            false => {
                left = left.saturating_sub(1000);
                file.set_len(left).unwrap();
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_stored() {
    let field = Field::new(96 << 20, &[100_000, 12 * MIB, 100_000]);
    let path = std::path::Path::new(&field.folder).join("f01");
    for grows in [true, false] {
        fs::write(&path, &field.files[1]).unwrap();
        let stop = AtomicBool::new(false);
        let (several, single) = std::thread::scope(|scope| {
            scope.spawn(|| disturb(&path, grows, &stop));
            let several = field.run();
            let path = path.to_str().unwrap();
            let words = ["--json", "backup", path, "--individual", "P1", "--scheme", "2/3"];
            let single = field.lab.run(&words);
            stop.store(true, Ordering::Relaxed);
            (several, single)
        });
        let exit = several.exits(3).exit_line();
        let failed = exit["failed"].as_array().unwrap();
        assert_eq!(failed.len(), 1, "{exit}");
        assert_eq!(failed[0]["code"], "source-changed", "{exit}");
        let _single = single.exits(6);
        assert_eq!(field.lab.listed().len(), 2);
        for site in &field.lab.sites {
            assert_eq!((site.files("shares").len(), site.files("unfinished").len()), (2, 0));
        }
    }
    fs::write(&path, &field.files[1]).unwrap();
    let done = field.run().ok();
    field.is_whole(&done);
}
