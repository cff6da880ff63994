//! A lab of the test's own, and a plain client of its KMEs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use warifu_kme::{Changes, Clock, Lab, Limits, Ready, Running, SystemClock};

/// How long a call may take before the test gives it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands until it is told to go.
#[derive(Default)]
pub(crate) struct HandClock(Mutex<Duration>);

impl HandClock {
    pub(crate) fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

/// A lab in a folder of its own, in this process.
pub(crate) struct TestLab {
    pub(crate) folder: TempDir,
    pub(crate) running: Running,
}

impl TestLab {
    /// The pair that a new folder gets.
    pub(crate) fn pair() -> Self {
        Self::new(&Changes::default(), Arc::new(SystemClock::new()))
    }

    /// A pair with these limits.
    pub(crate) fn with_limits(limits: Limits) -> Self {
        let changes = Changes { limits: Some(limits), ..Changes::default() };
        Self::new(&changes, Arc::new(SystemClock::new()))
    }

    /// Three KMEs with an application each, and a second one at `a`.
    pub(crate) fn mesh() -> Self {
        let nodes = ["a", "b", "c"].map(|name| format!("{name}=127.0.0.1:0").parse().unwrap());
        let saes = ["sae-a@a", "sae-b@b", "sae-c@c", "dép/ôt 7@a"];
        let saes = saes.map(|text| text.parse().unwrap());
        let changes = Changes { nodes: nodes.into(), saes: saes.into(), ..Changes::default() };
        Self::new(&changes, Arc::new(SystemClock::new()))
    }

    pub(crate) fn new(changes: &Changes, clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Lab::open(folder.path(), changes).unwrap().start(clock).unwrap();
        Self { folder, running }
    }

    pub(crate) fn ready(&self) -> &Ready {
        self.running.ready()
    }

    /// A client with the certificate of an application, at its own KME.
    pub(crate) fn client(&self, sae: &str) -> Client {
        Client::new(self.ready(), sae)
    }
}

/// One application at one KME.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) kind: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A key as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl Client {
    pub(crate) fn new(ready: &Ready, sae: &str) -> Self {
        let node = ready.sae(sae).unwrap().node.clone();
        Self::at(ready, sae, &node)
    }

    /// A client with the certificate of `sae`, calling the KME `node`.
    pub(crate) fn at(ready: &Ready, sae: &str, node: &str) -> Self {
        let sae = ready.sae(sae).unwrap();
        let base = ready.node(node).unwrap().url.clone();
        Self::with(&base, &ready.ca, Some((&sae.certificate, &sae.key)))
    }

    pub(crate) fn with(base: &str, ca: &Path, own: Option<(&Path, &Path)>) -> Self {
        let pem = |path: &Path| fs::read(path).unwrap();
        let own = own.map(|(certificate, key)| {
            let certificate = Certificate::from_pem(&pem(certificate)).unwrap().to_owned();
            let key = PrivateKey::from_pem(&pem(key)).unwrap().to_owned();
            ClientCert::new_with_certs(&[certificate], key)
        });
        let ca = Certificate::from_pem(&pem(ca)).unwrap().to_owned();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .client_cert(own)
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { agent: config.into(), base: base.to_owned() }
    }

    /// The same, but giving up after so long.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        let config = self.agent.config();
        let config = ureq::Agent::config_builder()
            .tls_config(config.tls_config().clone())
            .http_status_as_error(false)
            .timeout_global(Some(patience))
            .build();
        Self { agent: config.into(), base: self.base }
    }

    /// Calls a path below the root of the API by GET.
    pub(crate) fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        read(self.agent.get(self.url(path)).call()?)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    pub(crate) fn try_post(&self, path: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let request = self.agent.post(self.url(path)).header("Content-Type", "application/json");
        read(request.send(body)?)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body.to_string().as_bytes()).unwrap()
    }

    /// Posts with a content type of the test's choice.
    pub(crate) fn post_as(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let request = self.agent.post(self.url(path)).header("Content-Type", kind);
        read(request.send(body).unwrap()).unwrap()
    }

    /// Calls by any verb, without a body.
    pub(crate) fn call(&self, verb: &str, url_path: &str) -> Answer {
        let url = format!("{}{url_path}", self.base);
        let request = ureq::http::Request::builder().method(verb).uri(url).body(()).unwrap();
        read(self.agent.run(request).unwrap()).unwrap()
    }

    pub(crate) fn status(&self, slave: &str) -> Value {
        self.get(&format!("{slave}/status")).ok()
    }

    /// How many keys the pool of the default size has.
    pub(crate) fn stored(&self, slave: &str) -> u64 {
        self.status(slave)["stored_key_count"].as_u64().unwrap()
    }

    /// Fresh keys.
    pub(crate) fn enc(&self, slave: &str, count: u64, size_bits: u64) -> Vec<Key> {
        self.get(&format!("{slave}/enc_keys?number={count}&size={size_bits}")).keys()
    }

    /// The answer to keys asked for by name.
    pub(crate) fn dec_answer(&self, master: &str, keys: &[Key]) -> Answer {
        let ids: Vec<_> = keys.iter().map(|key| serde_json::json!({"key_ID": key.id})).collect();
        self.post(&format!("{master}/dec_keys"), &serde_json::json!({ "key_IDs": ids }))
    }

    pub(crate) fn dec(&self, master: &str, keys: &[Key]) -> Vec<Key> {
        self.dec_answer(master, keys).keys()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/keys/{path}", self.base)
    }
}

fn read(response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let (head, mut body) = response.into_parts();
    let header =
        |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Ok(Answer {
        code: head.status.as_u16(),
        kind: header("content-type").unwrap_or_default(),
        retry_after: header("retry-after"),
        body: body.with_config().limit(1 << 30).read_to_vec()?,
    })
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.kind, "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Expects success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.code, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    #[track_caller]
    pub(crate) fn keys(self) -> Vec<Key> {
        let container = self.ok();
        let keys = container["keys"].as_array().unwrap().iter();
        keys.map(|key| Key {
            id: key["key_ID"].as_str().unwrap().to_owned(),
            bytes: STANDARD.decode(key["key"].as_str().unwrap()).unwrap(),
        })
        .collect()
    }

    /// Expects a refusal, and gives its message.
    #[track_caller]
    pub(crate) fn refused(self, code: u16) -> String {
        assert_eq!(self.code, code, "{}", String::from_utf8_lossy(&self.body));
        self.json()["message"].as_str().unwrap().to_owned()
    }
}
