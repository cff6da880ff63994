//! `config ...`

use super::Context;
use crate::args::ConfigCommand;
use crate::exit::Ending;
use serde::Serialize;
use std::path::Path;
use warifu_vault::config::{CONFIG_FILE, Mistake};
use warifu_vault::{Class, Config, Failure};

/// What `config check` answers.
#[derive(Serialize)]
struct Checked {
    v: u32,
    r#type: &'static str,
    file: String,
    ok: bool,
    mistakes: Vec<Mistake>,
}

/// Runs one of them. The settings alone are read, so that they can be mended when nothing opens.
pub(super) fn run(context: &Context, command: &ConfigCommand) -> Result<(), Ending> {
    let dir = context.dir()?;
    match command {
        ConfigCommand::Show => {
            let (config, text) = Config::shown(&dir)?;
            context.output.answer(&config, || text)
        }
        ConfigCommand::Check => check(context, &dir),
    }
}

fn check(context: &Context, dir: &Path) -> Result<(), Ending> {
    let file = dir.join(CONFIG_FILE).display().to_string();
    let mistakes = Config::mistakes(dir)?;
    let answer = Checked { v: 1, r#type: "config-check", file, ok: mistakes.is_empty(), mistakes };
    context.output.answer(&answer, || told(&answer))?;
    match answer.mistakes.len() {
        0 => Ok(()),
        count => {
            let what = format!("{} has mistakes: {count}", answer.file);
            Err(Failure::new(Class::Usage, "config-invalid", what)
                .next("mend the lines named above")
                .into())
        }
    }
}

fn told(answer: &Checked) -> String {
    if answer.ok {
        return format!("{} is good\n", answer.file);
    }
    // As compilers write it, so that editors find the place.
    let line = |one: &Mistake| {
        let key = if one.key.is_empty() { String::new() } else { format!("`{}` ", one.key) };
        let at = format!("{}:{}:{}", answer.file, one.line, one.column);
        format!("{at}: {key}{}\n  mend: {}\n", one.what, one.mend)
    };
    answer.mistakes.iter().map(line).collect()
}
