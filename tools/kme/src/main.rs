//! `warifu-kme`: KMEs for labs and tests, in one command.

#![forbid(unsafe_code)]

mod args;

use args::{Args, Command, FaultArgs, ServeArgs};
use clap::Parser;
use std::error::Error;
use std::io::{self, Write};
use std::iter;
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use warifu_kme::{Lab, LabError, SystemClock, faults, set_faults};

/// What anybody who sees this program run shall know.
const WARNING: &str = "warifu-kme: for labs and tests only. Its randomness is the operating \
     system's and its key a generator's (computational), and it holds both ends.";

fn main() -> ExitCode {
    let args = Args::parse();
    let log = EnvFilter::try_from_env("WARIFU_KME_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(log).with_writer(io::stderr).init();
    let done = match args.command {
        Command::Serve(args) => serve(&args),
        Command::Fault(args) => set(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<_> = causes(&*error).map(ToString::to_string).collect();
            say(&format!("warifu-kme: {}", causes.join(": ")));
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn Error>;

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    say(WARNING);
    let changes = args.changes(&args.folder)?;
    let running = Lab::open(&args.folder, &changes)?.start(Arc::new(SystemClock::new()))?;
    let mut line = serde_json::to_vec(running.ready())?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush())?;
    running.wait_for_signal()?;
    running.end();
    Ok(())
}

fn set(args: &FaultArgs) -> Result<(), Failure> {
    let mut wanted = match (args.also, faults(&args.folder, &args.node)) {
        (true, known) => known?,
        // A file that makes no sense is replaced.
        (false, Ok(_) | Err(LabError::Json { .. })) => Vec::new(),
        (false, Err(error)) => return Err(error.into()),
    };
    wanted.extend(args.fault()?);
    Ok(set_faults(&args.folder, &args.node, &wanted)?)
}

/// An error and what caused it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// A line for people. Nobody may be listening.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
