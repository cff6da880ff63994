//! The public opening of a connection: hellos, refusal, and what of them is proved later.
//!
//! Nothing here is secret and nothing is to be believed before a frame has echoed it
//! ([`HelloEcho`]). What each step is for stands in the crate's `README.md`.

mod echo;
mod refusal;

pub use echo::HelloEcho;
pub use refusal::{HelloRefusal, RefusalReason};

use crate::fields::{Fields, Layout, Short};
use crate::grants::GRANT_STEP_BYTES;
use std::fmt;
use warifu_core::{KeyRange, LinkId};

/// Bytes of a client hello, and of a refusal.
pub const CLIENT_HELLO_BYTES: usize = 64;
/// Bytes of a server hello. Its first 64 tell what it is: see [`AnswerKind::of`].
pub const SERVER_HELLO_BYTES: usize = 96;
/// Bytes of A-to-B key that a server hello grants, before it knows whom.
pub const HELLO_GRANT_BYTES: u64 = 512;

/// Key at the end of an A-to-B direction that is kept for hellos, out of `total_bytes`. A hello's
/// grant must lie above both ends' marks, which never fall: were the last of a pool leased, no
/// connection could be opened any more, though much of the lease may have come back.
#[must_use]
pub const fn hello_reserve_bytes(total_bytes: u64) -> u64 {
    let sixteenth = total_bytes / 16;
    if sixteenth < 1 << 20 { sixteenth } else { 1 << 20 }
}

const MAGIC: [u8; 4] = *b"WHLO";
const VERSION: u8 = 1;
const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const REFUSAL: u8 = 3;

macro_rules! public16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The value with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes as sent.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), " "))?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    };
}

public16!(
    /// Sixteen public bytes that an end draws afresh for each connection.
    Nonce
);
public16!(
    /// One connection, named by half of each nonce.
    SessionId
);

impl SessionId {
    /// The first 8 bytes of the client's nonce, then the first 8 of the server's.
    #[must_use]
    pub fn from_nonces(client: &Nonce, server: &Nonce) -> Self {
        let (client, server) = (&client.0[..8], &server.0[..8]);
        Self(Layout::new().put(client).put(server).finish())
    }
}

/// For each direction one past the highest position that an end knows, by an authenticated
/// exchange, to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// Of the key with which end A seals.
    pub a_to_b: u64,
    /// Of the key with which end B seals.
    pub b_to_a: u64,
}

impl Marks {
    /// The higher of both in each direction: where both ends go on.
    #[must_use]
    pub fn higher(self, other: Self) -> Self {
        Self { a_to_b: self.a_to_b.max(other.a_to_b), b_to_a: self.b_to_a.max(other.b_to_a) }
    }
}

/// For each direction one past the last position that an end has key for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolEnds {
    /// Of the key with which end A seals.
    pub a_to_b: u64,
    /// Of the key with which end B seals.
    pub b_to_a: u64,
}

/// Why a hello is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// Not a hello at all.
    #[error("not a hello: its first four bytes are not WHLO")]
    BadMagic,
    /// A version that this end does not speak.
    #[error("hello version {version} is not known, only 1")]
    BadVersion {
        /// The version stated.
        version: u8,
    },
    /// A field has a value that the format does not admit.
    #[error("the hello's field {field:?} has a value that is not allowed")]
    Malformed {
        /// The field, named as in the format.
        field: &'static str,
    },
    /// The answer names another link than the question.
    #[error("the answer names another link")]
    WrongLink,
    /// The answer is to another connection's hello.
    #[error("the answer carries another connection's nonce")]
    WrongNonce,
    /// The grant is not above both ends' marks.
    #[error("the key granted starts at {start}, below the mark {mark}")]
    BelowMark {
        /// First position granted.
        start: u64,
        /// The higher of both ends' marks.
        mark: u64,
    },
}

impl From<Short> for HelloError {
    fn from(_: Short) -> Self {
        Self::Malformed { field: "length" }
    }
}

/// What the client sends first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientHello {
    /// The link that the client wants to speak over.
    pub link: LinkId,
    /// The client's nonce.
    pub nonce: Nonce,
    /// The client's marks.
    pub marks: Marks,
}

impl ClientHello {
    /// The 64 bytes as sent.
    #[must_use]
    pub fn encode(&self) -> [u8; CLIENT_HELLO_BYTES] {
        Common { kind: CLIENT, link: self.link, nonce: self.nonce, marks: self.marks, last: 0 }
            .put(Layout::new())
            .finish()
    }

    /// Reads what a client sent.
    ///
    /// # Errors
    /// Where it is no client hello of version 1, or a zero field is not zero.
    pub fn decode(bytes: &[u8; CLIENT_HELLO_BYTES]) -> Result<Self, HelloError> {
        let common = Common::read(&mut Fields::of(bytes), CLIENT)?;
        common.zero_last()?;
        Ok(Self { link: common.link, nonce: common.nonce, marks: common.marks })
    }
}

/// What the server answers where it is willing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerHello {
    /// The link, as asked.
    pub link: LinkId,
    /// The server's nonce.
    pub nonce: Nonce,
    /// The server's marks.
    pub marks: Marks,
    /// A-to-B key granted for the confirming frame: [`HELLO_GRANT_BYTES`] from a multiple of
    /// [`GRANT_STEP_BYTES`] on.
    pub granted: KeyRange,
    /// Where the server's key ends. The client may have more, which a courier still has.
    pub ends: PoolEnds,
}

impl ServerHello {
    /// The 96 bytes as sent.
    #[must_use]
    pub fn encode(&self) -> [u8; SERVER_HELLO_BYTES] {
        Common { kind: SERVER, link: self.link, nonce: self.nonce, marks: self.marks, last: 0 }
            .put(Layout::new())
            .put_u64(self.granted.start())
            .put_u64(self.granted.len())
            .put_u64(self.ends.a_to_b)
            .put_u64(self.ends.b_to_a)
            .finish()
    }

    /// Reads what a server sent.
    ///
    /// # Errors
    /// Where it is no server hello of version 1, a zero field is not zero, or the grant is not
    /// [`HELLO_GRANT_BYTES`] long and on the step.
    pub fn decode(bytes: &[u8; SERVER_HELLO_BYTES]) -> Result<Self, HelloError> {
        let mut fields = Fields::of(bytes);
        let common = Common::read(&mut fields, SERVER)?;
        common.zero_last()?;
        let (start, length) = (fields.u64()?, fields.u64()?);
        if length != HELLO_GRANT_BYTES {
            return Err(HelloError::Malformed { field: "granted length" });
        }
        let granted = KeyRange::new(start, length)
            .filter(|range| range.start().is_multiple_of(GRANT_STEP_BYTES))
            .ok_or(HelloError::Malformed { field: "granted start" })?;
        let ends = PoolEnds { a_to_b: fields.u64()?, b_to_a: fields.u64()? };
        Ok(Self { link: common.link, nonce: common.nonce, marks: common.marks, granted, ends })
    }

    /// Checks that this answers `client`: the same link, and a grant at or above both ends' marks.
    /// Whether the positions were never used is the key store's question, and whether any of it is
    /// true that of the confirming frames.
    ///
    /// # Errors
    /// Where one of these does not hold.
    pub fn answers(&self, client: &ClientHello) -> Result<(), HelloError> {
        if self.link != client.link {
            return Err(HelloError::WrongLink);
        }
        let (start, mark) = (self.granted.start(), self.marks.higher(client.marks).a_to_b);
        if start < mark { Err(HelloError::BelowMark { start, mark }) } else { Ok(()) }
    }
}

/// Which of the two answers a server has begun to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerKind {
    /// A server hello: 32 bytes more are to come.
    Willing,
    /// A refusal: these 64 bytes are all of it.
    Refusal,
}

impl AnswerKind {
    /// Tells by the first 64 bytes of an answer what it is.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn of(bytes: &[u8; CLIENT_HELLO_BYTES]) -> Result<Self, HelloError> {
        match kind_of(&mut Fields::of(bytes))? {
            SERVER => Ok(Self::Willing),
            REFUSAL => Ok(Self::Refusal),
            _ => Err(HelloError::Malformed { field: "kind" }),
        }
    }
}

/// The 64 bytes with which all three begin.
struct Common {
    kind: u8,
    link: LinkId,
    nonce: Nonce,
    marks: Marks,
    last: u64,
}

impl Common {
    fn put<const N: usize>(&self, layout: Layout<N>) -> Layout<N> {
        layout
            .put(&MAGIC)
            .put(&[VERSION, self.kind, 0, 0])
            .put(self.link.bytes())
            .put(self.nonce.bytes())
            .put_u64(self.marks.a_to_b)
            .put_u64(self.marks.b_to_a)
            .put_u64(self.last)
    }

    fn read(fields: &mut Fields<'_>, kind: u8) -> Result<Self, HelloError> {
        if kind_of(fields)? != kind {
            return Err(HelloError::Malformed { field: "kind" });
        }
        if fields.u16()? != 0 {
            return Err(HelloError::Malformed { field: "zero" });
        }
        Ok(Self {
            kind,
            link: LinkId::from_bytes(fields.array()?),
            nonce: Nonce(fields.array()?),
            marks: Marks { a_to_b: fields.u64()?, b_to_a: fields.u64()? },
            last: fields.u64()?,
        })
    }

    const fn zero_last(&self) -> Result<(), HelloError> {
        match self.last {
            0 => Ok(()),
            _ => Err(HelloError::Malformed { field: "zero" }),
        }
    }
}

fn kind_of(fields: &mut Fields<'_>) -> Result<u8, HelloError> {
    if fields.array()? != MAGIC {
        return Err(HelloError::BadMagic);
    }
    match fields.u8()? {
        VERSION => Ok(fields.u8()?),
        version => Err(HelloError::BadVersion { version }),
    }
}
