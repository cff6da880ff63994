//! What a site's register keeps for work with other sites: what was said and done first stays.

use std::path::PathBuf;
use tempfile::TempDir;
use warifu_catalog::{
    Admitted, CatalogError, Claim, Event, Holders, NewBinding, NewHolders, Register,
};
use warifu_core::{IndividualId, LinkId, ObjectId, SiteName, XCoord};

const LINK: LinkId = LinkId::from_bytes([1; 16]);
const OBJECT: ObjectId = ObjectId::from_bytes([2; 16]);
const EVENT: Event<'_> = Event { kind: "test", json: "{}", at_unix_s: 5 };

struct Kept {
    folder: TempDir,
}

impl Kept {
    /// A register in which P1 has an object.
    fn new() -> Self {
        let kept = Self { folder: tempfile::tempdir().unwrap() };
        let individual: IndividualId = "P1".parse().unwrap();
        let binding =
            NewBinding { link: LINK, individual: &individual, key: [1; 32], evidence: "a.b.c" };
        kept.open().bind(&binding, &EVENT).unwrap();
        assert_eq!(kept.open().own(LINK, OBJECT, &individual, &EVENT).unwrap(), Claim::Owned);
        kept
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("register.sqlite")
    }

    /// As a process that comes later finds it.
    fn open(&self) -> Register {
        Register::open_or_create(&self.path()).unwrap()
    }

    fn note(&self, holders: &[(XCoord, SiteName)]) -> Result<Holders, CatalogError> {
        self.open().note_holders(&NewHolders { link: LINK, object: OBJECT, holders }, &EVENT)
    }
}

fn x(x: u8) -> XCoord {
    XCoord::new(x).unwrap()
}

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

#[test]
fn where_shares_lie_is_said_once_and_before_the_first_is_complete() {
    let kept = Kept::new();
    let list = [(x(1), site("tokyo")), (x(2), site("osaka"))];
    let other = [(x(1), site("tokyo")), (x(2), site("kyoto"))];
    let (nobodys, holders) = (ObjectId::from_bytes([9; 16]), &list[..]);
    let unowned =
        kept.open().note_holders(&NewHolders { link: LINK, object: nobodys, holders }, &EVENT);
    assert!(matches!(unowned, Err(CatalogError::NotFound { .. })));
    assert_eq!(kept.note(&list).unwrap(), Holders::Noted);
    assert_eq!(kept.note(&[list[1].clone(), list[0].clone()]).unwrap(), Holders::NotedBefore);
    assert_eq!(kept.note(&other).unwrap(), Holders::Others);
    assert_eq!(kept.note(&list[..1]).unwrap(), Holders::Others);
    kept.open().stored(LINK, OBJECT).unwrap();
    assert_eq!(kept.note(&list).unwrap(), Holders::NotedBefore);
    assert_eq!(kept.open().holders(LINK, OBJECT).unwrap(), list);
    assert!(kept.open().holders(LinkId::from_bytes([3; 16]), OBJECT).unwrap().is_empty());
    // One that was stored before there were lists never gets one.
    let older = Kept::new();
    older.open().stored(LINK, OBJECT).unwrap();
    assert_eq!(older.note(&list).unwrap(), Holders::TooLate);
    assert!(older.open().holders(LINK, OBJECT).unwrap().is_empty());
    older.open().completed(LINK, OBJECT).unwrap();
    assert!(!older.open().is_first(LINK, OBJECT).unwrap());
}

#[test]
fn a_site_is_admitted_to_one_share_for_good() {
    let kept = Kept::new();
    let admit = |target: &str, share| {
        kept.open().admit_target((LINK, OBJECT), (&site(target), x(share)), &EVENT).unwrap()
    };
    assert_eq!(admit("nagoya", 2), Admitted::Admitted);
    let before = kept.open().verify_audit().unwrap().entries;
    assert_eq!(admit("nagoya", 3), Admitted::Other(x(2)));
    assert_eq!(kept.open().verify_audit().unwrap().entries, before, "nothing was admitted");
    assert_eq!(admit("nagoya", 2), Admitted::Admitted);
    assert_eq!(admit("sendai", 3), Admitted::Admitted);
    assert_eq!(kept.open().verify_audit().unwrap().entries, before + 2);
    // Nothing is admitted that the log can't tell.
    let odd = Event { json: "no JSON", ..EVENT };
    let target = (&site("kobe"), x(1));
    assert!(kept.open().admit_target((LINK, OBJECT), target, &odd).is_err());
    assert_eq!(admit("kobe", 2), Admitted::Admitted);
}

#[test]
fn only_the_share_that_was_completed_first_counts_as_first() {
    let list = [(x(1), site("tokyo")), (x(2), site("osaka"))];
    let complete = |kept: &Kept| {
        kept.open().completing(LINK, OBJECT).unwrap();
        kept.open().completed(LINK, OBJECT).unwrap();
        kept.open().is_first(LINK, OBJECT).unwrap()
    };
    // It was thrown away.
    let kept = Kept::new();
    kept.note(&list).unwrap();
    assert!(!kept.open().is_first(LINK, OBJECT).unwrap());
    assert!(complete(&kept));
    kept.open().completed(LINK, OBJECT).unwrap();
    assert!(kept.open().is_first(LINK, OBJECT).unwrap(), "a commit was asked again");
    kept.open().thrown_away(LINK, OBJECT, &EVENT).unwrap();
    assert!(!kept.open().is_first(LINK, OBJECT).unwrap());
    assert!(!complete(&kept));
    // It was lost, and the one that came then was cut short once.
    let kept = Kept::new();
    kept.note(&list).unwrap();
    assert!(complete(&kept));
    kept.open().completing(LINK, OBJECT).unwrap();
    assert!(!kept.open().is_first(LINK, OBJECT).unwrap());
    assert!(!complete(&kept) && !complete(&kept));
    // It was thrown away before this was kept.
    let kept = Kept::new();
    kept.note(&list).unwrap();
    kept.open().thrown_away(LINK, OBJECT, &EVENT).unwrap();
    assert!(!complete(&kept));
}

#[test]
fn neighbours_are_named_once() {
    let kept = Kept::new();
    let add = |url| kept.open().add_neighbour(&site("tokyo"), url);
    add("warifu://tokyo:1").unwrap();
    assert!(matches!(add("warifu://tokyo:2"), Err(CatalogError::AlreadyExists { .. })));
    let known = kept.open().neighbours().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].url, "warifu://tokyo:1");
    assert_eq!(kept.open().neighbour(&site("tokyo")).unwrap().as_ref(), known.first());
    assert!(kept.open().remove_neighbour(&site("tokyo")).unwrap());
    assert!(!kept.open().remove_neighbour(&site("tokyo")).unwrap());
    assert!(kept.open().neighbour(&site("tokyo")).unwrap().is_none());
}
