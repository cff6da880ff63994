//! A deliverer in memory, seen from both ends of a link, that fails as it is told to.

use crate::delivery::{DeliveredKeys, DeliveryError, DeliveryLimits, KeyDelivery, KeyId};
use crate::fetch::FetchManner;
use crate::pairing::{Deliverer, Deliveries};
use crate::source::{Entropy, Generator, KeySource};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_buffers::Block;
use warifu_core::{End, KeyClass, SiteName};

/// How the next answer of a deliverer fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// There is no key just now.
    NotNow,
    /// The request never arrived.
    LostRequest,
    /// What was delivered never arrived.
    LostAnswer,
    /// The answer before comes again, names and all.
    Repeat,
    /// The keys are shorter than they should be.
    Short,
    /// One bit is another at this end.
    Differ,
    /// All keys that wait for the other end are thrown away.
    Discard,
    /// A key of zeros.
    Zeros,
    /// The names come in another order.
    Shuffle,
    /// It refuses for good.
    Refuse,
}

struct Waiting {
    /// Delivered to end A, by name, for end B to have once.
    keys: BTreeMap<KeyId, Block>,
    source: Generator,
    entropy: Arc<dyn Entropy>,
    limits: DeliveryLimits,
    faults: [VecDeque<Fault>; 2],
    last: [Option<(Vec<KeyId>, Vec<u8>)>; 2],
}

/// The deliverer of one link.
#[derive(Clone)]
pub struct SimulatedKme {
    waiting: Arc<Mutex<Waiting>>,
}

/// One end of it.
struct KmeEnd {
    kme: SimulatedKme,
    end: End,
}

impl SimulatedKme {
    /// A deliverer that draws from `entropy`, of keys of `key_bytes` bytes, at most `keys_max` at
    /// a time.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>, key_bytes: u64, keys_max: u64) -> Self {
        let limits = DeliveryLimits {
            key_bytes_default: key_bytes,
            key_bytes_min: 1,
            key_bytes_max: key_bytes.max(1 << 20),
            keys_per_request_max: keys_max,
            keys_stored: u64::MAX,
            keys_stored_max: u64::MAX,
        };
        let waiting = Waiting {
            keys: BTreeMap::new(),
            source: Generator::new(entropy.clone()),
            entropy,
            limits,
            faults: Default::default(),
            last: Default::default(),
        };
        Self { waiting: Arc::new(Mutex::new(waiting)) }
    }

    /// It as `end` sees it.
    #[must_use]
    pub fn at(&self, end: End) -> Arc<dyn KeyDelivery> {
        Arc::new(KmeEnd { kme: self.clone(), end })
    }

    /// It as the one deliverer of `end`, for whatever peer, with segments of `segment_bytes`.
    #[must_use]
    pub fn serving(&self, end: End, segment_bytes: u64) -> Arc<dyn Deliveries> {
        let (delivery, class) = (self.at(end), KeyClass::Computational);
        let peer = "the other end".to_owned();
        let manner = FetchManner { in_flight_max: 1, ..FetchManner::default() };
        let watermark_bytes = None;
        Arc::new(One(Deliverer { delivery, peer, class, segment_bytes, manner, watermark_bytes }))
    }

    /// Lets the next answers to `end` fail so, one after the other.
    pub fn fail(&self, end: End, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults[end as usize].extend(faults);
    }

    /// Forgets how it was told to fail.
    pub fn clear_faults(&self) {
        self.lock().faults = Default::default();
    }

    /// Keys that wait for end B.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().keys.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct One(Deliverer);

impl Deliveries for One {
    fn deliverer(&self, _peer: &SiteName) -> Option<Deliverer> {
        Some(self.0.clone())
    }
}

impl Waiting {
    fn fault(&mut self, end: End) -> Option<Fault> {
        self.faults[end as usize].pop_front()
    }

    fn make(&mut self, count: u64, key_bytes: usize) -> Result<DeliveredKeys, DeliveryError> {
        let count = count.clamp(1, self.limits.keys_per_request_max);
        let failed = |error: std::io::Error| lost(&error.to_string());
        let mut names = Vec::new();
        let mut all = Vec::new();
        for _ in 0..count {
            let mut name = [0; 16];
            self.entropy.fill(&mut name).map_err(failed)?;
            let mut key = Block::zeroed(key_bytes);
            self.source.fill(&mut key).map_err(failed)?;
            all.extend_from_slice(&key);
            names.push(KeyId::from_bytes(name));
            self.keys.insert(KeyId::from_bytes(name), key);
        }
        Ok(DeliveredKeys { names, key_bytes, material: Block::copy_of(&all) })
    }

    fn give(&mut self, names: &[KeyId], key_bytes: usize) -> Result<DeliveredKeys, DeliveryError> {
        let gone = || DeliveryError::Gone { deliverer: NAME.to_owned(), why: "no such key".into() };
        if names.iter().any(|name| !self.keys.contains_key(name)) {
            return Err(gone());
        }
        let mut all = Vec::new();
        for name in names {
            all.extend_from_slice(&self.keys.remove(name).ok_or_else(gone)?);
        }
        Ok(DeliveredKeys { names: names.to_vec(), key_bytes, material: Block::copy_of(&all) })
    }

    fn answer(
        &mut self,
        end: End,
        make: impl FnOnce(&mut Self) -> Result<DeliveredKeys, DeliveryError>,
    ) -> Result<DeliveredKeys, DeliveryError> {
        let fault = self.fault(end);
        let (deliverer, why) = (NAME.to_owned(), "as it was told to".to_owned());
        match fault {
            Some(Fault::NotNow) => {
                return Err(DeliveryError::NotNow { deliverer, why, after: None });
            }
            Some(Fault::LostRequest) => return Err(lost("the request")),
            Some(Fault::Refuse) => return Err(DeliveryError::Refused { deliverer, why }),
            Some(Fault::Discard) => self.keys.clear(),
            _ => {}
        }
        let mut made = make(self)?;
        match (fault, self.last[end as usize].take()) {
            (Some(Fault::Repeat), Some((names, key))) => {
                made = DeliveredKeys {
                    names,
                    key_bytes: made.key_bytes,
                    material: Block::copy_of(&key),
                };
            }
            (Some(Fault::LostAnswer), _) => return Err(lost("the answer")),
            (Some(Fault::Short), _) => made.material.truncate(made.material.len() - 1),
            (Some(Fault::Differ), _) => made.material[0] ^= 1,
            (Some(Fault::Zeros), _) => made.material.fill(0),
            (Some(Fault::Shuffle), _) => made.names.reverse(),
            _ => {}
        }
        self.last[end as usize] = Some((made.names.clone(), made.material.to_vec()));
        Ok(made)
    }
}

const NAME: &str = "kme:simulated";

fn lost(why: &str) -> DeliveryError {
    DeliveryError::Lost { deliverer: NAME.to_owned(), why: why.to_owned() }
}

impl KeyDelivery for KmeEnd {
    fn name(&self) -> &str {
        NAME
    }

    fn limits(&self, _peer: &str) -> Result<DeliveryLimits, DeliveryError> {
        Ok(self.kme.lock().limits)
    }

    fn fresh_keys(
        &self,
        _peer: &str,
        count: u64,
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError> {
        self.kme.lock().answer(self.end, |waiting| waiting.make(count, key_bytes))
    }

    fn named_keys(
        &self,
        _peer: &str,
        names: &[KeyId],
        key_bytes: usize,
    ) -> Result<DeliveredKeys, DeliveryError> {
        self.kme.lock().answer(self.end, |waiting| waiting.give(names, key_bytes))
    }
}
