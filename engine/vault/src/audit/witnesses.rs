//! Checkpoints: whenever gateway and site meet, each shows the other where its log stands, signed,
//! and holds what it is shown. Who then rewrites his log, or cuts its end off, is contradicted.

use super::{Log, Told};
use crate::Vault;
use crate::failure::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use warifu_catalog::{
    AuditHead, AuditKey, Catalog, CheckpointRow, Event, Exported, Site, checkpoint_line,
};
use warifu_core::{LinkId, SiteName};
use warifu_link::body::Checkpoint;
use warifu_pipeline::peer::{Peer, PeerError};
use warifu_site::Notary;

/// The kind of entry that tells that another's log is not what it was, and its result.
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const CONFLICT: &str = "conflict";

/// Signs for a site's daemon.
struct SiteNotary {
    key: AuditKey,
}

impl Notary for SiteNotary {
    fn sign(&self, head: &AuditHead, at_unix_s: u64) -> Option<Checkpoint> {
        Some(signed(&self.key, head, at_unix_s))
    }
}

/// One meeting with a site: what is shown to it, and where what it shows is held.
pub(crate) struct Meeting {
    site: SiteName,
    link: LinkId,
    own: Option<Checkpoint>,
    catalog: PathBuf,
    now_unix_s: u64,
}

impl Vault {
    /// Who signs this site's checkpoints; nobody where the key can't be used.
    pub(crate) fn notary(&self) -> Option<Arc<dyn Notary>> {
        match self.audit_key() {
            Ok(key) => Some(Arc::new(SiteNotary { key })),
            Err(failure) => {
                let cause = std::error::Error::source(&failure).map(ToString::to_string);
                tracing::warn!(%failure, cause, "checkpoints of the audit log are not signed");
                None
            }
        }
    }

    /// Where the log of this vault stands now, signed.
    pub(crate) fn own_checkpoint(&self) -> Result<Checkpoint, Failure> {
        let head = self.log()?.head()?;
        Ok(signed(&self.audit_key()?, &head, self.now_unix_s()))
    }

    /// Prepares to meet the site at the other end of `link`. Without a checkpoint of its own this
    /// vault still listens.
    pub(crate) fn meeting(&self, site: &SiteName, link: LinkId) -> Meeting {
        let own = self.own_checkpoint().map_err(|failure| {
            tracing::warn!(%failure, "no checkpoint of the audit log is shown");
        });
        Meeting {
            site: site.clone(),
            link,
            own: own.ok(),
            catalog: self.dir.join(crate::CATALOG),
            now_unix_s: self.now_unix_s(),
        }
    }
}

impl Vault {
    /// Meets a site that is connected: what it shows of its log is held here, and answered.
    pub(crate) fn meet(&self, site: &Site, peer: &mut Peer) -> Result<Option<Checkpoint>, Failure> {
        let revocations = self.catalog()?.revocations()?.len() as u64;
        Ok(self.meeting(&site.site, self.link_of(site)?).hold(peer, revocations)?)
    }
}

impl Meeting {
    /// Exchanges checkpoints, and says that `revocations` are all that this end knows of. Answers
    /// what the site showed. A site that keeps no log shows none.
    ///
    /// # Errors
    /// Where the connection is lost, or the site speaks against the protocol.
    pub(crate) fn hold(
        &self,
        peer: &mut Peer,
        revocations: u64,
    ) -> Result<Option<Checkpoint>, PeerError> {
        let shown = match peer.contact(self.own.as_ref(), revocations) {
            Ok(shown) => shown,
            Err(PeerError::Refused { text, .. }) => {
                tracing::debug!(site = %self.site, why = text, "no checkpoints are exchanged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Some(shown) = &shown
            && let Err(error) = self.keep(shown)
        {
            tracing::warn!(%error, site = %self.site, "its checkpoint can't be held");
        }
        Ok(shown)
    }

    fn keep(&self, shown: &Checkpoint) -> Result<(), Failure> {
        let catalog = Catalog::open(&self.catalog)?;
        keep(&Log::Gateway(&catalog), &self.site, &row(self.link, shown), self.now_unix_s)
    }
}

/// Holds what `peer` showed; a log that is not what it was goes loudly into this vault's own.
fn keep(log: &Log<'_>, peer: &SiteName, shown: &CheckpointRow, now: u64) -> Result<(), Failure> {
    let fits = log.keep_checkpoint(shown, now)?;
    if !fits.is_conflict() {
        return Ok(());
    }
    tracing::warn!(%peer, how = fits.as_str(), "its audit log is not what it was");
    let note = format!("{peer} showed an audit log that is not what it was: {}", fits.as_str());
    let told = Told { who: peer.to_string(), ..Told::default() };
    let json = told.result(CONFLICT).code(fits.as_str()).site(peer).note(note).json()?;
    log.append(&Event { kind: CHECKPOINT, json: &json, at_unix_s: now })?;
    Ok(())
}

fn signed(key: &AuditKey, head: &AuditHead, at_unix_s: u64) -> Checkpoint {
    Checkpoint {
        entries: head.entries,
        chain: head.chain,
        at_unix_s,
        signature: key.sign_head(head, at_unix_s),
        public_key: key.public_key(),
    }
}

fn row(link: LinkId, shown: &Checkpoint) -> CheckpointRow {
    CheckpointRow {
        link,
        entries: shown.entries,
        chain: shown.chain,
        at_unix_s: shown.at_unix_s,
        signature: shown.signature,
        public_key: shown.public_key,
    }
}

/// A checkpoint as files have it: one line of JSON.
pub(crate) fn checkpoint_line_of(shown: &Checkpoint) -> String {
    checkpoint_line(&Exported {
        head: AuditHead { entries: shown.entries, chain: shown.chain },
        at_unix_s: shown.at_unix_s,
        public_key: shown.public_key,
        signature: shown.signature,
    })
}
