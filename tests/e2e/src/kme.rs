//! A pair of key-management entities as a process of its own, at both ends of a lab's links.

use crate::lab::Lab;
use crate::process::{Running, warifu};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The lab's KMEs: the gateway is an application of node `a`, each site one of node `b`.
pub struct Kme {
    folder: PathBuf,
    child: Option<Child>,
    ready: Value,
}

impl Kme {
    /// Starts it with `options` of `warifu-kme serve` and makes it the deliverer of all links of
    /// the lab, whose sites start anew. `manner` are more lines of each `[kme.qkd]`.
    ///
    /// # Panics
    /// Where it does not start, or has not been built.
    #[must_use]
    pub fn attach(lab: &mut Lab, options: &[&str], manner: &str) -> Self {
        let folder = lab.path("kme");
        let mut words = vec!["--sae".to_owned(), "gateway@a".to_owned()];
        for site in &lab.sites {
            words.extend(["--sae".to_owned(), format!("{}@b", site.name)]);
        }
        words.extend(options.iter().map(|&word| word.to_owned()));
        let (child, ready) = serve(&folder, &words);
        let kme = Self { folder, child: Some(child), ready };
        let peers: Vec<String> =
            lab.sites.iter().map(|site| format!("{0} = \"{0}\"", site.name)).collect();
        kme.configure(&lab.gateway, "a", "gateway", &peers.join(", "), manner);
        for site in &mut lab.sites {
            kme.configure(&site.vault, "b", &site.name, "gateway = \"gateway\"", manner);
            site.stop();
            site.start();
        }
        kme
    }

    /// Makes one end err from its next request on, as `warifu-kme fault DIR NODE WORDS` does.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn fault(&self, node: &str, words: &[&str]) {
        let mut command = Command::new(program());
        let told = command.arg("fault").arg(&self.folder).arg(node).args(words).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }

    /// Kills it, as kill -9 does.
    ///
    /// # Panics
    /// Where that fails.
    pub fn kill_nine(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again at the same addresses.
    ///
    /// # Panics
    /// Where it does not start, or not there.
    pub fn start(&mut self) {
        let (child, ready) = serve(&self.folder, &[]);
        assert_eq!(ready["nodes"], self.ready["nodes"], "it is where it was");
        self.child = Some(child);
    }

    fn configure(&self, vault: &Path, node: &str, sae: &str, peers: &str, manner: &str) {
        let nodes = self.ready["nodes"].as_array().unwrap();
        let url = &nodes.iter().find(|one| one["name"] == node).unwrap()["url"];
        let folder = self.folder.display();
        let mut config = File::options().append(true).open(vault.join("config.toml")).unwrap();
        writeln!(
            config,
            "\n[kme.qkd]\nurl = {url}\ncertificate = \"{folder}/sae/{sae}.pem\"\n\
             key = \"{folder}/sae/{sae}.key.pem\"\nca = \"{folder}/ca.pem\"\nsae = \"{sae}\"\n\
             peers = {{ {peers} }}\n{manner}"
        )
        .unwrap();
    }
}

impl Drop for Kme {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Lab {
    /// Starts a `key fetch` of the gateway that goes on until it is stopped.
    #[must_use]
    pub fn spawn_fetch(&self, watermark_bytes: u64) -> Running {
        let watermark = watermark_bytes.to_string();
        self.spawn(&["--json", "key", "fetch", "--follow", "--watermark", &watermark])
    }
}

fn program() -> PathBuf {
    let program = warifu().with_file_name("warifu-kme");
    let path = program.display();
    assert!(program.is_file(), "there is no {path}: run ./tools/test, which builds it");
    program
}

fn serve(folder: &Path, words: &[String]) -> (Child, Value) {
    let log_path = folder.with_extension("log");
    let log = File::options().create(true).append(true).open(&log_path).unwrap();
    let mut command = Command::new(program());
    command.arg("serve").arg(folder).args(words).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    match serde_json::from_str(&line) {
        Ok(ready) => (child, ready),
        Err(_) => panic!("the KME does not start: {}", fs::read_to_string(log_path).unwrap()),
    }
}
