//! Fetching for one site: rounds of gathering and pairing, until the goal is reached.

use super::gather::{Gatherer, Shortening};
use super::pair::{self, Outcome, Pairer};
use super::{FetchGoal, FetchRequest, FetchedRow, LOOK_EVERY, stopped};
use crate::failure::{Class, Failure};
use crate::plan::error_chain;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use warifu_core::{PoolId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::fetch::FetchManner;
use warifu_keystore::{Deliverer, Gathering, KeptSegment, KeyStore, Pairing, PendingSegment};
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::clock::Clock;

/// Key in each direction up to which it is fetched where nothing is said, in bytes.
const WATERMARK_BYTES: u64 = 1 << 30;

/// Fetched beyond a watermark, in bytes: what a connection spends must not bring the next one.
const MARGIN_BYTES: u64 = 64 << 10;

/// The shortest and the longest pause where a KME or a site has nothing.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is short of a watermark is fetched once it is this part of it; less of it, only after a
/// while. Each connection costs key, and each segment is a file.
const SHORT_PART: u64 = 16;
const SHORT_PART_LATER: u64 = 256;
const LATER: Duration = Duration::from_secs(600);

/// How long key that this end has waits for the site's KME, in seconds. Without an end, one key
/// that it never gives would keep all others away.
const PENDING_S_MAX: u64 = 900;

/// How long whoever follows waits for a KME without telling of it: the pauses are then its own.
const UNTOLD_MAX: Duration = Duration::from_secs(2);

/// One site and its deliverer.
pub(super) struct Order {
    pub(super) site: SiteName,
    pub(super) pool: PoolId,
    pub(super) deliverer: Deliverer,
    pub(super) dial: Dial,
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
    let vain_since = order.clock.elapsed();
    let (settled, is_unknown) = (None, true);
    let shortening = Arc::default();
    let mut errand =
        Errand { order, request, stop, added, row, vain_since, settled, is_unknown, shortening };
    let failure = errand.run().err();
    if let Some(failure) = &failure {
        errand.row.error = Some(error_chain(failure));
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
    /// Since when nothing came.
    vain_since: Duration,
    /// When the goal was reached, where nothing went wrong since.
    settled: Option<Duration>,
    /// Whether the site may lack, or have, what this end does not know of.
    is_unknown: bool,
    shortening: Arc<Shortening>,
}

impl Errand<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let pool = self.order.pool;
        let pairing = self.order.keys.pairing(pool)?.ok_or_else(|| {
            let what = format!("another process fetches key for {}", self.row.site);
            Failure::new(Class::Busy, "fetch-running", what).next("wait until it ends, or stop it")
        })?;
        self.expect_trusted(&pairing)?;
        let mut pause = PAUSE_MIN;
        loop {
            if self.has_enough()? {
                if self.stop.load(Relaxed) {
                    return Ok(());
                }
                self.pause(PAUSE_MAX / 10);
                continue;
            }
            let segments_before = self.row.segments;
            let outcome = self.round(&pairing);
            let has_more = self.row.segments > segments_before;
            if has_more || matches!(outcome, Ok(true)) {
                (pause, self.vain_since) = (PAUSE_MIN, self.order.clock.elapsed());
            }
            self.settled = matches!(outcome, Ok(true)).then(|| self.order.clock.elapsed());
            let failure = match outcome {
                Ok(is_done) if is_done && !self.request.follow => return Ok(()),
                Ok(_) if self.stop.load(Relaxed) => None,
                Ok(is_done) if is_done || has_more => continue,
                Ok(_) => Some(self.unusable()),
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
            pairing.note(|standing| standing.fail(&error_chain(&failure), now))?;
            // A KME that breaks the protocol may be sound again a moment later.
            let may_mend = failure.class().is_retryable() || failure.code() == "kme-malformed";
            if !may_mend || (!self.request.follow && self.patience_left().is_zero()) {
                return Err(failure);
            }
            tracing::info!(
                site = self.row.site,
                why = error_chain(&failure),
                "fetching goes on later"
            );
            self.pause(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether whoever follows need not even connect.
    fn has_enough(&self) -> Result<bool, Failure> {
        let Some(settled) = self.settled else { return Ok(false) };
        let is_later = self.order.clock.elapsed() >= settled + LATER;
        let part = if is_later { SHORT_PART_LATER } else { SHORT_PART };
        Ok(self.lacking()? <= self.part_of_watermark(part))
    }

    fn part_of_watermark(&self, part: u64) -> u64 {
        match self.request.goal {
            FetchGoal::Watermark(asked) => self.watermark_bytes(asked) / part,
            FetchGoal::Bytes(_) => 0,
        }
    }

    /// How long whoever does not follow still waits.
    fn patience_left(&self) -> Duration {
        let waited = self.order.clock.elapsed().saturating_sub(self.vain_since);
        self.request.patience.saturating_sub(waited)
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
            true => Err(pair::differs(&source, &self.row.site)),
            false => Ok(()),
        }
    }

    /// Finishes what was begun, then gathers and pairs what the goal lacks. True once there is
    /// enough.
    fn round(&mut self, pairing: &Pairing) -> Result<bool, Failure> {
        let mut pairer = Pairer::of(pairing, &self.order);
        let worked = self.work(pairing, &mut pairer);
        // Whatever happened: what is left of the connection's key would else be burned.
        pairer.close();
        worked?;
        // Closing costs key, too: whoever follows is not to run after the last bytes for ever.
        let missing_bytes_max = match self.request.follow {
            true => self.part_of_watermark(SHORT_PART_LATER),
            false => 0,
        };
        Ok(self.lacking()? <= missing_bytes_max)
    }

    fn work(&mut self, pairing: &Pairing, pairer: &mut Pairer<'_>) -> Result<(), Failure> {
        let pending = pairing.pending()?;
        // A connection costs key, so that there is none while only the KME is waited for.
        if self.is_unknown || !pending.is_empty() {
            pairer.connect(&mut self.order.dial)?;
            self.is_unknown = false;
        }
        for pending in pending {
            let paired = self.pair(pairing, pairer, &pending, None);
            self.is_unknown |= paired.is_err();
            paired?;
        }
        let lacking = self.lacking()?;
        if lacking == 0 {
            return Ok(());
        }
        let wanted = match self.request.goal {
            FetchGoal::Bytes(_) => lacking,
            FetchGoal::Watermark(_) => lacking.saturating_add(MARGIN_BYTES),
        };
        let (deliverer, keys) = (self.order.deliverer.clone(), self.order.keys.clone());
        let shortening = self.shortening.clone();
        let gatherer = Gatherer {
            keys: &keys,
            pairing,
            deliverer: &deliverer,
            manner: self.manner(),
            wanted_bytes: wanted,
            shortening: &shortening,
            stop: self.stop,
        };
        std::thread::scope(|scope| {
            // One segment waits here, and another to be put here, while the one before is paired.
            let (sender, receiver) = mpsc::sync_channel::<KeptSegment>(1);
            let gathering = scope.spawn(move || gatherer.run(&sender));
            let mut paired = Ok(());
            for kept in receiver {
                paired = self.pair_kept(pairing, pairer, &kept);
                if paired.is_err() {
                    self.is_unknown = true;
                    break;
                }
            }
            let gathered = gathering.join();
            paired.and_then(|()| gathered.unwrap_or_else(|_| Err(stopped())))
        })
    }

    /// Pairs a segment, or gives it up where the site's KME has not given it for too long.
    fn pair(
        &mut self,
        pairing: &Pairing,
        pairer: &mut Pairer<'_>,
        pending: &PendingSegment,
        key: Option<&Gathering>,
    ) -> Result<(), Failure> {
        let outcome = match pairer.pair(pending, key, self.stop) {
            Err(failure) if pair::is_of_site_kme(&failure) => {
                let now = self.order.clock.unix_s();
                let mut since = now;
                pairing.note(|standing| {
                    since = *standing.pending_unix_s.get_or_insert(now);
                })?;
                if now.saturating_sub(since) < PENDING_S_MAX {
                    return Err(failure);
                }
                pairer.forget(pending)?;
                Outcome::Lost(format!("it was waited for too long: {}", error_chain(&failure)))
            }
            outcome => outcome?,
        };
        pairing.note(|standing| standing.pending_unix_s = None)?;
        self.count(pairing, &outcome)
    }

    fn pair_kept(
        &mut self,
        pairing: &Pairing,
        pairer: &mut Pairer<'_>,
        kept: &KeptSegment,
    ) -> Result<(), Failure> {
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
        match &kept.pending {
            Some(pending) => {
                // Only now that it is durable: key of a KME comes once.
                if !pairer.is_connected() {
                    pairer.connect(&mut self.order.dial)?;
                }
                self.pair(pairing, pairer, pending, kept.key.as_ref())
            }
            None => Ok(()),
        }
    }

    fn count(&mut self, pairing: &Pairing, outcome: &Outcome) -> Result<(), Failure> {
        let now = self.order.clock.unix_s();
        match outcome {
            Outcome::Added(bytes) => {
                self.shortening.added();
                self.row.bytes += bytes;
                self.row.segments += 1;
                pairing.note(|standing| standing.arrive(*bytes, now))?;
                // Nobody may listen any more.
                let _told = self.added.send(*bytes);
                Ok(())
            }
            Outcome::Lost(why) => {
                self.shortening.lost();
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
                    true => Err(pair::differs(source, site)),
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
                let bytes = self.watermark_bytes(bytes);
                let status = self.order.keys.pool_status(self.order.pool)?;
                let lacks =
                    status.directions.iter().map(|side| bytes.saturating_sub(side.bytes_left));
                Ok(lacks.sum())
            }
        }
    }

    fn watermark_bytes(&self, asked: Option<u64>) -> u64 {
        asked.or(self.order.deliverer.watermark_bytes).unwrap_or(WATERMARK_BYTES)
    }

    /// The deliverer answers, and nothing of it could be used.
    fn unusable(&self) -> Failure {
        let what = format!("no key of {} could be used for {}", self.row.source, self.row.site);
        let failure = Failure::new(Class::Temporary, "kme-unusable", what);
        failure.next("see `warifu key status` for why, and `warifu key test`")
    }

    fn manner(&self) -> FetchManner {
        FetchManner {
            patience: if self.request.follow { UNTOLD_MAX } else { self.patience_left() },
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
