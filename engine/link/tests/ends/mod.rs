//! Two ends of one link that hold the same key, for the tests of frames.

#![allow(dead_code, reason = "each test binary uses its own part")]

use warifu_buffers::Block;
use warifu_core::direction::{Direction, End};
use warifu_core::{Kept, KeyClass, KeyRange, LinkId, ObjectId, OpenPad, SealPad, XCoord};
use warifu_kernels::{Isa, PolyHash};
use warifu_link::{
    FRAME_HEADER_BYTES, FrameError, FrameHeader, Message, Op, Session, SessionId, TAG_BYTES,
};

pub(crate) const LINK: LinkId = LinkId::from_bytes([0x11; 16]);
pub(crate) const SESSION: SessionId = SessionId::from_bytes([0x22; 16]);

/// The key at one position: the same at both ends, another in each direction. A test's stand-in
/// for true randomness, which the frames' tests need only to be without short period.
fn key_at(direction: Direction, position: u64) -> u8 {
    let seed = (position << 1 | u64::from(direction.to_byte())).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 56) as u8
}

pub(crate) fn key(direction: Direction, range: KeyRange) -> Block {
    let bytes: Vec<u8> = (range.start()..range.end()).map(|at| key_at(direction, at)).collect();
    Block::copy_of(&bytes)
}

pub(crate) fn seal_pad(direction: Direction, start: u64, len: u64) -> SealPad {
    let range = KeyRange::new(start, len).unwrap();
    SealPad::from_burned(range, KeyClass::Computational, key(direction, range))
}

pub(crate) fn open_pad(direction: Direction, range: KeyRange) -> OpenPad {
    OpenPad::from_burned(range, KeyClass::Computational, key(direction, range))
}

pub(crate) fn range(start: u64, end: u64) -> KeyRange {
    KeyRange::between(start, end)
}

/// A session of `end` with `[0, 4 MiB)` granted in both directions.
pub(crate) fn session(end: End) -> Session {
    let mut session = bare(end);
    for direction in [Direction::AToB, Direction::BToA] {
        session.granted(direction, range(0, 4 << 20)).unwrap();
    }
    session
}

/// A session of `end` without any grant.
pub(crate) fn bare(end: End) -> Session {
    Session::new(Isa::best(), LINK, end, SESSION)
}

/// A request to store `len` bytes.
pub(crate) fn store(len: usize) -> Message {
    Message {
        object: ObjectId::from_bytes([0x33; 16]),
        x: XCoord::new(5),
        argument0: len as u64,
        ..Message::request(Op::Store, 1)
    }
}

/// Opens what arrived, as a caller does: header first, then the pad, then all of it.
pub(crate) fn open(session: &mut Session, frame: &mut [u8]) -> Result<(Message, Kept), FrameError> {
    let head: [u8; FRAME_HEADER_BYTES] = frame[..FRAME_HEADER_BYTES].try_into().unwrap();
    let header = session.expect(&head)?;
    session.open(&header, open_pad(header.direction, header.key_range()), frame)
}

/// Body of an opened frame.
pub(crate) fn body(frame: &[u8]) -> &[u8] {
    &frame[128..frame.len() - TAG_BYTES]
}

/// Seals without a [`Session`], so without its checks: byte by byte, as the format says.
pub(crate) fn seal_by_hand(header: &FrameHeader, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = header.encode().to_vec();
    frame.extend(payload.iter().zip(&key[32..]).map(|(payload, key)| payload ^ key));
    let r: [u8; 16] = key[..16].try_into().unwrap();
    let hash = PolyHash::new(Isa::best(), &r).poly(&[&frame]);
    frame.extend(hash.iter().zip(&key[16..32]).map(|(hash, m)| hash ^ m));
    frame
}

/// The header of the first frame of `direction`, at position 0.
pub(crate) fn first_header(direction: Direction, payload_bytes: usize, kept: u32) -> FrameHeader {
    FrameHeader {
        link: LINK,
        session: SESSION,
        direction,
        sequence: 0,
        key_start: 0,
        payload_bytes: payload_bytes as u32,
        kept_bytes: kept,
        is_open: false,
    }
}
