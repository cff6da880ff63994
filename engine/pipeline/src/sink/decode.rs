//! From the encoded bytes of a payload, as they come, to the data that is wanted.

use super::SinkError;
use std::ops::Range;
use warifu_buffers::{Block, copy_payload};
use warifu_core::payload::{FRAME_BYTES, Frames};
use zstd::bulk::Decompressor;

/// Takes encoded bytes in order, in any pieces.
pub(super) struct Decoder {
    /// Which bytes of the data are wanted.
    data: Range<u64>,
    /// Where in the payload the encoded bytes lie that hold them.
    encoded: Range<u64>,
    fed_bytes: u64,
    frames: Option<FrameDecoder>,
}

struct FrameDecoder {
    frames: Frames,
    /// The frame whose bytes come next.
    current: u64,
    /// What has come of it, where it came in pieces.
    pieces: Block,
    filled: usize,
    target: Block,
}

impl Decoder {
    pub(super) fn new(data: Range<u64>, encoded: Range<u64>, frames: Option<Frames>) -> Self {
        let frames = frames.map(|frames| FrameDecoder {
            current: frames.frames().start,
            frames,
            pieces: Block::zeroed(FRAME_BYTES as usize),
            filled: 0,
            target: Block::zeroed(FRAME_BYTES as usize),
        });
        Self { data, encoded, fed_bytes: 0, frames }
    }

    /// Where in the payload the bytes lie that it takes.
    pub(super) fn encoded(&self) -> Range<u64> {
        self.encoded.clone()
    }

    /// Whether all have come.
    pub(super) fn is_finished(&self) -> bool {
        self.fed_bytes == self.encoded.end - self.encoded.start
    }

    /// Takes the next bytes and hands on what they hold of the data.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        emit: &mut dyn FnMut(&[u8]) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        self.fed_bytes += bytes.len() as u64;
        match &mut self.frames {
            None if bytes.is_empty() => Ok(()),
            None => emit(bytes),
            Some(frames) => frames.feed(bytes, &self.data, emit),
        }
    }
}

impl FrameDecoder {
    fn feed(
        &mut self,
        mut bytes: &[u8],
        wanted: &Range<u64>,
        emit: &mut dyn FnMut(&[u8]) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        while !bytes.is_empty() {
            if !self.frames.frames().contains(&self.current) {
                return Err(SinkError::Truncated);
            }
            let place = self.frames.place(self.current);
            let frame_bytes = (place.end - place.start) as usize;
            let taken = bytes.len().min(frame_bytes - self.filled);
            let (now, later) = bytes.split_at(taken);
            bytes = later;
            if taken == frame_bytes {
                self.emit_frame(now, wanted, emit)?;
                continue;
            }
            copy_payload(&mut self.pieces[self.filled..self.filled + taken], now);
            self.filled += taken;
            if self.filled == frame_bytes {
                let pieces = std::mem::replace(&mut self.pieces, Block::zeroed(0));
                self.emit_frame(&pieces[..frame_bytes], wanted, emit)?;
                self.pieces = pieces;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Unpacks the current frame, which may give no other number of bytes than it must.
    fn emit_frame(
        &mut self,
        content: &[u8],
        wanted: &Range<u64>,
        emit: &mut dyn FnMut(&[u8]) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let frame = self.current;
        self.current += 1;
        let data = self.frames.data_of(frame);
        let data_bytes = (data.end - data.start) as usize;
        let from = wanted.start.saturating_sub(data.start) as usize;
        let to = (wanted.end.min(data.end) - data.start) as usize;
        // A frame that would not get shorter stands as it was given.
        if content.len() == data_bytes {
            return emit(&content[from..to]);
        }
        let target = &mut self.target[..data_bytes];
        if !is_one_frame(content, data_bytes) {
            return Err(SinkError::Frame { frame });
        }
        let unpacked = Decompressor::new()
            .and_then(|mut decompressor| decompressor.decompress_to_buffer(content, &mut *target));
        match unpacked {
            Ok(bytes) if bytes == data_bytes => emit(&target[from..to]),
            _ => Err(SinkError::Frame { frame }),
        }
    }
}

/// Whether these bytes are one zstd frame and nothing besides, which says itself that it holds
/// `data_bytes`. A skippable frame says that it holds none.
fn is_one_frame(content: &[u8], data_bytes: usize) -> bool {
    use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};
    let holds = get_frame_content_size(content).ok().flatten();
    holds == Some(data_bytes as u64) && find_frame_compressed_size(content) == Ok(content.len())
}
