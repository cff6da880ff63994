//! The placement policy of the settings, laid under what is asked for.

use crate::Vault;
use crate::backup::BackupRequest;
use crate::config::{Config, Layer};
use crate::failure::Failure;
use warifu_catalog::Site;
use warifu_core::plan::Choice;
use warifu_core::schedule::Policy;
use warifu_core::{IndividualId, SiteName};

/// What one placement is asked for besides its length.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) pins: &'a [SiteName],
    pub(crate) exclusions: &'a [SiteName],
    /// Whose it is; `None`: nobody's yet, so that no individual's table counts.
    pub(crate) individual: Option<&'a IndividualId>,
    pub(crate) label: Option<&'a str>,
}

impl<'a> From<&'a BackupRequest> for Asked<'a> {
    fn from(request: &'a BackupRequest) -> Self {
        Self {
            pins: &request.pins,
            exclusions: &request.exclusions,
            individual: Some(&request.individual),
            label: request.label.as_deref(),
        }
    }
}

/// The rules of one placement, those of the policy among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Ruled {
    pub(crate) pins: Vec<SiteName>,
    pub(crate) exclusions: Vec<SiteName>,
    pub(crate) zone_shares_max: Option<usize>,
}

impl Vault {
    /// Lays the policy under pins and exclusions that are asked for. Where two disagree, what is
    /// asked for wins, then the individual's table, the label's, and what holds for all.
    pub(crate) fn ruled<'a>(
        &self,
        sites: impl IntoIterator<Item = &'a Site>,
        asked: Asked<'_>,
    ) -> Ruled {
        let sites: Vec<&Site> = sites.into_iter().collect();
        let mut ruled = Ruled {
            pins: asked.pins.to_vec(),
            exclusions: asked.exclusions.to_vec(),
            zone_shares_max: None,
        };
        for layer in self.layers(asked) {
            for site in &sites {
                let name = &site.site;
                if entry_of(&layer, site).is_some()
                    && !ruled.pins.contains(name)
                    && !ruled.exclusions.contains(name)
                {
                    ruled.exclusions.push(name.clone());
                }
            }
            for name in layer.pin {
                if !ruled.pins.contains(name) && !ruled.exclusions.contains(name) {
                    ruled.pins.push(name.clone());
                }
            }
            ruled.zone_shares_max = ruled.zone_shares_max.or(layer.max_per_zone);
        }
        ruled
    }

    fn layers<'a>(&'a self, asked: Asked<'_>) -> impl Iterator<Item = Layer<'a>> + use<'a> {
        self.config.placement.layers(asked.individual.map(IndividualId::as_str), asked.label)
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
    pub(crate) fn exclusion_told(&self, site: &Site, asked: Asked<'_>) -> Option<String> {
        self.layers(asked).find_map(|layer| {
            let entry = entry_of(&layer, site)?.to_string();
            let at = self.setting_told(&layer.setting("exclude"), &format!(" {entry:?}"));
            Some(format!("excluded by {at}"))
        })
    }

    /// The setting that pins a site, and its line.
    pub(crate) fn pin_told(&self, site: &SiteName, asked: Asked<'_>) -> Option<String> {
        if asked.pins.contains(site) {
            return Some("pinned by --pin or the profile".to_owned());
        }
        let layer = self.layers(asked).find(|layer| layer.pin.contains(site))?;
        Some(format!("pinned by {}", self.setting_told(&layer.setting("pin"), "")))
    }

    /// The setting that says how many shares a zone may hold, and its line.
    pub(crate) fn zone_limit_told(&self, asked: Asked<'_>) -> Option<String> {
        let layer = self.layers(asked).find(|layer| layer.max_per_zone.is_some())?;
        Some(self.setting_told(&layer.setting("max_per_zone"), ""))
    }

    fn setting_told(&self, setting: &str, entry: &str) -> String {
        let line = Config::line_of(&self.dir, setting);
        let line = line.map_or_else(String::new, |line| format!(", line {line} of config.toml"));
        format!("{setting}{entry}{line}")
    }
}

fn entry_of<'a>(layer: &'a Layer<'_>, site: &Site) -> Option<&'a crate::config::Exclusion> {
    layer.exclusion_of(&site.site, &site.zone, &site.domain)
}
