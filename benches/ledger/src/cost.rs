//! What a piece of work took, and which pieces there are.

use rustix::fs::statfs;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// What some work took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Of the process with all its threads, in seconds.
    pub(crate) cpu_s: f64,
    /// By the clock on the wall, in seconds.
    pub(crate) wall_s: f64,
}

/// A piece of the work, in the order in which it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Step {
    /// Copying memory to memory.
    Memcpy,
    /// Filling memory.
    Memset,
    /// Reading from the medium, by the frame.
    Read,
    /// Overwriting a frame's key in memory.
    Wipe,
    /// Overwriting it on the medium.
    Overwrite,
    /// Making that durable.
    Sync,
    /// Giving its room back.
    Discard,
    /// The whole, as the end that seals: leases, pads, and their destruction.
    Seal,
    /// The whole, as the end that opens.
    Open,
}

impl Step {
    pub(crate) const ALL: [Self; 9] = [
        Self::Memcpy,
        Self::Memset,
        Self::Read,
        Self::Wipe,
        Self::Overwrite,
        Self::Sync,
        Self::Discard,
        Self::Seal,
        Self::Open,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Memcpy => "memcpy",
            Self::Memset => "memset",
            Self::Read => "read",
            Self::Wipe => "wipe",
            Self::Overwrite => "overwrite",
            Self::Sync => "sync",
            Self::Discard => "discard",
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }
}

/// What each step took in one round.
#[derive(Default)]
pub(crate) struct Round {
    costs: BTreeMap<Step, Cost>,
}

impl Round {
    /// Does `work` and adds what it took to `step`.
    pub(crate) fn time<R>(&mut self, step: Step, work: impl FnOnce() -> R) -> R {
        let (started, before) = (Instant::now(), cpu_s());
        let result = work();
        let cost = self.costs.entry(step).or_default();
        cost.cpu_s += cpu_s() - before;
        cost.wall_s += started.elapsed().as_secs_f64();
        result
    }

    /// What `step` took; nothing where it was not done.
    pub(crate) fn cost(&self, step: Step) -> Cost {
        self.costs.get(&step).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn of(costs: impl IntoIterator<Item = (Step, Cost)>) -> Self {
        Self { costs: costs.into_iter().collect() }
    }
}

/// The file system that `folder` is on, by name or number.
pub(crate) fn file_system(folder: &Path) -> Result<String, Box<dyn Error>> {
    let number = statfs(folder)?.f_type as u64 & 0xffff_ffff;
    Ok(match number {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        _ => format!("{number:#x}"),
    })
}

fn cpu_s() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
