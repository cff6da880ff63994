//! A site's register: first ones win, what was admitted stays so, and nothing happens that the
//! audit log does not tell.

use rusqlite::Connection;
use std::path::PathBuf;
use tempfile::TempDir;
use warifu_catalog::{
    Admission, Bindings, CatalogError, Claim, Event, NewBinding, NewRevocation, Register, Silence,
    Standing,
};
use warifu_core::{IndividualId, LinkId, ObjectId, XCoord};

const LINK: LinkId = LinkId::from_bytes([1; 16]);
const OTHER: LinkId = LinkId::from_bytes([2; 16]);
const EVENT: Event<'_> = Event { kind: "test", json: "{}", at_unix_s: 5 };

struct Kept {
    folder: TempDir,
}

impl Kept {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("register.sqlite")
    }

    /// As a process that comes later finds it.
    fn open(&self) -> Register {
        Register::open_or_create(&self.path()).unwrap()
    }
}

fn named(text: &str) -> IndividualId {
    text.parse().unwrap()
}

fn object(number: u16) -> ObjectId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    ObjectId::from_bytes(bytes)
}

fn new(individual: &IndividualId, key: u8) -> NewBinding<'_> {
    NewBinding { link: LINK, individual, key: [key; 32], evidence: "a.b.c" }
}

#[test]
fn the_first_binding_wins_and_a_change_serves_once() {
    let kept = Kept::new();
    let p1 = named("P1");
    assert_eq!(kept.open().bind(&new(&p1, 1), &EVENT).unwrap(), Bindings::Held);
    assert_eq!(kept.open().bind(&new(&p1, 1), &EVENT).unwrap(), Bindings::HeldBefore);
    let taken = Bindings::Other { key: [1; 32] };
    assert_eq!(kept.open().bind(&new(&p1, 2), &EVENT).unwrap(), taken);
    let elsewhere = NewBinding { link: OTHER, ..new(&p1, 2) };
    assert_eq!(kept.open().bind(&elsewhere, &EVENT).unwrap(), Bindings::Held);
    let rebind = |from: u8, to: u8, change: u8| {
        kept.open().rebind(([from; 32], [change; 16]), &new(&p1, to), &EVENT).unwrap()
    };
    assert_eq!(rebind(7, 2, 1), taken);
    assert_eq!(rebind(1, 2, 1), Bindings::Held);
    assert_eq!(rebind(1, 2, 1), Bindings::HeldBefore);
    assert_eq!(rebind(2, 1, 2), Bindings::Held);
    assert_eq!(rebind(1, 2, 1), Bindings::Used);
    assert_eq!(kept.open().binding(LINK, &p1).unwrap().unwrap().key, [1; 32]);
    assert_eq!(kept.open().bindings_of(&[2; 32]).unwrap().len(), 1);
    let unknown = named("P9");
    let none = Bindings::Other { key: [0; 32] };
    let rebound = kept.open().rebind(([1; 32], [9; 16]), &new(&unknown, 2), &EVENT).unwrap();
    assert_eq!(rebound, none);
    assert_eq!(kept.open().verify_audit().unwrap().entries, 4, "one for each that was held");
}

#[test]
fn the_first_owner_stays_however_many_come_later() {
    let kept = Kept::new();
    let register = kept.open();
    let (p1, p2) = (named("P1"), named("P2"));
    let own =
        |link, number, individual| register.own(link, object(number), individual, &EVENT).unwrap();
    assert_eq!(own(LINK, 1, &p1), Claim::Unbound);
    register.bind(&new(&p1, 1), &EVENT).unwrap();
    register.bind(&new(&p2, 2), &EVENT).unwrap();
    assert_eq!(own(LINK, 1, &p1), Claim::Owned);
    assert_eq!(own(LINK, 1, &p1), Claim::OwnedBefore);
    assert_eq!(own(LINK, 1, &p2), Claim::Others(p1.clone()));
    assert_eq!(own(OTHER, 1, &p1), Claim::Unbound);
    assert!(register.stored(LINK, object(1)).unwrap());
    assert!(
        !register.stored(LINK, object(2)).unwrap() && !register.stored(OTHER, object(1)).unwrap()
    );
    let claimed = (2..10_000).take_while(|number| own(LINK, *number, &p2) == Claim::Owned);
    assert_eq!(claimed.count(), 4096);
    assert_eq!(own(LINK, 20_000, &p2), Claim::TooMany);
    // Those that have shares after all stay, and the latest; the others give way.
    register.settle(LINK, &[object(2), object(3)]).unwrap();
    assert_eq!(own(LINK, 20_000, &p2), Claim::Owned);
    for number in [1, 2, 3, 4097, 20_000] {
        assert!(register.owner(LINK, object(number)).unwrap().is_some(), "{number}");
    }
    assert!(register.owner(LINK, object(4)).unwrap().is_none());
    assert_eq!(register.owned_by(&[1; 32]).unwrap().len(), 1);
    assert_eq!(register.owned_by(&[2; 32]).unwrap().len(), 2 + 1024 + 1);
}

fn admission(individual: &IndividualId, consent: u8) -> Admission<'_> {
    Admission { key: [1; 32], consent: [consent; 16], individual, made_unix_s: 100, uses_up: None }
}

#[test]
fn what_is_used_up_or_revoked_stays_so() {
    let kept = Kept::new();
    let (p1, p2) = (named("P1"), named("P2"));
    let admit = |one: Admission<'_>| kept.open().admit(&one, &EVENT).unwrap();
    let once = |session: u8| Admission { uses_up: Some([session; 16]), ..admission(&p1, 1) };
    assert_eq!(admit(once(1)), Standing::Holds);
    assert_eq!(admit(once(1)), Standing::Holds);
    assert_eq!(admit(once(2)), Standing::Used);
    assert_eq!(admit(Admission { key: [9; 32], ..once(2) }), Standing::Holds, "another card's");
    let revoke = |revocation: u8, consents: &[[u8; 16]], at_unix_s| {
        let new = NewRevocation {
            link: LINK,
            key: [1; 32],
            revocation: [revocation; 16],
            individual: &p1,
            consents,
            at_unix_s,
            token: "a.b.c",
        };
        kept.open().revoke(&new, &EVENT).unwrap()
    };
    assert!(revoke(1, &[[2; 16], [3; 16]], 50));
    assert!(!revoke(1, &[[4; 16]], 50), "its words are known");
    let stands = [2, 3, 4].map(|consent| admit(admission(&p1, consent)));
    assert_eq!(stands, [Standing::Revoked, Standing::Revoked, Standing::Holds]);
    assert_eq!(admit(Admission { key: [9; 32], ..admission(&p1, 2) }), Standing::Holds);
    assert!(revoke(2, &[], 100) && revoke(3, &[], 40));
    assert_eq!(admit(admission(&p1, 4)), Standing::Revoked);
    assert_eq!(admit(admission(&p2, 4)), Standing::Holds, "the same card, another pseudonym");
    let later = Admission { made_unix_s: 101, ..admission(&p1, 4) };
    assert_eq!(admit(later), Standing::Holds);
    // A refusal leaves no trace that could use a consent up.
    let used = Admission { uses_up: Some([5; 16]), ..admission(&p1, 2) };
    assert_eq!(admit(used), Standing::Revoked);
    let connection = Connection::open(kept.path()).unwrap();
    let count = |table: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        connection.query_row(&query, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("consents_used"), count("revocations")), (2, 3));
}

#[test]
fn holds_bar_forgetting_for_those_they_concern() {
    let kept = Kept::new();
    let register = kept.open();
    let x = XCoord::new(3).unwrap();
    let forget = |link| register.forget(link, (object(1), x), "asked for", &EVENT).unwrap();
    register.hold(object(1), Some(OTHER), "theirs", &EVENT).unwrap();
    assert!(!forget(OTHER));
    assert!(forget(LINK), "another link's hold is about its own shares");
    register.hold(object(1), None, "a court", &EVENT).unwrap();
    assert!(!register.lift_hold(object(1), Some(LINK), &EVENT).unwrap());
    assert!(register.lift_hold(object(1), Some(OTHER), &EVENT).unwrap());
    let entries = register.audit_head().unwrap().entries;
    let throw_away = |link| register.thrown_away(link, object(1), &EVENT).unwrap();
    assert!(!forget(OTHER) && !throw_away(OTHER) && !throw_away(LINK));
    assert_eq!(register.audit_head().unwrap().entries, entries, "nothing was changed or told");
    assert_eq!(register.holds(Some(object(1))).unwrap()[0].by, None);
    assert!(register.lift_hold(object(1), None, &EVENT).unwrap());
    assert!(throw_away(OTHER) && forget(OTHER) && forget(OTHER));
    let gone = kept.open().forgotten(Some(object(1))).unwrap();
    assert_eq!(
        gone.iter().map(|gone| (gone.link, gone.x)).collect::<Vec<_>>(),
        [(LINK, x), (OTHER, x)]
    );
    assert!(register.forgotten(Some(object(2))).unwrap().is_empty());
    assert!(register.holds(None).unwrap().is_empty());
}

#[test]
fn contacts_and_silence_are_remembered() {
    let kept = Kept::new();
    kept.open().contact(LINK, 10).unwrap();
    kept.open().contact(LINK, 30).unwrap();
    kept.open().contact(OTHER, 20).unwrap();
    assert_eq!(kept.open().contacts().unwrap(), [(LINK, 30), (OTHER, 20)]);
    assert_eq!(kept.open().silence().unwrap(), None);
    for until_unix_s in [50, 40] {
        let silence = Silence { until_unix_s, reason: "burned".to_owned() };
        kept.open().accept_silence(&silence, &EVENT).unwrap();
        assert_eq!(kept.open().silence().unwrap(), Some(silence));
    }
}

/// What an audit log can't be told does not happen.
#[test]
fn nothing_takes_effect_that_the_log_does_not_tell() {
    let kept = Kept::new();
    let register = kept.open();
    let p1 = named("P1");
    register.bind(&new(&p1, 1), &EVENT).unwrap();
    let connection = Connection::open(kept.path()).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit
                BEGIN SELECT RAISE(ABORT, 'no space'); END";
    connection.execute_batch(full).unwrap();
    let dump = || {
        let rows = |table: &str| -> i64 {
            let query = format!("SELECT count(*) FROM {table}");
            connection.query_row(&query, [], |row| row.get(0)).unwrap()
        };
        [
            "bindings",
            "rebindings",
            "owners",
            "consents_used",
            "revocations",
            "revoked",
            "holds",
            "forgotten",
            "silence",
            "audit",
            "brought",
        ]
        .map(rows)
    };
    let before = dump();
    let silence = Silence { until_unix_s: 1, reason: "x".to_owned() };
    let revocation = NewRevocation {
        link: LINK,
        key: [1; 32],
        revocation: [1; 16],
        individual: &p1,
        consents: &[[1; 16]],
        at_unix_s: 1,
        token: "a.b.c",
    };
    let once = Admission { uses_up: Some([1; 16]), ..admission(&p1, 1) };
    let x = XCoord::new(1).unwrap();
    let refused = [
        register.bind(&new(&named("P2"), 1), &EVENT).err(),
        register.rebind(([1; 32], [1; 16]), &new(&p1, 2), &EVENT).err(),
        register.own(LINK, object(1), &p1, &EVENT).err(),
        register.admit(&once, &EVENT).err(),
        register.revoke(&revocation, &EVENT).err(),
        register.hold(object(1), None, "x", &EVENT).err(),
        register.forget(LINK, (object(1), x), "x", &EVENT).err(),
        register.accept_silence(&silence, &EVENT).err(),
    ];
    assert!(refused.iter().all(|error| matches!(error, Some(CatalogError::Storage(_)))));
    assert_eq!(dump(), before);
    connection.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(register.admit(&once, &EVENT).unwrap(), Standing::Holds);
    assert_eq!(register.verify_audit().unwrap().entries, 2);
}

#[test]
fn what_is_no_register_is_refused_and_one_in_memory_works_alike() {
    let kept = Kept::new();
    std::fs::write(kept.path(), b"not a register").unwrap();
    let damaged = Register::open_or_create(&kept.path()).err();
    assert!(matches!(damaged, Some(CatalogError::Damaged { .. })), "{damaged:?}");
    let missing = Register::open(&kept.folder.path().join("none")).err();
    assert!(matches!(missing, Some(CatalogError::NotFound { .. })));
    let catalog = kept.folder.path().join("catalog.db");
    drop(warifu_catalog::Catalog::create(&catalog).unwrap());
    assert!(matches!(Register::open(&catalog).err(), Some(CatalogError::Damaged { .. })));
    let register = Register::in_memory().unwrap();
    assert_eq!(register.bind(&new(&named("P1"), 1), &EVENT).unwrap(), Bindings::Held);
    assert_eq!(register.audit(0, 9).unwrap().len(), 1);
}
