//! Whose turn it is: what of the queue can be begun, and how long the rest waits.

use super::Entry;
use super::board::{Board, RETRY_S_MAX};
use super::entry::in_order;
use super::work::{Rest, Shop, TRIES_ONCE};
use crate::batch::geometry_at_most;
use crate::failure::Failure;
use crate::policy::{Asked, Ruled};
use crate::{Compression, Source, Vault};
use std::path::Path;
use warifu_catalog::Site;
use warifu_core::plan::{PlanRequest, Queue};
use warifu_core::{Geometry, ObjectId};

/// Entries that don't fit after which no more are looked at for some that do.
const PASSED_MAX: usize = 64;

impl Shop<'_> {
    /// Finds what can be begun, and how long the others wait.
    pub(super) fn survey(
        &self,
        vault: &Vault,
        board: &mut Board,
        entries: &[Entry],
        now: &str,
    ) -> Result<Rest, Failure> {
        let unix_s = vault.now_unix_s();
        board.is_soon = false;
        let (candidates, random_bytes) = (vault.candidates_unasked()?, vault.random_unplanned()?);
        let rates = vault.rates()?;
        let mut turns = Queue::new(&candidates, random_bytes, &rates).by(vault.choice()?).of_many();
        let sites = vault.catalog()?.sites()?;
        let (mut rest, mut passed) = (Rest { waiting: 0, wait_s: None }, Vec::new());
        let intents = vault.catalog()?.intents()?;
        for at in in_order(vault.config.batch.order, entries) {
            let entry = &entries[at];
            let id = entry.ticket.id;
            if entry.held.is_some() || board.in_hand.contains(&id) {
                continue;
            }
            let begun = |object: &ObjectId| intents.iter().any(|intent| intent.object == *object);
            let is_begun = entry.objects.iter().any(begun);
            let (tries, until) = board.tries.get(&id).copied().unwrap_or_default();
            // A clock that was set back holds nobody up.
            let is_left_alone = until > unix_s && until <= unix_s + RETRY_S_MAX;
            let is_free = self.is_wanted(&id)
                && !is_left_alone
                && !(self.request.is_once && tries >= TRIES_ONCE);
            let comes_soon =
                self.request.is_once && is_left_alone && tries < TRIES_ONCE && self.is_wanted(&id);
            // What was begun has its key planned already.
            let Some(planned) = vault.planned_for(&sites, entry).filter(|_| !is_begun) else {
                match is_free {
                    true => board.ready.push_back(id),
                    false => rest.waiting += usize::from(self.is_wanted(&id)),
                }
                board.is_soon |= comes_soon;
                continue;
            };
            if passed.len() >= PASSED_MAX {
                rest.waiting += usize::from(self.is_wanted(&id));
                continue;
            }
            let turn = turns.next(&PlanRequest {
                candidates: &candidates,
                random_bytes,
                ..planned.as_planned(entry)
            });
            match turn.seconds {
                Some(0) if is_free => board.ready.push_back(id),
                wait_s if self.is_wanted(&id) => {
                    board.is_soon |= comes_soon && wait_s == Some(0);
                    rest.waiting += 1;
                    rest.wait_s = [rest.wait_s, wait_s].into_iter().flatten().min();
                    passed.push((id, is_free, entry.ticket.request.compression));
                }
                _ => passed.push((id, false, Compression::None)),
            }
        }
        if board.ready.is_empty() && board.in_hand.is_empty() {
            // Compressed, one may take less than is planned for: that shows when it is tried.
            let may_shrink = passed.into_iter().find(|(id, is_free, compression)| {
                let tried = board.tried.get(id).is_some_and(|before| before == now);
                *is_free && *compression != Compression::None && !tried
            });
            if let Some((id, ..)) = may_shrink {
                board.tried.insert(id, now.to_owned());
                board.ready.push_back(id);
            }
        }
        Ok(rest)
    }
}

/// What is planned for an entry.
pub(super) struct Planned {
    geometry: Geometry,
    ruled: Ruled,
}

impl Planned {
    pub(super) fn as_planned<'a>(&'a self, entry: &'a Entry) -> PlanRequest<'a> {
        let request = &entry.ticket.request;
        PlanRequest {
            threshold: request.threshold,
            geometry: self.geometry,
            candidates: &[],
            random_bytes: 0,
            overrides: &request.overrides,
            pins: &self.ruled.pins,
            exclusions: &self.ruled.exclusions,
            zone_shares_max: self.ruled.zone_shares_max,
        }
    }
}

impl Vault {
    /// What an entry takes at most as its file is now, under the policy of the settings; `None`
    /// where that can't be told, as where the file is gone: that is said when it is its turn.
    pub(super) fn planned_for(&self, sites: &[Site], entry: &Entry) -> Option<Planned> {
        let request = &entry.ticket.request;
        let Source::File(path) = &request.source else { return None };
        let found = std::fs::metadata::<&Path>(path).ok()?;
        let bytes = Some(found).filter(std::fs::Metadata::is_file)?.len();
        let ruled = self.ruled(sites, Asked::from(request));
        Some(Planned { geometry: geometry_at_most(request, bytes)?, ruled })
    }
}

/// What pools and queue look like: where it changes, it may be somebody's turn.
pub(super) fn looked_at(vault: &Vault, entries: &[Entry]) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    for pool in vault.keys.pools()? {
        hasher.update(pool.pool.bytes());
        for side in &pool.directions {
            hasher.update(&side.bytes_total.to_le_bytes()).update(&side.bytes_left.to_le_bytes());
        }
    }
    for entry in entries {
        hasher.update(entry.ticket.id.bytes()).update(&[u8::from(entry.held.is_some())]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}
