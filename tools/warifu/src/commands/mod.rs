//! The commands: each turns arguments into a request, calls the vault, and tells the answer.

mod audit;
mod backup;
mod batch;
mod bench;
mod break_glass;
mod card;
mod config;
mod consent;
mod doctor;
mod estimate;
mod explain;
mod fetch;
mod forecast;
mod forget;
mod individual;
mod init;
mod jobs;
mod key;
mod key_test;
mod list;
mod man;
mod plan;
mod plugin;
mod restore;
mod show;
mod simulate;
mod site;
mod status;
mod trust;
mod worker;

use crate::args::{Cli, Command, Global, profile};
use crate::exit::Ending;
use crate::logs;
use crate::output::Output;
use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use warifu_vault::config::Profile;
use warifu_vault::{Class, Failure, Vault};

/// Runs one command to its end.
///
/// # Errors
/// Any end but the good one.
pub(crate) fn run(cli: Cli) -> Result<(), Ending> {
    let context = Context::new(&cli.global)?;
    match cli.command {
        Command::Init(args) => init::init(&context, args),
        Command::Site(command) => site::run(&context, command),
        Command::Key(command) => key::run(&context, command),
        Command::Individual(command) => individual::run(&context, command),
        Command::Card(command) => card::run(&context, command),
        Command::CardHelper => card::help(),
        Command::Plugin(command) => plugin::run(&context, command),
        Command::PluginHelper => plugin::help(),
        Command::Trust(command) => trust::run(&context, command),
        Command::Consent(command) => consent::run(&context, command),
        Command::Backup(args) => backup::backup(&context, args),
        Command::Restore(args) => restore::restore(&context, args),
        Command::Estimate(args) => estimate::estimate(&context, args),
        Command::Plan(args) => plan::plan(&context, args),
        Command::List => list::list(&context),
        Command::Show { object } => show::show(&context, &object),
        Command::Find(args) => list::find(&context, args),
        Command::Jobs(command) => jobs::run(&context, &command),
        Command::Worker(args) => worker::worker(&context, &args),
        Command::Status(args) => status::status(&context, &args),
        Command::Simulate(args) => simulate::run(&context, &args),
        Command::Audit(command) => audit::run(&context, command),
        Command::BreakGlass(command) => break_glass::run(&context, command),
        Command::Hold(command) => forget::hold(&context, command),
        Command::Forget(args) => forget::forget(&context, args),
        Command::Bench(args) => bench::bench(&context, *args),
        Command::Doctor { accept_rollback } => doctor::doctor(&context, accept_rollback),
        Command::Config(command) => config::run(&context, &command),
        Command::Explain { code } => explain::explain(&context, code.as_deref()),
        Command::Completions { shell } => completions(&context, shell),
        Command::Man { out } => man::man(&context, out.as_deref()),
    }
}

/// What every command has at hand.
struct Context {
    vault: Option<PathBuf>,
    output: Output,
}

impl Context {
    fn new(global: &Global) -> Result<Self, Failure> {
        logs::start(global)?;
        let output = Output { json: global.json, quiet: global.quiet };
        Ok(Self { vault: global.vault.clone(), output })
    }

    /// Where the vault is.
    fn dir(&self) -> Result<PathBuf, Failure> {
        vault_dir(self.vault.clone(), |name| std::env::var_os(name))
    }

    fn open(&self) -> Result<Vault, Failure> {
        Vault::open(&self.dir()?)
    }

    /// The profile that a command goes by, named by its flag or not.
    fn profile(&self, vault: &Vault, flag: Option<&str>) -> Result<Profile, Failure> {
        profile::chosen(vault.config(), flag, |name| std::env::var_os(name))
    }
}

/// The vault by flag, by `WARIFU_VAULT`, or in the folder of the user's data.
fn vault_dir(
    flag: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, Failure> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    flag.or_else(|| set("WARIFU_VAULT"))
        .or_else(|| absolute("XDG_DATA_HOME").map(|data| data.join("warifu")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share/warifu")))
        .ok_or_else(|| {
            Failure::new(Class::Usage, "vault-unnamed", "no vault is named, and HOME is not set")
                .next("name it with --vault DIR or in WARIFU_VAULT")
        })
}

/// What `completions` answers in JSON.
#[derive(Serialize)]
struct Script {
    v: u32,
    r#type: &'static str,
    shell: String,
    script: String,
}

fn completions(context: &Context, shell: Shell) -> Result<(), Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "warifu", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let answer = Script { v: 1, r#type: "completions", shell: shell.to_string(), script };
    context.output.answer_raw(&answer, &answer.script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(flag: Option<&str>, set: &[(&str, &str)]) -> Result<PathBuf, &'static str> {
        let variable = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        vault_dir(flag.map(PathBuf::from), variable).map_err(|failure| failure.code())
    }

    #[test]
    fn the_vault_is_looked_for_in_order() {
        let all = [("WARIFU_VAULT", "v"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(found(Some("f"), &all), Ok("f".into()));
        assert_eq!(found(None, &all), Ok("v".into()));
        assert_eq!(found(None, &all[1..]), Ok("/x/warifu".into()));
        assert_eq!(found(None, &all[2..]), Ok("/h/.local/share/warifu".into()));
        assert_eq!(found(None, &[]), Err("vault-unnamed"));
    }

    #[test]
    fn empty_and_relative_variables_count_as_not_set() {
        let unusable = [("WARIFU_VAULT", ""), ("XDG_DATA_HOME", "x"), ("HOME", "/h")];
        assert_eq!(found(None, &unusable), Ok("/h/.local/share/warifu".into()));
        assert_eq!(found(None, &[("HOME", "h")]), Err("vault-unnamed"));
    }

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "warifu", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("completions") && script.contains("generate"), "{shell}");
        }
    }
}
