//! Fetching well: the largest requests that are allowed, several of them in flight, and patience
//! where a deliverer has nothing.

use crate::delivery::{DeliveredKeys, DeliveryError, DeliveryLimits, KeyDelivery, KeyId};
use crate::source::{Entropy, OsEntropy};
use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How often a pause looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Requests in flight at once, at most.
const IN_FLIGHT_MAX: usize = 64;

/// How a fetcher goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchManner {
    /// Requests in flight at once; with one, everything happens on the caller's thread.
    pub in_flight_max: usize,
    /// Most key in one answer, in bytes. An answer takes two to three times that of memory.
    pub answer_key_bytes_max: u64,
    /// Length of each key, in bytes; the longest that is allowed where absent.
    pub key_bytes: Option<u64>,
    /// The first pause where there is nothing; each further one is twice as long.
    pub pause_min: Duration,
    /// The longest pause, unless the deliverer asks for a longer one.
    pub pause_max: Duration,
    /// How long all pauses and vain requests in a row may be before it is given up.
    pub patience: Duration,
}

impl Default for FetchManner {
    fn default() -> Self {
        Self {
            in_flight_max: 4,
            answer_key_bytes_max: 1 << 20,
            key_bytes: None,
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(30),
            patience: Duration::from_secs(60),
        }
    }
}

/// Time between requests, so that tests need not sleep.
pub trait Pacing: Send + Sync {
    /// Waits for `time`, or until `stop` is set.
    fn pause(&self, time: Duration, stop: &AtomicBool);

    /// A number that spreads those who wait, any of its values alike.
    fn jitter(&self) -> u16;
}

/// The clock of this machine and its generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemPacing;

impl Pacing for SystemPacing {
    fn pause(&self, time: Duration, stop: &AtomicBool) {
        let mut left = time;
        while !left.is_zero() && !stop.load(Relaxed) {
            let now = left.min(LOOK_EVERY);
            std::thread::sleep(now);
            left -= now;
        }
    }

    fn jitter(&self) -> u16 {
        let mut bytes = [0; 2];
        match OsEntropy.fill(&mut bytes) {
            Ok(()) => u16::from_le_bytes(bytes),
            // Without it pauses are as long as they may be.
            Err(_) => u16::MAX,
        }
    }
}

/// Why a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// All that was asked for was handed on.
    Done,
    /// It was asked to stop, or whom the keys were handed to had enough.
    Stopped,
    /// There was nothing for longer than its patience.
    Dry {
        /// What was said last.
        why: String,
    },
}

/// What a fetch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReport {
    /// Why it ended.
    pub end: FetchEnd,
    /// Keys that were handed on.
    pub keys: u64,
    /// Their length in all, in bytes.
    pub bytes: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Those that were put off.
    pub put_off: u64,
    /// Those whose answer was lost.
    pub lost: u64,
}

/// Fetches keys that are shared with one peer.
pub struct Fetcher<'a> {
    delivery: &'a dyn KeyDelivery,
    peer: &'a str,
    manner: FetchManner,
    pacing: &'a dyn Pacing,
}

impl<'a> Fetcher<'a> {
    /// A fetcher of keys of `delivery` that are shared with `peer`, by the peer's name there.
    #[must_use]
    pub fn new(
        delivery: &'a dyn KeyDelivery,
        peer: &'a str,
        manner: FetchManner,
        pacing: &'a dyn Pacing,
    ) -> Self {
        Self { delivery, peer, manner, pacing }
    }

    /// Fetches `bytes_wanted` of fresh key, a key more at most, and hands on each answer as it
    /// comes.
    ///
    /// # Errors
    /// What no patience helps against. Keys that were handed on are good all the same.
    pub fn fresh(
        &self,
        bytes_wanted: u64,
        stop: &AtomicBool,
        on_keys: &mut dyn FnMut(DeliveredKeys) -> ControlFlow<()>,
    ) -> Result<FetchReport, DeliveryError> {
        let crew = Crew::new(self, stop, Rest::Fresh { bytes: bytes_wanted });
        let Some(limits) = crew.limits() else { return crew.report() };
        let shape = self.shape(&limits, bytes_wanted)?;
        crew.run(&shape, &mut |(_, keys)| on_keys(keys))
    }

    /// Fetches the keys called `names`, all of `key_bytes`, and hands on each answer with the place
    /// of its first name. Answers may come in any order, each once.
    ///
    /// # Errors
    /// What no patience helps against, [`DeliveryError::Gone`] most of all.
    pub fn named(
        &self,
        names: &[KeyId],
        key_bytes: usize,
        stop: &AtomicBool,
        on_keys: &mut dyn FnMut(usize, DeliveredKeys) -> ControlFlow<()>,
    ) -> Result<FetchReport, DeliveryError> {
        let crew = Crew::new(self, stop, Rest::Named { names, parts: VecDeque::new() });
        let Some(limits) = crew.limits() else { return crew.report() };
        let keys_max = self.keys_max(&limits, key_bytes as u64);
        let step = usize::try_from(keys_max).unwrap_or(usize::MAX);
        let firsts = (0..names.len()).step_by(step);
        let parts = firsts.map(|first| first..first.saturating_add(step).min(names.len()));
        crew.lock().rest = Rest::Named { names, parts: parts.collect() };
        let shape = Shape { key_bytes, keys_max };
        crew.run(&shape, &mut |(first, keys)| on_keys(first, keys))
    }

    /// What one request asks for.
    fn shape(&self, limits: &DeliveryLimits, wanted: u64) -> Result<Shape, DeliveryError> {
        let least = limits.key_bytes_min.max(1);
        let most = limits.key_bytes_max.min(self.manner.answer_key_bytes_max);
        let refused = |why: String| {
            Err(DeliveryError::Refused { deliverer: self.delivery.name().to_owned(), why })
        };
        if least > most {
            return refused(format!("its keys have {least} bytes at least, an answer {most}"));
        }
        let key_bytes = match self.manner.key_bytes {
            Some(bytes) if (least..=most).contains(&bytes) => bytes,
            Some(bytes) => {
                return refused(format!("keys of {bytes} bytes; it has {least} to {most}"));
            }
            None => {
                // No longer than needed, in pieces as it likes them best.
                let piece = limits.key_bytes_default.max(1);
                wanted.div_ceil(piece).saturating_mul(piece).clamp(least, most)
            }
        };
        let keys_max = self.keys_max(limits, key_bytes);
        match usize::try_from(key_bytes) {
            Ok(key_bytes) => Ok(Shape { key_bytes, keys_max }),
            Err(_) => refused(format!("keys of {key_bytes} bytes are too long")),
        }
    }

    fn keys_max(&self, limits: &DeliveryLimits, key_bytes: u64) -> u64 {
        let fit = self.manner.answer_key_bytes_max / key_bytes.max(1);
        limits.keys_per_request_max.min(fit).max(1)
    }

    /// How long to wait after so many vain requests in a row.
    fn pause(&self, vain: u32, asked_for: Option<Duration>) -> Duration {
        let doubled = 2_u32.checked_pow(vain.saturating_sub(1)).unwrap_or(u32::MAX);
        let FetchManner { pause_min, pause_max, .. } = self.manner;
        let longest = pause_min.saturating_mul(doubled).min(pause_max);
        // Between a half and all of it.
        let spread = longest / 2 * u32::from(self.pacing.jitter()) / u32::from(u16::MAX);
        (longest / 2 + spread).max(asked_for.unwrap_or_default())
    }
}

/// What requests look like.
struct Shape {
    key_bytes: usize,
    keys_max: u64,
}

/// What is still to be asked for.
enum Rest<'a> {
    Fresh { bytes: u64 },
    Named { names: &'a [KeyId], parts: VecDeque<Range<usize>> },
}

/// One request.
enum Job<'a> {
    Fresh { keys: u64, bytes: u64 },
    Named { names: &'a [KeyId], part: Range<usize> },
}

/// A place and the keys from there on.
type Part = (usize, DeliveredKeys);

/// Those who ask, side by side.
struct Crew<'a> {
    fetcher: &'a Fetcher<'a>,
    stop: &'a AtomicBool,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    rest: Rest<'a>,
    in_flight: usize,
    /// Requests in a row that brought nothing.
    vain: u32,
    /// How long has been waited since something came.
    waited: Duration,
    /// Whether one of them waits and then tries, as long as nothing comes.
    has_scout: bool,
    /// No further request is sent.
    is_over: bool,
    error: Option<DeliveryError>,
    report: FetchReport,
}

impl<'a> Crew<'a> {
    fn new(fetcher: &'a Fetcher<'a>, stop: &'a AtomicBool, rest: Rest<'a>) -> Self {
        let end = FetchEnd::Done;
        let report = FetchReport { end, keys: 0, bytes: 0, requests: 0, put_off: 0, lost: 0 };
        let state = State {
            rest,
            in_flight: 0,
            vain: 0,
            waited: Duration::ZERO,
            has_scout: false,
            is_over: false,
            error: None,
            report,
        };
        Self { fetcher, stop, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        // Changed in single steps: what a panic leaves is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deliverer's limits, waited for like keys; `None` where that ended it.
    fn limits(&self) -> Option<DeliveryLimits> {
        loop {
            if self.stop.load(Relaxed) {
                self.lock().end(FetchEnd::Stopped);
                return None;
            }
            let asked = Instant::now();
            match self.fetcher.delivery.limits(self.fetcher.peer) {
                Ok(limits) => {
                    self.lock().progress();
                    return Some(limits);
                }
                Err(error) => self.wait(self.put_off(self.lock(), error, asked.elapsed())?),
            }
        }
    }

    fn run(
        self,
        shape: &Shape,
        on_part: &mut dyn FnMut(Part) -> ControlFlow<()>,
    ) -> Result<FetchReport, DeliveryError> {
        let threads = self.fetcher.manner.in_flight_max.clamp(1, IN_FLIGHT_MAX);
        if threads == 1 {
            self.work(shape, &mut |part| self.hand_on(part, on_part));
            return self.report();
        }
        let crew = &self;
        std::thread::scope(|scope| {
            // An answer waits here at most; those who ask wait with the next ones.
            let (sender, receiver) = mpsc::sync_channel(1);
            for _ in 0..threads {
                let sender = sender.clone();
                scope.spawn(move || {
                    crew.work(shape, &mut |part| {
                        // The other end lives until all senders are gone.
                        let _sent = sender.send(part);
                    });
                });
            }
            drop(sender);
            for part in receiver {
                crew.hand_on(part, on_part);
            }
        });
        self.report()
    }

    /// Hands keys on, unless whoever takes them had enough.
    fn hand_on(&self, part: Part, on_part: &mut dyn FnMut(Part) -> ControlFlow<()>) {
        if self.lock().report.end == FetchEnd::Stopped && !self.stop.load(Relaxed) {
            return;
        }
        let (keys, bytes) = (part.1.names.len() as u64, part.1.material.len() as u64);
        let flow = on_part(part);
        let mut state = self.lock();
        state.report.keys += keys;
        state.report.bytes += bytes;
        if flow.is_break() {
            state.end(FetchEnd::Stopped);
            self.changed.notify_all();
        }
    }

    /// Asks until there is nothing to ask for.
    fn work(&self, shape: &Shape, deliver: &mut dyn FnMut(Part)) {
        while let Some(job) = self.claim(shape) {
            let Fetcher { delivery, peer, .. } = *self.fetcher;
            let asked = Instant::now();
            let answer = match &job {
                Job::Fresh { keys, .. } => delivery.fresh_keys(peer, *keys, shape.key_bytes),
                Job::Named { names, part } => {
                    delivery.named_keys(peer, &names[part.clone()], shape.key_bytes)
                }
            };
            let mut state = self.lock();
            state.in_flight -= 1;
            match answer {
                Ok(keys) => {
                    let first = match job {
                        Job::Named { part, .. } => part.start,
                        Job::Fresh { bytes, .. } => {
                            // Fewer than asked for: the rest is asked for again.
                            state.owe(bytes.saturating_sub(keys.material.len() as u64));
                            0
                        }
                    };
                    state.progress();
                    drop(state);
                    self.changed.notify_all();
                    deliver((first, keys));
                }
                Err(error) => {
                    state.give_back(job);
                    if let Some(pause) = self.put_off(state, error, asked.elapsed()) {
                        self.wait(pause);
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    /// The next request, as soon as one may be sent; `None` where no more is to be sent.
    fn claim(&self, shape: &Shape) -> Option<Job<'a>> {
        let mut state = self.lock();
        loop {
            if self.stop.load(Relaxed) {
                state.end(FetchEnd::Stopped);
            }
            if state.is_over || (state.is_empty() && state.in_flight == 0) {
                state.is_over = true;
                self.changed.notify_all();
                return None;
            }
            // While nothing comes, one asks for all.
            let may = !state.has_scout && (state.vain == 0 || state.in_flight == 0);
            if may && !state.is_empty() {
                state.in_flight += 1;
                state.report.requests += 1;
                return state.next(shape);
            }
            let woken = self.changed.wait_timeout(state, LOOK_EVERY);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Notes a request that was vain after `took`: how long to pause before the next, or `None`
    /// where there is nobody to pause or no next.
    fn put_off(
        &self,
        mut state: MutexGuard<'_, State<'a>>,
        error: DeliveryError,
        took: Duration,
    ) -> Option<Duration> {
        let asked_for = match &error {
            DeliveryError::NotNow { after, .. } => {
                state.report.put_off += 1;
                *after
            }
            DeliveryError::Lost { .. } => {
                state.report.lost += 1;
                None
            }
            DeliveryError::Gone { .. }
            | DeliveryError::Refused { .. }
            | DeliveryError::Malformed { .. } => {
                state.is_over = true;
                state.error.get_or_insert(error);
                return None;
            }
        };
        if state.has_scout || state.is_over {
            return None;
        }
        state.vain += 1;
        let pause = self.fetcher.pause(state.vain, asked_for);
        let waited = state.waited.saturating_add(took).saturating_add(pause);
        if waited > self.fetcher.manner.patience {
            let why = match error {
                DeliveryError::NotNow { why, .. } => why,
                other => other.to_string(),
            };
            state.end(FetchEnd::Dry { why });
            return None;
        }
        state.waited = waited;
        state.has_scout = true;
        Some(pause)
    }

    fn wait(&self, pause: Duration) {
        self.fetcher.pacing.pause(pause, self.stop);
        self.lock().has_scout = false;
    }

    fn report(self) -> Result<FetchReport, DeliveryError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.error {
            Some(error) => Err(error),
            None => Ok(state.report),
        }
    }
}

impl<'a> State<'a> {
    fn end(&mut self, end: FetchEnd) {
        if !self.is_over || end == FetchEnd::Stopped {
            self.report.end = end;
        }
        self.is_over = true;
    }

    fn progress(&mut self) {
        self.vain = 0;
        self.waited = Duration::ZERO;
    }

    fn is_empty(&self) -> bool {
        match &self.rest {
            Rest::Fresh { bytes } => *bytes == 0,
            Rest::Named { parts, .. } => parts.is_empty(),
        }
    }

    fn next(&mut self, shape: &Shape) -> Option<Job<'a>> {
        match &mut self.rest {
            Rest::Fresh { bytes: left } => {
                let key_bytes = shape.key_bytes as u64;
                let keys = left.div_ceil(key_bytes).min(shape.keys_max);
                let bytes = keys.saturating_mul(key_bytes).min(*left);
                *left -= bytes;
                Some(Job::Fresh { keys, bytes })
            }
            Rest::Named { names, parts } => {
                parts.pop_front().map(|part| Job::Named { names, part })
            }
        }
    }

    fn give_back(&mut self, job: Job<'a>) {
        match job {
            Job::Fresh { bytes, .. } => self.owe(bytes),
            Job::Named { part, .. } => {
                if let Rest::Named { parts, .. } = &mut self.rest {
                    parts.push_front(part);
                }
            }
        }
    }

    fn owe(&mut self, more: u64) {
        if let Rest::Fresh { bytes } = &mut self.rest {
            *bytes = bytes.saturating_add(more);
        }
    }
}
