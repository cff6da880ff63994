//! The opening of a connection from first hello to first lease, and what an attacker in the
//! middle makes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;

use ends::{LINK, body, open, range, seal_pad, store};
use warifu_core::direction::{Direction, End};
use warifu_core::id::Incarnation;
use warifu_kernels::Isa;
use warifu_link::body::{CONFIRM_BYTES, CONFIRMED_BYTES, Confirm, Confirmed};
use warifu_link::hello::{
    ClientHello, HELLO_GRANT_BYTES, HelloEcho, HelloError, Marks, Nonce, PoolEnds, ServerHello,
};
use warifu_link::{FrameError, Message, Op, Session, Status, key_bytes_needed};

fn hellos(client_nonce: u8) -> (ClientHello, ServerHello) {
    let client = ClientHello {
        link: LINK,
        nonce: Nonce::from_bytes([client_nonce; 16]),
        marks: Marks { a_to_b: 3000, b_to_a: 0 },
    };
    let server = ServerHello {
        link: LINK,
        nonce: Nonce::from_bytes([0xB0; 16]),
        marks: Marks { a_to_b: 2000, b_to_a: 100 },
        granted: range(3072, 3584),
        ends: PoolEnds { a_to_b: 1 << 20, b_to_a: 1 << 20 },
    };
    (client, server)
}

fn session(end: End, echo: &HelloEcho, granted: warifu_core::KeyRange) -> Session {
    let mut session = Session::new(Isa::best(), LINK, end, echo.session());
    session.granted(Direction::AToB, granted).unwrap();
    session
}

fn confirm_frame(a: &mut Session, echo: HelloEcho, start: u64) -> Vec<u8> {
    let incarnation = Incarnation::from_bytes([0xA0; 16]);
    let offered = range(512, 4096);
    let mut ask = Vec::new();
    Confirm { echo, epoch: 4, incarnation, offered, wanted_bytes: 1 << 20 }.encode(&mut ask);
    let pad = seal_pad(Direction::AToB, start, key_bytes_needed(CONFIRM_BYTES, 0));
    a.seal_message(pad, &Message::request(Op::Confirm, 0), &ask, 0).unwrap().0.to_vec()
}

#[test]
fn two_ends_meet_and_go_on() {
    let (client, server) = hellos(0xA1);
    let client = ClientHello::decode(&client.encode()).unwrap();
    let server = ServerHello::decode(&server.encode()).unwrap();
    server.answers(&client).unwrap();
    let echo = HelloEcho::of(&client, &server);
    let mut a = session(End::A, &echo, server.granted);
    let mut b = session(End::B, &echo, server.granted);
    assert!(key_bytes_needed(CONFIRM_BYTES, 0) <= HELLO_GRANT_BYTES);

    let mut frame = confirm_frame(&mut a, echo, server.granted.start());
    let (asked, _) = open(&mut b, &mut frame).unwrap();
    let confirm = Confirm::decode(body(&frame)).unwrap();
    assert_eq!(confirm.echo, echo);
    a.granted(Direction::BToA, confirm.offered).unwrap();
    b.granted(Direction::BToA, confirm.offered).unwrap();

    let granted = range(3584, 1 << 20);
    b.granted(Direction::AToB, granted).unwrap();
    let incarnation = Incarnation::from_bytes([0xB1; 16]);
    let mut answer = Vec::new();
    Confirmed { echo, epoch: 9, incarnation, granted }.encode(&mut answer);
    let pad = seal_pad(Direction::BToA, 512, key_bytes_needed(CONFIRMED_BYTES, 0));
    let (mut frame, _) = b.seal_message(pad, &asked.answer(Status::Done), &answer, 0).unwrap();
    open(&mut a, &mut frame).unwrap();
    let confirmed = Confirmed::decode(body(&frame)).unwrap();
    assert_eq!(confirmed.echo, echo);
    a.granted(Direction::AToB, confirmed.granted).unwrap();

    let pad = seal_pad(Direction::AToB, 3584, key_bytes_needed(10_000, 16));
    let (mut frame, _) = a.seal_message(pad, &store(10_000), &[3; 10_000], 16).unwrap();
    assert!(open(&mut b, &mut frame).is_ok());
}

#[test]
fn altered_hellos_are_found_by_the_first_frame() {
    let (client, server) = hellos(0xA1);
    // The marks that end B got are not those that end A sent.
    let altered = ClientHello { marks: Marks { a_to_b: 3072, b_to_a: 1 << 50 }, ..client };
    let (sent, got) = (HelloEcho::of(&client, &server), HelloEcho::of(&altered, &server));
    let mut a = session(End::A, &sent, server.granted);
    let mut b = session(End::B, &got, server.granted);
    let mut frame = confirm_frame(&mut a, sent, server.granted.start());
    open(&mut b, &mut frame).unwrap();
    assert_ne!(Confirm::decode(body(&frame)).unwrap().echo, got);
    // Nor is the end of its key what it sent.
    let altered = PoolEnds { b_to_a: 1 << 30, ..server.ends };
    assert_ne!(HelloEcho::of(&client, &ServerHello { ends: altered, ..server }), sent);

    // A nonce altered in its first half makes another session; in its second, another echo.
    let other = HelloEcho { client_nonce: Nonce::from_bytes([0xA2; 16]), ..sent };
    let mut b = session(End::B, &other, server.granted);
    let mut a = session(End::A, &sent, server.granted);
    let mut frame = confirm_frame(&mut a, sent, server.granted.start());
    assert_eq!(open(&mut b, &mut frame).err(), Some(FrameError::WrongSession));
}

#[test]
fn a_confirm_of_an_earlier_connection_confirms_nothing() {
    let (client, server) = hellos(0xA1);
    let echo = HelloEcho::of(&client, &server);
    let frame = confirm_frame(&mut session(End::A, &echo, server.granted), echo, 3072);
    let (later, server) = hellos(0xA7);
    let mut b = session(End::B, &HelloEcho::of(&later, &server), server.granted);
    assert_eq!(open(&mut b, &mut frame.clone()).err(), Some(FrameError::WrongSession));
}

/// The hello is public, so an attacker can name another start to end A. Off the step it is
/// refused; on it, the confirming frame lies in one cell of 512 positions, so that the only
/// position in its range at which end B lets any frame of any session start is its own first.
#[test]
fn a_moved_hello_grant_exposes_no_start() {
    let (client, server) = hellos(0xA1);
    for moved in [3072 + 32, 3072 - 32, 3072 + 511, 3584 - 208] {
        let moved = ServerHello { granted: range(moved, moved + 512), ..server };
        let field = HelloError::Malformed { field: "granted start" };
        assert_eq!(ServerHello::decode(&moved.encode()), Err(field));
    }
    let moved = ServerHello { granted: range(3584, 4096), ..server };
    let moved = ServerHello::decode(&moved.encode()).unwrap();
    let echo = HelloEcho::of(&client, &server);
    let mut a = session(End::A, &echo, moved.granted);
    let mut b = session(End::B, &echo, server.granted);
    let mut frame = confirm_frame(&mut a, echo, 3584);
    assert!(matches!(open(&mut b, &mut frame).err(), Some(FrameError::KeyStart { .. })));
}
