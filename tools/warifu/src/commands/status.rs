//! `status`

use super::Context;
use super::jobs;
use crate::args::StatusArgs;
use crate::exit::{Ending, write_error};
use crate::output::printable_lines;
use crate::signals::Stop;
use crate::size::human;
use crate::table::{Table, numbers, words};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use warifu_vault::{Class, Failure, PoolOutlook, Severity, StatusReport, Vault};

/// Above so many sets of sites that can be lost, people are not shown them all.
const SETS_SHOWN_MAX: usize = 12;

/// How often `--watch` draws.
const DRAWN_EVERY: Duration = Duration::from_secs(3);

/// How often `--watch` asks the sites: each time takes a little key.
const ASKED_EVERY: Duration = Duration::from_secs(300);

/// How soon a signal is noticed.
const NAP: Duration = Duration::from_millis(100);

/// To the upper left corner, and what is below and right of it away.
const CLEARED: &str = "\u{1b}[H\u{1b}[J";

/// Tells what holds and what could be lost now.
pub(super) fn status(context: &Context, args: &StatusArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    if args.watch {
        return watch(context, &vault, args.offline);
    }
    let report = match args.offline {
        true => vault.status_of(vault.unasked_sites()?)?,
        false => vault.status()?,
    };
    context.output.answer(&report, || told(&report))
}

/// Draws until a signal comes, which is how it is meant to end. In JSON, one line each time.
fn watch(context: &Context, vault: &Vault, is_offline: bool) -> Result<(), Ending> {
    let output = context.output;
    if !output.json && !std::io::stdout().is_terminal() {
        return Err(Failure::new(Class::Usage, "no-terminal", "--watch draws on a terminal only")
            .next("leave --watch out, or take --json for a line of JSON every few seconds")
            .into());
    }
    let stop = Stop::install()?;
    let mut asked: Option<(Instant, _)> = None;
    while stop.signal().is_none() {
        let is_due = asked.as_ref().is_none_or(|(when, _)| when.elapsed() >= ASKED_EVERY);
        let sites = match asked.take() {
            Some((when, sites)) if !is_due => (when, sites),
            _ if is_offline => (Instant::now(), vault.unasked_sites()?),
            _ => (Instant::now(), vault.ask_sites()?),
        };
        let report = vault.status_of(sites.1.clone())?;
        match output.json {
            true => output.answer(&report, String::new)?,
            false => draw(&report, sites.0.elapsed(), is_offline)?,
        }
        asked = Some(sites);
        let drawn = Instant::now();
        while drawn.elapsed() < DRAWN_EVERY && stop.signal().is_none() {
            std::thread::sleep(NAP);
        }
    }
    if !output.json {
        write_error("\n");
    }
    Ok(())
}

fn draw(report: &StatusReport, asked_ago: Duration, is_offline: bool) -> Result<(), Failure> {
    let sites = match is_offline {
        true => "sites are not asked".to_owned(),
        false => format!("sites asked {} s ago", asked_ago.as_secs()),
    };
    let text = printable_lines(&format!("{}\n{sites}; Ctrl-C ends\n", told(report)));
    let mut stdout = std::io::stdout().lock();
    let drawn = write!(stdout, "{CLEARED}{text}").and_then(|()| stdout.flush());
    drawn.map_err(|error| {
        Failure::new(Class::Other, "stdout", "the answer can't be written to standard output")
            .because(error)
    })
}

fn told(report: &StatusReport) -> String {
    let mut text = String::new();
    for alarm in &report.alarms {
        let word = match alarm.severity {
            Severity::Ok => "note",
            Severity::Warning => "warning",
            Severity::Problem => "PROBLEM",
        };
        text += &format!("{word:<8} {}\n", alarm.what);
        if !alarm.next.is_empty() {
            text += &format!("         next: {}\n", alarm.next);
        }
    }
    if report.alarms.is_empty() {
        text += "no alarms\n";
    }
    text += &format!("\nobjects  {}, {} degraded\n", report.objects, report.degraded);
    let verified = report.oldest_verification.as_deref().unwrap_or("never");
    text += &format!("verified {verified}\n");
    text += &can_lose(report);
    text += &format!("\n{}\n{}", sites(report), pools(&report.pools));
    if !report.jobs.is_empty() {
        text += &format!("\n{}", jobs::table(&report.jobs));
    }
    text
}

fn sites(report: &StatusReport) -> String {
    let columns =
        [words("site"), words("zone"), numbers("shares"), numbers("room"), words("state")];
    let state = |up: Option<bool>| match up {
        Some(true) => "up",
        Some(false) => "DOWN",
        None => "not asked",
    };
    Table::new(columns, &report.sites, |site| {
        [
            site.site.clone(),
            site.zone.clone(),
            site.shares.to_string(),
            site.room_bytes.map_or_else(|| "?".to_owned(), human),
            state(site.up).to_owned(),
        ]
    })
    .to_string()
}

fn pools(rows: &[PoolOutlook]) -> String {
    let columns = [
        words("pool"),
        numbers("free"),
        numbers("for restores"),
        numbers("a day"),
        numbers("lasts"),
        words("class"),
    ];
    let unknown = || "?".to_owned();
    let mut rows: Vec<&PoolOutlook> = rows.iter().collect();
    rows.sort_by_key(|row| (&row.pool.site, &row.pool.pool));
    Table::new(columns, rows, |row| {
        [
            row.pool.pool.clone(),
            human(row.free_bytes()),
            human(row.pool.bytes_reserved_for_restore),
            row.spent_bytes_per_day.map_or_else(unknown, human),
            row.days_left.map_or_else(unknown, |days| format!("{days:.1} days")),
            row.pool.class.to_owned(),
        ]
    })
    .to_string()
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
    use warifu_vault::Finding;

    fn report() -> StatusReport {
        StatusReport {
            v: 1,
            sites: Vec::new(),
            can_lose: vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]],
            objects: 1,
            degraded: 0,
            oldest_verification: None,
            pools: Vec::new(),
            interrupted: 0,
            jobs: Vec::new(),
            alarms: Vec::new(),
        }
    }

    #[test]
    fn what_can_be_lost_is_said_and_nothing_promised_without_objects() {
        let mut report = report();
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

    #[test]
    fn alarms_come_first_each_with_what_to_do() {
        let mut report = report();
        assert!(told(&report).starts_with("no alarms\n"));
        let alarm = |severity, next: &str| Finding {
            severity,
            what: "w".to_owned(),
            next: next.to_owned(),
        };
        report.alarms = vec![alarm(Severity::Problem, "n"), alarm(Severity::Warning, "")];
        let text = told(&report);
        assert!(text.starts_with("PROBLEM  w\n         next: n\nwarning  w\n\nobjects"), "{text}");
    }
}
