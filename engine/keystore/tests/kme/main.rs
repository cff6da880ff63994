//! The client of ETSI GS QKD 014 against KMEs that do everything wrong.

mod answers;
mod hostile;
mod probing;
mod server;
mod speed;
