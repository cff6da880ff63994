//! `audit ...`, `hold ...`, `forget`, `break-glass ...`

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use warifu_core::{IndividualId, SiteName};
use warifu_vault::ObjectPrefix;

/// `audit ...`
#[derive(Subcommand, Debug)]
pub(crate) enum AuditCommand {
    /// Show who did what, when, of whom, and with which result
    Show(AuditShowArgs),
    /// Check that no entry was changed, moved, removed or cut off, also by what sites have seen
    Verify(AuditVerifyArgs),
    /// Write the whole log to a file or standard output
    Export(AuditExportArgs),
}

/// `audit show`
#[derive(Args, Debug)]
pub(crate) struct AuditShowArgs {
    /// Entries of this individual's record: restores, consents, break-glass and all else
    #[arg(long, value_name = "ID")]
    pub(crate) individual: Option<IndividualId>,
    /// Entries of this object
    #[arg(long, value_name = "OBJECT")]
    pub(crate) object: Option<ObjectPrefix>,
    /// Entries of this kind, such as restore or forget
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Entries with this result, such as refused
    #[arg(long, value_name = "RESULT")]
    pub(crate) result: Option<String>,
    /// Entries since this day or time, such as 2026-03-01 or 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = super::daily::begin)]
    pub(crate) since: Option<u64>,
    /// Entries up to this time, or the end of this day
    #[arg(long, value_name = "TIME", value_parser = super::daily::end)]
    pub(crate) until: Option<u64>,
    /// At most so many, the latest
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// `audit verify`
#[derive(Args, Debug)]
pub(crate) struct AuditVerifyArgs {
    /// Exported logs or signed reports to check instead; no vault is needed for that
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Compare this vault's log with the checkpoints in a file that another vault gave, by
    /// `audit export --held`, or in an earlier export of this log
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    pub(crate) against: Vec<PathBuf>,
    /// Don't ask the sites for the checkpoints that they hold
    #[arg(long, conflicts_with = "files")]
    pub(crate) offline: bool,
}

/// `audit export`
#[derive(Args, Debug)]
pub(crate) struct AuditExportArgs {
    /// Where to; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
    /// jsonl: lines of JSON and a signature, which `audit verify FILE` checks; csv: a table
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub(crate) format: ExportFormat,
    /// Not this vault's log, but the checkpoints that it holds of the vault or site NAME: with them
    /// `audit verify --against` finds out there whether the end was cut off
    #[arg(long, value_name = "NAME", conflicts_with = "format")]
    pub(crate) held: Option<SiteName>,
}

/// How a log is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExportFormat {
    Jsonl,
    Csv,
}

/// `hold ...`
#[derive(Subcommand, Debug)]
pub(crate) enum HoldCommand {
    /// Keep an object from being forgotten, here and at its sites
    Add {
        /// Its ID, or at a gateway the first digits of it
        object: ObjectPrefix,
        /// Why: it is recorded, here and at the sites
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Lift a hold that was laid at this vault
    Remove {
        /// Its ID, or at a gateway the first digits of it
        object: ObjectPrefix,
        /// Why: it is recorded, here and at the sites
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// List holds
    List,
}

/// `forget`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct ForgetArgs {
    /// Objects: their IDs, or the first digits of them
    #[arg(value_name = "OBJECT", group = "which")]
    pub(crate) objects: Vec<ObjectPrefix>,
    /// All objects of this individual
    #[arg(long, value_name = "ID", group = "which")]
    pub(crate) individual: Option<IndividualId>,
    /// Why: it is recorded, here and at the sites
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// This site will never answer: what it had counts as gone, by your word, which is recorded
    #[arg(long = "lost", value_name = "SITE")]
    pub(crate) lost: Vec<SiteName>,
    /// Write the report, signed, into this file; `audit verify FILE` checks it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only tell what would be deleted
    #[arg(long, conflicts_with = "output")]
    pub(crate) dry_run: bool,
}

/// `break-glass ...`
#[derive(Subcommand, Debug)]
pub(crate) enum BreakGlassCommand {
    /// Open a case for an object that this gateway stored: sites draw for it, and officers have ten
    /// minutes to sign. No other gateway can use it
    Request {
        /// Its ID, as `list` tells it, or the first digits of it
        object: ObjectPrefix,
        /// Why: officers sign it, and it stands in every log and in the person's record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long sites let the object be read, at most 24h
        #[arg(long, value_name = "DURATION", value_parser = super::consent::duration_s,
              default_value = "1h")]
        expires: u64,
        /// Where the case goes
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Show a case: what it is for, and how many have signed
    Show {
        /// Its file
        case: PathBuf,
    },
    /// Sign a case with an officer's card; the file holds the signature afterwards
    Sign {
        /// Its file
        case: PathBuf,
        #[command(flatten)]
        card: super::CardArgs,
    },
}
