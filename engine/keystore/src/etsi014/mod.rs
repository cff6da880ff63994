//! A client of ETSI GS QKD 014 V1.1.1: keys from a key-management entity (KME) over HTTPS with
//! certificates at both ends.
//!
//! Nothing that a KME says is trusted but that its keys are secret. Every wait ends, every answer
//! has a length that follows from what was asked, and a key counts only where its name is a UUID
//! that stands in the answer once and its length is the one that was asked for.
//!
//! Key is read into a [`Block`](warifu_buffers::Block) and decoded into another; both are zeroised,
//! and so are the buffers of the connection and what undoes escapes. What is not: the records that
//! the TLS library opens in memory of its own, and what the system holds of the socket.
//!
//! The protocol counts sizes in bits; here they are in bytes, and only names that end in `bits`
//! hold anything else.

mod base64;
mod body;
mod connect;
mod exchange;
pub mod probe;
mod verdict;

pub use connect::{Credentials, CredentialsError};
pub use exchange::UrlError;

use crate::delivery::{DeliveredKeys, DeliveryError, DeliveryLimits, KeyDelivery, KeyId};
use body::{BYTE_BITS, BodyError};
use exchange::{Answer, Exchange, ExchangeError, PLAIN_BYTES_MAX};
use std::time::Duration;
use verdict::{Asked, verdict};

/// Most bytes of key in one answer: what a caller that asks for more in one piece gets refused.
pub const ANSWER_KEY_BYTES_MAX: u64 = 64 << 20;

/// How to reach a KME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmeAccess {
    /// What listings call it: at most 63 bytes, no control characters.
    pub name: String,
    /// `https://HOST[:PORT]`.
    pub url: String,
    /// Who we are there, and whom we believe.
    pub credentials: Credentials,
    /// How long a request may take from its first byte to the answer's last.
    pub timeout: Duration,
    /// Connections that are kept for the next request.
    pub connections_max: usize,
}

/// Whether `text` is the URL of a KME: `https://HOST[:PORT]`, a path behind it allowed.
#[must_use]
pub fn is_url(text: &str) -> bool {
    exchange::base_of(text).is_ok()
}

/// Why a KME can't be spoken to at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Its URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Certificates and key.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A KME, seen from one of its applications.
pub struct Kme {
    access: KmeAccess,
    base: String,
    exchange: Exchange,
}

impl Kme {
    /// Reads the certificates. Nothing is sent yet.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(access: KmeAccess) -> Result<Self, AccessError> {
        let base = exchange::base_of(&access.url)?;
        let KmeAccess { credentials, timeout, connections_max, .. } = &access;
        let exchange = Exchange::new(base.clone(), credentials, false, *timeout, *connections_max)?;
        Ok(Self { access, base, exchange })
    }

    /// As [`open`](Self::open), but without a certificate of ours: a KME must not speak to it.
    fn anonymous(&self) -> Result<Exchange, CredentialsError> {
        let KmeAccess { credentials, timeout, .. } = &self.access;
        Exchange::new(self.base.clone(), credentials, true, *timeout, 1)
    }

    fn refused(&self, why: impl Into<String>) -> DeliveryError {
        DeliveryError::Refused { deliverer: self.access.name.clone(), why: why.into() }
    }

    fn malformed(&self, why: impl ToString) -> DeliveryError {
        DeliveryError::Malformed { deliverer: self.access.name.clone(), why: why.to_string() }
    }

    /// The body of a good answer, or what the other ones mean.
    fn good(
        &self,
        asked: Asked,
        answer: Result<Answer, ExchangeError>,
    ) -> Result<Answer, DeliveryError> {
        let deliverer = || self.access.name.clone();
        match answer {
            Ok(answer) if answer.status == 200 => Ok(answer),
            Ok(answer) => Err(verdict(deliverer(), asked, &answer)),
            Err(error) => Err(match error {
                ExchangeError::Away(why) => {
                    DeliveryError::NotNow { deliverer: deliverer(), why, after: None }
                }
                ExchangeError::Refused(why) => self.refused(why),
                ExchangeError::Lost(why) => DeliveryError::Lost { deliverer: deliverer(), why },
                ExchangeError::Malformed(why) => self.malformed(why),
            }),
        }
    }

    fn container_error(&self, error: BodyError) -> DeliveryError {
        let deliverer = self.access.name.clone();
        match error {
            BodyError::Cut => DeliveryError::Lost { deliverer, why: "it was cut".to_owned() },
            BodyError::Empty => {
                let why = "its answer holds no key".to_owned();
                DeliveryError::NotNow { deliverer, why, after: None }
            }
            BodyError::Shape { .. } | BodyError::Content(_) => self.malformed(error),
        }
    }

    /// The longest answer that may come for so many keys, in bytes.
    fn answer_bytes_max(&self, keys: u64, key_bytes: usize) -> Result<u64, DeliveryError> {
        let key_bytes = key_bytes as u64;
        let fits = |bytes: &u64| (1..=ANSWER_KEY_BYTES_MAX).contains(bytes);
        keys.checked_mul(key_bytes)
            .filter(fits)
            .and_then(|_| body::container_bytes_max(keys, key_bytes))
            .ok_or_else(|| {
                let what = format!("{keys} keys of {key_bytes} bytes are no single answer");
                self.refused(what)
            })
    }
}

impl KeyDelivery for Kme {
    fn name(&self) -> &str {
        &self.access.name
    }

    fn limits(&self, peer: &str) -> Result<DeliveryLimits, DeliveryError> {
        let path = format!("{}/status", exchange::encoded(peer));
        let answer = self.good(Asked::Status, self.exchange.get(&path, PLAIN_BYTES_MAX))?;
        let status: body::Status = body::read(&answer.body, "status")
            .map_err(|error| self.malformed(format!("its status: {error}")))?;
        limits_of(&status).ok_or_else(|| self.malformed("its status has limits that allow no key"))
    }

    fn fresh_keys(
        &self,
        peer: &str,
        count: u64,
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError> {
        let bytes_max = self.answer_bytes_max(count, key_bytes)?;
        let path = format!("{}/enc_keys", exchange::encoded(peer));
        let body = body::key_request(count, key_bytes as u64 * BYTE_BITS);
        let answer = self.exchange.post(&path, &body, bytes_max);
        let answer = self.good(Asked::Fresh, answer)?;
        body::fresh_keys(&answer.body, count, key_bytes)
            .map_err(|error| self.container_error(error))
    }

    fn named_keys(
        &self,
        peer: &str,
        names: &[KeyId],
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError> {
        let bytes_max = self.answer_bytes_max(names.len() as u64, key_bytes)?;
        let path = format!("{}/dec_keys", exchange::encoded(peer));
        let answer = self.exchange.post(&path, &body::key_ids(names), bytes_max);
        let answer = self.good(Asked::Named, answer)?;
        body::named_keys(&answer.body, names, key_bytes)
            .map_err(|error| self.container_error(error))
    }

    fn hurry(&self) {
        self.exchange.hurry();
    }
}

/// Limits in bytes of those in bits; `None` where they allow nothing.
fn limits_of(status: &body::Status) -> Option<DeliveryLimits> {
    let key_bytes_min = status.min_key_size.unwrap_or(status.key_size).div_ceil(BYTE_BITS).max(1);
    let key_bytes_max = status.max_key_size.unwrap_or(status.key_size) / BYTE_BITS;
    if key_bytes_min > key_bytes_max {
        return None;
    }
    Some(DeliveryLimits {
        key_bytes_default: (status.key_size / BYTE_BITS).clamp(key_bytes_min, key_bytes_max),
        key_bytes_min,
        key_bytes_max,
        keys_per_request_max: status.max_key_per_request.unwrap_or(1).max(1),
        keys_stored: status.stored_key_count,
        keys_stored_max: status.max_key_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_bytes_within_the_bits_that_were_said() {
        let status = |key_size, min, max| body::Status {
            key_size,
            stored_key_count: 7,
            max_key_count: 9,
            max_key_per_request: None,
            max_key_size: max,
            min_key_size: min,
        };
        let bytes = |status: body::Status| {
            limits_of(&status)
                .map(|all| (all.key_bytes_min, all.key_bytes_default, all.key_bytes_max))
        };
        assert_eq!(bytes(status(256, Some(64), Some(1024))), Some((8, 32, 128)));
        assert_eq!(bytes(status(256, None, None)), Some((32, 32, 32)));
        assert_eq!(bytes(status(100, Some(1), Some(1023))), Some((1, 12, 127)));
        assert_eq!(bytes(status(0, Some(0), Some(7))), None, "no whole byte");
        assert_eq!(bytes(status(8, Some(1024), Some(512))), None, "least above most");
        assert_eq!(bytes(status(u64::MAX, Some(0), Some(u64::MAX))).unwrap().2, u64::MAX / 8);
        let limits = limits_of(&status(256, None, None)).unwrap();
        assert_eq!((limits.keys_per_request_max, limits.keys_stored), (1, 7));
    }
}
