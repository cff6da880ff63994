//! What figures are divided by where files are concerned: plain calls, and nothing of ours.

use crate::BenchError;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::thread;

/// Bytes of one call.
pub(crate) const STEP_BYTES: usize = 1 << 20;

/// Bytes without a pattern, so that nothing can make them shorter; the same for the same seed.
pub(crate) fn made_up(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed ^ 0x9E37_79B9_7F4A_7C15;
    let mut made = vec![0; bytes];
    for part in made.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        part.copy_from_slice(
            &state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()[..part.len()],
        );
    }
    made
}

/// Reads a file to its end, step by step, into one buffer.
pub(crate) fn read(path: &Path, buffer: &mut [u8]) -> Result<u64, BenchError> {
    let failed = BenchError::io("read a file of the bench");
    let mut file = File::open(path).map_err(&failed)?;
    let mut done = 0;
    loop {
        match file.read(buffer).map_err(&failed)? {
            0 => return Ok(done),
            step => done += step as u64,
        }
    }
}

/// Writes a new file of `bytes` bytes, step by step, and makes it durable.
pub(crate) fn write(path: &Path, bytes: u64, content: &[u8]) -> Result<(), BenchError> {
    let step = content.len().max(1) as u64;
    let parts = (0..bytes).step_by(content.len().max(1));
    write_parts(path, parts.map(|at| &content[..step.min(bytes - at) as usize]))
}

/// Writes a new file of these parts, one after the other, and makes it durable.
pub(crate) fn write_parts<'a>(
    path: &Path,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Result<(), BenchError> {
    let failed = BenchError::io("write a file of the bench");
    let mut file = File::create_new(path).map_err(&failed)?;
    for part in parts {
        file.write_all(part).map_err(&failed)?;
    }
    file.sync_all().map_err(&failed)
}

/// Writes several such files at once, a thread for each, and makes their names durable.
pub(crate) fn write_all(paths: &[PathBuf], bytes: u64, content: &[u8]) -> Result<(), BenchError> {
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads = paths.iter().map(|path| scope.spawn(|| write(path, bytes, content)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    for outcome in outcomes {
        outcome.map_err(|_| BenchError::wrong("a thread that writes a file"))??;
    }
    paths.first().and_then(|path| path.parent()).map_or(Ok(()), sync_dir)
}

/// Copies a file step by step and makes the copy durable, as `cp` and `sync` would.
pub(crate) fn copy(source: &Path, target: &Path, buffer: &mut [u8]) -> Result<(), BenchError> {
    let failed = BenchError::io("copy a file of the bench");
    let mut from = File::open(source).map_err(&failed)?;
    let mut to = File::create_new(target).map_err(&failed)?;
    loop {
        match from.read(buffer).map_err(&failed)? {
            0 => break,
            step => to.write_all(&buffer[..step]).map_err(&failed)?,
        }
    }
    to.sync_all().map_err(&failed)?;
    target.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(folder: &Path) -> Result<(), BenchError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(BenchError::io("write the folder of the bench"))
}

/// Has the system's cache forget a file that is on the disk, so that it is read from there.
pub(crate) fn forget(path: &Path) -> Result<(), BenchError> {
    let failed = BenchError::io("read a file of the bench");
    let file = File::open(path).map_err(&failed)?;
    let length = NonZeroU64::new(file.metadata().map_err(&failed)?.len());
    fadvise(file, 0, length, Advice::DontNeed).map_err(|error| failed(error.into()))
}

/// Whether two files hold the same.
pub(crate) fn same(one: &Path, other: &Path) -> Result<bool, BenchError> {
    let failed = BenchError::io("read a file of the bench");
    let (mut one, mut other) =
        (File::open(one).map_err(&failed)?, File::open(other).map_err(&failed)?);
    let length = |file: &File| file.metadata().map(|metadata| metadata.len());
    if length(&one).map_err(&failed)? != length(&other).map_err(&failed)? {
        return Ok(false);
    }
    let (mut here, mut there) = (vec![0; STEP_BYTES], vec![0; STEP_BYTES]);
    loop {
        let step = one.read(&mut here).map_err(&failed)?;
        if step == 0 {
            return Ok(true);
        }
        other.read_exact(&mut there[..step]).map_err(&failed)?;
        if here[..step] != there[..step] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_copied_and_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let content = made_up(STEP_BYTES + 5, 1);
        write_all(&[path("a"), path("b")], 3 * STEP_BYTES as u64 + 7, &content).unwrap();
        assert!(same(&path("a"), &path("b")).unwrap());
        forget(&path("a")).unwrap();
        let mut buffer = vec![0; STEP_BYTES];
        assert_eq!(read(&path("a"), &mut buffer).unwrap(), 3 * STEP_BYTES as u64 + 7);
        copy(&path("a"), &path("c"), &mut buffer).unwrap();
        assert!(same(&path("a"), &path("c")).unwrap());
        write(&path("d"), 3 * STEP_BYTES as u64 + 7, &made_up(STEP_BYTES, 2)).unwrap();
        write(&path("e"), 1, &content).unwrap();
        assert!(!same(&path("a"), &path("d")).unwrap() && !same(&path("a"), &path("e")).unwrap());
        assert!(write(&path("e"), 1, &content).is_err(), "a file that is there stays as it is");
    }
}
