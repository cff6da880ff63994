//! Answers of responders. Whoever sits between can't make one up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use warifu_consent::Certificate;
use warifu_consent::trust::{Responder, Revocations as _, Standing};
use warifu_fuzz::{NOW, authority, certificate, changed};

const ANSWER: &[u8] = include_bytes!("../seeds/answer.der");

fuzz_target!(|input: &[u8]| {
    thread_local! {
        static PAIR: [Certificate; 2] = [certificate(), authority()]
            .map(|der| Certificate::read(&der).expect("the seeds are right"));
    }
    let Some((how, rest)) = input.split_first() else { return };
    let answer = if how % 2 == 0 { rest.to_vec() } else { changed(ANSWER, rest) };
    PAIR.with(|[card, issuer]| {
        let responder = Responder::reached_by(Box::new(move |_| Ok(answer.clone())));
        let standing = responder.judge(card, issuer, NOW);
        assert_ne!(standing.ok(), Some(Standing::Silent));
    });
});
