//! Scenarios that come with the program.

use super::dice::{Dice, Purpose};
use std::borrow::Cow;
use std::fmt::Write;

/// All of them.
pub const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "tohoku-2022",
        title: "the demonstration of 2022: six nodes, two QKD links, the rest couriered",
        text: Some(include_str!("scenarios/tohoku-2022.toml")),
    },
    Shipped {
        name: "national",
        title: "a site in each of the 47 prefectures of Japan, at unequal rates",
        text: Some(include_str!("scenarios/national.toml")),
    },
    Shipped { name: "random", title: "sites, rates and mishaps drawn from the seed", text: None },
];

/// A scenario that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub title: &'static str,
    text: Option<&'static str>,
}

impl Shipped {
    /// The one of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.name == name)
    }

    /// Its text, from which another can be made. `seed` decides one that is drawn.
    #[must_use]
    pub fn text(&self, seed: u64) -> Cow<'static, str> {
        self.text.map_or_else(|| Cow::Owned(drawn(seed)), Cow::Borrowed)
    }
}

/// Schemes of drawn scenarios, and between how many zones there must be.
const SCHEMES: [(&str, u64, u64); 3] = [("2/3", 3, 8), ("3/5", 4, 8), ("4/7", 4, 8)];

/// The text of a scenario that a seed decides.
fn drawn(seed: u64) -> String {
    let mut dice = Dice::new(seed, Purpose::Scenario, 0);
    let (scheme, zones_min, zones_max) = SCHEMES[(dice.next() % 3) as usize];
    let zones = dice.between(zones_min, zones_max);
    let sites = dice.between(2 * zones, 5 * zones);
    let mut rows = String::new();
    let mut mbit = 0.0;
    for site in 0..sites {
        let rate = dice.scaled(0.1, 10.0);
        mbit += rate;
        let (night, key) = (dice.between(3, 10), dice.scaled(20.0, 2000.0));
        let (failures, hours) = (dice.between(1, 24), dice.scaled(2.0, 72.0));
        let part = if dice.unit() < 0.5 { "link" } else { "site" };
        // Writing to a text can't fail.
        let _ = write!(
            rows,
            "[[site]]\nname = \"site-{}\"\nzone = \"zone-{}\"\nrate = \"{rate:.3}Mbit/s\"\n\
             night = {:.1}\nkey = \"{key:.0}GB\"\n\
             failures = {{ per_year = {failures}, hours = {hours:.1}, of = \"{part}\" }}\n",
            site + 1,
            site % zones + 1,
            night as f64 / 10.0,
        );
        if dice.unit() < 0.2 {
            let (every, bytes) = (dice.between(14, 90), dice.scaled(100.0, 4000.0));
            let _ =
                writeln!(rows, "courier = {{ every_days = {every}, bytes = \"{bytes:.0}GB\" }}");
        }
        if dice.unit() < 0.05 {
            let day = dice.between(30, 150);
            let back = day + dice.between(10, 60);
            let _ = writeln!(
                rows,
                "loss = {{ day = {day}, back_day = {back}, back_key = \"{key:.0}GB\" }}"
            );
        }
        rows.push('\n');
    }
    // So much comes as half to twice what the links yield could store at 20 GB each.
    let gigabytes_per_day = mbit / 2.0 * 86_400.0 / 8_000.0;
    let shares = scheme.rsplit('/').next().unwrap_or("5");
    let per_day = gigabytes_per_day / 20.0 / shares.parse().unwrap_or(5.0) * dice.scaled(0.5, 2.0);
    format!(
        "# A scenario that seed {seed} drew: no place that there is.\n\
         v = 1\nname = \"random\"\ntitle = \"drawn at random from seed {seed}\"\nmonths = 12\n\
         scheme = \"{scheme}\"\nqueue = \"fairest\"\nrestores_per_day = {:.2}\n\n\
         [arrivals]\nper_day = {per_day:.3}\nmedian = \"20GB\"\nspread = {:.2}\n\n{rows}",
        dice.scaled(0.05, 1.0),
        dice.scaled(1.1, 2.0),
    )
}
