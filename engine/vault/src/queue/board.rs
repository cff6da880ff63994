//! What the threads of one worker know of the queue together.

use super::{Entry, WorkRequest};
use crate::Input;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use warifu_core::ObjectId;

/// How long an entry that could not be stored for a passing reason is left alone at most, in
/// seconds: each try asks the sites, which takes key. At first it is tried again sooner.
pub(super) const RETRY_S_MAX: u64 = 256;

/// The same of an entry that others have in hand.
const BUSY_S_MAX: u64 = 16;

/// An entry of which the onlooker was told, or is to be.
pub(super) struct Told {
    pub(super) number: usize,
    pub(super) input: Input,
    pub(super) objects: Vec<ObjectId>,
}

/// What is known of the queue.
#[derive(Default)]
pub(super) struct Board {
    /// Entries that can be begun, the first one first.
    pub(super) ready: VecDeque<ObjectId>,
    /// Entries that threads of this process have in hand.
    pub(super) in_hand: Vec<ObjectId>,
    /// How often an entry was tried in vain, and when it may be tried again, in seconds since 1970.
    pub(super) tries: BTreeMap<ObjectId, (u32, u64)>,
    /// What pools and queue were like when an entry that may shrink was last tried.
    pub(super) tried: BTreeMap<ObjectId, String>,
    /// What they were like at the last survey.
    pub(super) seen: String,
    pub(super) looks: u32,
    pub(super) surveyed_unix_s: u64,
    /// Whether something that fits is left alone for a moment.
    pub(super) is_soon: bool,
    /// Entries that the onlooker knows by a number.
    pub(super) told: BTreeMap<ObjectId, Told>,
    /// The next such number.
    numbers: usize,
    /// Entries of `only` that are done with.
    pub(super) settled: BTreeSet<ObjectId>,
    /// When somebody looked last, and how many entries there were; none: it is to be done at once.
    pub(super) looked: Option<(Duration, usize)>,
}

impl Board {
    /// What is known before anybody looked.
    pub(super) fn of(request: WorkRequest<'_>) -> Self {
        let mut board = Self { numbers: request.inputs.len(), ..Self::default() };
        let inputs = request.inputs.iter().cloned().enumerate();
        for (id, (number, input)) in request.only.unwrap_or_default().iter().zip(inputs) {
            board.told.entry(*id).or_insert(Told { number, input, objects: Vec::new() });
        }
        board
    }

    /// The number under which the onlooker knows an entry.
    pub(super) fn number_of(&mut self, entry: &Entry) -> usize {
        let numbers = &mut self.numbers;
        let told = self.told.entry(entry.ticket.id).or_insert_with(|| {
            *numbers += 1;
            let input = Input::queued(entry.ticket.request.clone());
            Told { number: *numbers - 1, input, objects: Vec::new() }
        });
        told.objects.clone_from(&entry.objects);
        told.number
    }

    /// An entry is done with.
    pub(super) fn settle(&mut self, id: ObjectId, request: WorkRequest<'_>) {
        match request.only {
            Some(_) => {
                self.settled.insert(id);
            }
            // Whoever works for months does not remember them all.
            None => {
                self.told.remove(&id);
            }
        }
        self.tries.remove(&id);
        self.tried.remove(&id);
    }

    /// It can't be stored just now: the more often that was so, the longer it is left alone.
    pub(super) fn was_in_vain(&mut self, id: ObjectId, unix_s: u64) {
        let (tries, until) = self.tries.entry(id).or_default();
        *tries += 1;
        *until = unix_s + (1 << (*tries).min(RETRY_S_MAX.ilog2()));
    }

    /// Somebody else has it in hand, which took nothing to find out.
    pub(super) fn was_busy(&mut self, id: ObjectId, unix_s: u64) {
        let (tries, until) = self.tries.entry(id).or_default();
        *tries += 1;
        *until = unix_s + (1 << (*tries).min(BUSY_S_MAX.ilog2()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_left_alone_for_minutes_and_what_is_busy_is_not() {
        let mut board = Board::default();
        let [failing, busy] = [1, 2].map(|number| ObjectId::from_bytes([number; 16]));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            board.was_in_vain(failing, 1000);
            board.was_busy(busy, 1000);
            pauses.push([failing, busy].map(|id| board.tries[&id].1 - 1000));
        }
        assert_eq!(pauses[..4], [[2, 2], [4, 4], [8, 8], [16, 16]]);
        assert_eq!(pauses[4..7], [[32, 16], [64, 16], [128, 16]]);
        assert!(pauses[7..].iter().all(|pause| *pause == [RETRY_S_MAX, BUSY_S_MAX]));
    }
}
