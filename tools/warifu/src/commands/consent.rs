//! `consent ...`

use super::{Context, card};
use crate::args::{ConsentCommand, GrantArgs, RequestArgs, RevokeArgs, TermsArgs};
use crate::exit::Ending;
use crate::output::versioned;
use crate::table::{Table, words};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use warifu_core::ObjectId;
use warifu_vault::{Class, ConsentRow, ConsentTerms, Failure, ObjectPrefix, Terms, Vault};

/// The longest file of a consent or request that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Runs one of them.
pub(super) fn run(context: &Context, command: ConsentCommand) -> Result<(), Ending> {
    match command {
        ConsentCommand::Request(args) => request(context, &args),
        ConsentCommand::Grant(args) => grant(context, &args),
        ConsentCommand::List => list(context),
        ConsentCommand::Verify { file } => verify(context, &file),
        ConsentCommand::Revoke(args) => revoke(context, &args),
        ConsentCommand::AcceptSilence { hours, reason } => silence(context, hours, &reason),
    }
}

fn silence(context: &Context, hours: u32, reason: &str) -> Result<(), Ending> {
    let row = context.open()?.accept_silence(hours, reason)?;
    context.output.answer(&versioned(&row), || {
        format!("until {} silence is accepted here: {}\n", row.until, row.reason)
    })
}

/// What `consent request` answers.
#[derive(Serialize)]
struct Requested<'a> {
    v: u32,
    r#type: &'static str,
    file: String,
    #[serde(flatten)]
    terms: &'a Terms,
}

fn request(context: &Context, args: &RequestArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let terms = terms(&vault, &args.objects, &args.terms)?;
    let json = serde_json::to_string_pretty(&terms).map_err(|error| {
        Failure::new(Class::Other, "json", "the request can't be written as JSON").because(error)
    })?;
    write_new(&args.output, &format!("{json}\n"))?;
    let file = args.output.display().to_string();
    let answer = Requested { v: 1, r#type: "consent-request", file, terms: &terms };
    context.output.answer(&answer, || {
        format!(
            "wrote {}\nthe person agrees with `warifu consent grant --request {} --card CARD`\n",
            answer.file, answer.file
        )
    })
}

fn grant(context: &Context, args: &GrantArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let terms = match &args.request {
        Some(file) => serde_json::from_str(&read(file)?).map_err(|error| {
            let what = format!("{} is no request for a consent", file.display());
            Failure::new(Class::Usage, "consent-request", what)
                .because(error)
                .next("give a file that `warifu consent request` wrote")
        })?,
        None => terms(&vault, &args.objects, &args.terms)?,
    };
    let wanted = ConsentTerms { terms, is_as_given: args.as_given };
    let mut card = card::open(&args.card)?;
    expect_new(&args.output)?;
    let granted = vault.grant_consent(&wanted, card.as_mut())?;
    write_new(&args.output, &format!("{}\n", granted.token))?;
    context.output.answer(&versioned(&granted), || told(&granted.row))
}

fn list(context: &Context) -> Result<(), Ending> {
    let rows = context.open()?.consent_list()?;
    if rows.is_empty() {
        context.output.note("nobody agreed to anything here yet: see `warifu consent grant`");
    }
    context.output.answer(&rows, || table(&rows))
}

fn verify(context: &Context, file: &Path) -> Result<(), Ending> {
    let row = context.open()?.verify_consent(&token(file)?)?;
    context.output.answer(&versioned(&row), || told(&row))
}

/// What `consent revoke` answers.
#[derive(Serialize)]
struct Revoked {
    v: u32,
    r#type: &'static str,
    told: Vec<String>,
    to_be_told: Vec<String>,
}

fn revoke(context: &Context, args: &RevokeArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let named = match &args.consent {
        Some(named) if Path::new(named).is_file() => Some(token(Path::new(named))?),
        Some(named) => Some(vault.consent_token(named)?),
        None => None,
    };
    let mut card = card::open(&args.card)?;
    let (told, to_be_told) =
        vault.revoke_consent(named.as_deref(), args.all_of.as_ref(), card.as_mut())?;
    let names = |sites: Vec<warifu_core::SiteName>| sites.iter().map(ToString::to_string).collect();
    let answer =
        Revoked { v: 1, r#type: "revoked", told: names(told), to_be_told: names(to_be_told) };
    context.output.answer(&answer, || {
        let mut text = match answer.told.is_empty() {
            true => "revoked here; no site knows yet\n".to_owned(),
            false => format!("revoked; these sites know: {}\n", answer.told.join(", ")),
        };
        if !answer.to_be_told.is_empty() {
            let later = answer.to_be_told.join(", ");
            text += &format!("these are told when they are next reached: {later}\n");
        }
        text
    })
}

fn terms(vault: &Vault, objects: &[ObjectPrefix], args: &TermsArgs) -> Result<Terms, Failure> {
    let missing = || Failure::new(Class::Usage, "usage", "the terms of the consent are missing");
    let objects = objects.iter().map(|object| vault.resolve(object));
    let objects: Vec<ObjectId> = objects.collect::<Result<_, _>>()?;
    Ok(Terms {
        requester: args.requester.as_ref().ok_or_else(missing)?.to_string(),
        objects: objects.iter().map(ToString::to_string).collect(),
        individual: args.individual.as_ref().map(ToString::to_string),
        purpose: args.purpose.clone().ok_or_else(missing)?,
        not_before_unix_s: args.from,
        holds_s: args.expires.ok_or_else(missing)?,
        range: args.range.map(|range| (range.from, range.to)),
        single_use: args.single_use,
    })
}

/// The statement in a file.
pub(super) fn token(file: &Path) -> Result<String, Failure> {
    Ok(read(file)?.trim().to_owned())
}

pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        let what = format!("{} can't be read", file.display());
        Failure::new(Class::NotFound, "file-unreadable", what).because(error)
    };
    let bytes = fs::metadata(file).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        let what = format!("{} has {bytes} bytes: what is signed has far fewer", file.display());
        return Err(Failure::new(Class::Usage, "file-too-long", what).next("give the right file"));
    }
    fs::read_to_string(file).map_err(unreadable)
}

fn expect_new(file: &Path) -> Result<(), Failure> {
    match file.symlink_metadata() {
        Ok(_) => Err(taken(file)),
        Err(_) => Ok(()),
    }
}

fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        target.write_all(text.as_bytes())?;
        target.sync_all()
    };
    write().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(file),
        _ => {
            let what = format!("{} can't be written", file.display());
            Failure::new(Class::Other, "output", what).because(error)
        }
    })
}

fn taken(file: &Path) -> Failure {
    let what = format!("{} is there already, and is not replaced", file.display());
    Failure::new(Class::Usage, "file-exists", what).next("name another file with -o")
}

fn told(row: &ConsentRow) -> String {
    let mut text = format!(
        "consent     {}\nindividual  {}\nrequester   {}\npurpose     {}\n\
         holds       {} to {} ({})\n",
        row.consent,
        row.individual,
        row.requester,
        row.purpose,
        row.not_before,
        row.expires,
        row.state
    );
    for (object, ranges) in row.objects.iter().zip(&row.stored_ranges) {
        text += &format!("object      {object}{}\n", told_ranges(ranges.as_deref()));
    }
    if row.single_use {
        text += "serves      one restore only\n";
    }
    match row.trusted_here {
        Some(true) => text += "signed      under a certificate that is pinned here\n",
        Some(false) => text += "signed      under no certificate that is pinned here\n",
        None => {}
    }
    text
}

fn told_ranges(ranges: Option<&[[u64; 2]]>) -> String {
    let Some(ranges) = ranges else { return String::new() };
    let told: Vec<String> = ranges.iter().map(|[from, to]| format!("{from}-{to}")).collect();
    format!(" (stored bytes {})", told.join(", "))
}

fn table(rows: &[ConsentRow]) -> String {
    let columns = [
        words("consent"),
        words("individual"),
        words("requester"),
        words("state"),
        words("expires"),
        words("objects"),
        words("purpose"),
    ];
    Table::new(columns, rows, |row| {
        [
            row.consent.clone(),
            row.individual.clone(),
            row.requester.clone(),
            row.state.to_owned(),
            row.expires.clone(),
            row.objects.join(","),
            row.purpose.clone(),
        ]
    })
    .to_string()
}
