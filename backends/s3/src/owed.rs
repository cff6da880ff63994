//! Multipart uploads that are under way: noted on disk, so that what a crash leaves is aborted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use warifu_backend::ShareName;

/// A folder with a file for each upload: its name is the share's, its contents the upload's ID.
pub(crate) struct Owed {
    folder: PathBuf,
}

impl Owed {
    /// The notes in `folder`, which is made where its parent exists.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { folder: folder.to_owned() }),
        }
    }

    /// All notes. One that a crash cut short names no upload: it was not begun.
    pub(crate) fn all(&self) -> io::Result<Vec<(ShareName, String)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|name| ShareName::new(name).ok());
            let id = fs::read_to_string(entry.path())?;
            if let (Some(name), Some(id)) = (name, id.strip_suffix('\n')) {
                all.push((name, id.to_owned()));
            }
        }
        Ok(all)
    }

    /// The upload that is noted under this name.
    pub(crate) fn of(&self, name: &ShareName) -> io::Result<Option<String>> {
        let found = self.all()?.into_iter().find(|(noted, _)| noted == name);
        Ok(found.map(|(_, id)| id))
    }

    /// Notes, durably, that `id` is under way, over whatever was noted under this name.
    pub(crate) fn note(&self, name: &ShareName, id: &str) -> io::Result<()> {
        let mut file = File::create(self.folder.join(name.as_str()))?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Takes the note away: nothing of it is left.
    pub(crate) fn settle(&self, name: &ShareName) -> io::Result<()> {
        match fs::remove_file(self.folder.join(name.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
