//! A pending segment becomes key at both ends: offered, compared, added here, then at the site.

use super::errand::Order;
use super::stopped;
use crate::failure::{Class, Failure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use warifu_core::{Direction, KeyRange};
use warifu_kernels::Isa;
use warifu_keystore::{Adopted, Deliverer, Gathering, Pairing, PendingSegment};
use warifu_link::Status;
use warifu_link::body::{Adopt, Offer, OfferedState};
use warifu_link::hello::PoolEnds;
use warifu_pipeline::backup::remote::Dial;
use warifu_pipeline::clock::Clock;
use warifu_pipeline::peer::{Peer, PeerError, Withdrawal};

/// How often a site is asked again that has not got a segment yet and gets no further.
const OFFERS_IN_VAIN_MAX: u32 = 8;

/// How long to wait before a site is asked again: so much longer each time.
const OFFER_PAUSE: Duration = Duration::from_millis(250);

/// Most key that an end may have lost and go on, in bytes.
const LOST_BYTES_MAX: u64 = 1 << 40;

/// What came of a segment.
pub(super) enum Outcome {
    /// It is key of the link, so many bytes.
    Added(u64),
    /// One end could not get it whole.
    Lost(String),
    /// The two ends got different key.
    Differs,
}

/// Pairs the segments of one link over one connection.
pub(super) struct Pairer<'a> {
    clock: Arc<dyn Clock>,
    isa: Isa,
    pairing: &'a Pairing,
    deliverer: Deliverer,
    peer: Option<Peer>,
}

/// Why nothing more is fetched.
pub(super) fn differs(source: &str, site: &str) -> Failure {
    let what = format!("{source} gave this end and {site} different key again and again");
    Failure::new(Class::Authentication, "kme-mismatch", what).next(
        "nothing of it was used; find out which KME errs (`warifu key test`), then fetch with \
         --accept-mismatch",
    )
}

/// Whether it is the site's KME that gives a segment not, or not yet.
pub(super) fn is_of_site_kme(failure: &Failure) -> bool {
    matches!(failure.code(), "kme-refuses-site" | "kme-away-at-site")
}

impl<'a> Pairer<'a> {
    pub(super) fn of(pairing: &'a Pairing, order: &Order) -> Self {
        let (clock, isa) = (order.clock.clone(), order.isa);
        Self { clock, isa, pairing, deliverer: order.deliverer.clone(), peer: None }
    }

    /// Connects, and finishes what an earlier connection left half done.
    pub(super) fn connect(&mut self, dial: &mut Dial) -> Result<(), Failure> {
        let mut peer = dial()?;
        let PoolEnds { a_to_b, b_to_a } = peer.ends();
        for (direction, there) in [(Direction::AToB, a_to_b), (Direction::BToA, b_to_a)] {
            let here = self.pairing.end(direction)?;
            if there > here {
                if there - here > LOST_BYTES_MAX {
                    return Err(Self::absurd_end(there - here));
                }
                let range = KeyRange::between(here, there);
                tracing::warn!(%range, ?direction, "key that only the site has: burned");
                self.pairing.fill_lost(direction, range)?;
            }
            for placed in self.pairing.placed_from(direction, there)? {
                if !placed.is_delivered {
                    break; // a courier's drive, which brings this and makes room for the next
                }
                let adopt = Adopt { direction, range: placed.range };
                if peer.adopt(placed.segment, &adopt)? == Adopted::Burned {
                    self.pairing.burn(direction, placed.range)?;
                }
            }
        }
        self.peer = Some(peer);
        Ok(())
    }

    /// Whether there is a connection.
    pub(super) const fn is_connected(&self) -> bool {
        self.peer.is_some()
    }

    /// Pairs a segment, whose key may still be in memory. After a failure it stays pending.
    pub(super) fn pair(
        &mut self,
        pending: &PendingSegment,
        key: Option<&Gathering>,
        stop: &AtomicBool,
    ) -> Result<Outcome, Failure> {
        let mut peer = self.peer.take().ok_or(PeerError::NotConnected)?;
        let outcome = self.pair_over(&mut peer, pending, key, stop);
        // One that broke says so itself.
        self.peer = Some(peer);
        outcome
    }

    /// Forgets a pending segment at both ends.
    pub(super) fn forget(&mut self, pending: &PendingSegment) -> Result<(), Failure> {
        let mut peer = self.peer.take().ok_or(PeerError::NotConnected)?;
        let forgotten = self.give_up(&mut peer, pending, Withdrawal::GivenUp);
        self.peer = Some(peer);
        forgotten
    }

    /// Ends the connection; what of its key is left goes back where that is possible.
    pub(super) fn close(self) {
        if let Some(Err(error)) = self.peer.map(Peer::close) {
            tracing::debug!(%error, "a connection did not end cleanly");
        }
    }

    fn pair_over(
        &self,
        peer: &mut Peer,
        pending: &PendingSegment,
        key: Option<&Gathering>,
        stop: &AtomicBool,
    ) -> Result<Outcome, Failure> {
        let (pairing, segment) = (self.pairing, pending.segment);
        if let Some(why) = self.offer(peer, pending, stop)? {
            self.give_up(peer, pending, Withdrawal::GivenUp)?;
            return Ok(Outcome::Lost(why));
        }
        let (compared, kept) = peer.compare(segment)?;
        let (blocks, _) = kept.as_chunks::<16>();
        let [r, s] = blocks else {
            return Err(PeerError::Unexpected("a hash takes 32 bytes of key").into());
        };
        let hash = match key {
            Some(key) => key.hash(self.isa, r, s),
            None => pairing.hash(segment, self.isa, r, s)?,
        };
        if hash != compared.hash {
            self.give_up(peer, pending, Withdrawal::Differs)?;
            return Ok(Outcome::Differs);
        }
        if pairing.end(pending.direction)? != compared.end {
            return Err(Self::courier_under_way());
        }
        let range = pairing.publish(segment, compared.end)?;
        let adopt = Adopt { direction: pending.direction, range };
        match peer.adopt(segment, &adopt)? {
            Adopted::Added => Ok(Outcome::Added(range.len())),
            Adopted::Burned => {
                pairing.burn(pending.direction, range)?;
                Ok(Outcome::Lost("the site has lost the segment".to_owned()))
            }
        }
    }

    /// Has the site get the segment. What it says where it never will.
    fn offer(
        &self,
        peer: &mut Peer,
        pending: &PendingSegment,
        stop: &AtomicBool,
    ) -> Result<Option<String>, Failure> {
        let offer = Offer {
            direction: pending.direction,
            class: pending.class,
            key_bytes: pending.key_bytes,
            names: pending.names.iter().map(|name| *name.bytes()).collect(),
        };
        let (mut vain, mut keys_before) = (0, 0);
        loop {
            let offered = match peer.offer(pending.segment, &offer) {
                Ok(offered) => offered,
                Err(PeerError::Refused { status: Status::Key, text }) => return Ok(Some(text)),
                Err(PeerError::Refused { status: Status::Refused, text }) => {
                    let what =
                        format!("the site gets no key from {}: {text}", self.deliverer.source());
                    return Err(Failure::new(Class::Authentication, "kme-refuses-site", what)
                        .next("see to the section [kme.NAME] of the site's config.toml"));
                }
                Err(PeerError::Refused { status: Status::Limit, text }) => {
                    let what = format!("the site gets key already: {text}");
                    return Err(Failure::new(Class::Temporary, "site-busy", what)
                        .next("try again in a moment"));
                }
                Err(error) => return Err(error.into()),
            };
            if offered.state == OfferedState::Whole {
                return Ok(None);
            }
            vain = if offered.keys > keys_before { 0 } else { vain + 1 };
            keys_before = offered.keys;
            if stop.load(Relaxed) {
                return Err(stopped());
            }
            if vain >= OFFERS_IN_VAIN_MAX {
                let what = format!("the site has no key from its KME yet: {}", offered.why);
                return Err(Failure::new(Class::Temporary, "kme-away-at-site", what)
                    .next("see that the site's KME runs; the segment is kept until then"));
            }
            self.clock.pause(OFFER_PAUSE * vain);
        }
    }

    /// Forgets a segment at both ends. Here last: until then the site can still be told.
    fn give_up(
        &self,
        peer: &mut Peer,
        pending: &PendingSegment,
        why: Withdrawal,
    ) -> Result<(), Failure> {
        peer.withdraw(pending.segment, why)?;
        Ok(self.pairing.discard(pending.segment)?)
    }

    fn absurd_end(bytes: u64) -> Failure {
        let what = format!("the site says that it has {bytes} bytes of key that this end lacks");
        Failure::new(Class::Authentication, "link-end", what)
            .next("look at the site; if this vault is an old copy, make a new link")
    }

    fn courier_under_way() -> Failure {
        let what = "the two ends of the link count on from different positions";
        Failure::new(Class::Temporary, "courier-under-way", what)
            .next("import the courier's drive at the site first; what was fetched is kept")
    }
}
