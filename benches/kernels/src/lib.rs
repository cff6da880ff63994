//! What the benches of kernels share: streams laid out as the pipeline's are, contenders that take
//! turns on the same bytes, and the roofs that the machine sets, measured in the same run.

#![allow(
    unsafe_code,
    reason = "pages of 2 MiB are asked for by madvise, and a roof is measured by bare loads and \
              stores"
)]

mod arena;
mod pace;
mod roof;
mod shape;

pub use arena::{Arena, Level, STAGGER_BYTES};
pub use pace::{Contender, Turns, Work, median, timed};
pub use roof::{Clock, Ports, touch};
pub use shape::{Shape, check};
