//! Placement policy: what holds for every backup that does not say otherwise.

use super::value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use warifu_core::SiteName;
use warifu_core::schedule::Policy;

/// Where shares go unless a flag or a profile says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// By what one of several admissible sets is taken; `forecast` where absent.
    #[serde(with = "value::text", skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Sites that must get a share.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<SiteName>>,
    /// Sites, zones and domains that must not.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<Exclusion>>,
    /// How fast networks of sites are: the slowest get the pads.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub speeds: Option<Vec<Speed>>,
    /// The most shares of an object in one zone; as many as its loss may cost where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_zone: Option<usize>,
    /// What holds for what is one individual's, before what holds for all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub individual: BTreeMap<String, PlacementRule>,
    /// What holds for objects of one public label, before what holds for all and after what holds
    /// for their individual.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, PlacementRule>,
}

/// Where the shares of some objects go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementRule {
    /// Sites that must get a share.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<SiteName>>,
    /// Sites, zones and domains that must not.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<Exclusion>>,
    /// The most shares of an object in one zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_zone: Option<usize>,
}

/// What one table of the settings says of a placement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'a> {
    scope: Scope<'a>,
    pub(crate) pin: &'a [SiteName],
    pub(crate) exclude: &'a [Exclusion],
    pub(crate) max_per_zone: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    Individual(&'a str),
    Label(&'a str),
    All,
}

impl Layer<'_> {
    /// The full name of a setting of this table.
    pub(crate) fn setting(&self, key: &str) -> String {
        match self.scope {
            Scope::Individual(name) => format!("placement.individual.{name}.{key}"),
            Scope::Label(name) => format!("placement.label.{name}.{key}"),
            Scope::All => format!("placement.{key}"),
        }
    }

    /// The entry that keeps a site out, or `None`.
    pub(crate) fn exclusion_of(
        &self,
        site: &SiteName,
        zone: &SiteName,
        domain: &SiteName,
    ) -> Option<&Exclusion> {
        self.exclude.iter().find(|exclusion| match exclusion {
            Exclusion::Site(name) => name == site,
            Exclusion::Zone(name) => name == zone,
            Exclusion::Domain(name) => name == domain,
        })
    }
}

impl Placement {
    /// What holds for an individual's objects of a label, the most particular first.
    pub(crate) fn layers<'a>(
        &'a self,
        individual: Option<&str>,
        label: Option<&str>,
    ) -> impl Iterator<Item = Layer<'a>> + use<'a> {
        let individual = individual.and_then(|name| self.individual.get_key_value(name));
        let label = label.and_then(|name| self.label.get_key_value(name));
        let of = |scope, rule: &'a PlacementRule| Layer {
            scope,
            pin: rule.pin.as_deref().unwrap_or_default(),
            exclude: rule.exclude.as_deref().unwrap_or_default(),
            max_per_zone: rule.max_per_zone,
        };
        let all = Layer {
            scope: Scope::All,
            pin: self.pin.as_deref().unwrap_or_default(),
            exclude: self.exclude.as_deref().unwrap_or_default(),
            max_per_zone: self.max_per_zone,
        };
        let individual = individual.map(|(name, rule)| of(Scope::Individual(name), rule));
        let label = label.map(|(name, rule)| of(Scope::Label(name), rule));
        individual.into_iter().chain(label).chain([all])
    }

    /// How fast a site's network is, in bytes a second, where that is said.
    #[must_use]
    pub fn speed_of(&self, site: &SiteName) -> Option<u64> {
        let speed = self.speeds.iter().flatten().find(|speed| &speed.site == site);
        speed.map(|speed| speed.bytes_per_second)
    }
}

/// What gets no shares: `NAME` or `site:NAME`, `zone:NAME`, `domain:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion {
    /// A site.
    Site(SiteName),
    /// All sites of a zone.
    Zone(SiteName),
    /// All sites of a domain.
    Domain(SiteName),
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(name) => write!(f, "{name}"),
            Self::Zone(name) => write!(f, "zone:{name}"),
            Self::Domain(name) => write!(f, "domain:{name}"),
        }
    }
}

/// A text that stands for no part of a placement policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Of no kind that there is.
    #[error("it is written NAME, zone:NAME or domain:NAME, with a name as sites have it")]
    Exclusion,
    /// No site and rate.
    #[error("it is written SITE=RATE, such as kyoto=2MB, in bytes a second")]
    Speed,
}

impl FromStr for Exclusion {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        let (kind, name) = text.split_once(':').unwrap_or(("site", text));
        let name = name.parse().map_err(|_| PlacementError::Exclusion)?;
        match kind {
            "site" => Ok(Self::Site(name)),
            "zone" => Ok(Self::Zone(name)),
            "domain" => Ok(Self::Domain(name)),
            _ => Err(PlacementError::Exclusion),
        }
    }
}

/// How fast a site's network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speed {
    /// The site.
    pub site: SiteName,
    /// Its rate, above 0.
    pub bytes_per_second: u64,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.site, value::size_text(self.bytes_per_second))
    }
}

impl FromStr for Speed {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        let (site, rate) = text.split_once('=').ok_or(PlacementError::Speed)?;
        let site = site.parse().map_err(|_| PlacementError::Speed)?;
        let bytes_per_second = value::size(rate).filter(|rate| *rate > 0);
        Ok(Self { site, bytes_per_second: bytes_per_second.ok_or(PlacementError::Speed)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_are_written() {
        for text in ["kyoto", "zone:tohoku", "domain:kek"] {
            assert_eq!(text.parse::<Exclusion>().unwrap().to_string(), text);
        }
        assert_eq!("site:kyoto".parse::<Exclusion>().unwrap().to_string(), "kyoto");
        for text in ["", "zone:", "land:japan", "zone:A", "a:b:c"] {
            assert!(text.parse::<Exclusion>().is_err(), "{text}");
        }
        assert_eq!("kyoto=2MB".parse::<Speed>().unwrap().bytes_per_second, 2_000_000);
        for text in ["kyoto", "kyoto=", "kyoto=0", "=2MB", "kyoto=fast", "kyoto=2MB=3MB"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_entry_keeps_out_all_that_it_names() {
        let names = ["s", "z", "d"].map(|name| name.parse::<SiteName>().unwrap());
        let kept_out = |entry: &str| {
            let exclude = Some(vec![entry.parse().unwrap()]);
            let placement = Placement { exclude, ..Placement::default() };
            let all = placement.layers(None, None).next().unwrap();
            all.exclusion_of(&names[0], &names[1], &names[2]).is_some()
        };
        assert!(kept_out("s") && kept_out("zone:z") && kept_out("domain:d"));
        assert!(!kept_out("z") && !kept_out("zone:s") && !kept_out("domain:z"));
    }

    #[test]
    fn the_most_particular_table_comes_first() {
        let rule = |most| PlacementRule { max_per_zone: Some(most), ..PlacementRule::default() };
        let placement = Placement {
            max_per_zone: Some(3),
            individual: BTreeMap::from([("P1".to_owned(), rule(1))]),
            label: BTreeMap::from([("study".to_owned(), rule(2))]),
            ..Placement::default()
        };
        let of = |individual, label| -> Vec<(String, Option<usize>)> {
            let layers = placement.layers(individual, label);
            layers.map(|layer| (layer.setting("x"), layer.max_per_zone)).collect()
        };
        let told = of(Some("P1"), Some("study"));
        assert_eq!(told.iter().map(|(_, most)| *most).collect::<Vec<_>>(), [1, 2, 3].map(Some));
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["placement.individual.P1.x", "placement.label.study.x", "placement.x"]);
        assert_eq!(of(Some("p1"), Some("stud")), [("placement.x".to_owned(), Some(3))]);
        assert_eq!(of(None, None).len(), 1);
    }
}
