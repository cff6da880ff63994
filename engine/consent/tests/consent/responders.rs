//! Responders (OCSP): `openssl ocsp` answers, over real HTTP, and so does whoever sits between.

use crate::people::{Authority, TestCard, authority_params, consent, openssl, person_params};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, SerialNumber};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::SystemTime;
use warifu_consent::statement::Consent;
use warifu_consent::trust::{RevocationPolicy, Role, TrustStore};

/// What a responder makes of a question.
type Answers = Box<dyn FnMut(Vec<u8>) -> Vec<u8> + Send>;

/// Serves one answer after the other for as long as the test runs: its address.
fn serve(mut answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut question = vec![0; length];
            stream.read_exact(&mut question).unwrap();
            let answer = answers(question);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            stream.get_mut().write_all(&[head.as_bytes(), &answer].concat()).unwrap();
        }
    });
    url
}

/// An authority, three cards of it, and the folder from which `openssl` answers about them:
/// number 40 (hexadecimal) is good, 41 revoked, 42 unknown.
struct Scene {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { authority: Authority::new("CA"), folder: tempfile::tempdir().unwrap() };
        let index = "V\t400101000000Z\t\t40\tunknown\t/CN=P1\n\
                     R\t400101000000Z\t260101000000Z\t41\tunknown\t/CN=P2\n";
        fs::write(scene.path("index"), index).unwrap();
        let Scene { authority, .. } = &scene;
        scene.keep("ca", &authority.certificate, &authority.key);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn keep(&self, name: &str, certificate: &[u8], key: &KeyPair) {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let folded = pem_lines(&pem);
        fs::write(self.path(&format!("{name}.crt")), folded).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn card(&self, serial: u64) -> TestCard {
        let mut params = person_params("P1");
        params.serial_number = Some(SerialNumber::from(serial));
        self.authority.card_of(&params, KeyPair::generate().unwrap())
    }

    /// One whom the authority certified to answer, for `purposes`.
    fn delegate(&self, purposes: Vec<ExtendedKeyUsagePurpose>) {
        let mut params = person_params("responder");
        params.extended_key_usages = purposes;
        let key = KeyPair::generate().unwrap();
        self.keep("delegate", &self.authority.certify(&params, &key), &key);
    }

    /// `openssl` as a responder that signs as `signer`.
    fn responder(&self, signer: &'static str) -> impl FnMut(Vec<u8>) -> Vec<u8> + Send + use<> {
        let folder = self.folder.path().to_owned();
        move |question| {
            let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
            fs::write(path("question"), question).unwrap();
            openssl(&[
                "ocsp",
                "-index",
                &path("index"),
                "-CA",
                &path("ca.crt"),
                "-rsigner",
                &path(&format!("{signer}.crt")),
                "-rkey",
                &path(&format!("{signer}.key")),
                "-ndays",
                "1",
                "-reqin",
                &path("question"),
                "-respout",
                &path("answer"),
            ]);
            fs::read(path("answer")).unwrap()
        }
    }

    /// What is said of card `serial` where `answers` is asked.
    fn judged(&self, serial: u64, answers: Answers) -> Result<(), &'static str> {
        self.judged_at(serial, &serve(answers), 0)
    }

    fn judged_at(&self, serial: u64, url: &str, later_s: u64) -> Result<(), &'static str> {
        let policy = RevocationPolicy { is_required: true, ocsp_url: Some(url.to_owned()) };
        let anchors = [(Role::CardCa, self.authority.certificate.clone())];
        let trust = TrustStore::of(&anchors, &[]).unwrap().with_policy(policy);
        // `openssl` answers by the clock of this machine.
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + later_s;
        let token = self.card(serial).says(&consent());
        trust.verify::<Consent>(&token, now).map(drop).map_err(|why| why.code())
    }
}

/// The same with lines of 64 letters, as `openssl` wants them.
fn pem_lines(pem: &str) -> String {
    let wrapped = pem.lines().flat_map(|line| {
        line.as_bytes().chunks(64).map(|part| format!("{}\n", String::from_utf8_lossy(part)))
    });
    wrapped.collect()
}

#[test]
fn a_responder_tells_good_revoked_and_unknown_apart() {
    let scene = Scene::new();
    for (serial, expected) in
        [(0x40, Ok(())), (0x41, Err("certificate-revoked")), (0x42, Err("revocation-unknown"))]
    {
        let answered = scene.judged(serial, Box::new(scene.responder("ca")));
        assert_eq!(answered, expected, "{serial:x}");
    }
}

#[test]
fn answers_count_from_the_authority_or_whom_it_certified_for_answering() {
    let scene = Scene::new();
    let judged = || scene.judged(0x40, Box::new(scene.responder("delegate")));
    scene.delegate(vec![ExtendedKeyUsagePurpose::OcspSigning]);
    assert_eq!(judged(), Ok(()));
    for wrong in
        [vec![], vec![ExtendedKeyUsagePurpose::ClientAuth], vec![ExtendedKeyUsagePurpose::Any]]
    {
        scene.delegate(wrong);
        assert_eq!(judged(), Err("revocation-unknown"));
    }
    let namesake = Authority::of(authority_params("CA"));
    scene.keep("delegate", &namesake.certificate, &namesake.key);
    assert_eq!(judged(), Err("revocation-unknown"));
}

#[test]
fn an_answer_to_another_question_is_none() {
    let scene = Scene::new();
    // Whoever sits between kept an answer about a good card, from before and about another.
    let mut honest = scene.responder("ca");
    let mut kept: Option<Vec<u8>> = None;
    let url = serve(Box::new(move |question| kept.get_or_insert_with(|| honest(question)).clone()));
    assert_eq!(scene.judged_at(0x40, &url, 0), Ok(()));
    assert_eq!(scene.judged_at(0x40, &url, 0), Err("revocation-unknown"));
    assert_eq!(scene.judged_at(0x41, &url, 0), Err("revocation-unknown"));
}

#[test]
fn an_old_answer_is_none() {
    let scene = Scene::new();
    let url = serve(Box::new(scene.responder("ca")));
    assert_eq!(scene.judged_at(0x40, &url, 86_400 + 600), Err("revocation-unknown"));
}

#[test]
fn whatever_else_comes_back_is_no_answer() {
    let scene = Scene::new();
    let mut honest = scene.responder("ca");
    let mut turn = 0;
    let url = serve(Box::new(move |question| {
        turn += 1;
        let answer = honest(question);
        match turn {
            1 => vec![],
            2 => b"<html>".to_vec(),
            3 => answer[..answer.len() - 1].to_vec(),
            4 => [answer, vec![0]].concat(),
            // "Try later", which nobody signs.
            5 => vec![0x30, 3, 0x0a, 1, 3],
            6 => vec![0x30; 1 << 20],
            _ => {
                let mut changed = answer;
                let at = changed.len() / 3;
                changed[at] ^= 1;
                changed
            }
        }
    }));
    for turn in 1..=7 {
        assert_eq!(scene.judged_at(0x40, &url, 0), Err("revocation-unknown"), "turn {turn}");
    }
    // Nobody there at all.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(scene.judged_at(0x40, &format!("http://{nobody}/"), 0), Err("revocation-unknown"));
}
