//! The planner over many inputs, with budgets that shrink.

use super::measure::{Input, NO_BASIS, Rate};
use super::{Estimate, EstimateReport, EstimateRequest, Shortfall, SiteEstimate, TimeEstimate};
use crate::causes::refused;
use crate::failure::{Class, Failure};
use std::collections::BTreeMap;
use warifu_core::plan::{Candidate, Choice, Plan, PlanRequest, plan_by};
use warifu_core::{Channel, Role, SiteName};

/// More key than any pool holds, in bytes.
const AMPLE_BYTES: u64 = 1 << 60;

/// Budgets as they shrink, and what shrank them.
pub(super) struct Tally<'a> {
    request: &'a EstimateRequest,
    zone_shares_max: Option<usize>,
    choice: Choice,
    candidates: Vec<Candidate>,
    random_bytes: u64,
    random_used: u64,
    sites: BTreeMap<SiteName, SiteEstimate>,
    /// Payload bytes of the shares at each site.
    payload_at: BTreeMap<SiteName, u64>,
    placed: usize,
    /// The least of any placed object.
    tolerates_corrupt_sites: Option<usize>,
    stored_bytes: u64,
    bytes: u64,
    refused: usize,
    refusal: Option<Failure>,
    /// Key that refused inputs would need, by pool.
    owed: BTreeMap<String, u64>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(
        (request, zone_shares_max): (&'a EstimateRequest, Option<usize>),
        choice: Choice,
        candidates: Vec<Candidate>,
        random_bytes: u64,
    ) -> Self {
        Self {
            request,
            zone_shares_max,
            choice,
            candidates,
            random_bytes,
            random_used: 0,
            sites: BTreeMap::new(),
            payload_at: BTreeMap::new(),
            placed: 0,
            tolerates_corrupt_sites: None,
            stored_bytes: 0,
            bytes: 0,
            refused: 0,
            refusal: None,
            owed: BTreeMap::new(),
        }
    }

    fn plan(
        &self,
        input: &Input,
        candidates: &[Candidate],
        random_bytes: u64,
    ) -> Result<Plan, Failure> {
        let request = PlanRequest {
            threshold: self.request.threshold,
            geometry: input.geometry,
            candidates,
            random_bytes,
            overrides: &self.request.overrides,
            pins: &self.request.pins,
            exclusions: &self.request.exclusions,
            zone_shares_max: self.zone_shares_max,
        };
        // What the operator keeps out is not what is down.
        let wished = |candidate: &&Candidate| {
            !candidate.draining && !self.request.exclusions.contains(&candidate.site)
        };
        let health = candidates.iter().filter(wished).map(|candidate| candidate.health.clone());
        plan_by(&request, self.choice).map_err(|refusal| refused(refusal, health))
    }

    /// Places one input if it fits.
    pub(super) fn place(&mut self, input: &Input) {
        match self.plan(input, &self.candidates, self.random_bytes) {
            Ok(plan) => self.take(input, &plan),
            Err(failure) => {
                if failure.class() == Class::Key {
                    self.owe(input);
                }
                self.refuse(failure);
            }
        }
    }

    /// Counts an input that does not fit.
    pub(super) fn refuse(&mut self, failure: Failure) {
        self.refused += 1;
        self.refusal.get_or_insert(failure);
    }

    fn take(&mut self, input: &Input, plan: &Plan) {
        self.placed += 1;
        self.choice.turn += 1;
        let least = self.tolerates_corrupt_sites.unwrap_or(usize::MAX);
        self.tolerates_corrupt_sites = Some(least.min(plan.tolerates_corrupt_sites));
        self.bytes = self.bytes.saturating_add(input.bytes);
        let payload_bytes = input.geometry.payload_bytes();
        self.stored_bytes = self.stored_bytes.saturating_add(payload_bytes);
        self.random_bytes = self.random_bytes.saturating_sub(plan.random_bytes);
        self.random_used = self.random_used.saturating_add(plan.random_bytes);
        for share in &plan.shares {
            let need = &share.need;
            let reserve = need.reserve_to_site_bytes + need.reserve_from_site_bytes;
            let to = need.to_site_bytes - need.reserve_to_site_bytes;
            let sent = match (share.channel, share.role) {
                // What is sealed takes as much key; what is kept is not sent.
                (Channel::Otp, Role::Computed) => to,
                (Channel::Otp, Role::Pad) => to.saturating_sub(payload_bytes),
                (Channel::Local | Channel::Tls, _) => need.store_bytes,
            };
            let site = self.sites.entry(share.site.clone()).or_default();
            site.channel = share.channel.as_str();
            site.shares += 1;
            for (sum, bytes) in [
                (&mut site.key_bytes, need.to_site_bytes + need.from_site_bytes - reserve),
                (&mut site.reserved_bytes, reserve),
                (&mut site.sent_bytes, sent),
                (&mut site.store_bytes, need.store_bytes),
                (self.payload_at.entry(share.site.clone()).or_default(), payload_bytes),
            ] {
                *sum = sum.saturating_add(bytes);
            }
            let here = self.candidates.iter_mut().find(|candidate| candidate.site == share.site);
            if let Some(candidate) = here {
                candidate.charge(need);
            }
        }
    }

    /// Plans a refused input as if there were key enough.
    fn owe(&mut self, input: &Input) {
        let mut ample = self.candidates.clone();
        for candidate in &mut ample {
            let owed = |end| self.owed.get(&format!("{}/{end}", candidate.site)).copied();
            let with = |left: u64, owed: Option<u64>| {
                left.saturating_add(AMPLE_BYTES).saturating_sub(owed.unwrap_or(0))
            };
            let (to, from) = (owed("to"), owed("from"));
            candidate.to_site_bytes = with(candidate.to_site_bytes, to);
            candidate.from_site_bytes = with(candidate.from_site_bytes, from);
        }
        let Ok(plan) = self.plan(input, &ample, u64::MAX) else { return };
        let mut add = |pool: String, bytes: u64| {
            let sum = self.owed.entry(pool).or_default();
            *sum = sum.saturating_add(bytes);
        };
        add("random".to_owned(), plan.random_bytes);
        for share in plan.shares.iter().filter(|share| share.channel == Channel::Otp) {
            add(format!("{}/to", share.site), share.need.to_site_bytes);
            add(format!("{}/from", share.site), share.need.from_site_bytes);
        }
    }

    fn shortfalls(&self) -> Vec<Shortfall> {
        let mut left = BTreeMap::from([("random".to_owned(), self.random_bytes)]);
        for candidate in &self.candidates {
            left.insert(format!("{}/to", candidate.site), candidate.to_site_bytes);
            left.insert(format!("{}/from", candidate.site), candidate.from_site_bytes);
        }
        let missing = self.owed.iter().map(|(pool, owed)| Shortfall {
            pool: pool.clone(),
            missing_bytes: owed.saturating_sub(left.get(pool).copied().unwrap_or(0)),
        });
        missing.filter(|shortfall| shortfall.missing_bytes > 0).collect()
    }

    /// Whether nothing fits.
    pub(super) fn is_empty(&self) -> bool {
        self.placed == 0
    }

    /// Whether a site would get a share.
    pub(super) fn uses(&self, site: &SiteName) -> bool {
        self.sites.contains_key(site)
    }

    /// The figures.
    pub(super) fn finish(
        self,
        found: &[Input],
        skipped: usize,
        class: Option<&'static str>,
        rate: Option<Rate>,
    ) -> Estimate {
        let shortfalls = self.shortfalls();
        let seconds = |bytes: u64| rate.map(|rate| bytes as f64 / rate.bytes_per_second);
        let sites: Vec<SiteEstimate> = self
            .candidates
            .iter()
            .filter_map(|candidate| {
                let mut site = self.sites.get(&candidate.site)?.clone();
                let linked = candidate.channel == Channel::Otp;
                site.site = candidate.site.to_string();
                site.to_site_bytes_left = linked.then_some(candidate.to_site_bytes);
                site.from_site_bytes_left = linked.then_some(candidate.from_site_bytes);
                site.room_bytes_left = candidate.room_bytes.filter(|room| *room < AMPLE_BYTES);
                site.seconds = self.payload_at.get(&candidate.site).copied().and_then(seconds);
                Some(site)
            })
            .collect();
        let sum =
            |bytes: fn(&SiteEstimate) -> u64| sites.iter().map(bytes).fold(0, u64::saturating_add);
        let report = EstimateReport {
            v: 1,
            r#type: "estimate",
            inputs: found.len(),
            skipped,
            bytes: self.bytes,
            stored_bytes: self.stored_bytes,
            k: self.request.threshold.k_byte(),
            n: self.request.threshold.n_byte(),
            class,
            tolerates_corrupt_sites: self.tolerates_corrupt_sites,
            key_bytes: sum(|site| site.key_bytes),
            reserved_bytes: sum(|site| site.reserved_bytes),
            random_bytes: self.random_used,
            random_bytes_left: self.random_bytes,
            fits: self.refused == 0,
            inputs_refused: self.refused,
            time: TimeEstimate {
                seconds: seconds(self.stored_bytes),
                basis: rate.map_or_else(|| NO_BASIS.to_owned(), |rate| rate.basis()),
            },
            asked_sites: !self.request.is_offline,
            shortfalls,
            sites,
        };
        Estimate { report, refusal: self.refusal }
    }
}
