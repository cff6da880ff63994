//! Fetching for one site: rounds of gathering and pairing, until the goal is reached.

use super::gather::{Gatherer, Harvest};
use super::pair::{self, Outcome, Pairer};
use super::{FetchGoal, FetchRequest, FetchedRow, stopped, told};
use crate::failure::{Class, Failure};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use warifu_core::{PoolId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::fetch::FetchManner;
use warifu_keystore::{Deliverer, KeyStore, Pairing};
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::clock::Clock;

/// Key in each direction up to which it is fetched where nothing is said, in bytes.
const WATERMARK_BYTES: u64 = 1 << 30;

/// Less than this is not fetched to reach a watermark, in bytes.
const CRUMB_BYTES: u64 = 64 << 10;

/// The shortest and the longest pause where a KME or a site has nothing.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often a pause looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One site and its deliverer.
pub(super) struct Order {
    pub(super) site: SiteName,
    pub(super) pool: PoolId,
    pub(super) deliverer: Deliverer,
    pub(super) dial: Arc<Mutex<Dial>>,
    pub(super) keys: Arc<KeyStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) isa: Isa,
}

pub(super) fn fetch_one(
    order: Order,
    request: &FetchRequest,
    stop: &AtomicBool,
    added: &mpsc::Sender<u64>,
) -> (FetchedRow, Option<Failure>) {
    let row = FetchedRow {
        site: order.site.to_string(),
        source: order.deliverer.source(),
        bytes: 0,
        segments: 0,
        segments_lost: 0,
        names_refused: 0,
        error: None,
    };
    let mut errand = Errand { order, request, stop, added, row, has_looked: false };
    let failure = errand.run().err();
    if let Some(failure) = &failure {
        errand.row.error = Some(told(failure));
    }
    (errand.row, failure)
}

/// Fetching for one site.
struct Errand<'a> {
    order: Order,
    request: &'a FetchRequest,
    stop: &'a AtomicBool,
    added: &'a mpsc::Sender<u64>,
    row: FetchedRow,
    /// Whether the site was asked what an earlier fetch left undone.
    has_looked: bool,
}

impl Errand<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let pool = self.order.pool;
        let pairing = self.order.keys.pairing(pool)?.ok_or_else(|| {
            let what = format!("another process fetches key for {}", self.row.site);
            Failure::new(Class::Busy, "fetch-running", what).next("wait until it ends, or stop it")
        })?;
        self.expect_trusted(&pairing)?;
        let (mut pause, mut waited) = (PAUSE_MIN, Duration::ZERO);
        loop {
            let segments_before = self.row.segments;
            let failure = match self.round(&pairing) {
                Ok(is_done) if is_done && !self.request.follow => return Ok(()),
                Ok(_) if self.stop.load(Relaxed) => None,
                Ok(false) if self.row.segments == segments_before => Some(self.unusable()),
                Ok(is_done) => {
                    (pause, waited) = (PAUSE_MIN, Duration::ZERO);
                    if is_done {
                        self.pause(PAUSE_MAX / 10);
                    }
                    continue;
                }
                Err(failure) => Some(failure),
            };
            if self.stop.load(Relaxed) {
                return match self.request.follow {
                    true => Ok(()),
                    false => Err(failure.unwrap_or_else(stopped)),
                };
            }
            let Some(failure) = failure else { continue };
            let now = self.order.clock.unix_s();
            pairing.note(|standing| standing.fail(&told(&failure), now))?;
            let may_wait = self.request.follow || waited < self.request.patience;
            if self.row.segments > segments_before {
                (pause, waited) = (PAUSE_MIN, Duration::ZERO);
            }
            // A KME that breaks the protocol may be sound again a moment later.
            let may_mend = failure.class().is_retryable() || failure.code() == "kme-malformed";
            if !may_mend || !may_wait {
                return Err(failure);
            }
            tracing::info!(site = self.row.site, why = told(&failure), "fetching goes on later");
            self.pause(pause);
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Refuses a deliverer whose key differed at the two ends again and again.
    fn expect_trusted(&self, pairing: &Pairing) -> Result<(), Failure> {
        let source = self.order.deliverer.source();
        let accepts = self.request.accept_mismatch;
        let mut is_stopped = false;
        pairing.note(|standing| {
            standing.source.clone_from(&source);
            if accepts {
                standing.mismatches_in_a_row = 0;
            }
            is_stopped = standing.is_stopped();
        })?;
        match is_stopped {
            true => Err(pair::differs(&source, &self.row.site, true)),
            false => Ok(()),
        }
    }

    /// Finishes what was begun, then gathers and pairs what the goal lacks. True once there is
    /// enough.
    fn round(&mut self, pairing: &Pairing) -> Result<bool, Failure> {
        let mut pairer = Pairer::of(pairing, &self.order);
        let done = self.round_over(pairing, &mut pairer);
        // Whatever came of it: key that the connection has left goes back.
        pairer.close();
        done
    }

    fn round_over(&mut self, pairing: &Pairing, pairer: &mut Pairer<'_>) -> Result<bool, Failure> {
        if !self.has_looked {
            pairer.connect()?;
            self.has_looked = true;
        }
        for pending in pairing.pending()? {
            let outcome = pairer.pair(&pending, self.stop)?;
            self.count(pairing, &outcome)?;
        }
        let lacking = self.lacking()?;
        if lacking == 0 {
            return Ok(true);
        }
        let deliverer = self.order.deliverer.clone();
        let gatherer = Gatherer::new(&deliverer, self.manner(), lacking, self.stop);
        let ended = std::thread::scope(|scope| {
            // One segment waits here at most, while the one before is paired.
            let (sender, receiver) = mpsc::sync_channel::<Harvest>(0);
            let gathering = scope.spawn(move || gatherer.run(pairing, &sender));
            let mut paired = Ok(());
            for harvest in receiver {
                paired = self.keep_and_pair(pairing, pairer, harvest);
                if paired.is_err() {
                    break;
                }
            }
            let gathered = gathering.join();
            paired.and_then(|()| gathered.unwrap_or_else(|_| Err(stopped())))
        });
        ended?;
        Ok(self.lacking()? == 0)
    }

    fn keep_and_pair(
        &mut self,
        pairing: &Pairing,
        pairer: &mut Pairer<'_>,
        harvest: Harvest,
    ) -> Result<(), Failure> {
        let kept = pairer.keep(harvest)?;
        let repeated = kept.names_refused.len() as u64;
        if repeated > 0 {
            let source = self.order.deliverer.source();
            tracing::error!(alarm = "kme-repeats-key", source, site = self.row.site, repeated);
            self.row.names_refused += repeated;
            let now = self.order.clock.unix_s();
            let text = format!("it delivered {repeated} keys that had come before: refused");
            pairing.note(|standing| {
                standing.names_refused += repeated;
                standing.fail(&text, now);
            })?;
        }
        match kept.pending {
            Some(pending) => {
                let outcome = pairer.pair(&pending, self.stop)?;
                self.count(pairing, &outcome)
            }
            None => Ok(()),
        }
    }

    fn count(&mut self, pairing: &Pairing, outcome: &Outcome) -> Result<(), Failure> {
        let now = self.order.clock.unix_s();
        match outcome {
            Outcome::Added(bytes) => {
                self.row.bytes += bytes;
                self.row.segments += 1;
                pairing.note(|standing| standing.arrive(*bytes, now))?;
                // Nobody may listen any more.
                let _told = self.added.send(*bytes);
                Ok(())
            }
            Outcome::Lost(why) => {
                self.row.segments_lost += 1;
                self.row.error = Some(why.clone());
                tracing::warn!(site = self.row.site, why, "a segment of key was given up");
                pairing.note(|standing| {
                    standing.segments_lost += 1;
                    standing.fail(why, now);
                })?;
                Ok(())
            }
            Outcome::Differs => {
                let (source, site) = (&self.row.source, &self.row.site);
                tracing::error!(alarm = "kme-mismatch", source, site);
                self.row.segments_lost += 1;
                let mut is_stopped = false;
                let text = "the two ends got different key";
                pairing.note(|standing| {
                    standing.differ(text, now);
                    is_stopped = standing.is_stopped();
                })?;
                match is_stopped {
                    true => Err(pair::differs(source, site, true)),
                    false => Ok(()),
                }
            }
        }
    }

    /// How much key the goal lacks, in bytes.
    fn lacking(&self) -> Result<u64, Failure> {
        match self.request.goal {
            FetchGoal::Bytes(bytes) => Ok(bytes.saturating_sub(self.row.bytes)),
            FetchGoal::Watermark(bytes) => {
                let own = self.order.deliverer.watermark_bytes;
                let bytes = bytes.or(own).unwrap_or(WATERMARK_BYTES);
                let status = self.order.keys.pool_status(self.order.pool)?;
                let lacks =
                    status.directions.iter().map(|side| bytes.saturating_sub(side.bytes_left));
                // Pairing takes key itself: crumbs would be used up as they come.
                match lacks.sum::<u64>() {
                    0 => Ok(0),
                    lacks => Ok(lacks.max(CRUMB_BYTES)),
                }
            }
        }
    }

    /// The deliverer answers, and nothing of it could be used.
    fn unusable(&self) -> Failure {
        let what = format!("no key of {} could be used for {}", self.row.source, self.row.site);
        let failure = Failure::new(Class::Temporary, "kme-unusable", what);
        failure.next("see `warifu key status` for why, and `warifu key test`")
    }

    fn manner(&self) -> FetchManner {
        FetchManner {
            patience: if self.request.follow { PAUSE_MAX } else { self.request.patience },
            ..self.order.deliverer.manner.clone()
        }
    }

    fn pause(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() && !self.stop.load(Relaxed) {
            let now = left.min(LOOK_EVERY);
            self.order.clock.pause(now);
            left -= now;
        }
    }
}
