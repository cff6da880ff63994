//! `plan`: where shares would go and why, before anything is spent.

use crate::causes::refused;
use crate::estimate::{EstimateRequest, inputs};
use crate::failure::{Class, Failure};
use crate::outlook::history_s;
use crate::{BatchRequest, Source, Vault};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use warifu_catalog::Site;
use warifu_core::plan::{
    BatchItem, BatchOrder, Candidate, Choice, Explained, Plan, PlanRequest, Refusal, Verdict,
    explain, fits, plan_batch, plan_by,
};
use warifu_core::schedule::Policy;
use warifu_core::{Channel, Geometry, Role, SiteName, Threshold};

/// What is to be placed.
#[derive(Debug, Clone)]
pub struct PlacementRequest {
    /// Paths and a stream, and how they would be stored.
    pub inputs: EstimateRequest,
    /// A table of more files.
    pub manifest: Option<PathBuf>,
}

/// One share of the object that is shown.
#[derive(Debug, Clone, Serialize)]
pub struct PlacedShare {
    /// Its x-coordinate.
    pub x: u8,
    /// Where it goes.
    pub site: String,
    /// The site's zone.
    pub zone: String,
    /// The site's domain.
    pub domain: String,
    /// `pad` or `computed`.
    pub role: &'static str,
    /// `otp`, `local` or `tls`.
    pub channel: &'static str,
    /// Key towards the site that it takes, what is kept for a restore with it.
    pub to_site_bytes: u64,
    /// Key from the site that it takes, what is kept for a restore with it.
    pub from_site_bytes: u64,
}

/// A site once everything that fits is placed, and why it got a share of the object that is shown
/// or didn't.
#[derive(Debug, Clone, Serialize)]
pub struct PlacementSite {
    /// The site.
    pub site: String,
    /// Its zone.
    pub zone: String,
    /// Its domain.
    pub domain: String,
    /// `otp`, `local` or `tls`.
    pub channel: &'static str,
    /// Shares of all inputs.
    pub shares: u64,
    /// Free key towards it before; `null` without a link.
    pub to_site_bytes_now: Option<u64>,
    /// Free key from it before; `null` without a link.
    pub from_site_bytes_now: Option<u64>,
    /// Free key towards it afterwards; `null` without a link.
    pub to_site_bytes_left: Option<u64>,
    /// Free key from it afterwards; `null` without a link.
    pub from_site_bytes_left: Option<u64>,
    /// Its place in the policy's order among sites that can take a share; `null`: it can't.
    pub rank: Option<usize>,
    /// Shares like that one which it can take before; `null`: as many as anybody wants.
    pub shares_fit: Option<u64>,
    /// Whether it gets one.
    pub is_chosen: bool,
    /// Why, or why not.
    pub why: String,
}

/// What `plan` answers.
#[derive(Debug, Clone, Serialize)]
pub struct PlacementReport {
    /// Version of this document.
    pub v: u32,
    /// `plan`.
    pub r#type: &'static str,
    /// `forecast`, or another by `placement.policy`.
    pub policy: &'static str,
    /// Objects to be placed.
    pub inputs: usize,
    /// Entries of folders and lines of manifests that can't be.
    pub skipped: usize,
    /// Those that fit, each after those before it.
    pub inputs_fitting: usize,
    /// Payload bytes of the object that is shown: the first that does not fit, or the largest.
    pub shown_bytes: u64,
    /// Shares of that object that rebuild.
    pub k: u8,
    /// Shares of that object.
    pub n: u8,
    /// Its shares; none where it does not fit.
    pub shares: Vec<PlacedShare>,
    /// From the `random` pool, for all that fits.
    pub random_bytes: u64,
    /// What the `random` pool holds afterwards.
    pub random_bytes_left: u64,
    /// Objects like that one that fit afterwards, without new key.
    pub fits_more: u64,
    /// Days that these last, at the mean of bytes stored a day so far; `null`: not known.
    pub fits_days: Option<f64>,
    /// All sites.
    pub sites: Vec<PlacementSite>,
    /// Whether the sites were asked.
    pub asked_sites: bool,
}

/// A placement, and why not all of it fits.
#[derive(Debug)]
pub struct Placement {
    /// The figures.
    pub report: PlacementReport,
    /// Why the object that is shown would be refused.
    pub refusal: Option<Failure>,
}

/// One object to be placed.
struct Item {
    threshold: Threshold,
    geometry: Geometry,
    individual: u64,
}

impl Vault {
    /// Places inputs on paper. Nothing is spent but, unless it is offline, the key of asking the
    /// sites.
    ///
    /// # Errors
    /// Where an input can't be read, or catalog or key store fails. What does not fit is no error
    /// here: the placement says why.
    pub fn placement(&self, request: &PlacementRequest) -> Result<Placement, Failure> {
        let sites = self.catalog()?.sites()?;
        let asked = &request.inputs;
        let ruled = self.ruled(&sites, &asked.pins, &asked.exclusions);
        let mut under = request.clone();
        (under.inputs.pins, under.inputs.exclusions) = (ruled.pins, ruled.exclusions);
        let (items, skipped) = self.items(&under)?;
        let candidates = self.candidates(&sites, &under.inputs)?;
        let random_bytes =
            self.random_left()?.saturating_sub(self.catalog()?.planned_random_bytes()?);
        let mut paper = Paper {
            request: &under.inputs,
            choice: self.choice()?,
            candidates: &candidates,
            random_bytes,
        };
        let answers = paper.place(&items);
        let shown = answers
            .iter()
            .position(Result::is_err)
            .or_else(|| (0..items.len()).max_by_key(|at| items[*at].geometry.payload_bytes()));
        let Some(shown) = shown else {
            return Err(Failure::new(Class::Usage, "usage", "nothing is to be placed")
                .next("give files, --bytes SIZE or a manifest with files in it"));
        };
        let mut left = candidates.clone();
        let taken = paper.charge(&answers, &mut left);
        // What the operator keeps out is not what is down.
        let wished = |candidate: &&Candidate| {
            !candidate.draining && !under.inputs.exclusions.contains(&candidate.site)
        };
        let health = candidates.iter().filter(wished).map(|candidate| candidate.health.clone());
        let refusal = answers[shown].as_ref().err().cloned();
        let item = &items[shown];
        // Where it does not fit, it does not fit what those before it left.
        let before = paper.before(&answers[..shown]);
        let explained_in: (&[Candidate], u64) = match refusal {
            Some(_) => (&before.0, before.1),
            None => (&candidates, random_bytes),
        };
        let plan = answers[shown].as_ref().ok();
        let at = paper.of(item, explained_in.0, explained_in.1);
        let explained = explain(&at, paper.choice, plan);
        let after = paper.of(item, &left, random_bytes.saturating_sub(taken));
        let fits_more = fits(&after);
        let mut report = PlacementReport {
            v: 1,
            r#type: "plan",
            policy: paper.choice.policy.as_str(),
            inputs: items.len(),
            skipped,
            inputs_fitting: answers.iter().flatten().count(),
            shown_bytes: item.geometry.payload_bytes(),
            k: item.threshold.k_byte(),
            n: item.threshold.n_byte(),
            shares: plan.map_or_else(Vec::new, shares),
            random_bytes: taken,
            random_bytes_left: random_bytes.saturating_sub(taken),
            fits_more,
            fits_days: self.days_of(fits_more, item.geometry.payload_bytes())?,
            sites: Vec::new(),
            asked_sites: !under.inputs.is_offline,
        };
        let policy = paper.choice.policy;
        for (at, site) in sites.iter().enumerate() {
            let why = self.why(site, &explained[at], policy, &asked.exclusions);
            let totals = answers.iter().flatten().flat_map(|plan| &plan.shares);
            let count = totals.filter(|share| share.site == site.site).count() as u64;
            let row = site_row(site, &explained[at], count, (&candidates[at], &left[at]), why);
            report.sites.push(row);
        }
        Ok(Placement { report, refusal: refusal.map(|refusal| refused(refusal, health)) })
    }

    fn items(&self, request: &PlacementRequest) -> Result<(Vec<Item>, usize), Failure> {
        let wanted = &request.inputs;
        let (found, mut skipped) = inputs(wanted)?;
        let mut items: Vec<Item> = found
            .into_iter()
            .map(|input| Item {
                threshold: wanted.threshold,
                geometry: input.geometry,
                individual: 0,
            })
            .collect();
        let Some(manifest) = &request.manifest else { return Ok((items, skipped)) };
        let gathered = self.gather(&BatchRequest {
            paths: Vec::new(),
            stdin_bytes: None,
            manifest: Some(manifest.clone()),
            individual: None,
            enroll: false,
            threshold: wanted.threshold,
            compression: wanted.compression,
            pad: wanted.pad,
            label: None,
            overrides: wanted.overrides.clone(),
            pins: wanted.pins.clone(),
            exclusions: wanted.exclusions.clone(),
        })?;
        skipped += gathered.refused.len();
        let mut individuals = BTreeMap::new();
        for input in &gathered.inputs {
            let stored = input.request();
            let count = individuals.len() as u64 + 1;
            let individual = *individuals.entry(stored.individual.clone()).or_insert(count);
            let Source::File(path) = &stored.source else { continue };
            let alone = EstimateRequest {
                paths: vec![path.clone()],
                stream_bytes: None,
                compression: stored.compression,
                pad: stored.pad,
                ..wanted.clone()
            };
            match inputs(&alone) {
                Ok((found, _)) => items.extend(found.into_iter().map(|input| Item {
                    threshold: stored.threshold,
                    geometry: input.geometry,
                    individual,
                })),
                Err(_) => skipped += 1,
            }
        }
        Ok((items, skipped))
    }

    /// For how many days so many objects last, at the mean of what was stored so far.
    fn days_of(&self, objects: u64, payload_bytes: u64) -> Result<Option<f64>, Failure> {
        let stored = self.catalog()?.objects()?;
        let seconds = history_s(&stored, self.now_unix_s());
        let bytes: u64 = stored.iter().map(|object| object.geometry.payload_bytes()).sum();
        let days = seconds as f64 / 86_400.0;
        // A day's history at least, or the mean says nothing.
        Ok((bytes > 0 && days >= 1.0)
            .then(|| objects as f64 * payload_bytes as f64 / (bytes as f64 / days)))
    }

    fn why(
        &self,
        site: &Site,
        explained: &Explained,
        policy: Policy,
        asked: &[SiteName],
    ) -> String {
        match &explained.verdict {
            Verdict::Barred(_) if site.drained => {
                format!("draining: `warifu site drain {} --undo` brings it back", site.site)
            }
            Verdict::Barred(why) if why == "excluded" => {
                let by_policy = self.exclusion_told(site).filter(|_| !asked.contains(&site.site));
                by_policy.unwrap_or_else(|| "excluded by --exclude or the profile".to_owned())
            }
            Verdict::Spared => match policy {
                Policy::Forecast => "key lasts longer with the others".to_owned(),
                policy => format!("others come first by policy {policy}"),
            },
            other => told(other, explained.rank),
        }
    }
}

/// The parts of a verdict that the settings have no part in.
fn told(verdict: &Verdict, rank: Option<usize>) -> String {
    match verdict {
        Verdict::Chosen(role) => {
            let rank = rank.map_or_else(String::new, |rank| format!(", rank {rank}"));
            format!("chosen, {}{rank}", role_word(*role))
        }
        Verdict::Barred(why) => why.clone(),
        Verdict::NoRoom { needed_bytes, left_bytes } => {
            format!("no room: {needed_bytes} bytes are needed, {left_bytes} are left")
        }
        Verdict::ShortOfKey(short) => {
            let ways = short.iter().map(|one| {
                let way = match one.direction {
                    warifu_core::Direction::AToB => "to it",
                    warifu_core::Direction::BToA => "from it",
                };
                format!("{} bytes {way} are missing", one.missing_bytes())
            });
            format!("short of key: {}", ways.collect::<Vec<_>>().join(", "))
        }
        Verdict::DomainTaken(site) => format!("its domain has a share already, at {site}"),
        Verdict::ZoneFull { zone, shares } => {
            format!("zone {zone} is full: it has {shares}, and its loss must leave enough")
        }
        Verdict::NoSet => "usable, but no whole set of sites is".to_owned(),
        _ => "not chosen".to_owned(),
    }
}

/// Placing without a trace.
struct Paper<'a> {
    request: &'a EstimateRequest,
    choice: Choice,
    candidates: &'a [Candidate],
    random_bytes: u64,
}

impl Paper<'_> {
    fn of<'b>(
        &'b self,
        item: &Item,
        candidates: &'b [Candidate],
        random_bytes: u64,
    ) -> PlanRequest<'b> {
        PlanRequest {
            threshold: item.threshold,
            geometry: item.geometry,
            candidates,
            random_bytes,
            overrides: &self.request.overrides,
            pins: &self.request.pins,
            exclusions: &self.request.exclusions,
        }
    }

    /// Places each after those before it.
    fn place(&mut self, items: &[Item]) -> Vec<Result<Plan, Refusal>> {
        // One alone is planned as its backup would be.
        if self.choice.policy == Policy::Forecast && items.len() > 1 {
            let batch: Vec<BatchItem<'_>> = items
                .iter()
                .map(|item| BatchItem {
                    threshold: item.threshold,
                    geometry: item.geometry,
                    overrides: &self.request.overrides,
                    pins: &self.request.pins,
                    exclusions: &self.request.exclusions,
                    individual: item.individual,
                })
                .collect();
            return plan_batch(&batch, self.candidates, self.random_bytes, BatchOrder::Given);
        }
        let (mut left, mut random_bytes) = (self.candidates.to_vec(), self.random_bytes);
        let mut choice = self.choice;
        let place = |item: &Item| {
            let planned = plan_by(&self.of(item, &left, random_bytes), choice)?;
            random_bytes -= self.charge(&[Ok(planned.clone())], &mut left);
            choice.turn += 1;
            Ok(planned)
        };
        items.iter().map(place).collect()
    }

    /// Takes off what plans cost; what they take from the `random` pool.
    fn charge(&self, answers: &[Result<Plan, Refusal>], candidates: &mut [Candidate]) -> u64 {
        let mut random_bytes = 0;
        for plan in answers.iter().flatten() {
            random_bytes += plan.random_bytes;
            for share in &plan.shares {
                let site = candidates.iter_mut().find(|one| one.site == share.site);
                if let Some(site) = site {
                    site.charge(&share.need);
                }
            }
        }
        random_bytes
    }

    /// What these answers leave.
    fn before(&self, answers: &[Result<Plan, Refusal>]) -> (Vec<Candidate>, u64) {
        let mut left = self.candidates.to_vec();
        let taken = self.charge(answers, &mut left);
        (left, self.random_bytes.saturating_sub(taken))
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Pad => "pad",
        Role::Computed => "computed",
    }
}

fn shares(plan: &Plan) -> Vec<PlacedShare> {
    let placed = plan.shares.iter().map(|share| PlacedShare {
        x: share.x.get(),
        site: share.site.to_string(),
        zone: share.zone.to_string(),
        domain: share.domain.to_string(),
        role: role_word(share.role),
        channel: share.channel.as_str(),
        to_site_bytes: share.need.to_site_bytes,
        from_site_bytes: share.need.from_site_bytes,
    });
    placed.collect()
}

fn site_row(
    site: &Site,
    explained: &Explained,
    shares: u64,
    (now, left): (&Candidate, &Candidate),
    why: String,
) -> PlacementSite {
    let linked = |bytes: u64| (site.channel == Channel::Otp).then_some(bytes);
    PlacementSite {
        site: site.site.to_string(),
        zone: site.zone.to_string(),
        domain: site.domain.to_string(),
        channel: site.channel.as_str(),
        shares,
        to_site_bytes_now: linked(now.to_site_bytes),
        from_site_bytes_now: linked(now.from_site_bytes),
        to_site_bytes_left: linked(left.to_site_bytes),
        from_site_bytes_left: linked(left.from_site_bytes),
        rank: explained.rank,
        shares_fit: explained.shares_left,
        is_chosen: matches!(explained.verdict, Verdict::Chosen(_)),
        why,
    }
}
