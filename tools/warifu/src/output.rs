//! Answers on standard output, notes on standard error. Nothing else in this crate writes to
//! standard output, the data of `restore -o -` aside.

use crate::exit::{Ending, write_error};
use crate::table::printable;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use warifu_vault::{Class, Failure};

/// How this run speaks.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    /// Whether answers are JSON.
    pub(crate) json: bool,
    /// Whether notes and progress are left out.
    pub(crate) quiet: bool,
}

/// An answer of one document, with the version of its schema.
#[derive(Serialize)]
pub(crate) struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    document: T,
}

/// Adds the version to a document.
pub(crate) fn versioned<T>(document: T) -> Versioned<T> {
    Versioned { v: 1, document }
}

impl Output {
    /// Answers, in one line of JSON or as `human` writes it.
    ///
    /// # Errors
    /// Where standard output can't be written.
    pub(crate) fn answer<T: Serialize>(
        &self,
        document: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), Ending> {
        write_answer(&self.text(document, human)?)
    }

    /// Answers as [`Self::answer`] does, but a text for other programs, left exactly as it is.
    ///
    /// # Errors
    /// Where standard output can't be written.
    pub(crate) fn answer_raw<T: Serialize>(&self, document: &T, raw: &str) -> Result<(), Ending> {
        match self.json {
            true => self.answer(document, String::new),
            false => write_answer(raw),
        }
    }

    /// Answers on standard error, where standard output carries data.
    ///
    /// # Errors
    /// Where the document is no JSON.
    pub(crate) fn answer_aside<T: Serialize>(
        &self,
        document: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), Ending> {
        if self.json || !self.quiet {
            write_error(&self.text(document, human)?);
        }
        Ok(())
    }

    /// Tells people something that is no answer.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            write_error(&printable_lines(&format!("{}\n", text.trim_end())));
        }
    }

    /// Tells people something that went wrong and did not end the run.
    pub(crate) fn warn(&self, text: &str) {
        write_error(&printable_lines(&format!("{}\n", text.trim_end())));
    }

    fn text<T: Serialize>(
        &self,
        document: &T,
        human: impl FnOnce() -> String,
    ) -> Result<String, Failure> {
        if !self.json {
            return Ok(printable_lines(&human()));
        }
        let line = serde_json::to_string(document).map_err(|error| {
            Failure::new(Class::Other, "json", "the answer can't be written as JSON").because(error)
        })?;
        Ok(line + "\n")
    }
}

/// `text` with all control characters but line ends escaped.
pub(crate) fn printable_lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => shown.extend([&printable(line), "\n"]),
            None => shown += &printable(line),
        }
    }
    shown
}

/// Writes `text` to standard output, all of it at once.
///
/// # Errors
/// [`Ending::ReaderGone`] on a broken pipe; where it can't be written for another reason.
fn write_answer(text: &str) -> Result<(), Ending> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

fn written(outcome: io::Result<()>) -> Result<(), Ending> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Ending::ReaderGone),
        Err(error) => {
            let what = "the answer can't be written to standard output";
            Err(Failure::new(Class::Other, "stdout", what).because(error).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_pipe_is_no_failure_and_a_full_disk_is() {
        let outcome = |kind: ErrorKind| written(Err(kind.into()));
        assert!(matches!(outcome(ErrorKind::BrokenPipe), Err(Ending::ReaderGone)));
        let full = outcome(ErrorKind::StorageFull);
        assert!(matches!(full, Err(Ending::Failed(failure)) if failure.code() == "stdout"));
        assert!(written(Ok(())).is_ok());
    }

    #[test]
    fn answers_are_one_line_of_json_or_what_people_read() {
        #[derive(Serialize)]
        struct Row {
            site: &'static str,
        }
        let row = versioned(Row { site: "a\nb" });
        let text = |json| {
            let output = Output { json, quiet: false };
            output.text(&row, || "for people\u{7}\n".to_owned()).map_err(|_| ())
        };
        assert_eq!(text(true), Ok("{\"v\":1,\"site\":\"a\\nb\"}\n".to_owned()));
        assert_eq!(text(false), Ok("for people\\u{7}\n".to_owned()));
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }
}
