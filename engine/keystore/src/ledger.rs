//! The file of records. Whoever calls holds its exclusive lock.

use crate::book::Book;
use crate::error::KeyError;
use crate::medium::MediumFile;
use crate::record::{Kind, RECORD_BYTES, Record};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use warifu_core::id::Incarnation;
use warifu_core::{Direction, KeyRange, PoolId};

const READ_RECORDS: usize = 4096;

/// What a record is to say; sequence and epoch are the ledger's to fill in.
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) direction: Direction,
    pub(crate) range: KeyRange,
    pub(crate) incarnation: Incarnation,
    pub(crate) epoch: u64,
}

/// A ledger, as far as this process has read it.
pub(crate) struct Ledger {
    pool: PoolId,
    path: PathBuf,
    file: Arc<dyn MediumFile>,
    pub(crate) book: Book,
    /// The last record read, as it stood in the file.
    last: [u8; RECORD_BYTES],
    failed: bool,
}

impl Ledger {
    /// A ledger of which nothing has been read yet.
    pub(crate) fn unread(pool: PoolId, path: PathBuf, file: Arc<dyn MediumFile>) -> Self {
        Self { pool, path, file, book: Book::default(), last: [0; RECORD_BYTES], failed: false }
    }

    pub(crate) fn lock(&self) -> Result<Locked, KeyError> {
        self.file.lock().map_err(KeyError::io("lock", &self.path))?;
        Ok(Locked(self.file.clone()))
    }

    /// Reads what others have appended. A last record cut short is dropped; what others wrote is
    /// synced before it is believed. Any other damage refuses the pool for good.
    pub(crate) fn refresh(&mut self) -> Result<(), KeyError> {
        if self.failed {
            return Err(KeyError::Refused { pool: self.pool });
        }
        let result = self.read_on();
        self.failed = result.is_err();
        result
    }

    /// Writes one record, syncs it, and only then counts it. After a failure the pool refuses.
    pub(crate) fn append(&mut self, draft: &Draft) -> Result<(), KeyError> {
        if self.failed {
            return Err(KeyError::Refused { pool: self.pool });
        }
        let record = Record {
            kind: draft.kind,
            direction: draft.direction,
            sequence: self.book.records,
            start: draft.range.start(),
            end: draft.range.end(),
            incarnation: draft.incarnation,
            epoch: draft.epoch,
        };
        self.book.admits(&record).map_err(|reason| self.damaged(reason))?;
        let bytes = record.encode();
        self.failed = true;
        self.file
            .write_at(self.read_bytes(), &bytes)
            .and_then(|()| self.file.sync())
            .map_err(KeyError::io("append to", &self.path))?;
        self.book.apply(&record).map_err(|reason| self.damaged(reason))?;
        self.last = bytes;
        self.failed = false;
        Ok(())
    }

    /// All records as they stand in the file.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, KeyError> {
        let failed = KeyError::io("read", &self.path);
        let read = || {
            let mut bytes = vec![0; usize::try_from(self.read_bytes()).map_err(io::Error::other)?];
            self.file.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        read().map_err(failed)
    }

    const fn read_bytes(&self) -> u64 {
        self.book.records * RECORD_BYTES as u64
    }

    const fn damaged(&self, reason: &'static str) -> KeyError {
        KeyError::LedgerDamaged { pool: self.pool, record: self.book.records, reason }
    }

    fn read_on(&mut self) -> Result<(), KeyError> {
        let failed = |path: &PathBuf| KeyError::io("read", path.clone());
        if !self.file.is_named().map_err(failed(&self.path))? {
            return Err(self.damaged("another file was put in its place"));
        }
        let length = self.file.length().map_err(failed(&self.path))?;
        if self.book.records == 0 && length == 0 {
            return Err(KeyError::LedgerLost { pool: self.pool });
        }
        if length < self.read_bytes() {
            return Err(self.damaged("records that were read before are gone"));
        }
        if self.book.records > 0 {
            let mut last = [0; RECORD_BYTES];
            let at = self.read_bytes() - RECORD_BYTES as u64;
            self.file.read_at(at, &mut last).map_err(failed(&self.path))?;
            if last != self.last {
                return Err(self.damaged("a record that was read before has changed"));
            }
        }
        if length > self.read_bytes() {
            self.read_to(length).map_err(|fault| match fault {
                Fault::Io(source) => failed(&self.path)(source),
                Fault::Damage(reason) => self.damaged(reason),
            })?;
        }
        Ok(())
    }

    fn read_to(&mut self, length: u64) -> Result<(), Fault> {
        let mut page = vec![0; READ_RECORDS * RECORD_BYTES];
        while self.read_bytes() < length {
            let rest = length - self.read_bytes();
            if rest < RECORD_BYTES as u64 {
                return self.cut();
            }
            let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(page.len());
            let records = &mut page[..wanted - wanted % RECORD_BYTES];
            self.file.read_at(self.read_bytes(), records)?;
            let (records, _) = records.as_chunks::<RECORD_BYTES>();
            for bytes in records {
                let is_last = length - self.read_bytes() == RECORD_BYTES as u64;
                if is_last && *bytes == [0; RECORD_BYTES] {
                    return self.cut();
                }
                let record = Record::decode(bytes).map_err(Fault::Damage)?;
                self.book.apply(&record).map_err(Fault::Damage)?;
                self.last = *bytes;
            }
        }
        Ok(self.file.sync()?)
    }

    /// Drops a record that was cut short: what it would have allowed was never done.
    fn cut(&self) -> Result<(), Fault> {
        if self.book.records == 0 {
            return Err(Fault::Damage("not even its first record is whole"));
        }
        self.file.truncate(self.read_bytes())?;
        Ok(self.file.sync()?)
    }
}

enum Fault {
    Io(io::Error),
    Damage(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The ledger's lock, given back on drop.
pub(crate) struct Locked(Arc<dyn MediumFile>);

impl Drop for Locked {
    fn drop(&mut self) {
        // A lock that cannot be given back ends with its file at the latest.
        let _unlocked = self.0.unlock();
    }
}
