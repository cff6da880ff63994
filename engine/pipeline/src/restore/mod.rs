//! The way out: k good shares of every chunk become the payload again.
//!
//! [`gather`] decides whom to ask, [`lane`] asks one site and checks every chunk against its
//! hash, [`driver`] runs it on threads.

pub mod driver;
pub mod gather;
pub mod lane;
