//! What a plan comes to.

use super::{PlacementReport, shares};
use crate::batch::{Fate, Ground};
use std::collections::BTreeMap;
use warifu_core::SiteName;
use warifu_core::plan::{Candidate, Plan, PlanRequest, fits};

/// What is planned, and what it leaves.
#[derive(Clone, Copy)]
pub(super) struct Paper<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) turns: &'a [(usize, Fate)],
}

impl<'a> Paper<'a> {
    /// The plans of those among the first so many turns that fit now.
    fn plans(self, turns: usize) -> impl Iterator<Item = &'a Plan> {
        self.turns[..turns].iter().filter_map(|(_, fate)| fate.plan())
    }

    /// What these leave at each site, and what they take from the `random` pool.
    pub(super) fn after(self, turns: usize) -> (Vec<Candidate>, u64) {
        let candidates = self.ground.candidates;
        let index: BTreeMap<&SiteName, usize> =
            candidates.iter().enumerate().map(|(at, one)| (&one.site, at)).collect();
        let (mut left, mut random_bytes) = (candidates.to_vec(), 0);
        for plan in self.plans(turns) {
            random_bytes += plan.random_bytes;
            for share in &plan.shares {
                if let Some(&at) = index.get(&share.site) {
                    left[at].charge(&share.need);
                }
            }
        }
        (left, random_bytes)
    }

    /// Shares at each site, of all that fits now.
    pub(super) fn counts(self) -> BTreeMap<&'a SiteName, u64> {
        let mut counts = BTreeMap::new();
        for share in self.plans(self.turns.len()).flat_map(|plan| &plan.shares) {
            *counts.entry(&share.site).or_default() += 1;
        }
        counts
    }

    /// The figures, but for those that the vault has; of the object that is shown, what was asked
    /// and what becomes of it.
    pub(super) fn report(self, asked: &PlanRequest<'_>, fate: &Fate) -> PlacementReport {
        let (left, taken) = self.after(self.turns.len());
        let random_bytes_left = self.ground.random_bytes - taken;
        let after = PlanRequest { candidates: &left, random_bytes: random_bytes_left, ..*asked };
        let waits: Vec<Option<u64>> = (self.turns.iter())
            .filter_map(|(_, fate)| match fate {
                Fate::Waits { wait_s } => Some(*wait_s),
                _ => None,
            })
            .collect();
        PlacementReport {
            v: 1,
            r#type: "plan",
            policy: self.ground.choice.policy.as_str(),
            inputs: self.turns.len(),
            skipped: 0,
            stored_before: 0,
            inputs_fitting: self.plans(self.turns.len()).count(),
            inputs_waiting: waits.len(),
            // One that has no time leaves the whole without.
            all_fit_in_seconds: waits
                .into_iter()
                .try_fold(0, |longest, wait_s| Some(wait_s?.max(longest))),
            shown_bytes: asked.geometry.payload_bytes(),
            shown_fits_in_seconds: match fate {
                Fate::Fits(_) => Some(0),
                Fate::Waits { wait_s } => *wait_s,
                Fate::Hopeless | Fate::Unknown => None,
            },
            k: asked.threshold.k_byte(),
            n: asked.threshold.n_byte(),
            max_per_zone: asked.zone_shares_max,
            shares: fate.plan().map_or_else(Vec::new, shares),
            random_bytes: taken,
            random_bytes_left,
            fits_more: fits(&after),
            fits_days: None,
            sites: Vec::new(),
            asked_sites: false,
        }
    }
}
