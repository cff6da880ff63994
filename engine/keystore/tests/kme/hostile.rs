//! Answers that are wrong in every way, and connections that end anywhere.

use crate::answers::{GoodKme, container, keys, name, status};
use crate::server::{Lab, Request, Server, Stream, send};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use warifu_keystore::etsi014::{AccessError, Kme, KmeAccess};
use warifu_keystore::{DeliveryError, KeyDelivery, KeyId};

fn word(outcome: Result<impl Sized, DeliveryError>) -> &'static str {
    match outcome {
        Ok(_) => "good",
        Err(DeliveryError::NotNow { .. }) => "not now",
        Err(DeliveryError::Gone { .. }) => "gone",
        Err(DeliveryError::Refused { .. }) => "refused",
        Err(DeliveryError::Lost { .. }) => "lost",
        Err(DeliveryError::Malformed { .. }) => "malformed",
        Err(_) => "another",
    }
}

fn raw(stream: &mut Stream, bytes: &[u8]) -> bool {
    let _sent = stream.write_all(bytes).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _closed = stream.flush();
    false
}

#[test]
fn keys_come_and_go_by_name_over_one_connection() {
    let lab = Lab::new();
    let good = Arc::new(GoodKme::default());
    let far = good.clone();
    let near = Server::start(&lab, move |request, stream| good.answer(request, stream, false));
    let far = Server::start(&lab, move |request, stream| far.answer(request, stream, true));
    let (a, b) = (near.kme(&lab), far.kme(&lab));
    let limits = a.limits("sae-b").unwrap();
    assert_eq!(
        (limits.key_bytes_default, limits.key_bytes_min, limits.key_bytes_max),
        (32, 8, 512)
    );
    assert_eq!((limits.keys_per_request_max, limits.keys_stored), (5, 100));
    for key_bytes in [8, 9, 33, 512] {
        let fresh = a.fresh_keys("sae-b", 3, key_bytes).unwrap();
        assert_eq!((fresh.names.len(), fresh.material.len()), (3, 3 * key_bytes));
        // The far end gets them in another order than asked for, and we have them in ours.
        let named = b.named_keys("sae-a", &fresh.names, key_bytes).unwrap();
        assert!(named.names == fresh.names && *named.material == *fresh.material);
        assert_eq!(word(b.named_keys("sae-a", &fresh.names, key_bytes)), "gone");
    }
    assert_eq!(word(a.fresh_keys("nobody here/?#", 1, 32)), "not now");
    let requests = near.requests.lock().unwrap();
    let asked: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(asked.last(), Some(&"POST /api/v1/keys/nobody%20here%2F%3F%23/enc_keys HTTP/1.1"));
    let last = requests.last().map(|request| request.body.as_str());
    assert_eq!(last, Some("{\"number\":1,\"size\":256}"));
    assert_eq!(near.connections.load(Ordering::Relaxed), 1, "the connection is used again");
}

#[test]
fn who_is_to_end_waits_no_longer_for_one_that_hangs() {
    let lab = Lab::new();
    let (asked, hears) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let (asked, ends) = (std::sync::Mutex::new(asked), std::sync::Mutex::new(ends));
    let server = Server::start(&lab, move |_, _| {
        asked.lock().unwrap().send(()).unwrap();
        let _ended = ends.lock().unwrap().recv();
        false
    });
    let access = lab.access(server.address, "sae-a");
    let kme = Kme::open(KmeAccess { timeout: Duration::from_secs(86_400), ..access }).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| word(kme.fresh_keys("sae-b", 1, 32)));
        hears.recv().unwrap();
        kme.hurry();
        assert_eq!(waiting.join().unwrap(), "lost");
    });
    assert_ne!(word(kme.fresh_keys("sae-b", 1, 32)), "good", "nor for what is asked later");
    drop(end);
}

#[test]
fn every_wrong_container_is_refused_and_the_next_good_one_is_not() {
    let lab = Lab::new();
    let two = keys(1, 2, 32);
    let mut twice = two.clone();
    twice[1].0 = two[0].0.clone();
    let mut short = two.clone();
    short[1].1.pop();
    let good = container(&two);
    let cases: Vec<(String, &str)> = vec![
        (good.clone(), "good"),
        (container(&two[..1]), "good"),
        (container(&keys(1, 3, 32)), "malformed"),
        (container(&twice), "malformed"),
        (container(&short), "malformed"),
        (container(&keys(1, 2, 31)), "malformed"),
        (container(&keys(1, 2, 256)), "malformed"),
        (good.replace(&name(2), "key-2"), "malformed"),
        (good.replace("AQE", "A!E"), "malformed"),
        (good.replace("\"key\":\"", "\"key\":\"\u{e9}"), "malformed"),
        (good.replace("\"key\"", "\"kee\""), "malformed"),
        (good.replace("AQ", "\\u0041Q"), "good"),
        (good[..good.len() - 1].to_owned(), "lost"),
        ("{\"keys\":[]}".to_owned(), "not now"),
        (String::new(), "lost"),
        ("null".to_owned(), "malformed"),
        ("[".repeat(10_000), "malformed"),
        (format!("{{\"keys\":{}", "[".repeat(10_000)), "malformed"),
        (format!("{{\"x\":{}", "{\"y\":".repeat(3000)), "lost"),
        (good, "good"),
    ];
    let bodies: Vec<String> = cases.iter().map(|(body, _)| body.clone()).collect();
    let at = AtomicU64::new(0);
    let server = Server::start(&lab, move |_, stream| {
        let at = at.fetch_add(1, Ordering::Relaxed) as usize;
        send(stream, "200 OK", "", &bodies[at])
    });
    let kme = server.kme(&lab);
    for (body, expected) in &cases {
        let outcome = kme.fresh_keys("sae-b", 2, 32);
        let told = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(!told.contains("AQEB"), "key is told: {told}");
        let shown: String = body.chars().take(120).collect();
        assert_eq!(word(outcome), *expected, "{shown}: {told}");
    }
}

#[test]
fn asked_by_name_it_gets_those_names_or_nothing() {
    let lab = Lab::new();
    let answers = [
        (container(&keys(1, 2, 32)), "good"),
        (container(&keys(1, 1, 32)), "malformed"),
        (container(&keys(1, 3, 32)), "malformed"),
        (container(&keys(2, 2, 32)), "malformed"),
        (container(&[keys(1, 1, 32), keys(1, 1, 32)].concat()), "malformed"),
        ("{\"keys\":[]}".to_owned(), "malformed"),
    ];
    let bodies = answers.clone();
    let at = AtomicU64::new(0);
    let server = Server::start(&lab, move |_, stream| {
        send(stream, "200 OK", "", &bodies[at.fetch_add(1, Ordering::Relaxed) as usize].0)
    });
    let kme = server.kme(&lab);
    let names: Vec<KeyId> = [1, 2].map(|number| name(number).parse().unwrap()).to_vec();
    for (body, expected) in answers {
        assert_eq!(word(kme.named_keys("sae-a", &names, 32)), expected, "{body}");
    }
}

/// One way to answer wrongly, and what the client makes of it.
type Wrong = (&'static str, fn(&mut Stream) -> bool, &'static str);

/// Below HTTP and in it.
const WRONGS: &[Wrong] = &[
    ("nothing", |stream| raw(stream, b""), "lost"),
    ("half a head", |stream| raw(stream, b"HTTP/1.1 200 OK\r\nContent-Le"), "lost"),
    ("no HTTP", |stream| raw(stream, b"\x16\x03\x01 nonsense\r\n\r\n"), "malformed"),
    (
        "fewer bytes than told",
        |stream| raw(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"keys\":["),
        "lost",
    ),
    (
        "more bytes than may come",
        |stream| raw(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
        "malformed",
    ),
    (
        "a length that is none",
        |stream| raw(stream, b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
        "malformed",
    ),
    (
        "endless chunks",
        |stream| {
            let _head = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while stream
                .write_all(&[b"1000\r\n", [b' '; 4096].as_slice(), b"\r\n"].concat())
                .is_ok()
            {}
            false
        },
        "malformed",
    ),
    (
        "a chunk that is none",
        |stream| {
            let head =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n";
            raw(stream, head)
        },
        "lost",
    ),
    (
        "a head without end",
        |stream| {
            let _head = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(b"X-Header: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").is_ok() {
            }
            false
        },
        "malformed",
    ),
    ("gzip", |stream| send(stream, "200 OK", "Content-Encoding: gzip\r\n", "xx"), "malformed"),
    (
        "a redirect",
        |stream| send(stream, "307 Go", "Location: https://127.0.0.1:1/\r\n", "{}"),
        "malformed",
    ),
    (
        "a redirect to plain",
        |stream| send(stream, "302 Go", "Location: http://x/\r\n", ""),
        "malformed",
    ),
    ("400", |stream| send(stream, "400 Bad", "", "{\"message\":\"too few\"}"), "not now"),
    ("401 without JSON", |stream| send(stream, "401 No", "", "<html>"), "refused"),
    ("404", |stream| send(stream, "404 No", "", "{}"), "refused"),
    (
        "503 with a page that is too long",
        |stream| raw(stream, b"HTTP/1.1 503 No\r\nContent-Length: 99999999999\r\n\r\n<html>"),
        "not now",
    ),
    ("410", |stream| send(stream, "410 No", "", ""), "not now"),
    (
        "503",
        |stream| send(stream, "503 No", "Retry-After: 7\r\n", "{\"message\":\"m\"}"),
        "not now",
    ),
    ("504", |stream| send(stream, "504 No", "", "not JSON"), "not now"),
    (
        "an endless error",
        |stream| raw(stream, b"HTTP/1.1 503 No\r\nContent-Length: 999999\r\n\r\n"),
        "not now",
    ),
];

#[test]
fn every_wrong_connection_has_a_meaning_and_the_next_one_works() {
    let lab = Lab::new();
    let at = AtomicU64::new(0);
    let server = Server::start(&lab, move |_, stream| {
        // Every other answer is good.
        let at = at.fetch_add(1, Ordering::Relaxed) as usize;
        match at % 2 {
            0 => WRONGS[at / 2].1(stream),
            _ => send(stream, "200 OK", "", &container(&keys(at as u64, 1, 32))),
        }
    });
    let kme = server.kme(&lab);
    for (what, _, expected) in WRONGS {
        let outcome = kme.fresh_keys("sae-b", 1, 32);
        let told = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        if let Err(DeliveryError::NotNow { after, .. }) = &outcome {
            assert_eq!(*after, (*what == "503").then_some(Duration::from_secs(7)), "{what}");
        }
        assert_eq!(word(outcome), *expected, "{what}: {told}");
        assert_eq!(word(kme.fresh_keys("sae-b", 1, 32)), "good", "after {what}");
    }
}

#[test]
fn old_and_odd_framing_of_good_answers_is_read() {
    let lab = Lab::new();
    let at = AtomicU64::new(0);
    let server = Server::start(&lab, move |_, stream| {
        let body = container(&keys(1, 1, 32));
        let length = body.len();
        let (head, body) = match at.fetch_add(1, Ordering::Relaxed) {
            0 => (format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n"), body),
            1 => ("HTTP/1.0 200 OK\r\n\r\n".to_owned(), body),
            2 => {
                let chunks = body.as_bytes().chunks(7).map(|chunk| {
                    format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap())
                });
                let chunks = chunks.collect::<String>() + "0\r\n\r\n";
                let head =
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
                (head.to_owned(), chunks)
            }
            _ => (format!("HTTP/1.1 200 \r\ncontent-length:{length}\r\n\r\n"), body),
        };
        raw(stream, format!("{head}{body}").as_bytes())
    });
    let kme = server.kme(&lab);
    for what in ["HTTP/1.0", "ended by the connection", "chunks", "no reason"] {
        assert_eq!(word(kme.fresh_keys("sae-b", 1, 32)), "good", "{what}");
    }
}

#[test]
fn a_slow_drip_ends_when_the_time_is_over_however_many_bytes_come() {
    let lab = Lab::new();
    let server = Server::start(&lab, |request: &Request, stream| {
        if request.line.contains("status") {
            return send(stream, "200 OK", "", &status().to_string());
        }
        let _head = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
        // Each byte comes well within any wait for a single one.
        while stream.write_all(b" ").and_then(|()| stream.flush()).is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        false
    });
    let mut access = lab.access(server.address, "sae-a");
    access.timeout = Duration::from_millis(600);
    let kme = Kme::open(access).unwrap();
    // Only a limit of the whole ends it: at this pace all bytes would take minutes.
    let told = kme.fresh_keys("sae-b", 1, 32).map(drop).unwrap_err();
    assert!(matches!(told, DeliveryError::Lost { .. }) && told.to_string().contains("timeout"));
}

#[test]
fn who_is_not_believed_gets_nothing_and_who_is_away_may_come_back() {
    let lab = Lab::new();
    let good = GoodKme::default();
    let server = Server::start(&lab, move |request, stream| good.answer(request, stream, false));
    let stranger = Kme::open(lab.access(server.address, "stranger")).unwrap();
    assert_eq!(word(stranger.fresh_keys("sae-b", 1, 32)), "refused");
    let mut access = lab.access(server.address, "sae-a");
    access.credentials.authorities = lab.path("other-ca.pem");
    let doubting = Kme::open(access).unwrap();
    assert_eq!(word(doubting.fresh_keys("sae-b", 1, 32)), "refused");
    assert!(server.requests.lock().unwrap().is_empty(), "nobody's request came through");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = Kme::open(lab.access(nobody, "sae-a")).unwrap();
    assert_eq!(word(away.fresh_keys("sae-b", 1, 32)), "not now");
    let mut access = lab.access(server.address, "sae-a");
    access.url = format!("https://localhost:{}", server.address.port());
    assert_eq!(word(Kme::open(access).unwrap().fresh_keys("sae-b", 1, 32)), "good", "by name");
}

#[test]
fn credentials_that_cannot_be_used_are_told_at_once() {
    let lab = Lab::new();
    let access = lab.access("127.0.0.1:1".parse().unwrap(), "sae-a");
    let opened = |change: &dyn Fn(&mut KmeAccess)| {
        let mut access = access.clone();
        change(&mut access);
        Kme::open(access).err()
    };
    assert!(opened(&|_| {}).is_none());
    let credentials = |error: Option<AccessError>| match error {
        Some(AccessError::Credentials(error)) => error.to_string(),
        _ => panic!("no error of credentials"),
    };
    let missing = opened(&|access| access.credentials.key = lab.path("none.key"));
    assert!(credentials(missing).contains("can't be read"));
    let swapped = opened(&|access| access.credentials.key = lab.path("sae-a.pem"));
    assert!(credentials(swapped).contains("private key"));
    let mixed = opened(&|access| access.credentials.key = lab.path("stranger.key"));
    assert!(credentials(mixed).contains("can't be used"));
    std::fs::write(lab.path("empty.pem"), "").unwrap();
    let empty = opened(&|access| access.credentials.authorities = lab.path("empty.pem"));
    assert!(credentials(empty).contains("certificate"));
    let plain = opened(&|access| access.url = "http://127.0.0.1:1".to_owned());
    assert!(matches!(plain, Some(AccessError::Url(_))));
}

#[test]
fn more_than_one_answer_may_hold_is_refused_before_it_is_asked_for() {
    let lab = Lab::new();
    let server = Server::start(&lab, |_, _| false);
    let kme = server.kme(&lab);
    for (keys, key_bytes) in [(0, 32), (1, 0), (u64::MAX, 32), (1, usize::MAX), (65, 1 << 20)] {
        assert_eq!(word(kme.fresh_keys("sae-b", keys, key_bytes)), "refused", "{keys} {key_bytes}");
    }
    assert_eq!(word(kme.named_keys("sae-b", &[], 32)), "refused");
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}
