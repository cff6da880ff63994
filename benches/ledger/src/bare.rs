//! What no key store can do without, asked of the medium itself, and what memory can do.

use crate::cost::{Round, Step};
use crate::store::{FRAME_BYTES, fill};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use warifu_buffers::Block;
use warifu_keystore::medium::{Medium, Opening};

/// Bytes of one call, and of one sync.
const CALL_BYTES: usize = 1 << 20;
const BATCH_BYTES: u64 = 32 << 20;

pub(crate) fn measure(
    bytes: u64,
    medium: &dyn Medium,
    round: &mut Round,
) -> Result<(), Box<dyn Error>> {
    memory(bytes, round);
    let path = Path::new("bare");
    let file = medium.open(path, Opening::CreateNew)?;
    let mut block = Block::zeroed(CALL_BYTES);
    for at in (0..bytes).step_by(CALL_BYTES) {
        fill(&mut block, at);
        file.write_at(at, &block)?;
    }
    // Where a frame's key begins in memory, and how it lies to the pages of the file.
    let mut frame = Block::aligned_at(FRAME_BYTES, 96);
    for at in 0..bytes / FRAME_BYTES as u64 {
        round.time(Step::Read, || file.read_at(at * FRAME_BYTES as u64, &mut frame))?;
        round.time(Step::Wipe, || black_box(&mut frame).fill(0));
    }
    for batch in (0..bytes).step_by(BATCH_BYTES as usize) {
        let length = BATCH_BYTES.min(bytes - batch);
        round.time(Step::Overwrite, || file.overwrite(batch, length))?;
        round.time(Step::Sync, || file.sync())?;
        round.time(Step::Discard, || file.discard(batch, length));
    }
    Ok(medium.remove(path)?)
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
