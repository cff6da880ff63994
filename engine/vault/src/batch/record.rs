//! What batches have stored: a gateway-only file beside the catalog, so that a later run of the
//! same batch skips what is stored and unchanged.
//!
//! It names no path. A line holds two keyed hashes (BLAKE3 under a key that stands in the first
//! line), of where an input lay and of what it was like, and the object. Without the key a line
//! says nothing; with it, somebody can confirm a guess. Overwriting the first line makes the
//! rest meaningless, which is how it is erased.
//!
//! A line is written, durably, when the object's shares are at the sites and before it is listed:
//! so an object that is listed always has its line, and a line counts only where its object is
//! listed. Lines are only appended; what is torn or damaged is passed over, and the worst that
//! comes of it is that an input is stored anew.

use crate::failure::{Class, Failure};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use warifu_core::{IndividualId, ObjectId, Threshold};

/// The file's name within a vault.
const FILE: &str = "batches.log";

const HEAD: &str = "warifu batches 1 ";

/// Length of the first line: the words above, 64 hexadecimal digits and a line end.
const HEAD_BYTES: usize = HEAD.len() + 64 + 1;

/// Longer than any line.
const LINE_BYTES_MAX: u64 = 256;

/// What a file was like: it is taken to be unchanged as long as this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileState([u64; 5], [i64; 2]);

impl FileState {
    /// Of the file at `path`; `None` where there is none, or none that is regular.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let (mtime_ns, ctime_ns) = (found.mtime_nsec() as u64, found.ctime_nsec() as u64);
        let counts = [found.dev(), found.ino(), found.len(), mtime_ns, ctime_ns];
        Some(Self(counts, [found.mtime(), found.ctime()]))
    }

    /// Its length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0[2]
    }
}

/// Which input of whom, and what it was like: two hashes that only this vault's key relates to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Mark {
    place: [u8; 16],
    state: [u8; 16],
}

/// The record, open for more lines; several threads may write.
pub(super) struct Record {
    path: PathBuf,
    key: [u8; 32],
    file: Mutex<File>,
}

impl Record {
    /// Opens the record of the vault in `dir`, or begins one under `fresh_key`. One that can't be
    /// understood is begun anew: the second answer tells.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn open(dir: &Path, fresh_key: [u8; 32]) -> Result<(Self, bool), Failure> {
        let path = dir.join(FILE);
        let opened = open_or_begin(&path, fresh_key);
        let (file, key, is_anew) = opened.map_err(|error| unusable(&path, error))?;
        Ok((Self { path, key, file: Mutex::new(file) }, is_anew))
    }

    /// The mark of an input.
    pub(super) fn mark(
        &self,
        path: &Path,
        state: &FileState,
        (individual, threshold, label): (&IndividualId, Threshold, Option<&str>),
    ) -> Mark {
        // A folder that is gone leaves the path as it was given.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let scheme = threshold.to_string();
        let label = label.map_or(Vec::new(), |label| [b"=", label.as_bytes()].concat());
        let place: [&[u8]; 4] = [
            absolute.as_os_str().as_bytes(),
            individual.as_str().as_bytes(),
            scheme.as_bytes(),
            &label,
        ];
        let numbers: Vec<u8> = (state.0.iter().flat_map(|number| number.to_le_bytes()))
            .chain(state.1.iter().flat_map(|number| number.to_le_bytes()))
            .collect();
        Mark { place: self.hash(1, &place), state: self.hash(2, &[&numbers]) }
    }

    /// The objects that were stored of each of `marks`, the latest last. Reads the whole record.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn find(
        &self,
        marks: impl Iterator<Item = Mark>,
    ) -> Result<HashMap<Mark, Vec<ObjectId>>, Failure> {
        let mut wanted: HashMap<Mark, Vec<ObjectId>> = marks.map(|at| (at, Vec::new())).collect();
        let mut read = || -> io::Result<()> {
            let mut file = BufReader::new(File::open(&self.path)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                let count = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
                if count == 0 {
                    return Ok(());
                }
                if let Some((mark, object)) = self.decode(line.trim_ascii_end())
                    && let Some(objects) = wanted.get_mut(&mark)
                {
                    objects.push(object);
                }
            }
        };
        read().map_err(|error| unusable(&self.path, error))?;
        Ok(wanted)
    }

    /// Adds a line, durably.
    ///
    /// # Errors
    /// I/O: the object is then stored anew by the next run.
    pub(super) fn add(&self, mark: Mark, object: ObjectId) -> Result<(), Failure> {
        // It begins with a line end, so that a torn line before it takes nothing else along.
        let line = format!("\n{}\n", self.encode(mark, object));
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|error| unusable(&self.path, error))
    }

    fn encode(&self, mark: Mark, object: ObjectId) -> String {
        let content = format!("{} {} {object}", hex(&mark.place), hex(&mark.state));
        let check = self.hash(3, &[content.as_bytes()]);
        format!("{content} {}", hex(&check))
    }

    fn decode(&self, line: &[u8]) -> Option<(Mark, ObjectId)> {
        let (content, check) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
        if unhex(check)? != self.hash(3, &[content.as_bytes()]) {
            return None;
        }
        let mut fields = content.split(' ');
        let mark = Mark { place: unhex(fields.next()?)?, state: unhex(fields.next()?)? };
        Some((mark, fields.next()?.parse().ok()?))
    }

    /// A hash of parts of any length, one after the other, for one purpose.
    fn hash(&self, purpose: u8, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[purpose]);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        short
    }
}

/// Erases the record of the vault in `dir`: overwritten, synced, removed. Tells whether there was
/// one.
///
/// # Errors
/// I/O.
pub(super) fn erase(dir: &Path) -> Result<bool, Failure> {
    let path = dir.join(FILE);
    let erased = || -> io::Result<bool> {
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()?;
        std::fs::remove_file(&path)?;
        File::open(dir)?.sync_all()?;
        Ok(true)
    };
    erased().map_err(|error| unusable(&path, error))
}

fn open_or_begin(path: &Path, fresh_key: [u8; 32]) -> io::Result<(File, [u8; 32], bool)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = options.open(path)?;
    // Another process may be writing the first line just now.
    file.lock()?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let known = key_of(&head);
    let is_anew = known.is_none() && !head.is_empty();
    let key = match known {
        Some(key) => key,
        None => {
            file.set_len(0)?;
            let (one, other) = fresh_key.split_at(16);
            file.write_all(format!("{HEAD}{}{}\n", hex(one), hex(other)).as_bytes())?;
            file.sync_all()?;
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
            fresh_key
        }
    };
    file.unlock()?;
    Ok((file, key, is_anew))
}

fn key_of(head: &[u8]) -> Option<[u8; 32]> {
    let digits = std::str::from_utf8(head).ok()?.strip_prefix(HEAD)?.strip_suffix('\n')?;
    let (one, other) = digits.split_at_checked(32)?;
    let mut key = [0; 32];
    key[..16].copy_from_slice(&unhex(one)?);
    key[16..].copy_from_slice(&unhex(other)?);
    Some(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<[u8; 16]> {
    let digits = <&[u8; 32]>::try_from(digits.as_bytes()).ok()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

fn unusable(path: &Path, error: io::Error) -> Failure {
    let what = format!("can't use {}, the record of what batches have stored", path.display());
    Failure::new(Class::Other, "batch-record", what).because(error)
}
