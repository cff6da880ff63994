//! Files that wait for key, and who goes first.

use super::scenario::QueueRule;
use std::collections::{BTreeSet, VecDeque};

/// Files that wait. The first one holds back all others: nobody with less is let past, so large
/// files are not put off for ever.
pub(super) struct Queue {
    rule: QueueRule,
    /// Individuals who wait: files that count before theirs, and their first file.
    heads: BTreeSet<(u64, usize, usize)>,
    waiting: Vec<VecDeque<usize>>,
    stored: Vec<u64>,
    count: usize,
}

impl Queue {
    /// A queue for so many individuals.
    pub(super) fn new(rule: QueueRule, individuals: usize) -> Self {
        Self {
            rule,
            heads: BTreeSet::new(),
            waiting: vec![VecDeque::new(); individuals],
            stored: vec![0; individuals],
            count: 0,
        }
    }

    /// Adds a file. Files come by ascending number.
    pub(super) fn push(&mut self, file: usize, individual: usize) {
        self.waiting[individual].push_back(file);
        self.count += 1;
        if self.waiting[individual].len() == 1 {
            self.heads.insert(self.head(individual, file));
        }
    }

    /// The file whose turn it is.
    pub(super) fn first(&self) -> Option<usize> {
        self.heads.first().map(|(_, file, _)| *file)
    }

    /// Takes out the first file.
    pub(super) fn pop(&mut self, is_stored: bool) {
        let Some((_, _, individual)) = self.heads.pop_first() else { return };
        self.waiting[individual].pop_front();
        self.count -= 1;
        self.stored[individual] += u64::from(is_stored);
        if let Some(next) = self.waiting[individual].front() {
            self.heads.insert(self.head(individual, *next));
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn head(&self, individual: usize, file: usize) -> (u64, usize, usize) {
        let before = match self.rule {
            QueueRule::Fairest => self.stored[individual],
            QueueRule::FirstCome | QueueRule::Refuse => 0,
        };
        (before, file, individual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rule: QueueRule) -> Vec<usize> {
        let mut queue = Queue::new(rule, 3);
        // One individual brings three files, then two bring one each.
        for (file, individual) in [0, 0, 0, 1, 2].into_iter().enumerate() {
            queue.push(file, individual);
        }
        let mut order = Vec::new();
        while let Some(file) = queue.first() {
            order.push(file);
            queue.pop(true);
        }
        assert_eq!(queue.len(), 0);
        order
    }

    #[test]
    fn first_come_goes_by_number_and_fairest_in_rounds() {
        assert_eq!(order(QueueRule::FirstCome), [0, 1, 2, 3, 4]);
        assert_eq!(order(QueueRule::Fairest), [0, 3, 4, 1, 2]);
    }
}
