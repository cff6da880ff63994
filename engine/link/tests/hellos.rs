//! Hellos: there and back, and everything else refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::{KeyRange, LinkId};
use warifu_link::SessionId;
use warifu_link::hello::{
    AnswerKind, ClientHello, HelloEcho, HelloError, HelloRefusal, Marks, Nonce, PoolEnds,
    RefusalReason, SERVER_HELLO_BYTES, ServerHello,
};

const CLIENT: ClientHello = ClientHello {
    link: LinkId::from_bytes([1; 16]),
    nonce: Nonce::from_bytes([2; 16]),
    marks: Marks { a_to_b: 1000, b_to_a: 50 },
};

fn server(start: u64) -> ServerHello {
    ServerHello {
        link: CLIENT.link,
        nonce: Nonce::from_bytes([3; 16]),
        marks: Marks { a_to_b: 900, b_to_a: 60 },
        granted: KeyRange::new(start, 512).unwrap(),
        ends: PoolEnds { a_to_b: 1 << 20, b_to_a: 1 << 21 },
    }
}

fn refusal(reason: RefusalReason) -> HelloRefusal {
    HelloRefusal { link: CLIENT.link, nonce: CLIENT.nonce, reason }
}

#[test]
fn a_client_hello_is_laid_out_as_the_format_says() {
    let bytes = CLIENT.encode();
    assert_eq!(&bytes[..8], b"WHLO\x01\x01\x00\x00");
    assert_eq!(&bytes[8..24], &[1; 16]);
    assert_eq!(&bytes[24..40], &[2; 16]);
    assert_eq!(&bytes[40..48], &1000u64.to_le_bytes());
    assert_eq!(&bytes[48..56], &50u64.to_le_bytes());
    assert_eq!(&bytes[56..], &[0; 8]);
    let bytes = server(1024).encode();
    assert_eq!(&bytes[..8], b"WHLO\x01\x02\x00\x00");
    let last = [0u64, 1024, 512, 1 << 20, 1 << 21].map(u64::to_le_bytes);
    assert_eq!(&bytes[56..], last.as_flattened());
    let bytes = refusal(RefusalReason::MarksBeyondPool).encode();
    assert_eq!(&bytes[..8], b"WHLO\x01\x03\x00\x00");
    assert_eq!(&bytes[40..], &[[0u64, 0, 4].map(u64::to_le_bytes)].as_flattened().concat());
}

#[test]
fn an_answer_is_told_by_its_kind() {
    let head: [u8; 64] = server(1024).encode()[..64].try_into().unwrap();
    assert_eq!(AnswerKind::of(&head), Ok(AnswerKind::Willing));
    let refused = refusal(RefusalReason::NoKeyLeft);
    assert_eq!(AnswerKind::of(&refused.encode()), Ok(AnswerKind::Refusal));
    let kind = HelloError::Malformed { field: "kind" };
    assert_eq!(AnswerKind::of(&CLIENT.encode()), Err(kind));
    assert_eq!(HelloRefusal::decode(&CLIENT.encode()), Err(kind));
    assert_eq!(ClientHello::decode(&refused.encode()), Err(kind));
    assert_eq!(ClientHello::decode(&[0; 64]), Err(HelloError::BadMagic));
    let mut newer = CLIENT.encode();
    newer[4] = 2;
    assert_eq!(ClientHello::decode(&newer), Err(HelloError::BadVersion { version: 2 }));
}

#[test]
fn every_reason_round_trips_and_no_other_is_known() {
    for (number, reason) in [
        (1, RefusalReason::UnknownLink),
        (2, RefusalReason::NoKeyLeft),
        (3, RefusalReason::TooManyUnconfirmed),
        (4, RefusalReason::MarksBeyondPool),
    ] {
        let bytes = refusal(reason).encode();
        assert_eq!(bytes[56], number);
        assert_eq!(HelloRefusal::decode(&bytes), Ok(refusal(reason)));
    }
    for number in [0u64, 5, u64::MAX, 1 << 32 | 1] {
        let mut bytes = refusal(RefusalReason::NoKeyLeft).encode();
        bytes[56..].copy_from_slice(&number.to_le_bytes());
        let reason = HelloError::Malformed { field: "reason" };
        assert_eq!(HelloRefusal::decode(&bytes), Err(reason));
    }
}

#[test]
fn a_hello_grant_is_one_step_and_above_both_marks() {
    let with = |start: u64, length: u64| {
        let mut bytes = server(1024).encode();
        bytes[64..72].copy_from_slice(&start.to_le_bytes());
        bytes[72..80].copy_from_slice(&length.to_le_bytes());
        ServerHello::decode(&bytes)
    };
    assert!(with(1024, 512).is_ok());
    let start = Err(HelloError::Malformed { field: "granted start" });
    for bad in [1, 1023, 1024 + 32, 1024 + 480, u64::MAX - 511, u64::MAX] {
        assert_eq!(with(bad, 512), start, "{bad}");
    }
    for bad in [0, 511, 513, 1024, u64::MAX] {
        assert_eq!(with(1024, bad), Err(HelloError::Malformed { field: "granted length" }));
    }
    assert_eq!(server(1024).answers(&CLIENT), Ok(()));
    let below = Err(HelloError::BelowMark { start: 512, mark: 1000 });
    assert_eq!(server(512).answers(&CLIENT), below);
    let behind = ClientHello { marks: Marks { a_to_b: 0, b_to_a: 0 }, ..CLIENT };
    let below = Err(HelloError::BelowMark { start: 512, mark: 900 });
    assert_eq!(server(512).answers(&behind), below);
}

#[test]
fn answers_to_others_are_refused() {
    let other_link = ClientHello { link: LinkId::from_bytes([8; 16]), ..CLIENT };
    let other_nonce = ClientHello { nonce: Nonce::from_bytes([8; 16]), ..CLIENT };
    assert_eq!(server(1024).answers(&other_link), Err(HelloError::WrongLink));
    let refused = refusal(RefusalReason::UnknownLink);
    assert_eq!(refused.answers(&CLIENT), Ok(()));
    assert_eq!(refused.answers(&other_link), Err(HelloError::WrongLink));
    assert_eq!(refused.answers(&other_nonce), Err(HelloError::WrongNonce));
}

#[test]
fn session_and_marks_come_of_both_hellos() {
    let echo = HelloEcho::of(&CLIENT, &server(1024));
    let halves = [[2; 8], [3; 8]].concat().try_into().unwrap();
    assert_eq!(echo.session(), SessionId::from_bytes(halves));
    assert_eq!(echo.marks(), Marks { a_to_b: 1000, b_to_a: 60 });
    let mut nonce = [2; 16];
    nonce[8..].fill(9);
    let other = SessionId::from_nonces(&Nonce::from_bytes(nonce), &Nonce::from_bytes([3; 16]));
    assert_eq!(echo.session(), other, "only the first halves name the session");
    let later = ClientHello { nonce: Nonce::from_bytes(nonce), ..CLIENT };
    assert_ne!(HelloEcho::of(&later, &server(1024)), echo, "all of the nonces is echoed");
}

proptest! {
    #[test]
    fn any_bytes_are_read_one_way_only(
        bytes in prop::collection::vec(any::<u8>(), SERVER_HELLO_BYTES),
        kind in 0u8..5,
    ) {
        let mut bytes: [u8; SERVER_HELLO_BYTES] = bytes.try_into().unwrap();
        for framed in [false, true] {
            if framed {
                bytes[..8].copy_from_slice(&[b'W', b'H', b'L', b'O', 1, kind, 0, 0]);
                if kind < 3 {
                    bytes[56..64].fill(0);
                }
            }
            let head: [u8; 64] = bytes[..64].try_into().unwrap();
            let _ = AnswerKind::of(&head);
            if let Ok(hello) = ClientHello::decode(&head) {
                prop_assert_eq!(hello.encode(), head);
            }
            if let Ok(hello) = ServerHello::decode(&bytes) {
                prop_assert_eq!(hello.encode(), bytes);
            }
            if let Ok(refusal) = HelloRefusal::decode(&head) {
                prop_assert_eq!(refusal.encode(), head);
            }
            prop_assert_eq!(framed && kind == 1, ClientHello::decode(&head).is_ok());
        }
    }

    #[test]
    fn server_hellos_round_trip(
        link: [u8; 16],
        nonce: [u8; 16],
        marks: [u64; 2],
        ends: [u64; 2],
        cell in 0..u64::MAX / 512,
    ) {
        let hello = ServerHello {
            link: LinkId::from_bytes(link),
            nonce: Nonce::from_bytes(nonce),
            marks: Marks { a_to_b: marks[0], b_to_a: marks[1] },
            granted: KeyRange::new(cell * 512, 512).unwrap(),
            ends: PoolEnds { a_to_b: ends[0], b_to_a: ends[1] },
        };
        prop_assert_eq!(ServerHello::decode(&hello.encode()), Ok(hello));
    }
}
