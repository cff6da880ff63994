//! What someone should look at, in plain sentences, each with what to do.

use crate::doctor::{Finding, Severity, finding};
use crate::outlook::PoolOutlook;
use crate::queue::QueuedRow;
use crate::status::{SiteStatus, StatusReport, link_order};
use warifu_core::KeyClass;

/// Key that lasts fewer days than this is an alarm: a courier takes days to come.
const DAYS_LEFT_MIN: f64 = 14.0;

/// The alarms of a status, the worst first; what is said of the class of key comes last. Of
/// `beyond` objects too few good shares are left.
pub(crate) fn alarms(report: &StatusReport, beyond: usize) -> Vec<Finding> {
    let mut alarms = of_sites(report);
    alarms.extend(of_objects(report, beyond));
    alarms.extend(of_pools(&report.pools));
    alarms.extend(of_queue(report));
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
    alarms.extend(of_class(report));
    alarms
}

fn of_sites(report: &StatusReport) -> Vec<Finding> {
    let mut alarms = Vec::new();
    let down = report.sites.iter().filter(|site| site.up == Some(false));
    let witness = report.witness.as_deref();
    let trouble = |site: &SiteStatus| {
        site.trouble.clone().unwrap_or_else(|| "it does not say why".to_owned())
    };
    // Those without a link, and those that don't answer: one warning each.
    let mut told: Vec<(String, Vec<&SiteStatus>)> = Vec::new();
    for site in down {
        match told.iter_mut().find(|(_, sites)| sites[0].has_no_link() == site.has_no_link()) {
            Some((_, sites)) => sites.push(site),
            None => told.push((site.next.clone().unwrap_or_default(), vec![site])),
        }
    }
    for (next, sites) in told {
        let is_witness = |site: &&SiteStatus| witness == Some(site.site.as_str());
        let (severity, consequence) = match sites.iter().find(|site| is_witness(site)) {
            Some(site) => (
                Severity::Problem,
                format!("; {} witnesses the random pool: no backup can start", site.site),
            ),
            None => (Severity::Warning, String::new()),
        };
        let what = match sites.as_slice() {
            [site] => format!("site {} can't be used: {}", site.site, trouble(site)),
            sites if sites.iter().all(|site| site.trouble == sites[0].trouble) => {
                let names: Vec<&str> = sites.iter().map(|site| site.site.as_str()).collect();
                format!("{} can't be used: {}", names.join(", "), trouble(sites[0]))
            }
            sites => {
                let of = |site: &&SiteStatus| format!("{} ({})", site.site, trouble(site));
                let of: Vec<String> = sites.iter().map(of).collect();
                format!("{} sites can't be used: {}", sites.len(), of.join(", "))
            }
        };
        let next = match sites.as_slice() {
            [_] => next,
            [first, ..] if first.has_no_link() => link_order("SITE"),
            _ => "check that they run; see `warifu site test SITE`".to_owned(),
        };
        alarms.push(finding(severity, what + &consequence, &next));
    }
    let has_random = report.pools.iter().any(|row| row.pool.site.is_none());
    if witness.is_none() && has_random {
        alarms.push(finding(
            Severity::Warning,
            "the random pool has no witness: a copy or an older image of this vault could use \
             its numbers twice",
            "add a site on a link; the first one becomes the witness",
        ));
    }
    alarms
}

fn of_objects(report: &StatusReport, beyond: usize) -> Vec<Finding> {
    let mut alarms = Vec::new();
    if beyond > 0 {
        let what = format!("of {} fewer good shares are left than rebuild", objects(beyond));
        let next = "see `warifu find --state degraded`; what still lies at the sites may be better \
                    than it looked: try to restore";
        alarms.push(finding(Severity::Problem, what, next));
    }
    if report.degraded > 0 {
        let what = format!("of {} fewer shares are good than should be", objects(report.degraded));
        let next = "see `warifu find --state degraded`, and store them again while they restore";
        alarms.push(finding(Severity::Problem, what, next));
    }
    if report.interrupted > 0 {
        let what = match report.interrupted {
            1 => "1 backup was interrupted".to_owned(),
            many => format!("{many} backups were interrupted"),
        };
        let next = "see `warifu jobs list`; the next backup settles them too";
        alarms.push(finding(Severity::Warning, what, next));
    }
    alarms
}

fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

/// Pools that are empty, and those that won't last: one warning each, both directions together.
fn of_pools(rows: &[PoolOutlook]) -> Vec<Finding> {
    let mut alarms = Vec::new();
    let empty: Vec<&PoolOutlook> = rows.iter().filter(|row| row.free_bytes() == 0).collect();
    if !empty.is_empty() {
        let what = format!("no key is free in {}", names(&empty));
        alarms.push(finding(Severity::Problem, what, &delivery(&empty)));
    }
    let days = |row: &&PoolOutlook| row.days_left.filter(|days| *days < DAYS_LEFT_MIN);
    let short: Vec<&PoolOutlook> =
        rows.iter().filter(|row| row.free_bytes() > 0 && days(row).is_some()).collect();
    if let Some(days) = short.iter().filter_map(days).min_by(f64::total_cmp) {
        let what = format!(
            "key lasts {days:.1} days at the spend of the last month and what arrives, in {}",
            names(&short)
        );
        alarms.push(finding(Severity::Warning, what, &delivery(&short)));
    }
    alarms
}

/// What waits and never fits, what failed in the queue, and a reserve that is not whole.
fn of_queue(report: &StatusReport) -> Vec<Finding> {
    let mut alarms = Vec::new();
    let count = |state: &str| report.jobs.iter().filter(|job| job.state == state).count();
    let hopeless = report.jobs.iter().filter(|job| {
        let never = |row: &QueuedRow| row.position.is_some() && row.fits_in_seconds.is_none();
        job.queue.as_ref().is_some_and(never)
    });
    match hopeless.count() {
        0 => {}
        hopeless => {
            let what = format!(
                "{hopeless} of {} queued backups never fit at the rates at which key arrives",
                report.queued
            );
            let next = "see `warifu jobs list` for what they lack, and bring key";
            alarms.push(finding(Severity::Warning, what, next));
        }
    }
    if count("failed") > 0 {
        let what = format!("{} queued backups failed and are held back", count("failed"));
        let next = "see `warifu jobs list`; `jobs resume ID` tries one again, `jobs cancel ID` \
                    takes it out";
        alarms.push(finding(Severity::Warning, what, next));
    }
    if report.reserve_percent < 100 {
        let what = format!(
            "only {} % of the key of a restore of all that is stored is kept: not everything \
             can be restored",
            report.reserve_percent
        );
        let next = "set restore.reserve_percent = 100 in config.toml, unless that is meant";
        alarms.push(finding(Severity::Warning, what, next));
    }
    alarms
}

/// Pools by site, without their directions.
fn names(rows: &[&PoolOutlook]) -> String {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        let name = match &row.pool.site {
            Some(site) => format!("the link to {site}"),
            None => "the random pool".to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn delivery(rows: &[&PoolOutlook]) -> String {
    let mut sites: Vec<&String> = rows.iter().filter_map(|row| row.pool.site.as_ref()).collect();
    sites.dedup();
    let mut orders = Vec::new();
    match sites.as_slice() {
        [] => {}
        [site] => orders.push(link_order(site)),
        _ => orders.push(link_order("SITE")),
    }
    if sites.is_empty() || rows.iter().any(|row| row.pool.site.is_none()) {
        orders.push("warifu key generate --random --bytes SIZE".to_owned());
    }
    orders.join("; ")
}

fn of_class(report: &StatusReport) -> Option<Finding> {
    let computational = KeyClass::Computational.as_str();
    let mut of_it = report.pools.iter().filter(|row| row.pool.class == computational);
    of_it.next()?;
    let what = format!(
        "class {computational}: key came from a generator, so what is stored now is no secret for \
         ever; `key generate --from DEVICE` takes a true source"
    );
    Some(finding(Severity::Warning, what, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlook::Genomes;
    use crate::outlook::tests::pool;
    use crate::status::NO_LINK;

    fn row(name: &str, left: u64, days_left: Option<f64>) -> PoolOutlook {
        let (pool, genomes) = (pool(name, left, 0), Genomes::default());
        PoolOutlook { pool, spent_bytes_per_day: None, days_left, genomes }
    }

    fn report() -> StatusReport {
        let site = |name: &str| SiteStatus {
            site: name.to_owned(),
            zone: name.to_owned(),
            up: Some(true),
            trouble: None,
            next: None,
            shares: 1,
            room_bytes: None,
        };
        StatusReport {
            v: 1,
            sites: vec![site("a"), site("b")],
            restorable_now: Some(3),
            bring_back: None,
            can_lose: vec![vec!["a".to_owned()]],
            can_lose_enumerated: true,
            can_lose_any: Some(0),
            can_back_up: Some(true),
            no_backup_because: None,
            witness: Some("a".to_owned()),
            objects: 3,
            degraded: 0,
            oldest_verification: None,
            pools: vec![row("random", 9, None), row("a/to", 9, Some(14.0))],
            history_seconds: 0,
            interrupted: 0,
            queued: 0,
            queue_fits_in_seconds: None,
            jobs: Vec::new(),
            reserve_percent: 100,
            alarms: Vec::new(),
        }
    }

    fn told(report: &StatusReport, beyond: usize) -> Vec<(Severity, String)> {
        alarms(report, beyond).into_iter().map(|alarm| (alarm.severity, alarm.what)).collect()
    }

    #[test]
    fn nothing_wrong_is_no_alarm() {
        assert_eq!(told(&report(), 0), []);
        let unasked = StatusReport {
            sites: report().sites.into_iter().map(|s| SiteStatus { up: None, ..s }).collect(),
            ..report()
        };
        assert_eq!(told(&unasked, 0), []);
    }

    #[test]
    fn each_trouble_has_its_sentence_and_the_worst_comes_first() {
        let mut report = report();
        report.sites[0].up = Some(false);
        report.sites[1].up = Some(false);
        report.sites[1].trouble = Some("refused".to_owned());
        report.degraded = 2;
        report.interrupted = 1;
        report.pools = vec![row("random", 0, None), row("a/to", 9, Some(13.9))];
        report.pools.extend([row("a/from", 9, Some(3.2)), row("b/to", 0, None)]);
        report.pools[1].pool.class = "computational";
        let found = told(&report, 1);
        let problems = found.iter().take_while(|(severity, _)| *severity == Severity::Problem);
        assert_eq!((problems.count(), found.len()), (4, 7), "{found:#?}");
        for words in [
            "2 sites can't be used: a (it does not say why), b (refused); a witnesses",
            "no backup can start",
            "of 1 object fewer good shares are left than rebuild",
            "of 2 objects fewer shares",
            "1 backup was interrupted",
            "no key is free in the random pool, the link to b",
            "key lasts 3.2 days at the spend of the last month and what arrives, in the link to a",
        ] {
            assert!(found.iter().any(|(_, what)| what.contains(words)), "{words}: {found:#?}");
        }
        assert!(found[6].1.starts_with("class computational"), "{found:#?}");
        report.witness = None;
        assert!(told(&report, 0).iter().any(|(_, what)| what.contains("no witness")));
    }

    #[test]
    fn a_site_without_a_link_needs_a_courier_and_one_that_is_away_a_look() {
        let mut report = report();
        for (site, next) in report.sites.iter_mut().zip([link_order("a"), "look".to_owned()]) {
            (site.up, site.next) = (Some(false), Some(next));
        }
        report.sites[0].trouble = Some(NO_LINK.to_owned());
        let found = alarms(&report, 0);
        let next: Vec<&str> = found.iter().map(|alarm| alarm.next.as_str()).collect();
        assert_eq!(next, [link_order("a").as_str(), "look"]);
        report.sites[1].trouble = Some(NO_LINK.to_owned());
        let found = &alarms(&report, 0)[0];
        assert_eq!(found.next, link_order("SITE"));
        assert!(found.what.starts_with("a, b can't be used: it has no link yet"), "{found:?}");
    }
}
