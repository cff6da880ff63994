//! Certificates: each that must not be believed, with the reason that people get to read.

use crate::people::{
    Authority, NOW, TestCard, authority_params, consent, openssl, person_params, rsa_key,
};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
    SerialNumber, date_time_ymd,
};
use std::fs;
use warifu_consent::Untrue;
use warifu_consent::statement::Consent;
use warifu_consent::trust::{RevocationPolicy, Role, TrustError, TrustStore};

fn trusting(authority: &Authority) -> TrustStore {
    TrustStore::of(&[(Role::CardCa, authority.certificate.clone())], &[]).unwrap()
}

/// What is said of a consent that `card` signed, where the site trusts `trust`.
fn judged(trust: &TrustStore, card: &mut TestCard) -> Result<bool, Untrue> {
    trust.verify::<Consent>(&card.says(&consent()), NOW).map(|verified| verified.is_software)
}

/// The code, for a card of `authority` whose certificate is changed so.
fn code(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Result<(), String> {
    let mut params = person_params("P1");
    change(&mut params);
    let mut card = authority.card_of(&params, KeyPair::generate().unwrap());
    refusal(judged(&trusting(authority), &mut card))
}

/// The code of a refusal. Each must say something of its own, and what to do.
fn refusal<T>(judged: Result<T, Untrue>) -> Result<(), String> {
    judged.map(drop).map_err(|why| {
        assert!(!why.to_string().is_empty() && !why.next().is_empty());
        why.code().to_owned()
    })
}

fn refused(code: &str) -> Result<(), String> {
    Err(code.to_owned())
}

#[test]
fn a_good_card_is_believed_and_a_labs_is_marked() {
    let authority = Authority::new("CA");
    let mut card = authority.card("P1");
    assert_eq!(judged(&trusting(&authority), &mut card), Ok(false));
    let mut params = authority_params("CA of a lab");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "warifu lab");
    let lab = Authority::of(params);
    assert_eq!(judged(&trusting(&lab), &mut lab.card("P1")), Ok(true));
}

#[test]
fn each_fault_of_a_persons_certificate_has_its_own_code() {
    let authority = Authority::new("CA");
    type Change = fn(&mut CertificateParams);
    let faults: [(&str, Change); 9] = [
        ("certificate-expired", |params| params.not_after = date_time_ymd(2026, 1, 1)),
        ("certificate-not-yet", |params| params.not_before = date_time_ymd(2027, 1, 1)),
        ("certificate-usage", |params| {
            params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        }),
        ("certificate-usage", |params| params.key_usages.clear()),
        ("certificate-usage", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
        ("certificate-usage", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ("certificate-usage", |params| {
            let mut odd = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            odd.set_criticality(true);
            params.custom_extensions.push(odd);
        }),
        ("certificate-unreadable", |params| {
            let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 128]);
            params.custom_extensions.push(usage);
        }),
        ("certificate-unreadable", |params| {
            params.key_usages.clear();
            let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![4, 2, 7, 128]);
            params.custom_extensions.push(usage);
        }),
    ];
    for (index, (expected, change)) in faults.into_iter().enumerate() {
        // What can't even be read is refused before a card signs with it.
        if expected == "certificate-unreadable" {
            let mut params = person_params("P1");
            change(&mut params);
            let der = authority.certify(&params, &KeyPair::generate().unwrap());
            let read = warifu_consent::Certificate::read(&der);
            assert_eq!(refusal(read), refused(expected), "row {index}");
            continue;
        }
        assert_eq!(code(&authority, change), refused(expected), "row {index}");
    }
    assert_eq!(code(&authority, |_| {}), Ok(()));
}

#[test]
fn policies_marked_critical_are_no_fault() {
    // As state-issued cards have them: one policy, critical, and a list's place in a directory.
    let authority = Authority::new("CA");
    let judged = code(&authority, |params| {
        let policy = vec![
            0x30, 0x0e, 0x30, 0x0c, 0x06, 0x0a, 0x2a, 0x83, 0x08, 0x8c, 0x9b, 0x55, 0x08, 0x05,
            0x01, 0x03,
        ];
        let mut policies = CustomExtension::from_oid_content(&[2, 5, 29, 32], policy);
        policies.set_criticality(true);
        params.custom_extensions.push(policies);
        params.crl_distribution_points =
            vec![CrlDistributionPoint { uris: vec!["ldap://example.org/cn=list".to_owned()] }];
    });
    assert_eq!(judged, Ok(()));
}

#[test]
fn weak_and_unknown_keys_are_refused_by_name() {
    let authority = Authority::new("CA");
    let folder = tempfile::tempdir().unwrap();
    let certified = |key: &str| {
        let path = folder.path().join("key.pem");
        fs::write(&path, key).unwrap();
        let path = path.to_str().unwrap();
        let public = openssl(&["pkey", "-in", path, "-pubout"]);
        let key = rcgen::SubjectPublicKeyInfo::from_pem(&public).unwrap();
        authority.certify(&person_params("P1"), &key)
    };
    let weak = certified(&rsa_key(1_024));
    let edwards = certified(&openssl(&["genpkey", "-algorithm", "ED25519"]));
    // Whoever signs: the certificate alone is refused.
    let card = authority.card("P1");
    for (der, expected, text) in [
        (weak, "certificate-weak", "1024 bits, 2048 are the least"),
        (edwards, "certificate-algorithm", "Ed25519"),
    ] {
        let forged = card.with_chain(vec![der]);
        let payload = serde_json::to_vec(&consent()).unwrap();
        let token = forged.forge(&forged.header::<Consent>(), &payload);
        let why = trusting(&authority).verify::<Consent>(&token, NOW).unwrap_err();
        assert_eq!(why.code(), expected);
        assert!(why.to_string().contains(text), "{why}");
    }
}

#[test]
fn a_certificate_signed_by_sha1_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("ca.key"), rsa_key(2_048)).unwrap();
    let key = KeyPair::generate().unwrap();
    fs::write(path("p1.key"), key.serialize_pem()).unwrap();
    fs::write(
        path("extensions"),
        "keyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(&[
        "req",
        "-x509",
        "-key",
        &path("ca.key"),
        "-subj",
        "/CN=old",
        "-days",
        "5000",
        "-out",
        &path("ca.crt"),
        "-addext",
        "keyUsage=critical,keyCertSign",
    ]);
    openssl(&["req", "-new", "-key", &path("p1.key"), "-subj", "/CN=P1", "-out", &path("csr")]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &path("csr"),
        "-CA",
        &path("ca.crt"),
        "-CAkey",
        &path("ca.key"),
        "-sha1",
        "-days",
        "5000",
        "-extfile",
        &path("extensions"),
        "-out",
        &path("p1.crt"),
    ]);
    let ca = fs::read(path("ca.crt")).unwrap();
    TrustStore::add(folder.path().join("trust").as_path(), Role::CardCa, &ca).unwrap();
    let trust = TrustStore::open(&folder.path().join("trust")).unwrap();
    let der =
        x509_parser::pem::parse_x509_pem(&fs::read(path("p1.crt")).unwrap()).unwrap().1.contents;
    // Made by the clock of this machine, so judged by it.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 60;
    let token = TestCard::new(key, vec![der]).says(&consent());
    let why = trust.verify::<Consent>(&token, now).unwrap_err();
    assert_eq!(why.code(), "certificate-algorithm");
    assert!(why.to_string().contains("SHA-1 with RSA"), "{why}");
}

#[test]
fn authorities_between_are_followed_and_must_be_some() {
    let root = Authority::new("root");
    let middle = root.below(authority_params("middle"));
    let trust = trusting(&root);
    let with = |authority: &Authority, chain: &[&Authority]| {
        let mut card = authority.card("P1");
        card.chain.extend(chain.iter().map(|above| above.certificate.clone()));
        card
    };
    assert_eq!(judged(&trust, &mut with(&middle, &[&middle])), Ok(false));
    assert_eq!(refusal(judged(&trust, &mut with(&middle, &[]))), refused("certificate-chain"));
    // Whoever has a card can issue certificates with it, and must not.
    let person = root.below(person_params("P2"));
    assert_eq!(
        refusal(judged(&trust, &mut with(&person, &[&person]))),
        refused("certificate-issuer")
    );
    let mut no_signer = authority_params("no signer");
    no_signer.key_usages = vec![KeyUsagePurpose::CrlSign];
    let no_signer = root.below(no_signer);
    assert_eq!(
        refusal(judged(&trust, &mut with(&no_signer, &[&no_signer]))),
        refused("certificate-issuer")
    );
    let mut old = authority_params("old");
    old.not_after = date_time_ymd(2026, 1, 1);
    let old = root.below(old);
    assert_eq!(refusal(judged(&trust, &mut with(&old, &[&old]))), refused("certificate-expired"));
    let mut limiting = authority_params("limiting");
    limiting.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
        excluded_subtrees: vec![],
    });
    let limiting = root.below(limiting);
    assert_eq!(
        refusal(judged(&trust, &mut with(&limiting, &[&limiting]))),
        refused("certificate-usage")
    );
}

#[test]
fn an_authority_for_something_else_certifies_no_persons() {
    let root = Authority::new("root");
    let judged_by = |purpose: ExtendedKeyUsagePurpose| {
        let mut params = authority_params("middle");
        params.extended_key_usages = vec![purpose];
        let middle = root.below(params);
        let mut card = middle.card("P1");
        card.chain.push(middle.certificate.clone());
        refusal(judged(&trusting(&root), &mut card))
    };
    for other in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::CodeSigning] {
        assert_eq!(judged_by(other), refused("certificate-usage"));
    }
    assert_eq!(judged_by(ExtendedKeyUsagePurpose::ClientAuth), Ok(()));
    assert_eq!(judged_by(ExtendedKeyUsagePurpose::Any), Ok(()));
}

#[test]
fn an_authority_that_allows_none_below_it_is_heeded() {
    let mut params = authority_params("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let root = Authority::of(params);
    let middle = root.below(authority_params("middle"));
    let mut card = middle.card("P1");
    card.chain.push(middle.certificate.clone());
    assert_eq!(refusal(judged(&trusting(&root), &mut card)), refused("certificate-chain"));
    assert_eq!(judged(&trusting(&root), &mut root.card("P1")), Ok(false));
}

#[test]
fn strangers_namesakes_and_self_made_cards_are_refused() {
    let authority = Authority::new("CA");
    let trust = trusting(&authority);
    let chain = || refused("certificate-chain");
    assert_eq!(refusal(judged(&trust, &mut Authority::new("other").card("P1"))), chain());
    // The authority's name with another key, also where its certificate comes along.
    let namesake = Authority::new("CA");
    let mut card = namesake.card("P1");
    assert_eq!(refusal(judged(&trust, &mut card)), chain());
    card.chain.push(namesake.certificate.clone());
    assert_eq!(refusal(judged(&trust, &mut card)), chain());
    card.chain.push(authority.certificate.clone());
    assert_eq!(refusal(judged(&trust, &mut card)), chain());
    let key = KeyPair::generate().unwrap();
    let own = person_params("P1").self_signed(&key).unwrap().der().to_vec();
    assert_eq!(refusal(judged(&trust, &mut TestCard::new(key, vec![own]))), chain());
    // A card whose certificate is another's.
    let mut thief = authority.card("P2").with_chain(authority.card("P1").chain);
    assert!(warifu_consent::jws::sign(&consent(), &mut thief).is_err());
    let payload = serde_json::to_vec(&consent()).unwrap();
    let token = thief.forge(&thief.header::<Consent>(), &payload);
    assert_eq!(trust.verify::<Consent>(&token, NOW).unwrap_err(), Untrue::Forged);
}

#[test]
fn without_an_anchor_nobody_is_believed() {
    let authority = Authority::new("CA");
    let nobody = TrustStore::of(&[], &[]).unwrap();
    assert_eq!(refusal(judged(&nobody, &mut authority.card("P1"))), refused("trust-none"));
    // One who is pinned as an officer issues no cards, and an authority is no officer.
    let officer = authority.card("officer");
    let officers = TrustStore::of(&[(Role::Officer, officer.chain[0].clone())], &[]).unwrap();
    assert_eq!(refusal(judged(&officers, &mut authority.card("P1"))), refused("trust-none"));
    for role in [Role::Officer, Role::Registrar] {
        let pinned = TrustStore::of(&[(role, authority.certificate.clone())], &[]);
        assert!(matches!(pinned, Err(TrustError::Unfit(_))), "{role}");
    }
    let pinned = TrustStore::of(&[(Role::CardCa, officer.chain[0].clone())], &[]);
    assert!(matches!(pinned, Err(TrustError::Unfit(why)) if why.code() == "certificate-issuer"));
}

#[test]
fn an_anchor_that_has_ended_is_trusted_no_more() {
    let mut params = authority_params("CA");
    params.not_after = date_time_ymd(2026, 1, 1);
    let authority = Authority::of(params);
    let mut card = authority.card("P1");
    assert_eq!(refusal(judged(&trusting(&authority), &mut card)), refused("certificate-expired"));
}

#[test]
fn revocation_lists_are_heeded_while_they_hold_and_after() {
    let authority = Authority::new("CA");
    let numbered = |serial: u64| {
        let mut params = person_params("P1");
        params.serial_number = Some(SerialNumber::from(serial));
        authority.card_of(&params, KeyPair::generate().unwrap())
    };
    let judged = |list: Vec<u8>, serial| {
        let anchors = [(Role::CardCa, authority.certificate.clone())];
        refusal(judged(&TrustStore::of(&anchors, &[list]).unwrap(), &mut numbered(serial)))
    };
    let current = || authority.list(&[40, 41], (2030, 1, 1));
    assert_eq!(judged(current(), 40), refused("certificate-revoked"));
    assert_eq!(judged(current(), 41), refused("certificate-revoked"));
    assert_eq!(judged(current(), 42), Ok(()));
    let ended = || authority.list(&[40], (2026, 2, 1));
    assert_eq!(judged(ended(), 40), refused("certificate-revoked"));
    assert_eq!(judged(ended(), 42), refused("revocation-unknown"));
    // Another's list says nothing, nor does one by the same name with another key.
    assert_eq!(judged(Authority::new("other").list(&[40], (2030, 1, 1)), 40), Ok(()));
    assert_eq!(judged(Authority::new("CA").list(&[40], (2030, 1, 1)), 40), Ok(()));
}

#[test]
fn where_policy_wants_revocation_known_silence_refuses() {
    let authority = Authority::new("CA");
    let anchors = [(Role::CardCa, authority.certificate.clone())];
    let policy = || RevocationPolicy { is_required: true, ocsp_url: None };
    let silent = TrustStore::of(&anchors, &[]).unwrap().with_policy(policy());
    assert_eq!(refusal(judged(&silent, &mut authority.card("P1"))), refused("revocation-unknown"));
    let list = authority.list(&[1], (2030, 1, 1));
    let listed = TrustStore::of(&anchors, &[list]).unwrap().with_policy(policy());
    assert_eq!(judged(&listed, &mut authority.card("P1")), Ok(false));
}

#[test]
fn a_revoked_authority_between_takes_its_cards_along() {
    let root = Authority::new("root");
    let mut params = authority_params("middle");
    params.serial_number = Some(SerialNumber::from(77u64));
    let middle = root.below(params);
    let mut card = middle.card("P1");
    card.chain.push(middle.certificate.clone());
    let anchors = [(Role::CardCa, root.certificate.clone())];
    let trust = TrustStore::of(&anchors, &[root.list(&[77], (2030, 1, 1))]).unwrap();
    assert_eq!(refusal(judged(&trust, &mut card)), refused("certificate-revoked"));
}
