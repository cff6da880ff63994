//! The audit log against every single edit.

use super::*;
use warifu_catalog::{AuditHead, CatalogError};

fn logged() -> (Lab, AuditHead) {
    let lab = Lab::new();
    let catalog = lab.open();
    for at in 0..5 {
        let event = format!("{{\"object\": {at}, \"bytes\": 1.5}}");
        catalog.append_audit("backup", &event, 1000 + at).unwrap();
    }
    let head = catalog.verify_audit().unwrap();
    (lab, head)
}

#[test]
fn lines_are_canonical_and_chained() {
    let (lab, head) = logged();
    assert_eq!(head.entries, 5);
    let catalog = lab.open();
    let entries = catalog.audit(0, 100).unwrap();
    let line = r#"{"at":1002,"event":{"bytes":1.5,"object":2},"kind":"backup","sequence":2}"#;
    assert_eq!(entries[2].line, line);
    let mut chain = [0; 32];
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry.sequence, at as u64);
        let whole = [&chain, entry.line.as_bytes()].concat();
        chain = *blake3::hash(&whole).as_bytes();
        assert_eq!(entry.chain, chain);
    }
    assert_eq!(chain, head.chain);
    let page = catalog.audit(1, 2).unwrap();
    assert_eq!(page, entries[1..3]);
    assert!(catalog.audit(5, 9).unwrap().is_empty());
}

#[test]
fn every_edit_and_removal_is_found() {
    let edits = [
        ("UPDATE audit SET line = replace(line, '1.5', '2.5') WHERE sequence = 2", 2),
        ("UPDATE audit SET chain = zeroblob(32) WHERE sequence = 4", 4),
        ("DELETE FROM audit WHERE sequence = 0", 0),
        ("DELETE FROM audit WHERE sequence = 3", 3),
        ("DELETE FROM audit WHERE sequence = 4", 4),
        ("DELETE FROM audit", 0),
        ("INSERT INTO audit SELECT 5, line, chain FROM audit WHERE sequence = 4", 5),
        (
            "UPDATE audit SET line = (SELECT line FROM audit WHERE sequence = 1),
                 chain = (SELECT chain FROM audit WHERE sequence = 1) WHERE sequence = 2",
            2,
        ),
        ("UPDATE audit SET sequence = sequence + 10 WHERE sequence >= 3", 3),
        ("UPDATE audit_head SET entries = 4", 5),
        ("UPDATE audit_head SET chain = zeroblob(32)", 5),
    ];
    for (edit, first) in edits {
        let (lab, _) = logged();
        lab.raw().execute_batch(edit).unwrap();
        let found = lab.open().verify_audit();
        let named = matches!(found, Err(CatalogError::AuditBroken { sequence, .. })
            if sequence == first);
        assert!(named, "{edit}: {found:?}");
    }
    let (lab, _) = logged();
    lab.raw().execute_batch("DELETE FROM audit_head").unwrap();
    assert!(matches!(lab.open().verify_audit(), Err(CatalogError::Damaged { .. })));
}

#[test]
fn a_log_cut_and_rechained_differs_from_a_head_kept_elsewhere() {
    let (lab, head) = logged();
    lab.raw()
        .execute_batch(
            "DELETE FROM audit WHERE sequence = 4;
             UPDATE audit_head SET entries = 4,
                 chain = (SELECT chain FROM audit WHERE sequence = 3)",
        )
        .unwrap();
    assert_ne!(lab.open().verify_audit().unwrap(), head);
}

#[test]
fn only_json_of_bounded_length_is_taken() {
    let (lab, head) = logged();
    let catalog = lab.open();
    let long = format!("\"{}\"", "a".repeat(70_000));
    let deep = "[".repeat(60_000);
    for event in ["", "{", "{} {}", "nonsense", &long, &deep] {
        let found = catalog.append_audit("backup", event, 1);
        assert!(matches!(found, Err(CatalogError::Invalid { .. })), "{found:?}");
    }
    assert!(catalog.append_audit(&"k".repeat(65), "{}", 1).is_err());
    let tricky = r#"{"text":"line\nbreak \" and \u0000"}"#;
    let next = catalog.append_audit("a \"kind\"", tricky, u64::MAX).unwrap();
    assert_eq!((next.entries, head.entries), (6, 5));
    assert_eq!(catalog.verify_audit().unwrap(), next);
    assert!(!catalog.audit(5, 1).unwrap()[0].line.contains('\n'), "one entry is one line");
}
