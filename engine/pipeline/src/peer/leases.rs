//! The key that a connection may use: leases for sending, one for each grant, since no frame may
//! reach from one grant into another; and what the other end may answer with.

use std::collections::VecDeque;
use warifu_core::{Direction, KeyRange, PoolId, RangeSet, SealPad};
use warifu_keystore::{KeyError, KeyStore, Lease};
use warifu_link::hello::hello_reserve_bytes;
use warifu_link::message::FAILURE_BYTES_MAX;
use warifu_link::{GRANT_STEP_BYTES, TAILS_KEPT_SEALING, aligned_grant, key_bytes_needed};

/// Key kept back in a lease so that another one, or its end, can still be asked for.
pub(crate) const CONTROL_KEY_BYTES: u64 = 512;

/// Key kept back for the answer to such a request: that it is refused, or the longest release.
const CONTROL_ANSWER_BYTES: u64 = key_bytes_needed(FAILURE_BYTES_MAX, 0);

/// Ranges that a release names at most; its frame still fits into what is kept back.
pub const RELEASED_RUNS_MAX: usize = 16;

/// What is left of a lease that is not worth keeping.
const TAIL_BYTES: u64 = 2048;

/// Leases for sending, the oldest first.
pub struct SendKey {
    leases: VecDeque<Lease>,
}

impl SendKey {
    /// One lease.
    #[must_use]
    pub fn of(lease: Lease) -> Self {
        Self { leases: VecDeque::from([lease]) }
    }

    /// Adds the lease of one more grant. Of older ones, tails that hardly anything fits into are
    /// burned, so that no session collects them without end.
    pub fn push(&mut self, lease: Lease) {
        let old = self.leases.len().saturating_sub(TAILS_KEPT_SEALING);
        let mut at = 0;
        self.leases.retain(|lease| {
            at += 1;
            lease.left() > 0 && (at > old || lease.left() >= TAIL_BYTES)
        });
        self.leases.push_back(lease);
    }

    /// Whether a frame of `bytes` can be sealed, and a control message after it.
    #[must_use]
    pub fn covers(&self, bytes: u64) -> bool {
        let pieces = || self.leases.iter().map(Lease::left_in_one_piece);
        let Some(taken) = pieces().position(|piece| piece >= bytes) else { return false };
        pieces().enumerate().any(|(at, piece)| {
            let left = if at == taken { piece - bytes } else { piece };
            left >= CONTROL_KEY_BYTES
        })
    }

    /// Whether a frame of `bytes` can be sealed, if nothing is asked after it.
    #[must_use]
    pub fn has(&self, bytes: u64) -> bool {
        self.leases.iter().any(|lease| lease.left_in_one_piece() >= bytes)
    }

    /// Bytes not used yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.leases.iter().map(Lease::left).sum()
    }

    /// Key for one frame, from the oldest lease that has it.
    ///
    /// # Errors
    /// Where no lease has so much left in one piece.
    pub fn take(&mut self, bytes: u64) -> Result<SealPad, KeyError> {
        let fitting = self.leases.iter_mut().find(|lease| lease.left_in_one_piece() >= bytes);
        match fitting {
            Some(lease) => lease.take(bytes),
            None => Err(KeyError::LeaseEmpty { wanted: bytes, left: self.left() }),
        }
    }

    /// The peer has proved itself: marks may rise over the leases.
    ///
    /// # Errors
    /// Where the ledger can't be written.
    pub fn confirm(&mut self) -> Result<(), KeyError> {
        self.leases.iter_mut().try_for_each(Lease::confirm)
    }

    /// Durably gives up what is left of the leases that have most left, at most `leases` of them,
    /// for the peer to be told. What the others have left is burned.
    ///
    /// # Errors
    /// Where the ledger can't be written; what was not given up by then is burned.
    pub fn release(&mut self, leases: usize) -> Result<RangeSet, KeyError> {
        let mut by_rest: Vec<Lease> = self.leases.drain(..).collect();
        by_rest.sort_by_key(|lease| std::cmp::Reverse(lease.left()));
        let mut unused = RangeSet::new();
        for lease in by_rest.into_iter().take(leases) {
            lease.release()?.into_iter().for_each(|range| unused.insert(range));
        }
        Ok(unused)
    }
}

/// Grants the other end up to `bytes` at or above `floor` and below `end`, where the key ends that
/// both have, on the grants' step and short of what is kept for hellos; `None` where nothing is
/// left that a frame fits into. A piece that has `enough` will do, for frames that are no longer.
///
/// # Errors
/// Where the ledger can't be written, or this end does not witness the direction.
pub fn grant_for_lease(
    keys: &KeyStore,
    pool: PoolId,
    direction: Direction,
    (bytes, enough): (u64, u64),
    (floor, end): (u64, u64),
) -> Result<Option<KeyRange>, KeyError> {
    let within = KeyRange::between(floor, lease_limit(keys, pool, direction, end)?);
    // So that the grant can begin on a step.
    let more = GRANT_STEP_BYTES - 1;
    let sizes = (bytes.saturating_add(more), enough.saturating_add(more));
    let Some(run) = keys.free_run(pool, direction, sizes, within)? else { return Ok(None) };
    let granted = match keys.grant_between(pool, direction, run.len(), run) {
        Ok(range) => aligned_grant(range),
        // Another connection was faster.
        Err(KeyError::Empty { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(granted).filter(|granted| granted.len() >= key_bytes_needed(0, 0)))
}

/// Where leases of a direction end, of which the other end has key up to `end`.
pub(super) fn lease_limit(
    keys: &KeyStore,
    pool: PoolId,
    direction: Direction,
    end: u64,
) -> Result<u64, KeyError> {
    let status = keys.pool_status(pool)?;
    let total = status.direction(direction).map_or(0, |side| side.bytes_total).min(end);
    Ok(total - hello_reserve_bytes(total))
}

/// Grants the other end `bytes` for a hello, a multiple of the grants' step, at or above `floor`
/// and below `end`; `None` where they are not to be had. They come from a step on wherever that is
/// free, and no more than they: what lies between hellos is above the marks, and hardly ever lent.
///
/// # Errors
/// As [`grant_for_lease`].
pub fn grant_for_hello(
    keys: &KeyStore,
    pool: PoolId,
    direction: Direction,
    bytes: u64,
    (floor, end): (u64, u64),
) -> Result<Option<KeyRange>, KeyError> {
    let Some(step) = floor.checked_next_multiple_of(GRANT_STEP_BYTES) else { return Ok(None) };
    for more in [0, GRANT_STEP_BYTES - 1] {
        let within = KeyRange::between(step, end);
        let granted = match keys.grant_between(pool, direction, bytes + more, within) {
            Ok(range) => aligned_grant(range),
            Err(KeyError::Empty { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if granted.len() >= bytes {
            return Ok(Some(granted.split_at(bytes).0));
        }
    }
    Ok(None)
}

/// What the site may still answer with: its leases, and what answers on their way may take.
pub(super) struct AnswerKey {
    runs: VecDeque<KeyRange>,
    promised_bytes: u64,
}

impl AnswerKey {
    pub(super) fn of(range: KeyRange) -> Self {
        Self { runs: VecDeque::from([range]), promised_bytes: 0 }
    }

    pub(super) fn push(&mut self, range: KeyRange) {
        self.runs.push_back(range);
    }

    pub(super) fn promise(&mut self, bytes: u64) {
        self.promised_bytes += bytes;
    }

    /// Whether an answer of `bytes` more is sure to fit, wherever the site takes what it has
    /// promised already: it can't as soon as every lease has less left, and not before.
    pub(super) fn covers(&self, bytes: u64) -> bool {
        let needed = bytes + CONTROL_ANSWER_BYTES;
        // The site forgets such tails of older leases.
        let needed = match self.runs.len() > TAILS_KEPT_SEALING {
            true => needed.max(TAIL_BYTES),
            false => needed,
        };
        let sure: u64 = self.runs.iter().map(|run| run.len().saturating_sub(needed - 1)).sum();
        sure > self.promised_bytes
    }

    /// Bytes that answers on their way may take.
    pub(super) const fn promised(&self) -> u64 {
        self.promised_bytes
    }

    /// Bytes that no answer on its way may take.
    pub(super) fn left(&self) -> u64 {
        let held: u64 = self.runs.iter().map(KeyRange::len).sum();
        held.saturating_sub(self.promised_bytes)
    }

    /// An answer that was promised `promised` bytes came and used `range`.
    pub(super) fn used(&mut self, range: &KeyRange, promised: u64) {
        self.promised_bytes -= promised;
        for run in &mut self.runs {
            if run.contains(range) {
                *run = KeyRange::between(range.end(), run.end());
            }
        }
        // No answer fits into what is shorter.
        self.runs.retain(|run| run.len() >= key_bytes_needed(0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is sure to fit does, wherever the site puts what it answers, and however much less
        /// than was promised that takes.
        #[test]
        fn an_answer_that_is_covered_always_finds_room(
            lengths in prop::collection::vec(600_u64..3000, 1..12),
            asks in prop::collection::vec(
                (97_u64..1500, any::<prop::sample::Index>(), 0..4_u8),
                1..60,
            ),
        ) {
            let mut start = 0;
            let mut site: Vec<KeyRange> = Vec::new();
            for length in lengths {
                site.push(KeyRange::between(start, start + length));
                start += length + 700;
            }
            let mut known = AnswerKey::of(site[0]);
            site[1..].iter().for_each(|run| known.push(*run));
            let mut on_their_way = VecDeque::new();
            for (bytes, place, arrivals) in asks {
                if known.covers(bytes) {
                    known.promise(bytes);
                    let roomy: Vec<usize> =
                        (0..site.len()).filter(|at| site[*at].len() >= bytes).collect();
                    prop_assert!(!roomy.is_empty(), "{bytes} have no room in {site:?}");
                    let at = *place.get(&roomy);
                    let (used, rest) = site[at].split_at(bytes);
                    site[at] = rest;
                    on_their_way.push_back((used, bytes));
                }
                for _ in 0..arrivals {
                    on_their_way.pop_front().iter().for_each(|(used, bytes)| {
                        known.used(used, *bytes);
                    });
                }
            }
        }
    }
}
