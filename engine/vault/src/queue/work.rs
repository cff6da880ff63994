//! Working on the queue: what key covers is stored, the rest waits for key.

use super::board::{Board, Told};
use super::entry::Event;
use super::survey::looked_at;
use super::{Entry, Held, Taken, Taking, Waiters, unusable};
use crate::backup::{Wish, identify};
use crate::batch::{BatchReport, Carried, Onlooker, Outcome, Tally};
use crate::failure::{Class, Failure};
use crate::memory;
use crate::plan::hang_up;
use crate::{Input, ObjectReport, Vault, Watch};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use warifu_core::{ObjectId, SiteName};
use warifu_pipeline::backup::timed::ChunkTimes;
use warifu_pipeline::peer::Peer;

/// How long is waited before the queue and the pools are looked at again.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Looks after which all is planned anew though nothing seems to have changed.
const LOOKS_PER_SURVEY: u32 = 60;

/// How often an entry is tried that fits and can't be stored, where the work is to end by itself.
pub(super) const TRIES_ONCE: u32 = 3;

/// What an entry fails with that takes more memory than there is, or than a worker's part.
const MEMORY_CEILING: &str = "memory-ceiling";

/// Of why an entry failed, so much is kept in it.
const WHAT_CHARS_MAX: usize = 2_000;

/// How often whoever waits looks whether it is to end.
const STOP_PAUSE: Duration = Duration::from_millis(100);

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
    /// Of `only`, what each asked for, in the same order; their numbers are what the onlooker is
    /// told.
    pub inputs: &'a [Input],
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
            board: Mutex::new(Board::of(request)),
            only: request.only.map(|only| only.iter().copied().collect()),
            memory_bytes: self.config.limits.memory_bytes,
            alone: RwLock::default(),
            is_broken: AtomicBool::new(false),
        };
        let jobs = request.jobs.max(1);
        let (jobs, share_bytes) = memory::even_shares(self.config.limits.memory_bytes, jobs);
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
            let joined = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(Failure::new(Class::Other, "internal", "a worker broke off"))
                })
            });
            // All of them have ended before it is told how.
            let outcomes: Vec<Result<(), Failure>> = joined.collect();
            is_over.store(true, Ordering::Relaxed);
            outcomes.into_iter().collect::<Result<(), Failure>>()
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
    /// The wanted entries, where these are not all.
    only: Option<BTreeSet<ObjectId>>,
    /// The memory ceiling of all of them together.
    memory_bytes: u64,
    /// Held for itself by whoever stores what takes more memory than a worker's part.
    alone: RwLock<()>,
    /// Whether one of the workers broke off: then the others end as well.
    is_broken: AtomicBool,
}

/// Lets the others end where a worker breaks off.
struct Alarm<'a>(Option<&'a AtomicBool>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|is_broken| is_broken.store(true, Ordering::Relaxed));
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

    fn is_over(&self) -> bool {
        self.is_stopped() || self.is_broken.load(Ordering::Relaxed)
    }

    pub(super) fn is_wanted(&self, id: &ObjectId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(id))
    }

    fn pause(&self, vault: &Vault, time: Duration) {
        let mut left = time;
        while !left.is_zero() && !self.is_over() {
            let now = left.min(STOP_PAUSE);
            vault.clock.pause(now);
            left -= now;
        }
    }

    /// Entries that are still queued and wanted.
    fn left(&self) -> Result<usize, Failure> {
        let entries = self.queue.list().map_err(unusable)?;
        let wanted = |entry: &&Entry| self.is_wanted(&entry.ticket.id) && entry.held.is_none();
        Ok(entries.iter().filter(wanted).count())
    }

    fn serve(&self, vault: &Vault) -> Result<(), Failure> {
        let mut peers = BTreeMap::new();
        let mut alarm = Alarm(Some(&self.is_broken));
        let outcome = loop {
            if self.is_over() {
                break Ok(());
            }
            match self.next(vault, &mut peers) {
                Ok(Next::Store(id)) => {
                    if let Err(failure) = self.handle(vault, &id, &mut peers) {
                        break Err(failure);
                    }
                }
                Ok(Next::Look(entries)) => self.pause(vault, look_pause(entries)),
                Ok(Next::End) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        peers.into_values().for_each(hang_up);
        if outcome.is_ok() {
            alarm.0 = None;
        }
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
        let now = vault.clock.elapsed();
        match board.looked {
            // One of them looks for all.
            Some((then, entries))
                if !self.request.is_once && now.saturating_sub(then) < look_pause(entries) =>
            {
                return Ok(Next::Look(entries));
            }
            _ => {}
        }
        let entries = self.queue.list().map_err(unusable)?;
        board.looked = Some((now, entries.len()));
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
        let Some(only) = self.request.only else { return Ok(()) };
        for entry in entries.iter().filter(|entry| self.is_wanted(&entry.ticket.id)) {
            let number = board.number_of(entry);
            if entry.held.is_some() {
                self.tell_held(board, number, entry);
            }
        }
        let there: BTreeSet<ObjectId> = entries.iter().map(|entry| entry.ticket.id).collect();
        for &id in only {
            if there.contains(&id) || board.settled.contains(&id) || board.in_hand.contains(&id) {
                continue;
            }
            board.settled.insert(id);
            let Some(Told { number, input, objects }) = board.told.get(&id) else { continue };
            let stored = match vault.last_listed(objects)? {
                Some(object) => Some(object),
                None => vault.stored_as(input)?,
            };
            let outcome = match stored {
                Some(object) => Outcome::Skipped { object: object.to_string() },
                None => Outcome::Failed(taken_out(&id)),
            };
            self.count(&outcome);
            self.onlooker.ends(*number, input, outcome);
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
        board.settled.insert(id);
        let failure = Failure::new(Class::Other, "queued-failed", format!("{what} [{code}]"));
        let outcome = Outcome::Failed(failure.next(KEPT));
        self.count(&outcome);
        let Some(told) = board.told.get(&id) else { return };
        self.onlooker.ends(number, &told.input, outcome);
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
                self.board().was_busy(*id, vault.now_unix_s());
                Ok(())
            }
            Ok(Taking::Taken(_) | Taking::Gone) => Ok(()),
            Err(failure) => Err(failure),
        };
        let mut board = self.board();
        board.in_hand.retain(|one| one != id);
        board.looked = None;
        drop(board);
        done
    }

    fn store(
        &self,
        vault: &Vault,
        taken: Taken,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<(), Failure> {
        let id = taken.entry.ticket.id;
        let number = self.board().number_of(&taken.entry);
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
                let what = failure.to_string().chars().take(WHAT_CHARS_MAX).collect();
                let code = failure.code().to_owned();
                taken.note(&Event::Failed(code, what)).map_err(unusable)?;
                self.board().settle(id, self.request);
                let outcome = Outcome::Failed(failure.next(KEPT));
                self.count(&outcome);
                self.onlooker.ends(number, &input, outcome);
                return Ok(());
            }
        };
        // It is listed: only now may the queue forget it.
        self.queue.remove(&taken).map_err(unusable)?;
        self.board().settle(id, self.request);
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
        let (id, request) = (entry.ticket.id, &entry.ticket.request);
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
            taken.note_begun(object).map_err(|error| not_noted(id, error))
        };
        let note = vault.note_of(std::slice::from_ref(request))?;
        let mut before_listing = |object| note.iter().for_each(|note| note.write(object));
        let meanwhile = || Ok(None);
        let mut carried =
            Carried::on(std::mem::take(peers), self.times.clone(), &mut before_listing, &meanwhile)
                .announced(&beginning);
        let mut progress = |progress| self.onlooker.advances(number, progress);
        let watch = Watch { progress: &mut progress, stop: self.stop };
        let outcome = {
            let _with_others = self.alone.read().unwrap_or_else(PoisonError::into_inner);
            let progress = &mut *watch.progress;
            vault.store(request, Watch { progress, ..watch }, Wish::Either, &mut carried)
        };
        let outcome = match outcome {
            Err(failure) if failure.code() == MEMORY_CEILING => {
                std::mem::take(&mut carried.peers).into_values().for_each(hang_up);
                let _alone = self.alone.write().unwrap_or_else(PoisonError::into_inner);
                let whole = vault.handle(self.memory_bytes)?;
                whole.store(request, watch, Wish::Either, &mut carried)
            }
            outcome => outcome,
        };
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
    [Class::Key, Class::Temporary, Class::Busy].contains(&failure.class())
}

/// That it begins can't be noted.
fn not_noted(id: ObjectId, error: io::Error) -> Failure {
    if error.kind() != io::ErrorKind::InvalidInput {
        return unusable(error);
    }
    Failure::new(Class::Other, "queue", error.to_string())
        .next(format!("`warifu jobs cancel {id}`, then queue it again"))
}

fn taken_out(id: &ObjectId) -> Failure {
    let what = format!("somebody took it out of the queue (it was {id})");
    Failure::new(Class::Temporary, "queue-taken-out", what).next("queue it again if it is wanted")
}

/// How long is waited between two looks at so many entries.
fn look_pause(entries: usize) -> Duration {
    let entries = u32::try_from(entries).unwrap_or(u32::MAX).min(10_000);
    LOOK_PAUSE + Duration::from_millis(1) * entries
}
