//! Requests about key that a deliverer gives to both ends: get it, compare it, add it.

use super::{Answer, Declined, Desk};
use crate::gatherings::Begun;
use crate::greeting::Opened;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use warifu_core::{PoolId, SegmentId, SiteName};
use warifu_keystore::fetch::{FetchEnd, FetchManner, FetchReport, Fetcher, SystemPacing};
use warifu_keystore::{
    Adopted, DELIVERED_SEGMENT_BYTES_MAX, Deliverer, DeliveryError, KeyError, KeyId, Pairing,
    PendingSegment, Repeats, SegmentRefusal,
};
use warifu_link::body::{Adopt, Compared, Offer, Offered, OfferedState};
use warifu_link::{Message, Status};
use warifu_pipeline::peer::Withdrawal;

/// How long one offer may keep its connection waiting; the gateway makes it again.
const OFFER_PATIENCE: Duration = Duration::from_secs(8);

/// How often keys are asked for whose answer was lost: some deliverers give them again.
const LOST_ANSWERS_MAX: u64 = 3;

/// How gathering went on.
enum Progress {
    Whole,
    NotYet(String),
    /// It never will be whole.
    Hopeless(String),
    /// The deliverer refuses until somebody changes something.
    Refused(String),
}

impl Desk {
    /// Gets the keys that the gateway names, or goes on with it.
    pub(super) fn offer(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let bad = |_| Declined::new(Status::BadRequest, "the offer of key makes no sense");
        let offer = Offer::decode(body).map_err(bad)?;
        let bytes = offer.key_bytes.saturating_mul(offer.names.len() as u64);
        if !(1..=DELIVERED_SEGMENT_BYTES_MAX).contains(&bytes) {
            return Err(Declined::new(Status::BadRequest, "an offer of 1 byte to 64 MiB of key"));
        }
        let deliverer = self.deliverer()?;
        let (pairing, segment) = (self.pairing()?, segment_of(message));
        let names: Vec<KeyId> = offer.names.iter().map(|name| KeyId::from_bytes(*name)).collect();
        let mut offered = Offered {
            state: OfferedState::Whole,
            keys: names.len() as u64,
            end: pairing.end(offer.direction).map_err(key)?,
            why: String::new(),
        };
        if let Some(known) = only_pending(&pairing, segment)? {
            let same = known.names == names && known.direction == offer.direction;
            return match same && known.key_bytes == offer.key_bytes {
                true => Ok(answer(&offered)),
                false => {
                    Err(Declined::new(Status::BadRequest, "the segment was offered otherwise"))
                }
            };
        }
        let key_bytes = usize::try_from(offer.key_bytes).unwrap_or(0);
        let now = self.site.clock().elapsed();
        let taken = self.site.gatherings().take(self.greeted.link, (segment, key_bytes), now);
        let crowded = |_| Declined::new(Status::Limit, "too many links gather key at once");
        let (place, mut begun) = taken.map_err(crowded)?;
        if begun.key_bytes() != key_bytes {
            return Err(Declined::new(Status::BadRequest, "the segment was offered otherwise"));
        }
        match self.gather(&deliverer, &mut begun, &names) {
            Progress::Whole => {}
            Progress::NotYet(why) => {
                (offered.state, offered.keys) = (OfferedState::NotYet, begun.keys());
                offered.why = why;
                place.rest(begun, self.site.clock().elapsed());
                return Ok(answer(&offered));
            }
            Progress::Refused(why) => {
                place.rest(begun, self.site.clock().elapsed());
                self.note(&pairing, &why)?;
                return Err(Declined::new(Status::Refused, why));
            }
            Progress::Hopeless(why) => return Err(self.give_up(&pairing, why)?),
        }
        let origin = (offer.class.max(deliverer.class), deliverer.source());
        let whole = begun.into_whole();
        let kept = pairing.keep(whole, offer.direction, origin, Repeats::RefuseAll).map_err(key)?;
        let Some(gathering) = kept.key else {
            let count = kept.names_refused.len() as u64;
            let why = format!("{}: {count} of the keys came before", deliverer.source());
            tracing::error!(alarm = "kme-repeats-key", source = deliverer.source(), count);
            pairing.note(|standing| standing.names_refused += count).map_err(key)?;
            return Err(self.give_up(&pairing, why)?);
        };
        // Comparing comes next, and need not read it.
        place.rest(Begun::whole(gathering), self.site.clock().elapsed());
        Ok(answer(&offered))
    }

    /// Asks the deliverer for what is missing, for a bounded time.
    fn gather(&self, deliverer: &Deliverer, begun: &mut Begun, names: &[KeyId]) -> Progress {
        let until = self.site.clock().elapsed() + OFFER_PATIENCE;
        let key_bytes = begun.key_bytes();
        // The gateway is told at once where there is nothing, and asks again.
        let manner = FetchManner { patience: Duration::ZERO, ..deliverer.manner.clone() };
        let fetcher = Fetcher::new(&*deliverer.delivery, &deliverer.peer, manner, &SystemPacing);
        loop {
            let missing = begun.missing(names.len());
            if missing.is_empty() {
                return Progress::Whole;
            }
            let first = missing.start;
            let (is_late, mut refused) = (AtomicBool::new(false), None);
            let ended = fetcher.named(&names[missing], key_bytes, &is_late, &mut |at, keys| {
                if self.site.clock().elapsed() >= until {
                    // No more is asked for; what is under way is taken.
                    is_late.store(true, Relaxed);
                }
                let place = first + at;
                let is_asked = names.get(place..place + keys.names.len()) == Some(&keys.names);
                let added = match is_asked {
                    true => begun.add(place, keys).map_err(|refusal| refusal.to_string()),
                    false => Err("it has other keys than were asked for".to_owned()),
                };
                refused = added.err();
                if refused.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Some(why) = refused {
                return Progress::Hopeless(format!("an answer of {}: {why}", deliverer.source()));
            }
            match ended {
                Ok(FetchReport { end: FetchEnd::Done, .. }) => {}
                Ok(FetchReport { end: FetchEnd::Stopped, .. }) => {
                    return Progress::NotYet("it takes longer than one request may".to_owned());
                }
                Ok(FetchReport { end: FetchEnd::Dry { why }, lost, .. }) => {
                    begun.lost += lost;
                    return match begun.lost < LOST_ANSWERS_MAX {
                        true => Progress::NotYet(why),
                        false => Progress::Hopeless(why),
                    };
                }
                Err(error @ DeliveryError::Refused { .. }) => {
                    return Progress::Refused(error.to_string());
                }
                Err(error) => return Progress::Hopeless(error.to_string()),
            }
        }
    }

    /// Tells the hash of a segment under what both ends keep of the request's frame.
    pub(super) fn compare(&self, opened: &Opened) -> Result<Answer, Declined> {
        let (pairing, segment) = (self.pairing()?, segment_of(&opened.message));
        let pending = pairing.pending().map_err(key)?;
        let Some(pending) = pending.into_iter().find(|one| one.segment == segment) else {
            return Err(Declined::new(Status::Key, "no such segment was gathered here"));
        };
        let (blocks, _) = opened.kept.as_chunks::<16>();
        let [r, s] = blocks else {
            return Err(Declined::new(Status::BadRequest, "a hash takes 32 bytes of key"));
        };
        let isa = self.site.isa();
        let in_memory = self.site.gatherings().remove(self.greeted.link, segment);
        let in_memory = in_memory.filter(|begun| begun.keys() == pending.names.len() as u64);
        let hash = match in_memory {
            Some(begun) => begun.into_whole().hash(isa, r, s),
            None => pairing.hash(segment, isa, r, s).map_err(key)?,
        };
        let end = pairing.end(pending.direction).map_err(key)?;
        let mut body = Vec::new();
        Compared { hash, end }.encode(&mut body);
        Ok(Answer { body, ..Answer::default() })
    }

    /// Adds a segment that the gateway has added.
    pub(super) fn adopt(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let bad = |_| Declined::new(Status::BadRequest, "the order to add key makes no sense");
        let Adopt { direction, range } = Adopt::decode(body).map_err(bad)?;
        if range.len() > DELIVERED_SEGMENT_BYTES_MAX {
            return Err(Declined::new(Status::BadRequest, "no segment of key is that long"));
        }
        let (pairing, segment) = (self.pairing()?, segment_of(message));
        let is_new = pairing.end(direction).map_err(key)? <= range.start();
        let source = self.deliverer().map(|deliverer| deliverer.source()).unwrap_or_default();
        let now = self.site.clock().unix_s();
        let adopted = pairing.adopt(segment, direction, range).map_err(key)?;
        if is_new {
            pairing
                .note(|standing| {
                    standing.source.clone_from(&source);
                    match adopted {
                        Adopted::Added => standing.arrive(range.len(), now),
                        Adopted::Burned => standing.fail("a segment was lost here", now),
                    }
                })
                .map_err(key)?;
        }
        Ok(Answer { argument0: u64::from(adopted == Adopted::Burned), ..Answer::default() })
    }

    /// Forgets a segment that is not key of the link.
    pub(super) fn withdraw(&self, message: &Message) -> Result<Answer, Declined> {
        let why = Withdrawal::from_number(message.argument0);
        let why = why.ok_or_else(|| Declined::new(Status::BadRequest, "no reason is given"))?;
        let (pairing, segment) = (self.pairing()?, segment_of(message));
        drop(self.site.gatherings().remove(self.greeted.link, segment));
        let is_known = only_pending(&pairing, segment)?.is_some();
        match pairing.discard(segment) {
            // A gateway restored from before it added the segment. It holds those positions for
            // lost, and only its pending segment is to go.
            Ok(()) | Err(KeyError::Segment { reason: SegmentRefusal::Twice, .. }) => {}
            Err(error) => return Err(key(error)),
        }
        if why == Withdrawal::Differs && is_known {
            tracing::error!(alarm = "kme-mismatch", %segment, "the two ends got different key");
            let now = self.site.clock().unix_s();
            let text = "the two ends got different key";
            pairing.note(|standing| standing.differ(text, now)).map_err(key)?;
        }
        Ok(Answer::default())
    }

    /// Says in the pool's standing and to the gateway that a segment can't be had.
    fn give_up(&self, pairing: &Pairing, why: String) -> Result<Declined, Declined> {
        let now = self.site.clock().unix_s();
        let noted = pairing.note(|standing| {
            standing.segments_lost += 1;
            standing.fail(&why, now);
        });
        noted.map_err(key)?;
        Ok(Declined::new(Status::Key, why))
    }

    fn note(&self, pairing: &Pairing, why: &str) -> Result<(), Declined> {
        let now = self.site.clock().unix_s();
        pairing.note(|standing| standing.fail(why, now)).map_err(key)
    }

    fn pairing(&self) -> Result<Pairing, Declined> {
        let pool = PoolId::from(self.greeted.link);
        let busy = || Declined::new(Status::Limit, "another connection pairs key of this link");
        self.site.keys().pairing(pool).map_err(key)?.ok_or_else(busy)
    }

    fn deliverer(&self) -> Result<Deliverer, Declined> {
        let gateway = self.gateway()?;
        let known = |gateway: &SiteName| self.site.deliverer(gateway);
        gateway.as_ref().and_then(known).ok_or_else(|| {
            let gateway = gateway.map_or_else(String::new, |name| name.to_string());
            let text = format!("no KME is configured here for gateway {gateway}");
            Declined::new(Status::Refused, text)
        })
    }
}

/// The pending segment of this name. Others were left behind by a gateway that went on without
/// them, or was rolled back: they are erased.
fn only_pending(pairing: &Pairing, segment: SegmentId) -> Result<Option<PendingSegment>, Declined> {
    let mut wanted = None;
    for one in pairing.pending().map_err(key)? {
        match one.segment == segment {
            true => wanted = Some(one),
            false => pairing.discard(one.segment).map_err(key)?,
        }
    }
    Ok(wanted)
}

fn answer(offered: &Offered) -> Answer {
    let mut body = Vec::new();
    offered.encode(&mut body);
    Answer { body, ..Answer::default() }
}

fn segment_of(message: &Message) -> SegmentId {
    SegmentId::from_bytes(*message.object.bytes())
}

fn key(error: KeyError) -> Declined {
    let status = match &error {
        KeyError::Io { .. } => Status::Io,
        _ => Status::Key,
    };
    Declined::new(status, error.to_string())
}
