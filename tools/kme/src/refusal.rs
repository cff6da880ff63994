//! Why a call gets no key: the status codes and texts of the specification, and our own where it
//! has none.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// Of the specification: this KME deals in bytes.
pub const SIZE_NOT_BYTES: &str = "size shall be a multiple of 8";
/// Of the specification: an extension that is not known here.
pub const EXTENSION_UNKNOWN: &str = "not all extension_mandatory parameters are supported";
/// Of the specification: an extension that is known, and asks for what this KME can't do.
pub const EXTENSION_UNMET: &str = "not all extension_mandatory request options could be met";
/// Of the specification: keys that are unknown, or have been delivered.
pub const KEYS_NOT_FOUND: &str = "one or more keys specified are not found on KME";
/// Ours: the caller is nobody here, or not the one that these keys are for.
pub const UNAUTHORIZED: &str = "the calling SAE is not authorized";
/// Ours: too little key now.
pub const TOO_LITTLE_KEY: &str = "not enough keys are stored on KME";

/// A call that is refused. Each becomes a code that the specification has for its method.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// 400: the request is wrong; `detail` says where.
    BadRequest { message: String, detail: Option<(String, String)> },
    /// 401.
    Unauthorized,
    /// 503.
    NotNow { message: String, retry_after_s: Option<u64> },
}

impl Refusal {
    /// 400 with a text of the specification.
    pub(crate) fn bad(message: &str) -> Self {
        Self::BadRequest { message: message.to_owned(), detail: None }
    }

    /// 400, naming the parameter that is wrong and what it shall be.
    pub(crate) fn parameter(name: &str, shall: impl Into<String>) -> Self {
        let shall = shall.into();
        let message = format!("{name} {shall}");
        Self::BadRequest { message, detail: Some((name.to_owned(), shall)) }
    }
}

#[derive(Serialize)]
struct ErrorBody {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Map<String, Value>>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, message, detail, retry_after_s) = match self {
            Self::BadRequest { message, detail } => {
                (StatusCode::BAD_REQUEST, message, detail, None)
            }
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, UNAUTHORIZED.to_owned(), None, None),
            Self::NotNow { message, retry_after_s } => {
                (StatusCode::SERVICE_UNAVAILABLE, message, None, retry_after_s)
            }
        };
        let detail = detail.map(|(name, what)| Map::from_iter([(name, Value::String(what))]));
        let body = ErrorBody { message, details: detail.into_iter().collect() };
        let mut response = (code, Json(body)).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
