//! The operations of warifu: what the command line and a daemon call alike.
//!
//! A [`Vault`] is a folder with settings, a key store and, at a gateway, a catalog. Every
//! operation takes a typed request and answers with a report or a [`Failure`].

#![forbid(unsafe_code)]

mod adopt;
mod alarms;
mod audit;
mod backup;
mod batch;
mod break_glass;
mod causes;
mod collect;
mod complete;
pub mod config;
mod consent;
mod dial;
mod doctor;
mod estimate;
mod failure;
mod fetch;
mod find;
mod foretell;
mod forget;
mod gather;
mod hold;
mod jobs;
mod journal;
mod keys;
mod kme;
mod losses;
mod memory;
mod neighbours;
mod outlook;
mod output;
mod placement;
mod plan;
mod policy;
mod queue;
mod random;
mod rates;
mod report;
mod restore;
mod serve;
mod short;
pub mod simulate;
mod sites;
mod status;
mod stores;
mod trust;
pub mod world;

pub use audit::{
    AuditCheck, AuditExport, AuditFormat, AuditLine, AuditQuery, AuditReport, verify_audit_file,
};
pub use backup::{BackupRequest, PlanReport, PlannedRow, Source};
pub use batch::{
    BatchReport, BatchRequest, Forecast, Gathered, Input, LatencyReport, Manner, Onlooker, Outcome,
    Refused, SiteSum, Waiting,
};
pub use break_glass::{Case, OpenedCase};
pub use config::Config;
pub use consent::{
    CardRow, ConsentRow, ConsentTerms, FoundRow, GrantedRow, Proof, Rebinder, SILENCE_HOURS_MAX,
    SilenceRow, Terms,
};
pub use doctor::{Finding, Severity};
pub use estimate::{
    Estimate, EstimateReport, EstimateRequest, Shortfall, SiteEstimate, TimeEstimate,
};
pub use failure::{Class, Failure};
pub use fetch::{FetchGoal, FetchReport, FetchRequest, FetchedRow};
pub use foretell::{KeyForecast, Point, PoolForecast};
pub use forget::{
    ErasedKey, ForgetReport, ForgetRequest, ForgottenObject, ForgottenShare, SignedReport,
};
pub use gather::{GatherReport, GatherRequest};
pub use hold::{HoldReport, HoldRow};
pub use jobs::JobRow;
pub use keys::{AuditRow, GenerateRequest, Imported, KeySourceChoice, PoolRow, Target};
pub use kme::{KmeCheck, KmeSettings, KmeTestReport, KmeTestRequest, PeerKme};
pub use losses::BringBack;
pub use outlook::{Genomes, PoolOutlook};
pub use placement::{PlacedShare, Placement, PlacementReport, PlacementRequest, PlacementSite};
pub use queue::{FetchKey, QueuedRow, Rest, WorkRequest};
pub use report::{
    AttemptRow, IndividualRow, ObjectReport, ObjectRow, Rejection, RestoreReport, ShareReport,
    ShareRow, ShowReport,
};
pub use restore::{ByteRange, Output, RestoreRequest};
pub use serve::Server;
pub use short::about;
pub use sites::{NewSite, RemovedSite, SiteRow, SiteTest, WITNESS_MEANS};
pub use status::{NextBackup, SiteStatus, StatusReport};
pub use stores::{StoreUrl, plugin_process};
pub use trust::AnchorRow;
pub use warifu_catalog::{ObjectPrefix, Search};
pub use warifu_pipeline::source::{Compression, NoCompression};

use audit::Told;
use config::{CONFIG_FILE, ConsentPolicy, SiteConfig};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use warifu_catalog::Catalog;
use warifu_core::{IndividualId, ObjectId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::{Deliveries, Entropy, KeyStore};
use warifu_pipeline::clock::Clock;
use world::{ThisMachine, World};

/// The folder of the key store within a vault.
const KEYS: &str = "keys";

/// The file of a gateway's catalog within a vault.
const CATALOG: &str = "catalog.db";

/// How far a long operation is.
#[derive(Clone, Copy, Default, Debug)]
pub struct Progress {
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes in all, where known.
    pub total_bytes: u64,
    /// Key used, in bytes.
    pub key_bytes: u64,
}

/// What a long operation tells, and how it is asked to stop.
pub struct Watch<'a> {
    /// Called now and then.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Set to stop as soon as nothing is lost by it.
    pub stop: &'a AtomicBool,
}

/// An open vault.
pub struct Vault {
    dir: PathBuf,
    config: Config,
    name: SiteName,
    keys: Arc<KeyStore>,
    catalog: Option<Catalog>,
    world: Arc<dyn World>,
    in_hand: Arc<jobs::InHand>,
    /// Whether each site that was asked enforces consent.
    enforcing: RefCell<BTreeMap<SiteName, bool>>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    isa: Isa,
    deliveries: Option<Arc<dyn Deliveries>>,
}

impl Vault {
    /// Makes a vault in `dir`: a gateway's, or a site's where `site` is given.
    ///
    /// # Errors
    /// Where there is one already, or the folder can't be written.
    pub fn init(
        dir: &Path,
        name: SiteName,
        site: Option<SiteConfig>,
        consent: ConsentPolicy,
    ) -> Result<Self, Failure> {
        Self::init_in(dir, name, site, consent, Arc::new(ThisMachine))
    }

    /// As [`init`](Self::init), in a world of the caller's.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn init_in(
        dir: &Path,
        name: SiteName,
        site: Option<SiteConfig>,
        consent: ConsentPolicy,
        world: Arc<dyn World>,
    ) -> Result<Self, Failure> {
        if dir.join(CONFIG_FILE).exists() {
            let what = format!("{} holds a vault already", dir.display());
            return Err(Failure::new(Class::Usage, "vault-exists", what)
                .next("use it as it is, or name another folder with --vault DIR"));
        }
        let is_gateway = site.is_none();
        let mut config = Config::new(&name, site);
        config.consent = consent;
        make_dir(dir)?;
        make_dir(&dir.join(KEYS))?;
        KeyStore::create(world.key_medium(&dir.join(KEYS)), world.entropy())?;
        if is_gateway {
            Catalog::create(&dir.join(CATALOG))?;
        }
        write_config(dir, &config)?;
        let vault = Self::open_in(dir, world)?;
        let warning = vault.config.consent.warning();
        let told = Told::operator().note(warning.as_deref().unwrap_or("persons decide here"));
        vault.log_event("init", &told.result("done"))?;
        Ok(vault)
    }

    /// Opens the vault in `dir`. Several processes may have one open.
    ///
    /// # Errors
    /// Where there is none, a part is damaged, or the key store is not the one it should be.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        Self::open_in(dir, Arc::new(ThisMachine))
    }

    /// As [`open`](Self::open), in a world of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(dir: &Path, world: Arc<dyn World>) -> Result<Self, Failure> {
        let config = Config::read(dir)?;
        let name = config.vault_name()?;
        let (entropy, clock) = (world.entropy(), world.clock());
        let keys = KeyStore::open(world.key_medium(&dir.join(KEYS)), entropy.clone())?;
        let catalog = match config.site {
            None => Some(Catalog::open(&dir.join(CATALOG))?),
            Some(_) => None,
        };
        let wanted = std::env::var("WARIFU_ISA").ok().filter(|name| !name.is_empty());
        let isa = Isa::pinned(wanted.as_deref()).map_err(|error| {
            Failure::new(Class::Usage, "isa-unknown", "WARIFU_ISA can't be used")
                .because(error)
                .next("unset WARIFU_ISA, or name one that this machine has")
        })?;
        warifu_buffers::set_limit(memory::reservable_bytes(config.limits.memory_bytes));
        let keys = Arc::new(keys);
        let in_hand = Arc::default();
        let dir = dir.to_owned();
        let deliveries = None;
        Ok(Self {
            dir,
            config,
            name,
            keys,
            catalog,
            world,
            in_hand,
            enforcing: RefCell::default(),
            entropy,
            clock,
            isa,
            deliveries,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SiteName {
        &self.name
    }

    /// Which kernels it uses.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Enrols an individual by their pseudonymous ID, without a card.
    ///
    /// # Errors
    /// Where the ID is there already, persons decide here, or this is a site's vault.
    pub fn enroll(&self, individual: &IndividualId) -> Result<IndividualRow, Failure> {
        if self.catalog()?.individual(individual).is_err() && self.config.consent.enforce {
            let what = format!("{individual} would be enrolled without a card");
            return Err(Failure::new(Class::Usage, "card-unnamed", what).next(
                "name the card with --card; only where `[consent] enforce = false` none is needed",
            ));
        }
        let told = Told::operator().individual(individual).note("without a card");
        self.log_event("enroll", &told.result("begun"))?;
        let created = self.now_unix_s();
        self.catalog()?.enroll(individual, created)?;
        self.individual(individual)
    }

    /// All individuals.
    ///
    /// # Errors
    /// Where the catalog fails, or this is a site's vault.
    pub fn individuals(&self) -> Result<Vec<IndividualRow>, Failure> {
        let catalog = self.catalog()?;
        let individuals = catalog.individuals()?;
        let rows = individuals.iter().map(|row| report::individual_row(catalog, row));
        rows.collect()
    }

    /// One individual.
    ///
    /// # Errors
    /// Where there is none of this ID.
    pub fn individual(&self, individual: &IndividualId) -> Result<IndividualRow, Failure> {
        let catalog = self.catalog()?;
        report::individual_row(catalog, &catalog.individual(individual)?)
    }

    /// All stored objects.
    ///
    /// # Errors
    /// Where the catalog fails, or this is a site's vault.
    pub fn objects(&self) -> Result<Vec<ObjectRow>, Failure> {
        Ok(self.catalog()?.objects()?.iter().map(report::object_row).collect())
    }

    /// One stored object with its shares.
    ///
    /// # Errors
    /// Where there is none of this ID.
    pub fn object(&self, object: &ObjectId) -> Result<ShowReport, Failure> {
        let warning = self.config.consent.warning();
        Ok(report::show(&self.catalog()?.object(object)?, warning))
    }

    pub(crate) fn catalog(&self) -> Result<&Catalog, Failure> {
        self.catalog.as_ref().ok_or_else(|| {
            let what = format!("{} is a site's vault: it has no catalog", self.dir.display());
            Failure::new(Class::Usage, "vault-is-site", what)
                .next("run this at the gateway, or name its vault with --vault DIR")
        })
    }

    /// The time, seconds since 1970 UTC.
    pub(crate) fn now_unix_s(&self) -> u64 {
        self.clock.unix_s()
    }

    pub(crate) fn fresh_object(&self) -> Result<ObjectId, Failure> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).map_err(|error| {
            Failure::new(Class::Other, "entropy", "the system gives no randomness").because(error)
        })?;
        Ok(ObjectId::from_bytes(bytes))
    }
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| {
        let what = format!("can't make the folder {}", dir.display());
        Failure::new(Class::Other, "vault-folder", what).because(error)
    })
}

/// Writes the settings durably; a vault exists once this file does.
fn write_config(dir: &Path, config: &Config) -> Result<(), Failure> {
    let write = || {
        let path = dir.join(CONFIG_FILE);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(config.to_toml().map_err(std::io::Error::other)?.as_bytes())?;
        file.sync_all()?;
        std::fs::File::open(dir)?.sync_all()
    };
    write().map_err(|error| {
        Failure::new(Class::Other, "vault-folder", "can't write the vault's settings")
            .because(error)
    })
}
