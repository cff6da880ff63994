//! `worker`, and `backup --wait`: storing what waits, as key arrives.

use super::Context;
use super::backup::{ending, jobs};
use super::batch::{Show, summary};
use crate::args::WorkerArgs;
use crate::exit::Ending;
use crate::progress::many::Many;
use crate::signals::Stop;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use warifu_core::ObjectId;
use warifu_vault::{
    BatchReport, Class, Failure, FetchGoal, FetchKey, FetchRequest, Gathered, Input, Manner,
    Onlooker, Outcome, Refused, Vault, Watch, WorkRequest,
};

/// What a worker says when it is ready, in JSON.
#[derive(Serialize)]
struct Ready<'a> {
    v: u32,
    r#type: &'static str,
    vault: &'a str,
    queued: usize,
}

/// Works on the queue.
pub(super) fn worker(context: &Context, args: &WorkerArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let stop = Stop::install()?;
    let queued = vault.jobs()?.iter().filter(|job| job.queue.is_some()).count();
    let ready = Ready { v: 1, r#type: "ready", vault: vault.name().as_str(), queued };
    context.output.answer(&ready, || {
        format!("worker of {} is ready: {queued} backups wait\n", ready.vault)
    })?;
    let fetch = fetcher(&vault);
    let request =
        WorkRequest { is_once: args.once, jobs: jobs(args.jobs), fetch, ..Default::default() };
    let done = work(context, &vault, &stop, request, Around::default())?;
    // To be stopped is how it is meant to end.
    ending(done.report.stored + done.report.skipped + done.failures.len(), &done.failures)
}

/// Queues all that was asked for, durably, and stores it as key allows.
pub(super) fn queue_and_store(
    context: &Context,
    vault: &Vault,
    gathered: Gathered,
    manner: Manner,
) -> Result<(), Ending> {
    let Gathered { inputs, refused, is_batch, .. } = gathered;
    let stop = Stop::install()?;
    let all = inputs.len() + refused.len();
    let again = manner.again || !is_batch;
    let stored = match again {
        true => BTreeMap::new(),
        false => vault.stored_already(&inputs)?,
    };
    let numbered = inputs.into_iter().enumerate();
    let (before, inputs): (Vec<_>, Vec<_>) =
        numbered.partition(|(number, _)| stored.contains_key(number));
    let inputs: Vec<Input> = inputs.into_iter().map(|(_, input)| input).collect();
    let ids = vault.queue(&inputs, again)?;
    let fetch = fetcher(vault);
    let (only, jobs) = (Some(&ids[..]), manner.jobs);
    let request = WorkRequest { is_once: false, only, inputs: &inputs, jobs, fetch };
    let before = before.into_iter().filter_map(|(at, input)| Some((input, *stored.get(&at)?)));
    let around = Around { inputs: &inputs, before: before.collect(), refused };
    let done = work(context, vault, &stop, request, around)?;
    if stop.signal().is_some() && done.report.not_begun > 0 {
        let what = format!("stopped on request: {} backups stay queued", done.report.not_begun);
        let next = "`warifu worker` stores them as key arrives, and so does the same command; see \
                    `warifu jobs list`";
        return Err(stop.ending(Failure::new(Class::Temporary, "stopped", what).next(next)));
    }
    ending(all, &done.failures)
}

/// What brings key meanwhile, where a KME is set.
fn fetcher(vault: &Vault) -> Option<&'static FetchKey<'static>> {
    (!vault.config().kme.is_empty()).then_some(&fetch_key)
}

fn fetch_key(vault: &Vault, is_over: &AtomicBool) {
    let request = FetchRequest {
        sites: Vec::new(),
        goal: FetchGoal::Watermark(None),
        follow: true,
        patience: Duration::ZERO,
        accept_mismatch: false,
    };
    let watch = Watch { progress: &mut |_| (), stop: is_over };
    let outcome = vault.fetch(&request, watch);
    if let Some(failure) = outcome.map_or_else(Some, |report| report.failure) {
        tracing::warn!("no key is fetched any more: {failure}; see `warifu key status`");
    }
}

/// What was asked for besides what is in the queue.
#[derive(Default)]
struct Around<'a> {
    /// Inputs that were queued.
    inputs: &'a [Input],
    /// Those that an earlier run stored.
    before: Vec<(Input, ObjectId)>,
    /// What is no input.
    refused: Vec<Refused>,
}

/// What work on the queue came to.
struct Done {
    report: BatchReport,
    failures: Vec<(String, Failure)>,
}

fn work(
    context: &Context,
    vault: &Vault,
    stop: &Stop,
    request: WorkRequest<'_>,
    around: Around<'_>,
) -> Result<Done, Ending> {
    let Around { inputs, before, refused } = around;
    let bytes = inputs.iter().filter_map(Input::bytes).sum();
    let many = Many::new(context.output, inputs.len(), bytes)?;
    let (refused_inputs, skipped) = (refused.len(), before.len());
    let (outcome, failures, lost_reader) = {
        let show = Show::new(context.output, stop, &many);
        for Refused { what, failure } in refused {
            show.failed(what, failure);
        }
        // Their numbers are none of the queue's, which count from 0.
        for (at, (input, object)) in before.iter().enumerate() {
            let outcome = Outcome::Skipped { object: object.to_string() };
            show.ends(usize::MAX - at, input, outcome);
        }
        let onlooker: &dyn Onlooker = &show;
        let outcome = vault.work(request, stop.flag(), onlooker);
        let (failures, lost_reader) = show.into_parts();
        (outcome, failures, lost_reader)
    };
    many.finish();
    if let Some(lost) = lost_reader {
        return Err(lost);
    }
    let mut report = outcome.map_err(|failure| stop.ending(failure))?;
    report.failed += refused_inputs;
    report.skipped += skipped;
    let all = report.stored + report.skipped + report.failed + report.not_begun;
    context.output.answer(&report, || summary(&report, all))?;
    Ok(Done { report, failures })
}
