//! Statements: raw, changed, and signed by a good card whatever they say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use warifu_consent::card::FileCard;
use warifu_consent::jws;
use warifu_consent::statement::{
    BreakGlass, Consent, Enrolment, Presence, Rebinding, Revocation, Statement,
};
use warifu_consent::trust::TrustStore;
use warifu_fuzz::{NOW, PAYLOAD, card, certificate, changed, header, signed, trust};

struct Scene {
    card: FileCard,
    trust: TrustStore,
    token: String,
}

thread_local! {
    static SCENE: RefCell<Scene> = RefCell::new({
        let mut card = card();
        let token = signed(&mut card, &header(Consent::TYPE, &certificate()), PAYLOAD);
        let trust = trust();
        assert!(trust.verify::<Consent>(&token, NOW).is_ok(), "the seed must be believed");
        Scene { card, trust, token }
    });
}

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    SCENE.with_borrow_mut(|scene| match how % 4 {
        0 => read(scene, rest, false),
        1 => {
            let token = changed(scene.token.as_bytes(), rest);
            let is_same = token == scene.token.as_bytes();
            read(scene, &token, is_same);
        }
        2 => {
            let payload = changed(PAYLOAD, rest);
            let token = signed(&mut scene.card, &header(Consent::TYPE, &certificate()), &payload);
            read(scene, token.as_bytes(), true);
        }
        _ => {
            let header = changed(&header(Consent::TYPE, &certificate()), rest);
            let token = signed(&mut scene.card, &header, PAYLOAD);
            read(scene, token.as_bytes(), true);
        }
    });
});

/// Reads it as each kind. Only what the card signed may be believed.
fn read(scene: &Scene, token: &[u8], may_be_believed: bool) {
    let Ok(token) = str::from_utf8(token) else { return };
    let _ = jws::kind(token);
    let believed = [
        verify::<Consent>(scene, token),
        verify::<Presence>(scene, token),
        verify::<Enrolment>(scene, token),
        verify::<Rebinding>(scene, token),
        verify::<Revocation>(scene, token),
        verify::<BreakGlass>(scene, token),
    ];
    let count = believed.into_iter().filter(|believed| *believed).count();
    assert!(count <= usize::from(may_be_believed), "{token}");
}

fn verify<S: Statement>(scene: &Scene, token: &str) -> bool {
    match scene.trust.verify::<S>(token, NOW) {
        Ok(verified) => {
            assert!(verified.statement.well_formed().is_ok());
            true
        }
        Err(why) => {
            assert!(!why.to_string().chars().any(char::is_control), "{why:?}");
            false
        }
    }
}
