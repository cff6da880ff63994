//! Searches and prefixes, against objects that differ in one thing each.

use super::*;
use warifu_catalog::{CatalogError, ObjectPrefix, Resolved, Search, ShareState};

fn found(catalog: &Catalog, search: &Search) -> Vec<ObjectId> {
    catalog.find(search).unwrap().into_iter().map(|object| object.object).collect()
}

#[test]
fn each_criterion_finds_what_it_names_and_nothing_else() {
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.enroll(&"P2".parse().unwrap(), 100).unwrap();
    store(&catalog, 1);
    let other = NewObject {
        individual: "P2".parse().unwrap(),
        label: Some("50%_blood é".to_owned()),
        ..new_object(2)
    };
    catalog.begin(&other).unwrap();
    let computational = CommitRecord { class: KeyClass::Computational, ..record() };
    catalog.commit(&object(2), &computational).unwrap();
    let unnamed = NewObject { label: None, ..new_object(3) };
    catalog.begin(&unnamed).unwrap();
    catalog.commit(&object(3), &record()).unwrap();
    catalog.set_share_state(&object(3), x(2), ShareState::Missing).unwrap();
    catalog.begin(&new_object(4)).unwrap();
    let all = Search::default();
    assert_eq!(found(&catalog, &all), [object(3), object(2), object(1)], "the newest first");
    let label = |part: &str| Search { label_part: Some(part.to_owned()), ..Search::default() };
    let cases = [
        (Search { individual: Some("P2".parse().unwrap()), ..Search::default() }, vec![2]),
        (label("TUMOUR"), vec![1]),
        (label("%_"), vec![2]),
        (label("%"), vec![2]),
        (label("é"), vec![2]),
        (label("nobody"), vec![]),
        (Search { site: Some(name("c")), ..Search::default() }, vec![3, 2, 1]),
        (Search { site: Some(name("d")), ..Search::default() }, vec![]),
        (Search { since_unix_s: Some(1002), ..Search::default() }, vec![3, 2]),
        (Search { before_unix_s: Some(1002), ..Search::default() }, vec![1]),
        (Search { since_unix_s: Some(u64::MAX), ..Search::default() }, vec![]),
        (Search { is_degraded: Some(true), ..Search::default() }, vec![3]),
        (Search { is_degraded: Some(false), ..Search::default() }, vec![2, 1]),
        (Search { class: Some(KeyClass::Computational), ..Search::default() }, vec![2]),
        (Search { limit: Some(2), ..Search::default() }, vec![3, 2]),
        (Search { limit: Some(0), ..Search::default() }, vec![]),
        (Search { limit: Some(usize::MAX), ..label("u") }, vec![1]),
    ];
    for (search, expected) in cases {
        let expected: Vec<ObjectId> = expected.into_iter().map(object).collect();
        assert_eq!(found(&catalog, &search), expected, "{search:?}");
    }
}

#[test]
fn a_prefix_names_one_object_or_tells_which() {
    let lab = Lab::new();
    let catalog = lab.open();
    let id = |first: u8, last: u8| {
        let mut bytes = [0; 16];
        (bytes[0], bytes[1], bytes[15]) = (0xAB, first, last);
        ObjectId::from_bytes(bytes)
    };
    for object in [id(0xC1, 1), id(0xC2, 2), id(0xFF, 0xFF)] {
        catalog.begin(&NewObject { object, ..new_object(1) }).unwrap();
        catalog.commit(&object, &record()).unwrap();
    }
    let pending = id(0xD0, 0);
    catalog.begin(&NewObject { object: pending, ..new_object(1) }).unwrap();
    let resolve = |text: &str| catalog.resolve(&text.parse::<ObjectPrefix>().unwrap());
    assert_eq!(resolve("abc1").unwrap(), Resolved::One(id(0xC1, 1)));
    assert_eq!(resolve("ABFF").unwrap(), Resolved::One(id(0xFF, 0xFF)));
    assert_eq!(resolve(&id(0xC2, 2).to_string()).unwrap(), Resolved::One(id(0xC2, 2)));
    for missing in ["abc3", "abd0", &id(0xC2, 3).to_string()] {
        assert!(matches!(resolve(missing), Err(CatalogError::NotFound { .. })), "{missing}");
    }
    let prefix: ObjectPrefix = "abd0".parse().unwrap();
    assert_eq!(catalog.resolve_intent(&prefix).unwrap(), Resolved::One(pending));
    let planned = catalog.planned_of(&pending).unwrap();
    assert_eq!(planned.payload_bytes, 4 << 20);
    assert_eq!((planned.key.to_site_bytes, planned.key.from_site_bytes), (9000, 12000));
    assert!(matches!(catalog.planned_of(&id(0xC1, 1)), Err(CatalogError::NotFound { .. })));
    for last in 0..20 {
        let object = id(0xC1, 100 + last);
        catalog.begin(&NewObject { object, ..new_object(1) }).unwrap();
        catalog.commit(&object, &record()).unwrap();
    }
    let Resolved::Several(found) = resolve("abc1").unwrap() else { panic!("ambiguous") };
    assert_eq!((found.len(), found[0]), (8, id(0xC1, 1)));
}
