//! A batch is planned as a whole before it starts: what key covers now, and when the rest fits.

use super::Input;
use super::turns::{Fate, Ground, Wish};
use crate::backup::{Treatment, bytes_at_most};
use crate::failure::Failure;
use crate::{BackupRequest as InputRequest, Source, Vault};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use warifu_core::plan::plan;
use warifu_core::{Geometry, SiteName};

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

/// In which order a batch goes, where each goes, and what of it has to wait.
pub(super) struct Agenda {
    /// Numbers of the inputs: those that fit, then those that wait.
    pub(super) order: Vec<usize>,
    /// `None` where all fit.
    pub(super) forecast: Option<Forecast>,
    /// The sites of those that fit, by the inputs' numbers.
    pub(super) sites: BTreeMap<usize, Vec<SiteName>>,
}

impl Vault {
    /// Plans `todo`, numbers of `inputs`, on what this end holds now, without asking any site and
    /// without spending anything. Where all fit, or where it is not key that is lacking, they
    /// stay in the order in which they were given.
    pub(super) fn agenda(&self, inputs: &[Input], todo: &[usize]) -> Result<Agenda, Failure> {
        let (sites, candidates) = (self.catalog()?.sites()?, self.candidates_unasked()?);
        let ground = self.ground(&sites, &candidates)?;
        let wishes: Vec<Wish<'_>> = todo.iter().map(|&number| inputs[number].wish()).collect();
        let mut forecast = Forecast {
            inputs: todo.len(),
            bytes: wishes.iter().map(|wish| wish.bytes).sum(),
            fitting_inputs: 0,
            fitting_bytes: 0,
            shortfall: String::new(),
            waiting: Vec::new(),
        };
        let (mut fitting, mut sites_of) = (Vec::new(), BTreeMap::new());
        for (at, fate) in self.turns(&ground, &wishes) {
            let (number, wish) = (todo[at], &wishes[at]);
            match fate {
                Fate::Fits(plan) => {
                    let sites = plan.shares.into_iter().map(|share| share.site);
                    sites_of.insert(number, sites.collect());
                    fitting.push((number, wish.bytes));
                }
                // Why they can't be stored is told when it is their turn.
                Fate::Hopeless => fitting.push((number, wish.bytes)),
                Fate::Unknown => fitting.push((number, 0)),
                Fate::Waits { wait_s } => {
                    if forecast.shortfall.is_empty() {
                        forecast.shortfall = self.shortfall(&ground, wish);
                    }
                    forecast.waiting.push(Waiting { number, wait_s });
                }
            }
        }
        if forecast.waiting.is_empty() {
            return Ok(Agenda { order: todo.to_vec(), forecast: None, sites: sites_of });
        }
        forecast.fitting_inputs = fitting.len();
        forecast.fitting_bytes = fitting.iter().map(|(_, bytes)| bytes).sum();
        let order = fitting.iter().map(|(number, _)| *number);
        let order = order.chain(forecast.waiting.iter().map(|waiting| waiting.number)).collect();
        Ok(Agenda { order, forecast: Some(forecast), sites: sites_of })
    }

    /// Why an input has to wait.
    fn shortfall(&self, ground: &Ground<'_>, wish: &Wish<'_>) -> String {
        let ruled = self.ruled(ground.sites, wish.asked);
        let there = (ground.candidates, ground.random_bytes);
        let refused = |geometry| plan(&wish.on(geometry, &ruled, there)).err();
        wish.geometry.and_then(refused).map_or_else(
            || "what those before it need is set aside".to_owned(),
            |refusal| refusal.to_string(),
        )
    }
}
