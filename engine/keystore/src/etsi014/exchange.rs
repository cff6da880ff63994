//! One request and its answer, bounded in time and length.

use super::connect::{
    Addresses, Credentials, CredentialsError, Hurry, NotConnected, SecureConnector,
};
use super::connect::{refusal, version_words};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Timeout};
use warifu_buffers::Block;

/// Longest answer that holds no key, in bytes.
pub(super) const PLAIN_BYTES_MAX: u64 = 64 << 10;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a name may take to be resolved, and a connection to come about with its TLS.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Longer than that nobody is left alone, whatever they ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a KME answered.
pub(super) struct Answer {
    /// The status of HTTP.
    pub(super) status: u16,
    /// The type that it says its body is of.
    pub(super) content_type: Option<String>,
    /// How long it asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The body, zeroised when it is dropped.
    pub(super) body: Block,
}

/// Why there is no answer that could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// Nothing was sent.
    #[error("{0}")]
    Away(String),
    /// They or we do not believe the other's certificate.
    #[error("{0}")]
    Refused(String),
    /// Something was sent and no whole answer came.
    #[error("{0}")]
    Lost(String),
    /// What came is no answer, or one that is too long.
    #[error("{0}")]
    Malformed(String),
}

/// The connections to one KME.
pub(super) struct Exchange {
    agent: Agent,
    base: String,
    version: Arc<AtomicU16>,
    hurry: Arc<Hurry>,
}

/// A URL that is none of a KME.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no URL of a KME: write https://HOST or https://HOST:PORT")]
pub struct UrlError(pub String);

/// Whether `url` is one of a KME.
///
/// # Errors
/// [`UrlError`].
pub(super) fn base_of(url: &str) -> Result<String, UrlError> {
    let wrong = || UrlError(url.to_owned());
    let parsed: Uri = url.parse().map_err(|_| wrong())?;
    let plain = parsed.scheme_str() == Some("https")
        && parsed.host().is_some_and(|host| !host.is_empty())
        && parsed.query().is_none()
        && parsed.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    match plain {
        true => Ok(format!("{}/api/v1/keys/", url.trim_end_matches('/'))),
        false => Err(wrong()),
    }
}

impl Exchange {
    /// Connections to the KME at `base`; without our certificate where `is_anonymous`.
    pub(super) fn new(
        base: String,
        credentials: &Credentials,
        is_anonymous: bool,
        timeout: Duration,
        connections_max: usize,
    ) -> Result<Self, CredentialsError> {
        let connector = SecureConnector::new(credentials.client_config(is_anonymous)?);
        let (version, hurry) = (connector.version(), connector.hurry());
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("warifu")
            .accept("application/json")
            .accept_encoding("identity")
            .max_response_header_size(HEAD_BYTES_MAX)
            .max_idle_connections(connections_max)
            .max_idle_connections_per_host(connections_max)
            .max_idle_age(IDLE_MAX)
            .timeout_resolve(Some(CONNECT_MAX.min(timeout)))
            .timeout_connect(Some(CONNECT_MAX.min(timeout)))
            .timeout_global(Some(timeout))
            .build();
        Ok(Self { agent: Agent::with_parts(config, connector, Addresses), base, version, hurry })
    }

    /// The version of TLS of the last connection.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        version_words(self.version.load(Relaxed))
    }

    /// Lets every wait end soon.
    pub(super) fn hurry(&self) {
        self.hurry.begin();
    }

    /// Asks without a body; `path` stands behind the base and is encoded.
    pub(super) fn get(&self, path: &str, answer_bytes_max: u64) -> Result<Answer, ExchangeError> {
        let asked = self.agent.get(format!("{}{path}", self.base)).call();
        answer(asked.map_err(|error| classified(&error))?, answer_bytes_max)
    }

    /// Asks with a body of JSON.
    pub(super) fn post(
        &self,
        path: &str,
        body: &str,
        answer_bytes_max: u64,
    ) -> Result<Answer, ExchangeError> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let asked = request.header(CONTENT_TYPE, "application/json").send(body);
        answer(asked.map_err(|error| classified(&error))?, answer_bytes_max)
    }
}

/// A part of a path, with all that is not plain encoded.
pub(super) fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

fn classified(error: &ureq::Error) -> ExchangeError {
    let why = error.to_string();
    match error {
        ureq::Error::Other(other) => match other.downcast_ref::<NotConnected>() {
            Some(away @ NotConnected::Away(_)) => ExchangeError::Away(away.to_string()),
            Some(refused @ NotConnected::Refused(_)) => ExchangeError::Refused(refused.to_string()),
            None => ExchangeError::Lost(why),
        },
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => ExchangeError::Away(why),
        ureq::Error::Io(io) => match refusal(io) {
            // With TLS 1.3 a client learns only after its request that it is not believed.
            Some(refused @ rustls::Error::AlertReceived(_)) => {
                ExchangeError::Refused(refused.to_string())
            }
            Some(other) => ExchangeError::Lost(other.to_string()),
            None => ExchangeError::Lost(why),
        },
        ureq::Error::Protocol(_)
        | ureq::Error::Http(_)
        | ureq::Error::LargeResponseHeader(..)
        | ureq::Error::RedirectFailed
        | ureq::Error::TooManyRedirects => ExchangeError::Malformed(why),
        ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => ExchangeError::Refused(why),
        _ => ExchangeError::Lost(why),
    }
}

fn answer(response: Response<Body>, answer_bytes_max: u64) -> Result<Answer, ExchangeError> {
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    let text = |name: HeaderName| text_of(&head.headers, &name);
    if let Some(encoding) = text(CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
        let why = format!("it answers in {encoding:?}, which was not asked for");
        return Err(ExchangeError::Malformed(why));
    }
    let bytes_max = match status {
        200 => answer_bytes_max,
        _ => answer_bytes_max.min(PLAIN_BYTES_MAX),
    };
    let bytes = body.content_length().unwrap_or(bytes_max);
    let too_long = || {
        ExchangeError::Malformed(format!(
            "its answer is longer than the {bytes_max} bytes it may be"
        ))
    };
    let retry_after = text(RETRY_AFTER).and_then(|text| retry_after(&text));
    let content_type = text(CONTENT_TYPE);
    // What is no key need not be read to its end: the status says enough.
    let wordless = |content_type, retry_after| match status {
        200 => Err(too_long()),
        _ => Ok(Answer { status, content_type, retry_after, body: Block::zeroed(0) }),
    };
    if bytes > bytes_max {
        return wordless(content_type, retry_after);
    }
    let mut block = Block::zeroed(usize::try_from(bytes).map_err(|_| too_long())?);
    let mut reader = body.with_config().limit(u64::MAX).reader();
    let mut filled = 0;
    loop {
        // Behind the end one more byte is asked for: there must be none.
        let mut beyond = [0];
        let target = match filled < block.len() {
            true => &mut block[filled..],
            false => &mut beyond[..],
        };
        match reader.read(target) {
            Ok(0) => break,
            Ok(_) if filled == block.len() => return wordless(content_type, retry_after),
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(ExchangeError::Lost(format!("cut after {filled} bytes: {error}")));
            }
        }
    }
    block.truncate(filled);
    Ok(Answer { status, content_type, retry_after, body: block })
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.chars().take(128).collect())
}

/// How long `text`, a number of seconds or a date, asks for.
fn retry_after(text: &str) -> Option<Duration> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let then = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_second();
            let now = jiff::Timestamp::now().as_second();
            u64::try_from(then.checked_sub(now)?).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_applications_are_encoded() {
        assert_eq!(encoded("sae-a_1.x~"), "sae-a_1.x~");
        assert_eq!(encoded("a/b c%é?#"), "a%2Fb%20c%25%C3%A9%3F%23");
        assert_eq!(encoded("../x"), "..%2Fx");
    }

    #[test]
    fn urls_are_those_of_a_kme_or_refused() {
        let base = |url: &str| base_of(url).ok();
        assert_eq!(base("https://h:1"), Some("https://h:1/api/v1/keys/".to_owned()));
        assert_eq!(base("https://[::1]:1/"), Some("https://[::1]:1/api/v1/keys/".to_owned()));
        assert_eq!(base("https://h/kme"), Some("https://h/kme/api/v1/keys/".to_owned()));
        for wrong in ["http://h", "h:1", "https://", "https://u@h", "https://h?x=1", "", "é"] {
            assert!(base(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn seconds_and_dates_are_waits_and_long_ones_are_cut() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Tue, 01 Jan 2999 00:00:00 GMT"), Some(RETRY_AFTER_MAX));
        assert!(retry_after("soon").is_none() && retry_after("-1").is_none());
    }
}
