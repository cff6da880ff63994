//! Going through the ledgers once more, with other arithmetic than the one that wrote them.

use crate::error::KeyError;
use crate::pool::{DIRECTIONS, Pool, PoolKind};
use crate::record::{Kind, RECORD_BYTES, Record};
use crate::store::KeyStore;
use std::collections::BTreeMap;
use warifu_core::{Direction, PoolId, SiteName};

/// What the ledgers say. Holds no key.
#[derive(Clone, Debug)]
pub struct AuditReport {
    /// By pool.
    pub pools: Vec<PoolAudit>,
}

impl AuditReport {
    /// Whether no position was lent twice, and none that no segment fills.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let mut directions = self.pools.iter().flat_map(|pool| &pool.directions);
        directions.all(|one| one.overlaps == 0 && one.outside_segments == 0)
    }
}

/// One pool's ledger.
#[derive(Clone, Debug)]
pub struct PoolAudit {
    /// The pool.
    pub pool: PoolId,
    /// The site at the other end.
    pub peer: Option<SiteName>,
    /// Records in its ledger.
    pub records: u64,
    /// Openings by processes of this store.
    pub openings: u64,
    /// Openings of the peer that were seen.
    pub peer_openings: u64,
    /// By direction.
    pub directions: Vec<DirectionAudit>,
}

/// One direction in a ledger.
#[derive(Clone, Copy, Debug)]
pub struct DirectionAudit {
    /// Which direction.
    pub direction: Direction,
    /// Ranges granted or accepted.
    pub leases: u64,
    /// Bytes granted or accepted.
    pub bytes_leased: u64,
    /// Bytes given back.
    pub bytes_released: u64,
    /// Bytes burned.
    pub bytes_burned: u64,
    /// Bytes erased.
    pub bytes_zeroised: u64,
    /// Leases that hold a position of an earlier one that was not given back, or a burned one.
    pub overlaps: u64,
    /// Leases beyond what segments fill.
    pub outside_segments: u64,
}

impl KeyStore {
    /// Reads every ledger from its beginning and counts.
    ///
    /// # Errors
    /// Ledgers that do not load; I/O.
    pub fn audit(&self) -> Result<AuditReport, KeyError> {
        let pools = self.all_pools()?;
        let pools = pools.iter().map(|pool| audit_pool(pool)).collect::<Result<_, _>>()?;
        Ok(AuditReport { pools })
    }
}

fn audit_pool(pool: &Pool) -> Result<PoolAudit, KeyError> {
    let bytes = pool.locked(|entry| entry.ledger_bytes())?;
    let mut report = PoolAudit {
        pool: pool.id,
        peer: pool.peer.clone(),
        records: (bytes.len() / RECORD_BYTES) as u64,
        openings: 0,
        peer_openings: 0,
        directions: Vec::new(),
    };
    let mut sides = DIRECTIONS.map(Tally::new);
    for (at, bytes) in bytes.as_chunks::<RECORD_BYTES>().0.iter().enumerate() {
        let record = Record::decode(bytes).map_err(|reason| KeyError::LedgerDamaged {
            pool: pool.id,
            record: at as u64,
            reason,
        })?;
        match record.kind {
            Kind::Opened => report.openings += 1,
            Kind::PeerSeen => report.peer_openings += 1,
            _ => sides[usize::from(record.direction.to_byte())].count(&record, pool.kind),
        }
    }
    let known = sides.into_iter().filter(|side| pool.kind.role(side.sum.direction).is_some());
    report.directions = known.map(|side| side.sum).collect();
    Ok(report)
}

/// Ranges as a plain map from start to end: none of the code that the ledger itself relies on.
struct Tally {
    lent: BTreeMap<u64, u64>,
    end: u64,
    sum: DirectionAudit,
}

impl Tally {
    const fn new(direction: Direction) -> Self {
        let sum = DirectionAudit {
            direction,
            leases: 0,
            bytes_leased: 0,
            bytes_released: 0,
            bytes_burned: 0,
            bytes_zeroised: 0,
            overlaps: 0,
            outside_segments: 0,
        };
        Self { lent: BTreeMap::new(), end: 0, sum }
    }

    fn count(&mut self, record: &Record, kind: PoolKind) {
        let (start, end) = (record.start, record.end);
        let bytes = end.saturating_sub(start);
        match record.kind {
            Kind::SegmentAdded => self.end = self.end.max(end),
            Kind::Granted | Kind::Accepted => {
                self.sum.leases += 1;
                self.sum.bytes_leased += bytes;
                self.sum.overlaps += u64::from(self.touches(start, end));
                self.sum.outside_segments += u64::from(kind != PoolKind::Witness && end > self.end);
                self.lent.insert(start, end);
            }
            Kind::Released => {
                self.sum.bytes_released += bytes;
                self.cut(start, end);
            }
            Kind::Burned => {
                self.sum.bytes_burned += bytes;
                self.cut(start, end);
                self.lent.insert(start, end);
            }
            Kind::Zeroised => self.sum.bytes_zeroised += bytes,
            Kind::Created | Kind::PeerSeen | Kind::Opened | Kind::Confirmed => {}
        }
    }

    fn touches(&self, start: u64, end: u64) -> bool {
        self.lent.range(..end).next_back().is_some_and(|(_, &lent_end)| lent_end > start)
    }

    fn cut(&mut self, start: u64, end: u64) {
        while let Some((&from, &to)) = self.lent.range(..end).next_back() {
            if to <= start {
                return;
            }
            self.lent.remove(&from);
            if to > end {
                self.lent.insert(end, to);
            }
            if from < start {
                self.lent.insert(from, start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_core::id::Incarnation;

    #[test]
    fn counts_what_a_ledger_must_not_hold() {
        let mut tally = Tally::new(Direction::AToB);
        let mut add = |kind, start, end| {
            let record = Record {
                kind,
                direction: Direction::AToB,
                sequence: 0,
                start,
                end,
                incarnation: Incarnation::from_bytes([0; 16]),
                epoch: 0,
            };
            tally.count(&record, PoolKind::Random);
            (tally.sum.overlaps, tally.sum.outside_segments)
        };
        assert_eq!(add(Kind::SegmentAdded, 0, 100), (0, 0));
        assert_eq!(add(Kind::Accepted, 10, 30), (0, 0));
        assert_eq!(add(Kind::Accepted, 30, 40), (0, 0));
        assert_eq!(add(Kind::Released, 20, 35), (0, 0));
        assert_eq!(add(Kind::Accepted, 20, 35), (0, 0));
        assert_eq!(add(Kind::Accepted, 15, 16), (1, 0));
        assert_eq!(add(Kind::Burned, 50, 60), (1, 0));
        assert_eq!(add(Kind::Accepted, 59, 70), (2, 0));
        assert_eq!(add(Kind::Accepted, 90, 101), (2, 1));
    }
}
