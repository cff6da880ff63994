//! Openings, one's own and the peer's: how a rolled-back or copied end is noticed.

use crate::error::KeyError;
use crate::pool::DIRECTIONS;
use crate::store::KeyStore;
use warifu_core::PoolId;
use warifu_core::id::Incarnation;

/// No store is opened so often: a peer that shows this lies, and would lock itself out for good.
const EPOCH_MAX: u64 = 1 << 48;

impl KeyStore {
    /// The number of this opening of the pool, for the peer to be told. Its first use records it;
    /// where another process has opened the pool since, it is renewed above that.
    ///
    /// # Errors
    /// [`KeyError::RolledBack`] after [`KeyStore::own_epoch_superseded`] found so; I/O.
    pub fn epoch(&self, pool: PoolId) -> Result<u64, KeyError> {
        self.pool(pool)?.locked(|entry| {
            let own = entry.opened()?;
            let last = entry.book().epoch;
            if own < last { entry.open_above(last) } else { Ok(own) }
        })
    }

    /// Checks and remembers an opening that an authenticated peer shows. Every opening has one
    /// incarnation, and new ones come above all that were seen.
    ///
    /// Two processes of an honest peer that connect at the same time may come in the wrong order:
    /// told the highest number seen, the peer finds that in its ledger and opens anew
    /// ([`KeyStore::own_epoch_superseded`]).
    ///
    /// # Errors
    /// [`KeyError::PeerRolledBack`]; I/O.
    pub fn peer_seen(&self, pool: PoolId, peer: Incarnation, epoch: u64) -> Result<(), KeyError> {
        self.pool(pool)?.locked(|entry| {
            let seen = &entry.book().peers;
            if seen.get(&epoch) == Some(&peer) {
                return Ok(());
            }
            let highest = seen.last_key_value().map_or(0, |(highest, _)| *highest);
            if epoch <= highest || epoch >= EPOCH_MAX {
                let is_certain = seen.contains_key(&epoch);
                return Err(KeyError::PeerRolledBack { pool, epoch, highest, is_certain });
            }
            entry.opened()?;
            entry.append_peer(peer, epoch)
        })
    }

    /// To be called when the peer says that it has seen openings up to `known` and refuses this
    /// one. Where another process of this store has made one that high since, it was merely faster:
    /// the pool is opened anew above it, and the new number is returned, to connect again with.
    ///
    /// # Errors
    /// [`KeyError::RolledBack`] where none has: from here on this process refuses the pool until
    /// [`KeyStore::accept_rollback`]. I/O.
    pub fn own_epoch_superseded(&self, pool: PoolId, known: u64) -> Result<u64, KeyError> {
        self.pool(pool)?.locked(|entry| {
            let own = entry.opened()?;
            let last = entry.book().epoch;
            if known <= own || last < known {
                entry.supersede(known);
                return Err(KeyError::RolledBack { pool, own, known });
            }
            entry.open_above(last)
        })
    }

    /// A person has found that this store is an older copy, and that no other copy is in use: opens
    /// the pool above `epoch_at_least`, and burns what was given back before, as it may have
    /// been lent again since.
    ///
    /// # Errors
    /// I/O.
    pub fn accept_rollback(&self, pool: PoolId, epoch_at_least: u64) -> Result<u64, KeyError> {
        let pool = self.pool(pool)?;
        pool.locked(|entry| {
            let opened = entry.open_above(epoch_at_least.max(entry.book().epoch))?;
            DIRECTIONS.iter().try_for_each(|direction| entry.burn_windows(*direction))?;
            Ok(opened)
        })
    }
}
