//! Shares in S3-compatible object stores.
//!
//! [`S3Objects`] are objects under one prefix of a bucket; [`warifu_backend::SpooledStore`] makes a
//! store of shares of them. A share is put with `If-None-Match: *`, in one request or as a
//! multipart upload whose completion carries the condition. Whether the server minds the condition
//! is tried when the store is opened; [`warifu_backend::ObjectsCapability`] says what came of it.
//!
//! Nothing relies on what only one vendor does: no entity tag is compared, the length of what was
//! put is asked for, and a checksum goes with each request for servers that verify it. An outcome
//! that nobody told is settled by asking. What a dead process left of multipart uploads, which a
//! bill would count and no listing shows, is known from a folder of notes and aborted at the next
//! opening.

#![forbid(unsafe_code)]

mod config;
mod error;
mod owed;
mod store;

pub use config::{ConfigError, Credentials, S3Config};
pub use store::S3Objects;
