//! The road of a byte: chunks, pads, shares, frames, stores.
//!
//! The way in is [`backup`], the way out [`restore`]; both are step machines without threads of
//! their own, and a [`driver`] runs them. [`source`] and [`sink`] turn a stream into a payload and
//! back, [`share`] writes and reads share files, [`peer`] speaks to a site.

#![forbid(unsafe_code)]

mod alarm;
pub mod backup;
pub mod clock;
pub mod driver;
pub mod hashes;
pub mod held;
pub mod peer;
pub mod random;
pub mod restore;
pub mod share;
pub mod sink;
pub mod source;
