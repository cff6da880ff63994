//! Finding the way to a site.

use crate::failure::{Class, Failure};
use crate::world::World;
use crate::{Vault, config};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use warifu_backend::ShareStore;
use warifu_catalog::Site;
use warifu_core::{LinkId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::{Entropy, KeyStore};
use warifu_link::hello::Nonce;
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::clock::Clock;
use warifu_pipeline::peer::{Peer, PeerError, PeerSettings};

/// Key leased with the handshake of a connection that may turn out not to be used, in bytes.
/// What is left of it holds no chunk, which a plan allows for.
const FIRST_LEASE_BYTES: u64 = 8 << 10;

/// Key leased at a time for requests to read, in bytes.
const READ_LEASE_BYTES: u64 = 64 << 10;

/// Key leased to a site with the hello, for its confirmation and the first answers, in bytes.
pub(crate) const FIRST_ANSWER_BYTES: u64 = 1 << 10;

/// The same of a connection for pairing, which goes on where no more can be leased.
const FIRST_PAIR_ANSWER_BYTES: u64 = 2 << 10;

/// Key leased at a time for pairing, in either direction, in bytes: what a broken connection burns.
const PAIR_LEASE_BYTES: u64 = 8 << 10;

/// How often a handshake is begun again that another one of this vault crossed: each goes on above
/// the marks that it finds, and whichever is confirmed first burns what lies below.
const RACES_MAX: u32 = 6;

/// Key leased to a site at a time for receipts, in bytes.
pub(crate) const RECEIPT_LEASE_BYTES: u64 = 256 << 10;

/// How long an answer may take: a site may have to sync, or to read what it was left with.
const ANSWER_PATIENCE: Duration = Duration::from_secs(300);

/// What a connection is for, which decides how much key the site is lent for its answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Store,
    Read,
    /// Pairing delivered key: a few short messages for each segment.
    Pair,
}

/// Whether to keep looking for a site that does not answer.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    Once,
    For(Duration),
}

/// `HOST:PORT` of a site's URL.
pub(crate) fn address_of(url: &str) -> Result<&str, Failure> {
    let address = url.strip_prefix("warifu://").map(|rest| rest.trim_end_matches('/'));
    match address.filter(|address| {
        address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    }) {
        Some(address) => Ok(address),
        None => Err(Failure::new(
            Class::Usage,
            "url-invalid",
            format!("{url:?} is no URL of a site daemon"),
        )
        .next("write warifu://HOST:PORT")),
    }
}

impl Vault {
    /// The link to `site`.
    pub(crate) fn link_of(&self, site: &Site) -> Result<LinkId, Failure> {
        site.link.ok_or_else(|| {
            let what = format!("site {} has no link yet", site.site);
            Failure::new(Class::Key, "link-missing", what).next(format!(
                "run `warifu key generate --site {} --bytes SIZE --courier DRIVE`",
                site.site
            ))
        })
    }

    /// A way to connect to `site`, again and again.
    pub(crate) fn dialer(
        &self,
        site: &Site,
        purpose: Purpose,
        patience: Patience,
    ) -> Result<Dial, Failure> {
        let way = self.way(self.link_of(site)?, &site.url)?;
        let settings = self.peer_settings(purpose);
        let mut tidings = self.tidings(site)?;
        let mut connect = move || {
            let mut peer = way.connect(settings)?;
            if let Some(tidings) = &mut tidings {
                tidings.tell(&mut peer)?;
            }
            Ok(peer)
        };
        let clock = self.clock.clone();
        Ok(Box::new(move || with_patience(&mut connect, clock.as_ref(), patience)))
    }

    /// The same to another party, with whom nothing but `purpose` is to be talked about.
    pub(crate) fn dialer_of_link(
        &self,
        (link, url): (LinkId, &str),
        purpose: Purpose,
        patience: Patience,
    ) -> Result<Dial, Failure> {
        let (way, settings) = (self.way(link, url)?, self.peer_settings(purpose));
        let clock = self.clock.clone();
        let mut connect = move || way.connect(settings);
        Ok(Box::new(move || with_patience(&mut connect, clock.as_ref(), patience)))
    }

    fn peer_settings(&self, purpose: Purpose) -> PeerSettings {
        let limits = self.config.limits;
        PeerSettings {
            first_lease_bytes: match purpose {
                Purpose::Store | Purpose::Read => FIRST_LEASE_BYTES,
                Purpose::Pair => PAIR_LEASE_BYTES,
            },
            lease_bytes: match purpose {
                Purpose::Store => limits.lease_bytes,
                Purpose::Read => READ_LEASE_BYTES,
                Purpose::Pair => PAIR_LEASE_BYTES,
            },
            first_answer_bytes: match purpose {
                Purpose::Store | Purpose::Read => FIRST_ANSWER_BYTES,
                Purpose::Pair => FIRST_PAIR_ANSWER_BYTES,
            },
            answer_lease_bytes: match purpose {
                Purpose::Store => RECEIPT_LEASE_BYTES,
                Purpose::Read => limits.answer_lease_bytes,
                Purpose::Pair => PAIR_LEASE_BYTES,
            },
            patience: ANSWER_PATIENCE,
        }
    }

    fn way(&self, link: LinkId, url: &str) -> Result<Way, Failure> {
        Ok(Way { link, address: address_of(url)?.to_owned(), origin: self.origin() })
    }

    /// What every connection from this vault takes.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            dir: self.dir.clone(),
            keys: self.keys.clone(),
            entropy: self.entropy.clone(),
            world: self.world.clone(),
            isa: self.isa,
        }
    }

    /// Where it is noted that a site has seen a later opening of this vault.
    pub(crate) fn rollback_mark(&self, link: LinkId) -> PathBuf {
        rollback_mark(&self.dir, link)
    }

    /// The store of a `local` site.
    pub(crate) fn local_store(&self, site: &Site) -> Result<Arc<dyn ShareStore>, Failure> {
        self.open_store(&site.url)
    }

    /// Opens the store at a `file:///` URL.
    pub(crate) fn open_store(&self, url: &str) -> Result<Arc<dyn ShareStore>, Failure> {
        Ok(self.world.open_store(&config::file_url(url)?)?)
    }

    /// The site of this name.
    pub(crate) fn site_row(&self, name: &SiteName) -> Result<Site, Failure> {
        Ok(self.catalog()?.site(name)?)
    }
}

/// Where connections of a vault begin.
pub(crate) struct Origin {
    dir: PathBuf,
    keys: Arc<KeyStore>,
    entropy: Arc<dyn Entropy>,
    world: Arc<dyn World>,
    isa: Isa,
}

impl Origin {
    /// Connects to whoever is at `address`, `HOST:PORT`, at the other end of `link`.
    pub(crate) fn connect(
        &self,
        link: LinkId,
        address: &str,
        settings: PeerSettings,
    ) -> Result<Peer, PeerError> {
        let mark = rollback_mark(&self.dir, link);
        if let Some(known) = noticed_rollback(&mark) {
            return Err(PeerError::OwnRollback { known });
        }
        let transport = self.world.connect(address)?;
        let mut nonce = [0; 16];
        let drawn = self.entropy.fill(&mut nonce);
        drawn.map_err(|_| PeerError::Unexpected("no randomness here"))?;
        let nonce = Nonce::from_bytes(nonce);
        let peer = Peer::connect(transport, self.keys.clone(), link, nonce, self.isa, settings);
        if let Err(PeerError::OwnRollback { known }) = &peer {
            // Noticed once, it stays so until a person decides, whatever is opened meanwhile.
            std::fs::write(&mark, known.to_string()).unwrap_or_else(|error| {
                tracing::warn!(%error, "the rollback can't be noted");
            });
        }
        peer
    }
}

/// The way to the other end of one link.
struct Way {
    link: LinkId,
    address: String,
    origin: Origin,
}

impl Way {
    fn connect(&self, settings: PeerSettings) -> Result<Peer, PeerError> {
        self.origin.connect(self.link, &self.address, settings)
    }
}

fn rollback_mark(dir: &Path, link: LinkId) -> PathBuf {
    dir.join(format!("rolled-back-{link}"))
}

/// The opening that a site had seen, where a rollback was noticed before.
fn noticed_rollback(mark: &Path) -> Option<u64> {
    std::fs::read_to_string(mark).ok().map(|known| known.trim().parse().unwrap_or(0))
}

pub(crate) fn with_patience(
    connect: &mut impl FnMut() -> Result<Peer, PeerError>,
    clock: &dyn Clock,
    patience: Patience,
) -> Result<Peer, PeerError> {
    let started = clock.elapsed();
    let mut pause = Duration::from_millis(50);
    let mut races_left = RACES_MAX;
    loop {
        let error = match connect() {
            Ok(peer) => return Ok(peer),
            Err(PeerError::Superseded | PeerError::HelloGrantUsed { .. }) if races_left > 0 => {
                races_left -= 1;
                continue;
            }
            Err(error) => error,
        };
        let go_on = match patience {
            Patience::Once => false,
            Patience::For(limit) => error.is_lost() && clock.elapsed() - started + pause < limit,
        };
        if !go_on {
            return Err(error);
        }
        clock.pause(pause);
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
