//! The binary, and processes of it.

use serde_json::Value;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// How long any one command may take before the test gives it up.
const PATIENCE: Duration = Duration::from_secs(600);

/// The binary under test, which the build put beside the tests.
///
/// # Panics
/// Where it has not been built.
#[must_use]
pub fn warifu() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().find(|folder| folder.join("warifu").is_file());
    let Some(folder) = folder else {
        panic!("there is no warifu beside {}: run ./tools/test, which builds it", own.display())
    };
    folder.join("warifu")
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; -9 where it was killed, and so on.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// The largest resident memory that was seen, in bytes.
    pub peak_bytes: u64,
}

impl Done {
    /// Expects an exit code.
    ///
    /// # Panics
    /// On any other.
    #[track_caller]
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, code, "stdout: {stdout}\nstderr: {}", self.stderr);
        self
    }

    /// Expects success.
    ///
    /// # Panics
    /// On failure.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// The one JSON document on standard output.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.stdout);
        match serde_json::from_slice(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {text:?}; stderr: {}", self.stderr),
        }
    }

    /// The JSON documents on standard output, one on each line.
    ///
    /// # Panics
    /// Where a line is none.
    #[track_caller]
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.stdout);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The last line on standard error, which `--json` makes a JSON document on failure.
    ///
    /// # Panics
    /// Where it is none.
    #[track_caller]
    #[must_use]
    pub fn exit_line(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        match serde_json::from_str(last) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {:?}", self.stderr),
        }
    }
}

/// A process under way; killed when it is dropped.
pub struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
    peak_bytes: u64,
}

impl Running {
    /// Starts the binary with `--vault VAULT` and `arguments`.
    ///
    /// # Panics
    /// Where it can't be started.
    #[must_use]
    pub fn start(vault: &Path, arguments: &[&str]) -> Self {
        let (stdout, stderr) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let file = |of: &NamedTempFile| Stdio::from(of.reopen().unwrap());
        let mut command = Command::new(warifu());
        command.arg("--vault").arg(vault).args(arguments).stdin(Stdio::null());
        let child = command.stdout(file(&stdout)).stderr(file(&stderr)).spawn().unwrap();
        Self { child, stdout, stderr, peak_bytes: 0 }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as kill -9 does, if it has not ended by itself.
    ///
    /// # Panics
    /// Where that fails.
    pub fn kill_nine(&mut self) {
        self.child.kill().unwrap();
    }

    /// Holds it where it is, as SIGSTOP does, until it is killed.
    ///
    /// # Panics
    /// Where that fails.
    pub fn pause(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    }

    /// Asks it to stop, as SIGTERM does.
    ///
    /// # Panics
    /// Where that fails.
    pub fn terminate(&self) {
        terminate(&self.child);
    }

    /// Waits for its first line on standard output.
    ///
    /// # Panics
    /// Where it ends before that.
    #[must_use]
    pub fn first_line(&mut self) -> String {
        loop {
            let text = std::fs::read_to_string(self.stdout.path()).unwrap();
            if let Some((line, _)) = text.split_once('\n') {
                return line.to_owned();
            }
            let ended = self.has_ended();
            assert!(!ended, "{}", std::fs::read_to_string(self.stderr.path()).unwrap());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// Where that can't be asked.
    pub fn has_ended(&mut self) -> bool {
        self.watch_memory();
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it takes longer than ten minutes.
    #[must_use]
    pub fn wait(mut self) -> Done {
        let started = Instant::now();
        while !self.has_ended() {
            assert!(started.elapsed() < PATIENCE, "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = self.child.wait().unwrap();
        Done {
            code: code_of(status),
            stdout: std::fs::read(self.stdout.path()).unwrap(),
            stderr: std::fs::read_to_string(self.stderr.path()).unwrap(),
            peak_bytes: self.peak_bytes,
        }
    }

    fn watch_memory(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let line = status.unwrap_or_default();
        let peak = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        self.peak_bytes = self.peak_bytes.max(kibibytes.unwrap_or(0) << 10);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A site daemon: its standard error goes to a file, and it has said that it is ready.
pub(crate) struct Daemon {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Daemon {
    /// Starts the site of this vault, with these variables in its environment.
    pub(crate) fn start(vault: &Path, environment: &[(&str, String)]) -> Self {
        use std::io::{BufRead, BufReader};
        let log = File::options().create(true).append(true).open(vault.join("log")).unwrap();
        let mut command = Command::new(warifu());
        command.arg("--vault").arg(vault).args(["--json", "-v", "site", "serve"]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = match serde_json::from_str(&line) {
            Ok(ready) => ready,
            Err(_) => {
                let log = std::fs::read_to_string(vault.join("log")).unwrap();
                panic!("the site does not start: {line:?} {log}")
            }
        };
        Self { child, address: ready["listen"].as_str().unwrap().to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill_nine(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it with SIGTERM and gives back its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        terminate(&self.child);
        code_of(self.child.wait().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn terminate(child: &Child) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}
