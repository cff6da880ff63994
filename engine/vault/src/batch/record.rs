//! What files were stored: a gateway-only file beside the catalog, so that a later run over the
//! same ones skips what is stored and unchanged.
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

use crate::BackupRequest;
use crate::failure::{Class, Failure};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use warifu_core::ObjectId;

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
    tail: Mutex<Tail>,
}

/// What was added since the record was read as a whole.
#[derive(Default)]
struct Tail {
    /// Up to here the file was read.
    from: u64,
    objects: HashMap<Mark, Vec<ObjectId>>,
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
        Ok((Self { path, key, file: Mutex::new(file), tail: Mutex::default() }, is_anew))
    }

    /// The mark of a file that is to be stored just as `request` says.
    pub(super) fn mark(&self, path: &Path, state: &FileState, request: &BackupRequest) -> Mark {
        // A folder that is gone leaves the path as it was given.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let scheme = request.threshold.to_string();
        let label = request.label.as_deref();
        let label = label.map_or(Vec::new(), |label| [b"=", label.as_bytes()].concat());
        let place: [&[u8]; 6] = [
            absolute.as_os_str().as_bytes(),
            request.individual.as_str().as_bytes(),
            scheme.as_bytes(),
            &label,
            request.compression.as_str().as_bytes(),
            &[u8::from(request.pad)],
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
        let end = self.read(0, &mut |mark, object| {
            if let Some(objects) = wanted.get_mut(&mark) {
                objects.push(object);
            }
        })?;
        *self.tail() = Tail { from: end, objects: HashMap::new() };
        Ok(wanted)
    }

    /// The objects that were stored of `mark` since [`find`](Self::find), by whoever, the latest
    /// last. Reads what was added.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn find_added(&self, mark: Mark) -> Result<Vec<ObjectId>, Failure> {
        let mut tail = self.tail();
        let Tail { from, objects } = &mut *tail;
        *from = self.read(*from, &mut |mark, object| {
            objects.entry(mark).or_default().push(object);
        })?;
        Ok(objects.get(&mark).cloned().unwrap_or_default())
    }

    /// Reads from this place on, and tells up to where there are whole lines.
    fn read(&self, from: u64, found: &mut dyn FnMut(Mark, ObjectId)) -> Result<u64, Failure> {
        let mut read = || -> io::Result<u64> {
            let mut file = BufReader::new(File::open(&self.path)?);
            let mut end = file.seek(SeekFrom::Start(from))?;
            let mut line = Vec::new();
            loop {
                line.clear();
                let count = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
                if count == 0 || (line.last() != Some(&b'\n') && (count as u64) < LINE_BYTES_MAX) {
                    return Ok(end);
                }
                end += count as u64;
                if let Some((mark, object)) = self.decode(line.trim_ascii_end()) {
                    found(mark, object);
                }
            }
        };
        read().map_err(|error| unusable(&self.path, error))
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

/// Whether the vault in `dir` has a record.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join(FILE).exists()
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
    let what = format!("can't use {}, the record of what was stored", path.display());
    Failure::new(Class::Other, "batch-record", what).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Field {
        dir: tempfile::TempDir,
        input: PathBuf,
    }

    impl Field {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let input = dir.path().join("input");
            std::fs::write(&input, "content").unwrap();
            Self { dir, input }
        }

        fn open(&self) -> (Record, bool) {
            Record::open(self.dir.path(), [7; 32]).unwrap()
        }

        fn mark(&self, record: &Record) -> Mark {
            marked(record, &self.input, "P1")
        }

        fn bytes(&self) -> Vec<u8> {
            std::fs::read(self.dir.path().join(FILE)).unwrap()
        }
    }

    fn request(path: &Path, individual: &str) -> BackupRequest {
        BackupRequest {
            compression: crate::Compression::Auto,
            ..BackupRequest::new(
                crate::Source::File(path.to_owned()),
                individual.parse().unwrap(),
                "2/3".parse().unwrap(),
            )
        }
    }

    fn marked(record: &Record, path: &Path, individual: &str) -> Mark {
        record.mark(path, &FileState::of(path).unwrap(), &request(path, individual))
    }

    fn object(number: u8) -> ObjectId {
        ObjectId::from_bytes([number; 16])
    }

    fn found(record: &Record, mark: Mark) -> Vec<ObjectId> {
        record.find(std::iter::once(mark)).unwrap().remove(&mark).unwrap()
    }

    #[test]
    fn what_was_stored_is_found_by_the_next_opening_and_nobody_elses() {
        let field = Field::new();
        let (record, _) = field.open();
        let mark = field.mark(&record);
        assert!(found(&record, mark).is_empty());
        record.add(mark, object(1)).unwrap();
        record.add(marked(&record, &field.input, "P2"), object(2)).unwrap();
        record.add(mark, object(3)).unwrap();
        let (again, is_anew) = field.open();
        assert!(!is_anew);
        assert_eq!(field.mark(&again), mark);
        assert_eq!(found(&again, mark), [object(1), object(3)]);
        let (state, asked) = (FileState::of(&field.input).unwrap(), request(&field.input, "P1"));
        for other in [
            BackupRequest { label: Some("label".to_owned()), ..asked.clone() },
            BackupRequest { compression: crate::Compression::None, ..asked.clone() },
            BackupRequest { pad: true, ..asked.clone() },
        ] {
            assert_ne!(again.mark(&field.input, &state, &other), mark, "{other:?}");
        }
    }

    #[test]
    fn what_others_add_is_found_without_reading_it_all_again() {
        let field = Field::new();
        let (record, _) = field.open();
        let mark = field.mark(&record);
        record.add(mark, object(1)).unwrap();
        assert_eq!(found(&record, mark), [object(1)]);
        assert!(record.find_added(mark).unwrap().is_empty());
        let (other, _) = field.open();
        other.add(mark, object(2)).unwrap();
        assert_eq!(record.find_added(mark).unwrap(), [object(2)]);
        // A line that is only half there is read when it is whole.
        let path = field.dir.path().join(FILE);
        let line = format!("\n{}\n", record.encode(mark, object(3)));
        let (half, rest) = line.split_at(40);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(half.as_bytes()).unwrap();
        assert_eq!(record.find_added(mark).unwrap(), [object(2)]);
        file.write_all(rest.as_bytes()).unwrap();
        assert_eq!(record.find_added(mark).unwrap(), [object(2), object(3)]);
    }

    #[test]
    fn a_file_that_was_touched_is_another() {
        let field = Field::new();
        let (record, _) = field.open();
        let mark = field.mark(&record);
        let file = File::options().append(true).open(&field.input).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(field.mark(&record), mark, "another time");
        let other = field.dir.path().join("other");
        std::fs::rename(&field.input, &other).unwrap();
        assert_ne!(marked(&record, &other, "P1").place, mark.place, "another name");
        assert!(FileState::of(field.dir.path()).is_none(), "a folder");
    }

    #[test]
    fn no_name_stands_in_the_file_and_only_its_owner_reads_it() {
        let field = Field::new();
        let (record, _) = field.open();
        record.add(field.mark(&record), object(1)).unwrap();
        let text = String::from_utf8(field.bytes()).unwrap();
        assert!(!text.contains("input") && !text.contains("P1"), "{text}");
        let mode = std::fs::metadata(field.dir.path().join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_torn_end_takes_one_line_and_what_follows_is_found() {
        let field = Field::new();
        let (record, _) = field.open();
        let mark = field.mark(&record);
        record.add(mark, object(1)).unwrap();
        let before = field.bytes().len();
        record.add(mark, object(2)).unwrap();
        let whole = field.bytes();
        for cut in HEAD_BYTES..whole.len() {
            std::fs::write(field.dir.path().join(FILE), &whole[..cut]).unwrap();
            let (record, is_anew) = field.open();
            assert!(!is_anew);
            record.add(mark, object(3)).unwrap();
            let objects = found(&record, mark);
            assert_eq!(objects.last(), Some(&object(3)), "cut at {cut}");
            assert_eq!(objects.contains(&object(1)), cut + 1 >= before, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_never_names_another_object() {
        let field = Field::new();
        let (record, _) = field.open();
        let mark = field.mark(&record);
        record.add(mark, object(1)).unwrap();
        let whole = field.bytes();
        // Another first line is synced, so of its bits only some are tried.
        let bits = (0..HEAD_BYTES * 8).step_by(11).chain(HEAD_BYTES * 8..whole.len() * 8);
        for at in bits {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            std::fs::write(field.dir.path().join(FILE), &bytes).unwrap();
            let (record, _) = field.open();
            let mark = field.mark(&record);
            assert!(found(&record, mark).iter().all(|found| *found == object(1)), "bit {at}");
        }
    }

    #[test]
    fn a_file_that_is_no_record_begins_anew() {
        let field = Field::new();
        for text in [&b"x"[..], &[0; 4096], HEAD.as_bytes(), &[b'a'; 100_000]] {
            std::fs::write(field.dir.path().join(FILE), text).unwrap();
            let (record, is_anew) = field.open();
            assert!(is_anew);
            let mark = field.mark(&record);
            record.add(mark, object(1)).unwrap();
            assert_eq!(found(&record, mark), [object(1)]);
        }
        let (record, _) = field.open();
        let mut file = File::options().append(true).open(field.dir.path().join(FILE)).unwrap();
        file.write_all(&vec![b'z'; 1 << 20]).unwrap();
        record.add(field.mark(&record), object(2)).unwrap();
        assert_eq!(found(&record, field.mark(&record)), [object(1), object(2)]);
    }

    #[test]
    fn what_is_erased_is_gone() {
        let field = Field::new();
        assert!(!erase(field.dir.path()).unwrap());
        let (record, _) = field.open();
        let mark = field.mark(&record);
        record.add(mark, object(1)).unwrap();
        let mut kept_open = File::open(field.dir.path().join(FILE)).unwrap();
        assert!(erase(field.dir.path()).unwrap());
        let mut left = Vec::new();
        kept_open.read_to_end(&mut left).unwrap();
        assert!(left.iter().all(|byte| *byte == 0), "it is overwritten before it is removed");
        let (anew, _) = Record::open(field.dir.path(), [8; 32]).unwrap();
        assert_ne!(field.mark(&anew), mark);
        assert!(found(&anew, field.mark(&anew)).is_empty());
    }

    #[test]
    fn threads_write_whole_lines() {
        let field = Field::new();
        let (record, _) = field.open();
        let mark = field.mark(&record);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let record = &record;
                scope.spawn(move || {
                    (0..25).for_each(|number| {
                        record.add(mark, object(thread * 25 + number)).unwrap();
                    });
                });
            }
        });
        let mut objects = found(&record, mark);
        objects.sort_by_key(|object| *object.bytes());
        assert_eq!(objects, (0..100).map(object).collect::<Vec<_>>());
    }
}
