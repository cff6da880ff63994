//! What no key store can do without, by bare calls, and what memory can do.

use crate::cost::{Round, Step};
use crate::store::{FRAME_BYTES, fill};
use rustix::fs::{FallocateFlags, fallocate};
use std::error::Error;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use warifu_buffers::Block;

/// Bytes overwritten by one call, and by one `fdatasync` and hole.
const CALL_BYTES: usize = 1 << 20;
const BATCH_BYTES: u64 = 32 << 20;

pub(crate) fn measure(bytes: u64, path: &Path, round: &mut Round) -> Result<(), Box<dyn Error>> {
    memory(bytes, round);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    let mut block = Block::zeroed(CALL_BYTES);
    for at in (0..bytes).step_by(CALL_BYTES) {
        fill(&mut block, at);
        file.write_all_at(&block, at)?;
    }
    let mut frame = Block::aligned_at(FRAME_BYTES, 96);
    let frames = bytes / FRAME_BYTES as u64;
    for at in 0..frames {
        round.time(Step::Read, || file.read_exact_at(&mut frame, at * FRAME_BYTES as u64))?;
        round.time(Step::Wipe, || black_box(&mut frame).fill(0));
    }
    let zeros = vec![0; CALL_BYTES];
    for batch in (0..bytes).step_by(BATCH_BYTES as usize) {
        let end = bytes.min(batch + BATCH_BYTES);
        round.time(Step::Overwrite, || {
            let mut calls = (batch..end).step_by(CALL_BYTES);
            calls.try_for_each(|at| file.write_all_at(&zeros, at))
        })?;
        round.time(Step::Sync, || file.sync_data())?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        round.time(Step::Discard, || fallocate(&file, flags, batch, end - batch))?;
    }
    Ok(std::fs::remove_file(path)?)
}

/// Memory to memory, both larger than the caches, by the MiB.
fn memory(bytes: u64, round: &mut Round) {
    let mut source = vec![1_u8; bytes as usize];
    let mut target = vec![2_u8; bytes as usize];
    round.time(Step::Memcpy, || {
        for (target, source) in target.chunks_mut(CALL_BYTES).zip(source.chunks(CALL_BYTES)) {
            black_box(target).copy_from_slice(black_box(source));
        }
    });
    round.time(Step::Memset, || {
        source.chunks_mut(CALL_BYTES).for_each(|source| black_box(source).fill(0));
    });
}
