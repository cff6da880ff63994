//! The share that was completed first counts as the first, whatever else asks for a commit.

use crate::field::*;
use std::sync::Barrier;
use warifu_core::Role;
use warifu_link::Status;
use warifu_link::body::Holder;
use warifu_pipeline::peer::{Peer, ShareAddress};

/// Connections that ask late for what another one completes.
const LATE: usize = 4;

/// A new object of P1's, and where its shares are to lie.
fn owned(peer: &mut Peer) -> ShareAddress {
    let address = new_address();
    let holders = [Holder { x: address.x, site: name("s") }];
    peer.own(address.object, &named("P1"), &holders).unwrap();
    address
}

fn is_first(field: &Field, address: ShareAddress) -> bool {
    let register = field.site_vault().register().unwrap();
    register.is_first(field.link(OURS), address.object).unwrap()
}

#[test]
fn commits_at_once_leave_the_first_share_the_first() {
    let field = Field::new();
    field.enrol(OURS, "P1", &mut field.card("p1"));
    let mut holder = field.peer(OURS);
    let mut late: Vec<Peer> = (0..LATE).map(|_| field.peer(OURS)).collect();
    for _ in 0..4 {
        let address = owned(&mut holder);
        // Each has begun it, and the last one that did holds it.
        for peer in &mut late {
            peer.begin(address, threshold(), Role::Pad).unwrap();
        }
        write(&mut holder, address);
        let together = Barrier::new(LATE + 1);
        std::thread::scope(|scope| {
            for peer in &mut late {
                scope.spawn(|| {
                    together.wait();
                    assert_eq!(declined(complete(peer, address)), Status::Refused);
                });
            }
            together.wait();
            complete(&mut holder, address).unwrap();
        });
        assert!(is_first(&field, address));
        complete(&mut holder, address).unwrap();
        assert!(is_first(&field, address), "its receipt was lost");
    }
    late.into_iter().chain([holder]).for_each(|peer| peer.close().unwrap());
}

#[test]
fn a_commit_that_is_refused_says_nothing_of_the_share_that_is_there() {
    let field = Field::new();
    field.enrol(OURS, "P1", &mut field.card("p1"));
    let mut peer = field.peer(OURS);
    let address = owned(&mut peer);
    store(&mut peer, address);
    // Its store is not there for a while, as far as anybody sees.
    let (file, away) = (field.shares().remove(0), field.root.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    peer.begin(address, threshold(), Role::Pad).unwrap();
    declined(complete(&mut peer, address));
    let mut other = field.peer(OURS);
    assert_eq!(declined(complete(&mut other, address)), Status::Refused);
    other.close().unwrap();
    assert!(peer.discard(address).unwrap());
    std::fs::rename(&away, &file).unwrap();
    assert!(is_first(&field, address));
    // What is completed in its place is not the first.
    std::fs::remove_file(&file).unwrap();
    store(&mut peer, address);
    assert!(!is_first(&field, address));
    peer.close().unwrap();
}
