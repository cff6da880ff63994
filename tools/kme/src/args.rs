//! The command line.

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::time::Duration;
use warifu_kme::{
    Call, Changes, Fault, FaultError, FaultKind, LabError, Limits, NodeSetup, SaeSetup,
};

/// KMEs for labs and tests: the delivery API of ETSI GS QKD 014 over TLS with certificates on both
/// sides. Not for production: its key is computational, and both ends are in one process.
#[derive(Parser)]
#[command(name = "warifu-kme", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a lab in a folder, or take the one that is there, and serve it until SIGTERM or
    /// SIGINT. One line of JSON on stdout says when it is ready, and where everything is.
    Serve(ServeArgs),
    /// Make a KME of a lab misbehave, from its next request on.
    Fault(FaultArgs),
}

#[derive(clap::Args)]
pub(crate) struct ServeArgs {
    /// The lab's folder. What is set below is remembered there.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// A KME to add or to move; port 0 takes a free one [new labs: a and b, 127.0.0.1:0]
    #[arg(long = "node", value_name = "NAME=ADDR")]
    nodes: Vec<NodeSetup>,
    /// An application to add or to move [new labs: sae-NODE for each KME]
    #[arg(long = "sae", value_name = "NAME@NODE")]
    saes: Vec<SaeSetup>,
    /// How fast each pair's pool is filled, in bits of key a second; 0 for always full [new: 0]
    #[arg(long, value_name = "BITS_PER_S")]
    rate: Option<u64>,
    /// What each pool begins with, in bytes of key [new: 0]
    #[arg(long, value_name = "BYTES")]
    initial: Option<u64>,
    /// Begin with the limits for keys of 1 MiB, 4096 a request
    #[arg(long)]
    large: bool,
    /// Size of a key where none is asked for, in bits [new: 1024]
    #[arg(long, value_name = "BITS")]
    key_size: Option<u32>,
    /// Smallest key, in bits [new: 64]
    #[arg(long, value_name = "BITS")]
    min_key_size: Option<u32>,
    /// Largest key, in bits [new: 1024]
    #[arg(long, value_name = "BITS")]
    max_key_size: Option<u32>,
    /// Most keys of the default size in a pool, and most that wait for the other end [new: 100000]
    #[arg(long, value_name = "N")]
    max_key_count: Option<u32>,
    /// Most keys of a request [new: 128]
    #[arg(long, value_name = "N")]
    max_key_per_request: Option<u32>,
    /// Most additional slaves of a request [new: 8]
    #[arg(long, value_name = "N")]
    max_sae_id_count: Option<u32>,
    /// Most key in one answer, in bytes [new: 67108864]
    #[arg(long, value_name = "BYTES")]
    max_answer: Option<u64>,
}

impl ServeArgs {
    /// What is asked for, seen from what the lab in `folder` remembers.
    pub(crate) fn changes(&self, folder: &Path) -> Result<Changes, LabError> {
        let known = warifu_kme::remembered(folder)?.map(|setup| setup.limits);
        let base = if self.large { Limits::LARGE } else { known.unwrap_or(Limits::EXAMPLE) };
        let limits = Limits {
            key_size_bits: self.key_size.unwrap_or(base.key_size_bits),
            min_key_size_bits: self.min_key_size.unwrap_or(base.min_key_size_bits),
            max_key_size_bits: self.max_key_size.unwrap_or(base.max_key_size_bits),
            max_key_count: self.max_key_count.unwrap_or(base.max_key_count),
            max_key_per_request: self.max_key_per_request.unwrap_or(base.max_key_per_request),
            max_sae_id_count: self.max_sae_id_count.unwrap_or(base.max_sae_id_count),
            max_answer_bytes: self.max_answer.unwrap_or(base.max_answer_bytes),
        };
        Ok(Changes {
            nodes: self.nodes.clone(),
            saes: self.saes.clone(),
            rate_bits_per_s: self.rate,
            initial_bytes: self.initial,
            limits: Some(limits),
        })
    }
}

#[derive(clap::Args)]
#[command(after_help = format!("KINDS [value; default]: none, {}.", FaultKind::list()))]
pub(crate) struct FaultArgs {
    /// The lab's folder.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Which of its KMEs.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// What goes wrong; none makes it well
    #[arg(value_name = "KIND")]
    kind: String,
    /// How much, for the kinds that take it
    #[arg(value_name = "VALUE")]
    value: Option<u64>,
    /// Only for the next COUNT requests that it concerns
    #[arg(long)]
    count: Option<u32>,
    /// Only for one method: status, enc_keys or dec_keys
    #[arg(long)]
    method: Option<Call>,
    /// Only for so long
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Beside what goes wrong already, instead of in its place
    #[arg(long)]
    pub(crate) also: bool,
}

impl FaultArgs {
    /// The fault that is asked for; none for `none`.
    pub(crate) fn fault(&self) -> Result<Option<Fault>, FaultError> {
        if self.kind == "none" {
            return Ok(None);
        }
        let kind = FaultKind::new(&self.kind, self.value)?;
        let fault = match self.seconds {
            Some(seconds) => Fault::lasting(kind, Duration::from_secs(seconds)),
            None => Fault::always(kind),
        };
        Ok(Some(Fault { count: self.count, call: self.method, ..fault }))
    }
}
