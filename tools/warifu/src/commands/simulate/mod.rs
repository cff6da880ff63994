//! `simulate`

mod plot;

use super::Context;
use crate::args::SimulateArgs;
use crate::exit::Ending;
use crate::size::human;
use crate::table::{Table, numbers, words};
use serde::Serialize;
use std::io::Read;
use std::path::Path;
use warifu_core::schedule::Policy;
use warifu_vault::config::Mistake;
use warifu_vault::simulate::{
    PolicyReport, SCENARIO_BYTES_MAX, SHIPPED, Scenario, Shipped, SimulationReport, simulate,
};
use warifu_vault::{Class, Failure};

/// What `simulate` answers.
#[derive(Serialize)]
struct Simulated<'a> {
    v: u32,
    r#type: &'static str,
    #[serde(flatten)]
    report: &'a SimulationReport,
    /// Objects stored for each that fixed sites stored, in the order of the policies; `null` where
    /// there is nothing to compare with.
    gain_over_fixed: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plot: Option<String>,
}

/// A shipped scenario in `simulate --list`.
#[derive(Serialize)]
struct Listed {
    scenario: &'static str,
    title: &'static str,
}

/// What `simulate --print` answers in JSON.
#[derive(Serialize)]
struct Printed<'a> {
    v: u32,
    r#type: &'static str,
    scenario: &'a str,
    text: &'a str,
}

/// Runs a scenario. Needs no vault.
pub(super) fn run(context: &Context, args: &SimulateArgs) -> Result<(), Ending> {
    let Some(asked) = args.scenario.as_deref().filter(|_| !args.list) else {
        return list(context);
    };
    let text = text(asked, args.seed)?;
    if args.print {
        let printed = Printed { v: 1, r#type: "scenario", scenario: asked, text: &text };
        return context.output.answer_raw(&printed, &text);
    }
    let scenario = Scenario::parse(&text).map_err(|mistakes| invalid(asked, &mistakes))?;
    let months = args.months.unwrap_or(scenario.months());
    let scenario = scenario.lasting(months).map_err(|excess| {
        Failure::new(Class::Limit, "scenario-large", format!("{asked} is too much to simulate"))
            .because(excess)
            .next("ask for fewer months, or let fewer come")
    })?;
    let policies = if args.policies.is_empty() { &Policy::ALL[..] } else { &args.policies[..] };
    let report = simulate(&scenario, policies, args.seed);
    if let Some(path) = &args.out {
        crate::plot::save(plot::svg(&report), path)?;
    }
    let plot = args.out.as_ref().map(|path| path.display().to_string());
    let gain_over_fixed =
        report.policies.iter().map(|policy| report.gain_over_fixed(policy)).collect();
    let answer = Simulated { v: 1, r#type: "simulation", report: &report, gain_over_fixed, plot };
    context.output.answer(&answer, || told(&report))
}

fn list(context: &Context) -> Result<(), Ending> {
    let rows: Vec<Listed> = SHIPPED
        .iter()
        .map(|shipped| Listed { scenario: shipped.name, title: shipped.title })
        .collect();
    context.output.answer(&rows, || {
        Table::new([words("scenario"), words("what it is")], &rows, |row| {
            [row.scenario.to_owned(), row.title.to_owned()]
        })
        .to_string()
    })
}

/// The text of a scenario: a shipped one's where there is one of this name, else a file's.
fn text(asked: &str, seed: u64) -> Result<String, Failure> {
    if let Some(shipped) = Shipped::find(asked) {
        return Ok(shipped.text(seed).into_owned());
    }
    let path = Path::new(asked);
    let names: Vec<&str> = SHIPPED.iter().map(|shipped| shipped.name).collect();
    let next = format!("name a file, or a shipped scenario: {}", names.join(", "));
    if !path.exists() {
        let what = format!("there is no scenario {asked}");
        return Err(Failure::new(Class::NotFound, "scenario-unknown", what).next(next));
    }
    let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| {
        let what = format!("the scenario {asked} can't be read");
        Failure::new(Class::Usage, "scenario-unreadable", what).because(cause).next(&*next)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SCENARIO_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.into()))?;
    String::from_utf8(bytes).map_err(|error| unreadable(error.into()))
}

/// More mistakes than these are not told.
const MISTAKES_TOLD: usize = 20;

fn invalid(asked: &str, mistakes: &[Mistake]) -> Failure {
    let told: Vec<String> = mistakes.iter().take(MISTAKES_TOLD).map(ToString::to_string).collect();
    let what = format!("the scenario {asked} has mistakes: {}", mistakes.len());
    Failure::new(Class::Usage, "scenario-invalid", what)
        .because(told.join("\n"))
        .next("mend the lines named above; `warifu simulate --print national` shows a good one")
}

fn told(report: &SimulationReport) -> String {
    let mut text = format!(
        "scenario    {}: {}\ntime        {} months of 30 days, from seed {}\nsites       {}; any \
         {} of {} shares rebuild\ncame        {} files of {} individuals, {} in all\n\n",
        report.scenario,
        report.title,
        report.months,
        report.seed,
        report.sites,
        report.k,
        report.n,
        report.files,
        report.individuals,
        human(report.bytes),
    );
    text += &policies(report);
    text += "\nwait: from coming to placement; who waits at the end counts with what they waited \
             so far\nunfair: Gini coefficients, 0 where all fare alike: of the waits of \
             individuals, of the key free at sites\n";
    text
}

fn policies(report: &SimulationReport) -> String {
    let columns = [
        words("policy"),
        numbers("stored"),
        numbers("bytes"),
        numbers("over fixed"),
        numbers("waiting"),
        numbers("refused"),
        numbers("first short"),
        numbers("wait mean"),
        numbers("p50"),
        numbers("p95"),
        numbers("max"),
        numbers("key left"),
        numbers("unfair wait"),
        numbers("key"),
        numbers("restored"),
        numbers("not"),
        numbers("lost"),
    ];
    Table::new(columns, &report.policies, |policy| {
        let PolicyReport { wait, restores, .. } = policy;
        let gain = report.gain_over_fixed(policy);
        [
            policy.policy.to_owned(),
            policy.stored.to_string(),
            human(policy.stored_bytes),
            gain.map_or_else(|| "-".to_owned(), |gain| format!("{gain:.2}x")),
            policy.waiting.to_string(),
            policy.refused.to_string(),
            policy
                .first_short_day
                .map_or_else(|| "never".to_owned(), |day| format!("day {day:.1}")),
            lasting(wait.mean_hours),
            lasting(wait.p50_hours),
            lasting(wait.p95_hours),
            lasting(wait.max_hours),
            human(policy.key_left_bytes),
            format!("{:.3}", policy.wait_gini),
            format!("{:.3}", policy.key_left_gini),
            restores.served.to_string(),
            restores.failed.to_string(),
            policy.unrecoverable.to_string(),
        ]
    })
    .to_string()
}

/// A wait in hours or days.
fn lasting(hours: f64) -> String {
    match hours < 48.0 {
        true => format!("{hours:.1} h"),
        false => format!("{:.1} d", hours / 24.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name_or_by_path_and_else_refused() {
        assert!(text("national", 1).unwrap().contains("hokkaido"));
        assert_ne!(text("random", 1).unwrap(), text("random", 2).unwrap());
        assert_eq!(text("nowhere", 1).unwrap_err().code(), "scenario-unknown");
        let folder = std::env::temp_dir().display().to_string();
        assert_eq!(text(&folder, 1).unwrap_err().code(), "scenario-unreadable");
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mistakes = Scenario::parse(&text(own, 1).unwrap()).unwrap_err();
        let failure = crate::exit::told(&invalid(own, &mistakes));
        assert!(failure.contains("scenario-invalid") && failure.contains("line 1"), "{failure}");
    }

    #[test]
    fn the_table_has_a_row_for_each_policy_with_its_gain() {
        let scenario = Scenario::parse(&text("tohoku-2022", 1).unwrap()).unwrap();
        let report = simulate(&scenario, &[Policy::Fixed, Policy::Forecast], 1);
        let told = told(&report);
        let row = |policy: &str| told.lines().find(|line| line.starts_with(policy)).unwrap();
        assert!(row("fixed ").contains(" 1.00x "), "{told}");
        assert!(row("forecast ").contains(&format!(" {} ", report.policies[1].stored)), "{told}");
        assert!(told.contains("any 3 of 5 shares"), "{told}");
    }

    #[test]
    fn waits_are_told_in_hours_or_days() {
        assert_eq!([0.0, 47.9, 60.0].map(lasting), ["0.0 h", "47.9 h", "2.5 d"]);
    }
}
