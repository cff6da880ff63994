//! What is carried from one object to the next by a thread that stores several.

use crate::failure::Failure;
use crate::plan::hang_up;
use std::collections::BTreeMap;
use std::sync::Arc;
use warifu_core::{Geometry, ObjectId, SiteName};
use warifu_pipeline::backup::lane::Lane;
use warifu_pipeline::backup::timed::{ChunkTimes, Timed};
use warifu_pipeline::peer::Peer;

/// While a longer object than this many bytes is stored, connections that it does not use are not
/// kept: a site hangs up on one that is silent for long.
const IDLE_DURING_BYTES_MAX: u64 = 64 << 20;

/// Connections that are used again, and what is told and measured on the way. A handshake costs
/// key, time, and records that must be durable at both ends.
pub(crate) struct Carried<'a> {
    /// Connections that nothing is on its way over.
    pub(crate) peers: BTreeMap<SiteName, Peer>,
    /// Told of each object when all of it is at the sites, and before it is listed.
    pub(crate) before_listing: &'a mut dyn FnMut(ObjectId),
    /// Whether somebody else has stored the same since, and as what.
    stored_meanwhile: Option<&'a Meanwhile<'a>>,
    /// Told of each object before anything of it is recorded anywhere.
    beginning: Option<&'a Beginning<'a>>,
    /// The sites that the object has by the plan of the whole batch; none where there is no such
    /// plan.
    pub(crate) planned_sites: &'a [SiteName],
    times: Option<Arc<ChunkTimes>>,
}

type Beginning<'a> = dyn Fn(ObjectId) -> Result<(), Failure> + 'a;

type Meanwhile<'a> = dyn Fn() -> Result<Option<ObjectId>, Failure> + 'a;

impl<'a> Carried<'a> {
    /// For a single object: nothing is kept or measured.
    pub(crate) fn nothing(before_listing: &'a mut dyn FnMut(ObjectId)) -> Self {
        Self {
            peers: BTreeMap::new(),
            before_listing,
            stored_meanwhile: None,
            beginning: None,
            planned_sites: &[],
            times: None,
        }
    }

    /// For one of several objects, over `peers` as far as they go.
    pub(crate) fn on(
        peers: BTreeMap<SiteName, Peer>,
        times: Arc<ChunkTimes>,
        before_listing: &'a mut dyn FnMut(ObjectId),
        stored_meanwhile: &'a Meanwhile<'a>,
    ) -> Self {
        let stored_meanwhile = Some(stored_meanwhile);
        let nothing = Self::nothing(before_listing);
        Self { peers, stored_meanwhile, times: Some(times), ..nothing }
    }

    /// The same, with the sites that the object has by the plan of the whole batch.
    pub(crate) fn planned(self, planned_sites: &'a [SiteName]) -> Self {
        Self { planned_sites, ..self }
    }

    /// The same, with somebody who is told of each object before anything of it is recorded.
    pub(crate) fn announced(self, beginning: &'a Beginning<'a>) -> Self {
        Self { beginning: Some(beginning), ..self }
    }

    /// Says that an object is about to be begun, or gone on with.
    ///
    /// # Errors
    /// Where whoever is told can't take note: it is not begun then.
    pub(crate) fn begins(&self, object: ObjectId) -> Result<(), Failure> {
        self.beginning.map_or(Ok(()), |beginning| beginning(object))
    }

    /// As what somebody else has stored the same since this batch began.
    pub(crate) fn stored_meanwhile(&self) -> Result<Option<ObjectId>, Failure> {
        self.stored_meanwhile.map_or(Ok(None), |stored| stored())
    }

    /// Whether more objects are expected to follow.
    fn keeps(&self) -> bool {
        self.times.is_some()
    }

    /// The same lanes, timed where that is wanted.
    pub(crate) fn timed(&self, lanes: Vec<Box<dyn Lane>>) -> Vec<Box<dyn Lane>> {
        let Some(times) = &self.times else { return lanes };
        let timed = |lane| -> Box<dyn Lane> { Box::new(Timed::new(lane, times.clone())) };
        lanes.into_iter().map(timed).collect()
    }

    /// Takes connections that an object of this length does not use.
    pub(crate) fn take_idle(&mut self, idle: BTreeMap<SiteName, Peer>, geometry: Geometry) {
        match self.keeps() && geometry.payload_bytes() <= IDLE_DURING_BYTES_MAX {
            true => self.peers.extend(idle),
            false => idle.into_values().for_each(hang_up),
        }
    }

    /// Takes the connections of lanes whose object is listed.
    pub(crate) fn take_back(&mut self, lanes: Vec<Box<dyn Lane>>) {
        for lane in lanes {
            let site = lane.site().clone();
            match self.keeps() {
                true => self.peers.extend(lane.into_peer().map(|peer| (site, peer))),
                false => lane.close(),
            }
        }
    }

    /// Ends all connections; their key goes back.
    pub(crate) fn hang_up(self) {
        self.peers.into_values().for_each(hang_up);
    }
}
