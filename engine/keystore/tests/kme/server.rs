//! A KME that answers whatever a test wants, byte by byte, over real TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use warifu_keystore::etsi014::{Credentials, Kme, KmeAccess};

pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) body: String,
}

/// Answers a request; whether the connection stays open.
pub(crate) type Answerer = dyn Fn(&Request, &mut Stream) -> bool + Send + Sync;

/// Certificates of a lab: an authority, a server and a client of it, and a client of another.
pub(crate) struct Lab {
    dir: TempDir,
    server: Arc<ServerConfig>,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (pem, der) = (certificate.pem(), certificate.der().clone());
    Authority { issuer: Issuer::new(params, key), pem, der }
}

fn leaf(authority: &Authority, name: &str) -> (String, String, CertificateDer<'static>, Vec<u8>) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().clone(), key.serialize_der())
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (authority("ours"), authority("other"));
        for (file, text) in [("ca.pem", &ours.pem), ("other-ca.pem", &other.pem)] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        for (name, authority) in [("sae-a", &ours), ("stranger", &other)] {
            let (certificate, key, ..) = leaf(authority, name);
            std::fs::write(dir.path().join(format!("{name}.pem")), certificate).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key).unwrap();
        }
        let (.., certificate, key) = leaf(&ours, "kme");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ours.der.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
            .unwrap();
        Self { dir, server: Arc::new(server) }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// How the client called `name` reaches `address`.
    pub(crate) fn access(&self, address: SocketAddr, name: &str) -> KmeAccess {
        KmeAccess {
            name: "kme:lab".to_owned(),
            url: format!("https://{address}"),
            credentials: Credentials {
                certificate: self.path(&format!("{name}.pem")),
                key: self.path(&format!("{name}.key")),
                authorities: self.path("ca.pem"),
            },
            timeout: Duration::from_secs(60),
            connections_max: 4,
        }
    }
}

/// A running server; it ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(
        lab: &Lab,
        answer: impl Fn(&Request, &mut Stream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
            is_over: Arc::default(),
        };
        let (config, answer): (_, Arc<Answerer>) = (lab.server.clone(), Arc::new(answer));
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        let is_over = server.is_over.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                connections.fetch_add(1, Ordering::Relaxed);
                let (config, answer, requests) = (config.clone(), answer.clone(), requests.clone());
                std::thread::spawn(move || {
                    let tls = ServerConnection::new(config).unwrap();
                    let mut stream = StreamOwned::new(tls, stream.unwrap());
                    while let Some(request) = read(&mut stream) {
                        requests.lock().unwrap().push(request.clone());
                        if !answer(&request, &mut stream) {
                            break;
                        }
                    }
                });
            }
        });
        server
    }

    /// The client of the lab, at this server.
    pub(crate) fn kme(&self, lab: &Lab) -> Kme {
        Kme::open(lab.access(self.address, "sae-a")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _woken = TcpStream::connect(self.address);
    }
}

/// The next request, or `None` at the end.
fn read(stream: &mut Stream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length: ").map(|text| text.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let line = head.lines().next().unwrap().to_owned();
    Some(Request { line, body: String::from_utf8(body).unwrap() })
}

/// Sends an answer with a length, and keeps the connection.
pub(crate) fn send(stream: &mut Stream, status: &str, more: &str, body: &str) -> bool {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         {more}\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok()
        && stream.flush().is_ok()
}
