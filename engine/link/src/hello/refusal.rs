//! The answer of a server that does not go on.

use super::{CLIENT_HELLO_BYTES, ClientHello, Common, HelloError, Marks, Nonce, REFUSAL};
use crate::fields::{Fields, Layout};
use std::fmt;
use warifu_core::LinkId;

/// Why a server does not go on. Public, hence a hint and no proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalReason {
    /// The server has no such link.
    UnknownLink,
    /// Too little A-to-B key is left to be granted.
    NoKeyLeft,
    /// Too many connections wait to be confirmed.
    TooManyUnconfirmed,
    /// The client's marks lie beyond what the server's pool holds.
    MarksBeyondPool,
}

impl RefusalReason {
    const fn number(self) -> u64 {
        match self {
            Self::UnknownLink => 1,
            Self::NoKeyLeft => 2,
            Self::TooManyUnconfirmed => 3,
            Self::MarksBeyondPool => 4,
        }
    }

    const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::UnknownLink),
            2 => Some(Self::NoKeyLeft),
            3 => Some(Self::TooManyUnconfirmed),
            4 => Some(Self::MarksBeyondPool),
            _ => None,
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownLink => "unknown link",
            Self::NoKeyLeft => "no key left",
            Self::TooManyUnconfirmed => "too many unconfirmed connections",
            Self::MarksBeyondPool => "marks beyond the pool",
        })
    }
}

/// What the server answers where it is not willing. Link and nonce are the client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelloRefusal {
    /// The link, as asked.
    pub link: LinkId,
    /// The client's nonce.
    pub nonce: Nonce,
    /// Why.
    pub reason: RefusalReason,
}

impl HelloRefusal {
    /// The 64 bytes as sent.
    #[must_use]
    pub fn encode(&self) -> [u8; CLIENT_HELLO_BYTES] {
        let (marks, last) = (Marks::default(), self.reason.number());
        Common { kind: REFUSAL, link: self.link, nonce: self.nonce, marks, last }
            .put(Layout::new())
            .finish()
    }

    /// Reads what a server sent.
    ///
    /// # Errors
    /// Where it is no refusal of version 1, its marks are not zero, or its reason is not known.
    pub fn decode(bytes: &[u8; CLIENT_HELLO_BYTES]) -> Result<Self, HelloError> {
        let common = Common::read(&mut Fields::of(bytes), REFUSAL)?;
        if common.marks != Marks::default() {
            return Err(HelloError::Malformed { field: "marks" });
        }
        let reason = RefusalReason::from_number(common.last);
        let reason = reason.ok_or(HelloError::Malformed { field: "reason" })?;
        Ok(Self { link: common.link, nonce: common.nonce, reason })
    }

    /// Checks that this refuses `client` and no other hello.
    ///
    /// # Errors
    /// Where link or nonce are not that client's.
    pub fn answers(&self, client: &ClientHello) -> Result<(), HelloError> {
        if self.link != client.link {
            return Err(HelloError::WrongLink);
        }
        if self.nonce == client.nonce { Ok(()) } else { Err(HelloError::WrongNonce) }
    }
}
