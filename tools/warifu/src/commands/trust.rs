//! `trust ...`

use super::Context;
use crate::args::TrustCommand;
use crate::exit::Ending;
use crate::output::versioned;
use crate::table::{Table, words};
use serde::Serialize;
use std::path::Path;
use warifu_vault::{AnchorRow, Class, Failure};

/// The longest certificate or list that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What taking in a list answers.
#[derive(Serialize)]
struct ListTaken {
    v: u32,
    r#type: &'static str,
    file: String,
}

/// Runs one of them.
pub(super) fn run(context: &Context, command: TrustCommand) -> Result<(), Ending> {
    let vault = context.open()?;
    match command {
        TrustCommand::Add { file, crl: true, .. } => {
            vault.trust_add_crl(&read(&file)?)?;
            let file = file.display().to_string();
            let answer = ListTaken { v: 1, r#type: "crl", file };
            context.output.answer(&answer, || format!("took in the list {}\n", answer.file))
        }
        TrustCommand::Add { file, role, .. } => {
            let row = vault.trust_add(role, &read(&file)?)?;
            if row.is_lab {
                context.output.note("this is a lab's authority: what it certifies are no cards");
            }
            context.output.answer(&versioned(&row), || table([&row]))
        }
        TrustCommand::List => {
            let rows = vault.trust_list()?;
            if rows.is_empty() {
                context.output.note("nothing is pinned here: see `warifu trust add`");
            }
            context.output.answer(&rows, || table(&rows))
        }
        TrustCommand::Remove { fingerprint } => {
            let row = vault.trust_remove(&fingerprint)?;
            context.output.answer(&versioned(&row), || format!("removed\n{}", table([&row])))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| {
        let what = format!("{} can't be read", file.display());
        Failure::new(Class::NotFound, "file-unreadable", what).because(error)
    };
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        let what = format!("{} has {bytes} bytes: no certificate has", file.display());
        return Err(Failure::new(Class::Usage, "file-too-long", what).next("give the right file"));
    }
    std::fs::read(file).map_err(unreadable)
}

fn table<'a>(rows: impl IntoIterator<Item = &'a AnchorRow>) -> String {
    let columns =
        [words("fingerprint"), words("role"), words("subject"), words("until"), words("kind")];
    Table::new(columns, rows, |row| {
        [
            row.fingerprint.chars().take(16).collect(),
            row.role.to_owned(),
            row.subject.clone(),
            row.not_after.clone(),
            if row.is_lab { "lab" } else { "" }.to_owned(),
        ]
    })
    .to_string()
}
