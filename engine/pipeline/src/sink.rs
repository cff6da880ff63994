//! Turns the chunks of a payload back into the stream, and proves it whole at the end.

use std::io::{self, Write};
use warifu_core::geometry::PAYLOAD_STEP;
use warifu_core::payload::{
    Attributes, PayloadError, PayloadLayout, Prologue, TRAILER_BYTES, Trailer,
};
use zeroize::Zeroizing;

/// The longest tail of a payload that may not be data: the trailer and the zeros before it.
const TAIL_BYTES_MAX: usize = TRAILER_BYTES as usize + PAYLOAD_STEP as usize - 1;

/// Why a payload is not what was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The output could not be written.
    #[error("the output could not be written")]
    Output(#[source] io::Error),
    /// Prologue or trailer are not as the format says.
    #[error("the joined payload is not in warifu's format")]
    Payload(#[from] PayloadError),
    /// The payload ends before its prologue or trailer does.
    #[error("the joined payload is too short")]
    Truncated,
    /// What fills the payload up is not zero.
    #[error("the joined payload is filled up with something else than zeros")]
    Padding,
    /// The data is not what was digested when it was stored.
    #[error("the restored data does not match the digest that was stored inside it")]
    Digest,
}

/// What a whole payload turned out to be.
pub struct Restored {
    /// Bytes of data written.
    pub data_bytes: u64,
    /// Name, times and mode that were stored inside.
    pub attributes: Attributes,
}

/// Takes the chunks of a payload in order and writes its data to `output`.
///
/// The last few kilobytes are held back until the end is known, so nothing that is not data is
/// ever written.
pub struct PayloadSink<W> {
    output: W,
    head: Option<Prologue>,
    tail: Zeroizing<Vec<u8>>,
    digest: blake3::Hasher,
    written_bytes: u64,
    payload_bytes: u64,
}

impl<W: Write> PayloadSink<W> {
    /// A sink that writes to `output`.
    pub fn new(output: W) -> Self {
        Self {
            output,
            head: None,
            tail: Zeroizing::new(Vec::with_capacity(TAIL_BYTES_MAX)),
            digest: blake3::Hasher::new(),
            written_bytes: 0,
            payload_bytes: 0,
        }
    }

    /// Bytes of data written so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// Where the first chunk has no valid prologue, or the output fails.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SinkError> {
        self.payload_bytes += chunk.len() as u64;
        let mut rest = chunk;
        if self.head.is_none() {
            let prologue = Prologue::decode(chunk)?;
            rest = &chunk[prologue.data_offset() as usize..];
            self.head = Some(prologue);
        }
        let held_back = rest.len().min(TAIL_BYTES_MAX);
        let (now, later) = rest.split_at(rest.len() - held_back);
        let from_tail = (self.tail.len() + held_back).saturating_sub(TAIL_BYTES_MAX);
        let from_tail = if now.is_empty() { from_tail } else { self.tail.len() };
        let tail =
            std::mem::replace(&mut self.tail, Zeroizing::new(Vec::with_capacity(TAIL_BYTES_MAX)));
        self.emit(&tail[..from_tail])?;
        self.emit(now)?;
        self.tail.extend_from_slice(&tail[from_tail..]);
        self.tail.extend_from_slice(later);
        Ok(())
    }

    /// Ends the payload: writes what is data of the tail and checks lengths and digest.
    ///
    /// # Errors
    /// Where the trailer is damaged, lengths disagree, or the digest is not the stored one. What
    /// was written must then be thrown away.
    pub fn finish(mut self) -> Result<(W, Restored), SinkError> {
        let head = self.head.take().ok_or(SinkError::Truncated)?;
        let tail = std::mem::take(&mut self.tail);
        let (_, trailer) = tail.split_last_chunk().ok_or(SinkError::Truncated)?;
        let trailer = Trailer::decode(trailer)?;
        let layout = PayloadLayout::of_received(&head, &trailer, self.payload_bytes)?;
        let last = layout.data_bytes.checked_sub(self.written_bytes).ok_or(SinkError::Truncated)?;
        let (last, rest) = tail.split_at_checked(last as usize).ok_or(SinkError::Truncated)?;
        let zeros = rest.len().checked_sub(TRAILER_BYTES as usize).ok_or(SinkError::Truncated)?;
        if rest[..zeros].iter().any(|byte| *byte != 0) {
            return Err(SinkError::Padding);
        }
        self.emit(last)?;
        if *self.digest.finalize().as_bytes() != trailer.digest {
            return Err(SinkError::Digest);
        }
        self.output.flush().map_err(SinkError::Output)?;
        let restored = Restored { data_bytes: self.written_bytes, attributes: head.attributes };
        Ok((self.output, restored))
    }

    fn emit(&mut self, data: &[u8]) -> Result<(), SinkError> {
        self.output.write_all(data).map_err(SinkError::Output)?;
        self.digest.update(data);
        self.written_bytes += data.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::PayloadSource;
    use proptest::prelude::*;

    fn round_trip(data: &[u8], damage: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>, SinkError> {
        let attributes = Attributes { name: Some(b"a.bam".to_vec()), ..Attributes::default() };
        let mut source = PayloadSource::new(data, &attributes).unwrap();
        let mut payload = Vec::new();
        let mut cuts = Vec::new();
        while let Some(chunk) = source.next_chunk().unwrap() {
            payload.extend_from_slice(&chunk);
            cuts.push(chunk.len());
        }
        assert_eq!(payload.len() as u64, source.payload_bytes());
        assert!(payload.len().is_multiple_of(PAYLOAD_STEP as usize));
        damage(&mut payload);
        let mut sink = PayloadSink::new(Vec::new());
        let mut rest = &payload[..];
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            sink.push(chunk)?;
            rest = after;
        }
        let (output, restored) = sink.finish()?;
        assert_eq!(restored.attributes.name.as_deref(), Some(&b"a.bam"[..]));
        Ok(output)
    }

    #[test]
    fn sizes_around_every_boundary_come_back() {
        let head = 64 + 6 + 5;
        let around = |size: usize| size.saturating_sub(head + 100)..=size + 3;
        let steps = (0..5).chain(around(4096)).chain(around(8192));
        let near_chunk = around(1 << 20).step_by(7).chain((1 << 20) - 1..(1 << 20) + 2);
        for size in steps.chain(near_chunk) {
            let data: Vec<u8> = (0..size).map(|at| (at * 31 + at / 251) as u8).collect();
            assert_eq!(round_trip(&data, |_| ()).unwrap(), data, "size {size}");
        }
    }

    #[test]
    fn damage_is_refused() {
        let data = vec![7; 5000];
        let digest = round_trip(&data, |payload| payload[200] ^= 1);
        assert!(matches!(digest, Err(SinkError::Digest)));
        for at in [0, 9, 10] {
            assert!(round_trip(&data, |payload| payload[at] ^= 1).is_err(), "prologue byte {at}");
        }
        for back in 1..=96 {
            let result = round_trip(&data, |payload| {
                let at = payload.len() - back;
                payload[at] ^= 1;
            });
            assert!(result.is_err(), "trailer byte -{back}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..3)
        ) {
            let mut sink = PayloadSink::new(Vec::new());
            let pushed = chunks.iter().try_for_each(|chunk| sink.push(chunk));
            prop_assert!(pushed.is_err() || sink.finish().is_err());
        }
    }
}
