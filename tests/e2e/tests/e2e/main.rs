//! Real processes, a real network between them, real kills.

#![expect(clippy::unwrap_used, reason = "whatever fails in a helper of a test must fail the test")]

mod attacks;
mod budget;
mod compression;
mod copies;
mod full_disk;
mod gateways;
mod kills;
mod lab_lines;
mod large;
mod ranges;
mod restores;
mod schemes;
mod sizes;
