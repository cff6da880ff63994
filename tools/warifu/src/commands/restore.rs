//! `restore`

use super::{Context, break_glass, card, consent};
use crate::args::RestoreArgs;
use crate::exit::Ending;
use crate::progress::watched;
use crate::signals::Stop;
use crate::size::{human, human_rate};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;
use warifu_vault::{Failure, Output, Proof, RestoreReport, RestoreRequest, Watch};

/// Gets an object back. What it says goes to standard error where the data goes to standard
/// output.
pub(super) fn restore(context: &Context, args: RestoreArgs) -> Result<(), Ending> {
    let output = match args.output {
        None => Output::OwnName,
        Some(path) if path == Path::new("-") => Output::Stdout,
        Some(path) => Output::Path(path),
    };
    let is_aside = matches!(output, Output::Stdout);
    let vault = context.open()?;
    let stop = Stop::install()?;
    let (range, resume) = (args.range, args.resume);
    let object = vault.resolve(&args.object)?;
    let request = RestoreRequest { object, output, range, resume };
    let consent = args.consent.as_deref().map(consent::token).transpose()?;
    let mut card = consent.as_ref().map(|_| card::open(&args.card)).transpose()?;
    let case = args.break_glass.as_deref().map(break_glass::case).transpose()?;
    let work = |watch: Watch<'_>| {
        if let Some(case) = &case {
            return vault.restore_by_officers(&request, case, watch);
        }
        let proof = consent.as_deref().zip(card.as_deref_mut());
        let proof = proof.map(|(consent, card)| Proof { consent, card });
        vault.restore_with(&request, proof, watch)
    };
    let outcome = watched(context.output, &stop, "restore", work);
    let report = match outcome {
        Err(Ending::Failed(failure)) if is_aside && is_reader_gone(&failure) => {
            return Err(Ending::ReaderGone);
        }
        outcome => outcome?,
    };
    if !context.output.json {
        for rejected in &report.rejected {
            context.output.warn(&format!(
                "warning: the share at site {} was set aside at chunk {}: {}",
                rejected.site, rejected.chunk, rejected.reason
            ));
        }
    }
    match is_aside {
        true => context.output.answer_aside(&report, || restored(&report)),
        false => context.output.answer(&report, || restored(&report)),
    }
}

/// Whether it failed because nobody reads standard output any more.
fn is_reader_gone(failure: &Failure) -> bool {
    let mut cause = failure.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) {
            return failure.code() == "output";
        }
        cause = error.source();
    }
    false
}

fn restored(report: &RestoreReport) -> String {
    let rate = report.bytes as f64 / report.seconds.max(1e-9);
    let mut text = format!("object      {}\n", report.object);
    if let Some(output) = &report.output {
        text += &format!("restored    {output}\n");
    }
    if let Some([from, to]) = report.range {
        text += &format!("range       {from}-{to}\n");
    }
    text += &format!(
        "bytes       {}, in {:.1} s, {}\n",
        human(report.bytes),
        report.seconds,
        human_rate(rate)
    );
    text += &format!("sites       {}\n", report.sites.join(", "));
    text += &format!("key         {}\n", human(report.key_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_vault::Class;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_reader_that_left_is_told_from_a_full_disk_and_a_lost_site() {
        let failure = |code, kind: ErrorKind| {
            Failure::new(Class::Other, code, "failed").because(Outer(kind.into()))
        };
        assert!(is_reader_gone(&failure("output", ErrorKind::BrokenPipe)));
        assert!(!is_reader_gone(&failure("output", ErrorKind::StorageFull)));
        assert!(!is_reader_gone(&failure("site-down", ErrorKind::BrokenPipe)));
        assert!(!is_reader_gone(&Failure::new(Class::Other, "output", "failed")));
    }
}
