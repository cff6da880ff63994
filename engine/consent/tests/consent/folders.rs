//! The folder of anchors: what is pinned stays, what was not is not trusted.

use crate::people::{Authority, NOW, consent, openssl};
use std::fs;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use warifu_consent::statement::Consent;
use warifu_consent::trust::{RevocationPolicy, Role, TrustError, TrustFolder, TrustStore};

fn pem(der: &[u8], label: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn believes(folder: &Path, token: &str) -> Result<(), &'static str> {
    let trust = TrustStore::open(folder).unwrap();
    trust.verify::<Consent>(token, NOW).map(drop).map_err(|why| why.code())
}

#[test]
fn pinning_and_taking_back_count_at_once_for_whoever_opens_the_folder() {
    let vault = tempfile::tempdir().unwrap();
    let folder = vault.path().join("trust");
    let authority = Authority::new("CA");
    let token = authority.card("P1").says(&consent());
    assert_eq!(believes(&folder, &token), Err("trust-none"));
    let given = pem(&authority.certificate, "CERTIFICATE");
    let pinned = TrustStore::add(&folder, Role::CardCa, &given).unwrap();
    assert_eq!(TrustStore::add(&folder, Role::CardCa, &given).unwrap(), pinned);
    assert_eq!(believes(&folder, &token), Ok(()));
    assert_eq!(TrustStore::open(&folder).unwrap().anchors(), slice::from_ref(&pinned));
    // What the folder holds is what other tools read.
    let name = format!("card-ca-{}.pem", hex(&pinned.fingerprint));
    let path = folder.join(name);
    let print =
        openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-fingerprint", "-sha256"]);
    let print = print.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert_eq!(print, hex(&pinned.fingerprint));
    assert_eq!(TrustStore::remove(&folder, &print[..8]).unwrap(), pinned);
    assert_eq!(believes(&folder, &token), Err("trust-none"));
}

#[test]
fn what_is_taken_back_must_be_named_and_be_one() {
    let vault = tempfile::tempdir().unwrap();
    let folder = vault.path().join("trust");
    let both: Vec<_> = ["CA", "CB"]
        .map(|name| pem(&Authority::new(name).certificate, "CERTIFICATE"))
        .iter()
        .map(|given| TrustStore::add(&folder, Role::CardCa, given).unwrap())
        .collect();
    for prefix in ["", "zz", "00000000000000000000"] {
        assert!(matches!(TrustStore::remove(&folder, prefix), Err(TrustError::NoSuch { .. })));
    }
    assert_eq!(TrustStore::open(&folder).unwrap().anchors().len(), 2);
    TrustStore::remove(&folder, &hex(&both[0].fingerprint)).unwrap();
    assert_eq!(TrustStore::open(&folder).unwrap().anchors(), slice::from_ref(&both[1]));
}

#[test]
fn what_is_no_certificate_is_not_pinned() {
    let vault = tempfile::tempdir().unwrap();
    let folder = vault.path().join("trust");
    let authority = Authority::new("CA");
    let whole = pem(&authority.certificate, "CERTIFICATE");
    let twice = [whole.clone(), whole.clone()].concat();
    let key = pem(&authority.certificate, "PRIVATE KEY");
    let torn = pem(&authority.certificate[..100], "CERTIFICATE");
    for given in [&b""[..], b"hello", &authority.certificate, &twice, &key, &torn] {
        assert!(TrustStore::add(&folder, Role::CardCa, given).is_err());
    }
    assert!(TrustStore::open(&folder).unwrap().anchors().is_empty());
}

#[test]
fn where_a_file_is_not_what_its_name_says_nothing_is_trusted() {
    let vault = tempfile::tempdir().unwrap();
    let folder = vault.path().join("trust");
    let given = pem(&Authority::new("CA").certificate, "CERTIFICATE");
    let pinned = TrustStore::add(&folder, Role::CardCa, &given).unwrap();
    let name = |role: Role| format!("{role}-{}.pem", hex(&pinned.fingerprint));
    let mine = folder.join(name(Role::CardCa));
    for spoilt in [&b""[..], &given[..given.len() / 2], &pem(&[1, 2, 3], "CERTIFICATE")] {
        fs::write(&mine, spoilt).unwrap();
        assert!(TrustStore::open(&folder).is_err());
    }
    let other = pem(&Authority::new("CB").certificate, "CERTIFICATE");
    fs::write(&mine, other).unwrap();
    assert!(matches!(TrustStore::open(&folder), Err(TrustError::Strange { .. })));
    fs::write(&mine, &given).unwrap();
    assert!(TrustStore::open(&folder).is_ok());
    // An authority does not become an officer by the name of a file.
    fs::copy(&mine, folder.join(name(Role::Officer))).unwrap();
    assert!(TrustStore::open(&folder).is_err());
    fs::remove_file(folder.join(name(Role::Officer))).unwrap();
    // A draft that a crash left behind is passed over.
    fs::write(folder.join("card-ca-00.pem.7.draft"), b"half").unwrap();
    assert_eq!(TrustStore::open(&folder).unwrap().anchors().len(), 1);
    fs::write(folder.join("notes.txt"), b"mine").unwrap();
    assert!(matches!(TrustStore::open(&folder), Err(TrustError::Strange { .. })));
}

#[test]
fn lists_are_taken_in_from_pinned_authorities_only_and_never_older_ones() {
    let vault = tempfile::tempdir().unwrap();
    let folder = vault.path().join("trust");
    let authority = Authority::new("CA");
    let list = authority.list(&[5], (2030, 1, 1));
    assert!(matches!(TrustStore::add_crl(&folder, &list), Err(TrustError::ListOfNobody { .. })));
    let given = pem(&authority.certificate, "CERTIFICATE");
    TrustStore::add(&folder, Role::CardCa, &given).unwrap();
    let mut params = crate::people::person_params("P1");
    params.serial_number = Some(rcgen::SerialNumber::from(5u64));
    let token = authority.card_of(&params, rcgen::KeyPair::generate().unwrap()).says(&consent());
    assert_eq!(believes(&folder, &token), Ok(()));
    TrustStore::add_crl(&folder, &pem(&list, "X509 CRL")).unwrap();
    assert_eq!(believes(&folder, &token), Err("certificate-revoked"));
    let namesake = Authority::new("CA").list(&[], (2030, 1, 1));
    assert!(TrustStore::add_crl(&folder, &namesake).is_err());
    let older = authority.list_from(&[], (2025, 6, 1), (2030, 1, 1));
    assert!(matches!(TrustStore::add_crl(&folder, &older), Err(TrustError::OlderList { .. })));
    assert_eq!(believes(&folder, &token), Err("certificate-revoked"));
    assert!(TrustStore::add_crl(&folder, &list[..list.len() - 1]).is_err());
}

#[test]
fn what_is_kept_in_memory_is_what_the_folder_holds() {
    let vault = tempfile::tempdir().unwrap();
    let folder = vault.path().join("trust");
    let kept = TrustFolder::new(&folder, RevocationPolicy::default());
    let authority = Authority::new("CA");
    let mut params = crate::people::person_params("P1");
    params.serial_number = Some(rcgen::SerialNumber::from(5u64));
    let token = authority.card_of(&params, rcgen::KeyPair::generate().unwrap()).says(&consent());
    let judged = || {
        let verified = kept.now().unwrap().verify::<Consent>(&token, NOW);
        verified.map(drop).map_err(|why| why.code())
    };
    assert_eq!(judged(), Err("trust-none"));
    let given = pem(&authority.certificate, "CERTIFICATE");
    let pinned = TrustStore::add(&folder, Role::CardCa, &given).unwrap();
    assert_eq!(judged(), Ok(()));
    assert!(Arc::ptr_eq(&kept.now().unwrap(), &kept.now().unwrap()));
    TrustStore::add_crl(&folder, &authority.list(&[5], (2030, 1, 1))).unwrap();
    assert_eq!(judged(), Err("certificate-revoked"));
    // A list of the same length in its place, as a newer one often is.
    TrustStore::add_crl(&folder, &authority.list(&[6], (2030, 1, 1))).unwrap();
    assert_eq!(judged(), Ok(()));
    TrustStore::remove(&folder, &hex(&pinned.fingerprint)).unwrap();
    assert_eq!(judged(), Err("trust-none"));
    fs::write(folder.join("notes.txt"), b"mine").unwrap();
    assert!(kept.now().is_err());
    fs::remove_file(folder.join("notes.txt")).unwrap();
    assert_eq!(judged(), Err("trust-none"));
}
