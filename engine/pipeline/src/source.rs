//! Turns a stream into the chunks of a payload: prologue, data, zeros, trailer.

use std::io::{self, Read};
use warifu_buffers::Block;
use warifu_core::geometry::{CHUNK_BYTES, PAYLOAD_STEP};
use warifu_core::payload::{Attributes, PayloadError, TRAILER_BYTES, Trailer, prologue};

const TRAILER: usize = TRAILER_BYTES as usize;

/// Reads a stream once and hands it out as payload chunks, digesting the data on the way.
///
/// The length of the stream need not be known: the trailer stands at the end of the payload.
pub struct PayloadSource<R> {
    stream: R,
    prologue: Block,
    digest: blake3::Hasher,
    data_bytes: u64,
    payload_bytes: u64,
    stage: Stage,
}

#[derive(PartialEq)]
enum Stage {
    Prologue,
    Data,
    /// The stream has ended, the trailer is still to come.
    Trailer,
    Finished,
}

impl<R: Read> PayloadSource<R> {
    /// A payload of `stream` that carries `attributes` inside.
    ///
    /// # Errors
    /// Where the attributes are longer than the format admits.
    pub fn new(stream: R, attributes: &Attributes) -> Result<Self, PayloadError> {
        Ok(Self {
            stream,
            prologue: prologue(attributes)?,
            digest: blake3::Hasher::new(),
            data_bytes: 0,
            payload_bytes: 0,
            stage: Stage::Prologue,
        })
    }

    /// Bytes of the stream read so far.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Payload bytes handed out so far; the payload's length once `next_chunk` gave `None`.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The next chunk, or `None` after the last. Every chunk but the last has `CHUNK_BYTES`.
    ///
    /// # Errors
    /// What the stream answers.
    pub fn next_chunk(&mut self) -> io::Result<Option<Block>> {
        if self.stage == Stage::Finished {
            return Ok(None);
        }
        let mut chunk = Block::zeroed(CHUNK_BYTES as usize);
        let mut filled = 0;
        if self.stage == Stage::Prologue {
            filled = self.prologue.len();
            chunk[..filled].copy_from_slice(&self.prologue);
            self.stage = Stage::Data;
        }
        if self.stage == Stage::Data {
            filled += self.fill(&mut chunk[filled..])?;
        }
        if self.stage == Stage::Trailer && filled + TRAILER <= chunk.len() {
            self.finish(&mut chunk, filled);
        }
        self.payload_bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }

    /// Reads until `target` is full or the stream ends, which is for good: a file that grows
    /// later is not looked at again.
    fn fill(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < target.len() {
            match self.stream.read(&mut target[filled..]) {
                Ok(0) => {
                    self.stage = Stage::Trailer;
                    break;
                }
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.digest.update(&target[..filled]);
        self.data_bytes += filled as u64;
        Ok(filled)
    }

    fn finish(&mut self, chunk: &mut Block, filled: usize) {
        let length = (filled + TRAILER).next_multiple_of(PAYLOAD_STEP as usize);
        chunk.truncate(length);
        let trailer = Trailer {
            data_offset: self.prologue.len() as u64,
            data_bytes: self.data_bytes,
            digest: *self.digest.finalize().as_bytes(),
        };
        chunk[length - TRAILER..].copy_from_slice(&trailer.encode());
        self.stage = Stage::Finished;
    }
}
