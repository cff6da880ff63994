//! `audit verify`: whether a log is what it was, by its own chain and by what others hold of it.

use super::{Log, witnesses};
use crate::Vault;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::{error_chain, hang_up};
use crate::report::time;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use warifu_catalog::{
    AuditHead, CheckpointRow, Compared, Exported, Site, checkpoint_line, hex, is_head_signed,
    is_report_signed, read_checkpoint_line, verify_export,
};
use warifu_core::{Channel, SiteName};
use warifu_link::body::Checkpoint;

/// The longest line of a file of checkpoints that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1024;

/// The longest signed report that is read, in bytes.
const REPORT_BYTES_MAX: u64 = 64 << 20;

/// What one witness says.
#[derive(Debug, Clone, Serialize)]
pub struct AuditCheck {
    /// Who: a site's name, or a file.
    pub by: String,
    /// Entries that the log had then.
    pub entries: u64,
    /// When it was shown.
    pub at: String,
    /// `same`, `cut-off`, `rewritten`, `other-key` or `not-signed`.
    pub found: &'static str,
}

/// What `audit verify` found.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// Version of this document.
    pub v: u32,
    /// `audit-verify`.
    pub r#type: &'static str,
    /// Whether nothing was found that must not be.
    pub ok: bool,
    /// Entries in the log.
    pub entries: u64,
    /// The chain over them, in hexadecimal digits.
    pub chain: String,
    /// The key that signs for this log, in hexadecimal digits.
    pub public_key: String,
    /// What others hold of it.
    pub checks: Vec<AuditCheck>,
    /// Sites that could not be asked, with the reason.
    pub away: Vec<[String; 2]>,
    /// Entries of this log that tell of another's log that is not what it was.
    pub conflicts: usize,
}

impl AuditReport {
    fn new(head: &AuditHead, public_key: &[u8; 32]) -> Self {
        Self {
            v: 1,
            r#type: "audit-verify",
            ok: true,
            entries: head.entries,
            chain: hex(&head.chain),
            public_key: hex(public_key),
            checks: Vec::new(),
            away: Vec::new(),
            conflicts: 0,
        }
    }

    fn push(&mut self, check: AuditCheck) {
        self.ok &= check.found == "same";
        self.checks.push(check);
    }

    /// Why the log is not what it was; `None` where nothing speaks against it.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let check = self.checks.iter().find(|check| check.found != "same")?;
        let AuditCheck { by, entries, at, found } = check;
        let next = "keep this vault as it is, export the log, and find out who changed it and when";
        Some(
            match *found {
                "cut-off" => Failure::new(
                    Class::Rollback,
                    "audit-cut",
                    format!(
                        "the audit log has {} entries, and {by} holds a checkpoint of {at} over \
                     {entries}: its end was cut off, or this is an older copy",
                        self.entries
                    ),
                ),
                "rewritten" => Failure::new(
                    Class::Damage,
                    "audit-rewritten",
                    format!(
                        "one of the first {entries} entries is not what it was at {at}, says the \
                     checkpoint that {by} holds: the log was rewritten"
                    ),
                ),
                _ => Failure::new(
                    Class::Damage,
                    "audit-key-other",
                    format!("{by} holds a checkpoint of {at} that this vault's key did not sign"),
                ),
            }
            .next(next),
        )
    }
}

impl Vault {
    /// Verifies the log: its own chain, then against the checkpoints that sites hold (where
    /// `ask_sites`) and those in `files`.
    ///
    /// # Errors
    /// Where the chain is broken, or the log or a file can't be read. What witnesses say is in the
    /// report.
    pub fn verify_audit(&self, ask_sites: bool, files: &[&Path]) -> Result<AuditReport, Failure> {
        let log = self.log()?;
        let head = log.verify()?;
        let public_key = self.audit_key()?.public_key();
        let mut report = AuditReport::new(&head, &public_key);
        report.conflicts = self
            .audit_lines(&super::AuditQuery {
                kind: Some(witnesses::CHECKPOINT.to_owned()),
                result: Some(witnesses::CONFLICT.to_owned()),
                ..super::AuditQuery::default()
            })?
            .len();
        let against = Against { log: &log, public_key };
        for path in files {
            for held in checkpoints_in(path)? {
                report.push(against.check(&path.display().to_string(), &held)?);
            }
        }
        if ask_sites && let Some(catalog) = &self.catalog {
            let sites = catalog.sites()?;
            for site in sites.iter().filter(|site| site.channel == Channel::Otp) {
                match self.held_at(site) {
                    Ok(held) => {
                        for held in &held {
                            let held = as_exported(held);
                            report.push(against.check(site.site.as_str(), &held)?);
                        }
                    }
                    Err(failure) => {
                        report.away.push([site.site.to_string(), error_chain(&failure)]);
                    }
                }
            }
        }
        Ok(report)
    }

    /// What a site holds of this vault's log, where it stands now included.
    fn held_at(&self, site: &Site) -> Result<Vec<Checkpoint>, Failure> {
        let mut peer = self.dialer(site, Purpose::Pair, Patience::Once)?()?;
        let met = self.meet(site, &mut peer);
        let held = peer.checkpoints_held();
        hang_up(peer);
        met?;
        Ok(held?)
    }

    /// The checkpoints that this vault holds of the party called `name`: a line of JSON for each.
    ///
    /// # Errors
    /// Where nobody of that name is known here, or the log can't be read.
    pub fn checkpoints_of(&self, name: &SiteName) -> Result<Vec<String>, Failure> {
        let pools = self.keys.pools()?;
        let link = pools.iter().find(|pool| pool.peer.as_ref() == Some(name));
        let link = link.map(|pool| warifu_core::LinkId::from_bytes(*pool.pool.bytes()));
        let Some(link) = link else {
            let what = format!("there is no link to {name} here");
            return Err(Failure::new(Class::NotFound, "not-found", what)
                .next("see `warifu key status` for the names of links"));
        };
        let held = self.log()?.checkpoints(Some(link))?;
        Ok(held.iter().map(|held| checkpoint_line(&of_row(held))).collect())
    }
}

/// The log that is verified.
struct Against<'a> {
    log: &'a Log<'a>,
    public_key: [u8; 32],
}

impl Against<'_> {
    fn check(&self, by: &str, held: &Exported) -> Result<AuditCheck, Failure> {
        let found = if !is_genuine(held) {
            "not-signed"
        } else if held.public_key != self.public_key {
            "other-key"
        } else {
            match self.log.compare(&held.head)? {
                Compared::Same => "same",
                Compared::CutOff { .. } => "cut-off",
                Compared::Rewritten { .. } => "rewritten",
            }
        };
        Ok(AuditCheck {
            by: by.to_owned(),
            entries: held.head.entries,
            at: time(held.at_unix_s),
            found,
        })
    }
}

/// Verifies a file without any vault: an exported log, or a signed report.
///
/// # Errors
/// Where it is neither, is not what was signed, or can't be read.
pub fn verify_audit_file(path: &Path) -> Result<AuditReport, Failure> {
    let mut source = BufReader::new(File::open(path).map_err(|error| unreadable(path, error))?);
    let start = source.fill_buf().map_err(|error| unreadable(path, error))?;
    if start.starts_with(crate::forget::REPORT_START.as_bytes()) {
        return verify_report(path, source);
    }
    let exported = verify_export(source).map_err(|error| {
        let what = format!("{} is no exported audit log as it was signed", path.display());
        Failure::new(Class::Damage, "audit-export-broken", what)
            .because(error)
            .next("ask for another copy from the vault itself")
    })?;
    let mut report = AuditReport::new(&exported.head, &exported.public_key);
    report.push(AuditCheck {
        by: path.display().to_string(),
        entries: exported.head.entries,
        at: time(exported.at_unix_s),
        found: "same",
    });
    Ok(report)
}

/// A report of what was forgotten, as its vault signed it.
fn verify_report(path: &Path, source: impl Read) -> Result<AuditReport, Failure> {
    let mut text = String::new();
    let read = source.take(REPORT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| unreadable(path, error))?;
    let wrong = || {
        let what = format!("{} is no report as a vault signed it", path.display());
        Failure::new(Class::Damage, "audit-export-broken", what)
            .next("ask for another copy from the vault itself")
    };
    let signed: crate::forget::SignedReport =
        serde_json::from_str(&text).map_err(|error| wrong().because(error))?;
    let (key, signature) = signed.proof().ok_or_else(wrong)?;
    if !is_report_signed(&signed.report, &signature, &key) {
        return Err(wrong());
    }
    let mut report = AuditReport::new(&AuditHead { entries: 0, chain: [0; 32] }, &key);
    report.push(AuditCheck {
        by: path.display().to_string(),
        entries: 0,
        at: signed.at(),
        found: "same",
    });
    Ok(report)
}

/// The checkpoints in a file: those that `audit export --held` writes, or an exported log's own.
fn checkpoints_in(path: &Path) -> Result<Vec<Exported>, Failure> {
    let mut source = BufReader::new(File::open(path).map_err(|error| unreadable(path, error))?);
    let (mut held, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let mut bounded = Read::take(&mut source, LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(path, error))? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line).ok();
        held.extend(text.and_then(|text| read_checkpoint_line(text.trim_end())));
    }
    match held.is_empty() {
        false => Ok(held),
        true => Err(Failure::new(
            Class::Usage,
            "audit-no-checkpoints",
            format!("{} holds no checkpoint", path.display()),
        )
        .next("make one with `warifu audit export --held NAME` at the other vault")),
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    let class = match error.kind() {
        std::io::ErrorKind::NotFound => Class::NotFound,
        _ => Class::Other,
    };
    Failure::new(class, "audit-file", format!("can't read {}", path.display())).because(error)
}

fn is_genuine(held: &Exported) -> bool {
    is_head_signed(&held.head, held.at_unix_s, &held.signature, &held.public_key)
}

fn as_exported(held: &Checkpoint) -> Exported {
    Exported {
        head: AuditHead { entries: held.entries, chain: held.chain },
        at_unix_s: held.at_unix_s,
        public_key: held.public_key,
        signature: held.signature,
    }
}

fn of_row(held: &CheckpointRow) -> Exported {
    Exported {
        head: held.head(),
        at_unix_s: held.at_unix_s,
        public_key: held.public_key,
        signature: held.signature,
    }
}
