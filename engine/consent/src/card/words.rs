//! What this program and its child, which alone loads drivers, say to each other: one line of
//! JSON each way. A PIN is never part of it: its bytes follow the line that announces them.

use super::CardError;
use super::uri::Wanted;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;

/// The longest line in bytes.
pub(super) const LINE_BYTES_MAX: u64 = 1 << 20;

/// The longest PIN in bytes.
pub(crate) const PIN_BYTES_MAX: usize = 255;

/// What the child is asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Ask {
    /// All tokens that this driver reaches.
    List { module: PathBuf },
    /// The one token and certificate that fit.
    Open { module: PathBuf, wanted: Wanted },
    /// To prove the PIN, whose bytes follow; `None`: at the reader's own pad.
    Login { pin_bytes: Option<usize> },
    /// To sign this, hashed and, for RSA, wrapped.
    Sign { how: Mechanism, block: Bytes },
}

/// What it answers.
#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    /// To `List`.
    Readers { readers: Vec<Reader> },
    /// To `Open`.
    Opened { token: Token, chain: Vec<Bytes> },
    /// To `Login`.
    Proved,
    /// To `Sign`.
    Signed { signature: Bytes },
    /// To any.
    Refused { trouble: Trouble },
}

/// How a token signs a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mechanism {
    /// `CKM_RSA_PKCS` over a DigestInfo.
    RsaPkcs,
    /// `CKM_ECDSA` over a hash.
    Ecdsa,
}

/// A slot of a driver, with what is in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reader {
    /// Its description.
    pub name: String,
    /// The token in it.
    pub token: Option<Token>,
}

/// What a token says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Its label.
    pub label: String,
    /// Who made it.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number. JPKI's is a dummy.
    pub serial: String,
    /// Its slot's number.
    pub slot_id: u64,
    /// Whether it wants a PIN.
    pub wants_pin: bool,
    /// Whether the PIN is typed at the reader itself.
    pub has_pad: bool,
    /// What it says of tries.
    pub tries: Tries,
    /// The certificates that it shows without a PIN.
    pub certificates: Vec<Shown>,
}

/// A certificate on a token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// The ID that it shares with its key.
    pub id: Bytes,
    /// Its label.
    pub label: String,
    /// The certificate, DER.
    pub certificate: Bytes,
}

/// What a token says of the tries that are left for its PIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tries {
    /// None was wasted, or it does not tell.
    All,
    /// Some are left, but not all.
    Fewer,
    /// One is left.
    Last,
    /// None is left.
    None,
}

impl Token {
    /// How many tries are left, where that is known. PKCS#11 has flags only; JPKI's PIN for user
    /// authentication has three tries, so that its flags tell the number.
    #[must_use]
    pub fn tries_left(&self) -> Option<u32> {
        let has_three = self.manufacturer == "JPKI" && self.label.contains("User Authentication");
        match self.tries {
            Tries::All => has_three.then_some(3),
            Tries::Fewer => has_three.then_some(2),
            Tries::Last => Some(1),
            Tries::None => Some(0),
        }
    }

    /// Whether it is what `wanted` says, certificates aside. Drivers that show a slot for each PIN
    /// of a card put the PIN's name in parentheses behind the label.
    pub(super) fn fits(&self, wanted: &Wanted) -> bool {
        let is = |want: &Option<String>, have: &str| want.as_ref().is_none_or(|want| want == have);
        let before = self.label.split_once(" (").map_or("", |(before, _)| before);
        (is(&wanted.token, &self.label) || is(&wanted.token, before))
            && is(&wanted.manufacturer, &self.manufacturer)
            && is(&wanted.model, &self.model)
            && is(&wanted.serial, &self.serial)
            && wanted.slot_id.is_none_or(|slot_id| slot_id == self.slot_id)
    }
}

/// Why the child did not do it: [`CardError`] as far as it happens there.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Trouble {
    Absent(String),
    WrongPin { tries_left: Option<u32> },
    Locked,
    Failed(String),
    Unfit(String),
}

impl From<Trouble> for CardError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Absent(what) => Self::Absent(what),
            Trouble::WrongPin { tries_left } => Self::WrongPin { tries_left },
            Trouble::Locked => Self::Locked,
            Trouble::Failed(what) => Self::Failed(what),
            Trouble::Unfit(what) => Self::Unfit(what),
        }
    }
}

/// Bytes, base64 in JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(label: &str, tries: Tries) -> Token {
        Token {
            label: label.to_owned(),
            manufacturer: "JPKI".to_owned(),
            model: "PKCS#15 emulated".to_owned(),
            serial: "00000000".to_owned(),
            slot_id: 1,
            wants_pin: true,
            has_pad: false,
            tries,
            certificates: Vec::new(),
        }
    }

    #[test]
    fn flags_tell_the_number_only_where_the_limit_is_known() {
        let left = |label, tries| token(label, tries).tries_left();
        let states = [Tries::All, Tries::Fewer, Tries::Last, Tries::None];
        let user = states.map(|tries| left("JPKI (User Authentication PIN)", tries));
        assert_eq!(user, [Some(3), Some(2), Some(1), Some(0)]);
        let signing = states.map(|tries| left("JPKI (Digital Signature PIN)", tries));
        assert_eq!(signing, [None, None, Some(1), Some(0)]);
    }

    #[test]
    fn a_label_fits_with_and_without_the_name_of_its_pin() {
        let card = token("JPKI (User Authentication PIN)", Tries::All);
        let fits =
            |label: &str| card.fits(&Wanted { token: Some(label.to_owned()), ..Wanted::default() });
        assert!(fits("JPKI") && fits("JPKI (User Authentication PIN)"));
        assert!(!fits("JPK") && !fits("") && !fits("JPKI (Digital Signature PIN)"));
        assert!(card.fits(&Wanted::default()));
        assert!(!card.fits(&Wanted { slot_id: Some(2), ..Wanted::default() }));
        assert!(!card.fits(&Wanted { serial: Some("1".to_owned()), ..Wanted::default() }));
    }

    #[test]
    fn words_read_back_and_strange_ones_are_refused() {
        let ask = Ask::Sign { how: Mechanism::Ecdsa, block: Bytes(vec![0, 255]) };
        let line = serde_json::to_string(&ask).unwrap();
        assert_eq!(line, r#"{"ask":"sign","how":"ecdsa","block":"AP8="}"#);
        assert!(serde_json::from_str::<Ask>(&line).is_ok());
        for bad in [r#"{"ask":"sign"}"#, r#"{"ask":"burn"}"#, "[]", "", r#"{"ask":"login"}x"#] {
            assert!(serde_json::from_str::<Ask>(bad).is_err(), "{bad}");
        }
    }
}
