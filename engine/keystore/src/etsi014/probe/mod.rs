//! Does a KME do what ETSI GS QKD 014 V1.1.1 says? Each check is told by name with what was found.
//!
//! A probe gets a few keys, which nobody will use: they are spent.

mod asking;
mod far_end;
mod near_end;

use super::Kme;
use crate::delivery::DeliveryError;
use asking::Asker;

/// What a check came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As it must be.
    Pass,
    /// Otherwise than it must be.
    Deviates,
    /// It could not be tried.
    NotTried,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Deviates => "deviates",
            Self::NotTried => "not-tried",
        }
    }
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Its name, for scripts.
    pub name: &'static str,
    /// Where the specification demands it: the title of the clause.
    pub clause: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found, or why it was not tried.
    pub found: String,
}

/// Whom to probe.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The KME, seen from one end.
    pub kme: &'a Kme,
    /// What it calls the application at the other end.
    pub peer: &'a str,
    /// The KME of the other end, with that application's certificate.
    pub far: Option<&'a Kme>,
    /// What the KME of the other end calls us; as the status says where absent.
    pub own: Option<&'a str>,
}

/// What a probe found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeReport {
    /// All checks, in the order in which they were made.
    pub checks: Vec<Check>,
    /// Keys that were spent.
    pub keys_spent: u64,
}

impl ProbeReport {
    /// Checks that found something else than what must be.
    pub fn deviations(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict == Verdict::Deviates)
    }
}

/// Makes all checks.
///
/// # Errors
/// Where the KME can't be spoken to at all.
pub fn probe(subject: &Subject<'_>) -> Result<ProbeReport, DeliveryError> {
    let mut probe = Probe {
        near: Asker::new(subject.kme),
        subject: *subject,
        checks: Vec::new(),
        status: near_end::Said::default(),
    };
    probe.near.reach(subject.peer)?;
    probe.transport();
    probe.status();
    probe.sizes();
    probe.refusals();
    probe.names();
    probe.far_end();
    probe.sums();
    Ok(ProbeReport { keys_spent: probe.near.keys_spent(), checks: probe.checks })
}

struct Probe<'a> {
    near: Asker<'a>,
    subject: Subject<'a>,
    checks: Vec<Check>,
    status: near_end::Said,
}

/// What a check found: good, or what else, or why it was not made.
enum Finding {
    Good(String),
    Else(String),
    NotTried(String),
}

impl Probe<'_> {
    fn note(&mut self, name: &'static str, clause: &'static str, finding: Finding) {
        let (verdict, found) = match finding {
            Finding::Good(found) => (Verdict::Pass, found),
            Finding::Else(found) => (Verdict::Deviates, found),
            Finding::NotTried(found) => (Verdict::NotTried, found),
        };
        self.checks.push(Check { name, clause, verdict, found });
    }
}
