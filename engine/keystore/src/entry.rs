//! What may be done to a pool while its ledger is locked: looking, and adding records.

use crate::book::{Book, Side};
use crate::error::KeyError;
use crate::ledger::Draft;
use crate::pool::{Pool, PoolKind, Role, State};
use crate::record::Kind;
use warifu_core::id::Incarnation;
use warifu_core::{Direction, KeyRange};

/// A pool whose ledger is locked and read to its end.
pub(crate) struct Entry<'a> {
    pool: &'a Pool,
    state: &'a mut State,
}

impl<'a> Entry<'a> {
    pub(crate) const fn of(pool: &'a Pool, state: &'a mut State) -> Self {
        Self { pool, state }
    }

    pub(crate) const fn book(&self) -> &Book {
        &self.state.ledger.book
    }

    pub(crate) const fn side(&self, direction: Direction) -> &Side {
        self.state.ledger.book.side(direction)
    }

    /// Durably adds a record of this process.
    pub(crate) fn append(
        &mut self,
        kind: Kind,
        direction: Direction,
        range: KeyRange,
    ) -> Result<(), KeyError> {
        self.append_of(kind, direction, range, self.pool.incarnation)
    }

    /// Durably adds a record that names `incarnation`.
    pub(crate) fn append_of(
        &mut self,
        kind: Kind,
        direction: Direction,
        range: KeyRange,
        incarnation: Incarnation,
    ) -> Result<(), KeyError> {
        let epoch = self.state.epoch.unwrap_or(0);
        self.state.ledger.append(&Draft { kind, direction, range, incarnation, epoch })
    }

    /// Durably records an opening of the peer.
    pub(crate) fn append_peer(&mut self, peer: Incarnation, epoch: u64) -> Result<(), KeyError> {
        let (direction, range) = (Direction::AToB, KeyRange::between(0, 0));
        let draft = Draft { kind: Kind::PeerSeen, direction, range, incarnation: peer, epoch };
        self.state.ledger.append(&draft)
    }

    /// The ledger as it stands in its file.
    pub(crate) fn ledger_bytes(&self) -> Result<Vec<u8>, KeyError> {
        self.state.ledger.bytes()
    }

    /// This process's opening of the pool; its first use records it.
    pub(crate) fn opened(&mut self) -> Result<u64, KeyError> {
        if let Some(known) = self.state.superseded {
            return Err(KeyError::RolledBack { pool: self.pool.id, own: self.book().epoch, known });
        }
        match self.state.epoch {
            Some(epoch) => Ok(epoch),
            None => self.open_above(self.book().epoch),
        }
    }

    /// Opens the pool anew, above `epoch`.
    pub(crate) fn open_above(&mut self, epoch: u64) -> Result<u64, KeyError> {
        let next = epoch.checked_add(1).ok_or(KeyError::PoolDamaged {
            pool: self.pool.id,
            reason: "its openings have passed every number",
        })?;
        let (direction, range) = (Direction::AToB, KeyRange::between(0, 0));
        let incarnation = self.pool.incarnation;
        let draft = Draft { kind: Kind::Opened, direction, range, incarnation, epoch: next };
        self.state.ledger.append(&draft)?;
        self.state.epoch = Some(next);
        self.state.superseded = None;
        Ok(next)
    }

    /// Refuses the pool to this process: the peer has seen an opening that is not in the ledger.
    pub(crate) const fn supersede(&mut self, known: u64) {
        self.state.superseded = Some(known);
    }

    /// Burns every position below the mark that was given back. A store that may be an older copy
    /// cannot know whether they were lent again since.
    pub(crate) fn burn_windows(&mut self, direction: Direction) -> Result<(), KeyError> {
        let side = self.side(direction);
        let windows = side.free(KeyRange::between(0, side.mark));
        windows.iter().try_for_each(|range| self.append(Kind::Burned, direction, range))
    }

    /// Refuses where this end is not `role` in `direction`.
    pub(crate) fn expect_role(&self, direction: Direction, role: Role) -> Result<(), KeyError> {
        if self.pool.kind.role(direction) == Some(role) {
            return Ok(());
        }
        let needed = match role {
            Role::Holder => "holder",
            Role::Witness => "witness",
        };
        Err(KeyError::WrongRole { pool: self.pool.id, direction, needed })
    }

    /// Refuses a position beyond the segments. A witness pool has none: its peer names the end.
    pub(crate) fn expect_within(&self, direction: Direction, end: u64) -> Result<(), KeyError> {
        let capacity = self.side(direction).end;
        if end <= capacity || self.pool.kind == PoolKind::Witness {
            return Ok(());
        }
        Err(KeyError::BeyondPool { pool: self.pool.id, direction, end, capacity })
    }
}
