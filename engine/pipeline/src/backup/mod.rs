//! The way in: a stream becomes n shares at n sites.
//!
//! [`weave`] decides, [`lane`] says what a site's side can do, [`remote`] and [`local`] do it,
//! [`driver`] runs all of it on threads.

pub mod driver;
pub mod lane;
pub mod local;
pub mod remote;
pub mod timed;
pub mod weave;
