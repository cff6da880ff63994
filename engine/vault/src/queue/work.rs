//! Working on the queue: what key covers is stored, the rest waits for key.

use super::entry::Event;
use super::survey::looked_at;
use super::{Entry, Held, Taken, Taking, Waiters, unusable};
use crate::backup::{Wish, identify};
use crate::batch::{BatchReport, Carried, Onlooker, Outcome, Tally};
use crate::failure::{Class, Failure};
use crate::plan::hang_up;
use crate::{Input, ObjectReport, Vault, Watch};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use warifu_core::{ObjectId, SiteName};
use warifu_pipeline::backup::timed::ChunkTimes;
use warifu_pipeline::peer::Peer;

/// How long is waited before the queue and the pools are looked at again.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Looks after which all is planned anew though nothing seems to have changed.
const LOOKS_PER_SURVEY: u32 = 60;

/// How long an entry that could not be stored for a passing reason is left alone at most, in
/// seconds; at first it is tried again sooner.
pub(super) const RETRY_S_MAX: u64 = 16;

/// How often an entry is tried that fits and can't be stored, where the work is to end by itself.
pub(super) const TRIES_ONCE: u32 = 3;

/// Fetches key while the queue is worked on, until the flag is set.
pub type FetchKey<'a> = dyn Fn(&Vault, &AtomicBool) + Sync + 'a;

/// How the queue is worked on.
#[derive(Clone, Copy, Default)]
pub struct WorkRequest<'a> {
    /// Whether to end when nothing more can be stored now.
    pub is_once: bool,
    /// Only these entries, and to end when they are done with; without, whatever is queued, also
    /// later, and never to end by itself.
    pub only: Option<&'a [ObjectId]>,
    /// Entries stored at a time, at most.
    pub jobs: usize,
    /// What brings key meanwhile.
    pub fetch: Option<&'a FetchKey<'a>>,
}

/// Nothing can be stored just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Entries that wait.
    pub waiting: usize,
    /// Seconds until the first of them fits, by the forecast.
    pub wait_s: Option<u64>,
}

impl Vault {
    /// Works on the queue until it is asked to stop, or as the request says. What is stopped stays
    /// in the queue. What fails for another reason than key stays there too, held back; of both,
    /// `onlooker` is told.
    ///
    /// # Errors
    /// Where the queue can't be read. That entries fail is no failure of the work.
    pub fn work(
        &self,
        request: WorkRequest<'_>,
        stop: &AtomicBool,
        onlooker: &dyn Onlooker,
    ) -> Result<BatchReport, Failure> {
        let started = Instant::now();
        self.note_arrivals();
        let shop = Shop {
            request,
            stop,
            onlooker,
            queue: self.waiters(),
            times: Arc::default(),
            tally: Mutex::default(),
            board: Mutex::default(),
        };
        let jobs = request.jobs.max(1);
        let share_bytes = self.config.limits.memory_bytes / jobs as u64;
        let jobs = if share_bytes < crate::config::MEMORY_BYTES_MIN { 1 } else { jobs };
        let share_bytes = self.config.limits.memory_bytes / jobs as u64;
        let vaults: Vec<Vault> =
            (0..jobs).map(|_| self.handle(share_bytes)).collect::<Result<_, _>>()?;
        let fetching = request.fetch.filter(|_| !request.is_once);
        let fetching = fetching.map(|fetch| Ok::<_, Failure>((fetch, self.handle(share_bytes)?)));
        let fetching = fetching.transpose()?;
        let is_over = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            if let Some((fetch, vault)) = fetching {
                let is_over = &is_over;
                scope.spawn(move || fetch(&vault, is_over));
            }
            let workers: Vec<_> = vaults
                .into_iter()
                .map(|vault| {
                    let shop = &shop;
                    scope.spawn(move || shop.serve(&vault))
                })
                .collect();
            let outcomes = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(Failure::new(Class::Other, "internal", "a worker broke off"))
                })
            });
            let outcome: Result<Vec<()>, Failure> = outcomes.collect();
            is_over.store(true, Ordering::Relaxed);
            outcome
        });
        outcome?;
        let left = shop.left()?;
        let tally = shop.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(tally.report(left, &shop.times, started.elapsed()))
    }
}

/// What the threads of one worker share.
pub(super) struct Shop<'a> {
    pub(super) request: WorkRequest<'a>,
    pub(super) stop: &'a AtomicBool,
    pub(super) onlooker: &'a dyn Onlooker,
    pub(super) queue: Waiters,
    pub(super) times: Arc<ChunkTimes>,
    pub(super) tally: Mutex<Tally>,
    pub(super) board: Mutex<Board>,
}

/// What is known of the queue.
#[derive(Default)]
pub(super) struct Board {
    /// Entries that can be begun, the first one first.
    pub(super) ready: VecDeque<ObjectId>,
    /// Entries that threads of this process have in hand.
    pub(super) in_hand: Vec<ObjectId>,
    /// How often an entry was tried in vain, and when it may be tried again, in seconds since 1970.
    pub(super) tries: BTreeMap<ObjectId, (u32, u64)>,
    /// What pools and queue were like when an entry that may shrink was last tried.
    pub(super) tried: BTreeMap<ObjectId, String>,
    /// What they were like at the last survey.
    pub(super) seen: String,
    pub(super) looks: u32,
    pub(super) surveyed_unix_s: u64,
    /// Whether something that fits is left alone for a moment.
    pub(super) is_soon: bool,
    /// The inputs of entries of which the onlooker was told, by their number.
    pub(super) told: Vec<(ObjectId, Input, Vec<ObjectId>)>,
    /// Entries of `only` that are done with.
    pub(super) settled: Vec<ObjectId>,
}

impl Board {
    fn was_in_vain(&mut self, id: ObjectId, unix_s: u64) {
        let (tries, until) = self.tries.entry(id).or_default();
        *tries += 1;
        *until = unix_s + (1 << (*tries).min(4)).min(RETRY_S_MAX);
    }
}

/// What a thread does next.
enum Next {
    Store(ObjectId),
    /// Wait for a change; the longer, the more entries there are to look at.
    Look(usize),
    End,
}

impl Shop<'_> {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn is_wanted(&self, id: &ObjectId) -> bool {
        self.request.only.is_none_or(|only| only.contains(id))
    }

    /// Entries that are still queued and wanted.
    fn left(&self) -> Result<usize, Failure> {
        let entries = self.queue.list().map_err(unusable)?;
        let wanted = |entry: &&Entry| self.is_wanted(&entry.ticket.id) && entry.held.is_none();
        Ok(entries.iter().filter(wanted).count())
    }

    fn serve(&self, vault: &Vault) -> Result<(), Failure> {
        let mut peers = BTreeMap::new();
        let outcome = loop {
            if self.is_stopped() {
                break Ok(());
            }
            match self.next(vault, &mut peers) {
                Ok(Next::Store(id)) => {
                    if let Err(failure) = self.handle(vault, &id, &mut peers) {
                        break Err(failure);
                    }
                }
                Ok(Next::Look(entries)) => {
                    let entries = u32::try_from(entries).unwrap_or(u32::MAX).min(10_000);
                    vault.clock.pause(LOOK_PAUSE + Duration::from_millis(1) * entries);
                }
                Ok(Next::End) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        peers.into_values().for_each(hang_up);
        outcome
    }

    fn next(&self, vault: &Vault, peers: &mut BTreeMap<SiteName, Peer>) -> Result<Next, Failure> {
        let mut board = self.board();
        if let Some(id) = board.ready.pop_front() {
            board.in_hand.push(id);
            return Ok(Next::Store(id));
        }
        // What this thread's connections hold is given back for others to plan with.
        std::mem::take(peers).into_values().for_each(hang_up);
        let entries = self.queue.list().map_err(unusable)?;
        self.settle_vanished(vault, &mut board, &entries)?;
        let is_over = |board: &Board| {
            self.request.only.is_some_and(|only| only.iter().all(|id| board.settled.contains(id)))
        };
        if is_over(&board) && board.in_hand.is_empty() {
            return Ok(Next::End);
        }
        let now = looked_at(vault, &entries)?;
        board.looks += 1;
        let (before, unix_s) = (board.surveyed_unix_s, vault.now_unix_s());
        let again = board.tries.values().any(|(_, until)| (before + 1..=unix_s).contains(until));
        let is_due = board.seen != now || again || board.looks >= LOOKS_PER_SURVEY;
        let is_last = self.request.is_once && board.in_hand.is_empty();
        if !(is_due || is_last) {
            return Ok(Next::Look(entries.len()));
        }
        vault.note_arrivals();
        let rest = self.survey(vault, &mut board, &entries, &now)?;
        (board.seen, board.looks, board.surveyed_unix_s) = (now, 0, unix_s);
        match (board.ready.pop_front(), self.request.is_once && board.in_hand.is_empty()) {
            (Some(id), _) => {
                board.in_hand.push(id);
                Ok(Next::Store(id))
            }
            (None, true) if !board.is_soon => Ok(Next::End),
            (None, _) => {
                if rest.waiting > 0 && board.in_hand.is_empty() {
                    self.onlooker.rests(rest);
                }
                Ok(Next::Look(entries.len()))
            }
        }
    }

    /// Tells of entries that were wanted and that others have stored or taken out.
    fn settle_vanished(
        &self,
        vault: &Vault,
        board: &mut Board,
        entries: &[Entry],
    ) -> Result<(), Failure> {
        for entry in entries {
            if self.is_wanted(&entry.ticket.id) {
                let number = number_of(board, entry);
                board.told[number].2.clone_from(&entry.objects);
                if entry.held.is_some() && self.request.only.is_some() {
                    self.tell_held(board, number, entry);
                }
            }
        }
        for &id in self.request.only.unwrap_or_default() {
            let is_there = entries.iter().any(|entry| entry.ticket.id == id);
            if is_there || board.settled.contains(&id) || board.in_hand.contains(&id) {
                continue;
            }
            board.settled.push(id);
            let Some(number) = board.told.iter().position(|told| told.0 == id) else { continue };
            let (_, input, objects) = &board.told[number];
            let stored = match vault.last_listed(objects)? {
                Some(object) => Some(object),
                None => vault.stored_as(input)?,
            };
            let outcome = match stored {
                Some(object) => Outcome::Skipped { object: object.to_string() },
                None => Outcome::Failed(taken_out(&id)),
            };
            self.count(&outcome);
            self.onlooker.ends(number, input, outcome);
        }
        Ok(())
    }

    /// Somebody else found that an entry that is waited for can't be stored.
    fn tell_held(&self, board: &mut Board, number: usize, entry: &Entry) {
        let id = entry.ticket.id;
        let Some(Held::Failed { code, what }) = &entry.held else { return };
        if board.settled.contains(&id) || board.in_hand.contains(&id) {
            return;
        }
        board.settled.push(id);
        let failure = Failure::new(Class::Other, "queued-failed", format!("{what} [{code}]"));
        let outcome = Outcome::Failed(failure.next(KEPT));
        self.count(&outcome);
        self.onlooker.ends(number, &board.told[number].1, outcome);
    }

    fn count(&self, outcome: &Outcome) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Stored(_) => {}
            Outcome::Skipped { .. } => tally.skipped += 1,
            Outcome::Failed(_) => tally.failed += 1,
        }
    }

    /// Stores one entry, and settles what became of it.
    fn handle(
        &self,
        vault: &Vault,
        id: &ObjectId,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<(), Failure> {
        let taken = self.queue.take(id).map_err(unusable);
        let done = match taken {
            Ok(Taking::Taken(taken)) if taken.entry.held.is_none() => {
                self.store(vault, *taken, peers)
            }
            Ok(Taking::Busy) => {
                self.board().was_in_vain(*id, vault.now_unix_s());
                Ok(())
            }
            Ok(Taking::Taken(_) | Taking::Gone) => Ok(()),
            Err(failure) => Err(failure),
        };
        self.board().in_hand.retain(|one| one != id);
        done
    }

    fn store(
        &self,
        vault: &Vault,
        taken: Taken,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<(), Failure> {
        let id = taken.entry.ticket.id;
        let number = number_of(&mut self.board(), &taken.entry);
        let input = Input::queued(taken.entry.ticket.request.clone());
        self.onlooker.begins(number, &input);
        let started = Instant::now();
        let taken = Mutex::new(taken);
        let outcome = self.attempt(vault, (number, &taken), peers);
        let mut taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
        let outcome = match outcome {
            Ok(Stored::Now(report)) => {
                let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.stored(&report, started.elapsed());
                Outcome::Stored(report)
            }
            Ok(Stored::Before(object)) => Outcome::Skipped { object: object.to_string() },
            Err(failure) if is_passing(&failure) || self.is_stopped() => {
                self.board().was_in_vain(id, vault.now_unix_s());
                tracing::info!(%id, %failure, "it waits in the queue");
                self.onlooker.waits(number);
                return Ok(());
            }
            Err(failure) => {
                let (code, what) = (failure.code().to_owned(), failure.to_string());
                taken.note(&Event::Failed(code, what)).map_err(unusable)?;
                self.board().settled.push(id);
                let outcome = Outcome::Failed(failure.next(KEPT));
                self.count(&outcome);
                self.onlooker.ends(number, &input, outcome);
                return Ok(());
            }
        };
        // It is listed: only now may the queue forget it.
        self.queue.remove(&taken).map_err(unusable)?;
        self.board().settled.push(id);
        self.count(&outcome);
        self.onlooker.ends(number, &input, outcome);
        Ok(())
    }

    fn attempt(
        &self,
        vault: &Vault,
        (number, taken): (usize, &Mutex<Taken>),
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Stored, Failure> {
        let entry = taken.lock().unwrap_or_else(PoisonError::into_inner).entry.clone();
        if let Some(object) = vault.settled_as(&entry)? {
            return Ok(Stored::Before(object));
        }
        let request = &entry.ticket.request;
        let input = Input::queued(request.clone());
        if !entry.ticket.again
            && let Some(object) = vault.stored_as(&input)?
        {
            return Ok(Stored::Before(object));
        }
        if input.bytes().is_some_and(|bytes| bytes != entry.ticket.bytes) {
            let path = entry.ticket.path();
            tracing::warn!(%path, "it has changed since it was queued, and is stored as it is now");
        }
        let beginning = |object: ObjectId| {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.note(&Event::Begun(object.to_string())).map_err(unusable)
        };
        let note = vault.note_of(std::slice::from_ref(request))?;
        let mut before_listing = |object| note.iter().for_each(|note| note.write(object));
        let meanwhile = || Ok(None);
        let mut carried =
            Carried::on(std::mem::take(peers), self.times.clone(), &mut before_listing, &meanwhile)
                .announced(&beginning);
        let mut progress = |progress| self.onlooker.advances(number, progress);
        let watch = Watch { progress: &mut progress, stop: self.stop };
        let outcome = vault.store(request, watch, Wish::Either, &mut carried);
        *peers = carried.peers;
        Ok(Stored::Now(Box::new(outcome?)))
    }
}

/// What is said of an entry that failed.
const KEPT: &str = "it stays in the queue, held back: `warifu jobs resume ID` tries it again, and \
                    `jobs cancel ID` takes it out; see `warifu jobs list`";

enum Stored {
    Now(Box<ObjectReport>),
    Before(ObjectId),
}

impl Vault {
    /// The listed object that an entry became. What was begun of it and can't be gone on with, as
    /// its source is another one by now, is settled first: it may be listed by that.
    fn settled_as(&self, entry: &Entry) -> Result<Option<ObjectId>, Failure> {
        if let Some(object) = self.last_listed(&entry.objects)? {
            return Ok(Some(object));
        }
        for intent in self.catalog()?.intents()? {
            if !entry.objects.contains(&intent.object) {
                continue;
            }
            if self.is_in_hand(&intent)? {
                return Err(crate::jobs::running(&intent.object));
            }
            let header = self.journals().header(intent.object).ok();
            // A file that is not there now may come back.
            let is_same = header.and_then(|header| header.source).is_some_and(|source| {
                identify(&source.path).map_or(true, |now| now.is_same(&source))
            });
            if !is_same && self.settle_job(&intent.object)? {
                return Ok(Some(intent.object));
            }
        }
        Ok(None)
    }
}

/// Whether the same may go through later without anybody doing anything about it.
fn is_passing(failure: &Failure) -> bool {
    let passing = [Class::Key, Class::Temporary, Class::Busy, Class::Limit];
    passing.contains(&failure.class()) && failure.code() != "source-too-long"
}

fn taken_out(id: &ObjectId) -> Failure {
    let what = format!("somebody took it out of the queue (it was {id})");
    Failure::new(Class::Temporary, "queue-taken-out", what).next("queue it again if it is wanted")
}

/// The number under which the onlooker knows an entry.
fn number_of(board: &mut Board, entry: &Entry) -> usize {
    let id = entry.ticket.id;
    board.told.iter().position(|told| told.0 == id).unwrap_or_else(|| {
        let input = Input::queued(entry.ticket.request.clone());
        board.told.push((id, input, entry.objects.clone()));
        board.told.len() - 1
    })
}
