//! The machine that figures were taken on.

use serde::{Deserialize, Serialize};
use std::fs;
use warifu_kernels::Isa;

/// Sizes that are taken where the system tells none, in bytes.
const CACHES_BYTES: Caches = Caches { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 };

/// The machine that figures were taken on, and the build that took them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, as it calls itself.
    pub cpu: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Data cache of a core, in bytes: first level.
    pub l1_bytes: u64,
    /// Second level.
    pub l2_bytes: u64,
    /// Third level, as far as it is told; shared with others.
    pub l3_bytes: u64,
    /// The system's kernel.
    pub kernel: String,
    /// The instruction sets that our kernels have here.
    pub isas: Vec<String>,
    /// Processes that wanted to run, on average of the last minute, when the bench began.
    pub load: f64,
    /// Our version.
    pub warifu: String,
    /// `release` or `debug`; figures of a debug build tell nothing of the product.
    pub build: String,
}

/// Bytes of data that a core has at hand, by level.
#[derive(Clone, Copy)]
pub(crate) struct Caches {
    pub(crate) l1: u64,
    pub(crate) l2: u64,
    pub(crate) l3: u64,
}

impl Machine {
    /// This one. What the system does not tell is empty or zero.
    #[must_use]
    pub fn here() -> Self {
        let caches = caches();
        let load = read("/proc/loadavg");
        let load = load.split_whitespace().next().and_then(|word| word.parse().ok());
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        Self {
            cpu: cpu(&read("/proc/cpuinfo")),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            l1_bytes: caches.l1,
            l2_bytes: caches.l2,
            l3_bytes: caches.l3,
            kernel: read("/proc/sys/kernel/osrelease"),
            isas: Isa::available().iter().map(|isa| isa.name().to_owned()).collect(),
            load: load.unwrap_or(0.0),
            warifu: env!("CARGO_PKG_VERSION").to_owned(),
            build: build.to_owned(),
        }
    }

    /// Whether figures of both can be set beside each other as they stand.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.cpu, self.processors, &self.build) == (&other.cpu, other.processors, &other.build)
    }

    /// Whether it is made by AMD.
    pub(crate) fn is_amd(&self) -> bool {
        self.cpu.starts_with("AMD")
    }
}

/// What the system says of the first core's caches.
pub(crate) fn caches() -> Caches {
    let mut caches = CACHES_BYTES;
    for index in 0..8 {
        let field =
            |name: &str| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"));
        let Some(bytes) = size(&field("size")) else { continue };
        match (field("level").as_str(), field("type").as_str()) {
            ("1", "Data") => caches.l1 = bytes,
            ("2", "Data" | "Unified") => caches.l2 = bytes,
            ("3", "Data" | "Unified") => caches.l3 = bytes,
            _ => {}
        }
    }
    caches
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

fn cpu(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// `32K`, `1024K` or `32M`.
fn size(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        'K' => 1 << 10,
        'M' => 1 << 20,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read_and_nonsense_is_not() {
        assert_eq!([size("32K"), size("2M"), size("0K")], [Some(32 << 10), Some(2 << 20), None]);
        assert_eq!([size(""), size("K"), size("12"), size("-1K")], [None; 4]);
        assert_eq!(cpu("x: y\nmodel name\t: A B\nmodel name\t: C"), "A B");
        assert_eq!(cpu(""), std::env::consts::ARCH);
        let machine = Machine::here();
        assert!(machine.processors > 0 && machine.isas[0] == "scalar");
        assert!(machine.l1_bytes < machine.l2_bytes && machine.is_like(&Machine::here()));
    }
}
