//! What an answer that is not good means: to be asked again, gone, or refused for good.
//!
//! The protocol has 400, 401 and 503 and no word for "not enough key". In the field 400 and 503
//! both say it, and 404, 410, 502 and 504 are seen too.

use super::body::{self, ErrorBody};
use super::exchange::Answer;
use crate::delivery::DeliveryError;
use serde_json::Value;

/// What had been asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// The state of a pair.
    Status,
    /// Fresh keys.
    Fresh,
    /// Keys by name.
    Named,
}

/// Texts of 400 that stay true however long one waits; lower case.
const PERMANENT: [&str; 6] = [
    "size shall be a multiple of 8",
    "extension_mandatory",
    "min_key_size",
    "max_key_size",
    "max_key_per_request",
    "no such sae",
];

/// Texts of 400 that say that a key is not there; lower case.
const UNKNOWN_KEY: [&str; 4] = ["not found", "unknown key", "no such key", "does not exist"];

/// Longest text of a KME that is told on, in characters.
const TOLD_CHARACTERS: usize = 200;

/// The error that `answer`, any but a good one, stands for.
pub(super) fn verdict(deliverer: String, asked: Asked, answer: &Answer) -> DeliveryError {
    let words = words(&answer.body);
    let said = words.to_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    let status = answer.status;
    let why = match words.is_empty() {
        true => format!("status {status}"),
        false => format!("status {status}: {words}"),
    };
    let not_now =
        |deliverer, why| DeliveryError::NotNow { deliverer, why, after: answer.retry_after };
    match (status, asked) {
        (400, _) if says(&PERMANENT) => DeliveryError::Refused { deliverer, why },
        (400, Asked::Named) if says(&UNKNOWN_KEY) => DeliveryError::Gone { deliverer, why },
        (400, Asked::Status) => DeliveryError::Refused { deliverer, why },
        (404 | 410, Asked::Named) => DeliveryError::Gone { deliverer, why },
        // Somebody between us and the key gave up: what came of it is not known.
        (502 | 504, Asked::Named) => DeliveryError::Lost { deliverer, why },
        (400 | 408 | 410 | 429 | 500..=599, _) => not_now(deliverer, why),
        (401..=499, _) => DeliveryError::Refused { deliverer, why },
        (300..=399, _) => {
            let why = format!("{why}: a redirect, which is never followed");
            DeliveryError::Malformed { deliverer, why }
        }
        _ => DeliveryError::Malformed { deliverer, why },
    }
}

/// What a KME says in its own words, or nothing.
pub(super) fn words(text: &[u8]) -> String {
    let error: ErrorBody = body::read(text, "error").unwrap_or_default();
    // A list of objects in the specification, and anything in the field.
    let details = match error.details {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(Value::to_string).collect(),
        other => vec![other.to_string()],
    };
    let words: Vec<String> =
        std::iter::once(error.message).chain(details).filter(|text| !text.is_empty()).collect();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    words.join("; ").chars().map(plain).take(TOLD_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use warifu_buffers::Block;

    fn judged(status: u16, asked: Asked, body: &str) -> &'static str {
        let answer = Answer {
            status,
            content_type: None,
            retry_after: Some(Duration::from_secs(3)),
            body: Block::copy_of(body.as_bytes()),
        };
        match verdict("kme".to_owned(), asked, &answer) {
            DeliveryError::NotNow { after, .. } => {
                assert_eq!(after, Some(Duration::from_secs(3)));
                "not now"
            }
            DeliveryError::Gone { .. } => "gone",
            DeliveryError::Refused { .. } => "refused",
            DeliveryError::Lost { .. } => "lost",
            DeliveryError::Malformed { .. } => "malformed",
        }
    }

    #[test]
    fn every_status_seen_in_the_field_has_a_meaning() {
        use Asked::{Fresh, Named, Status};
        let unknown = "{\"message\":\"one or more keys specified are not found on KME\"}";
        let size = "{\"message\":\"size shall be a multiple of 8\"}";
        let mandatory =
            "{\"message\":\"not all extension_mandatory parameters are supported\",\"details\":[]}";
        for (status, asked, body, expected) in [
            (400, Fresh, "", "not now"),
            (400, Fresh, "{\"message\":\"insufficient keys\"}", "not now"),
            (400, Fresh, "<html>", "not now"),
            (400, Fresh, size, "refused"),
            (400, Fresh, mandatory, "refused"),
            (400, Fresh, "{\"message\":\"there is no such SAE\"}", "refused"),
            (400, Named, unknown, "gone"),
            (400, Named, "{\"message\":\"try later\"}", "not now"),
            (400, Status, "", "refused"),
            (401, Fresh, "", "refused"),
            (401, Named, unknown, "refused"),
            (403, Status, "", "refused"),
            (404, Named, "", "gone"),
            (404, Fresh, "", "refused"),
            (410, Named, "", "gone"),
            (410, Fresh, "", "not now"),
            (429, Fresh, "", "not now"),
            (500, Fresh, "", "not now"),
            (503, Named, "", "not now"),
            (504, Fresh, "", "not now"),
            (504, Named, "", "lost"),
            (302, Fresh, "", "malformed"),
            (204, Fresh, "", "malformed"),
            (600, Fresh, "", "malformed"),
        ] {
            assert_eq!(judged(status, asked, body), expected, "{status} {asked:?} {body}");
        }
    }

    #[test]
    fn what_a_kme_says_is_told_short_and_harmless() {
        assert_eq!(words(b"{\"message\":\"a\\u001b[2Jb\"}"), "a [2Jb");
        assert_eq!(words(b"{\"message\":\"m\",\"details\":[{\"x\":\"y\"}]}"), "m; {\"x\":\"y\"}");
        let long = format!("{{\"message\":\"{}\"}}", "m".repeat(5000));
        assert_eq!(words(long.as_bytes()).len(), TOLD_CHARACTERS);
        assert_eq!(words(b"{\"message\":\"m\",\"details\":\"n\"}"), "m; \"n\"");
        assert_eq!(words(b"no JSON"), "");
    }
}
