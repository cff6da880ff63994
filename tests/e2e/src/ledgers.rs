//! The independent checker of ledgers and captures.

use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is to be checked together.
#[derive(Default)]
pub struct LedgerCheck {
    ledgers: Vec<PathBuf>,
    captures: Vec<PathBuf>,
}

impl LedgerCheck {
    /// Adds all ledgers of the vault in `dir`.
    ///
    /// # Panics
    /// Where the vault can't be read.
    #[must_use]
    pub fn vault(mut self, dir: &Path) -> Self {
        let pools = std::fs::read_dir(dir.join("keys").join("pools")).unwrap();
        let ledgers = pools.map(|pool| pool.unwrap().path().join("ledger"));
        self.ledgers.extend(ledgers.filter(|ledger| ledger.is_file()));
        self
    }

    /// Adds all captures in `dir`.
    ///
    /// # Panics
    /// Where the folder can't be read.
    #[must_use]
    pub fn captures(mut self, dir: &Path) -> Self {
        let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        self.captures.extend(files);
        self
    }

    /// Runs `tests/vectors/ledger_check.py` and gives back its summary.
    ///
    /// # Panics
    /// Where a range was used twice, anything else is wrong, or nothing was compared though there
    /// are captures.
    #[track_caller]
    #[must_use]
    pub fn is_clean(&self) -> Value {
        let summary = self.summary();
        let violations = summary["violations"].as_array().unwrap();
        assert!(violations.is_empty(), "{violations:#?}");
        if !self.captures.is_empty() {
            assert!(summary["frames_against_ledgers"].as_u64().unwrap() > 0, "{summary:#}");
        }
        summary
    }

    /// The checker's summary, violations or not.
    ///
    /// # Panics
    /// Where the checker itself fails.
    #[must_use]
    pub fn summary(&self) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/ledger_check.py");
        let mut command = Command::new(python());
        command.arg(script).arg("--ledger").args(&self.ledgers);
        if !self.captures.is_empty() {
            command.arg("--capture").args(&self.captures);
        }
        let output = command.output().unwrap();
        match serde_json::from_slice(&output.stdout) {
            Ok(summary) => summary,
            Err(error) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                panic!("{error}: {stderr}; ./tools/test makes a Python that has what it needs")
            }
        }
    }
}

/// `WARIFU_TEST_PYTHON`, else what `./tools/test` made, else the system's.
fn python() -> OsString {
    if let Some(named) = std::env::var_os("WARIFU_TEST_PYTHON") {
        return named;
    }
    let own = std::env::current_exe().unwrap();
    let mut made = own.ancestors().map(|folder| folder.join("test-python/bin/python"));
    made.find(|python| python.is_file()).map_or_else(|| "python3".into(), PathBuf::into_os_string)
}
