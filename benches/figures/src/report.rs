//! What a run of benches found, as it is written and read again.

use crate::{Machine, Spread};
use serde::{Deserialize, Serialize};

/// The version of the document.
pub(crate) const VERSION: u32 = 1;

/// The word by which a document says what it is.
pub(crate) const TYPE: &str = "bench";

/// The figures of one run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of this document.
    pub v: u32,
    /// `bench`.
    pub r#type: String,
    /// When it was taken, RFC 3339.
    pub taken: String,
    /// Whether less was measured, for a first look.
    pub quick: bool,
    /// Where.
    pub machine: Machine,
    /// What the machine itself can do, as far as the benches asked.
    pub limits: Vec<Limit>,
    /// What was reached.
    pub figures: Vec<Figure>,
}

/// What a bench answers: limits and figures.
#[derive(Default)]
pub struct Taken {
    /// What the machine itself can do.
    pub limits: Vec<Limit>,
    /// What was reached.
    pub figures: Vec<Figure>,
}

/// Something that the machine itself can do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// The bench that asked.
    pub bench: String,
    /// What: `memcpy`, `memset`, `cycles`, and so on.
    pub limit: String,
    /// Where: `l1`, `l2`, `dram`, or the place of the figures that it belongs to.
    pub at: String,
    /// Of what, such as `bytes copied`.
    pub of: String,
    /// How many of them in a second, in thousands of millions.
    pub g_per_s: Spread,
}

/// Which clock a rate goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Processor time of the one thread that computes.
    Thread,
    /// Processor time of the whole process.
    Process,
    /// The clock on the wall.
    Wall,
}

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The bench that took it.
    pub bench: String,
    /// What: `xor`, `split-3-5`, `backup`, and so on.
    pub figure: String,
    /// Where the bytes were: `l1`, `l2`, `dram`, `null`, `memory`, `folder`, `loopback`.
    pub at: String,
    /// The kernels that were used.
    pub isa: String,
    /// Of what, such as `bytes of secret`.
    pub of: String,
    /// How many of them in each round.
    pub bytes: u64,
    /// How many samples.
    pub rounds: usize,
    /// The clock that rates go by.
    pub clock: Clock,
    /// The rate, in GB/s: 10^9 bytes in a second.
    pub gb_per_s: Spread,
    /// What the rate is divided by to give the ratio: what it is and where.
    pub divided_by: String,
    /// The rate by that of the same round.
    pub ratio: Spread,
    /// What the machine lets through at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roof: Option<Roof>,
    /// How long single operations took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Processor time of the whole process for each 10^9 bytes, in seconds: median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_s_per_gb: Option<f64>,
    /// Payload that was copied from buffer to buffer in each round, in bytes: median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_bytes: Option<u64>,
}

/// What the machine lets through at most.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Roof {
    /// At most, in GB/s.
    pub gb_per_s: f64,
    /// How it follows from the limits.
    pub formula: String,
    /// How much of it was reached: the rate by it.
    pub reached: f64,
}

/// How long single operations took, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many operations.
    pub operations: u64,
    /// Half took no longer.
    pub p50_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// 999 of 1000 took no longer.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Report {
    /// A report of what benches have found on this machine now.
    #[must_use]
    pub fn new(machine: Machine, quick: bool, taken: Vec<Taken>) -> Self {
        let mut report = Self {
            v: VERSION,
            r#type: TYPE.to_owned(),
            taken: jiff::Timestamp::now().to_string(),
            quick,
            machine,
            limits: Vec::new(),
            figures: Vec::new(),
        };
        for one in taken {
            report.limits.extend(one.limits);
            report.figures.extend(one.figures);
        }
        report
    }
}

impl Figure {
    /// What tells it from the others of a report.
    #[must_use]
    pub fn key(&self) -> (&str, &str, &str, &str) {
        (&self.bench, &self.figure, &self.at, &self.isa)
    }
}

impl Spread {
    /// The same in thousands of millions.
    pub(crate) fn in_giga(self) -> Self {
        let Self { median, least, most } = self;
        Self { median: median / 1e9, least: least / 1e9, most: most / 1e9 }
    }
}
