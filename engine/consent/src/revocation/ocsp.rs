//! A responder that is asked over HTTP (OCSP, RFC 6960). The answer is signed, so the way to it
//! need not be.

use super::{Revocations, Standing};
use crate::certificate::Certificate;
use crate::key::Signing;
use crate::untrue::Fault;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Any, Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request,
    SingleResponse, TbsRequest, Version,
};

/// How long a responder may take, in seconds.
const ANSWER_S_MAX: u64 = 5;

/// The longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// How far its clock may be from ours, in seconds.
const SKEW_S: u64 = 300;

/// How old an answer without an end may be, in seconds.
const AGE_S_MAX: u64 = 86_400;

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// How a question reaches a responder: its answer, or why there is none.
type Way = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync>;

/// A responder in reach.
pub struct Responder {
    way: Way,
}

impl Responder {
    /// The responder at `url`, which begins with `http://`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let url = url.to_owned();
        Self::reached_by(Box::new(move |question| {
            post(&url, question).map_err(|why| why.to_string())
        }))
    }

    /// A responder that is reached in another way: a question (DER) in, an answer out.
    #[must_use]
    pub fn reached_by(way: Way) -> Self {
        Self { way }
    }
}

impl Revocations for Responder {
    fn judge(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at_unix_s: u64,
    ) -> Result<Standing, Fault> {
        let asked = Question::new(certificate, issuer)?;
        let answer = (self.way)(&asked.request()?)
            .map_err(|why| unknown(format!("the responder does not answer: {why}")))?;
        asked.standing(&answer, issuer, at_unix_s)
    }
}

fn post(url: &str, question: &[u8]) -> Result<Vec<u8>, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(ANSWER_S_MAX)))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let mut answer = agent.post(url).content_type("application/ocsp-request").send(question)?;
    answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()
}

/// What is asked about one certificate.
struct Question {
    named: CertId,
    nonce: [u8; 16],
}

impl Question {
    fn new(certificate: &Certificate, issuer: &Certificate) -> Result<Self, Fault> {
        let hash = |bytes| OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
        let no_name = |_| unknown("the certificate can't be named to a responder".to_owned());
        let named = CertId {
            // Responders know certificates by SHA-1. Nothing rests on it: the serial number and
            // the authority's own signature say whose standing it is.
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: SHA1,
                parameters: Some(Any::from(Null)),
            },
            issuer_name_hash: hash(&certificate.issuer).map_err(no_name)?,
            issuer_key_hash: hash(issuer.key.bits()).map_err(no_name)?,
            serial_number: SerialNumber::new(&certificate.serial).map_err(no_name)?,
        };
        let mut nonce = [0; 16];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| unknown("this machine gives no random bytes".to_owned()))?;
        Ok(Self { named, nonce })
    }

    fn request(&self) -> Result<Vec<u8>, Fault> {
        let no_request = |_| unknown("the question can't be written".to_owned());
        let nonce = OctetString::new(&self.nonce[..]).and_then(|nonce| nonce.to_der());
        let nonce = nonce.and_then(OctetString::new).map_err(no_request)?;
        let request = OcspRequest {
            tbs_request: TbsRequest {
                version: Version::V1,
                requestor_name: None,
                request_list: vec![Request {
                    req_cert: self.named.clone(),
                    single_request_extensions: None,
                }],
                request_extensions: Some(vec![Extension {
                    extn_id: NONCE,
                    critical: false,
                    extn_value: nonce,
                }]),
            },
            optional_signature: None,
        };
        request.to_der().map_err(no_request)
    }

    /// What `answer`, which came from anywhere, says about the certificate.
    fn standing(
        &self,
        answer: &[u8],
        issuer: &Certificate,
        at_unix_s: u64,
    ) -> Result<Standing, Fault> {
        let basic = opened(answer)?;
        if !is_signed(&basic, issuer, at_unix_s)? {
            return Err(unknown("the answer is not signed by the authority".to_owned()));
        }
        let is_fresh = match basic.nonce() {
            Some(nonce) if nonce.0.as_bytes() != self.nonce => {
                return Err(unknown("the answer is to another question".to_owned()));
            }
            nonce => nonce.is_some(),
        };
        let single = basic
            .tbs_response_data
            .responses
            .iter()
            .find(|single| self.is_about(single))
            .ok_or_else(|| unknown("the answer is about another certificate".to_owned()))?;
        timely(single, is_fresh, at_unix_s)?;
        match single.cert_status {
            CertStatus::Good(_) => Ok(Standing::Good),
            CertStatus::Revoked(_) => Err(Fault::Revoked),
            CertStatus::Unknown(_) => {
                Err(unknown("the responder does not know the certificate".to_owned()))
            }
        }
    }

    fn is_about(&self, single: &SingleResponse) -> bool {
        let (ours, theirs) = (&self.named, &single.cert_id);
        ours.hash_algorithm.oid == theirs.hash_algorithm.oid
            && ours.issuer_name_hash == theirs.issuer_name_hash
            && ours.issuer_key_hash == theirs.issuer_key_hash
            && ours.serial_number == theirs.serial_number
            && single.single_extensions.iter().flatten().all(|extension| !extension.critical)
    }
}

/// The signed part of `answer`.
fn opened(answer: &[u8]) -> Result<BasicOcspResponse, Fault> {
    let no_answer = |_| unknown("the answer can't be read".to_owned());
    let outer = OcspResponse::from_der(answer).map_err(no_answer)?;
    if outer.response_status != OcspResponseStatus::Successful {
        return Err(unknown(format!("the responder refuses: {:?}", outer.response_status)));
    }
    let inner = outer
        .response_bytes
        .filter(|inner| inner.response_type == BASIC)
        .ok_or_else(|| unknown("the answer is of a kind that is not known".to_owned()))?;
    BasicOcspResponse::from_der(inner.response.as_bytes()).map_err(no_answer)
}

/// Whether the authority signed the answer, or one whom it certified for just that.
fn is_signed(
    basic: &BasicOcspResponse,
    issuer: &Certificate,
    at_unix_s: u64,
) -> Result<bool, Fault> {
    let signing = Signing::of(&basic.signature_algorithm.oid.to_string())
        .map_err(|_| unknown("the answer is signed in a way that is not allowed".to_owned()))?;
    let no_answer = |_| unknown("the answer can't be read".to_owned());
    let message = basic.tbs_response_data.to_der().map_err(no_answer)?;
    let Some(signature) = basic.signature.as_bytes() else { return Ok(false) };
    if issuer.key.signed(signing, &message, signature) {
        return Ok(true);
    }
    let delegates = basic.certs.iter().flatten().take(4);
    Ok(delegates.filter_map(|certificate| certificate.to_der().ok()).any(|der| {
        Certificate::read(&der).is_ok_and(|delegate| {
            delegate.is_issued_by(issuer).unwrap_or(false)
                && delegate.fits_responder(at_unix_s)
                && delegate.key.signed(signing, &message, signature)
        })
    }))
}

/// Whether `single` is of now. One that answers our own nonce is, whatever it says about its end.
fn timely(single: &SingleResponse, is_fresh: bool, at_unix_s: u64) -> Result<(), Fault> {
    let from_unix_s = single.this_update.0.to_unix_duration().as_secs();
    let until_unix_s = match &single.next_update {
        Some(until) => until.0.to_unix_duration().as_secs(),
        None if is_fresh => at_unix_s,
        None => from_unix_s.saturating_add(AGE_S_MAX),
    };
    if from_unix_s > at_unix_s.saturating_add(SKEW_S)
        || until_unix_s.saturating_add(SKEW_S) < at_unix_s
    {
        return Err(unknown("the responder's answer is out of date".to_owned()));
    }
    Ok(())
}

fn unknown(why: String) -> Fault {
    Fault::RevocationUnknown(why)
}
