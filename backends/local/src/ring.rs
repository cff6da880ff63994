//! One `io_uring` with one registered file, and the buffers that are with the kernel.
//!
//! This is the only file of the crate with unsafe code. What makes it sound, once for all:
//!
//! - a buffer that is written from is owned by the ring from before the kernel hears of it until
//!   its completion was seen; the ring waits for all of them before it is dropped, and if it is
//!   forgotten instead, so are the buffers;
//! - a buffer that is read into is borrowed by a call that returns only after the completion,
//!   whatever the system says meanwhile;
//! - a registered buffer is a slot of the pool of `warifu_buffers`, which is neither freed nor
//!   moved as long as the process lives.
//!
//! A submission that seems to have failed is never taken for one that the kernel did not see.

#![allow(unsafe_code, reason = "the kernel reads and writes memory by its address")]

use io_uring::types::Fixed;
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;
use warifu_buffers::{Bytes, SLOTS_MAX, slot_of};

/// Writes that are on their way together at most: two chunks, each with its foot. More was not
/// faster, and each holds a chunk of memory.
pub(crate) const WRITES_MAX: usize = 4;

/// Places in the queues: the writes, or one other operation.
const ENTRIES: u32 = 8;

/// Longest single operation; a longer one comes back short. In bytes.
const OPERATION_BYTES_MAX: usize = 1 << 30;

/// The mark of an operation that is waited for by the call that starts it.
const ALONE: u64 = u64::MAX;

/// The registered file's place in the table.
const FILE: Fixed = Fixed(0);

/// What came of a write.
pub(crate) struct Written {
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// How many bytes were written.
    pub(crate) outcome: io::Result<usize>,
}

pub(crate) struct Ring {
    ring: IoUring,
    writes: [Option<(u64, Bytes)>; WRITES_MAX],
    /// Which slots of the pool are registered; `None` where none can be.
    registered: Option<Box<[bool; SLOTS_MAX]>>,
    /// Whether no more can be.
    is_full: bool,
    /// Whether it was told that the ring can't be entered.
    complained: bool,
}

impl Ring {
    /// A ring without a file. Fails where the system lacks any of what is used here.
    pub(crate) fn new() -> io::Result<Self> {
        // Completions then wait for the next call instead of interrupting whoever computes.
        let quiet = IoUring::builder().setup_coop_taskrun().build(ENTRIES);
        let ring = quiet.or_else(|_| IoUring::new(ENTRIES))?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let used = [
            opcode::Write::CODE,
            opcode::WriteFixed::CODE,
            opcode::Read::CODE,
            opcode::ReadFixed::CODE,
        ];
        if !used.iter().all(|&code| probe.is_supported(code)) {
            return Err(ErrorKind::Unsupported.into());
        }
        ring.submitter().register_files_sparse(1)?;
        let buffers = ring.submitter().register_buffers_sparse(SLOTS_MAX as u32);
        let registered = buffers.is_ok().then(|| Box::new([false; SLOTS_MAX]));
        let writes = [const { None }; WRITES_MAX];
        Ok(Self { ring, writes, registered, is_full: false, complained: false })
    }

    /// Registers `file` as the one that is written and read, or lets the one before go.
    pub(crate) fn hold(&mut self, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        assert_eq!(self.writing().count(), 0, "writes to another file are on their way");
        let number = file.map_or(-1, |file| file.as_raw_fd());
        self.ring.submitter().register_files_update(0, &[number]).map(drop)
    }

    /// The ranges of the file that are being written.
    pub(crate) fn writing(&self) -> impl Iterator<Item = Range<u64>> {
        let range = |(offset, bytes): &(u64, Bytes)| *offset..offset + bytes.len() as u64;
        self.writes.iter().flatten().map(range)
    }

    /// Starts a write. There must be a place for it: fewer than [`WRITES_MAX`] on their way.
    pub(crate) fn write(&mut self, offset: u64, bytes: Bytes) {
        #[expect(clippy::expect_used, reason = "the only caller makes room first")]
        let place = self.writes.iter().position(Option::is_none).expect("a free place");
        let (first, len) = (bytes.as_ptr(), operation_bytes(&bytes));
        let entry = match self.registered_index(&bytes) {
            Some(index) => opcode::WriteFixed::new(FILE, first, len, index).offset(offset).build(),
            None => opcode::Write::new(FILE, first, len).offset(offset).build(),
        };
        self.writes[place] = Some((offset, bytes));
        self.start(&entry.user_data(place as u64));
    }

    /// The next write that has ended; waits for one if told to. `None` where none is on its way,
    /// or none has ended.
    pub(crate) fn next_written(&mut self, wait: bool) -> Option<Written> {
        self.writing().next()?;
        let completion = match wait {
            true => self.wait(),
            false => self.ring.completion().next()?,
        };
        let place = usize::try_from(completion.user_data()).ok()?;
        let (offset, bytes) = self.writes.get_mut(place)?.take()?;
        Some(Written { offset, bytes, outcome: outcome(&completion) })
    }

    /// Reads at most all of `target`; how many bytes were read. No write may be on its way.
    pub(crate) fn read(&mut self, offset: u64, target: &mut [u8]) -> io::Result<usize> {
        let len = operation_bytes(target);
        let entry = match self.registered_index(target) {
            Some(index) => {
                opcode::ReadFixed::new(FILE, target.as_mut_ptr(), len, index).offset(offset).build()
            }
            None => opcode::Read::new(FILE, target.as_mut_ptr(), len).offset(offset).build(),
        };
        self.alone(&entry)
    }

    /// Starts an operation and returns when it has ended, never before.
    fn alone(&mut self, entry: &squeue::Entry) -> io::Result<usize> {
        assert_eq!(self.writing().count(), 0, "writes are on their way");
        self.start(&entry.clone().user_data(ALONE));
        outcome(&self.wait())
    }

    /// Hands `entry` to the kernel. What it points to stays where it is until its completion.
    fn start(&mut self, entry: &squeue::Entry) {
        // JUSTIFICATION: there is no safe way to tell the kernel an address.
        // SAFETY: both callers keep to the rules at the top of this file: `write` has put the
        // buffer in `writes`, `alone` is waited for while its caller borrows the buffer.
        let pushed = unsafe { self.ring.submission().push(entry) };
        #[expect(clippy::expect_used, reason = "every start leaves the queue empty")]
        pushed.expect("an empty queue has a place");
        while !self.ring.submission().is_empty() {
            self.enter(0);
        }
    }

    /// Waits for the next completion, as long as it takes: the kernel has our memory.
    fn wait(&mut self) -> cqueue::Entry {
        loop {
            if let Some(completion) = self.ring.completion().next() {
                return completion;
            }
            self.enter(1);
        }
    }

    fn enter(&mut self, wanted: usize) {
        match self.ring.submit_and_wait(wanted) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Short of memory, most likely. What was handed over can't be taken back.
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "io_uring can't be entered, trying until it can");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The index under which the memory of `bytes` is registered, which is done at its first use.
    fn registered_index(&mut self, bytes: &[u8]) -> Option<u16> {
        let slot = slot_of(bytes)?;
        let index = u16::try_from(slot.index).ok()?;
        let registered = self.registered.as_mut()?;
        if registered[slot.index] {
            return Some(index);
        }
        if self.is_full {
            return None;
        }
        let base = std::ptr::with_exposed_provenance_mut(slot.address);
        let memory = libc::iovec { iov_base: base, iov_len: slot.bytes };
        let submitter = self.ring.submitter();
        // JUSTIFICATION: the kernel is told an address once instead of at every operation, which
        // saves it finding and pinning 256 pages for each chunk.
        // SAFETY: a slot of the pool is neither freed nor moved as long as the process lives.
        let done = unsafe { submitter.register_buffers_update(index.into(), &[memory], None) };
        match done {
            Ok(()) => {
                registered[slot.index] = true;
                Some(index)
            }
            // Not so much memory may be locked, as a rule. Buffers work without it too.
            Err(_) => {
                self.is_full = true;
                None
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.writing().next().is_some() {
            drop(self.next_written(true));
        }
    }
}

fn operation_bytes(buffer: &[u8]) -> u32 {
    buffer.len().min(OPERATION_BYTES_MAX) as u32
}

fn outcome(completion: &cqueue::Entry) -> io::Result<usize> {
    let result = completion.result();
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))
}
