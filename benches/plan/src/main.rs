//! How fast the share controller places objects, and how near to the optimum.
//!
//! ```text
//! warifu-bench-plan [--sites N] [--objects N] [--rounds N] [--json]
//! ```
//!
//! Each world has sites whose budgets, zones and domains a seed draws. Objects are placed until
//! the budget is used up or all are placed, under every policy; what is stored is set against the
//! optimum, which bisection finds apart from the scheduler: the largest T for which all zones
//! together take n T. Worlds where a domain lies in several zones have no such formula; there the
//! optimum is the scheduler's own count before the first object. Times are of one thread, the best
//! of the rounds. The row `queue` is the whole plan of a batch, as `warifu plan` shows it and
//! `warifu backup` goes by it, objects that don't fit among them.

#![forbid(unsafe_code)]

mod world;

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};
use warifu_core::plan::{Queue, Rates};
use warifu_core::schedule::{Policy, Scheduler};
use world::{Shape, World};

/// What is measured, as the command line says.
struct Settings {
    sites: u32,
    objects: u64,
    rounds: u32,
    json: bool,
}

/// One figure.
struct Row {
    world: String,
    what: &'static str,
    placed: u64,
    optimum: u64,
    seconds_per_100_000: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let mut rows = Vec::new();
    for shape in Shape::ALL {
        let world = World::drawn(shape, settings.sites, settings.objects, 2022);
        for policy in Policy::ALL {
            rows.push(scheduled(&world, policy, &settings));
        }
        rows.push(planned(&world, &settings));
    }
    let text = if settings.json { json(&settings, &rows) } else { text(&settings, &rows) };
    writeln!(std::io::stdout(), "{text}")?;
    let is_whole = |row: &Row| row.what == "forecast" || row.what == "queue";
    let is_short = |row: &&Row| is_whole(row) && row.placed * 100 < row.optimum * 99;
    match rows.iter().find(is_short) {
        Some(row) => Err(format!("{} of {} in {}", row.placed, row.optimum, row.world).into()),
        None => Ok(()),
    }
}

fn scheduled(world: &World, policy: Policy, settings: &Settings) -> Row {
    let (mut best, mut placed) = (Duration::MAX, 0);
    for _ in 0..settings.rounds {
        let spots = world.spots.clone();
        let mut scheduler = Scheduler::new(spots, world.threshold, policy, 7);
        let started = Instant::now();
        while scheduler.stored() < settings.objects && scheduler.choose(world.need_bytes).is_some()
        {
        }
        best = best.min(started.elapsed());
        placed = scheduler.stored();
    }
    row(world, policy.as_str(), placed, settings, best)
}

fn planned(world: &World, settings: &Settings) -> Row {
    let (candidates, rates) = (world.candidates(), Rates::default());
    let (mut best, mut placed) = (Duration::MAX, 0);
    for _ in 0..settings.rounds {
        let mut queue = Queue::new(&candidates, 1 << 60, &rates).of_many();
        let started = Instant::now();
        let turns = (0..settings.objects).map(|_| queue.next(&world.request()));
        placed = turns.filter(|turn| turn.plan.is_some()).count() as u64;
        best = best.min(started.elapsed());
    }
    // Refused ones take their time too: it is told over all.
    let mut row = row(world, "queue", placed, settings, best);
    row.seconds_per_100_000 = best.as_secs_f64() * 100_000.0 / settings.objects as f64;
    row
}

fn row(
    world: &World,
    what: &'static str,
    placed: u64,
    settings: &Settings,
    elapsed: Duration,
) -> Row {
    Row {
        world: world.to_string(),
        what,
        placed,
        optimum: world.optimum().min(settings.objects),
        seconds_per_100_000: elapsed.as_secs_f64() * 100_000.0 / placed.max(1) as f64,
    }
}

fn text(settings: &Settings, rows: &[Row]) -> String {
    let mut text = format!(
        "{} sites, up to {} objects; best of {}\n{:40} {:>14} {:>8} {:>8} {:>8} {:>12}\n",
        settings.sites,
        settings.objects,
        settings.rounds,
        "world",
        "policy",
        "placed",
        "optimum",
        "of it",
        "s / 100,000"
    );
    for row in rows {
        text += &format!(
            "{:40} {:>14} {:>8} {:>8} {:>7.2}% {:>12.3}\n",
            row.world,
            row.what,
            row.placed,
            row.optimum,
            row.placed as f64 * 100.0 / row.optimum.max(1) as f64,
            row.seconds_per_100_000
        );
    }
    text
}

fn json(settings: &Settings, rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "world": row.world, "policy": row.what, "placed": row.placed,
                "optimum": row.optimum, "seconds_per_100000": row.seconds_per_100_000,
            })
        })
        .collect();
    serde_json::json!({
        "v": 1, "type": "bench-plan", "sites": settings.sites, "objects": settings.objects,
        "rounds": settings.rounds, "rows": rows,
    })
    .to_string()
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut settings = Settings { sites: 50, objects: 100_000, rounds: 3, json: false };
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or(format!("{word} takes a number"))?;
            text.parse::<u32>().map_err(|_| format!("{text} is no number"))
        };
        match word.as_str() {
            "--sites" => settings.sites = number()?,
            "--objects" => settings.objects = number()?.into(),
            "--rounds" => settings.rounds = number()?,
            "--json" => settings.json = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    match settings.sites >= 5 && settings.objects > 0 && settings.rounds > 0 {
        true => Ok(settings),
        false => Err("at least 5 sites, one object and one round".to_owned()),
    }
}
