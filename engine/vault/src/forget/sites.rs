//! Going to every site, one after the other, and having it delete its shares.

use super::ForgetRequest;
use crate::Vault;
use crate::audit::checkpoint_line_of;
use crate::backup::share_name;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::{error_chain, hang_up};
use std::collections::{BTreeMap, BTreeSet};
use warifu_backend::Error as StoreError;
use warifu_catalog::{GoneShare, Object, ShareState, Site};
use warifu_core::{Channel, ObjectId, SiteName, XCoord};
use warifu_link::Status;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress};

/// What shows that a share is gone where its site keeps no log of its own.
const NO_LOG: &str = "";

/// A share that its site has not deleted yet, and why.
pub(crate) struct NotDeleted {
    pub(super) object: ObjectId,
    pub(super) x: XCoord,
    pub(super) why: String,
}

impl Vault {
    /// Has all sites delete what they have of `objects`, as far as they can be reached. What is
    /// gone is noted site by site.
    pub(super) fn delete_everywhere(
        &self,
        objects: &[Object],
        request: &ForgetRequest,
    ) -> Result<Vec<NotDeleted>, Failure> {
        let mut not_deleted = Vec::new();
        for (name, shares) in self.shares_left(objects)? {
            if request.lost.contains(&name) {
                continue;
            }
            let site = self.site_row(&name)?;
            let addresses = shares.iter().copied();
            let outcome = match site.channel {
                Channel::Otp => self.delete_at(&site, addresses, request, &mut not_deleted),
                _ => self.delete_here(&site, addresses),
            };
            if let Err(failure) = outcome {
                let gone = self.gone(objects)?;
                let why = error_chain(&failure);
                not_deleted.extend(
                    shares
                        .iter()
                        .filter(|share| !gone.contains(share))
                        .map(|&(object, x)| NotDeleted { object, x, why: why.clone() }),
                );
            }
        }
        Ok(not_deleted)
    }

    /// By site, the shares that are not known to be gone.
    fn shares_left(
        &self,
        objects: &[Object],
    ) -> Result<BTreeMap<SiteName, Vec<(ObjectId, XCoord)>>, Failure> {
        let gone = self.gone(objects)?;
        let mut left: BTreeMap<SiteName, Vec<(ObjectId, XCoord)>> = BTreeMap::new();
        for object in objects {
            for share in &object.shares {
                let address = (object.object, share.x);
                if !gone.contains(&address) {
                    left.entry(share.site.clone()).or_default().push(address);
                }
            }
        }
        Ok(left)
    }

    fn gone(&self, objects: &[Object]) -> Result<BTreeSet<(ObjectId, XCoord)>, Failure> {
        let mut gone = BTreeSet::new();
        for object in objects {
            let known = self.catalog()?.forgetting(&object.object)?;
            let shares = known.iter().flat_map(|known| &known.gone);
            gone.extend(shares.map(|share| (object.object, share.x)));
        }
        Ok(gone)
    }

    /// At a site with a daemon. What its audit log stands at afterwards is kept as evidence.
    fn delete_at(
        &self,
        site: &Site,
        addresses: impl Iterator<Item = (ObjectId, XCoord)>,
        request: &ForgetRequest,
        not_deleted: &mut Vec<NotDeleted>,
    ) -> Result<(), Failure> {
        let mut peer = self.dialer(site, Purpose::Pair, Patience::Once)?()?;
        let mut deleted = Vec::new();
        for (object, x) in addresses {
            match forget(&mut peer, ShareAddress { object, x }, &request.reason) {
                Ok(()) => deleted.push((object, x)),
                Err(Refusal::Held(why)) => not_deleted.push(NotDeleted { object, x, why }),
                Err(Refusal::Failed(failure)) => {
                    // What is gone is noted all the same.
                    self.note_all_gone(&deleted, NO_LOG)?;
                    return Err(failure);
                }
            }
        }
        let evidence = match self.meet(site, &mut peer) {
            Ok(Some(shown)) => checkpoint_line_of(&shown),
            Ok(None) | Err(_) => NO_LOG.to_owned(),
        };
        hang_up(peer);
        self.note_all_gone(&deleted, &evidence)
    }

    /// In a store without a daemon.
    fn delete_here(
        &self,
        site: &Site,
        addresses: impl Iterator<Item = (ObjectId, XCoord)>,
    ) -> Result<(), Failure> {
        let store = self.local_store(site)?;
        for (object, x) in addresses {
            match store.delete(&share_name(object, x)?) {
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error) => {
                    let what = format!("the share at {} can't be deleted", site.site);
                    return Err(Failure::new(Class::Other, "site-store", what).because(error));
                }
            }
            self.note_all_gone(&[(object, x)], NO_LOG)?;
        }
        Ok(())
    }

    fn note_all_gone(&self, gone: &[(ObjectId, XCoord)], evidence: &str) -> Result<(), Failure> {
        let at_unix_s = self.now_unix_s();
        for (object, x) in gone {
            let gone = GoneShare { x: *x, at_unix_s, evidence: evidence.to_owned() };
            self.catalog()?.note_gone(object, &gone)?;
            self.catalog()?.set_share_state(object, *x, ShareState::Missing)?;
        }
        Ok(())
    }
}

/// Why a share was not deleted.
enum Refusal {
    /// The site keeps it, and says why: a hold lies on its object there, or a backup runs.
    Held(String),
    Failed(Failure),
}

fn forget(peer: &mut Peer, address: ShareAddress, reason: &str) -> Result<(), Refusal> {
    match peer.forget(address, reason) {
        Ok(()) | Err(PeerError::Refused { status: Status::NoSuchShare, .. }) => Ok(()),
        Err(PeerError::Refused { status: Status::Refused, text }) => Err(Refusal::Held(text)),
        Err(error) => Err(Refusal::Failed(error.into())),
    }
}
