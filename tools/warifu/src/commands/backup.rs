//! `backup`

use super::Context;
use super::list::secrecy;
use crate::args::BackupArgs;
use crate::exit::{Ending, FailedInput, told};
use crate::progress::watched;
use crate::signals::Stop;
use crate::size::{human, human_rate};
use crate::table::{Table, numbers, words};
use serde::Serialize;
use std::path::Path;
use warifu_core::IndividualId;
use warifu_vault::{BackupRequest, Class, Failure, ObjectReport, PlanReport, Source, Vault, Watch};

/// What became of one input.
#[derive(Serialize)]
#[serde(untagged)]
enum Report {
    Stored(ObjectReport),
    Planned(PlanReport),
}

/// Stores every path as an object. One that fails does not keep the others from being stored.
pub(super) fn backup(context: &Context, args: &BackupArgs) -> Result<(), Ending> {
    let sources = sources(args)?;
    let vault = context.open()?;
    if args.resume && args.paths.is_empty() {
        return resume_all(context, &vault);
    }
    let individual = args.individual.as_ref().ok_or_else(|| {
        let what = "--individual is missing";
        Failure::new(Class::Usage, "usage", what).next("say whose the files are")
    })?;
    // A plan takes no time: it ends at once by a signal.
    let stop = if args.dry_run { Stop::never() } else { Stop::install()? };
    let mut failures = Vec::new();
    let inputs = sources.len();
    for (path, source) in args.paths.iter().zip(sources) {
        let request = request(args, individual, source);
        let outcome = match args.dry_run {
            true => vault.dry_run(&request).map(Report::Planned).map_err(Ending::from),
            false => {
                let whose = (path.as_path(), args.resume);
                store(context, &vault, &stop, whose, &request).map(Report::Stored)
            }
        };
        match outcome {
            Ok(report) => context.output.answer(&report, || match &report {
                Report::Stored(report) => stored(report),
                Report::Planned(report) => planned(report),
            })?,
            Err(Ending::Failed(failure)) if inputs > 1 => {
                context.output.warn(&format!("{}: {}", path.display(), told(&failure)));
                failures.push((path.as_path(), failure));
            }
            Err(ending) => return Err(ending),
        }
    }
    ending(inputs, failures)
}

fn store(
    context: &Context,
    vault: &Vault,
    stop: &Stop,
    (path, resume): (&Path, bool),
    request: &BackupRequest,
) -> Result<ObjectReport, Ending> {
    expect_no_stop(stop)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    watched(context.output, stop, &name, |watch| match resume {
        true => vault.resume_backup(request, watch),
        false => vault.backup(request, watch),
    })
}

fn expect_no_stop(stop: &Stop) -> Result<(), Ending> {
    match stop.signal() {
        None => Ok(()),
        Some(_) => {
            let what = "stopped on request before this one was begun";
            Err(stop.ending(Failure::new(Class::Temporary, "stopped", what)))
        }
    }
}

/// Goes on with every interrupted backup that can go on. One that fails does not keep the others
/// from it.
fn resume_all(context: &Context, vault: &Vault) -> Result<(), Ending> {
    let jobs = vault.jobs()?.into_iter();
    let jobs: Vec<_> = jobs.filter(|job| job.state == "interrupted" && job.resumable).collect();
    let stop = Stop::install()?;
    let mut failures = Vec::new();
    for job in &jobs {
        expect_no_stop(&stop)?;
        let name = Path::new(job.source.as_deref().unwrap_or(&job.object));
        let object = job.object.parse().map_err(|error| {
            Failure::new(Class::Other, "internal", "a job has no object").because(error)
        })?;
        let bar = name.file_name().unwrap_or(name.as_os_str()).to_string_lossy();
        let resume = |watch: Watch<'_>| vault.resume_job(&object, watch);
        match watched(context.output, &stop, &bar, resume) {
            Ok(report) => context.output.answer(&report, || stored(&report))?,
            Err(Ending::Failed(failure)) if jobs.len() > 1 => {
                context.output.warn(&format!("{}: {}", name.display(), told(&failure)));
                failures.push((name, failure));
            }
            Err(ending) => return Err(ending),
        }
    }
    ending(jobs.len(), failures)
}

/// What each path stands for.
fn sources(args: &BackupArgs) -> Result<Vec<Source>, Failure> {
    let is_stdin = |path: &Path| path == Path::new("-");
    let wrong = |what: &str, next: &str| {
        Err(Failure::new(Class::Usage, "usage", what.to_owned()).next(next))
    };
    match args.paths.iter().filter(|path| is_stdin(path)).count() {
        0 if args.size.is_some() => {
            return wrong("--size is for standard input", "leave --size out, or give `-`");
        }
        0 | 1 => {}
        _ => return wrong("standard input can be read once only", "give `-` once"),
    }
    let size_bytes = args.size.map(|size| size.bytes);
    let source = |path: &std::path::PathBuf| match is_stdin(path) {
        true => Source::Stdin { size_bytes },
        false => Source::File(path.clone()),
    };
    Ok(args.paths.iter().map(source).collect())
}

fn request(args: &BackupArgs, individual: &IndividualId, source: Source) -> BackupRequest {
    BackupRequest {
        source,
        individual: individual.clone(),
        threshold: args.scheme,
        label: args.name.clone(),
        overrides: args.overrides.clone(),
        pins: args.pins.clone(),
        exclusions: args.exclusions.clone(),
    }
}

/// How a run of several inputs ends. Where all failed, as they did; where they failed in
/// different ways, as an error of no particular class.
fn ending(inputs: usize, failures: Vec<(&Path, Failure)>) -> Result<(), Ending> {
    let Some((_, first)) = failures.first() else { return Ok(()) };
    if failures.len() < inputs {
        let failed = failures.iter().map(|(path, failure)| FailedInput {
            path: path.display().to_string(),
            code: failure.code(),
            class: failure.class().as_str(),
        });
        return Err(Ending::Degraded { failed: failed.collect() });
    }
    let class = first.class();
    let class = match failures.iter().all(|(_, failure)| failure.class() == class) {
        true => class,
        false => Class::Other,
    };
    let what = format!("none of {inputs} inputs was stored");
    Err(Failure::new(class, "all-failed", what).next("see what is said of each above").into())
}

fn stored(report: &ObjectReport) -> String {
    let mut text = format!("object      {}\n", report.object);
    text += &format!("individual  {}\n", report.individual);
    text += &format!(
        "stored      {} as {}, in {:.1} s, {}\n",
        human(report.bytes),
        human(report.stored_bytes),
        report.seconds,
        human_rate(report.bytes_per_second)
    );
    text += &format!("scheme      any {} of {} rebuild\n", report.k, report.n);
    text += &format!("secrecy     {}\n", secrecy(report.class, report.tolerates_corrupt_sites));
    let key_bytes: u64 = report.shares.iter().map(|share| share.key_bytes).sum();
    text += &format!(
        "key         {} of links, {:.3} for each stored byte; {} of the random pool\n",
        human(key_bytes),
        key_bytes as f64 / report.stored_bytes.max(1) as f64,
        human(report.random_bytes)
    );
    for named in &report.overridden {
        text += &format!("override    {named}\n");
    }
    let columns = [
        words("site"),
        numbers("x"),
        words("role"),
        words("channel"),
        numbers("key"),
        numbers("sent"),
    ];
    let shares = Table::new(columns, &report.shares, |share| {
        [
            share.site.clone(),
            share.x.to_string(),
            share.role.to_owned(),
            share.channel.to_owned(),
            human(share.key_bytes),
            human(share.sent_bytes),
        ]
    });
    format!("{text}\n{shares}")
}

fn planned(report: &PlanReport) -> String {
    let mut text = format!("would store {}\n", human(report.stored_bytes));
    text += &format!("secrecy     {}\n", secrecy(report.class, report.tolerates_corrupt_sites));
    text += &format!("random pool {} at most\n", human(report.random_bytes));
    let columns = [
        words("site"),
        numbers("x"),
        words("role"),
        words("channel"),
        numbers("key to site"),
        numbers("key from site"),
    ];
    let shares = Table::new(columns, &report.shares, |share| {
        [
            share.site.clone(),
            share.x.to_string(),
            share.role.to_owned(),
            share.channel.to_owned(),
            human(share.to_site_bytes),
            human(share.from_site_bytes),
        ]
    });
    format!("{text}\n{shares}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn args(line: &str) -> BackupArgs {
        let words = ["warifu", "backup", "--individual", "P1"].into_iter();
        match Cli::try_parse_from(words.chain(line.split(' '))).unwrap().command {
            Command::Backup(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dash_is_standard_input_once_and_size_belongs_to_it() {
        let found = sources(&args("a - ./- --size 5MB")).unwrap();
        assert_eq!(
            found,
            [
                Source::File("a".into()),
                Source::Stdin { size_bytes: Some(5_000_000) },
                Source::File("./-".into())
            ]
        );
        assert_eq!(sources(&args("-")).unwrap(), [Source::Stdin { size_bytes: None }]);
        for line in ["a --size 5MB", "- -"] {
            assert_eq!(sources(&args(line)).unwrap_err().class(), Class::Usage, "{line}");
        }
    }

    #[test]
    fn several_inputs_end_by_what_they_have_in_common() {
        let failed = |classes: &[Class]| -> Vec<(&Path, Failure)> {
            let failure = |class: &Class| (Path::new("a"), Failure::new(*class, "c", "w"));
            classes.iter().map(failure).collect()
        };
        assert!(ending(2, Vec::new()).is_ok());
        let some = ending(3, failed(&[Class::Key, Class::Key]));
        assert!(matches!(some, Err(Ending::Degraded { failed }) if failed.len() == 2));
        let class = |failures| match ending(2, failures) {
            Err(Ending::Failed(failure)) => failure.class(),
            _ => panic!("all failed"),
        };
        assert_eq!(class(failed(&[Class::Key, Class::Key])), Class::Key);
        assert_eq!(class(failed(&[Class::Key, Class::Busy])), Class::Other);
    }
}
