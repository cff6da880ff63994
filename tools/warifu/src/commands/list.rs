//! `list` and `find`

use super::{Context, card};
use crate::args::{CardArgs, FindArgs};
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
    if args.card.card.is_some() {
        return find_by_card(context, &args.card);
    }
    let rows = context.open()?.find(&search(args))?;
    if rows.is_empty() {
        context.output.note("nothing stored fits; file names are inside the shares, unsearchable");
    }
    context.output.answer(&rows, || table(&rows))
}

/// Lists what the sites hold for a card's holder.
fn find_by_card(context: &Context, args: &CardArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let mut card = card::open(args)?;
    let (rows, silent) = vault.find_by_card(card.as_mut())?;
    for site in &silent {
        context.output.warn(&format!("warning: {site}"));
    }
    if rows.is_empty() {
        context.output.note("no site holds anything for this card's holder");
    }
    context.output.answer(&rows, || {
        let columns = [words("object"), numbers("stored"), words("scheme"), words("sites")];
        Table::new(columns, &rows, |row| {
            let sites = row.sites.join(",");
            [row.object.clone(), human(row.bytes), format!("{}/{}", row.k, row.n), sites]
        })
        .to_string()
    })
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
