//! What is asked and answered, in JSON: parsed from the buffer in which it came, so that key is
//! nowhere but there and in its block.

mod plain;

use super::base64;
use crate::delivery::{DeliveredKeys, KeyId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use warifu_buffers::Block;
use zeroize::Zeroizing;

/// Bits of a byte: the protocol counts bits.
pub(super) const BYTE_BITS: u64 = 8;

/// JSON around each key of a container, more than any sender needs, in bytes.
const KEY_SLACK_BYTES: u64 = 256;

/// JSON around the list of keys, in bytes.
const CONTAINER_SLACK_BYTES: u64 = 16 << 10;

/// Most bytes that a container of keys takes: base64, each slash of it escaped where the sender
/// does so (a character in 64, as six at most), and the words around it.
pub(super) fn container_bytes_max(keys: u64, key_bytes: u64) -> Option<u64> {
    let text = key_bytes.checked_add(2)? / 3 * 4;
    let key = text.checked_add(text / 8)?.checked_add(KEY_SLACK_BYTES)?;
    keys.checked_mul(key)?.checked_add(CONTAINER_SLACK_BYTES)
}

/// A request for fresh keys.
pub(super) fn key_request(keys: u64, key_bits: u64) -> String {
    format!("{{\"number\":{keys},\"size\":{key_bits}}}")
}

/// A request for keys by name.
pub(super) fn key_ids(names: &[KeyId]) -> String {
    let mut text = String::with_capacity(names.len() * 52 + 16);
    text += "{\"key_IDs\":[";
    for (at, name) in names.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a text does not fail.
        let _done = write!(text, "{comma}{{\"key_ID\":\"{name}\"}}");
    }
    text + "]}"
}

/// What a KME says of itself. Sizes are in bits.
#[derive(Deserialize, Debug)]
pub(super) struct Status {
    pub(super) key_size: u64,
    #[serde(default)]
    pub(super) stored_key_count: u64,
    #[serde(default)]
    pub(super) max_key_count: u64,
    pub(super) max_key_per_request: Option<u64>,
    pub(super) max_key_size: Option<u64>,
    pub(super) min_key_size: Option<u64>,
}

/// What a KME says where it does not do what was asked.
#[derive(Deserialize, Default)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) details: serde_json::Value,
}

#[derive(Deserialize)]
struct Container<'a> {
    #[serde(borrow)]
    keys: Vec<RawEntry<'a>>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow, rename = "key_ID")]
    name: Cow<'a, str>,
    // Raw, since an escaped string would be unescaped into memory that nobody overwrites.
    #[serde(borrow)]
    key: &'a RawValue,
}

/// A key of a container: its name, and its text, quotes and escapes included.
struct Entry<'a> {
    name: Cow<'a, str>,
    key: &'a [u8],
}

impl<'a> From<RawEntry<'a>> for Entry<'a> {
    fn from(RawEntry { name, key }: RawEntry<'a>) -> Self {
        Self { name, key: key.get().as_bytes() }
    }
}

/// The keys of a container, each of `key_bytes`.
fn entries(text: &[u8], key_bytes: usize) -> Result<Vec<Entry<'_>>, BodyError> {
    if let Some(entries) = plain::entries(text, base64::encoded_len(key_bytes)) {
        return Ok(entries);
    }
    let container: Container<'_> = read(text, "key container")?;
    Ok(container.keys.into_iter().map(Entry::from).collect())
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It ends before it should.
    #[error("it ends in the middle")]
    Cut,
    /// It is no JSON, or not of this kind.
    #[error("it is no {what}: {why}")]
    Shape { what: &'static str, why: String },
    /// It breaks what was agreed.
    #[error("{0}")]
    Content(String),
    /// There is nothing in it.
    #[error("it holds no key")]
    Empty,
}

/// Reads `text` as a document of the kind that `what` names.
pub(super) fn read<'a, T: Deserialize<'a>>(
    text: &'a [u8],
    what: &'static str,
) -> Result<T, BodyError> {
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => BodyError::Cut,
        // Only the place is told: what the parser quotes may be key.
        _ => {
            let why = format!("line {}, column {}", error.line(), error.column());
            BodyError::Shape { what, why }
        }
    })
}

/// The keys in `text`, a container: at most `keys_max`, each of `key_bytes`, in its order.
pub(super) fn fresh_keys(
    text: &[u8],
    keys_max: u64,
    key_bytes: usize,
) -> Result<DeliveredKeys, BodyError> {
    let entries = entries(text, key_bytes)?;
    if entries.is_empty() {
        return Err(BodyError::Empty);
    }
    if entries.len() as u64 > keys_max {
        let what = format!("{} keys where {keys_max} were asked for", entries.len());
        return Err(BodyError::Content(what));
    }
    let mut places = HashMap::with_capacity(entries.len());
    let mut names = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let name = name_of(entry)?;
        if places.insert(name, at).is_some() {
            return Err(BodyError::Content(format!("key {name} stands in it twice")));
        }
        names.push(name);
    }
    let material = materials(&entries, key_bytes, |at| at)?;
    Ok(DeliveredKeys { names, key_bytes, material })
}

/// The keys in `text`, a container: exactly those of `names`, each of `key_bytes`, in the order of
/// `names`.
pub(super) fn named_keys(
    text: &[u8],
    names: &[KeyId],
    key_bytes: usize,
) -> Result<DeliveredKeys, BodyError> {
    let entries = entries(text, key_bytes)?;
    if entries.len() != names.len() {
        let what = format!("{} keys where {} were asked for", entries.len(), names.len());
        return Err(BodyError::Content(what));
    }
    let mut wanted: HashMap<KeyId, usize> =
        names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut places = Vec::with_capacity(entries.len());
    for entry in &entries {
        let name = name_of(entry)?;
        let place = wanted.remove(&name).ok_or_else(|| {
            BodyError::Content(format!("key {name} was not asked for, or stands in it twice"))
        })?;
        places.push(place);
    }
    let material = materials(&entries, key_bytes, |at| places[at])?;
    Ok(DeliveredKeys { names: names.to_vec(), key_bytes, material })
}

fn name_of(entry: &Entry<'_>) -> Result<KeyId, BodyError> {
    let shown = || entry.name.chars().take(64).collect::<String>();
    entry.name.parse().map_err(|error| BodyError::Content(format!("{:?}: {error}", shown())))
}

/// All keys, each where `place` says.
fn materials(
    entries: &[Entry<'_>],
    key_bytes: usize,
    place: impl Fn(usize) -> usize,
) -> Result<Block, BodyError> {
    let bytes = entries.len().checked_mul(key_bytes);
    let bytes = bytes.ok_or_else(|| BodyError::Content("more than memory holds".to_owned()))?;
    let mut material = Block::zeroed(bytes);
    for (at, entry) in entries.iter().enumerate() {
        let first = place(at) * key_bytes;
        let target = &mut material[first..first + key_bytes];
        decode_key(entry.key, target).map_err(|error| {
            let name: String = entry.name.chars().take(36).collect();
            BodyError::Content(format!("key {name} {error}"))
        })?;
    }
    Ok(material)
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum KeyError {
    #[error("is no text")]
    NoText,
    #[error("is of {found} characters where {bytes} bytes take {wanted}")]
    Length { found: usize, wanted: usize, bytes: usize },
    #[error("is no base64")]
    NoBase64,
    #[error("has an escape that no base64 needs")]
    Escape,
}

/// Decodes a key from its JSON string, quotes and escapes included, into all of `target`.
fn decode_key(raw: &[u8], target: &mut [u8]) -> Result<(), KeyError> {
    let inner = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let inner = inner.ok_or(KeyError::NoText)?;
    let wanted = base64::encoded_len(target.len());
    let decode = |text: &[u8], target: &mut [u8]| match text.len() == wanted {
        true => base64::decode(text, target).map_err(|_| KeyError::NoBase64),
        false => {
            let (found, bytes) = (text.len(), target.len());
            Err(KeyError::Length { found, wanted, bytes })
        }
    };
    // No escape is of the alphabet.
    if inner.len() == wanted || !inner.contains(&b'\\') {
        return decode(inner, target);
    }
    let plain = unescaped(inner)?;
    decode(&plain, target)
}

/// A JSON string's characters without their escapes; only such as base64 has are known.
fn unescaped(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // As long as the text, so that it never grows and leaves no copy behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            plain.push(*first);
            continue;
        }
        match rest {
            [b'/', after @ ..] => {
                plain.push(b'/');
                rest = after;
            }
            [b'u', b'0', b'0', high, low, after @ ..] => {
                let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(KeyError::Escape);
                plain.push((digit(*high)? << 4 | digit(*low)?) as u8);
                rest = after;
            }
            _ => return Err(KeyError::Escape),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::base64::Engine;
    use ::base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    fn name(number: u8) -> KeyId {
        KeyId::from_bytes([number; 16])
    }

    fn container(keys: &[(KeyId, &[u8])]) -> String {
        let keys: Vec<String> = keys
            .iter()
            .map(|(name, key)| {
                format!("{{\"key_ID\":\"{name}\",\"key\":\"{}\"}}", BASE64_STANDARD.encode(key))
            })
            .collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }

    #[test]
    fn keys_are_read_in_their_order_and_by_name_in_ours() {
        let text = container(&[(name(2), b"second"), (name(1), b"first!")]);
        let fresh = fresh_keys(text.as_bytes(), 2, 6).unwrap();
        assert_eq!(fresh.names, [name(2), name(1)]);
        assert_eq!(&*fresh.material, b"secondfirst!");
        let named = named_keys(text.as_bytes(), &[name(1), name(2)], 6).unwrap();
        assert_eq!(named.names, [name(1), name(2)]);
        assert_eq!(&*named.material, b"first!second");
        assert!(fresh_keys(text.as_bytes(), 7, 6).is_ok(), "fewer than asked are allowed");
    }

    #[test]
    fn escapes_are_undone() {
        // The bytes are chosen to have slashes in their base64.
        let key = [0xFF, 0xFF, 0xFE, 0x3F];
        let text = container(&[(name(1), &key)]);
        assert!(text.contains('/'));
        for written in ["\\/", "\\u002f", "\\u002F"] {
            let escaped = text.replace('/', written);
            let fresh = fresh_keys(escaped.as_bytes(), 1, 4).unwrap();
            assert_eq!(&*fresh.material, key, "{written}");
        }
        for odd in ["\\n", "\\u012f", "\\u00zz", "\\u00", "\\\\"] {
            let escaped = text.replace('/', odd);
            assert!(fresh_keys(escaped.as_bytes(), 1, 4).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_written_plainly_is_found_without_a_parser_and_else_left_to_it() {
        let text = container(&[(name(2), b"second"), (name(1), b"first!")]);
        let found = |text: &str| plain::entries(text.as_bytes(), 8).map(|found| found.len());
        assert_eq!(found(&text), Some(2));
        assert_eq!(found(&text.replace(':', " :\n\t").replace(',', "\r\n , ")), Some(2));
        let turned = format!("{{\"keys\":[{{\"key\":\"c2Vjb25k\",\"key_ID\":\"{}\"}}]}}", name(2));
        assert_eq!(found(&turned), Some(1));
        assert_eq!(found("{\"keys\":[]}"), Some(0));
        for other in [
            text.replace("second", "x").replace("c2Vjb25k", "c2Vjb25kLg=="),
            text.replace("\"keys\"", "\"x\":1,\"keys\""),
            text.replace("}]}", "}],\"x\":1}"),
            text.replace("}]}", ",\"key_ID_extension\":{}}]}"),
            text.replace("c2Vjb25k", "c2Vjb25\\/"),
            text.replace("\"key_ID\"", "\"key\""),
            text.replace("\"key\"", "\"key_ID\""),
            format!("{text}x"),
            text[..text.len() - 1].to_owned(),
            text.replace('[', "[,"),
            text.replace("}]", "},]"),
        ] {
            assert_eq!(found(&other), None, "{other}");
        }
    }

    #[test]
    fn what_was_not_agreed_is_refused() {
        let two = container(&[(name(1), b"123456"), (name(2), b"abcdef")]);
        let twice = container(&[(name(1), b"123456"), (name(1), b"abcdef")]);
        let two_lengths = container(&[(name(1), b"123456"), (name(2), b"abcde")]);
        let fresh = |text: &str, keys, bytes| fresh_keys(text.as_bytes(), keys, bytes).map(drop);
        let named = |text: &str, names: &[KeyId]| named_keys(text.as_bytes(), names, 6).map(drop);
        assert!(fresh(&two, 1, 6).unwrap_err().to_string().contains("2 keys where 1"));
        assert!(fresh(&twice, 2, 6).unwrap_err().to_string().contains("twice"));
        assert!(fresh(&two_lengths, 2, 6).is_err() && fresh(&two, 2, 5).is_err());
        assert_eq!(fresh("{\"keys\":[]}", 1, 6), Err(BodyError::Empty));
        assert!(named(&two, &[name(1)]).is_err(), "more than asked");
        assert!(named(&two, &[name(1), name(2), name(3)]).is_err(), "fewer than asked");
        assert!(named(&two, &[name(1), name(3)]).is_err(), "another");
        assert!(named(&twice, &[name(1), name(2)]).is_err(), "one twice");
        let odd = two.replace(&name(1).to_string(), "key-1");
        assert!(fresh(&odd, 2, 6).unwrap_err().to_string().contains("UUID"));
        assert_eq!(fresh(&two[..two.len() - 2], 2, 6), Err(BodyError::Cut));
    }

    #[test]
    fn what_is_said_of_an_answer_never_quotes_it() {
        let text = "{\"keys\":[{\"key_ID\":\"x\",\"key\":c2VjcmV0}]}";
        let told = fresh_keys(text.as_bytes(), 1, 6).map(drop).unwrap_err().to_string();
        assert!(!told.contains("c2V") && told.contains("column"), "{told}");
        let doubled = "{\"keys\":\"c2VjcmV0\"}";
        let told = fresh_keys(doubled.as_bytes(), 1, 6).map(drop).unwrap_err().to_string();
        assert!(!told.contains("c2V"), "{told}");
    }

    #[test]
    fn every_container_of_the_agreed_size_fits() {
        for (keys, key_bytes) in [(1, 1), (128, 128), (1, 1 << 20), (4096, 32), (3, 100_000)] {
            // As spaced out and escaped as any sender writes: each slash and each line.
            let text = "/".repeat(key_bytes as usize / 40) + "\n  \"key_ID_extension\": null,";
            let room = container_bytes_max(keys, key_bytes).unwrap();
            let bare = (key_bytes.div_ceil(3) * 4 + 90) * keys;
            assert!(room >= bare + (text.len() as u64).min(100) * keys, "{keys} of {key_bytes}");
            assert!(room <= bare * 2 + 200 * keys + (16 << 10), "{keys} of {key_bytes}: {room}");
        }
        assert_eq!(container_bytes_max(u64::MAX, 32), None);
        assert_eq!(container_bytes_max(1, u64::MAX), None);
    }

    #[test]
    fn requests_are_the_json_that_the_protocol_has() {
        let request: serde_json::Value = serde_json::from_str(&key_request(3, 1024)).unwrap();
        assert_eq!(request, serde_json::json!({"number": 3, "size": 1024}));
        let names = [name(1), name(2)];
        let request: serde_json::Value = serde_json::from_str(&key_ids(&names)).unwrap();
        let listed = names.map(|name| serde_json::json!({"key_ID": name.to_string()}));
        assert_eq!(request, serde_json::json!({"key_IDs": listed}));
    }

    #[test]
    fn deep_json_is_refused_and_not_followed() {
        let deep = format!("{{\"keys\":{}", "[".repeat(1 << 20));
        assert!(fresh_keys(deep.as_bytes(), 1, 6).is_err());
        let aside = format!("{{\"x\":{}", "[{\"a\":".repeat(1 << 18));
        assert!(fresh_keys(aside.as_bytes(), 1, 6).is_err());
        let deep = format!("{{\"details\":{}", "[".repeat(1 << 20));
        assert!(read::<ErrorBody>(deep.as_bytes(), "error").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(
            bytes: Vec<u8>,
            text in "[\\[\\]{}\":,a-z0-9\\\\/ ]{0,60}",
        ) {
            for text in [bytes.as_slice(), text.as_bytes()] {
                let _fresh = fresh_keys(text, 3, 4).map(drop);
                let _named = named_keys(text, &[name(1)], 4).map(drop);
                let _status = read::<Status>(text, "status").map(drop);
                let _error = read::<ErrorBody>(text, "error").map(drop);
            }
        }

        #[test]
        fn what_is_found_without_the_parser_is_what_the_parser_finds(
            at in 0_usize..400, byte: u8, spaces in "[ \\n]{0,2}",
        ) {
            let text = container(&[(name(1), b"123456"), (name(2), b"abcdef")]);
            let mut text = text.replace(',', &format!("{spaces},")).into_bytes();
            let at = at % text.len();
            text[at] = byte;
            let decoded = |entries: &[Entry<'_>]| materials(entries, 6, |at| at).ok();
            let Some(plain) = plain::entries(&text, 8) else { return Ok(()) };
            let Some(material) = decoded(&plain) else { return Ok(()) };
            let Ok(parsed) = read::<Container<'_>>(&text, "key container") else {
                // The name holds what a text of JSON may not; it is no UUID either.
                prop_assert!(plain.iter().any(|entry| name_of(entry).is_err()));
                return Ok(());
            };
            let parsed: Vec<_> = parsed.keys.into_iter().map(Entry::from).collect();
            prop_assert_eq!(parsed.len(), plain.len());
            prop_assert!(parsed.iter().zip(&plain).all(|(one, other)| one.name == other.name));
            prop_assert_eq!(&*decoded(&parsed).unwrap(), &*material);
        }

        #[test]
        fn an_altered_container_is_refused_or_says_something_else(
            at in 0_usize..400, byte: u8, cut in 0_usize..400,
        ) {
            let text = container(&[(name(1), b"123456"), (name(2), b"abcdef")]).into_bytes();
            let mut altered = text.clone();
            let at = at % altered.len();
            altered[at] = byte;
            if let Ok(keys) = fresh_keys(&altered, 2, 6) {
                prop_assert_eq!(keys.material.len(), keys.names.len() * 6);
            }
            let cut = cut % text.len();
            prop_assert!(fresh_keys(&text[..cut], 2, 6).is_err());
        }
    }
}
