//! `key forecast`: what free key will be, as a table and as a picture.

use super::Context;
use crate::args::ForecastArgs;
use crate::args::built_in_scheme;
use crate::exit::Ending;
use crate::plot::{self, Area, Drawn, FAINT, FONT, INK, write};
use crate::size::human;
use crate::table::{Table, numbers, words};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::error::Error;
use warifu_vault::{Genomes, KeyForecast, PoolForecast};

/// The picture's size, in pixels.
const SIZE: (u32, u32) = (1040, 560);

/// Room right of the lines, for their names.
const LABELS_WIDTH: u32 = 210;

/// Where those names begin, and the lowest of them.
const LABELS_LEFT: i32 = (SIZE.0 - LABELS_WIDTH) as i32 + 8;
const LABELS_BOTTOM: i32 = SIZE.1 as i32 - 30;

/// Colours that are told apart also by those who don't see red and green alike.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(148, 103, 20),
    RGBColor(110, 80, 190),
    RGBColor(90, 90, 90),
];

/// Answers with the forecast, and draws it where asked to.
pub(super) fn forecast(context: &Context, args: &ForecastArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let profile = context.profile(&vault, None)?;
    let threshold = profile.scheme.unwrap_or_else(built_in_scheme);
    let forecast = vault.key_forecast(args.days, threshold)?;
    if let Some(path) = &args.output {
        plot::save(svg(&forecast), path)?;
        context.output.note(&format!("drawn into {}", path.display()));
    }
    context.output.answer(&forecast, || told(&forecast))
}

fn told(forecast: &KeyForecast) -> String {
    let columns = [
        words("pool"),
        numbers("free"),
        numbers("spent a day"),
        numbers("arrives a day"),
        words("how"),
        words("empty in"),
        numbers("CRAM 15 GB"),
        numbers("BAM 60 GB"),
    ];
    let table = Table::new(columns, &forecast.pools, |row| {
        [
            row.pool.clone(),
            human(row.free_bytes),
            human(row.spent_bytes_per_day),
            human(row.fill_bytes_per_day),
            row.fill.to_owned(),
            row.empty_in_days.map_or_else(|| "never so".to_owned(), days),
            row.genomes.cram_15gb.to_string(),
            row.genomes.bam_60gb.to_string(),
        ]
    });
    let Genomes { cram_15gb, bam_60gb } = forecast.genomes;
    let end = match (forecast.no_backup_in_days, &forecast.no_backup_because) {
        (Some(at), Some(why)) => {
            format!("no backup at {} can be made in {}:\n{why}", forecast.scheme, days(at))
        }
        _ => format!("backups at {} can go on at these rates", forecast.scheme),
    };
    let seen = days(forecast.history_seconds as f64 / 86_400.0);
    format!(
        "{table}\nall sites together take {cram_15gb} genomes as CRAM of 15 GB, or {bam_60gb} as \
         BAM of 60 GB\n{end}\nspend has been seen for {seen}\n"
    )
}

fn days(days: f64) -> String {
    if days < 10.0 { format!("{days:.1} days") } else { format!("{days:.0} days") }
}

/// Lines whose labels find room beside each other; of more sites, those that last longest are
/// left to the table.
const LINES_MAX: usize = 24;

/// When a line ends, and what is free at the end of the picture.
fn end(row: &PoolForecast) -> (f64, u64) {
    let empty = row.empty_in_days.unwrap_or(f64::INFINITY);
    (empty, row.points.last().map_or(0, |point| point.free_bytes))
}

/// One line of the picture: a site's scarcer direction, or the random pool.
fn lines(forecast: &KeyForecast) -> Vec<&PoolForecast> {
    let mut of: BTreeMap<&Option<String>, &PoolForecast> = BTreeMap::new();
    for row in &forecast.pools {
        let kept = of.entry(&row.site).or_insert(row);
        if end(row) < end(kept) {
            *kept = row;
        }
    }
    of.into_values().collect()
}

/// The forecast as SVG.
fn svg(forecast: &KeyForecast) -> Result<String, Box<dyn Error>> {
    plot::svg(SIZE, |area| draw(forecast, area))
}

fn draw(forecast: &KeyForecast, area: &Area<'_>) -> Drawn {
    let mut lines = lines(forecast);
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.sort_by(|one, other| end(one).partial_cmp(&end(other)).unwrap_or(Ordering::Equal));
        lines.truncate(LINES_MAX);
    }
    let highest = lines.iter().flat_map(|row| &row.points).map(|point| point.free_bytes).max();
    let (unit, unit_bytes) = unit(highest.unwrap_or(0));
    let days = f64::from(forecast.days);
    let top = (highest.unwrap_or(0) as f64 / unit_bytes * 1.08).max(1.0);
    let title = (FONT, 19).into_font().color(&INK);
    let small = (FONT, 13).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .caption(head(more), title)
        .margin(18)
        .margin_right(LABELS_WIDTH)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..days, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .label_style(small.clone())
        .x_desc(format!("days from {}", forecast.made.get(..10).unwrap_or(&forecast.made)))
        .y_desc(format!("free key, {unit}"))
        .x_label_formatter(&|day| format!("{day:.0}"))
        .y_label_formatter(&|value| amount(*value, top))
        .draw()?;
    if let Some(end) = forecast.no_backup_in_days.filter(|end| *end <= days) {
        let mark = [(end, 0.0), (end, top)];
        let style = RGBColor(170, 30, 30).stroke_width(1);
        chart.draw_series(DashedLineSeries::new(mark, 5, 4, style))?;
        let words = (FONT, 13).into_font().color(&RGBColor(170, 30, 30));
        let (side, at) = if end > days / 2.0 { (HPos::Right, -6) } else { (HPos::Left, 6) };
        let words = words.pos(Pos::new(side, VPos::Top));
        let told = format!("no backup at {} after {end:.1} days", forecast.scheme);
        let label = EmptyElement::at((end, top)) + Text::new(told, (at, 2), words);
        chart.draw_series(std::iter::once(label))?;
    }
    let mut ends = Vec::new();
    for (row, colour) in lines.iter().zip(COLOURS.into_iter().cycle()) {
        let points = row.points.iter().map(|one| (one.day, one.free_bytes as f64 / unit_bytes));
        let points: Vec<(f64, f64)> = points.collect();
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart.draw_series(line)?;
        if let Some(at) = row.empty_in_days.filter(|at| *at <= days) {
            let dot = Circle::new((at, 0.0), 5, colour.filled());
            chart.draw_series(std::iter::once(dot))?;
        }
        let last = points.last().map_or(0.0, |point| point.1);
        let (_, y) = chart.backend_coord(&(days, last));
        ends.push((y, label(row), colour));
    }
    ends.sort_by_key(|(y, ..)| *y);
    let places = plot::apart(&ends.iter().map(|(y, ..)| *y).collect::<Vec<_>>(), LABELS_BOTTOM);
    for ((_, label, colour), y) in ends.into_iter().zip(places) {
        write(area, &label, (LABELS_LEFT, y), 13, colour, HPos::Left)?;
    }
    Ok(())
}

fn head(more: usize) -> String {
    let head = "Free key, at what is spent and what arrives";
    if more > 0 { format!("{head} ({more} more last longer)") } else { head.to_owned() }
}

/// What stands at the end of a line.
fn label(row: &PoolForecast) -> String {
    match row.empty_in_days {
        Some(at) => format!("{}, empty in {}", row.pool, days(at)),
        None => row.pool.clone(),
    }
}

/// The unit in which so many bytes are best told, and its bytes.
fn unit(bytes: u64) -> (&'static str, f64) {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fits = units.into_iter().find(|(_, shift)| bytes >= 1 << shift);
    fits.map_or(("bytes", 1.0), |(name, shift)| (name, (1_u64 << shift) as f64))
}

fn amount(value: f64, top: f64) -> String {
    if top < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_vault::Point;

    fn row(pool: &str, corners: &[(f64, u64)], empty_in_days: Option<f64>) -> PoolForecast {
        let point = |&(day, free_bytes): &(f64, u64)| Point { day, free_bytes };
        PoolForecast {
            pool: pool.to_owned(),
            site: pool.split_once('/').map(|(site, _)| site.to_owned()),
            free_bytes: corners[0].1,
            bytes_reserved_for_restore: 0,
            spent_bytes_per_day: 1 << 30,
            fill_bytes_per_day: 0,
            fill: "by courier",
            empty_in_days,
            points: corners.iter().map(point).collect(),
            genomes: Genomes { cram_15gb: 2, bam_60gb: 0 },
        }
    }

    fn sample() -> KeyForecast {
        KeyForecast {
            v: 1,
            r#type: "key-forecast",
            made: "2026-07-01T00:00:00Z".to_owned(),
            days: 60,
            history_seconds: 86_400 * 20,
            scheme: "3/5".to_owned(),
            pools: vec![
                row("random", &[(0.0, 1 << 30), (60.0, 1 << 30)], None),
                row("sendai/to", &[(0.0, 40 << 30), (40.0, 0), (60.0, 0)], Some(40.0)),
                row("sendai/from", &[(0.0, 80 << 30), (60.0, 20 << 30)], Some(80.0)),
                row("osaka/to", &[(0.0, 90 << 30), (60.0, 30 << 30)], None),
            ],
            no_backup_in_days: Some(40.0),
            no_backup_because: Some("key left does not cover".to_owned()),
            genomes: Genomes { cram_15gb: 5, bam_60gb: 1 },
        }
    }

    #[test]
    fn the_picture_has_a_line_for_each_site_and_marks_where_it_ends() {
        let svg = svg(&sample()).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for words in
            ["sendai/to, empty in 40 days", "osaka/to", "free key, GiB", "no backup at 3/5"]
        {
            assert!(svg.contains(words), "{words}");
        }
        assert!(!svg.contains("sendai/from"), "its other direction lasts longer");
        assert_eq!(svg.matches("<circle").count(), 1);
    }

    #[test]
    fn any_forecast_can_be_drawn() {
        let none = KeyForecast { pools: Vec::new(), no_backup_in_days: Some(0.0), ..sample() };
        assert!(svg(&none).is_ok());
        let huge = row("a/to", &[(0.0, u64::MAX), (60.0, 0)], Some(60.0));
        let many =
            (0..40).map(|site| PoolForecast { site: Some(format!("s{site}")), ..huge.clone() });
        let mut pools: Vec<PoolForecast> = many.collect();
        pools[39] = PoolForecast { pool: "last/to".to_owned(), empty_in_days: None, ..huge };
        let svg = svg(&KeyForecast { pools, days: 3660, ..sample() }).unwrap();
        assert!(svg.contains("(16 more last longer)") && !svg.contains("last/to"));
    }

    #[test]
    fn the_table_tells_when_and_why() {
        let told = told(&sample());
        for words in ["40 days", "never so", "5 genomes as CRAM", "no backup at 3/5", "cover"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
