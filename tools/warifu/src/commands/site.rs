//! `site ...`

use super::Context;
use crate::args::{AddArgs, SiteCommand};
use crate::exit::Ending;
use crate::output::versioned;
use crate::signals::until_stopped;
use crate::size::human;
use crate::table::{Table, numbers, words};
use serde::Serialize;
use warifu_vault::{NewSite, RemovedSite, SiteRow, SiteTest, WITNESS_MEANS};

/// Runs one of them.
pub(super) fn run(context: &Context, command: SiteCommand) -> Result<(), Ending> {
    match command {
        SiteCommand::Add(args) => add(context, args),
        SiteCommand::List => {
            let rows = context.open()?.sites()?;
            if rows.is_empty() {
                context.output.note("there are no sites yet: see `warifu site add`");
            }
            context.output.answer(&rows, || listed(&rows))
        }
        SiteCommand::Show { site } => {
            let row = context.open()?.site(&site)?;
            context.output.answer(&versioned(&row), || listed(std::slice::from_ref(&row)))
        }
        SiteCommand::Remove(args) => {
            let removed = context.open()?.remove_site(&args.site, args.force, args.dry_run)?;
            context.output.answer(&removed, || gone(&removed))
        }
        SiteCommand::Drain { site, undo } => {
            let row = context.open()?.drain_site(&site, !undo)?;
            context.output.answer(&versioned(&row), || drained(&row))
        }
        SiteCommand::Test { site } => {
            let report = context.open()?.test_site(&site)?;
            context.output.answer(&report, || tested(&report))
        }
        SiteCommand::Serve => serve(context),
    }
}

fn add(context: &Context, args: AddArgs) -> Result<(), Ending> {
    let new = NewSite {
        name: args.site,
        url: args.url,
        zone: args.zone,
        domain: args.domain,
        channel: args.channel,
    };
    let row = context.open()?.add_site(&new)?;
    context.output.answer(&versioned(&row), || {
        format!(
            "added site {}: zone {}, domain {}, channel {}\n",
            row.site, row.zone, row.domain, row.channel
        )
    })
}

fn gone(removed: &RemovedSite) -> String {
    let head = if removed.dry_run { "would remove" } else { "removed" };
    let lost = match removed.key_bytes_lost {
        0 => String::new(),
        bytes => format!(
            "; {} of its link's key serve nobody, unless a site of this name is added again and \
             gets new key by courier",
            human(bytes)
        ),
    };
    format!("{head} site {}{lost}\n", removed.site)
}

fn drained(row: &SiteRow) -> String {
    let site = &row.site;
    match (row.drained, row.shares) {
        (false, _) => format!("site {site} gets new shares again\n"),
        (true, 0) => format!("site {site} gets no new shares and holds none\n"),
        (true, shares) => format!(
            "site {site} gets no new shares; the {shares} it holds stay there and serve restores: \
             they can't be moved elsewhere yet\n"
        ),
    }
}

/// The sites, and what it means that one of them is the witness.
fn listed(rows: &[SiteRow]) -> String {
    let mut text = table(rows);
    for row in rows.iter().filter(|row| row.witness) {
        text += &format!("{} {WITNESS_MEANS}\n", row.site);
    }
    text
}

fn table<'a>(rows: impl IntoIterator<Item = &'a SiteRow>) -> String {
    let columns = [
        words("site"),
        words("zone"),
        words("domain"),
        words("channel"),
        numbers("shares"),
        words("link"),
        words("url"),
    ];
    Table::new(columns, rows, |row| {
        [
            row.site.clone(),
            row.zone.clone(),
            row.domain.clone(),
            row.channel.to_owned(),
            row.shares.to_string(),
            row.link.clone().unwrap_or_else(|| "none".to_owned()),
            row.url.clone(),
        ]
    })
    .to_string()
}

fn tested(report: &SiteTest) -> String {
    let room = report.room_bytes.map_or("it does not say how much".to_owned(), human);
    format!(
        "site {} answers within {:.3} s; room: {room}; key used: {}\n",
        report.site,
        report.seconds,
        human(report.key_bytes)
    )
}

/// The one line that says that a site is ready.
#[derive(Serialize)]
struct Ready {
    v: u32,
    r#type: &'static str,
    site: String,
    listen: String,
}

fn serve(context: &Context) -> Result<(), Ending> {
    let vault = context.open()?;
    let server = vault.server()?;
    let ready = Ready {
        v: 1,
        r#type: "ready",
        site: vault.name().to_string(),
        listen: server.address().to_owned(),
    };
    until_stopped(server.stopper(), || {
        let human = || format!("site {} listens on {}\n", ready.site, ready.listen);
        context.output.answer(&ready, human)?;
        Ok(server.run()?)
    })
}
