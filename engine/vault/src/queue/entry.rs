//! What stands in the file of a queued backup.
//!
//! A line for the order, and one for each thing that happened since: text, each line behind its
//! own checksum. A line that is torn at the end of the file never counted. Anything else that is
//! not as it was written makes the file damaged as a whole, and is said.

use crate::config::Order;
use crate::{BackupRequest, Source};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use warifu_core::checksum::crc64;
use warifu_core::plan::Override;
use warifu_core::{IndividualId, ObjectId, SiteName};

/// The longest file that is read, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

const CHECKSUM_DIGITS: usize = 16;

/// A backup that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    /// Its own ID: that of the object is drawn when it begins.
    pub(crate) id: ObjectId,
    /// When it was asked for, in seconds since 1970.
    pub(crate) queued_unix_s: u64,
    /// Whether it is stored even where the same is stored already.
    pub(crate) again: bool,
    /// How long the file was then, in bytes.
    pub(crate) bytes: u64,
    /// What is to be done. Its source is a file, by its absolute path.
    pub(crate) request: BackupRequest,
}

/// What happened since.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Event {
    /// It is about to begin, or to go on, as this object.
    Begun(String),
    /// The operator holds it back.
    Paused,
    /// The operator lets it go on, or has it tried again.
    Released,
    /// It can't be stored as it is: a code, and why.
    Failed(String, String),
}

/// Why it is not its turn whatever key there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// The operator holds it back.
    Paused,
    /// It failed for another reason than key.
    Failed {
        /// The stable code.
        code: String,
        /// Why.
        what: String,
    },
}

/// An entry of the queue, as its file tells it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) ticket: Ticket,
    /// The objects as which it was begun, the latest last.
    pub(crate) objects: Vec<ObjectId>,
    pub(crate) held: Option<Held>,
}

/// The order on its first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u32,
    id: String,
    queued_unix_s: u64,
    again: bool,
    bytes: u64,
    /// In hexadecimal digits: a path is bytes, not text.
    path: String,
    individual: String,
    scheme: String,
    compress: String,
    pad: bool,
    label: Option<String>,
    overrides: Vec<(String, String)>,
    pins: Vec<String>,
    exclusions: Vec<String>,
}

/// A line with its checksum and end.
fn line<T: Serialize>(of: &T) -> Option<Vec<u8>> {
    let text = serde_json::to_string(of).ok()?;
    Some(format!("{:016x} {text}\n", crc64(&[text.as_bytes()])).into_bytes())
}

/// The line of something that happened.
pub(super) fn event_line(event: &Event) -> Option<Vec<u8>> {
    line(event)
}

/// The first line; `None` for what can't be queued: a stream.
pub(super) fn ticket_line(ticket: &Ticket) -> Option<Vec<u8>> {
    let request = &ticket.request;
    let Source::File(path) = &request.source else { return None };
    let names = |names: &[SiteName]| names.iter().map(ToString::to_string).collect();
    let digits = path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}"));
    line(&Written {
        v: 1,
        id: ticket.id.to_string(),
        queued_unix_s: ticket.queued_unix_s,
        again: ticket.again,
        bytes: ticket.bytes,
        path: digits.collect(),
        individual: request.individual.to_string(),
        scheme: request.threshold.to_string(),
        compress: request.compression.as_str().to_owned(),
        pad: request.pad,
        label: request.label.clone(),
        overrides: (request.overrides.iter())
            .map(|one| (one.rule.to_string(), one.reason.clone()))
            .collect(),
        pins: names(&request.pins),
        exclusions: names(&request.exclusions),
    })
}

/// Reads a whole file: the entry, and where its sound part ends. `None` where it is damaged.
pub(super) fn read(bytes: &[u8]) -> Option<(Entry, usize)> {
    let mut end = 0;
    let mut entry: Option<Entry> = None;
    while end < bytes.len() {
        let rest = &bytes[end..];
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            break;
        };
        let Some(text) = checked(&rest[..length]) else {
            // Only the last line can be one that was being written, and then what is missing of it
            // reads as zeros.
            let is_last = end + length + 1 == bytes.len() && entry.is_some();
            if is_last && rest[..length].contains(&0) {
                break;
            }
            return None;
        };
        match &mut entry {
            None => entry = Some(Entry { ticket: ticket(text)?, objects: Vec::new(), held: None }),
            Some(entry) => entry.apply(serde_json::from_str(text).ok()?)?,
        }
        end += length + 1;
    }
    entry.map(|entry| (entry, end))
}

fn checked(line: &[u8]) -> Option<&str> {
    let (digits, text) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let text = text.strip_prefix(b" ")?;
    let written = format!("{:016x}", crc64(&[text]));
    (written.as_bytes() == digits).then(|| std::str::from_utf8(text).ok())?
}

fn ticket(text: &str) -> Option<Ticket> {
    let written: Written = serde_json::from_str(text).ok()?;
    if written.v != 1 {
        return None;
    }
    let names = |names: &[String]| -> Option<Vec<SiteName>> {
        names.iter().map(|name| name.parse().ok()).collect()
    };
    let rule = |(rule, reason): &(String, String)| {
        Some(Override { rule: rule.parse().ok()?, reason: reason.clone() })
    };
    let request = BackupRequest {
        source: Source::File(PathBuf::from(OsString::from_vec(unhex(&written.path)?))),
        individual: written.individual.parse().ok()?,
        threshold: written.scheme.parse().ok()?,
        compression: written.compress.parse().ok()?,
        pad: written.pad,
        label: written.label,
        overrides: written.overrides.iter().map(rule).collect::<Option<_>>()?,
        pins: names(&written.pins)?,
        exclusions: names(&written.exclusions)?,
    };
    Some(Ticket {
        id: written.id.parse().ok()?,
        queued_unix_s: written.queued_unix_s,
        again: written.again,
        bytes: written.bytes,
        request,
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
            }
            _ => None,
        })
        .collect()
}

impl Entry {
    pub(super) fn apply(&mut self, event: Event) -> Option<()> {
        match event {
            Event::Begun(object) => self.objects.push(object.parse().ok()?),
            Event::Paused => self.held = Some(Held::Paused),
            Event::Released => self.held = None,
            Event::Failed(code, what) => self.held = Some(Held::Failed { code, what }),
        }
        Some(())
    }
}

impl Ticket {
    /// Whether another asks for just the same.
    pub(crate) fn is_same(&self, other: &BackupRequest) -> bool {
        let own = &self.request;
        own.source == other.source
            && own.individual == other.individual
            && own.threshold == other.threshold
            && own.label == other.label
            && own.overrides == other.overrides
            && own.pins == other.pins
            && own.exclusions == other.exclusions
            && own.compression == other.compression
            && own.pad == other.pad
    }

    /// Where the file lies, for people.
    pub(crate) fn path(&self) -> String {
        match &self.request.source {
            Source::File(path) => path.display().to_string(),
            Source::Stdin { .. } => "-".to_owned(),
        }
    }
}

/// What the policy orders by.
pub(crate) fn in_order(order: Order, entries: &[Entry]) -> Vec<usize> {
    let ranked = |entry: &Entry| -> (IndividualId, u64) {
        (entry.ticket.request.individual.clone(), entry.ticket.bytes)
    };
    let ranked: Vec<_> = entries.iter().map(ranked).collect();
    let ranked: Vec<_> = (ranked.iter())
        .map(|(individual, bytes)| crate::batch::Ranked { individual, bytes: *bytes })
        .collect();
    crate::batch::in_order(order, &ranked)
}
