//! What must hold, told by a model that keeps every object in plain memory.

use crate::scenario::{Fate, Scenario, Stored};
use crate::site::chain;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use warifu_core::ObjectId;
use warifu_core::share_file::parse_share_file_name;
use warifu_vault::{Class, Failure, ObjectReport, Output, RestoreRequest};

impl Scenario {
    /// DURABLE: what is reported lies at n sites, and would after a loss of power now.
    pub(crate) fn expect_durable(&self, gateway: usize, report: &ObjectReport) {
        for share in &report.shares {
            let name = format!("{}-{:02x}.share", report.object, share.x);
            let disk = self.disk_of(gateway, &share.site);
            let is_there = disk.is_some_and(|disk| disk.holds().0.contains(&name));
            if !is_there {
                let what = format!("DURABLE: {name} is reported and not safe at {}", share.site);
                self.ground.violated(what);
            }
        }
    }

    /// Catalog and model agree: what was reported is listed, and what is listed was asked for.
    pub(crate) fn expect_listed(&mut self, gateway: usize) {
        let Some(Ok(rows)) = self.gateways[gateway].operate(|vault, _| vault.objects()) else {
            return;
        };
        let own = || self.objects.iter().filter(|stored| stored.gateway == gateway);
        for stored in own() {
            if let Fate::Reported(object) = &stored.fate
                && !rows.iter().any(|row| row.object == *object)
            {
                self.ground.violated(format!("WHOLE: {object} was reported and is not listed"));
            }
        }
        for row in &rows {
            let known = own().find(|stored| row.label.as_deref() == Some(&stored.label));
            match known.map(|stored| (&stored.fate, stored.asked)) {
                None => {
                    self.ground.violated(format!("WHOLE: {} is listed from nowhere", row.object))
                }
                Some((Fate::Reported(object), 1)) if *object != row.object => {
                    self.ground.violated(format!("WHOLE: {} is listed twice", row.object));
                }
                Some(_) => {}
            }
        }
    }

    /// Restores an object. In calm weather, with k of its sites up, it must be delivered; and what
    /// is delivered is what was stored, whatever the weather.
    pub(crate) fn restore(&mut self, gateway: usize, label: &str, object: &str) {
        let Some(stored) = self.objects.iter().find(|stored| stored.label == label) else { return };
        let data = stored.data.clone();
        let output = self.root.path().join("out");
        let Ok(id) = object.parse::<ObjectId>() else { return };
        let output_to = Output::Path(output.clone());
        let request = RestoreRequest { object: id, output: output_to, range: None, resume: false };
        let is_calm = !self.ground.is_stormy();
        let delivered =
            self.gateways[gateway].operate(|vault, watch| vault.restore(&request, watch));
        self.ground.count(|counters| counters.operations += 1);
        match delivered {
            Some(Ok(report)) => {
                self.note_outcome("restore", label, "delivered");
                let bytes = std::fs::read(&output).unwrap_or_default();
                if bytes != data {
                    self.ground.violated(format!("GENUINE: {object} came back as something else"));
                }
                let is_accused = |reason: &str| reason.contains("does not match its hash");
                if let Some(one) = report.rejected.iter().find(|one| is_accused(&one.reason)) {
                    self.ground.violated(format!("GENUINE: {} is accused falsely", one.site));
                }
                self.ground.count(|counters| {
                    counters.succeeded += 1;
                    counters.restored += 1;
                });
            }
            Some(Err(failure)) => {
                self.note_outcome("restore", label, failure.code());
                if is_calm && self.could_be_restored(gateway, object) {
                    self.expect_excused(gateway, object, &failure);
                }
            }
            None => self.note_outcome("restore", label, "killed"),
        }
        if output.exists() && std::fs::remove_file(&output).is_err() {
            self.ground.violated("WHOLE: the output can't be removed");
        }
    }

    /// A restore that had enough sites fails for want of key alone, or since the vault was told
    /// that it is a copy.
    fn expect_excused(&self, gateway: usize, object: &str, failure: &Failure) {
        let is_copy = failure.class() == Class::Rollback || self.gateways_copied[gateway];
        let is_short =
            failure.class() == Class::Key || chain(failure).contains("key store refuses");
        if !is_short && !is_copy {
            let what = format!("DURABLE: {object} is not delivered: {}", chain(failure));
            self.ground.violated(what);
        }
    }

    /// Whether k shares of an object lie at sites that answer and have key for it.
    fn could_be_restored(&mut self, gateway: usize, object: &str) -> bool {
        let Ok(id) = object.parse::<ObjectId>() else { return false };
        let shown = self.gateways[gateway].operate(|vault, _| vault.object(&id));
        let Some(Ok(shown)) = shown else { return false };
        let sites: Vec<String> = shown.shares.iter().map(|share| share.site.clone()).collect();
        let short = self.short_of_key(gateway, &sites, shown.row.bytes);
        let can_answer = |site: &&String| {
            let is_up = self.site(site).is_none_or(|host| host.is_up());
            is_up && !short.contains(site)
        };
        sites.iter().filter(can_answer).count() >= usize::from(shown.row.k)
    }

    /// At the end, in calm weather with all sites up that there still are: everything listed is
    /// restored, no key was used twice by any ledger, and nothing is left over.
    pub(crate) fn expect_all_well(&mut self) {
        let mut listed = BTreeSet::new();
        let mut interrupted = 0;
        for gateway in 0..self.gateways.len() {
            if self.gateways_copied[gateway] {
                self.accept_rollback(gateway);
            }
            let mut remaining = self.collect_all(gateway);
            if remaining > 0 {
                // Clearing away takes key, too.
                self.deliver_key(gateway);
                remaining = self.collect_all(gateway);
            }
            interrupted += remaining;
            self.expect_listed(gateway);
            let rows = self.gateways[gateway].operate(|vault, _| vault.objects());
            let Some(Ok(rows)) = rows else { continue };
            for row in rows {
                let Some(label) = row.label.clone() else { continue };
                self.deliver_key_for(gateway, &row.sites, row.bytes);
                self.restore(gateway, &label, &row.object);
                listed.insert(row.object);
            }
            self.expect_clean_ledgers(gateway);
        }
        self.expect_no_plaintext();
        let is_whole = self.sites.iter().all(|site| !site.is_gone());
        let is_copied = self.gateways_copied.contains(&true);
        if is_whole && !is_copied {
            let kept = self.half_complete(&listed);
            if interrupted > kept.len() {
                self.ground.violated(format!("WHOLE: {interrupted} intents can't be settled"));
            }
            self.expect_no_litter(&listed, &kept);
        }
    }

    /// Collects litter; how many intents remain.
    fn collect_all(&mut self, gateway: usize) -> usize {
        match self.gateways[gateway].operate(|vault, _| vault.collect_litter()) {
            Some(Ok((_, remaining))) => remaining,
            Some(Err(error)) => {
                self.ground.violated(format!("litter stays: {}", chain(&error)));
                0
            }
            None => 0,
        }
    }

    /// Objects that are whole at k sites and not at all n, as one of these lost the unfinished
    /// share before it was told to complete it: they are kept for a person to decide (record 0009).
    fn half_complete(&self, listed: &BTreeSet<String>) -> BTreeSet<String> {
        let rooms = self.gateways.iter().filter_map(|gateway| gateway.disk(Path::new("/room")));
        let disks = self.sites.iter().map(|site| site.disk().clone()).chain(rooms);
        let mut shares = BTreeMap::new();
        for object in disks.flat_map(|disk| disk.holds().0).filter_map(|name| object_of(&name)) {
            *shares.entry(object).or_insert(0) += 1;
        }
        shares.retain(|object, count| *count >= self.threshold.k() && !listed.contains(object));
        shares.into_keys().collect()
    }

    /// Sites hold what is listed, and of what is `kept` for a person whatever there is.
    fn expect_no_litter(&self, listed: &BTreeSet<String>, kept: &BTreeSet<String>) {
        for site in &self.sites {
            let (committed, unfinished) = site.disk().holds();
            for name in committed.iter().chain(&unfinished) {
                let object = object_of(name).unwrap_or_default();
                let is_whole = listed.contains(&object) && !unfinished.contains(name);
                if !is_whole && !kept.contains(&object) {
                    self.ground.violated(format!("WHOLE: {name} is left over at {}", site.name()));
                }
            }
        }
    }

    fn expect_clean_ledgers(&mut self, gateway: usize) {
        if let Some(Ok(rows)) = self.gateways[gateway].operate(|vault, _| vault.audit_keys()) {
            for row in rows.iter().filter(|row| row.overlaps + row.outside_segments > 0) {
                self.ground.violated(format!("ONCE: the ledger of {} is not clean", row.pool));
            }
        }
        for site in &self.sites {
            let is_clean =
                site.with_keys(|keys| keys.audit().is_ok_and(|report| report.is_clean()));
            if is_clean == Some(false) {
                self.ground.violated(format!("ONCE: the ledgers of {} are not clean", site.name()));
            }
        }
    }

    /// SECRECY, the crude part: no site's disk holds what was stored.
    fn expect_no_plaintext(&self) {
        for site in &self.sites {
            if site.disk().contains(crate::judge::MARK) {
                self.ground.violated(format!("SECRECY: {} holds plaintext", site.name()));
            }
        }
    }

    /// Objects of a gateway that the model knows to be stored.
    pub(crate) fn reported(&self, gateway: usize) -> Vec<(String, String)> {
        let reported = |stored: &Stored| match &stored.fate {
            Fate::Reported(object) if stored.gateway == gateway => {
                Some((stored.label.clone(), object.clone()))
            }
            _ => None,
        };
        self.objects.iter().filter_map(reported).collect()
    }

    fn disk_of(&self, gateway: usize, site: &str) -> Option<std::sync::Arc<crate::store::Disk>> {
        match self.site(site) {
            Some(site) => Some(site.disk().clone()),
            None => self.gateways[gateway].disk(Path::new(&format!("/{site}"))),
        }
    }
}

/// The object that a share's name tells of.
fn object_of(name: &str) -> Option<String> {
    parse_share_file_name(name).map(|(object, _)| object.to_string())
}
