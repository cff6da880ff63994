//! Getting fresh key from a deliverer, segment by segment, and keeping it, while the one before is
//! paired.

use crate::failure::Failure;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Instant;
use warifu_core::Direction;
use warifu_keystore::fetch::{FetchEnd, FetchManner, Fetcher, SystemPacing};
use warifu_keystore::{
    AnswerRefusal, DELIVERED_KEYS_MAX, DELIVERED_SEGMENT_BYTES_MAX, Deliverer, DeliveryError,
    Gathering, KeptSegment, KeyStore, Pairing, PendingSegment, Repeats,
};

/// What a first segment has at most, in bytes: how fast the deliverer is shows with it.
const FIRST_BYTES: u64 = 1 << 20;

/// A segment is as long as the deliverer takes so many seconds for, but no shorter than this.
const SEGMENT_S: u64 = 20;
const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// Of the keys that may wait at a deliverer for the other end, a segment has such a part.
const WAITING_PART: u64 = 4;

/// Segments are halved so often, at most, where the site can't get them whole.
const HALVINGS_MAX: u32 = 12;

/// How much shorter segments are than they might be: what a site's KME does not keep long enough
/// it may keep in smaller portions.
#[derive(Default)]
pub(super) struct Shortening(AtomicU32);

impl Shortening {
    /// A segment was lost.
    pub(super) fn lost(&self) {
        self.0.store((self.halvings() + 1).min(HALVINGS_MAX), Relaxed);
    }

    /// A segment was added.
    pub(super) fn added(&self) {
        self.0.store(self.halvings().saturating_sub(1), Relaxed);
    }

    fn halvings(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// Gathers until it has handed on what is wanted.
pub(super) struct Gatherer<'a> {
    pub(super) keys: &'a KeyStore,
    pub(super) pairing: &'a Pairing,
    pub(super) deliverer: &'a Deliverer,
    pub(super) manner: FetchManner,
    pub(super) wanted_bytes: u64,
    pub(super) shortening: &'a Shortening,
    pub(super) stop: &'a AtomicBool,
}

impl Gatherer<'_> {
    /// Hands on one kept segment after the other, until all is there, it is asked to stop, or
    /// nobody takes them: that one stays pending. Answers which broke the protocol are thrown away,
    /// and noted.
    pub(super) fn run(self, kept: &mpsc::SyncSender<KeptSegment>) -> Result<(), Failure> {
        let most = self.segment_bytes_max()?;
        let status = self.keys.pool_status(self.pairing.pool_id())?;
        let left = |direction| status.direction(direction).map_or(0, |side| side.bytes_left);
        let mut left = [Direction::AToB, Direction::BToA].map(|way| (left(way), way));
        let mut step = FIRST_BYTES.min(most);
        let mut done = 0;
        while done < self.wanted_bytes && !self.stop.load(Relaxed) {
            let started = Instant::now();
            let wanted = step.min(self.wanted_bytes - done);
            let (gathered, ended) = self.gather(wanted)?;
            let Some(gathered) = gathered else { return ended };
            let bytes = gathered.bytes();
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            let rate = bytes.saturating_mul(1000) / ms;
            let least = SEGMENT_BYTES_MIN.min(most);
            let most = (most >> self.shortening.halvings()).max(least);
            step = rate.saturating_mul(SEGMENT_S).clamp(least, most);
            // The direction that has less, what is on its way included.
            left.sort_by_key(|(bytes, _)| *bytes);
            let (left_bytes, way) = &mut left[0];
            let origin = (self.deliverer.class, self.deliverer.source());
            let segment = self.pairing.keep(gathered, *way, origin, Repeats::LeaveOut)?;
            let kept_bytes = segment.pending.as_ref().map_or(0, PendingSegment::bytes);
            *left_bytes = left_bytes.saturating_add(kept_bytes);
            done += bytes;
            if kept.send(segment).is_err() {
                break;
            }
            ended?;
        }
        Ok(())
    }

    /// As many keys as one offer can name, and as wait at the deliverer until the site has asked
    /// for them: those of one segment while the next two are gathered.
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
    fn gather(&self, bytes: u64) -> Result<(Option<Gathering>, Result<(), Failure>), Failure> {
        let segment = self.pairing.draw_segment()?;
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
        self.pairing.note(|standing| {
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
