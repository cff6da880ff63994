//! How fast both ends of one pair are served. Run it alone:
//! `cargo test --release -p warifu-kme --test kme -- --ignored --nocapture both_ends`

use crate::client::TestLab;
use serde_json::json;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use warifu_kme::Limits;

/// Names of the keys of an answer, and its text without looking further: all keys have one length.
fn names(text: &[u8], key_bytes: usize) -> Vec<String> {
    let around = br#"{"key_ID":"","key":""},"#.len();
    let step = around + 36 + key_bytes.div_ceil(3) * 4;
    let body = &text[br#"{"keys":["#.len()..];
    let name = |key: &[u8]| String::from_utf8(key[11..47].to_vec()).unwrap();
    body.chunks(step).filter(|key| key.len() > 47).map(name).collect()
}

/// Seconds of processor time that this process has had.
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

struct Run {
    seconds: f64,
    cpu_seconds: f64,
    bytes: u64,
}

/// Fetches `rounds` answers at one end, and the same keys at the other while the next is fetched.
fn run(lab: &TestLab, rounds: u64, count: usize, key_bytes: usize) -> Run {
    let (a, b) = (lab.client("sae-a"), lab.client("sae-b"));
    let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(2);
    let (started, cpu_before) = (Instant::now(), cpu_s());
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
        cpu_seconds: cpu_s() - cpu_before,
        bytes: rounds * (count * key_bytes) as u64,
    }
}

#[test]
#[ignore = "long: a measurement"]
fn both_ends_get_key_at_speed() {
    let runs = [
        ("1 MiB keys, 16 a request", Limits::LARGE, 100, 16, 1 << 20),
        ("1024-bit keys, 128 a request", Limits::EXAMPLE, 4000, 128, 128),
    ];
    for (what, limits, rounds, count, key_bytes) in runs {
        let lab = TestLab::with_limits(limits);
        run(&lab, 2, count, key_bytes);
        let done = run(&lab, rounds, count, key_bytes);
        let copied = copy_seconds(done.bytes);
        println!(
            "{what}: {:.2} Gbit/s of key at both ends, {:.2} s of CPU per Gbit for server and both \
             clients, {:.0} times the time of copying the key once",
            done.bytes as f64 * 8e-9 / done.seconds,
            done.cpu_seconds / (done.bytes as f64 * 8e-9),
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
