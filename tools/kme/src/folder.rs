//! The lab's folder: where things are, and writes that a kill can't leave half done.

use crate::lab::LabError;
use crate::setup::LabSetup;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest file that is read from the folder, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What the name of a file ends in until it is whole.
const HALF_WRITTEN: &str = "new";

/// The paths of a lab.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    All,
    Owner,
}

impl Folder {
    /// The folder `root`, made where it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, LabError> {
        let folder = Self { root: root.to_owned() };
        for path in [root.to_owned(), root.join("kme"), root.join("sae"), root.join("faults")] {
            fs::create_dir_all(&path).map_err(|source| LabError::File { path, source })?;
        }
        let root = fs::canonicalize(root).map_err(|source| folder.failed(root, source))?;
        Ok(Self { root })
    }

    /// Takes the folder for this process until the file is closed, and removes what a kill left
    /// half written.
    pub(crate) fn lock(&self) -> Result<File, LabError> {
        let path = self.root.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| self.failed(&path, source))?;
        match file.try_lock() {
            Ok(()) => {
                self.sweep()?;
                Ok(file)
            }
            Err(fs::TryLockError::WouldBlock) => Err(LabError::Busy { folder: self.root.clone() }),
            Err(fs::TryLockError::Error(source)) => Err(self.failed(&path, source)),
        }
    }

    /// The faults are left alone: other processes write them.
    fn sweep(&self) -> Result<(), LabError> {
        for part in [self.root.clone(), self.root.join("kme"), self.root.join("sae")] {
            let entries = fs::read_dir(&part).map_err(|source| self.failed(&part, source))?;
            for entry in entries {
                let path = entry.map_err(|source| self.failed(&part, source))?.path();
                if path.extension().is_some_and(|extension| extension == HALF_WRITTEN) {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn ca(&self) -> (PathBuf, PathBuf) {
        (self.root.join("ca.pem"), self.root.join("ca.key.pem"))
    }

    /// Certificate and key of a KME.
    pub(crate) fn node(&self, name: &str) -> (PathBuf, PathBuf) {
        let kme = self.root.join("kme");
        (kme.join(format!("{name}.pem")), kme.join(format!("{name}.key.pem")))
    }

    /// Certificate and key of an application.
    pub(crate) fn sae(&self, name: &str) -> (PathBuf, PathBuf) {
        let (sae, name) = (self.root.join("sae"), file_name(name));
        (sae.join(format!("{name}.pem")), sae.join(format!("{name}.key.pem")))
    }

    /// What is wrong with a KME on purpose.
    pub(crate) fn faults(&self, node: &str) -> PathBuf {
        self.root.join("faults").join(format!("{node}.json"))
    }

    /// The set-up, where there is one.
    pub(crate) fn setup(&self) -> Result<Option<LabSetup>, LabError> {
        let path = self.root.join("lab.toml");
        let Some(text) = read(&path)? else { return Ok(None) };
        toml::from_str(&text)
            .map(Some)
            .map_err(|source| LabError::Remembered { path, source: source.into() })
    }

    pub(crate) fn remember(&self, setup: &LabSetup) -> Result<(), LabError> {
        let path = self.root.join("lab.toml");
        let text = toml::to_string(setup).map_err(|source| LabError::Unwritable { source })?;
        let text = format!("# Made by warifu-kme, which reads it at each start.\n{text}");
        write(&path, text.as_bytes(), Readers::All)
    }

    fn failed(&self, path: &Path, source: std::io::Error) -> LabError {
        LabError::File { path: path.to_owned(), source }
    }
}

/// A file's text, or `None` where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, LabError> {
    let failed = |source| LabError::File { path: path.to_owned(), source };
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if length > FILE_MAX_BYTES {
        return Err(failed(ErrorKind::FileTooLarge.into()));
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file so that whoever reads it finds the old content or the new, whole.
pub(crate) fn write(path: &Path, content: &[u8], readers: Readers) -> Result<(), LabError> {
    let failed = |source| LabError::File { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.{HALF_WRITTEN}", std::process::id()));
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(LabError::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// A name of a file for any name: what is not plain is written as %XX, byte by byte.
fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    name.bytes().fold(String::new(), |text, byte| {
        if plain(byte) {
            text + &char::from(byte).to_string()
        } else {
            text + &format!("%{byte:02X}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        assert_eq!(file_name("sae-a_1"), "sae-a_1");
        assert_eq!(file_name("../é"), "%2E%2E%2F%C3%A9");
    }

    #[test]
    fn one_process_at_a_time_and_it_sweeps_up() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let half = place.path().join("sae/x.pem.17.new");
        fs::write(&half, "-----BEGIN").unwrap();
        let held = folder.lock().unwrap();
        assert!(!half.exists());
        assert!(matches!(folder.lock(), Err(LabError::Busy { .. })));
        drop(held);
        folder.lock().unwrap();
    }
}
