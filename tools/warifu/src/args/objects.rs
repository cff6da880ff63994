//! `backup` and `restore`

use crate::size::Size;
use clap::Args;
use std::path::PathBuf;
use warifu_core::plan::{Override, RuleError};
use warifu_core::{IndividualId, ObjectId, SiteName, Threshold};

/// `backup`
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// Files, each of which becomes an object, or folders with all files below; a quoted pattern
    /// such as 'run/**/*.bam' is expanded; `-` is standard input
    #[arg(required_unless_present_any = ["manifest", "forget"], value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Whose they are
    #[arg(long, value_name = "ID", required_unless_present_any = ["manifest", "forget"])]
    pub(crate) individual: Option<IndividualId>,
    /// A table of files, parted by tabs; its first line names the columns: path, individual, label,
    /// scheme, in any order. Paths are relative to its folder. A field with a tab, line end or
    /// quote stands in double quotes, quotes doubled
    #[arg(long, value_name = "FILE.tsv")]
    pub(crate) manifest: Option<PathBuf>,
    /// Enrol individuals that are not known yet
    #[arg(long)]
    pub(crate) enroll: bool,
    /// How many shares rebuild, and how many are made
    #[arg(long, value_name = "K/N", default_value = "3/5")]
    pub(crate) scheme: Threshold,
    /// A label. It is public: it stands in the catalog and at every site
    #[arg(long, value_name = "LABEL")]
    pub(crate) name: Option<String>,
    /// Go against a placement rule (zone, domain or channel) for a reason, which is recorded
    #[arg(long = "override", value_name = "RULE=REASON", value_parser = named_override)]
    pub(crate) overrides: Vec<Override>,
    /// This site must get a share
    #[arg(long = "pin", value_name = "SITE")]
    pub(crate) pins: Vec<SiteName>,
    /// This site must not
    #[arg(long = "exclude", value_name = "SITE")]
    pub(crate) exclusions: Vec<SiteName>,
    /// How long standard input is, or an upper bound of it
    #[arg(long)]
    pub(crate) size: Option<Size>,
    /// Only tell where shares would go and what they would cost
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Inputs stored at a time [default: one for each core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) jobs: Option<u16>,
    /// Memory that all of it together may take [default: limits.memory_bytes]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Size>,
    /// Of several inputs, store those anew too that an earlier run stored and that are unchanged
    #[arg(long)]
    pub(crate) again: bool,
    /// Erase the record of what runs over several inputs have stored, and do nothing else
    #[arg(long, conflicts_with_all = ["paths", "manifest", "individual", "dry_run", "again"])]
    pub(crate) forget: bool,
}

/// `restore`
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// Its ID, as `list` tells it
    pub(crate) object: ObjectId,
    /// Where the data goes; `-` is standard output [default: its own name, in this folder]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

/// Why a text is no override.
#[derive(Debug, thiserror::Error)]
enum OverrideError {
    /// Without a reason.
    #[error("write RULE=REASON: the reason is recorded with the object")]
    NoReason,
    /// Of no rule.
    #[error("{0}")]
    NoRule(RuleError),
}

fn named_override(text: &str) -> Result<Override, OverrideError> {
    let (rule, reason) = text.split_once('=').ok_or(OverrideError::NoReason)?;
    let rule = rule.parse().map_err(OverrideError::NoRule)?;
    match reason.trim() {
        "" => Err(OverrideError::NoReason),
        reason => Ok(Override { rule, reason: reason.to_owned() }),
    }
}
