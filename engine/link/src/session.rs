//! Sealing and opening the frames of one session.

use crate::error::FrameError;
use crate::grants::{Grants, TAILS_KEPT_OPENING, TAILS_KEPT_SEALING};
use crate::header::{FRAME_HEADER_BYTES, FRAME_KEY_BYTES, FrameHeader, TAG_BYTES};
use crate::hello::SessionId;
use crate::message::{MESSAGE_HEADER_BYTES, Message};
use std::hint::black_box;
use warifu_buffers::Block;
use warifu_core::direction::{Direction, End};
use warifu_core::{KEPT_OFFSET, Kept, KeyRange, LinkId, OpenPad, SealPad};
use warifu_kernels::{Isa, PolyHash, xor};
use zeroize::{Zeroize, Zeroizing};

/// Key of a frame without a body is laid out so that what both ends keep begins a page.
const _: () = assert!(KEPT_OFFSET == FRAME_KEY_BYTES + MESSAGE_HEADER_BYTES);

/// Bytes of key that the frame of a body of `body_bytes` takes where both ends keep `kept_bytes`.
#[must_use]
pub const fn key_bytes_needed(body_bytes: usize, kept_bytes: usize) -> u64 {
    (FRAME_KEY_BYTES + MESSAGE_HEADER_BYTES) as u64 + body_bytes as u64 + kept_bytes as u64
}

/// Bytes of key that the frame of this message takes: none for the payload where it stands in the
/// clear, as the names of an offer do.
#[must_use]
pub const fn key_bytes_of(message: &Message, body_bytes: usize, kept_bytes: usize) -> u64 {
    match message.is_open() {
        true => FRAME_KEY_BYTES as u64,
        false => key_bytes_needed(body_bytes, kept_bytes),
    }
}

/// One end's view of one session: which frame comes next in either direction, and where its key
/// may start. It holds no key.
pub struct Session {
    isa: Isa,
    link: LinkId,
    end: End,
    session: SessionId,
    sealed: Flow,
    opened: Flow,
}

/// One direction of a session.
struct Flow {
    /// Frames so far, hence the number of the next one.
    frames: u64,
    grants: Grants,
}

impl Session {
    /// A session in which nothing was sent and nothing granted yet; `end` is this end.
    #[must_use]
    pub fn new(isa: Isa, link: LinkId, end: End, session: SessionId) -> Self {
        let flow = |tails_kept| Flow { frames: 0, grants: Grants::keeping(tails_kept) };
        let (sealed, opened) = (flow(2 * TAILS_KEPT_SEALING), flow(TAILS_KEPT_OPENING));
        Self { isa, link, end, session, sealed, opened }
    }

    /// The session's name.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.session
    }

    /// Admits frames in `direction` that take key from `range`, which the receiving end granted
    /// and the sending end accepted. Both ends say so of every grant: the hello's, those in
    /// confirm and lease. Within a grant the frames follow each other without gap, from its first
    /// position; no frame crosses into another, adjacent or not. A pad taken for a frame that is
    /// never sent therefore ends the use of its grant.
    ///
    /// # Errors
    /// [`FrameError::Grant`] where it starts at no multiple of 512, has no room for a frame,
    /// overlaps a grant of this session, or is one too many. Nothing is changed then.
    pub fn granted(&mut self, direction: Direction, range: KeyRange) -> Result<(), FrameError> {
        self.flow_mut(direction).grants.add(range)
    }

    /// Seals a message, in one buffer of its own; the key that both ends keep comes back with it.
    ///
    /// # Errors
    /// As [`Session::seal`].
    pub fn seal_message(
        &mut self,
        pad: SealPad,
        message: &Message,
        body: &[u8],
        kept_bytes: usize,
    ) -> Result<(Block, Kept), FrameError> {
        let header = message.encode(body.len())?;
        let body_at = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES;
        let mut frame = Block::zeroed(body_at + body.len() + TAG_BYTES);
        frame[FRAME_HEADER_BYTES..body_at].copy_from_slice(&header);
        frame[body_at..body_at + body.len()].copy_from_slice(body);
        let kept = self.seal(pad, kept_bytes, &mut frame)?;
        Ok((frame, kept))
    }

    /// Seals in place: `frame` has room for header and tag around the payload, which stands at
    /// [`FRAME_HEADER_BYTES`] in the clear, message header first. The rest of the pad comes back.
    ///
    /// # Errors
    /// Where the pad is not the one that this frame needs, it does not start where the next frame
    /// may, or the payload is no message of this end. The pad is gone and `frame` zeroised then,
    /// and the session did not go on.
    pub fn seal(
        &mut self,
        pad: SealPad,
        kept_bytes: usize,
        frame: &mut [u8],
    ) -> Result<Kept, FrameError> {
        let sealed = self.seal_clear(pad, kept_bytes, frame);
        if sealed.is_err() {
            frame.zeroize();
        }
        sealed
    }

    fn seal_clear(
        &mut self,
        pad: SealPad,
        kept_bytes: usize,
        frame: &mut [u8],
    ) -> Result<Kept, FrameError> {
        let (range, key) = pad.into_parts();
        let is_open = is_open(frame)?;
        let header = self.header_for(range.start(), kept_bytes, frame.len(), is_open)?;
        let needed = header.key_range();
        if range != needed {
            return Err(FrameError::WrongPad { got: range, needed });
        }
        self.sealed.grants.check(&range)?;
        frame[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        let (covered, tag) = frame.split_at_mut(FRAME_HEADER_BYTES + header.payload_bytes as usize);
        message_in(&header, &covered[FRAME_HEADER_BYTES..])?;

        let stream_end = FRAME_KEY_BYTES + header.masked_bytes();
        let masked = FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.masked_bytes();
        xor(self.isa, &mut covered[masked], &key[FRAME_KEY_BYTES..stream_end]);
        tag.copy_from_slice(tag_of(self.isa, &key, covered).as_slice());
        self.sealed.advance(&range);
        Ok(Kept::tail(key, stream_end))
    }

    /// The header of the next frame that this end seals.
    fn header_for(
        &self,
        key_start: u64,
        kept_bytes: usize,
        frame_bytes: usize,
        is_open: bool,
    ) -> Result<FrameHeader, FrameError> {
        let around = FRAME_HEADER_BYTES + TAG_BYTES;
        let length = FrameError::Length { got: frame_bytes, expected: around };
        let payload_bytes = frame_bytes.checked_sub(around).ok_or(length)?;
        let malformed = |field| FrameError::Malformed { field };
        let header = FrameHeader {
            link: self.link,
            session: self.session,
            direction: self.end.sends(),
            sequence: self.sealed.frames,
            key_start,
            payload_bytes: u32::try_from(payload_bytes).map_err(|_| malformed("payload bytes"))?,
            kept_bytes: u32::try_from(kept_bytes).map_err(|_| malformed("kept bytes"))?,
            is_open,
        };
        header.check_lengths()?;
        Ok(header)
    }

    /// Reads the header of a frame that arrives: whether it is the next one of the other end in
    /// this session, within all limits, and its key starts where it may. Ask before the rest of
    /// the frame is read or a pad is taken; nothing is changed.
    ///
    /// # Errors
    /// Where it is not. The header is public, so this says nothing yet of who made it.
    pub fn expect(&self, header: &[u8; FRAME_HEADER_BYTES]) -> Result<FrameHeader, FrameError> {
        let header = FrameHeader::decode(header)?;
        self.check_next(&header)?;
        Ok(header)
    }

    fn check_next(&self, header: &FrameHeader) -> Result<(), FrameError> {
        if header.link != self.link {
            return Err(FrameError::WrongLink);
        }
        if header.session != self.session {
            return Err(FrameError::WrongSession);
        }
        if header.direction != self.end.receives() {
            return Err(FrameError::Reflected);
        }
        let (sequence, expected) = (header.sequence, self.opened.frames);
        if sequence < expected {
            return Err(FrameError::Replayed { sequence, expected });
        }
        if sequence > expected {
            return Err(FrameError::Skipped { sequence, expected });
        }
        header.check_lengths()?;
        self.opened.grants.check(&header.key_range())
    }

    /// Verifies the tag, then deciphers `frame` in place: the body of the message is
    /// `frame[128..64 + P]` afterwards. The rest of the pad comes back.
    ///
    /// # Errors
    /// [`FrameError::Forged`] where the tag is wrong, and others where `header` is not that of the
    /// next frame, of `frame`, or of `pad`: the session did not go on. [`FrameError::Message`]
    /// where the tag is right, but the payload is no message of the other end: the session did go
    /// on. Whatever the error, `frame` is zeroised and the pad gone.
    pub fn open(
        &mut self,
        header: &FrameHeader,
        pad: OpenPad,
        frame: &mut [u8],
    ) -> Result<(Message, Kept), FrameError> {
        let opened = self.open_sealed(header, pad, frame);
        if opened.is_err() {
            frame.zeroize();
        }
        opened
    }

    fn open_sealed(
        &mut self,
        header: &FrameHeader,
        pad: OpenPad,
        frame: &mut [u8],
    ) -> Result<(Message, Kept), FrameError> {
        self.check_next(header)?;
        let (got, expected) = (frame.len(), header.frame_bytes());
        if got != expected {
            return Err(FrameError::Length { got, expected });
        }
        if frame[..FRAME_HEADER_BYTES] != header.encode() {
            return Err(FrameError::Malformed { field: "header" });
        }
        let (range, key) = pad.into_parts();
        let needed = header.key_range();
        if range != needed {
            return Err(FrameError::WrongPad { got: range, needed });
        }
        let (covered, tag) = frame.split_at_mut(FRAME_HEADER_BYTES + header.payload_bytes as usize);
        if !same(tag_of(self.isa, &key, covered).as_slice(), tag) {
            return Err(FrameError::Forged);
        }

        self.opened.advance(&range);
        let payload = &mut covered[FRAME_HEADER_BYTES..];
        let stream_end = FRAME_KEY_BYTES + header.masked_bytes();
        let masked = &mut payload[..header.masked_bytes()];
        xor(self.isa, masked, &key[FRAME_KEY_BYTES..stream_end]);
        let message = message_in(header, payload)?;
        Ok((message, Kept::tail(key, stream_end)))
    }

    fn flow_mut(&mut self, direction: Direction) -> &mut Flow {
        if direction == self.end.sends() { &mut self.sealed } else { &mut self.opened }
    }
}

impl Flow {
    fn advance(&mut self, range: &KeyRange) {
        self.grants.advance(range);
        self.frames += 1;
    }
}

/// The message at the front of a payload in the clear, checked against its frame.
fn message_in(header: &FrameHeader, payload: &[u8]) -> Result<Message, FrameError> {
    let short = FrameError::Malformed { field: "payload bytes" };
    let (head, body) = payload.split_first_chunk::<MESSAGE_HEADER_BYTES>().ok_or(short)?;
    let (message, stated) = Message::decode(head)?;
    let carried = body.len();
    if stated != carried {
        return Err(crate::MessageError::BodyBytes { stated, carried }.into());
    }
    message.check_frame(header.direction, header.kept_bytes, header.is_open)?;
    Ok(message)
}

/// Whether the message that stands in the clear in `frame` goes unmasked.
fn is_open(frame: &[u8]) -> Result<bool, FrameError> {
    let short = FrameError::Malformed { field: "payload bytes" };
    let payload = frame.get(FRAME_HEADER_BYTES..).ok_or(short.clone())?;
    let head = payload.first_chunk::<MESSAGE_HEADER_BYTES>().ok_or(short)?;
    Ok(Message::decode(head)?.0.is_open())
}

/// `m + poly(r, covered)`, with `r` and `m` the first 32 bytes of `key`.
fn tag_of(isa: Isa, key: &[u8], covered: &[u8]) -> Zeroizing<[u8; TAG_BYTES]> {
    let mut r = Zeroizing::new([0; 16]);
    r.copy_from_slice(&key[..16]);
    let mut tag = Zeroizing::new(PolyHash::new(isa, &r).poly(&[covered]));
    tag.iter_mut().zip(&key[16..FRAME_KEY_BYTES]).for_each(|(tag, m)| *tag ^= m);
    tag
}

/// Compares in a time that does not depend on where the difference lies.
fn same(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |all, (l, r)| black_box(all | (l ^ r)));
    left.len() == right.len() && black_box(difference) == 0
}
