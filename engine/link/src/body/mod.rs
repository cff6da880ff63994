//! The bodies that are more than bytes: what confirm, lease, release, begin, commit, stat, ping,
//! witness, offer, compare, adopt, and what cards sign say. All of it is control, none of it key or
//! share.

mod consent;
mod keys;
mod pairing;
mod shares;
mod work;

pub use consent::{Checkpoint, decode_individual, decode_reason, decode_tokens, encode_tokens};
pub use keys::{Confirm, Confirmed, Grant, Release, Witness};
pub use pairing::{Adopt, Compared, Offer, Offered, OfferedState};
pub use shares::{Attempt, Commit, HeldRun, ShareStat, UNFINISHED_ONLY};
pub use work::{
    Holder, OWN_BYTES_MAX, WORK_BYTES_MAX, WORK_BYTES_MIN, Work, decode_owned, encode_owned,
};

use crate::error::MessageError;
use crate::fields::Fields;
use crate::message::{BODY_BYTES_MAX, FAILURE_BYTES_MAX};
use warifu_core::SiteName;

/// Bytes of the body of a confirm request.
pub const CONFIRM_BYTES: usize = 128;
/// Bytes of the body of its answer.
pub const CONFIRMED_BYTES: usize = 120;
/// Bytes of a range in a body.
pub const RANGE_BYTES: usize = 16;
/// Most ranges that one release names. Whoever has more lets the rest go unused.
pub const RELEASED_RANGES_MAX: usize = 4096;
/// Bytes that a keep request's frame keeps after the content: blind block, receipt key.
pub const KEEP_FOOT_BYTES: usize = 32;
/// Bytes of a commit's body before its list.
pub const COMMIT_HEAD_BYTES: usize = 8;
/// Bytes of one attempt in a commit.
pub const ATTEMPT_BYTES: usize = 12;
/// Most attempts that one commit names.
pub const ATTEMPTS_MAX: usize = (BODY_BYTES_MAX - COMMIT_HEAD_BYTES) / ATTEMPT_BYTES;
/// Bytes of one run of slots in the answer to begin.
pub const HELD_RUN_BYTES: usize = 24;
/// Most runs in one answer to begin.
pub const HELD_RUNS_MAX: usize = BODY_BYTES_MAX / HELD_RUN_BYTES;
/// Bytes of one share in the answer to stat.
pub const SHARE_STAT_BYTES: usize = 44;
/// Most shares in one answer to stat.
pub const SHARE_STATS_MAX: usize = BODY_BYTES_MAX / SHARE_STAT_BYTES;
/// Most names in one offer of delivered keys.
pub const OFFERED_NAMES_MAX: usize = 65_535;
/// Bytes of an offer with one name.
pub const OFFER_BYTES_MIN: usize = 32;
/// Bytes of an offer with as many names as there may be.
pub const OFFER_BYTES_MAX: usize = 16 + OFFERED_NAMES_MAX * 16;
/// Bytes of the answer to an offer before its text.
pub const OFFERED_HEAD_BYTES: usize = 24;
/// Bytes of the answer to an offer with the longest text.
pub const OFFERED_BYTES_MAX: usize = OFFERED_HEAD_BYTES + FAILURE_BYTES_MAX;
/// Bytes of key that the frame of a compare request keeps: two secrets of a hash.
pub const COMPARE_KEY_BYTES: usize = 32;
/// Bytes of an adopt request, and of the answer to compare.
pub const ADOPT_BYTES: usize = 24;
/// Longest statement of a card in bytes.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Most statements that one request carries.
pub const TOKENS_MAX: usize = 8;
/// Bytes of as many statements as there may be, and of what stands between them.
pub const TOKENS_BYTES_MAX: usize = TOKENS_MAX * TOKEN_BYTES_MAX + TOKENS_MAX - 1;
/// Bytes of a nonce for a card to sign.
pub const NONCE_BYTES: usize = 32;
/// Bytes of the name of a restore or search.
pub const SESSION_BYTES: usize = 16;
/// Most shares in one answer to find.
pub const FOUND_MAX: usize = 256;
/// Longest name of an individual in bytes.
pub const INDIVIDUAL_BYTES_MAX: usize = 64;
/// Bytes of a signed head of an audit log.
pub const CHECKPOINT_BYTES: usize = 144;
/// Most checkpoints in one answer.
pub const CHECKPOINTS_MAX: usize = 64;
/// Longest reason in bytes that is given for something that people will ask about.
pub const REASON_BYTES_MAX: usize = 1024;
/// Most sites that hold shares of one object.
pub const HOLDERS_MAX: usize = 255;
/// Most chunks that one piece of work is about.
pub const WORK_CHUNKS_MAX: u32 = 8;
/// Bytes of the name of a piece of work.
pub const WORK_ID_BYTES: usize = 16;
/// Longest site name in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Reads the body of the answer to ping: the site's name.
///
/// # Errors
/// Where it is no name of a site.
pub fn decode_site_name(body: &[u8]) -> Result<SiteName, MessageError> {
    let malformed = MessageError::Malformed { field: "site name" };
    if body.len() > NAME_BYTES_MAX {
        return Err(malformed);
    }
    let name = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
    name.ok_or(malformed)
}

/// The body of a failure: as much of `text` as fits, cut between characters.
#[must_use]
pub fn failure_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(FAILURE_BYTES_MAX)]
}

/// Reads the body of a failure.
///
/// # Errors
/// Where it is longer than [`FAILURE_BYTES_MAX`], or no UTF-8.
pub fn decode_failure_text(body: &[u8]) -> Result<&str, MessageError> {
    if body.len() > FAILURE_BYTES_MAX {
        return Err(MessageError::Size { what: "a failure's text", bytes: body.len() });
    }
    std::str::from_utf8(body).map_err(|_| MessageError::Malformed { field: "failure text" })
}

fn put_u32(target: &mut Vec<u8>, number: u32) {
    target.extend_from_slice(&number.to_le_bytes());
}

fn put_u64(target: &mut Vec<u8>, number: u64) {
    target.extend_from_slice(&number.to_le_bytes());
}

/// Reads with `read` and refuses what is left over.
fn whole<'a, T>(
    what: &'static str,
    body: &'a [u8],
    read: impl FnOnce(&mut Fields<'a>) -> Result<T, MessageError>,
) -> Result<T, MessageError> {
    let mut fields = Fields::of(body);
    let value = read(&mut fields)?;
    match fields.is_empty() {
        true => Ok(value),
        false => Err(MessageError::Size { what, bytes: body.len() }),
    }
}

/// The records of a list of whole records, at most `count_max`.
fn records<'a>(
    what: &'static str,
    list: &'a [u8],
    record_bytes: usize,
    count_max: usize,
) -> Result<impl Iterator<Item = Fields<'a>>, MessageError> {
    if !list.len().is_multiple_of(record_bytes) || list.len() / record_bytes > count_max {
        return Err(MessageError::Size { what, bytes: list.len() });
    }
    Ok(list.chunks_exact(record_bytes).map(Fields::of))
}
