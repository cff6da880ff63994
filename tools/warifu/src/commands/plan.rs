//! `plan`

use super::Context;
use crate::args::profile::{lay_under_plan, treatment};
use crate::args::{PlanArgs, built_in_scheme};
use crate::exit::Ending;
use crate::size::human;
use crate::table::{Table, numbers, words};
use warifu_vault::{EstimateRequest, PlacementReport, PlacementRequest, about};

/// Tells where shares would go. What does not fit ends as the backup would.
pub(super) fn plan(context: &Context, mut args: PlanArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let profile = context.profile(&vault, args.profile.as_deref())?;
    lay_under_plan(&mut args, &profile);
    let (compression, pad) = treatment(&profile);
    let request = PlacementRequest {
        inputs: EstimateRequest {
            paths: args.paths,
            stream_bytes: args.bytes.map(|size| size.bytes),
            compression,
            pad,
            is_counted: false,
            threshold: args.scheme.unwrap_or_else(built_in_scheme),
            overrides: args.overrides,
            pins: args.pins,
            exclusions: args.exclusions,
            is_offline: args.offline,
        },
        manifest: args.manifest,
        individual: args.individual,
        label: args.label,
    };
    let placement = vault.placement(&request)?;
    let report = &placement.report;
    context.output.answer(report, || told(report, args.explain))?;
    placement.refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
}

fn told(report: &PlacementReport, is_explained: bool) -> String {
    let mut text = format!("inputs      {} of {} fit", report.inputs_fitting, report.inputs);
    if report.skipped > 0 {
        text += &format!("; {} more can't be read or aren't files", report.skipped);
    }
    if report.stored_before > 0 {
        text += &format!("; {} more are stored already", report.stored_before);
    }
    if report.inputs_waiting > 0 {
        text += &format!("\nwaiting     {}", waits(report));
    }
    let which = match (report.inputs, report.shares.is_empty()) {
        (1, _) => "",
        (_, true) => " is the first that does not fit",
        (_, false) => " is the largest, shown here",
    };
    text += &format!(
        "\nobject      {}{which}; any {} of {} rebuild\n",
        human(report.shown_bytes),
        report.k,
        report.n
    );
    let most = report.max_per_zone.map(|most| format!(", {most} in a zone at most"));
    text += &format!("policy      {}{}\n", report.policy, most.unwrap_or_default());
    text += &format!(
        "random      at most {}; {} would be left\n",
        human(report.random_bytes),
        human(report.random_bytes_left)
    );
    text += &format!("after that  {}\n", more(report));
    if !report.asked_sites {
        text += "sites       not asked: all on links are taken to be there, with room\n";
    }
    if !report.shares.is_empty() {
        text += &format!("\n{}", shares(report));
    }
    if is_explained || report.inputs > 1 {
        text += &format!("\n{}", sites(report));
    }
    if is_explained {
        text += &format!("\n{}", reasons(report));
    }
    text
}

/// When what does not fit now will.
fn waits(report: &PlacementReport) -> String {
    let when = match (report.shown_fits_in_seconds, report.all_fit_in_seconds) {
        (Some(first), Some(all)) => {
            format!("the first fits in {}, all in {}", about(first), about(all))
        }
        (Some(first), None) => {
            format!("the first fits in {}, not all at these rates", about(first))
        }
        (None, _) => "not at the rates at which key arrives".to_owned(),
    };
    format!("{}: {when}", report.inputs_waiting)
}

fn more(report: &PlacementReport) -> String {
    let count = match report.fits_more {
        0 => "no more of this size fits".to_owned(),
        1 => "1 more of this size fits".to_owned(),
        count => format!("{count} more of this size fit"),
    };
    match report.fits_days {
        Some(days) if report.fits_more > 0 => {
            format!("{count} without new key: {days:.1} days at the mean so far")
        }
        _ => format!("{count} without new key"),
    }
}

fn key(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), human)
}

/// Where the shares of one object go.
fn shares(report: &PlacementReport) -> String {
    let columns = [
        numbers("x"),
        words("site"),
        words("zone"),
        words("domain"),
        words("role"),
        words("channel"),
        numbers("key to"),
        numbers("from"),
    ];
    Table::new(columns, &report.shares, |share| {
        [
            share.x.to_string(),
            share.site.clone(),
            share.zone.clone(),
            share.domain.clone(),
            share.role.to_owned(),
            share.channel.to_owned(),
            human(share.to_site_bytes),
            human(share.from_site_bytes),
        ]
    })
    .to_string()
}

/// What it leaves at every site.
fn sites(report: &PlacementReport) -> String {
    let columns = [
        words("site"),
        numbers("shares"),
        numbers("key to"),
        numbers("from"),
        numbers("left to"),
        numbers("from"),
    ];
    Table::new(columns, &report.sites, |site| {
        [
            site.site.clone(),
            site.shares.to_string(),
            key(site.to_site_bytes_now),
            key(site.from_site_bytes_now),
            key(site.to_site_bytes_left),
            key(site.from_site_bytes_left),
        ]
    })
    .to_string()
}

/// Why each site was chosen or not.
fn reasons(report: &PlacementReport) -> String {
    let columns = [
        words("site"),
        words("zone"),
        words("domain"),
        numbers("rank"),
        numbers("could take"),
        words("why"),
    ];
    Table::new(columns, &report.sites, |site| {
        [
            site.site.clone(),
            site.zone.clone(),
            site.domain.clone(),
            site.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
            site.shares_fit.map_or_else(|| "any".to_owned(), |shares| shares.to_string()),
            site.why.clone(),
        ]
    })
    .to_string()
}
