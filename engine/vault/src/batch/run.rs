//! Storing the inputs of a batch: several at a time, each whole or not at all.

use super::forecast::Agenda;
use super::record::{FileState, Mark, Record, erase, is_there};
use super::summary::{BatchReport, Tally};
use super::{Carried, Input, Onlooker, Outcome};
use crate::backup::Wish;
use crate::failure::{Class, Failure};
use crate::memory::{self, Need};
use crate::plan::hang_up;
use crate::short::waiting;
use crate::{BackupRequest, Compression, ObjectReport, Source, Vault, Watch};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use warifu_catalog::{Catalog, CatalogError};
use warifu_core::payload::Encoding;
use warifu_core::{ObjectId, SiteName};
use warifu_pipeline::backup::timed::ChunkTimes;
use warifu_pipeline::peer::Peer;

/// What an input may fail with while others run, and may not once they have ended and have given
/// back what they held.
const WORTH_WAITING: [&str; 4] = ["key-short", "random-short", "memory-ceiling", "job-running"];

/// Of these, what key alone would mend.
const OF_KEY: [&str; 2] = ["key-short", "random-short"];

/// How long it takes to ask again whether another process has ended with an input.
const RUNNING_PAUSE: Duration = Duration::from_millis(500);

/// Inputs longer than this many bytes are not what jobs are counted by: their hashes take most.
const LONG_BYTES: u64 = 16 << 30;

/// How a batch is run.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Inputs stored at a time, at most; the memory ceiling may allow fewer.
    pub jobs: usize,
    /// Whether what an earlier run stored is stored anew.
    pub again: bool,
    /// Whether interrupted backups only are gone on with, and none is begun.
    pub resume: bool,
}

impl Vault {
    /// Holds this opening of the vault to a memory ceiling other than that of its settings.
    ///
    /// # Errors
    /// Where it is less than anything can be stored in.
    pub fn limit_memory(&mut self, bytes: u64) -> Result<(), Failure> {
        if bytes < crate::config::MEMORY_BYTES_MIN {
            let what = format!("{bytes} bytes of memory are too few");
            return Err(
                Failure::new(Class::Usage, "memory-limit", what).next("give at least 64 MiB")
            );
        }
        self.config.limits.memory_bytes = bytes;
        warifu_buffers::set_limit(memory::reservable_bytes(bytes));
        Ok(())
    }

    /// Stores all of `inputs`, the first ones first, and tells `onlooker` what becomes of each.
    /// After a stop is asked for, none begins any more.
    ///
    /// # Errors
    /// Where nothing can be begun at all. That inputs fail is no failure of the batch.
    pub fn run_batch(
        &self,
        inputs: &[Input],
        manner: Manner,
        stop: &AtomicBool,
        onlooker: &dyn Onlooker,
    ) -> Result<BatchReport, Failure> {
        let started = Instant::now();
        self.collect_litter()?;
        let record = self.batch_record()?;
        let mut tally = Tally::default();
        let found = match (&record, manner.again) {
            (Some(record), false) => self.stored_before(record, inputs)?,
            _ => BTreeMap::new(),
        };
        for (&number, object) in &found {
            tally.skipped += 1;
            let outcome = Outcome::Skipped { object: object.to_string() };
            onlooker.ends(number, &inputs[number], outcome);
        }
        let todo: Vec<usize> = (0..inputs.len()).filter(|at| !found.contains_key(at)).collect();
        let Agenda { order: todo, forecast, sites } = self.agenda(inputs, &todo)?;
        forecast.iter().for_each(|forecast| onlooker.is_warned(forecast));
        let waits = forecast.iter().flat_map(|forecast| &forecast.waiting);
        let run = Run {
            inputs,
            wish: if manner.resume { Wish::Resume } else { Wish::Either },
            again: manner.again,
            record: record.as_ref(),
            stop,
            onlooker,
            times: Arc::default(),
            tally: Mutex::new(tally),
            waits: waits.map(|waiting| (waiting.number, waiting.wait_s)).collect(),
            sites,
            waiting: Mutex::default(),
        };
        let (jobs, share_bytes) = self.memory_shares(inputs, manner.jobs.min(todo.len()))?;
        let handles = (0..jobs).map(|_| self.handle(share_bytes));
        let mut begun = run.all(handles.collect::<Result<_, _>>()?, &todo, true);
        let waiting = run.take_waiting();
        begun -= waiting.len();
        begun += run.all(vec![self.handle(self.config.limits.memory_bytes)?], &waiting, false);
        let tally = run.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(tally.report(todo.len() - begun, &run.times, started.elapsed()))
    }

    /// Erases what is recorded of what was stored. Tells whether there was anything.
    ///
    /// # Errors
    /// I/O.
    pub fn forget_batches(&self) -> Result<bool, Failure> {
        erase(&self.dir)
    }

    /// Whether there is a record that [`forget_batches`](Self::forget_batches) would erase.
    #[must_use]
    pub fn remembers_batches(&self) -> bool {
        is_there(&self.dir)
    }

    /// The listed object as which an input was stored before just so, unchanged since.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn stored_as(&self, input: &Input) -> Result<Option<ObjectId>, Failure> {
        let Some(record) = self.batch_record()? else { return Ok(None) };
        Ok(self.stored_before(&record, std::slice::from_ref(input))?.remove(&0))
    }

    /// Of these, by their place, the ones that were stored before just so, unchanged since, and as
    /// which object.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn stored_already(&self, inputs: &[Input]) -> Result<BTreeMap<usize, ObjectId>, Failure> {
        let record = self.batch_record()?;
        record.map_or_else(|| Ok(BTreeMap::new()), |record| self.stored_before(&record, inputs))
    }

    /// What makes the record of a file that is stored by itself, in any of these ways of asking;
    /// `None` for a stream.
    pub(crate) fn note_of(&self, asked: &[BackupRequest]) -> Result<Option<Note>, Failure> {
        if asked.iter().all(|request| matches!(request.source, Source::Stdin { .. })) {
            return Ok(None);
        }
        let Some(record) = self.batch_record()? else { return Ok(None) };
        let marked = |request: &BackupRequest| Some((mark_of(&record, request)?, request.clone()));
        let marks = asked.iter().filter_map(marked).collect();
        Ok(Some(Note { record, marks }))
    }

    /// The record of what was stored. Trouble with it keeps nothing from being stored.
    fn batch_record(&self) -> Result<Option<Record>, Failure> {
        let mut key = [0; 32];
        self.entropy.fill(&mut key).map_err(|error| {
            Failure::new(Class::Other, "entropy", "the system gives no randomness").because(error)
        })?;
        Ok(match Record::open(&self.dir, key) {
            Ok((record, is_anew)) => {
                if is_anew {
                    tracing::warn!(
                        "the record of what was stored was damaged and begins anew: \
                         inputs that were stored before are stored once more"
                    );
                }
                Some(record)
            }
            Err(failure) => {
                let error = crate::plan::error_chain(&failure);
                tracing::warn!(error, "a rerun will not know what this run stores");
                None
            }
        })
    }

    /// By their number, inputs that are unchanged since they were stored, and as which object.
    fn stored_before(
        &self,
        record: &Record,
        inputs: &[Input],
    ) -> Result<BTreeMap<usize, ObjectId>, Failure> {
        let marks: Vec<Option<Mark>> =
            inputs.iter().map(|input| mark_of(record, &input.request)).collect();
        let objects = match record.find(marks.iter().flatten().copied()) {
            Ok(objects) => objects,
            Err(failure) => {
                let error = crate::plan::error_chain(&failure);
                tracing::warn!(error, "what was stored before is not known and is stored anew");
                return Ok(BTreeMap::new());
            }
        };
        let mut found = BTreeMap::new();
        for (number, mark) in marks.iter().enumerate() {
            let candidates = mark.as_ref().and_then(|mark| objects.get(mark));
            if let Some(object) = self.last_listed(candidates.map_or(&[], Vec::as_slice))? {
                found.insert(number, object);
            }
        }
        Ok(found)
    }

    /// How many jobs the memory ceiling bears, and the ceiling of each: enough for the inputs that
    /// take most, but for hashes of very long ones, which wait until they are alone.
    fn memory_shares(&self, inputs: &[Input], jobs: usize) -> Result<(usize, u64), Failure> {
        let requests = inputs.iter().map(Input::request);
        let Some(widest) = requests.clone().map(|request| request.threshold).max_by_key(|t| t.n())
        else {
            return Ok((1, self.config.limits.memory_bytes));
        };
        let compresses = requests.clone().any(|request| request.compression != Compression::None);
        let encoding = if compresses { Encoding::ZstdFrames } else { Encoding::AsGiven };
        let channel = memory::worst_channel(&self.catalog()?.sites()?);
        let channels = (0..widest.n()).map(|_| channel);
        let longest = inputs.iter().filter_map(Input::bytes).max().unwrap_or(0);
        let least = Need::of_backup(widest, longest.min(LONG_BYTES), encoding, channels);
        Ok(memory::shares(self.config.limits.memory_bytes, jobs, &least))
    }

    /// The listed one among these objects, the latest if there are several.
    pub(crate) fn last_listed(&self, objects: &[ObjectId]) -> Result<Option<ObjectId>, Failure> {
        for object in objects.iter().rev() {
            match self.catalog()?.object(object) {
                Ok(_) => return Ok(Some(*object)),
                Err(CatalogError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Another handle of this opening, for a thread of its own, held to `memory_bytes`.
    pub(crate) fn handle(&self, memory_bytes: u64) -> Result<Self, Failure> {
        let mut config = self.config.clone();
        config.limits.memory_bytes = memory_bytes;
        Ok(Self {
            dir: self.dir.clone(),
            config,
            name: self.name.clone(),
            keys: self.keys.clone(),
            catalog: Some(Catalog::open(&self.dir.join(crate::CATALOG))?),
            in_hand: self.in_hand.clone(),
            enforcing: self.enforcing.clone(),
            world: self.world.clone(),
            entropy: self.entropy.clone(),
            clock: self.clock.clone(),
            isa: self.isa,
            deliveries: self.deliveries.clone(),
        })
    }
}

/// One run over a batch, shared by its threads.
struct Run<'a> {
    inputs: &'a [Input],
    wish: Wish,
    again: bool,
    record: Option<&'a Record>,
    stop: &'a AtomicBool,
    onlooker: &'a dyn Onlooker,
    times: Arc<ChunkTimes>,
    tally: Mutex<Tally>,
    /// How long inputs wait for key, as the batch was planned.
    waits: BTreeMap<usize, Option<u64>>,
    /// The sites of those that fit, as the batch was planned.
    sites: BTreeMap<usize, Vec<SiteName>>,
    /// Inputs that may fit when the others have ended.
    waiting: Mutex<Vec<usize>>,
}

impl Run<'_> {
    /// Stores the inputs of these numbers, one at a time on each of `vaults`. Answers how many
    /// were begun.
    fn all(&self, vaults: Vec<Vault>, numbers: &[usize], may_wait: bool) -> usize {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for vault in vaults {
                let next = &next;
                scope.spawn(move || self.work(&vault, numbers, next, may_wait));
            }
        });
        next.into_inner().min(numbers.len())
    }

    fn work(&self, vault: &Vault, numbers: &[usize], next: &AtomicUsize, may_wait: bool) {
        let mut peers = BTreeMap::new();
        while !self.stop.load(Ordering::Relaxed) {
            let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let input = &self.inputs[number];
            self.onlooker.begins(number, input);
            let started = Instant::now();
            let stored = match self.store(vault, number, &mut peers) {
                Err(failure) if !may_wait && is_running(&failure) => {
                    self.store_after_others(vault, number, &mut peers, failure)
                }
                stored => stored,
            };
            match stored {
                Err(failure) if may_wait && is_worth_waiting(&failure) => {
                    // What this thread's connections hold is given back for others to use.
                    std::mem::take(&mut peers).into_values().for_each(hang_up);
                    self.waiting().push(number);
                    self.onlooker.waits(number);
                }
                outcome => {
                    let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
                    let outcome = match outcome {
                        Ok(Stored::Now(report)) => {
                            tally.stored(&report, started.elapsed());
                            Outcome::Stored(report)
                        }
                        Ok(Stored::Before(object)) => {
                            tally.skipped += 1;
                            Outcome::Skipped { object: object.to_string() }
                        }
                        Err(failure) => {
                            tally.failed += 1;
                            Outcome::Failed(self.in_its_turn(number, failure))
                        }
                    };
                    drop(tally);
                    self.onlooker.ends(number, input, outcome);
                }
            }
        }
        peers.into_values().for_each(hang_up);
    }

    fn store(
        &self,
        vault: &Vault,
        number: usize,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Stored, Failure> {
        let input = &self.inputs[number];
        let request = &input.request;
        let marked = self.record.and_then(|record| Some((record, mark_of(record, request)?)));
        let meanwhile = || match marked {
            Some((record, mark)) if !self.again => vault.last_listed(&record.find_added(mark)?),
            _ => Ok(None),
        };
        if let Some(object) = meanwhile()? {
            return Ok(Stored::Before(object));
        }
        let mut before_listing = |object| {
            // A file that is another one by now is stored anew the next time.
            if let Some((record, mark)) = marked
                && mark_of(record, request) == Some(mark)
                && let Err(failure) = record.add(mark, object)
            {
                let error = crate::plan::error_chain(&failure);
                tracing::warn!(error, "a rerun will store this input anew");
            }
        };
        let mut carried =
            Carried::on(std::mem::take(peers), self.times.clone(), &mut before_listing, &meanwhile)
                .planned(self.sites.get(&number).map_or(&[], Vec::as_slice));
        let mut progress = |progress| self.onlooker.advances(number, progress);
        let watch = Watch { progress: &mut progress, stop: self.stop };
        let outcome = vault.store(request, watch, self.wish, &mut carried);
        *peers = carried.peers;
        match outcome {
            Ok(report) => Ok(Stored::Now(Box::new(report))),
            // Whoever was at it may have ended just now.
            Err(failure) if is_running(&failure) => match meanwhile()? {
                Some(object) => Ok(Stored::Before(object)),
                None => Err(failure),
            },
            Err(failure) => Err(failure),
        }
    }

    /// Stores an input that another process is storing, unless that one does it.
    fn store_after_others(
        &self,
        vault: &Vault,
        number: usize,
        peers: &mut BTreeMap<SiteName, Peer>,
        failure: Failure,
    ) -> Result<Stored, Failure> {
        let mut outcome = Err(failure);
        while matches!(&outcome, Err(failure) if is_running(failure))
            && !self.stop.load(Ordering::Relaxed)
        {
            vault.clock.pause(RUNNING_PAUSE);
            outcome = self.store(vault, number, peers);
        }
        outcome
    }

    /// A refusal for want of key says how long it takes with those served that come before.
    fn in_its_turn(&self, number: usize, failure: Failure) -> Failure {
        match self.waits.get(&number) {
            Some(wait_s) if OF_KEY.contains(&failure.code()) && is_worth_waiting(&failure) => {
                waiting(failure, *wait_s)
            }
            _ => failure,
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inputs that wait, in their order.
    fn take_waiting(&self) -> Vec<usize> {
        let mut waiting = std::mem::take(&mut *self.waiting());
        waiting.sort_unstable();
        waiting
    }
}

/// What became of an input that was not refused.
enum Stored {
    Now(Box<ObjectReport>),
    /// By somebody else, since the batch began.
    Before(ObjectId),
}

/// What the record is to learn of a file that is stored by itself.
pub(crate) struct Note {
    record: Record,
    marks: Vec<(Mark, BackupRequest)>,
}

impl Note {
    /// Notes that it is about to be listed. A file that is another one by now is not noted.
    pub(crate) fn write(&self, object: ObjectId) {
        for (mark, request) in &self.marks {
            if mark_of(&self.record, request) == Some(*mark)
                && let Err(failure) = self.record.add(*mark, object)
            {
                let error = crate::plan::error_chain(&failure);
                tracing::warn!(error, "a batch will store this file anew");
            }
        }
    }
}

fn is_running(failure: &Failure) -> bool {
    failure.code() == "job-running"
}

/// Whether nothing was begun because something was short that others may hold for now.
fn is_worth_waiting(failure: &Failure) -> bool {
    WORTH_WAITING.contains(&failure.code()) && std::error::Error::source(failure).is_none()
}

fn mark_of(record: &Record, request: &BackupRequest) -> Option<Mark> {
    let path: &Path = match &request.source {
        Source::File(path) => path,
        Source::Stdin { .. } => return None,
    };
    Some(record.mark(path, &FileState::of(path)?, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_refused_before_it_began_waits() {
        let short = || Failure::new(Class::Key, "key-short", "short");
        assert!(is_worth_waiting(&short()));
        assert!(!is_worth_waiting(&short().because(std::io::Error::other("on the way"))));
        assert!(!is_worth_waiting(&Failure::new(Class::Key, "source-grew", "grew")));
    }
}
