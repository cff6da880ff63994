//! Message headers and bodies: there and back, and everything else refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::id::Incarnation;
use warifu_core::{KeyRange, ObjectId, RangeSet, Threshold, XCoord};
use warifu_link::body::{
    ATTEMPTS_MAX, Adopt, Attempt, Checkpoint, Commit, Compared, Confirm, Confirmed, Grant,
    HELD_RUNS_MAX, HeldRun, Offer, Offered, RELEASED_RANGES_MAX, Release, SHARE_STATS_MAX,
    ShareStat, TOKENS_BYTES_MAX, Witness, decode_failure_text, decode_individual, decode_reason,
    decode_site_name, decode_tokens, encode_tokens, failure_text,
};
use warifu_link::hello::{HelloEcho, Marks, Nonce, PoolEnds};
use warifu_link::message::BODY_BYTES_MAX;
use warifu_link::{Message, MessageError, Op, ShareClass, Status};

fn message(op: Op, reply: bool) -> impl Strategy<Value = Message> {
    let address = (any::<[u8; 16]>(), any::<u8>(), 0u8..3, any::<u32>(), any::<u64>());
    (address, any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
        move |((object, x, class, attempt, index), argument0, argument1, request)| Message {
            op,
            reply,
            status: Status::Done,
            object: ObjectId::from_bytes(object),
            x: XCoord::new(x),
            class: ShareClass::from_number(class).unwrap(),
            attempt,
            index,
            argument0,
            argument1,
            request,
        },
    )
}

fn any_message() -> impl Strategy<Value = (Message, usize)> {
    (prop::sample::select(Op::ALL), any::<bool>(), prop::sample::select(Status::ALL), 0usize..300)
        .prop_flat_map(|(op, reply, status, len)| {
            message(op, reply).prop_map(move |message| {
                let status = if reply { status } else { Status::Done };
                let stores = op == Op::Store && !reply;
                let argument0 = if stores { len as u64 } else { message.argument0 };
                (Message { status, argument0, ..message }, len)
            })
        })
}

proptest! {
    #[test]
    fn headers_round_trip((message, len) in any_message()) {
        if let Ok(bytes) = message.encode(len) {
            prop_assert_eq!(Message::decode(&bytes), Ok((message, len)));
        }
    }

    #[test]
    fn headers_are_read_one_way_only((message, len) in any_message(), at in 0usize..64, byte: u8) {
        if let Ok(mut bytes) = message.encode(len) {
            bytes[at] = byte;
            if let Ok((changed, len)) = Message::decode(&bytes) {
                prop_assert_eq!(changed.encode(len), Ok(bytes));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        fn same<T>(body: &[u8], read: Result<T, MessageError>, put: impl Fn(&T, &mut Vec<u8>)) {
            if let Ok(value) = read {
                let mut again = Vec::new();
                put(&value, &mut again);
                assert_eq!(again, body);
            }
        }
        for len in [8, 16, 24, 44, 48, 88, 104, 112, 144, body.len()] {
            let Some(body) = body.get(..len) else { continue };
            same(body, Confirm::decode(body), Confirm::encode);
            same(body, Confirmed::decode(body), Confirmed::encode);
            same(body, Grant::decode(body), Grant::encode);
            same(body, Commit::decode(body), Commit::encode);
            same(body, Witness::decode(body), Witness::encode);
            same(body, ShareStat::decode_all(body), |all, target| {
                all.iter().for_each(|stat| stat.encode(target));
            });
            same(body, HeldRun::decode_all(body), |all, target| {
                all.iter().for_each(|run| run.encode(target));
            });
            same(body, Offer::decode(body), Offer::encode);
            same(body, Offered::decode(body), Offered::encode);
            same(body, Compared::decode(body), Compared::encode);
            same(body, Adopt::decode(body), Adopt::encode);
            same(body, Checkpoint::decode(body), |shown, target| {
                shown.iter().for_each(|shown| shown.encode(target));
            });
            same(body, decode_tokens(body), |tokens, target| {
                target.extend(encode_tokens(tokens).unwrap());
            });
            let _ = (decode_individual(body), decode_reason(body));
            let _ = (Release::decode(body), decode_failure_text(body), decode_site_name(body));
        }
        if let Some(head) = body.first_chunk() {
            let _ = Message::decode(head);
        }
    }

    #[test]
    fn confirms_round_trip(
        nonces: [[u8; 16]; 2],
        marks: [u64; 4],
        ends: [u64; 2],
        who: ([u8; 16], u64),
        start in 0..1u64 << 63,
        len in 0..1u64 << 63,
        wanted_bytes: u64,
    ) {
        let (incarnation, epoch) = (Incarnation::from_bytes(who.0), who.1);
        let echo = HelloEcho {
            client_nonce: Nonce::from_bytes(nonces[0]),
            server_nonce: Nonce::from_bytes(nonces[1]),
            client_marks: Marks { a_to_b: marks[0], b_to_a: marks[1] },
            server_marks: Marks { a_to_b: marks[2], b_to_a: marks[3] },
            server_ends: PoolEnds { a_to_b: ends[0], b_to_a: ends[1] },
        };
        let range = KeyRange::new(start, len).unwrap();
        let confirm = Confirm { echo, epoch, incarnation, offered: range, wanted_bytes };
        let mut body = Vec::new();
        confirm.encode(&mut body);
        prop_assert_eq!(body.len(), 128);
        prop_assert_eq!(&body[..16], &nonces[0]);
        prop_assert_eq!(&body[48..56], &marks[2].to_le_bytes());
        prop_assert_eq!(&body[64..72], &ends[0].to_le_bytes());
        prop_assert_eq!(&body[120..], &wanted_bytes.to_le_bytes());
        prop_assert_eq!(Confirm::decode(&body), Ok(confirm));
        prop_assert!(Confirm::decode(&body[..127]).is_err());

        let confirmed = Confirmed { echo, epoch, incarnation, granted: range };
        let mut body = Vec::new();
        confirmed.encode(&mut body);
        prop_assert_eq!(body.len(), 120);
        prop_assert_eq!(Confirmed::decode(&body), Ok(confirmed));
        prop_assert!(Confirmed::decode(&[body, vec![0]].concat()).is_err());
    }

    #[test]
    fn releases_round_trip(ranges in prop::collection::vec((0u64..10_000, 1u64..50), 0..40)) {
        let unused: RangeSet =
            ranges.into_iter().filter_map(|(start, len)| KeyRange::new(start, len)).collect();
        let release = Release { unused };
        let mut body = Vec::new();
        release.encode(&mut body);
        prop_assert_eq!(Release::decode(&body), Ok(release));
    }

    #[test]
    fn commits_and_stats_round_trip(
        [head, verdict, masks]: [u32; 3],
        chunks in prop::collection::btree_map(any::<u64>(), 1u32.., 0..20),
        n in 2u32..=255,
        flags: [bool; 2],
    ) {
        let attempts: Vec<_> =
            chunks.into_iter().map(|(chunk, attempt)| Attempt { chunk, attempt }).collect();
        let commit = Commit { head_bytes: head, verdict_bytes: verdict, attempts };
        let mut body = Vec::new();
        commit.encode(&mut body);
        prop_assert_eq!(Commit::decode(&body), Ok(commit));

        let stat = ShareStat {
            object: ObjectId::from_bytes([7; 16]),
            x: XCoord::new(n as u8).unwrap(),
            threshold: Threshold::new(2, n).unwrap(),
            computed: flags[0],
            committed: flags[1],
            payload_bytes: 1 << 40,
            masks,
            head_bytes: head,
            verdict_bytes: verdict,
        };
        let mut body = Vec::new();
        stat.encode(&mut body);
        stat.encode(&mut body);
        prop_assert_eq!(body.len(), 88);
        prop_assert_eq!(ShareStat::decode_all(&body), Ok(vec![stat, stat]));
        for (at, byte) in [(16, 0), (17, 1), (18, 1), (19, 2), (20, 2), (21, 1), (23, 1), (29, 2)] {
            let mut wrong = body.clone();
            wrong[at] = byte;
            prop_assert!(ShareStat::decode_all(&wrong).is_err(), "byte {}", at);
        }
    }
}

#[test]
fn every_number_is_the_one_of_the_format() {
    let numbers: Vec<u16> = Op::ALL.iter().map(|op| op.number()).collect();
    assert_eq!(numbers, (1..=31).collect::<Vec<_>>());
    let numbers: Vec<u16> = Status::ALL.iter().map(|status| status.number()).collect();
    assert_eq!(numbers, (0..=10).collect::<Vec<_>>());
    for number in [0, 32, 0x7FFF] {
        assert_eq!(Op::from_number(number), None);
        let mut bytes = Message::request(Op::Ping, 0).encode(0).unwrap();
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        assert_eq!(Message::decode(&bytes), Err(MessageError::UnknownOp { op: number }));
    }
}

#[test]
fn bodies_have_the_lengths_of_the_format_and_no_other() {
    const CHUNK: usize = 1 << 20;
    let cases = [
        (Op::Confirm, 128..=128, 120..=120),
        (Op::Lease, 16..=16, 16..=16),
        (Op::Release, 0..=65_536, 0..=65_536),
        (Op::Begin, 0..=0, 0..=HELD_RUNS_MAX * 24),
        (Op::Store, 1..=CHUNK, 0..=0),
        (Op::Keep, 0..=0, 16..=16),
        (Op::Commit, 8..=BODY_BYTES_MAX, 0..=0),
        (Op::Read, 0..=0, 17..=16 + CHUNK),
        (Op::Stat, 0..=0, 0..=BODY_BYTES_MAX),
        (Op::Discard, 0..=0, 0..=0),
        (Op::Ping, 0..=0, 1..=64),
        (Op::Witness, 8..=8, 16..=16),
        (Op::Offer, 32..=CHUNK, 24..=24 + 256),
        (Op::Compare, 0..=0, 24..=24),
        (Op::Adopt, 24..=24, 0..=0),
        (Op::Withdraw, 0..=0, 0..=0),
        (Op::Bind, 1..=TOKENS_BYTES_MAX, 0..=256),
        (Op::Own, 1..=64 + 255 * 68, 0..=0),
        (Op::Challenge, 0..=0, 32..=32),
        (Op::Present, 1..=TOKENS_BYTES_MAX, 0..=0),
        (Op::Find, 16..=16, 0..=256 * 44),
        (Op::Revoke, 1..=65_536, 0..=0),
        (Op::Contact, 0..=144, 0..=64 * 144),
        (Op::Forget, 1..=1024, 0..=0),
        (Op::Hold, 1..=1024, 0..=0),
        (Op::Expect, 33..=159 + 255 * 66, 0..=0),
        (Op::Work, 33..=159 + 255 * 66, 0..=0),
        (Op::Blind, 33..=159 + 255 * 66, 0..=0),
        (Op::Contribute, 1..=CHUNK, 0..=0),
        (Op::Proceed, 16..=16, 0..=0),
        (Op::Collect, 0..=0, 1..=CHUNK),
    ];
    assert_eq!(cases.len(), Op::ALL.len());
    for (op, asked, answered) in cases {
        for (reply, lengths) in [(false, asked), (true, answered)] {
            let (low, high) = (*lengths.start(), *lengths.end());
            for len in [0, 1, low.saturating_sub(1), low, high, high + 1, u32::MAX as usize + low] {
                let message = Message { reply, argument0: len as u64, ..Message::request(op, 1) };
                let fits = lengths.contains(&len);
                assert_eq!(message.encode(len).is_ok(), fits, "{op:?} {reply} {len}");
            }
        }
        let failed = Message::request(op, 1).answer(Status::Refused);
        assert!(failed.encode(256).is_ok() && failed.encode(257).is_err());
    }
    let capsule = Message { class: ShareClass::Capsule, ..Message::request(Op::Read, 1) };
    let capsule = capsule.answer(Status::Done);
    assert!(capsule.encode(CHUNK).is_ok() && capsule.encode(CHUNK + 1).is_err());
}

#[test]
fn what_a_frame_keeps_follows_from_its_message() {
    let keep = Message { argument0: 4096, ..Message::request(Op::Keep, 1) };
    assert_eq!(keep.kept_bytes(), Some(4096 + 32));
    assert_eq!(Message { argument0: 1 << 20, ..keep }.kept_bytes(), Some((1 << 20) + 32));
    assert_eq!(Message { argument0: (1 << 20) + 1, ..keep }.kept_bytes(), None);
    assert_eq!(Message { argument0: u64::MAX, ..keep }.kept_bytes(), None);
    assert_eq!(keep.answer(Status::Done).kept_bytes(), Some(0));
    let store = Message::request(Op::Store, 1);
    assert_eq!(store.kept_bytes(), Some(16));
    assert_eq!(Message { class: ShareClass::Mask, ..store }.kept_bytes(), Some(16));
    assert_eq!(Message { class: ShareClass::Capsule, ..store }.kept_bytes(), Some(0));
    assert_eq!(Message::request(Op::Ping, 1).kept_bytes(), Some(0));
}

#[test]
fn lists_are_refused_out_of_order_empty_cut_or_too_long() {
    let list = |ranges: &[(u64, u64)]| -> Vec<u8> {
        ranges.iter().flat_map(|(s, e)| [s.to_le_bytes(), e.to_le_bytes()].concat()).collect()
    };
    assert!(Release::decode(&list(&[(0, 5), (5, 9), (20, u64::MAX)])).is_ok());
    for bad in [&[(5, 5)][..], &[(6, 5)], &[(0, 5), (4, 9)], &[(10, 20), (0, 5)]] {
        assert!(Release::decode(&list(bad)).is_err(), "{bad:?}");
    }
    assert!(Release::decode(&list(&[(0, 5)])[..15]).is_err());
    let many: Vec<_> = (0..=RELEASED_RANGES_MAX as u64).map(|i| (2 * i, 2 * i + 1)).collect();
    assert!(Release::decode(&list(&many)).is_err());
    assert!(Release::decode(&list(&many[1..])).is_ok());
    let unused = many.iter().map(|(s, e)| KeyRange::between(*s, *e)).collect();
    let mut body = Vec::new();
    Release { unused }.encode(&mut body);
    assert!(body == list(&many[..RELEASED_RANGES_MAX]), "the rest goes unused");

    let commit = |attempts: &[(u64, u32)]| {
        let attempts =
            attempts.iter().map(|&(chunk, attempt)| Attempt { chunk, attempt }).collect();
        let mut body = Vec::new();
        Commit { head_bytes: 1, verdict_bytes: 2, attempts }.encode(&mut body);
        Commit::decode(&body).is_ok()
    };
    assert!(commit(&[(0, 1), (7, 2)]));
    assert!(!commit(&[(0, 1), (0, 2)]) && !commit(&[(7, 1), (0, 2)]) && !commit(&[(7, 0)]));
    assert!(Commit::decode(&[0; 7]).is_err() && Commit::decode(&[0; 19]).is_err());
    assert_eq!((BODY_BYTES_MAX - 8) / 12, ATTEMPTS_MAX);
    assert_eq!(BODY_BYTES_MAX / 44, SHARE_STATS_MAX);
    let runs = |runs: &[(u8, u64, u64)]| {
        let mut body = Vec::new();
        for &(class, start, end) in runs {
            let class = ShareClass::from_number(class).unwrap();
            HeldRun { class, attempt: 7, start, end }.encode(&mut body);
        }
        HeldRun::decode_all(&body).is_ok()
    };
    assert!(runs(&[(0, 0, 5), (0, 5, 6), (0, 9, u64::MAX), (1, 0, 1), (2, 0, 3)]));
    assert!(!runs(&[(0, 5, 5)]) && !runs(&[(0, 6, 5)]) && !runs(&[(0, 0, 5), (0, 4, 6)]));
    assert!(!runs(&[(1, 0, 1), (0, 0, 1)]) && HeldRun::decode_all(&[0; 23]).is_err());
    assert!(HeldRun::decode_all(&vec![0; 24 * (HELD_RUNS_MAX + 1)]).is_err());
    assert!(ShareStat::decode_all(&vec![1; 44 * (SHARE_STATS_MAX + 1)]).is_err());
}

#[test]
fn ranges_beyond_the_last_position_are_refused() {
    let body = [u64::MAX.to_le_bytes(), 1u64.to_le_bytes()].concat();
    assert_eq!(Grant::decode(&body), Err(MessageError::Malformed { field: "range" }));
    let mut confirm = vec![0; 128];
    confirm[104..120].copy_from_slice(&body);
    assert_eq!(Confirm::decode(&confirm), Err(MessageError::Malformed { field: "range" }));
}

#[test]
fn texts_and_names_are_short_and_whole() {
    let long = "é".repeat(200);
    assert_eq!(failure_text(&long).len(), 256);
    assert_eq!(failure_text(&format!("x{long}")).len(), 255);
    assert_eq!(failure_text("no"), "no");
    assert_eq!(decode_failure_text("é".as_bytes()), Ok("é"));
    assert!(decode_failure_text(&[0xC3]).is_err() && decode_failure_text(&[b'a'; 257]).is_err());
    assert_eq!(decode_site_name(b"sendai-2").unwrap().as_str(), "sendai-2");
    for bad in [&b""[..], b"../x", b"UP", &[0xFF], &[b'a'; 65]] {
        assert!(decode_site_name(bad).is_err());
    }
}

#[test]
fn statements_come_one_a_line_and_nothing_else() {
    let long = "a".repeat(65_536);
    let eight = ["e30.e30.x-_", "b", "c", "d", "e", "f", "g", long.as_str()];
    let body = encode_tokens(&eight).unwrap();
    assert_eq!(&body[..14], b"e30.e30.x-_\nb\n");
    assert_eq!(decode_tokens(&body).unwrap(), eight);
    let too_long = "a".repeat(65_537);
    let nine = ["x"; 9];
    for bad in [&[][..], &[""], &["a", ""], &["a b"], &["a\nb"], &["é"], &[&too_long], &nine] {
        assert!(encode_tokens(bad).is_err(), "{bad:.20?}");
    }
    for bad in [&b""[..], b"\n", b"a\n", b"\na", b"a\n\nb", b"a\r\nb", b"\0", &[0xFF]] {
        assert!(decode_tokens(bad).is_err(), "{bad:?}");
    }
    assert!(decode_tokens(&b"x\n".repeat(8)[..15]).is_ok());
    assert!(decode_tokens(&b"x\n".repeat(9)[..17]).is_err());
}

#[test]
fn who_why_and_how_far_are_read_whole_or_not_at_all() {
    assert_eq!(decode_individual(b"P1").unwrap().as_str(), "P1");
    for bad in [&b""[..], b"P 1", b"../x", &[0xFF], &[b'a'; 65]] {
        assert!(decode_individual(bad).is_err(), "{bad:?}");
    }
    assert_eq!(decode_reason("雨".as_bytes()), Ok("雨"));
    for bad in [&b""[..], b"a\nb", b"\x1b[2J", &[0xC3], &[b'a'; 1025]] {
        assert!(decode_reason(bad).is_err(), "{bad:.20?}");
    }
    let shown = Checkpoint {
        entries: 0x0102_0304,
        chain: [7; 32],
        at_unix_s: 5,
        signature: [8; 64],
        public_key: [9; 32],
    };
    let mut body = Vec::new();
    shown.encode(&mut body);
    assert_eq!(body[..8], [4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!((body[8..40] == [7; 32], body[40], body[48], body[143]), (true, 5, 8, 9));
    assert_eq!(Checkpoint::decode(&body), Ok(Some(shown)));
    assert_eq!(Checkpoint::decode(&[]), Ok(None));
    assert_eq!(Checkpoint::decode_all(&body.repeat(64)).unwrap(), [shown; 64]);
    assert!(Checkpoint::decode_all(&body.repeat(65)).is_err());
    assert!(
        Checkpoint::decode(&body[..143]).is_err() && Checkpoint::decode_all(&body[1..]).is_err()
    );
    assert!(Checkpoint::decode(&[body, vec![0]].concat()).is_err());
}
