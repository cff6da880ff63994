//! From intent to object to nothing.

use super::*;
use warifu_catalog::{CatalogError, ShareState};
use warifu_core::plan::{Override, Rule};

#[test]
fn an_object_is_listed_after_its_commit_and_not_before() {
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.begin(&new_object(1)).unwrap();
    assert!(catalog.objects().unwrap().is_empty());
    assert!(catalog.objects_of(&individual()).unwrap().is_empty());
    for found in [catalog.object(&object(1)).map(drop), catalog.verdict(&object(1), x(1)).map(drop)]
    {
        assert!(matches!(found, Err(CatalogError::NotFound { .. })));
    }
    catalog.commit(&object(1), &record()).unwrap();
    assert!(catalog.intents().unwrap().is_empty());

    let catalog = lab.open();
    let found = catalog.object(&object(1)).unwrap();
    assert_eq!(catalog.objects().unwrap(), std::slice::from_ref(&found));
    assert_eq!(catalog.objects_of(&individual()).unwrap(), std::slice::from_ref(&found));
    assert!(catalog.objects_of(&"P2".parse().unwrap()).unwrap().is_empty());
    assert_eq!(found.individual, individual());
    assert_eq!((found.geometry, found.masks), (geometry(), 1));
    assert_eq!((found.created_unix_s, found.committed_unix_s), (1001, 3000));
    assert_eq!((found.stored_bytes, found.random_bytes), (9_000_000, 128));
    assert_eq!(found.capsule, record().capsule);
    assert_eq!(found.attempts, [(1, 1), (3, 2)]);
    assert_eq!(found.label.as_deref(), Some("tumour, left"));
    assert!(!found.is_degraded());
    let second = &found.shares[1];
    assert_eq!((second.x, &second.site, second.role), (x(2), &name("b"), Role::Computed));
    assert_eq!((&second.zone, &second.domain), (&name("b-zone"), &name("b-domain")));
    assert_eq!((second.link, second.channel), (Some(link(2)), Channel::Otp));
    assert_eq!((second.sent_bytes, second.key_bytes, second.receipt_unix_s), (102, 202, 2002));
    assert_eq!(found.shares[0].role, Role::Pad);
}

#[test]
fn verdicts_come_back_whole() {
    let lab = Lab::new();
    let catalog = lab.open();
    store(&catalog, 1);
    for at in 1..=3 {
        let (found, meant) = (catalog.verdict(&object(1), x(at)).unwrap(), verdict(at));
        assert_eq!((found.x, found.r), (meant.x, meant.r));
        assert!(found.hashes == meant.hashes && found.masks == meant.masks);
    }
    let found = catalog.verdict(&object(1), x(4)).map(drop);
    assert!(matches!(found, Err(CatalogError::NotFound { .. })), "{found:?}");
}

#[test]
fn an_intent_says_who_and_where() {
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.begin(&new_object(2)).unwrap();
    catalog.begin(&new_object(1)).unwrap();
    let intents = catalog.intents().unwrap();
    assert_eq!(intents.len(), 2);
    assert_eq!(intents[0].object, object(2), "the oldest comes first");
    assert_eq!(intents[0].holder, new_object(2).holder);
    let places: Vec<_> =
        [("a", 1), ("b", 2), ("c", 3)].map(|(s, at)| (x(at), name(s), Some(link(at)))).into();
    assert_eq!(intents[0].shares, places);
    assert_eq!(catalog.planned_random_bytes().unwrap(), 1000);
    catalog.abandon(&object(2)).unwrap();
    assert_eq!(catalog.planned_random_bytes().unwrap(), 500);
    assert!(matches!(catalog.abandon(&object(2)), Err(CatalogError::NotFound { .. })));
}

#[test]
fn a_commit_after_the_intent_is_gone_lists_nothing() {
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.begin(&new_object(1)).unwrap();
    lab.open().abandon(&object(1)).unwrap();
    let found = catalog.commit(&object(1), &record());
    assert!(matches!(found, Err(CatalogError::NotFound { .. })), "{found:?}");
    assert!(catalog.objects().unwrap().is_empty());
}

#[test]
fn what_is_committed_is_neither_committed_again_nor_abandoned() {
    let lab = Lab::new();
    let catalog = lab.open();
    store(&catalog, 1);
    assert!(matches!(catalog.begin(&new_object(1)), Err(CatalogError::AlreadyExists { .. })));
    assert!(catalog.commit(&object(1), &record()).is_err());
    assert!(catalog.abandon(&object(1)).is_err());
    assert_eq!(catalog.objects().unwrap().len(), 1);
}

#[test]
fn a_record_that_does_not_match_changes_nothing() {
    type Spoil = fn(&mut CommitRecord);
    let spoils: [Spoil; 9] = [
        |record| drop(record.shares.pop()),
        |record| record.shares[0].verdict.x = x(4),
        |record| record.shares[0].verdict.x = x(2),
        |record| record.shares[1].verdict.hashes.truncate(2),
        |record| record.shares[2].verdict.masks.clear(),
        |record| record.masks = 0,
        |record| record.attempts = vec![(3, 1), (1, 1)],
        |record| record.attempts = vec![(4, 1)],
        |record| record.attempts = vec![(1, 0)],
    ];
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.begin(&new_object(1)).unwrap();
    for (at, spoil) in spoils.into_iter().enumerate() {
        let mut record = record();
        spoil(&mut record);
        let found = catalog.commit(&object(1), &record);
        assert!(matches!(found, Err(CatalogError::Invalid { .. })), "spoil {at}: {found:?}");
    }
    // A number beyond the engine's is found half way through, and undone.
    let mut record = record();
    record.shares[2].key_bytes = u64::MAX;
    assert!(catalog.commit(&object(1), &record).is_err());
    assert!(catalog.objects().unwrap().is_empty());
    catalog.commit(&object(1), &super::record()).unwrap();
}

#[test]
fn a_plan_that_does_not_hold_is_not_begun() {
    type Spoil = fn(&mut NewObject);
    let long = || "r".repeat(1025);
    let zone = |reason| Override { rule: Rule::Zone, reason };
    let spoils: [Spoil; 6] = [
        |new| drop(new.shares.pop()),
        |new| new.shares[0].planned.x = x(2),
        |new| new.shares[0].planned.x = x(4),
        |new| new.shares[0].planned.site = name("b"),
        |new| new.label = Some("a\nb".to_owned()),
        |new| new.label = Some(String::new()),
    ];
    let lab = Lab::new();
    let catalog = lab.open();
    let mut all: Vec<NewObject> = Vec::new();
    for spoil in spoils {
        let mut new = new_object(1);
        spoil(&mut new);
        all.push(new);
    }
    all.push(NewObject { label: Some(long()), ..new_object(1) });
    all.push(NewObject { overridden: vec![zone(long())], ..new_object(1) });
    let twice = vec![zone("a".to_owned()), zone("b".to_owned())];
    all.push(NewObject { overridden: twice, ..new_object(1) });
    for new in &all {
        let found = catalog.begin(new);
        assert!(matches!(found, Err(CatalogError::Invalid { .. })), "{new:?}: {found:?}");
    }
    let mut stranger = new_object(1);
    stranger.shares[2].planned.site = name("z");
    let nobody = NewObject { individual: "P9".parse().unwrap(), ..new_object(1) };
    for new in [stranger, nobody] {
        let found = catalog.begin(&new);
        assert!(matches!(found, Err(CatalogError::NotFound { .. })), "{found:?}");
    }
    assert!(catalog.intents().unwrap().is_empty());
}

#[test]
fn the_worst_class_and_the_overrides_stay_with_the_object() {
    let lab = Lab::new();
    let catalog = lab.open();
    let reason = "only two zones yet".to_owned();
    let overridden = vec![Override { rule: Rule::Zone, reason }];
    catalog.begin(&NewObject { overridden: overridden.clone(), ..new_object(1) }).unwrap();
    let class = KeyClass::Computational;
    catalog.commit(&object(1), &CommitRecord { class, ..record() }).unwrap();
    catalog.begin(&NewObject { class, ..new_object(2) }).unwrap();
    catalog.commit(&object(2), &record()).unwrap();
    assert_eq!(catalog.object(&object(1)).unwrap().overridden, overridden);
    for number in [1, 2] {
        assert_eq!(catalog.object(&object(number)).unwrap().class, class);
    }
}

#[test]
fn what_a_restore_saw_degrades_the_object() {
    let lab = Lab::new();
    let catalog = lab.open();
    store(&catalog, 1);
    for state in [ShareState::Missing, ShareState::Corrupt] {
        catalog.set_share_state(&object(1), x(2), state).unwrap();
        let found = lab.open().object(&object(1)).unwrap();
        assert!(found.is_degraded());
        assert_eq!(found.shares[1].state, state);
    }
    catalog.set_share_state(&object(1), x(2), ShareState::Good).unwrap();
    assert!(!catalog.object(&object(1)).unwrap().is_degraded());
    catalog.begin(&new_object(2)).unwrap();
    for (number, at) in [(1, 4), (2, 1), (3, 1)] {
        let found = catalog.set_share_state(&object(number), x(at), ShareState::Missing);
        assert!(matches!(found, Err(CatalogError::NotFound { .. })), "{found:?}");
    }
}

#[test]
fn a_deleted_object_leaves_no_secret_in_the_file() {
    let lab = Lab::new();
    let secret = [0xA1; 16];
    let holds = |lab: &Lab| {
        let bytes = std::fs::read(lab.path()).unwrap();
        bytes.windows(16).any(|window| window == secret)
    };
    let catalog = lab.open();
    store(&catalog, 1);
    drop(catalog);
    assert!(holds(&lab), "the test looks in the right place");
    let catalog = lab.open();
    catalog.delete(&object(1)).unwrap();
    assert!(matches!(catalog.delete(&object(1)), Err(CatalogError::NotFound { .. })));
    assert!(matches!(catalog.object(&object(1)), Err(CatalogError::NotFound { .. })));
    catalog.begin(&new_object(2)).unwrap();
    assert!(catalog.delete(&object(2)).is_err(), "an intent is abandoned, not deleted");
    drop(catalog);
    assert!(!holds(&lab));
}
