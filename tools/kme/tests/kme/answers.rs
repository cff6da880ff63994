//! Every text and code of refusals.

use crate::client::TestLab;
use serde_json::json;
use warifu_kme::{EXTENSION_UNKNOWN, EXTENSION_UNMET, KEYS_NOT_FOUND, Limits, SIZE_NOT_BYTES};

#[test]
fn the_texts_are_those_of_the_specification() {
    assert_eq!(SIZE_NOT_BYTES, "size shall be a multiple of 8");
    assert_eq!(EXTENSION_UNKNOWN, "not all extension_mandatory parameters are supported");
    assert_eq!(EXTENSION_UNMET, "not all extension_mandatory request options could be met");
    assert_eq!(KEYS_NOT_FOUND, "one or more keys specified are not found on KME");
}

#[test]
fn requests_for_fresh_keys_are_refused_by_their_fault() {
    let lab = TestLab::with_limits(Limits { max_answer_bytes: 8192, ..Limits::EXAMPLE });
    let a = lab.client("sae-a");
    let cases = [
        (json!({"size": 65}), SIZE_NOT_BYTES),
        (json!({"size": 56}), "size shall be from 64 (min_key_size) to 1024 (max_key_size)"),
        (json!({"size": 1032}), "size shall be from 64 (min_key_size) to 1024 (max_key_size)"),
        (json!({"size": 0}), "size shall be from 64 (min_key_size) to 1024 (max_key_size)"),
        (json!({"number": 0}), "number shall be from 1 to 128 (max_key_per_request)"),
        (json!({"number": 129}), "number shall be from 1 to 128 (max_key_per_request)"),
        (json!({"number": u64::MAX}), "number shall be from 1 to 128 (max_key_per_request)"),
        (json!({"number": 128}), "number shall be at most 64 for this size"),
        (json!({"number": -1}), "bad request format"),
        (json!({"number": "2"}), "bad request format"),
        (json!({"number": 1.5}), "bad request format"),
        (json!([]), "bad request format"),
        (json!({"extension_mandatory": {"a": 1}}), "bad request format"),
        (json!({"extension_mandatory": [{"a": 1}]}), EXTENSION_UNKNOWN),
        (json!({"extension_mandatory": [{}]}), EXTENSION_UNKNOWN),
        (
            json!({"extension_mandatory": [{"warifu_key_class": "information-theoretic"}]}),
            EXTENSION_UNMET,
        ),
        (
            json!({"extension_mandatory": [{"warifu_key_class": "other"}, {"a": 1}]}),
            EXTENSION_UNKNOWN,
        ),
        (
            json!({"additional_slave_SAE_IDs": ["x", "x", "x", "x", "x", "x", "x", "x", "x"]}),
            "additional_slave_SAE_IDs shall be at most 8 (max_SAE_ID_count)",
        ),
    ];
    for (request, message) in cases {
        assert_eq!(a.post("sae-b/enc_keys", &request).refused(400), message, "{request}");
    }
    let met = json!({"extension_mandatory": [{"warifu_key_class": "computational"}]});
    assert_eq!(a.post("sae-b/enc_keys", &met).keys().len(), 1);
    assert_eq!(a.post("nobody/enc_keys", &json!({})).refused(400), "there is no such SAE");
}

#[test]
fn what_is_no_json_is_refused() {
    let lab = TestLab::pair();
    let a = lab.client("sae-a");
    let deep = "[".repeat(100_000);
    let texts =
        ["{", "{\"number\":1,\"number\":1}", "\u{feff}{}", "{\"number\":1e999}", &deep, "null x"];
    for text in texts {
        for path in ["sae-b/enc_keys", "sae-b/dec_keys"] {
            let answer = a.try_post(path, text.as_bytes()).unwrap();
            assert_eq!(answer.refused(400), "bad request format");
        }
    }
    assert_eq!(
        a.try_post("sae-b/dec_keys", &[0xff; 9]).unwrap().refused(400),
        "bad request format"
    );
    let plain = a.post_as("sae-b/enc_keys", "text/plain", b"{}");
    assert_eq!(plain.refused(400), "Content-Type shall be application/json");
    let charset = a.post_as("sae-b/enc_keys", "Application/JSON; charset=utf-8", b"{}");
    assert_eq!(charset.keys().len(), 1);
    let long = vec![b' '; (2 << 20) + 1];
    let answer = a.try_post("sae-b/enc_keys", &long);
    assert!(answer.is_err() || answer.unwrap().code == 400);
}

#[test]
fn a_query_may_say_what_the_specification_lets_it() {
    let lab = TestLab::pair();
    let a = lab.client("sae-a");
    let cases = [
        ("number=x", "number shall be an integer"),
        ("size=-8", "size shall be an integer"),
        ("size=65", SIZE_NOT_BYTES),
        ("number=1&number=1", "number shall be given once"),
        (
            "additional_slave_SAE_IDs=sae-b",
            "by GET, number and size may be given; use POST for the rest",
        ),
    ];
    for (query, message) in cases {
        assert_eq!(a.get(&format!("sae-b/enc_keys?{query}")).refused(400), message);
    }
    let one = "by GET, exactly one key_ID may be given; use POST for the rest";
    let name = "00000000-0000-4000-8000-000000000000";
    for query in ["", &format!("key_ID={name}&key_ID={name}"), &format!("key_id={name}")] {
        assert_eq!(a.get(&format!("sae-b/dec_keys?{query}")).refused(400), one);
    }
    for name in [name, "1", "%FF"] {
        let answer = a.get(&format!("sae-b/dec_keys?key_ID={name}"));
        assert_eq!(answer.refused(400), KEYS_NOT_FOUND);
    }
}

#[test]
fn names_of_keys_are_refused_by_their_fault() {
    let lab = TestLab::pair();
    let (a, b) = (lab.client("sae-a"), lab.client("sae-b"));
    let count = "key_IDs shall hold from 1 to 128 names (max_key_per_request)";
    let name = json!({"key_ID": "00000000-0000-4000-8000-000000000000", "key_ID_extension": 1});
    let cases = [
        (json!({"key_IDs": []}), count),
        (json!({"key_IDs": vec![name.clone(); 129]}), count),
        (json!({"key_IDs": [name, name]}), "key_IDs shall name each key once"),
        (json!({"key_IDs": [name], "key_IDs_extension": {}}), KEYS_NOT_FOUND),
        (json!({"key_IDs": [{"key_ID": "no name"}]}), KEYS_NOT_FOUND),
        (json!({"key_IDs": ["x"]}), "bad request format"),
        (json!({}), "bad request format"),
    ];
    for (request, message) in cases {
        assert_eq!(b.post("sae-a/dec_keys", &request).refused(400), message, "{request}");
    }
    // One unknown name and a known one: nothing is delivered.
    let keys = a.enc("sae-b", 1, 64);
    let mixed = json!({"key_IDs": [{"key_ID": keys[0].id}, name]});
    assert_eq!(b.post("sae-a/dec_keys", &mixed).refused(400), KEYS_NOT_FOUND);
    assert_eq!(b.dec("sae-a", &keys), keys);
}

#[test]
fn unknown_paths_and_verbs_are_400_and_take_nothing() {
    let lab = TestLab::pair();
    let a = lab.client("sae-a");
    for path in
        ["/", "/api/v1/keys/sae-b", "/api/v2/keys/sae-b/status", "/api/v1/keys/sae-b/enc_keys/"]
    {
        assert_eq!(a.call("GET", path).refused(400), "there is no such method", "{path}");
    }
    assert_eq!(a.call("GET", "/api/v1/keys//status").refused(400), "there is no such SAE");
    for (verb, method) in [("DELETE", "enc_keys"), ("OPTIONS", "status"), ("DELETE", "dec_keys")] {
        let answer = a.call(verb, &format!("/api/v1/keys/sae-b/{method}"));
        assert_eq!(answer.refused(400), "this method is not called by that verb");
    }
    assert_eq!(a.call("HEAD", "/api/v1/keys/sae-b/enc_keys").code, 400);
    assert_eq!(a.stored("sae-b"), 100_000);
}
