//! `forget` and `hold ...`

use super::Context;
use super::audit::{create, unwritten};
use crate::args::{ForgetArgs, HoldCommand};
use crate::exit::Ending;
use crate::table::{Table, numbers, words};
use std::io::Write;
use warifu_core::ObjectId;
use warifu_vault::{
    Failure, ForgetReport, ForgetRequest, HoldReport, HoldRow, ObjectPrefix, SignedReport, Vault,
};

/// Has all sites delete what is to be forgotten.
pub(super) fn forget(context: &Context, args: ForgetArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let objects = args.objects.iter().map(|prefix| resolved(&vault, prefix));
    let request = ForgetRequest {
        objects: objects.collect::<Result<_, _>>()?,
        individual: args.individual,
        reason: args.reason,
        lost: args.lost,
    };
    if args.dry_run {
        let report = vault.forget_dry_run(&request)?;
        return context.output.answer(&report, || forgotten(&report, true));
    }
    // Made before anything is deleted: a place that can't be written is found out in time.
    let file = args.output.as_deref().map(|path| create(path).map(|file| (path, file)));
    let file = file.transpose()?;
    let (report, signed) = vault.forget(&request)?;
    if let Some((path, mut file)) = file {
        let text = text_of(&signed)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| unwritten(path, error))?;
    }
    context.output.answer(&report, || forgotten(&report, false))?;
    report.failure().map_or(Ok(()), |failure| Err(failure.into()))
}

fn text_of(signed: &SignedReport) -> Result<String, Failure> {
    let text = serde_json::to_string(signed).map_err(|error| {
        Failure::new(warifu_vault::Class::Other, "json", "the report can't be written")
            .because(error)
    })?;
    Ok(text + "\n")
}

fn resolved(vault: &Vault, prefix: &ObjectPrefix) -> Result<ObjectId, Failure> {
    match prefix.whole() {
        Some(object) => Ok(object),
        None => vault.resolve(prefix),
    }
}

fn forgotten(report: &ForgetReport, is_dry: bool) -> String {
    let word = match (is_dry, report.is_complete) {
        (true, _) => "would be deleted",
        (false, true) => "forgotten for good",
        (false, false) => "not all of it is forgotten yet",
    };
    let count = match report.objects.len() {
        1 => "1 object".to_owned(),
        count => format!("{count} objects"),
    };
    let mut text = format!("{count}: {word}\nreason    {}\n", report.reason);
    for key in &report.key {
        let pool = key.site.as_deref().unwrap_or("random");
        text += &format!(
            "key       {pool}: {} bytes used, {} of them erased at this end\n",
            key.used_bytes, key.erased_bytes
        );
    }
    let columns = [
        words("object"),
        words("individual"),
        words("site"),
        numbers("x"),
        words("state"),
        words("at"),
        words("why"),
    ];
    let rows: Vec<_> = report
        .objects
        .iter()
        .flat_map(|object| object.shares.iter().map(move |share| (object, share)))
        .collect();
    let table = Table::new(columns, &rows, |(object, share)| {
        [
            object.object.clone(),
            object.individual.clone(),
            share.site.clone(),
            share.x.to_string(),
            share.state.to_owned(),
            share.at.clone().unwrap_or_default(),
            share.why.clone().unwrap_or_default(),
        ]
    });
    format!("{text}\n{table}")
}

/// Runs one of `hold ...`.
pub(super) fn hold(context: &Context, command: HoldCommand) -> Result<(), Ending> {
    let vault = context.open()?;
    let (object, reason, held) = match command {
        HoldCommand::List => {
            let rows = vault.holds()?;
            if rows.is_empty() {
                context.output.note("nothing is held: see `warifu hold add`");
            }
            return context.output.answer(&rows, || holds(&rows));
        }
        HoldCommand::Add { object, reason } => (object, reason, true),
        HoldCommand::Remove { object, reason } => (object, reason, false),
    };
    let report = vault.hold(&resolved(&vault, &object)?, held, &reason)?;
    for [site, why] in &report.away {
        context.output.warn(&format!(
            "warning: {site} could not be told: {why}\n  next: give the same command again when it \
             is back"
        ));
    }
    context.output.answer(&report, || told(&report))
}

fn told(report: &HoldReport) -> String {
    let word = if report.held { "held" } else { "no longer held by this vault" };
    format!("{} is {word}\nsites told  {}\n", report.object, report.sites.join(", "))
}

fn holds(rows: &[HoldRow]) -> String {
    let columns =
        [words("object"), words("individual"), words("since"), words("by"), words("reason")];
    Table::new(columns, rows, |row| {
        [
            row.object.clone(),
            row.individual.clone().unwrap_or_default(),
            row.since.clone(),
            row.by.clone(),
            row.reason.clone(),
        ]
    })
    .to_string()
}
