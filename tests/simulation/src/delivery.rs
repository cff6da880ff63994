//! Links that a deliverer feeds: the key stores of both ends go through a fetch as the engine's
//! `key fetch` and its site do, step by step, and die at any effect of it. What the two ends tell
//! each other on the way is told here by hand; it takes no key of the link.

use crate::dice::Dice;
use crate::scenario::Scenario;
use crate::site::{SiteHost, chain};
use std::fmt;
use std::sync::Arc;
use warifu_core::{Direction, End, KeyClass, KeyRange, PoolId};
use warifu_kernels::Isa;
use warifu_keystore::simulated::kme::{Fault, SimulatedKme};
use warifu_keystore::{Adopted, Gathering, KeyError, KeyStore, Pairing, PendingSegment, Repeats};

/// Bytes of each key that a deliverer gives.
const KEY_BYTES: usize = 2048;

/// Keys of a segment, at most.
const KEYS_MAX: u64 = 24;

/// What a deliverer may do wrong.
const FAULTS: [Fault; 10] = [
    Fault::NotNow,
    Fault::LostRequest,
    Fault::LostAnswer,
    Fault::Repeat,
    Fault::Short,
    Fault::Differ,
    Fault::Discard,
    Fault::Zeros,
    Fault::Shuffle,
    Fault::Refuse,
];

/// A link and its deliverer.
pub(crate) struct Feed {
    gateway: usize,
    site: usize,
    kme: SimulatedKme,
}

/// What came of one fetch.
pub(crate) enum Fetched {
    /// Both ends have a segment more.
    Added(KeyRange),
    /// One end could not get it, or it differed: both have given it up.
    GivenUp(&'static str),
    /// It goes on another time.
    Later(&'static str),
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(range) => write!(f, "{range} is added"),
            Self::GivenUp(why) => write!(f, "given up: {why}"),
            Self::Later(why) => write!(f, "later: {why}"),
        }
    }
}

impl Scenario {
    /// In some worlds, deliverers for some links of a gateway.
    pub(crate) fn feed_links(&mut self, gateway: usize) {
        let dice = self.ground.dice.clone();
        if !dice.permille(400) {
            return;
        }
        for site in 0..self.sites.len() {
            if dice.permille(600) {
                let entropy = Arc::new(dice.fork());
                let kme = SimulatedKme::new(entropy, KEY_BYTES as u64, KEYS_MAX);
                self.feeds.push(Feed { gateway, site, kme });
            }
        }
    }

    /// Fetches a segment for each link of a gateway that is fed.
    pub(crate) fn fetch_key(&mut self, gateway: usize) {
        for at in 0..self.feeds.len() {
            if self.feeds[at].gateway == gateway {
                let _added = self.fetch_from(at);
            }
        }
    }

    /// Fetches for one link, whatever may go wrong; true where both ends have a segment more.
    fn fetch_from(&mut self, at: usize) -> bool {
        let Feed { gateway, site, kme } = &self.feeds[at];
        let (site, kme) = (self.sites[*site].clone(), kme.clone());
        // Of a vault and its copy one is refused.
        if self.gateways_copied[*gateway] || !site.is_up() {
            return false;
        }
        let dice = self.ground.dice.clone();
        while self.ground.is_stormy() && dice.permille(350) {
            let end = if dice.permille(500) { End::A } else { End::B };
            let fault = FAULTS[dice.below(FAULTS.len())];
            self.ground.fault(&format!("the deliverer of {}, {end:?}: {fault:?}", site.name()));
            kme.fail(end, [fault]);
        }
        let came = self.gateways[*gateway].fetch(&site, &kme);
        kme.clear_faults();
        self.ground.count(|counters| counters.operations += 1);
        let is_added = matches!(came, Some(Ok(Fetched::Added(_))));
        if is_added {
            self.ground.count(|counters| {
                counters.succeeded += 1;
                counters.delivered += 1;
            });
        }
        let told = match &came {
            Some(Ok(fetched)) => fetched.to_string(),
            Some(Err(error)) => {
                let why = chain(error);
                self.ground.violated(format!("delivered key is refused: {why}"));
                why
            }
            None => "killed".to_owned(),
        };
        self.note_outcome("fetch", site.name().as_str(), &told);
        is_added
    }

    /// In calm weather a deliverer that is sound fills its link, whatever was cut short before.
    pub(crate) fn expect_deliveries(&mut self) {
        for at in 0..self.feeds.len() {
            let Feed { gateway, site, .. } = &self.feeds[at];
            let host = self.sites[*site].clone();
            // What a courier has not brought comes first.
            let is_held_up = self.gateways[*gateway].has_undelivered(host.name().as_str());
            if self.gateways_copied[*gateway] || !host.is_up() || is_held_up {
                continue;
            }
            // What is pending may have to be given up first.
            if !(0..3).any(|_| self.fetch_from(at)) {
                self.ground.violated(format!("DELIVERY: {} gets no more key", host.name()));
            }
        }
    }
}

/// A fetch for one link, as it goes at the gateway.
pub(crate) struct Fetch<'a> {
    pub(crate) dice: &'a Dice,
    pub(crate) site: &'a SiteHost,
    pub(crate) kme: &'a SimulatedKme,
}

impl Fetch<'_> {
    /// Finishes what an earlier one left, then brings one segment.
    pub(crate) fn run(&self, keys: &KeyStore, pool: PoolId) -> Result<Fetched, KeyError> {
        let Some(here) = keys.pairing(pool)? else { return Ok(Fetched::Later("it is busy")) };
        for direction in [Direction::AToB, Direction::BToA] {
            if let Some(why) = self.finish(&here, direction)? {
                return Ok(Fetched::Later(why));
            }
        }
        let Some(pending) = self.gather(&here)? else {
            return Ok(Fetched::Later("the deliverer gives nothing of use"));
        };
        let there = |pairing: &Pairing| self.obtain(pairing, &pending);
        match self.at_site(pool, there)? {
            None => return Ok(Fetched::Later("the site is away")),
            Some(Obtained::NotNow) => return Ok(Fetched::Later("the site gets nothing now")),
            Some(Obtained::Never) => {
                return self.give_up(&here, &pending, "the site never gets it");
            }
            Some(Obtained::Whole) => {}
        }
        let (isa, [r, s]) = (Isa::best(), [self.draw(), self.draw()]);
        let hash = |pairing: &Pairing| pairing.hash(pending.segment, isa, &r, &s);
        let Some(there) = self.at_site(pool, hash)? else {
            return Ok(Fetched::Later("the site is away"));
        };
        if hash(&here)? != there {
            return self.give_up(&here, &pending, "the two ends got different key");
        }
        let range = here.publish(pending.segment, here.end(pending.direction)?)?;
        let adopt = |pairing: &Pairing| pairing.adopt(pending.segment, pending.direction, range);
        match self.at_site(pool, adopt)? {
            None => Ok(Fetched::Later("the site is away")),
            Some(Adopted::Added) => Ok(Fetched::Added(range)),
            Some(Adopted::Burned) => {
                here.burn(pending.direction, range)?;
                Ok(Fetched::GivenUp("the site has lost it"))
            }
        }
    }

    /// Brings both ends to the same positions; why that can't be now, if it can't.
    fn finish(
        &self,
        here: &Pairing,
        direction: Direction,
    ) -> Result<Option<&'static str>, KeyError> {
        let pool = here.pool_id();
        let Some(there) = self.at_site(pool, |pairing| pairing.end(direction))? else {
            return Ok(Some("the site is away"));
        };
        let end = here.end(direction)?;
        if there > end {
            here.fill_lost(direction, KeyRange::between(end, there))?;
        }
        for placed in here.placed_from(direction, there)? {
            if !placed.is_delivered {
                return Ok(Some("a courier comes first"));
            }
            let adopt = |pairing: &Pairing| pairing.adopt(placed.segment, direction, placed.range);
            match self.at_site(pool, adopt)? {
                None => return Ok(Some("the site is away")),
                Some(Adopted::Added) => {}
                Some(Adopted::Burned) => here.burn(direction, placed.range)?,
            }
        }
        Ok(None)
    }

    /// What is pending at the gateway, or else something new.
    fn gather(&self, here: &Pairing) -> Result<Option<PendingSegment>, KeyError> {
        if let Some(pending) = here.pending()?.pop() {
            return Ok(Some(pending));
        }
        let count = 1 + self.dice.next() % KEYS_MAX;
        let Ok(keys) = self.kme.at(End::A).fresh_keys("b", count, KEY_BYTES) else {
            return Ok(None);
        };
        let mut gathering = Gathering::new(here.draw_segment()?, KEY_BYTES);
        if gathering.add(keys).is_err() {
            return Ok(None);
        }
        let is_back = self.dice.permille(500);
        let direction = if is_back { Direction::BToA } else { Direction::AToB };
        Ok(here.keep(gathering, direction, source(), Repeats::LeaveOut)?.pending)
    }

    /// The same at the site.
    fn obtain(&self, there: &Pairing, offered: &PendingSegment) -> Result<Obtained, KeyError> {
        for known in there.pending()? {
            if known.segment == offered.segment {
                return Ok(Obtained::Whole);
            }
            there.discard(known.segment)?;
        }
        let keys = match self.kme.at(End::B).named_keys("a", &offered.names, KEY_BYTES) {
            Ok(keys) if keys.names == offered.names => keys,
            // It has answered, and does not give the same key twice.
            Ok(_) | Err(warifu_keystore::DeliveryError::Gone { .. }) => return Ok(Obtained::Never),
            Err(_) => return Ok(Obtained::NotNow),
        };
        let mut gathering = Gathering::new(offered.segment, KEY_BYTES);
        if gathering.add(keys).is_err() {
            return Ok(Obtained::Never);
        }
        let kept = there.keep(gathering, offered.direction, source(), Repeats::RefuseAll)?;
        Ok(if kept.pending.is_some() { Obtained::Whole } else { Obtained::Never })
    }

    fn give_up(
        &self,
        here: &Pairing,
        pending: &PendingSegment,
        why: &'static str,
    ) -> Result<Fetched, KeyError> {
        let discard = |pairing: &Pairing| pairing.discard(pending.segment);
        match self.at_site(here.pool_id(), discard)? {
            None => Ok(Fetched::Later("the site is away")),
            Some(()) => {
                discard(here)?;
                Ok(Fetched::GivenUp(why))
            }
        }
    }

    /// Does `work` at the site; `None` where it is away, or dies of it.
    fn at_site<T>(
        &self,
        pool: PoolId,
        work: impl FnOnce(&Pairing) -> Result<T, KeyError>,
    ) -> Result<Option<T>, KeyError> {
        let done = self.site.with_keys(|keys| match keys.pairing(pool)? {
            Some(pairing) => work(&pairing).map(Some),
            None => Ok(None),
        });
        done.unwrap_or(Ok(None))
    }

    fn draw(&self) -> [u8; 16] {
        let (one, other) = (self.dice.next(), self.dice.next());
        (u128::from(one) << 64 | u128::from(other)).to_le_bytes()
    }
}

/// What a site has of a segment.
enum Obtained {
    Whole,
    NotNow,
    Never,
}

fn source() -> (KeyClass, String) {
    (KeyClass::Computational, "kme:simulated".to_owned())
}
