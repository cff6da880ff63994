//! The few things that a store does to files. The twin over a ring is [`crate::queued`]; the ones
//! of the tests fail and lose power.

use rustix::fs::{OFlags, fsync, statvfs};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use warifu_buffers::Bytes;

/// Which file it is, and how long: two facts are of one file if `device` and `inode` agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) links: u64,
    pub(crate) bytes: u64,
    /// A plain file, no folder, symbolic link, socket or device.
    pub(crate) plain: bool,
}

impl Facts {
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// A file system, as far as a store needs one. Paths are never followed through a symbolic link
/// in their last component, folders aside.
pub(crate) trait Files: Send + Sync {
    /// Makes a folder for the owner alone, unless it exists; whether it was made.
    fn make_folder(&self, path: &Path) -> io::Result<bool>;
    /// A folder, open to be synced.
    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Makes a file for the owner alone, open for reading and writing. Fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Also where a commit that came to nothing left the file read-only.
    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    fn facts(&self, path: &Path) -> io::Result<Facts>;
    /// Gives a file a second name. Fails if that exists.
    fn link(&self, source: &Path, target: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, in any order.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// Bytes that this user may still write.
    fn room_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file or folder. Dropping it closes it and lets its lock go.
pub(crate) trait OpenFile: Send + Sync {
    /// Takes the exclusive lock if it is free; whether it was.
    fn try_lock(&self) -> io::Result<bool>;
    fn facts(&self) -> io::Result<Facts>;
    /// Writes, over what was there. It may return before the bytes are written: what comes of it
    /// is then told by a later call, `settle` at the latest.
    fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()>;
    /// Waits until nothing is on its way any more, and lets go what only writes need. A failure is
    /// told once.
    fn settle(&self) -> io::Result<()>;
    /// Cuts off what lies beyond `bytes`. Nothing may be on its way.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Fills `target`, or fails with `UnexpectedEof`. Nothing may be on its way.
    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()>;
    fn make_read_only(&self) -> io::Result<()>;
    /// Brings a file's contents and length, or a folder's names, to stable storage. Nothing may be
    /// on its way. A failure is final, whichever it is: what was written may be lost, and a second
    /// call would succeed without it.
    fn sync(&self) -> io::Result<()>;
}

/// The real one.
pub(crate) struct Disk;

impl Disk {
    pub(crate) fn create(path: &Path) -> io::Result<File> {
        Self::open(path, OpenOptions::new().write(true).create_new(true))
    }

    pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
        Self::open(path, &mut OpenOptions::new())
    }

    pub(crate) fn open_to_write(path: &Path) -> io::Result<File> {
        let open = || Self::open(path, OpenOptions::new().write(true));
        match open() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Self::open_to_read(path)?.set_permissions(Permissions::from_mode(0o600))?;
                open()
            }
            outcome => outcome,
        }
    }

    fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
        // Without NONBLOCK, opening a pipe that somebody put there would wait for ever.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.read(true).custom_flags(flags.bits().cast_signed()).mode(0o600).open(path)
    }
}

impl Files for Disk {
    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(PlainFile(File::open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(PlainFile(Self::create(path)?)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(PlainFile(Self::open_to_read(path)?)))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(PlainFile(Self::open_to_write(path)?)))
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        fs::symlink_metadata(path).map(|metadata| facts(&metadata))
    }

    fn link(&self, source: &Path, target: &Path) -> io::Result<()> {
        fs::hard_link(source, target)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn room_bytes(&self, path: &Path) -> io::Result<u64> {
        let room = statvfs(path)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }
}

/// A file or folder by plain calls.
pub(crate) struct PlainFile(pub(crate) File);

impl Drop for PlainFile {
    fn drop(&mut self) {
        // A process that is just being started has a copy of the descriptor until it becomes
        // another program, and the lock with it.
        drop(self.0.unlock());
    }
}

impl OpenFile for PlainFile {
    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn facts(&self) -> io::Result<Facts> {
        self.0.metadata().map(|metadata| facts(&metadata))
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.0.write_all_at(&bytes, offset)
    }

    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(target, offset)
    }

    fn make_read_only(&self) -> io::Result<()> {
        self.0.set_permissions(Permissions::from_mode(0o400))
    }

    fn sync(&self) -> io::Result<()> {
        // Once: a failure is told once, and `sync_all` would ask again after an interruption.
        Ok(fsync(&self.0)?)
    }
}

fn facts(metadata: &fs::Metadata) -> Facts {
    Facts {
        device: metadata.dev(),
        inode: metadata.ino(),
        links: metadata.nlink(),
        bytes: metadata.len(),
        plain: metadata.is_file(),
    }
}
