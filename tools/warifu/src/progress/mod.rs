//! Long work: a bar on standard error, and a way to stop.

pub(crate) mod many;

use crate::exit::Ending;
use crate::output::Output;
use crate::signals::Stop;
use crate::size::human;
use crate::table::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use warifu_vault::{Class, Failure, Progress, Watch};

const BAR: &str = "{prefix} {wide_bar} {percent:>3} %, {bytes} of {total_bytes}, \
                   {bytes_per_sec}, {msg}, {eta} to go";
const COUNT: &str = "{prefix} {spinner} {bytes}, {bytes_per_sec}, {msg}, for {elapsed}";

/// Longest name before a bar, in characters.
const NAME_CHARS_MAX: usize = 28;

/// Runs `work` with a bar for people, named `name`, and `stop` to stop it by.
///
/// # Errors
/// Those of `work`; after a signal, the ending by that signal.
pub(crate) fn watched<T>(
    output: Output,
    stop: &Stop,
    name: &str,
    work: impl FnOnce(Watch<'_>) -> Result<T, Failure>,
) -> Result<T, Ending> {
    let mut meter = Meter::new(output, name)?;
    let mut show = |progress| meter.show(progress);
    let outcome = work(Watch { progress: &mut show, stop: stop.flag() });
    meter.bar.finish_and_clear();
    outcome.map_err(|failure| stop.ending(failure))
}

/// A bar once the length is known, a count before. Nothing is drawn until there is progress, so
/// that what is logged before stands on lines of its own.
struct Meter {
    bar: ProgressBar,
    /// Where it will be drawn.
    target: Option<ProgressDrawTarget>,
    with_length: ProgressStyle,
}

impl Meter {
    fn new(output: Output, name: &str) -> Result<Self, Failure> {
        // Where standard error is no terminal, indicatif draws nothing.
        let target = (!output.json && !output.quiet).then(ProgressDrawTarget::stderr);
        let hidden = ProgressDrawTarget::hidden();
        let bar = ProgressBar::with_draw_target(None, hidden).with_style(style(COUNT)?);
        bar.set_prefix(elided(name));
        Ok(Self { bar, target, with_length: style(BAR)? })
    }

    fn show(&mut self, progress: Progress) {
        if let Some(target) = self.target.take() {
            self.bar.set_draw_target(target);
        }
        if progress.total_bytes > 0 && self.bar.length() != Some(progress.total_bytes) {
            self.bar.set_style(self.with_length.clone());
            self.bar.set_length(progress.total_bytes);
        }
        self.bar.set_message(key(progress.key_bytes));
        self.bar.set_position(progress.done_bytes);
    }
}

/// `name` on one line and no longer than a bar leaves room for: its beginning and its end.
fn elided(name: &str) -> String {
    let shown = printable(name);
    let chars = shown.chars().count();
    if chars <= NAME_CHARS_MAX {
        return shown;
    }
    let end = NAME_CHARS_MAX / 2;
    let begin = NAME_CHARS_MAX - end - 1;
    let tail: String = shown.chars().skip(chars - end).collect();
    format!("{}…{tail}", shown.chars().take(begin).collect::<String>())
}

fn key(bytes: u64) -> String {
    format!("key {}", human(bytes))
}

fn style(template: &str) -> Result<ProgressStyle, Failure> {
    ProgressStyle::with_template(template).map_err(|error| {
        Failure::new(Class::Other, "progress", "progress can't be drawn").because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_on_one_line_and_keep_both_ends() {
        assert_eq!(elided("a.bam"), "a.bam");
        assert_eq!(elided("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        let long = format!("sample-{}-L001_R1.fastq.gz", "x".repeat(300));
        let shown = elided(&long);
        assert_eq!(shown.chars().count(), NAME_CHARS_MAX);
        assert!(shown.starts_with("sample-xx") && shown.ends_with("_R1.fastq.gz"), "{shown}");
    }

    #[test]
    fn a_meter_learns_the_length_and_never_runs_over() {
        let mut meter = Meter::new(Output { json: true, quiet: false }, "a.bam").unwrap();
        meter.show(Progress { done_bytes: 5, total_bytes: 0, key_bytes: 0 });
        assert_eq!((meter.bar.position(), meter.bar.length()), (5, None));
        meter.show(Progress { done_bytes: 7, total_bytes: 9, key_bytes: 2048 });
        assert_eq!((meter.bar.position(), meter.bar.length()), (7, Some(9)));
        assert_eq!(meter.bar.message(), "key 2.0 KiB");
    }
}
