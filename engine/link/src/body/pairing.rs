//! Bodies about key that a third party delivers to both ends: offer, compare, adopt.

use super::{OFFER_BYTES_MIN, OFFERED_NAMES_MAX, put_u64, whole};
use crate::body::failure_text;
use crate::error::MessageError;
use crate::fields::{Fields, Short};
use warifu_core::direction::Direction;
use warifu_core::{KeyClass, KeyRange};

const NAME_BYTES: usize = 16;

/// Body of an offer: what end A got from its deliverer, for end B to get by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The direction of the segment, told once and never changed.
    pub direction: Direction,
    /// What end A claims of the key.
    pub class: KeyClass,
    /// Bytes of each key.
    pub key_bytes: u64,
    /// The keys' names, in the order in which they make the segment.
    pub names: Vec<[u8; NAME_BYTES]>,
}

impl Offer {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(&[self.direction.to_byte(), self.class.to_byte()]);
        target.extend_from_slice(&[0; 6]);
        put_u64(target, self.key_bytes);
        self.names.iter().for_each(|name| target.extend_from_slice(name));
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is no list of 1 to [`OFFERED_NAMES_MAX`] names, or a field is not as the format
    /// says.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let size = MessageError::Size { what: "an offer", bytes: body.len() };
        let (names, rest) = body.get(NAME_BYTES..).ok_or(size.clone())?.as_chunks::<NAME_BYTES>();
        if body.len() < OFFER_BYTES_MIN || !rest.is_empty() || names.len() > OFFERED_NAMES_MAX {
            return Err(size);
        }
        let mut fields = Fields::of(body);
        let malformed = |field| MessageError::Malformed { field };
        let direction = direction(fields.u8()?)?;
        let class = KeyClass::from_byte(fields.u8()?).ok_or(malformed("class"))?;
        if fields.array::<6>()? != [0; 6] {
            return Err(malformed("zero"));
        }
        Ok(Self { direction, class, key_bytes: fields.u64()?, names: names.to_vec() })
    }
}

/// How far end B is with what was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferedState {
    /// It holds all of it, durably.
    Whole,
    /// Not yet: the same offer is to be made again.
    NotYet,
}

/// Body of the answer to an offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// How far it is.
    pub state: OfferedState,
    /// Keys that it has got so far.
    pub keys: u64,
    /// One past the last position of the offer's direction at end B.
    pub end: u64,
    /// Why not yet; at most [`FAILURE_BYTES_MAX`](crate::message::FAILURE_BYTES_MAX) bytes.
    pub why: String,
}

impl Offered {
    /// Appends the body to `target`; of the text as much as fits.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_u64(target, if self.state == OfferedState::Whole { 0 } else { 1 });
        put_u64(target, self.keys);
        put_u64(target, self.end);
        target.extend_from_slice(failure_text(&self.why).as_bytes());
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where its length, state or text is not as the format says.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let mut fields = Fields::of(body);
        let state = match fields.u64()? {
            0 => OfferedState::Whole,
            1 => OfferedState::NotYet,
            _ => return Err(MessageError::Malformed { field: "state" }),
        };
        let (keys, end) = (fields.u64()?, fields.u64()?);
        let why = super::decode_failure_text(&body[super::OFFERED_HEAD_BYTES..])?.to_owned();
        Ok(Self { state, keys, end, why })
    }
}

/// Body of the answer to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compared {
    /// The hash of what end B holds.
    pub hash: [u8; 16],
    /// One past the last position of the segment's direction at end B.
    pub end: u64,
}

impl Compared {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(&self.hash);
        put_u64(target, self.end);
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is not [`ADOPT_BYTES`](super::ADOPT_BYTES) long.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        whole("an answer to compare", body, |fields| {
            Ok(Self { hash: fields.array()?, end: fields.u64()? })
        })
    }
}

/// Body of an adopt request: where the segment's key lies from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Adopt {
    /// The direction.
    pub direction: Direction,
    /// The positions, not empty.
    pub range: KeyRange,
}

impl Adopt {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_u64(target, u64::from(self.direction.to_byte()));
        put_u64(target, self.range.start());
        put_u64(target, self.range.len());
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is not [`ADOPT_BYTES`](super::ADOPT_BYTES) long, or the range is empty or passes
    /// the last position.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        whole("an adopt request", body, |fields| {
            let direction = u8::try_from(fields.u64()?).map_err(|_| Short)?;
            let range = KeyRange::new(fields.u64()?, fields.u64()?).filter(|one| !one.is_empty());
            let range = range.ok_or(MessageError::Malformed { field: "range" })?;
            Ok(Self { direction: self::direction(direction)?, range })
        })
    }
}

fn direction(byte: u8) -> Result<Direction, MessageError> {
    Direction::from_byte(byte).ok_or(MessageError::Malformed { field: "direction" })
}
