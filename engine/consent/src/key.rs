//! Public keys of cards and authorities, and the signatures that they check.

use crate::card::Algorithm;
use crate::statement::KeyFingerprint;
use crate::untrue::Fault;
use ring::digest::{SHA256, digest};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::prelude::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey as Parsed;

/// The shortest RSA modulus in bits.
const RSA_BITS_MIN: usize = 2_048;

/// The longest RSA modulus in bits: whoever sends a longer one wants to keep us busy.
const RSA_BITS_MAX: usize = 8_192;

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

/// A key of a kind that is allowed here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PublicKey {
    algorithm: Algorithm,
    /// The content of the bit string: an RSAPublicKey, or an uncompressed point.
    bits: Vec<u8>,
    fingerprint: KeyFingerprint,
}

impl PublicKey {
    /// The key in a certificate, where it is of a kind and length that is allowed.
    pub(crate) fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, Fault> {
        let algorithm = match info.algorithm.algorithm.to_id_string().as_str() {
            RSA => rsa(info)?,
            EC => curve(&info.algorithm)?,
            other => return Err(not_allowed(other)),
        };
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, info.raw).as_ref());
        let bits = info.subject_public_key.data.to_vec();
        Ok(Self { algorithm, bits, fingerprint: KeyFingerprint(fingerprint) })
    }

    /// How statements are signed with it.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as a JWS library takes it.
    pub(crate) fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// SHA-256 of the whole SubjectPublicKeyInfo.
    pub(crate) const fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// Whether it signed `message` by the algorithm `how`, which certificates, lists and
    /// responders name by its identifier.
    pub(crate) fn signed(&self, how: Signing, message: &[u8], signature: &[u8]) -> bool {
        let verifier: &'static dyn VerificationAlgorithm = match (how, self.algorithm) {
            (Signing::RsaSha256, Algorithm::Rs256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Signing::RsaSha384, Algorithm::Rs256) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Signing::RsaSha512, Algorithm::Rs256) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Signing::EcdsaSha256, Algorithm::Es256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Signing::EcdsaSha384, Algorithm::Es256) => &signature::ECDSA_P256_SHA384_ASN1,
            (Signing::EcdsaSha256, Algorithm::Es384) => &signature::ECDSA_P384_SHA256_ASN1,
            (Signing::EcdsaSha384, Algorithm::Es384) => &signature::ECDSA_P384_SHA384_ASN1,
            _ => return false,
        };
        UnparsedPublicKey::new(verifier, &self.bits).verify(message, signature).is_ok()
    }
}

/// How an authority signs: all that is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signing {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaSha512,
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
}

impl Signing {
    /// What this identifier, in dots, names.
    pub(crate) fn of(identifier: &str) -> Result<Self, Fault> {
        Ok(match identifier {
            "1.2.840.113549.1.1.11" => Self::RsaSha256,
            "1.2.840.113549.1.1.12" => Self::RsaSha384,
            "1.2.840.113549.1.1.13" => Self::RsaSha512,
            "1.2.840.10045.4.3.2" => Self::EcdsaSha256,
            "1.2.840.10045.4.3.3" => Self::EcdsaSha384,
            other => return Err(not_allowed(other)),
        })
    }
}

fn not_allowed(identifier: &str) -> Fault {
    let name = match identifier {
        "1.2.840.113549.1.1.4" => "MD5 with RSA",
        "1.2.840.113549.1.1.5" => "SHA-1 with RSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.35" => "P-521",
        "1.3.101.112" => "Ed25519",
        other => other,
    };
    // An identifier may be as long as its certificate.
    Fault::Algorithm(name.chars().take(64).collect())
}

fn rsa(info: &SubjectPublicKeyInfo<'_>) -> Result<Algorithm, Fault> {
    let unreadable = || Fault::Unreadable("its RSA key is none".to_owned());
    let Ok(Parsed::RSA(key)) = info.parsed() else { return Err(unreadable()) };
    let first = key.modulus.iter().position(|byte| *byte != 0).ok_or_else(unreadable)?;
    let modulus = &key.modulus[first..];
    let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
    if bits < RSA_BITS_MIN {
        return Err(Fault::Weak { bits, least: RSA_BITS_MIN });
    }
    if bits > RSA_BITS_MAX {
        return Err(Fault::Algorithm(format!("RSA of {bits} bits")));
    }
    Ok(Algorithm::Rs256)
}

fn curve(algorithm: &AlgorithmIdentifier<'_>) -> Result<Algorithm, Fault> {
    let named = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    match named.map(|curve| curve.to_id_string()).as_deref() {
        Some(P256) => Ok(Algorithm::Es256),
        Some(P384) => Ok(Algorithm::Es384),
        Some(other) => Err(not_allowed(other)),
        None => Err(Fault::Algorithm("a curve without a name".to_owned())),
    }
}
