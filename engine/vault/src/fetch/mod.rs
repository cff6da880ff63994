//! `key fetch`: key that a KME delivers to both ends of a link, until there is enough of it.

mod errand;
mod gather;
mod pair;

use crate::audit::Told;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::error_chain;
use crate::{PeerKme, Progress, Vault, Watch};
use errand::{Order, fetch_one};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use warifu_core::{End, SiteName};
use warifu_keystore::{Deliverer, Deliveries, DeliveryError};

/// Key paired at a time where nothing is set, in bytes. Less where keys are short, or come slowly.
const SEGMENT_BYTES: u64 = 32 << 20;

/// How often rates are learnt from what arrives, at most.
const NOTED_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How much key is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchGoal {
    /// So many bytes more for each site, both directions together; a key more at most.
    Bytes(u64),
    /// So many bytes in each direction of each site; `None` for what is set for its KME, or a GiB.
    Watermark(Option<u64>),
}

/// Key to be fetched.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// For the links to these sites; empty for all that have a KME.
    pub sites: Vec<SiteName>,
    /// Until there is so much.
    pub goal: FetchGoal,
    /// Go on when that is reached or a KME or site is away, until asked to stop.
    pub follow: bool,
    /// How long to wait for a KME or a site that has nothing; without `follow`.
    pub patience: Duration,
    /// Fetch again from a KME that was stopped because the two ends got different key.
    pub accept_mismatch: bool,
}

/// What was fetched for one site.
#[derive(Clone, Debug, Serialize)]
pub struct FetchedRow {
    /// The site at the other end.
    pub site: String,
    /// Where the key comes from.
    pub source: String,
    /// Key added at both ends, in bytes.
    pub bytes: u64,
    /// In so many segments.
    pub segments: u64,
    /// Segments that one end could not get, or that differed.
    pub segments_lost: u64,
    /// Names of keys that had come before, and were refused.
    pub names_refused: u64,
    /// What went wrong last; `null` where all is as wished.
    pub error: Option<String>,
}

/// What a fetch did.
#[derive(Debug, Serialize)]
pub struct FetchReport {
    /// Version of this document.
    pub v: u32,
    /// By site.
    pub sites: Vec<FetchedRow>,
    /// Why it is not complete, by site: the first of them.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

impl Vault {
    /// Fetches key from these deliverers, where asked to.
    #[must_use]
    pub fn with_deliveries(self, deliveries: Arc<dyn Deliveries>) -> Self {
        Self { deliveries: Some(deliveries), ..self }
    }

    /// Fetches key for links from their KMEs, at both ends, until the goal is reached or, if it is
    /// to follow, until it is asked to stop.
    ///
    /// What went wrong with one site ends the fetch for that site, and stands in the report.
    ///
    /// # Errors
    /// Where a site is unknown, without a link that begins here, or without KME.
    pub fn fetch(&self, request: &FetchRequest, watch: Watch<'_>) -> Result<FetchReport, Failure> {
        let orders = self.fetch_orders(request)?;
        let deliverers: Vec<Deliverer> =
            orders.iter().map(|order| order.deliverer.clone()).collect();
        for order in &orders {
            let told = Told::operator().site(&order.site).note("fetches key from a KME");
            self.log_event("key", &told.result("begun"))?;
        }
        let (sender, receiver) = mpsc::channel();
        let Watch { progress, stop } = watch;
        let total_bytes = match request.goal {
            FetchGoal::Bytes(bytes) => bytes.saturating_mul(orders.len() as u64),
            FetchGoal::Watermark(_) => 0,
        };
        let ended = std::thread::scope(|scope| {
            let mut running = Vec::new();
            for order in orders {
                let sender = sender.clone();
                running.push(scope.spawn(move || fetch_one(order, request, stop, &sender)));
            }
            drop(sender);
            let (mut done_bytes, mut noted) = (0, self.clock.elapsed());
            loop {
                let bytes = match receiver.recv_timeout(LOOK_EVERY) {
                    Ok(bytes) => bytes,
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        if stop.load(Relaxed) {
                            deliverers.iter().for_each(|one| one.delivery.hurry());
                        }
                        continue;
                    }
                };
                done_bytes += bytes;
                if self.clock.elapsed() >= noted + NOTED_EVERY {
                    self.note_arrivals();
                    noted = self.clock.elapsed();
                }
                progress(Progress { done_bytes, total_bytes, key_bytes: done_bytes });
            }
            self.note_arrivals();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().ok();
            running.into_iter().map(join).collect::<Vec<_>>()
        });
        let mut report = FetchReport { v: 1, sites: Vec::new(), failure: None };
        for one in ended {
            let (row, failure) = one.ok_or_else(|| {
                Failure::new(Class::Other, "internal", "a fetch ended by a fault of this program")
            })?;
            report.sites.push(row);
            report.failure = report.failure.or(failure);
        }
        Ok(report)
    }

    fn fetch_orders(&self, request: &FetchRequest) -> Result<Vec<Order>, Failure> {
        let missing = |name: String| {
            let what = format!("no KME is configured for {name}");
            Failure::new(Class::Usage, "kme-missing", what)
                .next("add a section [kme.NAME] to config.toml with that party among its `peers`")
        };
        let sites = match request.sites.is_empty() {
            false => request.sites.clone(),
            true => self.sites_on_links()?,
        };
        let mut orders = Vec::new();
        for site in sites {
            match self.deliverer_of(&site)? {
                Some(deliverer) => orders.push(self.order(site, deliverer)?),
                None if request.sites.is_empty() => {}
                None => return Err(missing(format!("site {site}"))),
            }
        }
        match orders.is_empty() {
            true => Err(missing("any site on a link".to_owned())),
            false => Ok(orders),
        }
    }

    /// The sites that this vault connects to over links.
    fn sites_on_links(&self) -> Result<Vec<SiteName>, Failure> {
        if self.is_site() {
            let mut sites = Vec::new();
            for neighbour in self.register()?.neighbours()? {
                if let Some((_, End::A)) = self.keys.link_with(&neighbour.site)? {
                    sites.push(neighbour.site);
                }
            }
            return Ok(sites);
        }
        let sites = self.catalog()?.sites()?.into_iter();
        Ok(sites.filter(|row| row.link.is_some()).map(|row| row.site).collect())
    }

    /// The deliverer of key that is shared with `party`: one that was given, or one that is set.
    fn deliverer_of(&self, party: &SiteName) -> Result<Option<Deliverer>, Failure> {
        match &self.deliveries {
            Some(given) => Ok(given.deliverer(party)),
            None => Ok(self.kme_for(party)?.map(configured)),
        }
    }

    /// The deliverers that a site's daemon uses. One that can't be used is told of, and left out:
    /// the rest of the site goes on without it.
    pub(crate) fn deliveries_to_serve(&self) -> Arc<dyn Deliveries> {
        if let Some(given) = &self.deliveries {
            return given.clone();
        }
        for (_, failure) in self.config.broken_kmes() {
            tracing::error!(why = error_chain(&failure), "a KME can't be used");
        }
        let mut known = BTreeMap::new();
        for party in self.config.kme.values().flat_map(|kme| kme.peers.keys()) {
            let Ok(party) = party.parse::<SiteName>() else { continue };
            match self.kme_for(&party) {
                Ok(found) => known.extend(found.map(|kme| (party, configured(kme)))),
                Err(failure) => {
                    tracing::error!(%party, why = error_chain(&failure), "a KME can't be used");
                }
            }
        }
        Arc::new(Configured(known))
    }

    fn order(&self, site: SiteName, deliverer: Deliverer) -> Result<Order, Failure> {
        let (link, dial) = match self.is_site() {
            true => {
                let neighbour = self.neighbour(&site)?;
                let link = self.own_link(&site)?;
                let way = (link, neighbour.url.as_str());
                (link, self.dialer_of_link(way, Purpose::Pair, Patience::Once)?)
            }
            false => {
                let row = self.site_row(&site)?;
                (self.link_of(&row)?, self.dialer(&row, Purpose::Pair, Patience::Once)?)
            }
        };
        Ok(Order {
            site,
            pool: link.into(),
            deliverer,
            dial,
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            isa: self.isa,
        })
    }
}

/// The deliverers of the settings, by the party at the other end.
struct Configured(BTreeMap<SiteName, Deliverer>);

impl Deliveries for Configured {
    fn deliverer(&self, peer: &SiteName) -> Option<Deliverer> {
        self.0.get(peer).cloned()
    }
}

fn configured(kme: PeerKme) -> Deliverer {
    let PeerKme { delivery, peer, settings } = kme;
    Deliverer {
        delivery,
        peer,
        class: settings.class,
        segment_bytes: settings.segment_bytes.unwrap_or(SEGMENT_BYTES),
        manner: settings.manner,
        watermark_bytes: settings.watermark_bytes,
    }
}

fn stopped() -> Failure {
    Failure::new(Class::Temporary, "stopped", "stopped on request, before all key was fetched")
        .next("what was added stays; give the same command again")
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        let (class, code, next) = match &error {
            DeliveryError::NotNow { .. } | DeliveryError::Lost { .. } => {
                (Class::Temporary, "kme-away", "see that the KME runs and has key, then try again")
            }
            DeliveryError::Malformed { .. } | DeliveryError::Gone { .. } => {
                (Class::Authentication, "kme-malformed", "see `warifu key test`")
            }
            _ => (
                Class::Authentication,
                "kme-refuses",
                "see that certificate and peer of its section [kme.NAME] are right",
            ),
        };
        Self::new(class, code, "the KME gives no key").because(error).next(next)
    }
}
