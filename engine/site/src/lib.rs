//! What a site runs: it opens frames, keeps shares through a store, and gives them back to the
//! gateway that stored them.
//!
//! A site holds its own vault: the key of its links, and shares. It never sees plaintext. Every
//! connection is a [`Conversation`], which does no I/O: it begins with the handshake in
//! [`greeting`]; [`desk`] then answers requests one by one; [`drafts`] are the shares that are
//! still being written.

#![forbid(unsafe_code)]

mod conversation;
mod desk;
mod drafts;
mod gatherings;
mod greeting;
mod limit;
mod neighbourhood;
mod office;
mod server;
mod works;

pub use conversation::{Conversation, Turn};
pub use neighbourhood::{DialError, Neighbourhood};
pub use office::{ConsentRules, Enforcement, Notary};
pub use server::{Site, SiteError};
