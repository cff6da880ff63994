//! The cost of a share against a count of every frame that FORMAT.md section 9 makes of it.

use super::*;
use crate::capsule::{
    BINDING_BYTES_MAX, Capsule, CapsuleHead, LABEL_BYTES_MAX, ShareEntry, Verdict,
};
use crate::id::{LinkId, ObjectId};
use crate::pad::KeyClass;
use crate::share_file::{CapsuleShape, ShareHeader};

const MIB: u64 = 1 << 20;

/// Answers in the largest of the cases; each is allowed up to 64 bytes more than it takes.
const RECEIPTS_MAX: u64 = 260;

/// The key of one frame: `32 + P + K`.
const fn frame(body: u64, kept: u64) -> u64 {
    32 + 64 + body + kept
}

/// The longest capsule that a vault writes: every name full, every chunk redrawn.
fn largest_capsule(threshold: Threshold, geometry: Geometry) -> CapsuleShape {
    let masks = geometry.mask_count();
    let slots = geometry.chunk_count() + u64::from(masks);
    let long = name(&"a".repeat(64));
    let texts = CAPSULE_TEXT_BYTES_MAX as usize;
    assert!(texts <= BINDING_BYTES_MAX && texts > LABEL_BYTES_MAX);
    let shares: Vec<_> = (1..=threshold.n_byte())
        .map(|x| ShareEntry {
            x: XCoord::new(x).unwrap(),
            role: if usize::from(x) < threshold.k() { Role::Pad } else { Role::Computed },
            channel: Channel::Otp,
            link: Some(LinkId::from_bytes([x; 16])),
            site: name(&format!("{x:a>64}")),
            zone: long.clone(),
            domain: long.clone(),
        })
        .collect();
    let verdict = |x| Verdict {
        x,
        r: [0; 16],
        hashes: vec![[0; 16]; geometry.chunk_count() as usize],
        masks: vec![[0; 16]; masks as usize],
    };
    let verdicts = shares.iter().map(|share| verdict(share.x)).collect();
    let head = CapsuleHead {
        threshold,
        class: KeyClass::InformationTheoretic,
        object: ObjectId::from_bytes([7; 16]),
        geometry,
        masks,
        created_unix_s: 1,
        individual: "I".repeat(64).parse().unwrap(),
        label: Some("l".repeat(LABEL_BYTES_MAX)),
        binding: vec![1; texts - LABEL_BYTES_MAX],
        shares,
        attempts: (0..slots).map(|chunk| (chunk, 1)).collect(),
    };
    Capsule::new(head, verdicts).unwrap().shape()
}

/// Link key that one backup and one restore take, by direction, frame by frame.
fn counted(threshold: Threshold, geometry: Geometry, role: Role, capsule: u64) -> [u64; 4] {
    let mut backup = [0, 0];
    let mut restore = [0, 0];
    let mut exchange = |sent: u64, answered: u64| {
        backup[0] += sent;
        backup[1] += answered;
    };
    let masks = u64::from(geometry.mask_count());
    exchange(frame(0, 0), frame(0, 0));
    for chunk in 0..geometry.chunk_count() {
        let content = geometry.chunk_bytes(chunk) as u64;
        match role {
            Role::Pad => exchange(frame(0, content + 32), frame(16, 0)),
            Role::Computed => exchange(frame(content, 16), frame(0, 0)),
        }
        restore[0] += frame(0, 0);
        restore[1] += frame(16 + content, 0);
    }
    (0..masks).for_each(|_| exchange(frame(0, MIB + 32), frame(16, 0)));
    for piece in 0..capsule.div_ceil(MIB) {
        let content = (capsule - piece * MIB).min(MIB);
        match role {
            Role::Pad => exchange(frame(0, content + 32), frame(16, 0)),
            Role::Computed => exchange(frame(content, 0), frame(0, 0)),
        }
        restore[0] += frame(0, 0);
        restore[1] += frame(content, 0);
    }
    exchange(frame(8 + 12 * (geometry.chunk_count() + masks), 0), frame(0, 0));
    assert!(threshold.n() > 0);
    [backup[0], backup[1], restore[0], restore[1]]
}

fn cases() -> impl Iterator<Item = (Threshold, Geometry, Role)> {
    let schemes = ["2/3", "3/5", "10/255"].map(|scheme| scheme.parse().unwrap());
    let payloads = [4096, MIB, MIB + 4096, 63 * MIB, 64 * MIB, 200 * MIB - 4096];
    schemes.into_iter().flat_map(move |threshold| {
        payloads.into_iter().flat_map(move |payload| {
            let geometry = Geometry::new(payload).unwrap();
            [Role::Pad, Role::Computed].map(|role| (threshold, geometry, role))
        })
    })
}

#[test]
fn covers_every_frame_and_little_more() {
    for (threshold, geometry, role) in cases() {
        let capsule = largest_capsule(threshold, geometry).capsule_bytes(threshold);
        let [to, from, ask, content] = counted(threshold, geometry, role, capsule);
        let need = need(threshold, geometry, role, Channel::Otp);
        let spent_to = need.to_site_bytes - need.reserve_to_site_bytes;
        let spent_from = need.from_site_bytes - need.reserve_from_site_bytes;
        let pairs = [
            (spent_to, to),
            (spent_from, from),
            (need.reserve_to_site_bytes, ask),
            (need.reserve_from_site_bytes, content),
        ];
        for (allowed, counted) in pairs {
            let case = format!("{threshold} {geometry:?} {role}: {allowed} for {counted}");
            assert!(allowed >= counted + counted / 1024 + 16384, "{case}");
            assert!(allowed <= counted + counted / 512 + 64 * RECEIPTS_MAX + 16384 + 16, "{case}");
        }
        assert_eq!(need.random_bytes, 16);
    }
}

#[test]
fn the_file_fits_its_room() {
    for (threshold, geometry, role) in cases() {
        let header = ShareHeader {
            x: XCoord::new(1).unwrap(),
            threshold,
            role,
            object: ObjectId::from_bytes([7; 16]),
            link: None,
            geometry,
            masks: geometry.mask_count(),
            capsule: largest_capsule(threshold, geometry),
        };
        let room = need(threshold, geometry, role, Channel::Local).store_bytes;
        let file = header.file_bytes();
        assert!(room >= file && room - file <= 4096, "{room} for {file}");
    }
}

#[test]
fn random_bytes_by_hand() {
    let scheme = "3/5".parse().unwrap();
    let random = |payload, role| {
        need(scheme, Geometry::new(payload).unwrap(), role, Channel::Local).random_bytes
    };
    assert_eq!(random(2 * MIB, Role::Computed), 16 + 2 * 16);
    assert_eq!(random(64 * MIB, Role::Computed), 16 + 64 * 16 + (MIB + 16));
    let geometry = Geometry::new(2 * MIB).unwrap();
    let capsule = largest_capsule(scheme, geometry).capsule_bytes(scheme);
    let pad = random(2 * MIB, Role::Pad) - (16 + 2 * 16 + 2 * MIB);
    assert!(pad >= capsule && pad - capsule < 64, "{pad} for {capsule}");
}

#[test]
fn a_lab_of_cli_md_fits_its_pools() {
    // Pads for a 1 GiB object and its restore reserve take 1 GiB in each direction.
    let geometry = Geometry::new((1 << 30) + 4096).unwrap();
    let need = need("3/5".parse().unwrap(), geometry, Role::Pad, Channel::Otp);
    let most = (1 << 30) + (1 << 30) / 256;
    assert!(need.to_site_bytes < most && need.from_site_bytes < most, "{need:?}");
}

#[test]
fn the_largest_object_overflows_nothing() {
    let geometry = Geometry::new(1 << 40).unwrap();
    for role in [Role::Pad, Role::Computed] {
        for channel in [Channel::Otp, Channel::Local, Channel::Tls] {
            let need = need("2/255".parse().unwrap(), geometry, role, channel);
            assert!(need.store_bytes > 1 << 40 && need.store_bytes < 1 << 41);
        }
    }
}
