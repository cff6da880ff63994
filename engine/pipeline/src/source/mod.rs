//! Turns a stream into the chunks of a payload: prologue, data, zeros, frame table, trailer.

mod ahead;
mod compress;
mod probe;
#[cfg(test)]
mod tests;

pub use ahead::{Ahead, READ_AHEAD};
pub use compress::{FRAME_MEMORY_BYTES, compressor, frames_max};
pub use probe::{Compression, NoCompression, SAMPLE_BYTES};

use compress::FrameEncoder;
use std::io::{self, Read};
use warifu_buffers::{Block, copy_payload};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::{
    Attributes, Encoding, FRAME_BYTES, Frames, PROLOGUE_BYTES, PayloadError, PayloadLayout, Shape,
    TRAILER_BYTES, Trailer, write_prologue,
};
use zeroize::Zeroize;

/// Reads a stream once and hands it out as payload chunks, digesting the data on the way.
///
/// The length of the stream need not be known: frame table and trailer stand at the end of the
/// payload. The same stream, attributes and shape give the same payload, for one
/// [`compressor`]. What is not compressed is read straight into the chunks.
pub struct PayloadSource<R> {
    stream: Stream<R>,
    /// The first chunk, until it is handed out: the prologue stands in it.
    first: Option<Block>,
    prologue_bytes: usize,
    shape: Shape,
    frames: Option<FrameReader>,
    frames_underway: usize,
    payload_bytes: u64,
    end: Option<End>,
}

/// The stream, digested as it is read.
struct Stream<R> {
    from: R,
    digest: blake3::Hasher,
    data_bytes: u64,
    has_ended: bool,
}

/// What follows the data, once the stream has ended.
struct End {
    payload_bytes: u64,
    /// The frame table, empty where nothing is compressed, and the trailer behind it, which end the
    /// payload.
    table: Block,
    trailer: Trailer,
}

impl<R: Read> PayloadSource<R> {
    /// A payload of `stream` in `shape` that carries `attributes` inside.
    ///
    /// # Errors
    /// Where the attributes are longer than the format admits.
    pub fn new(stream: R, attributes: &Attributes, shape: Shape) -> Result<Self, PayloadError> {
        let digest = blake3::Hasher::new();
        let mut first = Block::zeroed(CHUNK_BYTES as usize);
        let prologue_bytes = write_prologue(attributes, &mut first)?;
        Ok(Self {
            stream: Stream { from: stream, digest, data_bytes: 0, has_ended: false },
            first: Some(first),
            prologue_bytes,
            shape,
            frames: None,
            frames_underway: 1,
            payload_bytes: 0,
            end: None,
        })
    }

    /// The same, with as many frames on their way at once as there is memory for
    /// ([`FRAME_MEMORY_BYTES`] each) instead of one. What comes out is the same.
    #[must_use]
    pub fn with_frames(self, underway: usize) -> Self {
        Self { frames_underway: underway, ..self }
    }

    /// Bytes of the stream read so far.
    pub fn data_bytes(&self) -> u64 {
        self.stream.data_bytes
    }

    /// Payload bytes handed out so far; the payload's length once `next_chunk` gave `None`.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The next chunk, or `None` after the last. Every chunk but the last has `CHUNK_BYTES`.
    ///
    /// # Errors
    /// What the stream answers; where it is longer than any payload may be.
    pub fn next_chunk(&mut self) -> io::Result<Option<Block>> {
        if self.end.as_ref().is_some_and(|end| end.payload_bytes == self.payload_bytes) {
            return Ok(None);
        }
        let (mut chunk, mut filled) = match self.first.take() {
            Some(first) => (first, self.prologue_bytes),
            None => (Block::zeroed(CHUNK_BYTES as usize), 0),
        };
        if self.end.is_none() {
            filled += self.fill(&mut chunk[filled..])?;
        }
        let offset = self.payload_bytes;
        if let Some(end) = &self.end {
            let left = end.payload_bytes - offset;
            chunk.truncate(left.min(u64::from(CHUNK_BYTES)) as usize);
            if let Some(unused) = chunk.get_mut(filled..) {
                unused.fill(0);
            }
            end.write(offset, &mut chunk);
        }
        self.payload_bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }

    /// Fills `target` with encoded data; where the stream ends in it, what follows is known.
    fn fill(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let filled = match self.shape.encoding {
            Encoding::AsGiven => self.stream.fill(target)?,
            Encoding::ZstdFrames => {
                let frames = match &mut self.frames {
                    Some(frames) => frames,
                    none => none.insert(FrameReader::new(self.frames_underway)?),
                };
                frames.fill(&mut self.stream, target)?
            }
        };
        if filled < target.len() {
            self.end = Some(self.finish()?);
        }
        Ok(filled)
    }

    fn finish(&self) -> io::Result<End> {
        let data_bytes = self.stream.data_bytes;
        let lengths = self.frames.as_ref().map_or(&[][..], |frames| &frames.lengths);
        let encoded_bytes = match self.shape.encoding {
            Encoding::AsGiven => data_bytes,
            Encoding::ZstdFrames => lengths.iter().copied().map(u64::from).sum(),
        };
        let attribute_bytes = self.prologue_bytes as u64 - PROLOGUE_BYTES;
        let layout = PayloadLayout::new(attribute_bytes, data_bytes, encoded_bytes, self.shape);
        let layout = layout.map_err(io::Error::other)?;
        let digest = *self.stream.digest.finalize().as_bytes();
        let mut table = Block::zeroed(Frames::table_bytes(lengths.len()));
        Frames::encode(lengths, &mut table);
        let trailer = Trailer { layout, digest };
        Ok(End { payload_bytes: layout.payload_bytes, table, trailer })
    }
}

impl End {
    /// Writes into the chunk at `offset` what of frame table and trailer lies there. The trailer
    /// lies in the last chunk whole.
    fn write(&self, offset: u64, chunk: &mut [u8]) {
        let table_end = self.payload_bytes - TRAILER_BYTES;
        let table_offset = table_end - self.table.len() as u64;
        let chunk_end = offset + chunk.len() as u64;
        let (from, to) = (table_offset.max(offset), table_end.min(chunk_end));
        if from < to {
            let source = (from - table_offset) as usize..(to - table_offset) as usize;
            let target = (from - offset) as usize..(to - offset) as usize;
            copy_payload(&mut chunk[target], &self.table[source]);
        }
        if chunk_end == self.payload_bytes
            && let Some(end) = chunk.last_chunk_mut()
        {
            *end = self.trailer.encode();
        }
    }
}

impl<R: Read> Stream<R> {
    /// Reads until `target` is full or the stream ends, which is for good: a file that grows
    /// later is not looked at again.
    fn fill(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < target.len() && !self.has_ended {
            match self.from.read(&mut target[filled..]) {
                Ok(0) => self.has_ended = true,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.digest.update(&target[..filled]);
        self.data_bytes += filled as u64;
        Ok(filled)
    }
}

/// Frames whose lengths have room at first.
const LENGTHS_ROOM: usize = 1024;

/// Cuts a stream into frames and hands out what they become.
struct FrameReader {
    encoder: FrameEncoder,
    /// Encoded bytes of every frame so far.
    lengths: Vec<u32>,
    /// The frame being handed out, and how much of it was.
    current: Option<(Block, usize)>,
}

impl FrameReader {
    fn new(underway: usize) -> io::Result<Self> {
        let encoder = FrameEncoder::new(underway)?;
        Ok(Self { encoder, lengths: Vec::with_capacity(LENGTHS_ROOM), current: None })
    }

    /// Notes how long a frame became. That depends on the plaintext, so a list that gets too short
    /// is wiped when it is left behind.
    fn note(&mut self, length: u32) {
        if self.lengths.len() == self.lengths.capacity() {
            let mut longer = Vec::with_capacity(2 * self.lengths.capacity());
            longer.extend_from_slice(&self.lengths);
            std::mem::replace(&mut self.lengths, longer).zeroize();
        }
        self.lengths.push(length);
    }

    fn fill<R: Read>(&mut self, stream: &mut Stream<R>, target: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < target.len() {
            let Some((frame, from)) = &mut self.current else {
                match self.next_frame(stream)? {
                    Some(frame) => self.current = Some((frame, 0)),
                    None => break,
                }
                continue;
            };
            let bytes = (frame.len() - *from).min(target.len() - filled);
            copy_payload(&mut target[filled..filled + bytes], &frame[*from..*from + bytes]);
            filled += bytes;
            *from += bytes;
            if *from == frame.len() {
                self.current = None;
            }
        }
        Ok(filled)
    }

    fn next_frame<R: Read>(&mut self, stream: &mut Stream<R>) -> io::Result<Option<Block>> {
        while self.encoder.has_room() && !stream.has_ended {
            let mut frame = Block::zeroed(FRAME_BYTES as usize);
            let bytes = stream.fill(&mut frame)?;
            if bytes > 0 {
                frame.truncate(bytes);
                self.encoder.send(frame);
            }
        }
        let frame = self.encoder.take()?;
        if let Some(frame) = &frame {
            self.note(frame.len() as u32);
        }
        Ok(frame)
    }
}

impl Drop for FrameReader {
    fn drop(&mut self) {
        self.lengths.zeroize();
    }
}
