//! The key that all KMEs of a lab share, and who may have which.

use crate::clock::Clock;
use crate::keys::{Key, KeyId, SEED_BYTES, Seed, Waiting, WaitingRoom};
use crate::refusal::{KEYS_NOT_FOUND, Refusal, TOO_LITTLE_KEY};
use crate::setup::{LabSetup, SaeIndex};
use crate::stock::Stock;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The state of a lab, behind one lock that is never held while key is made or sent.
pub(crate) struct Mesh {
    pub(crate) setup: LabSetup,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    stocks: HashMap<Pair, Stock>,
    waiting: WaitingRoom,
    /// The last key of each master and slave, for the fault that delivers it again.
    last: HashMap<(SaeIndex, SaeIndex), Key>,
}

/// Two applications in either order: they have one pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pair(SaeIndex, SaeIndex);

impl Pair {
    fn new(one: SaeIndex, other: SaeIndex) -> Self {
        Self(one.min(other), one.max(other))
    }
}

/// Fresh keys that a master asks for.
pub(crate) struct Order<'a> {
    pub(crate) master: SaeIndex,
    /// The slave of the path, then the additional ones.
    pub(crate) slaves: &'a [SaeIndex],
    pub(crate) count: usize,
    pub(crate) key_bytes: usize,
    /// Does the KME forget what the slave has not had? A fault.
    pub(crate) discards: bool,
    /// Does it deliver the last key of before once more? A fault.
    pub(crate) repeats: bool,
}

/// Keys that a slave asks for by name.
pub(crate) struct Claim<'a> {
    pub(crate) slave: SaeIndex,
    pub(crate) master: SaeIndex,
    pub(crate) ids: &'a [KeyId],
    /// Does the KME keep what it delivers? A fault.
    pub(crate) keeps: bool,
}

impl Mesh {
    pub(crate) fn new(setup: LabSetup, clock: Arc<dyn Clock>) -> Self {
        let waiting = WaitingRoom::new(setup.limits.max_key_count as usize);
        let state = State { stocks: HashMap::new(), waiting, last: HashMap::new() };
        Self { setup, clock, state: Mutex::new(state) }
    }

    /// How many keys of the default size a pair has.
    pub(crate) fn stored_key_count(&self, master: SaeIndex, slave: SaeIndex) -> u64 {
        let now = self.clock.now();
        let bits = self.stock(&mut self.lock(), Pair::new(master, slave)).bits(now);
        bits / u64::from(self.setup.limits.key_size_bits)
    }

    /// Fresh keys, which leave the pools of the master and each slave.
    pub(crate) fn deliver(&self, order: &Order<'_>) -> Result<Vec<Key>, Refusal> {
        let size_bits = (order.key_bytes as u64).saturating_mul(8);
        let bits = (order.count as u64).saturating_mul(size_bits);
        let pool_bits = self.setup.limits.pool_bits();
        if self.setup.rate_bits_per_s > 0 && bits > pool_bits {
            let most = pool_bits / size_bits.max(1);
            let shall = format!("shall be at most {most} for this size: no pool holds more");
            return Err(Refusal::parameter("number", shall));
        }
        let mut keys = draw(order.count, order.key_bytes)?;
        let now = self.clock.now();
        let mut state = self.lock();
        let pairs: HashSet<_> =
            order.slaves.iter().map(|slave| Pair::new(order.master, *slave)).collect();
        let wait_s = pairs.iter().map(|pair| self.stock(&mut state, *pair).wait_s(bits, now)).max();
        if let Some(seconds @ 1..) = wait_s {
            let message = TOO_LITTLE_KEY.to_owned();
            return Err(Refusal::NotNow { message, retry_after_s: Some(seconds) });
        }
        for pair in pairs {
            self.stock(&mut state, pair).take(bits);
        }
        let owners = (order.master, order.slaves[0]);
        if order.discards {
            state.waiting.discard(owners);
        }
        if order.repeats
            && let (Some(first), Some(last)) = (keys.first_mut(), state.last.get(&owners))
        {
            *first = Key { bytes: order.key_bytes, ..last.twin() };
        }
        for key in &keys {
            let due = order.slaves.to_vec();
            let (seed, slaves) = (key.seed.twin(), due.clone());
            state.waiting.put(key.id, Waiting { seed, bytes: key.bytes, owners, slaves, due });
        }
        if let Some(key) = keys.last() {
            state.last.insert(owners, key.twin());
        }
        Ok(keys)
    }

    /// The keys of these names, all or none; each slave has each of them once.
    pub(crate) fn claim(&self, claim: &Claim<'_>) -> Result<Vec<Key>, Refusal> {
        let mut state = self.lock();
        let found: Vec<_> = claim.ids.iter().map(|id| state.waiting.get(id)).collect();
        if found.iter().flatten().any(|key| !key.slaves.contains(&claim.slave)) {
            return Err(Refusal::Unauthorized);
        }
        let is_due =
            |key: &&Waiting| key.owners.0 == claim.master && key.due.contains(&claim.slave);
        let keys = claim.ids.iter().zip(found).map(|(id, key)| {
            let key = key.filter(is_due)?;
            Some(Key { id: *id, seed: key.seed.twin(), bytes: key.bytes })
        });
        let keys = keys.collect::<Option<Vec<_>>>().ok_or_else(|| Refusal::bad(KEYS_NOT_FOUND))?;
        if !claim.keeps {
            for id in claim.ids {
                state.waiting.delivered(id, claim.slave);
            }
        }
        Ok(keys)
    }

    fn stock<'a>(&self, state: &'a mut State, pair: Pair) -> &'a mut Stock {
        state.stocks.entry(pair).or_insert_with(|| {
            let initial_bits = self.setup.initial_bytes.saturating_mul(8);
            let capacity_bits = self.setup.limits.pool_bits();
            // A pool that is first looked at late has been filling since the start all the same.
            let start = Duration::ZERO;
            Stock::new(self.setup.rate_bits_per_s, capacity_bits, initial_bits, start)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names and seeds of new keys, from the operating system.
fn draw(count: usize, key_bytes: usize) -> Result<Vec<Key>, Refusal> {
    let mut random = Zeroizing::new(vec![0; count * (16 + SEED_BYTES)]);
    getrandom::fill(&mut random).map_err(|_| Refusal::NotNow {
        message: "the operating system gives no random bytes".to_owned(),
        retry_after_s: None,
    })?;
    let (parts, _) = random.as_chunks::<{ 16 + SEED_BYTES }>();
    let key = |part: &[u8; 16 + SEED_BYTES]| {
        let (id, seed) = part.split_first_chunk::<16>()?;
        let seed = Seed::new(seed.first_chunk()?);
        Some(Key { id: KeyId::from_random(*id), seed, bytes: key_bytes })
    };
    Ok(parts.iter().filter_map(key).collect())
}
