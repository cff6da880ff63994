//! PKCS#11 URIs (RFC 7512), as far as they name a token and a certificate on it.

use super::address::NotAnAddress;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The longest URI in bytes.
const URI_BYTES_MAX: usize = 4096;

/// What a token and one of its certificates have to match. What is empty matches all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The token's label, or the part of it before a PIN's name in parentheses.
    pub token: Option<String>,
    /// The token's maker.
    pub manufacturer: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// The slot's number.
    pub slot_id: Option<u64>,
    /// The certificate's label.
    pub object: Option<String>,
    /// The ID that key and certificate share.
    pub id: Option<Vec<u8>>,
}

/// A token's place: what it has to match, and the driver that reaches it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenUri {
    /// What it has to match.
    pub wanted: Wanted,
    /// The driver: the file of a PKCS#11 module. Those that are usual, where none is named.
    pub module: Option<PathBuf>,
    /// The file that holds the PIN, unless another source is named.
    pub pin_file: Option<PathBuf>,
}

impl TokenUri {
    /// The token with this label.
    pub(super) fn labelled(label: &str) -> Self {
        let wanted = Wanted { token: Some(label.to_owned()), ..Wanted::default() };
        Self { wanted, ..Self::default() }
    }

    /// Takes apart what follows `pkcs11:`.
    pub(super) fn parse(text: &str) -> Result<Self, NotAnAddress> {
        if text.len() > URI_BYTES_MAX {
            return Err(NotAnAddress::Uri("it is longer than 4,096 bytes".to_owned()));
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        let mut seen = Vec::new();
        let attributes = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        for attribute in attributes {
            let (name, value) = attribute
                .split_once('=')
                .ok_or_else(|| NotAnAddress::Uri(format!("{attribute:?} is no NAME=VALUE")))?;
            if seen.contains(&name) {
                return Err(NotAnAddress::Uri(format!("{name} is there twice")));
            }
            seen.push(name);
            uri.set(name, &unescaped(name, value)?)?;
        }
        Ok(uri)
    }

    fn set(&mut self, name: &str, value: &[u8]) -> Result<(), NotAnAddress> {
        let wrong = |why: &str| NotAnAddress::Uri(format!("{name} {why}"));
        if name == "id" {
            self.wanted.id = Some(value.to_vec());
            return Ok(());
        }
        let text = str::from_utf8(value).map_err(|_| wrong("is no text"))?.to_owned();
        let path = |text: &str| match text.strip_prefix("file:").unwrap_or(text) {
            path if path.starts_with('/') => Ok(PathBuf::from(path)),
            _ => Err(wrong("has to be an absolute path")),
        };
        match name {
            "token" => self.wanted.token = Some(text),
            "manufacturer" => self.wanted.manufacturer = Some(text),
            "model" => self.wanted.model = Some(text),
            "serial" => self.wanted.serial = Some(text),
            "object" => self.wanted.object = Some(text),
            "slot-id" => {
                let number = text.parse().map_err(|_| wrong("has to be a number"))?;
                self.wanted.slot_id = Some(number);
            }
            "type" if text == "cert" || text == "private" => {}
            "module-path" => self.module = Some(path(&text)?),
            "pin-source" => self.pin_file = Some(path(&text)?),
            "pin-value" => {
                return Err(wrong("would show the PIN to everybody on this machine: name a file"));
            }
            _ => return Err(wrong("is not understood here")),
        }
        Ok(())
    }
}

impl Wanted {
    /// The URI of exactly this, reached by `module`.
    #[must_use]
    pub fn uri(&self, module: &Path) -> String {
        let number = self.slot_id.map(|number| number.to_string());
        let parts = [
            ("token", self.token.as_deref().map(str::as_bytes)),
            ("manufacturer", self.manufacturer.as_deref().map(str::as_bytes)),
            ("model", self.model.as_deref().map(str::as_bytes)),
            ("serial", self.serial.as_deref().map(str::as_bytes)),
            ("slot-id", number.as_deref().map(str::as_bytes)),
            ("object", self.object.as_deref().map(str::as_bytes)),
            ("id", self.id.as_deref()),
        ];
        let named = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let path: Vec<String> =
            named.map(|(name, value)| format!("{name}={}", escaped(name, value))).collect();
        let query = match module.to_str() {
            Some(module) if module.starts_with('/') => {
                format!("?module-path={}", escaped("module-path", module.as_bytes()))
            }
            _ => String::new(),
        };
        format!("pkcs11:{}{query}", path.join(";"))
    }
}

/// `value` without its percent signs.
fn unescaped(name: &str, value: &str) -> Result<Vec<u8>, NotAnAddress> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit(), digit());
        let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        plain.push(byte.ok_or_else(|| {
            NotAnAddress::Uri(format!("{name} has a % without two hexadecimal digits"))
        })?);
    }
    Ok(plain)
}

fn escaped(name: &str, value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value {
        let stays = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match stays && name != "id" || byte == b'/' && name == "module-path" {
            true => text.push(char::from(byte)),
            false => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_of_every_attribute_is_read() {
        let text = "token=JPKI%20%28User%29;manufacturer=JPKI;model=m;serial=0001;slot-id=3;\
                    object=User%20Key;id=%01%fF;type=private?module-path=/usr/lib/x.so\
                    &pin-source=file:/run/pin";
        let uri = TokenUri::parse(text).unwrap();
        assert_eq!(uri.wanted.token.as_deref(), Some("JPKI (User)"));
        assert_eq!(uri.wanted.manufacturer.as_deref(), Some("JPKI"));
        assert_eq!(uri.wanted.model.as_deref(), Some("m"));
        assert_eq!(uri.wanted.serial.as_deref(), Some("0001"));
        assert_eq!(uri.wanted.slot_id, Some(3));
        assert_eq!(uri.wanted.object.as_deref(), Some("User Key"));
        assert_eq!(uri.wanted.id.as_deref(), Some(&[1, 0xff][..]));
        assert_eq!(uri.module.as_deref(), Some(Path::new("/usr/lib/x.so")));
        assert_eq!(uri.pin_file.as_deref(), Some(Path::new("/run/pin")));
        assert_eq!(TokenUri::parse("").unwrap(), TokenUri::default());
    }

    #[test]
    fn what_a_uri_must_not_say_is_refused_by_name() {
        let cases = [
            ("token=a?pin-value=1234", "everybody"),
            ("token=a;token=b", "twice"),
            ("token", "NAME=VALUE"),
            ("id=%0", "hexadecimal"),
            ("id=%zz", "hexadecimal"),
            ("token=%ff", "no text"),
            ("slot-id=x", "number"),
            ("type=public", "not understood"),
            ("x-vendor=1", "not understood"),
            ("token=a?module-path=x.so", "absolute"),
            ("token=a?pin-source=|program", "absolute"),
        ];
        for (text, why) in cases {
            let NotAnAddress::Uri(told) = TokenUri::parse(text).unwrap_err() else {
                panic!("{text}: another refusal")
            };
            assert!(told.contains(why), "{text}: {told}");
            assert!(!told.contains("1234"), "{told}");
        }
        assert!(TokenUri::parse(&format!("token={}", "a".repeat(5000))).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let wanted = Wanted {
            token: Some("a;b?c&d=e %/\u{65e5}".to_owned()),
            id: Some((0..=255).collect()),
            object: Some("o".to_owned()),
            ..Wanted::default()
        };
        let text = wanted.uri(Path::new("/usr/lib/a b/c;d.so"));
        let back = TokenUri::parse(text.strip_prefix("pkcs11:").unwrap()).unwrap();
        assert_eq!(back.wanted, wanted);
        assert_eq!(back.module.as_deref(), Some(Path::new("/usr/lib/a b/c;d.so")));
        assert!(!wanted.uri(Path::new("opensc-pkcs11.so")).contains("module-path"));
    }
}
