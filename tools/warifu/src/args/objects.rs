//! `backup` and `restore`

use crate::size::{Size, SizeError};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;
use warifu_core::plan::{Override, RuleError};
use warifu_core::{IndividualId, SiteName, Threshold};
use warifu_vault::{ByteRange, Compression, ObjectPrefix};

/// `backup`
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// Files, each of which becomes an object, or folders with all files below; a quoted pattern
    /// such as 'run/**/*.bam' is expanded; `-` is standard input
    #[arg(required_unless_present_any = ["manifest", "forget", "resume"], value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Whose they are
    #[arg(long, value_name = "ID", required_unless_present_any = ["manifest", "forget", "resume"])]
    pub(crate) individual: Option<IndividualId>,
    /// A table of files, parted by tabs; its first line names the columns: path, individual, label,
    /// scheme, compress (auto, none or zstd), pad (yes or no), in any order. Paths are relative to
    /// its folder. A field with a tab, line end or quote stands in double quotes, quotes doubled
    #[arg(long, value_name = "FILE.tsv")]
    pub(crate) manifest: Option<PathBuf>,
    /// Enrol individuals that are not known yet
    #[arg(long)]
    pub(crate) enroll: bool,
    /// How many shares rebuild, and how many are made [default: the profile's, else 3/5]
    #[arg(long, value_name = "K/N")]
    pub(crate) scheme: Option<Threshold>,
    /// A label. It is public: it stands in the catalog and at every site
    #[arg(long, value_name = "LABEL")]
    pub(crate) name: Option<String>,
    /// Go against a placement rule (zone, domain, channel or consent) for a reason, which is
    /// recorded
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
    /// Compress before sharing, which saves key: auto compresses what is not compressed already
    /// and gets shorter by a tenth [default: the profile's, else auto]
    #[arg(long, value_name = "HOW", value_parser = compression())]
    pub(crate) compress: Option<Compression>,
    /// Round the length up coarsely, by 3 % at most of what has some mebibytes, so that it says
    /// less of what is stored. What is compressed always is [default: the profile's, else no]
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true,
          default_missing_value = "yes", value_parser = yes_or_no())]
    pub(crate) pad: Option<bool>,
    /// Only tell where shares would go and what they would cost
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Inputs stored at a time [default: the profile's, else one for each core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) jobs: Option<u16>,
    /// Memory that all of it together may take [default: the profile's, else
    /// limits.memory_bytes]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Size>,
    /// Of several inputs, store those anew too that an earlier run stored and that are unchanged
    #[arg(long)]
    pub(crate) again: bool,
    /// Erase the record of what was stored, from which runs over several inputs know what to
    /// skip, and do nothing else
    #[arg(long, conflicts_with_all = ["paths", "manifest", "individual", "again"])]
    pub(crate) forget: bool,
    /// Go on with interrupted backups and begin none: with those of the PATHs, which must be there,
    /// or without PATH with all. (A backup that is given again goes on by itself.)
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) resume: bool,
    /// What key does not cover waits in a durable queue and is stored when key has arrived, also
    /// after a restart: this run goes on until all is stored. Interrupted, the rest stays queued
    /// for `warifu worker`. A file that changes while it waits is stored as it is then
    #[arg(long, conflicts_with_all = ["dry_run", "resume", "forget"])]
    pub(crate) wait: bool,
    /// Defaults from this profile of config.toml; `none`: from none [env: WARIFU_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

/// How a compression is written.
pub(crate) fn compression() -> impl TypedValueParser<Value = Compression> {
    PossibleValuesParser::new(["auto", "none", "zstd"]).try_map(|text| text.parse::<Compression>())
}

/// How a wish that a profile may have is written.
pub(crate) fn yes_or_no() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["yes", "no"]).map(|word| word == "yes")
}

/// The scheme where neither a flag nor a profile names one.
#[expect(clippy::expect_used, reason = "3 of 5 keeps 2 <= k <= n")]
pub(crate) fn built_in_scheme() -> Threshold {
    Threshold::new(3, 5).expect("3/5 is a scheme")
}

impl BackupArgs {
    /// The scheme, once the profile is laid under the flags.
    pub(crate) fn scheme(&self) -> Threshold {
        self.scheme.unwrap_or_else(built_in_scheme)
    }
}

/// `restore`
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// Its ID, as `list` tells it, or the first digits of it
    pub(crate) object: ObjectPrefix,
    /// Where the data goes; `-` is standard output [default: its own name, in this folder]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Only bytes A up to but not including B, counted from 0, such as 4096-8192 or 1GiB-1025MiB;
    /// `A-` goes to the end. Only the chunks that hold them are read. Needs -o
    #[arg(long, value_name = "A-B", value_parser = byte_range, requires = "output")]
    pub(crate) range: Option<ByteRange>,
    /// Go on where a killed or stopped restore with --resume into the same folder ended; if this
    /// one is, it leaves what it has in .warifu-restore-OBJECT.part there
    #[arg(long, conflicts_with = "range")]
    pub(crate) resume: bool,
    /// The person's consent, as `consent grant` wrote it. An object that another gateway stored is
    /// found by it alone
    #[arg(long, value_name = "FILE", requires = "card")]
    pub(crate) consent: Option<PathBuf>,
    /// By the word of officers instead, who signed this case: see `warifu break-glass`. Only the
    /// gateway that stored the object can
    #[arg(long, value_name = "CASE", conflicts_with_all = ["consent", "card"])]
    pub(crate) break_glass: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) card: super::CardArgs,
}

/// Why a text is no range.
#[derive(Debug, thiserror::Error)]
pub(super) enum RangeError {
    /// Without a dash.
    #[error("write A-B, such as 0-1MiB: B is not included; or A-, up to the end")]
    NoDash,
    /// An end that is no size.
    #[error("{0}")]
    NoSize(SizeError),
    /// Nothing lies within.
    #[error("the range is empty: B must be more than A, and is not included")]
    Empty,
}

pub(super) fn byte_range(text: &str) -> Result<ByteRange, RangeError> {
    let (from, to) = text.split_once('-').ok_or(RangeError::NoDash)?;
    let size = |text: &str| text.parse().map(|size: Size| size.bytes).map_err(RangeError::NoSize);
    let from = size(from)?;
    let to = if to.is_empty() { None } else { Some(size(to)?) };
    match to {
        Some(to) if to <= from => Err(RangeError::Empty),
        to => Ok(ByteRange { from, to }),
    }
}

/// Why a text is no override.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OverrideError {
    /// Without a reason.
    #[error("write RULE=REASON: the reason is recorded with the object")]
    NoReason,
    /// Of no rule.
    #[error("{0}")]
    NoRule(RuleError),
}

pub(crate) fn named_override(text: &str) -> Result<Override, OverrideError> {
    let (rule, reason) = text.split_once('=').ok_or(OverrideError::NoReason)?;
    let rule = rule.parse().map_err(OverrideError::NoRule)?;
    match reason.trim() {
        "" => Err(OverrideError::NoReason),
        reason => Ok(Override { rule, reason: reason.to_owned() }),
    }
}
