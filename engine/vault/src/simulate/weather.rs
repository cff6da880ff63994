//! What happens from outside, whichever policy places: drawn once, so that all policies meet the
//! same.

use super::dice::{Dice, Purpose};
use super::scenario::{DAY_S, FILE_BYTES_MAX, Failures, Part, Scenario, SizeModel};

/// A file that somebody brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) individual: usize,
    pub(super) bytes: u64,
    pub(super) came_s: u64,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Event {
    /// An outage ends.
    Up { site: usize, part: Part },
    /// A drive arrives with this much key for each direction.
    Courier { site: usize, bytes: u64 },
    /// A new site takes the place of one that was lost.
    Return { site: usize, bytes: u64 },
    /// An outage begins.
    Down { site: usize, part: Part },
    /// A site is lost.
    Loss { site: usize },
    /// A file comes, by its number.
    Arrival { file: usize },
    /// Somebody wants back a file; which, says the number.
    Restore { draw: u64 },
}

/// All that happens in a scenario, by time.
pub(super) struct Weather {
    pub(super) events: Vec<(u64, Event)>,
    pub(super) files: Vec<File>,
    pub(super) individuals: usize,
}

impl Weather {
    /// What `seed` makes of a scenario.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let (files, individuals) = files(scenario, seed);
        let arrivals = files.iter().enumerate();
        let mut events: Vec<(u64, Event)> =
            arrivals.map(|(file, one)| (one.came_s, Event::Arrival { file })).collect();
        let mut dice = Dice::new(seed, Purpose::Restores, 0);
        for at_s in by_chance(&mut dice, scenario.restores_per_day, scenario.end_s()) {
            events.push((at_s, Event::Restore { draw: dice.next() }));
        }
        for (site, model) in scenario.sites.iter().enumerate() {
            let mut outage = |begin_s, end_s, part| {
                events.push((begin_s, Event::Down { site, part }));
                events.push((end_s, Event::Up { site, part }));
            };
            for one in &model.outages {
                outage(one.begin_s, one.end_s, one.part);
            }
            if let Some(failures) = model.failures {
                let mut dice = Dice::new(seed, Purpose::Outages, site);
                for (begin_s, end_s) in failed(&mut dice, failures, scenario.end_s()) {
                    outage(begin_s, end_s, failures.part);
                }
            }
            if let Some(courier) = model.courier {
                let times = (courier.first_s..scenario.end_s()).step_by(step(courier.every_s));
                events.extend(
                    times.map(|at_s| (at_s, Event::Courier { site, bytes: courier.bytes })),
                );
            }
            if let Some(loss) = model.loss {
                events.push((loss.at_s, Event::Loss { site }));
                if let Some(back) = loss.back {
                    events.push((back.at_s, Event::Return { site, bytes: back.key_bytes }));
                }
            }
        }
        events.retain(|(at_s, _)| *at_s < scenario.end_s());
        events.sort_unstable();
        Self { events, files, individuals }
    }
}

fn step(seconds: u64) -> usize {
    usize::try_from(seconds).unwrap_or(usize::MAX).max(1)
}

/// Times of what comes by chance so often a day.
fn by_chance(dice: &mut Dice, per_day: f64, end_s: u64) -> Vec<u64> {
    let mut times = Vec::new();
    if per_day <= 0.0 {
        return times;
    }
    let mut at_s = 0.0;
    loop {
        at_s += dice.gap(DAY_S as f64 / per_day);
        if at_s >= end_s as f64 {
            return times;
        }
        times.push(at_s as u64);
    }
}

/// Times of what comes evenly so often a day, the first after half a gap.
fn evenly(per_day: f64, end_s: u64) -> Vec<u64> {
    let count = (per_day * end_s as f64 / DAY_S as f64).round() as u64;
    (0..count).map(|at| ((at as f64 + 0.5) * DAY_S as f64 / per_day) as u64).collect()
}

/// Begin and end of outages by chance.
fn failed(dice: &mut Dice, failures: Failures, end_s: u64) -> Vec<(u64, u64)> {
    let mut outages = Vec::new();
    let mut at_s = 0.0;
    loop {
        at_s += dice.gap(failures.mean_gap_s());
        if at_s >= end_s as f64 {
            return outages;
        }
        let begin_s = at_s as u64;
        at_s += dice.gap(failures.hours * 3600.0);
        outages.push((begin_s, at_s as u64));
    }
}

/// Files that come, and of how many individuals.
fn files(scenario: &Scenario, seed: u64) -> (Vec<File>, usize) {
    let (arrivals, end_s) = (&scenario.arrivals, scenario.end_s());
    let times = match arrivals.is_poisson {
        true => by_chance(&mut Dice::new(seed, Purpose::Arrivals, 0), arrivals.per_day, end_s),
        false => evenly(arrivals.per_day, end_s),
    };
    let mut dice = Dice::new(seed, Purpose::Sizes, 0);
    let mut files = Vec::new();
    for (individual, came_s) in times.iter().enumerate() {
        for _ in 0..arrivals.files {
            let bytes = file_bytes(&mut dice, &arrivals.size);
            files.push(File { individual, bytes, came_s: *came_s });
        }
    }
    (files, times.len())
}

fn file_bytes(dice: &mut Dice, size: &SizeModel) -> u64 {
    match size {
        SizeModel::OneOf(sizes) => {
            let last = sizes.len().saturating_sub(1) as u64;
            let at = usize::try_from(dice.between(0, last)).unwrap_or(0);
            sizes.get(at).copied().unwrap_or(1)
        }
        SizeModel::LogNormal { median_bytes, spread } => {
            let factor = spread.powf(dice.normal());
            let bytes = (*median_bytes as f64 * factor) as u64;
            bytes.clamp(1, FILE_BYTES_MAX)
        }
    }
}
