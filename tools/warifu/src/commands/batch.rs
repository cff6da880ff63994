//! `backup` of several inputs: what people and scripts see of it.

use super::Context;
use super::backup::ending;
use crate::exit::{Ending, told};
use crate::output::{Output, versioned};
use crate::progress::many::{Line, Many};
use crate::signals::Stop;
use crate::size::{human, human_rate};
use crate::table::{Table, numbers, printable, words};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use warifu_vault::{
    BatchReport, Class, Failure, Forecast, Gathered, Input, LatencyReport, Manner, ObjectReport,
    Onlooker, Outcome, Progress, Refused, Rest, Vault, about,
};

/// Stores all inputs and sums them up.
pub(super) fn store_all(
    context: &Context,
    vault: &Vault,
    gathered: Gathered,
    manner: Manner,
) -> Result<(), Ending> {
    let Gathered { inputs, refused, .. } = gathered;
    let stop = Stop::install()?;
    let bytes = inputs.iter().filter_map(Input::bytes).sum();
    let many = Many::new(context.output, inputs.len(), bytes)?;
    let (all, refused_inputs) = (inputs.len() + refused.len(), refused.len());
    let (outcome, failures, lost_reader) = {
        let show = Show::new(context.output, &stop, &many);
        for Refused { what, failure } in refused {
            show.failed(what, failure);
        }
        let outcome = vault.run_batch(&inputs, manner, stop.flag(), &show);
        let (failures, lost_reader) = show.into_parts();
        (outcome, failures, lost_reader)
    };
    many.finish();
    if let Some(lost) = lost_reader {
        return Err(lost);
    }
    let mut report = outcome.map_err(|failure| stop.ending(failure))?;
    report.failed += refused_inputs;
    context.output.answer(&report, || summary(&report, all))?;
    let cut_short = failures.iter().any(|(_, failure)| failure.code() == "stopped");
    if stop.signal().is_some() && (cut_short || report.not_begun > 0) {
        let what = format!(
            "stopped on request: {} of {all} inputs are stored",
            report.stored + report.skipped
        );
        let next = "run the same again: what is stored is skipped";
        return Err(stop.ending(Failure::new(Class::Temporary, "stopped", what).next(next)));
    }
    ending(all, &failures)
}

/// One stored object of a batch, in JSON.
#[derive(Serialize)]
struct StoredInput<'a> {
    #[serde(flatten)]
    report: &'a ObjectReport,
    path: String,
}

/// One input that an earlier run stored, in JSON.
#[derive(Serialize)]
struct SkippedInput<'a> {
    r#type: &'static str,
    object: &'a str,
    path: String,
}

/// Shows a batch while it runs.
pub(super) struct Show<'a> {
    output: Output,
    stop: &'a Stop,
    many: &'a Many,
    lines: Mutex<BTreeMap<usize, Line<'a>>>,
    failures: Mutex<Vec<(String, Failure)>>,
    /// Set when nobody reads the answers any more.
    lost_reader: Mutex<Option<Ending>>,
    /// What was last said of a queue that waits.
    rest: Mutex<Option<Rest>>,
}

impl<'a> Show<'a> {
    pub(super) fn new(output: Output, stop: &'a Stop, many: &'a Many) -> Self {
        let (lines, failures, lost_reader) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { output, stop, many, lines, failures, lost_reader, rest: Mutex::default() }
    }

    /// What failed, and whether answers could not be given.
    pub(super) fn into_parts(self) -> (Vec<(String, Failure)>, Option<Ending>) {
        let failures = self.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        (failures, self.lost_reader.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<usize, Line<'a>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(String, Failure)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, what: String, failure: Failure) {
        let text = format!("{}: {}", printable(&what), told(&failure));
        self.many.aside(|| self.output.warn(&text));
        self.failures().push((what, failure));
    }

    /// Answers; where that fails, nothing more is begun.
    fn answer<T: Serialize>(&self, document: &T, human: impl FnOnce() -> String) {
        if let Err(lost) = self.many.aside(|| self.output.answer(document, human)) {
            self.stop.flag().store(true, Ordering::Relaxed);
            let mut lost_reader = self.lost_reader.lock().unwrap_or_else(PoisonError::into_inner);
            lost_reader.get_or_insert(lost);
        }
    }
}

impl Onlooker for Show<'_> {
    fn begins(&self, number: usize, input: &Input) {
        self.lines().entry(number).or_insert_with(|| self.many.begin(&name_of(input)));
    }

    fn advances(&self, number: usize, progress: Progress) {
        if let Some(line) = self.lines().get_mut(&number) {
            line.show(progress);
        }
    }

    fn waits(&self, number: usize) {
        self.advances(number, Progress::default());
    }

    fn ends(&self, number: usize, input: &Input, outcome: Outcome) {
        let line = self.lines().remove(&number);
        match outcome {
            Outcome::Stored(report) => {
                line.into_iter().for_each(Line::finish);
                let report = &*report;
                self.answer(&StoredInput { report, path: input.path() }, || {
                    let (size, path) = (human(report.bytes), printable(&input.path()));
                    format!("stored   {}  {size:>10}  {path}\n", report.object)
                });
            }
            Outcome::Skipped { object } => {
                let mut line = line.unwrap_or_else(|| self.many.begin(&name_of(input)));
                let bytes = input.bytes().unwrap_or(0);
                line.show(Progress { done_bytes: bytes, total_bytes: bytes, key_bytes: 0 });
                line.finish();
                let (r#type, object, path) = ("skipped", object.as_str(), input.path());
                self.answer(&versioned(SkippedInput { r#type, object, path }), || {
                    format!("already stored as {object}  {}\n", printable(&input.path()))
                });
            }
            Outcome::Failed(failure) => {
                drop(line);
                self.failed(input.shown(), failure);
            }
        }
    }

    fn is_warned(&self, forecast: &Forecast) {
        let Forecast { inputs, bytes, fitting_inputs, fitting_bytes, shortfall, waiting } =
            forecast;
        let last = waiting.iter().map(|one| one.wait_s).collect::<Option<Vec<_>>>();
        let when = match last.and_then(|times| times.into_iter().max()) {
            Some(seconds) => format!("the last of them in {}", about(seconds)),
            None => "for some of them no key arrives at a rate that would do".to_owned(),
        };
        let text = format!(
            "warning: key covers {fitting_inputs} of {inputs} inputs, {} of {}: the others will \
             fail unless it is added meanwhile\n  because: {shortfall}\n  next: with --wait they \
             are stored as key arrives ({when}); see `warifu key status`, and add key with \
             `warifu key generate`",
            human(*fitting_bytes),
            human(*bytes)
        );
        self.many.aside(|| self.output.warn(&text));
    }

    fn rests(&self, rest: Rest) {
        let mut told = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|before| before.waiting == rest.waiting) {
            return;
        }
        *told = Some(rest);
        let when = match rest.wait_s {
            Some(seconds) => format!("the first of them fits in {}", about(seconds)),
            None => "none fits at the rates at which key arrives: bring some".to_owned(),
        };
        let text = format!("{} wait for key: {when}", rest.waiting);
        self.many.aside(|| self.output.note(&text));
    }
}

fn name_of(input: &Input) -> String {
    let path = input.path();
    let name = std::path::Path::new(&path).file_name();
    name.map_or(path.clone(), |name| name.to_string_lossy().into_owned())
}

pub(super) fn summary(report: &BatchReport, inputs: usize) -> String {
    let mut text = format!(
        "\nstored      {} of {inputs} inputs: {} as {}, in {:.1} s, {}, {:.1} objects/s\n",
        report.stored,
        human(report.bytes),
        human(report.stored_bytes),
        report.seconds,
        human_rate(report.bytes_per_second),
        report.objects_per_second
    );
    for (name, count) in [
        ("skipped     ", report.skipped),
        ("failed      ", report.failed),
        ("not begun   ", report.not_begun),
    ] {
        if count > 0 {
            text += &format!("{name}{count}\n");
        }
    }
    if report.stored == 0 {
        return text;
    }
    let LatencyReport { p50_ms, p90_ms, p99_ms, max_ms, .. } = report.objects;
    text += &format!(
        "an object   half in {p50_ms:.0} ms, 90 % in {p90_ms:.0}, 99 % in {p99_ms:.0}, all in \
         {max_ms:.0}\n"
    );
    text += &format!("key         {} of the random pool, and of links:\n", {
        human(report.random_bytes)
    });
    let columns = [
        words("site"),
        numbers("shares"),
        numbers("key"),
        numbers("sent"),
        numbers("chunk: p50 ms"),
        numbers("p90"),
        numbers("p99"),
        numbers("max"),
    ];
    let ms = |ms: f64| format!("{ms:.1}");
    let sites = Table::new(columns, &report.sites, |site| {
        [
            site.site.clone(),
            site.shares.to_string(),
            human(site.key_bytes),
            human(site.sent_bytes),
            ms(site.chunks.p50_ms),
            ms(site.chunks.p90_ms),
            ms(site.chunks.p99_ms),
            ms(site.chunks.max_ms),
        ]
    });
    format!("{text}\n{sites}")
}
