//! Where a bench puts its files: in memory or in a folder, gone when it ends.

use crate::BenchError;
use rustix::fs::{statfs, statvfs};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where Linux has files in memory.
const MEMORY: &str = "/dev/shm";

/// The number by which a file system in memory names itself.
const TMPFS: u64 = 0x0102_1994;

/// A folder of its own, removed with all that is in it when it is dropped.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// In memory, where there is room for `bytes`.
    pub(crate) fn in_memory(bytes: u64) -> Result<Self, BenchError> {
        let place = Path::new(MEMORY);
        if !is_memory(place) {
            let what = format!("{MEMORY}, which is no file system in memory,");
            return Err(BenchError::Room { what, left_bytes: 0, needed_bytes: bytes });
        }
        Self::in_folder(place, bytes)
    }

    /// In `place`, or in memory where none is given.
    pub(crate) fn at(place: Option<&Path>, bytes: u64) -> Result<Self, BenchError> {
        place.map_or_else(|| Self::in_memory(bytes), |place| Self::in_folder(place, bytes))
    }

    /// In `place`, where there is room for `bytes`.
    pub(crate) fn in_folder(place: &Path, bytes: u64) -> Result<Self, BenchError> {
        let failed = BenchError::io("look at the folder of the bench");
        let system = statvfs(place).map_err(|error| failed(error.into()))?;
        let mut left_bytes = system.f_bavail.saturating_mul(system.f_frsize);
        if is_memory(place) {
            left_bytes = left_bytes.min(memory_bytes().unwrap_or(left_bytes));
        }
        if left_bytes < bytes {
            let what = place.display().to_string();
            return Err(BenchError::Room { what, left_bytes, needed_bytes: bytes });
        }
        // Whoever finds one can tell whether its process is still there.
        let prefix = format!("warifu-bench-{}-", std::process::id());
        let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(place);
        Ok(Self { folder: made.map_err(BenchError::io("make a folder for the bench"))? })
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Whether files in `place` are in memory only.
pub(crate) fn is_memory(place: &Path) -> bool {
    statfs(place).is_ok_and(|system| system.f_type.cast_unsigned() == TMPFS)
}

/// Memory that the system could give away now, in bytes, where it tells.
pub(crate) fn memory_bytes() -> Option<u64> {
    available_bytes(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// The same, as it tells in kB.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_memory_is_read_and_nonsense_is_not() {
        let text = "MemTotal:       24 kB\nMemAvailable:   12 kB\nBuffers: 1 kB";
        assert_eq!(available_bytes(text), Some(12 << 10));
        for text in ["", "MemAvailable: 12", "MemAvailable: -1 kB", "MemFree: 1 kB"] {
            assert_eq!(available_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_left_and_too_little_room_is_refused_before_anything_is_written() {
        let place = std::env::temp_dir();
        let scratch = Scratch::in_folder(&place, 1).unwrap();
        let file = scratch.path("a");
        fs::write(&file, b"a").unwrap();
        drop(scratch);
        assert!(!file.exists() && !file.parent().unwrap().exists());
        let refused = Scratch::in_folder(&place, u64::MAX);
        assert!(matches!(refused, Err(BenchError::Room { needed_bytes: u64::MAX, .. })));
        assert!(Scratch::in_folder(Path::new("/nowhere/at/all"), 1).is_err());
    }
}
