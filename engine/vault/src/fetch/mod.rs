//! `key fetch`: key that a KME delivers to both ends of a link, until there is enough of it.

mod gather;
mod pair;

use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::{PeerKme, Progress, Vault, Watch};
use gather::{Gatherer, Harvest};
use pair::{Outcome, Pairer};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use warifu_core::{PoolId, SiteName};
use warifu_kernels::Isa;
use warifu_keystore::fetch::FetchManner;
use warifu_keystore::{Deliverer, Deliveries, DeliveryError, KeyStore, Pairing};
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::clock::Clock;

/// Key in each direction up to which it is fetched where nothing is said, in bytes.
const WATERMARK_BYTES: u64 = 1 << 30;

/// Key paired at a time where nothing is set, in bytes, of short keys and of long ones.
const SEGMENT_BYTES: u64 = 4 << 20;
const LONG_SEGMENT_BYTES: u64 = 32 << 20;
const LONG_KEY_BYTES: u64 = 64 << 10;

/// The shortest and the longest pause where a KME or a site has nothing.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often a pause looks whether it is to end.
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
    /// Where this is no gateway, or a site is unknown, without link or without KME.
    pub fn fetch(&self, request: &FetchRequest, watch: Watch<'_>) -> Result<FetchReport, Failure> {
        let orders = self.fetch_orders(request)?;
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
            let mut done_bytes = 0;
            for bytes in receiver {
                done_bytes += bytes;
                progress(Progress { done_bytes, total_bytes, key_bytes: done_bytes });
            }
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
            true => {
                let sites = self.catalog()?.sites()?.into_iter();
                sites.filter(|row| row.link.is_some()).map(|row| row.site).collect()
            }
        };
        let mut orders = Vec::new();
        for site in sites {
            let row = self.site_row(&site)?;
            match self.deliverer_of(&site)? {
                Some(deliverer) => {
                    orders.push(self.order(&row, deliverer)?);
                }
                None if request.sites.is_empty() => {}
                None => return Err(missing(format!("site {site}"))),
            }
        }
        match orders.is_empty() {
            true => Err(missing("any site on a link".to_owned())),
            false => Ok(orders),
        }
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
        let mut known = BTreeMap::new();
        for party in self.config.kme.values().flat_map(|kme| kme.peers.keys()) {
            let Ok(party) = party.parse::<SiteName>() else { continue };
            match self.kme_for(&party) {
                Ok(found) => known.extend(found.map(|kme| (party, configured(kme)))),
                Err(failure) => {
                    tracing::error!(%party, why = told(&failure), "a KME can't be used");
                }
            }
        }
        Arc::new(Configured(known))
    }

    fn order(&self, row: &warifu_catalog::Site, deliverer: Deliverer) -> Result<Order, Failure> {
        Ok(Order {
            site: row.site.clone(),
            pool: self.link_of(row)?.into(),
            deliverer,
            dial: self.dialer(row, Purpose::Store, Patience::Once)?,
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
    let long = settings.manner.key_bytes.is_some_and(|bytes| bytes >= LONG_KEY_BYTES);
    let usual = if long { LONG_SEGMENT_BYTES } else { SEGMENT_BYTES };
    Deliverer {
        delivery,
        peer,
        class: settings.class,
        segment_bytes: settings.segment_bytes.unwrap_or(usual),
        manner: settings.manner,
        watermark_bytes: settings.watermark_bytes,
    }
}

fn fetch_one(
    order: Order,
    request: &FetchRequest,
    stop: &AtomicBool,
    added: &mpsc::Sender<u64>,
) -> (FetchedRow, Option<Failure>) {
    let row = FetchedRow {
        site: order.site.to_string(),
        source: order.deliverer.source(),
        bytes: 0,
        segments: 0,
        segments_lost: 0,
        names_refused: 0,
        error: None,
    };
    let mut errand = Errand { order, request, stop, added, row };
    let failure = errand.run().err();
    if let Some(failure) = &failure {
        errand.row.error = Some(told(failure));
    }
    (errand.row, failure)
}

/// A failure with its causes, on one line.
fn told(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// One site and its deliverer.
struct Order {
    site: SiteName,
    pool: PoolId,
    deliverer: Deliverer,
    dial: Dial,
    keys: Arc<KeyStore>,
    clock: Arc<dyn Clock>,
    isa: Isa,
}

/// Fetching for one site.
struct Errand<'a> {
    order: Order,
    request: &'a FetchRequest,
    stop: &'a AtomicBool,
    added: &'a mpsc::Sender<u64>,
    row: FetchedRow,
}

impl Errand<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let pool = self.order.pool;
        let pairing = self.order.keys.pairing(pool)?.ok_or_else(|| {
            let what = format!("another process fetches key for {}", self.row.site);
            Failure::new(Class::Busy, "fetch-running", what).next("wait until it ends, or stop it")
        })?;
        self.expect_trusted(&pairing)?;
        let (mut pause, mut waited) = (PAUSE_MIN, Duration::ZERO);
        loop {
            let segments_before = self.row.segments;
            let failure = match self.round(&pairing) {
                Ok(is_done) if is_done && !self.request.follow => return Ok(()),
                Ok(_) if self.stop.load(Relaxed) => None,
                Ok(false) if self.row.segments == segments_before => Some(self.unusable()),
                Ok(is_done) => {
                    (pause, waited) = (PAUSE_MIN, Duration::ZERO);
                    if is_done {
                        self.pause(PAUSE_MAX / 10);
                    }
                    continue;
                }
                Err(failure) => Some(failure),
            };
            if self.stop.load(Relaxed) {
                return match self.request.follow {
                    true => Ok(()),
                    false => Err(failure.unwrap_or_else(stopped)),
                };
            }
            let Some(failure) = failure else { continue };
            let now = self.order.clock.unix_s();
            pairing.note(|standing| standing.fail(&told(&failure), now))?;
            let may_wait = self.request.follow || waited < self.request.patience;
            // A KME that breaks the protocol may be sound again a moment later.
            let may_mend = failure.class().is_retryable() || failure.code() == "kme-malformed";
            if !may_mend || !may_wait {
                return Err(failure);
            }
            tracing::info!(site = self.row.site, why = told(&failure), "fetching goes on later");
            self.pause(pause);
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Refuses a deliverer whose key differed at the two ends again and again.
    fn expect_trusted(&self, pairing: &Pairing) -> Result<(), Failure> {
        let source = self.order.deliverer.source();
        let accepts = self.request.accept_mismatch;
        let mut is_stopped = false;
        pairing.note(|standing| {
            standing.source.clone_from(&source);
            if accepts {
                standing.mismatches_in_a_row = 0;
            }
            is_stopped = standing.is_stopped();
        })?;
        match is_stopped {
            true => Err(pair::differs(&source, &self.row.site, true)),
            false => Ok(()),
        }
    }

    /// Finishes what was begun, then gathers and pairs what the goal lacks. True once there is
    /// enough.
    fn round(&mut self, pairing: &Pairing) -> Result<bool, Failure> {
        let mut pairer = Pairer::of(pairing, &self.order);
        pairer.connect(&mut self.order.dial)?;
        for pending in pairing.pending()? {
            let outcome = pairer.pair(&pending, self.stop)?;
            self.count(pairing, &outcome)?;
        }
        let lacking = self.lacking()?;
        if lacking == 0 {
            pairer.close();
            return Ok(true);
        }
        let deliverer = self.order.deliverer.clone();
        let gatherer = Gatherer::new(&deliverer, self.manner(), lacking, self.stop);
        let ended = std::thread::scope(|scope| {
            // One segment waits here at most, while the one before is paired.
            let (sender, receiver) = mpsc::sync_channel::<Harvest>(0);
            let gathering = scope.spawn(move || gatherer.run(pairing, &sender));
            let mut paired = Ok(());
            for harvest in receiver {
                paired = self.keep_and_pair(pairing, &mut pairer, harvest);
                if paired.is_err() {
                    break;
                }
            }
            let gathered = gathering.join();
            paired.and_then(|()| {
                gathered.unwrap_or_else(|_| Err(stopped())).map(|answers_refused| {
                    pairing.note(|standing| standing.answers_refused += answers_refused)
                })
            })
        });
        ended??;
        pairer.close();
        Ok(self.lacking()? == 0)
    }

    fn keep_and_pair(
        &mut self,
        pairing: &Pairing,
        pairer: &mut Pairer<'_>,
        harvest: Harvest,
    ) -> Result<(), Failure> {
        let kept = pairer.keep(harvest)?;
        let repeated = kept.names_refused.len() as u64;
        if repeated > 0 {
            let source = self.order.deliverer.source();
            tracing::error!(alarm = "kme-repeats-key", source, site = self.row.site, repeated);
            self.row.names_refused += repeated;
            let now = self.order.clock.unix_s();
            let text = format!("it delivered {repeated} keys that had come before: refused");
            pairing.note(|standing| {
                standing.names_refused += repeated;
                standing.fail(&text, now);
            })?;
        }
        match kept.pending {
            Some(pending) => {
                let outcome = pairer.pair(&pending, self.stop)?;
                self.count(pairing, &outcome)
            }
            None => Ok(()),
        }
    }

    fn count(&mut self, pairing: &Pairing, outcome: &Outcome) -> Result<(), Failure> {
        let now = self.order.clock.unix_s();
        match outcome {
            Outcome::Added(bytes) => {
                self.row.bytes += bytes;
                self.row.segments += 1;
                pairing.note(|standing| standing.arrive(*bytes, now))?;
                // Nobody may listen any more.
                let _told = self.added.send(*bytes);
                Ok(())
            }
            Outcome::Lost(why) => {
                self.row.segments_lost += 1;
                self.row.error = Some(why.clone());
                tracing::warn!(site = self.row.site, why, "a segment of key was given up");
                pairing.note(|standing| {
                    standing.segments_lost += 1;
                    standing.fail(why, now);
                })?;
                Ok(())
            }
            Outcome::Differs => {
                let (source, site) = (&self.row.source, &self.row.site);
                tracing::error!(alarm = "kme-mismatch", source, site);
                self.row.segments_lost += 1;
                let mut is_stopped = false;
                let text = "the two ends got different key";
                pairing.note(|standing| {
                    standing.differ(text, now);
                    is_stopped = standing.is_stopped();
                })?;
                match is_stopped {
                    true => Err(pair::differs(source, site, true)),
                    false => Ok(()),
                }
            }
        }
    }

    /// How much key the goal lacks, in bytes.
    fn lacking(&self) -> Result<u64, Failure> {
        match self.request.goal {
            FetchGoal::Bytes(bytes) => Ok(bytes.saturating_sub(self.row.bytes)),
            FetchGoal::Watermark(bytes) => {
                let own = self.order.deliverer.watermark_bytes;
                let bytes = bytes.or(own).unwrap_or(WATERMARK_BYTES);
                let status = self.order.keys.pool_status(self.order.pool)?;
                let lacks =
                    status.directions.iter().map(|side| bytes.saturating_sub(side.bytes_left));
                Ok(lacks.sum())
            }
        }
    }

    /// The deliverer answers, and nothing of it could be used.
    fn unusable(&self) -> Failure {
        let what = format!("no key of {} could be used for {}", self.row.source, self.row.site);
        let failure = Failure::new(Class::Temporary, "kme-unusable", what);
        failure.next("see `warifu key status` for why, and `warifu key test`")
    }

    fn manner(&self) -> FetchManner {
        FetchManner {
            patience: if self.request.follow { PAUSE_MAX } else { self.request.patience },
            ..self.order.deliverer.manner.clone()
        }
    }

    fn pause(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() && !self.stop.load(Relaxed) {
            let now = left.min(LOOK_EVERY);
            self.order.clock.pause(now);
            left -= now;
        }
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
