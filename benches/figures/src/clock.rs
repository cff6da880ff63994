//! Clocks, and how fast the core runs.

use crate::Clock;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Instant;

/// Links of the chain that [`core_hz`] times: about a millisecond.
const CHAIN_LINKS: u32 = 1 << 20;

/// Cycles of one link: a multiplication takes three from its operands to its result on every
/// x86-64 core since 2008, an exclusive or takes one.
const LINK_CYCLES: f64 = 4.0;

/// What a piece of work took, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    /// Processor time of the thread that did it.
    pub(crate) thread_s: f64,
    /// Processor time of the whole process meanwhile.
    pub(crate) process_s: f64,
    /// By the clock on the wall.
    pub(crate) wall_s: f64,
}

impl Took {
    /// By the clock that a figure goes by.
    pub(crate) const fn by(self, clock: Clock) -> f64 {
        match clock {
            Clock::Process => self.process_s,
            Clock::Thread => self.thread_s,
            Clock::Wall => self.wall_s,
        }
    }
}

/// Times `work`.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (process, started) = (read(ClockId::ProcessCPUTime), Instant::now());
    let thread = read(ClockId::ThreadCPUTime);
    let made = work();
    let thread_s = read(ClockId::ThreadCPUTime) - thread;
    let wall_s = started.elapsed().as_secs_f64();
    (made, Took { thread_s, process_s: read(ClockId::ProcessCPUTime) - process, wall_s })
}

fn read(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Cycles of this core in a second, by a chain of instructions each of which needs the one before.
pub(crate) fn core_hz() -> f64 {
    let (factor, mask) = (black_box(0x9E37_79B9_7F4A_7C15_u64), black_box(0x55_u64));
    let (end, took) = timed(|| {
        (0..CHAIN_LINKS).fold(black_box(1_u64), |value, _| value.wrapping_mul(factor) ^ mask)
    });
    black_box(end);
    f64::from(CHAIN_LINKS) * LINK_CYCLES / took.thread_s.max(1e-9)
}
