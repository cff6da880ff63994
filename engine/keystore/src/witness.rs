//! The end that opens: granting each position once, and opening what came sealed with it.

use crate::entry::Entry;
use crate::error::KeyError;
use crate::holder::PAD_BYTES_MAX;
use crate::pool::{DIRECTIONS, Pool, PoolKind, Role};
use crate::record::Kind;
use crate::spent::Spent;
use crate::store::KeyStore;
use warifu_core::{Direction, KeyRange, OpenPad, PoolId, RangeSet};

/// A piece this long is worth granting although more was asked for, in bytes: every message fits,
/// with what asking for more takes. Shorter pieces wait until nothing longer is left.
pub(crate) const USEFUL_BYTES: u64 = (1 << 20) + (8 << 10);

/// The lowest run of `free` that holds `bytes`, or at least a useful part of them, which is never
/// more than `enough`; where there is none, the longest run, cut to `bytes`.
pub(crate) fn lowest_run(free: &RangeSet, bytes: u64, enough: u64) -> Option<KeyRange> {
    let useful = bytes.min(enough).clamp(1, USEFUL_BYTES);
    let run = free
        .iter()
        .find(|run| run.len() >= useful)
        .or_else(|| free.iter().rev().max_by_key(|run| run.len()))?;
    Some(run.split_at(run.len().min(bytes.max(1))).0)
}

impl KeyStore {
    /// The mark to be told in a hello: one past the highest position that is known by an
    /// authenticated exchange to be taken. Where this end is the holder, what it sealed with in
    /// handshakes never confirmed counts too, as long as it lies at most 4096 bytes above.
    ///
    /// # Errors
    /// [`KeyError::NoPool`]; I/O.
    pub fn mark(&self, pool: PoolId, direction: Direction) -> Result<u64, KeyError> {
        self.pool(pool)?.locked(|entry| Ok(entry.side(direction).mark_told()))
    }

    /// Durably grants the peer a run of at most `bytes` bytes at or above `at_least` that was never
    /// granted or burned, or was given back.
    ///
    /// # Errors
    /// [`KeyError::Empty`]; [`KeyError::WrongRole`]; I/O.
    pub fn grant(
        &self,
        pool: PoolId,
        direction: Direction,
        bytes: u64,
        at_least: u64,
    ) -> Result<KeyRange, KeyError> {
        self.grant_between(pool, direction, bytes, KeyRange::between(at_least, u64::MAX))
    }

    /// As [`KeyStore::grant`], of nothing outside of `within`.
    ///
    /// # Errors
    /// As [`KeyStore::grant`].
    pub fn grant_between(
        &self,
        pool: PoolId,
        direction: Direction,
        bytes: u64,
        within: KeyRange,
    ) -> Result<KeyRange, KeyError> {
        let pool = self.pool(pool)?;
        pool.locked(|entry| {
            if pool.kind == PoolKind::Witness {
                let needed = "witness with key";
                return Err(KeyError::WrongRole { pool: pool.id, direction, needed });
            }
            let end = entry.side(direction).end.min(within.end());
            let within = KeyRange::between(within.start(), end);
            grant_below(&pool, entry, direction, bytes, within)
        })
    }

    /// Durably grants positions of the peer's random pool, which ends at `end`, as an authenticated
    /// peer asked; `at_least` is its own mark. Should the peer forget that mark one day, this end
    /// does not: what it never granted below is burned.
    ///
    /// # Errors
    /// As [`KeyStore::grant`].
    pub fn grant_within(
        &self,
        pool: PoolId,
        bytes: u64,
        at_least: u64,
        end: u64,
    ) -> Result<KeyRange, KeyError> {
        let pool = self.pool(pool)?;
        let direction = Direction::AToB;
        pool.locked(|entry| {
            if pool.kind != PoolKind::Witness {
                let needed = "witness of a random pool";
                return Err(KeyError::WrongRole { pool: pool.id, direction, needed });
            }
            take_over_mark(entry, direction, at_least)?;
            grant_below(&pool, entry, direction, bytes, KeyRange::between(at_least, end))
        })
    }

    /// After an authenticated exchange: takes over the peer's mark. Positions between the own mark
    /// and the peer's that this ledger does not know as taken are burned, and with them what was
    /// given back below. Costs nothing where the mark is known already. Comes before anything is
    /// granted or accepted in the session, the hello's own grant aside.
    ///
    /// Pass what the *hellos* said, not the end of a grant: [`crate::Lease::confirm`] and
    /// [`GrantedKey::confirm`] see to that.
    ///
    /// # Errors
    /// [`KeyError::BeyondPool`]; I/O.
    pub fn confirm(&self, pool: PoolId, direction: Direction, mark: u64) -> Result<(), KeyError> {
        let pool = self.pool(pool)?;
        let gap = pool.locked(|entry| take_over_mark(entry, direction, mark))?;
        // What cannot be erased now is erased at the next opening.
        let _erased = pool.erase(direction, &gap, &gap);
        Ok(())
    }

    /// Durably takes back what the peer did not use of grants of this process; it may be granted
    /// again. Comes before the session's [`GrantedKey`] is dropped.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`] and [`KeyError::OpenedBefore`], before anything is taken back; I/O.
    pub fn regain(
        &self,
        pool: PoolId,
        direction: Direction,
        ranges: &[KeyRange],
    ) -> Result<(), KeyError> {
        let pool = self.pool(pool)?;
        pool.locked(|entry| {
            entry.expect_role(direction, Role::Witness)?;
            let mut rest = entry.side(direction).held_by(pool.incarnation);
            let mut desk = pool.desk(direction);
            for &range in ranges {
                if range.is_empty() || !rest.contains(&range) {
                    return Err(KeyError::NotGranted { pool: pool.id, direction, range });
                }
                if desk.opened.intersects(&range) {
                    return Err(KeyError::OpenedBefore { pool: pool.id, range });
                }
                rest.remove(range);
            }
            for range in ranges {
                desk.held.values_mut().for_each(|held| held.remove(*range));
                entry.append(Kind::Released, direction, *range)?;
            }
            Ok(())
        })
    }

    /// What a session needs to open frames sealed with `range`, which this process granted.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`] where this process did not grant it, or another session has it;
    /// [`KeyError::WrongRole`]; I/O.
    pub fn granted(
        &self,
        pool: PoolId,
        direction: Direction,
        range: KeyRange,
    ) -> Result<GrantedKey, KeyError> {
        let pool = self.pool(pool)?;
        let seat = {
            let mut desk = pool.desk(direction);
            desk.last += 1;
            let seat = desk.last;
            desk.held.insert(seat, RangeSet::new());
            seat
        };
        let mut granted = GrantedKey {
            spent: Spent::new(self.inner.clone(), pool, direction),
            seat,
            unmarked: RangeSet::new(),
            is_confirmed: false,
        };
        granted.extend(range)?;
        Ok(granted)
    }
}

/// Raises the mark to the peer's and burns what lies between and is not known as taken. Where there
/// is such a gap, this ledger may be an older copy: every session begins with a grant above both
/// marks, so whatever an older copy has missed shows here. Then what was given back below the marks
/// may have been lent again, and is burned too.
fn take_over_mark(
    entry: &mut Entry<'_>,
    direction: Direction,
    mark: u64,
) -> Result<RangeSet, KeyError> {
    entry.expect_within(direction, mark)?;
    let side = entry.side(direction);
    if mark <= side.mark {
        return Ok(RangeSet::new());
    }
    let gap = side.free(KeyRange::between(side.mark, mark));
    entry.opened()?;
    if !gap.is_empty() {
        DIRECTIONS.iter().try_for_each(|direction| entry.burn_windows(*direction))?;
    }
    gap.iter().try_for_each(|range| entry.append(Kind::Burned, direction, range))?;
    entry.append(Kind::Confirmed, direction, KeyRange::between(mark, mark))?;
    Ok(gap)
}

fn grant_below(
    pool: &Pool,
    entry: &mut Entry<'_>,
    direction: Direction,
    bytes: u64,
    within: KeyRange,
) -> Result<KeyRange, KeyError> {
    entry.expect_role(direction, Role::Witness)?;
    entry.opened()?;
    let free = entry.side(direction).free(within);
    let empty = KeyError::Empty { pool: pool.id, direction, left: free.len() };
    let run = lowest_run(&free, bytes, USEFUL_BYTES).ok_or(empty)?;
    entry.append(Kind::Granted, direction, run)?;
    Ok(run)
}

/// The grants of one session, for opening what comes sealed with them.
///
/// What was opened is overwritten at once, and durably so in batches and at the end; grants that
/// were not taken back by then are burned.
pub struct GrantedKey {
    /// Where they are, and what of them was opened.
    spent: Spent,
    seat: u64,
    /// Grants of a session that is not confirmed yet.
    unmarked: RangeSet,
    is_confirmed: bool,
}

impl GrantedKey {
    /// Adds a range that this process granted to the same session. In a confirmed session the
    /// mark rises over it at once, before the peer can learn of it: so this end's mark is never
    /// below the peer's, unless this end was rolled back.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`]; [`KeyError::WrongRole`]; I/O.
    pub fn extend(&mut self, range: KeyRange) -> Result<(), KeyError> {
        let (pool, direction) = (self.spent.pool(), self.spent.direction());
        pool.locked(|entry| {
            entry.expect_role(direction, Role::Witness)?;
            let mut desk = pool.desk(direction);
            let own = entry.side(direction).held_by(pool.incarnation).contains(&range);
            let lent = desk.held.values().any(|held| held.intersects(&range));
            if range.is_empty() || !own || lent || desk.opened.intersects(&range) {
                return Err(KeyError::NotGranted { pool: pool.id, direction, range });
            }
            desk.held.entry(self.seat).or_default().insert(range);
            Ok(())
        })?;
        if self.is_confirmed {
            return self.raise_mark(range);
        }
        self.unmarked.insert(range);
        Ok(())
    }

    /// The key of a frame that came. Each position is opened once; whether the frame is genuine
    /// shows afterwards, and a session ends with the first that is not.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`]; [`KeyError::OpenedBefore`]; [`KeyError::KeyErased`]; I/O.
    pub fn open(&mut self, range: KeyRange) -> Result<OpenPad, KeyError> {
        if range.is_empty() || range.len() > PAD_BYTES_MAX {
            return Err(KeyError::BadSize { bytes: range.len(), max: PAD_BYTES_MAX });
        }
        let (pool, direction) = (self.spent.pool(), self.spent.direction());
        {
            let mut desk = pool.desk(direction);
            if desk.opened.intersects(&range) {
                return Err(KeyError::OpenedBefore { pool: pool.id, range });
            }
            let held = desk.held.entry(self.seat).or_default();
            if !held.contains(&range) {
                return Err(KeyError::NotGranted { pool: pool.id, direction, range });
            }
            held.remove(range);
            desk.opened.insert(range);
        }
        let (class, key) = self.spent.take(range)?;
        Ok(OpenPad::from_burned(range, class, key))
    }

    /// Raises the mark over this session's grants, once a frame that echoes the hellos was opened
    /// and is genuine. Grants that are added later raise it at once: should the peer forget them,
    /// it learns of them with the next hello.
    ///
    /// # Errors
    /// I/O.
    pub fn confirm(&mut self) -> Result<(), KeyError> {
        self.is_confirmed = true;
        let unmarked = std::mem::take(&mut self.unmarked);
        unmarked.iter().try_for_each(|range| self.raise_mark(range))
    }

    fn raise_mark(&self, range: KeyRange) -> Result<(), KeyError> {
        let direction = self.spent.direction();
        self.spent.pool().locked(|entry| {
            if range.end() > entry.side(direction).mark {
                entry.append(Kind::Confirmed, direction, range)?;
            }
            Ok(())
        })
    }
}

impl Drop for GrantedKey {
    fn drop(&mut self) {
        let (pool, direction) = (self.spent.pool(), self.spent.direction());
        let rest = pool.desk(direction).held.remove(&self.seat).unwrap_or_default();
        // What fails here is burned and erased when the store is closed, or opened again.
        let _burned = pool.abandon(direction, &rest);
    }
}
