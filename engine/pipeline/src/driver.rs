//! Who decides what happens next where several sites could act.
//!
//! The step machines of backup and restore decide *what* must happen; a driver decides in which
//! order. [`Driver::Threads`] lets the system decide, [`Driver::Steps`] a [`Chooser`], on one
//! thread: the same choices then make the same run, byte for byte.

use std::sync::Arc;

/// Decides what happens next.
pub trait Chooser: Send + Sync {
    /// One of `count` possibilities, from 0; `count` is at least 1.
    fn choose(&self, count: usize) -> usize;
}

/// How work at several sites is interleaved.
#[derive(Clone, Default)]
pub enum Driver {
    /// A thread for each site.
    #[default]
    Threads,
    /// One step after the other on this thread, as the chooser says.
    Steps(Arc<dyn Chooser>),
}

impl Driver {
    /// Does `work` with every item, at once or in any order, and waits for all. What came of them
    /// is in the order of the items.
    pub fn at_each<T: Send, R: Send>(&self, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        match self {
            Self::Threads => at_each_on_threads(items, &work),
            Self::Steps(chooser) => at_each_in_steps(items, &work, chooser.as_ref()),
        }
    }
}

fn at_each_on_threads<T: Send, R: Send>(items: Vec<T>, work: &(impl Fn(T) -> R + Sync)) -> Vec<R> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn at_each_in_steps<T, R>(items: Vec<T>, work: &impl Fn(T) -> R, chooser: &dyn Chooser) -> Vec<R> {
    let mut waiting: Vec<(usize, T)> = items.into_iter().enumerate().collect();
    let mut outcomes = Vec::new();
    while !waiting.is_empty() {
        let (place, item) = waiting.remove(chooser.choose(waiting.len()));
        outcomes.push((place, work(item)));
    }
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Always the last possibility.
    struct Last;

    impl Chooser for Last {
        fn choose(&self, count: usize) -> usize {
            count - 1
        }
    }

    #[test]
    fn outcomes_keep_the_order_of_the_items_whatever_was_first() {
        let done = Mutex::new(Vec::new());
        let work = |item: u32| {
            done.lock().unwrap().push(item);
            item * 10
        };
        let driver = Driver::Steps(Arc::new(Last));
        assert_eq!(driver.at_each(vec![1, 2, 3], work), [10, 20, 30]);
        assert_eq!(*done.lock().unwrap(), [3, 2, 1]);
        assert_eq!(Driver::Threads.at_each(vec![1, 2, 3], work), [10, 20, 30]);
    }
}
