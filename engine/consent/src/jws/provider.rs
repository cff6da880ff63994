//! What the JWS library computes with: `ring`, as everything else here, and only the three
//! algorithms that cards use.

use crate::card::Algorithm;
use crate::key::PublicKey;
use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtVerifier, verify};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as NotSigned, Verifier};
use jsonwebtoken::{Algorithm as Named, DecodingKey};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use std::sync::Once;

/// The library's name of `algorithm`.
pub(super) const fn named(algorithm: Algorithm) -> Named {
    match algorithm {
        Algorithm::Rs256 => Named::RS256,
        Algorithm::Es256 => Named::ES256,
        Algorithm::Es384 => Named::ES384,
    }
}

/// Which one `named` is, if it is allowed at all.
pub(super) const fn allowed(named: Named) -> Option<Algorithm> {
    match named {
        Named::RS256 => Some(Algorithm::Rs256),
        Named::ES256 => Some(Algorithm::Es256),
        Named::ES384 => Some(Algorithm::Es384),
        _ => None,
    }
}

/// Whether the compact JWS `token` was signed with `key`, by the algorithm of that key and no
/// other.
pub(super) fn is_signed(token: &str, key: &PublicKey) -> bool {
    install();
    let algorithm = named(key.algorithm());
    let says_so = jsonwebtoken::decode_header(token).is_ok_and(|header| header.alg == algorithm);
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    let decoding = match key.algorithm() {
        Algorithm::Rs256 => DecodingKey::from_rsa_der(key.bits()),
        Algorithm::Es256 | Algorithm::Es384 => DecodingKey::from_ec_der(key.bits()),
    };
    says_so && verify(signature, message.as_bytes(), &decoding, algorithm).unwrap_or(false)
}

/// Tells the library, once for the process and before it is asked for anything.
fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(not_allowed()),
        verifier_factory: verifier,
        jwk_utils: JwkUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    // Where something else in the process was first, it does the same sums.
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

fn verifier(algorithm: &Named, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let by: &'static dyn VerificationAlgorithm = match algorithm {
        Named::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Named::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
        Named::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        _ => return Err(not_allowed()),
    };
    if key.family() != algorithm_family(*algorithm) {
        return Err(not_allowed());
    }
    let key = UnparsedPublicKey::new(by, key.as_bytes().to_vec());
    Ok(Box::new(Ring { algorithm: *algorithm, key }))
}

fn algorithm_family(algorithm: Named) -> jsonwebtoken::AlgorithmFamily {
    match algorithm {
        Named::RS256 => jsonwebtoken::AlgorithmFamily::Rsa,
        _ => jsonwebtoken::AlgorithmFamily::Ec,
    }
}

fn not_allowed() -> Error {
    ErrorKind::InvalidAlgorithm.into()
}

struct Ring {
    algorithm: Named,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), NotSigned> {
        self.key.verify(message, signature).map_err(|_| NotSigned::new())
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Named {
        self.algorithm
    }
}
