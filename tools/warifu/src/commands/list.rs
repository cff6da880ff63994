//! `list` and `show`

use super::Context;
use crate::exit::Ending;
use crate::size::human;
use crate::table::{Table, numbers, words};
use warifu_core::ObjectId;
use warifu_vault::{ObjectRow, ShowReport};

/// Lists stored objects.
pub(super) fn list(context: &Context) -> Result<(), Ending> {
    let rows = context.open()?.objects()?;
    if rows.is_empty() {
        context.output.note("nothing is stored yet: see `warifu backup`");
    }
    context.output.answer(&rows, || table(&rows))
}

/// Shows a stored object.
pub(super) fn show(context: &Context, object: &ObjectId) -> Result<(), Ending> {
    let report = context.open()?.object(object)?;
    context.output.answer(&report, || shown(&report))
}

fn table(rows: &[ObjectRow]) -> String {
    let columns = [
        words("object"),
        words("individual"),
        numbers("stored"),
        words("scheme"),
        words("created"),
        words("state"),
        words("class"),
        words("sites"),
        words("label"),
    ];
    Table::new(columns, rows, |row| {
        [
            row.object.clone(),
            row.individual.clone(),
            human(row.bytes),
            format!("{}/{}", row.k, row.n),
            row.created.clone(),
            row.state.to_owned(),
            row.class.to_owned(),
            row.sites.join(","),
            row.label.clone().unwrap_or_default(),
        ]
    })
    .to_string()
}

fn shown(report: &ShowReport) -> String {
    let row = &report.row;
    let mut text = format!("object      {}\nindividual  {}\n", row.object, row.individual);
    if let Some(label) = &row.label {
        text += &format!("label       {label} (public)\n");
    }
    text += &format!("created     {}\n", row.created);
    text += &format!(
        "stored      {} in {} chunks; {} at all sites together\n",
        human(row.bytes),
        report.chunks,
        human(report.kept_bytes)
    );
    text += &format!("scheme      any {} of {} rebuild; {}\n", row.k, row.n, row.state);
    text += &format!("secrecy     {}\n", secrecy(row.class, row.tolerates_corrupt_sites));
    text += &format!("audits      {} left for each share\n", report.masks);
    for named in &report.overridden {
        text += &format!("override    {named}\n");
    }
    let columns = [
        words("site"),
        numbers("x"),
        words("role"),
        words("channel"),
        words("zone"),
        words("domain"),
        words("state"),
        numbers("key"),
        numbers("reserved"),
        words("receipt"),
    ];
    let shares = Table::new(columns, &report.shares, |share| {
        [
            share.site.clone(),
            share.x.to_string(),
            share.role.to_owned(),
            share.channel.to_owned(),
            share.zone.clone(),
            share.domain.clone(),
            share.state.to_owned(),
            human(share.key_bytes),
            human(share.reserved_bytes),
            share.receipt.clone(),
        ]
    });
    format!("{text}\n{shares}")
}

/// What may be said about the secrecy of an object.
pub(super) fn secrecy(class: &str, tolerates_corrupt_sites: usize) -> String {
    match tolerates_corrupt_sites {
        1 => format!("{class}; any 1 corrupt site learns nothing"),
        sites => format!("{class}; any {sites} corrupt sites together learn nothing"),
    }
}
