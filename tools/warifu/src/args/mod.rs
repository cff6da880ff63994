//! What people type: one definition for parsing, help and completions.

mod key;
mod objects;
mod site;
#[cfg(test)]
mod tests;

pub(crate) use key::{ExportArgs, GenerateArgs, ImportArgs, KeyCommand};
pub(crate) use objects::{BackupArgs, RestoreArgs};
pub(crate) use site::{AddArgs, InitArgs, SiteCommand};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;
use warifu_core::{IndividualId, ObjectId};

/// Keeps genomes secret for a century: shares at several sites, under one-time pads.
#[derive(Parser, Debug)]
#[command(
    name = "warifu",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "With every command")]
pub(crate) struct Global {
    /// The vault [env: WARIFU_VAULT; default: warifu in the XDG data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) vault: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Neither progress nor notes, and of the logs errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more; twice or three times for still more [env: WARIFU_LOG]
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make a vault: a gateway's, or a site's with --site
    Init(InitArgs),
    /// The places that keep shares
    #[command(subcommand)]
    Site(SiteCommand),
    /// Key material: what is left, and how more of it comes
    #[command(subcommand)]
    Key(KeyCommand),
    /// The people whose data is kept
    #[command(subcommand)]
    Individual(IndividualCommand),
    /// Store files, or standard input, as shares at n sites
    Backup(BackupArgs),
    /// Get a stored object back from any k of its sites
    Restore(RestoreArgs),
    /// List stored objects
    List,
    /// Show a stored object with its shares
    Show {
        /// Its ID, as `list` tells it
        object: ObjectId,
    },
    /// Tell which sites can be lost now, and what is left of key
    Status,
    /// Look for what is wrong with this vault or will be
    Doctor {
        /// Go on although the key store was rolled back: burns all key that may have been used
        #[arg(long)]
        accept_rollback: bool,
    },
    /// The vault's settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a script that completes commands for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// `individual ...`
#[derive(Subcommand, Debug)]
pub(crate) enum IndividualCommand {
    /// Enrol a person
    Enroll {
        /// Their pseudonymous ID: it is public, so not their name
        individual: IndividualId,
    },
    /// List individuals
    List,
    /// Show an individual
    Show {
        /// Their pseudonymous ID
        individual: IndividualId,
    },
}

/// `config ...`
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Show all settings, defaults included
    Show,
    /// Check the settings, without changing or opening anything
    Check,
}
