//! Whether an authority took a certificate back: asked of lists in files, of responders, or of
//! whatever else implements [`Revocations`].

mod list;
mod ocsp;

pub(crate) use list::RevocationList;
pub use ocsp::Responder;

use crate::certificate::Certificate;
use crate::untrue::Fault;

/// Something that knows which certificates were revoked.
pub trait Revocations: Send + Sync {
    /// What is known about `certificate`, which `issuer` issued, at `at_unix_s`.
    ///
    /// # Errors
    /// [`Fault::Revoked`]; [`Fault::RevocationUnknown`] where it ought to know and does not, as
    /// with a list that has ended.
    fn judge(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at_unix_s: u64,
    ) -> Result<Standing, Fault>;
}

/// What is known about a certificate that is not revoked as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Its authority says that it is good.
    Good,
    /// Its authority is none that this one knows about.
    Silent,
}

/// Asks all of `sources`: a revocation known to one counts.
///
/// # Errors
/// The first [`Fault`]; [`Fault::RevocationUnknown`] where all are silent and must not be.
pub(crate) fn judge(
    sources: &[Box<dyn Revocations>],
    is_required: bool,
    certificate: &Certificate,
    issuer: &Certificate,
    at_unix_s: u64,
) -> Result<(), Fault> {
    let mut known = Standing::Silent;
    for source in sources {
        if source.judge(certificate, issuer, at_unix_s)? == Standing::Good {
            known = Standing::Good;
        }
    }
    if known == Standing::Silent && is_required {
        let why = "there is neither a list of its authority here nor a responder";
        return Err(Fault::RevocationUnknown(why.to_owned()));
    }
    Ok(())
}
