//! `bench ...`

use crate::size::Size;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use warifu_core::Threshold;
use warifu_figures::Sites;

/// `bench`
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) bench: Option<BenchCommand>,
    /// Less work, fewer rounds: for a first look
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Samples of each figure, 3 to 1001 [default: 7, of kernels 15; with --quick 5]
    #[arg(long, global = true, value_name = "NUMBER",
          value_parser = clap::value_parser!(u64).range(3..=1001))]
    pub(crate) rounds: Option<u64>,
    /// Set the figures beside those of an earlier run, which --json wrote
    #[arg(long, global = true, value_name = "OLD.json")]
    pub(crate) compare: Option<PathBuf>,
    /// Draw the figures into this file, as SVG
    #[arg(short, long, global = true, value_name = "FILE.svg")]
    pub(crate) out: Option<PathBuf>,
}

/// What is measured; all of it where nothing is named.
#[derive(Subcommand, Debug)]
pub(crate) enum BenchCommand {
    /// Split, join, xor and hash, in each cache and from memory, under their roofs
    Kernel(KernelArgs),
    /// A whole backup and restore, to sites that take and forget, in memory, or in a folder
    Pipeline(PipelineArgs),
    /// A store of shares in a folder: throughput and latency of each share
    Backend(BackendArgs),
    /// Frames sealed, carried over loopback TCP and opened
    Link(LinkArgs),
    /// Key leased, read, used, zeroised and erased
    Keys(KeysArgs),
}

/// `bench kernel`
#[derive(Args, Debug, Default)]
pub(crate) struct KernelArgs {
    /// The kernels of this instruction set: scalar, avx2, avx512bw, avx512, or all that this
    /// machine has; may be given several times [default: WARIFU_ISA, else the best]
    #[arg(long = "isa", value_name = "ISA")]
    pub(crate) isas: Vec<String>,
}

/// `bench pipeline`
#[derive(Args, Debug, Default)]
pub(crate) struct PipelineArgs {
    /// How long the object is, 1MiB to 64GiB [default: 128MiB; with --quick 8MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) bytes: Option<Size>,
    /// How many shares rebuild, and how many are made [default: 3/5]
    #[arg(long, value_name = "K/N")]
    pub(crate) scheme: Option<Threshold>,
    /// To these sites; may be given several times [default: null and memory]
    #[arg(long = "sites", value_name = "KIND", value_enum)]
    pub(crate) sites: Vec<SitesArg>,
    /// Where `--sites folder` makes its folders [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// `bench backend`
#[derive(Args, Debug, Default)]
pub(crate) struct BackendArgs {
    /// Where the store is made, and removed again [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// How long a share is [default: 8MiB; with --quick 1MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) bytes: Option<Size>,
    /// How many shares there are in a round [default: 16]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) shares: Option<u64>,
}

/// `bench link`
#[derive(Args, Debug, Default)]
pub(crate) struct LinkArgs {
    /// Content of the frames of a round, 2MiB to 1GiB [default: 64MiB; with --quick 8MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) bytes: Option<Size>,
}

/// `bench keys`
#[derive(Args, Debug, Default)]
pub(crate) struct KeysArgs {
    /// Key of a round, 2MiB to 16GiB [default: 128MiB; with --quick 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) bytes: Option<Size>,
    /// Where the key store is made, and removed again [default: in memory]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// A kind of sites.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum SitesArg {
    /// That take shares and forget them
    Null,
    /// Folders in memory
    Memory,
    /// Folders on a disk
    Folder,
}

impl From<SitesArg> for Sites {
    fn from(kind: SitesArg) -> Self {
        match kind {
            SitesArg::Null => Self::Null,
            SitesArg::Memory => Self::Memory,
            SitesArg::Folder => Self::Folder,
        }
    }
}
