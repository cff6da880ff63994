//! Threads that call into a plugin, so that whoever asked need not wait for ever.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use warifu_backend::Error;

/// Most threads of one plugin. So many calls that hang are waited for no more, and new ones are
/// refused.
const THREADS_MAX: usize = 64;

/// How long a call that was cancelled has to return.
const GRACE: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce() + Send>;

/// Threads that come as they are needed, and go with the last handle.
pub(crate) struct Workers {
    jobs: Sender<Job>,
    waiting: Receiver<Job>,
    threads: Arc<AtomicUsize>,
    patience: Duration,
}

/// What a call is told: how long it has, and whether anybody waits still.
#[derive(Clone)]
pub(crate) struct Watch {
    /// Of the monotonic clock.
    pub(crate) deadline_ns: u64,
    /// Not zero once nobody waits.
    pub(crate) cancelled: Arc<AtomicU32>,
}

impl Workers {
    /// Threads whose calls may take as long as `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        // Without room: a job is handed only to a thread that waits for one.
        let (jobs, waiting) = bounded(0);
        Self { jobs, waiting, threads: Arc::default(), patience }
    }

    /// Runs `call` on another thread. What it borrows it has to own, as it may outlast the wait.
    ///
    /// # Errors
    /// [`Error::Unknown`] if it does not return in time; [`Error::Unavailable`] if too many calls
    /// hang.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce(Watch) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = bounded(1);
        let cancelled = Arc::new(AtomicU32::new(0));
        let deadline_ns = now_ns().saturating_add(self.patience.as_nanos() as u64);
        let watch = Watch { deadline_ns, cancelled: Arc::clone(&cancelled) };
        self.hand_out(what, Box::new(move || drop(answer.send(call(watch)))))?;
        match answered.recv_timeout(self.patience) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) => cancelled.store(1, Ordering::Release),
            Err(RecvTimeoutError::Disconnected) => {}
        }
        answered.recv_timeout(GRACE).map_err(|_| {
            let source = io::Error::new(io::ErrorKind::TimedOut, "the plugin does not return");
            Error::Unknown { what, source }
        })
    }

    fn hand_out(&self, what: &'static str, job: Job) -> Result<(), Error> {
        let Err(refused) = self.jobs.try_send(job) else { return Ok(()) };
        let job = refused.into_inner();
        if self.threads.fetch_add(1, Ordering::Relaxed) >= THREADS_MAX {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            let source = io::Error::other("too many of the plugin's calls do not return");
            return Err(Error::Unavailable { what, source });
        }
        let (waiting, threads) = (self.waiting.clone(), Arc::clone(&self.threads));
        let body = move || {
            job();
            // Ends with the last handle, which holds the other end.
            while let Ok(job) = waiting.recv() {
                job();
            }
            threads.fetch_sub(1, Ordering::Relaxed);
        };
        let spawned = std::thread::Builder::new().name("plugin".to_owned()).spawn(body);
        spawned.map(drop).map_err(|source| Error::Unavailable { what, source })
    }
}

/// The monotonic clock, in nanoseconds.
fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
