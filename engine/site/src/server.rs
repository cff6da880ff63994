//! The site as a whole: its parts, and one thread for each connection.

use crate::desk::Desk;
use crate::drafts::Drafts;
use crate::greeting::greet;
use crate::limit::HelloLimit;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use warifu_backend::{ShareStore, Transport, TransportError};
use warifu_core::{LinkId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::{Entropy, KeyError, KeyStore};
use warifu_link::hello::{HelloError, Nonce, RefusalReason};
use warifu_link::{FrameError, MessageError};

/// Connections served at once.
const CONNECTIONS_MAX: usize = 512;

/// Connections of one link at once: no gateway takes all places.
const CONNECTIONS_OF_LINK_MAX: usize = 64;

/// Connections at once that have not proved yet to hold a link's key.
const UNPROVED_MAX: usize = 128;

/// A place among so many, given back when it is dropped.
struct Place<'a> {
    taken: &'a AtomicUsize,
}

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize, places: usize) -> Result<Self, SiteError> {
        let place = Self { taken };
        match taken.fetch_add(1, Ordering::AcqRel) < places {
            true => Ok(place),
            false => Err(SiteError::Crowded),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why a connection ended other than by its own wish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The connection broke.
    #[error("the connection broke")]
    Transport(#[from] TransportError),
    /// The hello is none.
    #[error("the hello is refused")]
    Hello(#[from] HelloError),
    /// The hello was declined.
    #[error("declined a connection for link {link}: {reason}")]
    Declined {
        /// The link that it named.
        link: LinkId,
        /// Why.
        reason: RefusalReason,
    },
    /// A frame is forged, replayed or out of order.
    #[error("a frame is refused")]
    Frame(#[from] FrameError),
    /// A message makes no sense.
    #[error("a message is refused")]
    Message(#[from] MessageError),
    /// The key store refuses.
    #[error("the key store refuses")]
    Key(#[from] KeyError),
    /// The gateway does not keep to the protocol.
    #[error("the gateway broke the protocol: {0}")]
    Protocol(&'static str),
    /// More connections than this site serves at once.
    #[error("too many connections at once")]
    Crowded,
    /// No randomness for a nonce.
    #[error("no randomness for a nonce")]
    Entropy(#[source] io::Error),
}

/// A site: key store, store of shares, and the shares being written.
pub struct Site {
    name: SiteName,
    keys: Arc<KeyStore>,
    store: Arc<dyn ShareStore>,
    entropy: Arc<dyn Entropy>,
    isa: Isa,
    drafts: Drafts,
    hello_limit: HelloLimit,
    connections: AtomicUsize,
    by_link: Mutex<HashMap<LinkId, Arc<AtomicUsize>>>,
    unproved: AtomicUsize,
    numbered: AtomicU64,
}

impl Site {
    /// A site named `name`.
    #[must_use]
    pub fn new(
        name: SiteName,
        keys: Arc<KeyStore>,
        store: Arc<dyn ShareStore>,
        entropy: Arc<dyn Entropy>,
        isa: Isa,
    ) -> Self {
        Self {
            name,
            keys,
            store,
            entropy,
            isa,
            drafts: Drafts::default(),
            hello_limit: HelloLimit::default(),
            connections: AtomicUsize::new(0),
            by_link: Mutex::default(),
            unproved: AtomicUsize::new(0),
            numbered: AtomicU64::new(0),
        }
    }

    /// Serves one connection until it ends. Unused key goes back where the gateway ends cleanly.
    ///
    /// # Errors
    /// Where it does not end cleanly. Nothing that was acknowledged is lost by that.
    pub fn serve(&self, transport: Box<dyn Transport>) -> Result<(), SiteError> {
        let greeted = {
            let _place = Place::take(&self.unproved, UNPROVED_MAX)?;
            greet(self, transport)?
        };
        let _place = Place::take(&self.connections, CONNECTIONS_MAX)?;
        let own = self.connections_of(greeted.link);
        let _own_place = Place::take(&own, CONNECTIONS_OF_LINK_MAX)?;
        Desk::new(self, greeted).work()
    }

    fn connections_of(&self, link: LinkId) -> Arc<AtomicUsize> {
        let mut by_link = self.by_link.lock().unwrap_or_else(PoisonError::into_inner);
        by_link.entry(link).or_default().clone()
    }

    /// The site's name.
    #[must_use]
    pub fn name(&self) -> &SiteName {
        &self.name
    }

    /// A number that no other connection of this process has.
    pub(crate) fn number_connection(&self) -> u64 {
        self.numbered.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn keys(&self) -> &KeyStore {
        &self.keys
    }

    pub(crate) fn store(&self) -> &dyn ShareStore {
        self.store.as_ref()
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub(crate) fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    pub(crate) fn hello_limit(&self) -> &HelloLimit {
        &self.hello_limit
    }

    pub(crate) fn nonce(&self) -> Result<Nonce, SiteError> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).map_err(SiteError::Entropy)?;
        Ok(Nonce::from_bytes(bytes))
    }

    /// How long a connection may take to prove itself.
    pub(crate) fn greeting_patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}
