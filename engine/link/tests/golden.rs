//! One frame against the bytes that `golden_frame.py` computes without this code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use warifu_buffers::Block;
use warifu_core::direction::{Direction, End};
use warifu_core::{KeyClass, KeyRange, LinkId, ObjectId, OpenPad, SealPad, XCoord};
use warifu_kernels::Isa;
use warifu_link::{Message, Op, Session, SessionId, ShareClass};

const BODY: &[u8] = b"a share, or part of one";
const FRAME: &str = concat!(
    "5746524d01000000000102030405060708090a0b0c0d0e0f1011121314151617",
    "18191a1b1c1d1e1f000000000000000000040000000000005700000010000000",
    "aed0f51a286489ae7359bfe1c32917715389efc12319775120496d92b0dc0126",
    "437793bfdb072b4f6498bde2072c51769bc0e50a2f54799edbff1b27436fb3d7",
    "8a3046321ed6acc233572fa2d7ad83621b0fe38aa09a7cb0e0badca29ad64ed9",
    "e3a1b59af668e7",
);
const KEPT: &str = "3e6388add2f71c41668bb0d5fa1f4469";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn counted<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|i| from + i as u8)
}

#[test]
fn the_frame_is_the_one_computed_with_big_integers_on_every_isa() {
    let range = KeyRange::new(1024, 32 + 64 + BODY.len() as u64 + 16).unwrap();
    let bytes: Vec<u8> = (0..range.len()).map(|i| ((37 * i + 11) % 256) as u8).collect();
    let message = Message {
        object: ObjectId::from_bytes(counted(0xA0)),
        x: XCoord::new(3),
        class: ShareClass::Mask,
        attempt: 7,
        index: 0x0102_0304_0506_0708,
        argument0: BODY.len() as u64,
        ..Message::request(Op::Store, 0x1112_1314_1516_1718)
    };
    let class = KeyClass::Computational;
    let (link, id) = (LinkId::from_bytes(counted(0)), SessionId::from_bytes(counted(0x10)));
    for isa in Isa::available() {
        let mut a = Session::new(isa, link, End::A, id);
        a.granted(Direction::AToB, range).unwrap();
        let pad = SealPad::from_burned(range, class, Block::copy_of(&bytes));
        let (mut frame, kept) = a.seal_message(pad, &message, BODY, 16).unwrap();
        assert_eq!(hex(&frame), FRAME, "{}", isa.name());
        assert_eq!(hex(&kept), KEPT, "{}", isa.name());

        let mut b = Session::new(isa, link, End::B, id);
        b.granted(Direction::AToB, range).unwrap();
        let header = b.expect(frame[..64].try_into().unwrap()).unwrap();
        let pad = OpenPad::from_burned(range, class, Block::copy_of(&bytes));
        let (got, kept) = b.open(&header, pad, &mut frame).unwrap();
        assert_eq!(got, message);
        assert_eq!(&frame[128..128 + BODY.len()], BODY);
        assert_eq!(hex(&kept), KEPT, "{}", isa.name());
    }
}
