//! Runs the KMEs of a lab: TLS with certificates on both sides, then HTTP/1.1.

use crate::api::{self, Caller, Lost, Node};
use crate::certificates::common_name;
use crate::folder::Folder;
use crate::lab::LabError;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// Most connections of one KME at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be silent between two requests, or in the middle of a head.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// TLS as a KME speaks it: its own certificate, and one of the same authority from each caller.
pub(crate) fn tls(folder: &Folder, node: &str) -> Result<TlsAcceptor, LabError> {
    let (certificate, key) = folder.node(node);
    let wrong = |source| LabError::Tls { node: node.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&folder.ca().0)? {
        roots.add(authority).map_err(wrong)?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|source| LabError::Verifier { source })?;
    let key_der =
        PrivateKeyDer::from_pem_file(&key).map_err(|source| LabError::Pem { path: key, source })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(wrong)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&certificate)?, key_der)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LabError> {
    let wrong = |source| LabError::Pem { path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// Serves one KME until `end` changes.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    node: Arc<Node>,
    mut end: watch::Receiver<bool>,
) {
    let router = api::router(Arc::clone(&node));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accept => accepted,
            _ = end.changed() => return,
        };
        let Ok((stream, from)) = accepted else {
            // Out of descriptors, mostly: the connections that there are will end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (tls, router, end) = (tls.clone(), router.clone(), end.clone());
        let name = node.name.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(stream, tls, router, end).await {
                tracing::debug!(node = name, %from, %error, "a connection ended badly");
            }
            drop(place);
        });
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// Serves one connection until either side ends it.
async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    router: Router,
    mut end: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let stream = tokio::select! {
        stream = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)) => stream??,
        _ = end.changed() => return Ok(()),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let caller = Caller(certificate.and_then(|der| common_name(der)).map(Arc::from));
    let service = service_fn(move |request| call(router.clone(), caller.clone(), request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => Ok(ended?),
        _ = end.changed() => Ok(()),
    }
}

/// The answer is lost, as a fault asks for: an error ends the connection before it begins.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost, as the fault lost-answer asks for")]
struct AnswerLost;

async fn call(
    router: Router,
    caller: Caller,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, AnswerLost> {
    request.extensions_mut().insert(caller);
    let Ok(response) = TowerToHyperService::new(router).call(request).await;
    if response.extensions().get::<Lost>().is_some() { Err(AnswerLost) } else { Ok(response) }
}
