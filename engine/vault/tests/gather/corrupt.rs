//! What a target sees that keeps everything it gets.

use crate::circle::{Circle, STRANGER, refused};
use warifu_core::sharing::evaluation_matrix;
use warifu_core::{ObjectId, XCoord};
use warifu_kernels::{Isa, dot};
use warifu_link::body::Work;
use warifu_pipeline::peer::{ShareAddress, Step};

const HELPERS: [&str; 3] = ["s1", "s2", "s3"];

/// Everything that the helpers hand over to the stranger, by helper and chunk.
fn collect(circle: &Circle, address: ShareAddress, work: &Work) -> Vec<Vec<Vec<u8>>> {
    for step in [Step::Blind, Step::Contribute] {
        for helper in HELPERS {
            let mut peer = circle.ask(helper);
            peer.proceed(&work.id, step).unwrap();
            peer.close().unwrap();
        }
    }
    let stranger = circle.site(STRANGER);
    let of_helper = |helper: &&str| {
        let mut peer = circle.peer(&stranger, helper);
        let lengths = circle.lengths(address.object).into_iter().enumerate();
        let parts = lengths.map(|(index, bytes)| {
            let reply = peer.collect(address, &work.id, index as u64, bytes).unwrap();
            reply.body().to_vec()
        });
        let parts: Vec<Vec<u8>> = parts.collect();
        peer.close().unwrap();
        parts
    };
    HELPERS.iter().map(of_helper).collect()
}

fn sum(parts: &[&Vec<u8>]) -> Vec<u8> {
    let mut sum = vec![0; parts[0].len()];
    for part in parts {
        sum.iter_mut().zip(part.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// What a helper would send if it were not blinded.
fn bare(circle: &Circle, object: ObjectId, x: XCoord, helper: &str, chunk: usize) -> Vec<u8> {
    let xs: Vec<XCoord> = HELPERS.map(|site| circle.holder(object, site).x).to_vec();
    let mut sorted = xs.clone();
    sorted.sort_unstable();
    let own = circle.holder(object, helper).x;
    let place = sorted.iter().position(|x| *x == own).unwrap();
    let row = evaluation_matrix(&sorted, &[x]).unwrap();
    let weight = warifu_kernels::Matrix::new(1, 1, vec![row.coefficient(0, place)]).unwrap();
    let share = circle.chunks(helper, "shares", ShareAddress { object, x: own });
    let mut weighed = vec![0; share[chunk].len()];
    dot(Isa::best(), &weight, &mut [&mut weighed], &[&share[chunk]]);
    weighed
}

#[test]
fn a_target_that_keeps_everything_sees_blinded_parts_and_their_sum() {
    let circle = Circle::new();
    let object = circle.store();
    let lost = circle.holder(object, "s4").x;
    let address = ShareAddress { object, x: lost };
    let mut seen = Vec::new();
    // Twice, with all that it could compare.
    for _ in 0..2 {
        let work = circle.work(object, STRANGER, &HELPERS);
        for helper in HELPERS {
            circle.ask(helper).work(address, &work).unwrap();
        }
        seen.push(collect(&circle, address, &work));
        // It is over, and nothing is handed over again.
        let mut peer = circle.peer(&circle.site(STRANGER), "s1");
        assert_eq!(refused(peer.collect(address, &work.id, 0, 4096)), "work-unknown");
        peer.close().unwrap();
    }
    let share = circle.chunks("s4", "shares", address);
    for chunk in 0..share.len() {
        let of_work: Vec<[&Vec<u8>; 3]> =
            seen.iter().map(|parts| [0, 1, 2].map(|helper| &parts[helper][chunk])).collect();
        for parts in &of_work {
            assert!(sum(parts) == share[chunk], "the sum is the share");
        }
        for (place, helper) in HELPERS.iter().enumerate() {
            let bare = bare(&circle, object, lost, helper, chunk);
            // No part is what it hides, and what hides it served once.
            for parts in &of_work {
                assert!(*parts[place] != bare);
                let blind = sum(&[parts[place], &bare]);
                let zeros = blind.iter().filter(|byte| **byte == 0).count();
                assert!(zeros * 128 < blind.len(), "a blind of {zeros} zeros");
            }
            assert!(of_work[0][place] != of_work[1][place], "another work has other blinds");
            // Nor do any two parts add up to what they hide together.
            let (next, other) = ((place + 1) % 3, HELPERS[(place + 1) % 3]);
            let hidden = sum(&[&bare, &self::bare(&circle, object, lost, other, chunk)]);
            for parts in &of_work {
                assert!(sum(&[parts[place], parts[next]]) != hidden);
            }
        }
    }
}
