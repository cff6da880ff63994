//! A KME that errs: no key is used twice, its state is told, and work goes on by itself.

use super::{QUICK, lab, left_bytes, most_left_bytes, state, until};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use warifu_e2e::Kme;

/// How much more key each fault meets, in each direction.
const STEP_BYTES: u64 = 256 << 10;

/// A fault, and what of the state counts up or appears by it.
struct Case {
    node: &'static str,
    words: &'static [&'static str],
    shows: &'static [&'static str],
}

const CASES: [Case; 9] = [
    Case { node: "a", words: &["duplicate-id"], shows: &["names_refused"] },
    Case { node: "a", words: &["discard"], shows: &["segments_lost"] },
    Case { node: "a", words: &["wrong-length"], shows: &["answers_refused"] },
    Case { node: "a", words: &["garbage"], shows: &["answers_refused", "error"] },
    Case { node: "a", words: &["lost-answer"], shows: &["error"] },
    Case { node: "b", words: &["wrong-length"], shows: &["segments_lost", "error"] },
    Case { node: "b", words: &["cut-answer"], shows: &["segments_lost", "error"] },
    Case { node: "b", words: &["hang"], shows: &["error"] },
    Case { node: "b", words: &["status-503", "1"], shows: &["error"] },
];

/// Whether any of what a case shows is more in `now` than in `before`.
fn is_shown(case: &Case, before: &Value, now: &Value) -> bool {
    case.shows.iter().any(|&field| match &now[field] {
        Value::Number(count) => count.as_u64() > before[field].as_u64(),
        other => other.is_string(),
    })
}

#[test]
fn a_kme_that_errs_is_told_of_and_fetching_goes_on_by_itself() {
    let mut lab = lab(1, 24 << 20);
    let kme = Kme::attach(&mut lab, &QUICK, "timeout_s = 1\nsegment_bytes = \"64KiB\"");
    for case in &CASES {
        let watermark = most_left_bytes(&lab, "s0") + STEP_BYTES;
        let before = state(&lab, "s0");
        kme.fault(case.node, case.words);
        let mut fetch = lab.spawn_fetch(watermark);
        until(&format!("what shows of {:?} at {}", case.words, case.node), || {
            assert!(!fetch.has_ended(), "it goes on with {:?}", case.words);
            is_shown(case, &before, &state(&lab, "s0"))
        });
        kme.fault(case.node, &["none"]);
        until(&format!("all key after {:?}", case.words), || {
            left_bytes(&lab, "s0") >= watermark - watermark / 16
                && state(&lab, "s0")["error"].is_null()
        });
        fetch.terminate();
        let _ended = fetch.wait().ok();
    }
    [&lab.gateway, &lab.sites[0].vault].into_iter().for_each(|vault| assert_no_key_twice(vault));
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_kme_that_is_away_for_a_while_is_told_of_and_fetching_goes_on_by_itself() {
    let mut lab = lab(1, 24 << 20);
    let kme = Kme::attach(&mut lab, &QUICK, "timeout_s = 1\nsegment_bytes = \"64KiB\"");
    for words in [&["hang"][..], &["status-503", "1"]] {
        let watermark = most_left_bytes(&lab, "s0") + STEP_BYTES;
        kme.fault("a", words);
        let more =
            ["--json", "key", "fetch", "--patience", "1", "--watermark", &watermark.to_string()];
        let line = lab.run(&more).exits(6).exit_line();
        assert!(line["class"] == "temporary" && line["retryable"] == true, "{line:#}");
        let told = state(&lab, "s0");
        assert!(told["error"].as_str().is_some_and(|error| error.contains("KME")), "{told:#}");
        // It comes back while a fetch waits for it.
        kme.fault("a", &[words, &["--for", "3"]].concat());
        let fetch = lab.spawn_fetch(watermark);
        until("all key", || {
            left_bytes(&lab, "s0") >= watermark - watermark / 16
                && state(&lab, "s0")["error"].is_null()
        });
        fetch.terminate();
        let _ended = fetch.wait().ok();
        kme.fault("a", &["none"]);
    }
    let _summary = lab.expect_key_used_once();
}

#[test]
fn ends_that_get_different_key_stop_until_the_operator_says_so() {
    let mut lab = lab(1, 24 << 20);
    let kme = Kme::attach(&mut lab, &QUICK, "segment_bytes = \"64KiB\"");
    let before = most_left_bytes(&lab, "s0");
    kme.fault("b", &["wrong-key"]);
    let watermark = before + STEP_BYTES;
    let refused = lab.spawn_fetch(watermark).wait().exits(12);
    assert!(refused.stderr.contains("--accept-mismatch"), "{}", refused.stderr);
    assert_eq!(refused.exit_line()["retryable"], false);
    let told = state(&lab, "s0");
    assert!(told["mismatches"] == 3 && told["error"].is_string(), "{told:#}");
    assert!(left_bytes(&lab, "s0") <= before, "nothing of it is key");
    kme.fault("b", &["none"]);
    let more = ["key", "fetch", "--watermark", &watermark.to_string()];
    let _still = lab.run(&more).exits(12);
    let _accepted = lab.run(&[&more[..], &["--accept-mismatch"]].concat()).ok();
    let told = state(&lab, "s0");
    assert!(told["error"].is_null() && told["mismatches_in_a_row"] == 0, "{told:#}");
    assert!(left_bytes(&lab, "s0") >= watermark);
    [&lab.gateway, &lab.sites[0].vault].into_iter().for_each(|vault| assert_no_key_twice(vault));
    let _summary = lab.expect_key_used_once();
}

/// Reads the key that lies in a vault, block by block: no block lies at two positions.
pub(super) fn assert_no_key_twice(vault: &Path) {
    let (mut seen, mut segments) = (HashMap::new(), 0);
    for pool in std::fs::read_dir(vault.join("keys/pools")).unwrap() {
        for file in std::fs::read_dir(pool.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|end| end == "segment") {
                segments += 1;
                assert_blocks_are_new(&path, &mut seen);
            }
        }
    }
    assert!(segments > 2 && !seen.is_empty(), "{segments} segments in {}", vault.display());
}

fn assert_blocks_are_new(path: &Path, seen: &mut HashMap<[u8; 16], (PathBuf, usize)>) {
    const HEADER_BYTES: usize = 4096;
    let bytes = std::fs::read(path).unwrap();
    let (blocks, _) = bytes[HEADER_BYTES..].as_chunks::<16>();
    // What was used reads as zeros; of a block that was used in part too little is left to compare.
    let is_whole = |block: &[u8; 16]| !block.starts_with(&[0; 4]) && !block.ends_with(&[0; 4]);
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| is_whole(block)) {
        if let Some((other, there)) = seen.insert(*block, (path.to_owned(), at)) {
            panic!("block {at} of {} is block {there} of {}", path.display(), other.display());
        }
    }
}
