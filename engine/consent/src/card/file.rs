//! A key in a file, for labs: what stands in for a card where none is.

use super::certificate::OwnCertificate;
use super::{Algorithm, Card, CardError};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// A key and its certificates, both read from PEM files.
pub struct FileCard {
    own: OwnCertificate,
    above: Vec<Vec<u8>>,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl FileCard {
    /// Reads the key (PKCS#8, or PKCS#1 for RSA) and its certificates, its own first.
    ///
    /// # Errors
    /// [`CardError::Absent`] where a file can't be read, [`CardError::Unfit`] where it holds
    /// something else, or the two don't belong together.
    pub fn open(key: &Path, certificates: &Path) -> Result<Self, CardError> {
        let pem = bounded(certificates)?;
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            chain.push(certificate.map_err(|_| no_pem(certificates, "certificate"))?.to_vec());
        }
        if chain.is_empty() {
            return Err(no_pem(certificates, "certificate"));
        }
        let own = OwnCertificate::read(chain.remove(0))?;
        let pair = Key::read(&bounded(key)?, own.algorithm, key)?;
        if !own.certifies(pair.public()) {
            let (key, certificates) = (key.display(), certificates.display());
            let what = format!("the key in {key} is not the one that {certificates} certifies");
            return Err(CardError::Unfit(what));
        }
        Ok(Self { own, above: chain, key: pair })
    }
}

impl Card for FileCard {
    fn chain(&mut self) -> Result<Vec<Vec<u8>>, CardError> {
        let own = std::iter::once(self.own.der.clone());
        Ok(own.chain(self.above.iter().cloned()).collect())
    }

    fn algorithm(&mut self) -> Result<Algorithm, CardError> {
        Ok(self.own.algorithm)
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, CardError> {
        let signature = self.key.sign(message)?;
        self.own.confirm(message, &signature)?;
        Ok(signature)
    }

    fn is_software(&self) -> bool {
        true
    }
}

impl Key {
    /// The first key in `pem`, which has to be of the kind that the certificate says.
    fn read(pem: &[u8], algorithm: Algorithm, path: &Path) -> Result<Self, CardError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| no_pem(path, "key"))?;
        let key = Zeroizing::new(key);
        let curve = match algorithm {
            Algorithm::Rs256 => {
                let pair = match &*key {
                    PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
                    other => RsaKeyPair::from_pkcs8(other.secret_der()),
                };
                return pair.map(Self::Rsa).map_err(|_| no_key(path, "RSA, 2,048 to 4,096 bits"));
            }
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::from_pkcs8(curve, key.secret_der(), &SystemRandom::new());
        pair.map(Self::Ecdsa).map_err(|_| no_key(path, "ECDSA on the certificate's curve, PKCS#8"))
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Ecdsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CardError> {
        let random = SystemRandom::new();
        let failed = |_| CardError::Failed("the key in the file does not sign".to_owned());
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

/// The bytes of a file that may hold a key.
pub(crate) fn bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, CardError> {
    let absent = |error| CardError::Absent(format!("{} can't be read: {error}", path.display()));
    // Whole at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    let file = File::open(path).map_err(absent)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(absent)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CardError::Unfit(format!("{} is longer than 256 KiB", path.display())));
    }
    Ok(bytes)
}

fn no_pem(path: &Path, what: &str) -> CardError {
    CardError::Unfit(format!("{} holds no {what} in PEM", path.display()))
}

fn no_key(path: &Path, kind: &str) -> CardError {
    let what = "is not a key of the kind that the certificate says";
    CardError::Unfit(format!("what {} holds {what}: {kind}", path.display()))
}
