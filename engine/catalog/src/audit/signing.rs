//! A vault's word on its own log: Ed25519 over where the log stands, and over reports.
//!
//! What is signed begins with a label of its own, so that no signature can serve for something
//! else. No secret rests on this: a log is only kept honest by the checkpoints that others hold.

use super::{AuditHead, checkpoints::CheckpointRow};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use warifu_core::LinkId;

/// What stands before a checkpoint.
const CHECKPOINT_LABEL: &[u8] = b"warifu audit checkpoint 1\0";

/// What stands before a report.
const REPORT_LABEL: &[u8] = b"warifu audit report 1\0";

/// The key with which a vault signs where its log stands.
pub struct AuditKey {
    pair: Ed25519KeyPair,
}

impl AuditKey {
    /// The key of a seed: 32 bytes that nobody can foretell. `None` where it is no seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(|pair| Self { pair })
    }

    /// The public part.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        bytes
    }

    /// Signs where a log stands at a time, in seconds since 1970 UTC.
    #[must_use]
    pub fn sign_head(&self, head: &AuditHead, at_unix_s: u64) -> [u8; 64] {
        self.sign(&head_message(head, at_unix_s))
    }

    /// Signs a report, whatever it says.
    #[must_use]
    pub fn sign_report(&self, report: &str) -> [u8; 64] {
        self.sign(&[REPORT_LABEL, report.as_bytes()].concat())
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }
}

/// Whether `signature` is that of a log's key over where it stood.
#[must_use]
pub fn is_head_signed(
    head: &AuditHead,
    at_unix_s: u64,
    signature: &[u8; 64],
    public_key: &[u8; 32],
) -> bool {
    is_signed(&head_message(head, at_unix_s), signature, public_key)
}

/// Whether `signature` is that of a key over a report.
#[must_use]
pub fn is_report_signed(report: &str, signature: &[u8; 64], public_key: &[u8; 32]) -> bool {
    is_signed(&[REPORT_LABEL, report.as_bytes()].concat(), signature, public_key)
}

impl CheckpointRow {
    /// Where a log stands, signed by its own vault, to be held under the name of `link`.
    #[must_use]
    pub fn signed(key: &AuditKey, head: &AuditHead, at_unix_s: u64, link: LinkId) -> Self {
        Self {
            link,
            entries: head.entries,
            chain: head.chain,
            at_unix_s,
            signature: key.sign_head(head, at_unix_s),
            public_key: key.public_key(),
        }
    }

    /// Where the log stood.
    #[must_use]
    pub fn head(&self) -> AuditHead {
        AuditHead { entries: self.entries, chain: self.chain }
    }

    /// Whether it bears the signature of the key in it. Whose key that is, the link tells over
    /// which it came.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        is_head_signed(&self.head(), self.at_unix_s, &self.signature, &self.public_key)
    }
}

fn is_signed(message: &[u8], signature: &[u8; 64], public_key: &[u8; 32]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

fn head_message(head: &AuditHead, at_unix_s: u64) -> Vec<u8> {
    let numbers = [head.entries.to_le_bytes(), at_unix_s.to_le_bytes()].concat();
    [CHECKPOINT_LABEL, &head.chain, &numbers].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_serves_for_what_was_signed_and_nothing_else() {
        let key = AuditKey::from_seed(&[7; 32]).unwrap();
        let (signer, head) = (key.public_key(), AuditHead { entries: 3, chain: [9; 32] });
        let signature = key.sign_head(&head, 11);
        assert!(is_head_signed(&head, 11, &signature, &signer));
        let others = [
            (AuditHead { entries: 4, ..head }, 11),
            (AuditHead { chain: [8; 32], ..head }, 11),
            (head, 12),
        ];
        for (head, at) in others {
            assert!(!is_head_signed(&head, at, &signature, &signer), "{head:?} {at}");
        }
        let other = AuditKey::from_seed(&[8; 32]).unwrap();
        assert!(!is_head_signed(&head, 11, &signature, &other.public_key()));
        let report = key.sign_report("gone");
        assert!(is_report_signed("gone", &report, &signer));
        assert!(!is_report_signed("here", &report, &signer));
        let text = String::from_utf8_lossy(&head_message(&head, 11)).into_owned();
        assert!(!is_report_signed(&text, &signature, &signer), "labels keep kinds apart");
    }

    #[test]
    fn what_is_signed_is_this_very_encoding() {
        let message = head_message(&AuditHead { entries: 1, chain: [2; 32] }, 3);
        let mut expected = b"warifu audit checkpoint 1\0".to_vec();
        expected.extend([2; 32]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message, expected);
    }
}
