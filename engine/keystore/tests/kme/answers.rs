//! What a good KME answers.

use crate::server::{Request, Stream, send};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const KEY_BITS: u64 = 256;
pub(crate) const KEY_BITS_MAX: u64 = 4096;
pub(crate) const KEYS_MAX: u64 = 5;

/// A UUID that belongs to a number.
pub(crate) fn name(number: u64) -> String {
    let digits = format!("{number:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// A container of these keys.
pub(crate) fn container(keys: &[(String, Vec<u8>)]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(name, key)| json!({"key_ID": name, "key": BASE64_STANDARD.encode(key)}))
        .collect();
    json!({ "keys": keys }).to_string()
}

/// `number` keys of `bytes`, numbered from `first` on, all different.
pub(crate) fn keys(first: u64, number: u64, bytes: usize) -> Vec<(String, Vec<u8>)> {
    let key = |at: u64| (name(at), vec![at as u8; bytes]);
    (first..first + number).map(key).collect()
}

pub(crate) fn status() -> Value {
    json!({
        "source_KME_ID": "kme-a", "target_KME_ID": "kme-b",
        "master_SAE_ID": "sae-a", "slave_SAE_ID": "sae-b",
        "key_size": KEY_BITS, "stored_key_count": 100, "max_key_count": 1000,
        "max_key_per_request": KEYS_MAX, "max_key_size": KEY_BITS_MAX, "min_key_size": 64,
        "max_SAE_ID_count": 0
    })
}

/// A KME that does what the specification says, for both ends of one pair.
#[derive(Default)]
pub(crate) struct GoodKme {
    made: AtomicU64,
    waiting: Mutex<HashMap<String, Vec<u8>>>,
}

impl GoodKme {
    /// Answers a request of the master, or of the slave where `is_far`.
    pub(crate) fn answer(&self, request: &Request, stream: &mut Stream, is_far: bool) -> bool {
        let path = request.line.split(' ').nth(1).unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut parts = path.rsplit('/');
        let (method, party) = (parts.next().unwrap(), parts.next().unwrap());
        let outcome = match (method, party) {
            ("status", _) => Ok(status().to_string()),
            ("enc_keys", "sae-b") => self.fresh(&request.body, query),
            ("dec_keys", _) => self.named(&request.body, query, is_far),
            _ => Err((400, "no such application")),
        };
        match outcome {
            Ok(body) => send(stream, "200 OK", "", &body),
            Err((status, message)) => {
                let body = json!({ "message": message }).to_string();
                send(stream, &format!("{status} No"), "", &body)
            }
        }
    }

    fn fresh(&self, body: &str, query: &str) -> Result<String, (u16, &'static str)> {
        let body: Value = serde_json::from_str(body).unwrap_or(json!({}));
        let of_query = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.parse::<u64>().unwrap())
        };
        let number = |name: &str| body.get(name).and_then(Value::as_u64).or_else(|| of_query(name));
        let (keys, bits) = (number("number").unwrap_or(1), number("size").unwrap_or(KEY_BITS));
        if body.get("extension_mandatory").is_some() {
            return Err((400, "not all extension_mandatory parameters are supported"));
        }
        if bits % 8 != 0 {
            return Err((400, "size shall be a multiple of 8"));
        }
        if keys > KEYS_MAX || !(64..=KEY_BITS_MAX).contains(&bits) {
            return Err((400, "over the limit"));
        }
        let first = self.made.fetch_add(keys, Ordering::Relaxed);
        let made = self::keys(first, keys, bits as usize / 8);
        self.waiting.lock().unwrap().extend(made.iter().cloned());
        Ok(container(&made))
    }

    fn named(&self, body: &str, query: &str, is_far: bool) -> Result<String, (u16, &'static str)> {
        let asked = match query.strip_prefix("key_ID=") {
            Some(name) => vec![name.to_owned()],
            None => {
                let body: Value = serde_json::from_str(body).unwrap();
                let list = body["key_IDs"].as_array().unwrap();
                list.iter().map(|id| id["key_ID"].as_str().unwrap().to_owned()).collect()
            }
        };
        let mut waiting = self.waiting.lock().unwrap();
        if asked.iter().any(|name| !waiting.contains_key(name)) {
            return Err((400, "one or more keys specified are not found on KME"));
        }
        if !is_far {
            return Err((401, "not the slave of these keys"));
        }
        let mut found: Vec<_> =
            asked.iter().map(|name| waiting.remove_entry(name).unwrap()).collect();
        found.reverse();
        Ok(container(&found))
    }
}
