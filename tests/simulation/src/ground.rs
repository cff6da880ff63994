//! What all parties of a simulated world stand on: dice, time, the record of what happened, and
//! the judge of the wire.

use crate::dice::Dice;
use crate::judge::Judge;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use warifu_pipeline::clock::Clock;

/// A bug planted in the world, which the simulation must find. The engine has none of them: a
/// disk or a site of the world lies to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Canary {
    /// Disks under key stores say that they have synced, and have not.
    ForgetfulLedgers,
    /// Stores of shares say that a commit is durable, and it is not.
    HastyStores,
}

/// What happens by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weather {
    /// Nothing fails by itself.
    Calm,
    /// A few messages in a hundred meet something.
    Storm,
}

/// What a run has seen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Operations of gateways.
    pub operations: u64,
    /// Of these, those that succeeded.
    pub succeeded: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Processes that were ended, and machines that lost power.
    pub deaths: u64,
    /// Messages on the wire.
    pub messages: u64,
    /// Objects reported as stored.
    pub stored: u64,
    /// Of these, those that had been interrupted before.
    pub resumed: u64,
    /// Interrupted backups that were given up.
    pub cancelled: u64,
    /// Restores that delivered, each compared with what was stored.
    pub restored: u64,
    /// Segments that a deliverer brought to both ends of a link.
    pub delivered: u64,
}

impl Counters {
    /// Adds what another run has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.succeeded += other.succeeded;
        self.faults += other.faults;
        self.deaths += other.deaths;
        self.messages += other.messages;
        self.stored += other.stored;
        self.resumed += other.resumed;
        self.cancelled += other.cancelled;
        self.restored += other.restored;
        self.delivered += other.delivered;
    }
}

/// The common ground.
pub(crate) struct Ground {
    /// Chooses what happens next.
    pub(crate) dice: Arc<Dice>,
    /// What judges every frame.
    pub(crate) judge: Mutex<Judge>,
    /// The planted bug, if any.
    pub(crate) canary: Option<Canary>,
    millis: AtomicU64,
    losses: AtomicU64,
    storm_permille: AtomicU32,
    /// Whether canaries sing already: not while the world is being made.
    lying: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    hasher: blake3::Hasher,
    lines: Option<Vec<String>>,
    counters: Counters,
    violation: Option<String>,
}

impl Ground {
    /// The ground of `seed`; with `keep_lines` what happened can be read afterwards.
    #[must_use]
    pub(crate) fn new(seed: u64, canary: Option<Canary>, keep_lines: bool) -> Arc<Self> {
        let record = Record { lines: keep_lines.then(Vec::new), ..Record::default() };
        Arc::new(Self {
            dice: Arc::new(Dice::new(seed)),
            judge: Mutex::default(),
            canary,
            millis: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            storm_permille: AtomicU32::new(0),
            lying: AtomicBool::new(false),
            record: Mutex::new(record),
        })
    }

    /// Writes down what happens. The same seed writes the same lines.
    pub(crate) fn note(&self, line: &str) {
        tracing::info!("{line}");
        let mut record = self.record();
        record.hasher.update(line.as_bytes());
        record.hasher.update(b"\n");
        if let Some(lines) = &mut record.lines {
            lines.push(line.to_owned());
        }
    }

    /// A fault that is injected now.
    pub(crate) fn fault(&self, line: &str) {
        self.count(|counters| counters.faults += 1);
        self.note(&format!("fault: {line}"));
    }

    /// Counts.
    pub(crate) fn count(&self, add: impl FnOnce(&mut Counters)) {
        add(&mut self.record().counters);
    }

    /// An invariant is broken. The first one stands.
    pub(crate) fn violated(&self, what: impl Into<String>) {
        let what = what.into();
        self.note(&format!("VIOLATED: {what}"));
        self.record().violation.get_or_insert(what);
    }

    /// The invariant that was broken first.
    #[must_use]
    pub(crate) fn violation(&self) -> Option<String> {
        self.record().violation.clone()
    }

    /// Hash of all lines, the lines where they are kept, and what was counted.
    #[must_use]
    pub(crate) fn finish(&self) -> (String, Vec<String>, Counters) {
        let record = self.record();
        let hash = record.hasher.finalize().to_hex().to_string();
        (hash, record.lines.clone().unwrap_or_default(), record.counters)
    }

    /// A disk may have lost what was not synced, or all.
    pub(crate) fn lose(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a disk may have lost something.
    #[must_use]
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// Changes the weather.
    pub(crate) fn set_weather(&self, weather: Weather) {
        let permille = match weather {
            Weather::Calm => 0,
            Weather::Storm => 15,
        };
        self.storm_permille.store(permille, Ordering::Relaxed);
    }

    /// Whether something happens to this message, or to this call.
    #[must_use]
    pub(crate) fn strikes(&self) -> bool {
        match self.storm_permille.load(Ordering::Relaxed) {
            0 => false,
            permille => self.dice.permille(permille),
        }
    }

    /// Whether the weather is bad at all.
    #[must_use]
    pub(crate) fn is_stormy(&self) -> bool {
        self.storm_permille.load(Ordering::Relaxed) > 0
    }

    /// From now on the planted bug is there.
    pub(crate) fn release_canary(&self) {
        self.lying.store(true, Ordering::Relaxed);
    }

    /// Whether the planted bug is this one, and there.
    #[must_use]
    pub(crate) fn lies(&self, canary: Canary) -> bool {
        self.canary == Some(canary) && self.lying.load(Ordering::Relaxed)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time that passes only where somebody waits.
pub(crate) struct SimulatedClock(pub(crate) Arc<Ground>);

impl Clock for SimulatedClock {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.millis.load(Ordering::Relaxed))
    }

    fn unix_s(&self) -> u64 {
        1_800_000_000 + self.0.millis.load(Ordering::Relaxed) / 1000
    }

    fn pause(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.millis.fetch_add(millis, Ordering::Relaxed);
    }
}
