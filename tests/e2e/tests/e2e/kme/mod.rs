//! Key that KMEs deliver to both ends of a link, and what is done with it.

mod budget;
mod faults;
mod kills;

use serde_json::Value;
use std::time::{Duration, Instant};
use warifu_e2e::{Lab, LabShape};

/// How long something that must come about is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Limits of a KME under which some mebibytes come in a moment: keys of 4 KiB, 256 a request.
const QUICK: [&str; 6] =
    ["--key-size", "32768", "--max-key-size", "32768", "--max-key-per-request", "256"];

/// A lab of `sites` sites whose links begin with `key_bytes` each way from a courier.
fn lab(sites: usize, key_bytes: u64) -> Lab {
    Lab::new(LabShape { sites, key_bytes, ..LabShape::default() })
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How the KME of a link has done, as `key status` tells.
fn state(lab: &Lab, site: &str) -> Value {
    lab.pool(&format!("{site}/to"))["source_state"].clone()
}

/// The lesser of what the two directions of a link have left, in bytes.
fn left_bytes(lab: &Lab, site: &str) -> u64 {
    let [to, from] = both_left_bytes(lab, site);
    to.min(from)
}

/// The greater of it.
fn most_left_bytes(lab: &Lab, site: &str) -> u64 {
    let [to, from] = both_left_bytes(lab, site);
    to.max(from)
}

fn both_left_bytes(lab: &Lab, site: &str) -> [u64; 2] {
    ["to", "from"].map(|end| lab.pool(&format!("{site}/{end}"))["bytes_left"].as_u64().unwrap())
}
