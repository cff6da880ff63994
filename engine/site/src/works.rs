//! Shares that are being worked out with other sites: what of it is in this process's memory.
//!
//! A helper's sum begins with nothing, gets one blind for each other helper and its own weighted
//! chunk last, and then leaves, whole: whoever sees it sees a blind. It is taken out before it is
//! sent, so that nothing is ever added to what left. The target adds up what it gets. It all ends
//! with the process; key that went into it is burned then and no other work gets it.
//!
//! A gateway draws the names of works, and a name is free again as soon as its work has ended. So
//! whoever lets go of the lock goes on with the work of a serial number, which this process gives
//! once, and never finds another work under the name of the one that it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use warifu_buffers::Block;
use warifu_core::{LinkId, SiteName, XCoord};
use warifu_kernels::{Isa, xor};
use warifu_link::body::Work;
use warifu_pipeline::peer::ShareAddress;
use zeroize::Zeroizing;

/// Works in memory at once, of helpers and target together: each has a few chunks.
const WORKS_MAX: usize = 8;

/// Of these, those of one link.
const WORKS_OF_LINK_MAX: usize = 4;

/// How long a work is kept that nobody goes on with. It is forgotten when any work begins or is
/// gone on with after that, or any connection ends.
pub(crate) const WORK_KEPT: Duration = Duration::from_secs(600);

/// The name of a work.
pub(crate) type WorkId = [u8; 16];

/// Which work of this process, whatever its name: no two ever have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Serial(u64);

/// A sum of which parts are missing.
#[derive(Default)]
pub(crate) struct Sum {
    /// None before the first part and after the sum was taken.
    added: Option<Block>,
    parts: BTreeSet<SiteName>,
    is_taken: bool,
}

/// Why a part is not added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Odd {
    /// This one was added before, or the sum has left.
    Twice,
    /// It is of another length.
    Length,
}

impl Odd {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Twice => "this part was there before",
            Self::Length => "this part has another length",
        }
    }
}

impl Sum {
    /// Whether all parts came, and the sum has left.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Adds what comes from `from`, once; how many parts there are then.
    pub(crate) fn add(&mut self, isa: Isa, from: &SiteName, part: &[u8]) -> Result<usize, Odd> {
        if self.is_taken || self.parts.contains(from) {
            return Err(Odd::Twice);
        }
        let added = self.added.get_or_insert_with(|| Block::zeroed(part.len()));
        if added.len() != part.len() {
            return Err(Odd::Length);
        }
        xor(isa, added, part);
        self.parts.insert(from.clone());
        Ok(self.parts.len())
    }

    /// The sum of exactly `count` parts, which is here no longer then; `None` before they all came,
    /// and after.
    pub(crate) fn take(&mut self, count: usize) -> Option<Block> {
        if self.parts.len() != count || self.is_taken {
            return None;
        }
        self.is_taken = true;
        self.added.take()
    }
}

/// What this site has to do with a work.
pub(crate) enum Part {
    /// It contributes its share at `x`.
    Helper {
        x: XCoord,
        /// Whether the contributions may leave.
        is_ready: bool,
    },
    /// It gets the share.
    Target {
        /// The connection that began the share.
        connection: u64,
        attempt: u32,
        /// Blind blocks of the chunks.
        blinds: Vec<Zeroizing<[u8; 16]>>,
    },
}

/// A work, as its gateway asked for it.
pub(crate) struct Entry {
    /// The gateway's link.
    pub(crate) link: LinkId,
    pub(crate) address: ShareAddress,
    pub(crate) work: Work,
    pub(crate) part: Part,
    /// One for each chunk.
    pub(crate) sums: Vec<Sum>,
    /// When it was last gone on with, by the site's clock.
    pub(crate) touched: Duration,
}

impl Entry {
    pub(crate) fn new(
        link: LinkId,
        address: ShareAddress,
        work: Work,
        part: Part,
        now: Duration,
    ) -> Self {
        let sums = (0..work.count).map(|_| Sum::default()).collect();
        Self { link, address, work, part, sums, touched: now }
    }

    /// The sum of chunk `index` of the object.
    pub(crate) fn sum(&mut self, index: u64) -> Option<&mut Sum> {
        let place = usize::try_from(index.checked_sub(self.work.first)?).ok()?;
        self.sums.get_mut(place)
    }

    /// The blinded sum of chunk `index`, once all helpers have added to it, and once.
    pub(crate) fn take(&mut self, index: u64) -> Option<Block> {
        let helpers = self.work.helpers.len();
        self.sum(index)?.take(helpers)
    }
}

/// All works of this process.
#[derive(Default)]
pub(crate) struct Works {
    entries: BTreeMap<Serial, Entry>,
    begun: u64,
}

impl Works {
    /// Takes a work in; one before on the same share, which came to nothing, is over by that. False
    /// where there are too many, or one of that name: nothing is over then.
    pub(crate) fn begin(&mut self, entry: Entry, now: Duration) -> bool {
        self.prune(now);
        let is_same_share =
            |other: &Entry| (other.link, other.address) == (entry.link, entry.address);
        let staying = || self.entries.values().filter(|other| !is_same_share(other));
        let of_link = staying().filter(|other| other.link == entry.link).count();
        let is_named = self.entries.values().any(|other| other.work.id == entry.work.id);
        let has_room = staying().count() < WORKS_MAX && of_link < WORKS_OF_LINK_MAX;
        if is_named || !has_room {
            return false;
        }
        self.entries.retain(|_, other| !is_same_share(other));
        self.begun += 1;
        self.entries.insert(Serial(self.begun), entry);
        true
    }

    /// The work of this name, which is gone on with now.
    pub(crate) fn named(&mut self, id: WorkId, now: Duration) -> Option<(Serial, &mut Entry)> {
        self.prune(now);
        let (serial, entry) = self.entries.iter_mut().find(|(_, entry)| entry.work.id == id)?;
        entry.touched = now;
        Some((*serial, entry))
    }

    /// The same work as before, whatever goes by its name now; `None` where it is over.
    pub(crate) fn find(&mut self, serial: Serial, now: Duration) -> Option<&mut Entry> {
        self.prune(now);
        let entry = self.entries.get_mut(&serial)?;
        entry.touched = now;
        Some(entry)
    }

    /// Forgets a work of which all sums have left.
    pub(crate) fn end_if_whole(&mut self, serial: Serial) {
        let is_whole = |entry: &Entry| entry.sums.iter().all(Sum::is_taken);
        if self.entries.get(&serial).is_some_and(is_whole) {
            self.end(serial);
        }
    }

    /// Forgets a work and all that was added up for it.
    pub(crate) fn end(&mut self, serial: Serial) {
        self.entries.remove(&serial);
    }

    /// A connection has ended: shares that were to be added up over it can't be completed any more.
    pub(crate) fn connection_ended(&mut self, ended: u64, now: Duration) {
        self.prune(now);
        let is_for = |part: &Part| match part {
            Part::Target { connection, .. } => *connection == ended,
            Part::Helper { .. } => false,
        };
        self.entries.retain(|_, entry| !is_for(&entry.part));
    }

    fn prune(&mut self, now: Duration) {
        self.entries.retain(|_, entry| now.saturating_sub(entry.touched) < WORK_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_core::ObjectId;

    fn site(name: &str) -> SiteName {
        name.parse().unwrap()
    }

    #[test]
    fn a_sum_leaves_once_and_nothing_is_added_afterwards() {
        let (isa, mut sum) = (Isa::best(), Sum::default());
        assert_eq!(sum.add(isa, &site("a"), &[1, 2]), Ok(1));
        assert_eq!(sum.add(isa, &site("a"), &[1, 2]), Err(Odd::Twice));
        assert_eq!(sum.add(isa, &site("b"), &[4]), Err(Odd::Length));
        assert!(sum.take(2).is_none(), "one is missing");
        assert_eq!(sum.add(isa, &site("b"), &[4, 8]), Ok(2));
        assert_eq!(sum.take(2).unwrap()[..], [5, 10]);
        assert!(sum.take(2).is_none());
        assert_eq!(sum.add(isa, &site("c"), &[1, 1]), Err(Odd::Twice));
    }

    const S: Duration = Duration::from_secs(1);

    fn entry(number: u8, link: u8, now: Duration) -> Entry {
        let work = Work {
            id: [number; 16],
            first: 0,
            count: 1,
            gateway: site("g"),
            target: site("t"),
            helpers: Vec::new(),
        };
        let x = XCoord::new(1).unwrap();
        let address = ShareAddress { object: ObjectId::from_bytes([number; 16]), x };
        let part = Part::Helper { x, is_ready: false };
        Entry::new(LinkId::from_bytes([link; 16]), address, work, part, now)
    }

    fn named_anew(entry: Entry, number: u8) -> Entry {
        Entry { work: Work { id: [number; 16], ..entry.work }, ..entry }
    }

    fn serial(works: &mut Works, number: u8, now: Duration) -> Option<Serial> {
        works.named([number; 16], now).map(|(serial, _)| serial)
    }

    #[test]
    fn no_link_has_much_work_going_on() {
        let mut works = Works::default();
        assert!(works.begin(entry(1, 1, S), S));
        assert!(!works.begin(entry(1, 2, S), S), "a name serves one work");
        assert!(works.begin(named_anew(entry(1, 1, S), 77), S));
        assert!(serial(&mut works, 1, S).is_none(), "it is over");
        let again = serial(&mut works, 77, S).unwrap();
        works.end(again);
        assert!(works.begin(entry(1, 1, S), S));
        for number in 2..=4 {
            assert!(works.begin(entry(number, 1, S), S));
        }
        assert!(!works.begin(entry(5, 1, S), S));
        for number in 5..=8 {
            assert!(works.begin(entry(number, 2, S), S));
        }
        assert!(!works.begin(entry(9, 3, S), S));
        // Where all is full a share is begun again in its own place, and under a name of its own.
        let before = serial(&mut works, 3, S).unwrap();
        assert!(!works.begin(named_anew(entry(3, 1, S), 4), S), "that name is another's");
        assert!(works.find(before, S).is_some(), "what is not taken in ends nothing");
        assert!(works.begin(named_anew(entry(3, 1, S), 33), S));
        assert!(works.find(before, S).is_none());
        // What nobody goes on with makes room.
        let later = S + WORK_KEPT;
        let gone_on_with = serial(&mut works, 8, later - S).unwrap();
        assert!(works.begin(entry(9, 3, later), later));
        assert!(serial(&mut works, 1, later).is_none());
        assert!(works.find(gone_on_with, later).is_some());
        works.end(gone_on_with);
        assert!(serial(&mut works, 8, later).is_none());
    }

    #[test]
    fn who_went_on_with_a_work_finds_no_other_under_its_name() {
        let mut works = Works::default();
        assert!(works.begin(entry(1, 1, S), S));
        let before = serial(&mut works, 1, S).unwrap();
        works.end(before);
        assert!(works.begin(entry(1, 1, S), S));
        let now = serial(&mut works, 1, S).unwrap();
        assert_ne!(now, before);
        assert!(works.find(before, S).is_none());
        // To end the one that is over does nothing to the other.
        works.end(before);
        works.end_if_whole(before);
        assert!(works.find(now, S).is_some());
    }

    #[test]
    fn what_no_connection_can_complete_is_forgotten() {
        let target = |number, connection, now| {
            let part = Part::Target { connection, attempt: 0, blinds: Vec::new() };
            Entry { part, ..entry(number, 1, now) }
        };
        let mut works = Works::default();
        let later = S + WORK_KEPT;
        assert!(works.begin(target(1, 7, S), S) && works.begin(target(2, 8, later - S), later - S));
        assert!(works.begin(entry(3, 1, later - S), later - S));
        works.connection_ended(7, later - S);
        assert_eq!(works.entries.len(), 2, "another's, and a helper's");
        works.connection_ended(9, later - S + WORK_KEPT);
        assert!(works.entries.is_empty(), "nobody went on with them");
    }
}
