//! `hold`: what must stay, whoever asks to forget it.
//!
//! At a gateway a hold is recorded here and laid at every site that can be reached, so that the
//! sites refuse too; at a site's own vault its operator holds what the site has.

use crate::Vault;
use crate::audit::Told;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::forget::expect_reason;
use crate::plan::{error_chain, hang_up};
use crate::report::time;
use serde::Serialize;
use warifu_catalog::{Event, Object};
use warifu_core::{Channel, ObjectId};

/// The kind of these entries in the audit log.
const HOLD: &str = "hold";

/// A row of `hold list`.
#[derive(Debug, Clone, Serialize)]
pub struct HoldRow {
    /// The object.
    pub object: String,
    /// Whose it is, where that is known here.
    pub individual: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// `operator`, or the link of the gateway that laid it.
    pub by: String,
}

/// What `hold add` and `hold remove` answer.
#[derive(Debug, Clone, Serialize)]
pub struct HoldReport {
    /// Version of this document.
    pub v: u32,
    /// The object.
    pub object: String,
    /// Whether it is held now.
    pub held: bool,
    /// Sites that were told.
    pub sites: Vec<String>,
    /// Sites that could not be told, with the reason.
    pub away: Vec<[String; 2]>,
}

impl Vault {
    /// Lays a hold on an object, or lifts the one that was laid here.
    ///
    /// # Errors
    /// Where the object is not stored, is not held, or the audit log can't be written. Sites that
    /// are away are in the report.
    pub fn hold(&self, object: &ObjectId, held: bool, reason: &str) -> Result<HoldReport, Failure> {
        expect_reason(reason)?;
        match &self.catalog {
            Some(_) => self.hold_everywhere(object, held, reason),
            None => self.hold_at_site(object, held, reason),
        }
    }

    /// All holds that this vault knows of.
    ///
    /// # Errors
    /// Where the catalog or register can't be read.
    pub fn holds(&self) -> Result<Vec<HoldRow>, Failure> {
        let Some(catalog) = &self.catalog else {
            let rows = self.register()?.holds(None)?.into_iter().map(|hold| HoldRow {
                object: hold.object.to_string(),
                individual: None,
                reason: hold.reason,
                since: time(hold.at_unix_s),
                by: hold.by.map_or("operator".to_owned(), |link| link.to_string()),
            });
            return Ok(rows.collect());
        };
        let mut rows = Vec::new();
        for hold in catalog.holds()? {
            let individual = catalog.object(&hold.object).ok();
            rows.push(HoldRow {
                object: hold.object.to_string(),
                individual: individual.map(|object| object.individual.to_string()),
                reason: hold.reason,
                since: time(hold.at_unix_s),
                by: "operator".to_owned(),
            });
        }
        Ok(rows)
    }

    fn hold_everywhere(
        &self,
        object: &ObjectId,
        held: bool,
        reason: &str,
    ) -> Result<HoldReport, Failure> {
        let catalog = self.catalog()?;
        let known = catalog.object(object)?;
        let json = told(object, held, reason).individual(&known.individual).json()?;
        let event = Event { kind: HOLD, json: &json, at_unix_s: self.now_unix_s() };
        match held {
            true => catalog.hold(object, reason, &event)?,
            false if !catalog.lift_hold(object, &event)? => return Err(is_not_held(object)),
            false => {}
        }
        let mut report = HoldReport::new(object, held);
        for share in known.shares.iter().filter(|share| share.channel == Channel::Otp) {
            match self.hold_at(&known, share, held, reason) {
                Ok(()) => report.sites.push(share.site.to_string()),
                Err(failure) => {
                    report.away.push([share.site.to_string(), error_chain(&failure)]);
                }
            }
        }
        Ok(report)
    }

    fn hold_at(
        &self,
        object: &Object,
        share: &warifu_catalog::StoredShare,
        held: bool,
        reason: &str,
    ) -> Result<(), Failure> {
        let site = self.site_row(&share.site)?;
        let mut peer = self.dialer(&site, Purpose::Pair, Patience::Once)?()?;
        let told = peer.hold(object.object, held, reason);
        hang_up(peer);
        Ok(told?)
    }

    fn hold_at_site(
        &self,
        object: &ObjectId,
        held: bool,
        reason: &str,
    ) -> Result<HoldReport, Failure> {
        let register = self.register()?;
        let json = told(object, held, reason).json()?;
        let event = Event { kind: HOLD, json: &json, at_unix_s: self.now_unix_s() };
        match held {
            true => register.hold(*object, None, reason, &event)?,
            false if !register.lift_hold(*object, None, &event)? => {
                return Err(is_not_held(object));
            }
            false => {}
        }
        Ok(HoldReport::new(object, held))
    }
}

impl HoldReport {
    fn new(object: &ObjectId, held: bool) -> Self {
        let object = object.to_string();
        Self { v: 1, object, held, sites: Vec::new(), away: Vec::new() }
    }
}

fn told(object: &ObjectId, held: bool, reason: &str) -> Told {
    let result = if held { "laid" } else { "lifted" };
    Told::operator().object(object).reason(reason).result(result)
}

fn is_not_held(object: &ObjectId) -> Failure {
    let what = format!("no hold of this vault lies on object {object}");
    Failure::new(Class::NotFound, "hold-missing", what).next("see `warifu hold list`")
}
