//! What persons decide: their cards, the consents that they give and take back, and what of it the
//! sites are told. A gateway carries statements; every site judges them for itself.

mod claims;
mod find;
mod foreign;
mod grant;
mod judge;
mod person;
mod presence;
mod refusal;
mod silence;
mod stored;
mod tidings;

pub use find::FoundRow;
pub(crate) use grant::locator_of;
pub use grant::{ConsentRow, ConsentTerms, GrantedRow, Terms};
pub use person::{CardRow, Rebinder};
pub use presence::Proof;
pub(crate) use presence::{Admission, Admitted};
pub(crate) use refusal::{next_of, refused_code};
pub use silence::{SILENCE_HOURS_MAX, SilenceRow};

use crate::Vault;
use crate::failure::{Class, Failure};
use warifu_consent::statement::StatementId;

impl Vault {
    /// A fresh one-time name.
    pub(crate) fn fresh_statement(&self) -> Result<StatementId, Failure> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).map_err(|error| {
            Failure::new(Class::Other, "entropy", "the system gives no randomness").because(error)
        })?;
        Ok(StatementId(bytes))
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a text does not fail.
        let _done = write!(text, "{byte:02x}");
        text
    })
}
