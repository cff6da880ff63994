//! A courier's drive: how a link's two ends get the same key (FORMAT section 10).

use crate::error::{DriveRefusal, KeyError, SegmentRefusal};
use crate::fill::{Filling, add_filled, erase_file, fill, read_header};
use crate::medium::{Directory, Medium, Opening};
use crate::pool::{DIRECTIONS, Pool, PoolKind, get_file};
use crate::segment::{Header, file_name};
use crate::source::KeySource;
use crate::store::KeyStore;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use warifu_core::{Direction, End, KeyRange, LinkId, PoolId, SegmentId, SiteName};

const LETTER: &str = "courier.json";
const LETTER_PART: &str = "courier.json.part";
const LETTER_BYTES_MAX: u64 = 64 << 10;
const SEGMENTS_MAX: usize = 64;

/// What a courier carries: the letter that lies beside the segments.
#[derive(Clone, Debug)]
pub struct Drive {
    /// Its folder.
    pub path: PathBuf,
    /// The link that the key is for.
    pub link: LinkId,
    /// Who filled it: end A.
    pub from: SiteName,
    /// Whom it is for: end B.
    pub to: SiteName,
    /// When it was filled, RFC 3339.
    pub created: String,
    /// The segments, in the order in which they follow each other.
    pub segments: Vec<DriveSegment>,
}

/// One segment on a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriveSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its direction.
    pub direction: Direction,
    /// The positions that it fills.
    pub range: KeyRange,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    v: u32,
    link: String,
    from: String,
    to: String,
    created: String,
    segments: Vec<LetterSegment>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterSegment {
    file: String,
    segment: String,
    direction: u8,
    base: u64,
    bytes: u64,
}

impl Drive {
    /// Reads the letter of a drive, to be shown before it is imported.
    ///
    /// # Errors
    /// [`KeyError::Drive`] where there is none or it is malformed; I/O.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let path = std::path::absolute(path).map_err(KeyError::io("find", path))?;
        Self::read_on(&Directory::new("/"), &path)
    }

    pub(crate) fn read_on(medium: &dyn Medium, path: &Path) -> Result<Self, KeyError> {
        let malformed =
            || KeyError::Drive { path: path.to_owned(), reason: DriveRefusal::Malformed };
        let letter = path.join(LETTER);
        let text =
            get_file(medium, &letter, LETTER_BYTES_MAX).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData => malformed(),
                _ => KeyError::io("read", letter)(error),
            })?;
        Self::parse(path, &text).ok_or_else(malformed)
    }

    fn parse(path: &Path, text: &[u8]) -> Option<Self> {
        let letter: Letter = serde_json::from_slice(text).ok()?;
        if letter.v != 1 || !(1..=SEGMENTS_MAX).contains(&letter.segments.len()) {
            return None;
        }
        let mut segments = Vec::new();
        for told in &letter.segments {
            let segment = told.segment.parse().ok()?;
            if told.file != file_name(segment) {
                return None;
            }
            let direction = Direction::from_byte(told.direction)?;
            let range = KeyRange::new(told.base, told.bytes).filter(|range| !range.is_empty())?;
            segments.push(DriveSegment { segment, direction, range });
        }
        segments.sort_by_key(|one| (one.direction, one.range.start()));
        let follows = |pair: &[DriveSegment]| {
            pair[0].direction != pair[1].direction || pair[0].range.end() == pair[1].range.start()
        };
        let readable = letter.created.len() <= 64 && !letter.created.chars().any(char::is_control);
        (segments.windows(2).all(follows) && readable).then_some(())?;
        Some(Self {
            path: path.to_owned(),
            link: letter.link.parse().ok()?,
            from: letter.from.parse().ok()?,
            to: letter.to.parse().ok()?,
            created: letter.created,
            segments,
        })
    }

    fn write(&self, medium: &dyn Medium) -> io::Result<()> {
        let segments = self.segments.iter().map(|one| LetterSegment {
            file: file_name(one.segment),
            segment: one.segment.to_string(),
            direction: one.direction.to_byte(),
            base: one.range.start(),
            bytes: one.range.len(),
        });
        let letter = Letter {
            v: 1,
            link: self.link.to_string(),
            from: self.from.to_string(),
            to: self.to.to_string(),
            created: self.created.clone(),
            segments: segments.collect(),
        };
        crate::pool::put_file(medium, &self.path, LETTER, &serde_json::to_vec_pretty(&letter)?)
    }

    const fn refused(&self, reason: DriveRefusal) -> impl Fn() -> KeyError + use<'_> {
        move || KeyError::Drive { path: self.path.clone(), reason }
    }
}

impl KeyStore {
    /// Fills one more segment for each direction of a link, the same bytes here and on the drive.
    /// The link's pool is created with this store as end A where there is none. The letter comes
    /// last: a drive without it was cut short and is refused at the other end. The same order with
    /// the same drive finishes it.
    ///
    /// # Errors
    /// [`KeyError::Drive`] where the drive is occupied or the link has another peer;
    /// [`KeyError::PeerNameTaken`]; [`KeyError::Source`]; I/O.
    #[expect(clippy::too_many_arguments, reason = "each is one word of the order to the courier")]
    pub fn courier(
        &self,
        link: LinkId,
        from: &SiteName,
        to: &SiteName,
        bytes_each_direction: u64,
        source: &mut dyn KeySource,
        drive: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Drive, KeyError> {
        let path = std::path::absolute(drive).map_err(KeyError::io("find", drive))?;
        let mut drive = Drive {
            path,
            link,
            from: from.clone(),
            to: to.clone(),
            created: jiff::Timestamp::now().to_string(),
            segments: Vec::new(),
        };
        let medium = &*self.inner.medium;
        drive.segments = self.prepare(&drive)?;
        let pool = self.pool_of_link(&drive, PoolKind::Link(End::A), to)?;
        for direction in DIRECTIONS {
            if drive.segments.iter().any(|one| one.direction == direction) {
                continue;
            }
            let segment = self.inner.draw_segment()?;
            let incarnation = self.inner.incarnation;
            let carried = Filling::begin(medium, &drive.path, segment, incarnation)?;
            let own = Filling::begin(medium, &pool.folder, segment, incarnation)?;
            let bytes = bytes_each_direction;
            if let Err(error) = fill(&[&carried, &own], bytes, source, progress) {
                carried.give_up();
                own.give_up();
                return Err(error);
            }
            let range = add_filled(&pool, direction, segment, bytes, source, &own, Some(&carried))?;
            drive.segments.push(DriveSegment { segment, direction, range });
        }
        drive.write(medium).map_err(KeyError::io("write", drive.path.join(LETTER)))?;
        Ok(drive)
    }

    /// Takes in what a courier brought for `our_name`, makes the link at end B, and erases the
    /// drive. An import that was cut short is finished by another. A drive of which everything is
    /// here already is erased, too, and refused.
    ///
    /// # Errors
    /// [`KeyError::Drive`] for another site's drive, another peer's link or a second import;
    /// [`KeyError::PeerNameTaken`]; [`KeyError::Segment`] and [`KeyError::SegmentFile`]; I/O.
    pub fn import_drive(&self, drive: &Drive, our_name: &SiteName) -> Result<LinkId, KeyError> {
        if drive.to != *our_name {
            return Err(drive.refused(DriveRefusal::OtherSite)());
        }
        let medium = &*self.inner.medium;
        let known = self.known_segments(drive)?;
        let fresh = drive.segments.iter().filter(|one| !known.contains(&one.segment));
        let fresh: Vec<DriveSegment> = fresh.copied().collect();
        if fresh.is_empty() {
            self.erase_drive(drive)?;
            return Err(drive.refused(DriveRefusal::Twice)());
        }
        // All are looked at before anything is changed.
        let folder = crate::pool::folder_of(drive.link.into());
        let headers: Vec<Header> = fresh
            .iter()
            .map(|one| header_of(medium, drive, &folder, one))
            .collect::<Result<_, _>>()?;
        if known.is_empty() {
            expect_whole_from_the_start(drive, &headers)?;
        }
        let pool = self.pool_of_link(drive, PoolKind::Link(End::B), &drive.from)?;
        for header in &headers {
            self.take_in(&pool, header, &drive.path.join(file_name(header.segment)))?;
        }
        self.erase_drive(drive)?;
        Ok(drive.link)
    }

    /// Erases what of a drive is in the own pool now; the letter goes last.
    fn erase_drive(&self, drive: &Drive) -> Result<(), KeyError> {
        let medium = &*self.inner.medium;
        let paths = drive.segments.iter().map(|one| file_name(one.segment));
        for path in paths.chain([LETTER.to_owned()]).map(|name| drive.path.join(name)) {
            erase_file(medium, &path).map_err(KeyError::io("erase", path))?;
        }
        Ok(())
    }

    /// Makes the drive ready. What an order that was cut short left there is taken up where the own
    /// ledger has it, and erased where not.
    fn prepare(&self, drive: &Drive) -> Result<Vec<DriveSegment>, KeyError> {
        let medium = &*self.inner.medium;
        let failed = || KeyError::io("prepare", &drive.path);
        let missing = drive.path.ancestors().take_while(|folder| medium.list(folder).is_err());
        let missing: Vec<&Path> = missing.collect();
        medium.create_dir(&drive.path).map_err(failed())?;
        for parent in missing.into_iter().filter_map(Path::parent) {
            medium.sync_dir(parent).map_err(failed())?;
        }
        let names = medium.list(&drive.path).map_err(failed())?;
        if names.iter().any(|name| name == LETTER) {
            return Err(drive.refused(DriveRefusal::Occupied)());
        }
        let known = self.known_segments(drive)?;
        let mut carried = Vec::new();
        for name in names {
            let path = drive.path.join(&name);
            if name.ends_with(".segment") {
                let header = read_header(medium, &path)?;
                if header.pool != drive.link.into() {
                    return Err(drive.refused(DriveRefusal::Occupied)());
                }
                if known.contains(&header.segment) {
                    let Header { segment, direction, range, .. } = header;
                    carried.push(DriveSegment { segment, direction, range });
                    continue;
                }
            } else if name != LETTER_PART && !name.ends_with(".filling") {
                continue;
            }
            erase_file(medium, &path).map_err(failed())?;
        }
        Ok(carried)
    }

    fn pool_of_link(
        &self,
        drive: &Drive,
        kind: PoolKind,
        peer: &SiteName,
    ) -> Result<std::sync::Arc<Pool>, KeyError> {
        let id = PoolId::from(drive.link);
        match self.create_pool(id, kind, Some(peer.clone())) {
            Ok(()) | Err(KeyError::PoolExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let pool = self.pool(id)?;
        if pool.kind != kind || pool.peer.as_ref() != Some(peer) {
            return Err(drive.refused(DriveRefusal::OtherPeer)());
        }
        Ok(pool)
    }

    fn known_segments(&self, drive: &Drive) -> Result<Vec<SegmentId>, KeyError> {
        match self.pool(drive.link.into()) {
            Err(KeyError::NoPool { .. }) => Ok(Vec::new()),
            pool => pool?.locked(|entry| {
                let sides = DIRECTIONS.map(|direction| entry.side(direction).segments.clone());
                Ok(sides.into_iter().flatten().map(|(_, segment)| segment).collect())
            }),
        }
    }
}

/// A new link begins with its first segments: else nothing of it, not even its name, is taken in.
fn expect_whole_from_the_start(drive: &Drive, headers: &[Header]) -> Result<(), KeyError> {
    for direction in DIRECTIONS {
        let mut end = 0;
        for header in headers.iter().filter(|header| header.direction == direction) {
            if header.range.start() != end {
                let (pool, segment) = (drive.link.into(), header.segment);
                return Err(KeyError::Segment { pool, segment, reason: SegmentRefusal::Gap });
            }
            end = header.range.end();
        }
    }
    Ok(())
}

/// The header of a segment on the drive, or in the pool's folder where an import was cut short.
fn header_of(
    medium: &dyn Medium,
    drive: &Drive,
    folder: &Path,
    told: &DriveSegment,
) -> Result<Header, KeyError> {
    let path = drive.path.join(file_name(told.segment));
    let arrived = folder.join(file_name(told.segment));
    let moved = medium.open(&path, Opening::Existing).is_err()
        && medium.open(&arrived, Opening::Existing).is_ok();
    let header = read_header(medium, if moved { &arrived } else { &path })?;
    let reason = if header.pool != drive.link.into() {
        SegmentRefusal::WrongPool
    } else if (header.segment, header.direction, header.range)
        != (told.segment, told.direction, told.range)
    {
        SegmentRefusal::WrongRange
    } else {
        return Ok(header);
    };
    Err(KeyError::SegmentFile { path, reason })
}
