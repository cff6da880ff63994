//! A medium in memory whose power can be cut, for tests: here and in the simulation.
//!
//! It keeps two images: what is seen, and what would survive. A crash keeps of the difference as
//! much as the caller says.

pub mod kme;

use crate::medium::{Medium, MediumFile, Opening};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What of the writes since their last sync survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Nothing: only what was synced.
    Synced,
    /// The first so many steps, in their order.
    Prefix(usize),
    /// The first so many steps, and of the next write its first so many bytes.
    Torn(usize, usize),
    /// The first so many steps, and of the next write its length, filled with zeros.
    Zeroed(usize),
    /// Everything.
    All,
}

#[derive(Clone, Default)]
struct Image {
    folders: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    /// Shared by images until one of them changes.
    contents: BTreeMap<u64, Arc<Vec<u8>>>,
}

#[derive(Clone)]
enum Step {
    Write { file: u64, at: usize, bytes: Vec<u8> },
    Truncate { file: u64, length: usize },
    Folder { path: PathBuf },
    Link { path: PathBuf, file: u64 },
    Unlink { path: PathBuf },
    Rename { source: PathBuf, target: PathBuf },
}

impl Step {
    fn is_of_file(&self, wanted: u64) -> bool {
        match self {
            Self::Write { file, .. } | Self::Truncate { file, .. } => *file == wanted,
            Self::Folder { .. } | Self::Link { .. } | Self::Unlink { .. } | Self::Rename { .. } => {
                false
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(folder);
        match self {
            Self::Folder { path } | Self::Link { path, .. } | Self::Unlink { path } => inside(path),
            Self::Rename { source, target } => inside(source) || inside(target),
            Self::Write { .. } | Self::Truncate { .. } => false,
        }
    }
}

impl Image {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Write { file, at, bytes } => {
                let content = Arc::make_mut(self.contents.entry(*file).or_default());
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Step::Truncate { file, length } => {
                Arc::make_mut(self.contents.entry(*file).or_default()).resize(*length, 0);
            }
            Step::Folder { path } => {
                self.folders.insert(path.clone());
            }
            Step::Link { path, file } => {
                self.names.insert(path.clone(), *file);
                self.contents.entry(*file).or_default();
            }
            Step::Unlink { path } => {
                self.names.remove(path);
            }
            Step::Rename { source, target } => {
                if let Some(file) = self.names.remove(source) {
                    self.names.insert(target.clone(), file);
                }
            }
        }
    }

    fn has_folder(&self, path: &Path) -> bool {
        path == Path::new("") || path == Path::new("/") || self.folders.contains(path)
    }
}

#[derive(Default)]
struct World {
    live: Image,
    durable: Image,
    pending: Vec<Step>,
    /// File to (process, handle).
    locks: BTreeMap<u64, (u64, u64)>,
    dead: BTreeSet<u64>,
    /// Steps that a process may still take.
    budgets: BTreeMap<u64, u64>,
    last: u64,
}

struct Shared {
    world: Mutex<World>,
    unlocked: Condvar,
}

/// The machine.
#[derive(Clone)]
pub struct Machine {
    shared: Arc<Shared>,
}

/// One process on it: the medium that a key store is given.
pub struct Process {
    shared: Arc<Shared>,
    number: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine with nothing on it.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Image::default())
    }

    /// A new process.
    #[must_use]
    pub fn process(&self) -> Arc<Process> {
        let mut world = lock(&self.shared);
        world.last += 1;
        Arc::new(Process { shared: self.shared.clone(), number: world.last })
    }

    /// Another machine with a copy of what is seen on this one.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::with(lock(&self.shared).live.clone())
    }

    /// Cuts the power: every process ends, and only what survives is there afterwards.
    pub fn crash(&self, survives: Survives) {
        let mut world = lock(&self.shared);
        let pending = std::mem::take(&mut world.pending);
        let whole = match survives {
            Survives::Synced => 0,
            Survives::Prefix(steps) | Survives::Torn(steps, _) | Survives::Zeroed(steps) => steps,
            Survives::All => pending.len(),
        };
        let mut image = world.durable.clone();
        pending.iter().take(whole).for_each(|step| image.apply(step));
        if let Some(Step::Write { file, at, bytes }) = pending.get(whole) {
            let part = match survives {
                Survives::Torn(_, kept) => Some(bytes[..kept.min(bytes.len())].to_vec()),
                Survives::Zeroed(_) => Some(vec![0; bytes.len()]),
                Survives::Synced | Survives::Prefix(_) | Survives::All => None,
            };
            if let Some(bytes) = part {
                image.apply(&Step::Write { file: *file, at: *at, bytes });
            }
        }
        let names = std::mem::take(&mut image.names);
        for (path, file) in names {
            if path.parent().is_some_and(|parent| image.has_folder(parent)) {
                image.names.insert(path, file);
            }
        }
        world.live = image.clone();
        world.durable = image;
        world.locks.clear();
        let last = world.last;
        world.dead.extend(0..=last);
        self.shared.unlocked.notify_all();
    }

    /// The content of a file as it is seen.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let world = lock(&self.shared);
        let content = world.live.names.get(path).and_then(|file| world.live.contents.get(file));
        content.map(|content| content.to_vec())
    }

    /// Puts content into an existing file behind everybody's back, durably.
    pub fn tamper(&self, path: &Path, content: &[u8]) {
        let mut world = lock(&self.shared);
        if let Some(file) = world.live.names.get(path).copied() {
            let content = Arc::new(content.to_vec());
            world.live.contents.insert(file, content.clone());
            world.durable.contents.insert(file, content);
        }
    }

    /// Removes a file behind everybody's back, durably.
    pub fn lose(&self, path: &Path) {
        let mut world = lock(&self.shared);
        world.live.names.remove(path);
        world.durable.names.remove(path);
    }

    /// All file names as they are seen.
    #[must_use]
    pub fn names(&self) -> Vec<PathBuf> {
        lock(&self.shared).live.names.keys().cloned().collect()
    }

    fn with(image: Image) -> Self {
        let world = World { live: image.clone(), durable: image, ..World::default() };
        let mut world = world;
        world.last = world.live.contents.keys().max().copied().unwrap_or(0);
        Self { shared: Arc::new(Shared { world: Mutex::new(world), unlocked: Condvar::new() }) }
    }
}

impl Process {
    /// Ends the process at once: its locks are free, and whatever it still tries fails.
    pub fn kill(&self) {
        let mut world = lock(&self.shared);
        world.dead.insert(self.number);
        world.locks.retain(|_, (process, _)| *process != self.number);
        self.shared.unlocked.notify_all();
    }

    /// Lets so many more changing steps succeed; every step after them fails.
    pub fn fail_after(&self, steps: u64) {
        lock(&self.shared).budgets.insert(self.number, steps);
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> io::Error {
    io::Error::other("the power is off")
}

impl World {
    fn expect_alive(&self, process: u64) -> io::Result<()> {
        if self.dead.contains(&process) { Err(gone()) } else { Ok(()) }
    }

    /// Counts a changing step of a process.
    fn spend(&mut self, process: u64) -> io::Result<()> {
        self.expect_alive(process)?;
        match self.budgets.get_mut(&process) {
            Some(0) => Err(gone()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, process: u64, step: Step) -> io::Result<()> {
        self.spend(process)?;
        self.live.apply(&step);
        self.pending.push(step);
        Ok(())
    }

    fn persist(&mut self, wanted: impl Fn(&Step) -> bool) {
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|step| wanted(step));
        synced.iter().for_each(|step| self.durable.apply(step));
        self.pending = rest;
    }

    fn file_of(&self, path: &Path) -> io::Result<u64> {
        self.live.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Medium for Process {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = lock(&self.shared);
        let mut missing: Vec<_> =
            path.ancestors().filter(|one| !world.live.has_folder(one)).collect();
        missing.reverse();
        missing
            .into_iter()
            .try_for_each(|path| world.change(self.number, Step::Folder { path: path.to_owned() }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let world = lock(&self.shared);
        world.expect_alive(self.number)?;
        if !world.live.has_folder(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = world.live.names.keys().chain(&world.live.folders);
        let inside = all.filter(|one| one.parent() == Some(path));
        let mut names: Vec<String> = inside
            .filter_map(|one| one.file_name().and_then(|name| name.to_str()).map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Arc<dyn MediumFile>> {
        let mut world = lock(&self.shared);
        world.expect_alive(self.number)?;
        let file = match (world.file_of(path), opening) {
            (Ok(_), Opening::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Err(error), Opening::Existing) => return Err(error),
            (Ok(file), _) => file,
            (Err(_), _) => {
                if !path.parent().is_some_and(|parent| world.live.has_folder(parent)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                world.last += 1;
                let file = world.last;
                world.change(self.number, Step::Link { path: path.to_owned(), file })?;
                file
            }
        };
        world.last += 1;
        let (shared, path) = (self.shared.clone(), path.to_owned());
        Ok(Arc::new(SimulatedFile { shared, path, process: self.number, file, handle: world.last }))
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        let mut world = lock(&self.shared);
        world.file_of(source)?;
        if source.is_absolute() != target.is_absolute() {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let (source, target) = (source.to_owned(), target.to_owned());
        world.change(self.number, Step::Rename { source, target })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = lock(&self.shared);
        world.file_of(path)?;
        world.change(self.number, Step::Unlink { path: path.to_owned() })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = lock(&self.shared);
        world.spend(self.number)?;
        world.persist(|step| step.is_in(path));
        Ok(())
    }
}

struct SimulatedFile {
    shared: Arc<Shared>,
    path: PathBuf,
    process: u64,
    file: u64,
    handle: u64,
}

impl SimulatedFile {
    fn place(number: u64) -> io::Result<usize> {
        usize::try_from(number).map_err(io::Error::other)
    }
}

impl MediumFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        let world = lock(&self.shared);
        world.expect_alive(self.process)?;
        Ok(world.live.contents.get(&self.file).map_or(0, |content| content.len()) as u64)
    }

    fn read_at(&self, at: u64, target: &mut [u8]) -> io::Result<()> {
        let world = lock(&self.shared);
        world.expect_alive(self.process)?;
        let content = world.live.contents.get(&self.file);
        let from = Self::place(at)?;
        let source = content.and_then(|content| content.get(from..from + target.len()));
        target.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, at: u64, source: &[u8]) -> io::Result<()> {
        let (at, bytes) = (Self::place(at)?, source.to_vec());
        lock(&self.shared).change(self.process, Step::Write { file: self.file, at, bytes })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = Self::place(length)?;
        lock(&self.shared).change(self.process, Step::Truncate { file: self.file, length })
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = lock(&self.shared);
        world.spend(self.process)?;
        world.persist(|step| step.is_of_file(self.file));
        Ok(())
    }

    fn overwrite(&self, at: u64, length: u64) -> io::Result<()> {
        self.write_at(at, &vec![0; Self::place(length)?])
    }

    fn lock(&self) -> io::Result<()> {
        let mut world = lock(&self.shared);
        loop {
            world.expect_alive(self.process)?;
            match world.locks.get(&self.file) {
                Some((_, handle)) if *handle != self.handle => {
                    let waited = self.shared.unlocked.wait(world);
                    world = waited.unwrap_or_else(PoisonError::into_inner);
                }
                _ => {
                    world.locks.insert(self.file, (self.process, self.handle));
                    return Ok(());
                }
            }
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut world = lock(&self.shared);
        world.expect_alive(self.process)?;
        let free = world.locks.get(&self.file).is_none_or(|(_, handle)| *handle == self.handle);
        if free {
            world.locks.insert(self.file, (self.process, self.handle));
        }
        Ok(free)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut world = lock(&self.shared);
        if world.locks.get(&self.file).is_some_and(|(_, handle)| *handle == self.handle) {
            world.locks.remove(&self.file);
            self.shared.unlocked.notify_all();
        }
        Ok(())
    }

    fn is_named(&self) -> io::Result<bool> {
        let world = lock(&self.shared);
        world.expect_alive(self.process)?;
        Ok(world.live.names.get(&self.path) == Some(&self.file))
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let _unlocked = self.unlock();
    }
}
