//! What applications ask for, read strictly where the specification is strict.

use crate::keys::KeyId;
use crate::limits::Limits;
use crate::refusal::{EXTENSION_UNKNOWN, EXTENSION_UNMET, KEYS_NOT_FOUND, Refusal, SIZE_NOT_BYTES};
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The one extension that this KME knows. It can be met where its value is [`KEY_CLASS`].
pub const KEY_CLASS_EXTENSION: &str = "warifu_key_class";

/// What a lab's key is.
pub const KEY_CLASS: &str = "computational";

/// What `enc_keys` is asked for, after defaults and checks.
pub(crate) struct KeyRequest {
    pub(crate) count: usize,
    pub(crate) key_bytes: usize,
    pub(crate) additional_slaves: Vec<String>,
}

#[derive(Deserialize, Default)]
struct KeyRequestBody {
    number: Option<u64>,
    size: Option<u64>,
    #[serde(rename = "additional_slave_SAE_IDs")]
    additional_slaves: Option<Vec<String>>,
    extension_mandatory: Option<Vec<Map<String, Value>>>,
    #[serde(rename = "extension_optional")]
    _extension_optional: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct KeyIdsBody {
    #[serde(rename = "key_IDs")]
    ids: Vec<KeyIdBody>,
}

#[derive(Deserialize)]
struct KeyIdBody {
    #[serde(rename = "key_ID")]
    id: String,
}

/// Reads a request for fresh keys that came by GET.
pub(crate) fn key_request_of_query(uri: &Uri, limits: &Limits) -> Result<KeyRequest, Refusal> {
    let mut body = KeyRequestBody::default();
    for (name, value) in query(uri)? {
        let place = match name.as_str() {
            "number" => &mut body.number,
            "size" => &mut body.size,
            _ => return Err(not_by_get("number and size")),
        };
        let value = value.parse().map_err(|_| Refusal::parameter(&name, "shall be an integer"))?;
        if place.replace(value).is_some() {
            return Err(Refusal::parameter(&name, "shall be given once"));
        }
    }
    check(body, limits)
}

/// Reads a request for fresh keys that came by POST.
pub(crate) fn key_request_of_body(
    headers: &HeaderMap,
    body: &[u8],
    limits: &Limits,
) -> Result<KeyRequest, Refusal> {
    // All parameters have defaults; so has a request without any.
    let body = if body.is_empty() { KeyRequestBody::default() } else { json(headers, body)? };
    check(body, limits)
}

/// Reads the name of the one key that is asked for by GET.
pub(crate) fn key_id_of_query(uri: &Uri) -> Result<Vec<KeyId>, Refusal> {
    let mut pairs = query(uri)?.into_iter();
    match (pairs.next(), pairs.next()) {
        (Some((name, id)), None) if name == "key_ID" => known_form(&id).map(|id| vec![id]),
        _ => Err(not_by_get("exactly one key_ID")),
    }
}

/// Reads the names of keys that are asked for by POST.
pub(crate) fn key_ids_of_body(
    headers: &HeaderMap,
    body: &[u8],
    limits: &Limits,
) -> Result<Vec<KeyId>, Refusal> {
    let body: KeyIdsBody = json(headers, body)?;
    let count_max = limits.max_key_per_request as usize;
    if body.ids.is_empty() || body.ids.len() > count_max {
        let shall = format!("shall hold from 1 to {count_max} names (max_key_per_request)");
        return Err(Refusal::parameter("key_IDs", shall));
    }
    let ids = body.ids.iter().map(|key| known_form(&key.id)).collect::<Result<Vec<_>, _>>()?;
    if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
        return Err(Refusal::parameter("key_IDs", "shall name each key once"));
    }
    Ok(ids)
}

/// What is no UUID is the name of no key here.
fn known_form(text: &str) -> Result<KeyId, Refusal> {
    KeyId::parse(text).ok_or_else(|| Refusal::bad(KEYS_NOT_FOUND))
}

fn check(body: KeyRequestBody, limits: &Limits) -> Result<KeyRequest, Refusal> {
    check_extensions(body.extension_mandatory.as_deref().unwrap_or_default())?;
    let count = body.number.unwrap_or(1);
    let count_max = limits.max_key_per_request;
    if !(1..=u64::from(count_max)).contains(&count) {
        let shall = format!("shall be from 1 to {count_max} (max_key_per_request)");
        return Err(Refusal::parameter("number", shall));
    }
    let size_bits = body.size.unwrap_or(limits.key_size_bits.into());
    if !size_bits.is_multiple_of(8) {
        let detail = Some(("size".to_owned(), size_bits.to_string()));
        return Err(Refusal::BadRequest { message: SIZE_NOT_BYTES.to_owned(), detail });
    }
    let (low, high) = (limits.min_key_size_bits, limits.max_key_size_bits);
    if !(u64::from(low)..=u64::from(high)).contains(&size_bits) {
        let shall = format!("shall be from {low} (min_key_size) to {high} (max_key_size)");
        return Err(Refusal::parameter("size", shall));
    }
    // Both were bounded just now, so that the product is far from overflowing.
    if count * (size_bits / 8) > limits.max_answer_bytes {
        let answer_max_bits = limits.max_answer_bytes * 8;
        let shall = format!("shall be at most {} for this size", answer_max_bits / size_bits);
        return Err(Refusal::parameter("number", shall));
    }
    let additional_slaves = body.additional_slaves.unwrap_or_default();
    if additional_slaves.len() > limits.max_sae_id_count as usize {
        let shall = format!("shall be at most {} (max_SAE_ID_count)", limits.max_sae_id_count);
        return Err(Refusal::parameter("additional_slave_SAE_IDs", shall));
    }
    let key_bytes = (size_bits / 8) as usize;
    Ok(KeyRequest { count: count as usize, key_bytes, additional_slaves })
}

/// Unknown extensions weigh more than those that are known and can't be met.
fn check_extensions(extensions: &[Map<String, Value>]) -> Result<(), Refusal> {
    let mut members = extensions.iter().flatten();
    if extensions.iter().any(Map::is_empty)
        || members.clone().any(|(name, _)| name != KEY_CLASS_EXTENSION)
    {
        return Err(Refusal::bad(EXTENSION_UNKNOWN));
    }
    if members.any(|(_, value)| value != KEY_CLASS) {
        return Err(Refusal::bad(EXTENSION_UNMET));
    }
    Ok(())
}

fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::parameter("Content-Type", "shall be application/json"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::BadRequest {
        message: "bad request format".to_owned(),
        detail: Some(("body".to_owned(), error.to_string())),
    })
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    match Query::try_from_uri(uri) {
        Ok(Query(pairs)) => Ok(pairs),
        Err(_) => Err(Refusal::bad("bad request format")),
    }
}

fn not_by_get(what: &str) -> Refusal {
    Refusal::bad(&format!("by GET, {what} may be given; use POST for the rest"))
}
