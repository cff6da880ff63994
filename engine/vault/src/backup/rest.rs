//! The budget of what an interrupted backup still takes.

use crate::Vault;
use crate::failure::{Class, Failure};
use crate::journal::{Header, Standing};
use std::collections::BTreeMap;
use warifu_catalog::KeyBytes;
use warifu_core::plan::PlannedShare;
use warifu_core::{Channel, Role, SiteName, XCoord};
use warifu_pipeline::peer::Peer;

impl Vault {
    /// Plans what is left of a backup at its sites, and how many random numbers it takes.
    ///
    /// # Errors
    /// Where key or random numbers do not cover it: then nothing was spent on it.
    pub(super) fn plan_rest(
        &self,
        header: &Header,
        shares: &[PlannedShare],
        standing: &Standing,
        peers: &BTreeMap<SiteName, Peer>,
    ) -> Result<u64, Failure> {
        let done_bytes = standing.done_bytes();
        let catalog = self.catalog()?;
        // From here on no other process may count on the same key.
        let _lock = self.lock_planning()?;
        let rest: Vec<(XCoord, KeyBytes)> =
            shares.iter().map(|share| (share.x, rest_of(share, done_bytes))).collect();
        let random_bytes = random_rest(header, shares, done_bytes);
        // What was planned before is not held against it.
        let nothing: Vec<(XCoord, KeyBytes)> =
            shares.iter().map(|share| (share.x, KeyBytes::default())).collect();
        catalog.replan(&header.object, 0, &nothing)?;
        let short = self.rest_shortfall((shares, &rest), random_bytes, peers);
        catalog.replan(&header.object, random_bytes, &rest)?;
        match short? {
            None => Ok(random_bytes),
            Some(what) => Err(Failure::new(Class::Key, "key-short", what)
                .next("see `warifu key status`; add key with `warifu key generate`")),
        }
    }

    /// What is missing, in words.
    fn rest_shortfall(
        &self,
        (shares, rest): (&[PlannedShare], &[(XCoord, KeyBytes)]),
        random_bytes: u64,
        peers: &BTreeMap<SiteName, Peer>,
    ) -> Result<Option<String>, Failure> {
        for (share, (_, rest)) in shares.iter().zip(rest) {
            let site = self.site_row(&share.site)?;
            let Some(link) = site.link.filter(|_| share.channel == Channel::Otp) else { continue };
            let peer = peers.get(&share.site);
            let (to_site_bytes, from_site_bytes) = self.budget(&site, link.into(), peer)?;
            let to = rest.to_site_bytes.saturating_sub(to_site_bytes);
            let from = rest.from_site_bytes.saturating_sub(from_site_bytes);
            if to > 0 || from > 0 {
                return Ok(Some(format!(
                    "the rest of this backup lacks {to} bytes of key to site {} and {from} bytes \
                     from it",
                    share.site
                )));
            }
        }
        let planned = self.catalog()?.planned_random_bytes()?;
        let random = self.random_left()?.saturating_sub(planned);
        let missing = random_bytes.saturating_sub(random);
        let what = format!("the rest of this backup lacks {missing} random bytes");
        Ok((missing > 0).then_some(what))
    }
}

/// What a share still costs, at most: the frames of what is done are not counted off.
fn rest_of(share: &PlannedShare, done_bytes: u64) -> KeyBytes {
    let least = share.need.reserve_to_site_bytes;
    KeyBytes {
        to_site_bytes: share.need.to_site_bytes.saturating_sub(done_bytes).max(least),
        from_site_bytes: share.need.from_site_bytes,
    }
}

fn random_rest(header: &Header, shares: &[PlannedShare], done_bytes: u64) -> u64 {
    let drawn_here =
        shares.iter().filter(|share| share.channel != Channel::Otp && share.role == Role::Pad);
    header.random_bytes.saturating_sub(done_bytes.saturating_mul(drawn_here.count() as u64))
}
