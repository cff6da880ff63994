//! Every name of a delivered key that ever came, so that none counts twice: sorted runs in a folder
//! of the store, merged four at a time. Layout: FORMAT section 14.

use crate::delivery::{KEY_ID_BYTES, KeyId};
use crate::error::KeyError;
use crate::medium::{Medium, MediumFile, Opening};
use crc_fast::{CrcAlgorithm, Digest};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOLDER: &str = "names";
const LOCK: &str = "names/lock";
const SUFFIX: &str = ".run";
const HEAD: [u8; HEAD_BYTES as usize] = *b"WARIFUKR\x01\0\0\0\0\0\0\0";
const HEAD_BYTES: u64 = 16;
const SUM_BYTES: u64 = 8;
const NAME_BYTES: u64 = KEY_ID_BYTES as u64;

/// Names read or written at a time.
const STEP_NAMES: usize = 1 << 16;

/// Names in the page that a search looks at.
const PAGE_NAMES: u64 = 256;

/// So many runs of one size become one of the next.
const RUNS_MERGED: usize = 4;

/// A run so many times longer than what is looked for is searched, a shorter one read through.
const SCANNED_RATIO: u64 = 256;

/// Durably remembers `names`, sorted and each once, and answers which of them it knew before.
pub(super) fn remember(medium: &dyn Medium, names: &[KeyId]) -> Result<Vec<KeyId>, KeyError> {
    let failed = |path: &'static str| KeyError::io("remember names in", path);
    let open = || medium.open(Path::new(LOCK), Opening::Create);
    let lock = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            medium.create_dir(Path::new(FOLDER)).map_err(failed(FOLDER))?;
            open()
        }
        opened => opened,
    };
    let lock = lock.map_err(failed(LOCK))?;
    lock.lock().map_err(failed(LOCK))?;
    let known = remember_locked(medium, names);
    lock.unlock().map_err(failed(LOCK))?;
    known
}

fn remember_locked(medium: &dyn Medium, names: &[KeyId]) -> Result<Vec<KeyId>, KeyError> {
    let mut runs = runs(medium)?;
    if runs.is_empty() {
        // Whoever made the folder may not have come to that.
        medium.sync_dir(Path::new("")).map_err(KeyError::io("sync", FOLDER))?;
    }
    let mut known = vec![false; names.len()];
    for run in &runs {
        run.mark_known(names, &mut known)?;
    }
    let (mut fresh, mut repeated) = (Vec::new(), Vec::new());
    for (name, known) in names.iter().zip(known) {
        if known { repeated.push(*name) } else { fresh.push(*name) }
    }
    if !fresh.is_empty() {
        let mut writer = RunWriter::begin(medium, next_number(&runs))?;
        fresh.iter().try_for_each(|name| writer.put(*name))?;
        runs.push(writer.publish()?);
        merge(medium, &mut runs)?;
    }
    Ok(repeated)
}

/// All runs, the oldest first. What was not finished is removed.
fn runs(medium: &dyn Medium) -> Result<Vec<Run>, KeyError> {
    let mut runs = Vec::new();
    for name in medium.list(Path::new(FOLDER)).map_err(KeyError::io("list", FOLDER))? {
        let path = Path::new(FOLDER).join(&name);
        if name.ends_with(".part") {
            medium.remove(&path).map_err(KeyError::io("remove", path))?;
        } else if let Some(number) = name.strip_suffix(SUFFIX) {
            let damaged = || KeyError::NamesDamaged { path: path.clone() };
            let number = u64::from_str_radix(number, 16).map_err(|_| damaged())?;
            runs.push(Run::open(medium, path.clone(), number)?.ok_or_else(damaged)?);
        }
    }
    runs.sort_by_key(|run| run.number);
    Ok(runs)
}

fn next_number(runs: &[Run]) -> u64 {
    runs.last().map_or(0, |run| run.number + 1)
}

/// Merges runs of a size while there are four. A name in two runs is written once: that happens
/// where the removal of merged runs was cut short.
fn merge(medium: &dyn Medium, runs: &mut Vec<Run>) -> Result<(), KeyError> {
    loop {
        let crowded = (0..64)
            .find(|level| runs.iter().filter(|run| run.level() == *level).count() >= RUNS_MERGED);
        let Some(level) = crowded else { return Ok(()) };
        let number = next_number(runs);
        let (merged, rest): (Vec<Run>, Vec<Run>) =
            std::mem::take(runs).into_iter().partition(|run| run.level() == level);
        *runs = rest;
        let mut writer = RunWriter::begin(medium, number)?;
        let mut readers: Vec<RunReader<'_>> = Vec::new();
        for run in &merged {
            readers.push(RunReader::of(run)?);
        }
        while let Some(next) = readers.iter().filter_map(RunReader::next).min() {
            writer.put(next)?;
            for reader in &mut readers {
                if reader.next() == Some(next) {
                    reader.advance()?;
                }
            }
        }
        runs.push(writer.publish()?);
        for run in &merged {
            medium.remove(&run.path).map_err(KeyError::io("remove", &run.path))?;
        }
        medium.sync_dir(Path::new(FOLDER)).map_err(KeyError::io("sync", FOLDER))?;
    }
}

/// One file of sorted names.
struct Run {
    path: PathBuf,
    number: u64,
    file: Arc<dyn MediumFile>,
    names: u64,
}

impl Run {
    fn open(medium: &dyn Medium, path: PathBuf, number: u64) -> Result<Option<Self>, KeyError> {
        let failed = || KeyError::io("read", &path);
        let file = medium.open(&path, Opening::Existing).map_err(failed())?;
        let length = file.length().map_err(failed())?;
        let mut head = [0; HEAD_BYTES as usize];
        let Some(names) = length.checked_sub(HEAD_BYTES + SUM_BYTES) else { return Ok(None) };
        file.read_at(0, &mut head).map_err(failed())?;
        let is_whole = head == HEAD && names.is_multiple_of(NAME_BYTES);
        Ok(is_whole.then_some(Self { path, number, file, names: names / NAME_BYTES }))
    }

    /// Runs of one level are about as long.
    const fn level(&self) -> u32 {
        (self.names / 1024 + 1).ilog2() / 2
    }

    /// Sets `known` for those of `sought` that are here.
    fn mark_known(&self, sought: &[KeyId], known: &mut [bool]) -> Result<(), KeyError> {
        if self.names / SCANNED_RATIO > sought.len() as u64 {
            for (name, known) in sought.iter().zip(known) {
                *known |= self.find(name)?;
            }
            return Ok(());
        }
        let mut sought = sought.iter().zip(known).peekable();
        let mut at = 0;
        while at < self.names && sought.peek().is_some() {
            for name in self.read(at, STEP_NAMES as u64)? {
                at += 1;
                while sought.next_if(|(wanted, _)| **wanted < name).is_some() {}
                if let Some((_, known)) = sought.next_if(|(wanted, _)| **wanted == name) {
                    *known = true;
                }
            }
        }
        Ok(())
    }

    /// Names are spread evenly, unless somebody chose them: then every other step halves.
    fn find(&self, name: &KeyId) -> Result<bool, KeyError> {
        let place = |name: &KeyId| u128::from(u64::from_be_bytes(first_half(name)));
        let (mut low, mut high) = (0, self.names);
        let (mut least, mut most) = (0, u128::from(u64::MAX));
        let mut halves = false;
        while low < high {
            let span = high - low;
            let guess = match halves {
                true => span / 2,
                false => {
                    let part = place(name).saturating_sub(least) * u128::from(span);
                    u64::try_from(part / (most - least).max(1)).unwrap_or(span)
                }
            };
            halves = !halves;
            let from = low + guess.min(span).saturating_sub(PAGE_NAMES / 2);
            let page = self.read(from, PAGE_NAMES.min(high - from))?;
            match (page.first(), page.last()) {
                (Some(first), _) if name < first => (high, most) = (from, place(first)),
                (_, Some(last)) if name > last => {
                    (low, least) = (from + page.len() as u64, place(last));
                }
                (Some(_), Some(_)) => return Ok(page.binary_search(name).is_ok()),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// At most `count` names from `at` on.
    fn read(&self, at: u64, count: u64) -> Result<Vec<KeyId>, KeyError> {
        let count = count.min(self.names - at);
        let len = usize::try_from(count * NAME_BYTES).unwrap_or(0);
        let mut bytes = vec![0; len];
        let read = self.file.read_at(HEAD_BYTES + at * NAME_BYTES, &mut bytes);
        read.map_err(KeyError::io("read", &self.path))?;
        let (names, _) = bytes.as_chunks::<KEY_ID_BYTES>();
        Ok(names.iter().map(|bytes| KeyId::from_bytes(*bytes)).collect())
    }
}

fn first_half(name: &KeyId) -> [u8; 8] {
    name.bytes().first_chunk().copied().unwrap_or_default()
}

/// Reads a run from its first name to its last, and checks it.
struct RunReader<'a> {
    run: &'a Run,
    page: Vec<KeyId>,
    at: usize,
    read: u64,
    sum: Digest,
}

impl<'a> RunReader<'a> {
    fn of(run: &'a Run) -> Result<Self, KeyError> {
        let mut sum = Digest::new(CrcAlgorithm::Crc64Nvme);
        sum.update(&HEAD);
        let mut reader = Self { run, page: Vec::new(), at: 0, read: 0, sum };
        reader.fill()?;
        Ok(reader)
    }

    fn next(&self) -> Option<KeyId> {
        self.page.get(self.at).copied()
    }

    fn advance(&mut self) -> Result<(), KeyError> {
        let last = self.next();
        self.at += 1;
        if self.at == self.page.len() {
            self.fill()?;
        }
        match (last, self.next()) {
            (Some(last), Some(next)) if last >= next => Err(self.damaged()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> Result<(), KeyError> {
        self.page = self.run.read(self.read, STEP_NAMES as u64)?;
        self.at = 0;
        self.read += self.page.len() as u64;
        self.page.iter().for_each(|name| self.sum.update(name.bytes()));
        if !self.page.is_empty() && self.read == self.run.names {
            let mut told = [0; SUM_BYTES as usize];
            let at = HEAD_BYTES + self.run.names * NAME_BYTES;
            let read = self.run.file.read_at(at, &mut told);
            read.map_err(KeyError::io("read", &self.run.path))?;
            if self.sum.finalize() != u64::from_le_bytes(told) {
                return Err(self.damaged());
            }
        }
        Ok(())
    }

    fn damaged(&self) -> KeyError {
        KeyError::NamesDamaged { path: self.run.path.clone() }
    }
}

/// Writes a run under a name that does not count, and gives it one that does.
struct RunWriter<'a> {
    medium: &'a dyn Medium,
    number: u64,
    part: PathBuf,
    file: Arc<dyn MediumFile>,
    page: Vec<u8>,
    written_bytes: u64,
    sum: Digest,
}

impl<'a> RunWriter<'a> {
    fn begin(medium: &'a dyn Medium, number: u64) -> Result<Self, KeyError> {
        let part = Path::new(FOLDER).join(format!("{number:016x}{SUFFIX}.part"));
        let file = medium.open(&part, Opening::Create).map_err(KeyError::io("create", &part))?;
        let (page, sum) = (HEAD.to_vec(), Digest::new(CrcAlgorithm::Crc64Nvme));
        Ok(Self { medium, number, part, file, page, written_bytes: 0, sum })
    }

    fn put(&mut self, name: KeyId) -> Result<(), KeyError> {
        self.page.extend_from_slice(name.bytes());
        if self.page.len() >= STEP_NAMES * KEY_ID_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), KeyError> {
        self.sum.update(&self.page);
        let written = self.file.write_at(self.written_bytes, &self.page);
        written.map_err(KeyError::io("write", &self.part))?;
        self.written_bytes += self.page.len() as u64;
        self.page.clear();
        Ok(())
    }

    fn publish(mut self) -> Result<Run, KeyError> {
        self.write()?;
        let path = Path::new(FOLDER).join(format!("{:016x}{SUFFIX}", self.number));
        let finish = || -> io::Result<()> {
            self.file.write_at(self.written_bytes, &self.sum.finalize().to_le_bytes())?;
            self.file.sync()?;
            self.medium.rename(&self.part, &path)?;
            self.medium.sync_dir(Path::new(FOLDER))
        };
        finish().map_err(KeyError::io("write", &self.part))?;
        let names = (self.written_bytes - HEAD_BYTES) / NAME_BYTES;
        Ok(Run { path, number: self.number, file: self.file, names })
    }
}
