//! Restores that die: by default nothing is left of them, with `--resume` the next one goes on.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use warifu_e2e::{Backup, Fault, Flow, Lab, Strike, sample};

const OBJECT_BYTES: usize = (20 << 20) + 345;

/// What a site that is asked sends before it is held up: more than is asked for at once.
const SENT_BYTES: u64 = 14 << 20;

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a restore, holds its answers up when most of them have come, and kills it as soon as
/// `is_time`.
fn kill_a_restore(stage: &Stage, more: &[&str], is_time: impl Fn() -> bool) {
    let (told, struck) = channel();
    let mut held_up = Vec::new();
    for site in &stage.lab.sites {
        let (go_on, wait) = channel::<()>();
        let told = told.clone();
        let call = Box::new(move || {
            told.send(()).unwrap_or_default();
            // Until the other end is dropped.
            let _dropped = wait.recv();
        });
        let fault = Fault { flow: Flow::Down, at: SENT_BYTES, strike: Strike::Call(call) };
        site.proxy().arm(fault);
        held_up.push(go_on);
    }
    let output = stage.folder.join("out");
    let words = ["--json", "restore", &stage.object, "-o", output.to_str().unwrap()];
    let mut restore = stage.lab.spawn(&[&words[..], more].concat());
    for _ in 0..2 {
        struck.recv_timeout(PATIENCE).unwrap();
    }
    let started = Instant::now();
    while !is_time() {
        assert!(started.elapsed() < PATIENCE && !restore.has_ended());
    }
    restore.kill_nine();
    assert_eq!(restore.wait().code, -9);
    drop(held_up);
    for site in &stage.lab.sites {
        // The one that was not asked must not strike later.
        let never = Fault { flow: Flow::Down, at: u64::MAX, strike: Strike::Cut };
        site.proxy().arm(never);
    }
}

struct Stage {
    lab: Lab,
    object: String,
    data: Vec<u8>,
    folder: PathBuf,
}

impl Stage {
    fn new(compress: &str) -> Self {
        let lab = Lab::recorded(3, 200 << 20);
        let mut data = sample(30, OBJECT_BYTES);
        if compress == "zstd" {
            // Half of each frame compresses to nothing.
            data.chunks_mut(1 << 19).step_by(4).for_each(|part| part.fill(b'A'));
        }
        let file = lab.file("in", &data);
        let backup = Backup { more: &["--compress", compress], ..Backup::of(&file, "2/3") };
        let report = lab.backup(backup).ok().json();
        let object = report["object"].as_str().unwrap().to_owned();
        let folder = lab.path("folder");
        fs::create_dir(&folder).unwrap();
        Self { lab, object, data, folder }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn part(&self) -> PathBuf {
        self.folder.join(format!(".warifu-restore-{}.part", self.object))
    }

    /// Kills a restore with `--resume` that has written two megabytes.
    fn kill_a_resumable(&self) {
        let written = || fs::metadata(self.part()).map_or(0, |part| part.len());
        kill_a_restore(self, &["--resume"], || written() > 2 << 20);
    }

    fn resume(&self) -> warifu_e2e::Done {
        let output = self.folder.join("out");
        let words = ["--json", "restore", &self.object, "-o", output.to_str().unwrap()];
        self.lab.run(&[&words[..], &["--resume"]].concat())
    }

    fn expect_out(&self) {
        assert_eq!(self.names(), ["out"], "the object and nothing beside it");
        assert!(fs::read(self.folder.join("out")).unwrap() == self.data);
    }
}

#[test]
fn a_killed_restore_leaves_nothing_by_default() {
    let stage = Stage::new("none");
    kill_a_restore(&stage, &[], || true);
    assert!(stage.names().is_empty(), "{:?}", stage.names());
}

#[test]
fn a_killed_restore_goes_on_where_it_was() {
    use std::os::unix::fs::PermissionsExt;
    for compress in ["none", "zstd"] {
        let stage = Stage::new(compress);
        let whole = stage.lab.expect_back(&stage.object, &stage.data);
        stage.kill_a_resumable();
        let part = fs::metadata(stage.part()).unwrap();
        assert!(part.len() > 2 << 20, "{compress}: {} bytes were there", part.len());
        assert_eq!(part.permissions().mode() & 0o777, 0o600);
        assert_eq!(stage.names().len(), 1);
        let rest = stage.resume().ok().json();
        assert_eq!(rest["bytes"], OBJECT_BYTES);
        let key = |report: &serde_json::Value| report["key_bytes"].as_u64().unwrap();
        let saved = key(&whole).saturating_sub(key(&rest));
        assert!(saved > 2 << 20, "{compress}: key of the two: {whole} {rest}");
        stage.expect_out();
        let _summary = stage.lab.expect_key_used_once();
    }
}

#[test]
fn what_was_left_and_rotted_is_found_and_removed() {
    for compress in ["none", "zstd"] {
        let stage = Stage::new(compress);
        stage.kill_a_resumable();
        let mut left = fs::read(stage.part()).unwrap();
        left[100_000] ^= 1;
        fs::write(stage.part(), &left).unwrap();
        let done = stage.resume().exits(4);
        assert!(done.stderr.contains("part-bad"), "{}", done.stderr);
        assert!(done.exit_line()["next"].as_str().unwrap().contains("afresh"), "{done:?}");
        assert!(stage.names().is_empty(), "{:?}", stage.names());
        let _report = stage.resume().ok();
        stage.expect_out();
    }
}

#[test]
fn a_restore_that_lacks_sites_keeps_what_it_has() {
    let mut stage = Stage::new("none");
    stage.kill_a_resumable();
    let left = fs::metadata(stage.part()).unwrap().len();
    stage.lab.sites.iter_mut().take(2).for_each(warifu_e2e::Site::stop);
    let done = stage.resume().exits(6);
    assert!(done.exit_line()["next"].as_str().unwrap().contains("--resume"), "{done:?}");
    assert_eq!(fs::metadata(stage.part()).unwrap().len(), left);
    stage.lab.sites.iter_mut().take(2).for_each(warifu_e2e::Site::start);
    let _report = stage.resume().ok();
    stage.expect_out();
}

#[test]
fn what_is_no_file_is_left_as_it_is_before_any_key_is_spent() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let lab = Lab::recorded(3, 64 << 20);
    let data = sample(31, 1_500_000);
    let object = lab.store(&lab.file("in", &data), "2/3");
    let folder = lab.path("folder");
    fs::create_dir(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    symlink(lab.path("elsewhere"), path("dangling")).unwrap();
    let before = lab.ask(&["key", "status"]);
    for output in [folder.to_str().unwrap().to_owned(), path("dangling"), path("new/")] {
        let done = lab.run(&["--json", "restore", &object, "-o", &output]).exits(2);
        assert!(done.stderr.contains("output-kind"), "{}", done.stderr);
    }
    assert_eq!(lab.ask(&["key", "status"]), before, "nothing was asked for");
    let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
    assert!(made.success());
    let pipe = path("pipe");
    let restore = lab.spawn(&["restore", &object, "-o", &pipe]);
    assert!(fs::read(&pipe).unwrap() == data, "as to standard output");
    assert_eq!(restore.wait().code, 0);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let _resumed = lab.run(&["restore", &object, "-o", &pipe, "--resume"]).exits(2);
    fs::write(path("file"), b"old").unwrap();
    symlink("file", path("link")).unwrap();
    let _done = lab.run(&["restore", &object, "-o", &path("link")]).ok();
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    assert!(fs::read(path("file")).unwrap() == data);
    let _summary = lab.expect_key_used_once();
}
