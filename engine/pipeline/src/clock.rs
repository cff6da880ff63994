//! Time as the engine knows it: how much has passed, what day it is, and how to wait.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock. What waits or tells the time takes one, so that a simulation can have its own.
pub trait Clock: Send + Sync {
    /// Time since a moment that stays the same for as long as this clock lives. Never goes back.
    fn elapsed(&self) -> Duration;

    /// Seconds since 1970 UTC. May jump either way.
    fn unix_s(&self) -> u64;

    /// Waits for so long.
    fn pause(&self, time: Duration);
}

/// The system's clock.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_s(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
