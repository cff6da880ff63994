//! Going on with a backup that another process began.
//!
//! Three things decide what is done: the journal says that all sites acknowledged a slot, under
//! which attempt; every site says that it holds it under just that attempt; and the source is what
//! it was. Anything else that may have reached anyone is drawn anew under a later attempt.

use super::job::{Job, Woven, capsule, commit_record, share_name};
use super::source::OpenSource;
use super::{BackupRequest, Source, Wish};
use crate::Vault;
use crate::adopt::CompletedShape;
use crate::collect::Settled;
use crate::failure::{Class, Failure};
use crate::jobs::{Claim, running};
use crate::journal::{Header, Hindrance, Journal, JournalError, Record, SharePlace, Story};
use crate::plan::hang_up;
use std::collections::{BTreeMap, BTreeSet};
use warifu_backend::Error as StoreError;
use warifu_catalog::{Intent, Site};
use warifu_core::capsule::Verdict;
use warifu_core::payload::{Encoding, Shape};
use warifu_core::{Channel, SiteName, XCoord};
use warifu_link::ShareClass;
use warifu_pipeline::backup::lane::Lane;
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::held::Held;
use warifu_pipeline::peer::{Peer, ShareAddress};
use warifu_pipeline::share::{CommitOrder, Draft, ShareError, ShareReader, ShareWriter};
use warifu_pipeline::source::{Compression, compressor};

/// The encoding of data that stands in its payload as it was given.
const AS_GIVEN: &str = "plain";

/// What follows an encoding whose payload is padded by wish.
const PADDED: &str = ", padded";

/// Hashes of what is done, at each share by x.
type Hashes = BTreeMap<Slot, Vec<[u8; 16]>>;

/// What became of taking a backup up again.
pub(super) enum Taken<'a> {
    /// It goes on from here.
    Ready(Box<Ready<'a>>),
    /// It was complete but for the catalog, and is listed now.
    Listed,
    /// It can't be gone on with, and is cleared away as far as can be.
    Gone,
}

/// What is to be done with a backup that was taken up.
enum Weighed<'a> {
    Ready(Box<Ready<'a>>),
    Listed,
    /// To be cleared away, and why.
    Hopeless(&'static str),
}

/// A backup that goes on.
pub(super) struct Ready<'a> {
    pub(super) job: Job<'a>,
    pub(super) lanes: Vec<Box<dyn Lane>>,
    pub(super) journal: Journal,
}

/// How the payload is made of the source. Two backups whose texts differ have other chunks.
pub(super) fn encoding(shape: Shape) -> String {
    let padded = if shape.pad { PADDED } else { "" };
    match shape.encoding {
        Encoding::AsGiven => format!("{AS_GIVEN}{padded}"),
        Encoding::ZstdFrames => format!("{}{padded}", compressor()),
    }
}

/// Whether this release makes of a source what a header tells of. Another release of the compressor
/// may make other bytes.
pub(crate) fn is_made_here(header: &Header) -> bool {
    let made = |encoding_of, pad| encoding(Shape { encoding: encoding_of, pad });
    let made =
        [false, true].map(|pad| [made(Encoding::AsGiven, pad), made(Encoding::ZstdFrames, pad)]);
    made.iter().flatten().any(|made| *made == header.encoding)
}

/// The request that a header came from; `None` where it was a stream.
pub(crate) fn request_of(header: &Header) -> Option<BackupRequest> {
    let source = Source::File(header.source.as_ref()?.path.clone());
    Some(BackupRequest {
        compression: match header.encoding.starts_with(AS_GIVEN) {
            true => Compression::None,
            false => Compression::Zstd,
        },
        pad: header.encoding.ends_with(PADDED),
        label: header.label.clone(),
        ..BackupRequest::new(source, header.individual.clone(), header.threshold)
    })
}

impl Vault {
    /// The oldest interrupted backup of just this source, in just this way.
    ///
    /// # Errors
    /// Where another process is at it.
    pub(super) fn interrupted(
        &self,
        request: &BackupRequest,
        source: &OpenSource<'_>,
        wish: Wish,
    ) -> Result<Option<Intent>, Failure> {
        let Some(identity) = source.resumable() else { return Ok(None) };
        for intent in self.catalog()?.intents()? {
            if matches!(wish, Wish::ResumeOf(object) if object != intent.object) {
                continue;
            }
            let Ok(header) = self.journals().header(intent.object) else { continue };
            let same = header.source.as_ref().is_some_and(|source| source.is_same(identity))
                && header.individual == request.individual
                && header.threshold == request.threshold
                && header.label == request.label
                && header.encoding == encoding(source.shape);
            if !same {
                continue;
            }
            return match self.is_in_hand(&intent)? {
                true => Err(running(&intent.object)),
                false => Ok(Some(intent)),
            };
        }
        Ok(None)
    }

    /// Takes an interrupted backup over from the process that is gone.
    ///
    /// # Errors
    /// Where another process was faster, a site is away, or key does not cover the rest. It can
    /// then be taken up later.
    pub(super) fn take_up<'a>(
        &'a self,
        request: &'a BackupRequest,
        intent: Intent,
    ) -> Result<Taken<'a>, Failure> {
        let object = intent.object;
        let mut claim = Some(self.claim(object)?);
        let holder = self.holder();
        if !self.catalog()?.take_over(&object, &intent.holder, &holder)? {
            return Err(running(&object));
        }
        let intent = Intent { holder, ..intent };
        let mut hashes = Hashes::new();
        let story = self.journals().read(object, &mut |record| {
            if let Record::Done { slot, hashes: of_shares, .. } = record {
                hashes.insert(*slot, of_shares.clone());
            }
        });
        let story = match story {
            Ok(story) => story,
            Err(error @ JournalError::Io(_)) => return Err(Failure::from(error).kept(object)),
            Err(error) => return Ok(self.clear_away(&intent, &error.to_string())),
        };
        let Some(sites) = self.same_sites(request, &story.header)? else {
            return Ok(self.clear_away(&intent, "its sites are not to be used any more"));
        };
        let kept = |failure: Failure| failure.kept(object);
        let mut peers = self.reach_all(&sites).map_err(kept)?;
        let outcome = self.weigh(request, &mut claim, (story, hashes, sites), &mut peers);
        // Also where it failed: what was leased and is not needed goes back. A site does not let
        // anything be cleared away that a connection still works on.
        peers.into_values().for_each(hang_up);
        match outcome.map_err(kept)? {
            Weighed::Ready(ready) => Ok(Taken::Ready(ready)),
            Weighed::Listed => Ok(Taken::Listed),
            Weighed::Hopeless(why) => Ok(self.clear_away(&intent, why)),
        }
    }

    fn weigh<'a>(
        &'a self,
        request: &'a BackupRequest,
        claim: &mut Option<Claim<'a>>,
        parts: (Story, Hashes, BTreeMap<SiteName, Site>),
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Weighed<'a>, Failure> {
        let (story, hashes, sites) = &parts;
        let completed = self.completed_at(&story.header, sites, peers)?;
        if !completed.is_empty() {
            return match self.finish((story, hashes, sites, &completed), peers)? {
                true => Ok(Weighed::Listed),
                false => Ok(Weighed::Hopeless("some sites completed it and some can't")),
            };
        }
        match self.prepare(request, claim, parts, peers)? {
            Some(ready) => Ok(Weighed::Ready(Box::new(ready))),
            None => Ok(Weighed::Hopeless("too much of it is in doubt")),
        }
    }

    fn clear_away(&self, intent: &Intent, why: &str) -> Taken<'_> {
        let object = intent.object;
        tracing::warn!(%object, why, "an interrupted backup can't be gone on with");
        let settled = self.journals().erase(object).map_err(Failure::from);
        match settled.and_then(|()| self.settle(intent)) {
            Ok(Settled::Listed) => Taken::Listed,
            Ok(Settled::Removed) => Taken::Gone,
            Err(error) => {
                tracing::warn!(%object, %error, "what is left of it is cleared away later");
                Taken::Gone
            }
        }
    }

    /// The rows of the sites that hold parts of it; `None` where one of them is not to be used
    /// any more, or not over the same link.
    fn same_sites(
        &self,
        request: &BackupRequest,
        header: &Header,
    ) -> Result<Option<BTreeMap<SiteName, Site>>, Failure> {
        let rows = self.catalog()?.sites()?;
        let usable = |share: &SharePlace| {
            let site = rows.iter().find(|site| site.site == share.site)?;
            let same = site.channel == share.channel && site.link == share.link && !site.drained;
            let wanted = !request.exclusions.contains(&site.site);
            (same && wanted).then(|| (site.site.clone(), site.clone()))
        };
        let sites: Option<BTreeMap<_, _>> = header.shares.iter().map(usable).collect();
        Ok(sites.filter(|sites| request.pins.iter().all(|pin| sites.contains_key(pin))))
    }

    /// A connection to each site on a link.
    fn reach_all(
        &self,
        sites: &BTreeMap<SiteName, Site>,
    ) -> Result<BTreeMap<SiteName, Peer>, Failure> {
        let (mut peers, mut failure) = (BTreeMap::new(), None);
        for (site, reached) in self.reach(sites.values(), &mut BTreeMap::new())? {
            match reached {
                Ok(reached) if reached.name == site => drop(peers.insert(site, reached.peer)),
                Ok(reached) => {
                    let what = format!("the site that answers for {site} is {}", reached.name);
                    failure = Some(Failure::new(Class::Temporary, "site-down", what));
                    hang_up(reached.peer);
                }
                Err(error) if error.is_rollback() => failure = Some(Failure::from(error)),
                Err(error) => {
                    let what = format!("site {site} holds a part of this and is away");
                    failure =
                        Some(Failure::new(Class::Temporary, "site-down", what).because(error));
                }
            }
        }
        match failure {
            None => Ok(peers),
            Some(failure) => {
                peers.into_values().for_each(hang_up);
                Err(failure)
            }
        }
    }

    /// The shares that are complete at their sites.
    fn completed_at(
        &self,
        header: &Header,
        sites: &BTreeMap<SiteName, Site>,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<BTreeSet<XCoord>, Failure> {
        let mut completed = BTreeSet::new();
        for share in &header.shares {
            let is_complete = match peers.get_mut(&share.site) {
                Some(peer) => {
                    let stats = peer.stat(header.object)?;
                    stats.iter().any(|stat| stat.x == share.x && stat.committed)
                }
                None => self.is_complete_here(header, share, sites)?,
            };
            if is_complete {
                completed.insert(share.x);
            }
        }
        Ok(completed)
    }

    fn is_complete_here(
        &self,
        header: &Header,
        share: &SharePlace,
        sites: &BTreeMap<SiteName, Site>,
    ) -> Result<bool, Failure> {
        let Some(site) = sites.get(&share.site) else { return Ok(false) };
        let store = self.local_store(site)?;
        let name = share_name(header.object, share.x)?;
        match ShareReader::open(store.as_ref(), &name) {
            Ok(reader) => Ok(CompletedShape::of(reader.header()).threshold == header.threshold),
            Err(ShareError::Store(StoreError::NotFound)) => Ok(false),
            Err(error) => {
                let what = format!("site {} can't tell what it holds", share.site);
                Err(Failure::new(Class::Other, "store", what).because(error))
            }
        }
    }

    /// Begins the share at its site again; what the site holds of it, and the writer of a store in
    /// this room.
    fn begin_again(
        &self,
        header: &Header,
        share: &SharePlace,
        sites: &BTreeMap<SiteName, Site>,
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<(Held, Option<ShareWriter>), Failure> {
        if let Some(peer) = peers.get_mut(&share.site) {
            let address = ShareAddress { object: header.object, x: share.x };
            let whose = (header.object, &header.individual);
            self.entitle(peer, &share.site, whose, &header.holders())?;
            return Ok((peer.begin(address, header.threshold, share.role)?, None));
        }
        let site = sites.get(&share.site);
        let site = site.filter(|site| site.channel == Channel::Local).ok_or_else(|| {
            let what = format!("site {} went away", share.site);
            Failure::new(Class::Temporary, "site-down", what)
        })?;
        let draft = Draft {
            object: header.object,
            x: share.x,
            threshold: header.threshold,
            role: share.role,
            link: None,
        };
        let store = self.local_store(site)?;
        let name = share_name(header.object, share.x)?;
        let writer = ShareWriter::begin(store.as_ref(), &name, draft).map_err(|error| {
            let what = format!("site {} can't take its share up again", share.site);
            Failure::new(Class::Temporary, "store", what).because(error)
        })?;
        let slots = writer.written().iter().map(|(slot, written)| (*slot, written.attempt));
        Ok((slots.collect(), Some(writer)))
    }

    /// Completes a backup that was interrupted while its sites completed their shares. False where
    /// one of the others has not all that it needs.
    fn finish(
        &self,
        (story, hashes, sites, completed): (
            &Story,
            &Hashes,
            &BTreeMap<SiteName, Site>,
            &BTreeSet<XCoord>,
        ),
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<bool, Failure> {
        let header = &story.header;
        let Some(woven) = woven(story, hashes)? else { return Ok(false) };
        let mut writers = BTreeMap::new();
        for share in header.shares.iter().filter(|share| !completed.contains(&share.x)) {
            let (held, writer) = self.begin_again(header, share, sites, peers)?;
            // A store in this room forgets the pieces of a capsule that were not completed.
            if story.standing.whole().lacking(&held).next().is_some() {
                return Ok(false);
            }
            writers.extend(writer.map(|writer| (share.x, writer)));
        }
        let order = CommitOrder {
            geometry: woven.geometry,
            masks: woven.geometry.mask_count(),
            capsule: woven.capsule.shape(),
            capsule_generation: u32::from(story.standing.generation()),
            attempts: &woven.attempts,
        };
        for share in header.shares.iter().filter(|share| !completed.contains(&share.x)) {
            let address = ShareAddress { object: header.object, x: share.x };
            if let Some(peer) = peers.get_mut(&share.site) {
                peer.commit(address, &order)?;
            } else if let Some(writer) = writers.remove(&share.x) {
                writer.commit(&order).map_err(|error| {
                    let what = format!("site {} can't complete its share", share.site);
                    Failure::new(Class::Temporary, "store", what).because(error)
                })?;
            }
        }
        let standing = &story.standing;
        let spent = (&standing.spent[..], standing.random_bytes);
        let record = commit_record(&header.planned(), woven, spent, self.now_unix_s());
        self.log_backup(&header.individual, &header.object)?;
        self.catalog()?.commit(&header.object, &record)?;
        Ok(true)
    }

    /// Finds out what stands, checks the budget for the rest, and makes everything ready. `None`
    /// where so much is in doubt that it is better begun afresh.
    fn prepare<'a>(
        &'a self,
        request: &'a BackupRequest,
        claim: &mut Option<Claim<'a>>,
        (story, hashes, sites): (Story, Hashes, BTreeMap<SiteName, Site>),
        peers: &mut BTreeMap<SiteName, Peer>,
    ) -> Result<Option<Ready<'a>>, Failure> {
        let Story { header, standing, end } = story;
        let (mut held, mut writers) = (Vec::new(), BTreeMap::new());
        for share in &header.shares {
            let (of_site, writer) = self.begin_again(&header, share, &sites, peers)?;
            held.push(of_site);
            writers.extend(writer.map(|writer| (share.x, writer)));
        }
        let standing = match standing.go_on(&held.iter().collect::<Vec<_>>()) {
            Ok(standing) => standing,
            Err(Hindrance::Worn) => return Ok(None),
            Err(Hindrance::Claims { share }) => return Err(claims(&header, share)),
        };
        let shares = header.planned();
        let random_bytes = self.plan_rest(&header, &shares, &standing, peers)?;
        let links = header.shares.iter().filter_map(|share| share.link);
        let class = self.class_of(links)?.max(header.class);
        let random = self.random_source(random_bytes, peers)?;
        let journal = self.journals().reopen(&header, end, standing.generation(), class);
        let journal = journal.inspect_err(|_| self.return_random(&random))?;
        let done_bytes = standing.done_bytes();
        let age_s = self.now_unix_s().saturating_sub(header.created_unix_s);
        tracing::info!(object = %header.object, done_bytes, age_s, "going on with a backup");
        let job = Job {
            vault: self,
            request,
            header,
            shares,
            sites,
            class,
            random,
            standing,
            _claim: claim.take(),
        };
        let lanes = job.lanes(std::mem::take(peers), writers);
        let mut lanes = lanes.inspect_err(|_| self.return_random(&job.random))?;
        for (slot, attempt) in job.standing.slots() {
            let of_shares = hashes.get(&slot).into_iter().flatten();
            for (lane, hash) in lanes.iter_mut().zip(of_shares) {
                lane.take_up(slot, attempt, *hash);
            }
        }
        Ok(Some(Ready { job, lanes, journal }))
    }
}

/// A site says that it holds what it can't have been sent.
fn claims(header: &Header, share: usize) -> Failure {
    let site = header.shares.get(share).map_or("?", |share| share.site.as_str());
    let what = format!("site {site} claims to hold parts that were never sent to it");
    Failure::new(Class::Authentication, "site-not-genuine", what)
        .next(format!("find out what happened at {site}"))
}

/// What was woven, from the journal alone; `None` where it was not sealed.
fn woven(story: &Story, hashes: &Hashes) -> Result<Option<Woven>, Failure> {
    let Some(sealed) = story.standing.sealed else { return Ok(None) };
    let geometry = sealed.geometry;
    let verdict = |(at, share): (usize, &SharePlace)| {
        let of = |class, count| {
            let hash = |index| hashes.get(&Slot { class, index })?.get(at).copied();
            (0..count).map(hash).collect::<Option<Vec<_>>>()
        };
        Some(Verdict {
            x: share.x,
            r: *share.r,
            hashes: of(ShareClass::Data, geometry.chunk_count())?,
            masks: of(ShareClass::Mask, u64::from(geometry.mask_count()))?,
        })
    };
    let verdicts: Option<Vec<_>> = story.header.shares.iter().enumerate().map(verdict).collect();
    let Some(verdicts) = verdicts else { return Ok(None) };
    let attempts: BTreeMap<Slot, u32> =
        story.standing.slots().filter(|(_, attempt)| *attempt > 0).collect();
    let parts = (&attempts, verdicts);
    let capsule = capsule(&story.header, geometry, sealed.class, parts)?;
    let same = capsule.shape().head_bytes == sealed.head_bytes;
    Ok(same.then_some(Woven { geometry, capsule, attempts }))
}
