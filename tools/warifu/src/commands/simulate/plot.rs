//! The plot of a simulation: objects stored, and key left, over time, a line for each policy.

use crate::plot::{self, Area, Drawn, FAINT, FONT, INK, apart, write};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::error::Error;
use warifu_vault::simulate::{PolicyReport, Sample, SimulationReport};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 900;
const HEAD: u32 = 64;
/// Room at the right for the names of the lines.
const LABELS: u32 = 190;

/// Colours that people with any colour vision tell apart (M. Okabe and K. Ito, 2008), by policy.
const COLOURS: [(&str, RGBColor); 5] = [
    ("fixed", RGBColor(0x55, 0x55, 0x55)),
    ("round-robin", RGBColor(0xE6, 0x9F, 0x00)),
    ("random", RGBColor(0xCC, 0x79, 0xA7)),
    ("most-remaining", RGBColor(0x00, 0x72, 0xB2)),
    ("forecast", RGBColor(0xD5, 0x5E, 0x00)),
];

/// One panel: its head, its axis, how its numbers are read off a sample.
struct Panel {
    head: &'static str,
    unit: String,
    value: fn(&Sample) -> f64,
    scale: f64,
}

/// Draws a report.
///
/// # Errors
/// Where the drawing library refuses.
pub(super) fn svg(report: &SimulationReport) -> Result<String, Box<dyn Error>> {
    plot::svg((WIDTH, HEIGHT), |root| draw(report, root))
}

fn draw(report: &SimulationReport, root: &Area<'_>) -> Drawn {
    let head = format!("{}: {}", report.scenario, report.title);
    let below = format!(
        "any {} of {} shares at {} sites; {} files of {} individuals in {} months; seed {}",
        report.k,
        report.n,
        report.sites,
        report.files,
        report.individuals,
        report.months,
        report.seed
    );
    root.draw(&Text::new(head, (24, 14), (FONT, 19).into_font().color(&INK)))?;
    root.draw(&Text::new(below, (24, 40), (FONT, 14).into_font().color(&INK)))?;
    let (_, body) = root.split_vertically(HEAD);
    let panels = body.split_evenly((2, 1));
    let most_bytes = most(report, |sample| sample.key_left_bytes as f64);
    let (unit, scale) = byte_unit(most_bytes);
    let stored = Panel {
        head: "objects stored",
        unit: "objects".to_owned(),
        value: |sample| sample.stored as f64,
        scale: 1.0,
    };
    let key = Panel {
        head: "key left over all links, in the direction that has less",
        unit: unit.to_owned(),
        value: |sample| sample.key_left_bytes as f64,
        scale,
    };
    for (area, panel) in panels.iter().zip([stored, key]) {
        draw_panel(report, area, &panel)?;
    }
    Ok(())
}

fn draw_panel(report: &SimulationReport, area: &Area<'_>, panel: &Panel) -> Drawn {
    let days = most(report, |sample| sample.day as f64).max(1.0);
    let top = (most(report, panel.value) / panel.scale).max(1e-9) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .margin_left(16)
        .margin_right(LABELS)
        .margin_bottom(12)
        .caption(panel.head, (FONT, 16).into_font().color(&INK))
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..days, 0.0..top)?;
    chart
        .configure_mesh()
        .max_light_lines(1)
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_desc("days")
        .y_desc(panel.unit.as_str())
        .x_label_formatter(&|day| format!("{day:.0}"))
        .y_label_formatter(&|value| number(*value, top))
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&INK))
        .draw()?;
    let points = |policy: &PolicyReport| -> Vec<(f64, f64)> {
        let point = |sample: &Sample| (sample.day as f64, (panel.value)(sample) / panel.scale);
        policy.days.iter().map(point).collect()
    };
    let mut ends = Vec::new();
    for policy in &report.policies {
        let points = points(policy);
        let colour = colour(policy.policy);
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        if let Some(last) = points.last() {
            let (x, y) = chart.backend_coord(last);
            ends.push((y, x, format!("{} {}", policy.policy, number(last.1, top)), colour));
        }
    }
    // A name at the end of each line; names that would cover each other move down.
    let (origin_x, origin_y) = area.get_base_pixel();
    ends.sort_by_key(|(y, ..)| *y);
    let places = apart(&ends.iter().map(|(y, ..)| *y).collect::<Vec<_>>(), chart_bottom(area));
    for ((_, x, label, colour), y) in ends.into_iter().zip(places) {
        write(area, &label, (x - origin_x + 8, y - origin_y), 14, colour, HPos::Left)?;
    }
    Ok(())
}

/// The lowest pixel at which a name may stand.
fn chart_bottom(area: &Area<'_>) -> i32 {
    area.get_pixel_range().1.end - 40
}

fn colour(policy: &str) -> RGBColor {
    COLOURS.iter().find(|(name, _)| *name == policy).map_or(INK, |(_, colour)| *colour)
}

/// The most of any sample.
fn most(report: &SimulationReport, value: fn(&Sample) -> f64) -> f64 {
    report.policies.iter().flat_map(|policy| &policy.days).map(value).fold(0.0, f64::max)
}

/// A unit in which so much reads well, and how many bytes it is.
fn byte_unit(bytes: f64) -> (&'static str, f64) {
    const UNITS: [(&str, f64); 4] = [("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)];
    UNITS.into_iter().find(|(_, unit)| bytes >= *unit).unwrap_or(("bytes", 1.0))
}

/// A number with as many decimals as its axis needs.
fn number(value: f64, top: f64) -> String {
    match top {
        _ if top >= 100.0 => format!("{value:.0}"),
        _ if top >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_core::schedule::Policy;
    use warifu_vault::simulate::{Scenario, Shipped, simulate};

    #[test]
    fn a_plot_names_every_policy_with_its_end_and_the_units() {
        let text = Shipped::find("tohoku-2022").unwrap().text(1);
        let scenario = Scenario::parse(&text).unwrap().lasting(1).unwrap();
        let report = simulate(&scenario, &Policy::ALL, 1);
        let drawn = svg(&report).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
        for policy in &report.policies {
            let label = format!("{} {}", policy.policy, policy.stored);
            assert!(drawn.contains(&label), "{label}");
        }
        for word in ["days", "objects", "TB", &report.title] {
            assert!(drawn.contains(word), "{word}");
        }
        assert_eq!(svg(&report).unwrap(), drawn);
    }
}
