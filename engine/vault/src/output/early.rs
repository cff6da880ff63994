//! Syncing a file while it grows, beside whoever writes it, so that little is left for the end.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Bytes after which what was written is sent on its way to the disk.
const STEP_BYTES: u64 = 32 << 20;

/// Syncs a file now and then by a thread of its own, which a short file never needs.
pub(super) struct EarlySync {
    sync: fn(&File) -> io::Result<()>,
    unsynced_bytes: Cell<u64>,
    thread: RefCell<Option<Syncing>>,
}

struct Syncing {
    wake: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Default for EarlySync {
    fn default() -> Self {
        Self::by(File::sync_data)
    }
}

impl EarlySync {
    fn by(sync: fn(&File) -> io::Result<()>) -> Self {
        Self { sync, unsynced_bytes: Cell::new(0), thread: RefCell::new(None) }
    }

    /// Counts what was written to `file`.
    ///
    /// # Errors
    /// What an early sync came to: the file is worth nothing then.
    pub(super) fn written(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.unsynced_bytes.set(self.unsynced_bytes.get() + bytes);
        if self.unsynced_bytes.get() < STEP_BYTES {
            return Ok(());
        }
        self.unsynced_bytes.set(0);
        let mut place = self.thread.borrow_mut();
        let syncing = match &mut *place {
            Some(syncing) => syncing,
            none => none.insert(Syncing::start(file, self.sync)?),
        };
        match syncing.wake.try_send(()) {
            // One that is still at it takes the next step along.
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => {
                drop(place);
                self.finish()
            }
        }
    }

    /// Waits for what was begun. What was written since is not synced.
    ///
    /// # Errors
    /// What an early sync came to. A later one would not tell of it again.
    pub(super) fn finish(&self) -> io::Result<()> {
        let Some(Syncing { wake, thread }) = self.thread.take() else { return Ok(()) };
        drop(wake);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for EarlySync {
    /// Nothing of a file that came to nothing is flushed any more once this is gone.
    fn drop(&mut self) {
        if let Some(Syncing { wake, thread }) = self.thread.take() {
            drop(wake);
            // Whatever it came to, nobody asks any more.
            let _ended = thread.join();
        }
    }
}

impl Syncing {
    fn start(file: &File, sync: fn(&File) -> io::Result<()>) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (wake, woken) = sync_channel(1);
        let name = "early-sync".to_owned();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || woken.iter().try_for_each(|()| sync(&file)))?;
        Ok(Self { wake, thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn a_short_file_starts_no_thread_and_a_long_one_is_synced() {
        static SYNCED: AtomicU32 = AtomicU32::new(0);
        let file = tempfile::tempfile().unwrap();
        let early = EarlySync::by(|file| {
            SYNCED.fetch_add(1, Ordering::SeqCst);
            file.sync_data()
        });
        early.written(&file, STEP_BYTES - 1).unwrap();
        assert!(early.thread.borrow().is_none());
        for _ in 0..5 {
            early.written(&file, STEP_BYTES).unwrap();
        }
        assert!(early.thread.borrow().is_some());
        early.finish().unwrap();
        let synced = SYNCED.load(Ordering::SeqCst);
        assert!((1..=5).contains(&synced), "{synced} syncs of 5 steps");
        early.finish().unwrap();
        assert_eq!(SYNCED.load(Ordering::SeqCst), synced);
    }

    #[test]
    fn nothing_is_synced_any_more_once_it_is_dropped() {
        static BEGUN: AtomicU32 = AtomicU32::new(0);
        static ENDED: AtomicU32 = AtomicU32::new(0);
        let file = tempfile::tempfile().unwrap();
        let early = EarlySync::by(|file| {
            BEGUN.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(100));
            ENDED.fetch_add(1, Ordering::SeqCst);
            file.sync_data()
        });
        (0..2).for_each(|_| early.written(&file, STEP_BYTES).unwrap());
        drop(early);
        let ended = ENDED.load(Ordering::SeqCst);
        assert!(ended >= 1);
        assert_eq!(BEGUN.load(Ordering::SeqCst), ended, "one is still at it");
    }

    #[test]
    fn a_sync_that_failed_is_told_once_and_for_all() {
        // Nobody can sync a pipe.
        let (reader, _writer) = io::pipe().unwrap();
        let file = File::from(OwnedFd::from(reader));
        let early = EarlySync::default();
        early.written(&file, STEP_BYTES).unwrap();
        assert!(early.finish().is_err());
        let early = EarlySync::default();
        let told = (0..10_000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            early.written(&file, STEP_BYTES).err()
        });
        assert!(told.is_some());
    }
}
