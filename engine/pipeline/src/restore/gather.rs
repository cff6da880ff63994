//! The step machine of a restore: whom to ask for which chunk, and when a chunk is whole. Chunks
//! are handed on in the order in which they were taken up, whatever their numbers.
//!
//! No thread, clock or connection. A share is set aside at its first miss and another one is
//! asked for whatever it still owed.

use std::collections::{BTreeMap, VecDeque};
use warifu_buffers::Block;

/// A share chunk whose hash was right, standing in `frame[from..from + bytes]`.
pub struct Part {
    /// The buffer that it came in.
    pub frame: Block,
    /// Where the content begins.
    pub from: usize,
    /// Its length.
    pub bytes: usize,
}

impl Part {
    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.frame[self.from..self.from + self.bytes]
    }
}

/// Ask `lane` for chunk `index`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Which lane.
    pub lane: usize,
    /// Which chunk.
    pub index: u64,
}

/// Too few shares are left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotEnough {
    /// Shares still good.
    pub good: usize,
}

/// Chunks on their way, and the lanes that serve them.
pub struct Gatherer {
    k: usize,
    active: Vec<usize>,
    spare: VecDeque<usize>,
    /// Chunks in the order in which they were taken up, with their parts by lane.
    underway: VecDeque<(u64, BTreeMap<usize, Option<Part>>)>,
}

impl Gatherer {
    /// A machine that asks the first `k` of `lanes` and falls back on the others in order.
    ///
    /// # Errors
    /// Where there are fewer than `k`.
    pub fn new(k: usize, lanes: impl IntoIterator<Item = usize>) -> Result<Self, NotEnough> {
        let mut spare: VecDeque<usize> = lanes.into_iter().collect();
        if spare.len() < k {
            return Err(NotEnough { good: spare.len() });
        }
        let active = spare.drain(..k).collect();
        Ok(Self { k, active, spare, underway: VecDeque::new() })
    }

    /// Number of chunks on their way.
    #[must_use]
    pub fn underway(&self) -> usize {
        self.underway.len()
    }

    /// Takes up chunk `index`.
    pub fn admit(&mut self, index: u64) -> Vec<Ask> {
        let parts = self.active.iter().map(|&lane| (lane, None)).collect();
        self.underway.push_back((index, parts));
        self.active.iter().map(|&lane| Ask { lane, index }).collect()
    }

    /// A good part arrived. One from a lane that was set aside meanwhile is dropped.
    pub fn arrived(&mut self, lane: usize, index: u64, part: Part) {
        let chunk = self.underway.iter_mut().find(|(underway, _)| *underway == index);
        if let Some(place) = chunk.and_then(|(_, parts)| parts.get_mut(&lane)) {
            *place = Some(part);
        }
    }

    /// A lane failed: it is never asked again, and a spare one takes over what it owed. Parts
    /// that it delivered before proved right and stay.
    ///
    /// # Errors
    /// Where no spare is left.
    pub fn failed(&mut self, lane: usize) -> Result<Vec<Ask>, NotEnough> {
        let Some(position) = self.active.iter().position(|&active| active == lane) else {
            self.spare.retain(|&spare| spare != lane);
            return Ok(Vec::new());
        };
        let Some(replacement) = self.spare.pop_front() else {
            return Err(NotEnough { good: self.k - 1 });
        };
        self.active[position] = replacement;
        let mut asks = Vec::new();
        for (index, parts) in &mut self.underway {
            let index = *index;
            if matches!(parts.get(&lane), Some(None)) {
                parts.remove(&lane);
                parts.insert(replacement, None);
                asks.push(Ask { lane: replacement, index });
            }
        }
        Ok(asks)
    }

    /// The chunk that was taken up first, if all its parts are there: index, and the parts with
    /// their lanes.
    pub fn take_next(&mut self) -> Option<(u64, Vec<(usize, Part)>)> {
        let is_whole = |(_, parts): &mut (u64, BTreeMap<usize, Option<Part>>)| {
            parts.values().all(Option::is_some)
        };
        let (index, parts) = self.underway.pop_front_if(is_whole)?;
        let parts = parts.into_iter().filter_map(|(lane, part)| Some((lane, part?))).collect();
        Some((index, parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        Part { frame: Block::zeroed(16), from: 0, bytes: 16 }
    }

    fn lanes(asks: &[Ask]) -> Vec<usize> {
        asks.iter().map(|ask| ask.lane).collect()
    }

    #[test]
    fn a_failed_lane_is_replaced_for_what_it_owed_only() {
        let mut gatherer = Gatherer::new(2, [4, 2, 0]).unwrap();
        assert_eq!(lanes(&gatherer.admit(7)), [4, 2]);
        assert_eq!(lanes(&gatherer.admit(1)), [4, 2]);
        gatherer.arrived(4, 7, part());
        assert!(gatherer.take_next().is_none());
        assert_eq!(gatherer.failed(4).unwrap(), [Ask { lane: 0, index: 1 }]);
        gatherer.arrived(4, 1, part());
        gatherer.arrived(2, 1, part());
        gatherer.arrived(0, 1, part());
        assert!(gatherer.take_next().is_none(), "chunk 7 was asked for first");
        gatherer.arrived(2, 7, part());
        let (index, parts) = gatherer.take_next().unwrap();
        assert_eq!((index, parts.iter().map(|part| part.0).collect()), (7, vec![2, 4]));
        let (index, parts) = gatherer.take_next().unwrap();
        assert_eq!((index, parts.iter().map(|part| part.0).collect()), (1, vec![0, 2]));
        assert_eq!(lanes(&gatherer.admit(2)), [0, 2]);
        assert_eq!(gatherer.failed(2), Err(NotEnough { good: 1 }));
    }

    #[test]
    fn fewer_than_k_lanes_are_refused_at_once() {
        assert_eq!(Gatherer::new(3, [0, 1]).err(), Some(NotEnough { good: 2 }));
        let mut gatherer = Gatherer::new(2, [0, 1, 2]).unwrap();
        assert_eq!(gatherer.failed(2), Ok(vec![]), "a spare that failed is not used later");
        assert_eq!(gatherer.failed(0), Err(NotEnough { good: 1 }));
    }
}
