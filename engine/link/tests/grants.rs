//! Where frames may start: known plaintext must never become `r` and `m`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;

use ends::{bare, first_header, key, open, range, seal_by_hand, seal_pad, store};
use proptest::prelude::*;
use warifu_core::direction::{Direction, End};
use warifu_link::{
    FrameError, FrameHeader, GRANTS_MAX, Message, Op, Session, aligned_grant, key_bytes_needed,
};

const DIRECTION: Direction = Direction::AToB;

fn ends_with(grants: &[(u64, u64)]) -> (Session, Session) {
    let mut ends = (bare(End::A), bare(End::B));
    for &(start, end) in grants {
        ends.0.granted(DIRECTION, range(start, end)).unwrap();
        ends.1.granted(DIRECTION, range(start, end)).unwrap();
    }
    ends
}

/// Sends a store frame with `len` bytes of content whose key starts at `start`.
fn send(a: &mut Session, b: &mut Session, start: u64, len: usize) -> Result<u64, FrameError> {
    let needed = key_bytes_needed(len, 16);
    let pad = seal_pad(DIRECTION, start, needed);
    let (mut frame, _) = a.seal_message(pad, &store(len), &vec![1; len], 16)?;
    open(b, &mut frame)?;
    Ok(start + needed)
}

/// The attack that the rule is against. A frame is held back whose plaintext the attacker knows.
/// XOR gives the key stream under it, hence an `r`, an `m` and a stream at positions inside the
/// frame's range, hence a frame of the attacker's choice with a right tag.
#[test]
fn known_plaintext_of_a_frame_held_back_makes_no_other_frame() {
    let (mut a, mut b) = ends_with(&[(0, 4096)]);
    let content = [0; 300];
    let pad = seal_pad(DIRECTION, 0, key_bytes_needed(300, 16));
    let (held_back, _) = a.seal_message(pad, &store(300), &content, 16).unwrap();

    let known = [&store(300).encode(300).unwrap()[..], &content].concat();
    let stream: Vec<u8> = held_back[64..].iter().zip(&known).map(|(c, p)| c ^ p).collect();
    assert!(stream == key(DIRECTION, range(32, 32 + 364))[..]);
    let chosen = Message::request(Op::Discard, 7).encode(0).unwrap();
    for shift in 0..stream.len() - 96 {
        let key_start = 32 + shift as u64;
        let header = FrameHeader { key_start, ..first_header(DIRECTION, 64, 0) };
        let mut forged = seal_by_hand(&header, &stream[shift..], &chosen);
        let error = open(&mut b, &mut forged).err();
        assert_eq!(error, Some(FrameError::KeyStart { range: header.key_range() }));
    }
    // The tag of such a frame is right: an end with a grant there would take it.
    let header = FrameHeader { key_start: 32, ..first_header(DIRECTION, 64, 0) };
    let forged = seal_by_hand(&header, &stream, &chosen);
    let genuine = seal_by_hand(&header, &key(DIRECTION, header.key_range()), &chosen);
    assert_eq!(forged, genuine);
}

#[test]
fn frames_follow_each_other_in_a_grant() {
    let (mut a, mut b) = ends_with(&[(512, 4096)]);
    let end = send(&mut a, &mut b, 512, 10).unwrap();
    let at = |start, len: usize| FrameError::KeyStart {
        range: range(start, start + key_bytes_needed(len, 16)),
    };
    for start in [0, 511, 512, end - 1, end + 1, 1024, 4096, u64::MAX - 1000] {
        assert_eq!(send(&mut a, &mut b, start, 10), Err(at(start, 10)));
    }
    let end = send(&mut a, &mut b, end, 10).unwrap();
    // Not a byte beyond the grant; up to its last byte.
    let room = (4096 - end - key_bytes_needed(0, 16)) as usize;
    assert_eq!(send(&mut a, &mut b, end, room + 1), Err(at(end, room + 1)));
    assert_eq!(send(&mut a, &mut b, end, room), Ok(4096));
}

#[test]
fn a_receiver_checks_what_a_sender_did_not() {
    // The sender believes in another grant than the receiver, as after an altered hello.
    let (mut a, mut b) = (bare(End::A), bare(End::B));
    a.granted(DIRECTION, range(0, 1024)).unwrap();
    b.granted(DIRECTION, range(512, 1024)).unwrap();
    assert!(matches!(send(&mut a, &mut b, 0, 10), Err(FrameError::KeyStart { .. })));
}

#[test]
fn no_frame_crosses_into_an_adjoining_grant_and_both_are_used_up() {
    let (mut a, mut b) = ends_with(&[(0, 1024), (1024, 2048)]);
    let end = send(&mut a, &mut b, 0, 500).unwrap();
    assert!(matches!(send(&mut a, &mut b, end, 500), Err(FrameError::KeyStart { .. })));
    let second = send(&mut a, &mut b, 1024, 500).unwrap();
    let end = send(&mut a, &mut b, end, 100).unwrap();
    assert!(send(&mut a, &mut b, second, 100).is_ok());
    assert!(send(&mut a, &mut b, end, 1).is_ok());
}

#[test]
fn grants_are_refused_off_the_step_too_short_overlapping_or_too_many() {
    let mut session = bare(End::A);
    let mut reason = |start, end| match session.granted(DIRECTION, range(start, end)) {
        Err(FrameError::Grant { reason, .. }) => reason,
        _ => "",
    };
    assert_eq!(reason(1, 1024), "it starts at no multiple of 512");
    assert_eq!(reason(256, 1024), "it starts at no multiple of 512");
    assert_eq!(reason(512, 512 + 95), "no frame fits into it");
    assert_eq!(reason(1024, 1024), "no frame fits into it");
    assert_eq!(reason(512, 512 + 1000), "");
    assert_eq!(reason(1024, 2048), "it overlaps another grant of the session");
    assert_eq!(reason(0, 513), "it overlaps another grant of the session");
    // The short grant above is forgotten on the way, and the last place is taken by another.
    for grant in 1..=GRANTS_MAX as u64 {
        assert_eq!(reason(grant * 4096, grant * 4096 + 2048), "");
    }
    assert_eq!(reason(1 << 40, (1 << 40) + 96), "the session has too many grants open");
    // The other direction has its own.
    assert_eq!(session.granted(DIRECTION.reverse(), range(512, 1024)), Ok(()));
}

/// A session may last for any number of leases: what is left of old ones and too short for anything
/// but control is forgotten at both ends alike.
#[test]
fn tails_of_old_grants_are_forgotten_and_new_ones_work_on() {
    let (mut a, mut b) = ends_with(&[(0, 1024)]);
    for grant in 1..3 * GRANTS_MAX as u64 {
        let start = grant * 1024;
        for session in [&mut a, &mut b] {
            session.granted(DIRECTION, range(start, start + 1024)).unwrap();
        }
        send(&mut a, &mut b, start, 500).unwrap();
    }
    assert!(matches!(send(&mut a, &mut b, 0, 100), Err(FrameError::KeyStart { .. })));
}

proptest! {
    #[test]
    fn a_grant_is_cut_to_the_step(
        start in prop_oneof![0u64..5000, u64::MAX - 5000..],
        len in 0u64..5000,
    ) {
        let whole = range(start, start.saturating_add(len));
        let cut = aligned_grant(whole);
        prop_assert!(whole.contains(&cut) && cut.end() == whole.end());
        if cut.is_empty() {
            prop_assert!((start..whole.end()).all(|at| !at.is_multiple_of(512)));
        } else {
            prop_assert!(cut.start().is_multiple_of(512) && cut.start() - start < 512);
        }
    }

    /// Whatever a peer without key tries, positions once spoken for start no frame.
    #[test]
    fn no_start_inside_a_frame(
        lens in prop::collection::vec(1usize..400, 1..6),
        tries in prop::collection::vec(0u64..4096, 20),
    ) {
        let (mut a, mut b) = ends_with(&[(0, 4096)]);
        let mut at = 0;
        for len in lens {
            at = send(&mut a, &mut b, at, len).unwrap();
        }
        for start in tries.into_iter().filter(|start| *start != at) {
            prop_assert!(send(&mut a, &mut b, start, 1).is_err());
        }
        prop_assert!(send(&mut a, &mut b, at, 1).is_ok());
    }
}
