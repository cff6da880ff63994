//! Certificates: as a card's, as an anchor's, and between.

#![no_main]

use libfuzzer_sys::fuzz_target;
use warifu_consent::Certificate;
use warifu_consent::trust::{Role, TrustStore};
use warifu_fuzz::{authority, certificate, changed};

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    let der = match how % 3 {
        0 => rest.to_vec(),
        1 => changed(&certificate(), rest),
        _ => changed(&authority(), rest),
    };
    if let Ok(read) = Certificate::read(&der) {
        assert!(!read.subject().chars().any(char::is_control));
    }
    for role in Role::ALL {
        let _ = TrustStore::of(&[(role, der.clone())], &[]);
    }
});
