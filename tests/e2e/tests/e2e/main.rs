//! Real processes, a real network between them, real kills.

mod attacks;
mod budget;
mod copies;
mod full_disk;
mod gateways;
mod kills;
mod lab_lines;
mod large;
mod schemes;
mod sizes;
