//! `status`

use super::Context;
use super::jobs;
use super::key::FREE_MEANS;
use crate::args::{StatusArgs, built_in_scheme};
use crate::exit::{Ending, write_error};
use crate::output::printable_lines;
use crate::signals::Stop;
use crate::size::human;
use crate::table::{Table, numbers, words};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use warifu_vault::{
    BringBack, Class, Failure, NextBackup, PoolOutlook, Severity, StatusReport, Vault,
    WITNESS_MEANS,
};

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

/// Longer than this is not foretold: nobody knows what will be spent then. In days.
const DAYS_TOLD_MAX: f64 = 3650.0;

/// Tells what holds and what could be lost now.
pub(super) fn status(context: &Context, args: &StatusArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let next = next_backup(context, &vault);
    if args.watch {
        return watch(context, &vault, &next, args.offline);
    }
    let sites = if args.offline { vault.unasked_sites()? } else { vault.ask_sites()? };
    let report = vault.status_of(sites, &next)?;
    context.output.answer(&report, || told(&report))?;
    if args.check { Ok(verdict(&report)?) } else { Ok(()) }
}

/// What a backup without flags would ask for. A profile with mistakes is no reason to tell nothing.
fn next_backup(context: &Context, vault: &Vault) -> NextBackup {
    let profile = context.profile(vault, None).unwrap_or_default();
    NextBackup {
        threshold: profile.scheme.unwrap_or_else(built_in_scheme),
        pins: profile.pin.unwrap_or_default(),
        exclusions: profile.exclude.unwrap_or_default(),
    }
}

/// For monitoring: whether all can be restored now and a backup can start.
fn verdict(report: &StatusReport) -> Result<(), Failure> {
    let missing = report.restorable_now.map_or(0, |now| report.objects.saturating_sub(now));
    let what = match (missing, &report.no_backup_because) {
        (0, None) => return Ok(()),
        (0, Some(why)) => format!("no backup can start: {why}"),
        (missing, _) => {
            format!("of {} objects, {missing} can't be restored now", report.objects)
        }
    };
    Err(Failure::new(Class::Temporary, "status-check", what)
        .next("see what `warifu status` says, and bring back what is away"))
}

/// Draws until a signal comes, which is how it is meant to end. In JSON, one line each time.
fn watch(
    context: &Context,
    vault: &Vault,
    next: &NextBackup,
    is_offline: bool,
) -> Result<(), Ending> {
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
        let report = vault.status_of(sites.1.clone(), next)?;
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
    let mut text = now(report) + &backups(report) + &can_lose(report);
    text += &format!("objects  {}, {} degraded\n\n", report.objects, report.degraded);
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
    text += &format!("\n{}", sites(report));
    if let Some(witness) = &report.witness {
        text += &format!("{witness} {WITNESS_MEANS}\n");
    }
    text += &format!("\n{}{FREE_MEANS}\n", pools(&report.pools));
    let foretold = report.pools.iter().any(|row| row.days_left.is_some());
    if !foretold && report.objects > 0 {
        let seen = span(report.history_seconds);
        text += &format!("lasts: told from 7 days of history on; there are {seen}\n");
    }
    if !report.jobs.is_empty() {
        text += &format!("\n{}", jobs::table(&report.jobs));
    }
    text
}

/// What can be restored now.
fn now(report: &StatusReport) -> String {
    let all = report.objects;
    match (all, report.restorable_now) {
        (0, _) => "NOW      nothing is stored\n".to_owned(),
        (_, None) => format!("NOW      {all} objects; sites were not asked: taken as up\n"),
        (_, Some(some)) => {
            let down: Vec<&str> = report
                .sites
                .iter()
                .filter(|site| site.up == Some(false))
                .map(|site| site.site.as_str())
                .collect();
            let verb = if down.len() == 1 { "is" } else { "are" };
            let is_told = |back: &BringBack| back.of == down;
            let back = report.bring_back.as_ref().map(|back| bring_back(back, is_told(back)));
            let back = back.unwrap_or_default();
            let down = match down.as_slice() {
                [] => String::new(),
                names => format!(" ({} {verb} down)", names.join(", ")),
            };
            format!("NOW      {some} of {all} objects can be restored{down}{back}\n")
        }
    }
}

/// What to bring back; whether the names were told just before.
fn bring_back(back: &BringBack, is_told: bool) -> String {
    match (back.any == back.of.len(), back.of.as_slice()) {
        (true, [one]) => format!(": bring back {one}"),
        (true, all) => format!(": bring back all of {}", all.join(", ")),
        (false, _) if is_told => format!(": bring back any {}", back.any),
        (false, _) => format!(": bring back any {} of {}", back.any, back.of.join(", ")),
    }
}

fn backups(report: &StatusReport) -> String {
    match (&report.no_backup_because, report.can_back_up) {
        (Some(why), _) => format!("backups  can't start: {why}\n"),
        (None, Some(true)) => "backups  can start\n".to_owned(),
        (None, _) => "backups  can start if the sites are up: they were not asked\n".to_owned(),
    }
}

/// A length of time, roughly.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

fn days(days: f64) -> String {
    if days > DAYS_TOLD_MAX { "more than 10 years".to_owned() } else { format!("{days:.1} days") }
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
            row.days_left.map_or_else(unknown, days),
            row.pool.class.to_owned(),
        ]
    })
    .to_string()
}

/// What could go besides what is down.
fn can_lose(report: &StatusReport) -> String {
    let Some(any) = report.can_lose_any else { return String::new() };
    let sets = &report.can_lose;
    let count = |sites| if sites == 1 { "1 site".to_owned() } else { format!("{sites} sites") };
    let is_down = report.sites.iter().any(|site| site.up == Some(false));
    let besides = if is_down { " besides" } else { "" };
    match (any, sets.is_empty()) {
        (0, true) if !report.can_lose_enumerated => {
            return "can lose not just any site; which, is not worked out for so many\n".to_owned();
        }
        (0, true) => return format!("can lose no site{besides}\n"),
        _ if sets.iter().all(|sites| sites.len() == any) => {
            return format!("can lose any {}{besides}\n", count(any));
        }
        _ => {}
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
    use warifu_vault::{Finding, SiteStatus};

    fn site(name: &str, up: Option<bool>) -> SiteStatus {
        let site = name.to_owned();
        SiteStatus {
            zone: site.clone(),
            site,
            up,
            trouble: None,
            next: None,
            shares: 1,
            room_bytes: None,
        }
    }

    fn report() -> StatusReport {
        StatusReport {
            v: 1,
            sites: ["a", "b", "c"].map(|name| site(name, Some(true))).into(),
            restorable_now: Some(1),
            bring_back: None,
            can_lose: vec![vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]],
            can_lose_enumerated: true,
            can_lose_any: Some(1),
            can_back_up: Some(true),
            no_backup_because: None,
            witness: Some("a".to_owned()),
            objects: 1,
            degraded: 0,
            oldest_verification: None,
            pools: Vec::new(),
            history_seconds: 200,
            interrupted: 0,
            queued: 0,
            queue_fits_in_seconds: None,
            jobs: Vec::new(),
            reserve_percent: 100,
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
        report.can_lose = ["a", "b", "c"].map(|site| vec![site.to_owned()]).into();
        assert!(told(&report).contains("\ncan lose any 1 site\n"));
        report.can_lose.clear();
        report.can_lose_any = Some(2);
        assert!(told(&report).contains("\ncan lose any 2 sites\n"), "as with many sites");
        report.can_lose_any = Some(0);
        assert!(told(&report).contains("\ncan lose no site\n"));
        report.can_lose_enumerated = false;
        assert!(!told(&report).contains("no site\n"), "it is not known");
        (report.can_lose_any, report.objects) = (None, 0);
        assert!(!told(&report).contains("can lose"));
        assert!(told(&report).starts_with("NOW      nothing is stored\n"));
    }

    #[test]
    fn what_can_be_done_now_comes_first() {
        let mut report = report();
        assert!(told(&report).starts_with("NOW      1 of 1 objects can be restored\nbackups  can"));
        assert!(verdict(&report).is_ok());
        for at in [1, 2] {
            report.sites[at].up = Some(false);
        }
        (report.restorable_now, report.objects) = (Some(0), 84);
        report.bring_back = Some(BringBack { any: 1, of: vec!["b".to_owned(), "c".to_owned()] });
        (report.can_lose, report.can_lose_any) = (Vec::new(), Some(0));
        report.no_backup_because = Some("2/3 needs 3 sites, 1 answers".to_owned());
        let text = told(&report);
        let head = "NOW      0 of 84 objects can be restored (b, c are down): bring back any 1\n\
                    backups  can't start: 2/3 needs 3 sites, 1 answers\n\
                    can lose no site besides\n";
        assert!(text.starts_with(head), "{text}");
        let failure = verdict(&report).unwrap_err();
        assert_eq!(failure.class().exit_code(), 6);
        assert!(failure.to_string().contains("84 can't be restored"), "{failure}");
        report.restorable_now = Some(84);
        assert!(verdict(&report).unwrap_err().to_string().contains("needs 3 sites"));
        let back = |any, of: &[&str]| {
            let of = of.iter().map(|site| (*site).to_owned()).collect();
            bring_back(&BringBack { any, of }, false)
        };
        assert_eq!(back(1, &["b"]), ": bring back b");
        assert_eq!(back(1, &["b", "c"]), ": bring back any 1 of b, c");
        assert_eq!(back(2, &["b", "c"]), ": bring back all of b, c");
    }

    #[test]
    fn nothing_is_foretold_from_minutes_and_never_centuries() {
        let text = told(&report());
        assert!(text.contains("\nlasts: told from 7 days of history on; there are 3 minutes\n"));
        assert_eq!((days(13.94), days(3651.0)), ("13.9 days".into(), "more than 10 years".into()));
        assert_eq!([1, 3_600, 172_800].map(span), ["1 second", "1 hour", "2 days"]);
    }

    #[test]
    fn alarms_follow_each_with_what_to_do() {
        let mut report = report();
        assert!(told(&report).contains("\n\nno alarms\n\n"));
        let alarm = |severity, next: &str| Finding {
            severity,
            what: "w".to_owned(),
            next: next.to_owned(),
            temporary: false,
        };
        report.alarms = vec![alarm(Severity::Problem, "n"), alarm(Severity::Warning, "")];
        let text = told(&report);
        assert!(text.contains("\n\nPROBLEM  w\n         next: n\nwarning  w\n\n"), "{text}");
        assert!(text.contains("\na witnesses the random pool: while it is away"), "{text}");
    }
}
