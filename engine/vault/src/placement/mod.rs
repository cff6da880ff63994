//! `plan`: where shares would go and why, before anything is spent.

mod items;
mod paper;

use crate::Vault;
use crate::batch::{Fate, Wish};
use crate::causes::refused;
use crate::estimate::EstimateRequest;
use crate::failure::{Class, Failure};
use crate::outlook::history_s;
use crate::policy::Asked;
use crate::short::waiting;
use items::{Item, Items};
use paper::Paper;
use serde::Serialize;
use std::path::PathBuf;
use warifu_catalog::Site;
use warifu_core::plan::{Candidate, Explained, Plan, Verdict, explain, plan_by};
use warifu_core::schedule::Policy;
use warifu_core::{Channel, IndividualId, Role};

/// What is to be placed.
#[derive(Debug, Clone)]
pub struct PlacementRequest {
    /// Paths and a stream, and how they would be stored.
    pub inputs: EstimateRequest,
    /// A table of more files.
    pub manifest: Option<PathBuf>,
    /// Whose they are; without, no individual's rules count but those of a manifest's lines.
    pub individual: Option<IndividualId>,
    /// The public label that they would get.
    pub label: Option<String>,
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
    /// Those that an earlier run stored: they are not placed again.
    pub stored_before: usize,
    /// Those that fit, each after those before it, in the order of `batch.order`.
    pub inputs_fitting: usize,
    /// Those that key does not cover yet.
    pub inputs_waiting: usize,
    /// Seconds until the last of them fits; `null`: one of them does not at the rates at which key
    /// arrives, or it is not told.
    pub all_fit_in_seconds: Option<u64>,
    /// Payload bytes of the object that is shown: the first that does not fit, or the largest.
    pub shown_bytes: u64,
    /// Seconds until that one fits; `null`: not at the rates at which key arrives.
    pub shown_fits_in_seconds: Option<u64>,
    /// Shares of that object that rebuild.
    pub k: u8,
    /// Shares of that object.
    pub n: u8,
    /// The most of them in one zone by the settings; `null`: as many as the scheme bears.
    pub max_per_zone: Option<usize>,
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

impl Vault {
    /// Places inputs on paper. Nothing is spent but, unless it is offline, the key of asking the
    /// sites.
    ///
    /// # Errors
    /// Where an input can't be read, or catalog or key store fails. What does not fit is no error
    /// here: the placement says why.
    pub fn placement(&self, request: &PlacementRequest) -> Result<Placement, Failure> {
        let Items { items, skipped, stored_before } = self.items(request)?;
        let sites = self.catalog()?.sites()?;
        let candidates = self.candidates(&sites, &self.under_policy(&sites, request, &items))?;
        let ground = self.ground(&sites, &candidates)?;
        let wishes: Vec<Wish<'_>> = items.iter().map(Item::wish).collect();
        let turns = self.turns(&ground, &wishes);
        let first_short = turns.iter().position(|(_, fate)| !matches!(fate, Fate::Fits(_)));
        let payload_bytes = |at: &usize| items[turns[*at].0].geometry.payload_bytes();
        let largest = || (0..turns.len()).max_by_key(payload_bytes);
        let Some(shown) = first_short.or_else(largest) else {
            let what = match stored_before {
                0 => "nothing is to be placed",
                _ => "all of it is stored already",
            };
            return Err(Failure::new(Class::Usage, "usage", what)
                .next("give files, --bytes SIZE or a manifest with files in it"));
        };
        let (number, fate) = &turns[shown];
        let (geometry, wish) = (items[*number].geometry, &wishes[*number]);
        let ruled = self.ruled(&sites, wish.asked);
        let paper = Paper { ground: &ground, turns: &turns };
        // Where it does not fit, it does not fit what those before it left.
        let (before, taken) = paper.after(first_short.unwrap_or(0));
        let asked = wish.on(geometry, &ruled, (&before, ground.random_bytes - taken));
        let mut report = PlacementReport {
            skipped,
            stored_before,
            fits_days: None,
            asked_sites: !request.inputs.is_offline,
            ..paper.report(&asked, fate)
        };
        report.fits_days = self.days_of(report.fits_more, report.shown_bytes)?;
        let explained = explain(&asked, ground.choice, fate.plan());
        let left = paper.after(turns.len()).0;
        let counts = paper.counts();
        for (at, site) in sites.iter().enumerate() {
            let why = self.why(site, &explained[at], ground.choice.policy, wish.asked);
            let count = counts.get(&site.site).copied().unwrap_or(0);
            let row = site_row(site, &explained[at], count, (&candidates[at], &left[at]), why);
            report.sites.push(row);
        }
        let refusal = match fate.plan() {
            Some(_) => None,
            None => plan_by(&asked, ground.choice).err(),
        };
        // What the operator keeps out is not what is down.
        let wished = |candidate: &&Candidate| {
            !candidate.draining && !ruled.exclusions.contains(&candidate.site)
        };
        let health = candidates.iter().filter(wished).map(|candidate| candidate.health.clone());
        let refusal = refusal.map(|refusal| match refusal.is_of_key() {
            true => waiting(Failure::from(refusal), report.shown_fits_in_seconds),
            false => refused(refusal, health),
        });
        Ok(Placement { report, refusal })
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

    fn why(&self, site: &Site, explained: &Explained, policy: Policy, asked: Asked<'_>) -> String {
        match &explained.verdict {
            Verdict::Barred(_) if site.drained => {
                format!("draining: `warifu site drain {} --undo` brings it back", site.site)
            }
            Verdict::Barred(why) if why == "excluded" => {
                let by_policy = self
                    .exclusion_told(site, asked)
                    .filter(|_| !asked.exclusions.contains(&site.site));
                by_policy.unwrap_or_else(|| "excluded by --exclude or the profile".to_owned())
            }
            Verdict::Spared => match policy {
                Policy::Forecast => "key lasts longer with the others".to_owned(),
                policy => format!("others come first by policy {policy}"),
            },
            Verdict::ZoneFull { zone, shares } => match self.zone_limit_told(asked) {
                Some(setting) => format!("zone {zone} is full: it has {shares}, see {setting}"),
                None => told(&explained.verdict, None),
            },
            Verdict::Chosen(_) => {
                let chosen = told(&explained.verdict, explained.rank);
                match self.pin_told(&site.site, asked) {
                    Some(pinned) => format!("{chosen}, {pinned}"),
                    None => chosen,
                }
            }
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
