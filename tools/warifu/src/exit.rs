//! How a run ends: exit codes, the last words, and the last line that scripts read.

use crate::output::printable_lines;
use crate::signals::SIGNAL_BASE;
use serde::Serialize;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use warifu_vault::{Class, Failure};

/// The number of SIGPIPE, as which a run ends whose reader went away.
const SIGPIPE: u8 = 13;

/// Exit code of a run that did what was asked, but not all of it.
const DEGRADED: u8 = 3;

/// What to do about deviations.
const DEVIATIONS_NEXT: &str = "see what was found of each above, and tell who made the KME";

/// Any end of a run but the good one.
pub(crate) enum Ending {
    /// It failed.
    Failed(Failure),
    /// Of several inputs, some were done and some not; what failed has been told.
    Degraded {
        /// Those that were not.
        failed: Vec<FailedInput>,
    },
    /// Everything was looked at, and not all of it is as it must be.
    Deviations {
        /// How many are not.
        count: usize,
    },
    /// It was stopped by this signal.
    Signal {
        /// The signal's number.
        signal: u8,
        /// How the operation ended.
        failure: Failure,
    },
    /// Nobody reads standard output any more.
    ReaderGone,
}

/// An input that was skipped, and why.
#[derive(Serialize)]
pub(crate) struct FailedInput {
    /// As it was given.
    pub(crate) path: String,
    /// The stable code.
    pub(crate) code: &'static str,
    /// The failure's class.
    pub(crate) class: &'static str,
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The last line on standard error, with `--json`, of a run that does not end in 0.
#[derive(Serialize)]
struct LastLine<'a> {
    v: u32,
    r#type: &'static str,
    code: u8,
    class: &'a str,
    retryable: bool,
    next: &'a str,
    /// In how many seconds the forecast has it go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    failed: &'a [FailedInput],
}

impl Ending {
    fn last_line(&self) -> LastLine<'_> {
        let line = |code, class, retryable, next| LastLine {
            v: 1,
            r#type: "exit",
            code,
            class,
            retryable,
            next,
            retry_after_seconds: None,
            failed: &[],
        };
        match self {
            Self::Failed(failure) => {
                let class = failure.class();
                let (code, retryable) = (class.exit_code(), failure.is_retryable());
                LastLine {
                    retry_after_seconds: failure.wait_s(),
                    ..line(code, class.as_str(), retryable, failure.advice())
                }
            }
            Self::Degraded { failed } => {
                let next = "mend what failed, then give those inputs again";
                LastLine { failed, ..line(DEGRADED, "degraded", false, next) }
            }
            Self::Deviations { .. } => line(DEGRADED, "degraded", false, DEVIATIONS_NEXT),
            Self::Signal { signal, .. } => {
                let code = SIGNAL_BASE.saturating_add(*signal);
                line(code, "signal", true, "it was stopped from outside: run it again")
            }
            Self::ReaderGone => line(SIGNAL_BASE.saturating_add(SIGPIPE), "signal", false, ""),
        }
    }

    /// What a person reads.
    fn told(&self) -> String {
        match self {
            Self::Failed(failure) | Self::Signal { failure, .. } => told(failure),
            Self::Degraded { failed } => {
                let mut text = format!("error[some-failed]: {} not done:\n", inputs(failed.len()));
                for input in failed {
                    text += &format!("  {}: {}\n", input.path, input.code);
                }
                text
            }
            Self::Deviations { count } => {
                let checks = if *count == 1 { "1 check" } else { &format!("{count} checks") };
                format!("error[kme-deviates]: {checks} deviate\n  next: {DEVIATIONS_NEXT}\n")
            }
            Self::ReaderGone => String::new(),
        }
    }
}

impl Ending {
    /// Where a person finds more. Of the command line, its help says more.
    fn hint(&self) -> String {
        match self {
            Self::Failed(failure) if failure.code() != "usage" => {
                format!("  see `warifu explain {}`\n", failure.code())
            }
            Self::Deviations { .. } => "  see `warifu explain kme-deviates`\n".to_owned(),
            Self::Failed(_) | Self::Degraded { .. } | Self::Signal { .. } | Self::ReaderGone => {
                String::new()
            }
        }
    }
}

fn inputs(count: usize) -> String {
    match count {
        1 => "1 input was".to_owned(),
        _ => format!("{count} inputs were"),
    }
}

/// Runs `work`; a panic becomes a failure, so that scripts get their exit code then too.
pub(crate) fn guarded(work: impl FnOnce() -> Result<(), Ending>) -> Result<(), Ending> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "warifu contradicts itself (its own words are above)";
        Err(Failure::new(Class::Other, "internal", what)
            .next("this is a fault of warifu: please report it")
            .into())
    })
}

/// Says the last words and gives the exit code.
pub(crate) fn end(outcome: Result<(), Ending>, json: bool) -> ExitCode {
    let Err(ending) = outcome else { return ExitCode::SUCCESS };
    write_error(&printable_lines(&ending.told()));
    if !json && std::io::stderr().is_terminal() {
        write_error(&ending.hint());
    }
    let last = ending.last_line();
    if json {
        write_last_line(&last);
    }
    ExitCode::from(last.code)
}

/// Ends a run whose arguments were not understood, or that asks for help or the version.
pub(crate) fn end_unparsed(
    refused: &clap::Error,
    arguments: impl Iterator<Item = OsString>,
) -> ExitCode {
    // Where nobody reads the help, there is nobody to tell.
    let _unread = refused.print();
    if !refused.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let next = "see `warifu --help`, or `--help` after a command";
    let ending = Ending::Failed(Failure::new(Class::Usage, "usage", "usage").next(next));
    if asks_for_json(arguments) {
        write_last_line(&ending.last_line());
    }
    ExitCode::from(Class::Usage.exit_code())
}

fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// A failure as people read it: what, why, and what to do next.
pub(crate) fn told(failure: &Failure) -> String {
    let mut text = format!("error[{}]: {failure}\n", failure.code());
    let mut cause = failure.source();
    let mut before = failure.to_string();
    while let Some(error) = cause {
        let told = error.to_string();
        cause = error.source();
        // Wrappers say again what they wrap.
        if before.contains(&told) {
            continue;
        }
        text += &format!("  because: {}\n", told.trim_end().replace('\n', "\n    "));
        before = told;
    }
    if !failure.advice().is_empty() {
        text += &format!("  next: {}\n", failure.advice());
    }
    text
}

fn write_last_line(last: &LastLine<'_>) {
    if let Ok(line) = serde_json::to_string(last) {
        write_error(&format!("{line}\n"));
    }
}

/// Writes to standard error; where that is closed, there is nobody to tell.
pub(crate) fn write_error(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _unread = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn failure(class: Class) -> Failure {
        Failure::new(class, "some-code", "it failed").next("do this")
    }

    fn last(ending: &Ending) -> serde_json::Value {
        serde_json::to_value(ending.last_line()).unwrap()
    }

    #[test]
    fn every_class_has_the_exit_code_that_scripts_rely_on() {
        let cases = [
            (Class::Other, 1, "other", false),
            (Class::Usage, 2, "usage", false),
            (Class::Damage, 4, "damage", false),
            (Class::Unrecoverable, 5, "unrecoverable", false),
            (Class::Temporary, 6, "temporary", true),
            (Class::Key, 7, "key-budget", true),
            (Class::NotFound, 10, "not-found", false),
            (Class::Busy, 11, "busy", true),
            (Class::Authentication, 12, "authentication", false),
            (Class::Forged, 13, "forged", false),
            (Class::Rollback, 14, "rollback", false),
            (Class::Incompatible, 15, "incompatible", false),
            (Class::Limit, 16, "limit", false),
        ];
        for (class, code, word, retryable) in cases {
            let expected = serde_json::json!({
                "v": 1, "type": "exit", "code": code, "class": word, "retryable": retryable,
                "next": "do this"
            });
            assert_eq!(last(&Ending::Failed(failure(class))), expected);
        }
    }

    #[test]
    fn signals_and_lost_readers_end_as_a_shell_would_say() {
        let stopped = Ending::Signal { signal: 15, failure: failure(Class::Temporary) };
        assert_eq!(last(&stopped)["code"], 143);
        assert_eq!(
            (&last(&stopped)["class"], &last(&stopped)["retryable"]),
            (&"signal".into(), &true.into())
        );
        assert_eq!(last(&Ending::ReaderGone)["code"], 141);
        assert_eq!(Ending::ReaderGone.told(), "");
    }

    #[test]
    fn failures_point_to_their_explanation_and_usage_does_not() {
        let hint = |code| Ending::from(Failure::new(Class::Usage, code, "w")).hint();
        assert_eq!(hint("domain-rule"), "  see `warifu explain domain-rule`\n");
        assert_eq!(hint("usage"), "");
        assert_eq!(Ending::ReaderGone.hint(), "");
    }

    #[test]
    fn skipped_inputs_are_listed() {
        let input =
            FailedInput { path: "b.bam".to_owned(), code: "key-short", class: "key-budget" };
        let ending = Ending::Degraded { failed: vec![input] };
        let last = last(&ending);
        assert_eq!((&last["code"], &last["class"]), (&3.into(), &"degraded".into()));
        assert_eq!(last["failed"][0]["path"], "b.bam");
        assert_eq!(
            ending.told(),
            "error[some-failed]: 1 input was not done:\n  b.bam: key-short\n"
        );
    }

    #[test]
    fn deviations_end_as_something_not_all_good() {
        let ending = Ending::Deviations { count: 2 };
        let last = last(&ending);
        assert_eq!((&last["code"], &last["class"]), (&3.into(), &"degraded".into()));
        assert!(ending.told().starts_with("error[kme-deviates]: 2 checks deviate\n"));
    }

    #[test]
    fn people_read_what_why_and_next() {
        let cause = io::Error::other("line one\nline two\n");
        let failure = failure(Class::Other).because(cause);
        assert_eq!(
            told(&failure),
            "error[some-code]: it failed\n  because: line one\n    line two\n  next: do this\n"
        );
        let bare = Failure::new(Class::Other, "c", "w");
        assert_eq!(told(&bare), "error[c]: w\n");
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        let outcome = guarded(|| panic!("on purpose"));
        let Err(Ending::Failed(failure)) = outcome else { panic!("not a failure") };
        assert_eq!((failure.class(), failure.code()), (Class::Other, "internal"));
    }

    #[test]
    fn json_is_asked_for_before_a_double_dash_only() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        assert!(asks("warifu list --json"));
        assert!(!asks("warifu list --jsonx"));
        assert!(!asks("warifu backup -- --json"));
        assert!(!asks("--json"));
    }
}
