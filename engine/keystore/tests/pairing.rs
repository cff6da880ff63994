//! Delivered key becomes key at both ends, wherever power is cut at either of them.

#![expect(clippy::unwrap_used, reason = "tests")]

mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_buffers::Block;
use warifu_core::{Direction, End, KeyClass, KeyRange, SegmentId};
use warifu_kernels::Isa;
use warifu_keystore::simulated::kme::{Fault, SimulatedKme};
use warifu_keystore::simulated::{Machine, Survives};
use warifu_keystore::{
    Adopted, DeliveryError, Gathering, KeyError, KeyId, KeyStore, Pairing, PendingSegment, Repeats,
    SegmentRefusal,
};
use world::{AB, BA, Counted, Handshake, Judge, link_pool, pair, shake_hands};

const KEYS: u64 = 5;
const KEY_BYTES: usize = 700;
const BYTES: u64 = KEYS * KEY_BYTES as u64;
const R: [u8; 16] = [3; 16];
const S: [u8; 16] = [5; 16];

const SURVIVALS: [Survives; 5] = [
    Survives::Synced,
    Survives::All,
    Survives::Prefix(1),
    Survives::Torn(0, 31),
    Survives::Zeroed(0),
];

fn source() -> (KeyClass, String) {
    (KeyClass::Computational, "kme:test".to_owned())
}

fn begin(store: &KeyStore) -> Result<Pairing, KeyError> {
    Ok(store.pairing(link_pool())?.unwrap())
}

/// End A: what is pending, or else something new.
fn gather(
    pairing: &Pairing,
    kme: &SimulatedKme,
    way: Direction,
) -> Result<PendingSegment, KeyError> {
    if let Some(pending) = pairing.pending()?.pop() {
        return Ok(pending);
    }
    loop {
        let keys = kme.at(End::A).fresh_keys("b", KEYS, KEY_BYTES).unwrap();
        let mut gathering = Gathering::new(pairing.draw_segment()?, KEY_BYTES);
        gathering.add(keys).unwrap();
        if let Some(kept) = pairing.keep(gathering, way, source(), Repeats::LeaveOut)?.pending {
            return Ok(kept);
        }
    }
}

/// End B, as its desk does: true where it holds the segment, false where it never will.
fn obtain(
    pairing: &Pairing,
    kme: &SimulatedKme,
    offered: &PendingSegment,
) -> Result<bool, KeyError> {
    for known in pairing.pending()? {
        if known.segment == offered.segment {
            return Ok(true);
        }
        pairing.discard(known.segment)?;
    }
    match kme.at(End::B).named_keys("a", &offered.names, KEY_BYTES) {
        Ok(keys) => {
            let mut gathering = Gathering::new(offered.segment, KEY_BYTES);
            gathering.add(keys).unwrap();
            let way = offered.direction;
            let kept = pairing.keep(gathering, way, source(), Repeats::RefuseAll)?;
            Ok(kept.pending.is_some())
        }
        Err(DeliveryError::Gone { .. }) => Ok(false),
        Err(error) => panic!("{error}"),
    }
}

/// One fetch, as the two ends speak it; true where a segment was added, false where one was lost.
fn fetch(
    a: &KeyStore,
    b: &KeyStore,
    kme: &SimulatedKme,
    way: Direction,
) -> Result<Option<KeyRange>, KeyError> {
    let at_a = begin(a)?;
    finish(&at_a, b)?;
    let pending = gather(&at_a, kme, way)?;
    if !obtain(&begin(b)?, kme, &pending)? {
        begin(b)?.discard(pending.segment)?;
        at_a.discard(pending.segment)?;
        return Ok(None);
    }
    let isa = Isa::best();
    let there = begin(b)?.hash(pending.segment, isa, &R, &S)?;
    if at_a.hash(pending.segment, isa, &R, &S)? != there {
        begin(b)?.discard(pending.segment)?;
        at_a.discard(pending.segment)?;
        return Ok(None);
    }
    let range = at_a.publish(pending.segment, begin(b)?.end(pending.direction)?)?;
    begin(b)?.adopt(pending.segment, pending.direction, range)?;
    Ok(Some(range))
}

/// What an earlier fetch left between the two ends.
fn finish(at_a: &Pairing, b: &KeyStore) -> Result<(), KeyError> {
    for way in [AB, BA] {
        let (here, there) = (at_a.end(way)?, begin(b)?.end(way)?);
        if there > here {
            at_a.fill_lost(way, KeyRange::between(here, there))?;
        }
        for placed in at_a.placed_from(way, there)? {
            if begin(b)?.adopt(placed.segment, way, placed.range)? == Adopted::Burned {
                at_a.burn(way, placed.range)?;
            }
        }
    }
    Ok(())
}

/// The two ends hold the same, seal and open with it, and have no litter.
fn compare(a: &Machine, b: &Machine, entropy: &Arc<Counted>) {
    let (at_a, at_b) = (world::open(a, entropy).1.unwrap(), world::open(b, entropy).1.unwrap());
    let ends = |store: &KeyStore| [AB, BA].map(|way| begin(store).unwrap().end(way).unwrap());
    assert_eq!(ends(&at_a), ends(&at_b));
    let judge = &mut Judge::default();
    let Handshake::Done(mut session) = shake_hands(&at_a, &at_b, 9000, 99, judge).unwrap() else {
        panic!("an honest handshake ended early");
    };
    while let Ok((range, key)) = judge.take(&mut session.a_lease, 500) {
        assert!(session.b_granted.open(range).unwrap().into_parts().1[..] == key[..]);
    }
    while let Ok((range, key)) = judge.take(&mut session.b_lease, 500) {
        assert!(session.a_granted.open(range).unwrap().into_parts().1[..] == key[..]);
    }
    drop((session, at_a, at_b));
    for machine in [a, b] {
        let store = world::open(machine, entropy).1.unwrap();
        assert!(store.audit().unwrap().is_clean());
        let is_litter = |path: &PathBuf| {
            path.extension().is_some_and(|end| end == "names" || end == "pending" || end == "part")
        };
        assert!(!machine.names().iter().any(is_litter), "{:?}", machine.names());
    }
}

/// Cuts the power of one end after every single step of a fetch; the next fetch finishes it.
fn cut_everywhere(end: End) -> u64 {
    let mut all = 0;
    for (survives, way) in SURVIVALS.iter().flat_map(|one| [(*one, AB), (*one, BA)]) {
        let mut steps = 0;
        loop {
            let entropy = Arc::new(Counted::default());
            let (a, b) = pair(5000, &entropy);
            let kme = SimulatedKme::new(entropy.clone(), KEY_BYTES as u64, KEYS);
            let (process_a, at_a) = world::open(&a, &entropy);
            let (process_b, at_b) = world::open(&b, &entropy);
            let (at_a, at_b) = (at_a.unwrap(), at_b.unwrap());
            let cut = if end == End::A { &process_a } else { &process_b };
            cut.fail_after(steps);
            let untouched = fetch(&at_a, &at_b, &kme, way).is_ok();
            let (machine, other) = if end == End::A { (&a, at_b) } else { (&b, at_a) };
            machine.crash(survives);
            drop(other);
            let (at_a, at_b) =
                (world::open(&a, &entropy).1.unwrap(), world::open(&b, &entropy).1.unwrap());
            // One fetch may find that a segment is lost; the next one is whole.
            let fetched = fetch(&at_a, &at_b, &kme, way).unwrap();
            if fetched.is_none() {
                assert!(fetch(&at_a, &at_b, &kme, way).unwrap().is_some());
            }
            drop((at_a, at_b));
            compare(&a, &b, &entropy);
            all += 1;
            if untouched {
                break;
            }
            steps += 1;
        }
        assert!(steps > 20, "{steps}");
    }
    all
}

#[test]
fn a_fetch_cut_short_anywhere_at_the_gateway_is_finished_by_the_next() {
    assert!(cut_everywhere(End::A) > 200);
}

#[test]
fn a_fetch_cut_short_anywhere_at_the_site_is_finished_by_the_next() {
    assert!(cut_everywhere(End::B) > 150);
}

/// A site that lost a segment, which the gateway has added, burns its positions, and both go on.
#[test]
fn a_segment_that_the_site_lost_leaves_a_hole_and_no_dead_end() {
    for way in [AB, BA] {
        let entropy = Arc::new(Counted::default());
        let (a, b) = pair(5000, &entropy);
        let kme = SimulatedKme::new(entropy.clone(), KEY_BYTES as u64, KEYS);
        let before = b.copy();
        let at_a = world::open(&a, &entropy).1.unwrap();
        {
            let at_b = world::open(&b, &entropy).1.unwrap();
            let pairing = begin(&at_a).unwrap();
            let pending = gather(&pairing, &kme, way).unwrap();
            assert!(obtain(&begin(&at_b).unwrap(), &kme, &pending).unwrap());
            pairing.publish(pending.segment, 5000).unwrap();
        }
        let at_b = world::open(&before, &entropy).1.unwrap();
        assert_eq!(fetch(&at_a, &at_b, &kme, way).unwrap().unwrap().start(), 5000 + BYTES);
        let burned = at_b.pool_status(link_pool()).unwrap().direction(way).unwrap().bytes_burned;
        assert_eq!(burned, BYTES);
        drop((at_a, at_b));
        compare(&a, &before, &entropy);
    }
}

/// The same, for a gateway restored from before it added what the site has added.
#[test]
fn a_segment_that_the_gateway_lost_leaves_a_hole_and_no_dead_end() {
    for way in [AB, BA] {
        let entropy = Arc::new(Counted::default());
        let (a, b) = pair(5000, &entropy);
        let kme = SimulatedKme::new(entropy.clone(), KEY_BYTES as u64, KEYS);
        let older = a.copy();
        let at_b = world::open(&b, &entropy).1.unwrap();
        let at_a = world::open(&a, &entropy).1.unwrap();
        assert!(fetch(&at_a, &at_b, &kme, way).unwrap().is_some());
        drop(at_a);
        let at_a = world::open(&older, &entropy).1.unwrap();
        assert_eq!(fetch(&at_a, &at_b, &kme, way).unwrap().unwrap().start(), 5000 + BYTES);
        drop((at_a, at_b));
        compare(&older, &b, &entropy);
    }
}

/// A gateway that says so again and again is not believed for ever: each leaves a file here.
#[test]
fn lost_segments_are_bounded_in_number() {
    let entropy = Arc::new(Counted::default());
    let (_, b) = pair(5000, &entropy);
    let at_b = world::open(&b, &entropy).1.unwrap();
    let pairing = begin(&at_b).unwrap();
    let mut lost = 0;
    let refused = loop {
        let segment = pairing.draw_segment().unwrap();
        let range = KeyRange::new(5000 + lost * 10, 10).unwrap();
        match pairing.adopt(segment, AB, range) {
            Ok(Adopted::Burned) => lost += 1,
            Ok(Adopted::Added) => panic!("nothing was gathered"),
            Err(error) => break error,
        }
        assert!(lost < 5000);
    };
    assert!(matches!(refused, KeyError::Segment { reason: SegmentRefusal::LostTooMany, .. }));
    assert_eq!(lost, 1024);
    assert_eq!(pairing.end(AB).unwrap(), 5000 + lost * 10);
}

#[test]
fn a_segment_is_kept_while_another_is_added() {
    let entropy = Arc::new(Counted::default());
    let (a, _) = pair(5000, &entropy);
    let kme = SimulatedKme::new(entropy.clone(), KEY_BYTES as u64, KEYS);
    let at_a = world::open(&a, &entropy).1.unwrap();
    let pairing = begin(&at_a).unwrap();
    let isa = Isa::best();
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        let (pairing, kme) = (&pairing, &kme);
        scope.spawn(move || {
            for _ in 0..60 {
                let keys = kme.at(End::A).fresh_keys("b", KEYS, KEY_BYTES).unwrap();
                let mut gathering = Gathering::new(pairing.draw_segment().unwrap(), KEY_BYTES);
                gathering.add(keys).unwrap();
                let kept = pairing.keep(gathering, AB, source(), Repeats::LeaveOut).unwrap();
                sender.send(kept).unwrap();
            }
        });
        for (at, kept) in receiver.into_iter().enumerate() {
            let (pending, key) = (kept.pending.unwrap(), kept.key.unwrap());
            let on_disk = pairing.hash(pending.segment, isa, &R, &S).unwrap();
            assert_eq!(key.hash(isa, &R, &S), on_disk);
            pairing.publish(pending.segment, 5000 + at as u64 * BYTES).unwrap();
        }
    });
    assert_eq!(pairing.end(AB).unwrap(), 5000 + 60 * BYTES);
    assert!(pairing.pending().unwrap().is_empty());
}

#[test]
fn a_name_counts_once_ever() {
    let entropy = Arc::new(Counted::default());
    let (a, b) = pair(5000, &entropy);
    let kme = SimulatedKme::new(entropy.clone(), KEY_BYTES as u64, KEYS);
    let (at_a, at_b) = (world::open(&a, &entropy).1.unwrap(), world::open(&b, &entropy).1.unwrap());
    fetch(&at_a, &at_b, &kme, AB).unwrap().unwrap();
    kme.fail(End::A, [Fault::Repeat]);
    let again = kme.at(End::A).fresh_keys("b", KEYS, KEY_BYTES).unwrap();
    let fresh = kme.at(End::A).fresh_keys("b", KEYS, KEY_BYTES).unwrap();
    let repeated = again.names.clone();
    let wanted = fresh.names.clone();
    drop(at_a);
    a.crash(Survives::Synced);
    let at_a = world::open(&a, &entropy).1.unwrap();
    let pairing = begin(&at_a).unwrap();
    let mut gathering = Gathering::new(pairing.draw_segment().unwrap(), KEY_BYTES);
    gathering.add(again).unwrap();
    gathering.add(fresh).unwrap();
    let kept = pairing.keep(gathering, BA, source(), Repeats::LeaveOut).unwrap();
    let mut refused = kept.names_refused;
    refused.sort_unstable();
    let mut repeated_sorted = repeated;
    repeated_sorted.sort_unstable();
    assert_eq!(refused, repeated_sorted);
    assert_eq!(kept.pending.unwrap().names, wanted, "the clean answer stays");
    drop(pairing);
    // The site, which needs a segment whole, takes none of it.
    let pairing = begin(&at_b).unwrap();
    let names = repeated_sorted.clone();
    let material = Block::copy_of(&vec![7; KEY_BYTES * names.len()]);
    let mut gathering = Gathering::new(pairing.draw_segment().unwrap(), KEY_BYTES);
    let keys = warifu_keystore::DeliveredKeys { names, key_bytes: KEY_BYTES, material };
    gathering.add(keys).unwrap();
    let kept = pairing.keep(gathering, AB, source(), Repeats::RefuseAll).unwrap();
    assert_eq!((kept.pending.is_none(), kept.names_refused.len()), (true, 5));
}

#[test]
fn one_pairing_of_a_link_at_a_time() {
    let entropy = Arc::new(Counted::default());
    let (a, _) = pair(5000, &entropy);
    let (one, other) = (world::open(&a, &entropy).1.unwrap(), world::open(&a, &entropy).1.unwrap());
    let held = begin(&one).unwrap();
    assert!(one.pairing(link_pool()).unwrap().is_none());
    assert!(other.pairing(link_pool()).unwrap().is_none());
    drop(held);
    assert!(other.pairing(link_pool()).unwrap().is_some());
}

#[test]
fn what_does_not_fit_is_not_added() {
    let entropy = Arc::new(Counted::default());
    let (a, _) = pair(5000, &entropy);
    let kme = SimulatedKme::new(entropy.clone(), KEY_BYTES as u64, KEYS);
    let at_a = world::open(&a, &entropy).1.unwrap();
    let pairing = begin(&at_a).unwrap();
    let pending = gather(&pairing, &kme, AB).unwrap();
    let refused = |done: Result<KeyRange, KeyError>, wanted: SegmentRefusal| match done {
        Err(KeyError::Segment { reason, .. }) => assert_eq!(reason, wanted),
        other => panic!("{other:?}"),
    };
    refused(pairing.publish(pending.segment, 4999), SegmentRefusal::Overlap);
    refused(pairing.publish(pending.segment, 5001), SegmentRefusal::Gap);
    refused(pairing.publish(SegmentId::from_bytes([9; 16]), 5000), SegmentRefusal::Missing);
    let other = KeyRange::new(5000, BYTES + 1).unwrap();
    assert!(pairing.adopt(pending.segment, AB, other).is_err(), "of another length");
    let range = KeyRange::new(5000, BYTES).unwrap();
    assert!(pairing.adopt(pending.segment, BA, range).is_err(), "of the other direction");
    assert_eq!(pairing.adopt(pending.segment, AB, range).unwrap(), Adopted::Added);
    assert_eq!(pairing.adopt(pending.segment, AB, range).unwrap(), Adopted::Added);
    assert!(pairing.discard(pending.segment).is_err(), "it is key by now");
}

/// The hash sees every bit, and differs under other secrets.
#[test]
fn the_hash_sees_every_piece() {
    let entropy = Arc::new(Counted::default());
    let (a, _) = pair(5000, &entropy);
    let kme = SimulatedKme::new(entropy.clone(), 1 << 20, 3);
    let at_a = world::open(&a, &entropy).1.unwrap();
    let pairing = begin(&at_a).unwrap();
    let keys = kme.at(End::A).fresh_keys("b", 3, 1 << 20).unwrap();
    let mut gathering = Gathering::new(pairing.draw_segment().unwrap(), 1 << 20);
    gathering.add(keys).unwrap();
    let pending =
        pairing.keep(gathering, AB, source(), Repeats::LeaveOut).unwrap().pending.unwrap();
    let path = format!("pools/{}/{}.pending", link_pool(), pending.segment);
    let whole = a.content(Path::new(&path)).unwrap();
    let isa = Isa::best();
    let hash = pairing.hash(pending.segment, isa, &R, &S).unwrap();
    assert_ne!(pairing.hash(pending.segment, isa, &S, &S).unwrap(), hash);
    assert_ne!(pairing.hash(pending.segment, isa, &R, &R).unwrap(), hash);
    for at in [4096, 4096 + (1 << 20) - 1, 4096 + (1 << 20), whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        a.tamper(Path::new(&path), &altered);
        assert_ne!(pairing.hash(pending.segment, isa, &R, &S).unwrap(), hash, "{at}");
    }
    // Two pieces that changed places.
    let mut swapped = whole.clone();
    let (first, rest) = swapped[4096..].split_at_mut(1 << 20);
    first.swap_with_slice(&mut rest[..1 << 20]);
    a.tamper(Path::new(&path), &swapped);
    assert_ne!(pairing.hash(pending.segment, isa, &R, &S).unwrap(), hash);
    a.tamper(Path::new(&path), &whole);
    assert_eq!(pairing.hash(pending.segment, isa, &R, &S).unwrap(), hash);
}

/// Names by the thousand, in runs that are merged, and none is forgotten or made up.
#[test]
fn names_are_remembered_through_merges_and_restarts() {
    let entropy = Arc::new(Counted::default());
    let (a, _) = pair(5000, &entropy);
    let count = 1500_u32;
    let name = |round: u32, at: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&(at.wrapping_mul(2_654_435_761) ^ round).to_be_bytes());
        bytes[4..8].copy_from_slice(&(round * count + at).to_be_bytes());
        KeyId::from_bytes(bytes)
    };
    let keep = |store: &KeyStore, names: Vec<KeyId>| {
        let pairing = begin(store).unwrap();
        let material = Block::copy_of(&vec![9; names.len()]);
        let mut gathering = Gathering::new(pairing.draw_segment().unwrap(), 1);
        let keys = warifu_keystore::DeliveredKeys { names, key_bytes: 1, material };
        gathering.add(keys).unwrap();
        let kept = pairing.keep(gathering, AB, source(), Repeats::RefuseAll).unwrap();
        kept.pending.iter().for_each(|one| pairing.discard(one.segment).unwrap());
        kept.names_refused.len()
    };
    for round in 0..40 {
        let store = world::open(&a, &entropy).1.unwrap();
        let names = (0..count).map(|at| name(round, at)).collect();
        assert_eq!(keep(&store, names), 0, "round {round}");
        if round % 7 == 0 {
            a.crash(Survives::Synced);
        }
    }
    let store = world::open(&a, &entropy).1.unwrap();
    let runs = a.names().iter().filter(|path| path.starts_with("names")).count();
    assert!(runs < 14, "{runs} files");
    for round in [0, 7, 39] {
        // One alone is searched for, many are read through.
        assert_eq!(keep(&store, vec![name(round, 77)]), 1);
        assert_eq!(keep(&store, (0..count).map(|at| name(round, at)).collect()), count as usize);
    }
    assert_eq!(keep(&store, vec![name(41, 0)]), 0);
    // A run that rotted is noticed when it is read whole, and a cut one at once.
    let runs =
        a.names().into_iter().filter(|path| path.extension().is_some_and(|end| end == "run"));
    let run = runs.max().unwrap();
    let content = a.content(&run).unwrap();
    a.tamper(&run, &content[..content.len() - 1]);
    let pairing = begin(&store).unwrap();
    let material = Block::copy_of(&[1]);
    let mut gathering = Gathering::new(pairing.draw_segment().unwrap(), 1);
    let names = vec![name(42, 1)];
    gathering.add(warifu_keystore::DeliveredKeys { names, key_bytes: 1, material }).unwrap();
    let kept = pairing.keep(gathering, AB, source(), Repeats::RefuseAll);
    assert!(matches!(kept, Err(KeyError::NamesDamaged { .. })));
}
