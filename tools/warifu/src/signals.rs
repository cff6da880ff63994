//! SIGINT and SIGTERM: the first asks to stop, the second ends at once.

use crate::exit::Ending;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use warifu_vault::{Class, Failure};

const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// Whether a [`Stop`] heeds signals.
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);

/// What a shell adds to the number of a signal that ended a program.
pub(crate) const SIGNAL_BASE: u8 = 128;

/// A request to stop, set by the first signal.
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Takes over SIGINT and SIGTERM.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn install() -> Result<Self, Failure> {
        let stop = Self::never();
        STOPPING.into_iter().try_for_each(|signal| stop.take_over(signal)).map_err(refused)?;
        Ok(stop)
    }

    /// A request that never comes: signals keep their usual effect.
    pub(crate) fn never() -> Self {
        Self { asked: Arc::default(), signal: Arc::default() }
    }

    fn take_over(&self, signal: i32) -> io::Result<()> {
        // Actions run in the order in which they are registered: the first signal finds the flag
        // down, raises it and is noted; the second finds it raised.
        let code = i32::from(SIGNAL_BASE).saturating_add(signal);
        flag::register_conditional_shutdown(signal, code, self.asked.clone())?;
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, self.signal.clone(), number)?;
        flag::register(signal, self.asked.clone())?;
        TAKEN_OVER.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// What a long operation looks at.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// The signal that came, if one did.
    pub(crate) fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::SeqCst)).ok().filter(|signal| *signal > 0)
    }

    /// How a run ends whose operation failed: after a signal, by that signal.
    pub(crate) fn ending(&self, failure: Failure) -> Ending {
        match self.signal() {
            Some(signal) => Ending::Signal { signal, failure },
            None => Ending::Failed(failure),
        }
    }
}

/// Asks something at the terminal in a manner of its own. SIGINT ends this process only when the
/// terminal is as it was, unless a [`Stop`] heeds it.
///
/// # Errors
/// Those of `ask`; where the system refuses.
pub(crate) fn asked_at_terminal<T>(ask: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if TAKEN_OVER.load(Ordering::SeqCst) {
        return ask();
    }
    let may_end = Arc::new(AtomicBool::new(false));
    flag::register_conditional_default(SIGINT, may_end.clone())?;
    let answer = ask();
    may_end.store(true, Ordering::SeqCst);
    match answer {
        Err(broken_off) if broken_off.kind() == io::ErrorKind::Interrupted => {
            signal_hook::low_level::raise(SIGINT)?;
            Err(broken_off)
        }
        answer => answer,
    }
}

/// Runs `work` and calls `stop` at the first SIGINT or SIGTERM.
///
/// # Errors
/// Those of `work`; where the system refuses to hand over its signals.
pub(crate) fn until_stopped<T, E: From<Failure>>(
    stop: impl FnOnce() + Send,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let asked = Stop::install()?;
    let mut signals = Signals::new(STOPPING).map_err(refused)?;
    // A signal that came before the line above raised the flag only.
    if asked.signal().is_some() {
        stop();
        return work();
    }
    let handle = signals.handle();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if signals.forever().next().is_some() {
                stop();
            }
        });
        let outcome = work();
        handle.close();
        outcome
    })
}

fn refused(error: io::Error) -> Failure {
    Failure::new(Class::Other, "signals", "can't take over signals").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_by_the_signal_that_came_before_it() {
        let stop = Stop::never();
        let failure = || Failure::new(Class::Temporary, "stopped", "stopped on request");
        assert!(matches!(stop.ending(failure()), Ending::Failed(_)));
        stop.signal.store(15, Ordering::SeqCst);
        assert!(matches!(stop.ending(failure()), Ending::Signal { signal: 15, .. }));
    }
}
