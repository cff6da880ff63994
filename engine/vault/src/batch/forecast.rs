//! Whether key covers a batch as a whole, told before it starts.

use super::Input;
use crate::backup::{Treatment, bytes_at_most};
use crate::failure::Failure;
use crate::{BackupRequest as InputRequest, Source, Vault};
use std::ffi::OsStr;
use std::path::Path;
use warifu_core::plan::{Candidate, Health, PlanRequest, plan};
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
}

/// An input that is still to be stored.
pub(super) struct Pending<'a> {
    input: &'a Input,
    bytes: u64,
    geometry: Geometry,
}

impl<'a> Pending<'a> {
    /// `None` where it can't be said how long it is.
    pub(super) fn of(input: &'a Input) -> Option<Self> {
        let bytes = input.bytes()?;
        let InputRequest { compression, pad, .. } = *input.request();
        let path = Path::new(match &input.request().source {
            Source::File(path) => path.as_os_str(),
            Source::Stdin { .. } => OsStr::new(""),
        });
        let payload = bytes_at_most(path, bytes, Treatment { compression, pad })?;
        Some(Self { input, bytes, geometry: Geometry::new(payload).ok()? })
    }
}

impl Vault {
    /// Plans one input after the other on what this end holds now, without asking any site, and
    /// without spending anything. `None` where all fit, and where it is not key that is lacking.
    pub(super) fn shortfall<'a>(
        &self,
        pending: impl Iterator<Item = Pending<'a>>,
    ) -> Result<Option<Forecast>, Failure> {
        let mut candidates = self.candidates_unasked()?;
        let mut random =
            self.random_left()?.saturating_sub(self.catalog()?.planned_random_bytes()?);
        let mut forecast = Forecast {
            inputs: 0,
            bytes: 0,
            fitting_inputs: 0,
            fitting_bytes: 0,
            shortfall: String::new(),
        };
        for Pending { input, bytes, geometry } in pending {
            forecast.inputs += 1;
            forecast.bytes += bytes;
            let planned = plan(&PlanRequest {
                threshold: input.request.threshold,
                geometry,
                candidates: &candidates,
                random_bytes: random,
                overrides: &input.request.overrides,
                pins: &input.request.pins,
                exclusions: &input.request.exclusions,
            });
            match planned {
                Ok(plan) => {
                    forecast.fitting_inputs += 1;
                    forecast.fitting_bytes += bytes;
                    random = random.saturating_sub(plan.random_bytes);
                    for share in &plan.shares {
                        let needs = (share.need.to_site_bytes, share.need.from_site_bytes);
                        spend(&mut candidates, &share.site, needs);
                    }
                }
                Err(refusal) => {
                    let failure = Failure::from(refusal);
                    // That no sites are suitable is each input's own affair.
                    if failure.class() != crate::Class::Key {
                        forecast.fitting_inputs += 1;
                        forecast.fitting_bytes += bytes;
                    } else if forecast.shortfall.is_empty() {
                        forecast.shortfall = failure.to_string();
                    }
                }
            }
        }
        Ok(Some(forecast).filter(|forecast| !forecast.shortfall.is_empty()))
    }

    /// All sites with what their links hold, as if all were up and had room.
    fn candidates_unasked(&self) -> Result<Vec<Candidate>, Failure> {
        let sites = self.catalog()?.sites()?;
        let candidates = sites.iter().map(|site| {
            let mut candidate = self.candidate(site, None)?;
            if site.link.is_some() {
                candidate.health = Health::Up;
            }
            Ok(candidate)
        });
        candidates.collect()
    }
}

fn spend(candidates: &mut [Candidate], site: &SiteName, (to_site, from_site): (u64, u64)) {
    if let Some(candidate) = candidates.iter_mut().find(|candidate| &candidate.site == site) {
        candidate.to_site_bytes = candidate.to_site_bytes.saturating_sub(to_site);
        candidate.from_site_bytes = candidate.from_site_bytes.saturating_sub(from_site);
    }
}
