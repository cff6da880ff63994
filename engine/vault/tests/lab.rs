//! A gateway and its sites in one process, over real sockets and real folders.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use tempfile::TempDir;
use warifu_core::{SiteName, Threshold};
use warifu_vault::config::{ConsentPolicy, SiteConfig};
use warifu_vault::{
    BackupRequest, Failure, GenerateRequest, KeySourceChoice, NewSite, ObjectReport, Output,
    RestoreReport, RestoreRequest, Source, Target, Vault, Watch,
};

struct RunningSite {
    dir: PathBuf,
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl RunningSite {
    fn stop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for RunningSite {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Lab {
    root: TempDir,
    gateway: Vault,
    sites: Vec<RunningSite>,
}

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn watched<T>(work: impl FnOnce(Watch<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(Watch { progress: &mut |_| (), stop: &stop })
}

fn start(dir: &Path) -> (RunningSite, String) {
    let vault = Vault::open(dir).unwrap();
    let server = vault.server().unwrap();
    let address = server.address().to_owned();
    let stop = server.stopper();
    let thread = std::thread::spawn(move || {
        let _vault = vault;
        server.run().unwrap();
    });
    (RunningSite { dir: dir.to_owned(), stop: Box::new(stop), thread: Some(thread) }, address)
}

impl Lab {
    /// A gateway with `sites` sites on links that hold `key_bytes` each way.
    fn new(sites: usize, key_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let gateway =
            Vault::init(&root.path().join("g"), name("gateway"), None, no_consent()).unwrap();
        let mut lab = Self { root, gateway, sites: Vec::new() };
        for number in 0..sites {
            lab.add_site(number, key_bytes);
        }
        let request = GenerateRequest {
            target: Target::Random,
            bytes: 1 << 20,
            source: KeySourceChoice::System,
        };
        watched(|watch| lab.gateway.generate(&request, watch)).unwrap();
        lab.gateway.enroll(&"P1".parse().unwrap()).unwrap();
        lab
    }

    fn add_site(&mut self, number: usize, key_bytes: u64) {
        let site = name(&format!("s{number}"));
        let dir = self.root.path().join(site.as_str());
        let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
        Vault::init(&dir, site.clone(), Some(config), no_consent()).unwrap();
        let (running, address) = start(&dir);
        // From now on the site comes back at the same port.
        let path = dir.join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("127.0.0.1:0", &address)).unwrap();
        self.sites.push(running);
        let new = NewSite {
            name: site.clone(),
            url: format!("warifu://{address}"),
            zone: None,
            domain: None,
            channel: None,
        };
        self.gateway.add_site(&new).unwrap();
        let drive = self.root.path().join(format!("drive{number}"));
        let request = GenerateRequest {
            target: Target::Link { site, drive: drive.clone() },
            bytes: key_bytes,
            source: KeySourceChoice::System,
        };
        watched(|watch| self.gateway.generate(&request, watch)).unwrap();
        Vault::open(&dir).unwrap().import(&drive).unwrap();
    }

    fn write(&self, bytes: usize) -> (PathBuf, Vec<u8>) {
        let data: Vec<u8> = (0..bytes as u64)
            .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
            .collect();
        let path = self.root.path().join(format!("in-{bytes}"));
        std::fs::write(&path, &data).unwrap();
        (path, data)
    }

    fn backup(&self, path: &Path, scheme: &str) -> Result<ObjectReport, Failure> {
        let request = BackupRequest::new(
            Source::File(path.to_owned()),
            "P1".parse().unwrap(),
            scheme.parse::<Threshold>().unwrap(),
        );
        watched(|watch| self.gateway.backup(&request, watch))
    }

    fn restore(&self, object: &str) -> Result<(RestoreReport, Vec<u8>), Failure> {
        let output = self.root.path().join("out");
        let request = RestoreRequest {
            object: object.parse().unwrap(),
            output: Output::Path(output.clone()),
            range: None,
            resume: false,
        };
        let report = watched(|watch| self.gateway.restore(&request, watch))?;
        let data = std::fs::read(&output).unwrap();
        std::fs::remove_file(&output).unwrap();
        Ok((report, data))
    }

    fn lose(&mut self, number: usize) {
        self.sites[number].stop();
        std::fs::remove_dir_all(self.sites[number].dir.join("store")).unwrap();
    }
}

#[test]
fn an_object_comes_back_after_two_of_five_sites_burned() {
    let mut lab = Lab::new(5, 16 << 20);
    let (path, data) = lab.write((2 << 20) + 12345);
    let report = lab.backup(&path, "3/5").unwrap();
    assert_eq!(report.bytes, data.len() as u64);
    assert_eq!(report.class, "computational");
    assert_eq!(report.shares.len(), 5);
    let (restored, back) = lab.restore(&report.object).unwrap();
    assert!(back == data);
    assert!(restored.rejected.is_empty());
    lab.lose(0);
    lab.lose(3);
    let (_, back) = lab.restore(&report.object).unwrap();
    assert!(back == data);
    let pools = lab.gateway.key_status().unwrap();
    assert!(pools.iter().all(|pool| pool.bytes_burned < 64 << 10), "clean exits burn little");
    assert!(lab.gateway.audit_keys().unwrap().iter().all(|row| row.overlaps == 0));
    // Neither end, both of which are in this process, has copied any payload, share or key.
    assert_eq!(warifu_buffers::copied_bytes(), 0);
}

/// These tests are of something else than consent.
fn no_consent() -> ConsentPolicy {
    ConsentPolicy::not_enforced("a test of something else")
}
