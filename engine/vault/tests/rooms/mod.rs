//! A gateway whose sites are folders in its own room: nothing runs but the calls of the test.

#![allow(dead_code, reason = "every test crate takes what it needs")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use warifu_core::{ObjectId, SiteName, Threshold};
use warifu_vault::config::ConsentPolicy;
use warifu_vault::{
    BackupRequest, Compression, Failure, GenerateRequest, KeySourceChoice, NewSite, ObjectReport,
    Output, RestoreReport, RestoreRequest, Source, Target, Vault, Watch,
};

pub(crate) struct Rooms {
    pub(crate) root: TempDir,
    pub(crate) gateway: Vault,
}

impl Rooms {
    /// A gateway with `sites` folders and `random_bytes` random numbers.
    pub(crate) fn new(sites: usize, random_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let name = |text: &str| text.parse::<SiteName>().unwrap();
        let gateway =
            Vault::init(&root.path().join("g"), name("gateway"), None, no_consent()).unwrap();
        for number in 0..sites {
            let site = name(&format!("s{number}"));
            let url = format!("file://{}", root.path().join(site.as_str()).display());
            let new = NewSite { name: site, url, zone: None, domain: None, channel: None };
            gateway.add_site(&new).unwrap();
        }
        let source = KeySourceChoice::System;
        let request = GenerateRequest { target: Target::Random, bytes: random_bytes, source };
        watched(|watch| gateway.generate(&request, watch)).unwrap();
        gateway.enroll(&"P1".parse().unwrap()).unwrap();
        std::fs::create_dir(root.path().join("out")).unwrap();
        Self { root, gateway }
    }

    /// Stores `bytes` bytes; what was stored comes back beside the report.
    pub(crate) fn store(&self, bytes: usize, scheme: &str) -> (ObjectReport, Vec<u8>) {
        let data: Vec<u8> = (0..bytes as u64)
            .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
            .collect();
        let path = self.root.path().join("in");
        std::fs::write(&path, &data).unwrap();
        (self.store_file(&path, scheme), data)
    }

    /// Stores a file.
    pub(crate) fn store_file(&self, path: &Path, scheme: &str) -> ObjectReport {
        self.store_as(path, scheme, Compression::None, false)
    }

    /// Stores a file, compressed or padded.
    pub(crate) fn store_as(
        &self,
        path: &Path,
        scheme: &str,
        compression: Compression,
        pad: bool,
    ) -> ObjectReport {
        self.try_store_said(path, scheme, (compression, pad), ("P1", None)).unwrap()
    }

    /// As `store_file`, where it may be refused.
    pub(crate) fn try_store_file(
        &self,
        path: &Path,
        scheme: &str,
    ) -> Result<ObjectReport, Failure> {
        self.try_store_said(path, scheme, (Compression::None, false), ("P1", None))
    }

    /// Stores a file of an individual, with a label.
    pub(crate) fn store_file_for(
        &self,
        path: &Path,
        scheme: &str,
        individual: &str,
        label: Option<&str>,
    ) -> ObjectReport {
        let said = (individual, label);
        self.try_store_said(path, scheme, (Compression::None, false), said).unwrap()
    }

    fn try_store_said(
        &self,
        path: &Path,
        scheme: &str,
        (compression, pad): (Compression, bool),
        (individual, label): (&str, Option<&str>),
    ) -> Result<ObjectReport, Failure> {
        let request = BackupRequest {
            label: label.map(str::to_owned),
            compression,
            pad,
            ..BackupRequest::new(
                Source::File(path.to_owned()),
                individual.parse().unwrap(),
                scheme.parse::<Threshold>().unwrap(),
            )
        };
        watched(|watch| self.gateway.backup(&request, watch))
    }

    /// Restores. Whatever comes of it, nothing else is left in the folder of the output.
    pub(crate) fn restore(&self, object: &str) -> Result<(RestoreReport, Vec<u8>), Failure> {
        let folder = self.root.path().join("out");
        let output = folder.join("data");
        let request = RestoreRequest {
            object: object.parse().unwrap(),
            output: Output::Path(output.clone()),
            range: None,
            resume: false,
        };
        let restored = watched(|watch| self.gateway.restore(&request, watch)).map(|report| {
            let data = std::fs::read(&output).unwrap();
            std::fs::remove_file(&output).unwrap();
            (report, data)
        });
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "a file was left behind");
        restored
    }

    /// The file of the share at `x`.
    pub(crate) fn share_file(&self, report: &ObjectReport, x: u8) -> PathBuf {
        let object: ObjectId = report.object.parse().unwrap();
        let name = format!("{object}-{x:02x}.share");
        self.folder(&report.shares[usize::from(x) - 1].site).join("shares").join(name)
    }

    /// The folder of a site.
    pub(crate) fn folder(&self, site: &str) -> PathBuf {
        self.root.path().join(site)
    }
}

pub(crate) fn watched<T>(work: impl FnOnce(Watch<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(Watch { progress: &mut |_| (), stop: &stop })
}

/// These tests are of something else than consent.
pub(crate) fn no_consent() -> ConsentPolicy {
    ConsentPolicy::not_enforced("a test of something else")
}
