//! The plot of a report: a bar for each figure, and a mark where the machine lets no more through.

use crate::plot::{self, Area, Drawn, FAINT, INK, write};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::error::Error;
use warifu_figures::{Figure, Report};

const WIDTH: u32 = 960;
const HEAD: i32 = 92;
/// Of one bar with the room around it.
const ROW: i32 = 18;
/// Of the head of a group.
const GROUP: i32 = 34;
/// Where bars begin and end.
const LEFT: i32 = 250;
const RIGHT: i32 = 660;
const BAR: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const ROOF: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// Draws a report.
///
/// # Errors
/// Where the drawing library refuses.
pub(super) fn svg(report: &Report) -> Result<String, Box<dyn Error>> {
    let groups = groups(&report.figures);
    let rows: i32 = groups.iter().map(|(_, figures)| GROUP + ROW * figures.len() as i32).sum();
    let height = u32::try_from(HEAD + rows + 24)?;
    plot::svg((WIDTH, height), |root| draw(report, &groups, root))
}

/// Figures that share a scale: those of one bench at one place, in the order of the report.
fn groups(figures: &[Figure]) -> Vec<(String, Vec<&Figure>)> {
    let mut groups: Vec<(String, Vec<&Figure>)> = Vec::new();
    for figure in figures {
        let name = format!("{}, {}", figure.bench, figure.at);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(figure),
            None => groups.push((name, vec![figure])),
        }
    }
    groups
}

fn draw(report: &Report, groups: &[(String, Vec<&Figure>)], root: &Area<'_>) -> Drawn {
    let machine = &report.machine;
    let below = format!(
        "{}, {} processors, Linux {}; {} build of warifu {}; {}",
        machine.cpu,
        machine.processors,
        machine.kernel,
        machine.build,
        machine.warifu,
        report.taken
    );
    write(root, "warifu bench, GB/s", (24, 20), 19, INK, HPos::Left)?;
    write(root, &below, (24, 44), 13, INK, HPos::Left)?;
    let legend = "line: range of the rounds; at the right: by what each is divided by";
    write(root, legend, (24, 64), 13, INK, HPos::Left)?;
    write(root, "| what the machine lets through at most", (24, 82), 13, ROOF, HPos::Left)?;
    let mut y = HEAD;
    for (name, figures) in groups {
        write(root, name, (24, y + GROUP / 2), 15, INK, HPos::Left)?;
        y += GROUP;
        let top = figures.iter().map(|figure| most(figure)).fold(1e-9, f64::max);
        for figure in figures {
            bar(root, figure, y, top)?;
            y += ROW;
        }
    }
    Ok(())
}

/// The most that is drawn of a figure.
fn most(figure: &Figure) -> f64 {
    let roof = figure.roof.as_ref().map_or(0.0, |roof| roof.gb_per_s);
    figure.gb_per_s.most.max(roof)
}

fn bar(root: &Area<'_>, figure: &Figure, y: i32, top: f64) -> Drawn {
    let x = |value: f64| LEFT + (f64::from(RIGHT - LEFT) * value / top) as i32;
    let middle = y + ROW / 2;
    let label = match figure.isa.is_empty() {
        true => figure.figure.clone(),
        false => format!("{} ({})", figure.figure, figure.isa),
    };
    write(root, &label, (LEFT - 8, middle), 13, INK, HPos::Right)?;
    root.draw(&PathElement::new(vec![(LEFT, y + ROW - 1), (RIGHT, y + ROW - 1)], FAINT))?;
    let corners = [(LEFT, y + 3), (x(figure.gb_per_s.median), y + ROW - 4)];
    root.draw(&Rectangle::new(corners, BAR.filled()))?;
    let spread = vec![(x(figure.gb_per_s.least), middle), (x(figure.gb_per_s.most), middle)];
    root.draw(&PathElement::new(spread, INK.stroke_width(1)))?;
    let mut told = format!("{:.2} GB/s, {:.2}x", figure.gb_per_s.median, figure.ratio.median);
    if let Some(roof) = &figure.roof {
        let at = x(roof.gb_per_s);
        root.draw(&PathElement::new(vec![(at, y + 1), (at, y + ROW - 2)], ROOF.stroke_width(3)))?;
        told += &format!(", {:.0} % of {:.1}", roof.reached * 100.0, roof.gb_per_s);
    }
    write(root, &told, (RIGHT + 12, middle), 13, INK, HPos::Left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_figures::{Clock, Machine, Roof, Spread, Taken};

    fn figure(name: &str, at: &str, roof: Option<f64>) -> Figure {
        let gb_per_s = Spread { median: 2.0, least: 1.0, most: 3.0 };
        let formula = String::new();
        Figure {
            bench: "kernel".to_owned(),
            figure: name.to_owned(),
            at: at.to_owned(),
            isa: "scalar".to_owned(),
            of: String::new(),
            bytes: 1,
            rounds: 3,
            clock: Clock::Thread,
            gb_per_s,
            divided_by: "memcpy".to_owned(),
            ratio: gb_per_s,
            roof: roof.map(|gb_per_s| Roof { gb_per_s, formula, reached: 2.0 / gb_per_s }),
            latency: None,
            processor_s_per_gb: None,
            copied_bytes: None,
        }
    }

    #[test]
    fn every_figure_has_its_bar_under_the_head_of_its_place() {
        let figures = vec![
            figure("xor", "l1", Some(4.0)),
            figure("poly", "l1", None),
            figure("xor", "dram", Some(8.0)),
        ];
        let taken = Taken { limits: Vec::new(), figures };
        let report = Report::new(Machine::here(), false, vec![taken]);
        let drawn = svg(&report).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
        for word in ["kernel, l1", "kernel, dram", "xor (scalar)", "poly (scalar)", "50 % of 4.0"] {
            assert!(drawn.contains(word), "{word}");
        }
        let names: Vec<usize> = groups(&report.figures).iter().map(|(_, of)| of.len()).collect();
        assert_eq!(names, [2, 1]);
        assert!(svg(&Report::new(Machine::here(), false, Vec::new())).is_ok());
    }
}
