//! Certificates, taken apart once: all that anything here asks of them.

use crate::bounds;
use crate::key::{PublicKey, Signing};
use crate::lab::ORGANIZATION;
use crate::statement::KeyFingerprint;
use crate::untrue::{Fault, Untrue};
use x509_parser::extensions::{ExtendedKeyUsage, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Extension, X509Name, X509Version};
use x509_parser::time::ASN1Time;

/// The longest certificate in bytes.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 16 << 10;

/// A certificate (X.509 version 3) whose key is of an allowed kind. Nothing else of it was
/// judged.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The whole, DER.
    pub(crate) der: Vec<u8>,
    /// What its issuer signed.
    signed: Vec<u8>,
    signing: Result<Signing, Fault>,
    signature: Vec<u8>,
    /// The issuer's name, DER.
    pub(crate) issuer: Vec<u8>,
    /// Its own name, DER.
    pub(crate) subject: Vec<u8>,
    /// Its own name for people.
    pub(crate) subject_text: String,
    /// The number under which its issuer knows it, as it stands there.
    pub(crate) serial: Vec<u8>,
    /// Its key.
    pub(crate) key: PublicKey,
    not_before_unix_s: u64,
    /// Its last second, since 1970 UTC.
    pub(crate) not_after_unix_s: u64,
    /// Whether it is an authority, and how many authorities may stand between it and a card.
    authority: Option<Option<u32>>,
    usage: Option<Usage>,
    /// What else its key may be used for, where that is limited.
    purposes: Option<Purposes>,
    /// A limit that it sets and that is not understood here.
    strange: Option<&'static str>,
    /// Whether it or its issuer is a lab's authority.
    pub(crate) is_lab: bool,
}

#[derive(Clone, Copy, Debug)]
struct Usage {
    may_sign: bool,
    may_certify: bool,
    may_list: bool,
}

#[derive(Clone, Copy, Debug)]
struct Purposes {
    may_authenticate: bool,
    may_answer: bool,
}

impl Certificate {
    /// Takes `der` apart.
    ///
    /// # Errors
    /// [`Fault::Unreadable`], [`Fault::Algorithm`] or [`Fault::Weak`].
    pub fn read(der: &[u8]) -> Result<Self, Untrue> {
        let unreadable = |why: &str| nameless(Fault::Unreadable(why.to_owned()));
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(unreadable("it is longer than 16 KiB"));
        }
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| unreadable("it is no certificate"))?;
        if !rest.is_empty() {
            return Err(unreadable("something follows it"));
        }
        Self::of(der, &parsed)
            .map_err(|fault| Untrue::Certificate { fault, subject: name_text(parsed.subject()) })
    }

    fn of(der: &[u8], parsed: &X509Certificate<'_>) -> Result<Self, Fault> {
        let unreadable = |why: &str| Fault::Unreadable(why.to_owned());
        let inner = &parsed.tbs_certificate;
        if inner.version != X509Version::V3 {
            return Err(unreadable("it is not of version 3"));
        }
        if inner.signature != parsed.signature_algorithm {
            return Err(unreadable("it names two algorithms for one signature"));
        }
        let mut this = Self {
            der: der.to_vec(),
            signed: inner.as_ref().to_vec(),
            signing: Signing::of(&parsed.signature_algorithm.algorithm.to_id_string()),
            signature: whole_bytes(&parsed.signature_value)
                .ok_or_else(|| unreadable("its signature is no whole bytes"))?,
            issuer: parsed.issuer().as_raw().to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            subject_text: name_text(parsed.subject()),
            serial: parsed.raw_serial().to_vec(),
            key: PublicKey::of(parsed.public_key())?,
            not_before_unix_s: seconds(inner.validity.not_before),
            not_after_unix_s: seconds(inner.validity.not_after),
            authority: None,
            usage: None,
            purposes: None,
            strange: None,
            is_lab: [parsed.subject(), parsed.issuer()].into_iter().any(is_lab),
        };
        let mut seen = Vec::new();
        for extension in parsed.extensions() {
            if seen.contains(&&extension.oid) {
                return Err(unreadable("it says something twice"));
            }
            seen.push(&extension.oid);
            this.heed(extension)?;
        }
        Ok(this)
    }

    /// Takes in what an extension says.
    fn heed(&mut self, extension: &X509Extension<'_>) -> Result<(), Fault> {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(basic) => {
                self.authority = basic.ca.then_some(basic.path_len_constraint);
            }
            ParsedExtension::KeyUsage(usage) => {
                self.usage = Some(Usage {
                    may_sign: usage.digital_signature(),
                    may_certify: usage.key_cert_sign(),
                    may_list: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(purposes) => {
                self.purposes = Some(Purposes {
                    may_authenticate: purposes.any || purposes.client_auth,
                    may_answer: answers(purposes),
                });
            }
            ParsedExtension::NameConstraints(_) => {
                self.strange = Some("it limits the names below it, which is not understood here");
            }
            ParsedExtension::PolicyConstraints(_) | ParsedExtension::PolicyMappings(_) => {
                self.strange = Some("it limits policies below it, which is not understood here");
            }
            // Which policies it was issued under need not be known where none is asked for, also
            // where it is marked critical: many a state's cards do so.
            ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::InhibitAnyPolicy(_)
            | ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::IssuerAlternativeName(_)
            | ParsedExtension::CRLDistributionPoints(_) => {}
            ParsedExtension::ParseError { .. } => {
                return Err(Fault::Unreadable("one of its extensions is malformed".to_owned()));
            }
            _ if extension.critical => {
                self.strange = Some("it has a critical extension that is not known here");
            }
            _ => {}
        }
        Ok(())
    }

    /// The fingerprint of its key.
    #[must_use]
    pub fn key(&self) -> KeyFingerprint {
        self.key.fingerprint()
    }

    /// Whose it is, for people.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject_text
    }

    /// Whether it fits to sign statements at `at_unix_s`. Who issued it is another question.
    pub(crate) fn fits_card(&self, at_unix_s: u64) -> Result<(), Untrue> {
        self.timely(at_unix_s)?;
        let usage = |why| Err(self.not(Fault::Usage(why)));
        match self {
            Self { authority: Some(_), .. } => usage("it is an authority's own"),
            Self { usage: None, .. } => usage("it does not say what its key is for"),
            Self { usage: Some(Usage { may_sign: false, .. }), .. } => {
                usage("its key is not for digital signatures")
            }
            Self { purposes: Some(Purposes { may_authenticate: false, .. }), .. } => {
                usage("its key is not for a person's authentication")
            }
            Self { strange: Some(strange), .. } => usage(strange),
            _ => Ok(()),
        }
    }

    /// Whether it fits to issue certificates at `at_unix_s`, with `below` authorities between.
    pub(crate) fn fits_authority(&self, below: usize, at_unix_s: u64) -> Result<(), Untrue> {
        let may_certify = self.usage.is_none_or(|usage| usage.may_certify);
        let Some(limit) = self.authority.filter(|_| may_certify) else {
            return Err(self.not(Fault::Issuer));
        };
        if limit.is_some_and(|limit| below > limit as usize) {
            return Err(self.not(Fault::Chain(
                "an authority above it allows fewer authorities in between".to_owned(),
            )));
        }
        if let Some(strange) = self.strange {
            return Err(self.not(Fault::Usage(strange)));
        }
        // What an authority limits its own key to, it limits those below it to.
        if self.purposes.is_some_and(|purposes| !purposes.may_authenticate) {
            return Err(self.not(Fault::Usage("it is no authority for persons' authentication")));
        }
        self.timely(at_unix_s)
    }

    /// Whether it fits to answer about revocation for its issuer at `at_unix_s`.
    pub(crate) fn fits_responder(&self, at_unix_s: u64) -> bool {
        self.timely(at_unix_s).is_ok()
            && self.purposes.is_some_and(|purposes| purposes.may_answer)
            && self.strange.is_none()
    }

    /// Whether its key may sign revocation lists.
    pub(crate) fn may_list(&self) -> bool {
        self.authority.is_some() && self.usage.is_none_or(|usage| usage.may_list)
    }

    fn timely(&self, at_unix_s: u64) -> Result<(), Untrue> {
        if at_unix_s < self.not_before_unix_s {
            return Err(self.not(Fault::NotYet));
        }
        if at_unix_s > self.not_after_unix_s {
            return Err(self.not(Fault::Expired));
        }
        Ok(())
    }

    /// Whether `issuer` has the name of its issuer and signed it.
    ///
    /// # Errors
    /// [`Fault::Algorithm`] where it was signed in a way that is not allowed.
    pub(crate) fn is_issued_by(&self, issuer: &Self) -> Result<bool, Untrue> {
        let signing = self.signing.clone().map_err(|fault| self.not(fault))?;
        Ok(self.issuer == issuer.subject
            && issuer.key.signed(signing, &self.signed, &self.signature))
    }

    /// That it has this fault.
    pub(crate) fn not(&self, fault: Fault) -> Untrue {
        Untrue::Certificate { fault, subject: self.subject_text.clone() }
    }
}

/// A fault of a certificate whose name is not known.
pub(crate) fn nameless(fault: Fault) -> Untrue {
    Untrue::Certificate { fault, subject: "a certificate".to_owned() }
}

/// The bytes of a bit string, where it is one of whole bytes.
pub(crate) fn whole_bytes(bits: &x509_parser::asn1_rs::BitString<'_>) -> Option<Vec<u8>> {
    (bits.unused_bits == 0).then(|| bits.data.to_vec())
}

/// Seconds since 1970 UTC; what lies before is 1970 itself.
pub(crate) fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}

/// A name for people, who read it on a terminal: short, on one line.
pub(crate) fn name_text(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    let clean = |letter: char| if bounds::misleads(letter) { '\u{fffd}' } else { letter };
    if text.is_empty() {
        "a nameless one".to_owned()
    } else {
        text.chars().take(160).map(clean).collect()
    }
}

/// Whether the name is that of a lab's authority.
pub(crate) fn is_lab(name: &X509Name<'_>) -> bool {
    name.iter_organization().any(|organization| organization.as_str() == Ok(ORGANIZATION))
}

/// Whether its key is for answers about revocation: by name, "any" does not do.
fn answers(purposes: &ExtendedKeyUsage<'_>) -> bool {
    purposes.ocsp_signing
}
