//! How a world is made: sites, gateways, links with key, all chosen by the seed.

use crate::gateway::GatewayHost;
use crate::ground::Ground;
use crate::network::Network;
use crate::scenario::{Scenario, SetupError};
use crate::site::SiteHost;
use std::sync::Arc;
use tempfile::TempDir;
use warifu_core::Threshold;
use warifu_vault::NewSite;

impl Scenario {
    /// The world of a seed, in calm weather, with key on all links.
    pub(crate) fn make(ground: Arc<Ground>) -> Result<Self, SetupError> {
        let dice = ground.dice.clone();
        let site_count = 4 + dice.below(3);
        let schemes: &[&str] = match site_count {
            4 => &["2/3", "2/4", "3/4"],
            _ => &["2/3", "3/5", "2/4", "3/4"],
        };
        let threshold = schemes[dice.below(schemes.len())].parse::<Threshold>();
        let threshold = threshold.map_err(|_| SetupError::Nonsense("scheme"))?;
        let is_large = dice.permille(40);
        let root = folder()?;
        let mut sites = Vec::new();
        for number in 0..site_count {
            let name = format!("s{number}").parse();
            let name = name.map_err(|_| SetupError::Nonsense("name"))?;
            sites.push(Arc::new(SiteHost::new(name, ground.clone())?));
        }
        let network = Network::new(ground.clone(), sites.clone());
        let lost_max = (threshold.n() - threshold.k()).min(site_count - threshold.n());
        let mut scenario = Self {
            ground,
            network,
            sites,
            gateways: Vec::new(),
            gateways_copied: Vec::new(),
            is_interrupted: Vec::new(),
            objects: Vec::new(),
            feeds: Vec::new(),
            root,
            threshold,
            key_bytes: if is_large { 12 << 20 } else { 1 << 19 },
            lost_max,
            next_label: 0,
        };
        scenario.sites.iter().for_each(|site| _ = site.start());
        scenario.add_gateway("g0", dice.permille(300))?;
        if dice.permille(300) {
            scenario.add_gateway("g1", false)?;
        }
        (0..scenario.gateways.len()).for_each(|gateway| scenario.feed_links(gateway));
        match scenario.ground.violation() {
            None => Ok(scenario),
            Some(what) => Err(SetupError::Broken(what)),
        }
    }

    /// A gateway with key for all sites; with `has_room`, a site in its own room too.
    fn add_gateway(&mut self, name: &str, has_room: bool) -> Result<(), SetupError> {
        let dir = self.root.path().join(name);
        let name = name.parse().map_err(|_| SetupError::Nonsense("name"))?;
        let (ground, network) = (self.ground.clone(), self.network.clone());
        let mut gateway = GatewayHost::new(name, dir, ground, network)?;
        let mut new: Vec<NewSite> = Vec::new();
        let site = |name, url| NewSite { name, url, zone: None, domain: None, channel: None };
        for host in &self.sites {
            new.push(site(host.name().clone(), format!("warifu://{}:1", host.name())));
        }
        if has_room {
            let local = "room".parse().map_err(|_| SetupError::Nonsense("name"))?;
            new.push(site(local, "file:///room".to_owned()));
        }
        let person = "P1".parse().map_err(|_| SetupError::Nonsense("individual"))?;
        let prepared = gateway.operate(|vault, _| {
            new.iter().try_for_each(|site| vault.add_site(site).map(drop))?;
            vault.enroll(&person).map(drop)
        });
        let broken = || SetupError::Broken("killed".to_owned());
        prepared.ok_or_else(broken)??;
        for host in &self.sites {
            gateway.courier(host, self.key_bytes).ok_or_else(broken)??;
        }
        gateway.generate_random(self.key_bytes).ok_or_else(broken)??;
        self.gateways.push(gateway);
        self.gateways_copied.push(false);
        self.is_interrupted.push(false);
        Ok(())
    }
}

/// A folder for catalogs: in memory where the system has one, as their syncs are not what is
/// simulated.
fn folder() -> Result<TempDir, std::io::Error> {
    match TempDir::with_prefix_in("warifu-simulation-", "/dev/shm") {
        Ok(folder) => Ok(folder),
        Err(_) => TempDir::with_prefix("warifu-simulation-"),
    }
}
