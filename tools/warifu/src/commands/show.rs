//! `show`

use super::Context;
use crate::exit::Ending;
use crate::size::human;
use crate::table::{Table, numbers, words};
use warifu_vault::{AttemptRow, ObjectPrefix, ShowReport};

/// Shows a stored object.
pub(super) fn show(context: &Context, object: &ObjectPrefix) -> Result<(), Ending> {
    let vault = context.open()?;
    let report = vault.object(&vault.resolve(object)?)?;
    context.output.answer(&report, || shown(&report))
}

fn shown(report: &ShowReport) -> String {
    let row = &report.row;
    let mut text = format!("object      {}\nindividual  {}\n", row.object, row.individual);
    if let Some(label) = &row.label {
        text += &format!("label       {label} (public)\n");
    }
    text += &format!("stored      {}, begun {}\n", report.committed, row.created);
    text += &format!(
        "size        {} in {} chunks; {} at all sites together, capsule of {} at each\n",
        human(row.bytes),
        report.chunks,
        human(report.kept_bytes),
        human(report.capsule_bytes)
    );
    text += &format!(
        "scheme      any {} of {} rebuild; {}; {}\n",
        row.k,
        row.n,
        row.state,
        lost(report.tolerates_lost_sites)
    );
    text += &format!("secrecy     {}\n", secrecy(row.class, row.tolerates_corrupt_sites));
    let key_bytes: u64 = report.shares.iter().map(|share| share.key_bytes).sum();
    let kept = report.shares.iter().map(|s| s.reserved_bytes + s.reserved_to_site_bytes);
    text += &format!(
        "key         {} of links and {} of the random pool used; {} kept for a restore\n",
        human(key_bytes),
        human(report.random_bytes),
        human(kept.sum())
    );
    text += &format!("audits      {} left for each share\n", report.masks);
    text += &redrawn(&report.attempts);
    for named in &report.overridden {
        text += &format!("override    {named}\n");
    }
    if let Some(warning) = &report.consent_warning {
        text += &format!("WARNING     {warning}\n");
    }
    format!("{text}\n{}", shares(report))
}

fn shares(report: &ShowReport) -> String {
    let columns = [
        words("site"),
        words("zone"),
        words("domain"),
        numbers("x"),
        words("role"),
        words("channel"),
        words("state"),
        numbers("key"),
        numbers("sent"),
        numbers("kept for restore"),
        words("receipt"),
    ];
    Table::new(columns, &report.shares, |share| {
        [
            share.site.clone(),
            share.zone.clone(),
            share.domain.clone(),
            share.x.to_string(),
            share.role.to_owned(),
            share.channel.to_owned(),
            share.state.to_owned(),
            human(share.key_bytes),
            human(share.sent_bytes),
            human(share.reserved_bytes + share.reserved_to_site_bytes),
            share.receipt.clone(),
        ]
    })
    .to_string()
}

fn lost(sites: usize) -> String {
    match sites {
        0 => "no site may be lost".to_owned(),
        1 => "any 1 site may be lost".to_owned(),
        sites => format!("any {sites} sites may be lost"),
    }
}

fn redrawn(attempts: &[AttemptRow]) -> String {
    match attempts.iter().map(|row| row.attempt).max() {
        None => String::new(),
        Some(most) => format!(
            "redrawn     {} chunks were sent again with fresh pads, at most {most} times\n",
            attempts.len()
        ),
    }
}

/// What may be said about the secrecy of an object.
pub(super) fn secrecy(class: &str, tolerates_corrupt_sites: usize) -> String {
    match tolerates_corrupt_sites {
        1 => format!("{class}; any 1 corrupt site learns nothing"),
        sites => format!("{class}; any {sites} corrupt sites together learn nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_losses_secrecy_and_attempts() {
        assert_eq!(lost(0), "no site may be lost");
        assert_eq!(lost(2), "any 2 sites may be lost");
        assert_eq!(secrecy("c", 1), "c; any 1 corrupt site learns nothing");
        assert_eq!(redrawn(&[]), "");
        let rows = [(3, 1), (4, 2)].map(|(chunk, attempt)| AttemptRow { chunk, attempt });
        assert!(redrawn(&rows).contains("2 chunks were sent again with fresh pads, at most 2"));
    }
}
