//! Leases of the gateway's `random` pool.

use crate::Vault;
use crate::causes::peer_class;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::hang_up;
use std::collections::BTreeMap;
use warifu_core::{Direction, SiteName};
use warifu_keystore::{Confirmation, Lease};
use warifu_pipeline::peer::Peer;
use warifu_pipeline::random::RandomSource;

impl Vault {
    /// `bytes` random bytes in one piece: granted by the vault's witness where it has one, over
    /// the connection to it among `peers`.
    pub(crate) fn lease_random(
        &self,
        bytes: u64,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Lease, Failure> {
        let pool = self.random_pool()?;
        let lease = match self.catalog()?.witness()? {
            None => self.keys.self_lease(pool, bytes)?,
            Some(witness) => {
                let peer = peers.get_mut(&witness).ok_or_else(|| away(&witness))?;
                let status = self.keys.pool_status(pool)?;
                let mark = self.keys.mark(pool, Direction::AToB)?;
                let end = status.direction(Direction::AToB).map_or(0, |side| side.bytes_total);
                let range = peer.witness(pool, bytes, mark, end).map_err(|error| {
                    let (class, code) = peer_class(&error);
                    let what = format!("{witness} grants no random numbers");
                    Failure::new(class, code, what).because(error)
                })?;
                self.keys.accept(pool, Direction::AToB, range, Confirmation::Authenticated)?
            }
        };
        if lease.left_in_one_piece() < bytes {
            let what = "the random pool has too few numbers left in one piece";
            return Err(Failure::new(Class::Key, "random-short", what)
                .next("warifu key generate --random --bytes SIZE"));
        }
        Ok(lease)
    }

    /// As [`lease_random`](Self::lease_random), with a connection of its own.
    pub(crate) fn lease_random_alone(&self, bytes: u64) -> Result<Lease, Failure> {
        let mut peers = BTreeMap::new();
        if let Some(witness) = self.catalog()?.witness()? {
            let site = self.site_row(&witness)?;
            let mut dial = self.dialer(&site, Purpose::Store, Patience::Once)?;
            peers.insert(witness, dial()?);
        }
        let lease = self.lease_random(bytes, &mut peers);
        peers.into_values().for_each(hang_up);
        lease
    }

    /// Frees what was not drawn where this vault has no witness. What a witness granted is never
    /// granted again, and burns.
    pub(crate) fn return_random(&self, random: &RandomSource) {
        let is_witnessed = self
            .catalog()
            .is_ok_and(|catalog| catalog.witness().is_ok_and(|witness| witness.is_some()));
        if !is_witnessed && let Err(error) = random.release() {
            tracing::warn!(%error, "unused random numbers are burned");
        }
    }
}

fn away(witness: &SiteName) -> Failure {
    let what = format!("site {witness}, which witnesses the random pool, is away");
    Failure::new(Class::Temporary, "witness-down", what)
        .next("bring it back: without it a copied vault could use random numbers twice")
}
