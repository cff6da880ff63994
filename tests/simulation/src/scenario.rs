//! One run: a world made by a seed, and operations and faults until it ends.

use crate::delivery::Feed;
use crate::gateway::GatewayHost;
use crate::ground::{Canary, Counters, Ground, Weather};
use crate::network::Network;
use crate::site::{Death, SiteHost, chain};
use crate::store::ROOM_BYTES;
use std::sync::{Arc, PoisonError};
use tempfile::TempDir;
use warifu_core::Threshold;
use warifu_vault::{BackupRequest, Failure};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Decides everything.
    pub seed: u64,
    /// Operations before the end is looked at.
    pub operations: u32,
    /// The planted bug.
    pub canary: Option<Canary>,
    /// Whether to keep what happened, line by line.
    pub keep_lines: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The invariant that was broken first, if any was.
    pub violation: Option<String>,
    /// Hash of everything that happened.
    pub trace: String,
    /// What happened, where it was kept.
    pub lines: Vec<String>,
    /// What was counted.
    pub counters: Counters,
}

/// Why a world could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The real folder for catalogs can't be made.
    #[error("the folder for catalogs can't be used")]
    Folder(#[from] std::io::Error),
    /// A vault can't be made.
    #[error("a vault can't be made")]
    Vault(#[from] Failure),
    /// A key store can't be made.
    #[error("a key store can't be made")]
    Keys(#[from] warifu_keystore::KeyError),
    /// A name or a scheme of the scenario is none.
    #[error("the scenario makes no sense: {0}")]
    Nonsense(&'static str),
    /// Something went wrong before anything could.
    #[error("the world is broken from the start: {0}")]
    Broken(String),
}

/// What the model knows of an object.
pub(crate) enum Fate {
    /// It was reported as stored, under this ID.
    Reported(String),
    /// It was asked for, and no success was reported: listed whole or not at all.
    Doubtful,
}

/// An object in the model.
pub(crate) struct Stored {
    pub(crate) label: String,
    pub(crate) gateway: usize,
    pub(crate) data: Vec<u8>,
    pub(crate) fate: Fate,
    /// How it was asked for, to be asked for again.
    pub(crate) request: BackupRequest,
    /// How often it was asked for: where an earlier one turns out to be whole, it is listed too.
    pub(crate) asked: u32,
    /// How often disks had lost something when it was asked for first.
    pub(crate) losses_before: u64,
}

/// A world while it runs.
pub struct Scenario {
    pub(crate) ground: Arc<Ground>,
    pub(crate) network: Arc<Network>,
    pub(crate) sites: Vec<Arc<SiteHost>>,
    pub(crate) gateways: Vec<GatewayHost>,
    /// Gateways of which a copy was opened: one of the two is refused from then on.
    pub(crate) gateways_copied: Vec<bool>,
    /// Gateways whose last backup failed: it may be gone on with.
    pub(crate) is_interrupted: Vec<bool>,
    pub(crate) objects: Vec<Stored>,
    /// Links that a deliverer feeds.
    pub(crate) feeds: Vec<Feed>,
    pub(crate) root: TempDir,
    pub(crate) threshold: Threshold,
    /// Key delivered to a link at a time, in bytes for each direction.
    pub(crate) key_bytes: u64,
    pub(crate) lost_max: usize,
    pub(crate) next_label: u32,
}

impl Scenario {
    /// Runs one seed from its beginning to its end.
    ///
    /// # Errors
    /// Where the world can't be made; what goes wrong in it is in the outcome.
    pub fn run(order: Order) -> Result<Outcome, SetupError> {
        let ground = Ground::new(order.seed, order.canary, order.keep_lines);
        let mut scenario = Self::make(ground.clone())?;
        ground.release_canary();
        for _ in 0..order.operations {
            scenario.step();
            if ground.violation().is_some() {
                break;
            }
        }
        if ground.violation().is_none() {
            scenario.come_to_rest();
            scenario.expect_all_well();
        }
        drop(scenario);
        let (trace, lines, counters) = ground.finish();
        Ok(Outcome { violation: ground.violation(), trace, lines, counters })
    }

    /// One operation, with what goes wrong meanwhile.
    fn step(&mut self) {
        let dice = self.ground.dice.clone();
        let gateway = dice.below(self.gateways.len());
        let is_stormy = dice.permille(550);
        self.ground.set_weather(if is_stormy { Weather::Storm } else { Weather::Calm });
        if dice.permille(180) {
            self.gateways[gateway].start();
            self.gateways[gateway].light_fuse(dice.next() % 500);
        }
        if dice.permille(200) {
            self.sites[dice.below(self.sites.len())].light_fuse(dice.next() % 120);
        }
        if !self.feeds.is_empty() && dice.permille(300) {
            self.fetch_key(gateway);
        }
        match dice.below(100) {
            _ if self.is_interrupted[gateway] && dice.permille(500) => self.go_on(gateway),
            0..45 => self.back_up(gateway),
            45..65 => self.restore_any(gateway),
            65..70 => self.collect(gateway),
            70..78 => self.strike_site(),
            78..86 => self.start_sites(),
            86..90 => self.fill_or_empty_disk(),
            90..93 => self.gateways[gateway].close(),
            93..95 => self.gateways[gateway].die(Death::PowerCut),
            95..97 => self.cut_all_power(),
            97..99 => self.open_copy(gateway),
            _ => self.deliver_key(gateway),
        }
        self.ground.set_weather(Weather::Calm);
        self.sites.iter().for_each(|site| site.put_out_fuse());
        self.expect_listed(gateway);
    }

    fn restore_any(&mut self, gateway: usize) {
        let reported = self.reported(gateway);
        if reported.is_empty() {
            return;
        }
        let (label, object) = reported[self.ground.dice.below(reported.len())].clone();
        self.restore(gateway, &label, &object);
    }

    fn collect(&mut self, gateway: usize) {
        let collected = self.gateways[gateway].operate(|vault, _| vault.collect_litter());
        self.ground.count(|counters| counters.operations += 1);
        let told = match collected {
            Some(Ok((cleared, remaining))) => format!("{cleared} cleared, {remaining} remain"),
            Some(Err(failure)) => chain(&failure),
            None => "killed".to_owned(),
        };
        self.note_outcome("collect", "", &told);
    }

    fn strike_site(&mut self) {
        let dice = &self.ground.dice;
        let number = dice.below(self.sites.len());
        let gone = self.sites.iter().filter(|site| site.is_gone()).count();
        match dice.below(10) {
            0 if gone < self.lost_max => self.sites[number].vanish(),
            0..6 => self.sites[number].die(Death::Kill),
            _ => self.sites[number].die(Death::PowerCut),
        }
        self.network.forget_site(number);
    }

    pub(crate) fn start_sites(&mut self) {
        self.sites.iter().for_each(|site| _ = site.start());
    }

    fn fill_or_empty_disk(&mut self) {
        let dice = &self.ground.dice;
        let disk = self.sites[dice.below(self.sites.len())].disk();
        let free = if dice.permille(500) { dice.next() % 100_000 } else { ROOM_BYTES };
        disk.leave_free(free);
        self.ground.fault(&format!("a disk has {free} bytes left"));
    }

    fn cut_all_power(&mut self) {
        for number in 0..self.sites.len() {
            self.sites[number].die(Death::PowerCut);
            self.network.forget_site(number);
        }
        self.gateways.iter_mut().for_each(|gateway| gateway.die(Death::PowerCut));
        self.start_sites();
    }

    /// Somebody opens a copy of a gateway's vault as it is now, or was, and stores with it.
    fn open_copy(&mut self, gateway: usize) {
        let dir = self.root.path().join(format!("copy-{}", self.next_label));
        let copied = self.gateways[gateway].copy(dir);
        let Ok(mut copy) = copied else {
            return self.ground.violated("a vault can't be copied");
        };
        self.ground.fault(&format!("a copy of {} is opened", copy.name()));
        self.gateways_copied[gateway] = true;
        self.ground.judge.lock().unwrap_or_else(PoisonError::into_inner).forgive_attempts();
        let data = self.draw_data();
        let path = self.root.path().join("in-copy");
        self.write_source(&path, &data);
        let Some(request) = self.request(path, "copy") else { return };
        let outcome = copy.operate(|vault, watch| vault.backup(&request, watch));
        let told = match outcome {
            Some(Ok(report)) => report.object,
            Some(Err(failure)) => chain(&failure),
            None => "killed".to_owned(),
        };
        self.note_outcome("backup of a copy", "", &told);
    }

    /// A person decides that the original goes on.
    pub(crate) fn accept_rollback(&mut self, gateway: usize) {
        let is_due = self.gateways_copied[gateway] || self.ground.lies(Canary::ForgetfulLedgers);
        if !is_due {
            return self.ground.violated("a rollback is noticed where there was none");
        }
        let decided = self.gateways[gateway].operate(|vault, _| vault.doctor(true));
        let told = match decided {
            Some(Ok(_)) => "done".to_owned(),
            Some(Err(failure)) => chain(&failure),
            None => "killed".to_owned(),
        };
        self.note_outcome("accept rollback", "", &told);
    }

    pub(crate) fn deliver_key(&mut self, gateway: usize) {
        for number in 0..self.sites.len() {
            let site = self.sites[number].clone();
            self.deliver_key_to(gateway, &site);
        }
        if let Some(Err(failure)) = self.gateways[gateway].generate_random(self.key_bytes) {
            self.note_outcome("random numbers", "", &chain(&failure));
        }
    }

    fn deliver_key_to(&mut self, gateway: usize, site: &SiteHost) {
        if site.is_up() {
            let delivered = self.gateways[gateway].courier(site, self.key_bytes);
            if let Some(Err(failure)) = delivered {
                self.note_outcome("courier", site.name().as_str(), &chain(&failure));
            }
        }
    }

    /// Key for a restore of `bytes` from these sites, where there may be too little.
    pub(crate) fn deliver_key_for(&mut self, gateway: usize, names: &[String], bytes: u64) {
        let needed = ample(bytes).max(self.key_bytes);
        for name in self.short_of_key(gateway, names, bytes) {
            if let Some(site) = self.site(&name).filter(|site| site.is_up()).cloned() {
                drop(self.gateways[gateway].courier(&site, needed));
            }
        }
    }

    /// Those of these sites whose key may be too little for a restore of `bytes`.
    pub(crate) fn short_of_key(
        &mut self,
        gateway: usize,
        names: &[String],
        bytes: u64,
    ) -> Vec<String> {
        let Some(Ok(rows)) = self.gateways[gateway].operate(|vault, _| vault.key_status()) else {
            return names.to_vec();
        };
        let is_short = |name: &&String| {
            let mut own = rows.iter().filter(|row| row.site.as_ref() == Some(*name));
            own.any(|row| row.bytes_left < ample(bytes))
                || self.gateways[gateway].has_undelivered(name)
        };
        names.iter().filter(is_short).cloned().collect()
    }

    /// The weather calms down, everybody comes back, and everything under way arrives.
    fn come_to_rest(&mut self) {
        self.ground.set_weather(Weather::Calm);
        self.sites.iter().for_each(|site| site.disk().leave_free(ROOM_BYTES));
        self.start_sites();
        self.network.settle();
        self.gateways.iter_mut().for_each(|gateway| _ = gateway.start());
        self.ground.note("rest");
        // What a courier still has may be burned at the gateway by now: then fresh key after it.
        for gateway in 0..self.gateways.len() {
            for site in self.sites.clone() {
                if self.gateways[gateway].has_undelivered(site.name().as_str()) {
                    (0..2).for_each(|_| self.deliver_key_to(gateway, &site));
                }
            }
        }
        self.expect_deliveries();
        (0..self.gateways.len()).for_each(|gateway| self.end_jobs(gateway));
    }

    pub(crate) fn site(&self, name: &str) -> Option<&Arc<SiteHost>> {
        self.sites.iter().find(|site| site.name().as_str() == name)
    }

    pub(crate) fn note_outcome(&self, what: &str, about: &str, told: &str) {
        self.ground.note(&format!("{what} {about}: {told}"));
    }
}

/// Key in one direction that covers a restore of so many bytes in any case.
fn ample(bytes: u64) -> u64 {
    2 * bytes + (1 << 19)
}
