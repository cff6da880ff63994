//! What key does not cover: noticed before anything is spent, with the time it will take.

use crate::Vault;
use crate::failure::Failure;
use crate::plan::Wanted;
use warifu_core::plan::{Candidate, Health, PlanRequest, Refusal, plan, when};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

/// A time to wait, for people: rounded up, as it is a forecast.
#[must_use]
pub fn about(seconds: u64) -> String {
    match seconds {
        0..=60 => "about a minute".to_owned(),
        61..=7_200 => format!("about {} min", seconds.div_ceil(60)),
        7_201..=172_800 => format!("about {} h", seconds.div_ceil(HOUR_S)),
        _ => format!("about {} days", seconds.div_ceil(DAY_S)),
    }
}

impl Vault {
    /// Why key at this end does not cover what is wanted, even if every site were there with room
    /// enough; `None` where it does, or where something else than key stands in the way. Asks no
    /// site and spends nothing.
    pub(crate) fn lacks_key(&self, wanted: &Wanted<'_>) -> Result<Option<Failure>, Failure> {
        let candidates = self.candidates_unasked()?;
        let sites = self.catalog()?.sites()?;
        let ruled = self.ruled(&sites, wanted.asked);
        let request = PlanRequest {
            threshold: wanted.threshold,
            geometry: wanted.geometry,
            candidates: &candidates,
            random_bytes: self.random_unplanned()?,
            overrides: wanted.overrides,
            pins: &ruled.pins,
            exclusions: &ruled.exclusions,
            zone_shares_max: ruled.zone_shares_max,
        };
        let refusal = plan(&request).err().filter(Refusal::is_of_key);
        Ok(refusal.map(|refusal| self.short(&request, refusal)))
    }

    /// A refusal for want of key, with the time after which the forecast has it go through.
    pub(crate) fn short(&self, request: &PlanRequest<'_>, refusal: Refusal) -> Failure {
        let wait_s = match self.rates() {
            Ok(rates) => when(request, &rates),
            Err(failure) => {
                tracing::warn!(%failure, "how fast key arrives is not known");
                None
            }
        };
        waiting(Failure::from(refusal), wait_s)
    }

    /// All sites with what their links hold, as if all were up and had room.
    pub(crate) fn candidates_unasked(&self) -> Result<Vec<Candidate>, Failure> {
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

    /// Bytes of the `random` pool that no running work has planned for.
    pub(crate) fn random_unplanned(&self) -> Result<u64, Failure> {
        Ok(self.random_left()?.saturating_sub(self.catalog()?.planned_random_bytes()?))
    }
}

/// A refusal that says how long it takes until key covers it.
pub(crate) fn waiting(failure: Failure, wait_s: Option<u64>) -> Failure {
    let next = match wait_s {
        Some(seconds) => format!(
            "at the rate at which key arrives it fits in {}: with --wait it is stored then (see \
             `warifu key forecast`)",
            about(seconds)
        ),
        None => "no key arrives at a rate that would cover it: bring some, as shown above; with \
                 --wait it is stored once it is there"
            .to_owned(),
    };
    failure.next(next).expected_in(wait_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_people_would_choose() {
        for (seconds, told) in [
            (0, "about a minute"),
            (61, "about 2 min"),
            (7_200, "about 120 min"),
            (7_201, "about 3 h"),
            (2 * DAY_S, "about 48 h"),
            (2 * DAY_S + 1, "about 3 days"),
            (u64::MAX, "about 213503982334602 days"),
        ] {
            assert_eq!(about(seconds), told);
        }
    }
}
