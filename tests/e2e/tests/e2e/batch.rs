//! Many inputs in one run: folders, patterns, manifests, and whatever may lie in them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use warifu_e2e::{Done, Lab, LabShape, sample, warifu};

fn lab(key_bytes: u64) -> Lab {
    Lab::new(LabShape { sites: 3, key_bytes, ..LabShape::default() })
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

fn summary(lines: &[Value]) -> &Value {
    let last = lines.last().unwrap();
    assert_eq!(last["type"], "summary");
    last
}

fn counts(done: &Done) -> [u64; 4] {
    let lines = done.lines();
    let summary = summary(&lines);
    ["stored", "skipped", "failed", "not_begun"].map(|count| summary[count].as_u64().unwrap())
}

fn consumed(lab: &Lab) -> u64 {
    let rows = lab.ask(&["key", "status"]);
    rows.as_array().unwrap().iter().map(|row| row["bytes_consumed"].as_u64().unwrap()).sum()
}

/// A lab with a manifest of `files` small files of several individuals, one of which is not there.
struct Register {
    lab: Lab,
    manifest: String,
    missing: PathBuf,
    individuals: usize,
}

impl Register {
    fn new(files: usize, individuals: usize, key_bytes: u64) -> Self {
        let lab = lab(key_bytes);
        let folder = lab.path("data");
        fs::create_dir(&folder).unwrap();
        let mut manifest = "path\tindividual\tlabel\n".to_owned();
        for number in 0..files {
            let name = format!("f{number:05}");
            manifest += &format!("{name}\ti{}\trun {number}\n", number % individuals);
            fs::write(folder.join(name), content(number)).unwrap();
        }
        fs::write(folder.join("manifest.tsv"), manifest).unwrap();
        let missing = folder.join(format!("f{:05}", files / 2));
        fs::rename(&missing, lab.path("away")).unwrap();
        let manifest = folder.join("manifest.tsv").to_str().unwrap().to_owned();
        Self { lab, manifest, missing, individuals }
    }

    fn run(&self) -> Done {
        let words = ["--json", "backup", "--manifest", &self.manifest, "--enroll"];
        self.lab.run(&[&words[..], &["--scheme", "2/3"]].concat())
    }

    fn mend(&self) {
        fs::rename(self.lab.path("away"), &self.missing).unwrap();
    }
}

fn content(number: usize) -> Vec<u8> {
    sample(number as u64, 2000 + number % 3000)
}

/// Runs a register to its end; how much memory the first run took at most, in bytes, and how many
/// seconds.
fn store_register(files: usize, individuals: usize, key_bytes: u64) -> (u64, f64) {
    let register = Register::new(files, individuals, key_bytes);
    let lab = &register.lab;
    let done = register.run().exits(3);
    let (peak_bytes, seconds) = (done.peak_bytes, summary(&done.lines())["seconds"].as_f64());
    let good = files as u64 - 1;
    assert_eq!(counts(&done), [good, 0, 1, 0]);
    let failed = done.exit_line()["failed"].as_array().unwrap().clone();
    assert_eq!(failed.len(), 1);
    let missing = register.missing.to_str().unwrap();
    let line = files / 2 + 2;
    assert_eq!(failed[0]["path"], format!("{} line {line}: {missing}", register.manifest));
    assert_eq!(failed[0]["code"], "source-unreadable");
    let lines = done.lines();
    let listed = lab.ask(&["list"]);
    let listed = listed.as_array().unwrap();
    let whose: BTreeMap<_, _> =
        listed.iter().map(|row| (row["object"].as_str().unwrap(), row)).collect();
    assert_eq!((listed.len() as u64, whose.len() as u64), (good, good));
    for (at, object) in of_type(&lines, "object").into_iter().enumerate() {
        let path = object["path"].as_str().unwrap();
        let number: usize = path.rsplit_once('f').unwrap().1.parse().unwrap();
        assert_eq!(object["individual"], format!("i{}", number % register.individuals));
        let id = object["object"].as_str().unwrap();
        assert_eq!(whose[id]["label"], format!("run {number}"));
        if at % (files / 6) == 0 {
            lab.expect_back(id, &content(number));
        }
    }
    let before = consumed(lab);
    assert_eq!(counts(&register.run().exits(3)), [0, good, 1, 0], "all but one are there");
    assert_eq!(consumed(lab), before, "what is there takes no key");
    register.mend();
    assert_eq!(counts(&register.run().ok()), [1, good, 0, 0]);
    assert_eq!(counts(&register.run().ok()), [0, good + 1, 0, 0]);
    assert_eq!(lab.listed().len(), files);
    let _summary = lab.expect_key_used_once();
    (peak_bytes, seconds.unwrap())
}

#[test]
fn one_bad_path_stops_nothing_and_a_rerun_does_what_is_missing() {
    let _measured = store_register(60, 15, 16 << 20);
}

#[test]
#[ignore = "long"]
fn two_thousand_files_of_five_hundred_people() {
    let few = store_register(200, 50, 64 << 20);
    let many = store_register(2000, 500, 256 << 20);
    println!("peak memory in bytes, and seconds: 200 files {few:?}, 2,000 files {many:?}");
    assert!(many.0 as f64 <= 1.15 * few.0 as f64, "{few:?} and {many:?}");
}

#[test]
fn lines_that_make_no_sense_are_named_and_skipped() {
    let lab = lab(16 << 20);
    let _good = lab.file("good", &sample(1, 5000));
    let _tab = lab.file("a\tb\n", &sample(2, 5000));
    let text = b"scheme\tpath\tindividual\n\
        2/3\tgood\tP1\n\
        9/3\tgood\tP1\n\
        2/3\tgood\n\
        2/3\t\tP1\n\
        2/3\tgood\tnobody\n\
        2/3\t\"a\tb\n\"\tP1\n";
    let manifest = lab.file("m.tsv", text);
    let manifest = manifest.to_str().unwrap();
    let done = lab.run(&["--json", "backup", "--manifest", manifest]).exits(3);
    assert_eq!(counts(&done), [2, 0, 4, 0]);
    for (line, code) in
        [(3, "manifest-line"), (4, "manifest-line"), (5, "manifest-line"), (6, "not-found")]
    {
        let exit = done.exit_line();
        let named = exit["failed"].as_array().unwrap().iter().any(|failed| {
            let path = failed["path"].as_str().unwrap();
            let is_line = path.starts_with(&format!("{manifest} line {line}"));
            is_line && failed["code"] == code
        });
        assert!(named, "line {line}: {exit}");
    }
    let wrong = lab.file("wrong.tsv", b"path\tindividual\tcolour\ngood\tP1\tred\n");
    let _refused = lab.run(&["backup", "--manifest", wrong.to_str().unwrap()]).exits(2);
    let none = lab.path("none.tsv");
    let _missing = lab.run(&["backup", "--manifest", none.to_str().unwrap()]).exits(10);
}

/// Writes what a folder may hold; what of it is to be stored, by name.
fn fill(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut files = BTreeMap::new();
    let long = "é".repeat(127) + "x";
    let names: [&[u8]; 6] =
        [b"empty", b"line\nbreak", "🧬 genome".as_bytes(), long.as_bytes(), b"\xff\xfe", b"-x"];
    for (number, name) in names.into_iter().enumerate() {
        let data = if name == b"empty" { Vec::new() } else { sample(number as u64, 3000) };
        fs::write(folder.join(OsStr::from_bytes(name)), &data).unwrap();
        files.insert(OsString::from_vec(name.to_vec()), data);
    }
    let deep = folder.join("deep/deeper");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), b"deep").unwrap();
    files.insert("file".into(), b"deep".to_vec());
    let sparse = fs::File::create(deep.join("sparse")).unwrap();
    let mut data = vec![0; 5 << 20];
    data[(5 << 20) - 3..].copy_from_slice(b"end");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (5 << 20) - 3).unwrap();
    files.insert("sparse".into(), data);
    std::os::unix::fs::symlink(folder, deep.join("loop")).unwrap();
    std::os::unix::fs::symlink("file", deep.join("link")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = folder.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    files
}

#[test]
fn a_folder_is_stored_with_every_odd_name_and_comes_back_under_it() {
    let lab = lab(48 << 20);
    let folder = lab.path("in");
    fs::create_dir(&folder).unwrap();
    let files = fill(&folder);
    let folder = folder.to_str().unwrap();
    let words = ["--json", "backup", folder, "--individual", "P1", "--scheme", "2/3"];
    let done = lab.run(&words).ok();
    assert_eq!(counts(&done), [files.len() as u64, 0, 0, 0]);
    for object in of_type(&done.lines(), "object") {
        let out = tempfile::tempdir().unwrap();
        let mut restore = Command::new(warifu());
        restore.arg("--vault").arg(&lab.gateway).arg("restore").current_dir(out.path());
        let done = restore.arg(object["object"].as_str().unwrap()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let came: Vec<_> = fs::read_dir(out.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(came.len(), 1, "{came:?}");
        let name = came[0].file_name();
        assert!(fs::read(came[0].path()).unwrap() == files[&name], "{name:?}");
    }
    assert_eq!(counts(&lab.run(&words).ok()), [0, files.len() as u64, 0, 0]);
    let told = lab.run(&words[1..]).ok().stderr;
    for left_out in ["loop", "link", "fifo", "socket"] {
        assert!(told.lines().any(|line| line.contains(left_out)), "{left_out}: {told}");
    }
}

#[test]
fn patterns_are_expanded_and_what_can_not_be_stored_is_said() {
    let lab = lab(16 << 20);
    for (number, name) in ["a.bam", "b.bam", "c.txt"].into_iter().enumerate() {
        let _file = lab.file(name, &sample(number as u64, 4000));
    }
    let pattern = lab.path("*.bam");
    let pattern = pattern.to_str().unwrap();
    let of = ["--individual", "P1", "--scheme", "2/3"];
    let run = |paths: &[&str]| lab.run(&[&["--json", "backup"], paths, &of[..]].concat());
    assert_eq!(counts(&run(&[pattern]).ok()), [2, 0, 0, 0]);
    // Named by the pattern and by itself: once.
    let text = lab.path("c.txt");
    let text = text.to_str().unwrap();
    assert_eq!(counts(&run(&[pattern, text, text]).ok()), [1, 2, 0, 0]);
    let none = lab.path("*.cram");
    let none = none.to_str().unwrap();
    let _no_match = run(&[none]).exits(10);
    for senseless in [&[text, "--size", "5MB"][..], &["-", "-"], &[text, "--memory-limit", "1MiB"]]
    {
        let _refused = run(senseless).exits(2);
    }
    let _nobodys = lab.run(&["backup", text, "--manifest", text]).exits(2);
    let done = run(&["/dev/null", none, text]).exits(3);
    let exit = done.exit_line();
    let codes: Vec<_> = exit["failed"].as_array().unwrap().iter().map(|row| &row["code"]).collect();
    assert_eq!(codes, ["pattern-empty", "source-kind"]);
    assert_eq!(counts(&run(&[pattern, text, "--again"]).ok()), [3, 0, 0, 0]);
    let _erased = lab.run(&["backup", "--forget", "--json"]).ok();
    assert!(!lab.gateway.join("batches.log").exists());
    assert_eq!(counts(&run(&[pattern, text]).ok()), [3, 0, 0, 0]);
    fs::write(lab.gateway.join("batches.log"), b"no record").unwrap();
    let damaged = run(&[pattern, text]).ok();
    assert_eq!(counts(&damaged), [3, 0, 0, 0], "damage costs a second object");
    assert!(damaged.stderr.contains("damaged"), "{}", damaged.stderr);
    assert_eq!(lab.listed().len(), 12);
}
