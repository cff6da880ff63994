//! Which plugin, with which settings, from a store's URL.

use std::path::PathBuf;
use std::time::Duration;

/// How long a call may take where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(120);

/// What it takes to open a plugin's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginConfig {
    /// The shared library.
    pub library: PathBuf,
    /// What the plugin is told, in order.
    pub settings: Vec<(String, String)>,
    /// Whether it runs in this process.
    pub is_trusted: bool,
    /// How long one call may take.
    pub patience: Duration,
}

/// Why a text is no URL of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No absolute path of a library.
    #[error("{url:?} is not plugin:/PATH/OF/LIBRARY.so[?NAME=VALUE&...]")]
    Shape {
        /// The URL.
        url: String,
    },
    /// A setting without a value, or with what no setting holds.
    #[error("{text:?} is no setting: write NAME=VALUE, without zeros")]
    Setting {
        /// What was given.
        text: String,
    },
    /// A word of ours with a value that it does not take.
    #[error("{name}={value:?} can't be used: {what}")]
    Value {
        /// The word.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        what: &'static str,
    },
}

impl PluginConfig {
    /// A plugin in a process of its own.
    #[must_use]
    pub fn new(library: impl Into<PathBuf>) -> Self {
        let library = library.into();
        Self { library, settings: Vec::new(), is_trusted: false, patience: PATIENCE }
    }

    /// Reads `plugin:/PATH/OF/LIBRARY.so[?NAME=VALUE&...]`. `trust=in-process` and `timeout_s=N`
    /// are for the host; every other pair is the plugin's. Nothing is escaped.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let shape = || ConfigError::Shape { url: url.to_owned() };
        let rest = url.strip_prefix("plugin:").ok_or_else(shape)?;
        let (path, settings) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') || path.contains('\0') {
            return Err(shape());
        }
        let mut config = Self::new(path);
        for text in settings.split('&').filter(|text| !text.is_empty()) {
            config.set(text)?;
        }
        Ok(config)
    }

    /// Adds `NAME=VALUE`.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with it.
    pub fn set(&mut self, text: &str) -> Result<(), ConfigError> {
        let wrong = || ConfigError::Setting { text: text.to_owned() };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let value_error = |name, what| ConfigError::Value { name, value: value.to_owned(), what };
        match name {
            "trust" if value == "in-process" => self.is_trusted = true,
            "trust" => return Err(value_error("trust", "it is in-process, or is left out")),
            "timeout_s" => match value.parse() {
                Ok(seconds @ 1..=86_400) => self.patience = Duration::from_secs(seconds),
                _ => return Err(value_error("timeout_s", "it is 1 to 86400 seconds")),
            },
            "" => return Err(wrong()),
            _ if text.contains('\0') => return Err(wrong()),
            _ => self.settings.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_url_is_read() {
        let url = "plugin:/lib/a.so?folder=/srv/a&trust=in-process&timeout_s=5&empty=";
        let config = PluginConfig::parse(url).unwrap();
        assert_eq!(config.library, PathBuf::from("/lib/a.so"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(config.settings, [pair("folder", "/srv/a"), pair("empty", "")]);
        assert!(config.is_trusted);
        assert_eq!(config.patience, Duration::from_secs(5));
        assert!(!PluginConfig::parse("plugin:/a.so").unwrap().is_trusted);
    }

    #[test]
    fn each_mistake_is_told() {
        for (url, told) in [
            ("plugin:a.so", "plugin:/PATH"),
            ("file:///a.so", "plugin:/PATH"),
            ("plugin:/a.so?folder", "no setting"),
            ("plugin:/a.so?=x", "no setting"),
            ("plugin:/a.so?a=\0", "no setting"),
            ("plugin:/a.so?trust=yes", "in-process"),
            ("plugin:/a.so?timeout_s=0", "1 to 86400"),
        ] {
            let error = PluginConfig::parse(url).unwrap_err().to_string();
            assert!(error.contains(told), "{url}: {error}");
        }
    }
}
