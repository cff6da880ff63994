//! What a job may hold in memory, so that all jobs of the process stay under one ceiling.
//!
//! A job reserves what it takes before it moves anything, and holds that until it ends. Where
//! others hold too much, it takes fewer chunks at a time, one at least, or waits for them.

use crate::Vault;
use crate::failure::{Class, Failure};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use warifu_buffers::{Reservation, SLOT_PITCH_BYTES, reserve};
use warifu_catalog::Site;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::Encoding;
use warifu_core::{Channel, Geometry, Threshold};
use warifu_pipeline::source::{FRAME_MEMORY_BYTES, READ_AHEAD, frames_max};

/// Memory that no job reserves, in bytes: the program, its catalog and key store, and what the
/// allocator keeps. The rest of a ceiling is shared among the jobs.
pub(crate) const MEMORY_FIXED_BYTES: u64 = 32 << 20;

/// What a job takes whatever it moves, in bytes: its handle of the catalog, its connections' and
/// threads' own memory.
const JOB_BYTES: u64 = 3 << 20;

/// What a lane takes besides chunks, in bytes.
const LANE_BYTES: u64 = 256 << 10;

/// Memory of a chunk on its way, in bytes: a slot of the pool.
const CHUNK_MEMORY_BYTES: u64 = SLOT_PITCH_BYTES as u64;

/// What looking at a source takes before anything is stored, in bytes: a sample of it, one frame to
/// try, and a chunk.
const OPENING_BYTES: u64 = (4 << 20) + FRAME_MEMORY_BYTES + CHUNK_MEMORY_BYTES;

/// Chunks that a lane to a site holds besides those of the window: the key of one.
const REMOTE_LANE_CHUNKS: u64 = 1;

/// Chunks that a lane to a folder holds besides those of the window: writes that the disk has not
/// taken yet.
const LOCAL_LANE_CHUNKS: u64 = 4;

/// Copies of a backup's hashes: in the lanes, the verdicts and the capsule, and its shares.
const STORED_HASH_COPIES: u64 = 4;

/// Copies of a restore's hashes: as they are read, and in the lanes.
const READ_HASH_COPIES: u64 = 2;

/// A restore's frame table is reckoned for data that is so many times as long as what is stored,
/// and for no more of it than 2^40 bytes. What is compressed further takes more memory.
const FRAMES_OF_A_CHUNK: u64 = 128;

/// How often a waiting job looks whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a job holds, as far as its memory depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Bytes whatever the window.
    fixed_bytes: u64,
    /// Bytes for each chunk on its way.
    chunk_bytes: u64,
    /// Bytes for each frame on its way through a compressor; 0 where nothing is compressed.
    frame_bytes: u64,
}

/// How many chunks and frames a job may have on their way, and the memory reserved for them.
pub(crate) struct Room {
    /// Chunks.
    pub(crate) window: usize,
    /// Frames.
    pub(crate) frames: usize,
    held: Reservation,
}

impl Need {
    /// That of storing a payload of at most so many bytes, with lanes of these channels.
    pub(crate) fn of_backup(
        threshold: Threshold,
        payload_bytes: u64,
        encoding: Encoding,
        channels: impl Iterator<Item = Channel>,
    ) -> Self {
        let lanes: u64 = channels.map(lane_bytes).sum();
        let hashes = hash_bytes(threshold.n(), payload_bytes) * STORED_HASH_COPIES;
        // What waits, and the one that is read.
        let ahead = (READ_AHEAD as u64 + 1) * CHUNK_MEMORY_BYTES;
        Self {
            fixed_bytes: JOB_BYTES + lanes + hashes + ahead,
            // Its payload, and a share for each site: pads that are kept, and frames.
            chunk_bytes: (threshold.n() as u64 + 1) * CHUNK_MEMORY_BYTES,
            frame_bytes: match encoding {
                Encoding::AsGiven => 0,
                Encoding::ZstdFrames => FRAME_MEMORY_BYTES,
            },
        }
    }

    /// That of restoring an object from some of `lanes` shares.
    pub(crate) fn of_restore(threshold: Threshold, geometry: Geometry, lanes: usize) -> Self {
        let k = threshold.k() as u64;
        let hashes = hash_bytes(lanes, geometry.payload_bytes()) * READ_HASH_COPIES;
        // As chunks, as it is read, and as it is kept.
        let frames = geometry.chunk_count() * FRAMES_OF_A_CHUNK;
        let table = 3 * 8 * frames.min(1 << 20);
        // The payload's last chunk, the frame that comes in pieces, and what becomes of it.
        let sink = table + 3 * CHUNK_MEMORY_BYTES;
        let lane = k * CHUNK_MEMORY_BYTES + lanes as u64 * LANE_BYTES;
        Self {
            fixed_bytes: JOB_BYTES + lane + hashes + sink,
            chunk_bytes: (k + 1) * CHUNK_MEMORY_BYTES,
            frame_bytes: 0,
        }
    }

    /// What so many chunks and frames on their way take, in bytes.
    fn bytes(&self, window: usize, frames: usize) -> u64 {
        let chunks = self.chunk_bytes * window as u64;
        let read_on = if frames > 0 { CHUNK_MEMORY_BYTES } else { 0 };
        self.fixed_bytes + chunks + read_on + self.frame_bytes * frames as u64
    }

    /// The least that the job can go on with, in bytes.
    pub(crate) fn least_bytes(&self) -> u64 {
        self.bytes(1, usize::from(self.frame_bytes > 0)).max(OPENING_BYTES)
    }

    /// Windows and frames, from the fewest to the most of use.
    fn steps(&self, window_max: usize) -> Vec<(usize, usize)> {
        let frames_max = if self.frame_bytes > 0 { frames_max() } else { 0 };
        let mut step = (1, frames_max.min(1));
        let mut steps = vec![step];
        while step != (window_max, frames_max) {
            step = (window_max.min(step.0 + 1), frames_max.min(step.1 + 1));
            steps.push(step);
        }
        steps
    }

    /// The most that fits into `share_bytes` and is free, of `window_max` chunks at most; none
    /// where too much is taken for now.
    fn reserve(&self, share_bytes: u64, window_max: usize) -> Option<Room> {
        self.steps(window_max.max(1)).into_iter().rev().find_map(|(window, frames)| {
            let bytes = self.bytes(window, frames).max(OPENING_BYTES);
            let held = (bytes <= share_bytes).then(|| reserve(bytes)).flatten()?;
            Some(Room { window, frames, held })
        })
    }
}

fn lane_bytes(channel: Channel) -> u64 {
    let chunks = match channel {
        Channel::Local => LOCAL_LANE_CHUNKS,
        _ => REMOTE_LANE_CHUNKS,
    };
    chunks * CHUNK_MEMORY_BYTES + LANE_BYTES
}

/// One hash for each chunk and for a mask.
fn hash_bytes(shares: usize, payload_bytes: u64) -> u64 {
    16 * shares as u64 * (payload_bytes / u64::from(CHUNK_BYTES) + 2)
}

/// What all jobs together may reserve under a memory ceiling, in bytes.
pub(crate) fn reservable_bytes(memory_bytes: u64) -> u64 {
    memory_bytes.saturating_sub(MEMORY_FIXED_BYTES)
}

/// How many jobs one ceiling bears, and the ceiling of each as if it were alone. What is not
/// reserved is there once for all of them.
pub(crate) fn shares(memory_bytes: u64, jobs: usize, least: &Need) -> (usize, u64) {
    let reservable = reservable_bytes(memory_bytes);
    let jobs = (reservable / least.least_bytes()).min(jobs as u64).max(1);
    (usize::try_from(jobs).unwrap_or(1), MEMORY_FIXED_BYTES + reservable / jobs)
}

/// As [`shares`], where it is not known yet what the jobs will be: each has enough for what may be
/// asked of a vault at all.
pub(crate) fn even_shares(memory_bytes: u64, jobs: usize) -> (usize, u64) {
    let reservable = reservable_bytes(memory_bytes);
    let least = reservable_bytes(crate::config::MEMORY_BYTES_MIN);
    let jobs = (reservable / least).min(jobs as u64).max(1);
    (usize::try_from(jobs).unwrap_or(1), MEMORY_FIXED_BYTES + reservable / jobs)
}

/// The channel that takes most memory among these sites.
pub(crate) fn worst_channel(sites: &[Site]) -> Channel {
    match sites.iter().any(|site| site.channel == Channel::Local) {
        true => Channel::Local,
        false => Channel::Otp,
    }
}

impl Vault {
    /// Reserves what a job needs for as long as the answer is held. Waits while jobs of this
    /// process hold too much.
    ///
    /// # Errors
    /// Where it would not fit if there were no other, or a stop is asked for.
    pub(crate) fn reserve(&self, need: &Need, stop: &AtomicBool) -> Result<Room, Failure> {
        let share_bytes = reservable_bytes(self.config.limits.memory_bytes);
        if need.least_bytes() > share_bytes {
            return Err(too_little(need));
        }
        let window_max = self.config.pipeline.window;
        loop {
            if let Some(room) = need.reserve(share_bytes, window_max) {
                tracing::debug!(bytes = room.held.bytes(), room.window, "memory is reserved");
                return Ok(room);
            }
            if need.least_bytes() > warifu_buffers::stats().limit_bytes {
                return Err(too_little(need));
            }
            if stop.load(Ordering::Relaxed) {
                let what = "stopped on request, while it waited for memory";
                return Err(Failure::new(Class::Temporary, "stopped", what));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn too_little(need: &Need) -> Failure {
    let mib = (MEMORY_FIXED_BYTES + need.least_bytes()).div_ceil(1 << 20);
    Failure::new(Class::Limit, "memory-ceiling", format!("this takes about {mib} MiB of memory"))
        .next(format!("set limits.memory_bytes = \"{mib}MiB\" or more in config.toml"))
}

/// Refuses an object that would not fit under the memory ceiling, wherever it is placed: its hashes
/// are held until the end.
///
/// # Errors
/// Where the object is too large for the ceiling.
pub(crate) fn expect_room_for_hashes(
    memory_bytes: u64,
    threshold: Threshold,
    geometry: Geometry,
) -> Result<(), Failure> {
    let channels = (0..threshold.n()).map(|_| Channel::Otp);
    let need = Need::of_backup(threshold, geometry.payload_bytes(), Encoding::AsGiven, channels);
    match need.least_bytes() <= reservable_bytes(memory_bytes) {
        true => Ok(()),
        false => Err(too_little(&need)),
    }
}

const _: () = assert!(CHUNK_MEMORY_BYTES > CHUNK_BYTES as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn need(scheme: &str, encoding: Encoding, channel: Channel) -> Need {
        let threshold: Threshold = scheme.parse().unwrap();
        let channels = (0..threshold.n()).map(|_| channel);
        Need::of_backup(threshold, 1 << 30, encoding, channels)
    }

    #[test]
    fn even_shares_are_never_less_than_what_a_vault_may_be_held_to() {
        assert_eq!(even_shares(64 * MIB, 4), (1, 64 * MIB));
        assert_eq!(even_shares(256 * MIB, 4), (4, 88 * MIB));
        assert_eq!(even_shares(256 * MIB, 100), (7, 64 * MIB));
        assert_eq!(even_shares(1 << 30, 1), (1, 1 << 30));
    }

    #[test]
    fn memory_is_refused_before_it_is_needed() {
        let threshold: Threshold = "3/5".parse().unwrap();
        let ceiling = 256 << 20;
        let gib = |count: u64| Geometry::new(count << 30).unwrap();
        assert!(expect_room_for_hashes(ceiling, threshold, gib(100)).is_ok());
        let refused = expect_room_for_hashes(ceiling, threshold, gib(1000)).unwrap_err();
        assert_eq!((refused.class(), refused.code()), (Class::Limit, "memory-ceiling"));
        assert!(expect_room_for_hashes(1 << 30, threshold, gib(1000)).is_ok());
        assert!(expect_room_for_hashes(64 * MIB, threshold, gib(1)).is_ok());
        let wide: Threshold = "2/255".parse().unwrap();
        assert!(expect_room_for_hashes(64 * MIB, wide, gib(1)).is_err());
    }

    #[test]
    fn shares_of_memory_stay_under_one_ceiling() {
        for (memory, jobs, scheme) in
            [(256, 4, "3/5"), (64, 4, "3/5"), (64, 9, "2/25"), (4096, 64, "4/7")]
        {
            for encoding in [Encoding::AsGiven, Encoding::ZstdFrames] {
                let need = need(scheme, encoding, Channel::Otp);
                let (found, share) = shares(memory * MIB, jobs, &need);
                assert!((1..=jobs).contains(&found));
                let reserved = found as u64 * reservable_bytes(share);
                assert!(reserved <= reservable_bytes(memory * MIB), "{memory} {jobs} {scheme}");
                let fits = reservable_bytes(share) >= need.least_bytes();
                assert!(fits || found == 1, "{memory} {jobs} {scheme}");
            }
        }
        let need = need("3/5", Encoding::ZstdFrames, Channel::Otp);
        assert_eq!(shares(64 * MIB, 0, &need).0, 1);
        assert!(shares(128 * MIB, 32, &need).0 < 8, "as many as have a chunk and a frame each");
    }

    #[test]
    fn a_job_takes_what_fits_and_no_more() {
        let need = need("3/5", Encoding::ZstdFrames, Channel::Local);
        let steps = need.steps(8);
        assert_eq!((steps[0], steps.last().unwrap().0), ((1, 1), 8));
        assert!(steps.is_sorted_by_key(|(window, frames)| need.bytes(*window, *frames)));
        assert!(need.reserve(need.least_bytes() - 1, 8).is_none());
        let room = need.reserve(need.least_bytes(), 8).unwrap();
        assert_eq!((room.window, room.frames), (1, 1));
        assert!(room.held.bytes() >= need.least_bytes());
    }
}
