//! `jobs ...`

use super::Context;
use crate::args::JobsCommand;
use crate::exit::Ending;
use crate::output::versioned;
use crate::signals::Stop;
use crate::size::human;
use crate::table::{Table, numbers, words};
use serde::Serialize;
use warifu_core::{ObjectId, SiteName};
use warifu_vault::{Class, Failure, JobRow, QueuedRow, Vault, about};

/// What `jobs cancel` answers.
#[derive(Serialize)]
struct Cancelled {
    v: u32,
    r#type: &'static str,
    object: String,
    /// `cleared`: nothing of it is left. `listed`: so many sites had it whole that it was
    /// completed instead. `removed`: with `--force`, what some sites had whole went as well.
    outcome: &'static str,
    /// Sites that could not be asked to remove their part.
    left_at: Vec<String>,
}

/// Runs one of them.
pub(super) fn run(context: &Context, command: &JobsCommand) -> Result<(), Ending> {
    let vault = context.open()?;
    match command {
        JobsCommand::List => {
            let rows = vault.jobs()?;
            if rows.is_empty() {
                context.output.note("no backup runs, none was interrupted, and none waits");
            }
            context.output.answer(&rows, || table(&rows))
        }
        JobsCommand::Show { object } => {
            let row = vault.job(&vault.resolve_job(object)?)?;
            context.output.answer(&versioned(&row), || shown(&row))
        }
        JobsCommand::Pause { object } => {
            let row = vault.job(&vault.resolve_job(object)?)?;
            change(context, &vault, &row, "job-paused")
        }
        JobsCommand::Resume { object } => {
            let row = vault.job(&vault.resolve_job(object)?)?;
            if row.queue.is_some() {
                return change(context, &vault, &row, "job-released");
            }
            super::backup::resume(context, &vault, &Stop::install()?, &row)
        }
        JobsCommand::Cancel { object, dry_run: true, .. } => {
            let row = vault.job(&vault.resolve_job(object)?)?;
            let human = || format!("would clear away:\n{}", shown(&row));
            context.output.answer(&versioned(&row), human)
        }
        JobsCommand::Cancel { object, dry_run: false, force } => {
            let row = vault.job(&vault.resolve_job(object)?)?;
            match row.queue.is_some() {
                true => change(context, &vault, &row, "job-cancelled"),
                false => cancel(context, &vault, id(&row)?, *force),
            }
        }
    }
}

/// What a change of a queued backup answers.
#[derive(Serialize)]
struct Changed {
    v: u32,
    r#type: &'static str,
    object: String,
    /// `paused`, `queued`, or `cleared`.
    outcome: &'static str,
    left_at: Vec<String>,
}

/// Pauses a queued backup, lets it go on, or takes it out.
fn change(
    context: &Context,
    vault: &Vault,
    row: &JobRow,
    r#type: &'static str,
) -> Result<(), Ending> {
    let id = id(row)?;
    let (outcome, told) = match r#type {
        "job-paused" if row.queue.is_some() => {
            vault.pause_queued(&id)?;
            ("paused", "is held back until `warifu jobs resume`")
        }
        "job-paused" => {
            let what = format!("the backup of {} has begun: only what waits is paused", row.object);
            return Err(Failure::new(Class::Usage, "job-begun", what)
                .next("stop its process: what is done is kept, and it goes on later")
                .into());
        }
        "job-released" => {
            vault.release_queued(&id)?;
            ("queued", "waits for its turn: `warifu worker` stores it")
        }
        _ => {
            vault.cancel_queued(&id)?;
            ("cleared", "is taken out of the queue")
        }
    };
    let object = row.object.clone();
    let done = Changed { v: 1, r#type, object, outcome, left_at: Vec::new() };
    context.output.answer(&done, || format!("{} {told}\n", done.object))
}

fn id(row: &JobRow) -> Result<ObjectId, Failure> {
    row.object.parse().map_err(|error| {
        Failure::new(Class::Other, "internal", "a job has no object").because(error)
    })
}

fn cancel(
    context: &Context,
    vault: &Vault,
    object: ObjectId,
    is_forced: bool,
) -> Result<(), Ending> {
    let (outcome, left) = match vault.cancel_job(&object) {
        Ok(true) => ("listed", Vec::new()),
        Ok(false) => ("cleared", Vec::new()),
        Err(failure) if is_forced && failure.class() != Class::Busy => {
            let sites = vault.complete_at(&object)?;
            let sites: Vec<&str> = sites.iter().map(SiteName::as_str).collect();
            context.output.note(&match sites.is_empty() {
                true => format!("{object}: {failure}; no site that answers holds it whole"),
                false => format!(
                    "{object}: {failure}; what is removed now is complete at {}",
                    sites.join(", ")
                ),
            });
            ("removed", vault.remove_job(&object)?)
        }
        Err(failure) => return Err(failure.into()),
    };
    let left_at: Vec<String> = left.iter().map(SiteName::to_string).collect();
    let object = object.to_string();
    let done = Cancelled { v: 1, r#type: "job-cancelled", object, outcome, left_at };
    context.output.answer(&done, || match done.outcome {
        "listed" => format!(
            "{} was complete at its sites: it is listed now, and nothing was removed\n",
            done.object
        ),
        _ if done.left_at.is_empty() => format!("nothing of {} is left\n", done.object),
        _ => format!(
            "{} is forgotten; parts of it may be left at {}, which could not be asked\n",
            done.object,
            done.left_at.join(", ")
        ),
    })
}

/// Backups that are not complete, as a table.
pub(super) fn table(rows: &[JobRow]) -> String {
    let columns = [
        words("object"),
        words("individual"),
        words("began"),
        words("state"),
        numbers("done"),
        numbers("of"),
        numbers("key kept"),
        words("fits"),
        words("source"),
    ];
    Table::new(columns, rows, |row| {
        [
            row.object.clone(),
            row.individual.clone(),
            row.began.clone(),
            state(row).to_owned(),
            row.done_bytes.map_or_else(|| "?".to_owned(), human),
            row.total_bytes.map_or_else(|| "?".to_owned(), human),
            human(row.planned_key_bytes),
            row.queue.as_ref().map_or_else(String::new, fits),
            row.source.clone().unwrap_or_default(),
        ]
    })
    .to_string()
}

/// When what waits is stored, in a few words.
fn fits(row: &QueuedRow) -> String {
    match (&row.held_because, row.fits_in_seconds) {
        (Some(_), _) => "held back".to_owned(),
        (None, Some(0)) => "now".to_owned(),
        (None, Some(seconds)) => format!("in {}", about(seconds)),
        (None, None) => "when key is brought".to_owned(),
    }
}

/// What people are told of its state.
fn state(row: &JobRow) -> &'static str {
    match (row.state, row.resumable) {
        ("interrupted", true) => "interrupted, can go on",
        (state, _) => state,
    }
}

fn shown(row: &JobRow) -> String {
    if let Some(queued) = &row.queue {
        return shown_queued(row, queued);
    }
    let mut text = format!("object      {}\nindividual  {}\n", row.object, row.individual);
    text += &format!("began       {}, by process {}\n", row.began, row.pid);
    text += &format!("state       {}\n", state(row));
    if let Some(source) = &row.source {
        text += &format!("source      {source}\n");
    }
    let done = row.done_bytes.map_or_else(|| "not recorded".to_owned(), human);
    let total = row.total_bytes.map_or_else(|| "what is not recorded".to_owned(), human);
    text += &format!("done        {done} of at most {total}\n");
    text += &format!("scheme      {}/{} at {}\n", row.k, row.n, row.sites.join(", "));
    text += &format!(
        "key kept    {} of links, {} of the random pool\n",
        human(row.planned_key_bytes),
        human(row.planned_random_bytes)
    );
    text
}

/// What is told of one that waits.
fn shown_queued(row: &JobRow, queued: &QueuedRow) -> String {
    let mut text = format!("waiting     {}\nindividual  {}\n", row.object, row.individual);
    text += &format!("queued      {}\nstate       {}\n", row.began, row.state);
    if let Some(source) = &row.source {
        text += &format!("source      {source}\n");
    }
    text += &format!("scheme      {}/{}\n", row.k, row.n);
    if let Some(why) = &queued.held_because {
        return text + &format!("held back   {why}\n");
    }
    if let Some(position) = queued.position {
        text += &format!("position    {position}\n");
    }
    text += &format!("needs       {} of links\n", human(queued.needed_key_bytes));
    text += &format!("fits        {}\n", fits(queued));
    if let Some(shortfall) = &queued.shortfall {
        text += &format!("because     {}\n", shortfall.replace('\n', "\n            "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_recorded_is_not_made_up() {
        let row = JobRow {
            object: "00".to_owned(),
            individual: "P1".to_owned(),
            began: "2026-07-01T00:00:00Z".to_owned(),
            state: "interrupted",
            pid: 7,
            k: 2,
            n: 3,
            sites: vec!["a".to_owned(), "b".to_owned()],
            total_bytes: Some(2048),
            planned_key_bytes: 4096,
            planned_random_bytes: 16,
            resumable: false,
            generation: None,
            done_bytes: None,
            source: None,
            queue: None,
        };
        let told = shown(&row);
        assert!(told.contains("done        not recorded of at most 2.0 KiB\n"), "{told}");
        assert!(!told.contains("source"), "{told}");
        let known = JobRow { done_bytes: Some(1024), source: Some("a.bam".to_owned()), ..row };
        let told = shown(&known);
        assert!(told.contains("source      a.bam\ndone        1.0 KiB of"), "{told}");
        assert!(table(std::slice::from_ref(&known)).contains("1.0 KiB  2.0 KiB"));
        let queued = QueuedRow {
            position: Some(3),
            needed_key_bytes: 4096,
            shortfall: Some("too little".to_owned()),
            fits_in_seconds: Some(10_000),
            held_because: None,
        };
        let waiting = JobRow { state: "queued", queue: Some(queued.clone()), ..known };
        let told = shown(&waiting);
        assert!(told.contains("position    3\n") && told.contains("in about 3 h\n"), "{told}");
        assert!(table(&[waiting]).contains("in about 3 h"));
        assert_eq!(fits(&QueuedRow { fits_in_seconds: None, ..queued.clone() }), {
            "when key is brought"
        });
        let held = Some("paused".to_owned());
        assert_eq!(fits(&QueuedRow { held_because: held, ..queued }), "held back");
    }
}
