//! What is to be placed, as a backup would find it.

use super::PlacementRequest;
use crate::backup::{Treatment, measure, measure_stream};
use crate::batch::{Wish, geometry_at_most};
use crate::estimate::EstimateRequest;
use crate::failure::{Class, Failure};
use crate::policy::Asked;
use crate::{BackupRequest, BatchRequest, Source, Vault};
use std::collections::BTreeMap;
use warifu_catalog::Site;
use warifu_core::{Geometry, IndividualId, SiteName};

/// Whose inputs are of which nobody says it; it stands for no individual's rules.
const NOBODY: &str = "nobody";

/// One object to be placed.
pub(super) struct Item {
    request: BackupRequest,
    /// Whether it is settled whose it is.
    has_individual: bool,
    bytes: u64,
    pub(super) geometry: Geometry,
}

impl Item {
    pub(super) fn wish(&self) -> Wish<'_> {
        let individual = self.has_individual.then_some(&self.request.individual);
        Wish {
            asked: Asked { individual, ..Asked::from(&self.request) },
            threshold: self.request.threshold,
            overrides: &self.request.overrides,
            bytes: self.bytes,
            geometry: Some(self.geometry),
        }
    }
}

/// What is to be placed.
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    /// Entries that can't be.
    pub(super) skipped: usize,
    /// Entries that an earlier run stored.
    pub(super) stored_before: usize,
}

impl Vault {
    /// How sites are asked: those that the policy keeps away from all inputs are left alone.
    pub(super) fn under_policy(
        &self,
        sites: &[Site],
        request: &PlacementRequest,
        items: &[Item],
    ) -> EstimateRequest {
        let mut kept_out: Option<Vec<SiteName>> = None;
        for item in items {
            let ruled = self.ruled(sites, item.wish().asked);
            kept_out = Some(match kept_out {
                None => ruled.exclusions,
                Some(all) => all.into_iter().filter(|s| ruled.exclusions.contains(s)).collect(),
            });
        }
        EstimateRequest { exclusions: kept_out.unwrap_or_default(), ..request.inputs.clone() }
    }

    /// The inputs as a backup would find them.
    pub(super) fn items(&self, request: &PlacementRequest) -> Result<Items, Failure> {
        let wanted = &request.inputs;
        let nobody: IndividualId = NOBODY.parse().map_err(|error| {
            Failure::new(Class::Other, "internal", "nobody has no name").because(error)
        })?;
        let nobody = request.individual.clone().unwrap_or(nobody);
        let asked = BatchRequest {
            paths: wanted.paths.clone(),
            stdin_bytes: None,
            manifest: request.manifest.clone(),
            // A manifest's lines say it, or leave it to the request.
            individual: match request.manifest {
                Some(_) => request.individual.clone(),
                None => Some(nobody.clone()),
            },
            enroll: false,
            threshold: wanted.threshold,
            compression: wanted.compression,
            pad: wanted.pad,
            label: request.label.clone(),
            overrides: wanted.overrides.clone(),
            pins: wanted.pins.clone(),
            exclusions: wanted.exclusions.clone(),
        };
        let gathered = self.gather_unsettled(&asked)?;
        let (mut skipped, mut items) = (gathered.refused.len(), Vec::new());
        let before = match gathered.is_batch && self.remembers_batches() {
            true => self.stored_already(&gathered.inputs)?,
            false => BTreeMap::new(),
        };
        let is_alone = gathered.inputs.len() == 1 && request.manifest.is_none();
        for (number, input) in gathered.inputs.iter().enumerate() {
            if before.contains_key(&number) {
                continue;
            }
            let Source::File(path) = &input.request().source else { continue };
            let treatment =
                Treatment { compression: input.request().compression, pad: input.request().pad };
            // One alone is planned as it is, several are planned as long as they may get.
            let sized = match (is_alone, input.bytes()) {
                (true, _) => {
                    let layout = measure(path, treatment, wanted.is_counted)?;
                    Some((layout.data_bytes, layout.geometry()))
                }
                (false, Some(bytes)) => {
                    geometry_at_most(input.request(), bytes).map(|geometry| (bytes, geometry))
                }
                (false, None) => None,
            };
            let Some((bytes, geometry)) = sized else {
                skipped += 1;
                continue;
            };
            let has_individual = request.individual.is_some() || request.manifest.is_some();
            items.push(Item { request: input.request().clone(), has_individual, bytes, geometry });
        }
        if let Some(bytes) = wanted.stream_bytes {
            let (compression, pad) = (wanted.compression, wanted.pad);
            let layout = measure_stream(bytes, Treatment { compression, pad })?;
            items.push(Item {
                has_individual: request.individual.is_some(),
                bytes: layout.data_bytes,
                geometry: layout.geometry(),
                request: asked.backup(Source::Stdin { size_bytes: Some(bytes) }, nobody),
            });
        }
        Ok(Items { items, skipped, stored_before: before.len() })
    }
}
