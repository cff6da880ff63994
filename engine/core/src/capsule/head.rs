//! The head of a capsule: scheme, cut, owner, and where the shares went.

use crate::format::{Fields, FormatError, Writer};
use crate::geometry::{CHUNK_BYTES, Geometry};
use crate::id::{IndividualId, LinkId, ObjectId, SiteName};
use crate::pad::KeyClass;
use crate::role::{Channel, Role};
use crate::share_file::{MASKS_MAX, NO_LINK};
use crate::threshold::{Threshold, XCoord};

/// The longest public label, in bytes.
pub const LABEL_BYTES_MAX: usize = 1024;

/// The longest card binding, in bytes.
pub const BINDING_BYTES_MAX: usize = 65_536;

const MAGIC: &[u8; 8] = b"WARIFUCA";
const WHAT: &str = "capsule head";
const FIXED_BYTES: usize = 64;
const ENTRY_FIXED_BYTES: usize = 23;
const ATTEMPT_BYTES: usize = 12;

/// Where one share went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareEntry {
    /// Its x-coordinate.
    pub x: XCoord,
    /// Whether it was drawn or computed.
    pub role: Role,
    /// How it reached its site.
    pub channel: Channel,
    /// The link, for channel `otp` and no other.
    pub link: Option<LinkId>,
    /// The site that keeps it.
    pub site: SiteName,
    /// What burns together with that site.
    pub zone: SiteName,
    /// Who can reach what that site holds.
    pub domain: SiteName,
}

/// What is known of an object as a whole. It holds no key, share or plaintext.
///
/// The rules: exactly `n` shares at distinct x, `k - 1` of them pads; a link just where the channel
/// is `otp`; attempts ascend by chunk and none is 0; label and binding within their limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapsuleHead {
    /// The scheme.
    pub threshold: Threshold,
    /// What is claimed of the key material that went into the object.
    pub class: KeyClass,
    /// The object.
    pub object: ObjectId,
    /// The cut into chunks.
    pub geometry: Geometry,
    /// Audit masks of each share.
    pub masks: u32,
    /// When the object was made, in seconds since 1970 UTC.
    pub created_unix_s: u64,
    /// The person whose object it is.
    pub individual: IndividualId,
    /// The operator's public label: 1 to 1,024 bytes without control characters.
    pub label: Option<String>,
    /// What binds the person to their card, at most 65,536 bytes; empty where none is recorded.
    pub binding: Vec<u8>,
    /// The shares.
    pub shares: Vec<ShareEntry>,
    /// The attempt of each chunk where it is not 0, ascending by chunk; mask m is chunk N + m.
    pub attempts: Vec<(u64, u32)>,
}

impl CapsuleHead {
    /// Reads the content of a head part.
    ///
    /// # Errors
    /// Where a field is cut short or not allowed, or a rule of [`CapsuleHead`] is broken.
    pub fn decode(content: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new(WHAT, content);
        fields.magic(MAGIC)?;
        fields.version()?;
        let (k, n, class) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let threshold = fields.some(Threshold::new(k.into(), n.into()).ok(), "the threshold")?;
        let class = fields.some(KeyClass::from_byte(class), "the class")?;
        let consent_rule = fields.u8()?;
        fields.require(consent_rule == 0, "the consent rule")?;
        fields.zeros(2)?;
        let object = ObjectId::from_bytes(fields.array()?);
        let geometry = Geometry::new(fields.u64()?).ok();
        let geometry = fields.some(geometry, "the payload's length")?;
        let chunk_bytes = fields.u32()?;
        fields.require(chunk_bytes == CHUNK_BYTES, "the length of a chunk")?;
        let (masks, created_unix_s) = (fields.u32()?, fields.u64()?);
        fields.require(masks <= MASKS_MAX, "the number of masks")?;
        let (individual_bytes, label_bytes) = (fields.u16()?, fields.u16()?);
        let binding_bytes = fields.u32()? as usize;
        fields.require(binding_bytes <= BINDING_BYTES_MAX, "the length of the binding")?;
        let individual = text(&mut fields, individual_bytes.into(), "the individual")?;
        let label: String = text(&mut fields, label_bytes.into(), "the label")?;
        let label = Some(label).filter(|label| !label.is_empty());
        let binding = fields.slice(binding_bytes)?.to_vec();
        let shares = (0..n).map(|_| ShareEntry::decode(&mut fields)).collect::<Result<_, _>>()?;
        let attempts = attempts(&mut fields, &geometry, masks)?;
        fields.filling()?;
        let head = Self {
            threshold,
            class,
            object,
            geometry,
            masks,
            created_unix_s,
            individual,
            label,
            binding,
            shares,
            attempts,
        };
        head.check()?;
        Ok(head)
    }

    /// Whether the rules hold.
    pub(super) fn check(&self) -> Result<(), FormatError> {
        let fields = Fields::new(WHAT, &[]);
        fields.require(self.masks <= MASKS_MAX, "the number of masks")?;
        let label_fits = self.label.as_ref().is_none_or(|label| {
            (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.contains(char::is_control)
        });
        fields.require(label_fits, "the label")?;
        fields.require(self.binding.len() <= BINDING_BYTES_MAX, "the length of the binding")?;
        let pads = self.shares.iter().filter(|share| share.role == Role::Pad).count();
        let counts_fit = self.shares.len() == self.threshold.n() && pads == self.threshold.pads();
        fields.require(counts_fit, "the number of shares or of pads among them")?;
        let mut seen = [false; 256];
        for share in &self.shares {
            let twice = std::mem::replace(&mut seen[usize::from(share.x.get())], true);
            fields.require(!twice, "an x-coordinate that occurs twice")?;
            let linked = share.link.is_some_and(|link| *link.bytes() != NO_LINK);
            let link_fits = match share.channel {
                Channel::Otp => linked,
                Channel::Local | Channel::Tls => share.link.is_none(),
            };
            fields
                .require(link_fits, "a link without channel otp, or that channel without link")?;
        }
        let ascend = self.attempts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let last_exists = self.attempts.last().is_none_or(|(chunk, _)| *chunk < self.slots());
        let positive = self.attempts.iter().all(|(_, attempt)| *attempt > 0);
        fields.require(ascend && last_exists && positive, "the attempts")
    }

    /// Chunks and masks of each share.
    fn slots(&self) -> u64 {
        self.geometry.chunk_count() + u64::from(self.masks)
    }

    /// Bytes of the content, before zeros and code.
    pub(super) fn content_bytes(&self) -> usize {
        let label = self.label.as_ref().map_or(0, String::len);
        let texts = self.individual.as_str().len() + label + self.binding.len();
        let entries: usize = self.shares.iter().map(ShareEntry::encoded_bytes).sum();
        FIXED_BYTES + texts + entries + 4 + ATTEMPT_BYTES * self.attempts.len()
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        let (individual, label) = (self.individual.as_str(), self.label.as_deref().unwrap_or(""));
        writer.put(MAGIC).put(&1_u16.to_le_bytes());
        writer.put(&[self.threshold.k_byte(), self.threshold.n_byte(), self.class.to_byte()]);
        writer.skip(3).put(self.object.bytes());
        writer.put(&self.geometry.payload_bytes().to_le_bytes()).put(&CHUNK_BYTES.to_le_bytes());
        writer.put(&self.masks.to_le_bytes()).put(&self.created_unix_s.to_le_bytes());
        writer.put(&(individual.len() as u16).to_le_bytes());
        writer.put(&(label.len() as u16).to_le_bytes());
        writer.put(&(self.binding.len() as u32).to_le_bytes());
        writer.put(individual.as_bytes()).put(label.as_bytes()).put(&self.binding);
        self.shares.iter().for_each(|share| share.write(writer));
        writer.put(&(self.attempts.len() as u32).to_le_bytes());
        for (chunk, attempt) in &self.attempts {
            writer.put(&chunk.to_le_bytes()).put(&attempt.to_le_bytes());
        }
        debug_assert_eq!(writer.at(), self.content_bytes());
    }
}

impl ShareEntry {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, FormatError> {
        let (x, role, channel) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let x = fields.some(XCoord::new(x), "x-coordinate 0")?;
        let role = fields.some(Role::from_byte(role), "the role of a share")?;
        let channel = fields.some(Channel::from_byte(channel), "the channel of a share")?;
        fields.zeros(1)?;
        let link = Some(fields.array()?).filter(|link| *link != NO_LINK).map(LinkId::from_bytes);
        let mut name = |field| {
            let name_bytes = fields.u8()?;
            text(fields, name_bytes.into(), field)
        };
        let site = name("the site of a share")?;
        let zone = name("the zone of a share")?;
        let domain = name("the domain of a share")?;
        Ok(Self { x, role, channel, link, site, zone, domain })
    }

    fn names(&self) -> [&str; 3] {
        [self.site.as_str(), self.zone.as_str(), self.domain.as_str()]
    }

    fn encoded_bytes(&self) -> usize {
        ENTRY_FIXED_BYTES + self.names().iter().map(|name| name.len()).sum::<usize>()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.put(&[self.x.get(), self.role.to_byte(), self.channel.to_byte()]).skip(1);
        writer.put(&self.link.map_or(NO_LINK, |link| *link.bytes()));
        for name in self.names() {
            writer.put(&[name.len() as u8]).put(name.as_bytes());
        }
    }
}

fn text<T: std::str::FromStr>(
    fields: &mut Fields<'_>,
    text_bytes: usize,
    field: &'static str,
) -> Result<T, FormatError> {
    let text = str::from_utf8(fields.slice(text_bytes)?).ok();
    fields.some(text.and_then(|text| text.parse().ok()), field)
}

fn attempts(
    fields: &mut Fields<'_>,
    geometry: &Geometry,
    masks: u32,
) -> Result<Vec<(u64, u32)>, FormatError> {
    let count = fields.u32()?;
    let possible = u64::from(count) <= geometry.chunk_count() + u64::from(masks);
    fields.require(possible, "the number of attempts")?;
    let bytes = fields.slice(ATTEMPT_BYTES * count as usize)?;
    let mut records = Fields::new(WHAT, bytes);
    (0..count).map(|_| Ok((records.u64()?, records.u32()?))).collect()
}
