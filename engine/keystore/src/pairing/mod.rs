//! Key that a third party delivered to both ends becomes key of their link.
//!
//! Each end gathers it into a *pending segment*, durable and without a position. Only when a hash
//! keyed by the link shows that both hold the same does end A add it to the pool, then end B, at
//! the same positions. What is cut short is gone on with by the same steps: a segment that end A
//! has added is one that end B adds, too, or burns where it lost it.

mod gathering;
mod names;
mod pending;
mod standing;

pub use gathering::{AnswerRefusal, DELIVERED_KEYS_MAX, DELIVERED_SEGMENT_BYTES_MAX, Gathering};
pub(crate) use pending::KEY_SUFFIX;
pub use pending::PendingSegment;
pub use standing::{DeliveryStanding, MISMATCHES_MAX};

use crate::delivery::{KeyDelivery, KeyId};
use crate::entry::Entry;
use crate::error::{KeyError, SegmentRefusal};
use crate::fetch::FetchManner;
use crate::fill::{Filling, erase_file, expect_direction};
use crate::medium::{MediumFile, Opening};
use crate::pool::{DIRECTIONS, Pool};
use crate::record::Kind;
use crate::segment::{HEADER_BYTES, Header, LOST_SOURCE, Origin, Segment};
use crate::store::{Inner, KeyStore};
use gathering::{PIECE_BYTES, PieceHash};
use pending::{LIST_SUFFIX, key_path, list_name};
use std::io;
use std::sync::{Arc, Mutex};
use warifu_buffers::Block;
use warifu_core::id::Incarnation;
use warifu_core::{Direction, KeyClass, KeyRange, PoolId, SegmentId, SiteName};
use warifu_kernels::Isa;

const LOCK: &str = "pairing";

/// Segments of a pool whose key this end has lost. Each is a file, and the other end says of how
/// many: an end that was restored from long ago needs a few, a hostile one would never stop.
const LOST_SEGMENTS_MAX: usize = 1024;

const BLOCK_BYTES: usize = 16;

/// A deliverer as this end of one link uses it.
#[derive(Clone)]
pub struct Deliverer {
    /// What is asked.
    pub delivery: Arc<dyn KeyDelivery>,
    /// The other end's name there.
    pub peer: String,
    /// What the operator claims of its key.
    pub class: KeyClass,
    /// Key gathered into one segment, in bytes; at most [`DELIVERED_SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// How fresh key is asked for.
    pub manner: FetchManner,
    /// Key in each direction up to which it is fetched, in bytes, unless something else is said.
    pub watermark_bytes: Option<u64>,
}

impl Deliverer {
    /// What segments of its key say that they come from.
    #[must_use]
    pub fn source(&self) -> String {
        self.delivery.name().to_owned()
    }
}

/// Which deliverer serves the link to which party.
pub trait Deliveries: Send + Sync {
    /// The deliverer that this end shares with `peer`, if there is one.
    fn deliverer(&self, peer: &SiteName) -> Option<Deliverer>;
}

/// What came of keeping a gathering.
pub struct KeptSegment {
    /// The pending segment; `None` where nothing of it may be kept.
    pub pending: Option<PendingSegment>,
    /// Its key, which is durable by now, while it is still in memory: it need not be read for its
    /// [hash](Gathering::hash).
    pub key: Option<Gathering>,
    /// Names that had come before, and were refused with the answers that held them.
    pub names_refused: Vec<KeyId>,
}

/// What is done with a gathering of which a name came before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeats {
    /// The answers without one are kept: end A, which chooses what is in a segment.
    LeaveOut,
    /// Nothing is kept: end B, which needs the segment whole.
    RefuseAll,
}

/// What became of a segment that end A has added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adopted {
    /// It is key of the link at this end, too.
    Added,
    /// This end has lost its key: the positions are burned.
    Burned,
}

/// A segment of a pool, and whether it came by pairing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlacedSegment {
    /// The segment.
    pub segment: SegmentId,
    /// The positions that it fills.
    pub range: KeyRange,
    /// Whether a deliverer brought it; else a courier.
    pub is_delivered: bool,
}

/// The right to pair key for one pool: one process and thread at a time has it.
pub struct Pairing {
    store: Arc<Inner>,
    pub(crate) pool: Arc<Pool>,
    /// One thread notes at a time.
    notes: Mutex<()>,
    _lock: Arc<dyn MediumFile>,
}

impl KeyStore {
    /// Takes the right to pair key for a pool; `None` where somebody has it. What was cut short
    /// before it counted is erased.
    ///
    /// # Errors
    /// [`KeyError::NoPool`]; I/O.
    pub fn pairing(&self, pool: PoolId) -> Result<Option<Pairing>, KeyError> {
        let pool = self.pool(pool)?;
        let path = pool.folder.join(LOCK);
        let failed = || KeyError::io("lock", &path);
        let lock = pool.medium.open(&path, Opening::Create).map_err(failed())?;
        if !lock.try_lock().map_err(failed())? {
            return Ok(None);
        }
        let (store, notes) = (self.inner.clone(), Mutex::default());
        let pairing = Pairing { store, pool, notes, _lock: lock };
        pairing.tidy()?;
        Ok(Some(pairing))
    }

    /// Erases what pairings that were cut short left in a pool, unless one is under way.
    pub(crate) fn tidy_pairing(&self, pool: &Pool, names: &[String]) -> Result<(), KeyError> {
        let is_of_pairing = |name: &String| name.ends_with(KEY_SUFFIX) || is_list(name);
        if names.iter().any(is_of_pairing) || pool.segments().iter().any(Segment::is_lost) {
            self.pairing(pool.id)?;
        }
        Ok(())
    }
}

fn is_list(name: &str) -> bool {
    name.ends_with(LIST_SUFFIX) || name.ends_with(".names.part")
}

impl Pairing {
    /// The pool.
    #[must_use]
    pub fn pool_id(&self) -> PoolId {
        self.pool.id
    }

    /// A name for a new segment.
    ///
    /// # Errors
    /// Where the entropy fails.
    pub fn draw_segment(&self) -> Result<SegmentId, KeyError> {
        self.store.draw_segment()
    }

    /// Makes a gathering durable as a pending segment. Its names are remembered for ever first, so
    /// that none of them ever counts again, whatever happens next.
    ///
    /// # Errors
    /// [`KeyError::Segment`] where the pool has no such direction; [`KeyError::NamesDamaged`]; I/O.
    pub fn keep(
        &self,
        mut gathered: Gathering,
        direction: Direction,
        (class, source): (KeyClass, String),
        repeats: Repeats,
    ) -> Result<KeptSegment, KeyError> {
        let (pool, segment) = (&*self.pool, gathered.segment);
        let medium = &*pool.medium;
        expect_direction(pool, direction, segment)?;
        self.expect_no_key(segment)?;
        let names_refused = names::remember(medium, &gathered.sorted_names())?;
        if repeats == Repeats::LeaveOut {
            gathered.drop_answers_with(&names_refused);
        }
        let is_refused = repeats == Repeats::RefuseAll && !names_refused.is_empty();
        if is_refused || gathered.bytes() == 0 {
            return Ok(KeptSegment { pending: None, key: None, names_refused });
        }
        let path = key_path(&pool.folder, segment);
        let failed = || KeyError::io("write", &path);
        let file = medium.open(&path, Opening::CreateNew).map_err(failed())?;
        let mut at = HEADER_BYTES as u64;
        let written = gathered.pieces(|piece| {
            let from = at;
            at += piece.len() as u64;
            file.write_past_cache(from, piece)
        });
        written.and_then(|()| file.sync()).map_err(failed())?;
        let names = gathered.answers.iter().flat_map(|answer| answer.names.iter().copied());
        let pending = PendingSegment {
            segment,
            direction,
            class,
            key_bytes: gathered.key_bytes as u64,
            source,
            names: names.collect(),
        };
        pending.write(medium, &pool.folder, pool.id)?;
        Ok(KeptSegment { pending: Some(pending), key: Some(gathered), names_refused })
    }

    /// The pending segments, by segment.
    ///
    /// # Errors
    /// [`KeyError::NamesDamaged`]; I/O.
    pub fn pending(&self) -> Result<Vec<PendingSegment>, KeyError> {
        let names = self.file_names()?;
        let lists = names.iter().filter_map(|name| name.strip_suffix(LIST_SUFFIX));
        let segments = lists.filter_map(|name| name.parse::<SegmentId>().ok());
        segments.map(|segment| self.read(segment)).collect()
    }

    /// The hash by which the two ends compare a pending segment: a polynomial over GF(2^128) of the
    /// length and of the hashes of its pieces of 1 MiB, under `s`; those of the pieces are under
    /// `r`. Both must be fresh, and known to the two ends only.
    ///
    /// # Errors
    /// [`KeyError::Segment`] where there is none; I/O.
    pub fn hash(
        &self,
        segment: SegmentId,
        isa: Isa,
        r: &[u8; BLOCK_BYTES],
        s: &[u8; BLOCK_BYTES],
    ) -> Result<[u8; BLOCK_BYTES], KeyError> {
        let pending = self.find(segment)?;
        let path = key_path(&self.pool.folder, segment);
        let failed = || KeyError::io("read", &path);
        let file = self.pool.medium.open(&path, Opening::Existing).map_err(failed())?;
        let mut piece = Block::zeroed(PIECE_BYTES);
        let mut hash = PieceHash::new(isa, r, pending.bytes());
        let mut done = 0;
        while done < pending.bytes() {
            let left = pending.bytes() - done;
            let len = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            file.read_at(HEADER_BYTES as u64 + done, &mut piece[..len]).map_err(failed())?;
            hash.add(&piece[..len]);
            done += len as u64;
        }
        Ok(hash.finish(s))
    }

    /// Adds a pending segment to the pool at `base`, which must be the end of its direction.
    ///
    /// # Errors
    /// [`KeyError::Segment`] where it is not there, or its positions are not next; I/O.
    pub fn publish(&self, segment: SegmentId, base: u64) -> Result<KeyRange, KeyError> {
        let pool = &*self.pool;
        let pending = self.find(segment)?;
        let range = KeyRange::new(base, pending.bytes());
        let range = range.ok_or_else(|| self.refused(segment, SegmentRefusal::Length))?;
        let path = key_path(&pool.folder, segment);
        pool.locked(|entry| {
            self.expect_end(entry, pending.direction, segment, base)?;
            let header = Header {
                direction: pending.direction,
                class: pending.class,
                origin: Origin::Delivered,
                segment,
                pool: pool.id,
                range,
                source: pending.source.clone(),
            };
            let failed = || KeyError::io("write", &path);
            let file = pool.medium.open(&path, Opening::Existing).map_err(failed())?;
            let written = file.write_at(0, &header.encode()).and_then(|()| file.sync());
            written.map_err(failed())?;
            let id = Incarnation::from_bytes(*segment.bytes());
            entry.append_of(Kind::SegmentAdded, pending.direction, range, id)
        })?;
        pool.locked(|_| Ok(()))?; // opens it, and so gives it its name
        // Nothing else is tidied: another one may be halfway kept.
        self.remove_list(segment)?;
        Ok(range)
    }

    /// At end B, when end A has added a segment: adds it, too. A segment that this end has lost
    /// leaves its positions burned, so that both ends count on from the same position.
    ///
    /// # Errors
    /// [`KeyError::Segment`] where it is known at other positions, or an earlier one is missing
    /// here; I/O.
    pub fn adopt(
        &self,
        segment: SegmentId,
        direction: Direction,
        range: KeyRange,
    ) -> Result<Adopted, KeyError> {
        let other_range = || self.refused(segment, SegmentRefusal::WrongRange);
        match self.place(direction, segment)? {
            Some(placed) if placed != range => return Err(other_range()),
            Some(_) => {}
            None => match self.read_if_there(segment)? {
                Some(known) if (known.direction, known.bytes()) != (direction, range.len()) => {
                    return Err(other_range());
                }
                Some(_) => drop(self.publish(segment, range.start())?),
                None => self.add_lost(segment, direction, range)?,
            },
        }
        let is_this = |one: &Segment| one.header.segment == segment && one.is_lost();
        if self.pool.segments().iter().any(is_this) {
            self.burn(direction, range)?;
            return Ok(Adopted::Burned);
        }
        Ok(Adopted::Added)
    }

    /// Fills positions that the other end has and this end has lost, by name or whole, with nothing
    /// and burns them.
    ///
    /// # Errors
    /// [`KeyError::Segment`] where they are not the next ones; I/O.
    pub fn fill_lost(&self, direction: Direction, range: KeyRange) -> Result<(), KeyError> {
        self.add_lost(self.draw_segment()?, direction, range)?;
        self.burn(direction, range)
    }

    /// Burns what is free of `range`: the other end has lost its key.
    ///
    /// # Errors
    /// I/O.
    pub fn burn(&self, direction: Direction, range: KeyRange) -> Result<(), KeyError> {
        let free = self.pool.locked(|entry| {
            let free = entry.side(direction).free(range);
            free.iter().try_for_each(|run| entry.append(Kind::Burned, direction, run))?;
            Ok(free)
        })?;
        self.pool.erase(direction, &free, &free)
    }

    /// Forgets a pending segment and erases its key. One that is not there is no error.
    ///
    /// # Errors
    /// [`KeyError::Segment`] where it is key of the pool by now; I/O.
    pub fn discard(&self, segment: SegmentId) -> Result<(), KeyError> {
        self.expect_no_key(segment)?;
        self.remove_list(segment)?;
        let path = key_path(&self.pool.folder, segment);
        erase_file(&*self.pool.medium, &path).map_err(KeyError::io("erase", path))
    }

    /// One past the last position of a direction.
    ///
    /// # Errors
    /// I/O.
    pub fn end(&self, direction: Direction) -> Result<u64, KeyError> {
        self.pool.locked(|entry| Ok(entry.side(direction).end))
    }

    /// The segments of a direction that begin at or above `from`, in their order.
    ///
    /// # Errors
    /// I/O.
    pub fn placed_from(
        &self,
        direction: Direction,
        from: u64,
    ) -> Result<Vec<PlacedSegment>, KeyError> {
        self.pool.locked(|_| Ok(()))?;
        let segments = self.pool.segments();
        let wanted = segments
            .iter()
            .map(|one| &one.header)
            .filter(|header| header.direction == direction && header.range.start() >= from);
        let placed = wanted.map(|header| PlacedSegment {
            segment: header.segment,
            range: header.range,
            is_delivered: header.origin == Origin::Delivered,
        });
        Ok(placed.collect())
    }

    /// Refuses a segment that is key of the pool, in whichever direction.
    fn expect_no_key(&self, segment: SegmentId) -> Result<(), KeyError> {
        for direction in DIRECTIONS {
            if self.place(direction, segment)?.is_some() {
                return Err(self.refused(segment, SegmentRefusal::Twice));
            }
        }
        Ok(())
    }

    /// Where the pool has a segment.
    fn place(
        &self,
        direction: Direction,
        segment: SegmentId,
    ) -> Result<Option<KeyRange>, KeyError> {
        self.pool.locked(|entry| {
            let segments = &entry.side(direction).segments;
            Ok(segments.iter().find(|(_, known)| *known == segment).map(|(range, _)| *range))
        })
    }

    /// Adds a segment without key. It reads as zeros, which is refused as key, until it is burned.
    fn add_lost(
        &self,
        segment: SegmentId,
        direction: Direction,
        range: KeyRange,
    ) -> Result<(), KeyError> {
        let pool = &*self.pool;
        expect_direction(pool, direction, segment)?;
        if pool.segments().iter().filter(|one| one.is_lost()).count() >= LOST_SEGMENTS_MAX {
            return Err(self.refused(segment, SegmentRefusal::LostTooMany));
        }
        let lost = Filling::begin(&*pool.medium, &pool.folder, segment, pool.incarnation)?;
        let added = lost.extend(range.len()).and_then(|()| {
            pool.locked(|entry| {
                self.expect_end(entry, direction, segment, range.start())?;
                let (class, origin) = (KeyClass::Computational, Origin::Delivered);
                let (source, pool) = (LOST_SOURCE.to_owned(), pool.id);
                lost.seal(&Header { direction, class, origin, segment, pool, range, source })?;
                let id = Incarnation::from_bytes(*segment.bytes());
                entry.append_of(Kind::SegmentAdded, direction, range, id)
            })
        });
        if self.place(direction, segment)?.is_none() {
            lost.give_up();
        }
        added?;
        pool.locked(|_| Ok(())) // opens it, and so gives it its name
    }

    fn expect_end(
        &self,
        entry: &Entry<'_>,
        direction: Direction,
        segment: SegmentId,
        base: u64,
    ) -> Result<(), KeyError> {
        match base.cmp(&entry.side(direction).end) {
            std::cmp::Ordering::Less => Err(self.refused(segment, SegmentRefusal::Overlap)),
            std::cmp::Ordering::Greater => Err(self.refused(segment, SegmentRefusal::Gap)),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn find(&self, segment: SegmentId) -> Result<PendingSegment, KeyError> {
        let missing = || self.refused(segment, SegmentRefusal::Missing);
        self.read_if_there(segment)?.ok_or_else(missing)
    }

    fn read_if_there(&self, segment: SegmentId) -> Result<Option<PendingSegment>, KeyError> {
        let name = list_name(segment);
        match self.file_names()?.contains(&name) {
            true => self.read(segment).map(Some),
            false => Ok(None),
        }
    }

    fn read(&self, segment: SegmentId) -> Result<PendingSegment, KeyError> {
        let pool = &self.pool;
        PendingSegment::read(&*pool.medium, &pool.folder, pool.id, segment)
    }

    fn file_names(&self) -> Result<Vec<String>, KeyError> {
        let folder = &self.pool.folder;
        self.pool.medium.list(folder).map_err(KeyError::io("list", folder))
    }

    fn remove_list(&self, segment: SegmentId) -> Result<(), KeyError> {
        let folder = &self.pool.folder;
        let path = folder.join(list_name(segment));
        let removed = match self.pool.medium.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.pool.medium.sync_dir(folder)),
        };
        removed.map_err(KeyError::io("remove", path))
    }

    /// Erases key without a list, removes lists of segments that are key of the pool by now, and
    /// burns what is left of lost ones.
    fn tidy(&self) -> Result<(), KeyError> {
        let pool = &*self.pool;
        let placed: Vec<SegmentId> = pool.locked(|entry| {
            let all = DIRECTIONS.iter().flat_map(|one| entry.side(*one).segments.iter());
            Ok(all.map(|(_, segment)| *segment).collect())
        })?;
        let names = self.file_names()?;
        for name in &names {
            if name.ends_with(".names.part") {
                let path = pool.folder.join(name);
                pool.medium.remove(&path).map_err(KeyError::io("remove", path))?;
            } else if let Some(segment) = segment_of(name, LIST_SUFFIX)
                && placed.contains(&segment)
            {
                self.remove_list(segment)?;
            } else if let Some(segment) = segment_of(name, KEY_SUFFIX)
                && !placed.contains(&segment)
                && !names.contains(&list_name(segment))
            {
                let path = pool.folder.join(name);
                erase_file(&*pool.medium, &path).map_err(KeyError::io("erase", path))?;
            }
        }
        for lost in pool.segments().iter().filter(|one| one.is_lost()) {
            self.burn(lost.header.direction, lost.header.range)?;
        }
        Ok(())
    }

    fn refused(&self, segment: SegmentId, reason: SegmentRefusal) -> KeyError {
        KeyError::Segment { pool: self.pool.id, segment, reason }
    }
}

fn segment_of(name: &str, suffix: &str) -> Option<SegmentId> {
    name.strip_suffix(suffix)?.parse().ok()
}
