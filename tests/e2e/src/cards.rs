//! Cards: tokens of SoftHSM2, and a stand-in for the My Number Card in a virtual reader.

use crate::process::{Done, warifu};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The driver of SoftHSM2, as Debian installs it.
pub const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// The driver of OpenSC, which the loader finds.
pub const OPENSC: &str = "opensc-pkcs11.so";

/// Where pcscd listens.
const PCSCD: &str = "/run/pcscd/pcscd.comm";

/// How long a reader may take to see its card come or go.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a lab's CA, keys and SoftHSM2's tokens.
pub struct CardLab {
    root: tempfile::TempDir,
}

impl CardLab {
    /// An empty one, with SoftHSM2's settings.
    ///
    /// # Panics
    /// Where it can't be made.
    #[must_use]
    pub fn new() -> Self {
        let lab = Self { root: tempfile::tempdir().unwrap() };
        let tokens = lab.path("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let settings = format!("directories.tokendir = {}\n", tokens.display());
        std::fs::write(lab.path("softhsm2.conf"), settings).unwrap();
        lab
    }

    /// A file of it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Its path as text.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A file with these bytes: its path.
    ///
    /// # Panics
    /// Where it can't be written.
    #[must_use]
    pub fn file(&self, name: &str, bytes: &str) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    /// The binary with the lab's vault, `--json` and these words.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Done {
        self.done(Command::new(warifu()).arg("--json").args(words))
    }

    /// Runs a command with the lab's vault and tokens to its end.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn done(&self, command: &mut Command) -> Done {
        let command = command.env("WARIFU_VAULT", self.path("vault")).stdin(Stdio::null());
        let output = command.env("SOFTHSM2_CONF", self.path("softhsm2.conf")).output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Done { code, stdout: output.stdout, stderr, peak_bytes: 0 }
    }

    /// Makes `NAME.key` and `NAME.crt` under the lab's CA: what names them as a card.
    ///
    /// # Panics
    /// Where they can't be made.
    #[must_use]
    pub fn file_card(&self, name: &str, algorithm: &str) -> String {
        let (ca, out) = (self.text("ca"), self.text(name));
        let words = ["card", "new-lab", "--ca", &ca, "--subject", name, "--out", &out];
        let made = self.run(&[&words[..], &["--algorithm", algorithm]].concat()).ok().json();
        made["card"].as_str().unwrap().to_owned()
    }

    /// Puts `NAME.key` and `NAME.crt` on a new token of SoftHSM2 with this label and PIN.
    ///
    /// # Panics
    /// Where SoftHSM2 or OpenSC's tools don't do it.
    pub fn token(&self, label: &str, name: &str, pin: &str) {
        let der = self.text(&format!("{name}.der"));
        let (key, certificate) =
            (self.text(&format!("{name}.key")), self.text(&format!("{name}.crt")));
        let lines = [
            format!(
                "softhsm2-util --init-token --free --label {label} --pin {pin} --so-pin 87654321"
            ),
            format!("softhsm2-util --import {key} --token {label} --label k --id 01 --pin {pin}"),
            format!("openssl x509 -in {certificate} -outform der -out {der}"),
            format!(
                "pkcs11-tool --module {SOFTHSM} --token-label {label} --login --pin {pin} \
                 --write-object {der} --type cert --id 01 --label c"
            ),
        ];
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let _done = self.done(Command::new(words[0]).args(&words[1..])).ok();
        }
    }
}

impl Default for CardLab {
    fn default() -> Self {
        Self::new()
    }
}

/// What is missing on this machine for tokens of SoftHSM2.
#[must_use]
pub fn softhsm_lacks() -> Option<&'static str> {
    let programs = ["softhsm2-util", "pkcs11-tool", "openssl"];
    let missing = programs.into_iter().find(|program| !is_installed(program));
    missing.or_else(|| (!Path::new(SOFTHSM).exists()).then_some("libsofthsm2.so"))
}

/// What is missing on this machine for the stand-in of the My Number Card.
#[must_use]
pub fn jpki_lacks() -> Option<&'static str> {
    let programs = ["pkcs11-tool", "pcscd", "python3", "openssl"];
    let missing = programs.into_iter().find(|program| !is_installed(program));
    let reader = Path::new("/etc/reader.conf.d/vpcd").exists();
    let may_start = is_pcscd_up() || rustix::process::geteuid().is_root();
    missing
        .or_else(|| (!reader).then_some("vsmartcard-vpcd"))
        .or_else(|| (!may_start).then_some("pcscd that runs, or the right to run it,"))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}

fn is_pcscd_up() -> bool {
    UnixStream::connect(PCSCD).is_ok()
}

/// The virtual reader of this machine, which one test at a time has.
pub struct Reader {
    card: Option<Child>,
    daemon: Option<Child>,
    _turn: File,
}

impl Reader {
    /// Waits for its turn, and for pcscd, which it starts where nobody has.
    ///
    /// # Panics
    /// Where pcscd does not start.
    #[must_use]
    pub fn take() -> Self {
        let turn = std::env::temp_dir().join("warifu-test-reader.lock");
        let turn = File::options().create(true).append(true).open(turn).unwrap();
        turn.lock().unwrap();
        let mut reader = Self { card: None, daemon: None, _turn: turn };
        if !is_pcscd_up() {
            let mut command = Command::new("/usr/sbin/pcscd");
            command.args(["--foreground", "--critical"]).stdin(Stdio::null());
            let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
            reader.daemon = Some(quiet.spawn().unwrap());
            until("pcscd listens", is_pcscd_up);
        }
        reader
    }

    /// Puts the card in: keys and certificates of `lab` by their names, and more `options` of
    /// `tests/cards/jpki_card.py`.
    ///
    /// # Panics
    /// Where the reader does not take it.
    pub fn insert(&mut self, lab: &CardLab, name: &str, options: &[&str]) {
        assert!(self.card.is_none(), "a card is in the reader");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cards/jpki_card.py");
        let mut command = Command::new("python3");
        command.arg(script).arg("--key").arg(lab.path(&format!("{name}.key")));
        command.arg("--certificate").arg(lab.path(&format!("{name}.crt")));
        command.arg("--ca").arg(lab.path("ca/ca.crt")).arg("--log").arg(lab.path("apdus"));
        let mut card =
            command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(card.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        self.card = Some(card);
        until("the reader sees its card", || is_seen(lab));
    }

    /// Takes the card out.
    ///
    /// # Panics
    /// Where the reader does not notice.
    pub fn remove(&mut self, lab: &CardLab) {
        self.kill_card();
        until("the reader sees that its card is gone", || !is_seen(lab));
    }

    fn kill_card(&mut self) {
        if let Some(mut card) = self.card.take() {
            let _ended = card.kill();
            let _reaped = card.wait();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.kill_card();
        if let Some(mut daemon) = self.daemon.take() {
            let id = rustix::process::Pid::from_child(&daemon);
            let _told = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            let _reaped = daemon.wait();
        }
    }
}

/// Whether OpenSC's own tool sees a card. It only asks for slots, so it counts no try of a PIN.
fn is_seen(lab: &CardLab) -> bool {
    let listed = lab.done(Command::new("pkcs11-tool").arg("--list-slots"));
    String::from_utf8_lossy(&listed.stdout).contains("JPKI")
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < READER_PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often the card was given a PIN, by the log of its commands.
///
/// # Panics
/// Where there is no log.
#[must_use]
pub fn pins_given(lab: &CardLab) -> usize {
    let mut log = String::new();
    File::open(lab.path("apdus")).unwrap().read_to_string(&mut log).unwrap();
    // 00 20 00 80, then the length of the PIN, where one is given.
    log.lines()
        .filter(|line| line.starts_with("002000800") && !line.starts_with("0020008000"))
        .count()
}
