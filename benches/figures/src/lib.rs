//! What warifu reaches on this machine, beside what the machine itself can do.
//!
//! Each bench is a function that measures and answers [`Figure`]s: [`kernel`], [`pipeline`],
//! [`backend`], [`link`] and [`keys`]. A [`Report`] holds the figures of one run beside the machine
//! that they were taken on, and [`compare`] sets one beside an older one.
//!
//! # How a figure is taken
//! In rounds: each round takes one sample of the figure and one of what it is divided by, right
//! after each other, in turns of who goes first; all figures of a bench take turns within a round.
//! A ratio is the median of the ratios of the rounds, so that what else the machine does meets
//! both. Where one thread computes, the clock is that thread's processor time, which others can't
//! take away; else it is the wall's. What was made is checked in each round, outside the time.
//!
//! The data is made up, and no secret.

#![forbid(unsafe_code)]

mod backend;
mod clock;
mod compare;
mod error;
mod kernel;
mod keys;
mod link;
mod machine;
mod pace;
mod pipeline;
mod plain;
mod report;
mod scratch;

pub use backend::{BackendSettings, backend};
pub use compare::{Comparison, Difference, Verdict, compare};
pub use error::BenchError;
pub use kernel::{KernelSettings, kernel};
pub use keys::{KeysSettings, keys};
pub use link::{LinkSettings, link};
pub use machine::Machine;
pub use pace::{Pace, Spread};
pub use pipeline::{PipelineSettings, Sites, pipeline};
pub use report::{Clock, Figure, Latency, Limit, Report, Roof, Taken};
