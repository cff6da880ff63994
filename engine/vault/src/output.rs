//! Files that are private until they are proved whole: one without a name, of which a killed
//! restore leaves nothing, and one with a name, from which a later restore goes on.

use crate::failure::{Class, Failure};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, open, renameat_with};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
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
            Self::Part(part) => &part.file,
        }
    }

    /// Bytes that an earlier restore left.
    pub(crate) fn held_bytes(&self) -> u64 {
        match self {
            Self::Unnamed(_) => 0,
            Self::Part(part) => part.held_bytes,
        }
    }

    /// Cuts the file to `bytes`, reads those out in order, and goes on behind them.
    ///
    /// # Errors
    /// What the file system answers, or where there are fewer.
    pub(crate) fn keep(
        target: &mut &Self,
        bytes: u64,
        read: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut file = target.file();
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(0))?;
        let mut piece = Block::zeroed(READ_BYTES);
        let mut left = bytes;
        while left > 0 {
            let now = left.min(READ_BYTES as u64) as usize;
            file.read_exact(&mut piece[..now])?;
            read(&piece[..now]);
            left -= now as u64;
        }
        Ok(())
    }

    /// Gives it its name, durably; an older file of that name goes only where `replace` says so.
    ///
    /// # Errors
    /// Where it can't be named so.
    pub(crate) fn put(self, target: &Path, replace: bool) -> io::Result<()> {
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
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A private file with a name, held by one process at a time.
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    held_bytes: u64,
}

impl PartFile {
    fn open(folder: &Path, object: ObjectId) -> Result<Self, Failure> {
        let path = folder.join(format!(".warifu-restore-{object}.part"));
        let what = || format!("can't use {}", path.display());
        let failed = |error| Failure::new(Class::Other, "output", what()).because(error);
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = open(&path, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR);
            let file = File::from(file.map_err(|error| failed(error.into()))?);
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let what = format!("another restore is writing {}", path.display());
                    return Err(Failure::new(Class::Busy, "restore-running", what)
                        .next("wait until it has ended"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let metadata = file.metadata().map_err(failed)?;
            // The one who held the lock may have given the file its last name meanwhile.
            let named = std::fs::symlink_metadata(&path);
            let is_named = named
                .is_ok_and(|named| (named.dev(), named.ino()) == (metadata.dev(), metadata.ino()));
            if !is_named {
                continue;
            }
            let is_own =
                metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.nlink() == 1;
            if !is_own {
                return Err(Failure::new(Class::Other, "part-not-own", what())
                    .next("it is not a file of this user alone: look at it, and remove it"));
            }
            // One that was killed just before its end may have given it its last mode already.
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
            return Ok(Self { path, file, held_bytes: metadata.len() });
        }
    }

    fn put(self, target: &Path, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replace {
            std::fs::rename(&self.path, target)?;
        } else {
            match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => {
                    std::fs::hard_link(&self.path, target)?;
                    std::fs::remove_file(&self.path)?;
                }
                outcome => outcome?,
            }
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    fn given_up(self, is_wrong: bool, failure: Failure) -> Failure {
        let kept_bytes = self.file.metadata().map_or(0, |metadata| metadata.len());
        if !is_wrong && kept_bytes > 0 {
            let advice = format!(
                "{kept_bytes} bytes are kept in {}: run it again with --resume, or remove it",
                self.path.display()
            );
            return match failure.advice() {
                "" => failure.next(advice),
                earlier => {
                    let both = format!("{earlier}; {advice}");
                    failure.next(both)
                }
            };
        }
        let removed = std::fs::remove_file(&self.path);
        match (removed, is_wrong) {
            (Err(error), _) => {
                tracing::error!(path = %self.path.display(), %error, "can't remove the part");
                let path = self.path.display();
                failure.next(format!("remove {path}: what is in it is not the object"))
            }
            (Ok(()), true) if self.held_bytes > 0 => {
                failure.next("what an earlier restore had left is removed: restore it afresh")
            }
            (Ok(()), _) => failure,
        }
    }
}

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
            assert_eq!(file.put(&target, replace).is_ok(), succeeds);
            assert_eq!(names(), 1);
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"three");
    }

    const OBJECT: ObjectId = ObjectId::from_bytes([7; 16]);

    fn refusal(folder: &Path) -> Failure {
        TargetFile::part(folder, OBJECT).err().unwrap()
    }

    #[test]
    fn a_part_has_one_writer_and_stays_until_it_is_put_or_proved_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let open = || TargetFile::part(dir.path(), OBJECT).unwrap();
        let give_up = |file: TargetFile, is_wrong| {
            file.given_up(is_wrong, Failure::new(Class::Temporary, "code", "what").next("wait"))
        };
        let failure = give_up(open(), false);
        assert_eq!((names(), failure.advice()), (0, "wait"), "nothing is kept of nothing");

        let file = open();
        (&file).write_all(b"hello world").unwrap();
        assert_eq!(refusal(dir.path()).class(), Class::Busy);
        let failure = give_up(file, false);
        assert!(failure.advice().starts_with("wait; 11 bytes are kept"), "{}", failure.advice());

        let file = open();
        assert_eq!((file.held_bytes(), names()), (11, 1));
        let mut read = Vec::new();
        TargetFile::keep(&mut &file, 5, &mut |bytes| read.extend_from_slice(bytes)).unwrap();
        (&file).write_all(b", you").unwrap();
        assert_eq!(read, b"hello");
        let target = dir.path().join("out");
        file.put(&target, false).unwrap();
        assert_eq!((names(), std::fs::read(&target).unwrap()), (1, b"hello, you".to_vec()));

        let file = open();
        assert_eq!(file.held_bytes(), 0, "what has its last name is no part any more");
        (&file).write_all(b"again").unwrap();
        let mode = file.file().metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(file.put(&target, false).is_err(), "nothing is replaced");
        let file = open();
        assert!(TargetFile::keep(&mut &file, 5, &mut |_| ()).is_ok());
        file.put(&target, true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"again");

        let file = open();
        (&file).write_all(b"wrong").unwrap();
        drop(give_up(file, true));
        assert_eq!(names(), 1, "what is proved wrong is removed");
    }

    #[test]
    fn a_part_is_one_users_own_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join(format!(".warifu-restore-{OBJECT}.part"));
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, b"precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
        assert_eq!(refusal(dir.path()).code(), "output");
        std::fs::remove_file(&part).unwrap();
        std::fs::hard_link(&elsewhere, &part).unwrap();
        assert_eq!(refusal(dir.path()).code(), "part-not-own");
        std::fs::remove_file(&part).unwrap();
        std::fs::create_dir(&part).unwrap();
        assert_eq!(refusal(dir.path()).code(), "output");
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");
    }
}
