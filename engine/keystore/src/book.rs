//! What the records of a ledger add up to. No I/O: records in, sets of positions out.
//!
//! Every record is checked against all before it, when it is written and when it is read again:
//! a ledger in which a position was granted or accepted twice does not load.

use crate::pool::{PoolKind, Role};
use crate::record::{Kind, Record};
use std::collections::BTreeMap;
use warifu_core::id::Incarnation;
use warifu_core::{Direction, End, KeyRange, RangeSet, SegmentId};

/// How far above the mark an unconfirmed handshake counts, in bytes: eight hellos' grants.
const ISLAND_REACH_BYTES: u64 = 4096;

/// One direction of a pool.
#[derive(Default)]
pub(crate) struct Side {
    /// Segments in order; together they fill `[0, end)`.
    pub(crate) segments: Vec<(KeyRange, SegmentId)>,
    /// One past the last position that a segment fills.
    pub(crate) end: u64,
    /// Granted (by the witness) or accepted (by the holder) and not given back.
    pub(crate) taken: RangeSet,
    /// Burned: gaps, and what dead or failed leases had left.
    pub(crate) burned: RangeSet,
    /// `taken` and `burned` together: never granted or accepted again.
    pub(crate) used: RangeSet,
    /// Accepted above the mark in a handshake that was not confirmed. Part of `taken`.
    pub(crate) islands: RangeSet,
    /// Overwritten.
    pub(crate) zeroised: RangeSet,
    /// One past the highest position known by an authenticated exchange to be taken.
    pub(crate) mark: u64,
    /// What each incarnation took and has neither given back, burned nor zeroised.
    pub(crate) outstanding: BTreeMap<Incarnation, RangeSet>,
}

impl Side {
    /// The positions of `within` that were never taken, or were given back.
    pub(crate) fn free(&self, within: KeyRange) -> RangeSet {
        self.used.gaps(within)
    }

    /// Whether any position of `range` was taken other than in a handshake never confirmed.
    pub(crate) fn has_taken(&self, range: KeyRange) -> bool {
        let mut taken = self.taken.gaps(range).gaps(range);
        self.islands.iter().for_each(|island| taken.remove(island));
        !taken.is_empty()
    }

    /// The mark to be told in a hello: the confirmed one, and above it what this end itself sealed
    /// with in handshakes never confirmed, as long as it lies near. The witness may have forgotten
    /// those, and this end may forget them next. Far ones are not counted: a forged hello may
    /// name any position, and so wastes little.
    pub(crate) fn mark_told(&self) -> u64 {
        self.islands.iter().fold(self.mark, |mark, island| {
            match island.start() <= mark.saturating_add(ISLAND_REACH_BYTES) {
                true => mark.max(island.end()),
                false => mark,
            }
        })
    }

    /// What `incarnation` took and still has.
    pub(crate) fn held_by(&self, incarnation: Incarnation) -> RangeSet {
        self.outstanding.get(&incarnation).cloned().unwrap_or_default()
    }

    fn take(&mut self, record: &Record) {
        self.taken.insert(record.range());
        self.used.insert(record.range());
        self.outstanding.entry(record.incarnation).or_default().insert(record.range());
    }

    fn forget(&mut self, range: KeyRange, incarnation: Option<Incarnation>) {
        for (owner, held) in &mut self.outstanding {
            if incarnation.is_none_or(|named| named == *owner) {
                held.remove(range);
            }
        }
        self.outstanding.retain(|_, held| !held.is_empty());
    }
}

/// A ledger's sum.
#[derive(Default)]
pub(crate) struct Book {
    kind: Option<PoolKind>,
    sides: [Side; 2],
    /// Records so far: the next one's sequence.
    pub(crate) records: u64,
    /// The last opening.
    pub(crate) epoch: u64,
    /// Every opening of the peer that was seen.
    pub(crate) peers: BTreeMap<u64, Incarnation>,
}

impl Book {
    /// The pool's kind, once its first record is read.
    pub(crate) const fn kind(&self) -> Option<PoolKind> {
        self.kind
    }

    pub(crate) const fn side(&self, direction: Direction) -> &Side {
        &self.sides[direction.to_byte() as usize]
    }

    const fn side_mut(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[direction.to_byte() as usize]
    }

    /// Whether `record` may follow what is here; the reason where it may not.
    pub(crate) fn admits(&self, record: &Record) -> Result<(), &'static str> {
        if record.sequence != self.records {
            return Err("a gap in the sequence");
        }
        let Some(kind) = self.kind else {
            return match (record.kind, kind_of(record)) {
                (Kind::Created, Some(_)) => Ok(()),
                _ => Err("the first record does not create the pool"),
            };
        };
        let side = self.side(record.direction);
        let role = kind.role(record.direction);
        let range = record.range();
        let ranged = !matches!(record.kind, Kind::PeerSeen | Kind::Opened | Kind::Confirmed);
        if ranged && record.start >= record.end {
            return Err("an empty range");
        }
        let within = kind == PoolKind::Witness || record.end <= side.end;
        let mine =
            || side.outstanding.get(&record.incarnation).is_some_and(|held| held.contains(&range));
        let admitted = match record.kind {
            Kind::Created => false,
            Kind::SegmentAdded => {
                role.is_some() && kind != PoolKind::Witness && record.start == side.end
            }
            Kind::Granted => role == Some(Role::Witness) && within && !side.used.intersects(&range),
            Kind::Accepted => role == Some(Role::Holder) && within && !side.used.intersects(&range),
            Kind::Released => mine() && !side.burned.intersects(&range),
            Kind::Burned => within && (mine() || !side.used.intersects(&range)),
            Kind::Confirmed => record.start <= record.end && within,
            Kind::Zeroised => side.used.contains(&range),
            Kind::PeerSeen => !self.peers.contains_key(&record.epoch),
            Kind::Opened => record.epoch > self.epoch,
        };
        if admitted { Ok(()) } else { Err("it contradicts the records before it") }
    }

    /// Adds a record.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), &'static str> {
        self.admits(record)?;
        let range = record.range();
        let side = self.side_mut(record.direction);
        match record.kind {
            Kind::Created => self.kind = kind_of(record),
            Kind::SegmentAdded => {
                let segment = SegmentId::from_bytes(*record.incarnation.bytes());
                side.segments.push((range, segment));
                side.end = record.end;
            }
            Kind::Granted => side.take(record),
            Kind::Accepted => {
                side.take(record);
                if record.end > side.mark {
                    side.islands.insert(range);
                }
            }
            Kind::Released => {
                side.taken.remove(range);
                side.used.remove(range);
                side.forget(range, Some(record.incarnation));
            }
            Kind::Burned => {
                side.burned.insert(range);
                side.used.insert(range);
                side.forget(range, Some(record.incarnation));
            }
            Kind::Confirmed => {
                side.mark = side.mark.max(record.end);
                side.islands.remove(range);
            }
            Kind::Zeroised => {
                side.zeroised.insert(range);
                side.forget(range, None);
            }
            Kind::PeerSeen => {
                self.peers.insert(record.epoch, record.incarnation);
            }
            Kind::Opened => self.epoch = record.epoch,
        }
        self.records += 1;
        Ok(())
    }
}

/// The pool's kind as a `created` record tells it.
fn kind_of(record: &Record) -> Option<PoolKind> {
    match (record.start, record.end) {
        (0, 0) => Some(PoolKind::Link(End::A)),
        (0, 1) => Some(PoolKind::Link(End::B)),
        (1, 0) => Some(PoolKind::Random),
        (2, 1) => Some(PoolKind::Witness),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(book: &Book, kind: Kind, start: u64, end: u64, writer: u8) -> Record {
        Record {
            kind,
            direction: Direction::AToB,
            sequence: book.records,
            start,
            end,
            incarnation: Incarnation::from_bytes([writer; 16]),
            epoch: 0,
        }
    }

    fn add(book: &mut Book, kind: Kind, start: u64, end: u64, writer: u8) -> bool {
        let record = record(book, kind, start, end, writer);
        book.apply(&record).is_ok()
    }

    #[test]
    fn a_holder_takes_every_position_once() {
        let mut book = Book::default();
        assert!(!add(&mut book, Kind::Accepted, 0, 1, 1), "nothing precedes the first record");
        assert!(add(&mut book, Kind::Created, 0, 0, 1));
        assert!(!add(&mut book, Kind::Created, 0, 0, 1));
        assert!(add(&mut book, Kind::SegmentAdded, 0, 100, 9));
        assert!(!add(&mut book, Kind::SegmentAdded, 50, 150, 9));
        assert!(!add(&mut book, Kind::SegmentAdded, 101, 150, 9));
        assert!(!add(&mut book, Kind::Granted, 0, 10, 1), "the holder grants nothing");
        assert!(!add(&mut book, Kind::Accepted, 90, 101, 1), "beyond the segments");
        assert!(!add(&mut book, Kind::Accepted, 5, 5, 1));
        assert!(add(&mut book, Kind::Accepted, 10, 50, 1));
        assert!(!add(&mut book, Kind::Accepted, 49, 60, 2));
        assert!(!add(&mut book, Kind::Released, 20, 30, 2), "another's lease");
        assert!(add(&mut book, Kind::Released, 20, 30, 1));
        assert!(!add(&mut book, Kind::Released, 20, 30, 1));
        assert!(add(&mut book, Kind::Accepted, 20, 30, 2));
        assert!(add(&mut book, Kind::Zeroised, 10, 20, 2));
        assert!(!add(&mut book, Kind::Released, 10, 20, 1), "zeroised key never comes back");
        assert!(add(&mut book, Kind::Burned, 30, 50, 1), "a dead lease");
        assert!(!add(&mut book, Kind::Burned, 30, 50, 1));
        assert!(!add(&mut book, Kind::Released, 30, 50, 1));
        assert!(add(&mut book, Kind::Burned, 0, 10, 1), "a gap");
        assert!(!add(&mut book, Kind::Accepted, 0, 10, 1));
        let side = book.side(Direction::AToB);
        assert_eq!(
            side.free(KeyRange::between(0, 100)).iter().collect::<Vec<_>>(),
            [KeyRange::between(50, 100)]
        );
        assert_eq!(side.outstanding.len(), 1);
    }

    #[test]
    fn islands_end_with_their_own_confirmation() {
        let mut book = Book::default();
        assert!(add(&mut book, Kind::Created, 0, 0, 1));
        assert!(add(&mut book, Kind::SegmentAdded, 0, 100, 9));
        assert!(add(&mut book, Kind::Accepted, 10, 20, 1));
        assert!(add(&mut book, Kind::Accepted, 30, 40, 1));
        assert_eq!(book.side(Direction::AToB).mark, 0);
        assert!(add(&mut book, Kind::Confirmed, 30, 40, 1));
        assert!(add(&mut book, Kind::Confirmed, 5, 5, 1));
        assert_eq!(book.side(Direction::AToB).mark, 40, "a mark never falls");
        assert_eq!(book.side(Direction::AToB).islands.len(), 10);
        assert!(add(&mut book, Kind::Accepted, 0, 10, 1));
        assert_eq!(book.side(Direction::AToB).islands.len(), 10, "below the mark: no island");
    }
}
