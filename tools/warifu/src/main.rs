//! `warifu`: the one binary. Arguments become a typed request, the vault does the work, and the
//! answer goes to standard output; progress, logs and errors go to standard error.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit;
mod explain;
mod logs;
mod output;
mod plot;
mod progress;
mod signals;
mod size;
mod table;

use args::Cli;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            let json = cli.global.json;
            exit::end(exit::guarded(|| commands::run(cli)), json)
        }
        Err(refused) => exit::end_unparsed(&refused, std::env::args_os()),
    }
}
