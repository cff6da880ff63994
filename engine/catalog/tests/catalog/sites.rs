//! Individuals, sites, settings, and the key that objects bind.

use super::*;
use warifu_catalog::CatalogError;

#[test]
fn individuals_are_enrolled_once() {
    let lab = Lab::new();
    let catalog = lab.open();
    catalog.enroll(&"P0".parse().unwrap(), 50).unwrap();
    let again = catalog.enroll(&individual(), 7);
    assert!(matches!(again, Err(CatalogError::AlreadyExists { .. })), "{again:?}");
    let all = catalog.individuals().unwrap();
    let listed: Vec<_> =
        all.iter().map(|one| (one.individual.as_str(), one.created_unix_s)).collect();
    assert_eq!(listed, [("P0", 50), ("P1", 100)]);
    assert_eq!(catalog.individual(&individual()).unwrap(), all[1]);
    let nobody = catalog.individual(&"P2".parse().unwrap());
    assert!(matches!(nobody, Err(CatalogError::NotFound { .. })), "{nobody:?}");
}

#[test]
fn sites_come_back_as_they_were_added() {
    let lab = Lab::new();
    let catalog = lab.open();
    let new = NewSite { channel: Channel::Local, link: None, ..new_site("f", 0) };
    catalog.add_site(&new).unwrap();
    let found = lab.open().site(&name("f")).unwrap();
    assert_eq!((&found.site, &found.url, found.channel), (&new.site, &new.url, new.channel));
    assert_eq!((&found.zone, &found.domain), (&new.zone, &new.domain));
    assert_eq!((found.link, found.drained), (None, false));
    catalog.set_link(&name("f"), &link(6)).unwrap();
    catalog.set_drained(&name("f"), true).unwrap();
    let found = catalog.sites().unwrap().pop().unwrap();
    assert_eq!((found.link, found.drained), (Some(link(6)), true));
    assert_eq!(catalog.sites().unwrap().len(), 6);
}

#[test]
fn names_and_links_of_sites_are_unique() {
    let lab = Lab::new();
    let catalog = lab.open();
    let taken = [
        catalog.add_site(&new_site("a", 9)),
        catalog.add_site(&new_site("f", 1)),
        catalog.set_link(&name("a"), &link(2)),
    ];
    for found in taken {
        assert!(matches!(found, Err(CatalogError::AlreadyExists { .. })), "{found:?}");
    }
    catalog.set_link(&name("a"), &link(1)).unwrap();
    assert_eq!(catalog.sites().unwrap().len(), 5, "a refused site is not there by half");
    let gone = [
        catalog.set_link(&name("z"), &link(9)),
        catalog.set_drained(&name("z"), true),
        catalog.site(&name("z")).map(drop),
        catalog.set_witness(Some(&name("z"))),
    ];
    for found in gone {
        assert!(matches!(found, Err(CatalogError::NotFound { .. })), "{found:?}");
    }
    let odd = NewSite { url: "a\u{1b}[2J".to_owned(), ..new_site("f", 9) };
    assert!(matches!(catalog.add_site(&odd), Err(CatalogError::Invalid { .. })));
}

#[test]
fn planned_key_becomes_reserved_key_and_then_free() {
    let lab = Lab::new();
    let catalog = lab.open();
    let bytes = |to_site_bytes, from_site_bytes| KeyBytes { to_site_bytes, from_site_bytes };
    let at = |site| {
        let site = name(site);
        (catalog.planned(&site).unwrap(), catalog.reserved(&site).unwrap())
    };
    assert_eq!(at("a"), (bytes(0, 0), bytes(0, 0)));
    catalog.begin(&new_object(1)).unwrap();
    catalog.begin(&new_object(2)).unwrap();
    assert_eq!(at("a"), (bytes(6000, 8000), bytes(0, 0)));
    assert_eq!(at("d"), (bytes(0, 0), bytes(0, 0)));
    catalog.commit(&object(1), &record()).unwrap();
    assert_eq!(at("a"), (bytes(3000, 4000), bytes(10, 1000)));
    catalog.abandon(&object(2)).unwrap();
    store(&catalog, 3);
    assert_eq!(at("a"), (bytes(0, 0), bytes(20, 2000)));
    catalog.delete(&object(1)).unwrap();
    assert_eq!(at("a"), (bytes(0, 0), bytes(10, 1000)));
}

#[test]
fn settings_are_kept_replaced_and_cleared() {
    let lab = Lab::new();
    let catalog = lab.open();
    assert_eq!(catalog.setting("name").unwrap(), None);
    for value in ["gateway", "clinic"] {
        catalog.set_setting("name", Some(value)).unwrap();
        assert_eq!(lab.open().setting("name").unwrap().as_deref(), Some(value));
    }
    catalog.set_setting("name", None).unwrap();
    assert_eq!(catalog.setting("name").unwrap(), None);
    assert_eq!(catalog.witness().unwrap(), None);
    catalog.set_witness(Some(&name("c"))).unwrap();
    assert_eq!(catalog.witness().unwrap(), Some(name("c")));
    catalog.set_witness(None).unwrap();
    assert_eq!(catalog.witness().unwrap(), None);
}
