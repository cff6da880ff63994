//! `config ...`

use super::Context;
use crate::args::ConfigCommand;
use crate::exit::Ending;
use serde::Serialize;
use warifu_vault::Config;
use warifu_vault::config::CONFIG_FILE;

/// What `config check` answers.
#[derive(Serialize)]
struct Checked {
    v: u32,
    r#type: &'static str,
    file: String,
    ok: bool,
}

/// Runs one of them. The settings alone are read, so that they can be mended when nothing opens.
pub(super) fn run(context: &Context, command: &ConfigCommand) -> Result<(), Ending> {
    let dir = context.dir()?;
    let config = Config::read(&dir)?;
    match command {
        ConfigCommand::Show => {
            let text = config.to_toml()?;
            context.output.answer(&config, || text)
        }
        ConfigCommand::Check => {
            let file = dir.join(CONFIG_FILE).display().to_string();
            let answer = Checked { v: 1, r#type: "config-check", file, ok: true };
            context.output.answer(&answer, || format!("{} is good\n", answer.file))
        }
    }
}
