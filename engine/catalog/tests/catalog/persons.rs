//! Persons' cards, consents and revocations, as a gateway keeps them.

use super::Lab;
use warifu_catalog::{CatalogError, EnrolledCard, KnownConsent, KnownRevocation};

fn card(key: u8) -> EnrolledCard {
    EnrolledCard {
        individual: "P9".parse().unwrap(),
        key: [key; 32],
        evidence: format!("enrolment-{key}"),
        is_software: key == 1,
        at_unix_s: 100 + u64::from(key),
    }
}

#[test]
fn a_card_is_enrolled_once_and_changed_from_what_it_is() {
    let lab = Lab::new();
    let catalog = lab.open();
    let individual = "P9".parse().unwrap();
    assert_eq!(catalog.card(&individual).unwrap(), None);
    catalog.enroll_card(&card(1)).unwrap();
    assert!(catalog.individual(&individual).is_ok(), "who has a card is enrolled");
    assert!(matches!(catalog.enroll_card(&card(2)), Err(CatalogError::AlreadyExists { .. })));
    assert_eq!(catalog.card(&individual).unwrap(), Some(card(1)));
    assert!(matches!(catalog.change_card(&[2; 32], &card(3)), Err(CatalogError::NotFound { .. })));
    catalog.change_card(&[1; 32], &card(3)).unwrap();
    assert_eq!(catalog.card(&individual).unwrap(), Some(card(3)));
}

#[test]
fn what_a_site_knows_of_is_kept_for_each_site_and_goes_with_it() {
    let lab = Lab::new();
    let catalog = lab.open();
    let individual = "P9".parse().unwrap();
    catalog.enroll_card(&card(1)).unwrap();
    let sites = catalog.sites().unwrap();
    let (a, b) = (&sites[0].site, &sites[1].site);
    catalog.note_card_held(a, &individual, &[1; 32]).unwrap();
    assert!(catalog.is_card_held(a, &individual, &[1; 32]).unwrap());
    assert!(!catalog.is_card_held(a, &individual, &[2; 32]).unwrap());
    assert!(!catalog.is_card_held(b, &individual, &[1; 32]).unwrap());
    for number in [1, 2] {
        let revocation = KnownRevocation {
            id: [number; 16],
            individual: individual.clone(),
            token: format!("revocation-{number}"),
            at_unix_s: u64::from(number),
        };
        catalog.keep_revocation(&revocation).unwrap();
        catalog.keep_revocation(&revocation).unwrap();
    }
    catalog.note_revocation_told(a, &[1; 16]).unwrap();
    catalog.note_revocation_told(a, &[1; 16]).unwrap();
    let untold = |site| {
        let untold = catalog.revocations_untold(site).unwrap();
        untold.into_iter().map(|one| one.token).collect::<Vec<_>>()
    };
    assert_eq!(untold(a), ["revocation-2"]);
    assert_eq!(untold(b), ["revocation-1", "revocation-2"]);
    assert_eq!(catalog.revocations().unwrap().len(), 2);
    assert!(catalog.note_revocation_told(a, &[9; 16]).is_err(), "of nothing nobody knows");
    catalog.remove_site(a).unwrap();
    catalog.check().unwrap();
}

#[test]
fn a_consent_is_kept_as_it_came_first() {
    let lab = Lab::new();
    let catalog = lab.open();
    let consent = |token: &str, at_unix_s| KnownConsent {
        id: [7; 16],
        individual: "P9".parse().unwrap(),
        token: token.to_owned(),
        at_unix_s,
    };
    catalog.keep_consent(&consent("first", 5)).unwrap();
    catalog.keep_consent(&consent("second", 6)).unwrap();
    assert_eq!(catalog.consents().unwrap(), [consent("first", 5)]);
}
