//! Shares that are being written, kept across connections so that a gateway may come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_backend::{ShareName, ShareStore};
use warifu_core::LinkId;
use warifu_core::share_file::share_file_name;
use warifu_pipeline::peer::ShareAddress;
use warifu_pipeline::share::{Draft, ShareError, ShareWriter};

/// Drafts of one link at a time; more are refused until some are committed or discarded.
pub(crate) const DRAFTS_MAX: usize = 256;

/// A draft, shared by the connections of its link.
pub(crate) type SharedDraft = Arc<Mutex<Option<ShareWriter>>>;

/// All drafts that this process has open.
#[derive(Default)]
pub(crate) struct Drafts {
    open: Mutex<HashMap<(LinkId, ShareAddress), SharedDraft>>,
}

/// The name of a share in a store.
pub(crate) fn share_name(address: ShareAddress) -> Result<ShareName, ShareError> {
    ShareName::new(&share_file_name(address.object, address.x)).map_err(|_| {
        ShareError::Store(warifu_backend::Error::Limit { what: "the length of a share's name" })
    })
}

/// The writer behind a draft, if it is still open.
pub(crate) fn writer(draft: &SharedDraft) -> MutexGuard<'_, Option<ShareWriter>> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drafts {
    /// Begins `draft` or finds it open. `None` where the link has too many.
    pub(crate) fn begin(
        &self,
        store: &dyn ShareStore,
        link: LinkId,
        address: ShareAddress,
        draft: Draft,
    ) -> Result<Option<SharedDraft>, ShareError> {
        let mut open = self.lock();
        if let Some(found) = open.get(&(link, address)) {
            let same = writer(found).as_ref().is_some_and(|writer| *writer.draft() == draft);
            return if same { Ok(Some(found.clone())) } else { Err(ShareError::OtherOwner) };
        }
        if open.keys().filter(|(owner, _)| *owner == link).count() >= DRAFTS_MAX {
            return Ok(None);
        }
        let writer = ShareWriter::begin(store, &share_name(address)?, draft)?;
        let shared = Arc::new(Mutex::new(Some(writer)));
        open.insert((link, address), shared.clone());
        Ok(Some(shared))
    }

    /// The open draft of `address`.
    pub(crate) fn find(&self, link: LinkId, address: ShareAddress) -> Option<SharedDraft> {
        self.lock().get(&(link, address)).cloned()
    }

    /// Forgets a draft and gives its writer to the caller.
    pub(crate) fn close(&self, link: LinkId, address: ShareAddress) -> Option<ShareWriter> {
        let draft = self.lock().remove(&(link, address))?;
        let mut writer = writer(&draft);
        writer.take()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(LinkId, ShareAddress), SharedDraft>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
