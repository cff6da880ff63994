//! Medians and ratios, for people and for scripts.

use crate::Pair;
use crate::measure::{Cost, Run};
use serde_json::{Value, json};
use warifu_figures::Spread;

const GIB: f64 = (1_u64 << 30) as f64;

pub(crate) fn text(bytes: u64, file_system: &str, pairs: &[Pair]) -> String {
    let line = |name: &str, pass: fn(&Run) -> Cost| {
        let of = figures(bytes, pairs, pass);
        format!(
            "{name}: ring {:.3} s of processor for each GiB, plain {:.3} s, ratio {:.2} \
             ({:.2} to {:.2}), bare calls {:.3} s; by the clock {:.2} s, {:.2} s and {:.2} s",
            of.ring_cpu,
            of.plain_cpu,
            of.ratio.median,
            of.ratio.least,
            of.ratio.most,
            of.bare_cpu,
            of.ring_wall,
            of.plain_wall,
            of.bare_wall
        )
    };
    let pair_count = pairs.len();
    let lines = [line("write", |run| run.write), line("read", |run| run.read)];
    let gib = bytes >> 30;
    format!("medians of {pair_count} pairs of {gib} GiB on {file_system}\n{}", lines.join("\n"))
}

pub(crate) fn json(bytes: u64, file_system: &str, pairs: &[Pair]) -> String {
    let pass = |pass: fn(&Run) -> Cost| -> Value {
        let of = figures(bytes, pairs, pass);
        json!({
            "ring_cpu_seconds_per_gib": of.ring_cpu,
            "plain_cpu_seconds_per_gib": of.plain_cpu,
            "cpu_ratio": of.ratio.median,
            "cpu_ratio_min": of.ratio.least,
            "cpu_ratio_max": of.ratio.most,
            "bare_cpu_seconds_per_gib": of.bare_cpu,
            "ring_wall_seconds_per_gib": of.ring_wall,
            "plain_wall_seconds_per_gib": of.plain_wall,
            "bare_wall_seconds_per_gib": of.bare_wall,
        })
    };
    let (write, read) = (pass(|run| run.write), pass(|run| run.read));
    json!({
        "v": 1, "type": "bench-local", "bytes": bytes, "pairs": pairs.len(),
        "file_system": file_system, "write": write, "read": read,
    })
    .to_string()
}

/// Medians over the pairs; the ratio is that of each pair, ring by plain.
struct Figures {
    ring_cpu: f64,
    plain_cpu: f64,
    bare_cpu: f64,
    ring_wall: f64,
    plain_wall: f64,
    bare_wall: f64,
    ratio: Spread,
}

fn figures(bytes: u64, pairs: &[Pair], pass: fn(&Run) -> Cost) -> Figures {
    let gib = bytes as f64 / GIB;
    let spread = |of: &dyn Fn(&Pair) -> f64| Spread::of(&pairs.iter().map(of).collect::<Vec<_>>());
    let median = |of: &dyn Fn(&Pair) -> f64| spread(of).median;
    let ratio = spread(&|pair| pass(&pair.ring).cpu_s / pass(&pair.plain).cpu_s);
    Figures {
        ring_cpu: median(&|pair| pass(&pair.ring).cpu_s / gib),
        plain_cpu: median(&|pair| pass(&pair.plain).cpu_s / gib),
        bare_cpu: median(&|pair| pass(&pair.bare).cpu_s / gib),
        ring_wall: median(&|pair| pass(&pair.ring).wall_s / gib),
        plain_wall: median(&|pair| pass(&pair.plain).wall_s / gib),
        bare_wall: median(&|pair| pass(&pair.bare).wall_s / gib),
        ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ring: f64, plain: f64) -> Pair {
        let run = |cpu_s| {
            let cost = Cost { cpu_s, wall_s: 2.0 };
            Run { write: cost, read: cost }
        };
        Pair { ring: run(ring), plain: run(plain), bare: run(0.5) }
    }

    #[test]
    fn the_ratio_is_that_of_the_pairs() {
        let pairs = [pair(1.0, 4.0), pair(3.0, 4.0), pair(10.0, 20.0)];
        let answer: Value = serde_json::from_str(&json(2 << 30, "ext4", &pairs)).unwrap();
        assert_eq!(answer["write"]["cpu_ratio"], 0.5);
        assert_eq!(answer["write"]["cpu_ratio_min"], 0.25);
        assert_eq!(answer["read"]["ring_cpu_seconds_per_gib"], 1.5);
        assert_eq!(answer["read"]["plain_wall_seconds_per_gib"], 1.0);
        assert_eq!(answer["read"]["bare_cpu_seconds_per_gib"], 0.25);
        assert_eq!(answer["file_system"], "ext4");
        assert!(text(2 << 30, "ext4", &pairs[..2]).contains("ratio 0.50 (0.25 to 0.75)"));
    }
}
