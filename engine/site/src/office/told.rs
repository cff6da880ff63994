//! What the audit log is told.

use serde_json::{Map, Value, json};
use std::ops::Range;
use warifu_core::ObjectId;

/// An entry of the audit log, before it has its time and place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told<'a> {
    pub(crate) kind: &'static str,
    pub(crate) who: &'a str,
    pub(crate) individual: Option<&'a str>,
    pub(crate) object: Option<ObjectId>,
    pub(crate) ranges: Option<&'a [Range<u64>]>,
    pub(crate) purpose: Option<&'a str>,
    pub(crate) result: &'static str,
    pub(crate) code: Option<&'a str>,
    /// Whether a file for labs signed rather than a card, where anything was signed.
    pub(crate) is_software: Option<bool>,
    pub(crate) consent: Option<[u8; 16]>,
    pub(crate) session: Option<[u8; 16]>,
    /// What else people should read.
    pub(crate) note: Option<&'a str>,
    /// Fingerprints of keys that matter: the new one of a binding, officers' of a break-glass.
    pub(crate) keys: &'a [[u8; 32]],
}

impl Told<'_> {
    /// As JSON, without what does not apply.
    pub(crate) fn json(&self) -> String {
        let mut map = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        };
        put("who", Some(json!(self.who)));
        put("individual", self.individual.map(Value::from));
        put("object", self.object.map(|object| json!(object.to_string())));
        put(
            "ranges",
            self.ranges
                .map(|ranges| ranges.iter().map(|range| json!([range.start, range.end])).collect()),
        );
        put("purpose", self.purpose.map(Value::from));
        put("note", self.note.map(Value::from));
        put("result", Some(json!(self.result)));
        put("code", self.code.map(Value::from));
        let card = |is_software| if is_software { "software" } else { "card" };
        put("card", self.is_software.map(|is_software| json!(card(is_software))));
        put("consent", self.consent.map(|id| json!(hex(&id))));
        put("session", self.session.map(|id| json!(hex(&id))));
        let keys = self.keys.iter().map(|key| json!(hex(key))).collect::<Vec<_>>();
        put("keys", Some(Value::Array(keys)).filter(|_| !self.keys.is_empty()));
        Value::Object(map).to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
