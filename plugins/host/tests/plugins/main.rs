//! Plugins as the host sees them: the C example, whole and with one fault of each class, in this
//! process and in one of their own.

#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod faults;
mod honest;

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use warifu_backend::{Error, Objects, ShareName};
use warifu_plugin_host::{Apart, PluginConfig, Trusted};

/// Set where this binary is started to be a plugin's process.
const IS_PROCESS: &str = "WARIFU_TEST_IS_PLUGIN_PROCESS";

/// Not a test of its own: the process of a plugin, when another test starts it.
#[test]
fn the_process_of_a_plugin() {
    if std::env::var_os(IS_PROCESS).is_some() {
        use std::os::fd::AsFd;
        let stream = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let _told = warifu_plugin_host::serve(stream.into());
    }
}

/// A library, and a folder for what it keeps.
struct Room {
    folder: TempDir,
    library: PathBuf,
}

impl Room {
    /// Compiles the example, or the one with this fault.
    fn new(fault: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("plugin.so");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let example = here.join("../example-c");
        let source = match fault {
            None => example.join("folder.c"),
            Some(_) => here.join("tests/plugins/faulty.c"),
        };
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-O1", "-shared", "-fPIC"]);
        match fault {
            None => cc.arg("-Werror"),
            Some(fault) => cc.arg(format!("-DFAULT={fault}")).arg("-w"),
        };
        cc.arg("-I").arg(here.join("../abi")).arg("-I").arg(example);
        assert!(cc.arg(source).arg("-o").arg(&library).status().unwrap().success());
        std::fs::create_dir(folder.path().join("kept")).unwrap();
        Self { folder, library }
    }

    fn config(&self) -> PluginConfig {
        let mut config = PluginConfig::new(&self.library);
        config.set(&format!("folder={}", self.folder.path().join("kept").display())).unwrap();
        config
    }

    /// The plugin in this process.
    fn trusted(&self) -> Result<Trusted, Error> {
        Trusted::open(&self.config())
    }

    /// The plugin in a process of its own.
    fn apart(&self, config: &PluginConfig) -> Result<Apart, Error> {
        let mark = self.folder.path().join("mark");
        Apart::open(config, move || {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "the_process_of_a_plugin", "--nocapture"]);
            command.env(IS_PROCESS, "1").env("FAULT_MARK", &mark);
            command
        })
    }
}

fn name(text: &str) -> ShareName {
    ShareName::new(text).unwrap()
}

fn put(objects: &dyn Objects, share: &str, contents: &[u8]) -> Result<(), Error> {
    objects.put(&name(share), contents.len() as u64, &mut |offset, target| {
        target.copy_from_slice(&contents[offset as usize..offset as usize + target.len()]);
        Ok(())
    })
}

fn get(objects: &dyn Objects, share: &str) -> Result<Vec<u8>, Error> {
    let mut kept = vec![0; objects.len(&name(share))? as usize];
    objects.read_at(&name(share), 0, &mut kept)?;
    Ok(kept)
}
