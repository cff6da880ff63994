//! One pool: its folder, its ledger, its segments, and who in this process holds what of it.

use crate::book::Book;
use crate::entry::Entry;
use crate::error::{KeyError, SegmentRefusal};
use crate::ledger::Ledger;
use crate::medium::{Medium, Opening};
use crate::record::Kind;
use crate::segment::{Segment, file_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use warifu_core::id::Incarnation;
use warifu_core::{Direction, End, KeyRange, PoolId, RangeSet, SegmentId, SiteName};

pub(crate) const DIRECTIONS: [Direction; 2] = [Direction::AToB, Direction::BToA];

const META_BYTES_MAX: u64 = 4096;
const META_NAME: &str = "pool.json";
const LEDGER_NAME: &str = "ledger";

/// What a pool is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PoolKind {
    /// Shared with one peer; this end is the one named. Holder in one direction, witness in the
    /// other.
    Link(End),
    /// The gateway's own random numbers: only `AToB`, of which this end is the holder.
    Random,
    /// No key: it grants positions of a peer's random pool (`AToB`).
    Witness,
}

/// This end's part in a direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Holder,
    Witness,
}

impl PoolKind {
    /// Which end this store is.
    #[must_use]
    pub const fn end(self) -> End {
        match self {
            Self::Link(end) => end,
            Self::Random => End::A,
            Self::Witness => End::B,
        }
    }

    pub(crate) fn role(self, direction: Direction) -> Option<Role> {
        match self {
            Self::Link(end) if direction == end.sends() => Some(Role::Holder),
            Self::Link(_) => Some(Role::Witness),
            Self::Random => (direction == Direction::AToB).then_some(Role::Holder),
            Self::Witness => (direction == Direction::AToB).then_some(Role::Witness),
        }
    }

    /// The numbers in a `created` record.
    pub(crate) const fn to_numbers(self) -> (u64, u64) {
        match self {
            Self::Link(End::A) => (0, 0),
            Self::Link(End::B) => (0, 1),
            Self::Random => (1, 0),
            Self::Witness => (2, 1),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Link(_) => "link",
            Self::Random => "random",
            Self::Witness => "witness",
        }
    }
}

/// `pool.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    v: u32,
    pool: String,
    kind: String,
    end: String,
    peer: Option<String>,
    created: String,
}

pub(crate) struct Pool {
    pub(crate) id: PoolId,
    pub(crate) kind: PoolKind,
    pub(crate) peer: Option<SiteName>,
    pub(crate) created: String,
    pub(crate) folder: PathBuf,
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) incarnation: Incarnation,
    state: Mutex<State>,
    segments: RwLock<Arc<Vec<Segment>>>,
    desk: Mutex<[Desk; 2]>,
}

/// The ledger as far as this process has read it, and its own opening.
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) epoch: Option<u64>,
    pub(crate) superseded: Option<u64>,
}

/// What the sessions of this process may open in one direction.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) last: u64,
    pub(crate) held: BTreeMap<u64, RangeSet>,
    pub(crate) opened: RangeSet,
}

pub(crate) fn folder_of(pool: PoolId) -> PathBuf {
    Path::new("pools").join(pool.to_string())
}

/// Writes a new pool: the ledger first, `pool.json` last, so that a pool that has the latter has
/// the former.
pub(crate) fn write_new(
    medium: &dyn Medium,
    id: PoolId,
    kind: PoolKind,
    peer: Option<&SiteName>,
    incarnation: Incarnation,
) -> Result<(), KeyError> {
    let folder = folder_of(id);
    let failed = || KeyError::io("create a pool in", folder.clone());
    medium.create_dir(&folder).map_err(failed())?;
    let names = medium.list(&folder).map_err(failed())?;
    if names.iter().any(|name| name == META_NAME) {
        return Err(KeyError::PoolExists { pool: id });
    }
    if names.iter().any(|name| name.ends_with(".segment")) {
        return Err(KeyError::PoolDamaged { pool: id, reason: "its pool.json is gone" });
    }
    let file = medium.open(&folder.join(LEDGER_NAME), Opening::Create).map_err(failed())?;
    if file.length().map_err(failed())? > crate::record::RECORD_BYTES as u64 {
        return Err(KeyError::PoolDamaged { pool: id, reason: "its pool.json is gone" });
    }
    file.truncate(0).map_err(failed())?;
    let (start, end) = kind.to_numbers();
    let created = crate::record::Record {
        kind: Kind::Created,
        direction: Direction::AToB,
        sequence: 0,
        start,
        end,
        incarnation,
        epoch: 0,
    };
    file.write_at(0, &created.encode()).and_then(|()| file.sync()).map_err(failed())?;
    let meta = Meta {
        v: 1,
        pool: id.to_string(),
        kind: kind.as_str().to_owned(),
        end: if kind.end() == End::A { "A" } else { "B" }.to_owned(),
        peer: peer.map(ToString::to_string),
        created: jiff::Timestamp::now().to_string(),
    };
    let text = serde_json::to_vec(&meta).map_err(|error| failed()(error.into()))?;
    put_file(medium, &folder, META_NAME, &text).map_err(failed())?;
    medium.sync_dir(Path::new("pools")).map_err(failed())
}

/// Writes a small file whole or not at all, durably.
pub(crate) fn put_file(
    medium: &dyn Medium,
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    let file = medium.open(&part, Opening::Create)?;
    file.truncate(0)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    medium.rename(&part, &folder.join(name))?;
    medium.sync_dir(folder)
}

/// Replaces a small file, and leaves it to the system when that is durable: a crash may bring back
/// the old one, or spoil it.
pub(crate) fn replace_file(
    medium: &dyn Medium,
    folder: &Path,
    name: &str,
    bytes: &[u8],
) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    let file = medium.open(&part, Opening::Create)?;
    file.truncate(0)?;
    file.write_at(0, bytes)?;
    medium.rename(&part, &folder.join(name))
}

/// Reads a small file; longer ones are refused.
pub(crate) fn get_file(medium: &dyn Medium, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = medium.open(path, Opening::Existing)?;
    let length = file.length()?;
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than it can be"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

impl Pool {
    /// Opens a pool's folder; `None` where a creation was cut short. Nothing of the ledger is read.
    pub(crate) fn open(
        medium: &Arc<dyn Medium>,
        id: PoolId,
        incarnation: Incarnation,
    ) -> Result<Option<Self>, KeyError> {
        let folder = folder_of(id);
        let meta_path = folder.join(META_NAME);
        let text = match get_file(&**medium, &meta_path, META_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match is_litter(&**medium, &folder) {
                    Ok(true) => Ok(None),
                    Ok(false) => {
                        Err(KeyError::PoolDamaged { pool: id, reason: "its pool.json is gone" })
                    }
                    Err(error) => Err(KeyError::io("read", folder)(error)),
                };
            }
            Err(error) => return Err(KeyError::io("read", meta_path)(error)),
        };
        let malformed = KeyError::PoolDamaged { pool: id, reason: "its pool.json is malformed" };
        let Some((kind, peer, created)) = parse_meta(id, &text) else { return Err(malformed) };
        let path = folder.join(LEDGER_NAME);
        let file = medium.open(&path, Opening::Existing).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::LedgerLost { pool: id },
            _ => KeyError::io("open", &path)(error),
        })?;
        let ledger = Ledger::unread(id, path, file);
        Ok(Some(Self {
            id,
            kind,
            peer,
            created,
            folder,
            medium: medium.clone(),
            incarnation,
            state: Mutex::new(State { ledger, epoch: None, superseded: None }),
            segments: RwLock::default(),
            desk: Mutex::default(),
        }))
    }

    /// Does `work` with the ledger locked against every other thread and process, and read to its
    /// end.
    pub(crate) fn locked<R>(
        &self,
        work: impl FnOnce(&mut Entry<'_>) -> Result<R, KeyError>,
    ) -> Result<R, KeyError> {
        let mut state = self.state.lock().map_err(|_| KeyError::Refused { pool: self.id })?;
        let _locked = state.ledger.lock()?;
        state.ledger.refresh()?;
        if state.ledger.book.kind() != Some(self.kind) {
            let reason = "ledger and pool.json disagree on its kind";
            return Err(KeyError::PoolDamaged { pool: self.id, reason });
        }
        self.open_segments(&state.ledger.book)?;
        work(&mut Entry::of(self, &mut state))
    }

    pub(crate) fn desk(&self, direction: Direction) -> DeskGuard<'_> {
        // Plain sets, changed in single steps: what a panic leaves is whole.
        let desks = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        DeskGuard { desks, direction }
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Burns what this process took and will not use, and erases its key.
    pub(crate) fn abandon(&self, direction: Direction, rest: &RangeSet) -> Result<(), KeyError> {
        if rest.is_empty() || self.kind == PoolKind::Witness {
            return Ok(());
        }
        self.locked(|entry| {
            rest.iter().try_for_each(|range| entry.append(Kind::Burned, direction, range))
        })?;
        self.erase(direction, rest, rest)
    }

    fn open_segments(&self, book: &Book) -> Result<(), KeyError> {
        let known = DIRECTIONS.map(|direction| book.side(direction).segments.len());
        let present = self.segments();
        let missing = DIRECTIONS.iter().zip(known).flat_map(|(direction, count)| {
            let of_this = |one: &&Segment| one.header.direction == *direction;
            let opened = present.iter().filter(of_this).count();
            (opened..count).map(move |at| (*direction, at))
        });
        let mut fresh = Vec::new();
        for (direction, at) in missing {
            let (range, segment) = book.side(direction).segments[at];
            fresh.push(self.open_segment(direction, range, segment)?);
        }
        if !fresh.is_empty() {
            let mut all: Vec<_> = present
                .iter()
                .map(|one| Segment { header: one.header.clone(), file: one.file.clone() })
                .chain(fresh)
                .collect();
            all.sort_by_key(|one| (one.header.direction, one.header.range.start()));
            *self.segments.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        }
        Ok(())
    }

    /// Names a segment that was recorded when its file was whole and had another name.
    fn mend_name(&self, segment: SegmentId, path: &Path) -> io::Result<()> {
        let prefix = format!("{segment}.");
        let suffixes = [".filling", crate::pairing::KEY_SUFFIX];
        let names = self.medium.list(&self.folder)?;
        if let Some(name) = names.iter().find(|name| {
            name.starts_with(&prefix) && suffixes.iter().any(|end| name.ends_with(end))
        }) {
            self.medium.rename(&self.folder.join(name), path)?;
            self.medium.sync_dir(&self.folder)?;
        }
        Ok(())
    }

    fn open_segment(
        &self,
        direction: Direction,
        range: KeyRange,
        segment: SegmentId,
    ) -> Result<Segment, KeyError> {
        let refused = |reason| KeyError::Segment { pool: self.id, segment, reason };
        let path = self.folder.join(file_name(segment));
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let file = match self.medium.open(&path, Opening::Existing) {
            Err(error) if missing(&error) => {
                self.mend_name(segment, &path).map_err(KeyError::io("mend", &path))?;
                self.medium.open(&path, Opening::Existing)
            }
            result => result,
        };
        let file = file.map_err(|error| match missing(&error) {
            true => refused(SegmentRefusal::Missing),
            false => KeyError::io("open", &path)(error),
        })?;
        let opened = Segment::of(file).map_err(KeyError::io("read", path))?.map_err(refused)?;
        let header = &opened.header;
        let told = (self.id, segment, direction, range);
        if (header.pool, header.segment, header.direction, header.range) != told {
            return Err(refused(SegmentRefusal::WrongRange));
        }
        Ok(opened)
    }
}

/// Whether a folder without `pool.json` holds no more than a creation that was cut short.
fn is_litter(medium: &dyn Medium, folder: &Path) -> io::Result<bool> {
    let names = medium.list(folder)?;
    let Some(_) = names.iter().find(|name| *name == LEDGER_NAME) else {
        return Ok(!names.iter().any(|name| name.ends_with(".segment")));
    };
    let ledger = medium.open(&folder.join(LEDGER_NAME), Opening::Existing)?;
    Ok(ledger.length()? <= crate::record::RECORD_BYTES as u64
        && !names.iter().any(|name| name.ends_with(".segment")))
}

fn parse_meta(id: PoolId, text: &[u8]) -> Option<(PoolKind, Option<SiteName>, String)> {
    let meta: Meta = serde_json::from_slice(text).ok()?;
    let kind = match (meta.kind.as_str(), meta.end.as_str()) {
        ("link", "A") => PoolKind::Link(End::A),
        ("link", "B") => PoolKind::Link(End::B),
        ("random", "A") => PoolKind::Random,
        ("witness", "B") => PoolKind::Witness,
        _ => return None,
    };
    let peer = meta.peer.map(|name| name.parse::<SiteName>()).transpose().ok()?;
    (meta.v == 1 && meta.pool.parse() == Ok(id)).then_some((kind, peer, meta.created))
}

pub(crate) struct DeskGuard<'a> {
    desks: MutexGuard<'a, [Desk; 2]>,
    direction: Direction,
}

impl std::ops::Deref for DeskGuard<'_> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desks[usize::from(self.direction.to_byte())]
    }
}

impl std::ops::DerefMut for DeskGuard<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        &mut self.desks[usize::from(self.direction.to_byte())]
    }
}
