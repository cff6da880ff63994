//! Requests about key: leases, their end, and the witness of a gateway's random pool.

use super::{Answer, Declined, Desk};
use crate::greeting::{Opened, grant};
use crate::server::SiteError;
use warifu_buffers::Block;
use warifu_core::{Direction, KeyRange, PoolId, SiteName};
use warifu_keystore::{Confirmation, KeyError, PoolKind, PoolStatus};
use warifu_link::body::{Grant, RANGE_BYTES, Release, Witness};
use warifu_link::{Message, Status, key_bytes_needed};
use warifu_pipeline::peer::RELEASED_RUNS_MAX;

impl Desk {
    /// Grants positions of the gateway's own random pool, each once.
    pub(super) fn witness(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let bad = |_| Declined::new(Status::BadRequest, "the witness request makes no sense");
        let witness = Witness::decode(body).map_err(bad)?;
        let pool = PoolId::from_bytes(*message.object.bytes());
        let keys = self.site.keys();
        let key = |error: KeyError| Declined::new(Status::Key, error.to_string());
        if !self.witnesses(pool)? {
            match keys.create_pool(pool, PoolKind::Witness, self.gateway()?) {
                // Another connection of the same gateway was faster.
                Err(KeyError::PoolExists { .. }) if self.witnesses(pool)? => {}
                created => created.map_err(key)?,
            }
        }
        let range = keys
            .grant_within(pool, message.argument0, message.argument1, witness.pool_end)
            .map_err(key)?;
        let mut body = Vec::new();
        Grant { range }.encode(&mut body);
        Ok(Answer { body, ..Answer::default() })
    }

    /// Whether this site witnesses `pool` for this very gateway. One pool for each gateway, and
    /// none of another's: an identifier is no secret.
    fn witnesses(&self, pool: PoolId) -> Result<bool, Declined> {
        let gateway = self.gateway()?;
        let pools = self.site.keys().pools().map_err(unreadable)?;
        let is_same = |status: &PoolStatus| status.pool == pool;
        let is_own =
            |status: &PoolStatus| status.kind == PoolKind::Witness && status.peer == gateway;
        if let Some(known) = pools.iter().find(|status| is_same(status)) {
            return match is_own(known) {
                true => Ok(true),
                false => Err(Declined::new(Status::Refused, "that pool is not yours")),
            };
        }
        match pools.iter().any(is_own) {
            true => Err(Declined::new(Status::Refused, "another pool of yours is witnessed here")),
            false => Ok(false),
        }
    }

    /// The name of the gateway at the other end of the link.
    pub(super) fn gateway(&self) -> Result<Option<SiteName>, Declined> {
        let status = self.site.keys().pool_status(self.greeted.link.into());
        let status = status.map_err(|error| Declined::new(Status::Key, error.to_string()))?;
        Ok(status.peer)
    }

    /// More key for both ends.
    pub(super) fn lease(
        &mut self,
        message: &Message,
        body: &[u8],
    ) -> Result<Result<Answer, Declined>, SiteError> {
        let pool = PoolId::from(self.greeted.link);
        let offered = Grant::decode(body)?.range;
        if !offered.is_empty() {
            let confirmed = Confirmation::Authenticated;
            match self.site.keys().accept(pool, Direction::BToA, offered, confirmed) {
                Ok(lease) if lease.left() == offered.len() => {
                    self.greeted.session.granted(Direction::BToA, offered)?;
                    self.greeted.answers.push(lease);
                }
                Ok(_) | Err(KeyError::GrantBurned { .. }) => {
                    return Ok(Err(Declined::new(Status::Key, "the key offered is burned here")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let wanted = (message.argument0, u64::MAX);
        let granted = grant(&self.site, pool, wanted, message.argument1)?;
        if !granted.is_empty() {
            self.greeted.session.granted(Direction::AToB, granted)?;
            self.greeted.incoming.extend(granted)?;
        }
        let mut body = Vec::new();
        Grant { range: granted }.encode(&mut body);
        Ok(Ok(Answer { body, ..Answer::default() }))
    }

    /// The gateway ends cleanly: what either end did not use is free again, durably.
    pub(super) fn release(&mut self, opened: &Opened) -> Result<Block, SiteError> {
        let pool = PoolId::from(self.greeted.link);
        let release = Release::decode(opened.body())?;
        let unused: Vec<KeyRange> = release.unused.iter().collect();
        self.site.keys().regain(pool, Direction::AToB, &unused)?;
        let longest = key_bytes_needed(RELEASED_RUNS_MAX * RANGE_BYTES, 0);
        let pad = self.greeted.answers.take(longest)?;
        let unused = self.greeted.answers.release(RELEASED_RUNS_MAX)?;
        let mut body = Vec::new();
        Release { unused }.encode(&mut body);
        let pad = pad.shortened(key_bytes_needed(body.len(), 0));
        let answer = opened.message.answer(Status::Done);
        let (frame, _) = self.greeted.session.seal_message(pad, &answer, &body, 0)?;
        Ok(frame)
    }
}

/// The key store could not be read.
pub(super) fn unreadable(error: KeyError) -> Declined {
    Declined::new(Status::Io, error.to_string())
}
