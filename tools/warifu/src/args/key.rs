//! `key ...`

use crate::size::{Size, some_size};
use clap::{ArgGroup, Args, Subcommand};
use std::path::PathBuf;
use warifu_core::SiteName;

/// `key ...`
#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Show what each pool holds and what is reserved for restores
    Status,
    /// Foretell free key, at what is spent and what arrives lately: when each pool empties, and
    /// when no backup can be made any more
    Forecast(ForecastArgs),
    /// Make new key: for a link, with a courier's drive, or for the gateway's own needs
    Generate(GenerateArgs),
    /// Take in the key on a courier's drive, and erase the drive
    Import(ImportArgs),
    /// Turn random numbers of the gateway into key of a link, with a courier's drive
    Export(ExportArgs),
    /// Get key for links from their KMEs, at both ends
    Fetch(FetchArgs),
    /// Check in the ledgers that no byte of key was given out twice
    Audit,
    /// Probe a key-management entity for what ETSI GS QKD 014 demands; it spends a few of its keys
    Test(TestArgs),
}

/// `key forecast`
#[derive(Args, Debug)]
pub(crate) struct ForecastArgs {
    /// How far to look ahead
    #[arg(long, value_name = "N", default_value = "90",
          value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub(crate) days: u32,
    /// Also draw it, as a picture in SVG
    #[arg(short, long, value_name = "FILE.svg")]
    pub(crate) output: Option<PathBuf>,
}

/// `key generate`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("target").required(true).args(["site", "random"]))]
pub(crate) struct GenerateArgs {
    /// For the link to this site
    #[arg(long, value_name = "NAME", requires = "courier")]
    pub(crate) site: Option<SiteName>,
    /// For the gateway's own random numbers
    #[arg(long)]
    pub(crate) random: bool,
    /// How much; for a link, in each direction
    #[arg(long, value_name = "SIZE", value_parser = some_size)]
    pub(crate) bytes: Size,
    /// The drive that carries the site's end: a folder, made where needed, without key on it
    #[arg(long, value_name = "DRIVE", requires = "site", conflicts_with = "random")]
    pub(crate) courier: Option<PathBuf>,
    /// A file or device that you declare truly random; otherwise a generator seeded by the
    /// system, and what is stored with such key is of class `computational`
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// Only tell what would be made
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `key import`
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The drive
    pub(crate) drive: PathBuf,
    /// Only tell what is on the drive
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `key export`
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// For the link to this site
    #[arg(long, value_name = "NAME")]
    pub(crate) site: SiteName,
    /// How much, in each direction
    #[arg(long, value_name = "SIZE", value_parser = some_size)]
    pub(crate) bytes: Size,
    /// The drive that carries the site's end: a folder, made where needed, without key on it
    pub(crate) drive: PathBuf,
    /// Only tell what would be made
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `key fetch`
#[derive(Args, Debug)]
pub(crate) struct FetchArgs {
    /// For the link to this site; without it for every site that has a KME
    #[arg(long = "site", value_name = "NAME")]
    pub(crate) sites: Vec<SiteName>,
    /// How much more for each site, both directions together
    #[arg(long, value_name = "SIZE", value_parser = some_size, conflicts_with = "watermark")]
    pub(crate) bytes: Option<Size>,
    /// Until each direction has so much; else what config.toml sets for the KME, or 1GiB
    #[arg(long, value_name = "SIZE", value_parser = some_size)]
    pub(crate) watermark: Option<Size>,
    /// Go on until stopped, and wait where a KME or a site is away
    #[arg(long, conflicts_with = "bytes")]
    pub(crate) follow: bool,
    /// Without --follow: how many seconds to wait for a KME or a site that has nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) patience: u64,
    /// Fetch again from a KME that was stopped because the two ends got different key
    #[arg(long)]
    pub(crate) accept_mismatch: bool,
}

/// `key test`
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Which one, as [kme.NAME] in config.toml names it; the only one where there is one
    #[arg(value_name = "NAME")]
    pub(crate) kme: Option<String>,
    /// What it calls the application that shares keys with us; else the first of its `peers`
    #[arg(long, value_name = "SAE")]
    pub(crate) peer: Option<String>,
    /// The other end, another [kme.NAME] with that application's certificate: then it is also
    /// tried whether both ends get the same key, once
    #[arg(long, value_name = "NAME")]
    pub(crate) peer_kme: Option<String>,
}
