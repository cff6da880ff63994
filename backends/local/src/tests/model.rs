//! A file system in memory with two faces: what programs see now, and what is on the medium.
//!
//! A sync moves one to the other. A sync that fails marks what it should have moved as clean, as
//! Linux does, so that a later sync that succeeds doesn't help. A power cut keeps what was
//! synced and any part of the rest, block by block and name by name. Making a folder is durable
//! at once; the store syncs its parents on the real one.

use crate::files::{Facts, Files, OpenFile};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use warifu_buffers::Bytes;

const BLOCK_BYTES: usize = 512;

/// What goes wrong at one operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) operation: u64,
    /// Everything later fails too.
    pub(super) lasting: bool,
    /// The operation is done, and only then fails. Otherwise a write is half done, a sync loses
    /// what it should have brought, and the rest is not done.
    pub(super) done: bool,
    pub(super) kind: ErrorKind,
}

#[derive(Clone)]
pub(super) struct Model(Arc<Mutex<World>>);

/// When a write is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writes {
    /// Before the call returns.
    #[default]
    AtOnce,
    /// When others have come behind it, or somebody waits: what came of it is told then.
    Later,
}

impl Writes {
    pub(super) const BOTH: [Self; 2] = [Self::AtOnce, Self::Later];
}

/// Writes that are on their way together at most, where they are done later.
const QUEUE_MAX: usize = 2;

#[derive(Clone, Default)]
struct World {
    inodes: BTreeMap<u64, Inode>,
    folders: BTreeMap<PathBuf, Names>,
    operations: u64,
    plan: Option<Plan>,
    handles: u64,
    /// Syncs say that they worked, and do nothing. The tests must notice.
    lying: bool,
    writes: Writes,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    length_dirty: bool,
    locked_by: Option<u64>,
}

#[derive(Clone, Default)]
struct Names {
    live: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    dirty: BTreeSet<OsString>,
}

impl Model {
    pub(super) fn new(writes: Writes) -> Self {
        let mut world = World { writes, ..World::default() };
        world.folders.insert(PathBuf::from("/"), Names::default());
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn plan(&self, plan: Option<Plan>) {
        let mut world = self.world();
        world.operations = 0;
        world.plan = plan;
    }

    pub(super) fn lie(&self) {
        self.world().lying = true;
    }

    /// Operations since the last `plan`.
    pub(super) fn operations(&self) -> u64 {
        self.world().operations
    }

    /// What is seen in a folder, name and contents, whatever the store makes of it.
    pub(super) fn contents(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let world = self.world();
        let names = &world.folders[Path::new(folder)].live;
        let entry = |(name, inode): (&OsString, &u64)| {
            (name.to_str().unwrap().to_owned(), world.inodes[inode].live.clone())
        };
        names.iter().map(entry).collect()
    }

    /// What the next process finds when this one is killed now.
    pub(super) fn killed(&self) -> Self {
        let mut world = self.world().clone();
        world.plan = None;
        world.inodes.values_mut().for_each(|inode| inode.locked_by = None);
        Self(Arc::new(Mutex::new(world)))
    }

    /// What is found after a loss of power now. `keeps` says of each thing not synced whether
    /// it came to the medium all the same.
    pub(super) fn without_power(&self, mut keeps: impl FnMut() -> bool) -> Self {
        let Self(world) = self.killed();
        let mut world = world.lock().unwrap().clone();
        for inode in world.inodes.values_mut() {
            let mut image = inode.durable.clone();
            if inode.length_dirty && keeps() {
                image.resize(inode.live.len(), 0);
            }
            for block in std::mem::take(&mut inode.dirty) {
                if keeps() {
                    copy_block(&inode.live, &mut image, block);
                }
            }
            *inode = Inode { live: image.clone(), durable: image, ..Inode::default() };
        }
        for names in world.folders.values_mut() {
            for name in std::mem::take(&mut names.dirty) {
                if keeps() {
                    names.make_durable(&name);
                }
            }
            names.live = names.durable.clone();
        }
        Self(Arc::new(Mutex::new(world)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Counts an operation, and fails it if its turn has come: `work` is told whether to do it
    /// well.
    fn step<T>(&self, work: impl FnOnce(&mut World, bool) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
        let operation = world.operations;
        world.operations += 1;
        let due = world.plan.filter(|plan| {
            operation == plan.operation || (plan.lasting && operation > plan.operation)
        });
        match due {
            None => work(&mut world, true),
            Some(plan) => {
                let outcome = work(&mut world, plan.done);
                drop(world); // A handle in the outcome locks it when it goes.
                outcome.and(Err(plan.kind.into()))
            }
        }
    }

    /// An operation that is done or not, with nothing between.
    fn whole<T>(&self, work: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let not_done = || Err(ErrorKind::Other.into());
        match self.step(|world, well| if well { work(world).map(Some) } else { Ok(None) }) {
            Ok(outcome) => outcome.map_or_else(not_done, Ok),
            Err(error) => Err(error),
        }
    }

    fn handle(&self, world: &mut World, target: Target) -> Box<dyn OpenFile> {
        world.handles += 1;
        let queue = Mutex::default();
        Box::new(Handle { model: self.clone(), target, id: world.handles, queue })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.whole(|world| {
            let inode = world.inode(path)?;
            Ok(self.handle(world, Target::File(inode)))
        })
    }
}

impl World {
    fn names(&mut self, path: &Path) -> io::Result<(&mut Names, OsString)> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let names = self.folders.get_mut(folder).ok_or(ErrorKind::NotFound)?;
        Ok((names, name.to_owned()))
    }

    fn inode(&mut self, path: &Path) -> io::Result<u64> {
        let (names, name) = self.names(path)?;
        names.live.get(&name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn add_name(&mut self, path: &Path, inode: u64) -> io::Result<()> {
        let (names, name) = self.names(path)?;
        if names.live.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        names.dirty.insert(name.clone());
        names.live.insert(name, inode);
        Ok(())
    }

    fn facts(&self, inode: u64) -> Facts {
        let names = self.folders.values().flat_map(|names| names.live.values());
        let links = names.filter(|&&other| other == inode).count() as u64;
        let bytes = self.inodes[&inode].live.len() as u64;
        Facts { device: 1, inode, links, bytes, plain: true }
    }
}

impl Names {
    fn make_durable(&mut self, name: &OsStr) {
        match self.live.get(name) {
            Some(&inode) => self.durable.insert(name.to_owned(), inode),
            None => self.durable.remove(name),
        };
    }

    fn sync(&mut self, well: bool) {
        for name in std::mem::take(&mut self.dirty) {
            if well {
                self.make_durable(&name);
            }
        }
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if bytes.is_empty() {
            return;
        }
        if end > self.live.len() {
            self.live.resize(end, 0);
            self.length_dirty = true;
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / BLOCK_BYTES..=(end - 1) / BLOCK_BYTES);
    }

    fn truncate(&mut self, bytes: usize) {
        self.dirty.insert(bytes / BLOCK_BYTES);
        self.live.truncate(bytes);
        self.length_dirty = true;
    }

    fn sync(&mut self, well: bool) {
        let blocks = std::mem::take(&mut self.dirty);
        if well {
            self.durable.resize(self.live.len(), 0);
            blocks.into_iter().for_each(|block| {
                copy_block(&self.live, &mut self.durable, block);
            });
        }
        self.length_dirty = false;
    }
}

fn copy_block(source: &[u8], target: &mut [u8], block: usize) {
    let start = block * BLOCK_BYTES;
    let end = (start + BLOCK_BYTES).min(source.len()).min(target.len());
    if start < end {
        target[start..end].copy_from_slice(&source[start..end]);
    }
}

impl Files for Model {
    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        self.whole(|world| {
            let made = !world.folders.contains_key(path);
            world.folders.entry(path.to_owned()).or_default();
            Ok(made)
        })
    }

    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.whole(|world| match world.folders.get(path) {
            Some(_) => Ok(self.handle(world, Target::Folder(path.to_owned()))),
            None => Err(ErrorKind::NotFound.into()),
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.whole(|world| {
            let inode = world.inodes.len() as u64;
            world.add_name(path, inode)?;
            world.inodes.insert(inode, Inode::default());
            Ok(self.handle(world, Target::File(inode)))
        })
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.open(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.open(path)
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        self.whole(|world| {
            let inode = world.inode(path)?;
            Ok(world.facts(inode))
        })
    }

    fn link(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.whole(|world| {
            let inode = world.inode(source)?;
            world.add_name(target, inode)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.whole(|world| {
            let (names, name) = world.names(path)?;
            names.live.remove(&name).ok_or(ErrorKind::NotFound)?;
            names.dirty.insert(name);
            Ok(())
        })
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.whole(|world| {
            let names = world.folders.get(path).ok_or(ErrorKind::NotFound)?;
            Ok(names.live.keys().cloned().collect())
        })
    }

    fn room_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

enum Target {
    File(u64),
    Folder(PathBuf),
}

struct Handle {
    model: Model,
    target: Target,
    id: u64,
    queue: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Handle {
    fn inode(&self) -> u64 {
        match &self.target {
            Target::File(inode) => *inode,
            Target::Folder(path) => panic!("{} is used as a file", path.display()),
        }
    }

    fn write_now(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.model.step(|world, well| {
            let bytes = if well { bytes } else { &bytes[..bytes.len() / 2] };
            world.inodes.get_mut(&self.inode()).unwrap().write(offset as usize, bytes);
            Ok(())
        })
    }

    /// Does the oldest writes until at most `left` wait; the first failure is told.
    fn work_off(&self, left: usize) -> io::Result<()> {
        let mut failure = None;
        let mut queue = self.queue.lock().unwrap();
        while queue.len() > left {
            let (offset, bytes) = queue.pop_front().unwrap();
            failure = failure.or(self.write_now(offset, &bytes).err());
        }
        failure.map_or(Ok(()), Err)
    }

    fn assert_settled(&self) {
        assert!(self.queue.lock().unwrap().is_empty(), "writes are on their way");
    }
}

impl OpenFile for Handle {
    fn try_lock(&self) -> io::Result<bool> {
        self.model.whole(|world| {
            let locked_by = &mut world.inodes.get_mut(&self.inode()).unwrap().locked_by;
            let holder = *locked_by.get_or_insert(self.id);
            Ok(holder == self.id)
        })
    }

    fn facts(&self) -> io::Result<Facts> {
        self.model.whole(|world| Ok(world.facts(self.inode())))
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let writes = self.model.world().writes;
        if writes == Writes::AtOnce {
            return self.write_now(offset, &bytes);
        }
        self.queue.lock().unwrap().push_back((offset, bytes));
        self.work_off(QUEUE_MAX)
    }

    fn settle(&self) -> io::Result<()> {
        self.work_off(0)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.assert_settled();
        self.model.whole(|world| {
            world.inodes.get_mut(&self.inode()).unwrap().truncate(bytes as usize);
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.assert_settled();
        self.model.whole(|world| {
            let live = &world.inodes[&self.inode()].live;
            let there = live.get(offset as usize..offset as usize + target.len());
            target.copy_from_slice(there.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn make_read_only(&self) -> io::Result<()> {
        self.model.whole(|_| Ok(()))
    }

    fn sync(&self) -> io::Result<()> {
        self.assert_settled();
        self.model.step(|world, well| {
            if world.lying {
                return Ok(());
            }
            match &self.target {
                Target::File(inode) => world.inodes.get_mut(inode).unwrap().sync(well),
                Target::Folder(path) => world.folders.get_mut(path).unwrap().sync(well),
            }
            Ok(())
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.work_off(0));
        if let Target::File(inode) = self.target {
            let mut world = self.model.world();
            let locked_by = &mut world.inodes.get_mut(&inode).unwrap().locked_by;
            locked_by.take_if(|holder| *holder == self.id);
        }
    }
}
