//! Figures and comparisons as people read them.

use crate::table::{Table, numbers, words};
use warifu_figures::{Comparison, Difference, Figure, Limit, Machine, Report, Spread, Verdict};

/// All of a report.
pub(super) fn told(report: &Report, comparison: Option<&Comparison>) -> String {
    let mut text = machine(&report.machine);
    text += &format!("\n{}", limits(&report.limits));
    let mut benches: Vec<&str> = Vec::new();
    for figure in &report.figures {
        if !benches.contains(&figure.bench.as_str()) {
            benches.push(&figure.bench);
        }
    }
    for bench in benches {
        let figures: Vec<&Figure> =
            report.figures.iter().filter(|figure| figure.bench == bench).collect();
        text += &format!("\n{bench}\n{}", table(&figures));
        text += &latencies(&figures);
    }
    text += "\nGB/s: 10^9 bytes in a second, median and range of the rounds. ratio: by what it is \
             divided by, in\nthe same round. roof: what the machine lets through at most, and how \
             much of that is reached.\n";
    comparison
        .map_or_else(|| text.clone(), |comparison| format!("{text}\n{}", compared(comparison)))
}

fn machine(machine: &Machine) -> String {
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    format!(
        "machine     {}, {} processors; caches {}, {}, {}\nsystem      Linux {}, load {:.1} when \
         it began\nwarifu      {} ({} build), kernels {}\n",
        machine.cpu,
        machine.processors,
        kib(machine.l1_bytes),
        kib(machine.l2_bytes),
        kib(machine.l3_bytes),
        machine.kernel,
        machine.load,
        machine.warifu,
        machine.build,
        machine.isas.join(", "),
    )
}

fn limits(limits: &[Limit]) -> String {
    let columns = [words("limit"), words("at"), words("of"), numbers("10^9/s"), numbers("range")];
    Table::new(columns, limits, |limit| {
        [
            limit.limit.clone(),
            limit.at.clone(),
            limit.of.clone(),
            number(limit.g_per_s.median),
            range(limit.g_per_s),
        ]
    })
    .to_string()
}

fn table(figures: &[&Figure]) -> String {
    let columns = [
        words("figure"),
        words("at"),
        words("kernels"),
        numbers("GB/s"),
        numbers("range"),
        numbers("ratio"),
        numbers("range"),
        numbers("roof"),
        numbers("reached"),
        words("divided by"),
    ];
    Table::new(columns, figures, |figure| {
        let roof = figure.roof.as_ref();
        [
            figure.figure.clone(),
            figure.at.clone(),
            or_dash(&figure.isa),
            number(figure.gb_per_s.median),
            range(figure.gb_per_s),
            number(figure.ratio.median),
            range(figure.ratio),
            roof.map_or_else(|| "-".to_owned(), |roof| number(roof.gb_per_s)),
            roof.map_or_else(|| "-".to_owned(), |roof| format!("{:.0} %", roof.reached * 100.0)),
            figure.divided_by.clone(),
        ]
    })
    .to_string()
}

/// What single operations took, what it took of the processors, and what was copied, where any
/// figure tells it.
fn latencies(figures: &[&Figure]) -> String {
    let mut text = String::new();
    for figure in figures {
        let name = format!("{} {}", figure.figure, figure.at);
        if let Some(latency) = figure.latency {
            text += &format!(
                "{name}: p50 {} ms, p99 {} ms, p99.9 {} ms, longest {} ms, of {}\n",
                number(latency.p50_us / 1e3),
                number(latency.p99_us / 1e3),
                number(latency.p999_us / 1e3),
                number(latency.max_us / 1e3),
                latency.operations
            );
        }
        if let Some(seconds) = figure.processor_s_per_gb {
            text += &format!("{name}: {seconds:.3} s of processors for each GB");
            let copied = figure.copied_bytes.map(|bytes| format!(", {bytes} bytes copied"));
            text += &format!("{}\n", copied.unwrap_or_default());
        }
    }
    text
}

fn compared(comparison: &Comparison) -> String {
    let mut text = format!("since {}\n", comparison.before_taken);
    if !comparison.is_like {
        text += "that was another machine or build: what is told here may be that\n";
    }
    let columns = [
        words("figure"),
        words("at"),
        words("kernels"),
        numbers("ratio before"),
        numbers("now"),
        numbers("now by before"),
        words("verdict"),
    ];
    text += &Table::new(columns, &comparison.differences, |one: &Difference| {
        let verdict = match one.verdict {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Same => "-",
        };
        [
            format!("{} {}", one.bench, one.figure),
            one.at.clone(),
            or_dash(&one.isa),
            number(one.before.median),
            number(one.now.median),
            format!("{:.2}x", one.now_by_before),
            verdict.to_owned(),
        ]
    })
    .to_string();
    for name in &comparison.only_in_one {
        text += &format!("not compared: {name}\n");
    }
    text += &format!(
        "slower: {}, faster: {}; only where every round now lies beyond every round before\n",
        comparison.slower, comparison.faster
    );
    text
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn range(spread: Spread) -> String {
    format!("{}-{}", number(spread.least), number(spread.most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_matter() {
        let found = [0.1234, 1.234, 12.34, 123.4].map(number);
        assert_eq!(found, ["0.123", "1.23", "12.3", "123"]);
        assert_eq!(range(Spread { median: 2.0, least: 1.0, most: 30.0 }), "1.00-30.0");
    }
}
