//! Statements as JWS: what is made, what is read, and what is refused before anybody is trusted.

use crate::people::{Authority, TestCard, consent, presence, rsa_key};
use rcgen::KeyPair;
use serde_json::{Value, json};
use warifu_consent::Untrue;
use warifu_consent::card::{Algorithm, Card, CardError};
use warifu_consent::jws;
use warifu_consent::statement::{Consent, Presence, Statement};

#[test]
fn each_kind_of_key_signs_and_is_believed_to_have_signed() {
    let authority = Authority::new("CA");
    let keys = [
        (KeyPair::generate().unwrap(), Algorithm::Es256),
        (KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(), Algorithm::Es384),
        (KeyPair::from_pem(&rsa_key(2_048)).unwrap(), Algorithm::Rs256),
    ];
    for (key, algorithm) in keys {
        let mut card = authority.card_of(&crate::people::person_params("P1"), key);
        let token = card.says(&consent());
        assert_eq!(jws::kind(&token), Some(Consent::TYPE));
        let possessed = jws::possesses::<Consent>(&token).unwrap();
        assert_eq!(possessed.statement, consent());
        assert_eq!(possessed.algorithm, algorithm);
        assert_eq!(possessed.key, card.key());
        assert_eq!(possessed.chain, card.chain);
    }
}

#[test]
fn no_kind_passes_for_another() {
    let mut card = Authority::new("CA").card("P1");
    let token = card.says(&presence());
    assert_eq!(jws::possesses::<Consent>(&token).unwrap_err().code(), "consent-malformed");
    // Nor does a log-in elsewhere, whatever it says.
    let mut header = card.header::<Consent>();
    header["typ"] = json!("JWT");
    let login = card.forge(&header, &serde_json::to_vec(&consent()).unwrap());
    assert_eq!(jws::possesses::<Consent>(&login).unwrap_err().code(), "consent-malformed");
    assert_eq!(jws::kind(&login), None);
    header.as_object_mut().unwrap().remove("typ");
    let bare = card.forge(&header, &serde_json::to_vec(&consent()).unwrap());
    assert_eq!(jws::possesses::<Consent>(&bare).unwrap_err().code(), "consent-malformed");
}

#[test]
fn a_header_that_says_more_or_less_is_refused() {
    let card = Authority::new("CA").card("P1");
    let payload = serde_json::to_vec(&consent()).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut header = card.header::<Consent>();
        change(&mut header);
        let error = jws::possesses::<Consent>(&card.forge(&header, &payload)).unwrap_err();
        assert_eq!(error.code(), "consent-malformed", "{header}: {error}");
    };
    for (name, value) in [
        ("jwk", json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" })),
        ("jku", json!("https://example.org/keys")),
        ("x5u", json!("https://example.org/certificate")),
        ("x5t", json!("AAAA")),
        ("kid", json!("mine")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("cty", json!("text")),
        ("zip", json!("DEF")),
        ("note", json!("hello")),
    ] {
        refused(&|header| header[name] = value.clone());
    }
    for alg in ["none", "HS256", "HS384", "RS384", "RS512", "PS256", "EdDSA", "es256", ""] {
        refused(&|header| header["alg"] = json!(alg));
    }
    refused(&|header| drop(header.as_object_mut().unwrap().remove("alg")));
    refused(&|header| drop(header.as_object_mut().unwrap().remove("x5c")));
    refused(&|header| header["x5c"] = json!([]));
    refused(&|header| header["x5c"] = json!(["no base64!"]));
    refused(&|header| {
        let one = header["x5c"][0].clone();
        header["x5c"] = json!(vec![one; jws::CHAIN_MAX + 1]);
    });
    let unchanged = card.forge(&card.header::<Consent>(), &payload);
    assert!(jws::possesses::<Consent>(&unchanged).is_ok());
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused() {
    let authority = Authority::new("CA");
    let card = authority.card("P1");
    let payload = serde_json::to_vec(&consent()).unwrap();
    for alg in ["ES384", "RS256"] {
        let mut header = card.header::<Consent>();
        header["alg"] = json!(alg);
        let token = card.forge(&header, &payload);
        assert_eq!(jws::possesses::<Consent>(&token).unwrap_err(), Untrue::Forged, "{alg}");
    }
}

#[test]
fn any_changed_letter_is_found() {
    let mut card = Authority::new("CA").card("P1");
    let token = card.says(&consent());
    assert!(jws::possesses::<Consent>(&token).is_ok());
    for at in 0..token.len() {
        let mut letters = token.clone().into_bytes();
        letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(letters).unwrap();
        if let Ok(possessed) = jws::possesses::<Consent>(&changed) {
            panic!("letter {at} changed, and yet {:?}", possessed.statement);
        }
    }
    for cut in [token.len() - 1, token.len() / 2, 1, 0] {
        assert!(jws::possesses::<Consent>(&token[..cut]).is_err(), "cut to {cut}");
    }
    for more in [format!("{token}="), format!("{token}\n"), format!("{token}.AA")] {
        assert!(jws::possesses::<Consent>(&more).is_err(), "{more}");
    }
}

#[test]
fn statements_that_mean_nothing_are_neither_made_nor_read() {
    let mut card = Authority::new("CA").card("P1");
    type Change = fn(&mut Consent);
    let changes: [(&str, Change); 14] = [
        ("version", |consent| consent.v = 2),
        ("order of times", |consent| consent.expires = consent.not_before),
        ("far future", |consent| consent.expires = u64::MAX),
        ("no purpose", |consent| consent.purpose.clear()),
        ("long purpose", |consent| consent.purpose = "x".repeat(1_025)),
        ("purpose of two lines", |consent| consent.purpose = "x\ny".to_owned()),
        ("purpose of two lines, otherwise", |consent| consent.purpose = "x\u{2028}y".to_owned()),
        ("purpose read backwards", |consent| consent.purpose = "x\u{202e}y".to_owned()),
        ("no object", |consent| consent.objects.clear()),
        ("an object twice", |consent| consent.objects.push(crate::people::locator())),
        ("k above n", |consent| consent.objects[0].k = 4),
        ("no range", |consent| consent.objects[0].ranges = Some(vec![])),
        ("ranges out of order", |consent| consent.objects[0].ranges = Some(vec![5..9, 1..2])),
        ("a range too far", |consent| {
            consent.objects[0].ranges = crate::people::one(0..(1 << 20) + 1)
        }),
    ];
    for (what, change) in changes {
        let mut bad = consent();
        change(&mut bad);
        let made = jws::sign(&bad, &mut card);
        assert!(matches!(made, Err(CardError::Statement(_))), "{what}");
        let token = card.forge(&card.header::<Consent>(), &serde_json::to_vec(&bad).unwrap());
        let error = jws::possesses::<Consent>(&token).unwrap_err();
        assert_eq!(error.code(), "consent-malformed", "{what}");
    }
}

#[test]
fn payloads_with_unknown_double_or_missing_claims_are_refused() {
    let card = Authority::new("CA").card("P1");
    let whole = serde_json::to_value(consent()).unwrap();
    let refused = |payload: &[u8]| {
        let token = card.forge(&card.header::<Consent>(), payload);
        let error = jws::possesses::<Consent>(&token).unwrap_err();
        assert_eq!(error.code(), "consent-malformed", "{}", String::from_utf8_lossy(payload));
    };
    for name in whole.as_object().unwrap().keys() {
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove(name);
        refused(&serde_json::to_vec(&less).unwrap());
    }
    let mut more = whole.clone();
    more["note"] = json!("hello");
    refused(&serde_json::to_vec(&more).unwrap());
    let text = whole.to_string();
    refused(text.replacen('{', r#"{"v":1,"#, 1).as_bytes());
    refused(text.replace("0101", "01AB").as_bytes());
    refused(b"");
    refused(b"null");
    refused(&[b'['; 30_000]);
}

#[test]
fn presences_say_what_their_kind_must() {
    let mut card = Authority::new("CA").card("P1");
    let changes: [fn(&mut Presence); 4] = [
        |presence| presence.consent = None,
        |presence| presence.object = None,
        |presence| presence.nonces.clear(),
        |presence| presence.kind = warifu_consent::statement::PresenceKind::Find,
    ];
    for change in changes {
        let mut bad = presence();
        change(&mut bad);
        assert!(matches!(jws::sign(&bad, &mut card), Err(CardError::Statement(_))), "{bad:?}");
    }
}

/// A card whose driver signs something else.
struct Liar(TestCard);

impl Card for Liar {
    fn chain(&mut self) -> Result<Vec<Vec<u8>>, CardError> {
        self.0.chain()
    }

    fn algorithm(&mut self) -> Result<Algorithm, CardError> {
        self.0.algorithm()
    }

    fn sign(&mut self, _: &[u8]) -> Result<Vec<u8>, CardError> {
        self.0.sign(b"something else")
    }

    fn is_software(&self) -> bool {
        true
    }
}

#[test]
fn what_a_card_signed_is_checked_before_it_is_shown_to_anybody() {
    let mut liar = Liar(Authority::new("CA").card("P1"));
    assert!(matches!(jws::sign(&consent(), &mut liar), Err(CardError::Failed(_))));
}

#[test]
fn long_statements_are_refused() {
    let mut card = Authority::new("CA").card("P1");
    let mut long = consent();
    long.objects = (0..1_024u32)
        .map(|number| {
            let mut locator = crate::people::locator();
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            locator.object = warifu_core::ObjectId::from_bytes(bytes);
            locator
        })
        .collect();
    assert!(matches!(jws::sign(&long, &mut card), Err(CardError::Statement(_))));
    let token = card.forge(&card.header::<Consent>(), &serde_json::to_vec(&long).unwrap());
    assert_eq!(jws::read::<Consent>(&token).err().map(|why| why.code()), Some("consent-malformed"));
}
