//! How a simulated process dies: at any of its effects, at once, and nothing of it acts after.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What unwinds a process that dies.
struct Killed;

/// How long a process still lives, counted in effects.
pub(crate) struct Fuse(Mutex<State>);

enum State {
    Unlit,
    Burning(u64),
    Dead,
}

/// The process that asks is dead: it unwinds, and what it drops on its way has no effect.
#[must_use]
pub(crate) fn dead() -> io::Error {
    io::Error::other("this process is dead")
}

impl Fuse {
    /// A process that lives on.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::Unlit))
    }

    /// The process dies at its effect number `steps` from now, from 0.
    pub(crate) fn light(&self, steps: u64) {
        let mut state = self.state();
        if !matches!(*state, State::Dead) {
            *state = State::Burning(steps);
        }
    }

    /// The process does not die by itself.
    pub(crate) fn put_out(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Dead) {
            *state = State::Unlit;
        }
    }

    /// The process is dead.
    pub(crate) fn kill(&self) {
        *self.state() = State::Dead;
    }

    /// Whether the process is dead.
    #[must_use]
    pub(crate) fn is_dead(&self) -> bool {
        matches!(*self.state(), State::Dead)
    }

    /// An effect is about to happen. It does not where the process is dead, and where the fuse
    /// ends here the process unwinds as if it were killed.
    ///
    /// # Errors
    /// Where the process is dead already.
    pub(crate) fn burn(&self) -> io::Result<()> {
        let mut state = self.state();
        match &mut *state {
            State::Unlit => Ok(()),
            State::Dead => Err(dead()),
            // Another process is just dying on this thread: one after the other.
            State::Burning(0) if std::thread::panicking() => Ok(()),
            State::Burning(0) => {
                *state = State::Dead;
                drop(state);
                resume_unwind(Box::new(Killed))
            }
            State::Burning(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// Something is about to be looked at: no effect, but the dead see nothing.
    ///
    /// # Errors
    /// Where the process is dead.
    pub(crate) fn look(&self) -> io::Result<()> {
        if self.is_dead() { Err(dead()) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Fuse {
    fn default() -> Self {
        Self::new()
    }
}

/// How some work of a process ended.
pub(crate) enum Ended<T> {
    /// It came to its end.
    Done(T),
    /// The process died in the middle of it.
    Killed,
    /// It panicked: a bug.
    Panicked(String),
}

/// Runs `work` of a process that may die.
pub(crate) fn mortal<T>(work: impl FnOnce() -> T) -> Ended<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ended::Done(done),
        Err(payload) if payload.is::<Killed>() => Ended::Killed,
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
            Ended::Panicked(text.unwrap_or_else(|| "without a word".to_owned()))
        }
    }
}
