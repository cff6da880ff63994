//! `backup` and `restore`

use crate::size::Size;
use clap::Args;
use std::path::PathBuf;
use warifu_core::plan::{Override, RuleError};
use warifu_core::{IndividualId, ObjectId, SiteName, Threshold};

/// `backup`
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// Files, each of which becomes an object; `-` is standard input
    #[arg(required_unless_present = "resume", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Whose they are
    #[arg(long, value_name = "ID", required_unless_present = "resume")]
    pub(crate) individual: Option<IndividualId>,
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
    /// Go on with interrupted backups and begin none: with those of the PATHs, which must be there,
    /// or without PATH with all. (A backup that is given again goes on by itself.)
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) resume: bool,
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
