//! What a journal begins with: what is stored, of whom, and where its shares go.

use super::JournalError;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use warifu_core::checksum::crc64;
use warifu_core::plan::{PlannedShare, need};
use warifu_core::{
    Channel, Geometry, IndividualId, KeyClass, LinkId, ObjectId, Role, SiteName, Threshold, XCoord,
};
use warifu_link::body::Holder;
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"WARIFUJN";
const VERSION: u16 = 1;

/// The longest header that is read: 255 shares, a path and the texts.
pub(super) const HEADER_BYTES_MAX: usize = 128 << 10;

/// Where the length of the header has been read.
pub(super) const LENGTH_END: usize = 16;

const CHECKSUM_BYTES: usize = 8;

/// Which file it is and that it is unchanged, as far as its file system tells. The time of the last
/// change of status can't be set by whoever writes to the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SourceIdentity {
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size_bytes: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

impl SourceIdentity {
    /// Whether it is the same file, unchanged. The number of its device says nothing: it is another
    /// one when a file system was mounted again.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.inode, one.size_bytes, one.modified, one.changed);
        self.path == other.path && of(self) == of(other)
    }
}

/// Where one share goes, and the secret under which its hashes are made.
pub(crate) struct SharePlace {
    pub(crate) x: XCoord,
    pub(crate) role: Role,
    pub(crate) channel: Channel,
    pub(crate) link: Option<LinkId>,
    pub(crate) r: Zeroizing<[u8; 16]>,
    pub(crate) site: SiteName,
    pub(crate) zone: SiteName,
    pub(crate) domain: SiteName,
}

/// A backup from its beginning on.
pub(crate) struct Header {
    pub(crate) object: ObjectId,
    pub(crate) created_unix_s: u64,
    pub(crate) threshold: Threshold,
    /// What was claimed of the key when it was planned.
    pub(crate) class: KeyClass,
    /// The payload, or an upper bound of it.
    pub(crate) geometry: Geometry,
    /// Planned of the `random` pool.
    pub(crate) random_bytes: u64,
    pub(crate) individual: IndividualId,
    pub(crate) label: Option<String>,
    /// How the payload is made of the source; another way makes other chunks.
    pub(crate) encoding: String,
    /// `None` for a stream, which has no journal.
    pub(crate) source: Option<SourceIdentity>,
    /// By x.
    pub(crate) shares: Vec<SharePlace>,
}

impl Header {
    /// Where the object's shares are to lie.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        let places = self.shares.iter();
        places.map(|place| Holder { x: place.x, site: place.site.clone() }).collect()
    }

    /// The shares with what each costs.
    pub(crate) fn planned(&self) -> Vec<PlannedShare> {
        let planned = |share: &SharePlace| PlannedShare {
            site: share.site.clone(),
            x: share.x,
            role: share.role,
            channel: share.channel,
            zone: share.zone.clone(),
            domain: share.domain.clone(),
            need: need(self.threshold, self.geometry, share.role, share.channel),
        };
        self.shares.iter().map(planned).collect()
    }

    /// The header as it is written.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_BYTES_MAX));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[self.threshold.k_byte(), self.threshold.n_byte()]);
        bytes.extend_from_slice(&[0; 4]); // the length, below
        bytes.extend_from_slice(self.object.bytes());
        for number in [self.created_unix_s, self.geometry.payload_bytes(), self.random_bytes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&[self.class.to_byte(), 0, 0, 0, 0, 0, 0, 0]);
        let path = match &self.source {
            None => &[][..],
            Some(source) => {
                for number in [source.device, source.inode, source.size_bytes] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
                for (seconds, nanoseconds) in [source.modified, source.changed] {
                    bytes.extend_from_slice(&seconds.to_le_bytes());
                    bytes.extend_from_slice(&nanoseconds.to_le_bytes());
                }
                source.path.as_os_str().as_bytes()
            }
        };
        let label = self.label.as_deref().unwrap_or_default();
        let texts =
            [path, self.individual.as_str().as_bytes(), label.as_bytes(), self.encoding.as_bytes()];
        for text in texts {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text);
        }
        self.shares.iter().for_each(|share| encode_place(share, &mut bytes));
        let length = (bytes.len() + CHECKSUM_BYTES) as u32;
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        let checksum = crc64(&[&bytes]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a whole header.
    ///
    /// # Errors
    /// Where it is not what `encode` gives for any.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        let wrong = |why| JournalError::Damaged { why };
        let rotten = wrong("its header is not as it was written");
        let split = bytes.split_last_chunk::<CHECKSUM_BYTES>();
        let Some((content, checksum)) = split else { return Err(rotten) };
        if crc64(&[content]) != u64::from_le_bytes(*checksum) {
            return Err(rotten);
        }
        let header = Self::read(&mut Bytes { rest: content });
        let header = header.ok_or(wrong("its header makes no sense"))?;
        match header.encode()[..] == *bytes {
            true => Ok(header),
            false => Err(wrong("its header makes no sense")),
        }
    }

    fn read(fields: &mut Bytes<'_>) -> Option<Self> {
        fields.take(MAGIC.len() + 2)?;
        let [k, n] = fields.array()?;
        let threshold = Threshold::new(k.into(), n.into()).ok()?;
        fields.take(4)?;
        let object = ObjectId::from_bytes(fields.array()?);
        let created_unix_s = fields.u64()?;
        let geometry = Geometry::new(fields.u64()?).ok()?;
        let random_bytes = fields.u64()?;
        let [class, ..] = fields.array::<8>()?;
        let class = KeyClass::from_byte(class)?;
        let (device, inode, size_bytes) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (modified, changed) = (fields.time()?, fields.time()?);
        let path = PathBuf::from(OsString::from_vec(fields.counted()?.to_vec()));
        if !path.is_absolute() {
            return None;
        }
        let source = Some(SourceIdentity { path, device, inode, size_bytes, modified, changed });
        let individual = fields.text()?.parse().ok()?;
        let label = Some(fields.text()?.to_owned()).filter(|label| !label.is_empty());
        let encoding = fields.text()?.to_owned();
        let shares: Vec<SharePlace> = (0..n).map(|_| read_place(fields)).collect::<Option<_>>()?;
        let pads = shares.iter().filter(|share| share.role == Role::Pad).count();
        let ascending = shares.windows(2).all(|pair| pair[0].x < pair[1].x);
        if !fields.rest.is_empty() || pads != threshold.pads() || !ascending {
            return None;
        }
        Some(Self {
            object,
            created_unix_s,
            threshold,
            class,
            geometry,
            random_bytes,
            individual,
            label,
            encoding,
            source,
            shares,
        })
    }
}

/// The length that the first bytes of a journal state for its header.
pub(super) fn header_bytes(first: &[u8]) -> Option<usize> {
    let mut fields = Bytes { rest: first };
    let is_ours = fields.take(MAGIC.len())? == MAGIC && fields.array()? == VERSION.to_le_bytes();
    fields.take(2)?;
    let length = u32::from_le_bytes(fields.array()?);
    is_ours.then_some(length as usize)
}

fn encode_place(share: &SharePlace, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&[share.x.get(), share.role.to_byte(), share.channel.to_byte(), 0]);
    bytes.extend_from_slice(share.link.as_ref().map_or(&[0; 16][..], |link| link.bytes()));
    bytes.extend_from_slice(&share.r[..]);
    for name in [&share.site, &share.zone, &share.domain] {
        bytes.extend_from_slice(&(name.as_str().len() as u32).to_le_bytes());
        bytes.extend_from_slice(name.as_str().as_bytes());
    }
}

fn read_place(fields: &mut Bytes<'_>) -> Option<SharePlace> {
    let [x, role, channel, _] = fields.array()?;
    let (x, role) = (XCoord::new(x)?, Role::from_byte(role)?);
    let channel = Channel::from_byte(channel)?;
    let link = Some(fields.array()?).filter(|link| *link != [0; 16]).map(LinkId::from_bytes);
    let r = Zeroizing::new(fields.array()?);
    let mut name = || fields.text()?.parse().ok();
    let (site, zone, domain) = (name()?, name()?, name()?);
    Some(SharePlace { x, role, channel, link, r, site, zone, domain })
}

/// Fields off the front of bytes from a medium; none reads beyond the end.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<(i64, i64)> {
        Some((self.u64()?.cast_signed(), self.u64()?.cast_signed()))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.counted()?).ok()
    }
}
