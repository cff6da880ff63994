//! What the key store does to files, so that tests can cut the power.

use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_getfl, fcntl_setfl};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_buffers::ALIGNMENT;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// It must exist.
    Existing,
    /// It is created where it does not exist.
    Create,
    /// It must not exist.
    CreateNew,
}

/// A place for files. Paths are relative to its root; absolute ones (a courier's drive) stand for
/// themselves.
pub trait Medium: Send + Sync {
    /// Creates a folder and those above it. One that exists is no error.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path, opening: Opening) -> io::Result<Arc<dyn MediumFile>>;

    /// Gives a file another name, replacing what has it.
    ///
    /// # Errors
    /// What the system says; `CrossesDevices` where only a copy would do.
    fn rename(&self, source: &Path, target: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says. It is never tried again.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Whether a thread of the key store may use it beside who asks for something: used key is then
    /// destroyed while the work goes on. Where the order of all that is done must not be left to
    /// threads, it is destroyed by who used it.
    fn takes_threads(&self) -> bool {
        false
    }
}

/// An open file. Its locks end when it is dropped, or its process ends.
pub trait MediumFile: Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Fills `target` with the bytes at `at`.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` where the file ends before.
    fn read_at(&self, at: u64, target: &mut [u8]) -> io::Result<()>;

    /// Writes all of `source` at `at`.
    ///
    /// # Errors
    /// What the system says. Part may have been written.
    fn write_at(&self, at: u64, source: &[u8]) -> io::Result<()>;

    /// As [`write_at`](Self::write_at), past the system's cache where the medium can do so and
    /// place, length and memory are whole pages: what is written once and read much later leaves
    /// others their place there, and is copied once less. Nobody else may use the file meanwhile.
    ///
    /// # Errors
    /// What the system says. Part may have been written.
    fn write_past_cache(&self, at: u64, source: &[u8]) -> io::Result<()> {
        self.write_at(at, source)
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// What the system says. It is never tried again.
    fn sync(&self) -> io::Result<()>;

    /// Overwrites a range with zeros; [`sync`](Self::sync) makes that durable.
    ///
    /// # Errors
    /// What the system says. Part may have been overwritten.
    fn overwrite(&self, at: u64, length: u64) -> io::Result<()>;

    /// Gives the room of a range back, where the medium can. It was overwritten, durably, and reads
    /// as zeros before and after.
    fn discard(&self, _at: u64, _length: u64) {}

    /// Overwrites a range with zeros, durably, and gives its room back where that is possible.
    ///
    /// # Errors
    /// What the system says.
    fn erase(&self, at: u64, length: u64) -> io::Result<()> {
        self.overwrite(at, length)?;
        self.sync()?;
        self.discard(at, length);
        Ok(())
    }

    /// Waits for the exclusive lock and takes it.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self) -> io::Result<()>;

    /// Takes the exclusive lock where nobody has it; says whether it did.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self) -> io::Result<bool>;

    /// Gives the lock back.
    ///
    /// # Errors
    /// What the system says.
    fn unlock(&self) -> io::Result<()>;

    /// Whether its name still leads to this very file, and not to one put in its place.
    ///
    /// # Errors
    /// What the system says.
    fn is_named(&self) -> io::Result<bool>;
}

/// What is overwritten by one call at most. Shorter calls cost more, and longer ones leave a core's
/// second cache.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A folder of the file system.
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The folder at `root`; it is created when it is first used.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Medium for Directory {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.root.join(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join(path))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Arc<dyn MediumFile>> {
        let path = self.root.join(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(opening == Opening::Create)
            .create_new(opening == Opening::CreateNew)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)?;
        // Nothing here is ever a link, a pipe or a device; on a courier's drive it might be.
        let meta = file.metadata()?;
        if !meta.is_file() || meta.nlink() > 1 {
            let text = "it is no plain file of its own";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Arc::new(DiskFile { path, file }))
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        std::fs::rename(self.root.join(source), self.root.join(target))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(self.root.join(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(self.root.join(path))?.sync_all()
    }

    fn takes_threads(&self) -> bool {
        true
    }
}

struct DiskFile {
    path: PathBuf,
    file: File,
}

impl MediumFile for DiskFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, at: u64, target: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(target, at)
    }

    fn write_at(&self, at: u64, source: &[u8]) -> io::Result<()> {
        self.file.write_all_at(source, at)
    }

    fn write_past_cache(&self, at: u64, source: &[u8]) -> io::Result<()> {
        let is_whole = at.is_multiple_of(ALIGNMENT as u64)
            && source.len().is_multiple_of(ALIGNMENT)
            && source.as_ptr().addr().is_multiple_of(ALIGNMENT);
        let flags = fcntl_getfl(&self.file)?;
        // Where a file system knows no such thing, it says so here or at the first write.
        if !is_whole || fcntl_setfl(&self.file, flags | OFlags::DIRECT).is_err() {
            return self.write_at(at, source);
        }
        let written = self.file.write_all_at(source, at);
        fcntl_setfl(&self.file, flags)?;
        match written {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.write_at(at, source),
            written => written,
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn overwrite(&self, at: u64, length: u64) -> io::Result<()> {
        let end = at.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        let mut next = at;
        while next < end {
            let step = usize::try_from(end - next).unwrap_or(usize::MAX).min(ZEROS.len());
            self.file.write_all_at(&ZEROS[..step], next)?;
            next += step as u64;
        }
        Ok(())
    }

    fn discard(&self, at: u64, length: u64) {
        // The old bytes are gone by now; where holes are unknown the zeros stay.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _room_given_back = fallocate(&self.file, flags, at, length);
    }

    fn lock(&self) -> io::Result<()> {
        loop {
            match self.file.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn is_named(&self) -> io::Result<bool> {
        let here = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_past_the_cache_is_read_back_whatever_its_shape() {
        let folder = tempfile::tempdir().unwrap();
        let file = Directory::new(folder.path()).open(Path::new("file"), Opening::CreateNew);
        let file = file.unwrap();
        let mut block = warifu_buffers::Block::zeroed(4 * ALIGNMENT);
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = (at % 251) as u8;
        }
        let page = ALIGNMENT as u64;
        let shapes = [(page, 0..3 * ALIGNMENT), (7, 0..ALIGNMENT), (page, 0..100), (page, 1..200)];
        for (at, range) in shapes {
            file.write_past_cache(at, &block[range.clone()]).unwrap();
            file.write_at(0, b"head").unwrap();
            file.sync().unwrap();
            let mut found = vec![0; range.len()];
            file.read_at(at, &mut found).unwrap();
            assert_eq!(found, block[range]);
        }
    }

    #[test]
    fn erases_locks_and_notices_a_replaced_file() {
        let folder = tempfile::tempdir().unwrap();
        let medium = Directory::new(folder.path());
        medium.create_dir(Path::new("a/b")).unwrap();
        let path = Path::new("a/b/file");
        let file = medium.open(path, Opening::CreateNew).unwrap();
        file.write_at(0, &[0xaa; 20_000]).unwrap();
        file.erase(5_000, 10_000).unwrap();
        let mut all = vec![0; 20_000];
        file.read_at(0, &mut all).unwrap();
        assert!(all[..5_000].iter().chain(&all[15_000..]).all(|&byte| byte == 0xaa));
        assert!(all[5_000..15_000].iter().all(|&byte| byte == 0));
        let other = medium.open(path, Opening::Existing).unwrap();
        file.lock().unwrap();
        assert!(!other.try_lock().unwrap());
        drop(file);
        assert!(other.try_lock().unwrap());
        assert!(other.is_named().unwrap());
        medium.open(Path::new("a/b/new"), Opening::Create).unwrap();
        medium.rename(Path::new("a/b/new"), path).unwrap();
        assert!(!other.is_named().unwrap());
        assert_eq!(medium.list(Path::new("a/b")).unwrap(), ["file"]);
        medium.sync_dir(Path::new("a/b")).unwrap();
    }
}
