//! How people name a card: `file:KEY.pem,CERT.pem`, a PKCS#11 URI (RFC 7512), or a token's label.

use super::uri::TokenUri;
use super::{Access, Card, CardError, FileCard, TokenCard};
use std::path::{Path, PathBuf};
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
    /// A token that is reached through a PKCS#11 module.
    Token(TokenUri),
}

/// Why a text names no card.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnAddress {
    /// `file:` without two paths.
    #[error("a card in files is file:KEY.pem,CERT.pem, with one comma")]
    Files,
    /// A PKCS#11 URI that says something wrong.
    #[error("in this PKCS#11 URI {0}")]
    Uri(String),
    /// Nothing that is known.
    #[error("a card is a PKCS#11 URI, the label of its token, or file:KEY.pem,CERT.pem")]
    Unknown,
}

impl FromStr for CardAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Some(uri) = text.strip_prefix("pkcs11:") {
            return TokenUri::parse(uri).map(Self::Token);
        }
        if let Some(files) = text.strip_prefix("file:") {
            let (key, certificates) = files.split_once(',').ok_or(NotAnAddress::Files)?;
            if key.is_empty() || certificates.is_empty() || certificates.contains(',') {
                return Err(NotAnAddress::Files);
            }
            return Ok(Self::File { key: key.into(), certificates: certificates.into() });
        }
        let is_label = (1..=32).contains(&text.len()) && !text.chars().any(char::is_control);
        match is_label {
            true => Ok(Self::Token(TokenUri::labelled(text))),
            false => Err(NotAnAddress::Unknown),
        }
    }
}

impl CardAddress {
    /// The file that its own text names for the PIN.
    #[must_use]
    pub fn pin_file(&self) -> Option<&Path> {
        match self {
            Self::File { .. } => None,
            Self::Token(uri) => uri.pin_file.as_deref(),
        }
    }

    /// Gets hold of the card.
    ///
    /// # Errors
    /// Where there is none, or it is not fit.
    pub fn open(&self, access: Access) -> Result<Box<dyn Card>, CardError> {
        match self {
            Self::File { key, certificates } => Ok(Box::new(FileCard::open(key, certificates)?)),
            Self::Token(uri) => Ok(Box::new(TokenCard::open(uri, access)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_uris_and_labels_are_told_apart() {
        let read = |text: &str| text.parse::<CardAddress>();
        let files = CardAddress::File { key: "a.key".into(), certificates: "b/c.crt".into() };
        assert_eq!(read("file:a.key,b/c.crt"), Ok(files));
        for text in ["file:", "file:a", "file:a,", "file:,b", "file:a,b,c"] {
            assert_eq!(read(text), Err(NotAnAddress::Files), "{text}");
        }
        let Ok(CardAddress::Token(label)) = read("JPKI") else { panic!("no label") };
        assert_eq!(label.wanted.token.as_deref(), Some("JPKI"));
        let Ok(CardAddress::Token(uri)) = read("pkcs11:id=%01?pin-source=/p") else {
            panic!("no URI")
        };
        assert_eq!(uri.wanted.id.as_deref(), Some(&[1][..]));
        assert_eq!(CardAddress::Token(uri).pin_file(), Some(Path::new("/p")));
        for text in ["", "a\nb", &"x".repeat(33)] {
            assert_eq!(read(text), Err(NotAnAddress::Unknown), "{text}");
        }
    }
}
