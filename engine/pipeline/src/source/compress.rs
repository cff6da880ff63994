//! Compresses frames on several threads; what comes out does not depend on how many there are.

use crate::alarm::PanicAlarm;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::sync::OnceLock;
use warifu_buffers::{Block, SLOT_PITCH_BYTES};
use warifu_core::payload::FRAME_BYTES;
use zstd::bulk::Compressor;

/// zstd's own default: half the speed of level 1 buys little with reads, twice the time of level 6
/// nearly nothing.
const LEVEL: i32 = 3;

/// Frames on their way at once, at most.
const UNDERWAY_MAX: usize = 6;

/// Memory that a frame takes on its way, in bytes: what goes in, what comes out, and the context
/// that compresses it.
pub const FRAME_MEMORY_BYTES: u64 = 2 * SLOT_PITCH_BYTES as u64 + (2 << 20);

/// As many frames as are of use on their way at once: one for each core, and one that is read.
#[must_use]
pub fn frames_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    (cores + 1).min(UNDERWAY_MAX)
}

/// What determines the bytes that a compressor writes: two that answer alike write alike.
#[must_use]
pub fn compressor() -> String {
    format!("zstd-{}-level-{LEVEL}-frame-{FRAME_BYTES}", zstd::zstd_safe::version_string())
}

/// A frame as it stands in the payload: compressed, or as given where that is not shorter.
struct Done {
    number: u64,
    content: io::Result<Block>,
    compressor: Compressor<'static>,
}

/// Frames on their way through the compressing threads, in order.
pub(crate) struct FrameEncoder {
    pool: &'static ThreadPool,
    told: Sender<Option<Done>>,
    arriving: Receiver<Option<Done>>,
    idle: Vec<Compressor<'static>>,
    arrived: BTreeMap<u64, Block>,
    limit: u64,
    sent: u64,
    taken: u64,
}

impl FrameEncoder {
    /// An encoder without frames, for `limit` of them at a time, one at least.
    ///
    /// # Errors
    /// Where threads or memory are refused.
    pub(crate) fn new(limit: usize) -> io::Result<Self> {
        let pool = pool()?;
        let (told, arriving) = unbounded();
        let limit = limit.max(1);
        let idle = (0..limit).map(|_| frame_compressor()).collect::<io::Result<_>>()?;
        let (limit, arrived) = (limit as u64, BTreeMap::new());
        Ok(Self { pool, told, arriving, idle, arrived, limit, sent: 0, taken: 0 })
    }

    /// Whether another frame may be sent now.
    pub(crate) fn has_room(&self) -> bool {
        self.sent - self.taken < self.limit
    }

    /// Sends the next frame on its way.
    ///
    /// # Panics
    /// Where there is no room for it.
    #[expect(clippy::expect_used, reason = "there are as many contexts as frames have room")]
    pub(crate) fn send(&mut self, frame: Block) {
        let mut compressor = self.idle.pop().expect("there is room");
        let (number, told) = (self.sent, self.told.clone());
        self.sent += 1;
        self.pool.spawn(move || {
            let _alarm = PanicAlarm(|| drop(told.send(None)));
            let content = shorter(&mut compressor, frame);
            drop(told.send(Some(Done { number, content, compressor })));
        });
    }

    /// The next frame, in the order in which they were sent; none where all were taken.
    ///
    /// # Errors
    /// Where a compressing thread panicked, or the compressor failed.
    pub(crate) fn take(&mut self) -> io::Result<Option<Block>> {
        if self.taken == self.sent {
            return Ok(None);
        }
        loop {
            if let Some(content) = self.arrived.remove(&self.taken) {
                self.taken += 1;
                return Ok(Some(content));
            }
            let Ok(Some(done)) = self.arriving.recv() else {
                return Err(io::Error::other("a compressing thread ended without its result"));
            };
            self.idle.push(done.compressor);
            self.arrived.insert(done.number, done.content?);
        }
    }
}

/// Bytes that `content` takes as a frame.
///
/// # Errors
/// Where memory is refused.
pub(super) fn frame_bytes_of(content: &[u8]) -> io::Result<usize> {
    let mut target = Block::zeroed(zstd::zstd_safe::compress_bound(content.len()));
    let compressed = frame_compressor()?.compress_to_buffer(content, &mut target[..])?;
    Ok(compressed.min(content.len()))
}

fn frame_compressor() -> io::Result<Compressor<'static>> {
    Compressor::new(LEVEL)
}

/// The frame, or its content as given where that is not longer. Which of both it is follows from
/// the content alone: a compressor that fails is no reason, or a backup that goes on would get
/// other chunks.
fn shorter(compressor: &mut Compressor<'_>, frame: Block) -> io::Result<Block> {
    let mut target = Block::zeroed(zstd::zstd_safe::compress_bound(frame.len()));
    let bytes = compressor.compress_to_buffer(&frame[..], &mut target[..])?;
    if bytes >= frame.len() {
        return Ok(frame);
    }
    target.truncate(bytes);
    Ok(target)
}

/// The compressing threads of this process: as many as it has cores.
fn pool() -> io::Result<&'static ThreadPool> {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let named = ThreadPoolBuilder::new().thread_name(|number| format!("warifu-zstd-{number}"));
    // A panic is told by the alarm of the frame that it struck.
    let made = named.panic_handler(|_| ()).build().map_err(io::Error::other)?;
    Ok(POOL.get_or_init(|| made))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frame `number`: every third can't be compressed.
    fn frame(number: u64) -> Block {
        let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let bytes: Vec<u8> = (0..70_000 - number as usize)
            .map(|_| if number.is_multiple_of(3) { noise() } else { noise() & 3 })
            .collect();
        Block::copy_of(&bytes)
    }

    #[test]
    fn frames_come_back_in_order_and_shorter_or_as_they_were() {
        let mut encoder = FrameEncoder::new(3).unwrap();
        let (mut sent, mut taken) = (0, 0);
        while taken < 40 {
            while sent < 40 && encoder.has_room() {
                encoder.send(frame(sent));
                sent += 1;
            }
            let content = encoder.take().unwrap().unwrap();
            let given = frame(taken);
            match taken % 3 {
                0 => assert!(content[..] == given[..]),
                _ => {
                    assert!(content.len() < given.len() / 2);
                    let back = zstd::bulk::decompress(&content, given.len()).unwrap();
                    assert!(back == given[..]);
                    let alone = frame_bytes_of(&given).unwrap();
                    assert_eq!(alone, content.len(), "whatever thread it was");
                }
            }
            taken += 1;
        }
        assert!(encoder.take().unwrap().is_none());
    }
}
