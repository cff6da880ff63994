//! `plugin ...`

use clap::Subcommand;
use std::path::PathBuf;

/// `plugin ...`
#[derive(Subcommand, Debug)]
pub(crate) enum PluginCommand {
    /// Write a plugin to begin from: the example in C, the header, the rules, a Makefile
    New {
        /// The folder, which is made
        folder: PathBuf,
    },
    /// Tell what a plugin says of itself, without running it
    Info {
        /// The shared library
        library: PathBuf,
    },
    /// Try whether a plugin does what it must, in a process of its own, on a store that is empty
    Test {
        /// The shared library
        library: PathBuf,
        /// What it is told, as in a store's URL
        #[arg(value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// Only cases whose name holds this text
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Write the outcome as JUnit XML, too
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
}
