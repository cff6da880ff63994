//! Shares that sites work out for each other, over real links and files: that they come out right,
//! that nobody sees more than the sum, and that no gateway collects shares by it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod broken;
mod circle;
mod corrupt;
mod honest;
mod rules;
mod stall;
