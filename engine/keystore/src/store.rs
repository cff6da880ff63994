//! The key store: creating and opening it, its pools, and what they still hold.

use crate::entry::Entry;
use crate::error::KeyError;
use crate::live::{LIVE, live_path};
use crate::medium::{Medium, MediumFile, Opening};
use crate::pool::{DIRECTIONS, Pool, PoolKind, Role, folder_of, write_new};
use crate::record::Kind;
use crate::source::Entropy;
use crate::spent::Eraser;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use warifu_core::id::Incarnation;
use warifu_core::{
    Direction, End, KeyClass, KeyRange, LinkId, PoolId, RangeSet, SegmentId, SiteName,
};

const POOLS: &str = "pools";
const LOCK: &str = "lock";

/// A key store, opened by this process. Cheap to clone: all clones are one opening.
///
/// Any number of processes may have one store open. The last handle (leases and grants count) that
/// is dropped closes the opening; a process that ends without that burns its leases.
#[derive(Clone)]
pub struct KeyStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) incarnation: Incarnation,
    pools: Mutex<BTreeMap<PoolId, Arc<Pool>>>,
    registry: Mutex<Arc<dyn MediumFile>>,
    pub(crate) eraser: Eraser,
    /// Locked for as long as this process lives.
    _live: Arc<dyn MediumFile>,
}

/// What a pool holds.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// The pool.
    pub pool: PoolId,
    /// What it is for.
    pub kind: PoolKind,
    /// The site at the other end.
    pub peer: Option<SiteName>,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The worst class among segments that are not wholly used; `None` where all are.
    pub class: Option<KeyClass>,
    /// The names of its segments' sources, each once.
    pub sources: Vec<String>,
    /// Its directions, `AToB` first.
    pub directions: Vec<DirectionStatus>,
}

/// What one direction of a pool holds. `left + leased + consumed + burned = total`, except in a
/// witness pool, which has no key of its own: its `bytes_total` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectionStatus {
    /// Which direction.
    pub direction: Direction,
    /// Whether this end seals in it.
    pub is_holder: bool,
    /// Bytes in all segments ever added.
    pub bytes_total: u64,
    /// Bytes that can still be granted or accepted.
    pub bytes_left: u64,
    /// Bytes granted or accepted and not yet accounted for otherwise.
    pub bytes_leased: u64,
    /// Bytes used and erased (in a witness pool: granted).
    pub bytes_consumed: u64,
    /// Bytes burned without use.
    pub bytes_burned: u64,
    /// The confirmed mark.
    pub mark: u64,
}

impl PoolStatus {
    /// The status of one direction.
    #[must_use]
    pub fn direction(&self, direction: Direction) -> Option<&DirectionStatus> {
        self.directions.iter().find(|status| status.direction == direction)
    }
}

impl KeyStore {
    /// Creates an empty key store and opens it.
    ///
    /// # Errors
    /// [`KeyError::StoreExists`] where there is one; I/O.
    pub fn create(medium: Arc<dyn Medium>, entropy: Arc<dyn Entropy>) -> Result<Self, KeyError> {
        if medium.list(Path::new(POOLS)).is_ok() {
            return Err(KeyError::StoreExists);
        }
        let root = Path::new("");
        for folder in [LIVE, POOLS] {
            let made = medium.create_dir(Path::new(folder)).and_then(|()| medium.sync_dir(root));
            made.map_err(KeyError::io("create", folder))?;
        }
        Self::open(medium, entropy)
    }

    /// Opens a key store. Leases of processes that are gone are burned, and their key is erased.
    ///
    /// # Errors
    /// [`KeyError::NoStore`]; [`KeyError::LedgerLost`] and [`KeyError::LedgerDamaged`], for any
    /// pool; a segment that is missing or is not what the ledger tells of; I/O.
    pub fn open(medium: Arc<dyn Medium>, entropy: Arc<dyn Entropy>) -> Result<Self, KeyError> {
        if medium.list(Path::new(POOLS)).is_err() {
            return Err(KeyError::NoStore);
        }
        let failed = KeyError::io("open", LOCK);
        let registry = medium.open(Path::new(LOCK), Opening::Create).map_err(failed)?;
        registry.lock().map_err(KeyError::io("lock", LOCK))?;
        let opened = Self::register(medium, entropy, registry.clone());
        registry.unlock().map_err(KeyError::io("unlock", LOCK))?;
        opened
    }

    /// The opening that this process made, drawn afresh.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// Creates a pool without any key.
    ///
    /// # Errors
    /// [`KeyError::PoolExists`]; [`KeyError::PeerNameTaken`] where another link has that peer; I/O.
    pub fn create_pool(
        &self,
        id: PoolId,
        kind: PoolKind,
        peer: Option<SiteName>,
    ) -> Result<(), KeyError> {
        let registry = self.inner.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.lock().map_err(KeyError::io("lock", LOCK))?;
        let created = self.expect_free_name(id, kind, peer.as_ref()).and_then(|()| {
            let inner = &self.inner;
            write_new(&*inner.medium, id, kind, peer.as_ref(), inner.incarnation)
        });
        registry.unlock().map_err(KeyError::io("unlock", LOCK))?;
        created
    }

    /// Waits until all key used so far is durably destroyed and counted as consumed: what the
    /// medium destroys in the background counts as leased meanwhile. A claim still held is not
    /// waited for.
    pub fn settle(&self) {
        self.inner.eraser.finish();
    }

    /// What every pool holds, by identifier.
    ///
    /// # Errors
    /// As [`KeyStore::open`] for pools that another process created since; I/O.
    pub fn pools(&self) -> Result<Vec<PoolStatus>, KeyError> {
        self.all_pools()?.iter().map(|pool| status_of(pool)).collect()
    }

    /// What one pool holds.
    ///
    /// # Errors
    /// [`KeyError::NoPool`]; as [`KeyStore::pools`].
    pub fn pool_status(&self, pool: PoolId) -> Result<PoolStatus, KeyError> {
        status_of(&*self.pool(pool)?)
    }

    /// The link with this party at its other end, and which end of it is here. Of several, as from
    /// before names were kept apart, it is the one that the other end finds, too.
    ///
    /// # Errors
    /// As [`KeyStore::pools`].
    pub fn link_with(&self, peer: &SiteName) -> Result<Option<(LinkId, End)>, KeyError> {
        Ok(self.all_pools()?.iter().find_map(|pool| match pool.kind {
            PoolKind::Link(end) if pool.peer.as_ref() == Some(peer) => {
                Some((LinkId::from_bytes(*pool.id.bytes()), end))
            }
            _ => None,
        }))
    }

    /// Draws a new random identifier of a pool or link.
    ///
    /// # Errors
    /// Where the entropy fails.
    pub fn draw_pool_id(&self) -> Result<PoolId, KeyError> {
        Ok(PoolId::from_bytes(self.inner.draw()?))
    }

    pub(crate) fn pool(&self, id: PoolId) -> Result<Arc<Pool>, KeyError> {
        let mut pools = self.inner.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&id) {
            return Ok(pool.clone());
        }
        let missing = KeyError::NoPool { pool: id };
        if self.inner.medium.list(&folder_of(id)).is_err() {
            return Err(missing);
        }
        let pool = Pool::open(&self.inner.medium, id, self.inner.incarnation)?.ok_or(missing)?;
        let pool = Arc::new(pool);
        pools.insert(id, pool.clone());
        Ok(pool)
    }

    pub(crate) fn all_pools(&self) -> Result<Vec<Arc<Pool>>, KeyError> {
        let ids = pool_ids(&*self.inner.medium)?;
        let pools = ids.into_iter().map(|id| match self.pool(id) {
            Err(KeyError::NoPool { .. }) => Ok(None),
            result => result.map(Some),
        });
        pools.filter_map(Result::transpose).collect()
    }

    /// Refuses where another link's peer has the name.
    pub(crate) fn expect_free_name(
        &self,
        id: PoolId,
        kind: PoolKind,
        peer: Option<&SiteName>,
    ) -> Result<(), KeyError> {
        let (PoolKind::Link(_), Some(peer)) = (kind, peer) else { return Ok(()) };
        let taken = self.all_pools()?.into_iter().find(|other| {
            matches!(other.kind, PoolKind::Link(_))
                && other.id != id
                && other.peer.as_ref() == Some(peer)
        });
        taken.map_or(Ok(()), |other| {
            let link = LinkId::from_bytes(*other.id.bytes());
            Err(KeyError::PeerNameTaken { name: peer.clone(), link })
        })
    }

    fn register(
        medium: Arc<dyn Medium>,
        entropy: Arc<dyn Entropy>,
        registry: Arc<dyn MediumFile>,
    ) -> Result<Self, KeyError> {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes).map_err(KeyError::io("draw randomness for", LIVE))?;
        let incarnation = Incarnation::from_bytes(bytes);
        let census = Census::take(&*medium)?;
        let failed = || KeyError::io("create", LIVE);
        let path = live_path(incarnation);
        let live = medium.open(&path, Opening::CreateNew).map_err(failed())?;
        live.lock().and_then(|()| live.sync()).map_err(failed())?;
        medium.sync_dir(Path::new(LIVE)).map_err(failed())?;
        let inner = Inner {
            eraser: Eraser::new(medium.takes_threads()),
            medium,
            entropy,
            incarnation,
            pools: Mutex::default(),
            registry: Mutex::new(registry),
            _live: live,
        };
        let store = Self { inner: Arc::new(inner) };
        for pool in store.all_pools()? {
            settle(&pool, &census)?;
        }
        for dead in census.dead.keys() {
            let removed = store.inner.medium.remove(&live_path(*dead));
            removed.map_err(KeyError::io("remove a file in", LIVE))?;
        }
        store.collect_litter(&census)?;
        Ok(store)
    }

    /// Removes segment files whose filling was cut short. Nothing of them was ever used.
    fn collect_litter(&self, census: &Census) -> Result<(), KeyError> {
        for pool in self.all_pools()? {
            let names = self.inner.medium.list(&pool.folder);
            let names = names.map_err(KeyError::io("list", &pool.folder))?;
            self.tidy_pairing(&pool, &names)?;
            for name in names {
                let owner = name.strip_suffix(".filling").and_then(|stem| stem.split_once('.'));
                let owner = owner.and_then(|(_, owner)| owner.parse().ok());
                if owner.is_some_and(|owner| !census.alive.contains(&owner)) {
                    let path = pool.folder.join(name);
                    self.inner.medium.remove(&path).map_err(KeyError::io("remove", path))?;
                }
            }
        }
        Ok(())
    }
}

impl Inner {
    pub(crate) fn draw(&self) -> Result<[u8; 16], KeyError> {
        let mut bytes = [0; 16];
        let drawn = self.entropy.fill(&mut bytes);
        drawn.map_err(KeyError::io("draw randomness for", "an identifier"))?;
        Ok(bytes)
    }

    pub(crate) fn draw_segment(&self) -> Result<SegmentId, KeyError> {
        Ok(SegmentId::from_bytes(self.draw()?))
    }

    fn close(&self) -> Result<(), KeyError> {
        self.eraser.finish();
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools.values() {
            for direction in DIRECTIONS {
                let rest =
                    pool.locked(|entry| Ok(entry.side(direction).held_by(self.incarnation)))?;
                pool.abandon(direction, &rest)?;
            }
        }
        let removed = self.medium.remove(&live_path(self.incarnation));
        removed.map_err(KeyError::io("remove a file in", LIVE))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What cannot be closed here counts as a death at the next opening, and burns.
        let _closed = self.close();
    }
}

/// Who lives and who died without closing.
struct Census {
    alive: BTreeSet<Incarnation>,
    /// With their locks, so that nobody takes them for alive meanwhile.
    dead: BTreeMap<Incarnation, Arc<dyn MediumFile>>,
}

impl Census {
    /// Asks each live file's lock. The store's lock is held, so nobody is half registered.
    fn take(medium: &dyn Medium) -> Result<Self, KeyError> {
        let mut census = Self { alive: BTreeSet::new(), dead: BTreeMap::new() };
        let names = medium.list(Path::new(LIVE)).map_err(KeyError::io("list", LIVE));
        for name in names.or_else(|_| recreate_live(medium))? {
            let Ok(incarnation) = name.parse::<Incarnation>() else { continue };
            let failed = || KeyError::io("lock a file in", LIVE);
            let file = match medium.open(&live_path(incarnation), Opening::Existing) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.map_err(failed())?,
            };
            if file.try_lock().map_err(failed())? {
                census.dead.insert(incarnation, file);
            } else {
                census.alive.insert(incarnation);
            }
        }
        Ok(census)
    }
}

/// A copy may have left the empty folder behind.
fn recreate_live(medium: &dyn Medium) -> Result<Vec<String>, KeyError> {
    let made = medium.create_dir(Path::new(LIVE)).and_then(|()| medium.sync_dir(Path::new("")));
    made.map_err(KeyError::io("create", LIVE))?;
    Ok(Vec::new())
}

fn pool_ids(medium: &dyn Medium) -> Result<Vec<PoolId>, KeyError> {
    let names = medium.list(Path::new(POOLS)).map_err(KeyError::io("list", POOLS))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Burns the leases of the dead and erases what was burned.
fn settle(pool: &Pool, census: &Census) -> Result<(), KeyError> {
    let burned = pool.locked(|entry| {
        for direction in DIRECTIONS {
            for (owner, range) in leases_of_the_gone(pool, entry, direction, census) {
                entry.append_of(Kind::Burned, direction, range, owner)?;
            }
        }
        Ok(DIRECTIONS.map(|direction| {
            let side = entry.side(direction);
            let mut rest = side.burned.clone();
            side.zeroised.iter().for_each(|range| rest.remove(range));
            rest
        }))
    })?;
    DIRECTIONS
        .iter()
        .zip(&burned)
        .try_for_each(|(direction, rest)| pool.erase(*direction, rest, rest))
}

fn leases_of_the_gone(
    pool: &Pool,
    entry: &Entry<'_>,
    direction: Direction,
    census: &Census,
) -> Vec<(Incarnation, KeyRange)> {
    if pool.kind == PoolKind::Witness {
        return Vec::new(); // the grants are the peer's, and stay granted
    }
    let outstanding = entry.side(direction).outstanding.iter();
    outstanding
        .filter(|(owner, _)| !census.alive.contains(owner))
        .flat_map(|(owner, held)| held.iter().map(move |range| (*owner, range)))
        .collect()
}

fn status_of(pool: &Pool) -> Result<PoolStatus, KeyError> {
    let (directions, spent) = pool.locked(|entry| {
        let mut directions = Vec::new();
        for direction in DIRECTIONS {
            if let Some(role) = pool.kind.role(direction) {
                directions.push(direction_status(pool.kind, entry, direction, role));
            }
        }
        Ok((directions, DIRECTIONS.map(|direction| spent(entry, direction))))
    })?;
    let segments = pool.segments();
    let unspent = segments.iter().filter(|one| {
        !spent[usize::from(one.header.direction.to_byte())].contains(&one.header.range)
    });
    let sources: BTreeSet<_> = segments.iter().map(|one| one.header.source.clone()).collect();
    Ok(PoolStatus {
        pool: pool.id,
        kind: pool.kind,
        peer: pool.peer.clone(),
        created: pool.created.clone(),
        class: unspent.map(|one| one.header.class).max(),
        sources: sources.into_iter().collect(),
        directions,
    })
}

/// What will never be handed out any more.
fn spent(entry: &Entry<'_>, direction: Direction) -> RangeSet {
    let side = entry.side(direction);
    side.burned.iter().chain(side.zeroised.iter()).collect()
}

fn direction_status(
    kind: PoolKind,
    entry: &Entry<'_>,
    direction: Direction,
    role: Role,
) -> DirectionStatus {
    let side = entry.side(direction);
    let mut consumed = side.zeroised.clone();
    side.burned.iter().for_each(|range| consumed.remove(range));
    let mut leased = side.taken.clone();
    for range in side.burned.iter().chain(side.zeroised.iter()) {
        leased.remove(range);
    }
    let (leased, consumed) = match kind {
        PoolKind::Witness => (0, side.taken.len()),
        PoolKind::Link(_) | PoolKind::Random => (leased.len(), consumed.len()),
    };
    DirectionStatus {
        direction,
        is_holder: role == Role::Holder,
        bytes_total: side.end,
        bytes_left: side.end.saturating_sub(side.used.len()),
        bytes_leased: leased,
        bytes_consumed: consumed,
        bytes_burned: side.burned.len(),
        mark: side.mark,
    }
}
