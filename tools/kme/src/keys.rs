//! Keys, and those of them that wait for the other end.
//!
//! A key is held as its seed, 32 bytes from the operating system, and made when it is written into
//! an answer: so a pool costs the same memory whatever the size of its keys.

use crate::setup::SaeIndex;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key's seed.
pub(crate) const SEED_BYTES: usize = 32;

/// The name of a key: a UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KeyId([u8; 16]);

impl KeyId {
    /// A name made of random bytes, marked as such (version 4).
    pub(crate) const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The name that `text` spells, in either case; `None` where it is no UUID.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        if text.len() != 36 || (0..36).any(|at| is_dash(at) != (text[at] == b'-')) {
            return None;
        }
        let mut digits = text.iter().filter(|byte| **byte != b'-');
        let mut digit = || char::from(*digits.next()?).to_digit(16).map(|value| value as u8);
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = digit()? << 4 | digit()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What a key is made from; overwritten when it is dropped.
pub(crate) struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    pub(crate) fn new(bytes: &[u8; SEED_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// A second one, for the other end.
    pub(crate) fn twin(&self) -> Self {
        Self(self.0.clone())
    }

    pub(crate) fn bytes(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }
}

/// A key on its way to one end.
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) seed: Seed,
    pub(crate) bytes: usize,
}

impl Key {
    pub(crate) fn twin(&self) -> Self {
        Self { id: self.id, seed: self.seed.twin(), bytes: self.bytes }
    }
}

/// Whose keys these are: the master, and the slave that the request's path named.
pub(crate) type Owners = (SaeIndex, SaeIndex);

/// A key that its master has, and some slave has not.
pub(crate) struct Waiting {
    pub(crate) seed: Seed,
    pub(crate) bytes: usize,
    pub(crate) owners: Owners,
    /// All slaves of the request that made it.
    pub(crate) slaves: Vec<SaeIndex>,
    /// Those of them that have not had it.
    pub(crate) due: Vec<SaeIndex>,
}

/// All keys that wait, at most so many for each pair: the oldest leave first.
pub(crate) struct WaitingRoom {
    keys: HashMap<KeyId, Waiting>,
    queues: HashMap<Owners, Queue>,
    count_max: usize,
}

#[derive(Default)]
struct Queue {
    /// Oldest first; names of keys that have left stay here until they are swept up.
    order: VecDeque<KeyId>,
    waiting_count: usize,
}

impl WaitingRoom {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { keys: HashMap::new(), queues: HashMap::new(), count_max }
    }

    pub(crate) fn get(&self, id: &KeyId) -> Option<&Waiting> {
        self.keys.get(id)
    }

    /// Lets a key wait. One of the same name that waits already is replaced.
    pub(crate) fn put(&mut self, id: KeyId, key: Waiting) {
        self.remove(&id);
        let queue = self.queues.entry(key.owners).or_default();
        queue.order.push_back(id);
        queue.waiting_count += 1;
        self.keys.insert(id, key);
        while queue.waiting_count > self.count_max {
            let Some(oldest) = queue.order.pop_front() else { break };
            if self.keys.remove(&oldest).is_some() {
                queue.waiting_count -= 1;
            }
        }
        // A key that nobody ever asks for must not keep the names of all that came after it.
        if queue.order.len() > 2 * queue.waiting_count + 1024 {
            queue.order.retain(|id| self.keys.contains_key(id));
        }
    }

    /// Notes that `slave` has had a key, which leaves when all have.
    pub(crate) fn delivered(&mut self, id: &KeyId, slave: SaeIndex) {
        let Some(key) = self.keys.get_mut(id) else { return };
        key.due.retain(|due| *due != slave);
        if key.due.is_empty() {
            self.remove(id);
        }
    }

    /// Forgets all keys of one pair.
    pub(crate) fn discard(&mut self, owners: Owners) {
        for id in self.queues.remove(&owners).unwrap_or_default().order {
            self.keys.remove(&id);
        }
    }

    fn remove(&mut self, id: &KeyId) {
        let Some(key) = self.keys.remove(id) else { return };
        if let Some(queue) = self.queues.get_mut(&key.owners) {
            queue.waiting_count -= 1;
            if queue.order.front() == Some(id) {
                queue.order.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNERS: Owners = (SaeIndex(0), SaeIndex(1));

    fn id(number: u8) -> KeyId {
        KeyId::from_random([number; 16])
    }

    fn waiting(slaves: &[u16]) -> Waiting {
        let slaves: Vec<_> = slaves.iter().map(|index| SaeIndex(*index)).collect();
        let seed = Seed::new(&[7; SEED_BYTES]);
        Waiting { seed, bytes: 16, owners: OWNERS, due: slaves.clone(), slaves }
    }

    #[test]
    fn a_name_is_a_uuid_of_version_4_and_reads_in_either_case() {
        let name = KeyId::from_random([0xab; 16]);
        let text = name.to_string();
        assert_eq!(text, "abababab-abab-4bab-abab-abababababab");
        assert_eq!(KeyId::parse(&text), Some(name));
        assert_eq!(KeyId::parse(&text.to_uppercase()), Some(name));
        for wrong in
            ["", "abababab-abab-4bab-abab-ababababab", &text.replace('-', "a"), &"é".repeat(18)]
        {
            assert_eq!(KeyId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_leaves_when_the_last_slave_has_it() {
        let mut room = WaitingRoom::new(10);
        room.put(id(1), waiting(&[1, 2]));
        room.delivered(&id(1), SaeIndex(1));
        room.delivered(&id(1), SaeIndex(1));
        assert_eq!(room.get(&id(1)).unwrap().due, [SaeIndex(2)]);
        room.delivered(&id(1), SaeIndex(2));
        assert!(room.get(&id(1)).is_none());
    }

    #[test]
    fn the_oldest_leave_where_too_many_wait() {
        let mut room = WaitingRoom::new(3);
        for number in 1..=5 {
            room.put(id(number), waiting(&[1]));
        }
        let there: Vec<_> = (1..=5).filter(|number| room.get(&id(*number)).is_some()).collect();
        assert_eq!(there, [3, 4, 5]);
    }

    #[test]
    fn a_key_that_is_never_asked_for_keeps_no_names() {
        let mut room = WaitingRoom::new(1000);
        room.put(KeyId::from_random([0xff; 16]), waiting(&[1]));
        for number in 0_u64..100_000 {
            let mut bytes = [0; 16];
            bytes[8..].copy_from_slice(&number.to_le_bytes());
            let name = KeyId(bytes);
            room.put(name, waiting(&[1]));
            room.delivered(&name, SaeIndex(1));
        }
        assert!(room.queues[&OWNERS].order.len() < 2000);
        assert_eq!(room.keys.len(), 1);
    }

    #[test]
    fn discarded_keys_are_gone() {
        let mut room = WaitingRoom::new(10);
        room.put(id(1), waiting(&[1]));
        room.discard((SaeIndex(1), SaeIndex(0)));
        assert!(room.get(&id(1)).is_some());
        room.discard(OWNERS);
        assert!(room.get(&id(1)).is_none());
    }
}
