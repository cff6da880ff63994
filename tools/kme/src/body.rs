//! A key container as it is written: key is made, encoded and sent in pieces, and each piece is
//! overwritten once it has left.

use crate::keys::{Key, Seed};
use axum::body::{Bytes, HttpBody};
use base64::Engine;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::vec;
use zeroize::Zeroizing;

/// Key that is made at once, in bytes: whole groups of base64, and whole blocks of ChaCha20.
const PIECE_BYTES: usize = 24 << 10;

/// The text of one piece, in bytes.
const PIECE_TEXT_BYTES: usize = PIECE_BYTES / 3 * 4;

/// More than all that stands between two pieces, in bytes.
const ENVELOPE_BYTES: usize = 256;

/// What one frame holds at most, in bytes.
const FRAME_BYTES: usize = 2 * PIECE_TEXT_BYTES + ENVELOPE_BYTES;

const OPENING: &str = r#"{"keys":["#;
const BEFORE_ID: &str = r#"{"key_ID":""#;
const BEFORE_KEY: &str = r#"","key":""#;
const AFTER_KEY: &str = r#""}"#;
const CLOSING: &str = "]}";
const BEFORE_PADDING: &str = r#"],"key_container_extension":{"padding":""#;
const AFTER_PADDING: &str = r#""}}"#;
const ID_TEXT_BYTES: u64 = 36;

static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

/// How a container differs from what the keys say: nothing, unless a fault says so.
#[derive(Clone, Copy, Default)]
pub(crate) struct Distortion {
    /// Another stream of bytes for the same key; 0 is the true one.
    pub(crate) stream: u8,
    /// Keys of another length than theirs.
    pub(crate) has_wrong_length: bool,
    /// Bytes of padding in an extension.
    pub(crate) padding_bytes: u64,
    /// Does it end in the middle?
    pub(crate) is_cut: bool,
}

/// The body of an answer that holds keys.
pub(crate) struct KeyContainer {
    keys: vec::IntoIter<Key>,
    current: Option<Unfinished>,
    part: Part,
    distortion: Distortion,
    padding_bytes_left: u64,
    text_bytes_left: u64,
    /// What is still sent before the connection is cut.
    bytes_until_cut: Option<u64>,
    raw: Zeroizing<Vec<u8>>,
}

/// Where the text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Opening,
    FirstKey,
    NextKey,
    Padding,
    End,
}

/// A key in the middle of being written.
struct Unfinished {
    cipher: ChaCha20,
    bytes_left: usize,
}

impl KeyContainer {
    pub(crate) fn new(keys: Vec<Key>, distortion: Distortion) -> Self {
        let text_bytes = text_bytes(&keys, distortion);
        let piece = keys.iter().map(|key| sent_bytes(key, distortion)).max().unwrap_or(0);
        Self {
            keys: keys.into_iter(),
            current: None,
            part: Part::Opening,
            distortion,
            padding_bytes_left: distortion.padding_bytes,
            text_bytes_left: text_bytes,
            bytes_until_cut: distortion.is_cut.then_some(text_bytes / 2),
            raw: Zeroizing::new(vec![0; piece.min(PIECE_BYTES)]),
        }
    }

    /// The next part of the text, empty at its end. It never outgrows its memory, so that no copy
    /// of a key is left behind.
    fn next_text(&mut self) -> Zeroizing<Vec<u8>> {
        let room = (FRAME_BYTES as u64).min(self.text_bytes_left) as usize;
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        while self.part != Part::End
            && text.len() + PIECE_TEXT_BYTES + ENVELOPE_BYTES <= FRAME_BYTES
        {
            self.write_step(&mut text);
        }
        debug_assert!(text.len() <= room);
        text
    }

    fn write_step(&mut self, text: &mut Vec<u8>) {
        if self.current.is_some() {
            self.write_piece(text);
            return;
        }
        match self.part {
            Part::Opening => {
                text.extend_from_slice(OPENING.as_bytes());
                self.part = Part::FirstKey;
            }
            Part::FirstKey | Part::NextKey => match self.keys.next() {
                Some(key) => self.begin(&key, text),
                None if self.distortion.padding_bytes > 0 => {
                    text.extend_from_slice(BEFORE_PADDING.as_bytes());
                    self.part = Part::Padding;
                }
                None => {
                    text.extend_from_slice(CLOSING.as_bytes());
                    self.part = Part::End;
                }
            },
            Part::Padding => {
                let piece = self.padding_bytes_left.min(PIECE_TEXT_BYTES as u64);
                text.resize(text.len() + piece as usize, b'A');
                self.padding_bytes_left -= piece;
                if self.padding_bytes_left == 0 {
                    text.extend_from_slice(AFTER_PADDING.as_bytes());
                    self.part = Part::End;
                }
            }
            Part::End => {}
        }
    }

    fn begin(&mut self, key: &Key, text: &mut Vec<u8>) {
        if self.part == Part::NextKey {
            text.push(b',');
        }
        self.part = Part::NextKey;
        text.extend_from_slice(BEFORE_ID.as_bytes());
        text.extend_from_slice(key.id.to_string().as_bytes());
        text.extend_from_slice(BEFORE_KEY.as_bytes());
        let cipher = cipher(&key.seed, self.distortion.stream);
        let bytes_left = sent_bytes(key, self.distortion);
        self.current = Some(Unfinished { cipher, bytes_left });
        self.write_piece(text);
    }

    fn write_piece(&mut self, text: &mut Vec<u8>) {
        let Some(key) = &mut self.current else { return };
        let raw = &mut self.raw[..key.bytes_left.min(PIECE_BYTES)];
        raw.fill(0);
        key.cipher.apply_keystream(raw);
        encode(raw, text);
        key.bytes_left -= raw.len();
        if key.bytes_left == 0 {
            text.extend_from_slice(AFTER_KEY.as_bytes());
            self.current = None;
        }
    }
}

/// Appends `raw` to a text that has room for it.
#[expect(clippy::expect_used, reason = "the slice is as long as the code of these bytes is")]
fn encode(raw: &[u8], text: &mut Vec<u8>) {
    let at = text.len();
    text.resize(at + raw.len().div_ceil(3) * 4, 0);
    BASE64.encode_slice(raw, &mut text[at..]).expect("room for the code");
}

fn cipher(seed: &Seed, stream: u8) -> ChaCha20 {
    let mut nonce = [0; 12];
    nonce[0] = stream;
    ChaCha20::new(seed.bytes().into(), &nonce.into())
}

/// How many bytes of a key are sent.
fn sent_bytes(key: &Key, distortion: Distortion) -> usize {
    match (distortion.has_wrong_length, key.bytes) {
        (false, bytes) => bytes,
        (true, 0 | 1) => 2,
        (true, bytes) => bytes - 1,
    }
}

/// The length of the whole text, in bytes.
fn text_bytes(keys: &[Key], distortion: Distortion) -> u64 {
    let around = [BEFORE_ID, BEFORE_KEY, AFTER_KEY].map(str::len).iter().sum::<usize>() as u64;
    let one =
        |key: &Key| around + ID_TEXT_BYTES + (sent_bytes(key, distortion) as u64).div_ceil(3) * 4;
    let commas = (keys.len() as u64).saturating_sub(1);
    let end = match distortion.padding_bytes {
        0 => CLOSING.len() as u64,
        padding => (BEFORE_PADDING.len() + AFTER_PADDING.len()) as u64 + padding,
    };
    OPENING.len() as u64 + keys.iter().map(one).sum::<u64>() + commas + end
}

/// The connection ends here, as a fault asks for.
#[derive(Debug, thiserror::Error)]
#[error("the answer is cut here, as the fault cut-answer asks for")]
pub(crate) struct Cut;

impl HttpBody for KeyContainer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.bytes_until_cut == Some(0) {
            return Poll::Ready(Some(Err(Cut)));
        }
        let mut text = self.next_text();
        if text.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(left) = &mut self.bytes_until_cut {
            text.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= text.len() as u64;
        }
        self.text_bytes_left -= text.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(text)))))
    }

    fn is_end_stream(&self) -> bool {
        self.part == Part::End && self.bytes_until_cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text_bytes_left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyId;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;
    use std::task::Waker;

    fn key(number: u8, bytes: usize) -> Key {
        Key { id: KeyId::from_random([number; 16]), seed: Seed::new(&[number; 32]), bytes }
    }

    /// The text, the lengths that were promised, and whether it was cut.
    fn read(keys: Vec<Key>, distortion: Distortion) -> (Vec<u8>, u64, bool) {
        let mut body = KeyContainer::new(keys, distortion);
        let promised = body.size_hint().exact().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut text = Vec::new();
        loop {
            match Pin::new(&mut body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let frame = frame.into_data().unwrap();
                    assert!(frame.len() <= FRAME_BYTES);
                    text.extend_from_slice(&frame);
                }
                Poll::Ready(Some(Err(Cut))) => return (text, promised, true),
                Poll::Ready(None) => return (text, promised, false),
                Poll::Pending => unreachable!("it waits for nothing"),
            }
        }
    }

    fn keys_of(text: &[u8]) -> Vec<Vec<u8>> {
        let container: Value = serde_json::from_slice(text).unwrap();
        let keys = container["keys"].as_array().unwrap();
        keys.iter().map(|key| STANDARD.decode(key["key"].as_str().unwrap()).unwrap()).collect()
    }

    fn stream(number: u8, bytes: usize) -> Vec<u8> {
        let mut stream = vec![0; bytes];
        cipher(&Seed::new(&[number; 32]), 0).apply_keystream(&mut stream);
        stream
    }

    #[test]
    fn keys_of_every_size_come_whole_and_as_long_as_promised() {
        let around = [1, 2, 3, PIECE_BYTES];
        for bytes in
            around.iter().flat_map(|size| [size - 1, *size, size + 1]).filter(|size| *size > 0)
        {
            for count in [1, 2, 300] {
                let keys = (0..count).map(|at| key(at as u8, bytes)).collect();
                let (text, promised, is_cut) = read(keys, Distortion::default());
                assert!(!is_cut);
                assert_eq!(text.len() as u64, promised);
                let keys = keys_of(&text);
                assert_eq!(keys.len(), count);
                for (at, key) in keys.iter().enumerate() {
                    assert!(*key == stream(at as u8, bytes), "key {at} of {bytes} bytes");
                }
            }
        }
    }

    #[test]
    fn an_answer_without_keys_is_json_too() {
        let (text, promised, _) = read(Vec::new(), Distortion::default());
        assert_eq!(text, br#"{"keys":[]}"#);
        assert_eq!(promised, 11);
    }

    #[test]
    fn wrong_lengths_padding_and_other_streams_are_well_formed() {
        for padding_bytes in [1, 100_000] {
            let distortion =
                Distortion { padding_bytes, has_wrong_length: true, ..Distortion::default() };
            let (text, promised, _) = read(vec![key(1, 16), key(2, 1)], distortion);
            assert_eq!(text.len() as u64, promised);
            assert_eq!(keys_of(&text), [stream(1, 15), stream(2, 2)]);
        }
        let (text, _, _) =
            read(vec![key(1, 16)], Distortion { stream: 1, ..Distortion::default() });
        assert_ne!(keys_of(&text), [stream(1, 16)]);
    }

    #[test]
    fn a_cut_answer_promises_all_and_gives_half() {
        let cut = Distortion { is_cut: true, ..Distortion::default() };
        let (text, promised, is_cut) = read(vec![key(1, 1 << 20)], cut);
        assert!(is_cut);
        assert_eq!(text.len() as u64, promised / 2);
    }
}
