//! The methods of the delivery API, and what faults make of them.

use crate::body::{Distortion, KeyContainer};
use crate::faults::{Call, FaultDesk, FaultKind};
use crate::keys::{Key, KeyId};
use crate::mesh::{Claim, Mesh, Order};
use crate::refusal::Refusal;
use crate::request::{self, KEY_CLASS, KEY_CLASS_EXTENSION};
use crate::setup::SaeIndex;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::json;
use std::future;
use std::sync::Arc;
use std::time::Duration;

/// What a request's body may hold, in bytes: room for the names of the largest request.
const REQUEST_MAX_BYTES: usize = 2 << 20;

/// What a KME says when it is told to be no KME.
const GARBAGE: &[u8] = b"{\"keys\":[{\"key_ID\":\xff\xfe, <html>";

/// One KME of a lab.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Its number in the set-up.
    pub(crate) number: u8,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) faults: FaultDesk,
}

/// Who calls: the common name of the certificate, where it has one.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Option<Arc<str>>);

/// Marks an answer that shall never be sent.
#[derive(Clone, Copy)]
pub(crate) struct Lost;

type SaePath = Result<Path<String>, PathRejection>;

/// All that a KME answers to.
pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/api/v1/keys/{sae}/status", any(status))
        .route("/api/v1/keys/{sae}/enc_keys", any(enc_keys))
        .route("/api/v1/keys/{sae}/dec_keys", any(dec_keys))
        .fallback(unknown)
        .with_state(node)
}

async fn status(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    path: SaePath,
    request: Request,
) -> Response {
    answer(&node, Call::Status, &caller, path, request).await
}

async fn enc_keys(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    path: SaePath,
    request: Request,
) -> Response {
    answer(&node, Call::EncKeys, &caller, path, request).await
}

async fn dec_keys(
    State(node): State<Arc<Node>>,
    Extension(caller): Extension<Caller>,
    path: SaePath,
    request: Request,
) -> Response {
    answer(&node, Call::DecKeys, &caller, path, request).await
}

/// The specification has no 404.
async fn unknown(uri: Uri) -> Refusal {
    Refusal::BadRequest {
        message: "there is no such method".to_owned(),
        detail: Some(("path".to_owned(), uri.path().to_owned())),
    }
}

/// Answers a call, wrongly where a fault asks for it.
async fn answer(
    node: &Node,
    call: Call,
    caller: &Caller,
    path: SaePath,
    request: Request,
) -> Response {
    let faults = match node.faults.meet(call) {
        Ok(faults) => faults,
        Err(error) => {
            tracing::error!(node = node.name, %error, "the file of faults can't be read");
            let message = "the file of this KME's faults can't be read".to_owned();
            return Refusal::NotNow { message, retry_after_s: None }.into_response();
        }
    };
    if !faults.is_empty() {
        tracing::info!(node = node.name, ?call, ?faults, "wrong on purpose");
    }
    if let Some(refusal) = refuse_at_once(&faults).await {
        return refusal.into_response();
    }
    let mut response = match serve(node, call, caller, path, request, &faults).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    if response.status() == StatusCode::OK && faults.contains(&FaultKind::Garbage) {
        *response.body_mut() = Body::from(GARBAGE);
    }
    if faults.contains(&FaultKind::LostAnswer) {
        response.extensions_mut().insert(Lost);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The faults that come before anything else.
async fn refuse_at_once(faults: &[FaultKind]) -> Option<Refusal> {
    for fault in faults {
        match fault {
            FaultKind::Slow { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            FaultKind::Hang => future::pending().await,
            FaultKind::Status400 => return Some(Refusal::bad("refused, as a fault asks for")),
            FaultKind::Status503 { retry_after_s } => {
                let message = "unavailable, as a fault asks for".to_owned();
                return Some(Refusal::NotNow { message, retry_after_s: *retry_after_s });
            }
            FaultKind::DuplicateId
            | FaultKind::DuplicateInAnswer
            | FaultKind::RepeatDec
            | FaultKind::WrongLength
            | FaultKind::FewerKeys
            | FaultKind::LostAnswer
            | FaultKind::CutAnswer
            | FaultKind::LieOnStatus
            | FaultKind::Discard
            | FaultKind::WrongKey
            | FaultKind::Garbage
            | FaultKind::Oversize { .. } => {}
        }
    }
    None
}

/// Who calls whom, as far as this KME serves them.
#[derive(Clone, Copy)]
struct Parties {
    caller: SaeIndex,
    peer: SaeIndex,
}

async fn serve(
    node: &Node,
    call: Call,
    caller: &Caller,
    path: SaePath,
    request: Request,
    faults: &[FaultKind],
) -> Result<Response, Refusal> {
    let setup = &node.mesh.setup;
    let known = caller.0.as_deref().and_then(|name| setup.sae(name));
    let own = known.filter(|sae| setup.at(*sae).node == node.name);
    let caller = own.ok_or(Refusal::Unauthorized)?;
    let Ok(Path(peer)) = path else { return Err(Refusal::bad("bad request format")) };
    let peer = sae(node, &peer)?;
    let parties = Parties { caller, peer };
    let (head, body) = request.into_parts();
    let (uri, headers) = (head.uri, head.headers);
    match (call, head.method) {
        (Call::Status, Method::GET) => Ok(status_of(node, parties, faults)),
        (Call::EncKeys, Method::GET) => {
            let request = request::key_request_of_query(&uri, &setup.limits)?;
            deliver(node, parties, &request, faults)
        }
        (Call::EncKeys, Method::POST) => {
            let body = read(body).await?;
            let request = request::key_request_of_body(&headers, &body, &setup.limits)?;
            deliver(node, parties, &request, faults)
        }
        (Call::DecKeys, Method::GET) => {
            claim(node, parties, &request::key_id_of_query(&uri)?, faults)
        }
        (Call::DecKeys, Method::POST) => {
            let ids = posted_ids(node, &headers, body).await?;
            claim(node, parties, &ids, faults)
        }
        (_, method) => {
            let detail = Some(("method".to_owned(), method.to_string()));
            let message = "this method is not called by that verb".to_owned();
            Err(Refusal::BadRequest { message, detail })
        }
    }
}

async fn posted_ids(node: &Node, headers: &HeaderMap, body: Body) -> Result<Vec<KeyId>, Refusal> {
    request::key_ids_of_body(headers, &read(body).await?, &node.mesh.setup.limits)
}

async fn read(body: Body) -> Result<axum::body::Bytes, Refusal> {
    to_bytes(body, REQUEST_MAX_BYTES)
        .await
        .map_err(|_| Refusal::bad("the request can't be read, or is longer than 2 MiB"))
}

fn sae(node: &Node, name: &str) -> Result<SaeIndex, Refusal> {
    let setup = &node.mesh.setup;
    setup.sae(name).ok_or_else(|| Refusal::BadRequest {
        message: "there is no such SAE".to_owned(),
        detail: Some(("SAE_ID".to_owned(), name.to_owned())),
    })
}

fn status_of(node: &Node, parties: Parties, faults: &[FaultKind]) -> Response {
    let (mesh, limits) = (&node.mesh, &node.mesh.setup.limits);
    let (master, slave) = (mesh.setup.at(parties.caller), mesh.setup.at(parties.peer));
    let lies = faults.contains(&FaultKind::LieOnStatus);
    let lie = |value: u32, factor: u64| u64::from(value) * if lies { factor } else { 1 };
    let stored = mesh.stored_key_count(parties.caller, parties.peer);
    let beyond = u64::from(limits.max_key_count) + 1000;
    Json(json!({
        "source_KME_ID": node.name,
        "target_KME_ID": slave.node,
        "master_SAE_ID": master.name,
        "slave_SAE_ID": slave.name,
        "key_size": limits.key_size_bits,
        "stored_key_count": if lies { beyond } else { stored },
        "max_key_count": limits.max_key_count,
        "max_key_per_request": lie(limits.max_key_per_request, 10),
        "max_key_size": lie(limits.max_key_size_bits, 8),
        "min_key_size": limits.min_key_size_bits,
        "max_SAE_ID_count": limits.max_sae_id_count,
        "status_extension": {
            KEY_CLASS_EXTENSION: KEY_CLASS,
            "warifu_max_answer_bytes": limits.max_answer_bytes,
        },
    }))
    .into_response()
}

fn deliver(
    node: &Node,
    parties: Parties,
    request: &request::KeyRequest,
    faults: &[FaultKind],
) -> Result<Response, Refusal> {
    let mut slaves = vec![parties.peer];
    for name in &request.additional_slaves {
        let slave = sae(node, name)?;
        if slaves.contains(&slave) {
            let shall = "shall name each slave once, and not the one of the path";
            return Err(Refusal::parameter("additional_slave_SAE_IDs", shall));
        }
        slaves.push(slave);
    }
    let is_short = faults.contains(&FaultKind::FewerKeys);
    let mut keys = node.mesh.deliver(&Order {
        master: parties.caller,
        slaves: &slaves,
        count: if is_short { request.count.div_ceil(2) } else { request.count },
        key_bytes: request.key_bytes,
        discards: faults.contains(&FaultKind::Discard),
        repeats: faults.contains(&FaultKind::DuplicateId),
    })?;
    if faults.contains(&FaultKind::DuplicateInAnswer) {
        let again = keys.first().map(Key::twin);
        if let Some((last, again)) = keys.last_mut().zip(again) {
            *last = again;
        }
    }
    Ok(container(node, keys, faults))
}

fn claim(
    node: &Node,
    parties: Parties,
    ids: &[KeyId],
    faults: &[FaultKind],
) -> Result<Response, Refusal> {
    let keys = node.mesh.claim(&Claim {
        slave: parties.caller,
        master: parties.peer,
        ids,
        keeps: faults.contains(&FaultKind::RepeatDec),
    })?;
    Ok(container(node, keys, faults))
}

fn container(node: &Node, keys: Vec<Key>, faults: &[FaultKind]) -> Response {
    let mut distortion = Distortion::default();
    for fault in faults {
        match fault {
            FaultKind::WrongLength => distortion.has_wrong_length = true,
            // Another stream at each node: two that are both wrong do not agree.
            FaultKind::WrongKey => distortion.stream = node.number + 1,
            FaultKind::CutAnswer => distortion.is_cut = true,
            FaultKind::Oversize { bytes } => distortion.padding_bytes = *bytes,
            _ => {}
        }
    }
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], Body::new(KeyContainer::new(keys, distortion))).into_response()
}
