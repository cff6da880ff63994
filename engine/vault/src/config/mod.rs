//! A vault's settings: `config.toml` in its folder.
//!
//! Whatever is read is checked first, by a walk that finds every mistake and knows its line.

mod check;
mod consent;
mod kme;
mod mistake;
mod pipeline;
mod placement;
mod profile;
mod settings;
mod show;
mod value;

pub use consent::{CertificateRule, ConsentPolicy};
pub use kme::KmeConfig;
pub use mistake::Mistake;
pub(crate) use mistake::{Gathered, meant};
pub use pipeline::Pipeline;
pub(crate) use placement::Layer;
pub use placement::{Exclusion, Placement, PlacementRule, Speed};
pub use profile::Profile;
pub(crate) use settings::MEMORY_BYTES_MIN;
pub(crate) use value::size;

use crate::failure::{Class, Failure};
use mistake::Mistakes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use warifu_core::SiteName;

/// The file's name within a vault.
pub const CONFIG_FILE: &str = "config.toml";

/// The name that stands for no profile.
pub const NO_PROFILE: &str = "none";

/// A file with every setting of a gateway, each with a word on what it does.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The longest file of settings that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

const MIB: u64 = 1 << 20;

/// All settings of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this file, 1.
    pub v: u32,
    /// The vault's name: of a gateway its requester name, of a site the site's name.
    pub name: String,
    /// The profile of backups for which none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<String>,
    /// Present where this is a site's vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteConfig>,
    /// Limits of key and memory.
    #[serde(default)]
    pub limits: Limits,
    /// Depths of the data path.
    #[serde(default)]
    pub pipeline: Pipeline,
    /// Where shares go.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: Placement,
    /// What is kept for restores.
    #[serde(default)]
    pub restore: RestorePolicy,
    /// How many inputs share what key there is.
    #[serde(default)]
    pub batch: BatchPolicy,
    /// Whether persons decide.
    #[serde(default)]
    pub consent: ConsentPolicy,
    /// Named defaults for backups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profile: BTreeMap<String, Profile>,
    /// Key-management entities that deliver key, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kme: BTreeMap<String, KmeConfig>,
    /// Profiles and KMEs with mistakes, as `profile.NAME`: only what goes by one of them fails.
    #[serde(skip)]
    broken: BTreeMap<String, Vec<Mistake>>,
}

/// Settings of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Address to listen on, `HOST:PORT`.
    pub listen: String,
    /// Where shares are kept, `file:///PATH` or `s3://BUCKET/PREFIX`; within the vault where
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// Limits that an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Key leased at a time from a site for sending, in bytes: what a crash burns at most.
    #[serde(with = "value::bytes")]
    pub lease_bytes: u64,
    /// Key leased at a time to a site for its answers during a restore, in bytes.
    #[serde(with = "value::bytes")]
    pub answer_lease_bytes: u64,
    /// Memory ceiling of one stream, in bytes.
    #[serde(with = "value::bytes")]
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

/// How much key is kept for restores of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestorePolicy {
    /// Percent of what one restore of every stored object takes from every site. With 100, any
    /// object finds its reserve whatever happens to others; with less, not all of them do.
    pub reserve_percent: u8,
}

impl Default for RestorePolicy {
    fn default() -> Self {
        Self { reserve_percent: 100 }
    }
}

/// How inputs that don't all fit are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchPolicy {
    /// Which come first.
    pub order: Order,
}

/// Which inputs come first where key does not cover all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// One of each individual, then a second one of each, and so on; of one individual as given.
    #[default]
    Fair,
    /// As they were given.
    Given,
    /// The shortest first.
    Smallest,
}

impl Config {
    /// The settings of a new vault.
    #[must_use]
    pub fn new(name: &SiteName, site: Option<SiteConfig>) -> Self {
        Self {
            v: 1,
            name: name.to_string(),
            default_profile: None,
            site,
            limits: Limits::default(),
            pipeline: Pipeline::default(),
            placement: Placement::default(),
            restore: RestorePolicy::default(),
            batch: BatchPolicy::default(),
            consent: ConsentPolicy::default(),
            profile: BTreeMap::new(),
            kme: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    /// Reads and checks the settings of the vault in `dir`.
    ///
    /// # Errors
    /// Where the file is missing, is no TOML, has unknown or impossible settings: all of them are
    /// told, each with its line. Mistakes within profiles and KMEs are told to whoever goes by
    /// these.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        Self::parse(&dir.join(CONFIG_FILE), &read_text(dir)?, Strictness::ButNamed)
    }

    /// Every mistake in the settings of the vault in `dir`; none where they are good.
    ///
    /// # Errors
    /// Where the file is missing, can't be read, or is of another version.
    pub fn mistakes(dir: &Path) -> Result<Vec<Mistake>, Failure> {
        let text = read_text(dir)?;
        let checked = check::check(&text);
        expect_version(&dir.join(CONFIG_FILE), checked.version)?;
        match checked.mistakes.is_empty() {
            // What the walk does not see, reading does.
            true => {
                Self::parse(&dir.join(CONFIG_FILE), &text, Strictness::Whole).map(|_| Vec::new())
            }
            false => Ok(checked.mistakes),
        }
    }

    /// The settings of the vault in `dir` as TOML, with where each came from.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn shown(dir: &Path) -> Result<(Self, String), Failure> {
        let text = read_text(dir)?;
        let config = Self::parse(&dir.join(CONFIG_FILE), &text, Strictness::Whole)?;
        let shown = show::show(&config, &text).map_err(unwritable)?;
        Ok((config, shown))
    }

    /// The line on which the vault in `dir` has this setting, such as `placement.exclude`.
    #[must_use]
    pub fn line_of(dir: &Path, setting: &str) -> Option<usize> {
        let lines = check::check(&read_text(dir).ok()?).lines;
        lines.into_iter().find(|(name, _)| name == setting).map(|(_, line)| line)
    }

    /// The settings as TOML.
    ///
    /// # Errors
    /// Never for settings that were checked.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string_pretty(self).map_err(unwritable)
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

    /// The profile called `name`, or the default one where `name` is absent; without either, and
    /// for the name `none`, one that leaves everything to the built-in defaults.
    ///
    /// # Errors
    /// Where there is no such profile, or it has mistakes.
    pub fn profile(&self, name: Option<&str>) -> Result<Profile, Failure> {
        let name = match name.or(self.default_profile.as_deref()) {
            None | Some(NO_PROFILE) => return Ok(Profile::default()),
            Some(name) => name,
        };
        if let Some(mistakes) = self.broken.get(&format!("profile.{name}")) {
            let what = format!("profile {name} in {CONFIG_FILE} is wrong");
            return Err(Failure::new(Class::Usage, "config-invalid", what)
                .because(Mistakes(mistakes.clone()))
                .next("mend the lines named above, or take another with --profile NAME"));
        }
        self.profile.get(name).cloned().ok_or_else(|| {
            let what = format!("there is no profile {name:?} in config.toml");
            let known = || self.profile.keys().map(String::as_str);
            let next = match (meant(name, known()), self.profile.is_empty()) {
                (Some(profile), _) => format!("did you mean {profile:?}?"),
                (None, true) => format!("write a table [profile.{name}] there"),
                (None, false) => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
            };
            Failure::new(Class::Usage, "profile-unknown", what).next(next)
        })
    }

    /// Names of profiles that have mistakes.
    pub fn broken_profiles(&self) -> impl Iterator<Item = &str> {
        self.broken.keys().filter_map(|path| path.strip_prefix("profile."))
    }

    /// KMEs that have mistakes, by name, as failures.
    pub(crate) fn broken_kmes(&self) -> impl Iterator<Item = (&str, Failure)> {
        let failure = |name: &str, mistakes: &[Mistake]| {
            let what = format!("kme {name} in {CONFIG_FILE} is wrong");
            Failure::new(Class::Usage, "config-invalid", what)
                .because(Mistakes(mistakes.to_vec()))
                .next("mend the lines named above, then run `warifu config check`")
        };
        self.broken.iter().filter_map(move |(path, mistakes)| {
            let name = path.strip_prefix("kme.")?;
            Some((name, failure(name, mistakes)))
        })
    }

    fn parse(path: &Path, text: &str, strictness: Strictness) -> Result<Self, Failure> {
        let checked = check::check(text);
        expect_version(path, checked.version)?;
        let wrong = || {
            Failure::new(Class::Usage, "config-invalid", format!("{} is wrong", path.display()))
                .next("mend the lines named above, then run `warifu config check`")
        };
        let found = checked.mistakes;
        let mut broken = BTreeMap::new();
        if !found.is_empty() {
            broken = match (strictness, by_table(text, &found)) {
                (Strictness::ButNamed, Some(broken)) => broken,
                _ => return Err(wrong().because(Mistakes(found))),
            };
        }
        if broken.is_empty() {
            return toml::from_str(text).map_err(|error| wrong().because(error));
        }
        let mut table: toml::Table = text.parse().map_err(|error| wrong().because(error))?;
        for kind in NAMED {
            if let Some(named) = table.get_mut(kind).and_then(toml::Value::as_table_mut) {
                named.retain(|name, _| !broken.contains_key(&format!("{kind}.{name}")));
            }
        }
        let config: Self = table.try_into().map_err(|error| wrong().because(error))?;
        Ok(Self { broken, ..config })
    }
}

fn is_default(placement: &Placement) -> bool {
    *placement == Placement::default()
}

/// How much of a file has to be right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// All of it.
    Whole,
    /// All but profiles and KMEs, which only some commands go by.
    ButNamed,
}

/// Kinds of tables that have names of their own.
const NAMED: [&str; 2] = ["profile", "kme"];

/// Mistakes by the profile or KME that they are in; `None` where one is elsewhere. That the default
/// profile is missing is told when it is asked for.
fn by_table(text: &str, mistakes: &[Mistake]) -> Option<BTreeMap<String, Vec<Mistake>>> {
    let table: toml::Table = text.parse().ok()?;
    let mut broken: BTreeMap<String, Vec<Mistake>> = BTreeMap::new();
    for mistake in mistakes {
        if mistake.key == "default_profile" && table.get("default_profile")?.is_str() {
            let name = table.get("default_profile")?.as_str()?;
            broken.entry(format!("profile.{name}")).or_default().push(mistake.clone());
            continue;
        }
        let (kind, within) =
            mistake.key.split_once('.').filter(|(kind, _)| NAMED.contains(kind))?;
        let is_in = |name: &&String| {
            within == name.as_str()
                || within.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let name = table.get(kind)?.as_table()?.keys().find(is_in)?;
        broken.entry(format!("{kind}.{name}")).or_default().push(mistake.clone());
    }
    Some(broken)
}

fn read_text(dir: &Path) -> Result<String, Failure> {
    let path = dir.join(CONFIG_FILE);
    let missing = |error: std::io::Error| {
        let what = format!("there is no vault in {}", dir.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(Class::NotFound, "vault-missing", what)
                .next("make one with `warifu init`, or name another with --vault DIR"),
            _ => {
                let what = format!("{} can't be read", path.display());
                Failure::new(Class::Other, "config-unreadable", what)
            }
        }
        .because(error)
    };
    let bytes = std::fs::metadata(&path).map_err(missing)?.len();
    if bytes > FILE_BYTES_MAX {
        let what = format!("{} has {bytes} bytes: settings take far fewer", path.display());
        return Err(
            Failure::new(Class::Usage, "config-invalid", what).next("put the right file there")
        );
    }
    std::fs::read_to_string(&path).map_err(missing)
}

fn expect_version(path: &Path, version: Option<u64>) -> Result<(), Failure> {
    match version {
        None | Some(1) => Ok(()),
        Some(version) => {
            let what = format!("{} is of version {version}", path.display());
            Err(Failure::new(Class::Incompatible, "config-version", what)
                .next("use a warifu that knows this version"))
        }
    }
}

fn unwritable(error: toml::ser::Error) -> Failure {
    Failure::new(Class::Other, "config-unwritable", "the settings can't be written as TOML")
        .because(error)
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
mod tests;
