//! A file that has no name until it is proved whole, so that a killed restore leaves nothing.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A private file in the folder of its later name.
pub(crate) struct UnnamedFile {
    folder: PathBuf,
    file: Either,
}

enum Either {
    /// The system removes it when it is closed.
    Nameless(File),
    /// Where the file system knows no nameless files.
    Temporary(NamedTempFile),
}

impl UnnamedFile {
    /// An empty file in `folder`.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        // Its name comes by way of /proc later on.
        let has_proc = Path::new("/proc/self/fd").is_dir();
        let file = match open(folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(descriptor) if has_proc => Either::Nameless(File::from(descriptor)),
            _ => {
                let file = NamedTempFile::with_prefix_in(".warifu-restore-", folder)?;
                Either::Temporary(file)
            }
        };
        Ok(Self { folder: folder.to_owned(), file })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        match &self.file {
            Either::Nameless(file) => file,
            Either::Temporary(file) => file.as_file(),
        }
    }

    /// Gives it its name, durably; an older file of that name goes only where `replace` says so.
    ///
    /// # Errors
    /// Where it can't be named so. Nothing of it is left then.
    pub(crate) fn put(self, target: &Path, replace: bool) -> io::Result<()> {
        self.file().sync_all()?;
        match self.file {
            Either::Nameless(file) => name(&file, &self.folder, target, replace)?,
            Either::Temporary(file) if replace => drop(file.persist(target)?),
            Either::Temporary(file) => drop(file.persist_noclobber(target)?),
        }
        File::open(&self.folder)?.sync_all()
    }
}

fn name(file: &File, folder: &Path, target: &Path, replace: bool) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |target: &Path| linkat(CWD, &own, CWD, target, AtFlags::SYMLINK_FOLLOW);
    match link(target) {
        Err(rustix::io::Errno::EXIST) if replace => {}
        outcome => return Ok(outcome?),
    }
    // A link can't replace; a rename can, and this name exists only between the two.
    let free = NamedTempFile::with_prefix_in(".warifu-restore-", folder)?;
    let between = free.path().to_owned();
    drop(free);
    link(&between)?;
    std::fs::rename(&between, target).inspect_err(|_| drop(std::fs::remove_file(&between)))
}

impl Write for UnnamedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.file();
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_before_it_is_put_and_then_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let target = dir.path().join("out");
        for (content, replace, succeeds) in
            [("one", false, true), ("two", false, false), ("three", true, true)]
        {
            let before = names();
            let mut file = UnnamedFile::create(dir.path()).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            assert_eq!(names(), before);
            assert_eq!(file.put(&target, replace).is_ok(), succeeds);
            assert_eq!(names(), 1);
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"three");
    }
}
