//! Settles what killed processes left behind: litter goes, finished work is listed.

use crate::Vault;
use crate::adopt::CompletedShape;
use crate::backup::share_name;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::journal::JournalError;
use crate::plan::{error_chain, hang_up};
use warifu_backend::Error as StoreError;
use warifu_catalog::{CatalogError, Intent, Site};
use warifu_core::{Channel, ObjectId, SiteName, XCoord};
use warifu_pipeline::peer::ShareAddress;
use warifu_pipeline::share::{ShareError, ShareReader};

/// What became of an interrupted backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Settled {
    /// It could be rebuilt: it is listed now.
    Listed,
    /// Nothing of it is left.
    Removed,
}

impl Vault {
    /// Collects the litter of every intent whose process is gone, as far as its sites can be
    /// reached; what can't be reached is tried again the next time. Backups that can go on are left
    /// alone. Answers how many intents were cleared and how many remain.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn collect_litter(&self) -> Result<(usize, usize), Failure> {
        let catalog = self.catalog()?;
        let (mut cleared, mut remaining) = (0, 0);
        // In this order: a journal is begun after its intent, so one that is listed here and has
        // none below has outlived it.
        let journals = self.journals().list()?;
        let intents = catalog.intents()?;
        for object in journals {
            if !intents.iter().any(|intent| intent.object == object) {
                self.journals().erase(object)?;
            }
        }
        for intent in intents {
            if self.is_in_hand(&intent)? || self.waits(&intent) {
                continue;
            }
            let (Ok(_claim), holder) = (self.claim(intent.object), self.holder()) else { continue };
            if !catalog.take_over(&intent.object, &intent.holder, &holder)? {
                continue;
            }
            tracing::info!(object = %intent.object, "settling an interrupted backup");
            let erased = self.journals().erase(intent.object).map_err(Failure::from);
            match erased.and_then(|()| self.settle(&Intent { holder, ..intent.clone() })) {
                Ok(_) => cleared += 1,
                Err(error) => {
                    let told = error_chain(&error);
                    tracing::warn!(object = %intent.object, error = told, "it stays for now");
                    remaining += 1;
                }
            }
        }
        Ok((cleared, remaining))
    }

    /// Whether an interrupted backup is kept so that it can go on.
    fn waits(&self, intent: &Intent) -> bool {
        match self.journals().header(intent.object) {
            Ok(header) => self.may_go_on(&header),
            Err(JournalError::Missing | JournalError::Damaged { .. }) => false,
            Err(JournalError::Io(error)) => {
                tracing::warn!(object = %intent.object, %error, "its journal can't be read");
                true
            }
        }
    }

    /// Settles one intent, which this process holds. Where so many shares are complete that the
    /// object can be rebuilt, it is completed and listed: its process may have reported success
    /// before this vault was rolled back, and nothing that could be rebuilt is ever removed here.
    pub(crate) fn settle(&self, intent: &Intent) -> Result<Settled, Failure> {
        let (mut held, mut missing) = (Vec::new(), Vec::new());
        for (x, site, _) in &intent.shares {
            match self.completed(intent.object, *x, site)? {
                Some(shape) if shape.threshold == intent.threshold => {
                    held.push((*x, site.clone(), shape));
                }
                Some(_) => {
                    let what = format!("site {site} tells of another object {}", intent.object);
                    return Err(Failure::new(Class::Damage, "object-disputed", what));
                }
                None => missing.push((*x, site.clone())),
            }
        }
        if held.len() >= intent.threshold.k() {
            return self.adopt(intent, &held, &missing).map(|()| Settled::Listed);
        }
        self.discard_all(intent)?;
        match self.catalog()?.abandon(&intent.object) {
            // Somebody else settled it meanwhile.
            Ok(()) | Err(CatalogError::NotFound { .. }) => Ok(Settled::Removed),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all shares of an intent, those at sites on links first: a site that knows of a
    /// running backup refuses, and then nothing is removed anywhere.
    ///
    /// First what is unfinished, everywhere: after that nobody can complete what is there, not even
    /// a process of another copy of this vault. Only if then fewer than k shares are complete, so
    /// that no catalog can list an object that could be rebuilt, do these go too.
    fn discard_all(&self, intent: &Intent) -> Result<(), Failure> {
        let mut completed = Vec::new();
        for is_remote in [true, false] {
            for (x, site, link) in &intent.shares {
                if link.is_some() == is_remote && !self.discard(intent.object, *x, site)? {
                    completed.push((*x, site));
                }
            }
        }
        if completed.len() >= intent.threshold.k() {
            let sites: Vec<&SiteName> = completed.iter().map(|(_, site)| *site).collect();
            return Err(half_complete(intent, &sites));
        }
        completed.iter().try_for_each(|(x, site)| self.discard_completed(intent.object, *x, site))
    }

    /// The shape of a share if it was completed at its site.
    pub(crate) fn completed(
        &self,
        object: ObjectId,
        x: XCoord,
        site: &SiteName,
    ) -> Result<Option<CompletedShape>, Failure> {
        let site = self.site_row(site)?;
        if site.channel == Channel::Local {
            let store = self.local_store(&site)?;
            let name = share_name(object, x)?;
            return match ShareReader::open(store.as_ref(), &name) {
                Ok(reader) => Ok(Some(CompletedShape::of(reader.header()))),
                Err(ShareError::Store(StoreError::NotFound)) => Ok(None),
                Err(error) => {
                    let what = format!("site {} can't tell what it holds", site.site);
                    Err(Failure::new(Class::Other, "store", what).because(error))
                }
            };
        }
        let mut peer = self.dialer(&site, Purpose::Store, Patience::Once)?()?;
        let stats = peer.stat(object);
        hang_up(peer);
        let found = stats?.into_iter().find(|stat| stat.x == x && stat.committed);
        found.map(|stat| CompletedShape::stated(&stat)).transpose()
    }

    /// Removes a share if it is unfinished. True where nothing of it is left there; false where it
    /// is complete: that one may be listed in a catalog, if not in this one.
    pub(crate) fn discard(
        &self,
        object: ObjectId,
        x: XCoord,
        site: &SiteName,
    ) -> Result<bool, Failure> {
        let site = self.site_row(site)?;
        if site.channel == Channel::Local {
            return self.discard_local(object, x, &site);
        }
        let mut peer = self.dialer(&site, Purpose::Store, Patience::Once)?()?;
        let discarded = peer.discard(ShareAddress { object, x });
        hang_up(peer);
        Ok(discarded?)
    }

    fn discard_local(&self, object: ObjectId, x: XCoord, site: &Site) -> Result<bool, Failure> {
        let store = self.local_store(site)?;
        let name = share_name(object, x)?;
        match store.resume(&name) {
            Ok(upload) => upload.abandon()?,
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(!store.list()?.iter().any(|entry| entry.name == name))
    }

    /// Removes a share, complete or not.
    pub(crate) fn discard_completed(
        &self,
        object: ObjectId,
        x: XCoord,
        site: &SiteName,
    ) -> Result<(), Failure> {
        let site = self.site_row(site)?;
        if site.channel == Channel::Local {
            if self.discard_local(object, x, &site)? {
                return Ok(());
            }
            return match self.local_store(&site)?.delete(&share_name(object, x)?) {
                Ok(()) | Err(StoreError::NotFound) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        let mut peer = self.dialer(&site, Purpose::Store, Patience::Once)?()?;
        let discarded = peer.discard_completed(ShareAddress { object, x });
        hang_up(peer);
        Ok(discarded?)
    }
}

/// An object that some sites hold whole and that can't be completed at the others.
pub(crate) fn half_complete(intent: &Intent, sites: &[&SiteName]) -> Failure {
    let object = intent.object;
    let names: Vec<&str> = sites.iter().map(|site| site.as_str()).collect();
    let what = format!(
        "object {object} is complete at {} of {} sites ({}): it stays there, unlisted",
        sites.len(),
        intent.shares.len(),
        names.join(", ")
    );
    Failure::new(Class::Damage, "object-half-complete", what)
        .next(format!("`warifu jobs cancel --force {object}` removes what is left of it, for good"))
}
