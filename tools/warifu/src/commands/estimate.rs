//! `estimate`

use super::Context;
use super::show::secrecy;
use crate::args::profile::lay_under_estimate;
use crate::args::{EstimateArgs, built_in_scheme};
use crate::exit::Ending;
use crate::size::human;
use crate::table::{Table, numbers, words};
use std::path::Path;
use warifu_vault::{Class, EstimateReport, EstimateRequest, Failure, Vault};

/// Tells what storing would take. What does not fit ends as the backup would.
pub(super) fn estimate(context: &Context, mut args: EstimateArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let profile = context.profile(&vault, args.profile.as_deref())?;
    lay_under_estimate(&mut args, &profile);
    let request = request(&vault, args)?;
    let estimate = vault.estimate(&request)?;
    let report = &estimate.report;
    context.output.answer(report, || told(report))?;
    estimate.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
}

fn request(vault: &Vault, args: EstimateArgs) -> Result<EstimateRequest, Failure> {
    if let Some(individual) = &args.individual {
        vault.individual(individual)?;
    }
    let wrong = |what: &str, next: &str| {
        Err(Failure::new(Class::Usage, "usage", what.to_owned()).next(next))
    };
    let is_stream = |path: &&std::path::PathBuf| path.as_path() == Path::new("-");
    match (args.paths.iter().filter(is_stream).count(), args.size) {
        (0, Some(_)) => return wrong("--size is for a stream", "leave --size out, or give `-`"),
        (0, None) | (1, Some(_)) => {}
        (1, None) => {
            return wrong("the length of the stream is not known", "tell it with --size");
        }
        _ => return wrong("there is one standard input", "give `-` once"),
    }
    Ok(EstimateRequest {
        paths: args.paths.iter().filter(|path| !is_stream(path)).cloned().collect(),
        stream_bytes: args.size.map(|size| size.bytes),
        compression: args.compress.unwrap_or_default(),
        pad: args.pad.unwrap_or(false),
        is_counted: args.exact,
        threshold: args.scheme.unwrap_or_else(built_in_scheme),
        overrides: args.overrides,
        pins: args.pins,
        exclusions: args.exclusions,
        is_offline: args.offline,
    })
}

fn told(report: &EstimateReport) -> String {
    let fit = report.inputs - report.inputs_refused;
    let mut text = format!("inputs      {fit} of {} fit", report.inputs);
    if report.skipped > 0 {
        text += &format!("; {} in folders are no files or can't be read", report.skipped);
    }
    text += &format!(
        "\nsize        {}, padded {}; any {} of {} rebuild\n",
        human(report.bytes),
        human(report.stored_bytes),
        report.k,
        report.n
    );
    if let (Some(class), Some(sites)) = (report.class, report.tolerates_corrupt_sites) {
        text += &format!("secrecy     {}\n", secrecy(class, sites));
    }
    text += &format!(
        "key         at most {} of links, and {} kept for restores\n",
        human(report.key_bytes),
        human(report.reserved_bytes)
    );
    text += &format!(
        "random      at most {}; {} would be left\n",
        human(report.random_bytes),
        human(report.random_bytes_left)
    );
    text += &format!("time        {}\n", time(report));
    if !report.asked_sites {
        text += "sites       not asked: all on links are taken to be there, with room\n";
    }
    for shortfall in &report.shortfalls {
        text += &format!("missing     {} in {}\n", human(shortfall.missing_bytes), shortfall.pool);
    }
    format!("{text}\n{}", sites(report))
}

fn time(report: &EstimateReport) -> String {
    match report.time.seconds {
        Some(seconds) => format!("{}, by {}", lasting(seconds), report.time.basis),
        None => report.time.basis.clone(),
    }
}

fn sites(report: &EstimateReport) -> String {
    let unknown = || "?".to_owned();
    let columns = [
        words("site"),
        words("channel"),
        numbers("shares"),
        numbers("key"),
        numbers("kept for restores"),
        numbers("sent"),
        numbers("stored"),
        numbers("time"),
        numbers("key left to"),
        numbers("from"),
        numbers("room left"),
    ];
    let key = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), human);
    Table::new(columns, &report.sites, |site| {
        [
            site.site.clone(),
            site.channel.to_owned(),
            site.shares.to_string(),
            human(site.key_bytes),
            human(site.reserved_bytes),
            human(site.sent_bytes),
            human(site.store_bytes),
            site.seconds.map_or_else(unknown, lasting),
            key(site.to_site_bytes_left),
            key(site.from_site_bytes_left),
            site.room_bytes_left.map_or_else(unknown, human),
        ]
    })
    .to_string()
}

/// A time as people say it, rounded up.
fn lasting(seconds: f64) -> String {
    let seconds = seconds.ceil().max(0.0) as u64;
    match (seconds / 86_400, seconds / 3_600, seconds / 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_two_units() {
        let cases = [
            (0.0, "0 s"),
            (0.2, "1 s"),
            (59.5, "1 min 0 s"),
            (3_700.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(lasting(seconds), text);
        }
        assert_eq!(lasting(f64::NAN), "0 s");
    }
}
