//! Where a store is, from its URL.

use std::net::IpAddr;
use url::{Host, Url};

/// What it takes to open [`crate::S3Objects`], [`Credentials`] aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket. It must exist.
    pub bucket: String,
    /// What the name of every object begins with, without a slash at either end. Empty for none.
    pub prefix: String,
    /// Where the server is, `https://HOST[:PORT]`; AWS where absent.
    pub endpoint: Option<String>,
    /// The region; `AWS_REGION` where absent, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name.
    pub path_style: bool,
    /// Whether each request carries the SHA-256 of its bytes, for servers that verify it.
    pub checksum: bool,
}

/// Who the server is told that this is.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// Whoever the environment says (`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`), else a web
    /// identity, else the machine's role.
    Found,
    /// The owner of this key.
    Key {
        /// Its name.
        id: &'a str,
        /// The secret.
        secret: &'a str,
    },
}

/// Why a text is no URL of an S3 store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No bucket, or a part that has no meaning here.
    #[error("{url:?} is not s3://BUCKET[/PREFIX][?...]: {what}")]
    Shape {
        /// The URL.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A secret stands where listings and logs would show it.
    #[error(
        "credentials don't belong into a URL, which listings and logs show: they are read from \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the machine's role"
    )]
    Credentials,
    /// An option that there is not.
    #[error("there is no option {name:?}: use endpoint, region, path_style, checksum, allow_http")]
    Option {
        /// Its name.
        name: String,
    },
    /// A value that the option does not take.
    #[error("{name}={value:?} can't be used: {what}")]
    Value {
        /// The option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        what: &'static str,
    },
}

impl S3Config {
    /// Reads `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&path_style=true|false&
    /// checksum=sha256|none&allow_http=true]`.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let shape = |what| ConfigError::Shape { url: redacted(text), what };
        let url = Url::parse(text).map_err(|_| shape("it is no URL"))?;
        if url.scheme() != "s3" {
            return Err(shape("the scheme is another"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::Credentials);
        }
        if url.port().is_some() || url.fragment().is_some() {
            return Err(shape("a port belongs to the option endpoint"));
        }
        let bucket = url.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| shape("it names no bucket"))?.to_owned();
        let prefix = url.path().trim_matches('/').to_owned();
        let fits = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
        };
        if !prefix.is_empty() && !prefix.split('/').all(fits) {
            return Err(shape("a prefix is of letters, digits, dot, underscore, hyphen and slash"));
        }
        let options = Options::read(&url)?;
        let path_style = options.path_style.unwrap_or(options.endpoint.is_some());
        let Options { endpoint, region, checksum, .. } = options;
        Ok(Self { bucket, prefix, endpoint, region, path_style, checksum })
    }
}

struct Options {
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    checksum: bool,
    allow_http: bool,
}

impl Options {
    fn read(url: &Url) -> Result<Self, ConfigError> {
        let mut options = Self {
            endpoint: None,
            region: None,
            path_style: None,
            checksum: true,
            allow_http: false,
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "endpoint" => options.endpoint = Some(value.trim_end_matches('/').to_owned()),
                "region" => options.region = Some(value.into_owned()),
                "path_style" => options.path_style = Some(switch("path_style", &value)?),
                "allow_http" => options.allow_http = switch("allow_http", &value)?,
                "checksum" => options.checksum = checksum(&value)?,
                name if is_secret(name) => return Err(ConfigError::Credentials),
                name => return Err(ConfigError::Option { name: name.to_owned() }),
            }
        }
        if let Some(endpoint) = &options.endpoint {
            check_endpoint(endpoint, options.allow_http)?;
        }
        Ok(options)
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "secret", "token", "password", "credential"].iter().any(|word| name.contains(word))
}

fn switch(name: &'static str, value: &str) -> Result<bool, ConfigError> {
    let what = "it is true or false";
    value.parse().map_err(|_| ConfigError::Value { name, value: value.to_owned(), what })
}

fn checksum(value: &str) -> Result<bool, ConfigError> {
    match value {
        "sha256" => Ok(true),
        "none" => Ok(false),
        _ => Err(ConfigError::Value {
            name: "checksum",
            value: value.to_owned(),
            what: "it is sha256 or none",
        }),
    }
}

/// A share is sent to the store as it is: not in the clear over a network, unless that is said.
fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), ConfigError> {
    let wrong =
        |what| Err(ConfigError::Value { name: "endpoint", value: redacted(endpoint), what });
    let Ok(url) = Url::parse(endpoint) else {
        return wrong("it is https://HOST[:PORT]");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::Credentials);
    }
    if url.query().is_some() || url.path() != "/" {
        return wrong("it is https://HOST[:PORT] and nothing more");
    }
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_here || allow_http => Ok(()),
        "http" => {
            wrong("shares would cross the network in the clear: use https, or allow_http=true")
        }
        _ => wrong("it is https://HOST[:PORT]"),
    }
}

/// A URL as an error may show it: without whatever stands before a host's name.
fn redacted(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_url_is_read() {
        let config = S3Config::parse(
            "s3://genomes/site/a?endpoint=http://127.0.0.1:8333/&region=here&checksum=none",
        );
        let expected = S3Config {
            bucket: "genomes".to_owned(),
            prefix: "site/a".to_owned(),
            endpoint: Some("http://127.0.0.1:8333".to_owned()),
            region: Some("here".to_owned()),
            path_style: true,
            checksum: false,
        };
        assert_eq!(config, Ok(expected));
        let plain = S3Config::parse("s3://genomes").unwrap();
        assert_eq!((plain.prefix.as_str(), plain.path_style, plain.checksum), ("", false, true));
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for url in [
            "s3://AKIA:SECRETWORD@genomes/a",
            "s3://genomes/a?secret_access_key=SECRETWORD",
            "s3://genomes/a?aws_session_token=SECRETWORD",
            "s3://genomes/a?endpoint=https://u:SECRETWORD@h",
        ] {
            let error = S3Config::parse(url).unwrap_err();
            assert_eq!(error, ConfigError::Credentials, "{url}");
            assert!(!error.to_string().contains("SECRETWORD"));
        }
    }

    #[test]
    fn each_mistake_is_told() {
        for (url, told) in [
            ("file:///a", "the scheme is another"),
            ("s3:///a", "bucket"),
            ("s3://b:80/a", "endpoint"),
            ("s3://b/a%2F..", "a prefix is of"),
            ("s3://b/a/.hidden", "a prefix is of"),
            ("s3://b?colour=red", "no option \"colour\""),
            ("s3://b?path_style=yes", "true or false"),
            ("s3://b?checksum=md5", "sha256 or none"),
            ("s3://b?endpoint=ftp://h", "https://HOST"),
            ("s3://b?endpoint=https://h/path", "nothing more"),
            ("s3://b?endpoint=http://10.0.0.1", "in the clear"),
        ] {
            let error = S3Config::parse(url).unwrap_err().to_string();
            assert!(error.contains(told), "{url}: {error}");
        }
        assert!(S3Config::parse("s3://b?endpoint=http://10.0.0.1&allow_http=true").is_ok());
    }
}
