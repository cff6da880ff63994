//! How fast key comes in, over TLS on loopback, from a server that does nothing but send.

use crate::answers::{container, keys, status};
use crate::server::{Lab, Server, send};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use warifu_keystore::KeyDelivery;
use warifu_keystore::fetch::{FetchManner, Fetcher, SystemPacing};

/// Gbit/s of key, fetched as `in_flight_max` says.
fn gbit_per_s(count: u64, key_bytes: usize, in_flight_max: usize, total_bytes: u64) -> f64 {
    let lab = Lab::new();
    let body = container(&keys(0, count, key_bytes));
    let server = Server::start(&lab, move |request, stream| {
        let mut said = status();
        said["max_key_size"] = (key_bytes * 8).into();
        said["key_size"] = (key_bytes * 8).into();
        said["max_key_per_request"] = count.into();
        match request.line.contains("status") {
            true => send(stream, "200 OK", "", &said.to_string()),
            false => {
                let asked: serde_json::Value = serde_json::from_str(&request.body).unwrap();
                let number = asked["number"].as_u64().unwrap();
                match number == count {
                    true => send(stream, "200 OK", "", &body),
                    false => send(stream, "200 OK", "", &container(&keys(0, number, key_bytes))),
                }
            }
        }
    });
    let kme = server.kme(&lab);
    assert!(kme.limits("sae-b").is_ok());
    let manner = FetchManner { in_flight_max, ..FetchManner::default() };
    let fetcher = Fetcher::new(&kme, "sae-b", manner, &SystemPacing);
    let begun = Instant::now();
    let stop = AtomicBool::new(false);
    let report = fetcher.fresh(total_bytes, &stop, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.bytes >= total_bytes);
    report.bytes as f64 * 8e-9 / begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "long: a measurement, to be run with --release"]
fn figures() {
    for (count, key_bytes, total_bytes) in [(4, 1 << 20, 4 << 30), (128, 128, 256 << 20)] {
        for in_flight_max in [1, 2, 4] {
            let figure = gbit_per_s(count, key_bytes, in_flight_max, total_bytes);
            println!("{count} x {key_bytes} bytes, {in_flight_max} in flight: {figure:.2} Gbit/s");
        }
    }
}

#[test]
fn many_answers_are_fetched_side_by_side() {
    assert!(gbit_per_s(3, 1000, 4, 1 << 20) > 0.0);
}
