//! Who is believed, and what follows.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod chains;
mod decisions;
mod folders;
mod mutations;
mod people;
mod responders;
mod statements;
