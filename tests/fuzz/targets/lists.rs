//! Revocation lists. One that the authority did not sign takes no card back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use warifu_consent::statement::{Consent, Statement as _};
use warifu_consent::trust::{Role, TrustStore};
use warifu_fuzz::{NOW, PAYLOAD, authority, card, certificate, changed, header, signed};

const LIST: &[u8] = include_bytes!("../seeds/list.crl");

thread_local! {
    static TOKEN: String =
        signed(&mut card(), &header(Consent::TYPE, &certificate()), PAYLOAD);
}

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    let der = if how % 2 == 0 { rest.to_vec() } else { changed(LIST, rest) };
    let Ok(trust) = TrustStore::of(&[(Role::CardCa, authority())], &[der]) else { return };
    TOKEN.with(|token| assert!(trust.verify::<Consent>(token, NOW).is_ok()));
});
