//! Authorities, persons and what they sign, for all tests of this room.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature as sig;
use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use warifu_consent::card::{Algorithm, Card, CardError};
use warifu_consent::jws;
use warifu_consent::statement::{
    Consent, Locator, Nonce, Place, Presence, PresenceKind, Statement, StatementId, VERSION,
};
use warifu_core::{ObjectId, XCoord};

/// The middle of 2026: certificates here are good from 2020 to 2040 unless a test says otherwise.
pub(crate) const NOW: u64 = 1_782_000_000;

/// An authority.
pub(crate) struct Authority {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) certificate: Vec<u8>,
}

/// What an authority's certificate says.
pub(crate) fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dated(&mut params);
    params
}

/// What a person's certificate says.
pub(crate) fn person_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    dated(&mut params);
    params
}

fn dated(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::of(authority_params(name))
    }

    pub(crate) fn of(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, certificate }
    }

    /// One below this one.
    pub(crate) fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Self { params, key, certificate }
    }

    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A certificate for `key`.
    pub(crate) fn certify(
        &self,
        params: &CertificateParams,
        key: &impl rcgen::PublicKeyData,
    ) -> Vec<u8> {
        params.signed_by(key, &self.issuer()).unwrap().der().to_vec()
    }

    /// A card of P-256 for `name`.
    pub(crate) fn card(&self, name: &str) -> TestCard {
        self.card_of(&person_params(name), KeyPair::generate().unwrap())
    }

    /// A card for whomever `params` names, with `key`.
    pub(crate) fn card_of(&self, params: &CertificateParams, key: KeyPair) -> TestCard {
        let certificate = self.certify(params, &key);
        TestCard::new(key, vec![certificate])
    }

    /// A list of revoked serial numbers, good from 2026-01-01 to `until` (year, month, day).
    pub(crate) fn list(&self, serials: &[u64], until: (i32, u8, u8)) -> Vec<u8> {
        self.list_from(serials, (2026, 1, 1), until)
    }

    /// The same, of another day.
    pub(crate) fn list_from(
        &self,
        serials: &[u64],
        from: (i32, u8, u8),
        until: (i32, u8, u8),
    ) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(from.0, from.1, from.2),
            next_update: date_time_ymd(until.0, until.1, until.2),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
}

/// A card whose key is here.
pub(crate) struct TestCard {
    pub(crate) chain: Vec<Vec<u8>>,
    algorithm: Algorithm,
    pkcs8: Vec<u8>,
}

impl TestCard {
    pub(crate) fn new(key: KeyPair, chain: Vec<Vec<u8>>) -> Self {
        let algorithm = match key.algorithm() {
            kind if kind == &rcgen::PKCS_ECDSA_P384_SHA384 => Algorithm::Es384,
            kind if kind == &rcgen::PKCS_RSA_SHA256 => Algorithm::Rs256,
            _ => Algorithm::Es256,
        };
        Self { chain, algorithm, pkcs8: key.serialize_der() }
    }

    pub(crate) fn key(&self) -> warifu_consent::statement::KeyFingerprint {
        jws::key_of(&self.chain[0]).unwrap()
    }

    /// The same key with other certificates.
    pub(crate) fn with_chain(&self, chain: Vec<Vec<u8>>) -> Self {
        Self { chain, algorithm: self.algorithm, pkcs8: self.pkcs8.clone() }
    }

    pub(crate) fn raw(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let by_curve = |curve| {
            let pair = sig::EcdsaKeyPair::from_pkcs8(curve, &self.pkcs8, &random).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        };
        match self.algorithm {
            Algorithm::Es256 => by_curve(&sig::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => by_curve(&sig::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Rs256 => {
                let pair = sig::RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap();
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&sig::RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    pub(crate) fn says<S: Statement>(&mut self, statement: &S) -> String {
        jws::sign(statement, self).unwrap()
    }

    /// A JWS with any header and payload, signed with this key.
    pub(crate) fn forge(&self, header: &serde_json::Value, payload: &[u8]) -> String {
        let header = serde_json::to_vec(header).unwrap();
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.raw(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The header that a statement of this kind has.
    pub(crate) fn header<S: Statement>(&self) -> serde_json::Value {
        let alg = match self.algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
        };
        let x5c: Vec<_> = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        serde_json::json!({ "typ": S::TYPE, "alg": alg, "x5c": x5c })
    }
}

impl Card for TestCard {
    fn chain(&mut self) -> Result<Vec<Vec<u8>>, CardError> {
        Ok(self.chain.clone())
    }

    fn algorithm(&mut self) -> Result<Algorithm, CardError> {
        Ok(self.algorithm)
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, CardError> {
        Ok(self.raw(message))
    }

    fn is_software(&self) -> bool {
        true
    }
}

/// A key of RSA, which `openssl` makes: the library at hand makes none.
pub(crate) fn rsa_key(bits: u32) -> String {
    let bits = format!("rsa_keygen_bits:{bits}");
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits])
}

/// What `openssl` prints.
pub(crate) fn openssl(arguments: &[&str]) -> String {
    let run = Command::new("openssl").args(arguments).output();
    let run = run.expect("openssl must be installed: tools/setup");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The object that tests ask for.
pub(crate) fn object() -> ObjectId {
    ObjectId::from_bytes([7; 16])
}

/// One range, as statements have it.
pub(crate) fn one(range: Range<u64>) -> Option<Vec<Range<u64>>> {
    Some(vec![range])
}

/// The challenge that the site drew.
pub(crate) const NONCE: Nonce = Nonce([9; 32]);

/// A consent that holds at [`NOW`].
pub(crate) fn consent() -> Consent {
    Consent {
        v: VERSION,
        id: StatementId([1; 16]),
        individual: "P1".parse().unwrap(),
        requester: "hospital".parse().unwrap(),
        purpose: "diagnosis".to_owned(),
        at: NOW - 100,
        not_before: NOW - 100,
        expires: NOW + 3_600,
        single_use: false,
        objects: vec![locator()],
    }
}

pub(crate) fn locator() -> Locator {
    let place = |(index, site): (usize, &str)| Place {
        site: site.parse().unwrap(),
        x: XCoord::new(u8::try_from(index).unwrap() + 1).unwrap(),
    };
    Locator {
        object: object(),
        k: 2,
        n: 3,
        payload_bytes: 1 << 20,
        ranges: None,
        shares: ["tokyo", "osaka", "sendai"].into_iter().enumerate().map(place).collect(),
    }
}

/// The presence that goes with [`consent`].
pub(crate) fn presence() -> Presence {
    Presence {
        v: VERSION,
        kind: PresenceKind::Restore,
        consent: Some(consent().id),
        requester: "hospital".parse().unwrap(),
        session: StatementId([2; 16]),
        object: Some(object()),
        ranges: None,
        nonces: BTreeMap::from([("osaka".to_owned(), Nonce([8; 32])), ("tokyo".to_owned(), NONCE)]),
        at: NOW,
    }
}
