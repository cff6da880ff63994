//! The algorithms, once for all instruction sets.
//!
//! Everything here is `#[inline(always)]` and free of `#[target_feature]`: it takes on the
//! features of the function that it is inlined into. Closures are avoided, because a closure
//! wouldn't.

mod dot;
mod pairs;
mod poly;
mod put;
mod rows;
mod walk;
mod xor;

pub(crate) use dot::{COLUMNS_MAX, Vector, checked_len, dot, dot_each, dot_into};
pub(crate) use poly::{Blocks, Powers, Product, poly, powers, reduce_by_products, reduce_numbers};
pub(crate) use walk::Pass;
pub(crate) use xor::xor;
