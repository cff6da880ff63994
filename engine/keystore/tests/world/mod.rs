//! Two parties on simulated machines, speaking as an honest link does, and the one judge of what
//! must never happen: a position handed out twice.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use warifu_core::{Direction, End, KeyRange, LinkId, PoolId, RangeSet, SiteName};
use warifu_keystore::simulated::{Machine, Process};
use warifu_keystore::{
    Confirmation, Entropy, Generator, GrantedKey, KeyError, KeyStore, Lease, PoolKind,
};

pub(crate) const AB: Direction = Direction::AToB;
pub(crate) const BA: Direction = Direction::BToA;

/// Numbers that never repeat, for a run that can be repeated.
#[derive(Default)]
pub(crate) struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, target: &mut [u8]) -> io::Result<()> {
        for chunk in target.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&number.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

pub(crate) fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

pub(crate) fn link() -> LinkId {
    LinkId::from_bytes([0x11; 16])
}

pub(crate) fn link_pool() -> PoolId {
    link().into()
}

pub(crate) fn random_pool() -> PoolId {
    PoolId::from_bytes([0x22; 16])
}

pub(crate) fn open(
    machine: &Machine,
    entropy: &Arc<Counted>,
) -> (Arc<Process>, Result<KeyStore, KeyError>) {
    let process = machine.process();
    (process.clone(), KeyStore::open(process, entropy.clone()))
}

/// Machines A and B with a link of `bytes` in each direction, and A's random pool witnessed by B.
pub(crate) fn pair(bytes: u64, entropy: &Arc<Counted>) -> (Machine, Machine) {
    let (a, b) = (Machine::new(), Machine::new());
    let at_a = KeyStore::create(a.process(), entropy.clone()).unwrap();
    let at_b = KeyStore::create(b.process(), entropy.clone()).unwrap();
    let mut source = Generator::new(entropy.clone());
    for (store, end, peer) in [(&at_a, End::A, "site"), (&at_b, End::B, "gate")] {
        store.create_pool(link_pool(), PoolKind::Link(end), Some(name(peer))).unwrap();
    }
    for direction in [AB, BA] {
        let mut quiet = |_| ();
        let segment =
            at_a.generate_segment(link_pool(), direction, bytes, &mut source, &mut quiet).unwrap();
        let path = format!("pools/{}/{segment}.segment", link_pool());
        let content = a.content(Path::new(&path)).unwrap();
        bring(&b, &content);
        at_b.import_segment(Path::new("/drive/segment")).unwrap();
    }
    at_a.create_pool(random_pool(), PoolKind::Random, None).unwrap();
    at_a.generate_segment(random_pool(), AB, bytes, &mut source, &mut |_| ()).unwrap();
    at_b.create_pool(random_pool(), PoolKind::Witness, Some(name("gate"))).unwrap();
    (a, b)
}

/// Puts a file on a drive that `machine` sees.
pub(crate) fn bring(machine: &Machine, content: &[u8]) {
    use warifu_keystore::medium::{Medium, Opening};
    let drive = machine.process();
    drive.create_dir(Path::new("/drive")).unwrap();
    drive.sync_dir(Path::new("/")).unwrap();
    let file = drive.open(Path::new("/drive/segment"), Opening::Create).unwrap();
    file.truncate(0).unwrap();
    file.write_at(0, content).unwrap();
    file.sync().unwrap();
    drive.sync_dir(Path::new("/drive")).unwrap();
}

/// Every position that was ever handed out, whoever did it.
#[derive(Default)]
pub(crate) struct Judge {
    used: BTreeMap<(PoolId, Direction), RangeSet>,
    pub(crate) handed_out: u64,
}

impl Judge {
    pub(crate) fn hand_out(&mut self, pool: PoolId, direction: Direction, range: KeyRange) {
        let used = self.used.entry((pool, direction)).or_default();
        assert!(!used.intersects(&range), "ONCE: {range} of {pool} {direction:?} handed out twice");
        used.insert(range);
        self.handed_out += range.len();
    }

    pub(crate) fn take(
        &mut self,
        lease: &mut Lease,
        bytes: u64,
    ) -> Result<(KeyRange, Vec<u8>), KeyError> {
        let pad = lease.take(bytes)?;
        self.hand_out(lease.pool(), lease.direction(), pad.range());
        let (range, key) = pad.into_parts();
        Ok((range, key.to_vec()))
    }
}

/// A session that both ends hold for authenticated.
pub(crate) struct Session {
    pub(crate) a_lease: Lease,
    pub(crate) a_granted: GrantedKey,
    pub(crate) b_lease: Lease,
    pub(crate) b_granted: GrantedKey,
}

/// How a handshake ended.
pub(crate) enum Handshake {
    Done(Box<Session>),
    Stopped,
    /// One end found itself rolled back (or merely overtaken) and is ready for another try.
    Again,
}

/// Leases of this many bytes.
pub(crate) const ISLAND: u64 = 96;
pub(crate) const FRAME: u64 = 48;

/// The handshake of FORMAT section 9 as far as key is concerned. It ends after `stop` steps, as if
/// the connection broke there.
pub(crate) fn shake_hands(
    a: &KeyStore,
    b: &KeyStore,
    bytes: u64,
    stop: u8,
    judge: &mut Judge,
) -> Result<Handshake, KeyError> {
    let pool = link_pool();
    let mark_ab = a.mark(pool, AB)?.max(b.mark(pool, AB)?);
    let mark_ba = a.mark(pool, BA)?.max(b.mark(pool, BA)?);
    let island = b.grant(pool, AB, ISLAND, mark_ab)?;
    let mut b_granted = b.granted(pool, AB, island)?;
    if stop == 0 {
        return Ok(Handshake::Stopped);
    }
    let mut a_lease = a.accept(pool, AB, island, Confirmation::Unconfirmed)?;
    if stop == 1 {
        return Ok(Handshake::Stopped);
    }
    let a_offer = a.grant(pool, BA, bytes, mark_ba)?;
    let mut a_granted = a.granted(pool, BA, a_offer)?;
    let a_epoch = a.epoch(pool)?;
    let (range, key) = judge.take(&mut a_lease, FRAME)?;
    if stop == 2 {
        return Ok(Handshake::Stopped); // the frame is lost, and its key is used
    }
    assert_eq!(b_granted.open(range)?.into_parts().1[..], key[..], "both ends hold one key");
    if !meet(b, a, a_epoch)? {
        return Ok(Handshake::Again);
    }
    b.confirm(pool, AB, mark_ab)?;
    b.confirm(pool, BA, mark_ba)?;
    b_granted.confirm()?;
    if stop == 3 {
        return Ok(Handshake::Stopped);
    }
    let mut b_lease = b.accept(pool, BA, a_offer, Confirmation::Authenticated)?;
    let b_offer = b.grant(pool, AB, bytes, 0)?;
    b_granted.extend(b_offer)?;
    let b_epoch = b.epoch(pool)?;
    let (range, key) = judge.take(&mut b_lease, FRAME)?;
    if stop == 4 {
        return Ok(Handshake::Stopped);
    }
    assert_eq!(a_granted.open(range)?.into_parts().1[..], key[..], "both ends hold one key");
    if !meet(a, b, b_epoch)? {
        return Ok(Handshake::Again);
    }
    a.confirm(pool, AB, mark_ab)?;
    a.confirm(pool, BA, mark_ba)?;
    a_granted.confirm()?;
    a_lease.confirm()?;
    if stop == 5 {
        return Ok(Handshake::Stopped);
    }
    a_lease.extend(b_offer)?;
    Ok(Handshake::Done(Box::new(Session { a_lease, a_granted, b_lease, b_granted })))
}

/// `here` sees an opening of `there`; a person accepts every rollback.
fn meet(here: &KeyStore, there: &KeyStore, epoch: u64) -> Result<bool, KeyError> {
    match here.peer_seen(link_pool(), there.incarnation(), epoch) {
        Ok(()) => Ok(true),
        Err(KeyError::PeerRolledBack { highest, .. }) => {
            match there.own_epoch_superseded(link_pool(), highest) {
                Ok(_) => Ok(false),
                Err(KeyError::RolledBack { known, .. }) => {
                    there.accept_rollback(link_pool(), known)?;
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}
