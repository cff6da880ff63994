//! A whole backup and restore, by the code that `warifu backup` runs: real vault, real ledger.

mod world;

use crate::clock::{Took, timed};
use crate::pace::{Duel, rate};
use crate::plain::{STEP_BYTES, copy, made_up, read, same, write, write_all};
use crate::report::{Clock, Figure, Taken};
use crate::scratch::Scratch;
use crate::{BenchError, Limit, Pace, Spread};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use warifu_buffers::copied_bytes;
use warifu_core::{SiteName, Threshold};
use warifu_vault::config::ConsentPolicy;
use warifu_vault::world::{ThisMachine, World};
use warifu_vault::{
    BackupRequest, GenerateRequest, KeySourceChoice, NewSite, ObjectReport, Output, RestoreRequest,
    Source, Target, Vault, Watch,
};
use world::NullWorld;

/// Where the shares go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sites {
    /// Nowhere: stores that take and forget. Only a backup can be measured.
    Null,
    /// Folders in memory.
    Memory,
    /// Folders on the disk of [`PipelineSettings::folder`].
    Folder,
}

/// What of the pipeline is measured.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// Length of the object, in bytes: 1 MiB to 64 GiB.
    pub bytes: u64,
    /// How many shares rebuild, and how many are made.
    pub threshold: Threshold,
    /// To which sites, one after the other.
    pub sites: Vec<Sites>,
    /// Where folders are, and what is restored.
    pub folder: PathBuf,
}

const BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 30);

/// Room for what is not payload: ledger, catalog, headers, hashes.
const ROOM_BYTES: u64 = 256 << 20;

/// Measures a backup of a file in the page cache to `n` local sites, and, where there is something
/// to restore, its restore. The vault with its random pool lies in memory, the sites of
/// [`Sites::Folder`] in the folder. Each round has a vault of its own, made before the time runs.
///
/// # Errors
/// Where a backup or restore fails, or restores something else.
pub fn pipeline(settings: &PipelineSettings, pace: Pace<'_>) -> Result<Taken, BenchError> {
    pace.check()?;
    if !BYTES.contains(&settings.bytes) {
        let (least, most) = (*BYTES.start(), *BYTES.end());
        return Err(BenchError::Setting { what: "the bytes of an object", least, most });
    }
    let mut taken = Taken::default();
    for sites in &settings.sites {
        let mut backup = Series::default();
        let mut restore = Series::default();
        for round in 0..pace.rounds {
            pace.go_on()?;
            let mut ground = Ground::new(settings, *sites, pace.stop)?;
            backup.round(round, &mut ground, Ground::backup, Ground::plain_backup)?;
            if *sites != Sites::Null {
                restore.round(round, &mut ground, Ground::restore, Ground::plain_restore)?;
                ground.check()?;
            }
        }
        backup.tell(&mut taken, "backup", *sites, settings, pace.rounds);
        if *sites != Sites::Null {
            restore.tell(&mut taken, "restore", *sites, settings, pace.rounds);
        }
    }
    Ok(taken)
}

/// The rounds of one figure.
#[derive(Default)]
struct Series {
    duel: Duel,
    processor_s_per_gb: Vec<f64>,
    copied_bytes: Vec<f64>,
    isa: &'static str,
}

impl Series {
    fn round<'a>(
        &mut self,
        round: usize,
        ground: &mut Ground<'a>,
        own: impl FnOnce(&mut Ground<'a>) -> Result<Took, BenchError>,
        plain: impl FnOnce(&mut Ground<'a>) -> Result<f64, BenchError>,
    ) -> Result<(), BenchError> {
        self.isa = ground.vault.isa().name();
        let (processor, copied) = (&mut self.processor_s_per_gb, &mut self.copied_bytes);
        let bytes = ground.bytes;
        let own = |ground: &mut Ground<'a>| {
            let before = copied_bytes();
            let took = own(ground)?;
            copied.push((copied_bytes() - before) as f64);
            processor.push(took.process_s * 1e9 / bytes as f64);
            Ok::<_, BenchError>(rate(bytes, took.wall_s))
        };
        self.duel.round(round, ground, own, |ground| Ok(rate(bytes, plain(ground)?)))
    }

    fn tell(
        &self,
        taken: &mut Taken,
        name: &str,
        sites: Sites,
        settings: &PipelineSettings,
        rounds: usize,
    ) {
        let at = match sites {
            Sites::Null => "null",
            Sites::Memory => "memory",
            Sites::Folder => "folder",
        };
        let (k, n) = (settings.threshold.k(), settings.threshold.n());
        let divided_by = match (name, sites) {
            ("backup", Sites::Null) => "reading the file".to_owned(),
            ("backup", _) => {
                format!("writing the {n} files of shares plainly, synced, a thread for each")
            }
            _ => "copying the file, synced".to_owned(),
        };
        taken.limits.push(Limit {
            bench: "pipeline".to_owned(),
            limit: format!("{name}: {divided_by}"),
            at: at.to_owned(),
            of: "bytes of the object".to_owned(),
            g_per_s: Spread::of(&self.duel.other).in_giga(),
        });
        taken.figures.push(Figure {
            bench: "pipeline".to_owned(),
            figure: format!("{name}-{k}-{n}"),
            at: at.to_owned(),
            isa: self.isa.to_owned(),
            of: "bytes of the object".to_owned(),
            bytes: settings.bytes,
            rounds,
            clock: Clock::Wall,
            gb_per_s: self.duel.rate().in_giga(),
            divided_by,
            ratio: self.duel.ratio(),
            roof: None,
            latency: None,
            processor_s_per_gb: Some(Spread::of(&self.processor_s_per_gb).median),
            copied_bytes: Some(Spread::of(&self.copied_bytes).median as u64),
        });
    }
}

/// A vault with its sites and a file to store, all of it new.
struct Ground<'a> {
    vault: Vault,
    input: PathBuf,
    bytes: u64,
    object: Option<ObjectReport>,
    threshold: Threshold,
    kind: Sites,
    sites: Scratch,
    stop: &'a AtomicBool,
    buffer: Vec<u8>,
    _memory: Scratch,
}

impl<'a> Ground<'a> {
    fn new(
        settings: &PipelineSettings,
        sites: Sites,
        stop: &'a AtomicBool,
    ) -> Result<Self, BenchError> {
        let (k, n) = (settings.threshold.k() as u64, settings.threshold.n() as u64);
        let object = settings.bytes;
        let shares = object.saturating_mul(n + 2) + ROOM_BYTES;
        let keys = object.saturating_mul(k) + ROOM_BYTES;
        let (in_memory, in_sites) = match sites {
            Sites::Null => (keys, 0),
            Sites::Memory => (keys.saturating_add(shares.saturating_mul(2)), 0),
            Sites::Folder => (keys, shares.saturating_mul(2)),
        };
        let memory = Scratch::in_memory(in_memory)?;
        let of_sites = match sites {
            Sites::Null | Sites::Memory => Scratch::in_memory(in_sites)?,
            Sites::Folder => Scratch::in_folder(&settings.folder, in_sites)?,
        };
        let input = memory.path("input");
        write(&input, object, &made_up(STEP_BYTES + 8, 6))?;
        let world: Arc<dyn World> = match sites {
            Sites::Null => Arc::new(NullWorld),
            Sites::Memory | Sites::Folder => Arc::new(ThisMachine),
        };
        let vault = vault(&memory.path("vault"), &of_sites, settings.threshold, world)?;
        let key_bytes = (k - 1).saturating_mul(object + (1 << 20)) + (32 << 20);
        let source = KeySourceChoice::System;
        let request = GenerateRequest { target: Target::Random, bytes: key_bytes, source };
        vault.generate(&request, Watch { progress: &mut |_| (), stop })?;
        Ok(Self {
            vault,
            input,
            bytes: object,
            kind: sites,
            object: None,
            threshold: settings.threshold,
            sites: of_sites,
            stop,
            buffer: vec![0; STEP_BYTES],
            _memory: memory,
        })
    }

    fn backup(&mut self) -> Result<Took, BenchError> {
        let request =
            BackupRequest::new(Source::File(self.input.clone()), individual()?, self.threshold);
        let watch = Watch { progress: &mut |_| (), stop: self.stop };
        let (stored, took) = timed(|| self.vault.backup(&request, watch));
        let stored = stored?;
        if stored.bytes != self.bytes {
            return Err(BenchError::wrong("a backup"));
        }
        self.object = Some(stored);
        Ok(took)
    }

    /// To null sites the file is only read; to others as many files are written.
    fn plain_backup(&mut self) -> Result<f64, BenchError> {
        let paths = (0..self.threshold.n()).map(|number| self.sites.path(&format!("p{number}")));
        let paths: Vec<PathBuf> = paths.collect();
        let content = made_up(STEP_BYTES, 7);
        let (outcome, took) = timed(|| match self.kind {
            Sites::Null => read(&self.input, &mut self.buffer).map(drop),
            Sites::Memory | Sites::Folder => write_all(&paths, self.bytes, &content),
        });
        outcome.map(|()| took.wall_s)
    }

    fn restore(&mut self) -> Result<Took, BenchError> {
        let object = self.object.as_ref().and_then(|stored| stored.object.parse().ok());
        let request = RestoreRequest {
            object: object.ok_or_else(|| BenchError::wrong("a backup"))?,
            output: Output::Path(self.sites.path("restored")),
            range: None,
            resume: false,
        };
        let watch = Watch { progress: &mut |_| (), stop: self.stop };
        let (restored, took) = timed(|| self.vault.restore(&request, watch));
        match restored?.rejected.is_empty() {
            true => Ok(took),
            false => Err(BenchError::wrong("a restore")),
        }
    }

    fn plain_restore(&mut self) -> Result<f64, BenchError> {
        let target = self.sites.path("copied");
        let (outcome, took) = timed(|| copy(&self.input, &target, &mut self.buffer));
        outcome.map(|()| took.wall_s)
    }

    fn check(&self) -> Result<(), BenchError> {
        match same(&self.input, &self.sites.path("restored"))? {
            true => Ok(()),
            false => Err(BenchError::wrong("a restore")),
        }
    }
}

fn individual() -> Result<warifu_core::IndividualId, BenchError> {
    "BENCH".parse().map_err(|_| BenchError::wrong("the name of an individual"))
}

/// A gateway's vault with a local site for each share.
fn vault(
    folder: &Path,
    sites: &Scratch,
    threshold: Threshold,
    world: Arc<dyn World>,
) -> Result<Vault, BenchError> {
    let name =
        |text: &str| text.parse::<SiteName>().map_err(|_| BenchError::wrong("the name of a site"));
    let consent = ConsentPolicy::not_enforced("a bench stores made-up data");
    let vault = Vault::init_in(folder, name("bench")?, None, consent, world)?;
    for number in 0..threshold.n() {
        let site = format!("s{number}");
        let url = format!("file://{}", sites.path(&site).display());
        let new = NewSite { name: name(&site)?, url, zone: None, domain: None, channel: None };
        vault.add_site(&new)?;
    }
    vault.enroll(&individual()?)?;
    Ok(vault)
}
