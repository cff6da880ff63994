//! Bodies about work that sites do together: whose share lies where, and what is to be worked out.

use super::{
    HOLDERS_MAX, INDIVIDUAL_BYTES_MAX, NAME_BYTES_MAX, WORK_CHUNKS_MAX, decode_individual,
    decode_site_name, put_u32, put_u64, whole,
};
use crate::error::MessageError;
use crate::fields::Fields;
use warifu_core::{IndividualId, SiteName, XCoord};

/// Bytes between the individual and a holder, its x included.
const HOLDER_HEAD_BYTES: usize = 4;

/// Longest body of an own request in bytes.
pub const OWN_BYTES_MAX: usize =
    INDIVIDUAL_BYTES_MAX + HOLDERS_MAX * (HOLDER_HEAD_BYTES + NAME_BYTES_MAX);
/// Bytes of a piece of work with the shortest names and no helpers.
pub const WORK_BYTES_MIN: usize = 16 + 8 + 4 + 2 + 2 + 1;
/// Bytes of a piece of work with the longest names and as many helpers as there may be.
pub const WORK_BYTES_MAX: usize =
    16 + 8 + 4 + 2 * (1 + NAME_BYTES_MAX) + 1 + HOLDERS_MAX * (2 + NAME_BYTES_MAX);

/// Which share of an object lies at which site.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Holder {
    /// The share.
    pub x: XCoord,
    /// The site.
    pub site: SiteName,
}

/// The body of an own request: whose an object is, and where its shares are to lie.
#[must_use]
pub fn encode_owned(individual: &IndividualId, holders: &[Holder]) -> Vec<u8> {
    let mut body = individual.as_str().to_owned();
    for Holder { x, site } in holders {
        body += &format!("\n{:02x} {site}", x.get());
    }
    body.into_bytes()
}

/// Reads the body of an own request.
///
/// # Errors
/// Where it is no individual, followed by holders with ascending x and different names.
pub fn decode_owned(body: &[u8]) -> Result<(IndividualId, Vec<Holder>), MessageError> {
    let malformed = || MessageError::Malformed { field: "holders" };
    let mut lines = body.split(|byte| *byte == b'\n');
    let individual = decode_individual(lines.next().unwrap_or_default())?;
    let mut holders: Vec<Holder> = Vec::new();
    for line in lines {
        let (x, site) = line.split_at_checked(HOLDER_HEAD_BYTES - 1).ok_or_else(malformed)?;
        let [high, low, b' '] = x else { return Err(malformed()) };
        let x = digit(*high).zip(digit(*low)).and_then(|(high, low)| XCoord::new(high << 4 | low));
        let holder = Holder { x: x.ok_or_else(malformed)?, site: decode_site_name(site)? };
        holders.push(holder);
    }
    match are_distinct(&holders) {
        true => Ok((individual, holders)),
        false => Err(malformed()),
    }
}

/// A lower-case hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Whether x ascends and no name comes twice.
fn are_distinct(holders: &[Holder]) -> bool {
    let mut names: Vec<&SiteName> = holders.iter().map(|holder| &holder.site).collect();
    names.sort_unstable();
    holders.is_sorted_by(|a, b| a.x < b.x) && names.windows(2).all(|pair| pair[0] != pair[1])
}

/// Body of an expect, work and blind request: which chunks of a share several sites work out
/// together for one of them. The object and the share stand in the message's header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// Its name, drawn by the gateway.
    pub id: [u8; 16],
    /// The first chunk.
    pub first: u64,
    /// How many chunks, 1 to [`WORK_CHUNKS_MAX`].
    pub count: u32,
    /// Who stored the object and asks for this.
    pub gateway: SiteName,
    /// Where the share is to be.
    pub target: SiteName,
    /// Who contributes, with which of their shares.
    pub helpers: Vec<Holder>,
}

impl Work {
    /// Appends the body to `target`.
    ///
    /// # Errors
    /// Where it has no helpers, too many, or one twice, or no chunks or too many.
    pub fn encode(&self, target: &mut Vec<u8>) -> Result<(), MessageError> {
        self.check()?;
        target.extend_from_slice(&self.id);
        put_u64(target, self.first);
        put_u32(target, self.count);
        put_name(target, &self.gateway);
        put_name(target, &self.target);
        target.push(self.helpers.len() as u8);
        for Holder { x, site } in &self.helpers {
            target.push(x.get());
            put_name(target, site);
        }
        Ok(())
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// As [`Work::encode`], and where it is cut or longer than it says.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let work = whole("work", body, |fields| {
            let (id, first, count) = (fields.array()?, fields.u64()?, fields.u32()?);
            let (gateway, target) = (name(fields)?, name(fields)?);
            let helpers = fields.u8()?;
            let helpers = (0..helpers).map(|_| {
                let x = XCoord::new(fields.u8()?);
                let x = x.ok_or(MessageError::Malformed { field: "x" })?;
                Ok(Holder { x, site: name(fields)? })
            });
            let helpers = helpers.collect::<Result<_, MessageError>>()?;
            Ok(Self { id, first, count, gateway, target, helpers })
        })?;
        work.check()?;
        Ok(work)
    }

    fn check(&self) -> Result<(), MessageError> {
        let is_sound = (1..=HOLDERS_MAX).contains(&self.helpers.len())
            && are_distinct(&self.helpers)
            && (1..=WORK_CHUNKS_MAX).contains(&self.count)
            && self.first.checked_add(u64::from(self.count)).is_some();
        is_sound.then_some(()).ok_or(MessageError::Malformed { field: "work" })
    }
}

/// A name is at most [`NAME_BYTES_MAX`] bytes long.
fn put_name(target: &mut Vec<u8>, name: &SiteName) {
    target.push(name.as_str().len() as u8);
    target.extend_from_slice(name.as_str().as_bytes());
}

fn name(fields: &mut Fields<'_>) -> Result<SiteName, MessageError> {
    let bytes = fields.u8()?;
    decode_site_name(fields.slice(usize::from(bytes))?)
}
