//! From what the sites and pools are now to a placement, before anything is spent.

use crate::Vault;
use crate::causes::refused;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::policy::Asked;
use std::collections::BTreeMap;
use std::fs::File;
use warifu_catalog::{KeyBytes, Site};
use warifu_core::plan::{
    Candidate, Choice, Health, Override, Plan, PlanRequest, Refusal, SESSION_BYTES, plan_by,
};
use warifu_core::{
    Channel, Direction, Geometry, KeyClass, KeyRange, LinkId, PoolId, SiteName, Threshold,
};
use warifu_keystore::{Pieces, PoolKind, PoolStatus};
use warifu_link::hello::{PoolEnds, hello_reserve_bytes};
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::peer::{Peer, PeerError, Pinged};

/// What a placement is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) threshold: Threshold,
    pub(crate) geometry: Geometry,
    pub(crate) overrides: &'a [Override],
    pub(crate) asked: Asked<'a>,
    /// The sites that it has by the plan of a batch: these, while they can take it.
    pub(crate) planned_sites: &'a [SiteName],
}

/// A placement, and the connections that were made to find it.
pub(crate) struct Placed {
    pub(crate) plan: Plan,
    pub(crate) sites: BTreeMap<SiteName, Site>,
    pub(crate) peers: BTreeMap<SiteName, Peer>,
    pub(crate) class: KeyClass,
    /// Held until the intent stands.
    pub(crate) lock: File,
}

/// Key of a link that is spoken for.
pub(crate) struct Promised {
    pub(crate) key: KeyBytes,
    /// No frame of it takes more.
    pub(crate) frame_bytes: u64,
}

/// No capsule of an object that is shorter than a chunk is longer, in bytes.
const CAPSULE_BYTES_MAX: u64 = 128 << 10;

/// Key of a frame besides its content, with what asking for more takes, in bytes.
const FRAME_MORE_BYTES: u64 = 8 << 10;

/// A site that answered: the connection, what it calls itself, and the bytes free there.
pub(crate) struct Reached {
    pub(crate) peer: Peer,
    pub(crate) name: SiteName,
    pub(crate) room_bytes: u64,
    pub(crate) enforces: bool,
}

impl Vault {
    /// Asks every site, and plans. Connections in `kept` are used again; where there is no
    /// placement, the good ones are put back.
    ///
    /// # Errors
    /// Where no placement is admissible; where a rollback was noticed on the way, that is why.
    pub(crate) fn place(
        &self,
        wanted: &Wanted<'_>,
        kept: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Placed, Failure> {
        // What key does not cover whoever answers is refused before anybody is asked, which takes
        // key itself.
        if let Some(failure) = self.lacks_key(wanted)? {
            return Err(failure);
        }
        let witness = self.catalog()?.witness()?;
        let sites: BTreeMap<SiteName, Site> =
            self.catalog()?.sites()?.into_iter().map(|site| (site.site.clone(), site)).collect();
        let ruled = self.ruled(sites.values(), wanted.asked);
        let asked = sites.values().filter(|site| {
            let witness = witness.as_ref() == Some(&site.site);
            witness || !(site.drained || ruled.exclusions.contains(&site.site))
        });
        let peers = self.reach(asked, kept)?;
        // From here until the intent stands, no other process may count on the same key.
        let lock = self.lock_planning()?;
        let mut candidates = Vec::new();
        for site in sites.values() {
            candidates.push(self.candidate(site, peers.get(&site.site))?);
        }
        let request = PlanRequest {
            threshold: wanted.threshold,
            geometry: wanted.geometry,
            candidates: &candidates,
            random_bytes: self.random_unplanned()?,
            overrides: wanted.overrides,
            pins: &ruled.pins,
            exclusions: &ruled.exclusions,
            zone_shares_max: ruled.zone_shares_max,
        };
        // What the operator keeps out is not what is down.
        let wished = |candidate: &&Candidate| {
            !candidate.draining && !ruled.exclusions.contains(&candidate.site)
        };
        let health = candidates.iter().filter(wished).map(|candidate| candidate.health.clone());
        let found = planned_or_anew(&request, wanted.planned_sites, self.choice()?);
        let found = found.map_err(|refusal| match refusal.is_of_key() {
            true => self.short(&request, refusal),
            false => refused(refusal, health),
        });
        let mut reached = BTreeMap::new();
        let mut rolled_back = None;
        for (site, peer) in peers {
            match peer {
                Ok(reached_site) => {
                    self.in_hand.is_back(&site);
                    reached.insert(site, reached_site.peer);
                }
                Err(error) if error.is_rollback() => {
                    let told = error_chain(&error);
                    tracing::error!(%site, error = told, "a key store was rolled back");
                    rolled_back = Some(error);
                }
                Err(error) if self.in_hand.is_first_absence(&site) => {
                    let why = error_chain(&error);
                    tracing::warn!("{site} does not answer ({why}); going on without it");
                }
                Err(_) => {}
            }
        }
        match found {
            Ok(plan) => {
                let used = plan.shares.iter().filter_map(|share| sites.get(&share.site)?.link);
                let class = self.class_of(used)?;
                Ok(Placed { plan, sites, peers: reached, class, lock })
            }
            Err(failure) => {
                drop(lock);
                kept.append(&mut reached);
                // One site that says so is that site's trouble, unless nothing goes without it.
                Err(rolled_back.map_or(failure, Failure::from))
            }
        }
    }

    /// Connects to every site on a link, all at once, and asks each who it is and how full.
    pub(crate) fn reach<'a>(
        &self,
        sites: impl Iterator<Item = &'a Site>,
        kept: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<BTreeMap<SiteName, Result<Reached, PeerError>>, Failure> {
        let (mut names, mut dials) = (Vec::new(), Vec::new());
        for site in sites.filter(|site| site.channel == Channel::Otp && site.link.is_some()) {
            let dial = self.dialer(site, Purpose::Store, Patience::Once)?;
            names.push(site.site.clone());
            dials.push((dial, kept.remove(&site.site)));
        }
        let reached = self.world.driver().at_each(dials, |(mut dial, kept)| ask(&mut dial, kept));
        let reached: BTreeMap<_, _> = names.into_iter().zip(reached).collect();
        for (site, reached) in &reached {
            if let Ok(reached) = reached {
                self.enforcing.borrow_mut().insert(site.clone(), reached.enforces);
            }
        }
        Ok(reached)
    }

    /// Whether a site daemon enforces consent, as it said; one that was not asked is taken to.
    pub(crate) fn enforces(&self, site: &SiteName) -> bool {
        self.enforcing.borrow().get(site).copied().unwrap_or(true)
    }

    /// What the planner needs to know of a site.
    pub(crate) fn candidate(
        &self,
        site: &Site,
        reached: Option<&Result<Reached, PeerError>>,
    ) -> Result<Candidate, Failure> {
        let mut candidate = Candidate {
            site: site.site.clone(),
            zone: site.zone.clone(),
            domain: site.domain.clone(),
            channel: site.channel,
            health: Health::Up,
            draining: site.drained,
            room_bytes: None,
            to_site_bytes: 0,
            from_site_bytes: 0,
            to_site_fill_bytes_per_day: 0,
            from_site_fill_bytes_per_day: 0,
            network_bytes_per_second: self.config.placement.speed_of(&site.site),
            enforces_consent: !self.config.consent.enforce || self.enforces(&site.site),
        };
        if site.channel == Channel::Local {
            candidate.enforces_consent = !self.config.consent.enforce;
            match self.local_store(site).and_then(|store| Ok(store.room_bytes()?)) {
                Ok(room_bytes) => candidate.room_bytes = room_bytes,
                Err(error) => candidate.health = Health::Down(error.to_string()),
            }
            return Ok(candidate);
        }
        let Some(link) = site.link else {
            candidate.health = Health::Down("it has no link yet: see `warifu key generate`".into());
            return Ok(candidate);
        };
        let peer = reached.and_then(|reached| reached.as_ref().ok()).map(|reached| &reached.peer);
        (candidate.to_site_bytes, candidate.from_site_bytes) =
            self.budget(site, link.into(), peer)?;
        let pool = self.keys.pool_status(link.into())?;
        candidate.to_site_fill_bytes_per_day = self.fill_per_day(&pool, Direction::AToB)?;
        candidate.from_site_fill_bytes_per_day = self.fill_per_day(&pool, Direction::BToA)?;
        match reached {
            Some(Ok(reached)) if reached.name != site.site => {
                candidate.health = Health::Down(format!("the site there is {}", reached.name));
            }
            Some(Ok(reached)) => candidate.room_bytes = Some(reached.room_bytes),
            Some(Err(error)) => candidate.health = Health::Down(error_chain(error)),
            None => candidate.health = Health::Down("not asked".into()),
        }
        Ok(candidate)
    }

    /// Waits for its turn to plan.
    pub(crate) fn lock_planning(&self) -> Result<File, Failure> {
        let path = self.dir.join("planning.lock");
        let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|error| {
            let what = format!("can't lock {}", path.display());
            Failure::new(Class::Other, "vault-folder", what).because(error)
        })
    }

    /// Key towards and from a site that is neither reserved for restores nor planned for running
    /// work, in bytes, short of where the site's own key ends. What a connection to it has taken
    /// counts as far as a plan allows for that: else what fits before it is made would not then.
    pub(crate) fn budget(
        &self,
        site: &Site,
        pool: PoolId,
        peer: Option<&Peer>,
    ) -> Result<(u64, u64), Failure> {
        let status = self.keys.pool_status(pool)?;
        let promised = self.promised(&site.site)?;
        let ends = peer.map(Peer::ends);
        let taken = peer.map(Peer::taken_bytes).unwrap_or_default();
        let spare = |direction, promised_bytes: u64, taken_bytes: u64| -> Result<u64, Failure> {
            let pieces = self.leasable(&status, direction, ends)?;
            let allowed_bytes = taken_bytes.min(SESSION_BYTES);
            let rest_bytes = promised_bytes.saturating_sub(allowed_bytes);
            let spare_bytes = pieces.spare_bytes(rest_bytes, promised.frame_bytes);
            Ok(spare_bytes + allowed_bytes.saturating_sub(promised_bytes))
        };
        let to = spare(Direction::AToB, promised.key.to_site_bytes, taken.0)?;
        Ok((to, spare(Direction::BToA, promised.key.from_site_bytes, taken.1)?))
    }

    /// What running work has planned at a site, and stored objects have reserved.
    pub(crate) fn promised(&self, site: &SiteName) -> Result<Promised, Failure> {
        let catalog = self.catalog()?;
        let planned = catalog.planned(site)?;
        let reserved = self.kept_for_restores(catalog.reserved(site)?);
        let sum = |one: u64, other: u64| one.saturating_add(other);
        let key = KeyBytes {
            to_site_bytes: sum(planned.to_site_bytes, reserved.to_site_bytes),
            from_site_bytes: sum(planned.from_site_bytes, reserved.from_site_bytes),
        };
        let longest = catalog.longest_chunk_bytes(site)?;
        let frame_bytes = match longest {
            0 => 0,
            bytes => bytes.max(CAPSULE_BYTES_MAX) + FRAME_MORE_BYTES,
        };
        Ok(Promised { key, frame_bytes })
    }

    /// What of a direction of a link can be leased: hellos have their own, and what the site has
    /// not got yet, as far as that is known, can't be used.
    pub(crate) fn leasable(
        &self,
        status: &PoolStatus,
        direction: Direction,
        ends: Option<PoolEnds>,
    ) -> Result<Pieces, Failure> {
        let here = status.direction(direction).map_or(0, |side| side.bytes_total);
        let there = ends.map_or(here, |ends| match direction {
            Direction::AToB => ends.a_to_b,
            Direction::BToA => ends.b_to_a,
        });
        let both = here.min(there);
        let within = KeyRange::between(0, both - hello_reserve_bytes(both));
        Ok(self.keys.pieces(status.pool, direction, within)?)
    }

    /// What of the `random` pool can be drawn; nothing where there is none.
    pub(crate) fn drawable(&self) -> Result<Pieces, Failure> {
        let pools = self.keys.pools()?;
        let Some(random) = pools.iter().find(|pool| pool.kind == PoolKind::Random) else {
            return Ok(Pieces::default());
        };
        let direction = Direction::AToB;
        // A witness grants nothing below the mark.
        let mark = match self.catalog()?.witness()? {
            Some(_) => self.keys.mark(random.pool, direction)?,
            None => 0,
        };
        Ok(self.keys.pieces(random.pool, direction, KeyRange::between(mark, u64::MAX))?)
    }

    /// Bytes left in the `random` pool that can be counted on.
    pub(crate) fn random_left(&self) -> Result<u64, Failure> {
        Ok(self.drawable()?.usable_bytes())
    }

    /// The worst class of the `random` pool and these links' pools.
    pub(crate) fn class_of(
        &self,
        links: impl Iterator<Item = LinkId> + Clone,
    ) -> Result<KeyClass, Failure> {
        let mut class = KeyClass::InformationTheoretic;
        for pool in self.keys.pools()? {
            let used = pool.kind == PoolKind::Random
                || links.clone().any(|link| PoolId::from(link) == pool.pool);
            if used {
                class = class.max(pool.class.unwrap_or(KeyClass::Computational));
            }
        }
        Ok(class)
    }
}

/// At the sites that a batch has planned where they can take it, else wherever it can go.
fn planned_or_anew(
    request: &PlanRequest<'_>,
    planned_sites: &[SiteName],
    choice: Choice,
) -> Result<Plan, Refusal> {
    if !planned_sites.is_empty()
        && let Ok(plan) = plan_by(&PlanRequest { pins: planned_sites, ..*request }, choice)
    {
        return Ok(plan);
    }
    plan_by(request, choice)
}

fn ask(dial: &mut Dial, kept: Option<Peer>) -> Result<Reached, PeerError> {
    if let Some(mut peer) = kept {
        peer.count_anew();
        match peer.ping() {
            Ok(Pinged { site: name, room_bytes, enforces }) => {
                return Ok(Reached { peer, name, room_bytes, enforces });
            }
            Err(_) => hang_up(peer),
        }
    }
    let mut peer = dial()?;
    let Pinged { site: name, room_bytes, enforces } = peer.ping()?;
    Ok(Reached { peer, name, room_bytes, enforces })
}

/// An error with its causes, on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// Ends a connection that turned out not to be needed; its key goes back.
pub(crate) fn hang_up(peer: Peer) {
    if let Err(error) = peer.close() {
        tracing::warn!(%error, "the unused rest of a lease is burned");
    }
}
