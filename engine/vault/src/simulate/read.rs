//! From the text of a scenario to a scenario, or to all mistakes in it.

use super::fields::Fields;
use super::kinds;
use super::scenario::{
    Arrivals, Courier, DAY_S, FILE_BYTES_MAX, Failures, Loss, MONTHS_MAX, Outage, Part, QueueRule,
    Return, SCENARIO_BYTES_MAX, Scenario, SiteModel, SizeModel,
};
use crate::config::{Gathered, Mistake};
use std::collections::{BTreeMap, BTreeSet};
use toml::de::DeTable;
use warifu_core::{SiteName, Threshold};

/// Sites in a scenario, at most.
const SITES_MAX: usize = 500;
/// Outages of one site that are known beforehand, at most.
const OUTAGES_MAX: usize = 1000;
/// Key that comes at once, at most: 1 PiB.
const KEY_BYTES_MAX: u64 = 1 << 50;
/// The last day of the longest simulation.
const DAY_MAX: f64 = (MONTHS_MAX * super::MONTH_DAYS) as f64;

const PARTS: &[(&str, Part)] = &[("link", Part::Link), ("site", Part::Site)];
const CHANNELS: &[(&str, bool)] = &[("otp", false), ("local", true)];
const PATTERNS: &[(&str, bool)] = &[("poisson", true), ("fixed", false)];
const QUEUES: &[(&str, QueueRule)] = &[
    ("first-come", QueueRule::FirstCome),
    ("fairest", QueueRule::Fairest),
    ("refuse", QueueRule::Refuse),
];

/// Reads all of `text`.
pub(super) fn scenario(text: &str) -> Result<Scenario, Vec<Mistake>> {
    let mut found = Gathered { text, mistakes: Vec::new() };
    if text.len() as u64 > SCENARIO_BYTES_MAX {
        let what = format!("a scenario has at most {SCENARIO_BYTES_MAX} bytes");
        found.add(&(0..0), "", what, "leave something out".to_owned());
        return Err(found.mistakes);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let what = format!("this is no TOML: {}", error.message());
        let mend = "see toml.io for how it is written".to_owned();
        found.add(&error.span().unwrap_or(0..0), "", what, mend);
    }
    // Where the file is no TOML, what can be read of it is not judged: it may be cut short.
    let read = match found.mistakes.is_empty() {
        true => read(&mut found, &root.into_inner()),
        false => None,
    };
    let mut mistakes = found.mistakes;
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    read.filter(|_| mistakes.is_empty()).ok_or(mistakes)
}

/// Reads the top. Something may be missing from the answer where mistakes were found.
fn read<'a>(found: &mut Gathered<'_>, root: &'a DeTable<'a>) -> Option<Scenario> {
    let mut top = Fields::new(root, String::new(), 0..0);
    top.need(found, "v", kinds::whole(1, 1, "1"));
    let name = top.need(found, "name", kinds::name("\"three-cities\""));
    let title = top.get(found, "title", kinds::line("\"what it is about\"")).unwrap_or_default();
    let months = top.get(found, "months", kinds::whole(1, MONTHS_MAX, "12")).unwrap_or(12);
    let threshold = top.get(found, "scheme", kinds::scheme("\"3/5\"")).or_else(three_of_five);
    let queue = top.get(found, "queue", kinds::word(QUEUES, "\"fairest\""));
    let arrivals = match top.table(found, "arrivals") {
        Some(table) => arrivals(found, table),
        None if top.has("arrivals") => None,
        None => {
            let mend = "add a table [arrivals] with per_day and size".to_owned();
            found.add(&(0..0), "arrivals", "is missing".to_owned(), mend);
            None
        }
    };
    let restores_per_day =
        top.get(found, "restores_per_day", kinds::real(0.0, 100_000.0, "0.5")).unwrap_or(0.0);
    let tables = top.tables(found, "site", SITES_MAX);
    let spans: Vec<_> = tables.iter().map(Fields::span).collect();
    let read: Vec<_> = tables.into_iter().map(|table| site(found, table)).collect();
    let sites: Option<Vec<SiteModel>> = read.into_iter().collect();
    let sites_span = top.span_of("site");
    let scheme_span = top.span_of("scheme");
    top.end(found);
    let (threshold, sites) = (threshold?, sites?);
    twice(found, &sites, &spans);
    spread(found, &sites, threshold, &sites_span);
    let scenario = Scenario {
        name: name?.to_string(),
        title,
        months,
        threshold,
        queue: queue.unwrap_or(QueueRule::Fairest),
        arrivals: arrivals?,
        restores_per_day,
        sites,
    };
    if let Some(excess) = scenario.excess() {
        let mend = "let fewer come, or let it last for fewer months".to_owned();
        found.add(&scheme_span, "", format!("too much happens: {excess}"), mend);
    }
    Some(scenario)
}

fn three_of_five() -> Option<Threshold> {
    Threshold::new(3, 5).ok()
}

fn arrivals(found: &mut Gathered<'_>, mut table: Fields<'_>) -> Option<Arrivals> {
    let per_day = table.need(found, "per_day", kinds::real(0.0, 1e6, "2.5"));
    let is_poisson = table.get(found, "pattern", kinds::word(PATTERNS, "\"poisson\""));
    let files = table.get(found, "files", kinds::whole(1, 1000, "1")).unwrap_or(1);
    let file = |sample| kinds::bytes(1, FILE_BYTES_MAX, sample);
    let size = table.get(found, "size", file("\"20GB\""));
    let sizes = table.get(found, "sizes", kinds::sizes(1, FILE_BYTES_MAX, "[\"15GB\", \"60GB\"]"));
    let median_bytes = table.get(found, "median", file("\"20GB\""));
    let spread = table.get(found, "spread", kinds::real(1.0, 20.0, "1.5"));
    let ways = ["size", "sizes", "median"].iter().filter(|key| table.has(key)).count();
    if ways != 1 {
        let what = format!("must say how long files are in one way, and says it in {ways}");
        let mend = "write one of size, sizes, or median with spread".to_owned();
        found.add(&table.span(), "arrivals", what, mend);
    }
    if table.has("spread") && !table.has("median") {
        let what = "says nothing without a median".to_owned();
        found.add(&table.span_of("spread"), "arrivals.spread", what, "add median".to_owned());
    }
    table.end(found);
    let size = match (size, sizes, median_bytes) {
        (Some(size), _, _) => SizeModel::OneOf(vec![size]),
        (_, Some(sizes), _) => SizeModel::OneOf(sizes),
        (_, _, Some(median_bytes)) => {
            SizeModel::LogNormal { median_bytes, spread: spread.unwrap_or(1.5) }
        }
        (None, None, None) => return None,
    };
    let files = u32::try_from(files).ok()?;
    Some(Arrivals { per_day: per_day?, is_poisson: is_poisson.unwrap_or(true), files, size })
}

fn site(found: &mut Gathered<'_>, mut table: Fields<'_>) -> Option<SiteModel> {
    let name = table.need(found, "name", kinds::name("\"sendai\""));
    let zone = table.get(found, "zone", kinds::name("\"tohoku\"")).or_else(|| name.clone());
    let domain =
        table.get(found, "domain", kinds::name("\"tohoku-univ\"")).or_else(|| name.clone());
    let is_local = table.get(found, "channel", kinds::word(CHANNELS, "\"otp\"")).unwrap_or(false);
    let rates = rates(found, &mut table);
    let night = table.get(found, "night", kinds::real(0.0, 1.0, "0.5")).unwrap_or(1.0);
    let key_bytes =
        table.get(found, "key", kinds::bytes(0, KEY_BYTES_MAX, "\"500GB\"")).unwrap_or(0);
    let courier = table.table(found, "courier").and_then(|table| courier(found, table));
    let listed = table.tables(found, "outages", OUTAGES_MAX);
    let outages = listed.into_iter().filter_map(|table| outage(found, table)).collect();
    let failures = table.table(found, "failures").and_then(|table| failures(found, table));
    let loss = table.table(found, "loss").and_then(|table| loss(found, table));
    for key in ["rate", "rate_to", "rate_from", "night", "key", "courier"] {
        if is_local && table.has(key) {
            let what = "says nothing of a local site, whose shares need no key".to_owned();
            let mend = "leave it out, or leave out channel = \"local\"".to_owned();
            found.add(&table.span_of(key), &table.full(key), what, mend);
        }
    }
    table.end(found);
    Some(SiteModel {
        name: name?,
        zone: zone?,
        domain: domain?,
        is_local,
        rates_bits_per_second: rates,
        night_permille: (night * 1000.0).round() as u64,
        key_bytes,
        courier,
        outages,
        failures,
        loss,
    })
}

/// Rates to a site and from it: one rate is halved.
fn rates(found: &mut Gathered<'_>, table: &mut Fields<'_>) -> [u64; 2] {
    let both = table.get(found, "rate", kinds::rate("\"2Mbit/s\""));
    let to = table.get(found, "rate_to", kinds::rate("\"1Mbit/s\""));
    let from = table.get(found, "rate_from", kinds::rate("\"1Mbit/s\""));
    if table.has("rate") && (table.has("rate_to") || table.has("rate_from")) {
        let what = "says for both directions what rate_to and rate_from say for each".to_owned();
        let mend = "leave one of them out".to_owned();
        found.add(&table.span_of("rate"), &table.full("rate"), what, mend);
    }
    match both {
        Some(rate) => [rate / 2; 2],
        None => [to.unwrap_or(0), from.unwrap_or(0)],
    }
}

fn courier(found: &mut Gathered<'_>, mut table: Fields<'_>) -> Option<Courier> {
    let every = table.need(found, "every_days", kinds::real(1.0, DAY_MAX, "30"));
    let first = table.get(found, "first_day", kinds::real(0.0, DAY_MAX, "30")).or(every);
    let bytes = table.need(found, "bytes", kinds::bytes(1, KEY_BYTES_MAX, "\"1TB\""));
    table.end(found);
    Some(Courier { first_s: seconds(first?), every_s: seconds(every?), bytes: bytes? })
}

fn outage(found: &mut Gathered<'_>, mut table: Fields<'_>) -> Option<Outage> {
    let day = table.need(found, "day", kinds::real(0.0, DAY_MAX, "10"));
    let days = table.need(found, "days", kinds::real(0.0, DAY_MAX, "2"));
    let part = table.get(found, "of", kinds::word(PARTS, "\"link\"")).unwrap_or(Part::Link);
    table.end(found);
    let begin_s = seconds(day?);
    Some(Outage { begin_s, end_s: begin_s + seconds(days?), part })
}

fn failures(found: &mut Gathered<'_>, mut table: Fields<'_>) -> Option<Failures> {
    let per_year = table.need(found, "per_year", kinds::real(0.01, 1000.0, "6"));
    let hours = table.need(found, "hours", kinds::real(0.0, 10_000.0, "12"));
    let part = table.get(found, "of", kinds::word(PARTS, "\"link\"")).unwrap_or(Part::Link);
    table.end(found);
    Some(Failures { per_year: per_year?, hours: hours?, part })
}

fn loss(found: &mut Gathered<'_>, mut table: Fields<'_>) -> Option<Loss> {
    let day = table.need(found, "day", kinds::real(0.0, DAY_MAX, "90"));
    let back_day = table.get(found, "back_day", kinds::real(0.0, DAY_MAX, "120"));
    let key_bytes =
        table.get(found, "back_key", kinds::bytes(0, KEY_BYTES_MAX, "\"500GB\"")).unwrap_or(0);
    if let (Some(day), Some(back_day)) = (day, back_day)
        && seconds(back_day) <= seconds(day)
    {
        let what = format!("is not after day {day}, when the site is lost");
        let mend = "name a later day, or leave it out: the site stays away".to_owned();
        found.add(&table.span_of("back_day"), &table.full("back_day"), what, mend);
    }
    table.end(found);
    let back = back_day.map(|day| Return { at_s: seconds(day), key_bytes });
    Some(Loss { at_s: seconds(day?), back })
}

fn seconds(days: f64) -> u64 {
    (days * DAY_S as f64).round() as u64
}

/// Tells of sites that share a name.
fn twice(found: &mut Gathered<'_>, sites: &[SiteModel], spans: &[std::ops::Range<usize>]) {
    let mut names = BTreeSet::new();
    for (site, span) in sites.iter().zip(spans) {
        if !names.insert(&site.name) {
            let what = format!("{} is there twice", site.name);
            found.add(span, "site", what, "give each site a name of its own".to_owned());
        }
    }
}

/// Tells where no `n` of the sites keep the placement rules, whatever key there is.
fn spread(
    found: &mut Gathered<'_>,
    sites: &[SiteModel],
    threshold: Threshold,
    span: &std::ops::Range<usize>,
) {
    let (n, most) = (threshold.n(), threshold.n() - threshold.k());
    let domains = groups(sites, |site| &site.domain).len();
    let zones = groups(sites, |site| &site.zone);
    let zoned: usize = zones.values().map(|count| (*count).min(most)).sum();
    let (what, mend) = if domains < n {
        let what = format!("has {domains} domains, and {threshold} takes one for each of {n}");
        (what, "add sites in other domains, or take a scheme of fewer shares")
    } else if zoned < n {
        let what = format!(
            "has room for {zoned} shares in {} zones of at most {most}, and {threshold} makes {n}",
            zones.len()
        );
        (what, "add sites in other zones, or take a scheme that bears the loss of more")
    } else {
        return;
    };
    found.add(span, "site", what, mend.to_owned());
}

fn groups<'a>(
    sites: &'a [SiteModel],
    name: impl Fn(&'a SiteModel) -> &'a SiteName,
) -> BTreeMap<&'a SiteName, usize> {
    let mut groups = BTreeMap::new();
    sites.iter().for_each(|site| *groups.entry(name(site)).or_insert(0) += 1);
    groups
}
