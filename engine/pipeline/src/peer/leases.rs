//! The key that a connection may use: leases for sending, one for each grant, since no frame may
//! reach from one grant into another; and what the other end may answer with.

use std::collections::VecDeque;
use warifu_core::{Direction, KeyRange, PoolId, RangeSet, SealPad};
use warifu_keystore::{KeyError, KeyStore, Lease};
use warifu_link::hello::hello_reserve_bytes;
use warifu_link::{GRANT_STEP_BYTES, TAILS_KEPT_SEALING, aligned_grant, key_bytes_needed};

/// Key kept back in a lease so that another one, or its end, can still be asked for.
pub(crate) const CONTROL_KEY_BYTES: u64 = 512;

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
/// left that a frame fits into.
///
/// # Errors
/// Where the ledger can't be written, or this end does not witness the direction.
pub fn grant_for_lease(
    keys: &KeyStore,
    pool: PoolId,
    direction: Direction,
    bytes: u64,
    (floor, end): (u64, u64),
) -> Result<Option<KeyRange>, KeyError> {
    let status = keys.pool_status(pool)?;
    let total = status.direction(direction).map_or(0, |side| side.bytes_total).min(end);
    let limit = total - hello_reserve_bytes(total);
    grant_below(keys, pool, direction, bytes, (floor, limit))
}

/// Grants the other end up to `bytes` at or above `floor` and below `limit`, on the grants' step.
///
/// # Errors
/// As [`grant_for_lease`].
pub(super) fn grant_below(
    keys: &KeyStore,
    pool: PoolId,
    direction: Direction,
    bytes: u64,
    (floor, limit): (u64, u64),
) -> Result<Option<KeyRange>, KeyError> {
    let bytes = bytes.saturating_add(GRANT_STEP_BYTES - 1);
    let within = KeyRange::between(floor, limit);
    let granted = match keys.grant_between(pool, direction, bytes, within) {
        Ok(range) => aligned_grant(range),
        Err(KeyError::Empty { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(granted).filter(|granted| granted.len() >= key_bytes_needed(0, 0)))
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

    /// Whether an answer of `bytes` more is sure to fit, whatever the site leaves unused at the
    /// ends of its leases.
    pub(super) fn covers(&self, bytes: u64) -> bool {
        let held: u64 = self.runs.iter().map(KeyRange::len).sum();
        let skipped = self.runs.len().saturating_sub(1) as u64 * bytes;
        held >= self.promised_bytes + bytes + skipped + CONTROL_KEY_BYTES
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
        while self.runs.len() > 2 && self.runs.front().is_some_and(|run| run.len() < (2 << 20)) {
            self.runs.pop_front();
        }
    }
}
