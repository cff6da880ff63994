//! The site as a whole: its parts, and how many connections it has room for.

use crate::drafts::Drafts;
use crate::gatherings::Gatherings;
use crate::limit::HelloLimit;
use crate::neighbourhood::Neighbourhood;
use crate::office::{Enforcement, Office};
use crate::works::Works;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use warifu_backend::{ShareStore, TransportError};
use warifu_catalog::Register;
use warifu_core::{LinkId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::{Deliverer, Deliveries, Entropy, KeyError, KeyStore};
use warifu_link::hello::{HelloError, Nonce, RefusalReason};
use warifu_link::{FrameError, MessageError};
use warifu_pipeline::clock::{Clock, SystemClock};

/// Connections served at once.
const CONNECTIONS_MAX: usize = 512;

/// Connections of one link at once: no gateway takes all places.
const CONNECTIONS_OF_LINK_MAX: usize = 64;

/// Connections at once that have not proved yet to hold a link's key.
const UNPROVED_MAX: usize = 128;

/// A place among so many, given back when it is dropped.
pub(crate) struct Place {
    taken: Arc<AtomicUsize>,
}

impl Place {
    fn take(taken: &Arc<AtomicUsize>, places: usize) -> Result<Self, SiteError> {
        let place = Self { taken: taken.clone() };
        match taken.fetch_add(1, Ordering::AcqRel) < places {
            true => Ok(place),
            false => Err(SiteError::Crowded),
        }
    }
}

impl Drop for Place {
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
    clock: Arc<dyn Clock>,
    isa: Isa,
    drafts: Drafts,
    hello_limit: HelloLimit,
    connections: Arc<AtomicUsize>,
    by_link: Mutex<HashMap<LinkId, Arc<AtomicUsize>>>,
    unproved: Arc<AtomicUsize>,
    numbered: AtomicU64,
    deliveries: Option<Arc<dyn Deliveries>>,
    gatherings: Gatherings,
    office: Option<Office>,
    neighbourhood: Option<Arc<dyn Neighbourhood>>,
    /// Shares that are being worked out with other sites.
    works: Mutex<Works>,
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
            clock: Arc::new(SystemClock::new()),
            isa,
            drafts: Drafts::default(),
            hello_limit: HelloLimit::default(),
            connections: Arc::default(),
            by_link: Mutex::default(),
            unproved: Arc::default(),
            numbered: AtomicU64::new(0),
            deliveries: None,
            gatherings: Gatherings::default(),
            office: None,
            neighbourhood: None,
            works: Mutex::default(),
        }
    }

    /// The place of a connection that has proved nothing yet.
    pub(crate) fn unproved_place(&self) -> Result<Place, SiteError> {
        Place::take(&self.unproved, UNPROVED_MAX)
    }

    /// The places of a connection of `link`: among all, and among that link's.
    pub(crate) fn proved_places(&self, link: LinkId) -> Result<[Place; 2], SiteError> {
        let place = Place::take(&self.connections, CONNECTIONS_MAX)?;
        let own = Place::take(&self.connections_of(link), CONNECTIONS_OF_LINK_MAX)?;
        Ok([place, own])
    }

    /// Tells the time by this clock, and not by the system's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Gets key from these deliverers, where a gateway offers names of it.
    #[must_use]
    pub fn with_delivery(self, deliveries: Arc<dyn Deliveries>) -> Self {
        Self { deliveries: Some(deliveries), ..self }
    }

    /// Keeps this register of persons and, where the settings say so, releases what is theirs only
    /// as they agree.
    #[must_use]
    pub fn with_register(self, register: Register, enforcement: Enforcement) -> Self {
        Self { office: Some(Office::new(register, enforcement)), ..self }
    }

    /// Works with other sites, to which this is the way.
    #[must_use]
    pub fn with_neighbourhood(self, neighbourhood: Arc<dyn Neighbourhood>) -> Self {
        Self { neighbourhood: Some(neighbourhood), ..self }
    }

    /// The way to other sites, if there is one.
    pub(crate) fn neighbourhood(&self) -> Option<&dyn Neighbourhood> {
        self.neighbourhood.as_deref()
    }

    pub(crate) fn works(&self) -> std::sync::MutexGuard<'_, Works> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it releases what is a person's only as they agree.
    pub(crate) fn enforces(&self) -> bool {
        self.office.as_ref().is_some_and(|office| office.rules().enforces)
    }

    /// The deliverer that this site shares with `gateway`.
    pub(crate) fn deliverer(&self, gateway: &SiteName) -> Option<Deliverer> {
        self.deliveries.as_ref()?.deliverer(gateway)
    }

    /// Segments of delivered key that are being gathered.
    pub(crate) const fn gatherings(&self) -> &Gatherings {
        &self.gatherings
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

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// What it knows of persons, if it keeps a register.
    pub(crate) fn office(&self) -> Option<&Office> {
        self.office.as_ref()
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
}
