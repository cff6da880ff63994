//! What is needed to judge one share: its `r` and the hashes of its chunks.

use crate::format::{Fields, FormatError, Writer};
use crate::geometry::Geometry;
use crate::threshold::XCoord;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The at-rest hashes of one share. Who knows `r` can forge the share, so that it can't be printed
/// or cloned; the catalog may hold it, a site may not.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Verdict {
    /// The share.
    #[zeroize(skip)]
    pub x: XCoord,
    /// The point of the share's hashes.
    pub r: [u8; 16],
    /// The hash of each data chunk.
    pub hashes: Vec<[u8; 16]>,
    /// The hash of each mask.
    pub masks: Vec<[u8; 16]>,
}

impl Verdict {
    /// Reads the content of a verdict part of an object with this cut and so many masks.
    ///
    /// # Errors
    /// Where the length is not that of such a verdict, x is 0, or a byte is not zero that must be.
    pub fn decode(content: &[u8], geometry: &Geometry, masks: u32) -> Result<Self, FormatError> {
        let mut fields = Fields::new("capsule verdict", content);
        let x = XCoord::new(fields.u8()?);
        let x = fields.some(x, "x-coordinate 0")?;
        fields.zeros(15)?;
        let mut verdict = Self { x, r: fields.array()?, hashes: vec![], masks: vec![] };
        verdict.hashes = hashes(&mut fields, geometry.chunk_count() as usize)?;
        verdict.masks = hashes(&mut fields, masks as usize)?;
        fields.filling()?;
        Ok(verdict)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.put(&[self.x.get()]).skip(15).put(&self.r);
        self.hashes.iter().chain(&self.masks).for_each(|hash| _ = writer.put(hash));
    }
}

fn hashes(fields: &mut Fields<'_>, count: usize) -> Result<Vec<[u8; 16]>, FormatError> {
    let bytes = fields.slice(count.saturating_mul(16))?;
    Ok(bytes.as_chunks().0.to_vec())
}
