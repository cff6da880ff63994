//! Real processes, a real network between them, real kills.

#![expect(clippy::unwrap_used, reason = "whatever fails in a helper of a test must fail the test")]

mod attacks;
mod audit;
mod batch;
mod batch_stops;
mod bench;
mod budget;
mod card;
mod compression;
mod consent;
mod copies;
mod daily;
mod full_disk;
mod gateways;
mod kills;
mod kme;
mod lab_lines;
mod large;
mod memory;
mod older;
mod plans;
mod plugins;
mod ranges;
mod records;
mod restores;
mod resume;
mod s3;
mod schemes;
mod sizes;
mod waiting;
