//! Who may speak at all.

use crate::client::{Client, TestLab};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use warifu_kme::{Changes, Lab, SystemClock, UNAUTHORIZED};

#[test]
fn without_a_certificate_of_the_lab_nobody_is_heard() {
    let (lab, other) = (TestLab::pair(), TestLab::pair());
    let url = &lab.ready().node("a").unwrap().url;
    let ca = &lab.ready().ca;
    let nobody = Client::with(url, ca, None);
    nobody.try_get("sae-b/status").unwrap_err();
    let stranger = other.ready().sae("sae-a").unwrap();
    let stranger = Client::with(url, ca, Some((&stranger.certificate, &stranger.key)));
    stranger.try_get("sae-b/status").unwrap_err();
    // A KME's certificate is for servers.
    let kme = lab.folder.path().join("kme");
    let kme = Client::with(url, ca, Some((&kme.join("b.pem"), &kme.join("b.key.pem"))));
    kme.try_get("sae-b/status").unwrap_err();
    // And a KME of another lab is not believed.
    let own = lab.ready().sae("sae-a").unwrap();
    let own = Some((own.certificate.as_path(), own.key.as_path()));
    let astray = Client::with(&other.ready().node("a").unwrap().url, ca, own);
    astray.try_get("sae-b/status").unwrap_err();
    assert_eq!(lab.client("sae-a").stored("sae-b"), 100_000);
}

#[test]
fn a_caller_without_a_place_at_this_kme_is_401() {
    let lab = TestLab::pair();
    let folder = lab.folder.path().to_owned();
    // An application that comes later, at the other KME.
    let sae = (folder.join("sae/guest.pem"), folder.join("sae/guest.key.pem"));
    let TestLab { folder: _kept, running } = lab;
    running.end();
    let changes = Changes { saes: vec!["guest@b".parse().unwrap()], ..Changes::default() };
    let clock = Arc::new(SystemClock::new());
    let running = Lab::open(&folder, &changes).unwrap().start(clock).unwrap();
    let (url, ca) = (&running.ready().node("a").unwrap().url, &running.ready().ca);
    let guest = Client::with(url, ca, Some((&sae.0, &sae.1)));
    for path in ["sae-b/status", "sae-b/enc_keys", "sae-b/dec_keys?key_ID=x"] {
        assert_eq!(guest.get(path).refused(401), UNAUTHORIZED);
    }
}

/// A client that says what it likes.
fn raw(lab: &TestLab, version: &'static rustls::SupportedProtocolVersion) -> Raw {
    let sae = lab.ready().sae("sae-a").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&lab.ready().ca).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_file(&sae.certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_file(&sae.key).unwrap())
        .unwrap();
    let address = lab.ready().node("a").unwrap().url.replace("https://", "");
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

type Raw = StreamOwned<ClientConnection, TcpStream>;

fn answer(mut stream: Raw, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut text = Vec::new();
    // How a connection ends after the answer is of no interest here.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn both_versions_of_tls_are_spoken() {
    let lab = TestLab::pair();
    let request = b"GET /api/v1/keys/sae-b/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let answer = answer(raw(&lab, version), request);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn what_is_no_http_ends_the_connection_and_no_more() {
    let lab = TestLab::pair();
    let long = vec![b'x'; 1 << 20];
    let requests: [&[u8]; 4] = [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /api/v1/keys/sae-b/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/keys/sae-b/enc_keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          Content-Type: application/json\r\nConnection: close\r\n\r\nzz\r\n",
        &long,
    ];
    for request in requests {
        let mut stream = raw(&lab, &rustls::version::TLS13);
        // The KME may hang up before all is said.
        let _ = stream.write_all(request);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        assert!(!String::from_utf8_lossy(&text).contains(" 200 "));
    }
    // Bytes that are no TLS either.
    let address = lab.ready().node("a").unwrap().url.replace("https://", "");
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = plain.read_to_end(&mut Vec::new());
    assert_eq!(lab.client("sae-a").stored("sae-b"), 100_000);
}
