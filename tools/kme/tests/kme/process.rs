//! The program: one command makes a lab, another breaks it, and no kill spoils its folder.

use crate::client::{Client, TestLab};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use warifu_kme::{Changes, KEYS_NOT_FOUND, Lab, LabError, Ready, SystemClock};

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_warifu-kme"))
}

/// A lab in a process of its own, killed where the test forgets it.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) ready: Ready,
}

impl Process {
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        let mut child = command()
            .arg("serve")
            .arg(folder)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Self { child, ready }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn round_trip(ready: &Ready) {
    let keys = Client::new(ready, "sae-a").enc("sae-b", 3, 64);
    assert_eq!(Client::new(ready, "sae-b").dec("sae-a", &keys), keys);
}

fn fault(folder: &Path, arguments: &[&str]) -> Output {
    let (node, rest) = arguments.split_first().unwrap();
    command().arg("fault").arg(folder).arg(node).args(rest).output().unwrap()
}

#[test]
fn one_command_makes_a_lab_and_a_signal_ends_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("new/lab");
    for signal in [Signal::TERM, Signal::INT] {
        let mut lab = Process::start(&folder, &[]);
        round_trip(&lab.ready);
        lab.signal(signal);
        assert_eq!(lab.child.wait().unwrap().code(), Some(0));
        let said = lab.stderr();
        assert!(said.contains("for labs and tests only"), "{said}");
        assert!(said.contains("randomness is the operating system's"), "{said}");
    }
    for key in ["ca.key.pem", "kme/a.key.pem", "sae/sae-a.key.pem"] {
        let mode = fs::metadata(folder.join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn a_second_start_uses_what_is_there_and_remembers_what_it_was_told() {
    let place = tempfile::tempdir().unwrap();
    let options = [
        "--node",
        "x=127.0.0.1:0",
        "--node",
        "y=127.0.0.1:0",
        "--sae",
        "sae-a@x",
        "--sae",
        "sae-b@y",
        "--rate",
        "8000",
        "--initial",
        "100",
        "--key-size",
        "256",
        "--max-key-size",
        "4096",
        "--max-key-per-request",
        "9",
    ];
    let first = Process::start(place.path(), &options);
    let client = Client::new(&first.ready, "sae-a");
    let left = client.enc("sae-b", 1, 64);
    let ready = first.ready.clone();
    drop(first);
    let mut again = Process::start(place.path(), &[]);
    let client = Client::new(&again.ready, "sae-a");
    let status = client.status("sae-b");
    assert_eq!((&status["key_size"], &status["max_key_per_request"]), (&256.into(), &9.into()));
    assert_eq!((&again.ready.saes, again.ready.rate_bits_per_s), (&ready.saes, 8000));
    // What nobody had fetched is gone with the process.
    let b = Client::new(&again.ready, "sae-b");
    assert_eq!(b.dec_answer("sae-a", &left).refused(400), KEYS_NOT_FOUND);
    // It has the ports that it had, unless it says why not: anybody may have taken them.
    again.signal(Signal::TERM);
    let is_moved = again.stderr().contains("its last port is taken");
    assert_eq!(again.ready.nodes != ready.nodes, is_moved);
    drop(again);
    // More can be added; the rest stays.
    let more =
        Process::start(place.path(), &["--node", "z=127.0.0.1:0", "--sae", "sae-z@z", "--large"]);
    assert_eq!(more.ready.saes[..2], ready.saes);
    assert_eq!(more.ready.limits.max_key_size_bits, 8 << 20);
    let keys = Client::new(&more.ready, "sae-z").enc("sae-a", 1, 64);
    assert_eq!(Client::new(&more.ready, "sae-a").dec("sae-z", &keys), keys);
}

/// All files of a lab's folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let parts = [folder.to_owned(), folder.join("kme"), folder.join("sae")];
    let entries = parts.iter().filter_map(|part| fs::read_dir(part).ok()).flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_file()).collect()
}

#[test]
fn a_kill_at_any_time_leaves_a_folder_that_works() {
    let place = tempfile::tempdir().unwrap();
    // A lab of two has twelve files: killed before the first, between any two, and after the last.
    for count in 0..=12 {
        let folder = place.path().join(count.to_string());
        let mut child = command()
            .arg("serve")
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while files(&folder).len() < count {
            assert_eq!(child.try_wait().unwrap(), None);
            thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        round_trip(&Process::start(&folder, &[]).ready);
    }
}

#[test]
fn a_folder_that_lacks_any_of_its_files_is_made_whole() {
    let lab = TestLab::pair();
    let folder = lab.folder.path().to_owned();
    let TestLab { folder: _kept, running } = lab;
    running.end();
    let files = files(&folder);
    // The lock and the set-up; certificate and key of the authority, of two KMEs, of two callers.
    assert_eq!(files.len(), 1 + 1 + 2 + 4 + 4, "{files:?}");
    for file in files {
        fs::remove_file(&file).unwrap();
        let lab = Lab::open(&folder, &Changes::default()).unwrap();
        let running = lab.start(Arc::new(SystemClock::new())).unwrap();
        round_trip(running.ready());
        assert!(file.is_file(), "{file:?}");
    }
}

#[test]
fn a_lab_is_served_once_at_a_time() {
    let lab = TestLab::pair();
    let again = Lab::open(lab.folder.path(), &Changes::default());
    assert!(matches!(again, Err(LabError::Busy { .. })));
    let output = command().arg("serve").arg(lab.folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("another process serves the lab"), "{said}");
}

#[test]
fn faults_are_set_and_taken_away_by_command() {
    let lab = TestLab::pair();
    let (folder, a) = (lab.folder.path(), lab.client("sae-a"));
    let set = |arguments: &[&str]| assert!(fault(folder, arguments).status.success());
    set(&["a", "status-503", "5", "--count", "1", "--method", "enc_keys"]);
    set(&["a", "lie-on-status", "--for", "3600", "--also"]);
    assert_eq!(a.status("sae-b")["stored_key_count"], 101_000);
    assert_eq!(a.get("sae-b/enc_keys").retry_after.as_deref(), Some("5"));
    assert_eq!(a.enc("sae-b", 1, 64).len(), 1);
    set(&["a", "fewer-keys"]);
    assert_eq!(a.stored("sae-b"), 100_000);
    assert_eq!(a.enc("sae-b", 4, 64).len(), 2);
    set(&["a", "none"]);
    assert_eq!(a.enc("sae-b", 4, 64).len(), 4);
    for wrong in [&["a", "sulk"][..], &["q", "hang"], &["a", "hang", "3"], &["a", "slow", "-1"]] {
        assert!(!fault(folder, wrong).status.success(), "{wrong:?}");
    }
    let said = String::from_utf8(fault(folder, &["a", "sulk"]).stderr).unwrap();
    assert!(said.contains("wrong-key"), "{said}");
}

#[test]
fn what_can_not_be_is_said() {
    let place = tempfile::tempdir().unwrap();
    let wrong: [(&[&str], &str); 4] = [
        (&["--key-size", "100"], "multiples of 8"),
        (&["--sae", "x@nowhere"], "no KME has that name"),
        (&["--node", "a"], "NAME=ADDRESS:PORT"),
        (&["--max-answer", "1"], "max_answer_bytes"),
    ];
    for (options, expected) in wrong {
        let output = command().arg("serve").arg(place.path()).args(options).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
    fs::write(place.path().join("lab.toml"), "nonsense").unwrap();
    let output = command().arg("serve").arg(place.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("lab.toml makes no sense"), "{said}");
}
