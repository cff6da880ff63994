//! The disk under a key store: the engine's own crash double, seen by a process that may die.

use crate::fuse::Fuse;
use crate::ground::{Canary, Ground};
use std::io;
use std::path::Path;
use std::sync::Arc;
use warifu_keystore::medium::Opening;
use warifu_keystore::simulated::{Process, Survives};
use warifu_keystore::{Medium, MediumFile};

/// What one process sees of its machine's disk.
pub(crate) struct MortalMedium {
    /// The process on the machine.
    pub(crate) process: Arc<Process>,
    /// How long it lives.
    pub(crate) fuse: Arc<Fuse>,
    /// Where it lives.
    pub(crate) ground: Arc<Ground>,
}

/// How much of what was written and not synced survives a loss of power.
#[must_use]
pub(crate) fn survives(ground: &Ground) -> Survives {
    let steps = ground.dice.below(12);
    match ground.dice.below(5) {
        0 => Survives::Synced,
        1 => Survives::Prefix(steps),
        2 => Survives::Torn(steps, ground.dice.below(64)),
        3 => Survives::Zeroed(steps),
        _ => Survives::All,
    }
}

impl Medium for MortalMedium {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.fuse.burn()?;
        self.process.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.fuse.look()?;
        self.process.list(path)
    }

    fn open(&self, path: &Path, opening: Opening) -> io::Result<Arc<dyn MediumFile>> {
        match opening {
            Opening::Existing => self.fuse.look()?,
            Opening::Create | Opening::CreateNew => self.fuse.burn()?,
        }
        let file = self.process.open(path, opening)?;
        // One that is only being made is left alone: the engine would miss it at once.
        let is_ledger =
            opening == Opening::Existing && path.file_name().is_some_and(|name| name == "ledger");
        let (fuse, ground) = (self.fuse.clone(), self.ground.clone());
        Ok(Arc::new(MortalFile { file, fuse, ground, is_ledger }))
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        self.fuse.burn()?;
        self.process.rename(source, target)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fuse.burn()?;
        self.process.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.fuse.burn()?;
        self.process.sync_dir(path)
    }
}

struct MortalFile {
    file: Arc<dyn MediumFile>,
    fuse: Arc<Fuse>,
    ground: Arc<Ground>,
    is_ledger: bool,
}

impl MediumFile for MortalFile {
    fn length(&self) -> io::Result<u64> {
        self.fuse.look()?;
        self.file.length()
    }

    fn read_at(&self, at: u64, target: &mut [u8]) -> io::Result<()> {
        self.fuse.look()?;
        self.file.read_at(at, target)
    }

    fn write_at(&self, at: u64, source: &[u8]) -> io::Result<()> {
        self.fuse.burn()?;
        self.file.write_at(at, source)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.fuse.burn()?;
        self.file.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.fuse.burn()?;
        if self.is_ledger && self.ground.lies(Canary::ForgetfulLedgers) {
            return Ok(());
        }
        self.file.sync()
    }

    fn overwrite(&self, at: u64, length: u64) -> io::Result<()> {
        self.fuse.burn()?;
        self.file.overwrite(at, length)
    }

    fn lock(&self) -> io::Result<()> {
        self.fuse.look()?;
        self.file.lock()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.fuse.look()?;
        self.file.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn is_named(&self) -> io::Result<bool> {
        self.fuse.look()?;
        self.file.is_named()
    }
}
