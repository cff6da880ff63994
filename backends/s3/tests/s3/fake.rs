//! An S3 server in this process. Honest, it does what this backend needs of S3; it lies as told.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lie {
    /// It overwrites whatever the condition says.
    IgnoresConditions,
    /// It completes an upload, and says so with an error in a body of status 200.
    ErrorInBody { is_done: bool },
    /// It says yes to a part, and forgets it.
    DropsLastPart,
    /// It carries a put out, and cuts the connection before the answer.
    CutsAfterPut,
    /// It answers 503 to so many requests.
    Busy { requests: u32 },
    /// It answers reads with less than was asked for.
    ReadsShort,
    /// It lists what was deleted, and each thing twice.
    ListsStale,
    /// It takes its time for everything.
    Slow,
    /// It answers a part of an upload with 500 for ever.
    RefusesParts,
    /// It says that there is a conflict where there is none, so many times.
    FalseConflict { requests: u32 },
}

/// What it keeps.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) objects: BTreeMap<String, Bytes>,
    pub(crate) uploads: BTreeMap<String, BTreeMap<usize, Bytes>>,
    deleted: Vec<String>,
    begun: u32,
    pub(crate) lie: Option<Lie>,
    /// Requests that carried the SHA-256 of their body.
    pub(crate) with_checksum: usize,
    /// Most bytes that one request brought.
    pub(crate) longest_body: usize,
}

type Shared = Arc<Mutex<Shelf>>;

/// The server, until it is dropped.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    shelf: Shared,
    _runtime: Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shelf = Shared::default();
        let router = Router::new()
            .route("/{bucket}", any(list))
            .route("/{bucket}/{*key}", any(object))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shelf));
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shelf, _runtime: runtime }
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        locked(&self.shelf)
    }

    pub(crate) fn lies(&self, lie: Lie) {
        self.shelf().lie = Some(lie);
    }
}

fn locked(shelf: &Shared) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

type Parameters = Query<BTreeMap<String, String>>;

async fn list(State(shelf): State<Shared>, Query(query): Parameters) -> Response {
    let shelf = locked(&shelf);
    let prefix = query.get("prefix").map_or("", String::as_str);
    let mut keys: Vec<_> =
        shelf.objects.iter().map(|(key, body)| (key.clone(), body.len())).collect();
    if shelf.lie == Some(Lie::ListsStale) {
        keys.extend(keys.clone());
        keys.extend(shelf.deleted.iter().map(|key| (key.clone(), 1)));
    }
    let entry = |(key, bytes): &(String, usize)| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
             <ETag>\"0\"</ETag><Size>{bytes}</Size></Contents>"
        )
    };
    let entries: String =
        keys.iter().filter(|(key, _)| key.starts_with(prefix)).map(entry).collect();
    xml(format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"))
}

async fn object(
    State(shelf): State<Shared>,
    method: Method,
    Path((_, key)): Path<(String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let lie = locked(&shelf).lie;
    if lie == Some(Lie::Slow) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut shelf = locked(&shelf);
    shelf.longest_body = shelf.longest_body.max(body.len());
    if headers.contains_key("x-amz-checksum-sha256") {
        shelf.with_checksum += 1;
    }
    match &mut shelf.lie {
        Some(Lie::Busy { requests }) if *requests > 0 => {
            *requests -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Some(Lie::FalseConflict { requests }) if *requests > 0 && method == Method::PUT => {
            *requests -= 1;
            return StatusCode::CONFLICT.into_response();
        }
        _ => {}
    }
    let is_refused = headers.contains_key(header::IF_NONE_MATCH)
        && shelf.lie != Some(Lie::IgnoresConditions)
        && shelf.objects.contains_key(&key);
    let id = query.get("uploadId");
    match (method.as_str(), id) {
        ("POST", None) => shelf.begin(),
        ("PUT", Some(id)) => shelf.part(id, &query["partNumber"], body),
        ("POST" | "PUT", _) if is_refused => StatusCode::PRECONDITION_FAILED.into_response(),
        ("POST", Some(id)) => shelf.complete(key, id),
        ("DELETE", Some(id)) => match shelf.uploads.remove(id) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        ("PUT", None) => shelf.put(key, body),
        ("DELETE", None) => {
            shelf.objects.remove(&key);
            shelf.deleted.push(key);
            StatusCode::NO_CONTENT.into_response()
        }
        ("GET" | "HEAD", _) => shelf.get(&key, &headers),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl Shelf {
    fn begin(&mut self) -> Response {
        self.begun += 1;
        let id = format!("upload{}", self.begun);
        self.uploads.insert(id.clone(), BTreeMap::new());
        xml(format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>"
        ))
    }

    fn part(&mut self, id: &str, number: &str, body: Bytes) -> Response {
        if self.lie == Some(Lie::RefusesParts) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        match self.uploads.get_mut(id) {
            Some(parts) => {
                parts.insert(number.parse().unwrap(), body);
                [(header::ETAG, format!("\"{number}\""))].into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn complete(&mut self, key: String, id: &str) -> Response {
        let error = "<Error><Code>InternalError</Code><Message>lost</Message></Error>";
        if self.lie == Some(Lie::ErrorInBody { is_done: false }) {
            return xml(error.to_owned());
        }
        let Some(mut parts) = self.uploads.remove(id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        if self.lie == Some(Lie::DropsLastPart) {
            parts.pop_last();
        }
        let whole: Vec<u8> = parts.into_values().flatten().collect();
        self.objects.insert(key, whole.into());
        match self.lie {
            Some(Lie::ErrorInBody { .. }) => xml(error.to_owned()),
            _ => xml("<CompleteMultipartUploadResult><ETag>\"0\"</ETag>\
                      </CompleteMultipartUploadResult>"
                .to_owned()),
        }
    }

    fn put(&mut self, key: String, body: Bytes) -> Response {
        self.objects.insert(key, body);
        if self.lie == Some(Lie::CutsAfterPut) {
            self.lie = None;
            // The connection is closed where a body ends before its length.
            return (StatusCode::BAD_GATEWAY, [(header::CONNECTION, "close")]).into_response();
        }
        [(header::ETAG, "\"0\"")].into_response()
    }

    fn get(&self, key: &str, headers: &HeaderMap) -> Response {
        let Some(whole) = self.objects.get(key) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let common = [
            (header::ETAG, "\"0\"".to_owned()),
            (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
        ];
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        let Some((first, last)) =
            range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return (common, whole.clone()).into_response();
        };
        let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
        if first >= whole.len() {
            return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        }
        let mut end = whole.len().min(last + 1);
        if self.lie == Some(Lie::ReadsShort) {
            end = end.min(first + 1);
        }
        let told = format!("bytes {first}-{}/{}", end - 1, whole.len());
        let body = whole.slice(first..end);
        (StatusCode::PARTIAL_CONTENT, common, [(header::CONTENT_RANGE, told)], body).into_response()
    }
}

fn xml(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
