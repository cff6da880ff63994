//! The probe finds nothing in a good KME, and each deviation by its name.

use crate::answers::{GoodKme, name, status};
use crate::server::{Lab, Request, Server, Stream, send};
use serde_json::json;
use std::sync::Arc;
use warifu_keystore::etsi014::probe::{ProbeReport, Subject, Verdict, probe};

type Twist = fn(&GoodKme, &Request, &mut Stream) -> bool;

/// The report on a KME that answers as `twist` does.
fn probed(lab: &Lab, twist: Twist) -> ProbeReport {
    let good = Arc::new(GoodKme::default());
    let far = good.clone();
    let servers = [
        Server::start(lab, move |request, stream| twist(&good, request, stream)),
        Server::start(lab, move |request, stream| far.answer(request, stream, true)),
    ];
    let [near, far] = servers.each_ref().map(|server| server.kme(lab));
    let subject = Subject { kme: &near, peer: "sae-b", far: Some(&far), own: None };
    probe(&subject).unwrap()
}

fn deviations(report: &ProbeReport) -> Vec<&'static str> {
    report.deviations().map(|check| check.name).collect()
}

#[test]
fn a_good_kme_passes_every_check() {
    let report = probed(&Lab::new(), |good, request, stream| good.answer(request, stream, false));
    for check in &report.checks {
        assert_eq!(check.verdict, Verdict::Pass, "{check:?}");
    }
    assert_eq!(report.checks.len(), 25);
    assert!(report.keys_spent >= 8);
}

/// Ways to deviate, and the checks that find each.
const DEVIANTS: [(Twist, &[&str]); 6] = [
    (
        |good, request, stream| {
            if !request.line.contains("status") {
                return good.answer(request, stream, false);
            }
            let mut said = status();
            said["key_size"] = json!("256");
            said.as_object_mut().unwrap().remove("max_SAE_ID_count");
            send(stream, "200 OK", "", &said.to_string())
        },
        &["status-fields"],
    ),
    (
        // It counts bytes and calls them bits.
        |good, request, stream| {
            if !request.line.contains("status") {
                return good.answer(request, stream, false);
            }
            let mut said = status();
            said["key_size"] = json!(32);
            said["min_key_size"] = json!(32);
            send(stream, "200 OK", "", &said.to_string())
        },
        &["default-size", "get-twin", "number", "optional-extension"],
    ),
    (
        |good, request, stream| match request.body.contains("extension_mandatory") {
            true => {
                let plain = Request { line: request.line.clone(), body: "{}".to_owned() };
                good.answer(&plain, stream, false)
            }
            false => good.answer(request, stream, false),
        },
        &["mandatory-extension"],
    ),
    (
        // Every key has the same name.
        |good, request, stream| match request.line.contains("enc_keys") {
            true => {
                let body = json!({"keys": [{"key_ID": name(1), "key": "A".repeat(43) + "="}]});
                send(stream, "200 OK", "", &body.to_string())
            }
            false => good.answer(request, stream, false),
        },
        &[
            "number",
            "size",
            "size-not-bytes",
            "number-over-limit",
            "size-over-limit",
            "mandatory-extension",
            "unknown-slave",
            "not-the-slave",
            "same-key",
            "get-by-name",
            "key-names",
        ],
    ),
    (
        |good, request, stream| match request.line.contains("dec_keys") {
            true => send(stream, "404 Not Found", "", "gone"),
            false => good.answer(request, stream, false),
        },
        &["not-the-slave", "unknown-key", "error-body", "json-only", "statuses"],
    ),
    (
        |good, request, stream| match request.line.starts_with("GET") {
            true if request.line.contains("enc_keys") => {
                send(stream, "400 No", "", "{\"message\":\"POST only\"}")
            }
            _ => good.answer(request, stream, false),
        },
        &["get-twin"],
    ),
];

#[test]
fn each_deviation_is_named() {
    let lab = Lab::new();
    for (twist, expected) in DEVIANTS {
        let report = probed(&lab, twist);
        let found = deviations(&report);
        assert_eq!(found, expected);
    }
}

#[test]
fn what_cannot_be_spoken_to_is_no_deviation() {
    let lab = Lab::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kme = warifu_keystore::etsi014::Kme::open(lab.access(nobody, "sae-a")).unwrap();
    let subject = Subject { kme: &kme, peer: "sae-b", far: None, own: None };
    assert!(probe(&subject).is_err());
    let good = GoodKme::default();
    let server = Server::start(&lab, move |request, stream| good.answer(request, stream, false));
    let near = server.kme(&lab);
    let report = probe(&Subject { kme: &near, ..subject }).unwrap();
    let untried = report.checks.iter().filter(|check| check.verdict == Verdict::NotTried);
    let names: Vec<&str> = untried.map(|check| check.name).collect();
    assert_eq!(names, ["same-key", "get-by-name", "once-only"]);
    assert!(deviations(&report).is_empty());
}
