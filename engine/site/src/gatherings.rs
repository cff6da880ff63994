//! Segments of delivered key that this site gathers, between one request of a gateway and the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use warifu_core::{LinkId, SegmentId};
use warifu_keystore::{AnswerRefusal, DeliveredKeys, Gathering};

/// Links of which a segment may be gathered at a time: each takes up to 64 MiB of memory.
const LINKS_MAX: usize = 8;

/// How long one is kept whose gateway does not come back: it takes memory, and another's place.
const KEPT: Duration = Duration::from_secs(900);

/// A segment as far as it was gathered.
pub(crate) struct Begun {
    gathering: Gathering,
    /// Answers that came before those whose keys stand in front of theirs.
    aside: BTreeMap<usize, DeliveredKeys>,
    /// Answers that were lost on their way.
    pub(crate) lost: u64,
}

impl Begun {
    /// Nothing yet of a segment of keys of `key_bytes` bytes each.
    fn new(segment: SegmentId, key_bytes: usize) -> Self {
        Self { gathering: Gathering::new(segment, key_bytes), aside: BTreeMap::new(), lost: 0 }
    }

    /// One of which all is there, and durable, too.
    pub(crate) const fn whole(gathering: Gathering) -> Self {
        Self { gathering, aside: BTreeMap::new(), lost: 0 }
    }

    /// Bytes of each key.
    pub(crate) const fn key_bytes(&self) -> usize {
        self.gathering.key_bytes()
    }

    /// Keys so far.
    pub(crate) fn keys(&self) -> u64 {
        let aside: usize = self.aside.values().map(|keys| keys.names.len()).sum();
        self.gathering.keys() + aside as u64
    }

    /// The first run of keys that are missing, of so many in all.
    pub(crate) fn missing(&self, all: usize) -> std::ops::Range<usize> {
        let first = usize::try_from(self.gathering.keys()).unwrap_or(all);
        let end = self.aside.first_key_value().map_or(all, |(place, _)| *place);
        first..end.max(first)
    }

    /// Takes an answer whose first key has this place in the segment.
    pub(crate) fn add(&mut self, place: usize, keys: DeliveredKeys) -> Result<(), AnswerRefusal> {
        self.aside.insert(place, keys);
        while let Some(next) = self.aside.first_entry() {
            if *next.key() as u64 != self.gathering.keys() {
                break;
            }
            self.gathering.add(next.remove())?;
        }
        Ok(())
    }

    /// The segment, of which nothing is missing.
    pub(crate) fn into_whole(self) -> Gathering {
        self.gathering
    }
}

/// What a link's place holds.
enum Place {
    /// A request works on it.
    Taken,
    /// The next request goes on with it, or compares it; since when.
    Rests(Begun, Duration),
}

/// All segments that are being gathered.
#[derive(Default)]
pub(crate) struct Gatherings {
    by_link: Mutex<HashMap<LinkId, Place>>,
}

/// Too many links gather at once.
#[derive(Debug)]
pub(crate) struct Crowded;

/// A link's place, until it is dropped.
pub(crate) struct Held<'a> {
    all: &'a Gatherings,
    link: LinkId,
    is_left: bool,
}

impl Gatherings {
    /// Takes the link's place, and what rests there of this segment; what rests of another one of
    /// the link is forgotten.
    ///
    /// # Errors
    /// [`Crowded`] where other links have all places, one request of each link at a time.
    pub(crate) fn take(
        &self,
        link: LinkId,
        (segment, key_bytes): (SegmentId, usize),
        now: Duration,
    ) -> Result<(Held<'_>, Begun), Crowded> {
        let mut places = self.lock();
        places.retain(|_, place| match place {
            Place::Taken => true,
            Place::Rests(_, since) => now.saturating_sub(*since) < KEPT,
        });
        if !places.contains_key(&link) && places.len() >= LINKS_MAX {
            return Err(Crowded);
        }
        let begun = match places.insert(link, Place::Taken) {
            Some(Place::Rests(begun, _)) if begun.gathering.segment() == segment => begun,
            Some(Place::Taken) => return Err(Crowded),
            Some(Place::Rests(..)) | None => Begun::new(segment, key_bytes),
        };
        Ok((Held { all: self, link, is_left: false }, begun))
    }

    /// What rests of this segment; what rests of another one of the link is forgotten.
    pub(crate) fn remove(&self, link: LinkId, segment: SegmentId) -> Option<Begun> {
        let mut places = self.lock();
        if matches!(places.get(&link), Some(Place::Taken)) {
            return None;
        }
        match places.remove(&link)? {
            Place::Rests(begun, _) => Some(begun).filter(|it| it.gathering.segment() == segment),
            Place::Taken => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LinkId, Place>> {
        // Changed in single steps: what a panic leaves is whole.
        self.by_link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// Leaves what was gathered for the next request.
    pub(crate) fn rest(mut self, begun: Begun, now: Duration) {
        self.is_left = true;
        self.all.lock().insert(self.link, Place::Rests(begun, now));
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_left {
            self.all.lock().remove(&self.link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_buffers::Block;
    use warifu_keystore::KeyId;

    const NOW: Duration = Duration::from_secs(1000);

    fn link(number: usize) -> LinkId {
        LinkId::from_bytes([number as u8; 16])
    }

    fn segment(number: u8) -> SegmentId {
        SegmentId::from_bytes([number; 16])
    }

    fn keys(first: u8, count: u8) -> DeliveredKeys {
        let names: Vec<_> =
            (first..first + count).map(|number| KeyId::from_bytes([number; 16])).collect();
        let mut material = Block::zeroed(usize::from(count));
        for (byte, number) in material.iter_mut().zip(first..) {
            *byte = number;
        }
        DeliveredKeys { names, key_bytes: 1, material }
    }

    #[test]
    fn answers_in_any_order_are_put_into_theirs() {
        let mut begun = Begun::new(segment(1), 1);
        assert_eq!(begun.missing(10), 0..10);
        begun.add(4, keys(4, 2)).unwrap();
        assert_eq!((begun.missing(10), begun.keys()), (0..4, 2));
        begun.add(0, keys(0, 2)).unwrap();
        assert_eq!((begun.missing(10), begun.keys()), (2..4, 4));
        begun.add(6, keys(6, 4)).unwrap();
        begun.add(2, keys(2, 2)).unwrap();
        assert_eq!((begun.missing(10), begun.keys()), (10..10, 10));
        assert_eq!(begun.into_whole().bytes(), 10);
        let mut twice = Begun::new(segment(1), 1);
        twice.add(0, keys(0, 2)).unwrap();
        assert_eq!(twice.add(2, keys(1, 2)), Err(AnswerRefusal::Repeated));
    }

    #[test]
    fn so_many_links_gather_at_once_whether_at_work_or_at_rest() {
        let all = Gatherings::default();
        let mut held = Vec::new();
        for number in 0..LINKS_MAX {
            let (place, begun) = all.take(link(number), (segment(1), 1), NOW).unwrap();
            match number % 2 {
                0 => held.push(place),
                _ => place.rest(begun, NOW),
            }
        }
        assert!(all.take(link(LINKS_MAX), (segment(1), 1), NOW).is_err(), "no place is left");
        assert!(all.take(link(0), (segment(1), 1), NOW).is_err(), "a request works on it");
        let again = all.take(link(1), (segment(1), 1), NOW).unwrap();
        drop(again);
        held.push(all.take(link(LINKS_MAX), (segment(1), 1), NOW).unwrap().0);
        assert!(all.take(link(1), (segment(1), 1), NOW).is_err());
        held.pop();
        held.push(all.take(link(1), (segment(1), 1), NOW + KEPT).unwrap().0);
        assert_eq!(all.lock().len(), 1 + LINKS_MAX / 2, "those at rest for too long are forgotten");
    }

    #[test]
    fn what_rests_is_found_by_its_segment_and_else_forgotten() {
        let all = Gatherings::default();
        let rest = |number: u8| {
            let (place, mut begun) = all.take(link(1), (segment(number), 1), NOW).unwrap();
            begun.add(0, keys(0, 1)).unwrap();
            place.rest(begun, NOW);
        };
        rest(1);
        assert_eq!(all.take(link(1), (segment(1), 1), NOW).unwrap().1.keys(), 1);
        assert_eq!(all.take(link(1), (segment(1), 1), NOW).unwrap().1.keys(), 0, "it was dropped");
        rest(1);
        assert_eq!(all.take(link(1), (segment(2), 1), NOW).unwrap().1.keys(), 0);
        rest(1);
        assert!(all.remove(link(1), segment(2)).is_none());
        assert!(all.remove(link(1), segment(1)).is_none(), "it was forgotten");
        rest(1);
        let (place, _) = all.take(link(1), (segment(1), 1), NOW).unwrap();
        assert!(all.remove(link(1), segment(1)).is_none(), "a request works on it");
        drop(place);
    }
}
