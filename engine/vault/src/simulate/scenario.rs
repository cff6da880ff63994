//! A scenario: the sites with their key, who comes with what, and what goes wrong.

use super::read;
use crate::config::Mistake;
use warifu_core::geometry::PAYLOAD_BYTES_MAX;
use warifu_core::{SiteName, Threshold};

/// Seconds of a day.
pub(super) const DAY_S: u64 = 86_400;

/// Bytes of a file, at most: what goes with it into its payload must fit too.
pub(super) const FILE_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX - (1 << 20);

/// Days of a month, in a simulation.
pub const MONTH_DAYS: u64 = 30;

/// The longest simulation, in months.
pub const MONTHS_MAX: u64 = 120;

/// The longest text of a scenario, in bytes.
pub const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// Months of operation, as a file describes them.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) months: u64,
    pub(super) threshold: Threshold,
    pub(super) queue: QueueRule,
    pub(super) arrivals: Arrivals,
    pub(super) restores_per_day: f64,
    pub(super) sites: Vec<SiteModel>,
}

impl Scenario {
    /// Reads the text of a scenario.
    ///
    /// # Errors
    /// Every mistake in it, by line.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        read::scenario(text)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in one line.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How many months of 30 days it lasts.
    #[must_use]
    pub fn months(&self) -> u64 {
        self.months
    }

    /// The same for another number of months, kept between 1 and [`MONTHS_MAX`].
    ///
    /// # Errors
    /// Where so many files would come in that time that a simulation does not hold them.
    pub fn lasting(self, months: u64) -> Result<Self, TooMuch> {
        let scenario = Self { months: months.clamp(1, MONTHS_MAX), ..self };
        match scenario.excess() {
            Some(excess) => Err(excess),
            None => Ok(scenario),
        }
    }

    /// How long it lasts, in seconds.
    pub(super) fn end_s(&self) -> u64 {
        self.months * MONTH_DAYS * DAY_S
    }

    /// What is more than a simulation holds.
    pub(super) fn excess(&self) -> Option<TooMuch> {
        let days = (self.months * MONTH_DAYS) as f64;
        let files = self.arrivals.per_day * days * f64::from(self.arrivals.files);
        let shares = files * self.threshold.n() as f64;
        let restores = self.restores_per_day * days;
        let outages: f64 = self.sites.iter().map(|site| site.outages_per_year()).sum();
        let outages = outages * days / 365.0;
        [
            (shares, SHARES_MAX, "shares"),
            (restores, RESTORES_MAX, "restores"),
            (outages, OUTAGES_MAX, "outages"),
        ]
        .into_iter()
        .find(|(count, most, _)| count > most)
        .map(|(count, most, what)| TooMuch { count, most, what })
    }
}

/// Shares that are made in one simulation, at most.
const SHARES_MAX: f64 = 10_000_000.0;
const RESTORES_MAX: f64 = 1_000_000.0;
const OUTAGES_MAX: f64 = 1_000_000.0;

/// A scenario in which more happens than a simulation holds.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[error("about {count:.0} {what} would come of it, and a simulation holds {most:.0}")]
pub struct TooMuch {
    count: f64,
    most: f64,
    what: &'static str,
}

/// Who goes first among those that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum QueueRule {
    /// Whoever came first.
    FirstCome,
    /// Who has the fewest files stored; among those, whoever came first.
    Fairest,
    /// Nobody waits: what does not fit at once is refused.
    Refuse,
}

/// Individuals that come, and what they bring.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    pub(super) per_day: f64,
    /// By chance (a Poisson process) or evenly.
    pub(super) is_poisson: bool,
    /// Files of each.
    pub(super) files: u32,
    pub(super) size: SizeModel,
}

/// How long files are, in bytes.
#[derive(Clone, Debug)]
pub(super) enum SizeModel {
    /// One of these; each as often as it stands there.
    OneOf(Vec<u64>),
    /// Log-normal: `median * spread^z` with normal `z`.
    LogNormal { median_bytes: u64, spread: f64 },
}

/// One site.
#[derive(Clone, Debug)]
pub(super) struct SiteModel {
    pub(super) name: SiteName,
    pub(super) zone: SiteName,
    pub(super) domain: SiteName,
    /// Whether its shares need no key of a link.
    pub(super) is_local: bool,
    /// What the link yields by day, to the site and from it.
    pub(super) rates_bits_per_second: [u64; 2],
    /// What is left of that by night, in thousandths.
    pub(super) night_permille: u64,
    /// Key at the start, in each direction.
    pub(super) key_bytes: u64,
    pub(super) courier: Option<Courier>,
    pub(super) outages: Vec<Outage>,
    pub(super) failures: Option<Failures>,
    pub(super) loss: Option<Loss>,
}

impl SiteModel {
    fn outages_per_year(&self) -> f64 {
        self.failures.map_or(0.0, |failures| failures.per_year)
    }

    /// Key that comes on average, a day and in the direction that gets less.
    pub(super) fn fill_bytes_per_day(&self) -> f64 {
        let rate = self.rates_bits_per_second[0].min(self.rates_bits_per_second[1]) as f64;
        let of_day = (1000 + self.night_permille) as f64 / 2000.0;
        let away = self.failures.map_or(0.0, |failures| failures.share_of_time());
        let link = rate / 8.0 * DAY_S as f64 * of_day * (1.0 - away);
        let courier = self
            .courier
            .map_or(0.0, |courier| courier.bytes as f64 * DAY_S as f64 / courier.every_s as f64);
        link + courier
    }
}

/// A drive that is carried there again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Courier {
    pub(super) first_s: u64,
    pub(super) every_s: u64,
    /// Key in each direction.
    pub(super) bytes: u64,
}

/// What an outage is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Part {
    /// No key comes; what is there is used.
    Link,
    /// Nothing reaches the site and nothing comes from it, key included.
    Site,
}

/// An outage that is known beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) begin_s: u64,
    pub(super) end_s: u64,
    pub(super) part: Part,
}

/// Outages by chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    pub(super) per_year: f64,
    /// How long one lasts on average.
    pub(super) hours: f64,
    pub(super) part: Part,
}

impl Failures {
    /// From the end of one to the beginning of the next, on average.
    pub(super) fn mean_gap_s(&self) -> f64 {
        365.0 * DAY_S as f64 / self.per_year
    }

    fn share_of_time(&self) -> f64 {
        let lasting_s = self.hours * 3600.0;
        lasting_s / (lasting_s + self.mean_gap_s())
    }
}

/// A site is gone with all its shares and key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) at_s: u64,
    pub(super) back: Option<Return>,
}

/// A new site takes the place of one that was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    pub(super) at_s: u64,
    /// Key that it begins with, in each direction.
    pub(super) key_bytes: u64,
}
