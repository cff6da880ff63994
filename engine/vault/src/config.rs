//! A vault's settings: `config.toml` in its folder.

use crate::failure::{Class, Failure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use warifu_core::SiteName;

/// The file's name within a vault.
pub const CONFIG_FILE: &str = "config.toml";

const MIB: u64 = 1 << 20;

/// All settings of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this file, 1.
    pub v: u32,
    /// The vault's name: of a gateway its requester name, of a site the site's name.
    pub name: String,
    /// Present where this is a site's vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteConfig>,
    /// Limits of key and memory.
    #[serde(default)]
    pub limits: Limits,
}

/// Settings of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Address to listen on, `HOST:PORT`.
    pub listen: String,
    /// Where shares are kept, `file:///PATH`; within the vault where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// Limits that an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Key leased at a time from a site for sending, in bytes: what a crash burns at most.
    pub lease_bytes: u64,
    /// Key leased at a time to a site for its answers during a restore, in bytes.
    pub answer_lease_bytes: u64,
    /// Memory ceiling of one stream, in bytes.
    pub memory_bytes: u64,
    /// How long to look for a site that was lost, in seconds.
    pub patience_seconds: u64,
    /// How long an interrupted backup is kept so that it can go on, in days.
    pub resume_days: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease_bytes: 32 * MIB,
            answer_lease_bytes: 16 * MIB,
            memory_bytes: 256 * MIB,
            patience_seconds: 30,
            resume_days: 7,
        }
    }
}

impl Config {
    /// Reads and checks the settings of the vault in `dir`.
    ///
    /// # Errors
    /// Where the file is missing, is no TOML, has unknown or impossible settings.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let class = if missing { Class::NotFound } else { Class::Other };
            Failure::new(class, "vault-missing", format!("there is no vault in {}", dir.display()))
                .because(error)
                .next("make one with `warifu init`, or name another with --vault DIR")
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            Failure::new(Class::Usage, "config-invalid", format!("{} is wrong", path.display()))
                .because(error)
                .next("mend the line named above, then run `warifu config check`")
        })?;
        config.check(&path)?;
        Ok(config)
    }

    /// The settings as TOML.
    ///
    /// # Errors
    /// Never for settings that were checked.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string_pretty(self).map_err(|error| {
            Failure::new(Class::Other, "config-unwritable", "the settings can't be written as TOML")
                .because(error)
        })
    }

    /// The vault's name.
    ///
    /// # Errors
    /// Where it is no valid name.
    pub fn vault_name(&self) -> Result<SiteName, Failure> {
        self.name.parse().map_err(|error| {
            Failure::new(Class::Usage, "config-invalid", "`name` is not a valid name")
                .because(error)
                .next("mend `name` in config.toml")
        })
    }

    fn check(&self, path: &Path) -> Result<(), Failure> {
        let wrong = |key: &str, rule: &str| {
            let what = format!("{}: `{key}` {rule}", path.display());
            Failure::new(Class::Usage, "config-invalid", what).next(format!("mend `{key}`"))
        };
        if self.v != 1 {
            let what = format!("{} is of version {}", path.display(), self.v);
            return Err(Failure::new(Class::Incompatible, "config-version", what)
                .next("use a warifu that knows this version"));
        }
        self.vault_name()?;
        let limits = &self.limits;
        let leases = 4 * MIB..=1 << 40;
        if !leases.contains(&limits.lease_bytes) {
            return Err(wrong("limits.lease_bytes", "must be 4 MiB to 1 TiB, in bytes"));
        }
        if !leases.contains(&limits.answer_lease_bytes) {
            return Err(wrong("limits.answer_lease_bytes", "must be 4 MiB to 1 TiB, in bytes"));
        }
        if limits.memory_bytes < 64 * MIB {
            return Err(wrong("limits.memory_bytes", "must be at least 64 MiB, in bytes"));
        }
        if limits.patience_seconds > 86_400 {
            return Err(wrong("limits.patience_seconds", "must be at most a day"));
        }
        if limits.resume_days > 3660 {
            return Err(wrong("limits.resume_days", "must be at most ten years, in days"));
        }
        match &self.site {
            Some(site) => site.store.as_deref().map_or(Ok(()), |url| file_url(url).map(drop)),
            None => Ok(()),
        }
    }
}

/// The path of a `file:///PATH` URL.
///
/// # Errors
/// Where it is of another scheme or not absolute.
pub fn file_url(url: &str) -> Result<PathBuf, Failure> {
    match url.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => {
            Err(Failure::new(Class::Usage, "url-invalid", format!("{url:?} is no URL of a folder"))
                .next("write file:///absolute/path"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CONFIG_FILE), text).unwrap();
        Config::read(dir.path())
    }

    #[test]
    fn defaults_fill_in_and_mistakes_are_named() {
        let config = read("v = 1\nname = \"gateway\"\n").unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(read(&config.to_toml().unwrap()).unwrap(), config);
        let cases = [
            ("v = 2\nname = \"g\"\n", Class::Incompatible),
            ("v = 1\nname = \"G\"\n", Class::Usage),
            ("v = 1\nname = \"g\"\ntypo = 3\n", Class::Usage),
            ("v = 1\nname = \"g\"\n[limits]\nlease_bytes = 5\n", Class::Usage),
            ("v = 1\nname = \"s\"\n[site]\nlisten = \"x\"\nstore = \"s3://b\"\n", Class::Usage),
            ("not toml", Class::Usage),
        ];
        for (text, class) in cases {
            assert_eq!(read(text).unwrap_err().class(), class, "{text}");
        }
        let missing = Config::read(Path::new("/nonexistent/vault")).unwrap_err();
        assert_eq!(missing.class(), Class::NotFound);
    }
}
