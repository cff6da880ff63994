//! Backups that wait for key: a file for each, in the gateway's own vault beside the journals.
//!
//! They name paths, which the catalog may not. Three rules carry the queue through any kill:
//!
//! - an entry appears whole, under its name, once its bytes are durable; it disappears when the
//!   object that was made of it is listed, or the operator takes it out, and not before;
//! - the object as which it is stored stands in it, durably, before anything of that object is
//!   recorded elsewhere: so whoever finds the entry later knows what to look for, and stores it
//!   once;
//! - who works on it, or changes it, holds the lock of its file, which ends with the process.

mod board;
mod entry;
mod rows;
mod survey;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use entry::{Entry, Held, Ticket};
pub use rows::QueuedRow;
pub use work::{FetchKey, Rest, WorkRequest};

use crate::failure::{Class, Failure};
use crate::{BackupRequest, Input, Source, Vault};
use entry::{Event, FILE_BYTES_MAX, event_line, ticket_line};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_core::ObjectId;
use warifu_keystore::medium::Opening;
use warifu_keystore::{Medium, MediumFile};

/// Their folder in the vault.
const FOLDER: &str = "queue";

/// Held while entries are added.
const LOCK: &str = "lock";

const SUFFIX: &str = ".entry";

/// Room in an entry's file that beginnings leave to whatever else is noted, in bytes.
const OTHER_EVENTS_BYTES: u64 = 64 << 10;

/// A file that has not got its name yet.
const DRAFT: &str = ".new";

/// The queue of one vault.
#[derive(Clone)]
pub(crate) struct Waiters {
    /// The vault's folder.
    medium: Arc<dyn Medium>,
}

/// An entry that this process, and no other, may change until it is dropped.
pub(crate) struct Taken {
    file: Arc<dyn MediumFile>,
    path: PathBuf,
    pub(crate) entry: Entry,
    end: u64,
}

/// What became of taking an entry.
pub(crate) enum Taking {
    /// It is in hand.
    Taken(Box<Taken>),
    /// Somebody else has it.
    Busy,
    /// It is not there any more.
    Gone,
}

impl Waiters {
    /// That of the vault whose folder this is.
    pub(crate) fn of(medium: Arc<dyn Medium>) -> Self {
        Self { medium }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        match self.medium.list(Path::new(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names,
        }
    }

    /// The names of the files of entries, in the order in which they were queued.
    fn keys(&self) -> io::Result<Vec<String>> {
        Ok(self.names()?.into_iter().filter(|name| name.ends_with(SUFFIX)).collect())
    }

    /// All entries, in the order in which they were queued. One that is damaged is said and left
    /// where it is.
    pub(crate) fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.keys()? {
            match self.read(&path(&name)) {
                Ok(Some((entry, _))) => entries.push(entry),
                Ok(None) => tracing::warn!(%name, "this entry of the queue is damaged"),
                // Taken out just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn read(&self, path: &Path) -> io::Result<Option<(Entry, u64)>> {
        read_file(self.medium.open(path, Opening::Existing)?.as_ref())
    }

    /// Waits until nobody else adds entries; nobody does while the answer is held.
    pub(crate) fn lock(&self) -> io::Result<Arc<dyn MediumFile>> {
        self.medium.create_dir(Path::new(FOLDER))?;
        self.medium.sync_dir(Path::new(""))?;
        let lock = self.medium.open(&path(LOCK), Opening::Create)?;
        lock.lock()?;
        Ok(lock)
    }

    /// Adds tickets under the lock, all of them durable when it returns.
    pub(crate) fn add(&self, tickets: &[Ticket]) -> io::Result<()> {
        let names = self.names()?;
        // What a kill left before it had a name was promised to nobody.
        for name in names.iter().filter(|name| name.ends_with(DRAFT)) {
            self.medium.remove(&path(name))?;
        }
        let last = names.iter().rev().find_map(|name| {
            u64::from_str_radix(name.strip_suffix(SUFFIX)?.split_once('-')?.0, 16).ok()
        });
        let mut number = last.map_or(0, |last| last.saturating_add(1));
        let mut drafts = Vec::new();
        for ticket in tickets {
            let Some(line) = ticket_line(ticket) else { continue };
            let name = format!("{number:012x}-{}", ticket.id);
            let draft = path(&format!("{name}{DRAFT}"));
            let file = self.medium.open(&draft, Opening::CreateNew)?;
            file.write_at(0, &line)?;
            file.sync()?;
            drafts.push((draft, path(&format!("{name}{SUFFIX}"))));
            number = number.saturating_add(1);
        }
        for (draft, target) in &drafts {
            self.medium.rename(draft, target)?;
        }
        self.medium.sync_dir(Path::new(FOLDER))
    }

    /// Takes an entry in hand, where nobody else has it.
    pub(crate) fn take(&self, id: &ObjectId) -> io::Result<Taking> {
        let ending = format!("-{id}{SUFFIX}");
        let Some(name) = self.keys()?.into_iter().find(|name| name.ends_with(&ending)) else {
            return Ok(Taking::Gone);
        };
        let path = path(&name);
        let file = match self.medium.open(&path, Opening::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taking::Gone),
            file => file?,
        };
        if !file.try_lock()? {
            return Ok(Taking::Busy);
        }
        if !file.is_named()? {
            return Ok(Taking::Gone);
        }
        let Some((entry, end)) = read_file(file.as_ref())? else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the entry is damaged"));
        };
        Ok(Taking::Taken(Box::new(Taken { file, path, entry, end })))
    }

    /// Takes an entry out for good.
    pub(crate) fn remove(&self, taken: &Taken) -> io::Result<()> {
        self.medium.remove(&taken.path)?;
        self.medium.sync_dir(Path::new(FOLDER))
    }
}

impl Taken {
    /// Notes something, durably.
    ///
    /// # Errors
    /// Where it can't be written; also where the file would be longer than what is read again.
    pub(crate) fn note(&mut self, event: &Event) -> io::Result<()> {
        let line = event_line(event)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it can't be written"))?;
        // What it failed with, and that it is let go on, still find room when beginnings don't.
        let kept_bytes = if matches!(event, Event::Begun(_)) { OTHER_EVENTS_BYTES } else { 0 };
        if self.end + line.len() as u64 + kept_bytes > FILE_BYTES_MAX {
            let what =
                format!("it was begun {} times: its entry is full", self.entry.objects.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        // What a torn line left goes first.
        self.file.truncate(self.end)?;
        self.file.write_at(self.end, &line)?;
        self.file.sync()?;
        self.end += line.len() as u64;
        let unreadable = || io::Error::new(io::ErrorKind::InvalidInput, "it can't be read again");
        self.entry.apply(event.clone()).ok_or_else(unreadable)
    }

    /// Notes that it begins, or goes on, as this object, unless that stands there.
    ///
    /// # Errors
    /// As [`note`](Self::note).
    pub(crate) fn note_begun(&mut self, object: ObjectId) -> io::Result<()> {
        match self.entry.objects.contains(&object) {
            true => Ok(()),
            false => self.note(&Event::Begun(object.to_string())),
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn read_file(file: &dyn MediumFile) -> io::Result<Option<(Entry, u64)>> {
    let length = file.length()?;
    if length > FILE_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_at(0, &mut bytes)?;
    Ok(entry::read(&bytes).map(|(entry, end)| (entry, end as u64)))
}

/// The queue's files can't be used.
pub(crate) fn unusable(error: io::Error) -> Failure {
    Failure::new(Class::Other, "queue", "the queue of waiting backups can't be used")
        .because(error)
        .next("see that the vault's folder is writable and not full")
}

impl Vault {
    pub(crate) fn waiters(&self) -> Waiters {
        Waiters::of(self.world.journal_medium(&self.dir))
    }

    /// Queues `inputs`, durably: from now on they are stored by whoever works on the queue. One
    /// that is queued already, just so, is not queued twice; held back by a failure, it is tried
    /// again. Answers their IDs in the queue, in the order of the inputs.
    ///
    /// # Errors
    /// Where one is a stream, which can't wait, or the vault's folder can't be written.
    pub fn queue(&self, inputs: &[Input], again: bool) -> Result<Vec<ObjectId>, Failure> {
        let queue = self.waiters();
        let _alone = queue.lock().map_err(unusable)?;
        let known = queue.list().map_err(unusable)?;
        let (mut ids, mut tickets): (Vec<ObjectId>, Vec<Ticket>) = (Vec::new(), Vec::new());
        for input in inputs {
            let request = absolute(input.request())?;
            let same = |ticket: &Ticket| ticket.is_same(&request);
            if let Some(entry) = known.iter().find(|entry| same(&entry.ticket)) {
                if matches!(entry.held, Some(Held::Failed { .. })) {
                    self.release_queued(&entry.ticket.id)?;
                }
                ids.push(entry.ticket.id);
                continue;
            }
            let ticket = Ticket {
                id: self.fresh_object()?,
                queued_unix_s: self.now_unix_s(),
                again,
                bytes: input.bytes().unwrap_or(0),
                request,
            };
            ids.push(ticket.id);
            tickets.push(ticket);
        }
        queue.add(&tickets).map_err(unusable)?;
        Ok(ids)
    }

    /// Holds a queued backup back until it is released.
    ///
    /// # Errors
    /// Where there is none of this ID, or somebody works on it.
    pub fn pause_queued(&self, id: &ObjectId) -> Result<(), Failure> {
        self.take_queued(id)?.note(&Event::Paused).map_err(unusable)
    }

    /// Lets a queued backup go on that was held back, or has one tried again that failed.
    ///
    /// # Errors
    /// As [`pause_queued`](Self::pause_queued).
    pub fn release_queued(&self, id: &ObjectId) -> Result<(), Failure> {
        self.take_queued(id)?.note(&Event::Released).map_err(unusable)
    }

    /// Takes a queued backup out of the queue. What was begun of it stays an interrupted backup.
    ///
    /// # Errors
    /// As [`pause_queued`](Self::pause_queued).
    pub fn cancel_queued(&self, id: &ObjectId) -> Result<(), Failure> {
        let taken = self.take_queued(id)?;
        self.waiters().remove(&taken).map_err(unusable)
    }

    fn take_queued(&self, id: &ObjectId) -> Result<Taken, Failure> {
        match self.waiters().take(id).map_err(unusable)? {
            Taking::Taken(taken) => Ok(*taken),
            Taking::Busy => {
                let what = format!("somebody works on the queued backup {id} just now");
                Err(Failure::new(Class::Busy, "job-running", what)
                    .next("stop that worker first, or wait for its end"))
            }
            Taking::Gone => {
                let what = format!("there is no queued backup {id}");
                Err(Failure::new(Class::NotFound, "job-unknown", what)
                    .next("see `warifu jobs list`"))
            }
        }
    }

    /// Takes the entry out of the queue that was begun as this object, if there is one.
    pub(crate) fn unqueue_object(&self, object: &ObjectId) -> Result<(), Failure> {
        for entry in self.waiters().list().map_err(unusable)? {
            if entry.objects.contains(object) {
                self.cancel_queued(&entry.ticket.id)?;
            }
        }
        Ok(())
    }
}

/// The same request of a file by its absolute path.
fn absolute(request: &BackupRequest) -> Result<BackupRequest, Failure> {
    let Source::File(path) = &request.source else {
        let what = "a stream can't wait: it can't be read later";
        return Err(Failure::new(Class::Usage, "stream-waits", what)
            .next("write it to a file, or leave --wait out"));
    };
    let path = std::path::absolute(path).map_err(|error| {
        let what = format!("{} has no absolute path", path.display());
        Failure::new(Class::Other, "source", what).because(error)
    })?;
    Ok(BackupRequest { source: Source::File(path), ..request.clone() })
}
