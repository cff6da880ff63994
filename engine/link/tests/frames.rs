//! Frames that arrive as they were sealed, and every kind that does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;

use ends::{
    LINK, SESSION, bare, body, first_header, key, open, open_pad, range, seal_by_hand, seal_pad,
    session, store,
};
use proptest::prelude::*;
use warifu_core::LinkId;
use warifu_core::direction::{Direction, End};
use warifu_kernels::Isa;
use warifu_link::message::BODY_BYTES_MAX;
use warifu_link::{
    FrameError, FrameHeader, KEPT_BYTES_MAX, Message, MessageError, Op, PAYLOAD_BYTES_MAX, Session,
    SessionId, Status, key_bytes_needed,
};

/// One sealed store frame at position `start`, and the key it kept.
fn sealed(sender: &mut Session, start: u64, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let pad = seal_pad(Direction::AToB, start, key_bytes_needed(content.len(), 16));
    let message = store(content.len());
    let (frame, kept) = sender.seal_message(pad, &message, content, 16).unwrap();
    (frame.to_vec(), kept.to_vec())
}

proptest! {
    #[test]
    fn what_is_sealed_opens_at_the_other_end(
        bodies in prop::collection::vec((1usize..3000, 0usize..3000, any::<u8>()), 1..8),
    ) {
        let (mut a, mut b) = (session(End::A), session(End::B));
        let (mut sent, mut answered) = (0, 0);
        for (len, kept_len, fill) in bodies {
            // A keeps a range; B answers with a chunk read.
            let ask = Message { argument0: kept_len as u64, op: Op::Keep, ..store(0) };
            let key_len = key_bytes_needed(0, kept_len + 32);
            let pad = seal_pad(Direction::AToB, sent, key_len);
            let (mut frame, kept) = a.seal_message(pad, &ask, &[], kept_len + 32).unwrap();
            let (got, got_kept) = open(&mut b, &mut frame).unwrap();
            prop_assert_eq!(got, ask);
            prop_assert_eq!(&kept[..], &got_kept[..]);
            let end = sent + key_len;
            let tail = key(Direction::AToB, range(end - kept_len as u64 - 32, end));
            prop_assert_eq!(&kept[..], &tail[..]);
            sent = end;

            let answer = Message { op: Op::Read, ..ask }.answer(Status::Done);
            let content = vec![fill; len + 16];
            let key_len = key_bytes_needed(content.len(), 0);
            let pad = seal_pad(Direction::BToA, answered, key_len);
            let (mut frame, _) = b.seal_message(pad, &answer, &content, 0).unwrap();
            prop_assert!(frame.windows(32).all(|window| window != [fill; 32]));
            let (got, got_kept) = open(&mut a, &mut frame).unwrap();
            prop_assert_eq!(got, answer);
            prop_assert_eq!(body(&frame), &content[..]);
            prop_assert!(got_kept.is_empty());
            answered += key_len;
        }
    }
}

#[test]
fn every_flipped_bit_is_refused_and_changes_nothing() {
    let (frame, _) = sealed(&mut session(End::A), 0, b"nineteen bytes long");
    let mut receiver = session(End::B);
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = open(&mut receiver, &mut flipped).err();
        match bit / 8 {
            0..64 => assert!(error.is_some(), "header bit {bit}"),
            _ => {
                assert_eq!(error, Some(FrameError::Forged), "bit {bit}");
                assert!(flipped.iter().all(|byte| *byte == 0), "bit {bit} left something");
            }
        }
    }
    let mut frame = frame;
    assert!(open(&mut receiver, &mut frame).is_ok());
    assert_eq!(body(&frame), b"nineteen bytes long");
}

#[test]
fn header_bits_are_refused_by_the_tag_even_past_expect() {
    // Lengths and position changed in a header that is otherwise expected: with a pad that fits
    // the changed header, it is the tag that is wrong.
    let (frame, _) = sealed(&mut session(End::A), 0, &[7; 200]);
    let genuine = FrameHeader::decode(frame[..64].try_into().unwrap()).unwrap();
    let mut receiver = session(End::B);
    for (payload_bytes, kept_bytes) in [(264, 17), (264, 0), (263, 17), (248, 32), (64, 216)] {
        let header = FrameHeader { payload_bytes, kept_bytes, ..genuine };
        let mut changed = header.encode().to_vec();
        changed.extend_from_slice(&frame[64..64 + payload_bytes as usize]);
        changed.extend_from_slice(&frame[frame.len() - 16..]);
        assert_eq!(open(&mut receiver, &mut changed).err(), Some(FrameError::Forged));
    }
}

#[test]
fn frames_cut_short_or_drawn_out_are_refused() {
    let (frame, _) = sealed(&mut session(End::A), 0, b"content");
    let mut receiver = session(End::B);
    let header = receiver.expect(frame[..64].try_into().unwrap()).unwrap();
    for len in (0..frame.len()).chain([frame.len() + 1]) {
        let mut cut = frame.clone();
        cut.resize(len, 0);
        let pad = open_pad(Direction::AToB, header.key_range());
        let error = receiver.open(&header, pad, &mut cut).err();
        assert_eq!(error, Some(FrameError::Length { got: len, expected: frame.len() }));
    }
}

#[test]
fn each_misplaced_frame_has_an_error_of_its_own() {
    let mut sender = session(End::A);
    let (frame, _) = sealed(&mut sender, 0, b"first");
    let (next, _) = sealed(&mut sender, key_bytes_needed(5, 16), b"second");
    let mut receiver = session(End::B);
    let refused = |receiver: &mut Session, frame: &[u8]| open(receiver, &mut frame.to_vec()).err();

    let skipped = FrameError::Skipped { sequence: 1, expected: 0 };
    assert_eq!(refused(&mut receiver, &next), Some(skipped));
    assert!(open(&mut receiver, &mut frame.clone()).is_ok());
    let replayed = FrameError::Replayed { sequence: 0, expected: 1 };
    assert_eq!(refused(&mut receiver, &frame), Some(replayed));
    assert_eq!(refused(&mut session(End::A), &frame), Some(FrameError::Reflected));
    assert!(open(&mut receiver, &mut next.clone()).is_ok());

    let other = |link, session| {
        let mut other = Session::new(Isa::best(), link, End::B, session);
        other.granted(Direction::AToB, range(0, 4096)).unwrap();
        other
    };
    let mut elsewhere = other(LinkId::from_bytes([9; 16]), SESSION);
    assert_eq!(refused(&mut elsewhere, &frame), Some(FrameError::WrongLink));
    let mut later = other(LINK, SessionId::from_bytes([9; 16]));
    assert_eq!(refused(&mut later, &frame), Some(FrameError::WrongSession));
}

#[test]
fn a_reflected_frame_does_not_pass_with_its_direction_turned() {
    let mut sender = session(End::A);
    let (frame, _) = sealed(&mut sender, 0, b"mirror");
    let mut turned = frame;
    turned[5] = Direction::BToA.to_byte();
    assert_eq!(open(&mut sender, &mut turned).err(), Some(FrameError::Forged));
}

#[test]
fn open_checks_header_pad_and_frame_against_each_other() {
    let (frame, _) = sealed(&mut session(End::A), 0, b"content");
    let mut receiver = session(End::B);
    let header = receiver.expect(frame[..64].try_into().unwrap()).unwrap();
    let long = range(0, header.key_range().end() + 1);
    let error = receiver.open(&header, open_pad(Direction::AToB, long), &mut frame.clone()).err();
    assert_eq!(error, Some(FrameError::WrongPad { got: long, needed: header.key_range() }));

    let other = FrameHeader { kept_bytes: 15, ..header };
    let pad = open_pad(Direction::AToB, other.key_range());
    let error = receiver.open(&other, pad, &mut frame.clone()).err();
    assert_eq!(error, Some(FrameError::Malformed { field: "header" }));

    // A header that was expected once is not taken twice.
    let pad = || open_pad(Direction::AToB, header.key_range());
    assert!(receiver.open(&header, pad(), &mut frame.clone()).is_ok());
    let error = receiver.open(&header, pad(), &mut frame.clone()).err();
    assert_eq!(error, Some(FrameError::Replayed { sequence: 0, expected: 1 }));
}

#[test]
fn seal_refuses_what_the_other_end_would_and_leaves_no_plaintext() {
    let clear = |len: usize| {
        let mut frame = vec![0; 64];
        frame.extend_from_slice(&store(len).encode(len).unwrap());
        frame.extend_from_slice(&vec![0xAB; len + 16]);
        frame
    };
    let refused = |end: End, pad_len: u64, kept: usize, frame: &mut Vec<u8>| {
        let pad = seal_pad(end.sends(), 0, pad_len);
        let error = session(end).seal(pad, kept, frame).err();
        assert!(frame.iter().all(|byte| *byte == 0), "plaintext left after {error:?}");
        error
    };
    let needed = key_bytes_needed(100, 16);
    let error = refused(End::A, needed + 1, 16, &mut clear(100));
    let pads = FrameError::WrongPad { got: range(0, needed + 1), needed: range(0, needed) };
    assert_eq!(error, Some(pads));
    let error = refused(End::A, needed - 16, 0, &mut clear(100));
    let kept = MessageError::KeptBytes { kept: 0, needed: 16 };
    assert_eq!(error, Some(FrameError::Message(kept)));
    let error = refused(End::B, needed, 16, &mut clear(100));
    assert_eq!(error, Some(FrameError::Message(MessageError::WrongWay)));
    let mut stretched = clear(100);
    stretched.push(0);
    let error = refused(End::A, needed + 1, 16, &mut stretched);
    let lengths = MessageError::BodyBytes { stated: 100, carried: 101 };
    assert_eq!(error, Some(FrameError::Message(lengths)));
    for len in [0, 79, 80, 143] {
        assert!(refused(End::A, 100, 0, &mut vec![1; len]).is_some());
    }
}

#[test]
fn nonsense_under_a_right_tag_is_refused_and_not_shown() {
    let key = key(Direction::AToB, range(0, 1000));
    let good = store(20).encode(20).unwrap();
    let refused = |payload: &[u8], kept: u32| {
        let header = first_header(Direction::AToB, payload.len(), kept);
        let mut frame = seal_by_hand(&header, &key, payload);
        let error = open(&mut session(End::B), &mut frame).err();
        assert!(frame.iter().all(|byte| *byte == 0));
        error
    };
    let with = |at: usize, byte: u8| {
        let mut payload = [&good[..], &[0; 20]].concat();
        payload[at] = byte;
        payload
    };
    let message = |error| Some(FrameError::Message(error));
    assert_eq!(refused(&with(0, 99), 16), message(MessageError::UnknownOp { op: 99 }));
    assert_eq!(
        refused(&with(1, 0x80), 16),
        message(MessageError::Size { what: "the body of this message", bytes: 20 })
    );
    assert_eq!(refused(&with(2, 1), 16), message(MessageError::Malformed { field: "status" }));
    assert_eq!(refused(&with(25, 3), 16), message(MessageError::Malformed { field: "class" }));
    assert_eq!(refused(&with(26, 1), 16), message(MessageError::Malformed { field: "zero" }));
    let stated = MessageError::BodyBytes { stated: 20, carried: 19 };
    assert_eq!(refused(&with(0, 5)[..83], 16), message(stated));
    let kept = MessageError::KeptBytes { kept: 17, needed: 16 };
    assert_eq!(refused(&with(0, 5), 17), message(kept));
    assert_eq!(refused(&[0; 64], 0), message(MessageError::UnknownOp { op: 0 }));

    // And the same by hand without a fault opens, so it is the fault that was refused.
    let mut frame = seal_by_hand(&first_header(Direction::AToB, 84, 16), &key, &with(0, 5));
    assert!(open(&mut session(End::B), &mut frame).is_ok());
}

#[test]
fn the_longest_frame_passes_and_a_longer_one_does_not() {
    let (mut a, mut b) = (session(End::A), session(End::B));
    let longest = vec![0; BODY_BYTES_MAX];
    let commit = Message::request(Op::Commit, 0);
    let key_len = key_bytes_needed(longest.len(), 0);
    let pad = seal_pad(Direction::AToB, 0, key_len);
    let (mut frame, _) = a.seal_message(pad, &commit, &longest, 0).unwrap();
    assert_eq!(frame.len(), 64 + PAYLOAD_BYTES_MAX + 16);
    assert!(open(&mut b, &mut frame).is_ok());
    let pad = seal_pad(Direction::AToB, key_len, key_len + 1);
    let longer = vec![0; BODY_BYTES_MAX + 1];
    assert!(a.seal_message(pad, &commit, &longer, 0).is_err());

    let keep = Message { op: Op::Keep, argument0: 1 << 20, ..store(0) };
    let needed = key_bytes_needed(0, (1 << 20) + 32);
    let pad = seal_pad(Direction::AToB, key_len, needed);
    let (mut frame, kept) = a.seal_message(pad, &keep, &[], (1 << 20) + 32).unwrap();
    let (_, got) = open(&mut b, &mut frame).unwrap();
    assert_eq!(kept.len(), (1 << 20) + 32);
    assert!(kept[..] == got[..]);
}

#[test]
fn headers_at_the_limits() {
    let edge = FrameHeader {
        key_start: u64::MAX - 32 - PAYLOAD_BYTES_MAX as u64 - KEPT_BYTES_MAX as u64,
        sequence: u64::MAX,
        ..first_header(Direction::BToA, PAYLOAD_BYTES_MAX, KEPT_BYTES_MAX as u32)
    };
    assert_eq!(FrameHeader::decode(&edge.encode()), Ok(edge));
    assert_eq!(edge.key_range().end(), u64::MAX);
    let refused = |header: FrameHeader, field| {
        assert_eq!(
            FrameHeader::decode(&header.encode()),
            Err(FrameError::Malformed { field }),
            "{header:?}"
        );
    };
    refused(FrameHeader { key_start: edge.key_start + 1, ..edge }, "key start");
    refused(FrameHeader { key_start: u64::MAX, ..edge }, "key start");
    refused(FrameHeader { payload_bytes: edge.payload_bytes + 1, ..edge }, "payload bytes");
    refused(FrameHeader { payload_bytes: 63, ..edge }, "payload bytes");
    refused(FrameHeader { payload_bytes: u32::MAX, ..edge }, "payload bytes");
    refused(FrameHeader { kept_bytes: edge.kept_bytes + 1, ..edge }, "kept bytes");
    let beyond = FrameHeader { key_start: u64::MAX - 5, ..edge };
    assert_eq!(beyond.key_range(), range(u64::MAX - 5, u64::MAX), "cut, not wrapped");
    for (at, field) in [(5, "direction"), (6, "flags"), (7, "flags")] {
        let mut bytes = edge.encode();
        bytes[at] = 2;
        assert_eq!(FrameHeader::decode(&bytes), Err(FrameError::Malformed { field }));
    }
    let mut bytes = edge.encode();
    bytes[4] = 2;
    assert_eq!(FrameHeader::decode(&bytes), Err(FrameError::BadVersion { version: 2 }));
    bytes[0] = b'X';
    assert_eq!(FrameHeader::decode(&bytes), Err(FrameError::BadMagic));
}

proptest! {
    #[test]
    fn headers_are_read_one_way_only(mut bytes: [u8; 32], tail: [u8; 32], framed: bool) {
        if framed {
            let direction = bytes[5] & 1;
            bytes[..8].copy_from_slice(&[b'W', b'F', b'R', b'M', 1, direction, 0, 0]);
        }
        let bytes: [u8; 64] = [bytes, tail].concat().try_into().unwrap();
        if let Ok(header) = FrameHeader::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
        // Whatever it is, an end that expects the first frame of a peer does not panic either.
        prop_assert!(bare(End::B).expect(&bytes).is_err());
    }

    #[test]
    fn headers_round_trip(
        sequence: u64,
        key_start in 0..u64::MAX / 2,
        payload in 64usize..=PAYLOAD_BYTES_MAX,
        kept in 0usize..=KEPT_BYTES_MAX,
    ) {
        let header = first_header(Direction::BToA, payload, kept as u32);
        let header = FrameHeader { sequence, key_start, ..header };
        prop_assert_eq!(FrameHeader::decode(&header.encode()), Ok(header));
        let end = key_start + (32 + payload + kept) as u64;
        prop_assert_eq!(header.key_range(), range(key_start, end));
        prop_assert_eq!(header.frame_bytes(), 80 + payload);
    }
}
