//! What a site is told whenever it is reached: what persons took back, and that this is all.

use crate::Vault;
use crate::audit::Meeting;
use crate::failure::Failure;
use std::path::PathBuf;
use warifu_catalog::{Catalog, Site};
use warifu_core::SiteName;
use warifu_pipeline::peer::{Peer, PeerError};

/// What a site has not been told yet.
pub(crate) struct Tidings {
    site: SiteName,
    /// The catalog, where it is noted that the site knows.
    catalog: PathBuf,
    revocations: Vec<([u8; 16], String)>,
    /// Revocations in all.
    known: u64,
    /// Where the audit logs of both ends stand.
    meeting: Meeting,
}

impl Vault {
    /// What is to be told to a site. Where persons don't decide here, only what they took back.
    pub(crate) fn tidings(&self, site: &Site) -> Result<Option<Tidings>, Failure> {
        let untold = self.catalog()?.revocations_untold(&site.site)?;
        if !self.config.consent.enforce && untold.is_empty() {
            return Ok(None);
        }
        let known = self.catalog()?.revocations()?.len() as u64;
        Ok(Some(Tidings {
            site: site.site.clone(),
            catalog: self.dir.join(crate::CATALOG),
            revocations: untold.into_iter().map(|one| (one.id, one.token)).collect(),
            known,
            meeting: self.meeting(&site.site, self.link_of(site)?),
        }))
    }
}

impl Tidings {
    /// Tells the site. A revocation that the site can make nothing of stays to be told.
    ///
    /// # Errors
    /// Where the connection is lost, or the site speaks against the protocol.
    pub(crate) fn tell(&mut self, peer: &mut Peer) -> Result<(), PeerError> {
        let mut told = Vec::new();
        let mut all_told = true;
        for (id, token) in &self.revocations {
            match peer.revoke(token) {
                Ok(()) => told.push(*id),
                Err(PeerError::Refused { text, .. }) => {
                    all_told = false;
                    tracing::warn!(site = %self.site, why = text, "it takes a revocation not");
                }
                Err(error) => return Err(error),
            }
        }
        self.note(&told);
        if !all_told {
            return Ok(());
        }
        self.meeting.hold(peer, self.known).map(drop)
    }

    fn note(&mut self, told: &[[u8; 16]]) {
        if told.is_empty() {
            return;
        }
        let noted = Catalog::open(&self.catalog).and_then(|catalog| {
            told.iter().try_for_each(|id| catalog.note_revocation_told(&self.site, id))
        });
        match noted {
            Ok(()) => self.revocations.retain(|(id, _)| !told.contains(id)),
            // It is told again.
            Err(error) => tracing::warn!(%error, "what the site knows can't be noted"),
        }
    }
}
