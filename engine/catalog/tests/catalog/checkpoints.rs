//! Checkpoints that others hold, against a log that is rewritten, cut, or replaced.

use super::*;
use warifu_catalog::{AuditKey, CatalogError, CheckpointRow, Compared, Register, Shown};

const DAY_S: u64 = 86_400;

fn key(seed: u8) -> AuditKey {
    AuditKey::from_seed(&[seed; 32]).unwrap()
}

fn append(catalog: &Catalog, count: u64) {
    for at in 0..count {
        catalog.append_audit("backup", "{}", at).unwrap();
    }
}

fn shown(catalog: &Catalog, key: &AuditKey) -> CheckpointRow {
    CheckpointRow::signed(key, &catalog.audit_head().unwrap(), 50, link(9))
}

fn cut_to(lab: &Lab, entries: u64) {
    lab.raw()
        .execute_batch(&format!(
            "DELETE FROM audit WHERE sequence >= {entries};
             UPDATE audit_head SET entries = {entries}, chain = coalesce(
                 (SELECT chain FROM audit WHERE sequence = {entries} - 1), zeroblob(32))"
        ))
        .unwrap();
}

#[test]
fn a_log_that_went_on_is_the_same_and_one_that_was_cut_or_rewritten_is_not() {
    let lab = Lab::new();
    let catalog = lab.open();
    let begin = catalog.audit_head().unwrap();
    append(&catalog, 4);
    let once = catalog.audit_head().unwrap();
    append(&catalog, 3);
    for known in [&begin, &once] {
        assert_eq!(catalog.compare_audit(known).unwrap(), Compared::Same);
    }
    // The chain of a log that was cut and went on otherwise is without a break.
    cut_to(&lab, 3);
    catalog.verify_audit().unwrap();
    assert_eq!(catalog.compare_audit(&once).unwrap(), Compared::CutOff { entries: 4 });
    catalog.append_audit("forged", "{}", 9).unwrap();
    catalog.append_audit("forged", "{}", 9).unwrap();
    catalog.verify_audit().unwrap();
    assert_eq!(catalog.compare_audit(&once).unwrap(), Compared::Rewritten { entries: 4 });
    assert_eq!(catalog.compare_audit(&begin).unwrap(), Compared::Same);
}

#[test]
fn whoever_shows_another_log_is_found_out_by_gateway_and_site_alike() {
    let (lab, holder) = (Lab::new(), Lab::new());
    let (catalog, gateway, site) = (lab.open(), holder.open(), Register::in_memory().unwrap());
    let own = key(1);
    let holds = |row: &CheckpointRow, at: u64| {
        let fits = gateway.keep_checkpoint(row, at).unwrap();
        assert_eq!(site.keep_checkpoint(row, at).unwrap(), fits);
        fits
    };
    append(&catalog, 2);
    assert_eq!(holds(&shown(&catalog, &own), 0), Shown::Onward);
    assert_eq!(holds(&shown(&catalog, &own), 0), Shown::Before);
    append(&catalog, 2);
    let latest = shown(&catalog, &own);
    assert_eq!(holds(&latest, 1), Shown::Onward);
    cut_to(&lab, 3);
    assert_eq!(holds(&shown(&catalog, &own), 2), Shown::Shorter { entries: 4 });
    catalog.append_audit("forged", "{}", 9).unwrap();
    assert_eq!(holds(&shown(&catalog, &own), 2), Shown::Forked);
    assert_eq!(holds(&shown(&catalog, &key(2)), 2), Shown::OtherKey);
    let held = gateway.checkpoints(Some(link(9))).unwrap();
    assert_eq!(held.len(), 5);
    assert_eq!(site.checkpoints(None).unwrap(), held);
    assert!(held.contains(&latest) && held.iter().all(CheckpointRow::is_genuine));
    assert!(gateway.checkpoints(Some(link(8))).unwrap().is_empty());
}

#[test]
fn what_its_key_did_not_sign_is_not_held() {
    let lab = Lab::new();
    let catalog = lab.open();
    let genuine = shown(&catalog, &key(1));
    let mut others = vec![genuine; 5];
    others[0].entries += 1;
    others[1].chain[31] ^= 1;
    others[2].at_unix_s += 1;
    others[3].signature[0] ^= 1;
    others[4].public_key = key(2).public_key();
    for other in others {
        let found = catalog.keep_checkpoint(&other, 0);
        assert!(matches!(found, Err(CatalogError::Invalid { .. })), "{found:?}");
    }
    assert!(catalog.checkpoints(None).unwrap().is_empty());
}

#[test]
fn many_new_checkpoints_wash_no_old_one_away() {
    let lab = Lab::new();
    let (catalog, site, own) = (lab.open(), Register::in_memory().unwrap(), key(1));
    append(&catalog, 1);
    let first = shown(&catalog, &own);
    site.keep_checkpoint(&first, 0).unwrap();
    let mut last = first;
    for day in 0..3 {
        for _ in 0..200 {
            append(&catalog, 1);
            last = shown(&catalog, &own);
            site.keep_checkpoint(&last, day * DAY_S + 7).unwrap();
        }
    }
    let held = site.checkpoints(Some(link(9))).unwrap();
    assert_eq!(held.len(), 3 * 64, "what is held is bounded");
    assert_eq!((held[0], held[held.len() - 1]), (first, last));
}
