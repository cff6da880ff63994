//! How long a bench measures, and what comes out of its rounds.

use crate::BenchError;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a bench measures.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// Samples of each figure.
    pub rounds: usize,
    /// Smaller work in each.
    pub quick: bool,
    /// Set to stop as soon as the sample at hand is over.
    pub stop: &'a AtomicBool,
}

/// The rounds of [`Pace`] lie between these.
const ROUNDS: std::ops::RangeInclusive<usize> = 3..=1001;

impl Pace<'_> {
    /// Refuses where a stop was asked for.
    pub(crate) fn go_on(&self) -> Result<(), BenchError> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(BenchError::Stopped),
            false => Ok(()),
        }
    }

    /// Refuses so many rounds that they tell nothing, or never end.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let (least, most) = (*ROUNDS.start() as u64, *ROUNDS.end() as u64);
        match ROUNDS.contains(&self.rounds) {
            true => Ok(()),
            false => Err(BenchError::Setting { what: "the number of rounds", least, most }),
        }
    }
}

/// What the rounds gave: the median, the least and the most.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these values; zeros where there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return Self { median: 0.0, least: 0.0, most: 0.0 };
        };
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self { median: f64::midpoint(low, high), least: *least, most: *most }
    }
}

/// Samples of a figure and of what it is divided by, one of each in every round.
#[derive(Default)]
pub(crate) struct Duel {
    /// Of the figure, bytes in a second.
    pub(crate) own: Vec<f64>,
    /// Of the other, bytes in a second.
    pub(crate) other: Vec<f64>,
}

impl Duel {
    /// Takes one sample of each, in turns of who goes first.
    pub(crate) fn round<C, E>(
        &mut self,
        round: usize,
        context: &mut C,
        own: impl FnOnce(&mut C) -> Result<f64, E>,
        other: impl FnOnce(&mut C) -> Result<f64, E>,
    ) -> Result<(), E> {
        if round.is_multiple_of(2) {
            self.other.push(other(context)?);
            self.own.push(own(context)?);
        } else {
            self.own.push(own(context)?);
            self.other.push(other(context)?);
        }
        Ok(())
    }

    /// Bytes in a second of the figure.
    pub(crate) fn rate(&self) -> Spread {
        Spread::of(&self.own)
    }

    /// The figure by the other, round by round.
    pub(crate) fn ratio(&self) -> Spread {
        let ratios = self.own.iter().zip(&self.other).map(|(own, other)| own / other);
        Spread::of(&ratios.collect::<Vec<_>>())
    }
}

/// Bytes in a second.
pub(crate) fn rate(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / seconds.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_both_ends() {
        let spread = |values: &[f64]| {
            let Spread { median, least, most } = Spread::of(values);
            [median, least, most]
        };
        assert_eq!(spread(&[3.0, 1.0, 2.0]), [2.0, 1.0, 3.0]);
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), [2.5, 1.0, 4.0]);
        assert_eq!(spread(&[]), [0.0; 3]);
    }

    #[test]
    fn rounds_alternate_and_ratios_are_of_each_round() {
        let (mut duel, mut order) = (Duel::default(), String::new());
        for (round, (own, other)) in [(2.0, 1.0), (30.0, 10.0), (8.0, 4.0)].into_iter().enumerate()
        {
            duel.round(
                round,
                &mut order,
                |order| {
                    order.push('a');
                    Ok::<_, BenchError>(own)
                },
                |order| {
                    order.push('b');
                    Ok(other)
                },
            )
            .unwrap();
        }
        assert_eq!(order, "baabba");
        assert_eq!(duel.ratio(), Spread { median: 2.0, least: 2.0, most: 3.0 });
        assert_eq!(duel.rate().median, 8.0);
    }

    #[test]
    fn too_few_rounds_are_refused_and_a_stop_is_heard() {
        let stop = AtomicBool::new(false);
        let pace = |rounds| Pace { rounds, quick: true, stop: &stop };
        assert!(pace(2).check().is_err() && pace(1002).check().is_err());
        assert!(pace(3).check().is_ok() && pace(3).go_on().is_ok());
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(pace(3).go_on(), Err(BenchError::Stopped)));
    }
}
