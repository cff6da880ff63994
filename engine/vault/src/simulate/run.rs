//! One policy through one weather: the events in their order, and between them the hours.

use super::pools::{FROM, SiteState, TO};
use super::queue::Queue;
use super::report::Sample;
use super::scenario::{DAY_S, QueueRule, Scenario};
use super::weather::{Event, File, Weather};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use warifu_core::payload::{PayloadLayout, Shape};
use warifu_core::plan::{Need, need};
use warifu_core::schedule::{Policy, Scheduler, Spot};
use warifu_core::{Channel, Geometry, Role, SiteName};

/// How often those that wait are looked at, in seconds.
const TICK_S: u64 = 3600;

/// Name, times and mode of a file, about.
const ATTRIBUTE_BYTES: u64 = 128;

/// A stored object.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) file: usize,
    pub(super) stored_s: u64,
    /// Its sites, those of the pad shares first.
    pub(super) sites: Box<[u16]>,
}

/// What became of those who wanted something back.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Restores {
    pub(super) served: u64,
    /// Fewer than `k` shares are left.
    pub(super) unrecoverable: u64,
    /// Fewer than `k` of the sites that have shares answer.
    pub(super) away: u64,
    /// Fewer than `k` of them have key for it.
    pub(super) key_short: u64,
}

/// One run and all it leaves behind.
pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    weather: &'a Weather,
    scheduler: Scheduler,
    queue: Queue,
    now_s: u64,
    pub(super) sites: Vec<SiteState>,
    pub(super) stored: Vec<Stored>,
    pub(super) refused: usize,
    pub(super) restores: Restores,
    /// When first no admissible set could pay for what was there.
    pub(super) first_short_s: Option<u64>,
    pub(super) samples: Vec<Sample>,
}

impl<'a> Run<'a> {
    /// Runs to the end.
    pub(super) fn new(
        scenario: &'a Scenario,
        weather: &'a Weather,
        policy: Policy,
        seed: u64,
    ) -> Self {
        let mut run = Self {
            scenario,
            weather,
            scheduler: scheduler(scenario, weather, policy, seed),
            queue: Queue::new(scenario.queue, weather.individuals),
            now_s: 0,
            sites: scenario.sites.iter().map(SiteState::new).collect(),
            stored: Vec::new(),
            refused: 0,
            restores: Restores::default(),
            first_short_s: None,
            samples: Vec::new(),
        };
        run.sample();
        let mut tick_s = TICK_S;
        for (at_s, event) in &weather.events {
            while tick_s <= *at_s {
                run.tick(tick_s);
                tick_s += TICK_S;
            }
            run.now_s = *at_s;
            run.meet(*event);
        }
        while tick_s <= scenario.end_s() {
            run.tick(tick_s);
            tick_s += TICK_S;
        }
        run
    }

    /// How many files wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Key free for new objects over all links, in bytes of the direction that has less.
    pub(super) fn free_bytes(&self) -> u64 {
        let linked = self.sites.iter().filter(|site| !site.is_local());
        linked.map(SiteState::budget_bytes).fold(0, u64::saturating_add)
    }

    fn tick(&mut self, now_s: u64) {
        self.now_s = now_s;
        self.serve();
        if now_s.is_multiple_of(DAY_S) {
            self.fill();
            self.sample();
        }
    }

    fn meet(&mut self, event: Event) {
        let now_s = self.now_s;
        match event {
            Event::Up { site, part } => self.sites[site].up(part, now_s),
            Event::Down { site, part } => self.sites[site].down(part, now_s),
            Event::Courier { site, bytes } => self.sites[site].courier(bytes),
            Event::Return { site, bytes } => self.sites[site].come_back(bytes, now_s),
            Event::Loss { site } => self.sites[site].lose(now_s),
            Event::Arrival { file } => {
                self.queue.push(file, self.weather.files[file].individual);
                self.serve();
            }
            Event::Restore { draw } => self.restore(draw),
        }
    }

    /// Stores what waits, in its order, as far as key goes.
    fn serve(&mut self) {
        if self.queue.first().is_none() {
            return;
        }
        self.fill();
        while let Some(file) = self.queue.first() {
            let is_stored = self.store(file);
            if !is_stored && self.scenario.queue != QueueRule::Refuse {
                return;
            }
            self.refused += usize::from(!is_stored);
            self.queue.pop(is_stored);
        }
    }

    /// Places one file where the scheduler says, if there is a place.
    fn store(&mut self, file: usize) -> bool {
        let costs = Costs::of(self.scenario, &self.weather.files[file]);
        let Some(chosen) = self.scheduler.choose(costs.most_bytes) else {
            self.first_short_s.get_or_insert(self.now_s);
            return false;
        };
        let pads = self.scenario.threshold.pads();
        for (at, &site) in chosen.iter().enumerate() {
            let need = if at < pads { &costs.pad } else { &costs.computed };
            if !self.sites[site].is_local() {
                let (to_kept, from_kept) =
                    (need.reserve_to_site_bytes, need.reserve_from_site_bytes);
                let pools = &mut self.sites[site].pools;
                pools[TO].charge(need.to_site_bytes - to_kept, to_kept);
                pools[FROM].charge(need.from_site_bytes - from_kept, from_kept);
            }
            self.tell(site);
        }
        let sites = chosen.into_iter().filter_map(|site| u16::try_from(site).ok()).collect();
        self.stored.push(Stored { file, stored_s: self.now_s, sites });
        true
    }

    /// Gives one stored object back, if `k` of its sites are there and have key for it.
    fn restore(&mut self, draw: u64) {
        let Some(at) = draw.checked_rem(self.stored.len() as u64) else { return };
        let object = self.stored[usize::try_from(at).unwrap_or(0)].clone();
        let costs = Costs::of(self.scenario, &self.weather.files[object.file]);
        let (to, from) = (costs.pad.reserve_to_site_bytes, costs.pad.reserve_from_site_bytes);
        self.fill();
        let k = self.scenario.threshold.k();
        let site = |at: &usize| &self.sites[*at];
        let mut sites: Vec<usize> = object.sites.iter().map(|site| usize::from(*site)).collect();
        sites.retain(|at| site(at).holds(object.stored_s));
        if sites.len() < k {
            self.restores.unrecoverable += 1;
            return;
        }
        sites.retain(|at| site(at).is_up());
        if sites.len() < k {
            self.restores.away += 1;
            return;
        }
        sites.retain(|at| {
            let pools = &site(at).pools;
            let pays = pools[TO].left_bytes >= to && pools[FROM].left_bytes >= from;
            site(at).is_local() || pays
        });
        if sites.len() < k {
            self.restores.key_short += 1;
            return;
        }
        sites.sort_by_key(|at| (!site(at).is_local(), Reverse(site(at).pools[FROM].left_bytes)));
        for site in sites.into_iter().take(k) {
            if !self.sites[site].is_local() {
                self.sites[site].pools[TO].spend(to);
                self.sites[site].pools[FROM].spend(from);
            }
            self.tell(site);
        }
        self.restores.served += 1;
    }

    /// Takes in what all links yielded until now.
    fn fill(&mut self) {
        for site in 0..self.sites.len() {
            self.sites[site].fill(self.now_s);
            self.tell(site);
        }
    }

    /// Tells the scheduler what a site has.
    fn tell(&mut self, site: usize) {
        let (has, thought) = (self.sites[site].budget_bytes(), self.scheduler.budget_bytes(site));
        match has.checked_sub(thought) {
            Some(0) => {}
            Some(more) => self.scheduler.credit(site, more),
            None => self.scheduler.debit(site, thought - has),
        }
        self.scheduler.set_open(site, self.sites[site].is_up());
    }

    fn sample(&mut self) {
        self.samples.push(Sample {
            day: self.now_s / DAY_S,
            stored: self.stored.len(),
            waiting: self.waiting(),
            key_left_bytes: self.free_bytes(),
        });
    }
}

fn scheduler(scenario: &Scenario, weather: &Weather, policy: Policy, seed: u64) -> Scheduler {
    let zones = numbers(scenario.sites.iter().map(|site| &site.zone));
    let domains = numbers(scenario.sites.iter().map(|site| &site.domain));
    let spot = |(at, model): (usize, &super::scenario::SiteModel)| {
        let state = SiteState::new(model);
        Spot {
            zone: zones[at],
            domain: domains[at],
            budget_bytes: state.budget_bytes(),
            fill_bytes_per_day: model.fill_bytes_per_day(),
            network_bytes_per_second: None,
            is_open: true,
        }
    };
    let spots = scenario.sites.iter().enumerate().map(spot).collect();
    let mut scheduler = Scheduler::new(spots, scenario.threshold, policy, seed);
    scheduler.set_demand(demand_bytes_per_day(scenario, weather));
    scheduler
}

/// What the files of a day take of each of their sites, on average.
fn demand_bytes_per_day(scenario: &Scenario, weather: &Weather) -> Option<f64> {
    let of = |file| Costs::of(scenario, file).most_bytes as f64;
    let all: f64 = weather.files.iter().map(of).sum();
    (all > 0.0).then(|| all * DAY_S as f64 / scenario.end_s() as f64)
}

/// Numbers for names.
fn numbers<'a>(names: impl Iterator<Item = &'a SiteName>) -> Vec<u32> {
    let mut known = BTreeMap::new();
    let mut number = |name| {
        let next = known.len() as u32;
        *known.entry(name).or_insert(next)
    };
    names.map(&mut number).collect()
}

/// What one file costs.
pub(super) struct Costs {
    pub(super) pad: Need,
    pub(super) computed: Need,
    /// The most that one of its shares takes of one direction.
    pub(super) most_bytes: u64,
}

impl Costs {
    pub(super) fn of(scenario: &Scenario, file: &File) -> Self {
        let geometry = geometry(file.bytes);
        let of = |role| need(scenario.threshold, geometry, role, Channel::Otp);
        let (pad, computed) = (of(Role::Pad), of(Role::Computed));
        let most_bytes = [pad, computed]
            .iter()
            .map(|need| need.to_site_bytes.max(need.from_site_bytes))
            .fold(0, u64::max);
        Self { pad, computed, most_bytes }
    }
}

/// The payload of a file that is not compressed further.
#[expect(clippy::expect_used, reason = "files are bounded so that their payload fits")]
fn geometry(bytes: u64) -> Geometry {
    let layout = PayloadLayout::longest(ATTRIBUTE_BYTES, bytes, Shape::PLAIN);
    layout.expect("a file's length is within its bounds").geometry()
}
