//! The journal of a backup: what lets another process go on where this one was stopped.
//!
//! One file for each backup of a file, in the gateway's own vault and nowhere else; it names paths
//! and lengths, which the catalog may not, and is erased when the object is listed or given up.
//! FORMAT.md section 12 has the bytes. Three rules carry it:
//!
//! - a record that forbids something (`opened`, `admitted`, `sealed`) is on stable storage, and all
//!   before it, before what it is about is done: a *barrier*;
//! - a record that allows something (`done`) may be lost: then the slot is stored once more;
//! - damage before a barrier was never a torn write: such a journal is not used at all. Damage of
//!   the very last barrier can't be told from a torn one. What it forbade is then found out from
//!   the sites: what any of them holds counts as sent.

mod header;
mod record;
mod standing;

pub(crate) use header::{Header, SharePlace, SourceIdentity};
pub(crate) use record::{Record, Sealed};
pub(crate) use standing::{Hindrance, Standing};

use header::{HEADER_BYTES_MAX, LENGTH_END, header_bytes};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_core::{KeyClass, ObjectId};
use warifu_keystore::medium::Opening;
use warifu_keystore::{Medium, MediumFile};
use warifu_pipeline::backup::lane::Spent;
use warifu_pipeline::backup::weave::Finished;
use zeroize::Zeroizing;

/// Their folder in the vault.
const FOLDER: &str = "journal";

/// Chunks that one `admitted` record allows: what a kill puts in doubt beyond what was sent.
const ADMITTED_STEP: u64 = 64;

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// There is none.
    #[error("there is no journal of this backup")]
    Missing,
    /// It is not what was written.
    #[error("the journal is damaged: {why}")]
    Damaged {
        /// What was found.
        why: &'static str,
    },
    /// It can't be read or written.
    #[error("the journal could not be read or written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

/// The journals of one vault.
#[derive(Clone)]
pub(crate) struct Journals {
    /// The vault's folder.
    medium: Arc<dyn Medium>,
}

/// What a journal says.
pub(crate) struct Story {
    pub(crate) header: Header,
    pub(crate) standing: Standing,
    pub(crate) end: End,
}

/// Where the sound part of a journal ends.
#[derive(Clone, Copy)]
pub(crate) struct End {
    bytes: u64,
    records: u64,
    admitted: u64,
}

impl Journals {
    /// Those of the vault whose folder this is.
    pub(crate) fn of(medium: Arc<dyn Medium>) -> Self {
        Self { medium }
    }

    fn open(&self, object: ObjectId, opening: Opening) -> io::Result<Arc<dyn MediumFile>> {
        self.medium.open(&path(object), opening)
    }

    /// Objects that have a journal, usable or not.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub(crate) fn list(&self) -> Result<Vec<ObjectId>, JournalError> {
        let names = match self.medium.list(Path::new(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let mut objects: Vec<ObjectId> =
            names.iter().filter_map(|name| name.parse().ok()).collect();
        objects.sort_unstable();
        Ok(objects)
    }

    /// Begins a journal, durably, with its first opening: generation 0.
    ///
    /// # Errors
    /// Where there is one already, or the medium fails.
    pub(crate) fn create(&self, header: &Header) -> Result<Journal, JournalError> {
        self.medium.create_dir(Path::new(FOLDER))?;
        self.medium.sync_dir(Path::new(""))?;
        let file = self.open(header.object, Opening::CreateNew)?;
        let mut end = Tail { file, at: 0 };
        end.append(&header.encode())?;
        let mut journal = Journal::of(Box::new(end), header, 0);
        journal.open_generation(0, header.class)?;
        self.medium.sync_dir(Path::new(FOLDER))?;
        Ok(journal)
    }

    /// Reads the journal of `object`, and tells `visit` of each sound record.
    ///
    /// # Errors
    /// Where there is none, it is damaged, or the medium fails.
    pub(crate) fn read(
        &self,
        object: ObjectId,
        visit: &mut dyn FnMut(&Record),
    ) -> Result<Story, JournalError> {
        let mut file = FromStart::of(self.open(object, Opening::Existing)?)?;
        // Not through a buffer, which would keep the secrets that stand here.
        let header = read_header(&mut file)?;
        if header.object != object {
            return Err(JournalError::Damaged { why: "it is another object's" });
        }
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut standing = Standing::new(&header);
        let mut bytes = vec![0; Record::bytes(header.shares.len())];
        let mut sequence = 0;
        loop {
            let filled = read_some(&mut reader, &mut bytes)?;
            if filled == 0 {
                break;
            }
            let record = Record::decode(&bytes[..filled], &object, sequence);
            let Some(record) = record else {
                expect_torn(&mut reader, &object, &mut bytes, sequence)?;
                break;
            };
            standing.apply(&record)?;
            visit(&record);
            sequence += 1;
        }
        if !standing.is_opened() {
            return Err(JournalError::Damaged { why: "it was never opened" });
        }
        let end = End {
            bytes: header.encode().len() as u64 + sequence * bytes.len() as u64,
            records: sequence,
            admitted: standing.admitted(),
        };
        Ok(Story { header, standing, end })
    }

    /// What the journal of `object` begins with.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn header(&self, object: ObjectId) -> Result<Header, JournalError> {
        let header = read_header(&mut FromStart::of(self.open(object, Opening::Existing)?)?)?;
        match header.object == object {
            true => Ok(header),
            false => Err(JournalError::Damaged { why: "it is another object's" }),
        }
    }

    /// Takes a journal up again, cutting off what is torn at its end, and opens a further
    /// generation durably.
    ///
    /// # Errors
    /// Where the medium fails.
    pub(crate) fn reopen(
        &self,
        header: &Header,
        end: End,
        generation: u16,
        class: KeyClass,
    ) -> Result<Journal, JournalError> {
        let file = self.open(header.object, Opening::Existing)?;
        file.truncate(end.bytes)?;
        let tail = Tail { file, at: end.bytes };
        let mut journal = Journal::of(Box::new(tail), header, end.records);
        journal.admitted = end.admitted;
        journal.open_generation(generation, class)?;
        Ok(journal)
    }

    /// Overwrites a journal and removes it, durably. None is as good as one that was erased.
    ///
    /// # Errors
    /// Where the medium fails; what it says may then still be there.
    pub(crate) fn erase(&self, object: ObjectId) -> Result<(), JournalError> {
        let file = match self.open(object, Opening::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        file.erase(0, file.length()?)?;
        match self.medium.remove(&path(object)) {
            // Another process erased it as well, and was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        Ok(self.medium.sync_dir(Path::new(FOLDER))?)
    }
}

fn path(object: ObjectId) -> PathBuf {
    Path::new(FOLDER).join(object.to_string())
}

/// A file that is read from its first byte to where it ended when it was opened.
struct FromStart {
    file: Arc<dyn MediumFile>,
    at: u64,
    end: u64,
}

impl FromStart {
    fn of(file: Arc<dyn MediumFile>) -> io::Result<Self> {
        let end = file.length()?;
        Ok(Self { file, at: 0, end })
    }
}

impl Read for FromStart {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let bytes = target.len().min(left);
        self.file.read_at(self.at, &mut target[..bytes])?;
        self.at += bytes as u64;
        Ok(bytes)
    }
}

/// What a journal is appended to.
trait Sink: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

/// The end of a file.
struct Tail {
    file: Arc<dyn MediumFile>,
    at: u64,
}

impl Sink for Tail {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

/// A journal being written.
pub(crate) struct Journal {
    sink: Box<dyn Sink>,
    object: ObjectId,
    shares: usize,
    sequence: u64,
    admitted: u64,
    /// A write failed: what stands at the end is not known, so nothing may follow.
    is_spoilt: bool,
}

impl Journal {
    fn of(sink: Box<dyn Sink>, header: &Header, sequence: u64) -> Self {
        let (object, shares) = (header.object, header.shares.len());
        Self { sink, object, shares, sequence, admitted: 0, is_spoilt: false }
    }

    fn open_generation(&mut self, generation: u16, class: KeyClass) -> Result<(), io::Error> {
        self.barrier(&Record::Opened { generation, class })
    }

    /// Whether chunk `index` may be sent.
    pub(crate) fn is_admitted(&self, index: u64) -> bool {
        index < self.admitted
    }

    /// Makes durable that chunk `index` may be sent, and some after it.
    ///
    /// # Errors
    /// Where the medium fails: then it may not be sent.
    pub(crate) fn admit(&mut self, index: u64) -> Result<(), io::Error> {
        let end = index + ADMITTED_STEP;
        self.barrier(&Record::Admitted { end })?;
        self.admitted = end;
        Ok(())
    }

    /// Notes a slot that all sites hold; synced with the next barrier.
    ///
    /// # Errors
    /// Where the medium fails.
    pub(crate) fn done(&mut self, finished: &Finished, class: KeyClass) -> Result<(), io::Error> {
        let Finished { slot, attempt, receipts } = finished;
        let hashes = receipts.iter().map(|receipt| receipt.hash).collect();
        self.append(&Record::Done { slot: *slot, attempt: *attempt, class, hashes })
    }

    /// Notes what was spent so far, by all processes together.
    ///
    /// # Errors
    /// Where the medium fails.
    pub(crate) fn spent(&mut self, spent: &[Spent], random_bytes: u64) -> Result<(), io::Error> {
        let shares = spent.iter().map(|spent| (spent.key_bytes, spent.sent_bytes)).collect();
        self.append(&Record::Spent { random_bytes, shares })
    }

    /// Makes durable what the sites are about to be asked to complete.
    ///
    /// # Errors
    /// Where the medium fails.
    pub(crate) fn seal(&mut self, sealed: Sealed) -> Result<(), io::Error> {
        self.barrier(&Record::Sealed(sealed))
    }

    /// All before first: a sound barrier proves that nothing before it is torn.
    fn barrier(&mut self, record: &Record) -> Result<(), io::Error> {
        self.sync()?;
        self.append(record)?;
        self.sync()
    }

    /// Brings what was noted to stable storage.
    ///
    /// # Errors
    /// Where the medium fails, for good.
    pub(crate) fn sync(&mut self) -> Result<(), io::Error> {
        self.expect_sound()?;
        let synced = self.sink.sync();
        self.is_spoilt = synced.is_err();
        synced
    }

    fn append(&mut self, record: &Record) -> Result<(), io::Error> {
        self.expect_sound()?;
        let bytes = record.encode(&self.object, self.sequence, self.shares);
        let written = self.sink.append(&bytes);
        self.is_spoilt = written.is_err();
        self.sequence += 1;
        written
    }

    fn expect_sound(&self) -> Result<(), io::Error> {
        match self.is_spoilt {
            true => Err(io::Error::other("an earlier write to the journal failed")),
            false => Ok(()),
        }
    }
}

fn read_header(reader: &mut impl Read) -> Result<Header, JournalError> {
    let mut bytes = Zeroizing::new(vec![0; LENGTH_END]);
    let short = JournalError::Damaged { why: "it is cut short" };
    if read_some(reader, &mut bytes)? < LENGTH_END {
        return Err(short);
    }
    let length = header_bytes(&bytes).filter(|length| *length <= HEADER_BYTES_MAX);
    let length = length.ok_or(JournalError::Damaged { why: "it is no journal" })?;
    bytes.resize(length.max(LENGTH_END), 0);
    if read_some(reader, &mut bytes[LENGTH_END..])? < length.saturating_sub(LENGTH_END) {
        return Err(short);
    }
    Header::decode(&bytes)
}

/// Whether the record `sequence`, which is not sound, is the end of what was made durable: no sound
/// barrier may follow.
fn expect_torn(
    reader: &mut impl Read,
    object: &ObjectId,
    bytes: &mut [u8],
    mut sequence: u64,
) -> Result<(), JournalError> {
    loop {
        let filled = read_some(reader, bytes)?;
        sequence += 1;
        match Record::decode(&bytes[..filled], object, sequence) {
            Some(record) if record.is_barrier() => {
                return Err(JournalError::Damaged {
                    why: "a record in it is not as it was written",
                });
            }
            _ if filled < bytes.len() => return Ok(()),
            _ => {}
        }
    }
}

/// Fills as much of `target` as there is.
fn read_some(reader: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < target.len() {
        match reader.read(&mut target[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
