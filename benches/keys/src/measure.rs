//! One fetch, and what it took.

use crate::lab::Lab;
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::process::Stdio;
use std::time::Instant;

/// Processor time, in seconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
}

impl Cost {
    pub(crate) fn all_s(self) -> f64 {
        self.user_s + self.system_s
    }

    fn since(self, before: Self) -> Self {
        Self { user_s: self.user_s - before.user_s, system_s: self.system_s - before.system_s }
    }
}

/// One fetch.
pub(crate) struct Round {
    /// By the clock on the wall, in seconds.
    pub(crate) wall_s: f64,
    pub(crate) gateway: Cost,
    pub(crate) site: Cost,
    pub(crate) kmes: Cost,
}

/// Fetches `bytes` for both ends of the lab's link.
pub(crate) fn measure(lab: &mut Lab, bytes: u64) -> Result<Round, Box<dyn Error>> {
    let mut command = lab.fetch(bytes)?;
    let now = || -> Result<[Cost; 3], Box<dyn Error>> {
        let own = cost_of("/proc/self/stat", 15)?;
        let other = |id: u32| cost_of(&format!("/proc/{id}/stat"), 13);
        Ok([own, other(lab.site.id())?, other(lab.kmes.id())?])
    };
    let (before, started) = (now()?, Instant::now());
    let done = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let (wall_s, after) = (started.elapsed().as_secs_f64(), now()?);
    let report: Value = serde_json::from_slice(&done.stdout)?;
    if !done.status.success() || report["sites"][0]["bytes"] != bytes {
        return Err(format!("the fetch ended with {} and said {report}", done.status).into());
    }
    let [gateway, site, kmes] = [0, 1, 2].map(|at| after[at].since(before[at]));
    Ok(Round { wall_s, gateway, site, kmes })
}

/// The two times at `field` of a process's figures: of itself at 13, at 15 of its children that
/// have ended.
fn cost_of(path: &str, field: usize) -> Result<Cost, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, rest) = text.rsplit_once(") ").ok_or("no figures of a process")?;
    let mut ticks = rest.split(' ').skip(field - 2);
    let mut next = || -> Result<f64, Box<dyn Error>> {
        let ticks: u64 = ticks.next().ok_or("too few figures of a process")?.parse()?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    };
    Ok(Cost { user_s: next()?, system_s: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to() {
        let before = cost_of("/proc/self/stat", 13).unwrap();
        let (mut sum, mut cost) = (0_u64, before);
        while cost.all_s() == before.all_s() {
            sum = (0..1_000_000).fold(sum, |sum, at| std::hint::black_box(sum ^ at));
            cost = cost_of("/proc/self/stat", 13).unwrap();
        }
        assert!(cost.since(before).all_s() > 0.0, "{sum}");
    }
}
