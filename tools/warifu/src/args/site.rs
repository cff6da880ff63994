//! `init` and `site ...`

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use warifu_core::{Channel, SiteName};

/// `init`
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The gateway's name, by which sites know it
    #[arg(long, value_name = "NAME", default_value = "gateway")]
    #[arg(conflicts_with_all = ["site", "listen", "store"])]
    pub(crate) name: SiteName,
    /// Make a site's vault, of a site with this name
    #[arg(long, value_name = "NAME", requires = "listen")]
    pub(crate) site: Option<SiteName>,
    /// Where the site listens
    #[arg(long, value_name = "HOST:PORT", requires = "site", value_parser = address)]
    pub(crate) listen: Option<String>,
    /// Where the site keeps shares, file:///PATH, s3://BUCKET/PREFIX?endpoint=URL&region=NAME or
    /// plugin:/PATH/OF/LIBRARY.so?NAME=VALUE; within the vault where not given. `site serve` reads
    /// the credentials of S3 from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, value_name = "URL", requires = "site")]
    pub(crate) store: Option<String>,
    /// Persons do not decide here, for this reason: a site releases shares without consent, a
    /// gateway enrols without cards. For labs; `[consent]` of config.toml, told by doctor
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(crate) no_consent: Option<String>,
}

/// `site ...`
#[derive(Subcommand, Debug)]
pub(crate) enum SiteCommand {
    /// Add a site to this gateway; or at a site's vault, another site that it works with, to which
    /// a link leads or will
    Add(AddArgs),
    /// List sites
    List,
    /// Show a site
    Show {
        /// Its name
        site: SiteName,
    },
    /// Speak to a site: is it there, is it the right one, how much room has it
    Test {
        /// Its name
        site: SiteName,
    },
    /// Send a site no new shares; those that it holds stay, until they can be moved elsewhere
    Drain {
        /// Its name
        site: SiteName,
        /// Send it new shares again
        #[arg(long)]
        undo: bool,
    },
    /// Forget a site that holds no share
    Remove(RemoveArgs),
    /// Run the site of this vault, until SIGTERM or SIGINT
    Serve,
}

/// `site remove`
#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) site: SiteName,
    /// Although its link has key left, which then serves nobody
    #[arg(long)]
    pub(crate) force: bool,
    /// Only tell what would be lost
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `site add`
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) site: SiteName,
    /// warifu://HOST:PORT for a site daemon, file:///PATH for a folder in this trusted room
    pub(crate) url: String,
    /// What burns together with it; its own name where not given
    #[arg(long)]
    pub(crate) zone: Option<SiteName>,
    /// Who could be bribed or coerced together with it; its own name where not given
    #[arg(long)]
    pub(crate) domain: Option<SiteName>,
    /// How shares reach it; by the URL where not given
    #[arg(long, value_parser = PossibleValuesParser::new(["otp", "local"])
        .try_map(|text| text.parse::<Channel>()))]
    pub(crate) channel: Option<Channel>,
}

/// Checks that `text` can be told as a reason.
fn reason(text: &str) -> Result<String, &'static str> {
    let is_short = (1..=256).contains(&text.trim().len());
    match is_short && !text.contains(char::is_control) {
        true => Ok(text.trim().to_owned()),
        false => Err("a reason has 1 to 256 bytes, on one line"),
    }
}

/// Checks that `text` is HOST:PORT.
fn address(text: &str) -> Result<String, &'static str> {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok() =>
        {
            Ok(text.to_owned())
        }
        _ => Err("an address is HOST:PORT, such as 127.0.0.1:7401 or [::1]:7401"),
    }
}
