//! Medians, for people and for scripts.

use crate::measure::{Cost, Round};
use serde_json::json;
use warifu_figures::Spread;

/// The columns of a record: their names, and what stands in each for a round.
type Column = (&'static str, fn(&Round) -> f64);

/// Bits in a Gbit.
const GBIT: f64 = 1e9;

pub(crate) fn text(limits: &str, bytes: u64, rounds: &[Round]) -> String {
    let gbit = bytes as f64 * 8.0 / GBIT;
    let rate = |round: &Round| gbit / round.wall_s;
    let line = |name: &str, of: fn(&Round) -> Cost| {
        let all = median(rounds, |round| of(round).all_s()) / gbit;
        let user = median(rounds, |round| of(round).user_s) / gbit;
        format!("  {name:8} {all:6.3} s of processor for each Gbit, {user:6.3} s of it its own")
    };
    let rates: Vec<f64> = rounds.iter().map(rate).collect();
    let (least, most) = (rates.iter().copied().fold(f64::MAX, f64::min), max(&rates));
    let head = format!(
        "{limits}: {:.3} Gbit/s ({least:.3} to {most:.3}), {} MiB in {} rounds",
        median(rounds, rate),
        bytes >> 20,
        rounds.len()
    );
    let lines = [
        head,
        line("gateway", |round| round.gateway),
        line("site", |round| round.site),
        line("KMEs", |round| round.kmes),
    ];
    lines.join("\n")
}

pub(crate) fn json(limits: &str, bytes: u64, rounds: &[Round]) -> String {
    let gbit = bytes as f64 * 8.0 / GBIT;
    let columns: [Column; 6] = [
        ("gateway_user_s_per_gbit", |round| round.gateway.user_s),
        ("gateway_system_s_per_gbit", |round| round.gateway.system_s),
        ("site_user_s_per_gbit", |round| round.site.user_s),
        ("site_system_s_per_gbit", |round| round.site.system_s),
        ("kmes_user_s_per_gbit", |round| round.kmes.user_s),
        ("kmes_system_s_per_gbit", |round| round.kmes.system_s),
    ];
    let rates: Vec<f64> = rounds.iter().map(|round| gbit / round.wall_s).collect();
    let mut answer = json!({
        "v": 1, "type": "bench-keys", "limits": limits, "bytes": bytes, "rounds": rounds.len(),
        "gbit_per_s": median(rounds, |round| gbit / round.wall_s),
        "gbit_per_s_min": rates.iter().copied().fold(f64::MAX, f64::min),
        "gbit_per_s_max": max(&rates),
    });
    for (name, of) in columns {
        answer[name] = json!(median(rounds, of) / gbit);
    }
    answer.to_string()
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    Spread::of(&rounds.iter().map(of).collect::<Vec<_>>()).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bits_by_the_clock_and_costs_by_the_gbit() {
        let round = |wall_s| {
            let cost = Cost { user_s: 3.0, system_s: 1.0 };
            Round { wall_s, gateway: cost, site: Cost::default(), kmes: cost }
        };
        let rounds = [round(4.0), round(1.0), round(2.0)];
        let answer: serde_json::Value =
            serde_json::from_str(&json("large", 250_000_000, &rounds)).unwrap();
        assert_eq!(answer["gbit_per_s"], 1.0);
        assert_eq!(
            (&answer["gbit_per_s_min"], &answer["gbit_per_s_max"]),
            (&json!(0.5), &json!(2.0))
        );
        assert_eq!(answer["gateway_user_s_per_gbit"], 1.5);
        assert_eq!(answer["site_user_s_per_gbit"], 0.0);
        let told = text("large", 250_000_000, &rounds);
        assert!(told.starts_with("large: 1.000 Gbit/s (0.500 to 2.000)"), "{told}");
        assert!(told.contains("KMEs      2.000 s"), "{told}");
    }
}
