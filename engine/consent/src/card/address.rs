//! How people name a card: `file:KEY.pem,CERT.pem`, a PKCS#11 URI (RFC 7512), or a token's label.

use super::{Card, CardError, FileCard};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a card is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CardAddress {
    /// A key and its certificates in files, for labs.
    File {
        /// The key, PEM.
        key: PathBuf,
        /// Its certificates, PEM, its own first.
        certificates: PathBuf,
    },
}

/// Why a text names no card.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnAddress {
    /// `file:` without two paths.
    #[error("a card in files is file:KEY.pem,CERT.pem, with one comma")]
    Files,
    /// Nothing that is known.
    #[error("a card is a PKCS#11 URI, the label of its token, or file:KEY.pem,CERT.pem")]
    Unknown,
}

impl FromStr for CardAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let files = text.strip_prefix("file:").ok_or(NotAnAddress::Unknown)?;
        let (key, certificates) = files.split_once(',').ok_or(NotAnAddress::Files)?;
        if key.is_empty() || certificates.is_empty() || certificates.contains(',') {
            return Err(NotAnAddress::Files);
        }
        Ok(Self::File { key: key.into(), certificates: certificates.into() })
    }
}

impl CardAddress {
    /// Gets hold of the card.
    ///
    /// # Errors
    /// Where there is none, or it is not fit.
    pub fn open(&self) -> Result<Box<dyn Card>, CardError> {
        match self {
            Self::File { key, certificates } => Ok(Box::new(FileCard::open(key, certificates)?)),
        }
    }
}
