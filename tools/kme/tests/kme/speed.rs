//! How fast both ends of one pair are served. Run it alone:
//! `cargo test --release -p warifu-kme --test kme -- --ignored --nocapture both_ends`

use crate::client::Client;
use crate::process::Process;
use serde_json::json;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Names of the keys of an answer, and its text without looking further: all keys have one length.
fn names(text: &[u8], key_bytes: usize) -> Vec<String> {
    let around = br#"{"key_ID":"","key":""},"#.len();
    let step = around + 36 + key_bytes.div_ceil(3) * 4;
    let body = &text[br#"{"keys":["#.len()..];
    let name = |key: &[u8]| String::from_utf8(key[11..47].to_vec()).unwrap();
    body.chunks(step).filter(|key| key.len() > 47).map(name).collect()
}

/// Seconds of processor time that a process has had.
fn cpu_s(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

struct Run {
    seconds: f64,
    server_cpu_s: f64,
    clients_cpu_s: f64,
    bytes: u64,
}

/// Fetches `rounds` answers at one end, and the same keys at the other while the next is fetched.
fn run(lab: &Process, rounds: u64, count: usize, key_bytes: usize) -> Run {
    let (a, b) = (Client::new(&lab.ready, "sae-a"), Client::new(&lab.ready, "sae-b"));
    let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(2);
    let (server, clients) = (lab.child.id(), std::process::id());
    let (server_before_s, clients_before_s) = (cpu_s(server), cpu_s(clients));
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            let path = format!("sae-b/enc_keys?number={count}&size={}", key_bytes * 8);
            for _ in 0..rounds {
                sender.send(a.get(&path).body).unwrap();
            }
        });
        scope.spawn(move || {
            for text in receiver {
                let names = names(&text, key_bytes);
                assert_eq!(names.len(), count);
                let ids: Vec<_> = names.iter().map(|name| json!({"key_ID": name})).collect();
                let answer = b.post("sae-a/dec_keys", &json!({ "key_IDs": ids }));
                assert!(answer.body == text, "the ends differ");
            }
        });
    });
    Run {
        seconds: started.elapsed().as_secs_f64(),
        server_cpu_s: cpu_s(server) - server_before_s,
        clients_cpu_s: cpu_s(clients) - clients_before_s,
        bytes: rounds * (count * key_bytes) as u64,
    }
}

#[test]
#[ignore = "long: a measurement"]
fn both_ends_get_key_at_speed() {
    let runs: [(&str, &[&str], u64, usize, usize); 2] = [
        ("1 MiB keys, 16 a request", &["--large"], 100, 16, 1 << 20),
        ("1024-bit keys, 128 a request", &[], 4000, 128, 128),
    ];
    for (what, options, rounds, count, key_bytes) in runs {
        let place = tempfile::tempdir().unwrap();
        let lab = Process::start(place.path(), options);
        run(&lab, 2, count, key_bytes);
        let done = run(&lab, rounds, count, key_bytes);
        let copied = copy_seconds(done.bytes);
        let gbit = done.bytes as f64 * 8e-9;
        println!(
            "{what}: {:.2} Gbit/s of key at both ends; CPU for each Gbit: {:.2} s of the server, \
             {:.2} s of both clients; {:.0} times the time of copying the key once",
            gbit / done.seconds,
            done.server_cpu_s / gbit,
            done.clients_cpu_s / gbit,
            done.seconds / copied,
        );
    }
}

/// How long it takes to copy as many bytes, a mebibyte at a time.
fn copy_seconds(bytes: u64) -> f64 {
    let (source, mut target) = (vec![1_u8; 1 << 20], vec![0_u8; 1 << 20]);
    let started = Instant::now();
    for _ in 0..bytes.div_ceil(1 << 20) {
        target.copy_from_slice(std::hint::black_box(&source));
        std::hint::black_box(&mut target);
    }
    started.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
}
