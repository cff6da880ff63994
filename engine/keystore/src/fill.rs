//! Adding segments: filling new ones from a source, and importing those that were carried here.

use crate::entry::Entry;
use crate::error::{KeyError, SegmentRefusal};
use crate::medium::{Medium, MediumFile, Opening};
use crate::pool::{Pool, PoolKind};
use crate::record::Kind;
use crate::segment::{HEADER_BYTES, Header, Origin, Segment, file_name};
use crate::source::KeySource;
use crate::store::KeyStore;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_buffers::Block;
use warifu_core::id::Incarnation;
use warifu_core::{Direction, KeyRange, PoolId, SegmentId};

const STEP_BYTES: u64 = 1 << 20;

/// A segment file on its way: key first, header last, under a name that says so.
pub(crate) struct Filling<'a> {
    medium: &'a dyn Medium,
    folder: PathBuf,
    part: PathBuf,
    file: Arc<dyn MediumFile>,
}

impl<'a> Filling<'a> {
    pub(crate) fn begin(
        medium: &'a dyn Medium,
        folder: &Path,
        segment: SegmentId,
        incarnation: Incarnation,
    ) -> Result<Self, KeyError> {
        let part = folder.join(format!("{segment}.{incarnation}.filling"));
        let file = medium.open(&part, Opening::CreateNew).map_err(KeyError::io("create", &part))?;
        Ok(Self { medium, folder: folder.to_owned(), part, file })
    }

    /// Gives it its header, durably. The key must have been synced.
    pub(crate) fn seal(&self, header: &Header) -> Result<(), KeyError> {
        self.file
            .write_at(0, &header.encode())
            .and_then(|()| self.file.sync())
            .and_then(|()| self.medium.sync_dir(&self.folder))
            .map_err(KeyError::io("write", &self.part))
    }

    /// Gives it its name, durably.
    pub(crate) fn publish(&self, segment: SegmentId) -> Result<(), KeyError> {
        let target = self.folder.join(file_name(segment));
        let named = self.medium.rename(&self.part, &target);
        named
            .and_then(|()| self.medium.sync_dir(&self.folder))
            .map_err(KeyError::io("write", target))
    }

    /// Gives it room for so much key, all zeros, durably.
    pub(crate) fn extend(&self, bytes: u64) -> Result<(), KeyError> {
        let length = (HEADER_BYTES as u64).saturating_add(bytes);
        self.file.truncate(length).map_err(KeyError::io("write", &self.part))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), KeyError> {
        self.file.sync().map_err(KeyError::io("write", &self.part))
    }

    /// Removes what was begun.
    pub(crate) fn give_up(&self) {
        // What stays is collected at the next opening.
        let _removed = self.medium.remove(&self.part);
    }
}

/// Writes the same fresh key to all of `targets` and syncs them.
pub(crate) fn fill(
    targets: &[&Filling<'_>],
    bytes: u64,
    source: &mut dyn KeySource,
    progress: &mut dyn FnMut(u64),
) -> Result<(), KeyError> {
    let step = usize::try_from(bytes.min(STEP_BYTES)).unwrap_or(0);
    let mut key = Block::zeroed(step);
    let mut done = 0;
    while done < bytes {
        let len = usize::try_from((bytes - done).min(STEP_BYTES)).unwrap_or(step);
        if let Err(error) = source.fill(&mut key[..len]) {
            return Err(KeyError::Source { name: source.name().to_owned(), source: error });
        }
        for target in targets {
            let at = HEADER_BYTES as u64 + done;
            let written = target.file.write_at(at, &key[..len]);
            written.map_err(KeyError::io("write", &target.part))?;
        }
        done += len as u64;
        progress(len as u64);
    }
    targets.iter().try_for_each(|target| target.sync())
}

impl KeyStore {
    /// Fills a new segment from `source` at the end of a direction. `progress` is told the bytes of
    /// each step.
    ///
    /// # Errors
    /// [`KeyError::Source`]; [`KeyError::Segment`] where the pool has no such direction; I/O.
    pub fn generate_segment(
        &self,
        pool: PoolId,
        direction: Direction,
        bytes: u64,
        source: &mut dyn KeySource,
        progress: &mut dyn FnMut(u64),
    ) -> Result<SegmentId, KeyError> {
        let pool = self.pool(pool)?;
        let segment = self.inner.draw_segment()?;
        expect_direction(&pool, direction, segment)?;
        let medium = &*self.inner.medium;
        let own = Filling::begin(medium, &pool.folder, segment, self.inner.incarnation)?;
        if let Err(error) = fill(&[&own], bytes, source, progress) {
            own.give_up();
            return Err(error);
        }
        add_filled(&pool, direction, segment, bytes, source, &own, None)?;
        Ok(segment)
    }

    /// Takes in a segment file (FORMAT, section 7) that was carried here: it is moved into its
    /// pool, which must exist. Where only a copy is possible, the original is overwritten and
    /// removed once the copy counts.
    ///
    /// # Errors
    /// [`KeyError::SegmentFile`] and [`KeyError::Segment`] with the reason; [`KeyError::NoPool`];
    /// I/O.
    pub fn import_segment(&self, path: &Path) -> Result<SegmentId, KeyError> {
        let path = std::path::absolute(path).map_err(KeyError::io("find", path))?;
        let header = read_header(&*self.inner.medium, &path)?;
        let pool = self.pool(header.pool)?;
        self.take_in(&pool, &header, &path)?;
        Ok(header.segment)
    }

    /// Imports the segment of `header`, whose file is at `path`, or, where an earlier import was
    /// cut short, in the pool's folder already.
    pub(crate) fn take_in(
        &self,
        pool: &Pool,
        header: &Header,
        path: &Path,
    ) -> Result<(), KeyError> {
        let refused = |reason| KeyError::Segment { pool: pool.id, segment: header.segment, reason };
        expect_direction(pool, header.direction, header.segment)?;
        if header.pool != pool.id {
            return Err(refused(SegmentRefusal::WrongPool));
        }
        let medium = &*self.inner.medium;
        let target = pool.folder.join(file_name(header.segment));
        // A copy of gigabytes is made before the ledger is locked; it counts only then.
        pool.locked(|entry| expect_next(pool, entry, header))?;
        let arrived = read_header(medium, &target).is_ok_and(|there| there == *header);
        if !arrived {
            move_file(medium, path, &target, pool, header)?;
        }
        pool.locked(|entry| {
            expect_next(pool, entry, header)?;
            let segment = Incarnation::from_bytes(*header.segment.bytes());
            entry.append_of(Kind::SegmentAdded, header.direction, header.range, segment)
        })?;
        // Where it was moved, nothing is left to erase.
        erase_file(medium, path).map_err(KeyError::io("erase", path))
    }
}

/// Records a filled segment at the end of its direction. What is carried to the peer has its name
/// before the record, the own file after it: the record is what counts, and the name is mended at
/// the next use ([`Pool::locked`]).
pub(crate) fn add_filled(
    pool: &Pool,
    direction: Direction,
    segment: SegmentId,
    bytes: u64,
    source: &dyn KeySource,
    own: &Filling<'_>,
    carried: Option<&Filling<'_>>,
) -> Result<KeyRange, KeyError> {
    let mut may_be_recorded = false;
    let added = pool.locked(|entry| {
        let reason = SegmentRefusal::Length;
        let too_long = KeyError::Segment { pool: pool.id, segment, reason };
        let base = entry.side(direction).end;
        let range = KeyRange::new(base, bytes).filter(|range| !range.is_empty()).ok_or(too_long)?;
        let header = Header {
            direction,
            class: source.class(),
            origin: Origin::Made,
            segment,
            pool: pool.id,
            range,
            source: source.name().to_owned(),
        };
        if let Some(carried) = carried {
            carried.seal(&header)?;
            carried.publish(segment)?;
        }
        own.seal(&header)?;
        may_be_recorded = true;
        let id = Incarnation::from_bytes(*segment.bytes());
        entry.append_of(Kind::SegmentAdded, direction, range, id)?;
        Ok(range)
    });
    if added.is_ok() {
        let _mended_later = own.publish(segment);
    } else if !may_be_recorded {
        own.give_up();
        carried.inspect(|carried| carried.give_up());
    }
    added
}

pub(crate) fn expect_direction(
    pool: &Pool,
    direction: Direction,
    segment: SegmentId,
) -> Result<(), KeyError> {
    if pool.kind == PoolKind::Witness || pool.kind.role(direction).is_none() {
        let reason = SegmentRefusal::WrongDirection;
        return Err(KeyError::Segment { pool: pool.id, segment, reason });
    }
    Ok(())
}

fn expect_next(pool: &Pool, entry: &Entry<'_>, header: &Header) -> Result<(), KeyError> {
    let side = entry.side(header.direction);
    let known = |segment: &SegmentId| *segment == header.segment;
    let reason = if crate::pool::DIRECTIONS
        .iter()
        .any(|direction| entry.side(*direction).segments.iter().any(|(_, id)| known(id)))
    {
        SegmentRefusal::Twice
    } else if header.range.start() < side.end {
        SegmentRefusal::Overlap
    } else if header.range.start() > side.end {
        SegmentRefusal::Gap
    } else {
        return Ok(());
    };
    Err(KeyError::Segment { pool: pool.id, segment: header.segment, reason })
}

/// The header of a segment file whose length is right.
pub(crate) fn read_header(medium: &dyn Medium, path: &Path) -> Result<Header, KeyError> {
    let refused = |reason| KeyError::SegmentFile { path: path.to_owned(), reason };
    let file = medium.open(path, Opening::Existing).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refused(SegmentRefusal::Missing),
        _ => KeyError::io("open", path)(error),
    })?;
    let segment = Segment::of(file).map_err(KeyError::io("read", path))?.map_err(refused)?;
    Ok(segment.header)
}

/// Brings a segment file into the pool's folder: moved, or copied where that is not possible.
fn move_file(
    medium: &dyn Medium,
    path: &Path,
    target: &Path,
    pool: &Pool,
    header: &Header,
) -> Result<(), KeyError> {
    let failed = || KeyError::io("move", path);
    let file = medium.open(path, Opening::Existing).map_err(failed())?;
    file.sync().map_err(failed())?;
    let moved = match medium.rename(path, target) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let name = file_name(header.segment);
            // No other process writes to this one's part.
            let part = pool.folder.join(format!("{name}.{}.part", pool.incarnation));
            match medium.remove(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed()(error));
                }
                _ => {}
            }
            copy(medium, &*file, &part).map_err(KeyError::io("copy", path))?;
            medium.rename(&part, target).map_err(failed())?;
            false
        }
        Err(error) => return Err(failed()(error)),
    };
    medium.sync_dir(&pool.folder).map_err(failed())?;
    if let (true, Some(parent)) = (moved, path.parent()) {
        medium.sync_dir(parent).map_err(failed())?;
    }
    Ok(())
}

fn copy(medium: &dyn Medium, source: &dyn MediumFile, target: &Path) -> io::Result<()> {
    let length = source.length()?;
    let target = medium.open(target, Opening::CreateNew)?;
    let mut block =
        Block::zeroed(usize::try_from(length.min(STEP_BYTES)).map_err(io::Error::other)?);
    let mut done = 0;
    while done < length {
        let len = usize::try_from((length - done).min(STEP_BYTES)).map_err(io::Error::other)?;
        source.read_at(done, &mut block[..len])?;
        target.write_at(done, &block[..len])?;
        done += len as u64;
    }
    target.sync()
}

/// Overwrites a file and removes its name.
pub(crate) fn erase_file(medium: &dyn Medium, path: &Path) -> io::Result<()> {
    let file = match medium.open(path, Opening::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    file.erase(0, file.length()?)?;
    medium.remove(path)?;
    path.parent().map_or(Ok(()), |parent| medium.sync_dir(parent))
}
