//! A gateway has sites work a share out for another site, and sees none of it.

use crate::Vault;
use crate::audit::Told;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::hang_up;
use serde::Serialize;
use std::ops::Range;
use warifu_catalog::Object;
use warifu_core::{ObjectId, SiteName, XCoord};
use warifu_link::ShareClass;
use warifu_link::body::{Holder, WORK_CHUNKS_MAX, Work};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::held::Held;
use warifu_pipeline::peer::{Peer, PeerError, ShareAddress, Step};

/// A share to be worked out.
#[derive(Debug, Clone)]
pub struct GatherRequest {
    /// The object.
    pub object: ObjectId,
    /// The share.
    pub x: XCoord,
    /// The site that is to have it.
    pub target: SiteName,
    /// The sites whose shares it is worked out from.
    pub helpers: Vec<SiteName>,
    /// Its chunks; `None`: all.
    pub chunks: Option<Range<u64>>,
}

/// What was worked out.
#[derive(Debug, Clone, Serialize)]
pub struct GatherReport {
    /// Version of this document.
    pub v: u32,
    /// The object.
    pub object: String,
    /// The share.
    pub x: u8,
    /// The site that has it.
    pub target: String,
    /// Chunks that were worked out.
    pub chunks: u64,
    /// Key of this gateway's own links that it took, in bytes.
    pub key_bytes: u64,
}

/// The connections that a work takes, as far as they are made.
#[derive(Default)]
struct Hands {
    target: Option<Peer>,
    helpers: Vec<Peer>,
}

impl Hands {
    fn target(&mut self) -> Result<&mut Peer, PeerError> {
        self.target.as_mut().ok_or(PeerError::NotConnected)
    }

    /// Ends them all; how much key they took, in bytes.
    fn hang_up(self) -> u64 {
        let peers: Vec<Peer> = self.helpers.into_iter().chain(self.target).collect();
        let key_bytes = peers.iter().map(|peer| peer.spent().key_bytes).sum();
        peers.into_iter().for_each(hang_up);
        key_bytes
    }
}

impl Vault {
    /// Has `helpers` work the chunks of a share out for the target, where they lie in an unfinished
    /// share of this gateway's afterwards. What passes between the sites is blinded, and nothing of
    /// it passes here.
    ///
    /// No command asks for this yet: it is the part of a repair that sites do among themselves. A
    /// repair must still keep the blind blocks of the new share, which both ends of the link to the
    /// target have and this end lets go of; have the sum compared with what it should be, since a
    /// helper may have contributed anything; and complete the share, list it, and forget the one
    /// that it stands for.
    ///
    /// # Errors
    /// Where the object is not stored here, a site is away, or one refuses: each judges by its own
    /// register whether that target may have that share.
    pub fn gather_share(&self, request: &GatherRequest) -> Result<GatherReport, Failure> {
        let object = self.catalog()?.object(&request.object)?;
        let holders = holders_of(&object);
        let chosen = |name: &SiteName| holders.iter().find(|holder| holder.site == *name).cloned();
        let mut helpers = Vec::new();
        for name in &request.helpers {
            helpers.push(chosen(name).ok_or_else(|| {
                let what = format!("site {name} holds no share of {}", request.object);
                Failure::new(Class::NotFound, "not-found", what)
            })?);
        }
        helpers.sort_unstable();
        let told = Told::operator().object(request.object).site(&request.target);
        let told = told.note(format!("share {}", request.x));
        self.note("gather", &told.clone().result("begun"))?;
        let mut hands = Hands::default();
        let worked = self.have_worked_out(&mut hands, request, &object, &holders, &helpers);
        let key_bytes = hands.hang_up();
        let end = match &worked {
            Ok(_) => told.result("done"),
            Err(failure) => told.result("failed").code(failure.code()),
        };
        match (self.note("gather", &end), worked) {
            (_, Err(failure)) => Err(failure),
            (noted, Ok(chunks)) => noted.map(|()| GatherReport {
                v: 1,
                object: request.object.to_string(),
                x: request.x.get(),
                target: request.target.to_string(),
                chunks,
                key_bytes,
            }),
        }
    }

    /// Connects to all, begins the share at the target, and has all of it worked out; how many
    /// chunks that were. The connections are the caller's to end, whatever comes of it.
    fn have_worked_out(
        &self,
        hands: &mut Hands,
        request: &GatherRequest,
        object: &Object,
        holders: &[Holder],
        helpers: &[Holder],
    ) -> Result<u64, Failure> {
        let held = self.join_hands(hands, request, object, holders, helpers)?;
        let all = 0..object.geometry.chunk_count();
        let chunks = request.chunks.clone().unwrap_or(all);
        let address = ShareAddress { object: request.object, x: request.x };
        self.work_through(hands, address, &chunks, &held, |id, first, count| {
            let (gateway, target) = (self.name.clone(), request.target.clone());
            Work { id, first, count, gateway, target, helpers: helpers.to_vec() }
        })?;
        Ok(chunks.end.saturating_sub(chunks.start))
    }

    /// Connects to all, and begins the share at the target.
    fn join_hands(
        &self,
        hands: &mut Hands,
        request: &GatherRequest,
        object: &Object,
        holders: &[Holder],
        helpers: &[Holder],
    ) -> Result<Held, Failure> {
        let dial = |name: &SiteName| -> Result<Peer, Failure> {
            let row = self.site_row(name)?;
            Ok(self.dialer(&row, Purpose::Read, Patience::Once)?()?)
        };
        let lost = object.shares.iter().find(|share| share.x == request.x).ok_or_else(|| {
            let what = format!("{} has no share {}", request.object, request.x);
            Failure::new(Class::NotFound, "not-found", what)
        })?;
        let target = hands.target.insert(dial(&request.target)?);
        self.entitle(target, &request.target, (object.object, &object.individual), holders)?;
        let address = ShareAddress { object: request.object, x: request.x };
        let held = target.begin(address, object.threshold, lost.role)?;
        for helper in helpers {
            hands.helpers.push(dial(&helper.site)?);
        }
        Ok(held)
    }

    /// A few chunks at a time: everybody takes part, all agree on blinds, all contribute.
    fn work_through(
        &self,
        hands: &mut Hands,
        address: ShareAddress,
        chunks: &Range<u64>,
        held: &Held,
        work: impl Fn([u8; 16], u64, u32) -> Work,
    ) -> Result<(), Failure> {
        let mut first = chunks.start;
        while first < chunks.end {
            let count = (chunks.end - first).min(u64::from(WORK_CHUNKS_MAX));
            let slots = first..first + count;
            let attempt =
                slots.filter_map(|index| held.attempt(Slot { class: ShareClass::Data, index }));
            let attempt = attempt.max().map_or(0, |attempt| attempt.saturating_add(1));
            let id = *self.fresh_object()?.bytes();
            let work = work(id, first, u32::try_from(count).unwrap_or(WORK_CHUNKS_MAX));
            drop(hands.target()?.expect(address, &work, attempt)?);
            for helper in &mut hands.helpers {
                helper.work(address, &work)?;
            }
            for step in [Step::Blind, Step::Contribute] {
                for helper in &mut hands.helpers {
                    helper.proceed(&id, step)?;
                }
            }
            hands.target()?.proceed(&id, Step::Collect)?;
            first += count;
        }
        Ok(())
    }
}

/// Where the shares of a stored object lie.
pub(crate) fn holders_of(object: &Object) -> Vec<Holder> {
    let holders = object.shares.iter();
    holders.map(|share| Holder { x: share.x, site: share.site.clone() }).collect()
}
