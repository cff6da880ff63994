//! Who gets which key, how often, and that both get the same.

use crate::client::{Client, Key, TestLab};
use serde_json::json;
use std::collections::HashSet;
use std::thread;
use warifu_kme::{EXTENSION_UNKNOWN, KEYS_NOT_FOUND, Limits, UNAUTHORIZED};

#[test]
fn both_ends_get_the_same_keys_once() {
    let lab = TestLab::pair();
    let (a, b) = (lab.client("sae-a"), lab.client("sae-b"));
    let keys = a.enc("sae-b", 128, 1024);
    assert_eq!(keys.len(), 128);
    assert!(keys.iter().all(|key| key.bytes.len() == 128));
    let distinct: HashSet<_> = keys.iter().map(|key| (&key.id, &key.bytes)).collect();
    assert_eq!(distinct.len(), 128);
    assert_eq!(b.dec("sae-a", &keys), keys);
    assert_eq!(b.dec_answer("sae-a", &keys).refused(400), KEYS_NOT_FOUND);
    // The other way round, by POST and by GET.
    let keys = b.post("sae-a/enc_keys", &json!({"number": 2, "size": 64})).keys();
    for key in &keys {
        let got = a.get(&format!("sae-b/dec_keys?key_ID={}", key.id.to_uppercase())).keys();
        assert_eq!(got, std::slice::from_ref(key));
    }
}

#[test]
fn what_is_not_asked_for_is_the_default() {
    let lab = TestLab::pair();
    let a = lab.client("sae-a");
    let requests = [
        a.get("sae-b/enc_keys"),
        a.post("sae-b/enc_keys", &json!({})),
        a.try_post("sae-b/enc_keys", b"").unwrap(),
        a.post("sae-b/enc_keys", &json!({"number": null, "extension_optional": [{"x": [1]}]})),
        a.post("sae-b/enc_keys", &json!({"some_vendor_parameter": {"deep": []}})),
    ];
    for answer in requests {
        let keys = answer.keys();
        assert_eq!(keys.iter().map(|key| key.bytes.len()).collect::<Vec<_>>(), [128]);
    }
}

#[test]
fn keys_of_a_mebibyte_come_whole() {
    let lab = TestLab::with_limits(Limits::LARGE);
    let keys = lab.client("sae-a").enc("sae-b", 3, 8 << 20);
    assert!(keys.iter().all(|key| key.bytes.len() == 1 << 20));
    assert!(lab.client("sae-b").dec("sae-a", &keys) == keys);
    // Thousands at a time, of a smaller size.
    let keys = lab.client("sae-a").enc("sae-b", 4096, 64);
    assert!(lab.client("sae-b").dec("sae-a", &keys) == keys);
}

#[test]
fn status_says_what_the_specification_asks_for() {
    let lab = TestLab::pair();
    let status = lab.client("sae-b").status("sae-a");
    let expected = json!({
        "source_KME_ID": "b", "target_KME_ID": "a",
        "master_SAE_ID": "sae-b", "slave_SAE_ID": "sae-a",
        "key_size": 1024, "max_key_size": 1024, "min_key_size": 64,
        "stored_key_count": 100_000, "max_key_count": 100_000, "max_key_per_request": 128,
        "max_SAE_ID_count": 8,
        "status_extension": {
            "warifu_key_class": "computational", "warifu_max_answer_bytes": 64 << 20,
        },
    });
    assert_eq!(status, expected);
}

#[test]
fn several_slaves_share_keys_and_each_has_them_once() {
    let lab = TestLab::mesh();
    let a = lab.client("sae-a");
    let request = json!({"number": 2, "additional_slave_SAE_IDs": ["sae-c"]});
    let keys = a.post("sae-b/enc_keys", &request).keys();
    let (b, c) = (lab.client("sae-b"), lab.client("sae-c"));
    assert_eq!(b.dec("sae-a", &keys), keys);
    assert_eq!(b.dec_answer("sae-a", &keys).refused(400), KEYS_NOT_FOUND);
    assert_eq!(c.dec("sae-a", &keys[..1]), keys[..1]);
    // One that was had and one that was not: none.
    assert_eq!(c.dec_answer("sae-a", &keys).refused(400), KEYS_NOT_FOUND);
    assert_eq!(c.dec("sae-a", &keys[1..]), keys[1..]);
    for wrong in [json!(["sae-c", "sae-c"]), json!(["sae-b"])] {
        let answer = a.post("sae-b/enc_keys", &json!({"additional_slave_SAE_IDs": wrong}));
        assert!(answer.refused(400).contains("name each slave once"));
    }
    let nobody = json!({"additional_slave_SAE_IDs": ["nobody"]});
    assert_eq!(a.post("sae-b/enc_keys", &nobody).refused(400), "there is no such SAE");
}

#[test]
fn only_a_slave_of_every_key_gets_any() {
    let lab = TestLab::mesh();
    let (a, b, c) = (lab.client("sae-a"), lab.client("sae-b"), lab.client("sae-c"));
    let for_b = a.enc("sae-b", 1, 64);
    let for_c = a.enc("sae-c", 1, 64);
    let both = [for_b.clone(), for_c.clone()].concat();
    assert_eq!(b.dec_answer("sae-a", &both).refused(401), UNAUTHORIZED);
    assert_eq!(c.dec_answer("sae-a", &for_b).refused(401), UNAUTHORIZED);
    // Nor the master, nor a slave that names another master, nor one at another's KME.
    assert_eq!(a.dec_answer("sae-b", &for_b).refused(401), UNAUTHORIZED);
    assert_eq!(b.dec_answer("sae-c", &for_b).refused(400), KEYS_NOT_FOUND);
    let astray = Client::at(lab.ready(), "sae-b", "a");
    assert_eq!(astray.dec_answer("sae-a", &for_b).refused(401), UNAUTHORIZED);
    assert_eq!(astray.get("sae-a/status").refused(401), UNAUTHORIZED);
    // All that was refused took nothing.
    assert_eq!(b.dec("sae-a", &for_b), for_b);
    assert_eq!(c.dec("sae-a", &for_c), for_c);
}

#[test]
fn any_name_can_be_written_into_a_path() {
    let lab = TestLab::mesh();
    let (depot, b) = (lab.client("dép/ôt 7"), lab.client("sae-b"));
    let path = "d%C3%A9p%2F%C3%B4t%207";
    assert_eq!(b.status(path)["slave_SAE_ID"], "dép/ôt 7");
    let keys = b.enc(path, 1, 64);
    assert_eq!(depot.dec("sae-b", &keys), keys);
    // At the same KME, and with oneself.
    let keys = depot.enc("sae-a", 1, 64);
    assert_eq!(lab.client("sae-a").dec(path, &keys), keys);
    let keys = b.enc("sae-b", 1, 64);
    assert_eq!(b.dec("sae-b", &keys), keys);
    assert_eq!(b.get("d%C3/status").refused(400), "bad request format");
}

#[test]
fn no_key_is_delivered_twice_under_eight_threads() {
    let lab = TestLab::pair();
    let fresh = |_: usize| {
        let a = lab.client("sae-a");
        (0..20).flat_map(|_| a.enc("sae-b", 16, 64)).collect::<Vec<_>>()
    };
    let keys: Vec<Key> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|at| scope.spawn(move || fresh(at))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let names: HashSet<_> = keys.iter().map(|key| &key.id).collect();
    let bytes: HashSet<_> = keys.iter().map(|key| &key.bytes).collect();
    assert_eq!((names.len(), bytes.len()), (8 * 20 * 16, 8 * 20 * 16));
    // All threads ask for all keys: each key comes to one of them.
    let all = &keys;
    let claim = || {
        let b = lab.client("sae-b");
        all.chunks(16).filter(|keys| b.dec_answer("sae-a", keys).code == 200).count()
    };
    let got: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(got, 8 * 20);
}

#[test]
fn a_refused_request_takes_nothing() {
    let lab = TestLab::pair();
    let a = lab.client("sae-a");
    let bad = json!({"number": 1, "extension_mandatory": [{"abc_route_type": "direct"}]});
    assert_eq!(a.post("sae-b/enc_keys", &bad).refused(400), EXTENSION_UNKNOWN);
    assert_eq!(a.stored("sae-b"), 100_000);
}
