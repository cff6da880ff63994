//! Files and rows that no release writes: typed errors, no panic, nothing believed.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use warifu_catalog::CatalogError;

#[test]
fn a_catalog_is_made_once_and_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let absent = Catalog::open(&path).map(drop);
    assert!(matches!(absent, Err(CatalogError::NotFound { .. })), "{absent:?}");
    drop(Catalog::create(&path).unwrap());
    let again = Catalog::create(&path).map(drop);
    assert!(matches!(again, Err(CatalogError::AlreadyExists { .. })), "{again:?}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no draft stays: {left:?}");
    let nowhere = Catalog::create(&folder.path().join("no").join("catalog.db")).map(drop);
    assert!(matches!(nowhere, Err(CatalogError::Storage(_))), "{nowhere:?}");
}

#[test]
fn what_is_no_catalog_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let texts: [&[u8]; 3] = [b"", b"PK\x03\x04", &[b'x'; 10_000]];
    for text in texts {
        fs::write(&path, text).unwrap();
        let found = Catalog::open(&path).map(drop);
        assert!(matches!(found, Err(CatalogError::Damaged { .. })), "{found:?}");
        assert_eq!(fs::read(&path).unwrap(), text, "it is left as it was");
    }
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE objects (number); PRAGMA user_version = 1").unwrap();
    drop(other);
    let found = Catalog::open(&path).map(drop);
    assert!(matches!(found, Err(CatalogError::Damaged { .. })), "{found:?}");
}

#[test]
fn a_later_format_is_left_alone() {
    let lab = Lab::new();
    lab.raw().pragma_update(None, "user_version", 99).unwrap();
    let found = Catalog::open(&lab.path()).map(drop);
    let named = matches!(found, Err(CatalogError::Incompatible { found: 99, supported: 6 }));
    assert!(named, "{found:?}");
    lab.raw().pragma_update(None, "user_version", -1).unwrap();
    assert!(Catalog::open(&lab.path()).is_err());
    lab.raw().pragma_update(None, "user_version", 6).unwrap();
    assert_eq!(lab.open().sites().unwrap().len(), 5);
}

#[test]
fn spoilt_rows_are_damage() {
    let edits = [
        "UPDATE objects SET k = 1",
        "UPDATE objects SET k = 300",
        "UPDATE objects SET n = 2",
        "UPDATE objects SET class = 7",
        "UPDATE objects SET payload_bytes = 4095",
        "UPDATE objects SET payload_bytes = -4096",
        "UPDATE objects SET stored_bytes = NULL",
        "UPDATE objects SET masks = -1",
        "UPDATE objects SET capsule_head_bytes = 1 << 40",
        "UPDATE objects SET object = x'00'",
        "UPDATE objects SET individual = '../P1'",
        "UPDATE objects SET label = CAST(x'ff' AS TEXT)",
        "UPDATE shares SET x = 0 WHERE x = 1",
        "UPDATE shares SET x = 7 WHERE x = 3",
        "UPDATE shares SET role = 2",
        "UPDATE shares SET channel = -1",
        "UPDATE shares SET site = '/etc' WHERE x = 2",
        "UPDATE shares SET link = zeroblob(17)",
        "UPDATE shares SET state = 3",
        "UPDATE shares SET receipt_unix_s = NULL",
        "DELETE FROM shares WHERE x = 2",
        "UPDATE attempts SET attempt = 1 << 33",
        "INSERT INTO overrides VALUES (1, 'gravity', 'none')",
    ];
    for edit in edits {
        let lab = Lab::new();
        store(&lab.open(), 1);
        lab.raw().execute_batch(edit).unwrap();
        let found = lab.open().objects();
        assert!(matches!(found, Err(CatalogError::Damaged { .. })), "{edit}: {found:?}");
    }
}

#[test]
fn spoilt_verdicts_sites_and_intents_are_damage() {
    let edits = [
        "UPDATE verdicts SET hashes = zeroblob(32)",
        "UPDATE verdicts SET hashes = zeroblob(49)",
        "UPDATE verdicts SET mask_hashes = zeroblob(0)",
        "UPDATE verdicts SET r = zeroblob(15)",
        "UPDATE objects SET payload_bytes = 1 << 40",
        "UPDATE sites SET channel = 9",
        "UPDATE sites SET zone = ''",
        "UPDATE sites SET drained = 2",
        "UPDATE objects SET holder = zeroblob(3) WHERE committed_unix_s IS NULL",
        "UPDATE objects SET holder_pid = -1 WHERE committed_unix_s IS NULL",
        "UPDATE individuals SET created_unix_s = -1",
        "INSERT INTO settings VALUES ('witness', '../a')",
    ];
    for edit in edits {
        let lab = Lab::new();
        let catalog = lab.open();
        store(&catalog, 1);
        catalog.begin(&new_object(2)).unwrap();
        lab.raw().execute_batch(edit).unwrap();
        let found = catalog
            .verdict(&object(1), x(1))
            .map(drop)
            .and_then(|()| catalog.sites().map(drop))
            .and_then(|()| catalog.intents().map(drop))
            .and_then(|()| catalog.individuals().map(drop))
            .and_then(|()| catalog.witness().map(drop));
        assert!(matches!(found, Err(CatalogError::Damaged { .. })), "{edit}: {found:?}");
    }
}

#[test]
fn a_dangling_row_is_found_by_the_check() {
    let lab = Lab::new();
    store(&lab.open(), 1);
    lab.open().check().unwrap();
    lab.raw().execute_batch("DELETE FROM sites WHERE site = 'a'").unwrap();
    let found = lab.open().check();
    assert!(matches!(found, Err(CatalogError::Damaged { .. })), "{found:?}");
}

/// Uses every verb that reads, and one that writes.
fn use_all(catalog: &Catalog) -> Result<(), CatalogError> {
    catalog.check()?;
    for found in catalog.objects()? {
        (1..=3).try_for_each(|at| catalog.verdict(&found.object, x(at)).map(drop))?;
    }
    catalog.intents()?;
    catalog.individuals()?;
    catalog.verify_audit()?;
    for site in catalog.sites()? {
        catalog.planned(&site.site)?;
        catalog.reserved(&site.site)?;
    }
    catalog.append_audit("test", "{}", 1)?;
    Ok(())
}

#[test]
fn rot_and_truncation_never_panic() {
    let lab = Lab::new();
    let catalog = lab.open();
    store(&catalog, 1);
    catalog.begin(&new_object(2)).unwrap();
    catalog.append_audit("backup", "{}", 1).unwrap();
    drop(catalog);
    let sound = fs::read(lab.path()).unwrap();
    let spoilt = lab.folder.path().join("spoilt.db");
    let mut refused = 0;
    let mut attempt = |bytes: &[u8]| {
        for extra in ["spoilt.db-wal", "spoilt.db-shm"] {
            let _ = fs::remove_file(lab.folder.path().join(extra));
        }
        fs::write(&spoilt, bytes).unwrap();
        let found = Catalog::open(&spoilt).and_then(|catalog| use_all(&catalog));
        refused += usize::from(found.is_err());
    };
    // Page headers and cell pointers throughout, then the rest in steps.
    let headers = (0..sound.len()).filter(|at| at % 4096 < 24).step_by(3);
    for at in headers.chain((0..sound.len()).step_by(611)) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        attempt(&bytes);
    }
    for pages in 0..sound.len() / 4096 {
        attempt(&sound[..pages * 4096 + pages % 3 * 1000]);
    }
    assert!(refused > 100, "{refused} refused");
    drop(lab.open());
}

#[test]
fn no_column_can_hold_what_derives_from_plaintext() {
    // Whoever adds a column says here that it is none: no file name, digest or true length.
    let known = "arrivals(pool direction unix_s bytes_total) \
        attempts(object chunk attempt) audit(sequence line chain) audit_head(one entries chain) \
        cards(individual key evidence is_software at_unix_s) cards_held(site individual key) \
        checkpoints(number link entries chain at_unix_s signature public_key received_day) \
        consents(id individual token at_unix_s) \
        consents_used(consent session at_unix_s) forgettings(object reason at_unix_s) \
        forgotten_shares(object x at_unix_s evidence) holds(object reason at_unix_s) \
        individuals(individual created_unix_s) \
        objects(number object individual k n class label created_unix_s payload_bytes random_bytes \
        holder holder_pid committed_unix_s stored_bytes masks capsule_head_bytes \
        capsule_verdict_bytes) overrides(object rule reason) \
        revocations(id individual token at_unix_s) revocations_told(revocation site) \
        settings(name value) \
        shares(object x site role channel zone domain link planned_to_site_bytes \
        planned_from_site_bytes reserve_to_site_bytes reserve_from_site_bytes sent_bytes key_bytes \
        receipt_unix_s state) sites(site url zone domain channel link drained) \
        verdicts(object x r mask_hashes hashes)";
    let lab = Lab::new();
    let raw = lab.raw();
    let mut query = raw
        .prepare(
            "SELECT name || '(' || (SELECT group_concat(name, ' ') FROM pragma_table_info(t.name))
             || ')' FROM sqlite_schema AS t WHERE type = 'table' ORDER BY name",
        )
        .unwrap();
    let tables: Vec<String> =
        query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(tables.join(" "), known);
}
