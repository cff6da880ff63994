//! Turns the chunks of a payload back into the stream, and proves it whole at the end.
//!
//! The last chunk is taken first: it tells where everything lies. So nothing has to be held back,
//! and what is not compressed is written straight from the chunks.

mod decode;
mod extent;
#[cfg(test)]
mod tests;

use decode::Decoder;
use extent::{Chunks, Extent};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::Range;
use warifu_buffers::{Block, copy_payload};
use warifu_core::Geometry;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::{Attributes, Frames, PayloadError, Prologue, Trailer};
use zeroize::Zeroizing;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// Why a payload is not what was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The output could not be written, or what it held from before not be read.
    #[error("the output could not be written")]
    Output(#[source] io::Error),
    /// The output does not take data of the name that is stored inside.
    #[error("the output does not take the name that is stored inside")]
    Name(#[source] io::Error),
    /// The output was asked to stop while what it held was read.
    #[error("stopped on request")]
    Stopped,
    /// Prologue, trailer or frame table are not as the format says.
    #[error("the joined payload is not in warifu's format")]
    Payload(#[from] PayloadError),
    /// The payload ends before its parts do.
    #[error("the joined payload is too short")]
    Truncated,
    /// What fills the payload up is not zero.
    #[error("the joined payload is filled up with something else than zeros")]
    Padding,
    /// A frame does not hold what the table says.
    #[error("compressed frame {frame} of the joined payload can't be read")]
    Frame {
        /// Which one.
        frame: u64,
    },
    /// The data is not what was digested when it was stored.
    #[error("the restored data does not match the digest that was stored inside it")]
    Digest,
    /// More was asked for than there is.
    #[error("the object has {data_bytes} bytes")]
    BeyondEnd {
        /// Bytes that it has.
        data_bytes: u64,
    },
}

/// What of an object is wanted.
pub enum Wanted<W> {
    /// All of it.
    Whole,
    /// All of it, of which the output holds a beginning from an earlier run.
    Rest(Held<W>),
    /// Bytes `from` to `to`, `to` not included; to the end where it is not given.
    Range {
        /// The first byte.
        from: u64,
        /// One past the last.
        to: Option<u64>,
    },
}

/// What an output holds from an earlier run.
pub struct Held<W> {
    /// So many bytes of data, from the first. They are read and digested like what comes new.
    pub bytes: u64,
    /// How it is taken up again.
    pub keep: Keep<W>,
}

/// Cuts an output to a number of bytes, reads those out in order, and goes on behind them. One that
/// is asked to stop meanwhile answers `Interrupted`.
pub type Keep<W> = fn(&mut W, u64, &mut dyn FnMut(&[u8])) -> io::Result<()>;

/// Looks at name, times and mode as soon as they are known, long before the end.
pub type Check<'a> = &'a dyn Fn(&Attributes) -> io::Result<()>;

/// What was delivered.
pub struct Restored {
    /// Which bytes of the data.
    pub range: Range<u64>,
    /// Name, times and mode that were stored inside; none for a range.
    pub attributes: Attributes,
}

/// Asks for the chunks of a payload and writes its data to `output`.
pub struct PayloadSink<'a, W> {
    output: W,
    check: Option<Check<'a>>,
    geometry: Geometry,
    wanted: Wanted<W>,
    /// Chunks that arrived before their turn: the ends of the payload, mostly.
    held: BTreeMap<u64, Block>,
    stage: Stage,
    digest: blake3::Hasher,
    attributes: Attributes,
}

enum Stage {
    /// The last chunk is to come.
    Trailer { asked: bool },
    /// Entries of the frame table are to come.
    Table { trailer: Trailer, extent: Extent, asking: Range<u64> },
    /// All is known, and data flows.
    Data(Box<Flow>),
}

struct Flow {
    trailer: Trailer,
    extent: Extent,
    decoder: Decoder,
    /// Chunks that came before any data flowed.
    ends: BTreeSet<u64>,
    asking: Chunks,
    due: Chunks,
    planned_bytes: u64,
}

impl<'a, W: Write> PayloadSink<'a, W> {
    /// A sink that writes what is `wanted` of a payload of this geometry to `output`.
    pub fn new(output: W, geometry: Geometry, wanted: Wanted<W>) -> Self {
        Self {
            output,
            check: None,
            geometry,
            wanted,
            held: BTreeMap::new(),
            stage: Stage::Trailer { asked: false },
            digest: blake3::Hasher::new(),
            attributes: Attributes::default(),
        }
    }

    /// The same; nothing more is asked for, and nothing written, where `check` refuses what is
    /// stored inside. A range has no attributes to check.
    #[must_use]
    pub fn with_check(self, check: Check<'a>) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Payload bytes that are wanted, as far as is known yet.
    pub fn planned_bytes(&self) -> u64 {
        match &self.stage {
            Stage::Data(flow) => flow.planned_bytes,
            _ => self.geometry.payload_bytes(),
        }
    }

    /// The chunk to ask for next. `None` where nothing can be said before more has arrived, and
    /// at the end.
    pub fn next_wanted(&mut self) -> Option<u64> {
        match &mut self.stage {
            Stage::Trailer { asked } => {
                let first = !std::mem::replace(asked, true);
                first.then(|| self.geometry.chunk_count() - 1)
            }
            Stage::Table { asking, .. } => asking.find(|index| !self.held.contains_key(index)),
            Stage::Data(flow) => flow.asking.find(|index| !flow.ends.contains(index)),
        }
    }

    /// Takes a chunk that was asked for.
    ///
    /// # Errors
    /// Where it is not what the format says, the range lies beyond the end, or the output fails.
    pub fn take(&mut self, index: u64, chunk: Block) -> Result<(), SinkError> {
        if chunk.len() != self.geometry.chunk_bytes(index) {
            return Err(SinkError::Truncated);
        }
        self.held.insert(index, chunk);
        self.advance()
    }

    fn advance(&mut self) -> Result<(), SinkError> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Trailer { asked: true }) {
                Stage::Trailer { asked } => {
                    let last = self.held.get(&(self.geometry.chunk_count() - 1));
                    let Some(last) = last else {
                        self.stage = Stage::Trailer { asked };
                        return Ok(());
                    };
                    let end = last.split_last_chunk().ok_or(SinkError::Truncated)?.1;
                    let trailer = Trailer::decode(end, self.geometry.payload_bytes())?;
                    let extent = Extent::new(&trailer.layout, &self.wanted)?;
                    let asking = extent.table_chunks(&trailer.layout);
                    Stage::Table { trailer, extent, asking }
                }
                Stage::Table { trailer, extent, asking } => {
                    let mut needed = extent.table_chunks(&trailer.layout);
                    if !needed.all(|index| self.held.contains_key(&index)) {
                        self.stage = Stage::Table { trailer, extent, asking };
                        return Ok(());
                    }
                    Stage::Data(Box::new(self.begin(trailer, extent)?))
                }
                Stage::Data(mut flow) => {
                    let outcome = self.flow(&mut flow);
                    self.stage = Stage::Data(flow);
                    return outcome;
                }
            };
        }
    }

    /// Reads the frame table and what the output holds already.
    fn begin(&mut self, trailer: Trailer, extent: Extent) -> Result<Flow, SinkError> {
        let layout = &trailer.layout;
        let frames = match extent.frames.is_empty() {
            true => None,
            false => {
                let entries = Frames::entries(layout, &extent.frames);
                let bytes = self.gathered(&entries);
                Some(Frames::decode(layout, extent.frames.clone(), &bytes)?)
            }
        };
        let encoded = extent.encoded(layout, frames.as_ref());
        let chunks = extent.chunks(&self.wanted, &encoded, self.geometry);
        if let Wanted::Rest(held) = &self.wanted {
            let digest = &mut self.digest;
            let keep = (held.keep)(&mut self.output, extent.data.start, &mut |bytes| {
                digest.update(bytes);
            });
            keep.map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => SinkError::Stopped,
                _ => SinkError::Output(error),
            })?;
        }
        let ends: BTreeSet<u64> = self.held.keys().copied().collect();
        let more = ends.iter().copied().filter(|index| !chunks.contains(*index));
        let read = chunks.clone().chain(more);
        let planned_bytes = read.map(|index| self.geometry.chunk_bytes(index) as u64).sum();
        self.held.retain(|index, _| chunks.contains(*index));
        let decoder = Decoder::new(extent.data.clone(), encoded, frames);
        let asking = chunks.clone();
        Ok(Flow { trailer, extent, decoder, ends, asking, due: chunks, planned_bytes })
    }

    /// The bytes of a range of the payload whose chunks are all here.
    fn gathered(&self, range: &Range<u64>) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![0; (range.end - range.start) as usize]);
        let mut rest = &mut bytes[..];
        for (index, chunk) in &self.held {
            let part = &chunk[within(*index, chunk, range)];
            let (now, later) = rest.split_at_mut(part.len());
            copy_payload(now, part);
            rest = later;
        }
        bytes
    }

    /// Hands on all chunks whose turn has come.
    fn flow(&mut self, flow: &mut Flow) -> Result<(), SinkError> {
        while let Some(index) = flow.due.clone().next() {
            let Some(chunk) = self.held.remove(&index) else { return Ok(()) };
            flow.due.next();
            let layout = &flow.trailer.layout;
            if index == 0 && !matches!(self.wanted, Wanted::Range { .. }) {
                let prologue = Prologue::decode(&chunk)?;
                if prologue.data_offset() != layout.data_offset {
                    return Err(PayloadError::Contradiction.into());
                }
                self.attributes = prologue.attributes;
                self.check
                    .map_or(Ok(()), |check| check(&self.attributes))
                    .map_err(SinkError::Name)?;
            }
            let data = within(index, &chunk, &flow.decoder.encoded());
            let (output, digest) = (&mut self.output, &mut self.digest);
            flow.decoder.feed(&chunk[data], &mut |bytes| {
                digest.update(bytes);
                output.write_all(bytes).map_err(SinkError::Output)
            })?;
            let zeros = &chunk[within(index, &chunk, &layout.zeros())];
            if zeros.iter().fold(0, |any, byte| any | byte) != 0 {
                return Err(SinkError::Padding);
            }
        }
        Ok(())
    }

    /// Ends the payload: checks that all came, and the digest, which a range has none of.
    ///
    /// # Errors
    /// Where chunks are missing or the digest is not the stored one. What was written must then
    /// be thrown away.
    pub fn finish(mut self) -> Result<(W, Restored), SinkError> {
        let Stage::Data(mut flow) = self.stage else { return Err(SinkError::Truncated) };
        if flow.due.next().is_some() || !flow.decoder.is_finished() {
            return Err(SinkError::Truncated);
        }
        let range = match self.wanted {
            Wanted::Range { .. } => flow.extent.data,
            _ if *self.digest.finalize().as_bytes() != flow.trailer.digest => {
                return Err(SinkError::Digest);
            }
            _ => 0..flow.trailer.layout.data_bytes,
        };
        self.output.flush().map_err(SinkError::Output)?;
        Ok((self.output, Restored { range, attributes: self.attributes }))
    }
}

/// Where in chunk `index` the payload's `range` lies; empty where it doesn't.
fn within(index: u64, chunk: &[u8], range: &Range<u64>) -> Range<usize> {
    let offset = index * CHUNK;
    let at = |position: u64| position.saturating_sub(offset).min(chunk.len() as u64) as usize;
    at(range.start)..at(range.end)
}
