//! Files whose chunks go to the disk and come from it by a ring, past the system's cache.
//!
//! What is page-aligned in memory, in the file and in length goes by the ring with `O_DIRECT`,
//! several writes at a time, but what of it the system's cache has is read from there; all else,
//! syncs, and whatever the ring did not finish, by plain calls, when nothing is on its way. One
//! descriptor serves both: `O_DIRECT` is switched on and off between. It carries the lock, so that
//! the lock of a process that was killed holds until its last write has ended.

use crate::files::{Disk, Facts, Files, OpenFile, PlainFile};
use crate::ring::{Ring, WRITES_MAX, Written};
use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_getfl, fcntl_setfl, fstatvfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use warifu_buffers::{ALIGNMENT, Bytes};

/// Shorter reads go by the system's cache, and so do shorter writes, unless longer ones have just
/// passed it by: for a few pages a disk takes longer than a copy. In bytes.
const PASSES_BY_FROM_BYTES: usize = 64 << 10;

/// Room that is taken ahead of the writes, in bytes, so that they need not wait for each other to
/// lengthen the file.
const RESERVED_BYTES: u64 = 16 << 20;

/// Where less room is left, in bytes, none is taken ahead: what is given back may be long in coming
/// back, and others would be told meanwhile that nothing is left.
const SCARCE_BYTES: u64 = 256 << 20;

/// A file that is shorter than this takes no room ahead.
const RESERVED_FROM_BYTES: u64 = 1 << 20;

/// Rings that are kept for the next file.
const IDLE_MAX: usize = 8;

/// Rings of the process that no file uses just now. Setting one up costs more than using it.
static IDLE: Mutex<Vec<Ring>> = Mutex::new(Vec::new());

/// The disk through rings.
pub(crate) struct QueuedDisk(());

impl QueuedDisk {
    /// Tries whether the system has what a ring needs.
    pub(crate) fn probe() -> io::Result<Self> {
        give_back(take()?);
        Ok(Self(()))
    }
}

fn take() -> io::Result<Ring> {
    locked(&IDLE).pop().map_or_else(Ring::new, Ok)
}

/// The ring holds no file and has nothing on its way.
fn give_back(ring: Ring) {
    let mut idle = locked(&IDLE);
    if idle.len() < IDLE_MAX {
        idle.push(ring);
    }
}

impl Files for QueuedDisk {
    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        Disk.make_folder(path)
    }

    fn open_folder(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Disk.open_folder(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(QueuedFile::new(Disk::create(path)?)?))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(QueuedFile::new(Disk::open_to_read(path)?)?))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(QueuedFile::new(Disk::open_to_write(path)?)?))
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        Disk.facts(path)
    }

    fn link(&self, source: &Path, target: &Path) -> io::Result<()> {
        Disk.link(source, target)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        Disk.names(path)
    }

    fn room_bytes(&self, path: &Path) -> io::Result<u64> {
        Disk.room_bytes(path)
    }
}

struct QueuedFile {
    plain: PlainFile,
    state: Mutex<State>,
}

struct State {
    /// While there is one, it holds the file.
    ring: Option<Ring>,
    cache: Cache,
    /// One past the last byte written, and what was taken ahead; the file is as long as the
    /// greater of them.
    end: u64,
    reserved: u64,
    reserves: bool,
}

/// Whether reads and writes go by the system's cache just now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Used,
    PassedBy,
    /// It can't be passed by in this file system.
    Needed,
}

impl QueuedFile {
    fn new(file: File) -> io::Result<Self> {
        let end = file.metadata()?.len();
        let state = State { ring: None, cache: Cache::Used, end, reserved: end, reserves: true };
        Ok(Self { plain: PlainFile(file), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl OpenFile for QueuedFile {
    fn try_lock(&self) -> io::Result<bool> {
        self.plain.try_lock()
    }

    fn facts(&self) -> io::Result<Facts> {
        self.plain.facts()
    }

    fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let mut state = self.state();
        let end = offset.saturating_add(bytes.len() as u64);
        let passes_by = bytes.len() >= PASSES_BY_FROM_BYTES || state.cache == Cache::PassedBy;
        if !passes_by || !is_aligned(offset, &bytes) || !state.pass_by_cache(&self.plain.0)? {
            state.collect(&self.plain.0, true)?;
            state.use_cache(&self.plain.0)?;
            self.plain.0.write_all_at(&bytes, offset)?;
        } else {
            state.reserve(&self.plain.0, offset, end);
            state.queue(&self.plain.0, offset, bytes)?;
        }
        state.end = state.end.max(end);
        state.reserved = state.reserved.max(end);
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        let mut state = self.state();
        state.settle(&self.plain.0)?;
        state.trim(&self.plain.0)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        self.plain.0.set_len(bytes)?;
        (state.end, state.reserved) = (bytes, bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut done = 0;
        let passes_by = target.len() >= PASSES_BY_FROM_BYTES && is_aligned(offset, target);
        if passes_by && state.cache == Cache::Used {
            done = read_cached(&self.plain.0, offset, target);
            if done == target.len() {
                return Ok(());
            }
        }
        if passes_by && state.pass_by_cache(&self.plain.0)? {
            let (rest_at, rest) = (offset + done as u64, &mut target[done..]);
            let read = state.ring(&self.plain.0).and_then(|ring| ring.read(rest_at, rest));
            done += match read {
                Ok(bytes) => bytes,
                Err(error) if is_no_answer(&error) => 0,
                Err(error) => return Err(error),
            };
        }
        if done < target.len() {
            state.use_cache(&self.plain.0)?;
            self.plain.0.read_exact_at(&mut target[done..], offset + done as u64)?;
        }
        Ok(())
    }

    fn make_read_only(&self) -> io::Result<()> {
        self.plain.make_read_only()
    }

    fn sync(&self) -> io::Result<()> {
        // Never by the ring: of what it answers, nobody could tell whether the disk has failed.
        self.plain.sync()
    }
}

impl Drop for QueuedFile {
    fn drop(&mut self) {
        let mut state = self.state();
        // Whoever cares has settled; what was written so far is for `resume` to judge.
        drop(state.settle(&self.plain.0));
        drop(state.trim(&self.plain.0));
    }
}

impl State {
    /// The ring that holds `file`.
    fn ring(&mut self, file: &File) -> io::Result<&mut Ring> {
        if self.ring.is_none() {
            let mut ring = take().map_err(no_answer)?;
            ring.hold(Some(file.as_fd())).map_err(no_answer)?;
            self.ring = Some(ring);
        }
        self.ring.as_mut().ok_or_else(|| ErrorKind::Unsupported.into())
    }

    /// Starts a write once there is a place for it and nothing under it is being written.
    fn queue(&mut self, file: &File, offset: u64, bytes: Bytes) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let Ok(ring) = self.ring(file) else {
            self.use_cache(file)?;
            return file.write_all_at(&bytes, offset);
        };
        let overlaps = ring.writing().any(|other| other.start < end && offset < other.end);
        self.collect(file, overlaps)?;
        while self.ring(file)?.writing().count() == WRITES_MAX {
            self.collect_next(file)?;
        }
        // A write that did not get through may just have shown that the cache is needed.
        match self.pass_by_cache(file)? {
            true => {
                self.ring(file)?.write(offset, bytes);
                Ok(())
            }
            false => file.write_all_at(&bytes, offset),
        }
    }

    /// Takes note of the writes that have ended, or of all of them when they have.
    fn collect(&mut self, file: &File, wait: bool) -> io::Result<()> {
        let mut failure = None;
        while let Some(written) = self.ring.as_mut().and_then(|ring| ring.next_written(wait)) {
            let outcome = self.finish(file, written);
            failure = failure.or(outcome.err());
        }
        failure.map_or(Ok(()), Err)
    }

    fn collect_next(&mut self, file: &File) -> io::Result<()> {
        match self.ring.as_mut().and_then(|ring| ring.next_written(true)) {
            Some(written) => self.finish(file, written),
            None => Ok(()),
        }
    }

    /// Writes plainly what the ring left over: after a short write, or one that the system sent
    /// back because a thread ended, memory was short, or the cache can't be passed by.
    fn finish(&mut self, file: &File, written: Written) -> io::Result<()> {
        let Written { offset, bytes, outcome } = written;
        let done = match outcome {
            Ok(done) => done,
            Err(error) if is_no_answer(&error) => {
                if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
                    self.collect(file, true)?;
                    self.use_cache(file)?;
                    self.cache = Cache::Needed;
                }
                0
            }
            Err(error) => return Err(error),
        };
        if done == bytes.len() {
            return Ok(());
        }
        self.collect(file, true)?;
        self.use_cache(file)?;
        file.write_all_at(&bytes[done..], offset + done as u64)
    }

    /// Waits for every write, and lets the ring go to the next file.
    fn settle(&mut self, file: &File) -> io::Result<()> {
        let outcome = self.collect(file, true);
        if let Some(mut ring) = self.ring.take()
            && ring.hold(None).is_ok()
        {
            give_back(ring);
        }
        outcome
    }

    /// Takes room ahead where a long file grows. What can't be taken is done without.
    fn reserve(&mut self, file: &File, offset: u64, end: u64) {
        if end <= self.reserved || end <= RESERVED_FROM_BYTES || !self.reserves {
            return;
        }
        let left = fstatvfs(file).map(|room| room.f_bavail.saturating_mul(room.f_frsize));
        if left.is_ok_and(|left| left < SCARCE_BYTES) {
            self.reserves = false;
            return;
        }
        let wanted = end.saturating_add(RESERVED_BYTES);
        // A hole before the write stays one.
        let from = self.reserved.max(offset);
        self.reserves = fallocate(file, FallocateFlags::empty(), from, wanted - from).is_ok();
        self.reserved = wanted;
        if !self.reserves {
            // A part may have been taken all the same, from others who have a use for it.
            drop(self.trim(file));
        }
    }

    /// Gives back what was taken ahead.
    fn trim(&mut self, file: &File) -> io::Result<()> {
        if self.reserved > self.end {
            file.set_len(self.end)?;
            self.reserved = self.end;
        }
        Ok(())
    }

    /// Whether reads and writes pass by the cache from now on.
    fn pass_by_cache(&mut self, file: &File) -> io::Result<bool> {
        if self.cache == Cache::Used {
            let flags = fcntl_getfl(file)? | OFlags::DIRECT;
            self.cache = match fcntl_setfl(file, flags) {
                Ok(()) => Cache::PassedBy,
                Err(_) => Cache::Needed,
            };
        }
        Ok(self.cache == Cache::PassedBy)
    }

    /// From now on reads and writes need not be aligned. Nothing may be on its way.
    fn use_cache(&mut self, file: &File) -> io::Result<()> {
        if self.cache == Cache::PassedBy {
            fcntl_setfl(file, fcntl_getfl(file)? - OFlags::DIRECT)?;
            self.cache = Cache::Used;
        }
        Ok(())
    }
}

/// Fills the start of `target` with what the system has in its cache, as far as whole pages go, and
/// asks no disk; how many bytes. A disk is slower than a copy from there, by far.
fn read_cached(file: &File, offset: u64, target: &mut [u8]) -> usize {
    let mut done = 0;
    while done < target.len() {
        let rest = &mut [IoSliceMut::new(&mut target[done..])];
        // Whatever else it answers, the disk will be asked, and say it again if it is true.
        match preadv2(file, rest, offset + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => done += bytes,
        }
    }
    done - done % ALIGNMENT
}

fn is_aligned(offset: u64, bytes: &[u8]) -> bool {
    let step = ALIGNMENT as u64;
    !bytes.is_empty()
        && offset.is_multiple_of(step)
        && bytes.len().is_multiple_of(ALIGNMENT)
        && bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// Whether `error` of a read or write says nothing of the disk: it was not done, and a plain call
/// will do it.
fn is_no_answer(error: &io::Error) -> bool {
    let no_answer =
        [Errno::AGAIN, Errno::CANCELED, Errno::INTR, Errno::INVAL, Errno::NOMEM, Errno::OPNOTSUPP];
    let number = error.raw_os_error();
    no_answer.iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// A ring that can't be had is no answer of the disk.
fn no_answer(_: io::Error) -> io::Error {
    Errno::AGAIN.into()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
