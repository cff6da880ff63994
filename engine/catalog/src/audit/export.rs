//! An audit log as a file that carries its own proof: the lines as they are chained, one after the
//! other, and a last line with where the log stood, signed by its vault.
//!
//! ```text
//! {"at":1000,"event":{...},"kind":"backup","sequence":0}
//! {"at":1003,"event":{...},"kind":"restore","sequence":1}
//! {"at":1009,"chain":"..","entries":2,"public_key":"..","signature":"..","type":"checkpoint","v":1}
//! ```
//!
//! Whoever has the file can check it without the vault. An edit, a removal, a swap or a cut changes
//! the chain, and only the vault's key signs another.

use super::{AuditHead, EVENT_BYTES_MAX, KIND_BYTES_MAX, chained, is_head_signed};
use serde_json::{Map, Value, json};
use std::io::{self, BufRead};

/// The longest line: an event at its longest, escaped anew, and what stands around it.
const LINE_BYTES_MAX: usize = 6 * (EVENT_BYTES_MAX + KIND_BYTES_MAX) + 256;

/// What an exported log was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exported {
    /// Where the log stood.
    pub head: AuditHead,
    /// When it was exported, in seconds since 1970 UTC.
    pub at_unix_s: u64,
    /// The key that signed: compare it with the vault's.
    pub public_key: [u8; 32],
    /// The signature over where it stood.
    pub signature: [u8; 64],
}

/// Why an exported log does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A line that none is.
    #[error("line {line} is not one of an audit log: {why}")]
    Line {
        /// Which one, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The lines are not those whose chain was signed.
    #[error("the lines are not those that were signed: one was changed, moved, added or removed")]
    Chain,
    /// The signature is not that of the key.
    #[error("the last line is not signed by the key in it")]
    Signature,
    /// It ends without the signed line.
    #[error("the end is cut off: the signed last line is missing")]
    CutOff,
    /// It can't be read.
    #[error("the file can't be read")]
    Io(#[source] io::Error),
}

/// The last line of an exported log.
#[must_use]
pub fn checkpoint_line(exported: &Exported) -> String {
    json!({
        "at": exported.at_unix_s,
        "chain": hex(&exported.head.chain),
        "entries": exported.head.entries,
        "public_key": hex(&exported.public_key),
        "signature": hex(&exported.signature),
        "type": "checkpoint",
        "v": 1,
    })
    .to_string()
}

/// Reads a line as [`checkpoint_line`] writes it. Whether the signature is right is not looked at.
#[must_use]
pub fn read_checkpoint_line(line: &str) -> Option<Exported> {
    let found = checkpoint(&serde_json::from_str(line).ok()?)?;
    // Written in one way only.
    (checkpoint_line(&found) == line).then_some(found)
}

/// Reads an exported log through and checks it. What it says is not believed further than that.
///
/// # Errors
/// What is wrong with it, and where.
pub fn verify_export(mut source: impl BufRead) -> Result<Exported, ExportError> {
    let mut at = AuditHead { entries: 0, chain: [0; 32] };
    let mut ended = None;
    let mut number = 0;
    let mut bytes = Vec::new();
    while next_line(&mut source, &mut bytes, number + 1)? {
        number += 1;
        let wrong = |why| ExportError::Line { line: number, why };
        if ended.is_some() {
            return Err(wrong("it stands below the signed last line"));
        }
        let text = str::from_utf8(&bytes).map_err(|_| wrong("it is no text"))?;
        let line: Value = serde_json::from_str(text).map_err(|_| wrong("it is no JSON"))?;
        if line.get("type").is_some() {
            ended = Some(read_checkpoint_line(text).ok_or_else(|| wrong("it is no checkpoint"))?);
            continue;
        }
        if !is_entry(&line, at.entries) {
            return Err(wrong("it is no entry, or not the one of this place"));
        }
        at = AuditHead { entries: at.entries + 1, chain: chained(&at.chain, text) };
    }
    let ended = ended.ok_or(ExportError::CutOff)?;
    if ended.head != at {
        return Err(ExportError::Chain);
    }
    match is_head_signed(&ended.head, ended.at_unix_s, &ended.signature, &ended.public_key) {
        true => Ok(ended),
        false => Err(ExportError::Signature),
    }
}

/// Reads up to the next line end. False at the end of the file.
fn next_line(
    source: &mut impl BufRead,
    bytes: &mut Vec<u8>,
    line: u64,
) -> Result<bool, ExportError> {
    bytes.clear();
    let mut bounded = io::Read::take(source, LINE_BYTES_MAX as u64 + 1);
    let read = bounded.read_until(b'\n', bytes).map_err(ExportError::Io)?;
    match bytes.pop() {
        None => return Ok(false),
        Some(b'\n') => {}
        Some(_) if read > LINE_BYTES_MAX => {
            return Err(ExportError::Line { line, why: "it is longer than any" });
        }
        Some(_) => return Err(ExportError::CutOff),
    }
    Ok(true)
}

fn is_entry(line: &Value, sequence: u64) -> bool {
    let Some(fields) = line.as_object() else { return false };
    fields.len() == 4
        && fields.get("sequence").and_then(Value::as_u64) == Some(sequence)
        && fields.get("at").is_some_and(Value::is_u64)
        && fields.get("kind").is_some_and(Value::is_string)
        && fields.contains_key("event")
}

fn checkpoint(line: &Value) -> Option<Exported> {
    let fields = line.as_object().filter(|fields| fields.len() == 7)?;
    let is_one = fields.get("type")?.as_str()? == "checkpoint" && fields.get("v")?.as_u64()? == 1;
    is_one.then_some(())?;
    Some(Exported {
        head: AuditHead {
            entries: fields.get("entries")?.as_u64()?,
            chain: unhex(fields, "chain")?,
        },
        at_unix_s: fields.get("at")?.as_u64()?,
        public_key: unhex(fields, "public_key")?,
        signature: unhex(fields, "signature")?,
    })
}

/// Bytes in hexadecimal digits, as all of these files write them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes from hexadecimal digits, in small letters.
#[must_use]
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn unhex<const N: usize>(fields: &Map<String, Value>, name: &str) -> Option<[u8; N]> {
    from_hex(fields.get(name)?.as_str()?)
}
