//! Cards through PKCS#11: SoftHSM2's tokens, the My Number Card's stand-in, and drivers that
//! misbehave.

use std::process::Command;
use warifu_e2e::{
    CardLab, Done, OPENSC, Reader, SOFTHSM, jpki_lacks, pins_given, softhsm_lacks, warifu,
};

#[expect(clippy::print_stdout, reason = "what a test could not do is said where it is read")]
fn skipped(missing: Option<&str>) -> bool {
    if let Some(missing) = missing {
        println!("skipped: {missing} is missing: ./tools/test installs it");
    }
    missing.is_some()
}

/// A lab whose vault is a gateway's.
fn gateway() -> CardLab {
    let lab = CardLab::new();
    let _made = lab.run(&["init"]).ok();
    lab
}

/// The token with this label, without a look at the reader that other tests use.
fn token(label: &str) -> String {
    format!("pkcs11:token={label}?module-path={SOFTHSM}")
}

fn enrol(lab: &CardLab, name: &str, card: &str, options: &[&str]) -> Done {
    lab.run(&[&["individual", "enroll", name, "--card", card][..], options].concat())
}

/// Expects a card's failure by its code, and that it came to nothing.
#[track_caller]
fn refused(lab: &CardLab, done: Done, code: &str, says: &str) {
    let done = done.exits(9);
    assert!(done.stderr.contains(&format!("error[{code}]")), "{}", done.stderr);
    assert!(done.stderr.contains(says), "{}", done.stderr);
    assert_eq!(done.exit_line()["class"], "card");
    assert_eq!(lab.run(&["individual", "list"]).ok().json().as_array().unwrap().len(), 0);
}

#[test]
fn tokens_of_every_algorithm_enrol_their_person() {
    if skipped(softhsm_lacks()) {
        return;
    }
    let lab = gateway();
    let pin = lab.file("pin", "4711\n");
    for (algorithm, name) in [("rsa2048", "RS256"), ("p384", "ES384"), ("p256", "ES256")] {
        let _card = lab.file_card(algorithm, algorithm);
        lab.token(algorithm, algorithm, "4711");
        let shown = lab.run(&["card", "show", "--card", algorithm]).ok().json();
        // A lab's authority certified it, which is what sites go by too.
        assert_eq!((&shown["algorithm"], &shown["software"]), (&name.into(), &true.into()));
        let _row = enrol(&lab, algorithm, &token(algorithm), &["--pin-file", &pin]).ok();
    }
    let listed = lab.run(&["card", "list", "--module", SOFTHSM]).ok().json();
    let cards = listed.as_array().unwrap();
    assert_eq!(cards.len(), 3);
    let card = cards[0]["card"].as_str().unwrap();
    let by_uri = format!("{card}&pin-source=file:{pin}");
    let _row = enrol(&lab, "by-uri", &by_uri, &[]).ok();
    let line = format!(
        "exec {} individual enroll by-descriptor --card {card:?} --pin-fd 5 5<{pin}",
        warifu().display()
    );
    let _row = lab.done(Command::new("sh").args(["-c", &line])).ok();
    assert_eq!(lab.run(&["individual", "list"]).ok().json().as_array().unwrap().len(), 5);
}

#[test]
fn a_token_that_is_not_the_one_or_a_wrong_pin_is_refused() {
    if skipped(softhsm_lacks()) {
        return;
    }
    let lab = gateway();
    let (pin, wrong) = (lab.file("pin", "4711\n"), lab.file("wrong", "1234\n"));
    let _card = lab.file_card("a", "p256");
    lab.token("one", "a", "4711");
    lab.token("two", "a", "4711");
    let with = |card: &str, pin: &str| enrol(&lab, "P", card, &["--pin-file", pin]);
    refused(&lab, with(&token("one"), &wrong), "card-pin", "the PIN is wrong");
    refused(&lab, with(&token("three"), &pin), "card-absent", "there are only");
    let other = format!("pkcs11:id=%02?module-path={SOFTHSM}");
    refused(&lab, with(&other, &pin), "card-unfit", "no certificate that fits");
    let any = format!("pkcs11:?module-path={SOFTHSM}");
    refused(&lab, with(&any, &pin), "card-absent", "several certificates fit");
    refused(&lab, with(&token("one"), &lab.text("nowhere")), "card-no-pin", "can't be read");
    refused(&lab, with("pkcs11:?module-path=/nowhere.so", &pin), "card-absent", "nowhere.so");
    let shown = with("pkcs11:token=one?pin-value=4711", &pin).exits(2);
    assert!(shown.stderr.contains("everybody"), "{}", shown.stderr);
}

/// A driver made of a few lines of C.
fn driver(lab: &CardLab, name: &str, body: &str) -> String {
    let source = lab.file(
        &format!("{name}.c"),
        &format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
             unsigned long C_GetFunctionList(void **list) {{ {body} }}\n"
        ),
    );
    let module = lab.text(&format!("{name}.so"));
    let mut compiler = Command::new("cc");
    let _built = lab.done(compiler.args(["-shared", "-fPIC", "-o", &module, &source])).ok();
    module
}

#[test]
fn a_driver_that_hangs_crashes_or_chatters_is_survived() {
    let lab = gateway();
    let card = |module: &str| format!("pkcs11:?module-path={module}");
    let hang = driver(&lab, "hang", "for (;;) pause();");
    let hangs = enrol(&lab, "P", &card(&hang), &["--card-timeout", "1"]);
    refused(&lab, hangs, "card-hangs", "within 1 s");
    let maps = format!("! grep -l -s {hang} /proc/[0-9]*/maps");
    let _nobody = lab.done(Command::new("sh").args(["-c", &maps])).ok();
    let crash = driver(&lab, "crash", "abort();");
    refused(&lab, enrol(&lab, "P", &card(&crash), &[]), "card-failed", "ended the process");
    let leave = driver(&lab, "leave", "exit(0);");
    refused(&lab, enrol(&lab, "P", &card(&leave), &[]), "card-failed", "ended the process");
    let chatter = "puts(\"{\\\"answer\\\":\\\"proved\\\"}\"); fflush(stdout); return 5;";
    let chatter = driver(&lab, "chatter", chatter);
    refused(&lab, enrol(&lab, "P", &card(&chatter), &[]), "card-failed", "GeneralError");
    let null = driver(&lab, "null", "return 84;");
    refused(&lab, enrol(&lab, "P", &card(&null), &[]), "card-failed", "FunctionNotSupported");
    let text = lab.file("text.so", "no library");
    refused(&lab, enrol(&lab, "P", &card(&text), &[]), "card-absent", "no driver loads");
}

const JPKI: &str = "pkcs11:token=JPKI;id=%01";

#[test]
fn the_my_number_card_signs_after_one_pin_and_counts_wrong_ones() {
    if skipped(jpki_lacks()) {
        return;
    }
    let lab = gateway();
    let (pin, wrong) = (lab.file("pin", "1234\n"), lab.file("wrong", "9999\n"));
    let _card = lab.file_card("donor", "rsa2048");
    let mut reader = Reader::take();
    reader.insert(&lab, "donor", &[]);
    let left = || {
        let shown = lab.run(&["card", "show", "--card", "JPKI"]).ok().json();
        (shown["tries_left"].clone(), pins_given(&lab))
    };
    let with = |name: &str, pin: &str| enrol(&lab, name, JPKI, &["--pin-file", pin]);
    assert_eq!(left(), (3.into(), 0));
    refused(&lab, with("P", &wrong), "card-pin", "2 tries are left");
    assert_eq!(left(), (2.into(), 1));
    refused(&lab, with("P", &wrong), "card-pin", "1 try is left");
    assert_eq!(left(), (1.into(), 2));
    // The last try is never spent by a script that does not say so.
    refused(&lab, with("P", &wrong), "card-last-try", "one try is left");
    refused(&lab, with("P", &pin), "card-last-try", "one try is left");
    assert_eq!(left(), (1.into(), 2));
    let doctor = lab.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("1 try is left"));
    let last = ["--pin-file", &pin, "--last-try"];
    let _row = enrol(&lab, "good", JPKI, &last).ok();
    assert_eq!(left(), (3.into(), 3));
}

#[test]
fn the_my_number_card_locks_and_is_left_alone_then() {
    if skipped(jpki_lacks()) {
        return;
    }
    let lab = gateway();
    let (pin, wrong) = (lab.file("pin", "1234\n"), lab.file("wrong", "9999\n"));
    let _card = lab.file_card("donor", "rsa2048");
    let mut reader = Reader::take();
    reader.insert(&lab, "donor", &["--tries", "1"]);
    let with = |pin: &str| enrol(&lab, "P", JPKI, &["--pin-file", pin, "--last-try"]);
    refused(&lab, with(&wrong), "card-locked", "locked");
    assert_eq!(pins_given(&lab), 1);
    refused(&lab, with(&pin), "card-locked", "locked");
    assert_eq!(pins_given(&lab), 1);
}

#[test]
fn the_my_number_card_keeps_its_holders_name_to_itself() {
    if skipped(jpki_lacks()) {
        return;
    }
    let lab = gateway();
    let pin = lab.file("pin", "ABC123\n");
    let (_user, _signing) = (lab.file_card("donor", "rsa2048"), lab.file_card("taro", "rsa2048"));
    let mut reader = Reader::take();
    reader.insert(&lab, "donor", &["--sign-certificate", &lab.text("taro.crt")]);
    let listed = lab.run(&["card", "list", "--module", OPENSC]).ok();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains("donor") && !text.contains("taro"), "{text}");
    for card in ["pkcs11:token=JPKI;id=%02", "JPKI (Digital Signature PIN)"] {
        let done = enrol(&lab, "P", card, &["--pin-file", &pin]);
        refused(&lab, done, "card-unfit", "behind a PIN is never used");
    }
    assert_eq!(pins_given(&lab), 0);
}

#[test]
fn a_my_number_card_that_hangs_or_leaves_is_given_up() {
    if skipped(jpki_lacks()) {
        return;
    }
    let lab = gateway();
    let pin = lab.file("pin", "1234\n");
    let _card = lab.file_card("donor", "rsa2048");
    let mut reader = Reader::take();
    reader.insert(&lab, "donor", &["--hang", "sign"]);
    let with =
        |options: &[&str]| enrol(&lab, "P", JPKI, &[&["--pin-file", &pin][..], options].concat());
    refused(&lab, with(&["--card-timeout", "20"]), "card-hangs", "within 20 s");
    reader.remove(&lab);
    refused(&lab, with(&[]), "card-absent", "none fits");
}
