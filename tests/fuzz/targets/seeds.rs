//! What is right, and how an input changes it.

#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::path::Path;
use warifu_consent::card::Card as _;
use warifu_consent::card::FileCard;
use warifu_consent::trust::{Role, TrustStore};

/// The middle of 2027, when all seeds hold.
pub const NOW: u64 = 1_814_000_000;

/// What a consent says that holds then.
pub const PAYLOAD: &[u8] = br#"{"v":1,"id":"01010101010101010101010101010101",
"individual":"P1","requester":"hospital","purpose":"diagnosis","at":1813999000,
"not_before":1813999000,"expires":1815000000,"single_use":true,"objects":[{
"object":"07070707070707070707070707070707","k":2,"n":3,"payload_bytes":1048576,
"ranges":[{"start":0,"end":9},{"start":9,"end":20}],"shares":[{"site":"tokyo","x":1},
{"site":"osaka","x":2},{"site":"sendai","x":3}]}]}"#;

/// The DER in a PEM file of one block.
#[must_use]
pub fn der(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).expect("the seeds are right")
}

/// The authority's certificate.
#[must_use]
pub fn authority() -> Vec<u8> {
    der(include_str!("../seeds/ca.crt"))
}

/// The card's certificate.
#[must_use]
pub fn certificate() -> Vec<u8> {
    der(include_str!("../seeds/p1.crt"))
}

/// Whoever trusts the authority.
#[must_use]
pub fn trust() -> TrustStore {
    TrustStore::of(&[(Role::CardCa, authority())], &[]).expect("the seeds are right")
}

/// The card.
#[must_use]
pub fn card() -> FileCard {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    FileCard::open(&seeds.join("p1.key"), &seeds.join("p1.crt")).expect("the seeds are right")
}

/// A compact JWS of these bytes, which the card signed whatever they say.
#[must_use]
pub fn signed(card: &mut FileCard, header: &[u8], payload: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = card.sign(message.as_bytes()).expect("a file signs");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The header of a statement of this kind that brings `certificate`.
#[must_use]
pub fn header(kind: &str, certificate: &[u8]) -> Vec<u8> {
    let x5c = [STANDARD.encode(certificate)];
    serde_json::json!({ "typ": kind, "alg": "ES256", "x5c": x5c }).to_string().into_bytes()
}

/// `right` after the changes that `input` says: four bytes each, where (two), how, and with what.
#[must_use]
pub fn changed(right: &[u8], input: &[u8]) -> Vec<u8> {
    let mut bytes = right.to_vec();
    for change in input.chunks_exact(4) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        match change[2] % 4 {
            0 => bytes[at] = change[3],
            1 => bytes.insert(at, change[3]),
            2 => drop(bytes.drain(at..(at + 1 + usize::from(change[3] % 16)).min(bytes.len()))),
            _ => bytes[at] ^= 1 << (change[3] % 8),
        }
    }
    bytes
}
