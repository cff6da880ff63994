//! A simulated gateway: a machine, and on it the engine's own vault in a world of dice.

use crate::delivery::{Fetch, Fetched};
use crate::dice::Dice;
use crate::fuse::{Ended, Fuse, mortal};
use crate::ground::{Ground, SimulatedClock};
use crate::medium::{MortalMedium, survives};
use crate::network::Network;
use crate::site::{Death, SiteHost, chain};
use crate::store::Disk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use warifu_backend::{Error as StoreError, ShareStore, Transport, TransportError};
use warifu_core::SiteName;
use warifu_keystore::medium::Opening;
use warifu_keystore::simulated::kme::SimulatedKme;
use warifu_keystore::simulated::{Machine, Process};
use warifu_keystore::{Drive, Entropy, KeyError, KeyStore, Medium, PoolStatus, SegmentRefusal};
use warifu_pipeline::clock::Clock;
use warifu_pipeline::driver::Driver;
use warifu_vault::config::{CONFIG_FILE, Config, ConsentPolicy, Limits};
use warifu_vault::world::World;
use warifu_vault::{Failure, GenerateRequest, KeySourceChoice, Target, Vault, Watch};

const LETTER: &str = "courier.json";

/// A gateway and the machine under it. Its catalog and settings are real files.
pub(crate) struct GatewayHost {
    name: SiteName,
    dir: PathBuf,
    ground: Arc<Ground>,
    network: Arc<Network>,
    machine: Machine,
    disks: Disks,
    running: Option<Running>,
}

/// The folders of sites in the gateway's own room.
type Disks = Arc<Mutex<BTreeMap<PathBuf, Arc<Disk>>>>;

struct Running {
    vault: Vault,
    process: Arc<Process>,
    fuse: Arc<Fuse>,
}

/// What the vault of one process sees.
struct Surroundings {
    ground: Arc<Ground>,
    network: Arc<Network>,
    process: Arc<Process>,
    fuse: Arc<Fuse>,
    entropy: Arc<Dice>,
    disks: Disks,
}

impl World for Surroundings {
    fn key_medium(&self, _dir: &Path) -> Arc<dyn Medium> {
        let (process, fuse) = (self.process.clone(), self.fuse.clone());
        Arc::new(MortalMedium { process, fuse, ground: self.ground.clone() })
    }

    fn journal_medium(&self, dir: &Path) -> Arc<dyn Medium> {
        self.key_medium(dir)
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        self.entropy.clone()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(MortalClock(SimulatedClock(self.ground.clone()), self.fuse.clone()))
    }

    fn driver(&self) -> Driver {
        Driver::Steps(self.ground.dice.clone())
    }

    fn connect(&self, address: &str) -> Result<Box<dyn Transport>, TransportError> {
        self.network.connect(self.fuse.clone(), address)
    }

    fn open_store(&self, folder: &Path) -> Result<Arc<dyn ShareStore>, StoreError> {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = disks.entry(folder.to_owned()).or_insert_with(|| Disk::new(self.ground.clone()));
        Ok(Arc::new(disk.store(self.fuse.clone())))
    }
}

/// A process that looks at the clock may die there too: so it can die between two changes of its
/// catalog.
struct MortalClock(SimulatedClock, Arc<Fuse>);

impl Clock for MortalClock {
    fn elapsed(&self) -> std::time::Duration {
        self.0.elapsed()
    }

    fn unix_s(&self) -> u64 {
        let _dead = self.1.burn();
        self.0.unix_s()
    }

    fn pause(&self, time: std::time::Duration) {
        let _dead = self.1.burn();
        self.0.pause(time);
    }
}

impl GatewayHost {
    /// A gateway with an empty vault in `dir`.
    ///
    /// # Errors
    /// Where the real folder can't be written.
    pub(crate) fn new(
        name: SiteName,
        dir: PathBuf,
        ground: Arc<Ground>,
        network: Arc<Network>,
    ) -> Result<Self, Failure> {
        let (machine, disks) = (Machine::new(), Disks::default());
        let mut host =
            Self { name: name.clone(), dir, ground, network, machine, disks, running: None };
        let (world, process, fuse) = host.surroundings();
        let consent = ConsentPolicy::not_enforced("worlds without persons");
        drop(Vault::init_in(&host.dir, name.clone(), None, consent.clone(), world)?);
        let limits =
            Limits { lease_bytes: 4 << 20, answer_lease_bytes: 4 << 20, ..Limits::default() };
        let mut config = Config::new(&name, None);
        (config.limits, config.consent) = (limits, consent);
        let written = std::fs::write(host.dir.join(CONFIG_FILE), config.to_toml()?);
        written.map_err(|error| {
            Failure::new(warifu_vault::Class::Other, "config", "can't write").because(error)
        })?;
        drop((process, fuse));
        host.start();
        Ok(host)
    }

    /// A copy of it as it is now, in another folder, that knows nothing of the original.
    ///
    /// # Errors
    /// Where the real folder can't be copied.
    pub(crate) fn copy(&self, dir: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), dir.join(entry.file_name()))?;
            }
        }
        Ok(Self {
            name: self.name.clone(),
            dir,
            ground: self.ground.clone(),
            network: self.network.clone(),
            machine: self.machine.copy(),
            disks: self.disks.clone(),
            running: None,
        })
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &SiteName {
        &self.name
    }

    /// The disk of a site in its own room.
    #[must_use]
    pub(crate) fn disk(&self, folder: &Path) -> Option<Arc<Disk>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned()
    }

    fn surroundings(&self) -> (Arc<dyn World>, Arc<Process>, Arc<Fuse>) {
        let (process, fuse) = (self.machine.process(), Arc::new(Fuse::new()));
        let world = Surroundings {
            ground: self.ground.clone(),
            network: self.network.clone(),
            process: process.clone(),
            fuse: fuse.clone(),
            entropy: Arc::new(self.ground.dice.fork()),
            disks: self.disks.clone(),
        };
        (Arc::new(world), process, fuse)
    }

    /// Opens the vault where it is not open; false where that fails.
    pub(crate) fn start(&mut self) -> bool {
        if self.running.is_some() {
            return true;
        }
        let (world, process, fuse) = self.surroundings();
        match mortal(|| Vault::open_in(&self.dir, world)) {
            Ended::Done(Ok(vault)) => {
                self.ground.note(&format!("{} starts", self.name));
                self.running = Some(Running { vault, process, fuse });
                return true;
            }
            Ended::Done(Err(error)) => {
                self.ground.violated(format!("{} does not open: {}", self.name, chain(&error)));
            }
            Ended::Killed => {}
            Ended::Panicked(text) => {
                self.ground.violated(format!("{} panics at its start: {text}", self.name));
            }
        }
        false
    }

    /// It dies at its effect number `steps` from now.
    pub(crate) fn light_fuse(&self, steps: u64) {
        if let Some(running) = &self.running {
            running.fuse.light(steps);
        }
    }

    /// Runs an operation of the vault. One that is killed in the middle is `None`.
    pub(crate) fn operate<T>(
        &mut self,
        work: impl FnOnce(&Vault, Watch<'_>) -> Result<T, Failure>,
    ) -> Option<Result<T, Failure>> {
        if !self.start() {
            return None;
        }
        let running = self.running.as_ref()?;
        let stop = AtomicBool::new(false);
        let ended = mortal(|| work(&running.vault, Watch { progress: &mut |_| (), stop: &stop }));
        match ended {
            Ended::Done(outcome) => {
                running.fuse.put_out();
                Some(outcome)
            }
            Ended::Killed => {
                let is_cut = self.ground.dice.permille(500);
                self.die(if is_cut { Death::PowerCut } else { Death::Kill });
                None
            }
            Ended::Panicked(text) => {
                self.ground.violated(format!("{} panics: {text}", self.name));
                self.die(Death::Kill);
                None
            }
        }
    }

    /// It ends in good order.
    pub(crate) fn close(&mut self) {
        let running = self.running.take();
        if matches!(mortal(|| drop(running)), Ended::Killed) {
            self.die(Death::Kill);
        }
    }

    /// It dies now.
    pub(crate) fn die(&mut self, death: Death) {
        if let Some(running) = self.running.take() {
            running.fuse.kill();
            running.process.kill();
            self.ground.fault(&format!("{} dies: {death:?}", self.name));
        }
        self.ground.count(|counters| counters.deaths += 1);
        let disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        match death {
            Death::Kill => disks.values().for_each(|disk| disk.let_go()),
            Death::PowerCut => {
                self.ground.lose();
                self.machine.crash(survives(&self.ground));
                disks.values().for_each(|disk| disk.lose_power());
            }
        }
    }

    /// Random numbers for itself.
    pub(crate) fn generate_random(&mut self, bytes: u64) -> Option<Result<(), Failure>> {
        let source = KeySourceChoice::System;
        let request = GenerateRequest { target: Target::Random, bytes, source };
        self.operate(|vault, watch| vault.generate(&request, watch).map(drop))
    }

    /// Fills a courier's drive with key for `site` and has it taken in there. What is cut short at
    /// either end is finished by the next courier.
    pub(crate) fn courier(&mut self, site: &SiteHost, bytes: u64) -> Option<Result<(), Failure>> {
        let drive = PathBuf::from(format!("/drive-{}", site.name()));
        if self.machine.content(&drive.join(LETTER)).is_none() {
            let target = Target::Link { site: site.name().clone(), drive: drive.clone() };
            let request = GenerateRequest { target, bytes, source: KeySourceChoice::System };
            match self.operate(|vault, watch| vault.generate(&request, watch).map(drop))? {
                Ok(()) => {}
                failed => return Some(failed),
            }
        }
        let is_late = self.ground.is_stormy() && self.ground.dice.permille(300);
        if is_late {
            self.ground.fault(&format!("the courier to {} is late", site.name()));
        }
        if is_late || !site.is_up() {
            return None;
        }
        match self.carry(&drive, site) {
            Ok(()) => {}
            Err(_) if !site.is_up() => return None,
            // A segment that was fetched before is not at the site yet: the drive waits for it.
            Err(error) if leaves_a_gap(error.as_ref()) => return None,
            Err(error) => {
                self.ground.violated(format!("a courier is refused: {}", chain(error.as_ref())));
                return None;
            }
        }
        let names = self.machine.names();
        names.iter().filter(|name| name.starts_with(&drive)).for_each(|name| {
            self.machine.lose(name);
        });
        Some(Ok(()))
    }

    /// Fetches a segment for the link to `site`, in a process beside that of the vault; `None`
    /// where that dies of it.
    pub(crate) fn fetch(
        &mut self,
        site: &SiteHost,
        kme: &SimulatedKme,
    ) -> Option<Result<Fetched, KeyError>> {
        let (process, fuse) = (self.machine.process(), Arc::new(Fuse::new()));
        let dice = self.ground.dice.fork();
        if self.ground.is_stormy() && dice.permille(250) {
            fuse.light(dice.next() % 60);
        }
        let medium = MortalMedium {
            process: process.clone(),
            fuse: fuse.clone(),
            ground: self.ground.clone(),
        };
        let entropy = Arc::new(self.ground.dice.fork());
        let ended = mortal(|| {
            let keys = KeyStore::open(Arc::new(medium), entropy)?;
            let is_link = |pool: &PoolStatus| pool.peer.as_ref() == Some(site.name());
            match keys.pools()?.iter().find(|pool| is_link(pool)) {
                Some(pool) => Fetch { dice: &dice, site, kme }.run(&keys, pool.pool),
                None => Ok(Fetched::Later("there is no link")),
            }
        });
        self.learn_delivered();
        fuse.kill();
        process.kill();
        match ended {
            Ended::Done(outcome) => Some(outcome),
            Ended::Killed => {
                self.ground.fault(&format!("a fetch of {} dies", self.name));
                match dice.permille(500) {
                    true => self.die(Death::PowerCut),
                    false => self.ground.count(|counters| counters.deaths += 1),
                }
                None
            }
            Ended::Panicked(text) => {
                self.ground.violated(format!("a fetch of {} panics: {text}", self.name));
                None
            }
        }
    }

    /// Lets the judge know key that deliverers brought, before anything can be sealed with it.
    fn learn_delivered(&self) {
        let mut judge = self.ground.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.machine.names();
        for name in names.iter().filter(|name| name.extension().is_some_and(|end| end == "segment"))
        {
            judge.learn(&self.machine.content(name).unwrap_or_default());
        }
    }

    /// Whether key was made for `site` that no courier has brought there yet.
    pub(crate) fn has_undelivered(&self, site: &str) -> bool {
        let drive = PathBuf::from(format!("/drive-{site}"));
        self.machine.names().iter().any(|name| name.starts_with(&drive))
    }

    fn carry(&self, drive: &Path, site: &SiteHost) -> Result<(), Box<dyn std::error::Error>> {
        let there = site.machine().process();
        there.create_dir(drive)?;
        there.sync_dir(Path::new("/"))?;
        for name in self.machine.names().iter().filter(|name| name.starts_with(drive)) {
            let file = there.open(name, Opening::Create)?;
            let content = self.machine.content(name).unwrap_or_default();
            self.ground.judge.lock().unwrap_or_else(PoisonError::into_inner).learn(&content);
            file.truncate(0)?;
            file.write_at(0, &content)?;
            file.sync()?;
        }
        there.sync_dir(drive)?;
        // The letter is read from the real disk, as by somebody who looks at the drive first.
        let letter = self.dir.join("letter");
        std::fs::create_dir_all(&letter)?;
        let text = self.machine.content(&drive.join(LETTER)).unwrap_or_default();
        std::fs::write(letter.join(LETTER), text)?;
        let mut read = Drive::read(&letter)?;
        drive.clone_into(&mut read.path);
        match site.with_keys(|keys| keys.import_drive(&read, site.name())) {
            None => Err("the site died over it".into()),
            Some(Ok(_)) => Ok(()),
            Some(Err(KeyError::Drive { reason: warifu_keystore::DriveRefusal::Twice, .. })) => {
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
        }
    }
}

/// Whether key was refused as it comes before other key which is still on its way.
fn leaves_a_gap(error: &(dyn std::error::Error + 'static)) -> bool {
    let key = error.downcast_ref::<KeyError>();
    matches!(key, Some(KeyError::Segment { reason: SegmentRefusal::Gap, .. }))
}
