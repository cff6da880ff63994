//! From a card's certificate up to an anchor.
//!
//! Why not a library for TLS: those know no certificates whose policies are marked critical, as
//! those of state-issued cards are, and say of most refusals that "the issuer is unknown". What is
//! left is short, as nothing is asked about names and policies: see decision 0029.

use crate::certificate::Certificate;
use crate::untrue::{Fault, Untrue};

/// The most authorities between a card and an anchor.
const DEPTH_MAX: usize = 4;

/// The most signatures that are checked for one chain: whoever sends it pays for little.
const SIGNATURES_MAX: usize = 16;

/// The way from a card up: its certificate, authorities between, the anchor.
pub(crate) struct Path<'a> {
    /// In this order; at least two.
    pub(crate) certificates: Vec<&'a Certificate>,
}

/// A way from `card` to one of `anchors`, through `between` where need be, at `at_unix_s`.
///
/// # Errors
/// What is wrong with the chain that came nearest.
pub(crate) fn path<'a>(
    card: &'a Certificate,
    between: &'a [Certificate],
    anchors: &[&'a Certificate],
    at_unix_s: u64,
) -> Result<Path<'a>, Untrue> {
    let mut search =
        Search { between, anchors, at_unix_s, signatures: SIGNATURES_MAX, nearest: None };
    match search.up(&mut vec![card])? {
        Some(certificates) => Ok(Path { certificates }),
        None => Err(search
            .nearest
            .unwrap_or_else(|| card.not(Fault::Chain("no pinned authority issued it".to_owned())))),
    }
}

struct Search<'a, 's> {
    between: &'a [Certificate],
    anchors: &'s [&'a Certificate],
    at_unix_s: u64,
    signatures: usize,
    /// The first thing that was wrong with an authority that had the right name.
    nearest: Option<Untrue>,
}

impl<'a> Search<'a, '_> {
    /// A whole path that begins with `path`, if there is one.
    fn up(
        &mut self,
        path: &mut Vec<&'a Certificate>,
    ) -> Result<Option<Vec<&'a Certificate>>, Untrue> {
        let Some(last) = path.last().copied() else { return Ok(None) };
        let below = path.len() - 1;
        for anchor in self.anchors {
            if self.is_next(last, anchor, below)? {
                path.push(anchor);
                return Ok(Some(path.clone()));
            }
        }
        if below == DEPTH_MAX {
            return Ok(None);
        }
        for authority in self.between {
            let is_new = path.iter().all(|before| before.key() != authority.key());
            if is_new && self.is_next(last, authority, below)? {
                path.push(authority);
                if let Some(whole) = self.up(path)? {
                    return Ok(Some(whole));
                }
                path.pop();
            }
        }
        Ok(None)
    }

    /// Whether `issuer` issued `certificate` and might.
    fn is_next(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        below: usize,
    ) -> Result<bool, Untrue> {
        if certificate.issuer != issuer.subject {
            return Ok(false);
        }
        self.signatures = self.signatures.checked_sub(1).ok_or_else(|| {
            certificate.not(Fault::Chain("too many certificates came along".to_owned()))
        })?;
        let fit =
            match certificate.is_issued_by(issuer)? {
                true => issuer.fits_authority(below, self.at_unix_s),
                false => Err(certificate
                    .not(Fault::Chain("the authority it names did not sign it".to_owned()))),
            };
        match fit {
            Ok(()) => Ok(true),
            Err(why) => {
                // An impostor by the same name must not hide what is wrong with the true one.
                let is_impostor = |why: &Untrue| {
                    matches!(why, Untrue::Certificate { fault: Fault::Chain(_), .. })
                };
                if self.nearest.as_ref().is_none_or(is_impostor) {
                    self.nearest = Some(why);
                }
                Ok(false)
            }
        }
    }
}
