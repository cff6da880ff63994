//! What is typed every day: `estimate`, `plan`, `find`, `jobs`, `status`, `explain`, `man`

use crate::size::Size;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::PathBuf;
use warifu_core::plan::Override;
use warifu_core::{IndividualId, KeyClass, SiteName, Threshold};
use warifu_vault::{Compression, ObjectPrefix};

/// `estimate`
#[derive(Args, Debug)]
pub(crate) struct EstimateArgs {
    /// Files, and folders with all files in them; `-` is a stream, whose length --size tells
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Whose they would be; it must be enrolled
    #[arg(long, value_name = "ID")]
    pub(crate) individual: Option<IndividualId>,
    /// How many shares rebuild, and how many are made [default: the profile's, else 3/5]
    #[arg(long, value_name = "K/N")]
    pub(crate) scheme: Option<Threshold>,
    /// Compress before sharing, as `backup` would [default: the profile's, else auto]
    #[arg(long, value_name = "HOW", value_parser = super::compression())]
    pub(crate) compress: Option<Compression>,
    /// Round the length up coarsely, as `backup` would
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true,
          default_missing_value = "yes", value_parser = super::yes_or_no())]
    pub(crate) pad: Option<bool>,
    /// Read what is to be compressed, to tell just how long it gets: else its length is the most
    /// that it can take
    #[arg(long)]
    pub(crate) exact: bool,
    /// Go against a placement rule (zone, domain, channel or consent), as `backup` would
    #[arg(long = "override", value_name = "RULE=REASON", value_parser = super::named_override)]
    pub(crate) overrides: Vec<Override>,
    /// This site must get a share
    #[arg(long = "pin", value_name = "SITE")]
    pub(crate) pins: Vec<SiteName>,
    /// This site must not
    #[arg(long = "exclude", value_name = "SITE")]
    pub(crate) exclusions: Vec<SiteName>,
    /// How long the stream is, or an upper bound of it
    #[arg(long)]
    pub(crate) size: Option<Size>,
    /// Defaults from this profile of config.toml; `none`: from none [env: WARIFU_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Ask no site and use no key at all: every site on a link is taken to be there, with room
    #[arg(long)]
    pub(crate) offline: bool,
}

/// `plan`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct PlanArgs {
    /// Files, and folders with all files in them
    #[arg(value_name = "PATH", group = "what")]
    pub(crate) paths: Vec<PathBuf>,
    /// A stream of so many bytes
    #[arg(long, value_name = "SIZE", group = "what", value_parser = crate::size::some_size)]
    pub(crate) bytes: Option<Size>,
    /// A table of files, as `backup` takes it
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) manifest: Option<PathBuf>,
    /// Whose they are: the rules of `[placement.individual.ID]` count then
    #[arg(long, value_name = "ID")]
    pub(crate) individual: Option<IndividualId>,
    /// The public label that they would get: the rules of `[placement.label.TEXT]` count then
    #[arg(long = "name", value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// How many shares rebuild, and how many are made [default: the profile's, else 3/5]
    #[arg(long, value_name = "K/N")]
    pub(crate) scheme: Option<Threshold>,
    /// Go against a placement rule (zone, domain, channel or consent), as `backup` would
    #[arg(long = "override", value_name = "RULE=REASON", value_parser = super::named_override)]
    pub(crate) overrides: Vec<Override>,
    /// This site must get a share
    #[arg(long = "pin", value_name = "SITE")]
    pub(crate) pins: Vec<SiteName>,
    /// This site must not
    #[arg(long = "exclude", value_name = "SITE")]
    pub(crate) exclusions: Vec<SiteName>,
    /// Say of every site why it was chosen or not
    #[arg(long)]
    pub(crate) explain: bool,
    /// Defaults from this profile of config.toml; `none`: from none [env: WARIFU_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Ask no site and use no key at all: every site on a link is taken to be there, with room
    #[arg(long)]
    pub(crate) offline: bool,
}

/// `find`
#[derive(Args, Debug)]
pub(crate) struct FindArgs {
    /// Of this individual
    #[arg(long, value_name = "ID")]
    pub(crate) individual: Option<IndividualId>,
    /// With this text in their public label. File names are inside the shares: nobody can search
    /// for them
    #[arg(long = "name", value_name = "TEXT")]
    pub(crate) label_part: Option<String>,
    /// With a share at this site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteName>,
    /// Stored on this day (UTC) or later: 2026-07-01, or a time such as 2026-07-01T12:00:00Z
    #[arg(long, value_name = "DATE", value_parser = begin)]
    pub(crate) since: Option<u64>,
    /// Stored on this day (UTC) or earlier, or before this time
    #[arg(long, value_name = "DATE", value_parser = end)]
    pub(crate) until: Option<u64>,
    /// With all shares good as last seen, or not
    #[arg(long, value_parser = PossibleValuesParser::new(["complete", "degraded"])
        .map(|state| state == "degraded"))]
    pub(crate) state: Option<bool>,
    /// Of this class
    #[arg(long, value_parser = PossibleValuesParser::new(CLASSES.map(KeyClass::as_str))
        .map(|word| class(&word)))]
    pub(crate) class: Option<KeyClass>,
    /// At most so many, the newest ones
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// With --card: what the sites hold for this card's holder, whichever gateway stored it
    #[command(flatten)]
    pub(crate) card: super::CardArgs,
}

const CLASSES: [KeyClass; 2] = [KeyClass::InformationTheoretic, KeyClass::Computational];

fn class(word: &str) -> KeyClass {
    let named = CLASSES.into_iter().find(|class| class.as_str() == word);
    named.unwrap_or(KeyClass::Computational)
}

/// `jobs ...`
#[derive(Subcommand, Debug)]
pub(crate) enum JobsCommand {
    /// List backups that run, were interrupted, or wait for key
    List,
    /// Show one of them
    Show {
        /// Its object, as `jobs list` tells it, or the first digits of it
        object: ObjectPrefix,
    },
    /// Hold a queued backup back until it is resumed
    Pause {
        /// Its ID, as `jobs list` tells it, or the first digits of it
        object: ObjectPrefix,
    },
    /// Go on with an interrupted backup of a file that has not changed; let a queued one go on that
    /// is paused, or have one tried again that failed
    Resume {
        /// Its object, as `jobs list` tells it, or the first digits of it
        object: ObjectPrefix,
    },
    /// Clear away what an interrupted backup left at its sites, and free the key kept for it; take
    /// a queued one out of the queue
    Cancel {
        /// Its object, as `jobs list` tells it, or the first digits of it
        object: ObjectPrefix,
        /// Also remove what sites hold whole of an object that can't be listed: it is lost for good
        #[arg(long)]
        force: bool,
        /// Only tell what would be cleared away
        #[arg(long)]
        dry_run: bool,
    },
}

/// `worker`
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    /// Store what key covers now, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Backups at a time [default: one for each core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) jobs: Option<u16>,
}

/// `status`
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Draw it again every few seconds until interrupted. The sites are asked every five minutes,
    /// as asking takes key
    #[arg(long)]
    pub(crate) watch: bool,
    /// Ask no site and use no key
    #[arg(long)]
    pub(crate) offline: bool,
    /// For monitoring: end with 6 when something can't be restored now or no backup can start
    #[arg(long, conflicts_with_all = ["watch", "offline"])]
    pub(crate) check: bool,
}

/// Seconds since 1970 at which a day or a time begins.
pub(super) fn begin(text: &str) -> Result<u64, DateError> {
    moment(text, Ok)
}

/// Seconds since 1970 at which a day is over, or of a time.
pub(super) fn end(text: &str) -> Result<u64, DateError> {
    moment(text, |date| date.tomorrow())
}

/// Why a text is no date.
#[derive(Debug, thiserror::Error)]
#[error("write a day such as 2026-07-01 or a time such as 2026-07-01T12:00:00Z, not before 1970")]
pub(super) struct DateError;

fn moment(text: &str, day: impl Fn(Date) -> Result<Date, jiff::Error>) -> Result<u64, DateError> {
    let time = match text.contains(['T', 't', ' ']) {
        true => text.parse::<Timestamp>().map_err(|_| DateError)?,
        false => {
            let date: Date = text.parse().map_err(|_| DateError)?;
            let zoned = day(date).and_then(|date| date.to_zoned(TimeZone::UTC));
            zoned.map_err(|_| DateError)?.timestamp()
        }
    };
    u64::try_from(time.as_second()).map_err(|_| DateError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end_and_times_are_what_they_are() {
        let day = 20_635 * 86_400;
        assert_eq!(begin("2026-07-01").unwrap(), day);
        assert_eq!(end("2026-07-01").unwrap(), day + 86_400);
        for read in [begin, end] {
            assert_eq!(read("2026-07-01T01:00:00Z").unwrap(), day + 3_600);
            assert_eq!(read("2026-07-01T01:00:00+01:00").unwrap(), day);
            for text in ["", "today", "2026-13-01", "1969-01-01", "2026-07-01T99:00:00Z", "é"] {
                assert!(read(text).is_err(), "{text}");
            }
        }
        assert!(end("9999-12-31").is_err());
    }
}
