//! Pools: filled by the clock, emptied by deliveries, counted exactly.

use crate::client::{HandClock, TestLab};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use warifu_kme::{Changes, Limits, TOO_LITTLE_KEY};

/// A mesh of three with pools of 100 keys of 1000 bits, filled at `rate`.
fn lab(rate_bits_per_s: u64, initial_bytes: u64) -> (TestLab, Arc<HandClock>) {
    let nodes = ["a", "b", "c"].map(|name| format!("{name}=127.0.0.1:0").parse().unwrap());
    let limits = Limits { key_size_bits: 1000, max_key_count: 100, ..Limits::EXAMPLE };
    let clock = Arc::new(HandClock::default());
    let changes = Changes {
        nodes: nodes.into(),
        saes: Vec::new(),
        rate_bits_per_s: Some(rate_bits_per_s),
        initial_bytes: Some(initial_bytes),
        limits: Some(limits),
    };
    (TestLab::new(&changes, Arc::<HandClock>::clone(&clock)), clock)
}

#[test]
fn a_pool_fills_at_its_rate_up_to_its_maximum() {
    let (lab, clock) = lab(2000, 0);
    let a = lab.client("sae-a");
    assert_eq!(a.stored("sae-b"), 0);
    let answer = a.get("sae-b/enc_keys?number=5");
    assert_eq!(answer.retry_after.as_deref(), Some("3"));
    assert_eq!(answer.refused(503), TOO_LITTLE_KEY);
    clock.forward(Duration::from_millis(2499));
    assert_eq!(a.stored("sae-b"), 4);
    assert_eq!(a.get("sae-b/enc_keys?number=5").refused(503), TOO_LITTLE_KEY);
    clock.forward(Duration::from_millis(1));
    assert_eq!(a.enc("sae-b", 5, 1000).len(), 5);
    assert_eq!(a.stored("sae-b"), 0);
    clock.forward(Duration::from_secs(3600));
    assert_eq!(a.stored("sae-b"), 100);
    // More than a pool ever holds is no matter of waiting.
    let message = a.get("sae-b/enc_keys?number=101").refused(400);
    assert_eq!(message, "number shall be at most 100 for this size: no pool holds more");
}

#[test]
fn what_is_delivered_is_what_time_and_the_beginning_gave() {
    let (lab, clock) = lab(3000, 250);
    let (a, b) = (lab.client("sae-a"), lab.client("sae-b"));
    let mut key_count = 0;
    for step in 0..40 {
        clock.forward(Duration::from_millis(333));
        // Both ends draw on one pool.
        let (caller, peer) = if step % 2 == 0 { (&a, "sae-b") } else { (&b, "sae-a") };
        while caller.get(&format!("{peer}/enc_keys")).code == 200 {
            key_count += 1;
        }
    }
    assert_eq!(key_count, (250 * 8 + 3 * 333 * 40) / 1000);
}

#[test]
fn each_pair_has_a_pool_of_its_own_and_keys_for_several_take_from_each() {
    let (lab, _clock) = lab(1, 1250);
    let (a, c) = (lab.client("sae-a"), lab.client("sae-c"));
    assert_eq!(a.stored("sae-b"), 10);
    let for_both = json!({"number": 4, "additional_slave_SAE_IDs": ["sae-c"]});
    assert_eq!(a.post("sae-b/enc_keys", &for_both).keys().len(), 4);
    assert_eq!([a.stored("sae-b"), a.stored("sae-c"), c.stored("sae-b")], [6, 6, 10]);
    assert_eq!(a.enc("sae-c", 4, 1000).len(), 4);
    // Where one of the pools has too little, none gives anything.
    assert_eq!(a.post("sae-b/enc_keys", &for_both).refused(503), TOO_LITTLE_KEY);
    assert_eq!([a.stored("sae-b"), a.stored("sae-c"), c.stored("sae-a")], [6, 2, 2]);
}

#[test]
fn without_a_rate_a_pool_is_always_full() {
    let (lab, _clock) = lab(0, 0);
    let a = lab.client("sae-a");
    for _ in 0..3 {
        assert_eq!(a.enc("sae-b", 100, 1000).len(), 100);
        assert_eq!(a.stored("sae-b"), 100);
    }
}
