//! A gateway, a site and their KMEs, each a process of its own.

use serde_json::Value;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What stands in a segment's file before its key: FORMAT, section 7.
const HEADER_BYTES: u64 = 4096;

/// Key of the link that a courier brings first: from it comes what fetching itself takes.
const COURIER: &str = "16MiB";

const PIECE_BYTES: usize = 1 << 20;

/// A process that is killed when it is dropped.
pub(crate) struct Party(Child);

impl Party {
    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The three parties, in a folder that goes with them.
pub(crate) struct Lab {
    folder: TempDir,
    pub(crate) kmes: Party,
    pub(crate) site: Party,
    couriers: Vec<String>,
}

impl Lab {
    /// Makes and starts them in a new folder within `folder`.
    pub(crate) fn start(folder: &Path, is_large: bool) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir_in(folder)?;
        let at = |name: &str| folder.path().join(name);
        // Nobody else takes it within the moment that it is free.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        run(&at("G"), &["init"])?;
        run(&at("S"), &["init", "--site", "site", "--listen", &address])?;
        let url = format!("warifu://{address}");
        run(&at("G"), &["site", "add", "site", &url, "--zone", "z", "--domain", "d"])?;
        let drive = at("drive").display().to_string();
        let words = ["key", "generate", "--site", "site", "--bytes", COURIER, "--courier", &drive];
        run(&at("G"), &words)?;
        run(&at("S"), &["key", "import", &drive])?;
        let couriers = segments(&at("G"))?.iter().map(|path| name_of(path)).collect();

        let mut command = Command::new(program("warifu-kme")?);
        command.arg("serve").arg(at("kme")).args(is_large.then_some("--large"));
        let (kmes, ready) = spawn(command)?;
        configure(&at("G"), &at("kme"), &ready, ("a", "site", "b"))?;
        configure(&at("S"), &at("kme"), &ready, ("b", "gateway", "a"))?;
        let mut command = Command::new(program("warifu")?);
        command.arg("--vault").arg(at("S")).args(["--json", "site", "serve"]);
        let (site, _) = spawn(command)?;
        Ok(Self { folder, kmes, site, couriers })
    }

    /// A command that fetches so many bytes.
    pub(crate) fn fetch(&self, bytes: u64) -> Result<Command, Box<dyn Error>> {
        let mut command = Command::new(program("warifu")?);
        command.arg("--vault").arg(self.folder.path().join("G"));
        command.args(["--json", "key", "fetch", "--site", "site", "--bytes", &bytes.to_string()]);
        Ok(command)
    }

    /// Compares what both ends hold.
    pub(crate) fn expect_equal_ends(&self, bytes: u64) -> Result<(), Box<dyn Error>> {
        let (gateway, site) = (self.folder.path().join("G"), self.folder.path().join("S"));
        let fetched = |vault: &Path| -> Result<Vec<PathBuf>, Box<dyn Error>> {
            let mut all = segments(vault)?;
            all.retain(|path| !self.couriers.contains(&name_of(path)));
            Ok(all)
        };
        let (here, there) = (fetched(&gateway)?, fetched(&site)?);
        let mut compared = 0;
        for (one, other) in here.iter().zip(&there) {
            if name_of(one) != name_of(other) {
                return Err(format!("{} is only at one end", name_of(one)).into());
            }
            compared += compare(one, other)?;
        }
        if here.len() != there.len() || compared != bytes {
            return Err(format!("{compared} of {bytes} bytes are at both ends").into());
        }
        for vault in [gateway, site] {
            run(&vault, &["key", "audit"])?;
        }
        Ok(())
    }
}

/// The program beside this one.
fn program(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let path = std::env::current_exe()?.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(format!("there is no {}: build it first", path.display()).into()),
    }
}

fn run(vault: &Path, words: &[&str]) -> Result<(), Box<dyn Error>> {
    let done = Command::new(program("warifu")?).arg("--vault").arg(vault).args(words).output()?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&done.stderr)).into()),
    }
}

/// Starts a daemon, and reads the line that it says when it is ready.
fn spawn(mut command: Command) -> Result<(Party, Value), Box<dyn Error>> {
    let mut party = Party(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let stdout = party.0.stdout.take().ok_or("a daemon without output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok((party, serde_json::from_str(&line)?))
}

/// Tells a vault which KME is its own, what it calls the other end, and whose SAE that is.
fn configure(
    vault: &Path,
    lab: &Path,
    ready: &Value,
    (node, peer, peer_node): (&str, &str, &str),
) -> Result<(), Box<dyn Error>> {
    let nodes = ready["nodes"].as_array().ok_or("no nodes")?;
    let own = nodes.iter().find(|one| one["name"] == node).ok_or("no such node")?;
    let (url, lab) = (&own["url"], lab.display());
    let mut config = File::options().append(true).open(vault.join("config.toml"))?;
    Ok(writeln!(
        config,
        "\n[kme.lab]\nurl = {url}\ncertificate = \"{lab}/sae/sae-{node}.pem\"\n\
         key = \"{lab}/sae/sae-{node}.key.pem\"\nca = \"{lab}/ca.pem\"\n\
         peers = {{ {peer} = \"sae-{peer_node}\" }}"
    )?)
}

/// The segments of a vault, by name.
fn segments(vault: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let (mut folders, mut found) = (vec![vault.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "segment") => found.push(path),
                false => {}
            }
        }
    }
    found.sort_by_key(|path| name_of(path));
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Compares the key in two files; how much it is, in bytes.
fn compare(one: &Path, other: &Path) -> Result<u64, Box<dyn Error>> {
    let mut files = [File::open(one)?, File::open(other)?];
    let lengths = [files[0].metadata()?.len(), files[1].metadata()?.len()];
    if lengths[0] != lengths[1] || lengths[0] < HEADER_BYTES {
        return Err(format!("{} has another length at the other end", name_of(one)).into());
    }
    for file in &mut files {
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
    }
    let mut pieces = [vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]];
    let mut left = lengths[0] - HEADER_BYTES;
    while left > 0 {
        let len = usize::try_from(left.min(PIECE_BYTES as u64))?;
        for (file, piece) in files.iter_mut().zip(&mut pieces) {
            file.read_exact(&mut piece[..len])?;
        }
        if pieces[0][..len] != pieces[1][..len] {
            return Err(format!("{} differs at the other end", name_of(one)).into());
        }
        left -= len as u64;
    }
    Ok(lengths[0] - HEADER_BYTES)
}
