//! What someone should look at, in plain sentences, each with what to do.

use crate::doctor::{Finding, Severity, finding};
use crate::outlook::PoolOutlook;
use crate::status::StatusReport;
use warifu_core::KeyClass;

/// Key that lasts fewer days than this is an alarm: a courier takes days to come.
const DAYS_LEFT_MIN: f64 = 14.0;

/// The alarms of a status, the worst first.
pub(crate) fn alarms(report: &StatusReport, witness: Option<&str>) -> Vec<Finding> {
    let mut alarms = of_sites(report, witness);
    alarms.extend(of_objects(report));
    alarms.extend(report.pools.iter().filter_map(of_pool));
    alarms.extend(of_class(report));
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
    alarms
}

fn of_sites(report: &StatusReport, witness: Option<&str>) -> Vec<Finding> {
    let mut alarms = Vec::new();
    for site in report.sites.iter().filter(|site| site.up == Some(false)) {
        let trouble = site.trouble.as_deref().unwrap_or("it does not say why");
        let is_witness = witness == Some(site.site.as_str());
        let (severity, consequence) = match is_witness {
            true => (Severity::Problem, "; it witnesses the random pool: no backup can start"),
            false => (Severity::Warning, ""),
        };
        let what = format!("site {} can't be used: {trouble}{consequence}", site.site);
        alarms.push(finding(severity, what, "check that the site runs; see `warifu site test`"));
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

fn of_objects(report: &StatusReport) -> Vec<Finding> {
    let mut alarms = Vec::new();
    if report.degraded > 0 {
        let what = format!("{} objects have fewer good shares than they should", report.degraded);
        let next = "see `warifu find --state degraded`, and store them again while they restore";
        alarms.push(finding(Severity::Problem, what, next));
    }
    if report.objects > 0 && report.can_lose.is_empty() {
        let what = "no site is known whose loss all objects would survive";
        alarms.push(finding(Severity::Problem, what, "see `warifu find --state degraded`"));
    }
    if report.interrupted > 0 {
        let what = format!("{} backups were interrupted", report.interrupted);
        let next = "see `warifu jobs list`; the next backup settles them too";
        alarms.push(finding(Severity::Warning, what, next));
    }
    alarms
}

fn of_pool(row: &PoolOutlook) -> Option<Finding> {
    let pool = &row.pool.pool;
    let next = match &row.pool.site {
        Some(site) => {
            format!("warifu key generate --site {site} --bytes SIZE --courier DRIVE")
        }
        None => "warifu key generate --random --bytes SIZE".to_owned(),
    };
    if row.free_bytes() == 0 {
        let what = format!("pool {pool} has no key that is free");
        return Some(finding(Severity::Problem, what, &next));
    }
    let days = row.days_left.filter(|days| *days < DAYS_LEFT_MIN)?;
    let what = format!("pool {pool} lasts {days:.1} days at the spend of the last month");
    Some(finding(Severity::Warning, what, &next))
}

fn of_class(report: &StatusReport) -> Option<Finding> {
    let computational = KeyClass::Computational.as_str();
    let of_it = report.pools.iter().filter(|row| row.pool.class == computational);
    let pools: Vec<&str> = of_it.map(|row| row.pool.pool.as_str()).collect();
    if pools.is_empty() {
        return None;
    }
    let what = format!(
        "what is stored now is of class {computational}: it is no secret for ever, because key of \
         {} came from a generator",
        pools.join(", ")
    );
    let next = "fill pools from a true source: `warifu key generate --from DEVICE`";
    Some(finding(Severity::Warning, what, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlook::tests::pool;
    use crate::status::SiteStatus;

    fn row(name: &str, left: u64, days_left: Option<f64>) -> PoolOutlook {
        PoolOutlook { pool: pool(name, left, 0), spent_bytes_per_day: None, days_left }
    }

    fn report() -> StatusReport {
        let site = |name: &str| SiteStatus {
            site: name.to_owned(),
            zone: name.to_owned(),
            up: Some(true),
            trouble: None,
            shares: 1,
            room_bytes: None,
        };
        StatusReport {
            v: 1,
            sites: vec![site("a"), site("b")],
            can_lose: vec![vec!["a".to_owned()]],
            objects: 3,
            degraded: 0,
            oldest_verification: None,
            pools: vec![row("random", 9, None), row("a/to", 9, Some(14.0))],
            interrupted: 0,
            jobs: Vec::new(),
            alarms: Vec::new(),
        }
    }

    fn told(report: &StatusReport, witness: Option<&str>) -> Vec<(Severity, String)> {
        alarms(report, witness).into_iter().map(|alarm| (alarm.severity, alarm.what)).collect()
    }

    #[test]
    fn nothing_wrong_is_no_alarm() {
        assert_eq!(told(&report(), Some("a")), []);
        let unasked = StatusReport {
            sites: report().sites.into_iter().map(|s| SiteStatus { up: None, ..s }).collect(),
            ..report()
        };
        assert_eq!(told(&unasked, Some("a")), []);
    }

    #[test]
    fn each_trouble_has_its_sentence_and_the_worst_comes_first() {
        let mut report = report();
        report.sites[0].up = Some(false);
        report.sites[1].up = Some(false);
        report.sites[1].trouble = Some("refused".to_owned());
        report.degraded = 2;
        report.interrupted = 1;
        report.can_lose.clear();
        report.pools = vec![row("random", 0, None), row("a/to", 9, Some(13.9))];
        report.pools[1].pool.class = "computational";
        let found = told(&report, Some("a"));
        let problems = found.iter().take_while(|(severity, _)| *severity == Severity::Problem);
        assert_eq!((problems.count(), found.len()), (4, 8), "{found:#?}");
        for words in [
            "no backup can start",
            "site b can't be used: refused",
            "2 objects have fewer",
            "no site is known",
            "1 backups were interrupted",
            "pool random has no key",
            "pool a/to lasts 13.9 days",
            "class computational",
        ] {
            assert!(found.iter().any(|(_, what)| what.contains(words)), "{words}: {found:#?}");
        }
        assert!(told(&report, None).iter().any(|(_, what)| what.contains("no witness")));
    }
}
