//! A batch is planned as a whole before it starts: what key covers now, and when the rest fits.

use super::Input;
use crate::backup::{Treatment, bytes_at_most};
use crate::config::Order;
use crate::failure::Failure;
use crate::{BackupRequest as InputRequest, Source, Vault};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use warifu_core::plan::{PlanRequest, Queue, plan};
use warifu_core::{Geometry, IndividualId};

/// Inputs of which it is told when they fit; those after them in a longer queue wait longer still.
const TIMED_MAX: usize = 1_000;

/// What key and random numbers cover of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Inputs to be stored.
    pub inputs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Inputs that fit, each after those before it.
    pub fitting_inputs: usize,
    /// Their bytes.
    pub fitting_bytes: u64,
    /// What the first that does not fit lacks.
    pub shortfall: String,
    /// Those that don't, in the order in which they will, by their number among the inputs.
    pub waiting: Vec<Waiting>,
}

/// An input that waits for key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its number among the inputs.
    pub number: usize,
    /// Seconds until it fits, those before it served first; `None`: not at the rates at which key
    /// arrives, or behind so many that it is not told.
    pub wait_s: Option<u64>,
}

/// The payload that an input becomes at most; `None` where its length is not known.
pub(crate) fn geometry_at_most(request: &InputRequest, bytes: u64) -> Option<Geometry> {
    let InputRequest { compression, pad, .. } = *request;
    let path = Path::new(match &request.source {
        Source::File(path) => path.as_os_str(),
        Source::Stdin { .. } => OsStr::new(""),
    });
    let payload = bytes_at_most(path, bytes, Treatment { compression, pad })?;
    Geometry::new(payload).ok()
}

/// What a policy orders by.
pub(crate) struct Ranked<'a> {
    pub(crate) individual: &'a IndividualId,
    pub(crate) bytes: u64,
}

/// The places of `items`, first served first.
pub(crate) fn in_order(order: Order, items: &[Ranked<'_>]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..items.len()).collect();
    match order {
        Order::Given => {}
        Order::Smallest => places.sort_by_key(|&at| items[at].bytes),
        Order::Fair => {
            let mut seen: BTreeMap<&IndividualId, usize> = BTreeMap::new();
            let mut rounds = Vec::with_capacity(items.len());
            for item in items {
                let count = seen.entry(item.individual).or_default();
                *count += 1;
                rounds.push(*count);
            }
            places.sort_by_key(|&at| rounds[at]);
        }
    }
    places
}

/// In which order a batch goes, and what of it has to wait.
pub(super) struct Agenda {
    /// Numbers of the inputs: those that fit, then those that wait.
    pub(super) order: Vec<usize>,
    /// `None` where all fit.
    pub(super) forecast: Option<Forecast>,
}

impl Vault {
    /// Plans `todo`, numbers of `inputs`, on what this end holds now, without asking any site and
    /// without spending anything. Where all fit, or where it is not key that is lacking, they
    /// stay in the order in which they were given.
    pub(super) fn agenda(&self, inputs: &[Input], todo: &[usize]) -> Result<Agenda, Failure> {
        let (candidates, random_bytes) = (self.candidates_unasked()?, self.random_unplanned()?);
        let rates = self.rates()?;
        let mut queue = Queue::new(&candidates, random_bytes, &rates).by(self.choice()?);
        let sites = self.catalog()?.sites()?;
        let sized: Vec<(usize, u64)> =
            todo.iter().map(|&number| (number, inputs[number].bytes().unwrap_or(0))).collect();
        let ranked: Vec<Ranked<'_>> = (sized.iter())
            .map(|&(number, bytes)| Ranked {
                individual: &inputs[number].request.individual,
                bytes,
            })
            .collect();
        let mut forecast = Forecast {
            inputs: todo.len(),
            bytes: sized.iter().map(|(_, bytes)| bytes).sum(),
            fitting_inputs: 0,
            fitting_bytes: 0,
            shortfall: String::new(),
            waiting: Vec::new(),
        };
        let mut fitting = Vec::new();
        for at in in_order(self.config.batch.order, &ranked) {
            let (number, bytes) = sized[at];
            let request = &inputs[number].request;
            let known = inputs[number].bytes().and_then(|bytes| geometry_at_most(request, bytes));
            // How long it is, or why it has none, is told when it is its turn.
            let Some(geometry) = known else {
                fitting.push((number, 0));
                continue;
            };
            let ruled = self.ruled(&sites, &request.pins, &request.exclusions);
            let wanted = PlanRequest {
                threshold: request.threshold,
                geometry,
                candidates: &candidates,
                random_bytes,
                overrides: &request.overrides,
                pins: &ruled.pins,
                exclusions: &ruled.exclusions,
            };
            if forecast.waiting.len() >= TIMED_MAX {
                forecast.waiting.push(Waiting { number, wait_s: None });
                continue;
            }
            let turn = queue.next(&wanted);
            match (turn.seconds, plan(&wanted).err()) {
                (Some(0), _) => fitting.push((number, bytes)),
                // That no sites are suitable is each input's own affair.
                (None, Some(refusal)) if !refusal.is_of_key() => fitting.push((number, bytes)),
                (wait_s, refusal) => {
                    if forecast.shortfall.is_empty() {
                        forecast.shortfall = refusal.map_or_else(
                            || "what those before it need is set aside".to_owned(),
                            |refusal| refusal.to_string(),
                        );
                    }
                    forecast.waiting.push(Waiting { number, wait_s });
                }
            }
        }
        if forecast.waiting.is_empty() {
            return Ok(Agenda { order: todo.to_vec(), forecast: None });
        }
        forecast.fitting_inputs = fitting.len();
        forecast.fitting_bytes = fitting.iter().map(|(_, bytes)| bytes).sum();
        let order = fitting.iter().map(|(number, _)| *number);
        let order = order.chain(forecast.waiting.iter().map(|waiting| waiting.number)).collect();
        Ok(Agenda { order, forecast: Some(forecast) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fair_order_serves_everyone_once_before_anyone_twice() {
        let names: Vec<IndividualId> =
            ["p", "p", "p", "q", "r", "q"].map(|name| name.parse().unwrap()).into();
        let bytes = [5, 1, 4, 3, 2, 6];
        let items: Vec<Ranked<'_>> = (names.iter().zip(bytes))
            .map(|(individual, bytes)| Ranked { individual, bytes })
            .collect();
        assert_eq!(in_order(Order::Fair, &items), [0, 3, 4, 1, 5, 2]);
        assert_eq!(in_order(Order::Given, &items), [0, 1, 2, 3, 4, 5]);
        assert_eq!(in_order(Order::Smallest, &items), [1, 4, 3, 2, 0, 5]);
        assert!(in_order(Order::Fair, &[]).is_empty());
    }
}
