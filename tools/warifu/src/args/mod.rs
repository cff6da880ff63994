//! What people type: one definition for parsing, help and completions.

mod bench;
mod card;
mod consent;
mod daily;
mod key;
mod objects;
mod plugin;
pub(crate) mod profile;
mod records;
mod simulate;
mod site;
#[cfg(test)]
mod tests;

pub(crate) use bench::{
    BackendArgs, BenchArgs, BenchCommand, KernelArgs, KeysArgs, LinkArgs, PipelineArgs,
};
pub(crate) use card::{CardArgs, CardCommand, NewLabArgs};
pub(crate) use consent::{
    ConsentCommand, GrantArgs, RequestArgs, RevokeArgs, TermsArgs, TrustCommand,
};
pub(crate) use daily::{EstimateArgs, FindArgs, JobsCommand, PlanArgs, StatusArgs, WorkerArgs};
pub(crate) use key::{
    ExportArgs, FetchArgs, ForecastArgs, GenerateArgs, ImportArgs, KeyCommand, TestArgs,
};
pub(crate) use objects::{
    BackupArgs, RestoreArgs, built_in_scheme, compression, named_override, yes_or_no,
};
pub(crate) use plugin::PluginCommand;
pub(crate) use records::{
    AuditCommand, AuditExportArgs, AuditShowArgs, AuditVerifyArgs, BreakGlassCommand, ExportFormat,
    ForgetArgs, HoldCommand,
};
pub(crate) use simulate::SimulateArgs;
pub(crate) use site::{AddArgs, InitArgs, SiteCommand};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;
use warifu_consent::card::CardAddress;
use warifu_core::IndividualId;
use warifu_vault::ObjectPrefix;
use warifu_vault::config::EXAMPLE;

/// What stands below the options in the long help and on the manual page.
const AFTER_HELP: &str = "\
Options of a backup come from its flags, else from a profile in config.toml, else they are built \
in. Which profile: --profile, else WARIFU_PROFILE, else default_profile in config.toml.

Environment:
  WARIFU_VAULT    the vault, where --vault does not name it
  WARIFU_PROFILE  the profile, where --profile does not name it
  WARIFU_LOG      what is logged, such as debug or warifu_link=trace
  WARIFU_ISA      the kernels to use: scalar, avx2, avx512bw, avx512
  NO_COLOR        no colours

Exit codes: 0 done, 1 other error, 2 usage, 3 done but not all of it, 4 damage that can be mended, \
5 unrecoverable, 6 try again later, 7 key does not cover it, 8 consent missing or refused, 9 card \
or token, 10 not found, 11 busy, 12 not who it should be, 13 forged, 14 rolled back, 15 \
incompatible, 16 limit reached, 17 audit log can't be written, 128+N ended by signal N. \
`warifu explain CODE` tells more.";

/// Keeps genomes secret for a century: shares at several sites, under one-time pads.
#[derive(Parser, Debug)]
#[command(
    name = "warifu",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_long_help = AFTER_HELP
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
    /// Cards that sign for people
    #[command(subcommand)]
    Card(CardCommand),
    /// The certificates by which persons' cards are believed
    #[command(subcommand)]
    Trust(TrustCommand),
    /// What persons agree to, by their cards
    #[command(subcommand)]
    Consent(ConsentCommand),
    /// Store files, or standard input, as shares at n sites
    Backup(BackupArgs),
    /// Get a stored object back from any k of its sites
    Restore(RestoreArgs),
    /// Tell what storing files would take of key, room and time, before anything is spent
    Estimate(EstimateArgs),
    /// Tell where the shares of files would go and why, before anything is spent
    Plan(PlanArgs),
    /// List stored objects
    List,
    /// Show a stored object with its shares
    Show {
        /// Its ID, as `list` tells it, or the first digits of it
        object: ObjectPrefix,
    },
    /// Search the catalog for stored objects
    Find(FindArgs),
    /// Backups that run, were interrupted, or wait for key
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Store what waits in the queue, as key arrives
    Worker(WorkerArgs),
    /// Tell which sites can be lost now, how long the key lasts, and what to look at
    Status(StatusArgs),
    /// The audit log of this vault, a gateway's or a site's
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Keep objects from being forgotten
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Delete objects at all their sites, for good
    Forget(ForgetArgs),
    /// Read an object without its person, by the word of officers; sites say whether they may
    #[command(subcommand)]
    BreakGlass(BreakGlassCommand),
    /// Shared libraries that keep shares: what they are, whether they do what they must
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Run a plugin for another warifu, which asks on standard input
    #[command(hide = true)]
    PluginHelper,
    /// Take sites, key and individuals through months of operation, in seconds
    Simulate(SimulateArgs),
    /// Measure what warifu reaches on this machine, beside what the machine itself can do
    Bench(Box<BenchArgs>),
    /// Look for what is wrong with this vault or will be
    Doctor {
        /// Go on although the key store was rolled back: burns all key that may have been used
        #[arg(long)]
        accept_rollback: bool,
    },
    /// The vault's settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run a card's driver for another warifu, which asks on standard input
    #[command(hide = true)]
    CardHelper,
    /// Explain an error code or an exit code; without one, list them all
    Explain {
        /// A code such as key-short, as errors show it in brackets, or an exit code such as 7
        code: Option<String>,
    },
    /// Print a script that completes commands for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    Man {
        /// Write warifu.1, warifu-backup.1 and so on into this folder, made where needed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// `individual ...`
#[derive(Subcommand, Debug)]
pub(crate) enum IndividualCommand {
    /// Enrol a person
    Enroll {
        /// Their pseudonymous ID: it is public, so not their name
        individual: IndividualId,
        #[command(flatten)]
        card: Box<CardArgs>,
    },
    /// Bind a person to another card: by the old one, or by two registrars whom the sites have
    /// pinned
    Rebind(Box<RebindArgs>),
    /// List individuals
    List,
    /// Show an individual
    Show {
        /// Their pseudonymous ID
        individual: IndividualId,
    },
}

/// `individual rebind`
#[derive(Args, Debug)]
pub(crate) struct RebindArgs {
    /// Their pseudonymous ID
    pub(crate) individual: IndividualId,
    #[command(flatten)]
    pub(crate) card: CardArgs,
    /// The card so far. Its PIN comes from its URI's pin-source, or the terminal: --pin-file and
    /// --pin-fd are for the new card alone
    #[arg(long, value_name = "CARD", required_unless_present = "registrars")]
    pub(crate) old_card: Option<CardAddress>,
    /// A registrar's card, where the old one is lost: twice. Its PIN comes as the old card's does
    #[arg(long = "registrar", value_name = "CARD", conflicts_with = "old_card")]
    pub(crate) registrars: Vec<CardAddress>,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "the card was renewed")]
    pub(crate) reason: String,
}

/// `config ...`
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Show all settings, defaults included
    Show,
    /// Check the settings, without changing or opening anything
    #[command(after_long_help = format!("A file with every setting of a gateway:\n\n{EXAMPLE}"))]
    Check,
}
