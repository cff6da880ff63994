//! `break-glass ...`

use super::audit::{create, unwritten};
use super::{Context, card};
use crate::args::BreakGlassCommand;
use crate::exit::Ending;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use warifu_vault::{Case, Class, Failure};

/// The longest case that is read, in bytes.
const CASE_BYTES_MAX: u64 = 1 << 20;

/// Runs one of them.
pub(super) fn run(context: &Context, command: BreakGlassCommand) -> Result<(), Ending> {
    match command {
        BreakGlassCommand::Request { object, reason, expires, output } => {
            let vault = context.open()?;
            let object = vault.resolve(&object)?;
            let mut file = create(&output)?;
            let opened = vault.open_case(&object, &reason, Duration::from_secs(expires));
            let opened = opened.inspect_err(|_| drop(std::fs::remove_file(&output)))?;
            let written = file.write_all(opened.case.text()?.as_bytes());
            written.and_then(|()| file.sync_all()).map_err(|error| unwritten(&output, error))?;
            for [site, why] in &opened.away {
                context.output.warn(&format!("warning: {site} drew nothing: {why}"));
            }
            answer(context, &opened.case, &output)
        }
        BreakGlassCommand::Show { case: path } => answer(context, &case(&path)?, &path),
        BreakGlassCommand::Sign { case: path, card } => {
            let mut opened = case(&path)?;
            // Whoever signs sees what.
            context.output.note(&told(&opened, &path));
            let mut card = card::open(&card)?;
            let now = jiff::Timestamp::now().as_second();
            opened.sign(card.as_mut(), u64::try_from(now).unwrap_or(0))?;
            replace(&path, &opened.text()?)?;
            answer(context, &opened, &path)
        }
    }
}

/// What these commands answer.
#[derive(Serialize)]
struct Answer<'a> {
    v: u32,
    r#type: &'static str,
    file: String,
    object: String,
    individual: String,
    requester: String,
    reason: &'a str,
    sites: Vec<&'a String>,
    signatures: usize,
}

fn answer(context: &Context, case: &Case, path: &Path) -> Result<(), Ending> {
    let statement = &case.statement;
    let answer = Answer {
        v: 1,
        r#type: "break-glass-case",
        file: path.display().to_string(),
        object: statement.object.object.to_string(),
        individual: statement.individual.to_string(),
        requester: statement.requester.to_string(),
        reason: &statement.reason,
        sites: statement.nonces.keys().collect(),
        signatures: case.signatures(),
    };
    context.output.answer(&answer, || told(case, path))
}

fn told(case: &Case, path: &Path) -> String {
    let statement = &case.statement;
    let ends = i64::try_from(statement.expires).ok();
    let ends = ends.and_then(|second| jiff::Timestamp::from_second(second).ok());
    format!(
        "case        {}\nobject      {}, of {}\nfor         {}\nreason      {}\nuntil       {}\n\
         signed by   {} officers\n",
        path.display(),
        statement.object.object,
        statement.individual,
        statement.requester,
        statement.reason,
        ends.map_or_else(|| statement.expires.to_string(), |ends| ends.to_string()),
        case.signatures()
    )
}

/// Reads a case.
pub(super) fn case(path: &Path) -> Result<Case, Failure> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(CASE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| {
        let class = match error.kind() {
            std::io::ErrorKind::NotFound => Class::NotFound,
            _ => Class::Other,
        };
        let what = format!("can't read the case {}", path.display());
        Failure::new(class, "break-glass-file", what).because(error)
    })?;
    Case::read(&text)
}

/// Replaces a file whole or not at all.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let draft = Path::new(&name);
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(draft, path)
    };
    write().map_err(|error| unwritten(path, error))
}
