//! The end that seals: accepting what the witness granted, and handing it out, each byte once.

use crate::entry::Entry;
use crate::error::KeyError;
use crate::pool::{Pool, PoolKind, Role};
use crate::record::Kind;
use crate::spent::Spent;
use crate::store::KeyStore;
use crate::witness::{USEFUL_BYTES, lowest_run};
use std::sync::Arc;
use warifu_core::{Direction, KeyRange, PoolId, RangeSet, SealPad};

/// The longest key that is handed out for one message, in bytes.
pub(crate) const PAD_BYTES_MAX: u64 = 64 << 20;

/// How the grant of a range was learned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confirmation {
    /// In a hello, which anybody may have sent. The mark stays where it is.
    Unconfirmed,
    /// In an authenticated frame.
    Authenticated,
}

/// Ranges that this process, and nobody else, may seal with.
///
/// It lives in this process only. [`Lease::release`] gives the rest back; a lease that is dropped
/// is burned.
pub struct Lease {
    /// Where it is, and what of it was handed out; shared with claims that are not read yet.
    spent: Arc<Spent>,
    accepted: RangeSet,
    left: RangeSet,
    confirmed: bool,
}

/// Key of a lease that nobody else gets any more, and that is still to be read: by another thread
/// than the lease's, where that has other things to do. One that is dropped unread is used up.
#[must_use = "dropping it uses up its key"]
pub struct Claim {
    spent: Arc<Spent>,
    /// Empty once it was read.
    range: KeyRange,
}

impl KeyStore {
    /// Durably takes a range that the witness granted.
    ///
    /// A range offered in a hello must lie above the mark and be untouched. One offered in an
    /// authenticated frame may hold positions that went into handshakes never confirmed, or were
    /// burned as a gap: they stay burned, and the lease has the rest.
    ///
    /// # Errors
    /// [`KeyError::AlreadyUsed`]; [`KeyError::GrantBurned`], after which other positions are to be
    /// asked for; [`KeyError::BeyondPool`]; [`KeyError::WrongRole`]; I/O.
    pub fn accept(
        &self,
        pool: PoolId,
        direction: Direction,
        range: KeyRange,
        confirmation: Confirmation,
    ) -> Result<Lease, KeyError> {
        let pool = self.pool(pool)?;
        let confirmed = confirmation == Confirmation::Authenticated;
        let pieces = pool.locked(|entry| take_up(&pool, entry, direction, range, confirmation))?;
        Ok(self.lease_of(pool, direction, pieces, confirmed))
    }

    /// The lowest useful run in `within` that this end knows to be free, at most `bytes` long;
    /// `None` where there is none. Of several, one that has `enough` will do, so that short pieces
    /// are used up by what fits into them. The other end may know less of it to be free, or more.
    ///
    /// # Errors
    /// [`KeyError::NoPool`]; I/O.
    pub fn free_run(
        &self,
        pool: PoolId,
        direction: Direction,
        (bytes, enough): (u64, u64),
        within: KeyRange,
    ) -> Result<Option<KeyRange>, KeyError> {
        self.pool(pool)?.locked(|entry| {
            let side = entry.side(direction);
            let within = KeyRange::between(within.start(), within.end().min(side.end));
            Ok(lowest_run(&side.free(within), bytes, enough))
        })
    }

    /// The witness was asked for the lowest run at or above the start of `passed_over` and granted
    /// none in it: what it would have granted there is burned at its end, and is now here, too.
    ///
    /// It may also have been granted in another session of this vault, to a thread or process that
    /// has not accepted it yet. So nothing is burned while this process has another session on the
    /// pool or another process lives: of a grant made before, nobody else is then about to hear.
    ///
    /// # Errors
    /// [`KeyError::WrongRole`]; I/O.
    pub fn give_up_passed_over(
        &self,
        pool: PoolId,
        direction: Direction,
        passed_over: KeyRange,
    ) -> Result<(), KeyError> {
        let is_alone = !self.has_company()?;
        let pool = self.pool(pool)?;
        pool.locked(|entry| {
            entry.expect_role(direction, Role::Holder)?;
            // Every session opens what comes the other way.
            if !is_alone || pool.desk(direction.reverse()).held.len() > 1 {
                return Ok(());
            }
            let free = entry.side(direction).free(passed_over);
            let useful = free.iter().filter(|run| run.len() >= 2 * USEFUL_BYTES);
            let useful: Vec<KeyRange> = useful.collect();
            useful.into_iter().try_for_each(|run| entry.append(Kind::Burned, direction, run))
        })
    }

    /// Takes `bytes` of the `random` pool without a witness: a vault of which an older copy is
    /// restored cannot know what it used since. They come as the lowest run that is long enough;
    /// where none is, as the longest runs there are.
    ///
    /// # Errors
    /// [`KeyError::Empty`], and nothing is taken then; [`KeyError::WrongRole`]; I/O.
    pub fn self_lease(&self, pool: PoolId, bytes: u64) -> Result<Lease, KeyError> {
        let pool = self.pool(pool)?;
        let pieces = pool.locked(|entry| take_own(&pool, entry, bytes))?;
        Ok(self.lease_of(pool, Direction::AToB, pieces, true))
    }

    fn lease_of(
        &self,
        pool: Arc<Pool>,
        direction: Direction,
        pieces: RangeSet,
        confirmed: bool,
    ) -> Lease {
        Lease {
            spent: Arc::new(Spent::new(self.inner.clone(), pool, direction)),
            accepted: pieces.clone(),
            left: pieces,
            confirmed,
        }
    }
}

/// Durably takes `bytes` of a random pool, in as few pieces as can be, or nothing.
fn take_own(pool: &Pool, entry: &mut Entry<'_>, bytes: u64) -> Result<RangeSet, KeyError> {
    let direction = Direction::AToB;
    if pool.kind != PoolKind::Random {
        let needed = "holder of a random pool";
        return Err(KeyError::WrongRole { pool: pool.id, direction, needed });
    }
    let side = entry.side(direction);
    let free = side.free(KeyRange::between(0, side.end));
    let empty = KeyError::Empty { pool: pool.id, direction, left: free.len() };
    let mut pieces = RangeSet::new();
    for run in enough_runs(&free, bytes.max(1)).ok_or(empty)? {
        let confirmed = Confirmation::Authenticated;
        let taken = take_up(pool, entry, direction, run, confirmed)?;
        taken.iter().for_each(|piece| pieces.insert(piece));
    }
    Ok(pieces)
}

/// The lowest run of `free` that holds `bytes`, or the longest ones that do together.
fn enough_runs(free: &RangeSet, bytes: u64) -> Option<Vec<KeyRange>> {
    if let Some(run) = free.iter().find(|run| run.len() >= bytes) {
        return Some(vec![run.split_at(bytes).0]);
    }
    let mut runs: Vec<KeyRange> = free.iter().collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    let (mut found, mut missing) = (Vec::new(), bytes);
    for run in runs {
        let piece = run.split_at(run.len().min(missing)).0;
        missing -= piece.len();
        found.push(piece);
        if missing == 0 {
            return Some(found);
        }
    }
    None
}

/// Durably accepts what of `range` may be accepted, or says why nothing is.
fn take_up(
    pool: &Pool,
    entry: &mut Entry<'_>,
    direction: Direction,
    range: KeyRange,
    confirmation: Confirmation,
) -> Result<RangeSet, KeyError> {
    entry.expect_role(direction, Role::Holder)?;
    if range.is_empty() {
        return Err(KeyError::BadSize { bytes: 0, max: u64::MAX });
    }
    entry.expect_within(direction, range.end())?;
    entry.opened()?;
    let side = entry.side(direction);
    let pieces = side.free(range);
    let refused = match confirmation {
        Confirmation::Unconfirmed => pieces.len() != range.len() || range.start() < side.mark,
        Confirmation::Authenticated => side.has_taken(range),
    };
    if refused {
        return Err(KeyError::AlreadyUsed { pool: pool.id, direction, range, confirmation });
    }
    if pieces.is_empty() {
        return Err(KeyError::GrantBurned { pool: pool.id, direction, range });
    }
    if confirmation == Confirmation::Authenticated && range.end() > side.mark {
        entry.append(Kind::Confirmed, direction, range)?;
    }
    pieces.iter().try_for_each(|piece| entry.append(Kind::Accepted, direction, piece))?;
    Ok(pieces)
}

impl Lease {
    /// The pool.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        self.spent.pool().id
    }

    /// The direction in it.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.spent.direction()
    }

    /// Bytes not handed out, in all pieces together.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.len()
    }

    /// The longest piece not handed out: the most that [`Lease::take`] can give at once.
    #[must_use]
    pub fn left_in_one_piece(&self) -> u64 {
        self.left.iter().map(|piece| piece.len()).max().unwrap_or(0)
    }

    /// The pieces not handed out.
    #[must_use]
    pub const fn left_ranges(&self) -> &RangeSet {
        &self.left
    }

    /// The next `bytes` bytes in one piece, for one message. The first piece that is long enough
    /// gives them; shorter ones wait for shorter messages.
    ///
    /// # Errors
    /// As [`Lease::claim`]; [`KeyError::KeyErased`]; I/O. After the last two the range stays used
    /// all the same.
    pub fn take(&mut self, bytes: u64) -> Result<SealPad, KeyError> {
        self.claim(bytes)?.read()
    }

    /// As [`Lease::take`], but the key is read later, where the lease need not be at hand.
    ///
    /// # Errors
    /// [`KeyError::LeaseEmpty`]; [`KeyError::BadSize`] for none, or for more than a message takes.
    pub fn claim(&mut self, bytes: u64) -> Result<Claim, KeyError> {
        if bytes == 0 || bytes > PAD_BYTES_MAX {
            return Err(KeyError::BadSize { bytes, max: PAD_BYTES_MAX });
        }
        let Some(piece) = self.left.iter().find(|piece| piece.len() >= bytes) else {
            return Err(KeyError::LeaseEmpty { wanted: bytes, left: self.left_in_one_piece() });
        };
        let (range, _) = piece.split_at(bytes);
        self.left.remove(range);
        Ok(Claim { spent: self.spent.clone(), range })
    }

    /// Durably takes one more range that the witness granted, as [`KeyStore::accept`] does and with
    /// this lease's confirmation.
    ///
    /// # Errors
    /// As [`KeyStore::accept`].
    pub fn extend(&mut self, range: KeyRange) -> Result<(), KeyError> {
        let confirmation = match self.confirmed {
            true => Confirmation::Authenticated,
            false => Confirmation::Unconfirmed,
        };
        let (pool, direction) = (self.spent.pool(), self.direction());
        let pieces = pool.locked(|entry| take_up(pool, entry, direction, range, confirmation))?;
        for piece in pieces.iter() {
            self.accepted.insert(piece);
            self.left.insert(piece);
        }
        Ok(())
    }

    /// Durably takes `bytes` more of the `random` pool without a witness, as
    /// [`KeyStore::self_lease`] does.
    ///
    /// # Errors
    /// As [`KeyStore::self_lease`].
    pub fn extend_own(&mut self, bytes: u64) -> Result<(), KeyError> {
        let pool = self.spent.pool();
        let pieces = pool.locked(|entry| take_own(pool, entry, bytes))?;
        for piece in pieces.iter() {
            self.accepted.insert(piece);
            self.left.insert(piece);
        }
        Ok(())
    }

    /// Keeps the first piece only, where the grant had holes: what comes after a hole can't be used
    /// by who must use a grant without gaps. The rest is burned.
    pub fn keep_first_piece(&mut self) {
        let rest: RangeSet = self.left.iter().skip(1).collect();
        rest.iter().for_each(|range| self.left.remove(range));
        // What fails here is burned when the store is closed, or opened again.
        let _burned = self.spent.pool().abandon(self.direction(), &rest);
    }

    /// Raises the mark over this lease, once the peer has proved itself in the session in which it
    /// granted it. What the peer's hello said goes to [`KeyStore::confirm`].
    ///
    /// # Errors
    /// I/O.
    pub fn confirm(&mut self) -> Result<(), KeyError> {
        if self.confirmed {
            return Ok(());
        }
        let (direction, accepted) = (self.direction(), &self.accepted);
        self.spent.pool().locked(|entry| {
            accepted.iter().try_for_each(|range| entry.append(Kind::Confirmed, direction, range))
        })?;
        self.confirmed = true;
        Ok(())
    }

    /// Durably records that the rest was not used, and returns it, for the peer to be told. A lease
    /// that was never confirmed gives nothing back.
    ///
    /// # Errors
    /// I/O. What is not returned is never used.
    pub fn release(mut self) -> Result<Vec<KeyRange>, KeyError> {
        if !self.confirmed {
            return Ok(Vec::new());
        }
        let rest = std::mem::take(&mut self.left);
        let direction = self.direction();
        self.spent.pool().locked(|entry| {
            rest.iter().try_for_each(|range| entry.append(Kind::Released, direction, range))
        })?;
        Ok(rest.iter().collect())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What fails here is burned and erased when the store is closed, or opened again.
        let _burned = self.spent.pool().abandon(self.direction(), &self.left);
    }
}

impl Claim {
    /// The positions.
    #[must_use]
    pub const fn range(&self) -> KeyRange {
        self.range
    }

    /// The key, for one message.
    ///
    /// # Errors
    /// [`KeyError::KeyErased`]; I/O. The range stays used all the same.
    pub fn read(mut self) -> Result<SealPad, KeyError> {
        let range = std::mem::replace(&mut self.range, KeyRange::between(0, 0));
        let (class, key) = self.spent.take(range)?;
        Ok(SealPad::from_burned(range, class, key))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.range.is_empty() {
            self.spent.add(self.range, &[self.range].into_iter().collect());
        }
    }
}
