//! Cards of files and the lab that makes them: what signs, and what is refused and why.

#![expect(clippy::unwrap_used, reason = "whatever fails in a helper of a test must fail the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;
use warifu_consent::card::{Algorithm, Card, CardError, CertificateFacts, FileCard};
use warifu_consent::jws::sign;
use warifu_consent::lab::{Lab, LabError, ORGANIZATION};
use warifu_consent::statement::{Enrolment, StatementId, VERSION};
use warifu_consent::trust::{Role, TrustStore};
use x509_parser::pem::parse_x509_pem;

const KINDS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256];

fn new_card(lab: &Lab, folder: &Path, name: &str, kind: Algorithm) -> FileCard {
    let made = lab.new_card(name, kind, 30, &folder.join(name)).unwrap();
    FileCard::open(&made.key.unwrap(), &made.certificate).unwrap()
}

/// A statement that `card` signs.
fn enrolled(card: &mut dyn Card) -> String {
    let statement = Enrolment {
        v: VERSION,
        id: StatementId([7; 16]),
        individual: "P1".parse().unwrap(),
        gateway: "gateway".parse().unwrap(),
        at: now_unix_s(),
    };
    sign(&statement, card).unwrap()
}

fn trust(lab: &Lab) -> TrustStore {
    let pem = std::fs::read(lab.certificate()).unwrap();
    TrustStore::of(&[(Role::CardCa, parse_x509_pem(&pem).unwrap().1.contents)], &[]).unwrap()
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn every_kind_of_key_signs_as_its_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::open_or_make(&folder.path().join("ca")).unwrap();
    let trust = trust(&lab);
    for kind in KINDS {
        let mut card = new_card(&lab, folder.path(), kind.name(), kind);
        assert_eq!(card.algorithm().unwrap(), kind);
        assert!(card.is_software());
        let told = trust.verify::<Enrolment>(&enrolled(&mut card), now_unix_s()).unwrap();
        assert_eq!((told.algorithm, told.is_software), (kind, true));
        let length = match kind {
            Algorithm::Es256 => 64,
            Algorithm::Es384 => 96,
            Algorithm::Rs256 => 256,
        };
        assert_eq!(card.sign(b"message").unwrap().len(), length);
        let chain = card.chain().unwrap();
        let facts = CertificateFacts::read(&chain[0]).unwrap();
        assert_eq!((chain.len(), facts.algorithm, facts.is_authority), (1, kind, false));
        assert!(facts.subject.contains(kind.name()), "{}", facts.subject);
        assert!(facts.issuer.contains(ORGANIZATION), "{}", facts.issuer);
        assert_eq!(facts.not_after_unix_s - facts.not_before_unix_s, 30 * 86_400 + 3600);
    }
}

#[test]
fn a_key_of_another_certificate_and_files_of_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lab = Lab::open_or_make(&at("ca")).unwrap();
    for (name, kind) in [("a", KINDS[0]), ("b", KINDS[0]), ("c", KINDS[1]), ("d", KINDS[2])] {
        let _card = new_card(&lab, folder.path(), name, kind);
    }
    let unfit = |key: &str, certificate: &str| match FileCard::open(&at(key), &at(certificate)) {
        Err(CardError::Unfit(why)) => why,
        Err(other) => panic!("another refusal: {other}"),
        Ok(_) => panic!("{key} and {certificate} are taken"),
    };
    assert!(unfit("a.key", "b.crt").contains("is not the one"));
    assert!(unfit("a.key", "c.crt").contains("of the kind"));
    assert!(unfit("a.key", "d.crt").contains("of the kind"));
    assert!(unfit("d.key", "a.crt").contains("of the kind"));
    assert!(unfit("a.crt", "a.crt").contains("no key in PEM"));
    assert!(unfit("a.key", "a.key").contains("no certificate in PEM"));
    std::fs::write(at("long"), vec![b'-'; 300 << 10]).unwrap();
    assert!(unfit("long", "a.crt").contains("longer"));
    assert!(unfit("a.key", "long").contains("longer"));
    let gone = FileCard::open(&at("nowhere"), &at("a.crt"));
    assert!(matches!(gone, Err(CardError::Absent(_))));
}

#[test]
fn a_certificate_cut_or_changed_anywhere_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::open_or_make(&folder.path().join("ca")).unwrap();
    let der = new_card(&lab, folder.path(), "a", KINDS[0]).chain().unwrap().remove(0);
    for end in 0..der.len() {
        assert!(CertificateFacts::read(&der[..end]).is_err(), "cut at {end}");
    }
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0xff;
        // Most changes are in names, numbers and signature, which nobody judges here.
        let _read = CertificateFacts::read(&changed);
    }
    assert!(CertificateFacts::read(&[&der[..], &[0]].concat()).is_err());
}

#[test]
fn a_lab_never_replaces_a_file_and_shows_keys_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    let lab = Lab::open_or_make(&ca).unwrap();
    let authority = std::fs::read(lab.certificate()).unwrap();
    let out = folder.path().join("p");
    let made = lab.new_card("p", KINDS[0], 1, &out).unwrap();
    let again = Lab::open_or_make(&ca).unwrap().new_card("p", KINDS[0], 1, &out);
    assert!(matches!(again, Err(LabError::Exists(_))));
    assert_eq!(std::fs::read(lab.certificate()).unwrap(), authority);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&made.key.unwrap()), 0o600);
    assert_eq!(mode(&ca.join("ca.key")), 0o600);
    assert_eq!((mode(&made.certificate), mode(lab.certificate())), (0o644, 0o644));
    // Half a pair, as a crash between the two files leaves it, is not taken for a card.
    std::fs::remove_file(folder.path().join("p.key")).unwrap();
    let half = lab.new_card("p", KINDS[0], 1, &out);
    assert!(matches!(half, Err(LabError::Exists(path)) if path.ends_with("p.crt")));
}

#[test]
fn a_ca_whose_certificate_was_lost_is_whole_again_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = |lab: &Lab| {
        let pem = std::fs::read(lab.certificate()).unwrap();
        CertificateFacts::read(&parse_x509_pem(&pem).unwrap().1.contents).unwrap().key
    };
    let lab = Lab::open_or_make(folder.path()).unwrap();
    let before = key(&lab);
    std::fs::remove_file(lab.certificate()).unwrap();
    assert_eq!(key(&Lab::open_or_make(folder.path()).unwrap()), before);
    std::fs::write(folder.path().join("ca.key"), "no key").unwrap();
    assert!(matches!(Lab::open_or_make(folder.path()), Err(LabError::Certificate { .. })));
}

#[test]
fn labs_that_start_at_once_share_one_ca() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    let enrol = &|name: &str| {
        let lab = Lab::open_or_make(&ca).unwrap();
        enrolled(&mut new_card(&lab, folder.path(), name, KINDS[0]))
    };
    let tokens = std::thread::scope(|scope| {
        let threads = ["p", "q", "r", "s"].map(|name| scope.spawn(move || enrol(name)));
        threads.map(|thread| thread.join().unwrap())
    });
    let trust = trust(&Lab::open_or_make(&ca).unwrap());
    for token in tokens {
        assert!(trust.verify::<Enrolment>(&token, now_unix_s()).is_ok());
    }
}

#[test]
fn subjects_and_days_that_make_no_certificate_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::open_or_make(&folder.path().join("ca")).unwrap();
    let made = |subject: &str, days| {
        lab.new_card(subject, KINDS[0], days, &folder.path().join("x")).map(|_| ())
    };
    for subject in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(made(subject, 1), Err(LabError::Subject)), "{subject:?}");
    }
    for days in [0, 36_501, u64::MAX] {
        assert!(matches!(made("x", days), Err(LabError::Days)), "{days}");
    }
    assert!(made("x", 36_500).is_ok());
}
