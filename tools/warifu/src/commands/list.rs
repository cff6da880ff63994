//! `list` and `find`

use super::Context;
use crate::args::FindArgs;
use crate::exit::Ending;
use crate::size::human;
use crate::table::{Table, numbers, words};
use warifu_vault::{ObjectRow, Search};

/// Lists stored objects.
pub(super) fn list(context: &Context) -> Result<(), Ending> {
    let rows = context.open()?.objects()?;
    if rows.is_empty() {
        context.output.note("nothing is stored yet: see `warifu backup`");
    }
    context.output.answer(&rows, || table(&rows))
}

/// Lists those that fit.
pub(super) fn find(context: &Context, args: FindArgs) -> Result<(), Ending> {
    let rows = context.open()?.find(&search(args))?;
    if rows.is_empty() {
        context.output.note("nothing stored fits; file names are inside the shares, unsearchable");
    }
    context.output.answer(&rows, || table(&rows))
}

fn search(args: FindArgs) -> Search {
    Search {
        individual: args.individual,
        label_part: args.label_part,
        site: args.site,
        since_unix_s: args.since,
        before_unix_s: args.until,
        is_degraded: args.state,
        class: args.class,
        limit: args.limit,
    }
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
