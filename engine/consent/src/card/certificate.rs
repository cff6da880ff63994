//! What the certificate of a card says about its key: how it signs.

use super::{Algorithm, CardError};
use crate::certificate::is_lab;
use crate::statement::KeyFingerprint;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384};
use x509_parser::oid_registry::{OID_PKCS1_RSAENCRYPTION, Oid};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The longest certificate that is looked at, in bytes.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 16 << 10;

/// A card's own certificate, as far as signing goes.
pub(crate) struct OwnCertificate {
    pub(crate) der: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    /// The key's bits, without what says of which kind it is.
    public_key: Vec<u8>,
    /// Whether a lab's authority issued it, which is what every site goes by too.
    pub(crate) is_lab: bool,
}

impl OwnCertificate {
    /// Reads a certificate. Whether anybody should believe it is not looked at.
    ///
    /// # Errors
    /// [`CardError::Unfit`] where it can't be read, or its key is of no kind that is allowed.
    pub(crate) fn read(der: Vec<u8>) -> Result<Self, CardError> {
        let certificate = parsed(&der)?;
        let key = certificate.public_key();
        let algorithm = algorithm_of(key)?;
        let public_key = key.subject_public_key.data.to_vec();
        let is_lab = [certificate.subject(), certificate.issuer()].into_iter().any(is_lab);
        Ok(Self { algorithm, public_key, is_lab, der })
    }

    /// Whether `public_key` is the key that it certifies.
    pub(crate) fn certifies(&self, public_key: &[u8]) -> bool {
        self.public_key == public_key
    }

    /// Whether `signature` is one over `message` by the key that it certifies: a card that signs
    /// with another key, or wrongly, is told so here and not by every site.
    ///
    /// # Errors
    /// [`CardError::Failed`] where it is not.
    pub(crate) fn confirm(&self, message: &[u8], signature: &[u8]) -> Result<(), CardError> {
        let how: &'static dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        };
        let what = "what it signed does not fit its own certificate, or its key is too short";
        UnparsedPublicKey::new(how, &self.public_key)
            .verify(message, signature)
            .map_err(|_| CardError::Failed(what.to_owned()))
    }
}

/// What a certificate says, for people. Nothing of it is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFacts {
    /// Whose it is.
    pub subject: String,
    /// Who made it.
    pub issuer: String,
    /// From when it is good, in seconds since 1970 UTC.
    pub not_before_unix_s: i64,
    /// Until when it is good, in seconds since 1970 UTC.
    pub not_after_unix_s: i64,
    /// How its key signs.
    pub algorithm: Algorithm,
    /// Its key.
    pub key: KeyFingerprint,
    /// Whether it says that it may issue others.
    pub is_authority: bool,
}

/// Whether it was issued by its own holder, as those of authorities on top are.
pub(super) fn issued_by_itself(facts: &CertificateFacts) -> bool {
    facts.subject == facts.issuer
}

impl CertificateFacts {
    /// Reads a certificate, DER.
    ///
    /// # Errors
    /// [`CardError::Unfit`] where it can't be read, or its key is of no kind that is allowed.
    pub fn read(der: &[u8]) -> Result<Self, CardError> {
        let certificate = parsed(der)?;
        let key = certificate.public_key();
        let digest = ring::digest::digest(&ring::digest::SHA256, key.raw);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.as_ref());
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before_unix_s: certificate.validity().not_before.timestamp(),
            not_after_unix_s: certificate.validity().not_after.timestamp(),
            algorithm: algorithm_of(key)?,
            key: KeyFingerprint(fingerprint),
            is_authority: certificate.is_ca(),
        })
    }
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, CardError> {
    let unfit = |why: &str| CardError::Unfit(why.to_owned());
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(unfit("its certificate is longer than 16 KiB"));
    }
    let (rest, certificate) = X509Certificate::from_der(der)
        .map_err(|_| unfit("its certificate is no X.509 certificate"))?;
    if rest.is_empty() { Ok(certificate) } else { Err(unfit("something follows its certificate")) }
}

fn algorithm_of(key: &SubjectPublicKeyInfo<'_>) -> Result<Algorithm, CardError> {
    let parameter = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    algorithm(&key.algorithm.algorithm, parameter.as_ref()).ok_or_else(|| {
        let what = "its key is neither RSA nor ECDSA on P-256 or P-384, which are allowed";
        CardError::Unfit(what.to_owned())
    })
}

fn algorithm(kind: &Oid<'_>, parameter: Option<&Oid<'_>>) -> Option<Algorithm> {
    if *kind == OID_PKCS1_RSAENCRYPTION {
        return Some(Algorithm::Rs256);
    }
    let curve = parameter.filter(|_| *kind == OID_KEY_TYPE_EC_PUBLIC_KEY)?;
    match curve {
        curve if *curve == OID_EC_P256 => Some(Algorithm::Es256),
        curve if *curve == OID_NIST_EC_P384 => Some(Algorithm::Es384),
        _ => None,
    }
}
