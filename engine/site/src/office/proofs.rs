//! What was proved lately: challenges that are open, permits, searches. All of it is gone when the
//! daemon ends.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;
use warifu_consent::statement::{KeyFingerprint, Nonce};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::{Geometry, IndividualId, LinkId, ObjectId};
use warifu_link::ShareClass;

/// How long a challenge can be answered, and a search be asked for its results.
pub(crate) const PROOF_KEPT: Duration = Duration::from_secs(600);

/// Challenges of one link that are open at a time. The oldest gives way.
const NONCES_OF_LINK_MAX: usize = 64;

/// Links that have challenges, permits or searches at a time.
const LINKS_MAX: usize = 4096;

/// Permits of one link at a time. The one that ends first gives way.
const PERMITS_OF_LINK_MAX: usize = 1024;

/// Searches of one link at a time. The oldest gives way.
const SEARCHES_OF_LINK_MAX: usize = 16;

/// What a link has proved.
#[derive(Default)]
struct OfLink {
    nonces: VecDeque<(Nonce, Option<ObjectId>, Duration)>,
    permits: HashMap<(ObjectId, LinkId), Permit>,
    searches: VecDeque<([u8; 16], KeyFingerprint, Duration)>,
}

/// That shares of an object which came over one link go to whoever asks over another, or the same.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    /// Whose card it goes by; none where officers opened the object.
    pub(crate) consent: Option<Given>,
    /// Ranges of payload bytes in stored offsets; none: all.
    pub(crate) ranges: Option<Vec<Range<u64>>>,
    /// When it ends: by whichever clock says so first. One may be set back, the other stands still
    /// while the machine sleeps.
    pub(crate) until: Moment,
}

/// A moment by both of a site's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By the steady one.
    pub(crate) elapsed: Duration,
    /// By the wall's, in seconds since 1970 UTC.
    pub(crate) unix_s: u64,
}

impl Moment {
    /// So much later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self {
            elapsed: self.elapsed.saturating_add(time),
            unix_s: self.unix_s.saturating_add(time.as_secs()),
        }
    }

    /// Whether it has come, by either clock.
    fn is_past(self, now: Self) -> bool {
        self.elapsed <= now.elapsed || self.unix_s <= now.unix_s
    }
}

/// The consent that a permit goes by.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) key: KeyFingerprint,
    pub(crate) consent: [u8; 16],
    pub(crate) individual: IndividualId,
    pub(crate) made_unix_s: u64,
}

impl Permit {
    /// Whether it covers this part of a share. The chunk that a range begins or ends in goes whole,
    /// as it can't be judged in pieces; the last one is always in, as it tells where all else lies.
    pub(crate) fn covers(&self, class: ShareClass, index: u64, geometry: Geometry) -> bool {
        let Some(ranges) = &self.ranges else { return true };
        match class {
            ShareClass::Capsule => true,
            ShareClass::Mask => false,
            ShareClass::Data => {
                let start = index.saturating_mul(u64::from(CHUNK_BYTES));
                let end = start.saturating_add(u64::from(CHUNK_BYTES));
                geometry.chunk_count().checked_sub(1) == Some(index)
                    || ranges.iter().any(|range| range.start < end && start < range.end)
            }
        }
    }
}

/// Whether a link has a permit.
pub(crate) enum Found {
    Permit(Permit),
    /// It had one, which ended by either clock.
    Ended,
    None,
}

/// All that was proved.
#[derive(Default)]
pub(crate) struct Proofs {
    links: HashMap<LinkId, OfLink>,
}

impl Proofs {
    /// What `link` has proved; `None` where too many others have.
    fn of(&mut self, link: LinkId, now: Duration) -> Option<&mut OfLink> {
        if !self.links.contains_key(&link) && self.links.len() >= LINKS_MAX {
            self.links.retain(|_, of| !of.is_over(now));
            if self.links.len() >= LINKS_MAX {
                return None;
            }
        }
        Some(self.links.entry(link).or_default())
    }

    /// Keeps a challenge open. False where there are too many.
    pub(crate) fn challenge(
        &mut self,
        link: LinkId,
        object: Option<ObjectId>,
        nonce: Nonce,
        now: Duration,
    ) -> bool {
        let Some(of) = self.of(link, now) else { return false };
        of.nonces.retain(|(_, _, drawn)| is_fresh(*drawn, now));
        if of.nonces.len() >= NONCES_OF_LINK_MAX {
            of.nonces.pop_front();
        }
        of.nonces.push_back((nonce, object, now));
        true
    }

    /// The open challenges for this object that are among `answered`: they are open no longer,
    /// whatever comes of the answer.
    pub(crate) fn answer<'a>(
        &mut self,
        link: LinkId,
        object: Option<ObjectId>,
        answered: impl Iterator<Item = &'a Nonce>,
        now: Duration,
    ) -> Vec<Nonce> {
        let Some(of) = self.links.get_mut(&link) else { return Vec::new() };
        of.nonces.retain(|(_, _, drawn)| is_fresh(*drawn, now));
        let mut taken = Vec::new();
        for nonce in answered {
            let open = |(open, about, _): &(Nonce, Option<ObjectId>, Duration)| {
                open == nonce && *about == object
            };
            if let Some(at) = of.nonces.iter().position(open) {
                of.nonces.remove(at);
                taken.push(*nonce);
            }
        }
        taken
    }

    /// Gives `link` a permit for shares that came over `stored_by`. False where too many have any.
    pub(crate) fn permit(
        &mut self,
        link: LinkId,
        (object, stored_by): (ObjectId, LinkId),
        permit: Permit,
        now: Duration,
    ) -> bool {
        let Some(of) = self.of(link, now) else { return false };
        if of.permits.len() >= PERMITS_OF_LINK_MAX && !of.permits.contains_key(&(object, stored_by))
        {
            let first = of.permits.iter().min_by_key(|(_, permit)| permit.until.elapsed);
            if let Some(first) = first.map(|(address, _)| *address) {
                of.permits.remove(&first);
            }
        }
        of.permits.insert((object, stored_by), permit);
        true
    }

    /// What `link` may have of the shares of an object that came over `stored_by`.
    pub(crate) fn find(
        &self,
        link: LinkId,
        object: ObjectId,
        stored_by: LinkId,
        now: Moment,
    ) -> Found {
        let of = self.links.get(&link);
        match of.and_then(|of| of.permits.get(&(object, stored_by))) {
            Some(permit) if !permit.until.is_past(now) => Found::Permit(permit.clone()),
            Some(_) => Found::Ended,
            None => Found::None,
        }
    }

    /// Takes back all permits that go by a consent for which `is_gone`.
    pub(crate) fn take_back(&mut self, is_gone: impl Fn(LinkId, &Given) -> bool) {
        for of in self.links.values_mut() {
            of.permits.retain(|(_, stored_by), permit| {
                !permit.consent.as_ref().is_some_and(|given| is_gone(*stored_by, given))
            });
        }
    }

    /// Remembers whose card was present for a search. False where too many have any.
    pub(crate) fn search(
        &mut self,
        link: LinkId,
        session: [u8; 16],
        key: KeyFingerprint,
        now: Duration,
    ) -> bool {
        let Some(of) = self.of(link, now) else { return false };
        if of.searches.len() >= SEARCHES_OF_LINK_MAX {
            of.searches.pop_front();
        }
        of.searches.push_back((session, key, now));
        true
    }

    /// Whose card was present for this search of `link`'s.
    pub(crate) fn searcher(
        &self,
        link: LinkId,
        session: [u8; 16],
        now: Duration,
    ) -> Option<KeyFingerprint> {
        let mut searches = self.links.get(&link)?.searches.iter().rev();
        let found = searches.find(|(named, _, at)| *named == session && is_fresh(*at, now));
        found.map(|(_, key, _)| *key)
    }
}

impl OfLink {
    fn is_over(&self, now: Duration) -> bool {
        self.nonces.iter().all(|(_, _, drawn)| !is_fresh(*drawn, now))
            && self.permits.values().all(|permit| permit.until.elapsed <= now)
            && self.searches.iter().all(|(_, _, at)| !is_fresh(*at, now))
    }
}

fn is_fresh(since: Duration, now: Duration) -> bool {
    now.saturating_sub(since) < PROOF_KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId::from_bytes([1; 16]);
    const OTHER: LinkId = LinkId::from_bytes([2; 16]);
    const S: Duration = Duration::from_secs(1);

    fn nonce(number: u16) -> Nonce {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        Nonce(bytes)
    }

    fn object(number: u16) -> ObjectId {
        let mut bytes = [9; 16];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        ObjectId::from_bytes(bytes)
    }

    fn link(number: u16) -> LinkId {
        LinkId::from_bytes(*object(number).bytes())
    }

    fn at(elapsed: Duration, unix_s: u64) -> Moment {
        Moment { elapsed, unix_s }
    }

    fn permit(until: Moment) -> Permit {
        Permit { consent: None, ranges: None, until }
    }

    fn has(proofs: &Proofs, number: u16, now: Moment) -> bool {
        matches!(proofs.find(LINK, object(number), OTHER, now), Found::Permit(_))
    }

    #[test]
    fn a_challenge_is_open_once_for_its_link_and_object_and_not_for_long() {
        let mut proofs = Proofs::default();
        let drawn = |proofs: &mut Proofs, now| {
            assert!(proofs.challenge(LINK, Some(object(1)), nonce(1), now));
        };
        drawn(&mut proofs, S);
        let answer = |proofs: &mut Proofs, link, object, now| {
            !proofs.answer(link, object, [nonce(1)].iter(), now).is_empty()
        };
        assert!(!answer(&mut proofs, OTHER, Some(object(1)), S));
        assert!(!answer(&mut proofs, LINK, Some(object(2)), S));
        assert!(!answer(&mut proofs, LINK, None, S));
        assert!(answer(&mut proofs, LINK, Some(object(1)), PROOF_KEPT));
        assert!(!answer(&mut proofs, LINK, Some(object(1)), PROOF_KEPT), "it was answered");
        drawn(&mut proofs, S);
        assert!(!answer(&mut proofs, LINK, Some(object(1)), PROOF_KEPT + S));
    }

    #[test]
    fn no_link_makes_a_site_remember_without_end() {
        let mut proofs = Proofs::default();
        for number in 0..1000 {
            assert!(proofs.challenge(LINK, None, nonce(number), S));
            let until = at(S * u32::from(2000 - number), 5000);
            assert!(proofs.permit(LINK, (object(number), OTHER), permit(until), S));
            assert!(proofs.search(LINK, *object(number).bytes(), KeyFingerprint([3; 32]), S));
        }
        for number in 1000..2000 {
            let until = at(S * u32::from(2000 - number), 5000);
            assert!(proofs.permit(LINK, (object(number), OTHER), permit(until), S));
        }
        let of = &proofs.links[&LINK];
        assert_eq!(of.nonces.len(), NONCES_OF_LINK_MAX);
        assert_eq!(of.permits.len(), PERMITS_OF_LINK_MAX);
        assert_eq!(of.searches.len(), SEARCHES_OF_LINK_MAX);
        assert!(has(&proofs, 0, at(S, 1)), "what ends last stays");
        // Nor do many links, until what the others have is over.
        for number in 0..5000 {
            proofs.challenge(link(number), None, nonce(number), S);
        }
        assert_eq!(proofs.links.len(), LINKS_MAX);
        assert!(!proofs.challenge(link(6000), None, nonce(1), PROOF_KEPT));
        assert!(proofs.challenge(link(6000), None, nonce(1), PROOF_KEPT + S));
        assert!(proofs.links.len() <= 2 && proofs.links.contains_key(&LINK));
    }

    #[test]
    fn a_permit_ends_by_whichever_clock_is_first() {
        let mut proofs = Proofs::default();
        let until = at(S * 10, 1000).after(S * 5);
        proofs.permit(LINK, (object(1), OTHER), permit(until), S);
        assert!(has(&proofs, 1, at(S * 14, 1004)));
        assert!(!has(&proofs, 1, at(S * 15, 1)), "the wall's clock was set back");
        assert!(!has(&proofs, 1, at(S * 11, 1005)), "the machine slept");
        let ended = proofs.find(LINK, object(1), OTHER, at(S * 15, 1005));
        assert!(matches!(ended, Found::Ended));
        let other = proofs.find(OTHER, object(1), OTHER, at(S, 1));
        assert!(matches!(other, Found::None));
        let stored_elsewhere = proofs.find(LINK, object(1), LINK, at(S, 1));
        assert!(matches!(stored_elsewhere, Found::None));
    }

    #[test]
    fn a_range_covers_chunks_that_it_touches_and_the_last() {
        const MIB: u64 = 1 << 20;
        let geometry = Geometry::new(4 * MIB).unwrap();
        let covered = |ranges: &[(u64, u64)]| -> Vec<u64> {
            let ranges = ranges.iter().map(|(start, end)| *start..*end).collect();
            let permit = Permit { ranges: Some(ranges), ..permit(at(S, 1)) };
            assert!(!permit.covers(ShareClass::Mask, 0, geometry));
            assert!(permit.covers(ShareClass::Capsule, 7, geometry));
            (0..5).filter(|index| permit.covers(ShareClass::Data, *index, geometry)).collect()
        };
        assert_eq!(covered(&[(0, 1)]), [0, 3]);
        assert_eq!(covered(&[(MIB - 1, MIB)]), [0, 3]);
        assert_eq!(covered(&[(MIB, MIB + 1)]), [1, 3]);
        assert_eq!(covered(&[(MIB - 1, MIB + 1)]), [0, 1, 3]);
        assert_eq!(covered(&[(0, 1), (2 * MIB, 3 * MIB)]), [0, 2, 3]);
        assert_eq!(covered(&[(u64::MAX - 1, u64::MAX)]), [3]);
        let narrow = Permit { ranges: Some(std::iter::once(0..1).collect()), ..permit(at(S, 1)) };
        assert!(!narrow.covers(ShareClass::Data, u64::MAX, geometry));
        let all = permit(at(S, 1));
        assert!(all.covers(ShareClass::Mask, u64::MAX, geometry));
    }
}
