//! What passes between this program and the process of a plugin: frames over a socket pair.
//!
//! A frame is its length, the number of the request that it belongs to, a kind, and the rest.
//! Numbers are little-endian. Only these two speak it, and both are of one build, so it has no
//! version.

use std::io::{self, Read, Write};
use warifu_backend::{Entry, Error, ShareName};
use warifu_buffers::{Block, Bytes};

/// Longest frame, in bytes: a list of some 400,000 shares.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Bytes before what a kind has of its own.
const HEAD_BYTES: usize = 13;

/// What a frame says.
pub(crate) enum Message {
    // To the plugin's process.
    Open { library: String, patience_s: u64, settings: Vec<(String, String)> },
    Put { name: ShareName, bytes: u64 },
    Piece(Bytes),
    NoPiece,
    Read { name: ShareName, offset: u64, bytes: u64 },
    Len { name: ShareName },
    List,
    Delete { name: ShareName },
    Room,
    // From it.
    Opened { create_only: bool, durable: bool },
    Need { offset: u64, bytes: u64 },
    Done,
    Data(Bytes),
    Number(Option<u64>),
    Entries(Vec<Entry>),
    Failed(Failure),
}

/// An error on its way: `what` is a word of whoever asked.
pub(crate) struct Failure {
    code: u8,
    numbers: [u64; 3],
    said: String,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        let mut numbers = [0; 3];
        let code = match error {
            Error::AlreadyExists => 1,
            Error::Busy => 2,
            Error::Damaged { .. } => 3,
            Error::Limit { .. } => 4,
            Error::NoSpace => 5,
            Error::NotFound => 6,
            Error::PermissionDenied { .. } => 7,
            Error::Truncated { offset, wanted_bytes, held_bytes } => {
                numbers = [*offset, *wanted_bytes, *held_bytes];
                8
            }
            Error::Unavailable { .. } => 9,
            Error::Unknown { .. } => 10,
            _ => 0,
        };
        let said = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
        Self { code, numbers, said }
    }

    pub(crate) fn into_error(self, what: &'static str) -> Error {
        let source = io::Error::other(self.said);
        match self.code {
            1 => Error::AlreadyExists,
            2 => Error::Busy,
            3 => Error::Damaged { what: "the plugin says so" },
            4 => Error::Limit { what: "more than the plugin ever takes" },
            5 => Error::NoSpace,
            6 => Error::NotFound,
            7 => Error::PermissionDenied { what, source },
            8 => {
                let [offset, wanted_bytes, held_bytes] = self.numbers;
                Error::Truncated { offset, wanted_bytes, held_bytes }
            }
            9 => Error::Unavailable { what, source },
            10 => Error::Unknown { what, source },
            _ => Error::Other { what, source },
        }
    }
}

/// What a question came to that changes nothing: without an answer, nothing is in doubt.
pub(crate) fn asked_only(error: Error) -> Error {
    match error {
        Error::Unknown { what, source } => Error::Unavailable { what, source },
        error => error,
    }
}

/// Writes a frame.
pub(crate) fn send(mut to: impl Write, request: u64, message: &Message) -> io::Result<()> {
    let (kind, head, body) = encode(message);
    let len = HEAD_BYTES - 4 + head.len() + body.len();
    if len > FRAME_BYTES_MAX {
        return Err(io::Error::other("a frame to or from a plugin's process is too long"));
    }
    let mut first = Vec::with_capacity(HEAD_BYTES + head.len());
    first.extend((len as u32).to_le_bytes());
    first.extend(request.to_le_bytes());
    first.push(kind);
    first.extend(head);
    to.write_all(&first)?;
    to.write_all(body)
}

/// Its kind, what is short, and what is not.
fn encode(message: &Message) -> (u8, Vec<u8>, &[u8]) {
    let mut head = Vec::new();
    let (kind, body): (u8, &[u8]) = match message {
        Message::Open { library, patience_s, settings } => {
            number(&mut head, *patience_s);
            text(&mut head, library);
            for (name, value) in settings {
                text(&mut head, name);
                text(&mut head, value);
            }
            (1, &[])
        }
        Message::Put { name, bytes } => {
            number(&mut head, *bytes);
            text(&mut head, name.as_str());
            (2, &[])
        }
        Message::Piece(bytes) => (3, bytes),
        Message::NoPiece => (4, &[]),
        Message::Read { name, offset, bytes } => {
            number(&mut head, *offset);
            number(&mut head, *bytes);
            text(&mut head, name.as_str());
            (5, &[])
        }
        Message::Len { name } => (6, name.as_str().as_bytes()),
        Message::List => (7, &[]),
        Message::Delete { name } => (8, name.as_str().as_bytes()),
        Message::Room => (9, &[]),
        Message::Opened { create_only, durable } => {
            head.extend([u8::from(*create_only), u8::from(*durable)]);
            (10, &[])
        }
        Message::Need { offset, bytes } => {
            number(&mut head, *offset);
            number(&mut head, *bytes);
            (11, &[])
        }
        Message::Done => (12, &[]),
        Message::Data(bytes) => (13, bytes),
        Message::Number(told) => {
            if let Some(told) = told {
                number(&mut head, *told);
            }
            (14, &[])
        }
        Message::Entries(entries) => {
            for entry in entries {
                number(&mut head, entry.bytes);
                text(&mut head, entry.name.as_str());
            }
            (15, &[])
        }
        Message::Failed(failure) => {
            head.push(failure.code);
            for told in failure.numbers {
                number(&mut head, told);
            }
            (16, failure.said.as_bytes())
        }
    };
    (kind, head, body)
}

fn number(to: &mut Vec<u8>, number: u64) {
    to.extend(number.to_le_bytes());
}

fn text(to: &mut Vec<u8>, text: &str) {
    number(to, text.len() as u64);
    to.extend(text.as_bytes());
}

/// Reads a frame; `None` where the other end has gone between two.
pub(crate) fn receive(mut from: impl Read) -> io::Result<Option<(u64, Message)>> {
    let mut head = [0; HEAD_BYTES];
    match from.read(&mut head[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut head[1..])?,
    }
    let malformed = || io::Error::other("a frame of a plugin's process makes no sense");
    let mut fields = Fields(&head);
    let len = fields.word().ok_or_else(malformed)? as usize;
    let request = fields.number().ok_or_else(malformed)?;
    let kind = head[HEAD_BYTES - 1];
    let rest = len.checked_sub(HEAD_BYTES - 4).filter(|_| len <= FRAME_BYTES_MAX);
    let mut body = Block::zeroed(rest.ok_or_else(malformed)?);
    from.read_exact(&mut body)?;
    let message = decode(kind, body).ok_or_else(malformed)?;
    Ok(Some((request, message)))
}

fn decode(kind: u8, body: Block) -> Option<Message> {
    let mut fields = Fields(&body);
    let message = match kind {
        1 => {
            let (patience_s, library) = (fields.number()?, fields.text()?);
            let mut settings = Vec::new();
            while !fields.0.is_empty() {
                settings.push((fields.text()?, fields.text()?));
            }
            Message::Open { library, patience_s, settings }
        }
        2 => Message::Put { bytes: fields.number()?, name: fields.name()? },
        3 => return Some(Message::Piece(body.into_bytes())),
        4 => Message::NoPiece,
        5 => Message::Read {
            offset: fields.number()?,
            bytes: fields.number()?,
            name: fields.name()?,
        },
        6 => Message::Len { name: fields.last_name()? },
        7 => Message::List,
        8 => Message::Delete { name: fields.last_name()? },
        9 => Message::Room,
        10 => Message::Opened { create_only: fields.byte()? != 0, durable: fields.byte()? != 0 },
        11 => Message::Need { offset: fields.number()?, bytes: fields.number()? },
        12 => Message::Done,
        13 => return Some(Message::Data(body.into_bytes())),
        14 if fields.0.is_empty() => Message::Number(None),
        14 => Message::Number(Some(fields.number()?)),
        15 => {
            let mut entries = Vec::new();
            while !fields.0.is_empty() {
                entries.push(Entry { bytes: fields.number()?, name: fields.name()? });
            }
            Message::Entries(entries)
        }
        16 => {
            let code = fields.byte()?;
            let numbers = [fields.number()?, fields.number()?, fields.number()?];
            let said = String::from_utf8_lossy(std::mem::take(&mut fields.0)).into_owned();
            Message::Failed(Failure { code, numbers, said })
        }
        _ => return None,
    };
    fields.0.is_empty().then_some(message)
}

/// What is left of a frame.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let bytes = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(bytes)?.to_vec()).ok()
    }

    fn name(&mut self) -> Option<ShareName> {
        ShareName::new(&self.text()?).ok()
    }

    fn last_name(&mut self) -> Option<ShareName> {
        ShareName::new(str::from_utf8(std::mem::take(&mut self.0)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_or_senseless_frame_is_an_error() {
        let mut frame = Vec::new();
        let name = ShareName::new("a").unwrap();
        send(&mut frame, 7, &Message::Read { name, offset: 1, bytes: 2 }).unwrap();
        assert!(matches!(receive(&frame[..]), Ok(Some((7, Message::Read { .. })))));
        assert!(matches!(receive(&frame[..0]), Ok(None)));
        for len in 1..frame.len() {
            assert!(receive(&frame[..len]).is_err(), "{len}");
        }
        for (at, value) in [(0, 0), (3, 255), (12, 99), (29, 200)] {
            let mut frame = frame.clone();
            frame[at] = value;
            assert!(receive(&frame[..]).is_err(), "{at}");
        }
    }
}
