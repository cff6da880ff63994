//! Getting fresh key from a deliverer, segment by segment, while the one before is paired.

use crate::failure::Failure;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Instant;
use warifu_keystore::fetch::{FetchEnd, FetchManner, Fetcher, SystemPacing};
use warifu_keystore::{
    AnswerRefusal, DELIVERED_KEYS_MAX, DELIVERED_SEGMENT_BYTES_MAX, Deliverer, DeliveryError,
    Gathering, Pairing,
};

/// What a first segment has at most, in bytes: how fast the deliverer is shows with it.
const FIRST_BYTES: u64 = 1 << 20;

/// A segment is as long as the deliverer takes so many seconds for, but no shorter than this.
const SEGMENT_S: u64 = 20;
const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// Of the keys that may wait at a deliverer for the other end, a segment has such a part.
const WAITING_PART: u64 = 4;

/// Key for one segment.
pub(super) type Harvest = Gathering;

/// Gathers until it has handed on what is wanted.
pub(super) struct Gatherer<'a> {
    deliverer: &'a Deliverer,
    manner: FetchManner,
    wanted_bytes: u64,
    stop: &'a AtomicBool,
}

impl<'a> Gatherer<'a> {
    pub(super) const fn new(
        deliverer: &'a Deliverer,
        manner: FetchManner,
        wanted_bytes: u64,
        stop: &'a AtomicBool,
    ) -> Self {
        Self { deliverer, manner, wanted_bytes, stop }
    }

    /// Hands on one gathering after the other, until all is there, it is asked to stop, or nobody
    /// takes them. Answers which broke the protocol are thrown away, and noted.
    pub(super) fn run(
        self,
        pairing: &Pairing,
        harvests: &mpsc::SyncSender<Harvest>,
    ) -> Result<(), Failure> {
        let most = self.segment_bytes_max()?;
        let mut step = FIRST_BYTES.min(most);
        let mut done = 0;
        while done < self.wanted_bytes && !self.stop.load(Relaxed) {
            let started = Instant::now();
            let wanted = step.min(self.wanted_bytes - done);
            let (gathered, ended) = self.gather(pairing, wanted)?;
            let Some(gathered) = gathered else { return ended };
            done += gathered.bytes();
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            let rate = gathered.bytes().saturating_mul(1000) / ms;
            step = rate.saturating_mul(SEGMENT_S).clamp(SEGMENT_BYTES_MIN.min(most), most);
            if harvests.send(gathered).is_err() {
                break;
            }
            ended?;
        }
        Ok(())
    }

    /// As many keys as one offer can name, and as wait at the deliverer until the site has asked
    /// for them: those of one segment while the next one is gathered.
    fn segment_bytes_max(&self) -> Result<u64, Failure> {
        let limits = self.deliverer.delivery.limits(&self.deliverer.peer)?;
        let longest = limits.key_bytes_max.min(self.manner.answer_key_bytes_max);
        let key_bytes = self.manner.key_bytes.unwrap_or(longest);
        let key_bytes = key_bytes.clamp(1, DELIVERED_SEGMENT_BYTES_MAX);
        let waiting = match limits.keys_stored_max / WAITING_PART {
            0 => DELIVERED_KEYS_MAX, // it does not say
            keys => keys.max(SEGMENT_BYTES_MIN / key_bytes),
        };
        let named = key_bytes.saturating_mul(waiting.min(DELIVERED_KEYS_MAX));
        let most = self.deliverer.segment_bytes.clamp(1, DELIVERED_SEGMENT_BYTES_MAX).min(named);
        // Whole keys: the last one must not make it longer than a segment may be.
        Ok(if key_bytes < most { most - most % key_bytes } else { most })
    }

    /// What there is of one segment, and how it ended.
    fn gather(
        &self,
        pairing: &Pairing,
        bytes: u64,
    ) -> Result<(Option<Gathering>, Result<(), Failure>), Failure> {
        let segment = pairing.draw_segment()?;
        let mut gathering = None;
        let Deliverer { delivery, peer, .. } = self.deliverer;
        let fetcher = Fetcher::new(&**delivery, peer, self.manner.clone(), &SystemPacing);
        let (mut last, mut refused, mut repeated) = (None, 0, 0);
        let ended = fetcher.fresh(bytes, self.stop, &mut |answer| {
            let begun = gathering.get_or_insert_with(|| Gathering::new(segment, answer.key_bytes));
            if let Err(refusal) = begun.add(answer) {
                tracing::warn!(source = self.deliverer.source(), %refusal, "an answer is refused");
                if refusal == AnswerRefusal::Repeated {
                    tracing::error!(alarm = "kme-repeats-key", source = self.deliverer.source());
                }
                refused += 1;
                repeated += u64::from(refusal == AnswerRefusal::Repeated);
                if refusal != AnswerRefusal::Repeated {
                    last = Some(refusal);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        refused += u64::from(matches!(ended, Err(DeliveryError::Malformed { .. })));
        pairing.note(|standing| {
            standing.answers_refused += refused;
            standing.names_refused += repeated;
        })?;
        let deliverer = || delivery.name().to_owned();
        let ended = match (ended, last) {
            (Err(error), _) => Err(error.into()),
            (_, Some(refusal)) => {
                let why = refusal.to_string();
                Err(DeliveryError::Malformed { deliverer: deliverer(), why }.into())
            }
            (Ok(report), None) => match report.end {
                FetchEnd::Dry { why } => {
                    Err(DeliveryError::NotNow { deliverer: deliverer(), why, after: None }.into())
                }
                FetchEnd::Done | FetchEnd::Stopped => Ok(()),
            },
        };
        Ok((gathering.filter(|one| one.keys() > 0), ended))
    }
}
