//! A gateway and its sites, as processes in a temporary folder.

use crate::ledgers::LedgerCheck;
use crate::process::{Daemon, Done, Running};
use crate::proxy::Proxy;
use crate::servers::Bucket;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How vaults are made for tests of something else than consent.
pub const NO_CONSENT_INIT: [&str; 3] = ["init", "--no-consent", "a test of something else"];

/// How a lab is laid out.
#[derive(Clone, Copy, Debug)]
pub struct LabShape {
    /// Sites, each in its own zone and domain, on a link.
    pub sites: usize,
    /// Key of each link in each direction, in bytes.
    pub key_bytes: u64,
    /// Random numbers of the gateway, in bytes.
    pub random_bytes: u64,
    /// Key that the gateway leases at a time, in bytes: what a crash burns at most. `None` leaves
    /// the default, which is for links that hold more than a lab's.
    pub lease_bytes: Option<u64>,
    /// Whether the network between gateway and sites is a [`Proxy`].
    pub proxied: bool,
    /// Whether persons decide: then nobody is enrolled yet.
    pub is_consent_asked: bool,
}

impl Default for LabShape {
    fn default() -> Self {
        Self {
            sites: 5,
            key_bytes: 24 << 20,
            random_bytes: 1 << 20,
            lease_bytes: Some(4 << 20),
            proxied: false,
            is_consent_asked: false,
        }
    }
}

/// One site of a lab.
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its vault.
    pub vault: PathBuf,
    /// The network before it, where the lab has one.
    pub proxy: Option<Proxy>,
    daemon: Option<Daemon>,
    /// What its environment says beside that of the test.
    environment: Vec<(&'static str, String)>,
}

impl Site {
    /// Where it keeps shares, if it keeps them in its vault.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.vault.join("store")
    }

    /// The names of the files in a folder of its store: `shares` or `unfinished`.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<String> {
        let files = fs::read_dir(self.store().join(folder)).into_iter().flatten();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The network before it.
    ///
    /// # Panics
    /// Where the lab was not made with one.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// Runs the site's daemon, at the same address as ever.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(&mut self) {
        let daemon = Daemon::start(&self.vault, &self.environment);
        let config = self.vault.join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("127.0.0.1:0", &daemon.address)).unwrap();
        if let Some(proxy) = &self.proxy {
            proxy.lead_to(daemon.address.parse().unwrap());
        }
        self.daemon = Some(daemon);
    }

    /// The daemon's process.
    ///
    /// # Panics
    /// Where none runs.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// Ends the daemon with SIGTERM.
    ///
    /// # Panics
    /// Where it does not end cleanly.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            assert_eq!(daemon.stop(), 0, "a site that is asked to stop ends with 0");
        }
    }

    /// Kills the daemon, as kill -9 does.
    pub fn kill_nine(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill_nine();
        }
    }

    /// Stops it and takes all of its shares away.
    ///
    /// # Panics
    /// Where the store can't be removed.
    pub fn burn(&mut self) {
        self.stop();
        fs::remove_dir_all(self.store()).unwrap();
    }
}

/// What a backup is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Backup<'a> {
    /// The file.
    pub file: &'a Path,
    /// `K/N`.
    pub scheme: &'a str,
    /// Anything else on the command line.
    pub more: &'a [&'a str],
}

impl<'a> Backup<'a> {
    /// A backup of `file` at `scheme`.
    #[must_use]
    pub fn of(file: &'a Path, scheme: &'a str) -> Self {
        Self { file, scheme, more: &[] }
    }
}

/// A gateway with sites.
pub struct Lab {
    root: TempDir,
    /// The gateway's vault.
    pub gateway: PathBuf,
    /// The sites.
    pub sites: Vec<Site>,
}

impl Lab {
    /// A lab with running sites, random numbers and the individual P1.
    ///
    /// # Panics
    /// Where any part can't be made.
    #[must_use]
    pub fn new(shape: LabShape) -> Self {
        let root = tempfile::tempdir().unwrap();
        let gateway = root.path().join("g");
        let mut lab = Self { root, gateway, sites: Vec::new() };
        let _made = lab.run(init(&shape)).ok();
        if let Some(bytes) = shape.lease_bytes {
            for limit in ["lease_bytes", "answer_lease_bytes"] {
                set_limit(&lab.gateway, limit, bytes);
            }
        }
        for _ in 0..shape.sites {
            lab.add_site(&shape);
        }
        let random = shape.random_bytes.to_string();
        let _made = lab.run(&["key", "generate", "--random", "--bytes", &random]).ok();
        if !shape.is_consent_asked {
            let _made = lab.run(&["individual", "enroll", "P1"]).ok();
        }
        lab
    }

    /// A lab of `sites` sites with a recording network and `key_bytes` each way.
    #[must_use]
    pub fn recorded(sites: usize, key_bytes: u64) -> Self {
        Self::new(LabShape { sites, key_bytes, proxied: true, ..LabShape::default() })
    }

    /// Makes one more site with its link, and starts it.
    ///
    /// # Panics
    /// Where any part can't be made.
    pub fn add_site(&mut self, shape: &LabShape) {
        self.add_site_at(shape, None);
    }

    /// The same, with its shares in a bucket.
    ///
    /// # Panics
    /// Where any part can't be made.
    pub fn add_site_at(&mut self, shape: &LabShape, bucket: Option<&Bucket>) {
        let name = format!("s{}", self.sites.len());
        let url = bucket.map(|bucket| bucket.url(&name));
        let environment = bucket.map(Bucket::credentials).unwrap_or_default();
        self.add_site_with(shape, url.as_deref(), environment);
    }

    /// The same, with its shares at a URL, and with an environment.
    ///
    /// # Panics
    /// Where any part can't be made.
    pub fn add_site_with(
        &mut self,
        shape: &LabShape,
        url: Option<&str>,
        environment: Vec<(&'static str, String)>,
    ) {
        let name = format!("s{}", self.sites.len());
        let vault = self.path(&name);
        let site = ["--site", &name, "--listen", "127.0.0.1:0"];
        let store: Vec<&str> = url.iter().flat_map(|url| ["--store", *url]).collect();
        let words = [init(shape), &site, &store].concat();
        let _made = Running::start(&vault, &words).wait().ok();
        let proxy = shape.proxied.then(|| Proxy::start(&self.path(&format!("wire-{name}"))));
        let mut site = Site { name, vault, proxy, daemon: None, environment };
        if site.proxy.is_none() {
            site.start();
        }
        let (zone, domain) = (format!("zone-{}", site.name), format!("domain-{}", site.name));
        let more = ["--zone", &zone, "--domain", &domain, "--channel", "otp"];
        let url = format!("warifu://{}", address(&site));
        let words = [&["site", "add", &site.name, &url][..], &more].concat();
        let _added = self.run(&words).ok();
        self.sites.push(site);
        self.deliver(self.sites.len() - 1, shape.key_bytes);
        if shape.proxied {
            self.sites.last_mut().unwrap().start();
        }
    }

    /// Brings `bytes` of key for each direction to a site, by courier.
    ///
    /// # Panics
    /// Where either end refuses.
    pub fn deliver(&self, site: usize, bytes: u64) {
        let site = &self.sites[site];
        let (drive, bytes) = (self.path(&format!("drive-{}", site.name)), bytes.to_string());
        let drive_text = drive.to_str().unwrap();
        let words = ["key", "generate", "--site", &site.name, "--bytes", &bytes];
        let words = [&words[..], &["--courier", drive_text]].concat();
        let _made = self.run(&words).ok();
        let _taken = Running::start(&site.vault, &["key", "import", drive_text]).wait().ok();
        let _gone = fs::remove_dir_all(&drive);
    }

    /// The URL of a site, over its network.
    #[must_use]
    pub fn url(&self, site: usize) -> String {
        format!("warifu://{}", address(&self.sites[site]))
    }

    /// A path in the lab's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file into the lab's folder.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn file(&self, name: &str, data: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, data).unwrap();
        path
    }

    /// Starts a command of the gateway.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Running::start(&self.gateway, arguments)
    }

    /// Runs a command of the gateway to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Done {
        self.spawn(arguments).wait()
    }

    /// Runs a command of the gateway that must succeed; its JSON answer.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Value {
        self.run(&[&["--json"], arguments].concat()).ok().json()
    }

    /// Starts a backup for P1 with `--json`.
    ///
    /// # Panics
    /// Where it can't be started.
    #[must_use]
    pub fn spawn_backup(&self, backup: Backup<'_>) -> Running {
        let file = backup.file.to_str().unwrap();
        let words = ["--json", "backup", file, "--individual", "P1", "--scheme", backup.scheme];
        self.spawn(&[&words[..], backup.more].concat())
    }

    /// Runs a backup for P1 with `--json`.
    #[must_use]
    pub fn backup(&self, backup: Backup<'_>) -> Done {
        self.spawn_backup(backup).wait()
    }

    /// Stores a file that must go through; its object.
    ///
    /// # Panics
    /// Where it is not stored.
    #[track_caller]
    #[must_use]
    pub fn store(&self, file: &Path, scheme: &str) -> String {
        let report = self.backup(Backup::of(file, scheme)).ok().json();
        report["object"].as_str().unwrap().to_owned()
    }

    /// Runs a restore with `--json`; what it delivered, if anything.
    ///
    /// # Panics
    /// Where it leaves anything behind although it failed.
    #[must_use]
    pub fn restore(&self, object: &str) -> (Done, Option<Vec<u8>>) {
        let folder = tempfile::tempdir_in(self.root.path()).unwrap();
        let output = folder.path().join("out");
        let done = self.run(&["--json", "restore", object, "-o", output.to_str().unwrap()]);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), usize::from(output.exists()), "something else is left: {left:?}");
        assert!(done.code == 0 || left.is_empty(), "a failed restore leaves nothing: {done:?}");
        (done, fs::read(output).ok())
    }

    /// Restores an object, which must succeed and bring back `expected`.
    ///
    /// # Panics
    /// Where it doesn't.
    #[track_caller]
    pub fn expect_back(&self, object: &str, expected: &[u8]) -> Value {
        let (done, data) = self.restore(object);
        let done = done.ok();
        assert!(data.unwrap() == expected, "restored data of {object} differs");
        done.json()
    }

    /// The objects that are listed.
    ///
    /// # Panics
    /// Where they can't be.
    #[track_caller]
    #[must_use]
    pub fn listed(&self) -> Vec<String> {
        let rows = self.ask(&["list"]);
        let objects = rows.as_array().unwrap().iter().map(|row| row["object"].as_str().unwrap());
        objects.map(str::to_owned).collect()
    }

    /// What `key status` says of one pool: `random`, `SITE/to` or `SITE/from`.
    ///
    /// # Panics
    /// Where there is no such pool.
    #[track_caller]
    #[must_use]
    pub fn pool(&self, pool: &str) -> Value {
        let rows = self.ask(&["key", "status"]);
        let row = rows.as_array().unwrap().iter().find(|row| row["pool"] == pool);
        row.unwrap().clone()
    }

    /// All ledgers and captures of the lab.
    #[must_use]
    pub fn ledgers(&self) -> LedgerCheck {
        let all = LedgerCheck::default().vault(&self.gateway);
        self.sites.iter().fold(all, |check, site| {
            let check = check.vault(&site.vault);
            match &site.proxy {
                Some(proxy) => check.captures(proxy.folder()),
                None => check,
            }
        })
    }

    /// Expects that no key was used twice: by the vaults' own audits, and by the independent
    /// checker over ledgers and captured frames.
    ///
    /// # Panics
    /// Where any was.
    #[track_caller]
    pub fn expect_key_used_once(&self) -> Value {
        let vaults = self.sites.iter().map(|site| &site.vault).chain([&self.gateway]);
        for vault in vaults {
            let rows = Running::start(vault, &["--json", "key", "audit"]).wait().ok().json();
            for row in rows.as_array().unwrap() {
                assert_eq!((&row["overlaps"], &row["outside_segments"]), (&0.into(), &0.into()));
            }
        }
        self.ledgers().is_clean()
    }
}

fn init(shape: &LabShape) -> &'static [&'static str] {
    if shape.is_consent_asked { &["init"] } else { &NO_CONSENT_INIT }
}

fn address(site: &Site) -> String {
    match &site.proxy {
        Some(proxy) => proxy.address().to_string(),
        None => site.daemon.as_ref().unwrap().address.clone(),
    }
}

/// Copies a folder with everything in it, as a backup program or a snapshot would.
///
/// # Panics
/// Where that fails.
pub fn tree_copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let to = target.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => tree_copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), &to).unwrap()),
        }
    }
}

/// Changes a text in a vault's settings, wherever it stands.
///
/// # Panics
/// Where it does not stand there.
#[track_caller]
pub fn change_settings(vault: &Path, old: &str, new: &str) {
    let config = vault.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains(old), "{old} does not stand in {text}");
    fs::write(config, text.replace(old, new)).unwrap();
}

/// Changes one number under `[limits]` in a vault's settings.
///
/// # Panics
/// Where there is no such limit.
pub fn set_limit(vault: &Path, limit: &str, number: u64) {
    let config = vault.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let prefix = format!("{limit} = ");
    let is_limit = |line: &&str| line.starts_with(&prefix);
    let old = text.lines().find(is_limit).unwrap();
    fs::write(&config, text.replace(&format!("\n{old}\n"), &format!("\n{prefix}{number}\n")))
        .unwrap();
}
