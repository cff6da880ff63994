//! What persons' cards sign, and what is believed of it.
//!
//! A card signs *statements*: enrolment, consent, presence, revocation. [`statement`] is what they
//! say, [`jws`] how they are written, [`trust`] whose word counts, [`check`] what follows from both
//! at a site, [`card`] how one is asked to sign. Whoever decides holds no key of anybody here:
//! certificates, statements and clocks go in, a decision comes out.

#![forbid(unsafe_code)]

pub mod bounds;
pub mod card;
mod certificate;
mod chain;
pub mod check;
pub mod jws;
mod key;
pub mod lab;
mod revocation;
pub mod statement;
pub mod trust;
mod untrue;
mod wire;

pub use certificate::Certificate;
pub use untrue::{Fault, Unbound, Untrue};
