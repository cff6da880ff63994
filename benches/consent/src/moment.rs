//! Time by the clock and by the processor.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// A moment of this thread.
pub(crate) struct Moment {
    clock: Instant,
    cpu: Duration,
}

/// How long something took, by the clock and by the processor.
pub(crate) type Span = (Duration, Duration);

impl Moment {
    /// No time at all.
    pub(crate) const NONE: Span = (Duration::ZERO, Duration::ZERO);

    pub(crate) fn now() -> Self {
        Self { clock: Instant::now(), cpu: cpu() }
    }

    pub(crate) fn elapsed(&self) -> Span {
        (self.clock.elapsed(), cpu().saturating_sub(self.cpu))
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

/// How long each of many took.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) clock: Vec<Duration>,
    pub(crate) cpu: Vec<Duration>,
}

impl Times {
    /// Takes in what went by since `started`, `apart` from what is not to count.
    pub(crate) fn push(&mut self, started: &Moment, apart: Span) {
        let (clock, cpu) = started.elapsed();
        self.clock.push(clock.saturating_sub(apart.0));
        self.cpu.push(cpu.saturating_sub(apart.1));
    }
}
