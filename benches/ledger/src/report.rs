//! Medians, for people and for scripts.

use crate::cost::{Cost, Round, Step};
use serde_json::{Value, json};
use warifu_figures::Spread;

pub(crate) fn text(bytes: u64, medium: &str, rounds: &[Round]) -> String {
    let mut lines = vec![
        format!("medians of {} rounds of {} MiB on {medium}", rounds.len(), bytes >> 20),
        "step       GB/s of processor  GB/s by the clock  of memcpy  of memset".to_owned(),
    ];
    lines.extend(Step::ALL.map(|step| {
        let of = Figures::of(step, bytes, rounds);
        format!(
            "{:10} {:17.2}  {:17.2}  {:9.3}  {:9.3}",
            step.as_str(),
            of.gb_per_cpu_s,
            of.gb_per_wall_s,
            of.by_memcpy,
            of.by_memset
        )
    }));
    lines.join("\n")
}

pub(crate) fn json(bytes: u64, medium: &str, rounds: &[Round]) -> String {
    let mut answer = json!({
        "v": 1, "type": "bench-ledger", "bytes": bytes, "rounds": rounds.len(),
        "medium": medium,
    });
    for step in Step::ALL {
        let of = Figures::of(step, bytes, rounds);
        let figures: Value = json!({
            "gb_per_cpu_s": of.gb_per_cpu_s, "gb_per_wall_s": of.gb_per_wall_s,
            "by_memcpy": of.by_memcpy, "by_memset": of.by_memset,
        });
        answer[step.as_str()] = figures;
    }
    answer.to_string()
}

/// Medians over the rounds; a ratio is that of each round.
struct Figures {
    gb_per_cpu_s: f64,
    gb_per_wall_s: f64,
    by_memcpy: f64,
    by_memset: f64,
}

impl Figures {
    fn of(step: Step, bytes: u64, rounds: &[Round]) -> Self {
        let gb = bytes as f64 / 1e9;
        let cpu = |round: &Round, step| round.cost(step).cpu_s;
        let wall = |Cost { wall_s, .. }: Cost| wall_s;
        let median = |of: &dyn Fn(&Round) -> f64| {
            Spread::of(&rounds.iter().map(of).collect::<Vec<_>>()).median
        };
        Self {
            gb_per_cpu_s: median(&|round| gb / cpu(round, step)),
            gb_per_wall_s: median(&|round| gb / wall(round.cost(step))),
            by_memcpy: median(&|round| cpu(round, Step::Memcpy) / cpu(round, step)),
            by_memset: median(&|round| cpu(round, Step::Memset) / cpu(round, step)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_each_round() {
        let cost = |cpu_s| Cost { cpu_s, wall_s: 2.0 * cpu_s };
        let round = |memcpy: f64, seal: f64| {
            Round::of([
                (Step::Memcpy, cost(memcpy)),
                (Step::Memset, cost(1.0)),
                (Step::Seal, cost(seal)),
            ])
        };
        let rounds = [round(1.0, 2.0), round(3.0, 4.0), round(8.0, 4.0)];
        let answer: Value = serde_json::from_str(&json(4_000_000_000, "tmpfs", &rounds)).unwrap();
        assert_eq!(answer["seal"]["gb_per_cpu_s"], 1.0);
        assert_eq!(answer["seal"]["gb_per_wall_s"], 0.5);
        assert_eq!(answer["seal"]["by_memcpy"], 0.75);
        assert_eq!(answer["seal"]["by_memset"], 0.25);
        assert!(text(1 << 30, "tmpfs", &rounds).contains("seal"));
    }
}
