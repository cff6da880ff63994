//! Who is believed, and what follows.

mod chains;
mod common;
mod decisions;
mod folders;
mod mutations;
mod responders;
mod statements;
