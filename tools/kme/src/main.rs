//! Key-management entities for labs and tests.

fn main() {}
