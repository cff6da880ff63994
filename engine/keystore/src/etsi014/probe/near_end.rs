//! Checks that one end can make alone.

use super::asking::{Key, Method, Reply};
use super::{Finding, Probe};
use crate::etsi014::exchange::{ExchangeError, PLAIN_BYTES_MAX, encoded};
use serde_json::Value;

/// Titles of clauses.
const PROTOCOL: &str = "Protocol";
const STATUS: &str = "Status data format";
const GET_STATUS: &str = "Get status";
const GET_KEY: &str = "Get key";
const KEY_REQUEST: &str = "Key request data format";
const KEY_CONTAINER: &str = "Key container data format";
const ERROR: &str = "Error data format";

/// An application that no KME has.
const NOBODY: &str = "warifu-probe-nobody";

/// Keys longer than that are not asked for, in bits.
const KEY_BITS_MAX: u64 = 8 << 20;

/// Fields of a status that are texts, and those that are numbers.
const TEXTS: [&str; 4] = ["source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID"];
const NUMBERS: [&str; 7] = [
    "key_size",
    "stored_key_count",
    "max_key_count",
    "max_key_per_request",
    "max_key_size",
    "min_key_size",
    "max_SAE_ID_count",
];

/// What the status said, as far as it said it.
#[derive(Default)]
pub(super) struct Said {
    key_bits: Option<u64>,
    key_bits_min: Option<u64>,
    key_bits_max: Option<u64>,
    keys_per_request_max: Option<u64>,
    pub(super) master: Option<String>,
}

impl Probe<'_> {
    /// TLS, and certificates at both ends.
    pub(super) fn transport(&mut self) {
        let version = match self.near.exchange().tls_version() {
            Some(version) => Finding::Good(version.to_owned()),
            None => Finding::Else("no version of TLS that is known".to_owned()),
        };
        self.note("tls-version", PROTOCOL, version);
        let path = format!("{}/status", encoded(self.subject.peer));
        let anonymous = match self.subject.kme.anonymous() {
            Err(error) => Finding::NotTried(error.to_string()),
            Ok(exchange) => match exchange.get(&path, PLAIN_BYTES_MAX) {
                Err(ExchangeError::Away(why)) if why.contains("refused") => Finding::NotTried(why),
                Err(_) => Finding::Good("refused without a certificate".to_owned()),
                Ok(answer) if answer.status == 401 => {
                    Finding::Good("status 401 without a certificate".to_owned())
                }
                Ok(answer) => {
                    Finding::Else(format!("status {} without a certificate", answer.status))
                }
            },
        };
        self.note("certificate-required", PROTOCOL, anonymous);
    }

    /// The status.
    pub(super) fn status(&mut self) {
        let reply = match self.near.get(Method::Status, self.subject.peer, "") {
            Ok(reply) => reply,
            Err(finding) => return self.note("status", GET_STATUS, finding),
        };
        if reply.status != 200 {
            return self.note("status", GET_STATUS, Finding::Else(reply.told()));
        }
        self.note("status", GET_STATUS, Finding::Good("status 200".to_owned()));
        let kind = reply.content_type.clone().unwrap_or_default();
        let finding = match kind.to_ascii_lowercase().starts_with("application/json") {
            true => Finding::Good(kind),
            false => Finding::Else(format!("{kind:?}")),
        };
        self.note("content-type", PROTOCOL, finding);
        let json = &reply.json;
        let mut odd: Vec<String> = Vec::new();
        let wanted = TEXTS.map(|name| (name, true)).into_iter();
        for (name, is_text) in wanted.chain(NUMBERS.map(|name| (name, false))) {
            match json.get(name) {
                None => odd.push(format!("{name} is missing")),
                Some(value) if is_text && !value.is_string() => {
                    odd.push(format!("{name} is no text"));
                }
                Some(value) if !is_text && !value.is_u64() => {
                    odd.push(format!("{name} is no whole number"));
                }
                Some(_) => {}
            }
        }
        if json.get("status_extension").is_some_and(|extension| !extension.is_object()) {
            odd.push("status_extension is no object".to_owned());
        }
        let all = format!("{} fields", TEXTS.len() + NUMBERS.len());
        self.note("status-fields", STATUS, unless(&odd, all));
        let number = |name: &str| json.get(name).and_then(Value::as_u64);
        self.status = Said {
            key_bits: number("key_size"),
            key_bits_min: number("min_key_size"),
            key_bits_max: number("max_key_size"),
            keys_per_request_max: number("max_key_per_request"),
            master: json.get("master_SAE_ID").and_then(Value::as_str).map(str::to_owned),
        };
        self.limits(number("stored_key_count"), number("max_key_count"), json);
    }

    fn limits(&mut self, stored: Option<u64>, most: Option<u64>, json: &Value) {
        let Said { key_bits, key_bits_min, key_bits_max, keys_per_request_max, .. } = self.status;
        let mut odd = Vec::new();
        if key_bits_min.zip(key_bits).is_some_and(|(min, bits)| min > bits) {
            odd.push("min_key_size is above key_size".to_owned());
        }
        if key_bits_max.zip(key_bits).is_some_and(|(max, bits)| max < bits) {
            odd.push("max_key_size is below key_size".to_owned());
        }
        if keys_per_request_max == Some(0) {
            odd.push("max_key_per_request is 0".to_owned());
        }
        if most.zip(stored).is_some_and(|(most, stored)| stored > most) {
            odd.push("stored_key_count is above max_key_count".to_owned());
        }
        let slave = json.get("slave_SAE_ID").and_then(Value::as_str);
        if slave.is_some_and(|slave| slave != self.subject.peer) {
            odd.push(format!("slave_SAE_ID is {slave:?}"));
        }
        let bits = |bits: Option<u64>| bits.map_or_else(|| "?".to_owned(), |bits| bits.to_string());
        let all = format!(
            "{} bits, {} to {}; {} keys per request",
            bits(key_bits),
            bits(key_bits_min),
            bits(key_bits_max),
            bits(keys_per_request_max),
        );
        self.note("status-limits", STATUS, unless(&odd, all));
    }

    /// Keys of the lengths and numbers that are asked for, by both verbs.
    pub(super) fn sizes(&mut self) {
        let Said { key_bits, key_bits_min, key_bits_max, keys_per_request_max, .. } = self.status;
        let Some(default) = key_bits.filter(|bits| *bits <= KEY_BITS_MAX) else {
            let why = "the status tells no key_size that can be tried";
            return self.note("default-size", GET_KEY, Finding::NotTried(why.to_owned()));
        };
        let peer = self.subject.peer;
        let reply = self.near.post(Method::EncKeys, peer, "{}");
        self.note("default-size", GET_KEY, expect_keys(reply, 1, default));
        let query = format!("?number=1&size={default}");
        let reply = self.near.get(Method::EncKeys, peer, &query);
        self.note("get-twin", GET_KEY, expect_keys(reply, 1, default));
        let finding = match keys_per_request_max {
            Some(0 | 1) | None => Finding::NotTried("one key per request at most".to_owned()),
            Some(_) => {
                let body = format!("{{\"number\":2,\"size\":{default}}}");
                expect_keys(self.near.post(Method::EncKeys, peer, &body), 2, default)
            }
        };
        self.note("number", KEY_REQUEST, finding);
        let other = [key_bits_min, key_bits_max, Some(default / 16 * 8)].into_iter().flatten();
        let fits = |bits: &u64| {
            let range = key_bits_min.unwrap_or(default)..=key_bits_max.unwrap_or(default);
            *bits != default
                && bits.is_multiple_of(8)
                && (1..=KEY_BITS_MAX).contains(bits)
                && range.contains(bits)
        };
        let finding = match other.filter(fits).min() {
            None => Finding::NotTried("it has one length only".to_owned()),
            Some(bits) => {
                let body = format!("{{\"number\":1,\"size\":{bits}}}");
                expect_keys(self.near.post(Method::EncKeys, peer, &body), 1, bits)
            }
        };
        self.note("size", KEY_REQUEST, finding);
    }

    /// Requests that must be refused, and one that must not.
    pub(super) fn refusals(&mut self) {
        let Said { key_bits, key_bits_max, keys_per_request_max, .. } = self.status;
        let peer = self.subject.peer;
        let untold = || Finding::NotTried("the status does not tell the limit".to_owned());
        let mut post = |party: &str, body: &str| self.near.post(Method::EncKeys, party, body);
        let odd = key_bits.map_or_else(untold, |bits| {
            let body = format!("{{\"number\":1,\"size\":{}}}", bits.saturating_add(1));
            expect_refusal(post(peer, &body), &[400], "size shall be a multiple of 8")
        });
        let many = keys_per_request_max.map_or_else(untold, |keys| {
            let body = format!("{{\"number\":{}}}", keys.saturating_add(1));
            expect_refusal(post(peer, &body), &[400], "")
        });
        let long = key_bits_max.map_or_else(untold, |bits| {
            let body = format!("{{\"number\":1,\"size\":{}}}", (bits / 8 + 1).saturating_mul(8));
            expect_refusal(post(peer, &body), &[400], "")
        });
        let extension = "[{\"warifu_probe\":\"none\"}]";
        let mandatory = expect_refusal(
            post(peer, &format!("{{\"extension_mandatory\":{extension}}}")),
            &[400],
            "not all extension_mandatory parameters are supported",
        );
        let optional = match key_bits {
            Some(bits) => {
                expect_keys(post(peer, &format!("{{\"extension_optional\":{extension}}}")), 1, bits)
            }
            None => untold(),
        };
        let nobody = expect_refusal(post(NOBODY, "{}"), &[400, 401], "");
        self.note("size-not-bytes", KEY_REQUEST, odd);
        self.note("number-over-limit", KEY_REQUEST, many);
        self.note("size-over-limit", KEY_REQUEST, long);
        self.note("mandatory-extension", KEY_REQUEST, mandatory);
        self.note("optional-extension", KEY_REQUEST, optional);
        self.note("unknown-slave", GET_KEY, nobody);
    }

    /// What all answers together show.
    pub(super) fn sums(&mut self) {
        let list = |odd: &std::collections::BTreeSet<String>| odd.iter().cloned().collect();
        let names: Vec<String> = list(&self.near.odd_names);
        let spent = self.near.keys_spent();
        let finding = match spent {
            0 => Finding::NotTried("no key came".to_owned()),
            _ => unless(&names, format!("{spent} names, each a UUID of its own")),
        };
        self.note("key-names", KEY_CONTAINER, finding);
        let bodies: Vec<String> = list(&self.near.odd_errors);
        let finding = match self.near.errors {
            0 => Finding::NotTried("no error came".to_owned()),
            errors => unless(&bodies, format!("{errors} errors with a message")),
        };
        self.note("error-body", ERROR, finding);
        let types: Vec<String> = list(&self.near.odd_types);
        self.note("json-only", PROTOCOL, unless(&types, "all answers are JSON".to_owned()));
        let odd = self.near.odd_statuses.iter().map(|status| format!("status {status}"));
        let finding = unless(&odd.collect::<Vec<_>>(), "200, 400, 401 and 503 only".to_owned());
        self.note("statuses", PROTOCOL, finding);
    }
}

/// Good, unless there is something odd.
fn unless(odd: &[String], good: String) -> Finding {
    match odd.is_empty() {
        true => Finding::Good(good),
        false => Finding::Else(odd.join(", ")),
    }
}

/// The keys that must be in a reply: so many, each so long.
pub(super) fn keys_in(
    reply: Result<Reply, Finding>,
    number: usize,
    key_bits: u64,
) -> Result<Vec<Key>, Finding> {
    let reply = reply?;
    if reply.status == 503 {
        return Err(Finding::NotTried(format!("it has no key now: {}", reply.told())));
    }
    if reply.status != 200 {
        return Err(Finding::Else(reply.told()));
    }
    let keys = reply.keys().map_err(Finding::Else)?;
    if keys.len() != number {
        return Err(Finding::Else(format!("{} keys where {number} were asked for", keys.len())));
    }
    for key in &keys {
        let bits = key.material.len() as u64 * 8;
        if bits == key_bits.saturating_mul(8) {
            let what = format!("{bits} bits where {key_bits} were asked for: it counts bytes");
            return Err(Finding::Else(what));
        }
        if bits != key_bits {
            return Err(Finding::Else(format!("{bits} bits where {key_bits} were asked for")));
        }
    }
    Ok(keys)
}

fn expect_keys(reply: Result<Reply, Finding>, number: usize, key_bits: u64) -> Finding {
    match keys_in(reply, number, key_bits) {
        Ok(_) => Finding::Good(format!("{number} of {key_bits} bits")),
        Err(finding) => finding,
    }
}

/// What it means that a reply refuses with one of `statuses`, in these words where there are any.
pub(super) fn expect_refusal(
    reply: Result<Reply, Finding>,
    statuses: &[u16],
    words: &str,
) -> Finding {
    match reply {
        Err(finding) => finding,
        Ok(reply) if reply.status == 503 => {
            Finding::NotTried(format!("it has no key now: {}", reply.told()))
        }
        Ok(reply) if !statuses.contains(&reply.status) => Finding::Else(reply.told()),
        Ok(reply) if reply.words.contains(words) => Finding::Good(reply.told()),
        Ok(reply) => Finding::Else(format!("{}; it should say {words:?}", reply.told())),
    }
}
