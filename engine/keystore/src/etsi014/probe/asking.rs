//! Requests of a probe, and what it notes of every answer.

use super::Finding;
use crate::delivery::{DeliveryError, KeyId};
use crate::etsi014::exchange::{Answer, Exchange, ExchangeError, encoded};
use crate::etsi014::verdict::{Asked, words};
use crate::etsi014::{Kme, base64};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use warifu_buffers::Block;

/// The longest answer that a probe reads, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// A method of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Status,
    EncKeys,
    DecKeys,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "status",
            Self::EncKeys => "enc_keys",
            Self::DecKeys => "dec_keys",
        })
    }
}

/// An answer, as far as a probe looks at it.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    /// `Null` where it is no JSON.
    pub(super) json: Value,
    /// What it says in its own words.
    pub(super) words: String,
}

/// A key of an answer.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) material: Block,
}

impl Reply {
    /// The keys in it, or what is wrong with them.
    pub(super) fn keys(&self) -> Result<Vec<Key>, String> {
        let keys = self.json.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or("the answer has no list `keys`")?;
        keys.iter().map(key).collect()
    }

    /// What is said where another answer was expected.
    pub(super) fn told(&self) -> String {
        match self.words.is_empty() {
            true => format!("status {}", self.status),
            false => format!("status {}: {}", self.status, self.words),
        }
    }
}

fn key(entry: &Value) -> Result<Key, String> {
    let text = |name: &str| {
        let text = entry.get(name).and_then(Value::as_str);
        text.ok_or_else(|| format!("a key has no text `{name}`"))
    };
    let encoded = text("key")?.as_bytes();
    let pads = encoded.iter().rev().take(2).filter(|byte| **byte == b'=').count();
    let bytes = (encoded.len() / 4 * 3).saturating_sub(pads);
    let mut material = Block::zeroed(bytes);
    base64::decode(encoded, &mut material).map_err(|_| "a key is no base64".to_owned())?;
    Ok(Key { name: text("key_ID")?.to_owned(), material })
}

/// Asks one KME, and keeps the books.
pub(super) struct Asker<'a> {
    kme: &'a Kme,
    keys_spent: u64,
    names: HashSet<String>,
    /// What was wrong with names of keys.
    pub(super) odd_names: BTreeSet<String>,
    /// What was wrong with bodies of errors.
    pub(super) odd_errors: BTreeSet<String>,
    /// Answers with an error.
    pub(super) errors: u64,
    /// Statuses that the protocol does not have.
    pub(super) odd_statuses: BTreeSet<u16>,
    /// Types of bodies that are not JSON's, and bodies that are none.
    pub(super) odd_types: BTreeSet<String>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(kme: &'a Kme) -> Self {
        Self {
            kme,
            keys_spent: 0,
            names: HashSet::new(),
            odd_names: BTreeSet::new(),
            odd_errors: BTreeSet::new(),
            errors: 0,
            odd_statuses: BTreeSet::new(),
            odd_types: BTreeSet::new(),
        }
    }

    pub(super) fn keys_spent(&self) -> u64 {
        self.keys_spent
    }

    pub(super) fn exchange(&self) -> &'a Exchange {
        &self.kme.exchange
    }

    /// Whether it speaks to us at all.
    pub(super) fn reach(&self, peer: &str) -> Result<(), DeliveryError> {
        let answer = self.exchange().get(&path(Method::Status, peer), ANSWER_BYTES_MAX);
        match answer {
            Ok(_) => Ok(()),
            failed => self.kme.good(Asked::Status, failed).map(drop),
        }
    }

    /// Asks without a body; `query` begins with a question mark, or is empty.
    pub(super) fn get(
        &mut self,
        method: Method,
        party: &str,
        query: &str,
    ) -> Result<Reply, Finding> {
        let path = path(method, party) + query;
        self.noted(self.exchange().get(&path, ANSWER_BYTES_MAX))
    }

    /// Asks with a body.
    pub(super) fn post(
        &mut self,
        method: Method,
        party: &str,
        body: &str,
    ) -> Result<Reply, Finding> {
        let path = path(method, party);
        self.noted(self.exchange().post(&path, body, ANSWER_BYTES_MAX))
    }

    fn noted(&mut self, answer: Result<Answer, ExchangeError>) -> Result<Reply, Finding> {
        let answer = answer.map_err(|error| match error {
            ExchangeError::Away(why) | ExchangeError::Refused(why) => Finding::NotTried(why),
            ExchangeError::Lost(why) | ExchangeError::Malformed(why) => Finding::Else(why),
        })?;
        let Answer { status, content_type, body, .. } = answer;
        if !matches!(status, 200 | 400 | 401 | 503) {
            self.odd_statuses.insert(status);
        }
        let kind = content_type.clone().unwrap_or_else(|| "none".to_owned());
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            self.odd_types.insert(kind);
        }
        let json: Value = serde_json::from_slice(&body).unwrap_or_else(|_| {
            self.odd_types.insert(format!("status {status} with a body that is no JSON"));
            Value::Null
        });
        if status == 200 {
            self.note_keys(&json);
        } else {
            self.errors += 1;
            if !json.get("message").is_some_and(Value::is_string) {
                self.odd_errors.insert(format!("status {status} has no text `message`"));
            }
            let is_list = |details: &Value| {
                details.as_array().is_some_and(|list| list.iter().all(Value::is_object))
            };
            if json.get("details").is_some_and(|details| !is_list(details)) {
                self.odd_errors.insert("`details` is no list of objects".to_owned());
            }
        }
        Ok(Reply { status, content_type, json, words: words(&body) })
    }

    /// Counts keys and looks at their names.
    fn note_keys(&mut self, json: &Value) {
        for entry in json.get("keys").and_then(Value::as_array).into_iter().flatten() {
            self.keys_spent += 1;
            let Some(name) = entry.get("key_ID").and_then(Value::as_str) else {
                self.odd_names.insert("a key has no text `key_ID`".to_owned());
                continue;
            };
            let shown: String = name.chars().take(40).collect();
            if name.parse::<KeyId>().is_err() {
                self.odd_names.insert(format!("{shown:?} is no UUID"));
            }
            if !self.names.insert(name.to_lowercase()) {
                self.odd_names.insert(format!("{shown} came twice"));
            }
        }
    }
}

fn path(method: Method, party: &str) -> String {
    format!("{}/{method}", encoded(party))
}
