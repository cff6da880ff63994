//! The key of one site, in both directions, through all that happens to the site.

use super::scenario::{DAY_S, Part, SiteModel};

/// Index of the pool from gateway to site.
pub(super) const TO: usize = 0;
/// Index of the pool from site to gateway.
pub(super) const FROM: usize = 1;

/// Day is from 6 to 18 o'clock.
const DAWN_S: u64 = 6 * 3600;
const DAYTIME_S: u64 = 12 * 3600;

/// Key of one direction, in bytes. At all times
/// `initial + arrived == left + spent + lost`.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pool {
    pub(super) initial_bytes: u64,
    pub(super) arrived_bytes: u64,
    pub(super) spent_bytes: u64,
    /// Gone with the site.
    pub(super) lost_bytes: u64,
    pub(super) left_bytes: u64,
    /// Kept for one restore of each stored object.
    pub(super) reserved_bytes: u64,
    /// Bits that make no byte yet.
    carried_bits: u128,
}

impl Pool {
    fn with(initial_bytes: u64) -> Self {
        Self { initial_bytes, left_bytes: initial_bytes, ..Self::default() }
    }

    /// What is neither used nor kept.
    pub(super) fn free_bytes(&self) -> u64 {
        self.left_bytes.saturating_sub(self.reserved_bytes)
    }

    /// Uses so much for a backup, and keeps so much more for the restore.
    ///
    /// # Panics
    /// Where that is more than is free: no scheduler may choose such a site.
    pub(super) fn charge(&mut self, used_bytes: u64, kept_bytes: u64) {
        assert!(used_bytes + kept_bytes <= self.free_bytes(), "a site was chosen that can't pay");
        self.spend(used_bytes);
        self.reserved_bytes += kept_bytes;
    }

    /// Uses what is kept, and what is there besides.
    ///
    /// # Panics
    /// Where there is not so much.
    pub(super) fn spend(&mut self, bytes: u64) {
        assert!(bytes <= self.left_bytes, "more key is used than there is");
        self.left_bytes -= bytes;
        self.spent_bytes += bytes;
    }

    fn add(&mut self, bytes: u64) {
        self.arrived_bytes += bytes;
        self.left_bytes += bytes;
    }

    fn add_bits(&mut self, bits: u128) {
        let bits = self.carried_bits + bits;
        self.carried_bits = bits % 8;
        // Rates and times are bounded so that this fits: see the kinds of rates.
        self.add(u64::try_from(bits / 8).unwrap_or(u64::MAX));
    }

    fn lose(&mut self) {
        self.lost_bytes += self.left_bytes;
        (self.left_bytes, self.reserved_bytes, self.carried_bits) = (0, 0, 0);
    }
}

/// One site at one moment.
pub(super) struct SiteState {
    pub(super) pools: [Pool; 2],
    /// When its shares were lost.
    pub(super) lost_s: Option<u64>,
    is_away: bool,
    outages: [u32; 2],
    rates_by_day: [u64; 2],
    rates_by_night: [u64; 2],
    is_local: bool,
    filled_s: u64,
}

impl SiteState {
    /// A site at the beginning.
    pub(super) fn new(model: &SiteModel) -> Self {
        let by_day = model.rates_bits_per_second;
        let night = |rate: u64| {
            u64::try_from(u128::from(rate) * u128::from(model.night_permille) / 1000)
                .unwrap_or(rate)
        };
        Self {
            pools: [Pool::with(model.key_bytes); 2],
            lost_s: None,
            is_away: false,
            outages: [0; 2],
            rates_by_day: by_day,
            rates_by_night: by_day.map(night),
            is_local: model.is_local,
            filled_s: 0,
        }
    }

    /// Whether shares reach it now.
    pub(super) fn is_up(&self) -> bool {
        !self.is_away && self.outages[Part::Site as usize] == 0
    }

    /// Whether its shares need no key.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Key that shares of new objects may use, of the direction that has less; of a local site
    /// more than is ever needed.
    pub(super) fn budget_bytes(&self) -> u64 {
        match self.is_local {
            true => LOCAL_BYTES,
            false => self.pools[TO].free_bytes().min(self.pools[FROM].free_bytes()),
        }
    }

    /// Whether a share that was stored then is still there.
    pub(super) fn holds(&self, stored_s: u64) -> bool {
        self.lost_s.is_none_or(|lost_s| lost_s < stored_s)
    }

    /// Takes in what the link yielded until now.
    pub(super) fn fill(&mut self, now_s: u64) {
        let begin_s = std::mem::replace(&mut self.filled_s, now_s);
        if !self.is_up() || self.outages[Part::Link as usize] > 0 || begin_s >= now_s {
            return;
        }
        let by_day = u128::from(daytime_s(now_s) - daytime_s(begin_s));
        let by_night = u128::from(now_s - begin_s) - by_day;
        for (direction, pool) in self.pools.iter_mut().enumerate() {
            let day_bits = u128::from(self.rates_by_day[direction]) * by_day;
            let night_bits = u128::from(self.rates_by_night[direction]) * by_night;
            pool.add_bits(day_bits + night_bits);
        }
    }

    /// A drive comes; where the site is lost, it comes in vain.
    pub(super) fn courier(&mut self, bytes: u64) {
        if !self.is_away {
            self.pools.iter_mut().for_each(|pool| pool.add(bytes));
        }
    }

    /// An outage begins.
    pub(super) fn down(&mut self, part: Part, now_s: u64) {
        self.fill(now_s);
        self.outages[part as usize] += 1;
    }

    /// An outage ends.
    pub(super) fn up(&mut self, part: Part, now_s: u64) {
        self.fill(now_s);
        let outages = &mut self.outages[part as usize];
        *outages = outages.saturating_sub(1);
    }

    /// The site is gone with its shares and its key.
    pub(super) fn lose(&mut self, now_s: u64) {
        self.fill(now_s);
        self.pools.iter_mut().for_each(Pool::lose);
        self.is_away = true;
        self.lost_s = Some(now_s);
    }

    /// A new one is there, with new key.
    pub(super) fn come_back(&mut self, bytes: u64, now_s: u64) {
        self.fill(now_s);
        self.is_away = false;
        self.courier(bytes);
    }
}

/// What a local site seems to have: more than all objects of a simulation take.
const LOCAL_BYTES: u64 = 1 << 62;

/// Seconds of day since the beginning, which is midnight.
fn daytime_s(at_s: u64) -> u64 {
    let today_s = (at_s % DAY_S).saturating_sub(DAWN_S).min(DAYTIME_S);
    at_s / DAY_S * DAYTIME_S + today_s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_six_and_end_at_eighteen() {
        let hours = |hour: u64| daytime_s(hour * 3600);
        assert_eq!([0, 6, 7, 18, 23, 24, 31].map(hours), [0, 0, 3600, 43200, 43200, 43200, 46800]);
    }
}
