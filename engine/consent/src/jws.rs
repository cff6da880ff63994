//! Statements as compact JWS (RFC 7515): made by a card, taken apart without belief.

use crate::card::{Algorithm, Card, CardError};
use crate::statement::{Claimed, KeyFingerprint, Statement};
use crate::untrue::Untrue;

/// A statement whose signature is that of the certificate that came with it. Whose certificate
/// that is was not judged.
#[derive(Debug)]
pub struct Possessed<S> {
    /// What it says.
    pub statement: S,
    /// The key that signed.
    pub key: KeyFingerprint,
    /// How it signed.
    pub algorithm: Algorithm,
    /// The certificates that came with it, the card's own first, DER.
    pub chain: Vec<Vec<u8>>,
}

/// Has `card` sign `statement`: a compact JWS.
///
/// # Errors
/// Whatever the card answers; [`CardError::Unfit`] where what it signs or how is not allowed.
pub fn sign<S: Statement>(statement: &S, card: &mut dyn Card) -> Result<String, CardError> {
    let _ = (statement, card);
    todo!()
}

/// Takes a statement apart. Nothing of it is believed.
///
/// # Errors
/// [`Untrue::Malformed`] where it is none, too long, or says what none may say.
pub fn read<S: Statement>(token: &str) -> Result<Claimed<S>, Untrue> {
    let _ = token;
    todo!()
}

/// Which kind `token` says to be: the label of one that is known here.
#[must_use]
pub fn kind(token: &str) -> Option<&'static str> {
    let _ = token;
    todo!()
}

/// Takes a statement apart and checks that the key of its own certificate signed it.
///
/// # Errors
/// As [`read`]; [`Untrue::Forged`]; [`Untrue::Certificate`] where the certificate can't be read
/// or its key is of no allowed kind.
pub fn possesses<S: Statement>(token: &str) -> Result<Possessed<S>, Untrue> {
    let _ = token;
    todo!()
}

/// The fingerprint of the key in `certificate`, DER.
///
/// # Errors
/// [`Untrue::Certificate`] where it can't be read.
pub fn key_of(certificate: &[u8]) -> Result<KeyFingerprint, Untrue> {
    let _ = certificate;
    todo!()
}
