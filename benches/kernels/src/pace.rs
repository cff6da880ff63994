//! Contenders that take turns, and the time of the one thread that they run on.

use rustix::time::{ClockId, clock_gettime};

/// What writes targets from sources. It may also just run.
pub type Work<'a> = dyn FnMut(&mut [&mut [u8]], &[&[u8]]) + 'a;

/// One of those that are compared.
pub struct Contender<'a> {
    /// Its name in tables.
    pub name: &'static str,
    /// What it does to the streams.
    pub work: Box<Work<'a>>,
}

/// Seconds that each contender took, turn by turn.
pub struct Turns {
    names: Vec<&'static str>,
    /// For each contender the time of one pass in each round.
    seconds: Vec<Vec<f64>>,
}

impl Turns {
    /// `rounds` rounds, in each of which every contender works for at least `least_s` seconds, the
    /// first one first in the first round, the second in the second.
    pub fn measure(
        rounds: usize,
        least_s: f64,
        contenders: &mut [Contender<'_>],
        targets: &mut [&mut [u8]],
        sources: &[&[u8]],
    ) -> Self {
        let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
        let passes: Vec<usize> = contenders
            .iter_mut()
            .map(|contender| {
                (contender.work)(targets, sources);
                let once = timed(|| (contender.work)(targets, sources)).max(1e-9);
                ((least_s / once) as usize).max(1)
            })
            .collect();
        let mut seconds = vec![Vec::new(); names.len()];
        for round in 0..rounds {
            for turn in 0..names.len() {
                let who = (round + turn) % names.len();
                let work = &mut contenders[who].work;
                // Whoever was there before has left other lines in the caches.
                work(targets, sources);
                let time = timed(|| (0..passes[who]).for_each(|_| work(targets, sources)));
                seconds[who].push(time / passes[who] as f64);
            }
        }
        Self { names, seconds }
    }

    /// The median time of one pass, in seconds.
    ///
    /// # Panics
    /// If there is no contender of that name.
    #[must_use]
    pub fn seconds(&self, name: &str) -> f64 {
        median(self.seconds[self.place(name)].clone())
    }

    /// How much faster `name` is than `other`: the median over the rounds.
    ///
    /// # Panics
    /// If there is no contender of either name.
    #[must_use]
    pub fn ratio(&self, name: &str, other: &str) -> f64 {
        let (ours, theirs) = (&self.seconds[self.place(name)], &self.seconds[self.place(other)]);
        median(ours.iter().zip(theirs).map(|(ours, theirs)| theirs / ours).collect())
    }

    fn place(&self, name: &str) -> usize {
        let place = self.names.iter().position(|other| *other == name);
        place.unwrap_or_else(|| panic!("no contender is named {name}"))
    }
}

/// The middle one. 0 if there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Seconds of this thread's processor time.
pub fn timed(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    let start = now();
    work();
    now() - start
}
