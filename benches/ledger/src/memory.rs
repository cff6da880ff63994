//! A medium that is memory and nothing else: what a key store costs where its medium costs least.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use warifu_keystore::medium::{Medium, MediumFile, Opening};

/// Files and folders by their names.
#[derive(Default)]
pub(crate) struct Memory {
    folders: Mutex<BTreeSet<PathBuf>>,
    files: Mutex<BTreeMap<PathBuf, Content>>,
}

type Content = Arc<RwLock<Vec<u8>>>;

impl Memory {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Content>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folders(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Medium for Memory {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.folders().extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let (files, folders) = (self.files(), self.folders());
        if !folders.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = files.keys().chain(folders.iter()).filter(|one| one.parent() == Some(path));
        let names = inside.filter_map(|one| one.file_name().and_then(|name| name.to_str()));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Arc<dyn MediumFile>> {
        let mut files = self.files();
        let content = match (files.get(path), opening) {
            (Some(_), Opening::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Opening::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(content), _) => content.clone(),
            (None, _) => files.entry(path.to_owned()).or_default().clone(),
        };
        Ok(Arc::new(File { content }))
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        let mut files = self.files();
        let content = files.remove(source).ok_or(io::ErrorKind::NotFound)?;
        files.insert(target.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn takes_threads(&self) -> bool {
        true
    }
}

/// One process, so that nobody waits for a lock.
struct File {
    content: Content,
}

impl File {
    fn write(&self, at: u64, bytes: usize, write: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(at).map_err(io::Error::other)?;
        let end = from.checked_add(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        if content.len() < end {
            content.resize(end, 0);
        }
        write(&mut content[from..end]);
        Ok(())
    }
}

impl MediumFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.content.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read_at(&self, at: u64, target: &mut [u8]) -> io::Result<()> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(at).map_err(io::Error::other)?;
        let end = from.checked_add(target.len()).ok_or(io::ErrorKind::InvalidInput)?;
        target.copy_from_slice(content.get(from..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, at: u64, source: &[u8]) -> io::Result<()> {
        self.write(at, source.len(), |target| target.copy_from_slice(source))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.content.write().unwrap_or_else(PoisonError::into_inner).resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn overwrite(&self, at: u64, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.write(at, length, |target| target.fill(0))
    }

    fn lock(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(true)
    }
}
