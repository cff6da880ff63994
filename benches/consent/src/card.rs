//! Cards whose keys are here, and the authority that issued them.

use crate::moment::{Moment, Span};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
    date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature as sig;
use std::error::Error;
use warifu_consent::card::{Algorithm, Card, CardError};

pub(crate) type Fails<T> = Result<T, Box<dyn Error>>;

/// The authority of all cards.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Fails<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority of the bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { params, key: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)? })
    }

    pub(crate) fn pem(&self) -> Fails<String> {
        Ok(self.params.self_signed(&self.key)?.pem())
    }

    /// A list of `entries` revoked cards, none of them of the bench.
    pub(crate) fn list(&self, entries: u64) -> Fails<Vec<u8>> {
        let revoked = |number: u64| RevokedCertParams {
            serial_number: SerialNumber::from((1 << 62) + number),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: (0..entries).map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        Ok(params.signed_by(&issuer)?.der().to_vec())
    }

    /// The card of individual `number`, with a key of its own.
    pub(crate) fn card(&self, number: u64, kind: &'static SignatureAlgorithm) -> Fails<BenchCard> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("P{number}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from(number));
        let key = KeyPair::generate_for(kind)?;
        self.certified(&params, &key)
    }

    fn certified(&self, params: &CertificateParams, key: &KeyPair) -> Fails<BenchCard> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let chain = vec![params.signed_by(key, &issuer)?.der().to_vec()];
        let random = SystemRandom::new();
        let (algorithm, curve) = if key.algorithm() == &rcgen::PKCS_ECDSA_P384_SHA384 {
            (Algorithm::Es384, &sig::ECDSA_P384_SHA384_FIXED_SIGNING)
        } else {
            (Algorithm::Es256, &sig::ECDSA_P256_SHA256_FIXED_SIGNING)
        };
        let pair = sig::EcdsaKeyPair::from_pkcs8(curve, key.serialized_der(), &random)
            .map_err(|why| why.to_string())?;
        Ok(BenchCard {
            chain,
            algorithm,
            key: Key::Ecdsa(Box::new(pair)),
            random,
            spent: Moment::NONE,
        })
    }

    /// A card with the key of RSA in `pem`, for individual `number`.
    pub(crate) fn rsa_card(&self, number: u64, pem: &str) -> Fails<BenchCard> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("P{number}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from(number));
        let key = KeyPair::from_pem(pem)?;
        let issuer = Issuer::from_params(&self.params, &self.key);
        let chain = vec![params.signed_by(&key, &issuer)?.der().to_vec()];
        let pair =
            sig::RsaKeyPair::from_pkcs8(key.serialized_der()).map_err(|why| why.to_string())?;
        let random = SystemRandom::new();
        let key = Key::Rsa(Box::new(pair));
        Ok(BenchCard { chain, algorithm: Algorithm::Rs256, key, random, spent: Moment::NONE })
    }
}

enum Key {
    Ecdsa(Box<sig::EcdsaKeyPair>),
    Rsa(Box<sig::RsaKeyPair>),
}

/// A card that counts its own time.
pub(crate) struct BenchCard {
    pub(crate) chain: Vec<Vec<u8>>,
    algorithm: Algorithm,
    key: Key,
    random: SystemRandom,
    spent: Span,
}

impl BenchCard {
    /// How long it has signed since it was last asked.
    pub(crate) fn spent(&mut self) -> Span {
        std::mem::replace(&mut self.spent, Moment::NONE)
    }
}

impl Card for BenchCard {
    fn chain(&mut self) -> Result<Vec<Vec<u8>>, CardError> {
        Ok(self.chain.clone())
    }

    fn algorithm(&mut self) -> Result<Algorithm, CardError> {
        Ok(self.algorithm)
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, CardError> {
        let started = Moment::now();
        let failed = |_| CardError::Failed("ring".to_owned());
        let signature = match &self.key {
            Key::Ecdsa(pair) => pair.sign(&self.random, message).map_err(failed)?.as_ref().to_vec(),
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&sig::RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map_err(failed)?;
                signature
            }
        };
        let (clock, cpu) = started.elapsed();
        self.spent = (self.spent.0 + clock, self.spent.1 + cpu);
        Ok(signature)
    }

    fn is_software(&self) -> bool {
        true
    }
}

/// `der` as a file of PEM has it.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
