//! `plugin ...`

mod trial;

use super::Context;
use crate::args::PluginCommand;
use crate::exit::Ending;
use crate::table::printable;
use serde::Serialize;
use std::os::fd::AsFd;
use std::path::Path;
use warifu_plugin_host::About;
use warifu_vault::{Class, Failure};

/// What a plugin in C begins from.
const TEMPLATE: [(&str, &str); 4] = [
    ("plugin.c", include_str!("../../../../plugins/example-c/folder.c")),
    ("warifu_plugin.h", include_str!("../../../../plugins/abi/warifu_plugin.h")),
    ("ABI.md", include_str!("../../../../plugins/abi/ABI.md")),
    (
        "Makefile",
        "plugin.so: plugin.c warifu_plugin.h\n\t$(CC) -std=c11 -Wall -Wextra -O2 -shared -fPIC \
         $< -o $@\n\ntest: plugin.so\n\trm -rf empty && mkdir empty\n\twarifu plugin test \
         plugin.so folder=$(CURDIR)/empty\n",
    ),
];

/// What `plugin info` answers.
#[derive(Serialize)]
struct PluginInfo {
    v: u32,
    r#type: &'static str,
    library: String,
    name: String,
    version: String,
    abi: u32,
    create_only: bool,
    durable: bool,
}

/// What `plugin new` answers.
#[derive(Serialize)]
struct PluginMade {
    v: u32,
    r#type: &'static str,
    folder: String,
    files: Vec<&'static str>,
}

/// Runs one of them.
pub(super) fn run(context: &Context, command: PluginCommand) -> Result<(), Ending> {
    match command {
        PluginCommand::New { folder } => make(context, &folder),
        PluginCommand::Info { library } => info(context, &library),
        PluginCommand::Test { library, settings, only, junit } => {
            trial::run(context, &library, &settings, only.as_deref(), junit.as_deref())
        }
    }
}

/// Runs a plugin for another warifu.
pub(super) fn help() -> Result<(), Ending> {
    let failed = |error: std::io::Error| {
        Failure::new(Class::Usage, "plugin-helper", "this command is for warifu itself")
            .because(error)
            .next("name the plugin in a store's URL, or try it with `warifu plugin test`")
    };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    Ok(warifu_plugin_host::serve(socket.into()).map_err(failed)?)
}

fn make(context: &Context, folder: &Path) -> Result<(), Ending> {
    let failed = |error: std::io::Error| {
        let what = format!("can't write a plugin to {}", folder.display());
        Failure::new(Class::Usage, "plugin-folder", what)
            .because(error)
            .next("name a folder that is not there yet, in one that is")
    };
    std::fs::create_dir(folder).map_err(failed)?;
    for (name, text) in TEMPLATE {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    let files = TEMPLATE.map(|(name, _)| name).to_vec();
    let folder = folder.display().to_string();
    let answer = PluginMade { v: 1, r#type: "plugin-made", folder, files };
    let human = || {
        let folder = printable(&answer.folder);
        format!("made {folder}\nnext: read {folder}/ABI.md, change plugin.c, `make test` there\n")
    };
    context.output.answer(&answer, human)
}

fn info(context: &Context, library: &Path) -> Result<(), Ending> {
    let about = about(library)?;
    let answer = PluginInfo {
        v: 1,
        r#type: "plugin",
        library: library.display().to_string(),
        name: about.name,
        version: about.version,
        abi: about.abi,
        create_only: about.create_only,
        durable: about.durable,
    };
    let human = || {
        let says = |is: bool| if is { "yes" } else { "no" };
        format!(
            "{} {}, interface {}\none of two puts of a name wins: {}\nwhat is stored survives loss \
             of power: {}\n",
            answer.name,
            answer.version,
            answer.abi,
            says(answer.create_only),
            says(answer.durable)
        )
    };
    context.output.answer(&answer, human)
}

fn about(library: &Path) -> Result<About, Failure> {
    About::read(library).map_err(|error| {
        Failure::new(Class::Usage, "plugin-unfit", error.to_string())
            .because(error)
            .next("build it as a shared library, by ABI.md: `warifu plugin new DIR` writes one")
    })
}
