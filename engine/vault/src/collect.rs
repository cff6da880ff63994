//! Clears away what killed processes left behind.

use crate::Vault;
use crate::dial::{Patience, Purpose};
use crate::failure::Failure;
use crate::plan::hang_up;
use warifu_catalog::Intent;
use warifu_core::{Channel, ObjectId, SiteName, XCoord};
use warifu_pipeline::peer::{Peer, ShareAddress};

impl Vault {
    /// Collects the litter of every intent whose process is gone, as far as its sites can be
    /// reached; what can't be reached is tried again the next time. Answers how many intents
    /// were cleared and how many remain.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn collect_litter(&self) -> Result<(usize, usize), Failure> {
        let catalog = self.catalog()?;
        let (mut cleared, mut remaining) = (0, 0);
        for intent in catalog.intents()? {
            if self.keys.is_live(intent.holder.incarnation)? {
                continue;
            }
            tracing::info!(object = %intent.object, "clearing away an interrupted backup");
            match self.clear(&intent) {
                Ok(()) => {
                    catalog.abandon(&intent.object)?;
                    cleared += 1;
                }
                Err(error) => {
                    tracing::warn!(object = %intent.object, %error, "its litter remains for now");
                    remaining += 1;
                }
            }
        }
        Ok((cleared, remaining))
    }

    fn clear(&self, intent: &Intent) -> Result<(), Failure> {
        for (x, site, _) in &intent.shares {
            self.discard(intent.object, *x, site)?;
        }
        Ok(())
    }

    /// Removes a share that was never listed, committed or not.
    pub(crate) fn discard(
        &self,
        object: ObjectId,
        x: XCoord,
        site: &SiteName,
    ) -> Result<(), Failure> {
        let site = self.site_row(site)?;
        if site.channel == Channel::Local {
            return self.discard_local(object, x, &site);
        }
        let mut dial = self.dialer(&site, Purpose::Store, Patience::Once)?;
        let mut peer: Peer = dial()?;
        let discarded = peer.discard(ShareAddress { object, x });
        hang_up(peer);
        Ok(discarded?)
    }

    fn discard_local(
        &self,
        object: ObjectId,
        x: XCoord,
        site: &warifu_catalog::Site,
    ) -> Result<(), Failure> {
        use warifu_backend::Error as StoreError;
        let store = self.local_store(site)?;
        let name = crate::backup::share_name(object, x)?;
        match store.resume(&name) {
            Ok(upload) => upload.abandon()?,
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        match store.delete(&name) {
            Ok(()) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
