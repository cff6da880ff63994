//! What leases, grants and marks promise, one by one, and what restored and damaged stores say.

#![expect(clippy::unwrap_used, reason = "tests")]

mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_core::{KeyClass, KeyRange, SegmentId};
use warifu_keystore::simulated::{Machine, Survives};
use warifu_keystore::{Confirmation, Direction, Incarnation, KeyError, KeyStore, PoolKind};
use world::{
    AB, BA, Counted, FRAME, Handshake, Judge, Session, link_pool, open, pair, random_pool,
    shake_hands,
};

const BYTES: u64 = 10_000;

struct Pair {
    entropy: Arc<Counted>,
    machines: [Machine; 2],
    a: KeyStore,
    b: KeyStore,
    judge: Judge,
}

impl Pair {
    fn new() -> Self {
        Self::with(BYTES)
    }

    fn with(bytes: u64) -> Self {
        let entropy = Arc::new(Counted::default());
        let (a, b) = pair(bytes, &entropy);
        let machines = [a, b];
        let [a, b] = [&machines[0], &machines[1]].map(|machine| open(machine, &entropy).1.unwrap());
        Self { entropy, machines, a, b, judge: Judge::default() }
    }

    fn session(&mut self, bytes: u64) -> Box<Session> {
        match shake_hands(&self.a, &self.b, bytes, 99, &mut self.judge).unwrap() {
            Handshake::Done(session) => session,
            Handshake::Stopped | Handshake::Again => panic!("an honest handshake ended early"),
        }
    }

    fn left(&self, store: &KeyStore, direction: Direction) -> u64 {
        store.pool_status(link_pool()).unwrap().direction(direction).unwrap().bytes_left
    }
}

fn ledger() -> PathBuf {
    PathBuf::from(format!("pools/{}/ledger", link_pool()))
}

fn segment_file(machine: &Machine, pool: warifu_core::PoolId, direction: Direction) -> PathBuf {
    let folder = PathBuf::from(format!("pools/{pool}"));
    let is_wanted = |path: &PathBuf| {
        path.parent() == Some(&folder)
            && path.extension().is_some_and(|end| end == "segment")
            && machine.content(path).unwrap()[10] == direction.to_byte()
    };
    machine.names().into_iter().find(is_wanted).unwrap()
}

fn range(start: u64, end: u64) -> KeyRange {
    KeyRange::between(start, end)
}

#[test]
fn a_lease_hands_out_each_byte_once_and_the_same_as_the_peer_opens() {
    let mut pair = Pair::new();
    let mut session = pair.session(1000);
    let (sent, key) = {
        let pad = session.b_lease.take(100).unwrap();
        pad.into_parts()
    };
    assert_eq!(session.a_granted.open(sent).unwrap().into_parts().1[..], key[..]);
    let mut last = 0;
    while let Ok((range, key)) = pair.judge.take(&mut session.a_lease, 100) {
        let opened = session.b_granted.open(range).unwrap();
        assert_eq!(opened.class(), KeyClass::Computational);
        assert_eq!(opened.into_parts().1[..], key[..]);
        last = range.end();
        assert!(matches!(session.b_granted.open(range), Err(KeyError::OpenedBefore { .. })));
    }
    assert!(last > 0 && session.a_lease.left_in_one_piece() < 100);
    let error = session.a_lease.take(100).err().unwrap();
    assert!(matches!(error, KeyError::LeaseEmpty { wanted: 100, left } if left < 100));
    let left = session.a_lease.left_in_one_piece();
    assert!(pair.judge.take(&mut session.a_lease, left).is_ok(), "short ones still fit");
    assert!(matches!(session.a_lease.take(0), Err(KeyError::BadSize { .. })));
}

#[test]
fn what_is_released_and_regained_is_granted_again_and_nothing_else() {
    let mut pair = Pair::new();
    let before = pair.left(&pair.b, AB);
    let mut session = pair.session(1000);
    let (used, _) = pair.judge.take(&mut session.a_lease, 300).unwrap();
    session.b_granted.open(used).unwrap();
    let (unopened, _) = pair.judge.take(&mut session.a_lease, 50).unwrap();
    let Session { a_lease, b_granted, .. } = *session;
    let rest = a_lease.release().unwrap();
    let regain = |ranges: &[KeyRange]| pair.b.regain(link_pool(), AB, ranges);
    for bad in [range(9_000, 9_001), range(5, 5), range(0, BYTES)] {
        assert!(matches!(regain(&[bad]), Err(KeyError::NotGranted { .. })), "{bad}");
    }
    assert!(matches!(regain(&[rest[0], rest[0]]), Err(KeyError::NotGranted { .. })));
    assert!(matches!(regain(&[rest[0], used]), Err(KeyError::OpenedBefore { .. })));
    regain(&rest).unwrap();
    assert!(matches!(regain(&rest), Err(KeyError::NotGranted { .. })), "once");
    drop(b_granted);
    let spent = 300 + 50 + FRAME;
    assert_eq!(pair.left(&pair.b, AB), before - spent);
    assert_eq!(pair.left(&pair.a, AB), before - spent);
    let again = pair.b.grant(link_pool(), AB, rest[0].len(), 0).unwrap();
    assert!(again.start() >= rest[0].start() && again.intersection(&unopened).is_empty());
    assert!(pair.a.accept(link_pool(), AB, again, Confirmation::Authenticated).is_ok());
}

#[test]
fn a_dropped_lease_and_a_dropped_grant_are_burned_and_erased() {
    let mut pair = Pair::new();
    let path = segment_file(&pair.machines[0], link_pool(), AB);
    let key = pair.machines[0].content(&path).unwrap()[4096..].to_vec();
    let mut session = pair.session(1000);
    pair.judge.take(&mut session.a_lease, 300).unwrap();
    drop(session);
    for (machine, store) in [(0, &pair.a), (1, &pair.b)] {
        let status = store.pool_status(link_pool()).unwrap();
        let status = *status.direction(AB).unwrap();
        assert_eq!(status.bytes_leased, 0);
        assert_eq!(status.bytes_total, 10_000);
        assert_eq!(status.bytes_consumed + status.bytes_burned, 1000 + world::ISLAND);
        let path = segment_file(&pair.machines[machine], link_pool(), AB);
        let now = pair.machines[machine].content(&path).unwrap()[4096..].to_vec();
        assert!(now[..1096].iter().all(|&byte| byte == 0), "used key is overwritten");
        assert_eq!(now[1096..], key[1096..], "unused key is not");
    }
    assert!(pair.a.audit().unwrap().is_clean());
}

#[test]
fn released_key_is_not_erased_and_consumed_key_is() {
    let mut pair = Pair::new();
    let path = segment_file(&pair.machines[0], link_pool(), AB);
    let key = pair.machines[0].content(&path).unwrap()[4096..].to_vec();
    let mut session = pair.session(1000);
    let (used, _) = pair.judge.take(&mut session.a_lease, 300).unwrap();
    let rest = session.a_lease.release().unwrap();
    let now = pair.machines[0].content(&path).unwrap()[4096..].to_vec();
    let part = |range: &KeyRange| range.start() as usize..range.end() as usize;
    assert!(now[part(&used)].iter().all(|&byte| byte == 0));
    assert!(rest.iter().all(|range| now[part(range)] == key[part(range)]));
}

#[test]
fn leases_of_a_killed_process_are_burned_and_erased_at_the_next_opening() {
    let entropy = Arc::new(Counted::default());
    let (machine, other) = pair(BYTES, &entropy);
    let (process, a) = open(&machine, &entropy);
    let (a, b) = (a.unwrap(), open(&other, &entropy).1.unwrap());
    let mut judge = Judge::default();
    let Handshake::Done(mut session) = shake_hands(&a, &b, 500, 99, &mut judge).unwrap() else {
        panic!("an honest handshake ended early");
    };
    judge.take(&mut session.a_lease, 200).unwrap();
    process.kill();
    let (_process, again) = open(&machine, &entropy);
    let again = again.unwrap();
    let status = again.pool_status(link_pool()).unwrap();
    let status = status.direction(AB).unwrap();
    assert_eq!((status.bytes_burned, status.bytes_leased), (596, 0));
    let path = segment_file(&machine, link_pool(), AB);
    let key = machine.content(&path).unwrap();
    assert!(key[4096..4096 + 596].iter().all(|&byte| byte == 0));
    assert!(key[4096 + 596..].iter().any(|&byte| byte != 0));
}

#[test]
fn a_living_process_keeps_its_lease_when_another_opens_the_store() {
    let mut pair = Pair::new();
    let mut session = pair.session(500);
    let (_process, second) = open(&pair.machines[0], &pair.entropy);
    let second = second.unwrap();
    assert_eq!(second.pool_status(link_pool()).unwrap().direction(AB).unwrap().bytes_burned, 0);
    assert!(pair.judge.take(&mut session.a_lease, 200).is_ok());
    // The second process takes part, and neither ever sees the other's key.
    let Handshake::Done(mut other) =
        shake_hands(&second, &pair.b, 500, 99, &mut pair.judge).unwrap()
    else {
        panic!("an honest handshake ended early");
    };
    assert!(pair.judge.take(&mut other.a_lease, 200).is_ok());
    assert!(pair.judge.take(&mut session.a_lease, 200).is_ok());
    let taken = other.a_lease.left_ranges().iter().next().unwrap();
    for store in [&pair.a, &second] {
        let error = store.accept(link_pool(), AB, taken, Confirmation::Authenticated).err();
        assert!(matches!(error, Some(KeyError::AlreadyUsed { .. })));
    }
}

#[test]
fn islands_do_not_raise_the_mark_far_and_do_not_accuse_the_peer() {
    let pair = Pair::new();
    let pool = link_pool();
    let far = pair.a.accept(pool, AB, range(8000, 8096), Confirmation::Unconfirmed).unwrap();
    drop(far);
    assert_eq!(pair.a.mark(pool, AB).unwrap(), 0, "anybody may have named that position");
    let near = pair.a.accept(pool, AB, range(100, 196), Confirmation::Unconfirmed).unwrap();
    drop(near);
    assert_eq!(pair.a.mark(pool, AB).unwrap(), 196, "that is told, lest both ends forget it");
    let error = pair.a.accept(pool, AB, range(150, 300), Confirmation::Unconfirmed).err().unwrap();
    assert!(matches!(error, KeyError::AlreadyUsed { .. }) && !error.is_rollback());
    // An honest grant over both: the islands stay out of the lease.
    let lease = pair.a.accept(pool, AB, range(0, 9000), Confirmation::Authenticated).unwrap();
    assert_eq!(lease.left(), 9000 - 192);
    assert_eq!(pair.a.mark(pool, AB).unwrap(), 9000);
    let error = pair.a.accept(pool, AB, range(40, 50), Confirmation::Authenticated).err().unwrap();
    assert!(error.is_rollback(), "{error}");
    let error = pair.a.accept(pool, AB, range(0, 9), Confirmation::Unconfirmed).err().unwrap();
    assert!(matches!(error, KeyError::AlreadyUsed { .. }), "below the mark");
}

#[test]
fn unconfirmed_leases_give_nothing_back() {
    let pair = Pair::new();
    let pool = link_pool();
    let lease = pair.a.accept(pool, AB, range(0, 96), Confirmation::Unconfirmed).unwrap();
    assert!(lease.release().unwrap().is_empty());
    let mut lease = pair.a.accept(pool, AB, range(96, 192), Confirmation::Unconfirmed).unwrap();
    lease.confirm().unwrap();
    assert_eq!(lease.release().unwrap(), [range(96, 192)]);
}

#[test]
fn a_gap_below_the_peers_mark_is_burned_at_both_ends_of_a_direction() {
    let pair = Pair::new();
    let pool = link_pool();
    pair.b.grant(pool, AB, 100, 0).unwrap();
    pair.b.confirm(pool, AB, 1000).unwrap();
    assert_eq!(pair.b.grant(pool, AB, 10, 0).unwrap(), range(1000, 1010));
    pair.b.confirm(pool, AB, 1000).unwrap();
    pair.b.confirm(pool, AB, 500).unwrap();
    assert_eq!(pair.b.mark(pool, AB).unwrap(), 1000, "a mark never falls");
    pair.a.confirm(pool, AB, 1000).unwrap();
    let error = pair.a.accept(pool, AB, range(0, 100), Confirmation::Authenticated).err().unwrap();
    assert!(matches!(error, KeyError::GrantBurned { .. }), "it was only on its way: {error}");
    let lease = pair.a.accept(pool, AB, range(900, 1100), Confirmation::Authenticated).unwrap();
    assert_eq!(lease.left_ranges().iter().collect::<Vec<_>>(), [range(1000, 1100)]);
    let error = pair.a.confirm(pool, AB, BYTES + 1).err().unwrap();
    assert!(matches!(error, KeyError::BeyondPool { .. }));
}

#[test]
fn grants_are_lowest_first_and_shorter_where_less_is_left() {
    let pair = Pair::new();
    let pool = link_pool();
    assert_eq!(pair.b.grant(pool, AB, 100, 0).unwrap(), range(0, 100));
    assert_eq!(pair.b.grant(pool, AB, 100, 5000).unwrap(), range(5000, 5100));
    assert_eq!(pair.b.grant(pool, AB, 100, 0).unwrap(), range(100, 200));
    assert_eq!(pair.b.grant(pool, AB, 4900, 0).unwrap(), range(5100, 10_000), "that fits");
    assert_eq!(pair.b.grant(pool, AB, 9999, 0).unwrap(), range(200, 5000), "less is left");
    for at_least in [0, 9_999, 20_000, u64::MAX] {
        let error = pair.b.grant(pool, AB, 1, at_least).err().unwrap();
        assert!(matches!(error, KeyError::Empty { left: 0, .. }));
    }
    assert!(matches!(pair.a.grant(pool, AB, 1, 0), Err(KeyError::WrongRole { .. })));
    assert!(matches!(pair.b.grant_within(pool, 1, 0, 9), Err(KeyError::WrongRole { .. })));
    let wrong = pair.b.accept(pool, AB, range(0, 1), Confirmation::Authenticated);
    assert!(matches!(wrong, Err(KeyError::WrongRole { .. })));
    let beyond = pair.a.accept(pool, AB, range(9_999, 10_001), Confirmation::Authenticated);
    assert!(matches!(beyond, Err(KeyError::BeyondPool { .. })));
}

#[test]
fn grants_stay_within_what_is_asked() {
    let pair = Pair::new();
    let pool = link_pool();
    assert_eq!(pair.b.grant_between(pool, AB, 9999, range(300, 900)).unwrap(), range(300, 900));
    assert_eq!(pair.b.grant_between(pool, AB, 9999, range(0, 500)).unwrap(), range(0, 300));
    for within in [range(0, 900), range(10_000, 20_000), KeyRange::between(u64::MAX, 0)] {
        let error = pair.b.grant_between(pool, AB, 1, within).err().unwrap();
        assert!(matches!(error, KeyError::Empty { left: 0, .. }));
    }
    let beyond = range(9_000, 20_000);
    assert_eq!(pair.b.grant_between(pool, AB, 9999, beyond).unwrap(), range(9_000, 10_000));
}

#[test]
fn what_another_session_was_granted_is_not_given_up_before_it_accepts() {
    const MIB: u64 = 1 << 20;
    let mut pair = Pair::with(16 * MIB);
    let pool = link_pool();
    let session = pair.session(500);
    let other = pair.session(500);
    // The other's grant is on its way when this one's, above it, arrives.
    let theirs = pair.b.grant(pool, AB, 4 * MIB, MIB).unwrap();
    let own = pair.b.grant(pool, AB, 4 * MIB, MIB).unwrap();
    let passed_over = range(theirs.start(), own.start());
    pair.a.give_up_passed_over(pool, AB, passed_over).unwrap();
    let lease = pair.a.accept(pool, AB, theirs, Confirmation::Authenticated).unwrap();
    assert_eq!(lease.left(), theirs.len());
    drop((lease, other));
    // Nor what another process may be told of.
    let theirs = pair.b.grant(pool, AB, 3 * MIB, 9 * MIB).unwrap();
    let (_process, second) = open(&pair.machines[0], &pair.entropy);
    let second = second.unwrap();
    pair.a.give_up_passed_over(pool, AB, theirs).unwrap();
    assert!(second.accept(pool, AB, theirs, Confirmation::Authenticated).is_ok());
    drop(second);
    // A lone session's vault knows that nobody will ever accept it.
    let lost = pair.b.grant(pool, AB, 3 * MIB, 12 * MIB).unwrap();
    let left = pair.left(&pair.a, AB);
    pair.a.give_up_passed_over(pool, AB, lost).unwrap();
    assert_eq!(left - pair.left(&pair.a, AB), 3 * MIB);
    let burned = pair.a.accept(pool, AB, lost, Confirmation::Authenticated).err();
    assert!(matches!(burned, Some(KeyError::GrantBurned { .. })));
    drop(session);
}

#[test]
fn only_what_this_process_granted_is_opened_and_by_one_session() {
    let pair = Pair::new();
    let pool = link_pool();
    let granted = pair.b.grant(pool, AB, 100, 0).unwrap();
    let mut session = pair.b.granted(pool, AB, granted).unwrap();
    assert!(matches!(pair.b.granted(pool, AB, granted), Err(KeyError::NotGranted { .. })));
    assert!(matches!(session.extend(range(100, 101)), Err(KeyError::NotGranted { .. })));
    assert!(matches!(session.open(range(90, 101)), Err(KeyError::NotGranted { .. })));
    assert!(session.open(range(90, 100)).is_ok());
    assert!(matches!(session.open(range(89, 91)), Err(KeyError::OpenedBefore { .. })));
    let (_process, other) = open(&pair.machines[1], &pair.entropy);
    let other = other.unwrap();
    assert!(matches!(other.granted(pool, AB, granted), Err(KeyError::NotGranted { .. })));
    let given_back = other.regain(pool, AB, &[range(0, 10)]);
    assert!(matches!(given_back, Err(KeyError::NotGranted { .. })), "another process's grant");
}

#[test]
fn key_that_reads_as_zeros_is_never_used() {
    let mut pair = Pair::new();
    let mut session = pair.session(1000);
    let path = segment_file(&pair.machines[0], link_pool(), AB);
    let mut content = pair.machines[0].content(&path).unwrap();
    content[4096..].fill(0);
    pair.machines[0].tamper(&path, &content);
    for bytes in [16, 48, 64, 100, 300] {
        let error = session.a_lease.take(bytes).err().unwrap();
        assert!(matches!(error, KeyError::KeyErased { .. }), "{bytes}");
    }
}

#[test]
fn a_random_pool_is_leased_with_or_without_a_witness() {
    let mut pair = Pair::new();
    let pool = random_pool();
    let mark = pair.a.mark(pool, AB).unwrap();
    let granted = pair.b.grant_within(pool, 400, mark, BYTES).unwrap();
    let mut lease = pair.a.accept(pool, AB, granted, Confirmation::Authenticated).unwrap();
    pair.judge.take(&mut lease, 400).unwrap();
    let mut own = pair.a.self_lease(pool, 100).unwrap();
    pair.judge.take(&mut own, 60).unwrap();
    let rest = own.release().unwrap();
    assert_eq!(rest.len(), 1);
    let mut again = pair.a.self_lease(pool, 40).unwrap();
    assert_eq!(pair.judge.take(&mut again, 40).unwrap().0, rest[0]);
    // The witness learns the mark with the next request, and skips what it never granted.
    let mark = pair.a.mark(pool, AB).unwrap();
    assert_eq!(pair.b.grant_within(pool, 10, mark, BYTES).unwrap().start(), mark);
    assert!(matches!(pair.a.self_lease(link_pool(), 1), Err(KeyError::WrongRole { .. })));
    assert!(matches!(pair.b.self_lease(pool, 1), Err(KeyError::WrongRole { .. })));
}

#[test]
fn a_random_pool_full_of_holes_gives_what_it_has_and_burns_nothing() {
    let mut pair = Pair::new();
    let pool = random_pool();
    let left = |pair: &Pair| {
        let status = pair.a.pool_status(pool).unwrap();
        status.direction(AB).unwrap().bytes_left
    };
    let size = left(&pair);
    // Three leases, of which the one in the middle is given back: a hole, and the rest.
    let mut leases = [1000, 500, 1000].map(|bytes| pair.a.self_lease(pool, bytes).unwrap());
    for lease in &mut leases {
        let all = lease.left();
        if all == 1000 {
            pair.judge.take(lease, all).unwrap();
        }
    }
    let [first, middle, last] = leases;
    middle.release().unwrap();
    drop((first, last));
    assert_eq!(left(&pair), size - 2000);
    let long = pair.a.self_lease(pool, 600).unwrap();
    assert_eq!(long.left_in_one_piece(), 600, "the hole is too short, and is passed over");
    long.release().unwrap();
    let mut short = pair.a.self_lease(pool, 500).unwrap();
    assert_eq!(pair.judge.take(&mut short, 500).unwrap().0, range(1000, 1500));
    short.release().unwrap();
    let all = left(&pair);
    let refused = pair.a.self_lease(pool, all + 1).err().unwrap();
    assert!(matches!(refused, KeyError::Empty { left, .. } if left == all));
    assert_eq!(left(&pair), all, "what is refused costs nothing");
    // In pieces, where no run is long enough, and more of it later.
    let rest = pair.a.self_lease(pool, all - 100).unwrap();
    let hole = pair.a.self_lease(pool, 50).unwrap();
    rest.release().unwrap();
    let mut pieces = pair.a.self_lease(pool, all - 60).unwrap();
    assert!(pieces.left() == all - 60 && pieces.left_in_one_piece() < all - 60);
    drop(hole);
    assert!(matches!(pieces.extend_own(11), Err(KeyError::Empty { .. })));
    pieces.extend_own(10).unwrap();
    let longest = pieces.left_in_one_piece();
    pair.judge.take(&mut pieces, longest).unwrap();
    pieces.release().unwrap();
    assert_eq!(left(&pair), all - 50 - longest);
}

#[test]
fn a_rolled_back_or_copied_peer_is_noticed_by_its_openings() {
    let pair = Pair::new();
    let pool = link_pool();
    let [one, two, three] = [1, 2, 3].map(|number| Incarnation::from_bytes([number; 16]));
    pair.b.peer_seen(pool, one, 5).unwrap();
    pair.b.peer_seen(pool, one, 5).unwrap();
    let copied = pair.b.peer_seen(pool, two, 5).err().unwrap();
    assert!(copied.is_rollback());
    assert!(matches!(copied, KeyError::PeerRolledBack { highest: 5, is_certain: true, .. }));
    let older = pair.b.peer_seen(pool, three, 4).err().unwrap();
    assert!(matches!(older, KeyError::PeerRolledBack { highest: 5, is_certain: false, .. }));
    pair.b.peer_seen(pool, two, 6).unwrap();
    pair.b.peer_seen(pool, one, 5).unwrap();

    let own = pair.a.epoch(pool).unwrap();
    assert_eq!(pair.a.epoch(pool).unwrap(), own);
    let (_process, second) = open(&pair.machines[0], &pair.entropy);
    let second = second.unwrap();
    let later = second.epoch(pool).unwrap();
    assert_eq!(later, own + 1);
    assert_eq!(pair.a.own_epoch_superseded(pool, later).unwrap(), own + 2, "merely overtaken");
    let rolled_back = second.own_epoch_superseded(pool, 40).err().unwrap();
    assert!(rolled_back.is_rollback());
    let refused = second.accept(pool, AB, range(0, 10), Confirmation::Authenticated);
    assert!(matches!(refused, Err(KeyError::RolledBack { .. })));
    assert_eq!(second.accept_rollback(pool, 40).unwrap(), 41);
    assert!(second.accept(pool, AB, range(0, 10), Confirmation::Authenticated).is_ok());
}

#[test]
fn lost_and_damaged_ledgers_refuse_the_store() {
    let entropy = Arc::new(Counted::default());
    let (machine, _) = pair(BYTES, &entropy);
    let whole = machine.content(&ledger()).unwrap();
    let opens = |content: &[u8]| {
        let copy = machine.copy();
        copy.tamper(&ledger(), content);
        open(&copy, &entropy).1.map(|_| ())
    };
    assert!(opens(&whole).is_ok());
    assert!(matches!(opens(&[]), Err(KeyError::LedgerLost { .. })));
    let gone = machine.copy();
    gone.lose(&ledger());
    let error = open(&gone, &entropy).1.err().unwrap();
    assert!(matches!(error, KeyError::LedgerLost { .. }) && error.is_rollback());
    for cut in 1..64 {
        assert!(opens(&whole[..whole.len() - cut]).is_ok(), "a last record cut short is dropped");
        let cut_short = opens(&whole[..cut]);
        assert!(matches!(cut_short, Err(KeyError::LedgerDamaged { record: 0, .. })));
    }
    for flip in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[flip / 8] ^= 1 << (flip % 8);
        assert!(matches!(opens(&flipped), Err(KeyError::LedgerDamaged { .. })), "bit {flip}");
    }
    for at in 0..whole.len() / 64 - 1 {
        let missing = [&whole[..at * 64], &whole[(at + 1) * 64..]].concat();
        assert!(matches!(opens(&missing), Err(KeyError::LedgerDamaged { .. })), "record {at}");
        let mut swapped = whole.clone();
        swapped[at * 64..(at + 2) * 64].rotate_left(64);
        assert!(matches!(opens(&swapped), Err(KeyError::LedgerDamaged { .. })), "records at {at}");
    }
}

#[test]
fn a_ledger_or_segment_replaced_under_a_running_process_is_noticed() {
    let mut pair = Pair::new();
    let old = pair.machines[0].content(&ledger()).unwrap();
    drop(pair.session(100));
    pair.machines[0].tamper(&ledger(), &old);
    let error = pair.a.grant(link_pool(), BA, 10, 0).err().unwrap();
    assert!(matches!(error, KeyError::LedgerDamaged { .. }));
    let error = pair.a.grant(link_pool(), BA, 10, 0).err().unwrap();
    assert!(matches!(error, KeyError::Refused { .. }), "and not tried again");
    let copy = pair.machines[1].copy();
    copy.lose(&segment_file(&copy, link_pool(), AB));
    let error = open(&copy, &pair.entropy).1.err().unwrap();
    assert!(matches!(error, KeyError::Segment { .. }));
    let copy = pair.machines[1].copy();
    copy.lose(Path::new(&format!("pools/{}/pool.json", link_pool())));
    let error = open(&copy, &pair.entropy).1.err().unwrap();
    assert!(matches!(error, KeyError::PoolDamaged { .. }));
}

#[test]
fn after_a_failed_write_the_pool_refuses_until_it_is_reopened() {
    for steps in 0..2 {
        let entropy = Arc::new(Counted::default());
        let (machine, _) = pair(BYTES, &entropy);
        let (process, store) = open(&machine, &entropy);
        let store = store.unwrap();
        store.epoch(link_pool()).unwrap();
        process.fail_after(steps);
        assert!(matches!(store.grant(link_pool(), BA, 10, 0), Err(KeyError::Io { .. })));
        process.fail_after(1000);
        assert!(matches!(store.grant(link_pool(), BA, 10, 0), Err(KeyError::Refused { .. })));
        assert!(matches!(store.mark(link_pool(), BA), Err(KeyError::Refused { .. })));
        assert!(store.mark(random_pool(), AB).is_ok(), "other pools go on");
        machine.crash(Survives::Synced);
        let again = open(&machine, &entropy).1.unwrap();
        assert_eq!(again.grant(link_pool(), BA, 10, 0).unwrap().len(), 10);
    }
}

#[test]
fn class_and_source_are_told_until_the_segment_is_used_up() {
    struct Declared;
    impl warifu_keystore::KeySource for Declared {
        fn fill(&mut self, target: &mut [u8]) -> std::io::Result<()> {
            target.fill(0x5a);
            Ok(())
        }
        fn class(&self) -> KeyClass {
            KeyClass::InformationTheoretic
        }
        fn name(&self) -> &str {
            "qrng-1"
        }
    }
    let pair = Pair::new();
    let pool = random_pool();
    let segment: SegmentId =
        pair.a.generate_segment(pool, AB, 500, &mut Declared, &mut |_| ()).unwrap();
    let status = pair.a.pool_status(pool).unwrap();
    assert_eq!(status.class, Some(KeyClass::Computational));
    assert_eq!(status.sources, ["generator", "qrng-1"]);
    assert_eq!(status.direction(AB).unwrap().bytes_total, BYTES + 500);
    let mut lease = pair.a.self_lease(pool, BYTES + 100).unwrap();
    assert_eq!(lease.take(BYTES - 50).unwrap().class(), KeyClass::Computational);
    assert_eq!(lease.take(100).unwrap().class(), KeyClass::Computational, "the worst of both");
    assert_eq!(lease.take(50).unwrap().class(), KeyClass::InformationTheoretic);
    drop(lease);
    assert_eq!(pair.a.pool_status(pool).unwrap().class, Some(KeyClass::InformationTheoretic));
    let wrong = pair.a.generate_segment(pool, BA, 10, &mut Declared, &mut |_| ());
    assert!(matches!(wrong, Err(KeyError::Segment { .. })));
    let witness = pair.b.generate_segment(pool, AB, 10, &mut Declared, &mut |_| ());
    assert!(matches!(witness, Err(KeyError::Segment { .. })));
    assert!(pair.a.create_pool(pool, PoolKind::Random, None).is_err());
    assert!(
        pair.machines[0].names().iter().any(|path| path.ends_with(format!("{segment}.segment")))
    );
}
