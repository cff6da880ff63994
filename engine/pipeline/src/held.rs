//! Which slots of a share are held, and under which attempt.

use crate::backup::weave::Slot;
use std::collections::BTreeMap;
use warifu_link::ShareClass;
use warifu_link::body::HeldRun;

/// Slots with the attempt of each, kept as runs: a share that was written without trouble takes one
/// run, however long it is.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Held {
    /// By its first slot, one past the last index of a run, and its attempt.
    runs: BTreeMap<Slot, (u64, u32)>,
}

impl Held {
    /// The attempt of `slot`, if it is held.
    #[must_use]
    pub fn attempt(&self, slot: Slot) -> Option<u32> {
        self.run_of(slot).map(|(_, (_, attempt))| attempt)
    }

    /// Counts `slot` as held under `attempt`, whatever it was held under before.
    ///
    /// # Panics
    /// For an index of 2^64 - 1, which no share has.
    pub fn insert(&mut self, slot: Slot, attempt: u32) {
        let at = |index| Slot { index, ..slot };
        if let Some((first, (end, before))) = self.run_of(slot) {
            if before == attempt {
                return;
            }
            self.runs.remove(&first);
            if first.index < slot.index {
                self.runs.insert(first, (slot.index, before));
            }
            if slot.index + 1 < end {
                self.runs.insert(at(slot.index + 1), (end, before));
            }
        }
        let (mut first, mut end) = (slot, slot.index + 1);
        let before = self.runs.range(..slot).next_back();
        if let Some((start, (run_end, run_attempt))) = before
            && (start.class, *run_end, *run_attempt) == (slot.class, slot.index, attempt)
        {
            first = *start;
        }
        if let Some((run_end, run_attempt)) = self.runs.get(&at(end)).copied()
            && run_attempt == attempt
        {
            self.runs.remove(&at(end));
            end = run_end;
        }
        self.runs.insert(first, (end, attempt));
    }

    /// Adds a run that a site names; it lies above all that is held.
    pub(crate) fn push(&mut self, run: &HeldRun) {
        let first = Slot { class: run.class, index: run.start };
        self.runs.insert(first, (run.end, run.attempt));
    }

    /// All runs, ascending.
    pub fn runs(&self) -> impl Iterator<Item = HeldRun> + '_ {
        self.runs.iter().map(|(first, (end, attempt))| HeldRun {
            class: first.class,
            attempt: *attempt,
            start: first.index,
            end: *end,
        })
    }

    /// Number of runs.
    #[must_use]
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// The slots that are held here and not under the same attempt in `other`.
    pub fn lacking<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Slot> + 'a {
        self.runs().flat_map(move |run| {
            (run.start..run.end)
                .map(move |index| Slot { class: run.class, index })
                .filter(move |slot| other.attempt(*slot) != Some(run.attempt))
        })
    }

    /// The highest attempt, or `None` where nothing is held.
    #[must_use]
    pub fn highest_attempt(&self) -> Option<u32> {
        self.runs.values().map(|(_, attempt)| *attempt).max()
    }

    /// One past the highest slot of `class` that is held.
    #[must_use]
    pub fn end(&self, class: ShareClass) -> u64 {
        let of_class = self.runs().filter(|run| run.class == class);
        of_class.map(|run| run.end).max().unwrap_or(0)
    }

    fn run_of(&self, slot: Slot) -> Option<(Slot, (u64, u32))> {
        let (first, run) = self.runs.range(..=slot).next_back()?;
        (first.class == slot.class && slot.index < run.0).then_some((*first, *run))
    }
}

impl FromIterator<(Slot, u32)> for Held {
    fn from_iter<T: IntoIterator<Item = (Slot, u32)>>(slots: T) -> Self {
        let mut held = Self::default();
        slots.into_iter().for_each(|(slot, attempt)| held.insert(slot, attempt));
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(class: u8, index: u64) -> Slot {
        Slot { class: ShareClass::from_number(class).unwrap(), index }
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(
            inserted in prop::collection::vec((0u8..3, 0u64..12, 0u32..3), 0..60),
            others in prop::collection::vec((0u8..3, 0u64..12, 0u32..3), 0..60),
        ) {
            let slots = |list: &[(u8, u64, u32)]| -> Vec<(Slot, u32)> {
                list.iter().map(|(class, index, held)| (slot(*class, *index), *held)).collect()
            };
            let (inserted, others) = (slots(&inserted), slots(&others));
            let (held, other): (Held, Held) =
                (inserted.iter().copied().collect(), others.iter().copied().collect());
            let (plain, plain_other): (BTreeMap<_, _>, BTreeMap<_, _>) =
                (inserted.into_iter().collect(), others.into_iter().collect());
            for class in 0..3 {
                for index in 0..14 {
                    let slot = slot(class, index);
                    prop_assert_eq!(held.attempt(slot), plain.get(&slot).copied());
                }
                let end = plain.keys().filter(|held| held.class.number() == class);
                prop_assert_eq!(
                    held.end(ShareClass::from_number(class).unwrap()),
                    end.map(|slot| slot.index + 1).max().unwrap_or(0)
                );
            }
            prop_assert_eq!(held.highest_attempt(), plain.values().copied().max());
            let lacking: Vec<Slot> = plain
                .iter()
                .filter(|(slot, attempt)| plain_other.get(slot) != Some(*attempt))
                .map(|(slot, _)| *slot)
                .collect();
            prop_assert_eq!(held.lacking(&other).collect::<Vec<_>>(), lacking);
            // Runs are as few as can be, and what they say on a wire is read back.
            let runs: Vec<HeldRun> = held.runs().collect();
            let apart = |one: &HeldRun, next: &HeldRun| {
                one.class != next.class || one.end < next.start || one.attempt != next.attempt
            };
            let are_apart = runs.iter().zip(&runs[runs.len().min(1)..]).all(|(a, b)| apart(a, b));
            prop_assert!(are_apart);
            let mut body = Vec::new();
            runs.iter().for_each(|run| run.encode(&mut body));
            let mut again = Held::default();
            HeldRun::decode_all(&body).unwrap().iter().for_each(|run| again.push(run));
            prop_assert_eq!(again, held);
        }
    }
}
