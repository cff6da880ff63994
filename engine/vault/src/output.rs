//! Files that are private until they are proved whole: one without a name, of which a killed
//! restore leaves nothing, and one with a name, from which a later restore goes on.

mod early;
mod part;

use crate::failure::Failure;
use early::EarlySync;
use part::PartFile;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use warifu_buffers::Block;
use warifu_core::ObjectId;

/// Bytes read at a time of what a part holds.
const READ_BYTES: usize = 1 << 20;

/// A file that data is restored into.
pub(crate) enum TargetFile {
    /// Of which nothing is left unless it is put.
    Unnamed(UnnamedFile),
    /// Which outlives this process.
    Part(PartFile),
}

impl TargetFile {
    /// An empty file in `folder` without a name.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub(crate) fn unnamed(folder: &Path) -> io::Result<Self> {
        UnnamedFile::create(folder).map(Self::Unnamed)
    }

    /// What an earlier restore of `object` left in `folder`, or an empty file of that name.
    ///
    /// # Errors
    /// Where another process uses it, it is not this user's own, or can't be opened.
    pub(crate) fn part(folder: &Path, object: ObjectId) -> Result<Self, Failure> {
        PartFile::open(folder, object).map(Self::Part)
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Unnamed(unnamed) => unnamed.file(),
            Self::Part(part) => part.file(),
        }
    }

    /// Bytes that an earlier restore left.
    pub(crate) fn held_bytes(&self) -> u64 {
        match self {
            Self::Unnamed(_) => 0,
            Self::Part(part) => part.held_bytes(),
        }
    }

    /// Cuts the file to `bytes`, reads those out in order, and goes on behind them.
    ///
    /// # Errors
    /// What the file system answers, or where there are fewer; `Interrupted` where `read` answers
    /// that it is enough.
    pub(crate) fn keep(&self, bytes: u64, read: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut file = self.file();
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(0))?;
        let mut piece = Block::zeroed(READ_BYTES);
        let mut left = bytes;
        while left > 0 {
            let now = left.min(READ_BYTES as u64) as usize;
            file.read_exact(&mut piece[..now])?;
            if !read(&piece[..now]) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            left -= now as u64;
        }
        Ok(())
    }

    /// Makes it durable, has it dressed in mode and times, and gives it its name, durably; an older
    /// file of that name goes only where `replace` says so.
    ///
    /// # Errors
    /// Where it can't be named so.
    pub(crate) fn put(
        self,
        target: &Path,
        replace: bool,
        dress: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Self::Unnamed(unnamed) = &self {
            unnamed.early.finish()?;
        }
        self.file().sync_all()?;
        dress(self.file())?;
        match self {
            Self::Unnamed(unnamed) => unnamed.put(target, replace),
            Self::Part(part) => part.put(target, replace),
        }
    }

    /// What becomes of the file when the restore failed: of a part, what proved right is kept.
    pub(crate) fn given_up(self, is_wrong: bool, failure: Failure) -> Failure {
        match self {
            Self::Unnamed(_) => failure,
            Self::Part(part) => part.given_up(is_wrong, failure),
        }
    }
}

impl Write for &TargetFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file().write(bytes)?;
        match self {
            TargetFile::Part(part) => part.written(written as u64)?,
            TargetFile::Unnamed(unnamed) => unnamed.early.written(self.file(), written as u64)?,
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A private file in the folder of its later name.
pub(crate) struct UnnamedFile {
    folder: PathBuf,
    file: Either,
    early: EarlySync,
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
        Ok(Self { folder: folder.to_owned(), file, early: EarlySync::default() })
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
        Err(Errno::EXIST) if replace => {}
        outcome => return Ok(outcome?),
    }
    // A link can't replace; a rename can, and this name exists only between the two.
    let free = NamedTempFile::with_prefix_in(".warifu-restore-", folder)?;
    let between = free.path().to_owned();
    drop(free);
    link(&between)?;
    std::fs::rename(&between, target).inspect_err(|_| drop(std::fs::remove_file(&between)))
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
            let file = TargetFile::unnamed(dir.path()).unwrap();
            (&file).write_all(content.as_bytes()).unwrap();
            assert_eq!(names(), before);
            assert_eq!(file.put(&target, replace, |_| Ok(())).is_ok(), succeeds);
            assert_eq!(names(), 1);
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"three");
    }
}
