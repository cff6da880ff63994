//! `key fetch`, and how it has gone.

use super::Context;
use crate::args::FetchArgs;
use crate::exit::Ending;
use crate::progress::watched;
use crate::signals::Stop;
use crate::size::human;
use crate::table::{Table, numbers, words};
use std::time::Duration;
use warifu_vault::{FetchGoal, FetchReport, FetchRequest, PoolRow};

/// Runs it.
pub(super) fn fetch(context: &Context, args: FetchArgs) -> Result<(), Ending> {
    let goal = match args.bytes {
        Some(bytes) => FetchGoal::Bytes(bytes.bytes),
        None => FetchGoal::Watermark(args.watermark.map(|mark| mark.bytes)),
    };
    let request = FetchRequest {
        sites: args.sites,
        goal,
        follow: args.follow,
        patience: Duration::from_secs(args.patience),
        accept_mismatch: args.accept_mismatch,
    };
    let vault = context.open()?;
    let stop = Stop::install()?;
    let report = watched(context.output, &stop, "key", |watch| vault.fetch(&request, watch))?;
    context.output.answer(&report, || fetched(&report))?;
    match report.failure {
        Some(failure) => Err(stop.ending(failure)),
        None => Ok(()),
    }
}

fn fetched(report: &FetchReport) -> String {
    let columns = [
        words("site"),
        words("source"),
        numbers("key"),
        numbers("segments"),
        numbers("lost"),
        words("state"),
    ];
    Table::new(columns, &report.sites, |row| {
        [
            row.site.clone(),
            row.source.clone(),
            human(row.bytes),
            row.segments.to_string(),
            row.segments_lost.to_string(),
            row.error.clone().unwrap_or_else(|| "done".to_owned()),
        ]
    })
    .to_string()
}

/// How the KMEs have done, a line for each link that has one.
pub(super) fn states(rows: &[PoolRow]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.pool.ends_with("/to")) {
        let (Some(state), Some(site)) = (&row.source_state, &row.site) else { continue };
        let came = human(state.arrived_bytes);
        text += &format!("{site}: {came} from {} in {} segments", state.source, state.segments);
        let counts = [
            (state.names_refused, "keys came twice"),
            (state.answers_refused, "answers refused"),
            (state.segments_lost, "segments lost"),
            (state.mismatches, "segments differed"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("; {count} {what}");
        }
        if state.is_stopped() {
            text += "; STOPPED: the two ends got different key";
        } else if let Some(error) = &state.error {
            text += &format!("; now: {error}");
        }
        text.push('\n');
    }
    text
}
