//! What every error code and exit code means. The texts are in the `.toml` files beside this.

#[cfg(test)]
mod tests;

use crate::signals::SIGNAL_BASE;
use serde::{Deserialize, Serialize};
use warifu_vault::{Class, Failure};

const EXITS: &str = include_str!("exits.toml");
const CODES: [&str; 5] = [
    include_str!("setup.toml"),
    include_str!("work.toml"),
    include_str!("card.toml"),
    include_str!("consent.toml"),
    include_str!("records.toml"),
];

/// Signals that people meet, by number.
const SIGNALS: [(u8, &str); 6] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (6, "SIGABRT"),
    (9, "SIGKILL"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
];

/// An exit code.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exit {
    /// Its number.
    pub(crate) code: u8,
    /// Its word in the last line of JSON.
    pub(crate) class: String,
    /// What it means.
    pub(crate) means: String,
}

/// An error code.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    /// As errors show it in brackets.
    pub(crate) code: String,
    /// The exit codes with which a run may end that shows it.
    pub(crate) exits: Vec<u8>,
    /// What it means.
    pub(crate) means: String,
    /// What likely causes it.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) next: Vec<String>,
}

/// Error codes that belong to one thing that people do.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    /// What.
    pub(crate) doing: String,
    /// Its codes.
    #[serde(rename = "code")]
    pub(crate) codes: Vec<Code>,
}

/// All of it.
pub(crate) struct Book {
    /// The exit codes, ascending.
    pub(crate) exits: Vec<Exit>,
    /// What an end by any signal means.
    signal: String,
    /// The error codes by topic.
    pub(crate) topics: Vec<Topic>,
}

/// What is explained.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// An error code.
    Code(&'a Code),
    /// An exit code with the error codes that end so.
    Exit(Exit, Vec<&'a Code>),
}

impl Book {
    /// Reads it.
    ///
    /// # Errors
    /// Never: a test reads it too.
    pub(crate) fn open() -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Exits {
            signal: String,
            exit: Vec<Exit>,
        }
        #[derive(Deserialize)]
        struct Topics {
            topic: Vec<Topic>,
        }
        let torn = |error: toml::de::Error| {
            Failure::new(Class::Other, "internal", "the explanations can't be read").because(error)
        };
        let Exits { signal, exit: exits } = toml::from_str(EXITS).map_err(torn)?;
        let mut topics = Vec::new();
        for text in CODES {
            let Topics { topic } = toml::from_str(text).map_err(torn)?;
            topics.extend(topic);
        }
        Ok(Self { exits, signal, topics })
    }

    /// All error codes.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &Code> {
        self.topics.iter().flat_map(|topic| &topic.codes)
    }

    /// What `asked` means: an error code, with or without the brackets of an error, or a number.
    ///
    /// # Errors
    /// Where there is no such code.
    pub(crate) fn find(&self, asked: &str) -> Result<Entry<'_>, Failure> {
        let word = asked.trim().trim_start_matches("error").trim_matches(['[', ']', ':']);
        if let Some(code) = self.codes().find(|code| code.code == word) {
            return Ok(Entry::Code(code));
        }
        let number = word.parse::<u8>().ok();
        if let Some(exit) = number.and_then(|number| self.exit(number)) {
            let codes = self.codes().filter(|code| code.exits.contains(&exit.code)).collect();
            return Ok(Entry::Exit(exit, codes));
        }
        let near: Vec<&str> = self.codes().map(|code| code.code.as_str()).collect();
        let near: Vec<&str> =
            near.into_iter().filter(|code| resembles(code, word)).take(5).collect();
        let next = match near.is_empty() {
            true => "`warifu explain` lists all".to_owned(),
            false => format!("did you mean {}?", near.join(", ")),
        };
        let shown: String = asked.chars().take(64).collect();
        let what = format!("there is no code {shown:?}");
        Err(Failure::new(Class::Usage, "code-unknown", what).next(next))
    }

    fn exit(&self, number: u8) -> Option<Exit> {
        let listed = self.exits.iter().find(|exit| exit.code == number).cloned();
        listed.or_else(|| {
            let signal =
                number.checked_sub(SIGNAL_BASE).filter(|signal| (1..=64).contains(signal))?;
            let name = SIGNALS.iter().find(|(known, _)| *known == signal).map(|(_, name)| *name);
            let named = name.map_or_else(String::new, |name| format!(", {name}"));
            let means = format!("It was ended by signal {signal}{named}. {}", self.signal);
            Some(Exit { code: number, class: "signal".to_owned(), means })
        })
    }
}

/// Whether a code shares a word with what was asked.
fn resembles(code: &str, asked: &str) -> bool {
    let mut words = asked.split('-').filter(|word| word.len() > 2);
    words.any(|word| code.split('-').any(|own| own.starts_with(word) || word.starts_with(own)))
}
