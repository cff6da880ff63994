//! SIGINT and SIGTERM: the first asks to stop, the second ends at once.

use crate::exit::Ending;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_vault::{Class, Failure};

const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// Whether a [`Stop`] heeds signals.
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);

/// What ends this process at SIGINT, as if nothing heeded it, while its flag is up. It is there
/// from the first prompt on: the signal has no effect at all once its last action is taken away.
static USUAL_EFFECT: Mutex<Option<(SigId, Arc<AtomicBool>)>> = Mutex::new(None);

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
        if signal == SIGINT
            && let Some((usual, _)) = usual_place().take()
        {
            low_level::unregister(usual);
        }
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
    let may_end = usual_effect()?;
    may_end.store(false, Ordering::SeqCst);
    let answer = ask();
    may_end.store(true, Ordering::SeqCst);
    match answer {
        Err(broken_off) if broken_off.kind() == io::ErrorKind::Interrupted => {
            low_level::raise(SIGINT)?;
            Err(broken_off)
        }
        answer => answer,
    }
}

/// The flag by which SIGINT has its usual effect; it is up between prompts.
fn usual_effect() -> io::Result<Arc<AtomicBool>> {
    let mut place = usual_place();
    if let Some((_, may_end)) = place.as_ref() {
        return Ok(may_end.clone());
    }
    let may_end = Arc::new(AtomicBool::new(true));
    let id = flag::register_conditional_default(SIGINT, may_end.clone())?;
    *place = Some((id, may_end.clone()));
    Ok(may_end)
}

fn usual_place() -> MutexGuard<'static, Option<(SigId, Arc<AtomicBool>)>> {
    USUAL_EFFECT.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    const PART: &str = "WARIFU_TEST_PART_OF_A_CHILD";

    /// This very test in another process, which has a part of it to play.
    fn child(test: &str, part: &str) -> Output {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &format!("signals::tests::{test}"), "--nocapture"]);
        child.env(PART, part).output().unwrap()
    }

    /// SIGINT comes while a prompt has the terminal in a manner of its own.
    fn broken_off(prompt: usize) -> io::Result<()> {
        low_level::raise(SIGINT)?;
        println!("prompt {prompt} has put the terminal back");
        Err(io::ErrorKind::Interrupted.into())
    }

    #[test]
    fn whichever_prompt_is_broken_off_puts_the_terminal_back_first() {
        const TEST: &str = "whichever_prompt_is_broken_off_puts_the_terminal_back_first";
        if let Ok(part) = std::env::var(PART) {
            let last = part.parse().unwrap();
            (0..last).for_each(|_| asked_at_terminal(|| Ok(())).unwrap());
            drop(asked_at_terminal(|| broken_off(last)));
            println!("it went on");
            return;
        }
        for last in 0..3_usize {
            let Output { status, stdout, stderr } = child(TEST, &last.to_string());
            let told = String::from_utf8(stdout).unwrap();
            assert!(told.contains(&format!("prompt {last} has put the terminal back")), "{told}");
            assert!(!told.contains("it went on"), "{told}");
            assert_eq!(status.signal(), Some(SIGINT), "{}", String::from_utf8_lossy(&stderr));
        }
    }

    #[test]
    fn between_prompts_a_signal_ends_it_and_not_once_it_is_heeded() {
        const TEST: &str = "between_prompts_a_signal_ends_it_and_not_once_it_is_heeded";
        if let Ok(part) = std::env::var(PART) {
            (0..2).for_each(|_| asked_at_terminal(|| Ok(())).unwrap());
            let stop = if part == "heeded" { Stop::install().unwrap() } else { Stop::never() };
            low_level::raise(SIGINT).unwrap();
            assert_eq!(stop.signal(), u8::try_from(SIGINT).ok());
            return;
        }
        assert_eq!(child(TEST, "usual").status.signal(), Some(SIGINT));
        let heeded = child(TEST, "heeded");
        assert!(heeded.status.success(), "{heeded:?}");
    }

    #[test]
    fn a_failure_ends_by_the_signal_that_came_before_it() {
        let stop = Stop::never();
        let failure = || Failure::new(Class::Temporary, "stopped", "stopped on request");
        assert!(matches!(stop.ending(failure()), Ending::Failed(_)));
        stop.signal.store(15, Ordering::SeqCst);
        assert!(matches!(stop.ending(failure()), Ending::Signal { signal: 15, .. }));
    }
}
