//! What must be read of a payload to deliver what is wanted of it.

use super::{CHUNK, SinkError, Wanted};
use std::ops::Range;
use warifu_core::Geometry;
use warifu_core::payload::{Encoding, FRAME_BYTES, Frames, PayloadLayout};

/// The data to deliver, and the frames that hold it.
pub(super) struct Extent {
    /// Which bytes of the data as given.
    pub(super) data: Range<u64>,
    /// In which frames they lie; none where the data is not compressed.
    pub(super) frames: Range<u64>,
}

impl Extent {
    /// What is to be delivered of a payload laid out so. What an output holds already is kept up
    /// to the last chunk or frame that it holds whole.
    pub(super) fn new<W>(layout: &PayloadLayout, wanted: &Wanted<W>) -> Result<Self, SinkError> {
        let data_bytes = layout.data_bytes;
        let data = match wanted {
            Wanted::Whole => 0..data_bytes,
            Wanted::Rest(held) => kept_bytes(layout, held.bytes)..data_bytes,
            Wanted::Range { from, to } => {
                let to = to.unwrap_or(data_bytes);
                if *from >= to || to > data_bytes {
                    return Err(SinkError::BeyondEnd { data_bytes });
                }
                *from..to
            }
        };
        let frames = match layout.encoding {
            Encoding::ZstdFrames if !data.is_empty() => Frames::covering(&data),
            _ => 0..0,
        };
        Ok(Self { data, frames })
    }

    /// The chunks that hold what is needed of the frame table.
    pub(super) fn table_chunks(&self, layout: &PayloadLayout) -> Range<u64> {
        match self.frames.is_empty() {
            true => 0..0,
            false => chunks_of(&Frames::entries(layout, &self.frames)),
        }
    }

    /// Where in the payload the data lies, as it is encoded.
    pub(super) fn encoded(&self, layout: &PayloadLayout, frames: Option<&Frames>) -> Range<u64> {
        match (layout.encoding, frames) {
            (Encoding::AsGiven, _) => {
                layout.data_offset + self.data.start..layout.data_offset + self.data.end
            }
            (Encoding::ZstdFrames, Some(frames)) => {
                let last = self.frames.end - 1;
                frames.place(self.frames.start).start..frames.place(last).end
            }
            (Encoding::ZstdFrames, None) => layout.data().end..layout.data().end,
        }
    }

    /// The chunks to read, in this order. To the end of the payload where no end is given: how much
    /// of it is padding must not show in which chunks are asked for.
    pub(super) fn chunks<W>(
        &self,
        wanted: &Wanted<W>,
        encoded: &Range<u64>,
        geometry: Geometry,
    ) -> Chunks {
        let count = geometry.chunk_count();
        match wanted {
            Wanted::Whole => Chunks { head: 0..0, rest: 0..count },
            Wanted::Range { to: None, .. } => {
                Chunks { head: 0..0, rest: encoded.start / CHUNK..count }
            }
            Wanted::Range { .. } => Chunks { head: 0..0, rest: chunks_of(encoded) },
            Wanted::Rest(_) => {
                let start = encoded.start / CHUNK;
                // The first one holds the attributes.
                Chunks { head: 0..start.min(1), rest: start..count }
            }
        }
    }
}

/// How much of what an output holds is of use: nothing where it holds more than there is.
fn kept_bytes(layout: &PayloadLayout, held_bytes: u64) -> u64 {
    match layout.encoding {
        _ if held_bytes > layout.data_bytes => 0,
        Encoding::AsGiven => {
            let end = layout.data_offset + held_bytes;
            (end - end % CHUNK).saturating_sub(layout.data_offset)
        }
        Encoding::ZstdFrames => held_bytes - held_bytes % FRAME_BYTES,
    }
}

/// The chunks in which a range of the payload lies.
fn chunks_of(range: &Range<u64>) -> Range<u64> {
    range.start / CHUNK..range.end.div_ceil(CHUNK)
}

/// Chunks in the order in which they are due.
#[derive(Clone)]
pub(super) struct Chunks {
    head: Range<u64>,
    rest: Range<u64>,
}

impl Chunks {
    pub(super) fn contains(&self, index: u64) -> bool {
        self.head.contains(&index) || self.rest.contains(&index)
    }
}

impl Iterator for Chunks {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.head.next().or_else(|| self.rest.next())
    }
}
