//! Placement policy: what holds for every backup that does not say otherwise.

use super::value;
use serde::{Deserialize, Serialize};
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
}

impl Placement {
    /// The entry that keeps a site out, or `None`.
    #[must_use]
    pub fn exclusion_of(
        &self,
        site: &SiteName,
        zone: &SiteName,
        domain: &SiteName,
    ) -> Option<&Exclusion> {
        self.exclude.iter().flatten().find(|exclusion| match exclusion {
            Exclusion::Site(name) => name == site,
            Exclusion::Zone(name) => name == zone,
            Exclusion::Domain(name) => name == domain,
        })
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
            placement.exclusion_of(&names[0], &names[1], &names[2]).is_some()
        };
        assert!(kept_out("s") && kept_out("zone:z") && kept_out("domain:d"));
        assert!(!kept_out("z") && !kept_out("zone:s") && !kept_out("domain:z"));
    }
}
