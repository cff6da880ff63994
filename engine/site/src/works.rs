//! Shares that are being worked out with other sites: what of it is in this process's memory.
//!
//! A helper's sum begins with nothing, gets one blind for each other helper and its own weighted
//! chunk last, and then leaves, whole: whoever sees it sees a blind. It is taken out before it is
//! sent, so that nothing is ever added to what left. The target adds up what it gets. It all ends
//! with the process; key that went into it is burned then and no other work gets it.

use std::collections::{BTreeSet, HashMap};
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

/// How long a work is kept that nobody goes on with.
pub(crate) const WORK_KEPT: Duration = Duration::from_secs(600);

/// The name of a work.
pub(crate) type WorkId = [u8; 16];

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
}

/// All works of this process.
#[derive(Default)]
pub(crate) struct Works {
    entries: HashMap<WorkId, Entry>,
}

impl Works {
    /// Takes a work in; one before on the same share, which came to nothing, is over by that. False
    /// where there are too many, or one of that name.
    pub(crate) fn begin(&mut self, entry: Entry, now: Duration) -> bool {
        if self.entries.contains_key(&entry.work.id) {
            return false;
        }
        self.entries.retain(|_, other| {
            let is_same_share = (other.link, other.address) == (entry.link, entry.address);
            now.saturating_sub(other.touched) < WORK_KEPT && !is_same_share
        });
        let of_link = self.entries.values().filter(|other| other.link == entry.link).count();
        let has_room = self.entries.len() < WORKS_MAX && of_link < WORKS_OF_LINK_MAX;
        if has_room {
            self.entries.insert(entry.work.id, entry);
        }
        has_room
    }

    /// The work of this name, which is gone on with now.
    pub(crate) fn find(&mut self, id: WorkId, now: Duration) -> Option<&mut Entry> {
        self.entries.retain(|_, entry| now.saturating_sub(entry.touched) < WORK_KEPT);
        let entry = self.entries.get_mut(&id)?;
        entry.touched = now;
        Some(entry)
    }

    /// Forgets a work of which all sums have left.
    pub(crate) fn end_if_whole(&mut self, id: WorkId) {
        let is_whole = |entry: &Entry| entry.sums.iter().all(Sum::is_taken);
        if self.entries.get(&id).is_some_and(is_whole) {
            self.end(id);
        }
    }

    /// Forgets a work and all that was added up for it.
    pub(crate) fn end(&mut self, id: WorkId) {
        self.entries.remove(&id);
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

    #[test]
    fn no_link_has_much_work_going_on() {
        const S: Duration = Duration::from_secs(1);
        let entry = |number: u8, link: u8, now| {
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
        };
        let mut works = Works::default();
        assert!(works.begin(entry(1, 1, S), S));
        assert!(!works.begin(entry(1, 2, S), S), "a name serves one work");
        let again = Entry { work: Work { id: [77; 16], ..entry(1, 1, S).work }, ..entry(1, 1, S) };
        assert!(works.begin(again, S) && works.find([1; 16], S).is_none(), "it is over");
        works.end([77; 16]);
        assert!(works.begin(entry(1, 1, S), S));
        for number in 2..=4 {
            assert!(works.begin(entry(number, 1, S), S));
        }
        assert!(!works.begin(entry(5, 1, S), S));
        for number in 5..=8 {
            assert!(works.begin(entry(number, 2, S), S));
        }
        assert!(!works.begin(entry(9, 3, S), S));
        // What nobody goes on with makes room.
        let later = S + WORK_KEPT;
        assert!(works.find([8; 16], later - S).is_some());
        assert!(works.begin(entry(9, 3, later), later));
        assert!(works.find([1; 16], later).is_none() && works.find([8; 16], later).is_some());
        works.end([8; 16]);
        assert!(works.find([8; 16], later).is_none());
    }
}
