//! Bodies about key: confirm, lease, release, witness.

use super::{RANGE_BYTES, RELEASED_RANGES_MAX, put_u64, records, whole};
use crate::error::MessageError;
use crate::fields::{Fields, Short};
use crate::hello::{HelloEcho, Marks, Nonce, PoolEnds};
use warifu_core::id::Incarnation;
use warifu_core::{KeyRange, RangeSet};

/// Body of the confirm request, the first frame from end A.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confirm {
    /// The hellos as end A sent and got them.
    pub echo: HelloEcho,
    /// How often end A's pool was opened, this time included.
    pub epoch: u64,
    /// This opening of end A's.
    pub incarnation: Incarnation,
    /// B-to-A key that end A grants.
    pub offered: KeyRange,
    /// Bytes of A-to-B key that end A asks for.
    pub wanted_bytes: u64,
}

impl Confirm {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_echo(target, &self.echo);
        put_u64(target, self.epoch);
        target.extend_from_slice(self.incarnation.bytes());
        put_range(target, self.offered);
        put_u64(target, self.wanted_bytes);
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is not [`CONFIRM_BYTES`](super::CONFIRM_BYTES) long, or the range passes the last
    /// position.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        whole("a confirm request", body, |fields| {
            Ok(Self {
                echo: echo(fields)?,
                epoch: fields.u64()?,
                incarnation: Incarnation::from_bytes(fields.array()?),
                offered: range(fields)?,
                wanted_bytes: fields.u64()?,
            })
        })
    }
}

/// Body of the answer to confirm, the first frame from end B.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confirmed {
    /// The hellos as end B got and sent them.
    pub echo: HelloEcho,
    /// How often end B's pool was opened, this time included.
    pub epoch: u64,
    /// This opening of end B's.
    pub incarnation: Incarnation,
    /// A-to-B key that end B grants.
    pub granted: KeyRange,
}

impl Confirmed {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_echo(target, &self.echo);
        put_u64(target, self.epoch);
        target.extend_from_slice(self.incarnation.bytes());
        put_range(target, self.granted);
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is not [`CONFIRMED_BYTES`](super::CONFIRMED_BYTES) long, or the range passes the
    /// last position.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        whole("a confirm answer", body, |fields| {
            Ok(Self {
                echo: echo(fields)?,
                epoch: fields.u64()?,
                incarnation: Incarnation::from_bytes(fields.array()?),
                granted: range(fields)?,
            })
        })
    }
}

/// Body of a lease request (B-to-A key offered), of its answer (A-to-B key granted), and of the
/// answer to witness (positions granted): one range, as start and length; length 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The positions.
    pub range: KeyRange,
}

impl Grant {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_range(target, self.range);
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is not [`RANGE_BYTES`] long, or the range passes the last position.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        whole("a grant", body, |fields| Ok(Self { range: range(fields)? }))
    }
}

/// Body of release and of its answer: what the sender holds of its leases and never used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    /// The positions given back.
    pub unused: RangeSet,
}

impl Release {
    /// Appends the body to `target`: the first [`RELEASED_RANGES_MAX`] ranges, ascending.
    pub fn encode(&self, target: &mut Vec<u8>) {
        for range in self.unused.iter().take(RELEASED_RANGES_MAX) {
            put_u64(target, range.start());
            put_u64(target, range.end());
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is no list of at most [`RELEASED_RANGES_MAX`] ranges, none of them empty, each
    /// starting at or above the end of the one before.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let records = records("a release", body, RANGE_BYTES, RELEASED_RANGES_MAX)?;
        let mut unused = RangeSet::new();
        for mut fields in records {
            let (start, end) = (fields.u64()?, fields.u64()?);
            if start >= end || start < unused.end() {
                return Err(MessageError::Malformed { field: "unused ranges" });
            }
            unused.insert(KeyRange::between(start, end));
        }
        Ok(Self { unused })
    }
}

/// Body of a witness request. Its answer is a [`Grant`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Witness {
    /// One past the last position of the asker's pool.
    pub pool_end: u64,
}

impl Witness {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_u64(target, self.pool_end);
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where it is not 8 bytes long.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        whole("a witness request", body, |fields| Ok(Self { pool_end: fields.u64()? }))
    }
}

fn put_range(target: &mut Vec<u8>, range: KeyRange) {
    put_u64(target, range.start());
    put_u64(target, range.len());
}

fn put_echo(target: &mut Vec<u8>, echo: &HelloEcho) {
    target.extend_from_slice(echo.client_nonce.bytes());
    target.extend_from_slice(echo.server_nonce.bytes());
    for marks in [echo.client_marks, echo.server_marks] {
        put_u64(target, marks.a_to_b);
        put_u64(target, marks.b_to_a);
    }
    put_u64(target, echo.server_ends.a_to_b);
    put_u64(target, echo.server_ends.b_to_a);
}

fn echo(fields: &mut Fields<'_>) -> Result<HelloEcho, Short> {
    Ok(HelloEcho {
        client_nonce: Nonce::from_bytes(fields.array()?),
        server_nonce: Nonce::from_bytes(fields.array()?),
        client_marks: Marks { a_to_b: fields.u64()?, b_to_a: fields.u64()? },
        server_marks: Marks { a_to_b: fields.u64()?, b_to_a: fields.u64()? },
        server_ends: PoolEnds { a_to_b: fields.u64()?, b_to_a: fields.u64()? },
    })
}

fn range(fields: &mut Fields<'_>) -> Result<KeyRange, MessageError> {
    let (start, length) = (fields.u64()?, fields.u64()?);
    KeyRange::new(start, length).ok_or(MessageError::Malformed { field: "range" })
}
