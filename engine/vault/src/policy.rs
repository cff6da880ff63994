//! The placement policy of the settings, laid under what is asked for.

use crate::Vault;
use crate::config::Config;
use crate::failure::Failure;
use warifu_catalog::Site;
use warifu_core::SiteName;
use warifu_core::plan::Choice;
use warifu_core::schedule::Policy;

/// Pins and exclusions of one placement, those of the policy among them.
pub(crate) struct Ruled {
    pub(crate) pins: Vec<SiteName>,
    pub(crate) exclusions: Vec<SiteName>,
}

impl Vault {
    /// Lays the policy under pins and exclusions that are asked for: these win where the two
    /// disagree.
    pub(crate) fn ruled<'a>(
        &self,
        sites: impl IntoIterator<Item = &'a Site>,
        pins: &[SiteName],
        exclusions: &[SiteName],
    ) -> Ruled {
        let policy = &self.config.placement;
        let with = |asked: &[SiteName], more: &mut dyn Iterator<Item = SiteName>| {
            let mut all = asked.to_vec();
            for name in more {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
            all
        };
        let excluded = sites
            .into_iter()
            .filter(|site| policy.exclusion_of(&site.site, &site.zone, &site.domain).is_some());
        let not_pinned = excluded.map(|site| site.site.clone()).filter(|site| !pins.contains(site));
        let exclusions = with(exclusions, &mut not_pinned.into_iter());
        let pinned = policy.pin.iter().flatten().filter(|site| !exclusions.contains(site));
        Ruled { pins: with(pins, &mut pinned.cloned()), exclusions }
    }

    /// By what one of several placements is taken.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub(crate) fn choice(&self) -> Result<Choice, Failure> {
        let policy = self.config.placement.policy.unwrap_or(Policy::Forecast);
        let turn = match policy {
            Policy::RoundRobin | Policy::Random => self.catalog()?.objects()?.len() as u64,
            Policy::Fixed | Policy::MostRemaining | Policy::Forecast => 0,
        };
        Ok(Choice { policy, turn })
    }

    /// The entry of the policy that keeps a site out, and its line in the settings.
    pub(crate) fn exclusion_told(&self, site: &Site) -> Option<String> {
        let policy = &self.config.placement;
        let entry = policy.exclusion_of(&site.site, &site.zone, &site.domain)?;
        let line = Config::line_of(&self.dir, "placement.exclude");
        let line = line.map_or_else(String::new, |line| format!(", line {line} of config.toml"));
        Some(format!("excluded by placement.exclude {:?}{line}", entry.to_string()))
    }
}
