//! What is logged, to standard error.

use crate::args::Global;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use warifu_vault::{Class, Failure};

/// Starts logging: by `-v` and `-q`, else by `WARIFU_LOG`, else warnings.
///
/// # Errors
/// Where `WARIFU_LOG` is no filter.
pub(crate) fn start(global: &Global) -> Result<(), Failure> {
    let asked = std::env::var("WARIFU_LOG").ok();
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(global, asked.as_deref())?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !is_plain)
        .with_target(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(|error| {
        Failure::new(Class::Other, "logs", "logging can't be started").because(error)
    })
}

fn filter(global: &Global, asked: Option<&str>) -> Result<EnvFilter, Failure> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => Some("error"),
        (false, 0) => None,
        (false, 1) => Some("info"),
        (false, 2) => Some("debug"),
        (false, _) => Some("trace"),
    };
    let asked = asked.filter(|asked| !asked.trim().is_empty());
    EnvFilter::try_new(level.or(asked).unwrap_or("warn")).map_err(|error| {
        Failure::new(Class::Usage, "log-filter", "WARIFU_LOG is no filter of logs")
            .because(error)
            .next("write a level such as `info`, or `warifu_vault=debug,warn`, or unset it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(quiet: bool, verbose: u8, asked: Option<&str>) -> String {
        let global = Global { vault: None, json: false, quiet, verbose };
        filter(&global, asked).map_or_else(|error| error.code().to_owned(), |ok| ok.to_string())
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_default() {
        assert_eq!(shown(false, 0, None), "warn");
        assert_eq!(shown(false, 0, Some("")), "warn");
        assert_eq!(shown(false, 0, Some("debug")), "debug");
        assert_eq!(shown(false, 1, Some("error")), "info");
        assert_eq!(shown(false, 9, None), "trace");
        assert_eq!(shown(true, 0, Some("trace")), "error");
        assert_eq!(shown(false, 0, Some("warifu=[nonsense")), "log-filter");
    }
}
