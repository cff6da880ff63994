//! Why an object can't be placed, and what to do about it.

use super::select::{self, Preference, Relaxed, Wishes};
use super::{Candidate, Health, Need, PlanRequest, any_role_need, ranked};
use crate::direction::Direction;
use crate::id::SiteName;
use crate::role::Channel;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Why there is no plan. Nothing has been spent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Fewer sites than shares.
    #[error(
        "{needed} sites are needed and {admissible} are usable{}; bring sites back, add some with \
         `warifu site add`, or choose a scheme with fewer shares",
        reasons(why)
    )]
    NotEnoughSites {
        /// Shares to be placed.
        needed: usize,
        /// Sites that could take one.
        admissible: usize,
        /// The other sites, and what is wrong with each.
        why: Vec<(SiteName, String)>,
    },
    /// A pinned site can't be used.
    #[error("site {site} is pinned and can't be used: {why}; bring it back or drop the pin")]
    PinUnusable {
        /// The site.
        site: SiteName,
        /// What is wrong with it.
        why: String,
    },
    /// More pins than shares.
    #[error("{pins} sites are pinned for {n} shares; drop some pins or make more shares")]
    TooManyPins {
        /// Pins given.
        pins: usize,
        /// Shares to be placed.
        n: usize,
    },
    /// A pin or an exclusion names no site.
    #[error("there is no site {0}; `warifu site list` shows those there are")]
    UnknownSite(SiteName),
    /// A site, a pin or an exclusion stands twice in the request.
    #[error("site {0} is given twice")]
    NamedTwice(SiteName),
    /// The loss of one zone could leave fewer than `k` shares, or than the operator wants left.
    #[error(
        "losing one zone could leave fewer than {} of {n} shares: a zone may hold {most} of them \
         at most, and the usable sites lie in {}; add sites in other zones, choose a scheme with \
         more shares to spare, {}or go against it by name: --override zone=REASON",
        n.saturating_sub(*most), counted(zones),
        if n - k > *most { "let zones hold more (`max_per_zone` in config.toml), " } else { "" }
    )]
    ZoneLoss {
        /// Shares needed to rebuild.
        k: usize,
        /// Shares to be placed.
        n: usize,
        /// Shares that a zone may hold.
        most: usize,
        /// Usable sites of each zone.
        zones: Vec<(SiteName, usize)>,
    },
    /// Two shares would lie in one domain.
    #[error(
        "{needed} shares need {needed} domains, and the usable sites lie in {}; add sites of other \
         domains, or go against it by name: --override domain=REASON",
        counted(domains)
    )]
    DomainReach {
        /// Shares to be placed.
        needed: usize,
        /// Usable sites of each domain.
        domains: Vec<(SiteName, usize)>,
    },
    /// No set keeps both the zones' and the domains' rule.
    #[error(
        "no {n} usable sites keep {} shares through the loss of any zone and lie in different \
         domains: zones {}; domains {}; add sites elsewhere, or go against the rules by name: \
         --override zone=REASON --override domain=REASON",
        n.saturating_sub(*most),
        counted(zones),
        counted(domains)
    )]
    ZoneAndDomain {
        /// Shares to be placed.
        n: usize,
        /// Shares that a zone may hold.
        most: usize,
        /// Usable sites of each zone.
        zones: Vec<(SiteName, usize)>,
        /// Usable sites of each domain.
        domains: Vec<(SiteName, usize)>,
    },
    /// Too many shares would go over `tls`.
    #[error(
        "at most {limit} shares may go over tls, or a recording of tls alone would tell the \
         plaintext; add sites on links with `warifu site add NAME URL --channel otp`"
    )]
    TlsReach {
        /// `k - 1`.
        limit: usize,
    },
    /// Too many shares would lie where they are released without consent.
    #[error(
        "fewer than {k} of {n} shares may lie at sites that release them without their person's \
         consent, and these do: {}; have site daemons enforce it (`[consent]` in their \
         config.toml), add others, or go against it by name: --override consent=REASON",
        joined(sites, ", ", |text, site| text.push_str(site.as_str()))
    )]
    ConsentReach {
        /// Shares needed to rebuild.
        k: usize,
        /// Shares to be placed.
        n: usize,
        /// Usable sites that release without consent.
        sites: Vec<SiteName>,
    },
    /// The links' key doesn't cover the object with its restore reserve.
    #[error(
        "key left does not cover the object with its restore reserve:\n{}\nbring key, such as:\n{}",
        shortages(sites),
        deliveries(sites)
    )]
    KeyShortfall {
        /// Every site and direction that is short.
        sites: Vec<Shortfall>,
    },
    /// The `random` pool doesn't cover the object.
    #[error(
        "the random pool has {} too few: {} are needed and {} are left; make more: \
         `warifu key generate --random --bytes {}`",
        rounded(needed_bytes.saturating_sub(*left_bytes)),
        rounded(*needed_bytes),
        rounded(*left_bytes),
        generous(needed_bytes.saturating_sub(*left_bytes))
    )]
    RandomShortfall {
        /// Bytes that the plan takes from the pool.
        needed_bytes: u64,
        /// Bytes there.
        left_bytes: u64,
    },
    /// The stores are too full.
    #[error(
        "a share takes {needed_bytes} bytes of store, and too few sites have that left: {}; make \
         room or add sites with `warifu site add`",
        rooms(sites)
    )]
    NoRoom {
        /// Length of the share file.
        needed_bytes: u64,
        /// The sites that are too full, and the bytes left at each.
        sites: Vec<(SiteName, u64)>,
    },
}

impl Refusal {
    /// Whether key or random numbers are what is short: more of them would help.
    #[must_use]
    pub const fn is_of_key(&self) -> bool {
        matches!(self, Self::KeyShortfall { .. } | Self::RandomShortfall { .. })
    }
}

/// A direction of a site's link that holds too little key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shortfall {
    /// The site.
    pub site: SiteName,
    /// The direction.
    pub direction: Direction,
    /// Bytes that the object takes, reserve included.
    pub needed_bytes: u64,
    /// Bytes left.
    pub left_bytes: u64,
}

impl Shortfall {
    /// Bytes to be delivered before the object fits.
    #[must_use]
    pub const fn missing_bytes(&self) -> u64 {
        self.needed_bytes.saturating_sub(self.left_bytes)
    }
}

/// Refuses a request whose names are wrong in themselves.
pub(super) fn check_names(request: &PlanRequest<'_>) -> Result<(), Refusal> {
    let mut known = BTreeSet::new();
    for candidate in request.candidates {
        if !known.insert(&candidate.site) {
            return Err(Refusal::NamedTwice(candidate.site.clone()));
        }
    }
    for names in [request.pins, request.exclusions] {
        let mut seen = BTreeSet::new();
        for name in names {
            if !known.contains(name) {
                return Err(Refusal::UnknownSite(name.clone()));
            }
            if !seen.insert(name) {
                return Err(Refusal::NamedTwice(name.clone()));
            }
        }
    }
    let (pins, n) = (request.pins.len(), request.threshold.n());
    if pins > n { Err(Refusal::TooManyPins { pins, n }) } else { Ok(()) }
}

/// What keeps a site out whatever its key and room, or `None`.
pub(super) fn barred(
    candidate: &Candidate,
    request: &PlanRequest<'_>,
    relaxed: Relaxed,
) -> Option<String> {
    if request.exclusions.contains(&candidate.site) {
        return Some("excluded".to_owned());
    }
    if let Health::Down(why) = &candidate.health {
        return Some(format!("down ({why})"));
    }
    if candidate.draining {
        return Some("draining".to_owned());
    }
    let tls = candidate.channel == Channel::Tls && !relaxed.tls;
    tls.then(|| "reached over tls only, which needs --override channel=REASON".to_owned())
}

/// Whether the site's store has room, as far as is known.
pub(super) fn has_room(candidate: &Candidate, need: &Need) -> bool {
    candidate.room_bytes.is_none_or(|room| need.store_bytes <= room)
}

/// The directions in which the site's link holds too little.
pub(super) fn shortfalls(candidate: &Candidate, need: &Need) -> Vec<Shortfall> {
    if candidate.channel != Channel::Otp {
        return Vec::new();
    }
    [
        (Direction::AToB, need.to_site_bytes, candidate.to_site_bytes),
        (Direction::BToA, need.from_site_bytes, candidate.from_site_bytes),
    ]
    .into_iter()
    .filter(|(_, needed_bytes, left_bytes)| needed_bytes > left_bytes)
    .map(|(direction, needed_bytes, left_bytes)| Shortfall {
        site: candidate.site.clone(),
        direction,
        needed_bytes,
        left_bytes,
    })
    .collect()
}

/// Finds what stands in the way, given that no set is admissible.
pub(super) fn diagnose(request: &PlanRequest<'_>) -> Refusal {
    let relaxed = Relaxed::all(request.overrides);
    let why: Vec<_> = request
        .candidates
        .iter()
        .filter_map(|site| Some((site.site.clone(), barred(site, request, relaxed)?)))
        .collect();
    if let Some((site, why)) = why.iter().find(|(site, _)| request.pins.contains(site)) {
        return Refusal::PinUnusable { site: site.clone(), why: why.clone() };
    }
    let standing: Vec<_> =
        request.candidates.iter().filter(|site| barred(site, request, relaxed).is_none()).collect();
    let standing = ranked(standing);
    let needed = request.threshold.n();
    if standing.len() < needed {
        return Refusal::NotEnoughSites { needed, admissible: standing.len(), why };
    }
    if !fits(&standing, request, relaxed) {
        return broken_rule(&standing, request, relaxed);
    }
    let need_at = |site: &Candidate| any_role_need(request, site.channel);
    let (roomy, full): (Vec<_>, Vec<_>) =
        standing.into_iter().partition(|site| has_room(site, &need_at(site)));
    if !fits(&roomy, request, relaxed) {
        let needed_bytes = full.iter().map(|site| need_at(site).store_bytes).max().unwrap_or(0);
        let left = |site: &&Candidate| (site.site.clone(), site.room_bytes.unwrap_or(0));
        return Refusal::NoRoom { needed_bytes, sites: full.iter().map(left).collect() };
    }
    let short: Vec<_> = roomy.iter().flat_map(|site| shortfalls(site, &need_at(site))).collect();
    let keyed: Vec<_> =
        roomy.into_iter().filter(|site| shortfalls(site, &need_at(site)).is_empty()).collect();
    least_random_bytes(&keyed, request, relaxed).map_or(
        Refusal::KeyShortfall { sites: short },
        |needed_bytes| Refusal::RandomShortfall { needed_bytes, left_bytes: request.random_bytes },
    )
}

fn fits(sites: &[&Candidate], request: &PlanRequest<'_>, relaxed: Relaxed) -> bool {
    least_random_bytes(sites, request, relaxed).is_some()
}

/// Random bytes of the most sparing set, or `None` where no set keeps the rules.
fn least_random_bytes(
    sites: &[&Candidate],
    request: &PlanRequest<'_>,
    relaxed: Relaxed,
) -> Option<u64> {
    let random = |preference: Preference| {
        let chosen = select::select(sites, request, relaxed, preference, &Wishes::none())?;
        Some(super::assign(&chosen, request).random_bytes)
    };
    select::PREFERENCES.into_iter().filter_map(random).min()
}

/// Which rule stands in the way of sites that are all usable.
fn broken_rule(sites: &[&Candidate], request: &PlanRequest<'_>, relaxed: Relaxed) -> Refusal {
    let (k, n) = (request.threshold.k(), request.threshold.n());
    let most = request.per_zone();
    let owned = |groups: BTreeMap<&SiteName, usize>| {
        groups.into_iter().map(|(name, count)| (name.clone(), count)).collect()
    };
    let zones = owned(select::groups(sites, |site| &site.zone));
    let domains = owned(select::groups(sites, |site| &site.domain));
    if fits(sites, request, Relaxed { consent: true, ..relaxed }) {
        let released = sites.iter().filter(|site| !site.enforces_consent);
        Refusal::ConsentReach { k, n, sites: released.map(|site| site.site.clone()).collect() }
    } else if fits(sites, request, Relaxed { zone: true, ..relaxed }) {
        Refusal::ZoneLoss { k, n, most, zones }
    } else if fits(sites, request, Relaxed { domain: true, ..relaxed }) {
        Refusal::DomainReach { needed: n, domains }
    } else if fits(sites, request, Relaxed { zone: true, domain: true, ..relaxed }) {
        Refusal::ZoneAndDomain { n, most, zones, domains }
    } else {
        Refusal::TlsReach { limit: request.threshold.pads() }
    }
}

fn joined<T>(items: &[T], separator: &str, write: impl Fn(&mut String, &T)) -> String {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push_str(separator);
        }
        write(&mut text, item);
    }
    text
}

fn reasons(why: &[(SiteName, String)]) -> String {
    let list = joined(why, ", ", |text, (site, why)| {
        let _ = write!(text, "{site}: {why}");
    });
    if list.is_empty() { list } else { format!(" ({list})") }
}

fn counted(groups: &[(SiteName, usize)]) -> String {
    joined(groups, ", ", |text, (name, count)| {
        let _ = write!(text, "{name} ({count})");
    })
}

fn rooms(sites: &[(SiteName, u64)]) -> String {
    joined(sites, ", ", |text, (site, left)| {
        let _ = write!(text, "{site} has {left}");
    })
}

/// A table of what is missing where.
fn shortages(sites: &[Shortfall]) -> String {
    let width = sites.iter().map(|short| short.site.as_str().len()).fold(4, usize::max);
    let head = format!("  {:width$}  direction  {:>8}  {:>8}", "site", "needed", "missing");
    let rows = joined(sites, "\n", |text, short| {
        let way = match short.direction {
            Direction::AToB => "to it",
            Direction::BToA => "from it",
        };
        let (needed, missing) = (rounded(short.needed_bytes), rounded(short.missing_bytes()));
        let site = short.site.as_str();
        let _ = write!(text, "  {site:width$}  {way:9}  {needed:>8}  {missing:>8}");
    });
    format!("{head}\n{rows}")
}

/// One delivery for each site, larger than its worse direction is short of.
fn deliveries(sites: &[Shortfall]) -> String {
    let mut missing = BTreeMap::new();
    for short in sites {
        let most = missing.entry(&short.site).or_insert(0);
        *most = short.missing_bytes().max(*most);
    }
    let missing: Vec<_> = missing.into_iter().collect();
    joined(&missing, "\n", |text, (site, bytes)| {
        let bytes = generous(*bytes);
        let _ = write!(text, "  warifu key generate --site {site} --bytes {bytes} --courier DRIVE");
    })
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A size for people, rounded up to a whole unit.
fn rounded(bytes: u64) -> String {
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        MIB..GIB => format!("{} MiB", bytes.div_ceil(MIB)),
        _ => format!("{:.1} GiB", bytes.div_ceil(GIB / 10) as f64 / 10.0),
    }
}

/// A size to be delivered where so much is missing: a quarter more, in round figures.
fn generous(bytes: u64) -> String {
    let bytes = bytes.saturating_add(bytes / 4);
    let in_units = |unit: u64, shown: u64| bytes.div_ceil(unit) * (unit / shown);
    match bytes {
        _ if bytes <= 64 * MIB => format!("{}MiB", in_units(MIB, MIB)),
        _ if bytes <= 4 * GIB => format!("{}MiB", in_units(64 * MIB, MIB)),
        _ => format!("{}GiB", in_units(GIB, GIB)),
    }
}
