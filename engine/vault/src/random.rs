//! Leases of the gateway's `random` pool.

use crate::Vault;
use crate::causes::peer_class;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::jobs::InHand;
use crate::plan::{error_chain, hang_up};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use warifu_core::{Direction, KeyRange, PoolId, SiteName};
use warifu_keystore::{Confirmation, KeyError, KeyStore, Lease};
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::peer::{Peer, PeerError};
use warifu_pipeline::random::RandomSource;

/// Random numbers leased at a time, in bytes: what an object that gets shorter than was planned
/// may leave over. A witness is asked over a connection of its own for each.
const STEP_BYTES: u64 = 16 << 20;

/// The longest message that random numbers mask, in bytes.
const PIECE_BYTES_MAX: u64 = 1 << 20;

impl Vault {
    /// At most about `bytes` random bytes for one object, leased step by step: granted by the
    /// vault's witness where it has one, over the connection to it among `peers` for the first.
    pub(crate) fn random_source(
        &self,
        bytes: u64,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<RandomSource, Failure> {
        let pool = self.random_pool()?;
        let witness = self.catalog()?.witness()?;
        let piece_bytes = bytes.min(PIECE_BYTES_MAX);
        let spare = witness.as_ref().and_then(|_| self.in_hand.take_spare(piece_bytes));
        let lease = match (spare, &witness) {
            (Some(spare), _) => spare,
            (None, Some(witness)) if !peers.contains_key(witness) => {
                self.lease_random_alone(bytes.min(STEP_BYTES))?
            }
            (None, _) => self.lease_random(bytes.min(STEP_BYTES), peers)?,
        };
        if lease.left_in_one_piece() < piece_bytes {
            self.give_back(vec![lease]);
            return Err(random_short());
        }
        let dial = witness.map(|witness| {
            let patience = Patience::For(Duration::from_secs(self.config.limits.patience_seconds));
            self.dialer(&self.site_row(&witness)?, Purpose::Store, patience)
        });
        let mut tap = Tap {
            keys: self.keys.clone(),
            in_hand: self.in_hand.clone(),
            pool,
            planned_bytes: bytes.saturating_sub(lease.left()),
            dial: dial.transpose()?,
        };
        let refill = move |leases: &mut Vec<Lease>, wanted| tap.refill(leases, wanted);
        Ok(RandomSource::new(vec![lease], Some(Box::new(refill))))
    }

    /// `bytes` random bytes in one or several pieces.
    fn lease_random(
        &self,
        bytes: u64,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Lease, Failure> {
        let pool = self.random_pool()?;
        let Some(witness) = self.catalog()?.witness()? else {
            return self.keys.self_lease(pool, bytes).map_err(|error| match error {
                KeyError::Empty { .. } => random_short().because(error),
                error => error.into(),
            });
        };
        let peer = peers.get_mut(&witness).ok_or_else(|| away(&witness))?;
        let mut granted = |bytes| {
            grant(&self.keys, pool, bytes, peer).map_err(|error| {
                let (class, code) = peer_class(&error);
                let what = format!("{witness} grants no random numbers");
                Failure::new(class, code, what).because(error)
            })
        };
        let range = granted(bytes)?;
        let confirmed = Confirmation::Authenticated;
        let mut lease = self.keys.accept(pool, Direction::AToB, range, confirmed)?;
        while lease.left() < bytes {
            let more = granted(bytes - lease.left());
            if let Err(failure) = more.and_then(|range| Ok(lease.extend(range)?)) {
                self.in_hand.keep_spare(lease);
                return Err(failure);
            }
        }
        Ok(lease)
    }

    /// `bytes` random bytes in one or several pieces, over a connection of its own to a witness.
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

    /// Frees what was not drawn.
    pub(crate) fn return_random(&self, random: &RandomSource) {
        self.give_back(random.take_rest());
    }

    /// Frees leases where this vault has no witness. What a witness granted is never granted
    /// again: it is kept for the next object of this process, and burns with its end.
    fn give_back(&self, leases: Vec<Lease>) {
        let is_witnessed = self
            .catalog()
            .is_ok_and(|catalog| catalog.witness().is_ok_and(|witness| witness.is_some()));
        for lease in leases {
            if is_witnessed {
                self.in_hand.keep_spare(lease);
            } else if let Err(error) = lease.release() {
                tracing::warn!(%error, "unused random numbers are burned");
            }
        }
    }
}

/// Where an object's further random numbers come from.
struct Tap {
    keys: Arc<KeyStore>,
    in_hand: Arc<InHand>,
    pool: PoolId,
    /// What was planned for and is not leased yet.
    planned_bytes: u64,
    /// The way to the witness, where there is one.
    dial: Option<Dial>,
}

impl Tap {
    fn refill(&mut self, leases: &mut Vec<Lease>, wanted: u64) -> Result<(), KeyError> {
        let bytes = self.planned_bytes.min(STEP_BYTES).max(wanted);
        self.planned_bytes = self.planned_bytes.saturating_sub(bytes);
        let Some(dial) = &mut self.dial else {
            match leases.first_mut() {
                Some(lease) => lease.extend_own(bytes)?,
                None => leases.push(self.keys.self_lease(self.pool, bytes)?),
            }
            return Ok(());
        };
        if let Some(spare) = self.in_hand.take_spare(wanted) {
            leases.push(spare);
            return Ok(());
        }
        let unanswered = |error: PeerError| {
            let error = error_chain(&error);
            tracing::warn!(error, "the witness grants no more random numbers");
            KeyError::LeaseEmpty { wanted, left: 0 }
        };
        let mut peer = dial().map_err(unanswered)?;
        let granted = grant(&self.keys, self.pool, bytes, &mut peer);
        hang_up(peer);
        let range = granted.map_err(unanswered)?;
        match leases.first_mut() {
            Some(lease) => lease.extend(range),
            None => {
                let confirmed = Confirmation::Authenticated;
                leases.push(self.keys.accept(self.pool, Direction::AToB, range, confirmed)?);
                Ok(())
            }
        }
    }
}

/// Asks the witness for a run of at most `bytes` bytes.
fn grant(
    keys: &KeyStore,
    pool: PoolId,
    bytes: u64,
    peer: &mut Peer,
) -> Result<KeyRange, PeerError> {
    let status = keys.pool_status(pool)?;
    let mark = keys.mark(pool, Direction::AToB)?;
    let end = status.direction(Direction::AToB).map_or(0, |side| side.bytes_total);
    peer.witness(pool, bytes, mark, end)
}

fn random_short() -> Failure {
    Failure::new(Class::Key, "random-short", "the random pool has too few numbers left")
        .next("warifu key generate --random --bytes SIZE")
}

fn away(witness: &SiteName) -> Failure {
    let what = format!("site {witness}, which witnesses the random pool, is away");
    Failure::new(Class::Temporary, "witness-down", what)
        .next("bring it back: without it a copied vault could use random numbers twice")
}
