//! Revocation lists (RFC 5280, section 5) from files.

use super::{Revocations, Standing};
use crate::certificate::{Certificate, name_text, seconds, whole_bytes};
use crate::key::Signing;
use crate::statement::KeyFingerprint;
use crate::untrue::Fault;
use std::collections::HashSet;
use std::sync::OnceLock;
use x509_parser::prelude::{
    CertificateRevocationList, FromDer as _, ParsedExtension, X509Extension,
};

/// One list, taken apart. Who signed it is judged when it is used.
pub(crate) struct RevocationList {
    /// The authority's name, DER.
    pub(crate) issuer: Vec<u8>,
    /// The same for people.
    pub(crate) issuer_text: String,
    signed: Vec<u8>,
    signing: Signing,
    signature: Vec<u8>,
    /// When it was made, in seconds since 1970 UTC.
    pub(crate) from_unix_s: u64,
    until_unix_s: u64,
    serials: HashSet<Vec<u8>>,
    /// The key that was found to have signed it, so that it is found once.
    signer: OnceLock<KeyFingerprint>,
}

impl RevocationList {
    /// Takes `der` apart.
    ///
    /// # Errors
    /// [`Fault::Unreadable`], [`Fault::Algorithm`].
    pub(crate) fn read(der: &[u8]) -> Result<Self, Fault> {
        let unreadable = |why: &str| Fault::Unreadable(format!("this revocation list: {why}"));
        let (rest, parsed) =
            CertificateRevocationList::from_der(der).map_err(|_| unreadable("it is none"))?;
        if !rest.is_empty() {
            return Err(unreadable("something follows it"));
        }
        let inner = &parsed.tbs_cert_list;
        if inner.signature != parsed.signature_algorithm {
            return Err(unreadable("it names two algorithms for one signature"));
        }
        // A list of some of the certificates only, or of changes only, must not pass for all.
        let partial = |extension: &X509Extension<'_>| {
            extension.critical
                || matches!(
                    extension.parsed_extension(),
                    ParsedExtension::IssuingDistributionPoint(_)
                        | ParsedExtension::ParseError { .. }
                )
        };
        let entries = &inner.revoked_certificates;
        if inner.extensions().iter().any(partial)
            || entries
                .iter()
                .any(|entry| entry.extensions().iter().any(|extension| extension.critical))
        {
            return Err(unreadable("it is limited in a way that is not known here"));
        }
        let until = inner.next_update.ok_or_else(|| unreadable("it does not say when it ends"))?;
        Ok(Self {
            issuer: inner.issuer.as_raw().to_vec(),
            issuer_text: name_text(&inner.issuer),
            signed: inner.as_ref().to_vec(),
            signing: Signing::of(&parsed.signature_algorithm.algorithm.to_id_string())?,
            signature: whole_bytes(&parsed.signature_value)
                .ok_or_else(|| unreadable("its signature is no whole bytes"))?,
            from_unix_s: seconds(inner.this_update),
            until_unix_s: seconds(until),
            signer: OnceLock::new(),
            serials: entries.iter().map(|entry| entry.raw_serial().to_vec()).collect(),
        })
    }

    /// Whether `issuer` signed it and might.
    pub(crate) fn is_of(&self, issuer: &Certificate) -> bool {
        let may = self.issuer == issuer.subject && issuer.may_list();
        if may && self.signer.get() == Some(&issuer.key()) {
            return true;
        }
        let is_signed = may && issuer.key.signed(self.signing, &self.signed, &self.signature);
        if is_signed {
            self.signer.get_or_init(|| issuer.key());
        }
        is_signed
    }
}

impl Revocations for Vec<RevocationList> {
    fn judge(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at_unix_s: u64,
    ) -> Result<Standing, Fault> {
        let theirs: Vec<_> = self.iter().filter(|list| list.is_of(issuer)).collect();
        // Whoever was revoked stays so, also where the list has ended since.
        if theirs.iter().any(|list| list.serials.contains(&certificate.serial)) {
            return Err(Fault::Revoked);
        }
        if theirs.is_empty() {
            return Ok(Standing::Silent);
        }
        let is_current = |list: &&&RevocationList| {
            list.from_unix_s <= at_unix_s && at_unix_s <= list.until_unix_s
        };
        if theirs.iter().any(|list| is_current(&list)) {
            return Ok(Standing::Good);
        }
        Err(Fault::RevocationUnknown("its authority's list here is out of date".to_owned()))
    }
}
