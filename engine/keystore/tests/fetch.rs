//! Fetching from deliverers that have little, little at a time, or nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;
use warifu_buffers::Block;
use warifu_keystore::fetch::{FetchEnd, FetchManner, FetchReport, Fetcher, Pacing};
use warifu_keystore::{DeliveredKeys, DeliveryError, DeliveryLimits, KeyDelivery, KeyId};

/// What a request meets.
type Fate = fn(request: u64) -> Option<DeliveryError>;

struct Deliverer {
    limits: DeliveryLimits,
    fate: Fate,
    requests: AtomicU64,
    keys: AtomicU64,
    at_once: AtomicUsize,
    at_once_most: AtomicUsize,
    /// Keys in an answer, at most.
    stingy: u64,
}

fn not_now() -> DeliveryError {
    DeliveryError::NotNow { deliverer: "d".to_owned(), why: "empty".to_owned(), after: None }
}

fn lost() -> DeliveryError {
    DeliveryError::Lost { deliverer: "d".to_owned(), why: "cut".to_owned() }
}

fn name(number: u64) -> KeyId {
    KeyId::from_bytes(u128::from(number).to_be_bytes())
}

impl Deliverer {
    fn new(fate: Fate) -> Self {
        let limits = DeliveryLimits {
            key_bytes_default: 32,
            key_bytes_min: 8,
            key_bytes_max: 1024,
            keys_per_request_max: 10,
            keys_stored: 0,
            keys_stored_max: 0,
        };
        Self {
            limits,
            fate,
            requests: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            at_once: AtomicUsize::new(0),
            at_once_most: AtomicUsize::new(0),
            stingy: u64::MAX,
        }
    }

    fn meet(&self) -> Result<(), DeliveryError> {
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_most.fetch_max(at_once, Ordering::SeqCst);
        let fate = (self.fate)(self.requests.fetch_add(1, Ordering::SeqCst));
        std::thread::yield_now();
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        fate.map_or(Ok(()), Err)
    }

    fn made(names: Vec<KeyId>, key_bytes: usize) -> DeliveredKeys {
        let mut material = Block::zeroed(names.len() * key_bytes);
        for (key, name) in material.chunks_mut(key_bytes).zip(&names) {
            key.fill(name.bytes()[15]);
        }
        DeliveredKeys { names, key_bytes, material }
    }
}

impl KeyDelivery for Deliverer {
    fn name(&self) -> &str {
        "d"
    }

    fn limits(&self, _peer: &str) -> Result<DeliveryLimits, DeliveryError> {
        self.meet().map(|()| self.limits)
    }

    fn fresh_keys(
        &self,
        _peer: &str,
        count: u64,
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError> {
        self.meet()?;
        assert!(count > 0 && count <= self.limits.keys_per_request_max);
        let count = count.min(self.stingy);
        let first = self.keys.fetch_add(count, Ordering::SeqCst);
        Ok(Self::made((first..first + count).map(name).collect(), key_bytes))
    }

    fn named_keys(
        &self,
        _peer: &str,
        names: &[KeyId],
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError> {
        self.meet()?;
        assert!(!names.is_empty() && names.len() as u64 <= self.limits.keys_per_request_max);
        Ok(Self::made(names.to_vec(), key_bytes))
    }
}

/// A clock that only notes what it was asked for.
#[derive(Default)]
struct Paces(Mutex<Vec<Duration>>);

impl Pacing for Paces {
    fn pause(&self, time: Duration, _stop: &AtomicBool) {
        self.0.lock().unwrap().push(time);
    }

    fn jitter(&self) -> u16 {
        u16::MAX
    }
}

fn manner(in_flight_max: usize) -> FetchManner {
    FetchManner { in_flight_max, answer_key_bytes_max: 4096, ..FetchManner::default() }
}

fn fetched(
    deliverer: &Deliverer,
    manner: FetchManner,
    bytes: u64,
) -> (Result<FetchReport, DeliveryError>, Vec<KeyId>, Vec<Duration>) {
    let paces = Paces::default();
    let mut names = Vec::new();
    let outcome = Fetcher::new(deliverer, "peer", manner, &paces).fresh(
        bytes,
        &AtomicBool::new(false),
        &mut |keys| {
            names.extend(keys.names);
            ControlFlow::Continue(())
        },
    );
    names.sort();
    (outcome, names, paces.0.into_inner().unwrap())
}

#[test]
fn requests_are_as_large_as_is_allowed_and_no_larger_than_is_needed() {
    for in_flight in [1, 3] {
        let all = Deliverer::new(|_| None);
        let (report, names, pauses) = fetched(&all, manner(in_flight), 40_960);
        let report = report.unwrap();
        // Keys of 1024 bytes, four in an answer of 4096.
        assert_eq!((report.end, report.keys, report.requests), (FetchEnd::Done, 40, 10));
        assert_eq!((report.bytes, names.len(), pauses.len()), (40_960, 40, 0));
    }
    let few = Deliverer::new(|_| None);
    let report = fetched(&few, manner(2), 100).0.unwrap();
    assert_eq!((report.keys, report.bytes), (1, 128), "a multiple of what it likes best");
    let tiny = Deliverer::new(|_| None);
    let asked = FetchManner { key_bytes: Some(16), ..manner(2) };
    let report = fetched(&tiny, asked, 16 * 25).0.unwrap();
    assert_eq!((report.keys, report.requests), (25, 3), "ten keys in a request");
    for wrong in [7, 1025, 5000] {
        let asked = FetchManner { key_bytes: Some(wrong), ..manner(2) };
        let outcome = fetched(&tiny, asked, 100).0;
        assert!(matches!(outcome, Err(DeliveryError::Refused { .. })), "{wrong}");
    }
}

#[test]
fn what_falls_short_is_asked_for_again() {
    let mut stingy = Deliverer::new(|_| None);
    stingy.stingy = 1;
    let (report, names, _) = fetched(&stingy, manner(3), 10 * 1024);
    let report = report.unwrap();
    assert_eq!((report.end, report.keys, names.len()), (FetchEnd::Done, 10, 10));
}

#[test]
fn pauses_grow_and_are_forgotten_when_something_comes() {
    // Nothing at requests 1 to 3 and 5.
    let often = Deliverer::new(|at| matches!(at, 1..=3 | 5).then(not_now));
    let (report, names, pauses) = fetched(&often, manner(1), 8192);
    let report = report.unwrap();
    assert_eq!((report.end, report.put_off, names.len()), (FetchEnd::Done, 4, 8));
    assert_eq!(pauses, [100, 200, 400, 100].map(Duration::from_millis));
    let told = |at| {
        (at == 1).then(|| DeliveryError::NotNow {
            deliverer: "d".to_owned(),
            why: String::new(),
            after: Some(Duration::from_secs(9)),
        })
    };
    let (_, _, pauses) = fetched(&Deliverer::new(told), manner(1), 1024);
    assert_eq!(pauses, [Duration::from_secs(9)], "it is left alone as long as it asks");
}

#[test]
fn patience_ends_and_says_why() {
    for in_flight in [1, 4] {
        let empty = Deliverer::new(|at| (at > 2).then(not_now));
        let (report, names, pauses) = fetched(&empty, manner(in_flight), 1 << 20);
        let report = report.unwrap();
        assert!(
            matches!(&report.end, FetchEnd::Dry { why } if why.contains("empty")),
            "{report:?}"
        );
        assert!(names.len() >= 4, "what came is handed on");
        let patience = manner(1).patience;
        assert!(pauses.iter().sum::<Duration>() <= patience && pauses.len() < 20, "{pauses:?}");
        // While nothing comes, one asks for all.
        assert!(empty.requests.load(Ordering::SeqCst) < 30);
    }
    let away = Deliverer::new(|_| Some(lost()));
    let report = fetched(&away, manner(4), 1024).0.unwrap();
    assert!(matches!(report.end, FetchEnd::Dry { .. }) && report.lost > 3);
}

#[test]
fn lost_answers_are_made_up_for() {
    for in_flight in [1, 4] {
        let leaky = Deliverer::new(|at| (at % 3 == 2).then(lost));
        let (report, names, _) = fetched(&leaky, manner(in_flight), 100 * 1024);
        let report = report.unwrap();
        assert_eq!((report.end, report.keys), (FetchEnd::Done, 100));
        let mut once = names.clone();
        once.dedup();
        assert!(once.len() == names.len() && report.lost > 5);
    }
}

#[test]
fn what_no_patience_helps_against_ends_it_at_once() {
    for in_flight in [1, 4] {
        let refuses = Deliverer::new(|at| {
            let why = String::new();
            (at >= 3).then(|| DeliveryError::Refused { deliverer: "d".to_owned(), why })
        });
        let (outcome, names, pauses) = fetched(&refuses, manner(in_flight), 1 << 20);
        assert!(matches!(outcome, Err(DeliveryError::Refused { .. })));
        assert!(!names.is_empty() && pauses.is_empty());
        assert!(refuses.requests.load(Ordering::SeqCst) <= 3 + in_flight as u64);
    }
}

#[test]
fn whoever_has_enough_gets_no_more() {
    for in_flight in [1, 4] {
        let all = Deliverer::new(|_| None);
        let paces = Paces::default();
        let mut answers = 0;
        let fetcher = Fetcher::new(&all, "peer", manner(in_flight), &paces);
        let report = fetcher.fresh(1 << 30, &AtomicBool::new(false), &mut |_| {
            answers += 1;
            ControlFlow::Break(())
        });
        assert_eq!((report.unwrap().end, answers), (FetchEnd::Stopped, 1));
        let stop = AtomicBool::new(true);
        let report = fetcher.fresh(1 << 30, &stop, &mut |_| ControlFlow::Continue(()));
        assert_eq!(report.unwrap().keys, 0);
    }
}

#[test]
fn keys_by_name_come_in_parts_each_once_whatever_is_put_off() {
    for in_flight in [1, 4] {
        let moody = Deliverer::new(|at| (at % 4 == 1).then(not_now));
        let names: Vec<KeyId> = (0..57).map(name).collect();
        let paces = Paces::default();
        let mut found: BTreeMap<usize, Vec<KeyId>> = BTreeMap::new();
        let fetcher = Fetcher::new(&moody, "peer", manner(in_flight), &paces);
        let stop = AtomicBool::new(false);
        let report = fetcher.named(&names, 32, &stop, &mut |first, keys| {
            assert!(
                keys.material
                    .iter()
                    .step_by(32)
                    .zip(&keys.names)
                    .all(|(byte, name)| { *byte == name.bytes()[15] })
            );
            assert!(found.insert(first, keys.names).is_none(), "a part came twice");
            ControlFlow::Continue(())
        });
        assert_eq!(report.unwrap().keys, 57);
        let together: Vec<KeyId> = found.into_values().flatten().collect();
        assert_eq!(together, names);
    }
    let none = Deliverer::new(|_| None);
    let paces = Paces::default();
    let fetcher = Fetcher::new(&none, "peer", manner(4), &paces);
    let stop = AtomicBool::new(false);
    let report = fetcher.named(&[], 32, &stop, &mut |_, _| panic!("nothing was asked for"));
    assert_eq!(report.unwrap().end, FetchEnd::Done);
}

#[test]
fn several_requests_are_in_flight_and_no_more_than_allowed() {
    // After the limits two requests meet: one alone would wait for ever.
    static MEETING: Barrier = Barrier::new(2);
    let all = Deliverer::new(|at| {
        if matches!(at, 1 | 2) {
            MEETING.wait();
        }
        None
    });
    fetched(&all, manner(4), 400 * 1024).0.unwrap();
    let most = all.at_once_most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at once");
}
