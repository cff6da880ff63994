//! `backup`

use super::Context;
use super::batch::store_all;
use super::show::secrecy;
use crate::args::BackupArgs;
use crate::args::profile::lay_under;
use crate::exit::{Ending, FailedInput, told};
use crate::output::versioned;
use crate::progress::watched;
use crate::signals::Stop;
use crate::size::{human, human_rate};
use crate::table::{Table, numbers, printable, words};
use serde::Serialize;
use std::path::Path;
use warifu_vault::{
    BatchRequest, Class, Failure, Gathered, Input, JobRow, Manner, ObjectReport, PlanReport,
    Refused, Vault, Watch,
};

/// Inputs stored at a time where nobody says how many: beyond a few, sites are what is waited for.
const JOBS_MAX: usize = 4;

/// Stores every input as an object. One that fails does not keep the others from being stored.
pub(super) fn backup(context: &Context, mut args: BackupArgs) -> Result<(), Ending> {
    let mut vault = context.open()?;
    if args.forget {
        return forget(context, &vault, args.dry_run);
    }
    let profile = context.profile(&vault, args.profile.as_deref())?;
    lay_under(&mut args, &profile);
    if let Some(limit) = args.memory_limit {
        vault.limit_memory(limit.bytes)?;
    }
    if args.resume && args.paths.is_empty() && args.manifest.is_none() {
        return resume_all(context, &vault);
    }
    let gathered = vault.gather(&request(&args))?;
    for note in &gathered.notes {
        context.output.note(&printable(note));
    }
    if args.wait {
        return super::worker::queue_and_store(context, &vault, gathered, manner(&args));
    }
    match (args.dry_run, gathered.is_batch, &gathered.inputs[..]) {
        (true, _, _) => plan_all(context, &vault, gathered),
        (false, false, [input]) => store(context, &vault, input, args.resume),
        (false, ..) => store_all(context, &vault, gathered, manner(&args)),
    }
}

fn request(args: &BackupArgs) -> BatchRequest {
    BatchRequest {
        paths: args.paths.clone(),
        stdin_bytes: args.size.map(|size| size.bytes),
        manifest: args.manifest.clone(),
        individual: args.individual.clone(),
        enroll: args.enroll,
        threshold: args.scheme(),
        label: args.name.clone(),
        overrides: args.overrides.clone(),
        pins: args.pins.clone(),
        exclusions: args.exclusions.clone(),
        compression: args.compress.unwrap_or_default(),
        pad: args.pad.unwrap_or(false),
    }
}

fn manner(args: &BackupArgs) -> Manner {
    let jobs = jobs(args.jobs);
    Manner { jobs, again: args.again, resume: args.resume }
}

/// Inputs stored at a time, as asked for or by the cores.
pub(super) fn jobs(asked: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or(cores.min(JOBS_MAX), usize::from)
}

fn store(context: &Context, vault: &Vault, input: &Input, resume: bool) -> Result<(), Ending> {
    if !resume && let Some(object) = vault.stored_as(input)? {
        context.output.note(&format!(
            "note: stored before as {object}: this is a second copy, which takes its key again"
        ));
    }
    let stop = Stop::install()?;
    let path = input.path();
    let name = Path::new(&path).file_name().map(|name| name.to_string_lossy());
    let name = name.unwrap_or_else(|| path.as_str().into());
    let report = watched(context.output, &stop, &name, |watch| match resume {
        true => vault.resume_backup(input.request(), watch),
        false => vault.backup(input.request(), watch),
    })?;
    context.output.answer(&report, || stored(&report))
}

/// Goes on with every interrupted backup that can go on. One that fails does not keep the others
/// from it.
fn resume_all(context: &Context, vault: &Vault) -> Result<(), Ending> {
    let jobs = vault.jobs()?.into_iter();
    let jobs: Vec<_> = jobs.filter(|job| job.state == "interrupted" && job.resumable).collect();
    let stop = Stop::install()?;
    let mut failures = Vec::new();
    for job in &jobs {
        if stop.signal().is_some() {
            let what = "stopped on request before this one was begun";
            return Err(stop.ending(Failure::new(Class::Temporary, "stopped", what)));
        }
        match resume(context, vault, &stop, job) {
            Err(Ending::Failed(failure)) if jobs.len() > 1 => {
                let path = job.source.clone().unwrap_or_else(|| job.object.clone());
                failed(context, path, failure, &mut failures);
            }
            outcome => outcome?,
        }
    }
    ending(jobs.len(), &failures)
}

/// Goes on with one of them.
pub(super) fn resume(
    context: &Context,
    vault: &Vault,
    stop: &Stop,
    job: &JobRow,
) -> Result<(), Ending> {
    let path = Path::new(job.source.as_deref().unwrap_or(&job.object));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let object = job.object.parse().map_err(|error| {
        Failure::new(Class::Other, "internal", "a job has no object").because(error)
    })?;
    let go_on = |watch: Watch<'_>| vault.resume_job(&object, watch);
    let report = watched(context.output, stop, &name, go_on)?;
    context.output.answer(&report, || stored(&report))
}

/// Plans each input by itself, as if it were the only one.
fn plan_all(context: &Context, vault: &Vault, gathered: Gathered) -> Result<(), Ending> {
    let inputs = gathered.inputs.len() + gathered.refused.len();
    let mut failures = Vec::new();
    for Refused { what, failure } in gathered.refused {
        failed(context, what, failure, &mut failures);
    }
    for input in &gathered.inputs {
        match vault.dry_run(input.request()) {
            Ok(report) => context.output.answer(&report, || planned(&report))?,
            Err(failure) if gathered.is_batch => {
                failed(context, input.shown(), failure, &mut failures);
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    ending(inputs, &failures)
}

fn failed(context: &Context, what: String, failure: Failure, all: &mut Vec<(String, Failure)>) {
    context.output.warn(&format!("{}: {}", printable(&what), told(&failure)));
    all.push((what, failure));
}

/// What `--forget` answers in JSON.
#[derive(Serialize)]
struct Forgotten {
    r#type: &'static str,
    erased: bool,
}

/// What `--forget --dry-run` answers in JSON.
#[derive(Serialize)]
struct WouldForget {
    r#type: &'static str,
    would_erase: bool,
}

fn forget(context: &Context, vault: &Vault, dry_run: bool) -> Result<(), Ending> {
    if dry_run {
        let would_erase = vault.remembers_batches();
        let document = versioned(WouldForget { r#type: "plan", would_erase });
        return context.output.answer(&document, || match would_erase {
            true => {
                "would erase the record of what was stored: batches then store it anew\n".to_owned()
            }
            false => "there is no record of what was stored\n".to_owned(),
        });
    }
    let erased = vault.forget_batches()?;
    context.output.answer(&versioned(Forgotten { r#type: "forgotten", erased }), || match erased {
        true => "the record of what was stored is erased\n".to_owned(),
        false => "there is no record of what was stored\n".to_owned(),
    })
}

/// How a run of several inputs ends. Where all failed, as they did; where they failed in
/// different ways, as an error of no particular class.
pub(super) fn ending(inputs: usize, failures: &[(String, Failure)]) -> Result<(), Ending> {
    let Some((_, first)) = failures.first() else { return Ok(()) };
    if failures.len() < inputs {
        let failed = failures.iter().map(|(path, failure)| FailedInput {
            path: path.clone(),
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
    if report.resumed_bytes > 0 {
        let (before, all) = (human(report.resumed_bytes), human(report.stored_bytes));
        text += &format!("went on     from {before} of {all}\n");
    }
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
    let now_bytes = key_bytes.saturating_sub(report.resumed_key_bytes);
    let stored_now = report.stored_bytes.saturating_sub(report.resumed_bytes);
    text += &match report.resumed_bytes {
        0 => format!(
            "key         {} of links, {:.3} for each stored byte; {} of the random pool\n",
            human(key_bytes),
            key_bytes as f64 / report.stored_bytes.max(1) as f64,
            human(report.random_bytes)
        ),
        _ => format!(
            "key         {} of links in this run, for {} stored by it; {} in earlier runs, and \
             what burned when they ended (see `warifu key status`); {} of the random pool in all\n",
            human(now_bytes),
            human(stored_now),
            human(report.resumed_key_bytes),
            human(report.random_bytes)
        ),
    };
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

    #[test]
    fn several_inputs_end_by_what_they_have_in_common() {
        let failed = |classes: &[Class]| -> Vec<(String, Failure)> {
            let failure = |class: &Class| ("a".to_owned(), Failure::new(*class, "c", "w"));
            classes.iter().map(failure).collect()
        };
        assert!(ending(2, &[]).is_ok());
        let some = ending(3, &failed(&[Class::Key, Class::Key]));
        assert!(matches!(some, Err(Ending::Degraded { failed }) if failed.len() == 2));
        let class = |failures: &[(String, Failure)]| match ending(2, failures) {
            Err(Ending::Failed(failure)) => failure.class(),
            _ => panic!("all failed"),
        };
        assert_eq!(class(&failed(&[Class::Key, Class::Key])), Class::Key);
        assert_eq!(class(&failed(&[Class::Key, Class::Busy])), Class::Other);
    }
}
