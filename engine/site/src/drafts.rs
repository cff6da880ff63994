//! Shares that are being written, kept across connections so that a gateway may come back.

use std::collections::{BTreeSet, HashMap};
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

type Open = HashMap<(LinkId, ShareAddress), SharedDraft>;

/// All drafts that this process has open.
#[derive(Default)]
pub(crate) struct Drafts {
    open: Mutex<Open>,
    connections: Mutex<Connections>,
}

/// What the connections of this process have to do with shares. They are numbered as they came.
#[derive(Default)]
struct Connections {
    open: HashMap<LinkId, BTreeSet<u64>>,
    /// Which one works on a share, from its beginning until that connection begins another or
    /// ends.
    holders: HashMap<(LinkId, ShareAddress), u64>,
    /// Which one has thrown a share away. Kept while an older one of the link is open, where a
    /// request to begin that very share may still be on its way: nobody would ever ask for it
    /// again.
    discarders: HashMap<(LinkId, ShareAddress), u64>,
}

impl Connections {
    fn oldest(&self, link: LinkId) -> Option<u64> {
        self.open.get(&link)?.first().copied()
    }
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
        let Some(shared) = self.place(link, address) else { return Ok(None) };
        // Taking up what an earlier process left may take long: only this draft waits for it.
        let mut place = writer(&shared);
        let is_closed =
            |open: &Open| !open.get(&(link, address)).is_some_and(|now| Arc::ptr_eq(now, &shared));
        if is_closed(&self.lock()) {
            // Completed or thrown away while this one waited.
            drop(place);
            return self.begin(store, link, address, draft);
        }
        match place.as_ref() {
            Some(writer) if *writer.draft() == draft => {}
            Some(_) => return Err(ShareError::OtherOwner),
            None => match ShareWriter::begin(store, &share_name(address)?, draft) {
                Ok(writer) => *place = Some(writer),
                Err(error) => {
                    drop(place);
                    drop(self.close(link, address));
                    return Err(error);
                }
            },
        }
        drop(place);
        Ok(Some(shared))
    }

    /// The place of a draft, empty where it was not open; `None` where the link has too many.
    fn place(&self, link: LinkId, address: ShareAddress) -> Option<SharedDraft> {
        let mut open = self.lock();
        let others = open.keys().filter(|key| key.0 == link && key.1 != address).count();
        (others < DRAFTS_MAX).then(|| open.entry((link, address)).or_default().clone())
    }

    /// `connection` of `link` is there from now on.
    pub(crate) fn opened(&self, link: LinkId, connection: u64) {
        self.connections().open.entry(link).or_default().insert(connection);
    }

    /// `connection` works on this share now, whoever did before. It works on one at a time: what
    /// it held before is listed at its gateway, or given up. False where a later connection has
    /// thrown the share away: this request was overtaken.
    pub(crate) fn hold(&self, link: LinkId, address: ShareAddress, connection: u64) -> bool {
        let mut connections = self.connections();
        let discarder = connections.discarders.get(&(link, address));
        if discarder.is_some_and(|discarder| *discarder > connection) {
            return false;
        }
        connections.holders.retain(|_, holder| *holder != connection);
        connections.holders.insert((link, address), connection);
        true
    }

    /// `connection` throws this share away.
    pub(crate) fn discarded(&self, link: LinkId, address: ShareAddress, connection: u64) {
        let mut connections = self.connections();
        if connections.oldest(link).is_some_and(|oldest| oldest < connection) {
            connections.discarders.insert((link, address), connection);
        }
    }

    /// Whether another connection works on this share. A copy of a gateway's vault must not clear
    /// away what the original is about to complete.
    pub(crate) fn is_held(&self, link: LinkId, address: ShareAddress, connection: u64) -> bool {
        let connections = self.connections();
        connections.holders.get(&(link, address)).is_some_and(|holder| *holder != connection)
    }

    /// Whether `connection` works on this share: it has begun it, and no other connection has
    /// since. What comes late over one that was superseded must not mix with what came after.
    pub(crate) fn is_holder(&self, link: LinkId, address: ShareAddress, connection: u64) -> bool {
        self.connections().holders.get(&(link, address)) == Some(&connection)
    }

    /// `connection` of `link` has ended.
    pub(crate) fn let_go(&self, link: LinkId, connection: u64) {
        let mut connections = self.connections();
        if let Some(open) = connections.open.get_mut(&link) {
            open.remove(&connection);
            if open.is_empty() {
                connections.open.remove(&link);
            }
        }
        connections.holders.retain(|_, holder| *holder != connection);
        let oldest = connections.oldest(link).unwrap_or(u64::MAX);
        connections.discarders.retain(|(of, _), discarder| *of != link || *discarder > oldest);
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share that `connection` works on rests from now on: its store keeps nothing for it but
    /// its file. A gateway may have many open and send nothing.
    pub(crate) fn settle_held_by(&self, connection: u64) {
        let held = {
            let connections = self.connections();
            let held = connections.holders.iter().filter(|(_, holder)| **holder == connection);
            held.map(|(key, _)| *key).collect::<Vec<_>>()
        };
        for (link, address) in held {
            let Some(draft) = self.find(link, address) else { continue };
            // Whoever has it locked just now works on it, and lets it rest later.
            let Ok(mut place) = draft.try_lock() else { continue };
            if let Some(Err(error)) = place.as_mut().map(ShareWriter::settle) {
                tracing::warn!(object = %address.object, %error, "an unfinished share is spoilt");
            }
        }
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

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_backend::{FaultStore, MemoryStore};
    use warifu_core::{ObjectId, Role, Threshold, XCoord};

    #[test]
    fn a_connection_holds_the_share_that_it_works_on_and_none_before() {
        let drafts = Drafts::default();
        let link = LinkId::from_bytes([1; 16]);
        let address = |number| ShareAddress {
            object: ObjectId::from_bytes([number; 16]),
            x: XCoord::new(1).unwrap(),
        };
        drafts.hold(link, address(1), 7);
        drafts.hold(link, address(9), 8);
        assert!(drafts.is_held(link, address(1), 8) && !drafts.is_held(link, address(1), 7));
        drafts.hold(link, address(2), 7);
        assert!(!drafts.is_held(link, address(1), 8), "that one is finished");
        assert!(drafts.is_held(link, address(2), 8) && drafts.is_held(link, address(9), 7));
        assert!(drafts.is_holder(link, address(2), 7) && !drafts.is_holder(link, address(1), 7));
        drafts.hold(link, address(2), 9);
        assert!(!drafts.is_holder(link, address(2), 7), "another has taken it over");
        drafts.hold(link, address(2), 7);
        drafts.let_go(link, 7);
        assert!(!drafts.is_held(link, address(2), 8) && drafts.is_held(link, address(9), 7));
        assert_eq!(drafts.connections().holders.len(), 1, "one place for each connection");
    }

    #[test]
    fn a_share_rests_when_its_connection_leaves_it() {
        let (drafts, store) = (Drafts::default(), FaultStore::new(MemoryStore::new()));
        let (object, x) = (ObjectId::from_bytes([7; 16]), XCoord::new(1).unwrap());
        let (link, address) = (LinkId::from_bytes([1; 16]), ShareAddress { object, x });
        let threshold = Threshold::new(2, 3).unwrap();
        let draft = Draft { object, x, threshold, role: Role::Computed, link: Some(link) };
        assert!(drafts.hold(link, address, 7));
        let shared = drafts.begin(&store, link, address, draft).unwrap().unwrap();
        let calls = store.calls();
        drafts.settle_held_by(8);
        assert_eq!(store.calls(), calls, "another's share is left alone");
        let working = writer(&shared);
        drafts.settle_held_by(7);
        assert_eq!(store.calls(), calls, "nobody waits for one who works on it");
        drop(working);
        drafts.settle_held_by(7);
        assert_eq!(store.calls(), calls + 1);
    }

    #[test]
    fn a_begin_that_was_overtaken_by_a_discard_begins_nothing() {
        let (drafts, link) = (Drafts::default(), LinkId::from_bytes([1; 16]));
        let address =
            ShareAddress { object: ObjectId::from_bytes([2; 16]), x: XCoord::new(1).unwrap() };
        (0..4).for_each(|connection| drafts.opened(link, connection));
        let another = LinkId::from_bytes([3; 16]);
        drafts.opened(another, 0);
        drafts.discarded(link, address, 2);
        assert!(!drafts.hold(link, address, 1), "an older connection was overtaken");
        assert!(!drafts.is_held(link, address, 3));
        assert!(drafts.hold(link, address, 3), "a later one begins anew");
        drafts.let_go(link, 3);
        drafts.let_go(link, 0);
        assert!(!drafts.hold(link, address, 1), "1 is still there");
        drafts.let_go(link, 1);
        assert!(drafts.connections().discarders.is_empty(), "nobody can come too late any more");
        drafts.let_go(link, 2);
        drafts.opened(link, 4);
        drafts.discarded(link, address, 4);
        assert!(drafts.connections().discarders.is_empty(), "there is no older connection");
    }
}
