//! `restore`

use super::Context;
use crate::args::RestoreArgs;
use crate::exit::Ending;
use crate::progress::watched;
use crate::signals::Stop;
use crate::size::{human, human_rate};
use std::path::Path;
use warifu_vault::{Output, RestoreReport, RestoreRequest, Watch};

/// Gets an object back. What it says goes to standard error where the data goes to standard
/// output.
pub(super) fn restore(context: &Context, args: RestoreArgs) -> Result<(), Ending> {
    let output = match args.output {
        None => Output::OwnName,
        Some(path) if path == Path::new("-") => Output::Stdout,
        Some(path) => Output::Path(path),
    };
    let is_aside = matches!(output, Output::Stdout);
    let vault = context.open()?;
    let stop = Stop::install()?;
    let request = RestoreRequest { object: args.object, output };
    let work = |watch: Watch<'_>| vault.restore(&request, watch);
    let report = watched(context.output, &stop, &args.object.to_string()[..8], work)?;
    if !context.output.json {
        for rejected in &report.rejected {
            context.output.warn(&format!(
                "warning: the share at site {} was set aside at chunk {}: {}",
                rejected.site, rejected.chunk, rejected.reason
            ));
        }
    }
    match is_aside {
        true => context.output.answer_aside(&report, || restored(&report)),
        false => context.output.answer(&report, || restored(&report)),
    }
}

fn restored(report: &RestoreReport) -> String {
    let rate = report.bytes as f64 / report.seconds.max(1e-9);
    let mut text = format!("object      {}\n", report.object);
    if let Some(output) = &report.output {
        text += &format!("restored    {output}\n");
    }
    text += &format!(
        "bytes       {}, in {:.1} s, {}\n",
        human(report.bytes),
        report.seconds,
        human_rate(rate)
    );
    text += &format!("sites       {}\n", report.sites.join(", "));
    text += &format!("key         {}\n", human(report.key_bytes));
    text
}
