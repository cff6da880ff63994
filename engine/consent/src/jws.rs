//! Statements as compact JWS (RFC 7515): made by a card, taken apart without belief.

mod provider;

use crate::bounds;
use crate::card::{Algorithm, Card, CardError};
use crate::certificate::{CERTIFICATE_BYTES_MAX, Certificate};
use crate::statement::{Claimed, KeyFingerprint, STATEMENT_BYTES_MAX, Statement};
use crate::untrue::Untrue;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Header, dangerous, decode_header};
use std::collections::HashMap;

/// The most certificates that a statement brings.
pub const CHAIN_MAX: usize = 6;

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
    /// The first of them.
    pub(crate) certificate: Certificate,
}

/// Has `card` sign `statement`: a compact JWS.
///
/// # Errors
/// Whatever the card answers; [`CardError::Unfit`] where its key or certificate is not allowed;
/// [`CardError::Statement`] where the statement is none that may be made.
pub fn sign<S: Statement>(statement: &S, card: &mut dyn Card) -> Result<String, CardError> {
    let refused = |why: &str| CardError::Statement(why.to_owned());
    statement.well_formed().map_err(refused)?;
    let chain = card.chain()?;
    let own = chain.first().ok_or_else(|| CardError::Unfit("it has no certificate".to_owned()))?;
    let certificate = Certificate::read(own).map_err(|why| CardError::Unfit(why.to_string()))?;
    let algorithm = certificate.key.algorithm();
    if algorithm != card.algorithm()? {
        return Err(CardError::Unfit("its key is not that of its certificate".to_owned()));
    }
    let mut header = Header::new(provider::named(algorithm));
    header.typ = Some(S::TYPE.to_owned());
    header.x5c = Some(chain.iter().take(CHAIN_MAX).map(|der| STANDARD.encode(der)).collect());
    let part = |json: serde_json::Result<Vec<u8>>| {
        json.map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(|_| refused("it can't be written"))
    };
    let message =
        format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(statement))?);
    let signature = card.sign(message.as_bytes())?;
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    if token.len() > STATEMENT_BYTES_MAX {
        return Err(refused("it is longer than 64 KiB: make several of fewer objects or ranges"));
    }
    // A card or driver that signs something else is found here, not at a site.
    if !provider::is_signed(&token, &certificate.key) {
        return Err(CardError::Failed("what it signed does not fit its certificate".to_owned()));
    }
    Ok(token)
}

/// Takes a statement apart. Nothing of it is believed.
///
/// # Errors
/// [`Untrue::Malformed`] where it is none, too long, or says what none may say.
pub fn read<S: Statement>(token: &str) -> Result<Claimed<S>, Untrue> {
    let header = header(token)?;
    if header.typ.as_deref() != Some(S::TYPE) {
        return Err(malformed("it is a statement of another kind"));
    }
    let statement = dangerous::insecure_decode::<S>(token)
        .map_err(|why| Untrue::Malformed(shortened(&why.to_string())))?
        .claims;
    statement.well_formed().map_err(malformed)?;
    Ok(Claimed { statement, chain: chain(&header)? })
}

/// Which kind `token` says to be: the label of one that is known here.
#[must_use]
pub fn kind(token: &str) -> Option<&'static str> {
    let named = header(token).ok()?.typ?;
    bounds::TYPES.into_iter().find(|label| *label == named)
}

/// Takes a statement apart and checks that the key of its own certificate signed it.
///
/// # Errors
/// As [`read`]; [`Untrue::Forged`]; [`Untrue::Certificate`] where the certificate can't be read
/// or its key is of no allowed kind.
pub fn possesses<S: Statement>(token: &str) -> Result<Possessed<S>, Untrue> {
    let Claimed { statement, chain } = read::<S>(token)?;
    let own = chain.first().ok_or_else(|| malformed("it brings no certificate"))?;
    let certificate = Certificate::read(own)?;
    if !provider::is_signed(token, &certificate.key) {
        return Err(Untrue::Forged);
    }
    let (key, algorithm) = (certificate.key(), certificate.key.algorithm());
    Ok(Possessed { statement, key, algorithm, chain, certificate })
}

/// The fingerprint of the key in `certificate`, DER.
///
/// # Errors
/// [`Untrue::Certificate`] where it can't be read, or its key is of no allowed kind.
pub fn key_of(certificate: &[u8]) -> Result<KeyFingerprint, Untrue> {
    Certificate::read(certificate).map(|certificate| certificate.key())
}

/// The header of `token`, where it says what headers here say and no more: whatever else there is
/// (a key, an address to fetch one from, something critical) would ask us to trust the sender.
fn header(token: &str) -> Result<Header, Untrue> {
    if token.len() > STATEMENT_BYTES_MAX {
        return Err(malformed("it is longer than 64 KiB"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(malformed("it is no compact JWS"));
    }
    if token.split('.').count() != 3 {
        return Err(malformed("it is not of three parts"));
    }
    let header = decode_header(token).map_err(|_| malformed("its header is none"))?;
    let alone = Header {
        typ: header.typ.clone(),
        x5c: header.x5c.clone(),
        extras: HashMap::new(),
        ..Header::new(header.alg)
    };
    if header != alone {
        return Err(malformed("its header says more than kind, algorithm and certificates"));
    }
    if provider::allowed(header.alg).is_none() {
        return Err(malformed("it is signed in a way that is not allowed"));
    }
    Ok(header)
}

/// The certificates in `header`.
fn chain(header: &Header) -> Result<Vec<Vec<u8>>, Untrue> {
    let texts = header.x5c.as_deref().unwrap_or_default();
    if !(1..=CHAIN_MAX).contains(&texts.len()) {
        return Err(malformed("it must bring 1 to 6 certificates"));
    }
    if texts.iter().any(|text| text.len() > CERTIFICATE_BYTES_MAX * 2) {
        return Err(malformed("a certificate in it is too long"));
    }
    texts
        .iter()
        .map(|text| {
            STANDARD.decode(text).map_err(|_| malformed("a certificate in it is no base64"))
        })
        .collect()
}

fn malformed(why: &str) -> Untrue {
    Untrue::Malformed(why.to_owned())
}

/// What a parser said, which may echo what it was given: short, on one line.
fn shortened(why: &str) -> String {
    let clean = |letter: char| if bounds::misleads(letter) { '\u{fffd}' } else { letter };
    why.chars().take(160).map(clean).collect()
}
