//! `simulate`

use clap::Args;
use std::path::PathBuf;
use warifu_core::schedule::Policy;
use warifu_vault::simulate::MONTHS_MAX;

/// `simulate`
#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    /// A shipped scenario by its name, or the path of a file
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub(crate) scenario: Option<String>,
    /// List the shipped scenarios
    #[arg(long)]
    pub(crate) list: bool,
    /// Print the scenario instead of running it: a file to begin another one with
    #[arg(long, conflicts_with_all = ["list", "months", "policies", "out"])]
    pub(crate) print: bool,
    /// Under this policy: fixed, round-robin, random, most-remaining, forecast; may be given
    /// several times [default: all of them]
    #[arg(long = "policy", value_name = "POLICY", conflicts_with = "list")]
    pub(crate) policies: Vec<Policy>,
    /// What chance is drawn from: the same seed gives the same answer, byte for byte
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed: u64,
    /// How many months of 30 days [default: the scenario's]
    #[arg(long, value_name = "NUMBER", conflicts_with = "list",
          value_parser = clap::value_parser!(u64).range(1..=MONTHS_MAX))]
    pub(crate) months: Option<u64>,
    /// Draw objects stored and key left over time into this file, as SVG
    #[arg(short, long = "out", value_name = "FILE.svg", conflicts_with = "list")]
    pub(crate) out: Option<PathBuf>,
}
