//! How fast key comes in, over TLS on loopback, from a server that does nothing but send.

use crate::answers::{container, keys, status};
use crate::server::{Lab, Server, send};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use warifu_keystore::KeyDelivery;
use warifu_keystore::fetch::{FetchManner, Fetcher, SystemPacing};

/// Gbit of key per second, and per second of processor time of this thread.
struct Speed {
    per_s: f64,
    per_processor_s: f64,
}

/// Processor time of this thread so far, in seconds.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // In user and in kernel mode, in hundredths.
    [fields[11], fields[12]].map(|ticks| ticks.parse::<f64>().unwrap()).iter().sum::<f64>() / 100.0
}

/// How fast key is fetched as `in_flight_max` says.
fn measured(count: u64, key_bytes: usize, in_flight_max: usize, total_bytes: u64) -> Speed {
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
    let (begun, processor_begun_s) = (Instant::now(), processor_s());
    let stop = AtomicBool::new(false);
    let report = fetcher.fresh(total_bytes, &stop, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.bytes >= total_bytes);
    let gbit = report.bytes as f64 * 8e-9;
    let processor_s = processor_s() - processor_begun_s;
    Speed { per_s: gbit / begun.elapsed().as_secs_f64(), per_processor_s: gbit / processor_s }
}

#[test]
#[ignore = "long: a measurement, to be run with --release"]
fn figures() {
    for (count, key_bytes, total_bytes) in [(4, 1 << 20, 1 << 30), (128, 128, 64 << 20)] {
        for in_flight_max in [1, 4] {
            let Speed { per_s, per_processor_s } =
                measured(count, key_bytes, in_flight_max, total_bytes);
            print!("{count} x {key_bytes} bytes, {in_flight_max} in flight: {per_s:.2} Gbit/s");
            match in_flight_max {
                1 => println!(", {per_processor_s:.2} Gbit per second of the client's processor"),
                _ => println!(),
            }
        }
    }
}

#[test]
fn many_answers_are_fetched_side_by_side() {
    assert!(measured(3, 1000, 4, 1 << 20).per_s > 0.0);
}
