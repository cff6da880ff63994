//! Profiles: named defaults for backups.

use super::value;
use serde::{Deserialize, Serialize};
use warifu_core::{SiteName, Threshold};

/// Defaults of a backup, by the names of its flags. What is absent is left to the built-in
/// default. Placement rules can't be gone against here: each override has its own reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// How many shares rebuild, and how many are made.
    #[serde(with = "value::text", skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Threshold>,
    /// `auto`, `none` or `zstd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<String>,
    /// Whether the length is padded to a coarse step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad: Option<bool>,
    /// Sites that must get a share.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub pin: Option<Vec<SiteName>>,
    /// Sites that must not.
    #[serde(with = "value::texts", skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<SiteName>>,
    /// Inputs stored side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
    /// Memory ceiling of the run, in bytes.
    #[serde(deserialize_with = "value::optional_bytes", skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
}
