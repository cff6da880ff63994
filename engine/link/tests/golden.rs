//! One frame against the bytes that `golden_frame.py` computes without this code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use warifu_buffers::Block;
use warifu_core::direction::{Direction, End};
use warifu_core::{KeyClass, KeyRange, LinkId, ObjectId, OpenPad, SealPad, XCoord};
use warifu_kernels::Isa;
use warifu_link::body::Offer;
use warifu_link::{FrameError, Message, MessageError, Op, Session, SessionId, ShareClass};

const BODY: &[u8] = b"a share, or part of one";
const FRAME: &str = concat!(
    "5746524d01000000000102030405060708090a0b0c0d0e0f1011121314151617",
    "18191a1b1c1d1e1f000000000000000000040000000000005700000010000000",
    "aed0f51a286489ae7359bfe1c32917715389efc12319775120496d92b0dc0126",
    "437793bfdb072b4f6498bde2072c51769bc0e50a2f54799edbff1b27436fb3d7",
    "8a3046321ed6acc233572fa2d7ad83621b0fe38aa09a7cb0e0badca29ad64ed9",
    "e3a1b59af668e7",
);
/// An offer, which is not masked.
const OPEN_FRAME: &str = concat!(
    "5746524d01000100000102030405060708090a0b0c0d0e0f1011121314151617",
    "18191a1b1c1d1e1f000000000000000000040000000000007000000000000000",
    "0d00000030000000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0000000000000000",
    "0000000000000000000000000000000000000000000000000900000000000000",
    "01010000000000008000000000000000404142434445464748494a4b4c4d4e4f",
    "505152535455565758595a5b5c5d5e5f7e93b845922459f6a02f6f552f1690a9",
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

fn key(bytes: u64) -> (KeyRange, Block) {
    let range = KeyRange::new(1024, bytes).unwrap();
    let key: Vec<u8> = (0..bytes).map(|i| ((37 * i + 11) % 256) as u8).collect();
    (range, Block::copy_of(&key))
}

#[test]
fn an_offer_goes_unmasked_and_takes_a_tag_of_key() {
    let class = KeyClass::Computational;
    let offer = Offer {
        direction: Direction::BToA,
        class,
        key_bytes: 128,
        names: vec![counted(0x40), counted(0x50)],
    };
    let mut body = Vec::new();
    offer.encode(&mut body);
    assert_eq!(Offer::decode(&body), Ok(offer));
    let object = ObjectId::from_bytes(counted(0xA0));
    let message = Message { object, ..Message::request(Op::Offer, 9) };
    let (link, id) = (LinkId::from_bytes(counted(0)), SessionId::from_bytes(counted(0x10)));
    for isa in Isa::available() {
        let ends = || [End::A, End::B].map(|end| Session::new(isa, link, end, id));
        let grant = KeyRange::new(1024, 512).unwrap();
        let [mut a, mut b] = ends();
        a.granted(Direction::AToB, grant).unwrap();
        b.granted(Direction::AToB, grant).unwrap();
        let (range, bytes) = key(32);
        let pad = SealPad::from_burned(range, class, bytes);
        let (mut frame, kept) = a.seal_message(pad, &message, &body, 0).unwrap();
        assert_eq!((hex(&frame).as_str(), kept.len()), (OPEN_FRAME, 0), "{}", isa.name());

        // Without the flag, or altered anywhere, it is refused.
        for at in 0..frame.len() {
            let mut altered = frame.to_vec();
            altered[at] ^= 1;
            let Ok(header) = b.expect(altered[..64].try_into().unwrap()) else { continue };
            let (range, bytes) = key(header.key_range().len());
            let pad = OpenPad::from_burned(range, class, bytes);
            assert!(b.open(&header, pad, &mut altered).is_err(), "byte {at}");
        }
        let header = b.expect(frame[..64].try_into().unwrap()).unwrap();
        assert_eq!(header.key_range().len(), 32);
        let pad = OpenPad::from_burned(range, class, key(32).1);
        assert_eq!(b.open(&header, pad, &mut frame).unwrap().0, message);
        assert_eq!(frame[128..128 + body.len()], body);

        // Nothing else may stand in the clear, whoever asks for it with the right tag.
        let [_, mut b] = ends();
        b.granted(Direction::AToB, grant).unwrap();
        let ping = Message::request(Op::Ping, 9);
        let header = warifu_link::FrameHeader { payload_bytes: 64, ..header };
        let mut forged = header.encode().to_vec();
        forged.extend_from_slice(&ping.encode(0).unwrap());
        let (_, bytes) = key(32);
        let hash = warifu_kernels::PolyHash::new(isa, bytes[..16].try_into().unwrap());
        let tag = hash.poly(&[&forged]);
        forged.extend(tag.iter().zip(&bytes[16..]).map(|(tag, m)| tag ^ m));
        let refused = b.open(&header, OpenPad::from_burned(range, class, bytes), &mut forged);
        let masking = MessageError::Masking { is_open: true };
        assert_eq!(refused.err(), Some(FrameError::Message(masking)));
    }
}
