//! Each fault does what it says, to whom it concerns, for as long as it was asked for.

use crate::client::{Client, TestLab};
use serde_json::json;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use warifu_kme::{Call, Fault, FaultKind, KEYS_NOT_FOUND, Limits, set_faults};

struct Broken {
    lab: TestLab,
    a: Client,
    b: Client,
}

/// A pair whose pools hold 100 keys of 1024 bits, and get no more in a test's time.
fn pair() -> Broken {
    let limits = Limits { max_key_count: 100, ..Limits::EXAMPLE };
    let changes = warifu_kme::Changes {
        rate_bits_per_s: Some(1),
        initial_bytes: Some(100 * 128),
        limits: Some(limits),
        ..warifu_kme::Changes::default()
    };
    let lab = TestLab::new(&changes, std::sync::Arc::new(crate::client::HandClock::default()));
    let (a, b) = (lab.client("sae-a"), lab.client("sae-b"));
    Broken { lab, a, b }
}

impl Broken {
    fn set(&self, node: &str, faults: &[Fault]) {
        set_faults(self.lab.folder.path(), node, faults).unwrap();
    }

    fn always(&self, node: &str, kind: FaultKind) {
        self.set(node, &[Fault::always(kind)]);
    }

    fn heal(&self) {
        self.set("a", &[]);
        self.set("b", &[]);
    }
}

#[test]
fn refusals_are_counted_limited_to_a_method_and_end() {
    let pair = pair();
    let refusing = FaultKind::Status503 { retry_after_s: Some(7) };
    pair.set("a", &[Fault::times(refusing, 2).only(Call::EncKeys)]);
    for _ in 0..2 {
        assert_eq!(pair.a.stored("sae-b"), 100);
        let answer = pair.a.get("sae-b/enc_keys");
        assert_eq!(answer.retry_after.as_deref(), Some("7"));
        assert!(answer.refused(503).contains("fault"));
    }
    assert_eq!(pair.a.enc("sae-b", 1, 1024).len(), 1);
    // The other end was well all the time; two faults are two.
    pair.set("a", &[Fault::times(FaultKind::Status400, 1), Fault::always(FaultKind::FewerKeys)]);
    assert!(pair.a.get("sae-b/status").refused(400).contains("fault"));
    assert_eq!(pair.a.enc("sae-b", 5, 64).len(), 3);
    assert_eq!(pair.b.status("sae-a")["source_KME_ID"], "b");
    pair.heal();
    assert_eq!(pair.a.enc("sae-b", 5, 64).len(), 5);
    // One whose time is over is none.
    pair.set("a", &[Fault::lasting(FaultKind::Status400, Duration::ZERO)]);
    assert_eq!(pair.a.enc("sae-b", 1, 64).len(), 1);
}

#[test]
fn a_slow_answer_comes() {
    let pair = pair();
    let started = std::time::Instant::now();
    pair.always("a", FaultKind::Slow { ms: 200 });
    assert_eq!(pair.a.enc("sae-b", 1, 64).len(), 1);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn an_answer_that_hangs_never_comes_and_harms_no_other() {
    let pair = pair();
    pair.set("a", &[Fault::always(FaultKind::Hang).only(Call::EncKeys)]);
    let impatient = pair.lab.client("sae-a").with_patience(Duration::from_millis(300));
    let given_up = impatient.try_get("sae-b/enc_keys").unwrap_err();
    assert!(matches!(given_up, ureq::Error::Timeout(_)), "{given_up}");
    assert_eq!(pair.a.stored("sae-b"), 100);
    // One that still waits does not keep the lab from ending.
    let Broken { lab, a, b: _ } = pair;
    let (sender, asking) = mpsc::channel();
    let waiting = thread::spawn(move || {
        sender.send(()).unwrap();
        a.try_get("sae-b/enc_keys").is_err()
    });
    asking.recv().unwrap();
    lab.running.end();
    assert!(waiting.join().unwrap());
}

#[test]
fn a_key_comes_again_in_a_later_answer() {
    let pair = pair();
    let before = pair.a.enc("sae-b", 3, 64);
    assert_eq!(pair.b.dec("sae-a", &before), before);
    pair.always("a", FaultKind::DuplicateId);
    let after = pair.a.enc("sae-b", 3, 64);
    assert_eq!(after[0], before[2]);
    assert!(!before.contains(&after[1]) && !before.contains(&after[2]));
    assert_eq!(pair.b.dec("sae-a", &after), after);
}

#[test]
fn a_key_comes_twice_in_one_answer() {
    let pair = pair();
    pair.always("a", FaultKind::DuplicateInAnswer);
    let keys = pair.a.enc("sae-b", 3, 64);
    assert_eq!(keys[0], keys[2]);
    assert_ne!(keys[0].id, keys[1].id);
}

#[test]
fn a_key_asked_for_again_comes_again() {
    let pair = pair();
    pair.always("b", FaultKind::RepeatDec);
    let keys = pair.a.enc("sae-b", 2, 64);
    for _ in 0..3 {
        assert_eq!(pair.b.dec("sae-a", &keys), keys);
    }
    pair.heal();
    assert_eq!(pair.b.dec("sae-a", &keys), keys);
    assert_eq!(pair.b.dec_answer("sae-a", &keys).refused(400), KEYS_NOT_FOUND);
}

#[test]
fn keys_of_a_wrong_length_come() {
    let pair = pair();
    pair.set("a", &[Fault::times(FaultKind::WrongLength, 1)]);
    let keys = pair.a.enc("sae-b", 2, 1024);
    assert!(keys.iter().all(|key| key.bytes.len() == 127));
    let right = pair.b.dec("sae-a", &keys);
    assert!(right.iter().all(|key| key.bytes.len() == 128));
}

#[test]
fn a_lost_answer_and_a_cut_one_take_their_keys_from_the_pool() {
    let pair = pair();
    for (kind, left) in [(FaultKind::LostAnswer, 90), (FaultKind::CutAnswer, 80)] {
        pair.set("a", &[Fault::times(kind, 1).only(Call::EncKeys)]);
        pair.a.try_get("sae-b/enc_keys?number=10").unwrap_err();
        assert_eq!(pair.a.stored("sae-b"), left);
    }
    // So do those of the other end: what was on its way is gone.
    let keys = pair.a.enc("sae-b", 1, 64);
    pair.set("b", &[Fault::times(FaultKind::LostAnswer, 1)]);
    let ids = json!({"key_IDs": [{"key_ID": keys[0].id}]});
    pair.b.try_post("sae-a/dec_keys", ids.to_string().as_bytes()).unwrap_err();
    assert_eq!(pair.b.dec_answer("sae-a", &keys).refused(400), KEYS_NOT_FOUND);
}

#[test]
fn status_lies() {
    let pair = pair();
    pair.always("a", FaultKind::LieOnStatus);
    let status = pair.a.status("sae-b");
    assert_eq!(status["stored_key_count"], 1100);
    assert_eq!(status["max_key_per_request"], 1280);
    assert_eq!(status["max_key_size"], 8192);
    assert_eq!(pair.a.get("sae-b/enc_keys?number=1280").code, 400);
}

#[test]
fn what_was_not_fetched_is_discarded() {
    let pair = pair();
    let before = pair.a.enc("sae-b", 2, 64);
    pair.always("a", FaultKind::Discard);
    let after = pair.a.enc("sae-b", 2, 64);
    assert_eq!(pair.b.dec_answer("sae-a", &before).refused(400), KEYS_NOT_FOUND);
    assert_eq!(pair.b.dec("sae-a", &after), after);
}

#[test]
fn the_two_ends_get_different_bytes_by_the_same_names() {
    let pair = pair();
    for node in ["a", "b"] {
        pair.heal();
        pair.always(node, FaultKind::WrongKey);
        let keys = pair.a.enc("sae-b", 2, 1024);
        let other = pair.b.dec("sae-a", &keys);
        for (one, other) in keys.iter().zip(&other) {
            assert_eq!((&one.id, one.bytes.len()), (&other.id, other.bytes.len()));
            assert_ne!(one.bytes, other.bytes);
        }
    }
    // Both wrong are not right together.
    pair.always("a", FaultKind::WrongKey);
    let keys = pair.a.enc("sae-b", 1, 64);
    assert_ne!(pair.b.dec("sae-a", &keys), keys);
}

#[test]
fn garbage_is_no_json_and_costs_key() {
    let pair = pair();
    pair.set("a", &[Fault::times(FaultKind::Garbage, 1)]);
    let answer = pair.a.get("sae-b/enc_keys?number=10");
    assert_eq!((answer.code, answer.kind.as_str()), (200, "application/json"));
    serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_err();
    assert_eq!(pair.a.stored("sae-b"), 90);
}

#[test]
fn an_answer_can_be_as_large_as_asked_for() {
    let pair = pair();
    pair.always("a", FaultKind::Oversize { bytes: 10 << 20 });
    let answer = pair.a.get("sae-b/enc_keys");
    assert!(answer.body.len() > 10 << 20);
    assert_eq!(answer.keys().len(), 1);
}

#[test]
fn faults_are_for_labs_and_nodes_that_there_are() {
    let pair = pair();
    let folder = pair.lab.folder.path();
    let hang = [Fault::always(FaultKind::Hang)];
    set_faults(folder, "c", &hang).unwrap_err();
    set_faults(&folder.join("kme"), "a", &hang).unwrap_err();
    set_faults(folder, "a", &vec![hang[0].clone(); 17]).unwrap_err();
    // A file that somebody spoiled is told, and nothing is delivered.
    std::fs::write(folder.join("faults/a.json"), "{}").unwrap();
    assert!(pair.a.get("sae-b/enc_keys").refused(503).contains("faults"));
    pair.heal();
    assert_eq!(pair.a.stored("sae-b"), 100);
}
