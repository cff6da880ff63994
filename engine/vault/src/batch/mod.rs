//! Batches: many inputs stored in one run, several at a time; one that fails does not stop the
//! rest, and a later run of the same batch stores what is missing.
//!
//! [`Vault::gather`] turns paths, folders, patterns and manifests into [`Input`]s,
//! [`Vault::run_batch`] stores them and tells an [`Onlooker`] of each.

mod carried;
mod forecast;
mod inputs;
mod manifest;
mod record;
mod run;
mod summary;
mod turns;

pub(crate) use carried::Carried;
pub(crate) use forecast::geometry_at_most;
pub use forecast::{Forecast, Waiting};
pub use run::Manner;
pub(crate) use summary::Tally;
pub use summary::{BatchReport, LatencyReport, SiteSum};
pub(crate) use turns::{Fate, Ground, Ranked, Wish, in_order};

use crate::failure::{Class, Failure};
use crate::policy::Asked;
use crate::queue::Rest;
use crate::{BackupRequest, Compression, ObjectReport, Progress, Source, Vault};
use inputs::{Finder, Found};
use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use warifu_core::plan::Override;
use warifu_core::{IndividualId, SiteName, Threshold};

/// What an operator asks to have stored.
#[derive(Debug, Clone)]
pub struct BatchRequest {
    /// Files, folders, patterns; `-` is standard input.
    pub paths: Vec<PathBuf>,
    /// Upper bound of standard input in bytes.
    pub stdin_bytes: Option<u64>,
    /// A table of more files.
    pub manifest: Option<PathBuf>,
    /// Whose they are; a manifest's line may say otherwise.
    pub individual: Option<IndividualId>,
    /// Whether individuals of a manifest that are not known yet are enrolled.
    pub enroll: bool,
    /// The scheme; a manifest's line may say otherwise.
    pub threshold: Threshold,
    /// Whether and how data is compressed; a manifest's line may say otherwise.
    pub compression: Compression,
    /// Whether lengths are rounded up coarsely; a manifest's line may say otherwise.
    pub pad: bool,
    /// A public label; a manifest's line may say otherwise.
    pub label: Option<String>,
    /// Placement rules gone against by name.
    pub overrides: Vec<Override>,
    /// Sites that must be used.
    pub pins: Vec<SiteName>,
    /// Sites that must not be used.
    pub exclusions: Vec<SiteName>,
}

/// One thing to be stored.
#[derive(Debug, Clone)]
pub struct Input {
    pub(super) request: BackupRequest,
    /// Where in a manifest it stands.
    place: Option<String>,
}

impl Input {
    fn of(request: BackupRequest) -> Self {
        Self { request, place: None }
    }

    /// What a queued backup asks for.
    pub(crate) fn queued(request: BackupRequest) -> Self {
        Self::of(request)
    }

    fn at(self, place: String) -> Self {
        Self { place: Some(place), ..self }
    }

    /// The backup that it stands for.
    #[must_use]
    pub fn request(&self) -> &BackupRequest {
        &self.request
    }

    /// The path, or `-`, for people; where it comes from a manifest, after the line's number.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.place {
            Some(place) => format!("{place}: {}", self.path()),
            None => self.path(),
        }
    }

    /// As the planner sees it.
    pub(crate) fn wish(&self) -> Wish<'_> {
        let bytes = self.bytes();
        Wish {
            asked: Asked::from(&self.request),
            threshold: self.request.threshold,
            overrides: &self.request.overrides,
            bytes: bytes.unwrap_or(0),
            geometry: bytes.and_then(|bytes| geometry_at_most(&self.request, bytes)),
        }
    }

    /// How long it is now, in bytes; `None` where that is not known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        match &self.request.source {
            Source::File(path) => Some(record::FileState::of(path)?.bytes()),
            Source::Stdin { size_bytes } => *size_bytes,
        }
    }

    /// The path, or `-`. What is no UTF-8 in it is replaced.
    #[must_use]
    pub fn path(&self) -> String {
        match &self.request.source {
            Source::File(path) => path.display().to_string(),
            Source::Stdin { .. } => "-".to_owned(),
        }
    }
}

/// Something that was asked for and is no input.
#[derive(Debug)]
pub struct Refused {
    /// A path, a pattern, or a line of a manifest.
    pub what: String,
    /// Why.
    pub failure: Failure,
}

/// What a request comes to.
#[derive(Debug)]
pub struct Gathered {
    /// What is to be stored, in order.
    pub inputs: Vec<Input>,
    /// What can't be.
    pub refused: Vec<Refused>,
    /// What was left out on purpose.
    pub notes: Vec<String>,
    /// Whether it is more than one file by its name: only then is what was stored before skipped.
    pub is_batch: bool,
}

/// What became of one input.
#[derive(Debug)]
pub enum Outcome {
    /// It is stored.
    Stored(Box<ObjectReport>),
    /// It was stored by an earlier run, unchanged since.
    Skipped {
        /// As which object.
        object: String,
    },
    /// It is not stored.
    Failed(Failure),
}

/// Who is told how a batch goes. It is called from several threads.
pub trait Onlooker: Sync {
    /// Storing `input`, the `number`th, begins.
    fn begins(&self, number: usize, input: &Input);

    /// How far it is.
    fn advances(&self, number: usize, progress: Progress);

    /// It has begun and will begin once more from its beginning, when others have ended.
    fn waits(&self, number: usize);

    /// What became of it; it may never have begun.
    fn ends(&self, number: usize, input: &Input, outcome: Outcome);

    /// What the batch as a whole lacks, before it starts.
    fn is_warned(&self, forecast: &Forecast);

    /// Of a queue: nothing can be begun until key arrives.
    fn rests(&self, rest: Rest);
}

impl Vault {
    /// Turns a request into inputs. Nothing is opened but folders and the manifest.
    ///
    /// # Errors
    /// Where the request makes no sense as a whole or the manifest can't be used.
    pub fn gather(&self, request: &BatchRequest) -> Result<Gathered, Failure> {
        let mut gathered = self.gather_unsettled(request)?;
        self.settle_individuals(&mut gathered, request.enroll)?;
        Ok(gathered)
    }

    /// As [`gather`](Self::gather), whether or not individuals are enrolled.
    ///
    /// # Errors
    /// As `gather`.
    pub(crate) fn gather_unsettled(&self, request: &BatchRequest) -> Result<Gathered, Failure> {
        let stdin = check_stdin(request)?;
        let template = |source, individual| request.backup(source, individual);
        let mut found = Found::default();
        if !request.paths.is_empty() {
            let individual = request.individual.clone().ok_or_else(|| {
                Failure::new(Class::Usage, "usage", "nobody is named whose the paths are")
                    .next("say whose they are with --individual ID")
            })?;
            let input = |source| Input::of(template(source, individual.clone()));
            let finder = Finder::new(&self.dir, &input);
            for path in &request.paths {
                match path.as_os_str() == "-" {
                    true => found.inputs.push(input(stdin.clone())),
                    false => finder.add(path, &mut found),
                }
            }
        }
        if let Some(path) = &request.manifest {
            let mut lines = manifest::read(path, request.individual.as_ref(), &template)?;
            found.inputs.append(&mut lines.inputs);
            found.refused.append(&mut lines.refused);
        }
        let mut notes = found.take_notes();
        let before = found.inputs.len();
        let mut seen = HashSet::new();
        found.inputs.retain(|input| seen.insert(identity(input)));
        match before - found.inputs.len() {
            0 => {}
            twice => notes.push(format!("{twice} were named more than once and are stored once")),
        }
        let several = found.inputs.len() + found.refused.len() > 1;
        let is_batch = found.is_plural || request.manifest.is_some() || several;
        let (inputs, refused) = (found.inputs, found.refused);
        Ok(Gathered { inputs, refused, notes, is_batch })
    }

    /// Enrols individuals that are not known, or refuses their inputs.
    fn settle_individuals(&self, gathered: &mut Gathered, enroll: bool) -> Result<(), Failure> {
        let mut known: BTreeMap<IndividualId, bool> = BTreeMap::new();
        for input in &gathered.inputs {
            let individual = &input.request.individual;
            if known.contains_key(individual) {
                continue;
            }
            let is_known = match self.catalog()?.individual(individual) {
                Ok(_) => true,
                Err(warifu_catalog::CatalogError::NotFound { .. }) if enroll => {
                    self.enroll(individual)?;
                    gathered.notes.push(format!("enrolled {individual}"));
                    true
                }
                Err(warifu_catalog::CatalogError::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            known.insert(individual.clone(), is_known);
        }
        if !gathered.is_batch {
            return Ok(());
        }
        let inputs = std::mem::take(&mut gathered.inputs);
        let (good, unknown): (Vec<_>, Vec<_>) = inputs
            .into_iter()
            .partition(|input| known.get(&input.request.individual).is_some_and(|known| *known));
        gathered.inputs = good;
        gathered.refused.extend(unknown.into_iter().map(|input| {
            let what = format!("{} is not enrolled", input.request.individual);
            let failure = Failure::new(Class::NotFound, "not-found", what)
                .next("run `warifu individual enroll ID`, or add --enroll");
            Refused { what: input.shown(), failure }
        }));
        Ok(())
    }
}

impl BatchRequest {
    pub(crate) fn backup(&self, source: Source, individual: IndividualId) -> BackupRequest {
        BackupRequest {
            source,
            individual,
            threshold: self.threshold,
            compression: self.compression,
            pad: self.pad,
            label: self.label.clone(),
            overrides: self.overrides.clone(),
            pins: self.pins.clone(),
            exclusions: self.exclusions.clone(),
        }
    }
}

/// A hash of what makes two inputs the same: their path, whose they are, and how they are stored.
fn identity(input: &Input) -> [u8; 16] {
    let request = &input.request;
    let path = match &request.source {
        Source::File(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        Source::Stdin { .. } => PathBuf::new(),
    };
    let label = request.label.as_deref();
    let (how, pad) = (request.compression.as_str(), request.pad);
    let rest = format!("\0{} {} {how} {pad} {label:?}", request.individual, request.threshold);
    let mut hasher = blake3::Hasher::new();
    hasher.update(path.as_os_str().as_bytes()).update(rest.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

/// Standard input as a source, where it is asked for in a way that makes sense.
fn check_stdin(request: &BatchRequest) -> Result<Source, Failure> {
    let wrong = |what: &str, next: &str| {
        Err(Failure::new(Class::Usage, "usage", what.to_owned()).next(next))
    };
    let count = request.paths.iter().filter(|path| path.as_os_str() == "-").count();
    if count == 0 && request.stdin_bytes.is_some() {
        return wrong("--size is for standard input", "leave --size out, or give `-`");
    }
    if count > 1 {
        return wrong("standard input can be read once only", "give `-` once");
    }
    Ok(Source::Stdin { size_bytes: request.stdin_bytes })
}
