//! A site's desk for persons, over real links and files, spoken to without any gateway's program in
//! between: whoever skips a gateway's checks meets these.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod bindings;
mod completions;
mod field;
mod keeping;
mod releases;
mod revocations;
mod strangers;
