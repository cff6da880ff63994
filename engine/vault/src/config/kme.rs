//! Key-management entities: where they are, who we are there, and how to fetch.

use super::value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A KME that delivers key to this party. Paths are from the vault's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmeConfig {
    /// `https://HOST[:PORT]`.
    pub url: String,
    /// Our certificate there, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities whose KMEs are believed, in PEM.
    pub ca: PathBuf,
    /// What the KME calls us, for listings; our certificate decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sae: Option<String>,
    /// What it calls those we share keys with, by the names that we call them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, String>,
    /// `computational` or `information-theoretic`: what is claimed of its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Length of each key, in bytes; the longest that is allowed where absent.
    #[serde(
        default,
        deserialize_with = "value::optional_bytes",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_bytes: Option<u64>,
    /// Requests that wait for an answer at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_in_flight: Option<usize>,
    /// How long a request may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// Key that is paired at a time, in bytes.
    #[serde(
        default,
        deserialize_with = "value::optional_bytes",
        skip_serializing_if = "Option::is_none"
    )]
    pub segment_bytes: Option<u64>,
    /// Key per direction up to which it is fetched, in bytes.
    #[serde(
        default,
        deserialize_with = "value::optional_bytes",
        skip_serializing_if = "Option::is_none"
    )]
    pub watermark_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::super::check;

    const SOUND: &str = "v = 1\nname = \"g\"\n[kme.qkd]\nurl = \"https://h\"\n\
        certificate = \"c\"\nkey = \"k\"\nca = \"a\"\n";

    fn mistakes(more: &str) -> Vec<(usize, String, String)> {
        let found = check::check(&format!("{SOUND}{more}")).mistakes;
        found.into_iter().map(|one| (one.line, one.key, one.mend)).collect()
    }

    #[test]
    fn mistakes_are_told_with_line_and_mend() {
        assert!(mistakes("").is_empty());
        for (line, key, mend) in [
            ("peers = \"x\"", "kme.qkd.peers", "{ sendai"),
            ("peers = { A = \"x\" }", "kme.qkd.peers", "{ sendai"),
            ("peers = { a = 1 }", "kme.qkd.peers", "{ sendai"),
            ("peers = { a = \"\" }", "kme.qkd.peers", "sae-"),
            ("sae = \"a\\u001b\"", "kme.qkd.sae", "sae-"),
            ("class = \"quantum\"", "kme.qkd.class", "computational"),
            ("key_bytes = 0", "kme.qkd.key_bytes", "write"),
            ("timeout_s = 0", "kme.qkd.timeout_s", "30"),
            ("requests = 4", "kme.qkd.requests", "here may stand"),
            ("time_out_s = 4", "kme.qkd.time_out_s", "timeout_s"),
        ] {
            let found = mistakes(&format!("{line}\n"));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert_eq!((found[0].0, found[0].1.as_str()), (8, key), "{found:?}");
            assert!(found[0].2.contains(mend), "{line}: {found:?}");
        }
        let bare = "[kme.Other]\nurl = \"http://h\"\n";
        let keys: Vec<String> = mistakes(bare).into_iter().map(|(_, key, _)| key).collect();
        for key in ["kme.Other", "kme.Other.url", "kme.Other.key", "kme.Other.ca"] {
            assert!(keys.iter().any(|found| found == key), "{key}: {keys:?}");
        }
    }
}
