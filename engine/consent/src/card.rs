//! Cards: something that holds a key, signs with it, and shows the certificate for it.

mod address;
mod certificate;
mod child;
mod driver;
mod file;
mod token;
mod uri;
mod words;

pub use address::{CardAddress, NotAnAddress};
pub use certificate::CertificateFacts;
pub use child::serve_cards;
pub use file::FileCard;
pub use token::{Access, Pin, PinSource, TokenCard, USUAL_DRIVERS, readers, token_uri};
pub use uri::{TokenUri, Wanted};
pub use words::{Bytes, Reader, Shown, Token, Tries};

/// How a card signs, as JWS names it (RFC 7518). The certificate decides it, never the asker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2,048 to 8,192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is r and s, 32 bytes each.
    Es256,
    /// ECDSA on P-384 with SHA-384; the signature is r and s, 48 bytes each.
    Es384,
}

impl Algorithm {
    /// The name that JWS has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }
}

/// A card in reach.
pub trait Card {
    /// The certificate of the key that signs, then those that the card knows above it, DER. Trust
    /// rests on none of the latter.
    ///
    /// # Errors
    /// Where the card is gone, hangs or has none.
    fn chain(&mut self) -> Result<Vec<Vec<u8>>, CardError>;

    /// How it signs.
    ///
    /// # Errors
    /// As [`Card::chain`]; where its key is of no kind that is allowed.
    fn algorithm(&mut self) -> Result<Algorithm, CardError>;

    /// Signs `message` (hashing it is part of that): the signature as JWS has it.
    ///
    /// # Errors
    /// Where the card is gone, hangs or refuses. A wrong PIN is not tried again.
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, CardError>;

    /// Whether it is for labs rather than a person's card: a file, or a token that a lab's
    /// authority certified.
    fn is_software(&self) -> bool;

    /// The token that it is on, where it is on one.
    fn token(&self) -> Option<&Token> {
        None
    }
}

/// Why a card did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// None there that fits.
    #[error("no card: {0}")]
    Absent(String),
    /// The PIN is wrong.
    #[error("the PIN is wrong{}", told(*tries_left))]
    WrongPin {
        /// Tries before the card locks, where the card tells.
        tries_left: Option<u32>,
    },
    /// One try is left, and nobody said that it may be spent.
    #[error("one try is left before the PIN locks")]
    LastTry,
    /// It wants a PIN, and none can be had.
    #[error("the card wants a PIN: {0}")]
    NoPin(String),
    /// The card is locked.
    #[error("the PIN is locked: too many wrong tries")]
    Locked,
    /// It did not answer in time.
    #[error("the card did not answer within {seconds} s")]
    Hangs {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It or its driver fails.
    #[error("the card or its driver fails: {0}")]
    Failed(String),
    /// A key or certificate that is not fit.
    #[error("the card's key is not fit: {0}")]
    Unfit(String),
    /// A statement that may not be made.
    #[error("the statement is none to sign: {0}")]
    Statement(String),
}

/// How many tries are left, as a sentence goes on.
fn told(tries_left: Option<u32>) -> String {
    match tries_left {
        None => String::new(),
        Some(1) => ", 1 try is left".to_owned(),
        Some(left) => format!(", {left} tries are left"),
    }
}
