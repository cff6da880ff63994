//! One share written and read by one engine, and pairs of that.

use rustix::fs::{Advice, fadvise, statfs};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;
use warifu_backend::{ShareName, ShareStore};
use warifu_backend_local::{Engine, LocalConfig, LocalStore};
use warifu_buffers::{Block, Bytes};

const CHUNK_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
const SLOT_BYTES: u64 = CHUNK_BYTES + PAGE_BYTES;

/// Slots after which a share is synced while it grows, as the pipeline does it.
const SYNC_SLOTS: u64 = 64;

/// What one pass over a share took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Of the process, in seconds.
    pub(crate) cpu_s: f64,
    /// By the clock on the wall, in seconds.
    pub(crate) wall_s: f64,
}

/// A share written and read by one engine.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) write: Cost,
    pub(crate) read: Cost,
}

/// The same by both engines, and by bare calls on a file: what no store can do without.
pub(crate) struct Pair {
    pub(crate) ring: Run,
    pub(crate) plain: Run,
    pub(crate) bare: Run,
}

/// The file system that `folder` is on, by name or number.
pub(crate) fn file_system(folder: &Path) -> Result<String, Box<dyn Error>> {
    let number = statfs(folder)?.f_type as u64 & 0xffff_ffff;
    Ok(match number {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x2fc1_2fc1 => "zfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        _ => format!("{number:#x}"),
    })
}

/// Measures `pairs` pairs of shares of `bytes` in a new folder within `folder`.
pub(crate) fn measure_pairs(
    bytes: u64,
    pairs: usize,
    folder: &Path,
) -> Result<Vec<Pair>, Box<dyn Error>> {
    let folder = tempfile::tempdir_in(folder)?;
    let store = |engine, name| {
        LocalStore::open(&LocalConfig { engine, ..LocalConfig::new(folder.path().join(name)) })
    };
    let (ring, plain) = (store(Engine::Ring, "ring")?, store(Engine::Plain, "plain")?);
    let chunks: Vec<Bytes> = (0..8).map(chunk).collect();
    let at = |name: &str| folder.path().join(name).join("shares/share");
    let mut measured = Vec::new();
    for number in 0..pairs {
        let of_ring = || run(&ring, &at("ring"), bytes, &chunks);
        let of_plain = || run(&plain, &at("plain"), bytes, &chunks);
        // Who goes first may pay for what was there before.
        let (ring, plain) = if number % 2 == 0 {
            let first = of_ring()?;
            (first, of_plain()?)
        } else {
            let first = of_plain()?;
            (of_ring()?, first)
        };
        let bare = run_bare(&folder.path().join("bare"), bytes, &chunks)?;
        measured.push(Pair { ring, plain, bare });
    }
    Ok(measured)
}

fn chunk(mark: u64) -> Bytes {
    let mut block = Block::zeroed(CHUNK_BYTES as usize);
    block.iter_mut().zip(mark..).for_each(|(byte, at)| *byte = (at.wrapping_mul(151) >> 5) as u8);
    block.into_bytes()
}

fn run(
    store: &LocalStore,
    path: &Path,
    bytes: u64,
    chunks: &[Bytes],
) -> Result<Run, Box<dyn Error>> {
    let name = ShareName::new("share")?;
    let slots = bytes / CHUNK_BYTES;
    let content = |slot: u64| &chunks[slot as usize % chunks.len()];
    let write = cost(|| {
        let mut upload = store.create(&name)?;
        for slot in 0..slots {
            let at = slot * SLOT_BYTES;
            upload.write_at(at, content(slot).clone())?;
            upload.write_at(at + CHUNK_BYTES, content(slot).slice(..PAGE_BYTES as usize))?;
            if slot % SYNC_SLOTS == SYNC_SLOTS - 1 {
                upload.sync()?;
            }
        }
        upload.commit()
    })?;
    fadvise(File::open(path)?, 0, NonZeroU64::new(slots * SLOT_BYTES), Advice::DontNeed)?;
    let mut target = Block::zeroed(SLOT_BYTES as usize);
    let read = cost(|| {
        (0..slots).try_for_each(|slot| store.read_at(&name, slot * SLOT_BYTES, &mut target))
    })?;
    for slot in 0..slots {
        store.read_at(&name, slot * SLOT_BYTES, &mut target)?;
        expect_same(slot, content(slot), &target)?;
    }
    store.delete(&name)?;
    Ok(Run { write, read })
}

/// The same slots by one call each, synced as often, in no store.
fn run_bare(path: &Path, bytes: u64, chunks: &[Bytes]) -> Result<Run, Box<dyn Error>> {
    let slots = bytes / CHUNK_BYTES;
    let content = |slot: u64| &chunks[slot as usize % chunks.len()];
    let file = File::create_new(path)?;
    let write = cost(|| {
        for slot in 0..slots {
            let at = slot * SLOT_BYTES;
            file.write_all_at(content(slot), at)?;
            file.write_all_at(&content(slot)[..PAGE_BYTES as usize], at + CHUNK_BYTES)?;
            if slot % SYNC_SLOTS == SYNC_SLOTS - 1 {
                file.sync_all()?;
            }
        }
        file.sync_all()
    })?;
    let file = File::open(path)?;
    fadvise(&file, 0, NonZeroU64::new(slots * SLOT_BYTES), Advice::DontNeed)?;
    let mut target = Block::zeroed(SLOT_BYTES as usize);
    let read = cost(|| {
        (0..slots).try_for_each(|slot| file.read_exact_at(&mut target, slot * SLOT_BYTES))
    })?;
    for slot in 0..slots {
        file.read_exact_at(&mut target, slot * SLOT_BYTES)?;
        expect_same(slot, content(slot), &target)?;
    }
    std::fs::remove_file(path)?;
    Ok(Run { write, read })
}

fn expect_same(slot: u64, content: &[u8], found: &[u8]) -> Result<(), Box<dyn Error>> {
    let (chunk, page) = found.split_at(CHUNK_BYTES as usize);
    match chunk == content && page == &content[..PAGE_BYTES as usize] {
        true => Ok(()),
        false => Err(format!("slot {slot} reads otherwise than it was written").into()),
    }
}

fn cost<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Cost, E> {
    let (started, before) = (Instant::now(), cpu_s());
    work()?;
    Ok(Cost { cpu_s: cpu_s() - before, wall_s: started.elapsed().as_secs_f64() })
}

fn cpu_s() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
