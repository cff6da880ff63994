//! Holds and forgetting, each step with its entry in the audit log or not at all.

use super::*;
use warifu_catalog::{Begun, CatalogError, Event, GoneShare};

const EVENT: Event<'_> = Event { kind: "forget", json: "{\"who\":\"operator\"}", at_unix_s: 70 };

fn logged(catalog: &Catalog) -> u64 {
    catalog.verify_audit().unwrap().entries
}

#[test]
fn what_is_held_is_not_forgotten_until_the_hold_is_lifted() {
    let lab = Lab::new();
    let catalog = lab.open();
    store(&catalog, 1);
    let object = object(1);
    catalog.hold(&object, "a court asks", &EVENT).unwrap();
    let held = Begun::Held { reason: "a court asks".to_owned() };
    assert_eq!(catalog.begin_forgetting(&object, "asked to", &EVENT).unwrap(), held);
    assert_eq!((logged(&catalog), catalog.forgettings().unwrap().len()), (1, 0));
    assert_eq!(catalog.holds().unwrap()[0].at_unix_s, 70);
    assert!(catalog.lift_hold(&object, &EVENT).unwrap());
    assert!(!catalog.lift_hold(&object, &EVENT).unwrap());
    assert_eq!(logged(&catalog), 2, "what was not done is not told");
    assert_eq!(catalog.begin_forgetting(&object, "asked to", &EVENT).unwrap(), Begun::Now);
    assert_eq!(catalog.begin_forgetting(&object, "again", &EVENT).unwrap(), Begun::Before);
    let late = catalog.hold(&object, "too late", &EVENT);
    assert!(matches!(late, Err(CatalogError::Invalid { .. })), "{late:?}");
    assert_eq!(logged(&catalog), 3);
}

#[test]
fn forgetting_goes_on_where_it_ended_and_leaves_nothing() {
    let lab = Lab::new();
    store(&lab.open(), 1);
    store(&lab.open(), 2);
    let object = object(1);
    let gone = |at: u8| GoneShare { x: x(at), at_unix_s: 80, evidence: format!("proof {at}") };
    let early = lab.open().note_gone(&object, &gone(1));
    assert!(matches!(early, Err(CatalogError::NotFound { .. })), "{early:?}");
    assert!(lab.open().end_forgetting(&object, &EVENT).is_err());
    lab.open().begin_forgetting(&object, "asked to", &EVENT).unwrap();
    lab.open().note_gone(&object, &gone(2)).unwrap();
    let again = GoneShare { evidence: "another".to_owned(), ..gone(2) };
    lab.open().note_gone(&object, &again).unwrap();
    let known = lab.open().forgetting(&object).unwrap().unwrap();
    assert_eq!((known.reason.as_str(), known.gone), ("asked to", vec![gone(2)]));
    assert!(lab.open().object(&object).is_ok(), "its shares have to be found");
    lab.open().end_forgetting(&object, &EVENT).unwrap();
    assert!(matches!(lab.open().object(&object), Err(CatalogError::NotFound { .. })));
    assert!(lab.open().verdict(&object, x(1)).is_err());
    assert_eq!(
        (lab.open().forgettings().unwrap(), lab.open().objects().unwrap().len()),
        (vec![], 1)
    );
    let left: i64 =
        lab.raw().query_row("SELECT count(*) FROM forgotten_shares", [], |row| row.get(0)).unwrap();
    assert_eq!((left, logged(&lab.open())), (0, 2));
}

#[test]
fn where_the_log_cannot_be_written_nothing_is_forgotten_or_held() {
    let lab = Lab::new();
    let catalog = lab.open();
    store(&catalog, 1);
    let object = object(1);
    let deny = "CREATE TRIGGER deny BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END";
    lab.raw().execute_batch(deny).unwrap();
    catalog.hold(&object, "a", &EVENT).unwrap_err();
    catalog.begin_forgetting(&object, "a", &EVENT).unwrap_err();
    assert_eq!((catalog.holds().unwrap(), catalog.forgettings().unwrap()), (vec![], vec![]));
    assert!(catalog.object(&object).is_ok());
    lab.raw().execute_batch("DROP TRIGGER deny").unwrap();
    catalog.begin_forgetting(&object, "a", &EVENT).unwrap();
    lab.raw().execute_batch(deny).unwrap();
    catalog.end_forgetting(&object, &EVENT).unwrap_err();
    assert!(catalog.object(&object).is_ok() && catalog.forgetting(&object).unwrap().is_some());
}
