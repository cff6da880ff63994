//! `plugin test`: the suites that every store passes, over a plugin in a process of its own.

use crate::commands::Context;
use crate::exit::Ending;
use crate::table::printable;
use serde::Serialize;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use warifu_backend::conformance::{objects_cases, store_cases};
use warifu_backend::{Error, MemoryStore, Objects, ShareStore, SpooledStore};
use warifu_plugin_host::{Apart, PluginConfig};
use warifu_vault::{Class, Failure, plugin_process};

/// How long one call of the plugin may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a case came to.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// One case.
#[derive(Serialize)]
struct CaseRow {
    suite: &'static str,
    case: &'static str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    seconds: f64,
}

/// What `plugin test` answers.
#[derive(Serialize)]
struct Trial {
    v: u32,
    r#type: &'static str,
    plugin: String,
    version: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    cases: Vec<CaseRow>,
}

/// Runs the suites.
pub(super) fn run(
    context: &Context,
    library: &Path,
    settings: &[String],
    only: Option<&str>,
    junit: Option<&Path>,
) -> Result<(), Ending> {
    let about = super::about(library)?;
    let absolute = std::path::absolute(library).map_err(|error| unusable("path", &error))?;
    let mut config = PluginConfig::new(absolute);
    config.patience = PATIENCE;
    for setting in settings {
        config.set(setting).map_err(|error| unusable("setting", &error))?;
    }
    let plugin = Apart::open(&config, plugin_process).map_err(|error| unusable("store", &error))?;
    let kept = plugin.list().map_err(|error| unusable("store", &error))?;
    if !kept.is_empty() {
        let what = format!("the store holds {} objects, and the test deletes all", kept.len());
        let failure = Failure::new(Class::Usage, "plugin-store-used", what);
        return Err(failure.next("give it settings that name an empty store").into());
    }
    let cases = Runner { plugin: Arc::new(plugin), only }.all();
    let count = |outcome| cases.iter().filter(|row| row.outcome == outcome).count();
    let trial = Trial {
        v: 1,
        r#type: "plugin-test",
        plugin: about.name,
        version: about.version,
        passed: count(Outcome::Passed),
        failed: count(Outcome::Failed),
        skipped: count(Outcome::Skipped),
        cases,
    };
    if let Some(file) = junit {
        std::fs::write(file, trial.junit()).map_err(|error| unusable("file", &error))?;
    }
    context.output.answer(&trial, || trial.table())?;
    if trial.failed > 0 {
        let what = format!("{} of {} cases failed", trial.failed, trial.cases.len());
        let next = "`--only NAME` repeats one of them; ABI.md says what must hold";
        return Err(Failure::new(Class::Other, "plugin-faulty", what).next(next).into());
    }
    Ok(())
}

fn unusable(part: &str, error: &dyn std::error::Error) -> Failure {
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    let what = format!("the plugin's {part} can't be used: {error}{cause}");
    Failure::new(Class::Usage, "plugin-unfit", what).next("mend what the error names")
}

/// Runs cases, each on the plugin's one store, emptied before.
struct Runner<'a> {
    plugin: Arc<Apart>,
    only: Option<&'a str>,
}

impl Runner<'_> {
    fn all(&self) -> Vec<CaseRow> {
        let said = Arc::new(Mutex::new(String::new()));
        let hook = std::panic::take_hook();
        let heard = Arc::clone(&said);
        // What a case says when it fails belongs into its row.
        std::panic::set_hook(Box::new(move |info| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.is_empty() {
                *heard = info.payload_as_str().unwrap_or("it panicked").to_owned();
            }
        }));
        let mut rows = Vec::new();
        for case in objects_cases() {
            let able = case.is_for(self.plugin.capability());
            rows.extend(self.one("objects", case.name(), able, &said, || {
                case.run(&*self.plugin);
            }));
        }
        for case in store_cases() {
            let store = SpooledStore::new(self.plugin.clone(), Arc::new(MemoryStore::new()));
            let able = case.is_for(store.capability());
            rows.extend(self.one("store", case.name(), able, &said, || case.run(&store)));
        }
        std::panic::set_hook(hook);
        rows
    }

    fn one(
        &self,
        suite: &'static str,
        case: &'static str,
        able: bool,
        said: &Mutex<String>,
        run: impl FnOnce(),
    ) -> Option<CaseRow> {
        if self.only.is_some_and(|only| !case.contains(only)) {
            return None;
        }
        if !able {
            let message = "the plugin does not promise it".to_owned();
            return Some(CaseRow { suite, case, outcome: Outcome::Skipped, message, seconds: 0.0 });
        }
        let (started, lock) =
            (Instant::now(), || said.lock().unwrap_or_else(PoisonError::into_inner));
        lock().clear();
        let outcome = match self.emptied() {
            Err(error) => {
                *lock() = format!("the store can't be emptied: {error}");
                Outcome::Failed
            }
            Ok(()) if catch_unwind(AssertUnwindSafe(run)).is_ok() => Outcome::Passed,
            Ok(()) => Outcome::Failed,
        };
        let message = match outcome {
            Outcome::Failed => lock().clone(),
            _ => String::new(),
        };
        Some(CaseRow { suite, case, outcome, message, seconds: started.elapsed().as_secs_f64() })
    }

    fn emptied(&self) -> Result<(), Error> {
        self.plugin.list()?.iter().try_for_each(|entry| self.plugin.delete(&entry.name))
    }
}

impl Trial {
    fn table(&self) -> String {
        let mut text = format!("{} {}\n", self.plugin, self.version);
        for row in &self.cases {
            let outcome = match row.outcome {
                Outcome::Passed => "passed ",
                Outcome::Failed => "FAILED ",
                Outcome::Skipped => "skipped",
            };
            let colon = if row.message.is_empty() { "" } else { ": " };
            let message = printable(&row.message);
            let _written = writeln!(text, "{outcome}  {} {}{colon}{message}", row.suite, row.case);
        }
        let Self { passed, failed, skipped, .. } = self;
        let _written = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
        text
    }

    fn junit(&self) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" \
             failures=\"{}\" skipped=\"{}\">\n",
            escaped(&self.plugin),
            self.cases.len(),
            self.failed,
            self.skipped
        );
        for row in &self.cases {
            let inner = match row.outcome {
                Outcome::Passed => String::new(),
                Outcome::Failed => format!("<failure message=\"{}\"/>", escaped(&row.message)),
                Outcome::Skipped => format!("<skipped message=\"{}\"/>", escaped(&row.message)),
            };
            let _written = writeln!(
                text,
                "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{inner}</testcase>",
                row.suite, row.case, row.seconds
            );
        }
        text + "</testsuite>\n"
    }
}

/// Text within an attribute of XML, which holds no control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}
