//! `doctor`: looks for what would go wrong, and says what to do.

use crate::Vault;
use crate::audit::Told;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::plan::{error_chain, hang_up};
use crate::sites::WITNESS_MEANS;
use crate::status::link_order;
use serde::Serialize;
use std::path::Path;
use warifu_core::{Channel, PoolId};
use warifu_keystore::PoolKind;
use warifu_pipeline::peer::PeerError;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but should be looked at.
    Warning,
    /// Does not work, or is not safe.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do; empty where nothing is.
    pub next: String,
    /// Whether it may be over by itself, as a site that is stopped comes back.
    pub temporary: bool,
}

pub(crate) fn finding(severity: Severity, what: impl Into<String>, next: &str) -> Finding {
    Finding { severity, what: what.into(), next: next.to_owned(), temporary: false }
}

/// That persons don't decide here, as `warning` has it.
pub(crate) fn not_enforced(warning: String) -> Finding {
    let next = "set `enforce = true` under [consent] in config.toml, unless this is a lab";
    finding(Severity::Warning, warning, next)
}

/// Openings that a restored site leaves out; more than it can have had since its copy was made.
const OPENINGS_STEPPED_OVER: u64 = 1 << 20;

/// No vault was opened so often: a site that says so lies.
const EPOCH_MAX: u64 = 1 << 40;

/// File systems whose blocks are not overwritten in place, by the number that statfs gives.
const COPY_ON_WRITE: [(u64, &str); 3] =
    [(0x9123_683E, "btrfs"), (0x2FC1_2FC1, "zfs"), (0x794C_7630, "overlayfs")];

impl Vault {
    /// Looks at everything. With `accept_rollback` the operator says that this vault is the
    /// current copy and no other is in use: where a site has seen a later opening, the vault goes
    /// on above it. A site's vault leaves a gap in the numbers of its openings.
    ///
    /// # Errors
    /// Where the looking itself fails.
    pub fn doctor(&self, accept_rollback: bool) -> Result<Vec<Finding>, Failure> {
        let mut findings = vec![
            finding(Severity::Ok, format!("kernels: {}", self.isa.name()), ""),
            self.look_at_medium(),
            look_at_swap(),
        ];
        findings.extend(self.look_at_ledgers());
        findings.push(self.look_at_consent());
        findings.extend(self.look_at_cards()?);
        findings.extend(self.look_at_profiles()?);
        findings.extend(self.look_at_kmes());
        if accept_rollback {
            let told = Told::operator().note("this copy of the vault is the current one");
            self.log_event("accept-rollback", &told.result("begun"))?;
        }
        if accept_rollback && self.catalog.is_none() {
            findings.extend(self.step_over_openings()?);
        }
        if self.catalog.is_some() {
            findings.extend(self.look_at_random()?);
            findings.extend(self.look_at_sites(accept_rollback)?);
            findings.extend(self.look_at_litter()?);
        }
        Ok(findings)
    }

    fn look_at_consent(&self) -> Finding {
        match self.config.consent.warning() {
            None => finding(Severity::Ok, "persons decide: consent is enforced here", ""),
            Some(warning) => not_enforced(warning),
        }
    }

    /// What is missing for persons to decide: a site that trusts no card releases nothing, and
    /// nothing is stored or restored of who has none.
    fn look_at_cards(&self) -> Result<Vec<Finding>, Failure> {
        if !self.config.consent.enforce {
            return Ok(Vec::new());
        }
        let Some(catalog) = &self.catalog else { return self.look_at_anchors() };
        let mut without = Vec::new();
        for row in catalog.individuals()? {
            if catalog.card(&row.individual)?.is_none() {
                without.push(row.individual);
            }
        }
        let Some(first) = without.first() else { return Ok(Vec::new()) };
        let what = match &without[1..] {
            [] => format!("{first} has no card: nothing of theirs is stored or restored"),
            more => format!(
                "{first} and {} more have no card: nothing of theirs is stored or restored",
                more.len()
            ),
        };
        let next = format!("warifu individual enroll {first} --card CARD");
        Ok(vec![finding(Severity::Warning, what, &next)])
    }

    fn look_at_anchors(&self) -> Result<Vec<Finding>, Failure> {
        let (trust, now) = (self.trust_store()?, self.now_unix_s());
        let mut findings = Vec::new();
        if !Self::judges_cards(&trust) {
            let what = "no authority of cards is pinned here: nothing is released";
            let next = "warifu trust add CERTIFICATE, of who issues the cards";
            findings.push(finding(Severity::Warning, what, next));
        }
        for anchor in trust.anchors().iter().filter(|anchor| anchor.not_after_unix_s < now) {
            let ended = crate::report::time(anchor.not_after_unix_s);
            let what = format!("the pinned certificate of {} ended {ended}", anchor.subject);
            let next = "pin the one that follows it: `warifu trust add`";
            findings.push(finding(Severity::Warning, what, next));
        }
        Ok(findings)
    }

    fn look_at_medium(&self) -> Finding {
        let kind = rustix::fs::statfs(&self.dir).map(|stat| stat.f_type as u64);
        let named = kind.ok().and_then(|kind| {
            COPY_ON_WRITE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
        });
        match named {
            Some(name) => finding(
                Severity::Warning,
                format!("the vault lies on {name}, which copies on write: used key may survive"),
                "keep the vault on ext4 or xfs, best on an encrypted disk",
            ),
            None => finding(Severity::Ok, "the vault's file system overwrites in place", ""),
        }
    }

    fn look_at_ledgers(&self) -> Vec<Finding> {
        match self.keys.audit() {
            Ok(report) if report.is_clean() => {
                let pools = report.pools.len();
                vec![finding(Severity::Ok, format!("{pools} ledgers: no range used twice"), "")]
            }
            Ok(_) => vec![finding(
                Severity::Problem,
                "a ledger shows overlapping leases",
                "stop using this vault and see `warifu key audit`",
            )],
            Err(error) => vec![finding(Severity::Problem, error.to_string(), "")],
        }
    }

    /// A site that was restored can't know how far its gateways have seen it: it leaves a gap.
    fn step_over_openings(&self) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for pool in self.keys.pools()? {
            if matches!(pool.kind, PoolKind::Link(_)) {
                let above = self.keys.epoch(pool.pool)?.saturating_add(OPENINGS_STEPPED_OVER);
                let opening = self.keys.accept_rollback(pool.pool, above)?;
                let peer = pool.peer.map_or_else(|| pool.pool.to_string(), |peer| peer.to_string());
                let what = format!("the link to {peer} goes on at opening {opening}");
                findings.push(finding(Severity::Warning, what, "restart `warifu site serve`"));
            }
        }
        Ok(findings)
    }

    /// Profiles with mistakes, and those that name sites which there are not.
    fn look_at_profiles(&self) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for name in self.config.broken_profiles() {
            let what = format!("profile {name} has mistakes: backups that go by it fail");
            findings.push(finding(Severity::Warning, what, "warifu config check"));
        }
        let Some(catalog) = &self.catalog else { return Ok(findings) };
        let known: Vec<_> = catalog.sites()?.into_iter().map(|site| site.site).collect();
        for site in self.config.placement.pin.iter().flatten().filter(|s| !known.contains(s)) {
            let what = format!("placement pins {site}, and there is no such site");
            findings.push(finding(Severity::Warning, what, "mend config.toml, or add the site"));
        }
        for (name, profile) in &self.config.profile {
            for (verb, list) in [("pins", &profile.pin), ("excludes", &profile.exclude)] {
                for site in list.iter().flatten().filter(|site| !known.contains(site)) {
                    findings.push(finding(
                        Severity::Warning,
                        format!("profile {name} {verb} {site}, and there is no such site"),
                        "mend config.toml, or add the site: see `warifu site list`",
                    ));
                }
            }
        }
        Ok(findings)
    }

    fn look_at_random(&self) -> Result<Vec<Finding>, Failure> {
        let pools = self.keys.pools()?;
        let Some(random) = pools.iter().find(|pool| pool.kind == PoolKind::Random) else {
            let next = "warifu key generate --random --bytes 1GiB";
            return Ok(vec![finding(Severity::Warning, "there are no random numbers", next)]);
        };
        let left = crate::keys::left_bytes(random, warifu_core::Direction::AToB);
        let mut findings = vec![finding(Severity::Ok, format!("{left} random bytes are left"), "")];
        findings.push(match self.catalog()?.witness()? {
            Some(site) => {
                let what = format!("{site} {WITNESS_MEANS}");
                finding(Severity::Ok, what, "")
            }
            None => finding(
                Severity::Warning,
                "this vault has no witness: a copy or an older image could use its random \
                 numbers twice",
                "add a site on a link; the first one becomes the witness",
            ),
        });
        Ok(findings)
    }

    fn look_at_sites(&self, accept_rollback: bool) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for site in self.catalog()?.sites()? {
            let name = &site.site;
            if site.channel == Channel::Local {
                findings.push(match self.local_store(&site) {
                    Ok(_) => finding(Severity::Ok, format!("site {name}: its folder is there"), ""),
                    Err(failure) => {
                        finding(Severity::Problem, format!("site {name}: {failure}"), "")
                    }
                });
                continue;
            }
            let Some(link) = site.link else {
                let what = format!("site {name} has no link yet");
                let next = link_order(name.as_str());
                findings.push(finding(Severity::Warning, what, &next));
                continue;
            };
            let mut dial = self.dialer(&site, Purpose::Store, Patience::Once)?;
            findings.push(match dial() {
                Ok(peer) => {
                    hang_up(peer);
                    finding(Severity::Ok, format!("site {name} answers"), "")
                }
                Err(PeerError::OwnRollback { known }) if accept_rollback && known < EPOCH_MAX => {
                    self.keys.accept_rollback(PoolId::from(link), known)?;
                    let mark = self.rollback_mark(link);
                    std::fs::remove_file(&mark).map_err(|error| {
                        let what = format!("can't remove {}", mark.display());
                        Failure::new(Class::Other, "vault-folder", what).because(error)
                    })?;
                    let what = format!("site {name} had seen opening {known}; now above it");
                    finding(Severity::Warning, what, "")
                }
                Err(error) if error.is_rollback() => {
                    return Err(error.into());
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    let cause = std::error::Error::source(&failure);
                    let cause = cause.map_or_else(String::new, error_chain);
                    let what = format!("site {name}: {cause}");
                    let temporary = failure.class().is_retryable();
                    Finding { temporary, ..finding(Severity::Problem, what, failure.advice()) }
                }
            });
        }
        Ok(findings)
    }

    fn look_at_litter(&self) -> Result<Vec<Finding>, Failure> {
        let (cleared, remaining) = self.collect_litter()?;
        let mut findings = Vec::new();
        if cleared > 0 {
            let what = format!("{cleared} interrupted backups were cleared away");
            findings.push(finding(Severity::Ok, what, ""));
        }
        if remaining > 0 {
            let what = format!("{remaining} interrupted backups still have litter at sites");
            findings.push(finding(Severity::Warning, what, "run it again when all sites are up"));
        }
        self.catalog()?.check().map_err(|error| {
            Failure::new(Class::Damage, "catalog-damaged", "the catalog is damaged").because(error)
        })?;
        findings.push(finding(Severity::Ok, "the catalog is whole", ""));
        Ok(findings)
    }
}

/// Key in memory may be written to swap, where nobody overwrites it.
fn look_at_swap() -> Finding {
    let swaps = std::fs::read_to_string(Path::new("/proc/swaps")).unwrap_or_default();
    match swaps.lines().count() > 1 {
        true => finding(
            Severity::Warning,
            "swap is on: key in memory may reach the disk",
            "switch swap off, or encrypt it with a key of one boot",
        ),
        false => finding(Severity::Ok, "no swap", ""),
    }
}
