//! Real sockets on the loopback interface.

#![expect(clippy::unwrap_used, reason = "what sets a test up fails the test by panicking")]

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use warifu_backend::{Transport, TransportError};
use warifu_remote::{Listener, TcpTransport, Timeouts};

const SHORT: Duration = Duration::from_millis(50);

/// Far more than any of these tests needs, so that passing it means hanging.
const HANGING: Duration = Duration::from_secs(20);

fn pair_with(timeouts: Timeouts) -> (TcpTransport, TcpTransport) {
    let listener = Listener::bind("127.0.0.1:0").unwrap().with_timeouts(timeouts);
    let address = listener.local_addr().unwrap();
    let client = TcpTransport::connect(&address.to_string(), timeouts).unwrap();
    let (server, peer) = listener.accept().unwrap().unwrap();
    assert!(peer.ip().is_loopback());
    (client, server)
}

fn pair() -> (TcpTransport, TcpTransport) {
    pair_with(Timeouts::default())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

#[test]
fn parts_arrive_as_one_run_in_both_directions() {
    let (mut client, mut server) = pair();
    client.send(&[b"", b"head", b"", b"body", b""]).unwrap();
    client.send(&[]).unwrap();
    client.send(&[b"", b""]).unwrap();
    let mut target = [0; 8];
    server.receive(&mut target[..3]).unwrap();
    server.receive(&mut target[3..]).unwrap();
    assert_eq!(&target, b"headbody");
    server.send(&[b"ok"]).unwrap();
    client.receive(&mut target[..2]).unwrap();
    client.receive(&mut []).unwrap();
    assert_eq!(&target[..2], b"ok");
}

#[test]
fn many_parts_of_many_megabytes_arrive_whole() {
    let (mut client, mut server) = pair();
    let sent = pattern(24 << 20);
    // More parts than one system call takes (1024), and then parts larger than any buffer.
    let (small, large) = sent.split_at(4 << 20);
    let mut parts: Vec<&[u8]> = small.chunks(1_000).collect();
    parts.extend(large.chunks(7 << 20));
    let mut received = vec![0; sent.len()];
    thread::scope(|scope| {
        scope.spawn(|| client.send(&parts).unwrap());
        server.receive(&mut received).unwrap();
    });
    assert!(sent == received);
}

#[test]
fn an_end_that_goes_is_closed_after_what_it_sent() {
    let (mut client, mut server) = pair();
    client.send(&[b"last"]).unwrap();
    drop(client);
    let mut target = [0; 4];
    server.receive(&mut target).unwrap();
    assert_eq!(&target, b"last");
    assert!(matches!(server.receive(&mut target), Err(TransportError::Closed)));
    assert!(matches!(server.send(&[b"x"]), Err(TransportError::Closed)));
}

#[test]
fn a_stream_cut_short_is_closed() {
    let (mut client, mut server) = pair();
    client.send(&[b"abc"]).unwrap();
    drop(client);
    assert!(matches!(server.receive(&mut [0; 4]), Err(TransportError::Closed)));
}

#[test]
fn sending_to_an_end_that_is_gone_fails_in_the_end() {
    let (mut client, server) = pair();
    drop(server);
    let bytes = vec![0; 1 << 20];
    let failed = (0..64).any(|_| matches!(client.send(&[&bytes]), Err(TransportError::Closed)));
    assert!(failed);
}

#[test]
fn a_silent_peer_times_out_and_the_connection_is_spent() {
    let (mut client, mut server) = pair_with(Timeouts { read: SHORT, ..Timeouts::default() });
    client.send(&[b"ab"]).unwrap();
    let start = Instant::now();
    assert!(matches!(server.receive(&mut [0; 3]), Err(TransportError::TimedOut)));
    assert!(start.elapsed() >= SHORT && start.elapsed() < HANGING);
    client.send(&[b"c"]).unwrap();
    assert!(matches!(server.receive(&mut [0; 1]), Err(TransportError::Closed)));
}

#[test]
fn a_peer_that_does_not_read_times_out() {
    let (mut client, _server) = pair_with(Timeouts { write: SHORT, ..Timeouts::default() });
    let bytes = vec![0; 64 << 20];
    let start = Instant::now();
    assert!(matches!(client.send(&[&bytes]), Err(TransportError::TimedOut)));
    assert!(start.elapsed() < HANGING);
}

#[test]
fn a_deadline_ends_a_peer_that_trickles() {
    let (mut client, mut server) = pair();
    server.set_deadline(Some(Instant::now() + SHORT * 4));
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(5)).is_err() {
                if client.send(&[b"x"]).is_err() {
                    return;
                }
            }
        });
        let start = Instant::now();
        let outcome = server.receive(&mut vec![0; 1 << 20]);
        assert!(matches!(outcome, Err(TransportError::TimedOut)), "{outcome:?}");
        assert!(start.elapsed() < HANGING);
        stop.send(()).unwrap();
    });
}

#[test]
fn a_deadline_can_be_lifted_and_a_past_one_lets_nothing_through() {
    let (mut client, mut server) = pair();
    server.set_deadline(Some(Instant::now() + HANGING));
    client.send(&[b"a"]).unwrap();
    server.receive(&mut [0; 1]).unwrap();
    server.set_deadline(None);
    client.send(&[b"b"]).unwrap();
    server.receive(&mut [0; 1]).unwrap();
    client.set_deadline(Some(Instant::now()));
    assert!(matches!(client.send(&[b"c"]), Err(TransportError::TimedOut)));
    drop(client);
    assert!(matches!(server.receive(&mut [0; 1]), Err(TransportError::Closed)));
}

#[test]
fn nobody_listens_and_nobody_is_known() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let refused = TcpTransport::connect(&address, Timeouts::default());
    assert!(matches!(refused, Err(TransportError::Io { what: "connect", .. })), "{refused:?}");
    for bad in ["", "127.0.0.1", "127.0.0.1:99999", ":", "127.0.0.1:x"] {
        let outcome = TcpTransport::connect(bad, Timeouts::default());
        assert!(matches!(outcome, Err(TransportError::Io { .. })), "{bad:?}: {outcome:?}");
    }
    let no_time = Timeouts { connect: Duration::ZERO, ..Timeouts::default() };
    let outcome = TcpTransport::connect(&address, no_time);
    assert!(matches!(outcome, Err(TransportError::TimedOut)), "{outcome:?}");
}

#[test]
fn an_address_in_use_is_refused() {
    let first = Listener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap().to_string();
    let second = Listener::bind(&address);
    assert!(matches!(second, Err(TransportError::Io { what: "listen", .. })), "{second:?}");
}

#[test]
fn stop_wakes_all_who_wait_and_stays() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let stopper = listener.stopper();
    thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..4).map(|_| scope.spawn(|| listener.accept().unwrap().is_none())).collect();
        stopper.clone().stop();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    });
    stopper.stop();
    let _waits_in_vain = TcpStream::connect(listener.local_addr().unwrap());
    assert!(listener.accept().unwrap().is_none());
}

#[test]
fn a_stopped_listener_keeps_what_it_accepted() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = TcpTransport::connect(&address, Timeouts::default()).unwrap();
    let (mut server, _) = listener.accept().unwrap().unwrap();
    listener.stopper().stop();
    drop(listener);
    client.send(&[b"still"]).unwrap();
    let mut target = [0; 5];
    server.receive(&mut target).unwrap();
    assert_eq!(&target, b"still");
}

#[test]
fn two_accept_at_once_and_each_client_is_served_once() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::scope(|scope| {
        let serve = || {
            let mut served = 0;
            while let Some((mut server, _)) = listener.accept().unwrap() {
                server.send(&[b"hi"]).unwrap();
                served += 1;
            }
            served
        };
        let servers = [scope.spawn(serve), scope.spawn(serve)];
        for _ in 0..20 {
            let mut client = TcpTransport::connect(&address, Timeouts::default()).unwrap();
            client.receive(&mut [0; 2]).unwrap();
        }
        listener.stopper().stop();
        servers.map(|server| server.join().unwrap()).iter().sum::<u32>()
    });
    assert_eq!(served, 20);
}
