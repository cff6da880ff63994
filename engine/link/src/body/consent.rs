//! Bodies about persons: statements of cards, owners, reasons, heads of audit logs.

use super::{
    CHECKPOINT_BYTES, CHECKPOINTS_MAX, INDIVIDUAL_BYTES_MAX, REASON_BYTES_MAX, TOKEN_BYTES_MAX,
    TOKENS_MAX, put_u64, whole,
};
use crate::error::MessageError;
use warifu_core::IndividualId;

/// What stands between two statements.
const BETWEEN: u8 = b'\n';

/// The body of a bind or present request: statements of cards, one after the other.
///
/// # Errors
/// Where there are none or more than [`TOKENS_MAX`], or one is empty, longer than
/// [`TOKEN_BYTES_MAX`], or no compact JWS by its letters.
pub fn encode_tokens(tokens: &[&str]) -> Result<Vec<u8>, MessageError> {
    let body = tokens.join("\n").into_bytes();
    match decode_tokens(&body)?.len() == tokens.len() {
        true => Ok(body),
        false => Err(MessageError::Malformed { field: "statements" }),
    }
}

/// Reads the body of a bind, present or revoke request: statements in compact form. What they say
/// and whether it is true is not looked at.
///
/// # Errors
/// As [`encode_tokens`].
pub fn decode_tokens(body: &[u8]) -> Result<Vec<&str>, MessageError> {
    let malformed = || MessageError::Malformed { field: "statements" };
    let mut tokens = Vec::new();
    for token in body.split(|byte| *byte == BETWEEN) {
        let is_fit = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX;
        let is_compact =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !is_fit || !token.iter().all(is_compact) || tokens.len() == TOKENS_MAX {
            return Err(malformed());
        }
        tokens.push(std::str::from_utf8(token).map_err(|_| malformed())?);
    }
    Ok(tokens)
}

/// Reads the body of an own request: an individual's name.
///
/// # Errors
/// Where it is none.
pub fn decode_individual(body: &[u8]) -> Result<IndividualId, MessageError> {
    let malformed = MessageError::Malformed { field: "individual" };
    if body.len() > INDIVIDUAL_BYTES_MAX {
        return Err(malformed);
    }
    let name = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
    name.ok_or(malformed)
}

/// Reads the body of a forget or hold request: why, for people.
///
/// # Errors
/// Where it is empty, longer than [`REASON_BYTES_MAX`], no UTF-8, or holds control characters.
pub fn decode_reason(body: &[u8]) -> Result<&str, MessageError> {
    let malformed = MessageError::Malformed { field: "reason" };
    if body.is_empty() || body.len() > REASON_BYTES_MAX {
        return Err(malformed);
    }
    let reason = std::str::from_utf8(body).ok();
    reason.filter(|reason| !reason.chars().any(char::is_control)).ok_or(malformed)
}

/// Body of a contact request and of its answer: where the sender's audit log stands, signed by the
/// sender's own key. Whether the signature is right is the receiver's question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Entries of the log.
    pub entries: u64,
    /// The chain over all of them.
    pub chain: [u8; 32],
    /// When, in seconds since 1970 UTC.
    pub at_unix_s: u64,
    /// Ed25519 over what the audit log's own rules say.
    pub signature: [u8; 64],
    /// The key that signed.
    pub public_key: [u8; 32],
}

impl Checkpoint {
    /// Appends the body to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_u64(target, self.entries);
        target.extend_from_slice(&self.chain);
        put_u64(target, self.at_unix_s);
        target.extend_from_slice(&self.signature);
        target.extend_from_slice(&self.public_key);
    }

    /// Reads a whole body; empty, there is no checkpoint.
    ///
    /// # Errors
    /// Where it is neither empty nor [`CHECKPOINT_BYTES`] long.
    pub fn decode(body: &[u8]) -> Result<Option<Self>, MessageError> {
        match body.len() {
            0 => Ok(None),
            CHECKPOINT_BYTES => Self::read(body).map(Some),
            bytes => Err(MessageError::Size { what: "a checkpoint", bytes }),
        }
    }

    /// Reads a whole body: as many checkpoints as there are in it.
    ///
    /// # Errors
    /// Where one is cut, or there are more than [`CHECKPOINTS_MAX`].
    pub fn decode_all(body: &[u8]) -> Result<Vec<Self>, MessageError> {
        let size = MessageError::Size { what: "checkpoints", bytes: body.len() };
        match body.as_chunks::<CHECKPOINT_BYTES>() {
            (held, []) if held.len() <= CHECKPOINTS_MAX => {
                held.iter().map(|body| Self::read(body)).collect()
            }
            _ => Err(size),
        }
    }

    fn read(body: &[u8]) -> Result<Self, MessageError> {
        whole("a checkpoint", body, |fields| {
            Ok(Self {
                entries: fields.u64()?,
                chain: fields.array()?,
                at_unix_s: fields.u64()?,
                signature: fields.array()?,
                public_key: fields.array()?,
            })
        })
    }
}
