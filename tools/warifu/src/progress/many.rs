//! Several inputs on their way at once: one bar for all of them, and a line for each that runs.

use super::{BAR, COUNT, elided, key, style};
use crate::output::Output;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use warifu_vault::{Failure, Progress};

/// What is known of all inputs together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Sum {
    done_inputs: usize,
    failed_inputs: usize,
    done_bytes: u64,
    key_bytes: u64,
}

/// The display of a run over many inputs. Threads share it by reference; nothing is drawn where
/// standard error is no terminal, or answers are JSON, or the run is quiet.
pub(crate) struct Many {
    bars: MultiProgress,
    overall: ProgressBar,
    inputs: usize,
    sum: Mutex<Sum>,
    with_length: ProgressStyle,
    without_length: ProgressStyle,
}

impl Many {
    /// A display for so many inputs of so many bytes together; 0 bytes: not known.
    ///
    /// # Errors
    /// Never: the templates are fixed.
    pub(crate) fn new(
        output: Output,
        total_inputs: usize,
        total_bytes: u64,
    ) -> Result<Self, Failure> {
        let target = match output.json || output.quiet {
            true => ProgressDrawTarget::hidden(),
            // Where standard error is no terminal, indicatif draws nothing.
            false => ProgressDrawTarget::stderr(),
        };
        let (with_length, without_length) = (style(BAR)?, style(COUNT)?);
        let bars = MultiProgress::with_draw_target(target);
        let overall = match total_bytes {
            0 => ProgressBar::no_length().with_style(without_length.clone()),
            bytes => ProgressBar::new(bytes).with_style(with_length.clone()),
        };
        let overall = bars.add(overall);
        let sum = Mutex::new(Sum::default());
        let many = Self { bars, overall, inputs: total_inputs, sum, with_length, without_length };
        many.count(|_| ());
        Ok(many)
    }

    /// Begins the line of one input. Dropped without [`Line::finish`], the input has failed.
    pub(crate) fn begin(&self, name: &str) -> Line<'_> {
        let bar = ProgressBar::no_length().with_style(self.without_length.clone());
        let bar = self.bars.add(bar);
        bar.set_prefix(elided(name));
        Line { many: self, bar, told: Progress::default(), finished: false }
    }

    /// Writes to standard error or output in `work` without the bars getting in the way.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bars.suspend(work)
    }

    /// Takes all bars away.
    pub(crate) fn finish(self) {
        self.overall.finish_and_clear();
        // A terminal that is gone has nothing left to clear.
        let _gone = self.bars.clear();
    }

    /// Changes the sum and shows it.
    fn count(&self, change: impl FnOnce(&mut Sum)) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sum);
        self.overall.set_prefix(head(&sum, self.inputs));
        self.overall.set_message(key(sum.key_bytes));
        self.overall.set_position(sum.done_bytes);
    }
}

fn head(sum: &Sum, inputs: usize) -> String {
    match sum.failed_inputs {
        0 => format!("{} of {inputs} done", sum.done_inputs),
        failed => format!("{} of {inputs} done, {failed} failed", sum.done_inputs),
    }
}

/// One input that runs.
pub(crate) struct Line<'a> {
    many: &'a Many,
    bar: ProgressBar,
    told: Progress,
    finished: bool,
}

impl Line<'_> {
    /// Shows how far it is. A run that starts over may tell less than before.
    pub(crate) fn show(&mut self, progress: Progress) {
        if progress.total_bytes > 0 && self.bar.length() != Some(progress.total_bytes) {
            self.bar.set_style(self.many.with_length.clone());
            self.bar.set_length(progress.total_bytes);
        }
        self.bar.set_message(key(progress.key_bytes));
        self.bar.set_position(progress.done_bytes);
        let told = std::mem::replace(&mut self.told, progress);
        self.many.count(|sum| {
            sum.done_bytes = moved(sum.done_bytes, told.done_bytes, progress.done_bytes);
            sum.key_bytes = moved(sum.key_bytes, told.key_bytes, progress.key_bytes);
        });
    }

    /// The input is stored.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.many.bars.remove(&self.bar);
        let (finished, told) = (self.finished, self.told);
        self.many.count(|sum| match finished {
            true => sum.done_inputs += 1,
            // What was done of it is undone; the key that it took stays taken.
            false => {
                sum.failed_inputs += 1;
                sum.done_bytes = sum.done_bytes.saturating_sub(told.done_bytes);
            }
        });
    }
}

/// A sum in which one part went from `before` to `after`.
fn moved(sum: u64, before: u64, after: u64) -> u64 {
    sum.saturating_sub(before).saturating_add(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(inputs: usize, bytes: u64) -> Many {
        Many::new(Output { json: true, quiet: false }, inputs, bytes).unwrap()
    }

    fn at(done_bytes: u64, key_bytes: u64) -> Progress {
        Progress { done_bytes, total_bytes: 100, key_bytes }
    }

    #[test]
    fn lines_of_many_threads_add_up() {
        let many = many(8, 800);
        std::thread::scope(|scope| {
            for input in 0..8 {
                let many = &many;
                scope.spawn(move || {
                    let mut line = many.begin(&format!("input {input}"));
                    (1..=100).for_each(|done| line.show(at(done, 5 * done)));
                    line.finish();
                });
            }
        });
        let sum = *many.sum.lock().unwrap();
        let expected =
            Sum { done_inputs: 8, failed_inputs: 0, done_bytes: 800, key_bytes: 8 * 500 };
        assert_eq!(sum, expected);
        assert_eq!((many.overall.position(), many.overall.length()), (800, Some(800)));
        assert_eq!(many.overall.prefix(), "8 of 8 done");
        many.finish();
    }

    #[test]
    fn a_failed_input_and_one_that_starts_over_are_counted_right() {
        let many = many(2, 0);
        let mut failing = many.begin("a");
        failing.show(at(70, 350));
        drop(failing);
        assert_eq!(many.overall.prefix(), "0 of 2 done, 1 failed");
        assert_eq!((many.overall.position(), many.overall.message().as_str()), (0, "key 350 B"));
        let mut again = many.begin("b");
        again.show(at(60, 300));
        again.show(at(10, 320));
        assert_eq!((many.overall.position(), again.bar.length()), (10, Some(100)));
        assert_eq!(many.aside(|| 7), 7);
        again.finish();
        assert_eq!(many.overall.prefix(), "1 of 2 done, 1 failed");
    }
}
