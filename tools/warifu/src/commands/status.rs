//! `status`

use super::Context;
use super::key::pools;
use crate::exit::Ending;
use crate::table::{Table, numbers, words};
use warifu_vault::StatusReport;

/// Above so many sets of sites that can be lost, people are not shown them all.
const SETS_SHOWN_MAX: usize = 12;

/// Tells what holds and what could be lost now.
pub(super) fn status(context: &Context) -> Result<(), Ending> {
    let report = context.open()?.status()?;
    context.output.answer(&report, || told(&report))
}

fn told(report: &StatusReport) -> String {
    let mut text = format!("objects  {}, {} degraded\n", report.objects, report.degraded);
    if report.interrupted > 0 {
        text += &format!("litter   of {} interrupted backups\n", report.interrupted);
    }
    let verified = report.oldest_verification.as_deref().unwrap_or("never");
    text += &format!("verified {verified}\n");
    text += &can_lose(report);
    let columns = [words("site"), words("zone"), numbers("shares"), words("state")];
    let sites = Table::new(columns, &report.sites, |site| {
        let state = match (site.up, &site.trouble) {
            (true, _) => "up".to_owned(),
            (false, Some(trouble)) => format!("down: {trouble}"),
            (false, None) => "down".to_owned(),
        };
        [site.site.clone(), site.zone.clone(), site.shares.to_string(), state]
    });
    format!("{text}\n{sites}\n{}", pools(&report.pools))
}

fn can_lose(report: &StatusReport) -> String {
    let sets = &report.can_lose;
    match (report.objects, sets.is_empty()) {
        (0, _) => return String::new(),
        (_, true) => return "can lose no set of sites that is known to be harmless\n".to_owned(),
        (_, false) => {}
    }
    let mut text = String::new();
    for (at, sites) in sets.iter().take(SETS_SHOWN_MAX).enumerate() {
        let head = if at == 0 { "can lose" } else { "or      " };
        text += &format!("{head} {}\n", sites.join(" and "));
    }
    if let Some(more @ 1..) = sets.len().checked_sub(SETS_SHOWN_MAX) {
        text += &format!("or       {more} more: see --json\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_lost_is_said_and_nothing_promised_without_objects() {
        let mut report = StatusReport {
            v: 1,
            sites: Vec::new(),
            can_lose: vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]],
            objects: 1,
            degraded: 0,
            oldest_verification: None,
            pools: Vec::new(),
            interrupted: 0,
        };
        assert!(told(&report).contains("\ncan lose a and b\nor       c\n"));
        report.can_lose.resize(SETS_SHOWN_MAX, vec!["d".to_owned()]);
        assert!(!told(&report).contains("more"));
        report.can_lose.resize(SETS_SHOWN_MAX + 5, vec!["e".to_owned()]);
        assert!(told(&report).contains("\nor       d\nor       5 more: see --json\n"));
        report.can_lose.clear();
        assert!(told(&report).contains("\ncan lose no set"));
        report.objects = 0;
        assert!(!told(&report).contains("can lose"));
    }
}
