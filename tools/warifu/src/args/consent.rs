//! `consent ...` and `trust ...`

use super::CardArgs;
use super::daily::begin;
use super::objects::byte_range;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use warifu_consent::trust::Role;
use warifu_core::{IndividualId, SiteName};
use warifu_vault::{ByteRange, ObjectPrefix, SILENCE_HOURS_MAX};

/// `consent ...`
#[derive(Subcommand, Debug)]
pub(crate) enum ConsentCommand {
    /// Write down what a person is asked to agree to, for `consent grant --request`
    Request(RequestArgs),
    /// Have a person's card agree
    Grant(GrantArgs),
    /// List the consents that were given here
    List,
    /// Check a consent against what is pinned here, without asking any site
    Verify {
        /// Its file
        file: PathBuf,
    },
    /// Take a consent back: at once at every site in reach, at the others when they are
    Revoke(RevokeArgs),
    /// At a site: go on to release for a while, though nobody tells it of revocations
    AcceptSilence {
        /// For so many hours, 744 at most; 0 ends what was accepted before
        #[arg(long, value_name = "H",
              value_parser = clap::value_parser!(u32).range(..=i64::from(SILENCE_HOURS_MAX)))]
        hours: u32,
        /// Why: it stands in the site's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// What a consent says.
#[derive(Args, Clone, Debug)]
pub(crate) struct TermsArgs {
    /// Who may have the objects: the name under which the sites know that gateway
    #[arg(long, value_name = "NAME", required_unless_present = "request")]
    pub(crate) requester: Option<SiteName>,
    /// What for. It is public: it stands in the consent and in the sites' logs
    #[arg(long, value_name = "TEXT", required_unless_present = "request")]
    pub(crate) purpose: Option<String>,
    /// For how long it holds: 90m, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration_s,
          required_unless_present = "request")]
    pub(crate) expires: Option<u64>,
    /// From when it holds (UTC): 2026-07-01, or 2026-07-01T12:00:00Z [default: from now on]
    #[arg(long, value_name = "DATE", value_parser = begin)]
    pub(crate) from: Option<u64>,
    /// Only bytes A up to but not including B, counted from 0, such as 0-4MiB; `A-` goes to the
    /// end. It is rounded out to the MiB in which they are stored
    #[arg(long, value_name = "A-B", value_parser = byte_range)]
    pub(crate) range: Option<ByteRange>,
    /// It serves one restore only
    #[arg(long)]
    pub(crate) single_use: bool,
    /// Whose the objects are; needed where they are not known here
    #[arg(long, value_name = "ID")]
    pub(crate) individual: Option<IndividualId>,
}

/// `consent request`
#[derive(Args, Debug)]
pub(crate) struct RequestArgs {
    /// The objects, by their IDs or the first digits of them
    #[arg(required = true, value_name = "OBJECT")]
    pub(crate) objects: Vec<ObjectPrefix>,
    #[command(flatten)]
    pub(crate) terms: TermsArgs,
    // Only there so that the terms can say when they are not needed.
    #[arg(long, hide = true)]
    pub(crate) request: Option<PathBuf>,
    /// Where the request goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `consent grant`
#[derive(Args, Debug)]
pub(crate) struct GrantArgs {
    /// The objects, by their IDs or the first digits of them. Those that are not known here are
    /// looked for at the sites, by the card
    #[arg(value_name = "OBJECT", required_unless_present = "request")]
    pub(crate) objects: Vec<ObjectPrefix>,
    #[command(flatten)]
    pub(crate) terms: TermsArgs,
    /// Agree to what this request says
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "objects", "requester", "purpose", "expires", "from", "range", "single_use", "individual",
    ])]
    pub(crate) request: Option<PathBuf>,
    /// The objects are known not to be compressed, so that a range of them can be told
    #[arg(long)]
    pub(crate) as_given: bool,
    /// Where the consent goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) card: CardArgs,
}

/// `consent revoke`
#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// Its ID, as `consent list` tells it, the first digits of it, or its file
    #[arg(value_name = "CONSENT", required_unless_present = "all_of")]
    pub(crate) consent: Option<String>,
    /// All that this individual agreed to so far
    #[arg(long, value_name = "ID", conflicts_with = "consent")]
    pub(crate) all_of: Option<IndividualId>,
    #[command(flatten)]
    pub(crate) card: CardArgs,
}

/// `trust ...`
#[derive(Subcommand, Debug)]
pub(crate) enum TrustCommand {
    /// Pin a certificate, or take in a list of those that its authority took back
    Add {
        /// The certificate, or with --crl the list
        file: PathBuf,
        /// What for: card-ca, registrar or officer
        #[arg(long, default_value = "card-ca")]
        role: Role,
        /// It is a list of revoked certificates, signed by a pinned authority
        #[arg(long, conflicts_with = "role")]
        crl: bool,
    },
    /// List what is pinned
    List,
    /// Take trust back
    Remove {
        /// The certificate's fingerprint, as `trust list` tells it, or the first digits of it
        fingerprint: String,
    },
}

/// Why a text is no duration.
#[derive(Debug, thiserror::Error)]
#[error("write a number with s, m, h or d, such as 90m, 24h or 7d: 1 s to 10 years")]
pub(crate) struct DurationError;

/// The longest that anybody may agree to, in seconds.
const DURATION_S_MAX: u64 = 3653 * 86_400;

pub(super) fn duration_s(text: &str) -> Result<u64, DurationError> {
    let unit = text.chars().last().ok_or(DurationError)?;
    let unit_s = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(DurationError),
    };
    let number = &text[..text.len() - 1];
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = number.parse().ok().filter(|_| is_number).ok_or(DurationError)?;
    let seconds = count.checked_mul(unit_s).filter(|all| (1..=DURATION_S_MAX).contains(all));
    seconds.ok_or(DurationError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, seconds) in [("1s", 1), ("90m", 5400), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(duration_s(text).ok(), Some(seconds), "{text}");
        }
        for text in ["", "h", "24", "-1h", "+1h", "1.5h", "1w", "0s", "99999999999d", "1é"] {
            assert!(duration_s(text).is_err(), "{text}");
        }
    }
}
