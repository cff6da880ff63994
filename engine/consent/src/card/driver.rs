//! One PKCS#11 driver with what it reaches: the only place that loads foreign code, in a process
//! of its own.

use super::certificate::{CertificateFacts, issued_by_itself};
use super::uri::Wanted;
use super::words::{Bytes, Mechanism as How, Reader, Shown, Token, Tries, Trouble};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use std::path::Path;

/// How many slots, and objects of a token, are looked at.
const COUNT_MAX: usize = 64;

/// How many certificates a chain has.
const CHAIN_MAX: usize = 4;

/// A driver that is loaded.
pub(super) struct Driver {
    context: Pkcs11,
}

/// A token with the certificate that was chosen on it.
pub(super) struct OpenToken {
    driver: Driver,
    slot: Slot,
    session: Session,
    id: Vec<u8>,
}

impl Driver {
    pub(super) fn load(module: &Path) -> Result<Self, Trouble> {
        let context = Pkcs11::new(module).map_err(|error| match error {
            Error::LibraryLoading(error) => Trouble::Absent(format!("no driver loads: {error}")),
            other => trouble(&other),
        })?;
        let how = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        context.initialize(how).map_err(|error| trouble(&error))?;
        Ok(Self { context })
    }

    /// All slots, those without a token too.
    pub(super) fn readers(&self) -> Result<Vec<Reader>, Trouble> {
        let slots = self.context.get_all_slots().map_err(|error| trouble(&error))?;
        slots.into_iter().take(COUNT_MAX).map(|slot| self.reader(slot)).collect()
    }

    fn reader(&self, slot: Slot) -> Result<Reader, Trouble> {
        let info = self.context.get_slot_info(slot).map_err(|error| trouble(&error))?;
        let name = info.slot_description().to_owned();
        let token = match info.token_present() {
            true => self.token(slot)?,
            false => None,
        };
        Ok(Reader { name, token })
    }

    /// The token in a slot; none where it is not initialised, or was just taken out.
    fn token(&self, slot: Slot) -> Result<Option<Token>, Trouble> {
        let info = match self.context.get_token_info(slot) {
            Ok(info) => info,
            Err(Error::Pkcs11(RvError::TokenNotPresent | RvError::TokenNotRecognized, _)) => {
                return Ok(None);
            }
            Err(error) => return Err(trouble(&error)),
        };
        if !info.token_initialized() {
            return Ok(None);
        }
        let session = self.context.open_ro_session(slot).map_err(|error| trouble(&error))?;
        Ok(Some(described(slot, &info, certificates(&session)?)))
    }

    /// The one certificate that fits, with its token and those above it.
    pub(super) fn open(self, wanted: &Wanted) -> Result<(OpenToken, Token, Vec<Bytes>), Trouble> {
        let tokens: Vec<Token> =
            self.readers()?.into_iter().filter_map(|reader| reader.token).collect();
        let (token, own) = chosen(&tokens, wanted)?;
        let chain = chain(&own.certificate, &token.certificates);
        let slot = Slot::try_from(token.slot_id).map_err(|error| trouble(&error))?;
        let session = self.context.open_ro_session(slot).map_err(|error| trouble(&error))?;
        let open = OpenToken { driver: self, slot, session, id: own.id.0.clone() };
        Ok((open, token.clone(), chain))
    }
}

impl OpenToken {
    /// Proves the PIN, once.
    pub(super) fn login(&self, pin: Option<&AuthPin>) -> Result<(), Trouble> {
        match self.session.login(UserType::User, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(Trouble::Locked),
            Err(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            )) => {
                let info = self.driver.context.get_token_info(self.slot);
                let token = described(self.slot, &info.map_err(|e| trouble(&e))?, Vec::new());
                match token.tries {
                    Tries::None => Err(Trouble::Locked),
                    _ => Err(Trouble::WrongPin { tries_left: token.tries_left() }),
                }
            }
            Err(error) => Err(trouble(&error)),
        }
    }

    /// Signs what is hashed already.
    pub(super) fn sign(&self, how: How, block: &[u8]) -> Result<Vec<u8>, Trouble> {
        let mechanism = match how {
            How::RsaPkcs => Mechanism::RsaPkcs,
            How::Ecdsa => Mechanism::Ecdsa,
        };
        self.session.sign(&mechanism, self.key()?, block).map_err(|error| trouble(&error))
    }

    /// The private key with the ID of the certificate.
    fn key(&self) -> Result<ObjectHandle, Trouble> {
        let sought = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(self.id.clone())];
        let found = self.session.find_objects(&sought).map_err(|error| trouble(&error))?;
        let [key] = found[..] else {
            let what = format!("{} private keys have the ID of its certificate", found.len());
            return Err(Trouble::Unfit(what));
        };
        let asked = [AttributeType::AlwaysAuthenticate];
        let told = self.session.get_attributes(key, &asked).unwrap_or_default();
        if told.contains(&Attribute::AlwaysAuthenticate(true)) {
            let what = "it wants its PIN at each signature, as keys for documents do";
            return Err(Trouble::Unfit(what.to_owned()));
        }
        Ok(key)
    }
}

fn described(slot: Slot, info: &TokenInfo, certificates: Vec<Shown>) -> Token {
    let flags = [
        (info.user_pin_locked(), Tries::None),
        (info.user_pin_final_try(), Tries::Last),
        (info.user_pin_count_low(), Tries::Fewer),
    ];
    let tries = flags.into_iter().find(|(is_set, _)| *is_set).map(|(_, tries)| tries);
    Token {
        label: info.label().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        model: info.model().to_owned(),
        serial: info.serial_number().to_owned(),
        slot_id: slot.id(),
        wants_pin: info.login_required(),
        has_pad: info.protected_authentication_path(),
        tries: tries.unwrap_or(Tries::All),
        certificates,
    }
}

/// The token and the certificate that fit: exactly one of each.
fn chosen<'a>(tokens: &'a [Token], wanted: &Wanted) -> Result<(&'a Token, &'a Shown), Trouble> {
    let fitting: Vec<&Token> = tokens.iter().filter(|token| token.fits(wanted)).collect();
    if fitting.is_empty() {
        let labels: Vec<&str> = tokens.iter().map(|token| token.label.as_str()).collect();
        let seen = match labels.is_empty() {
            true => "no reader holds one".to_owned(),
            false => format!("there are only: {}", labels.join(", ")),
        };
        return Err(Trouble::Absent(format!("none fits; {seen}")));
    }
    let mut found = Vec::new();
    for token in fitting {
        let own = token.certificates.iter().filter(|shown| is_own(shown, wanted));
        found.extend(own.map(|shown| (token, shown)));
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(Trouble::Unfit(
            "it shows no certificate that fits. One that is hidden behind a PIN is never used: \
             such as a My Number Card's for signatures, it says who its holder is, and would \
             stand in every statement"
                .to_owned(),
        )),
        _ => {
            let names = found.iter().map(|(token, shown)| {
                let id: String = shown.id.0.iter().map(|byte| format!("%{byte:02X}")).collect();
                format!("{} id={id}", token.label)
            });
            let names = names.collect::<Vec<_>>().join(", ");
            Err(Trouble::Absent(format!("several certificates fit, so name one: {names}")))
        }
    }
}

/// Whether a certificate is a person's, and fits.
fn is_own(shown: &Shown, wanted: &Wanted) -> bool {
    let fits = wanted.object.as_ref().is_none_or(|label| *label == shown.label)
        && wanted.id.as_ref().is_none_or(|id| *id == shown.id.0);
    fits && CertificateFacts::read(&shown.certificate.0).is_ok_and(|facts| !facts.is_authority)
}

/// `own`, then those of `others` between it and an authority that issued its own certificate,
/// which whoever judges has pinned himself.
fn chain(own: &Bytes, others: &[Shown]) -> Vec<Bytes> {
    let mut chain = vec![own.clone()];
    while chain.len() < CHAIN_MAX {
        let facts = chain.last().map(|last| CertificateFacts::read(&last.0));
        let Some(Ok(last)) = facts else { break };
        let above = others.iter().find(|shown| {
            !chain.contains(&shown.certificate)
                && CertificateFacts::read(&shown.certificate.0)
                    .is_ok_and(|facts| facts.subject == last.issuer && !issued_by_itself(&facts))
        });
        let Some(above) = above else { break };
        chain.push(above.certificate.clone());
    }
    chain
}

/// The certificates that a session sees.
fn certificates(session: &Session) -> Result<Vec<Shown>, Trouble> {
    let sought = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
    ];
    let found = session.find_objects(&sought).map_err(|error| trouble(&error))?;
    let asked = [AttributeType::Id, AttributeType::Label, AttributeType::Value];
    let mut certificates = Vec::new();
    for handle in found.into_iter().take(COUNT_MAX) {
        // One that can't be read without a PIN is no reason to do without the others.
        let Ok(attributes) = session.get_attributes(handle, &asked) else { continue };
        let (mut id, mut label, mut value) = (Vec::new(), String::new(), Vec::new());
        for attribute in attributes {
            match attribute {
                Attribute::Id(bytes) => id = bytes,
                Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
                Attribute::Value(bytes) => value = bytes,
                _ => {}
            }
        }
        if !value.is_empty() {
            certificates.push(Shown { id: Bytes(id), label, certificate: Bytes(value) });
        }
    }
    Ok(certificates)
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::Pkcs11(RvError::DeviceRemoved | RvError::TokenNotPresent, _) => {
            Trouble::Absent("it was taken out".to_owned())
        }
        Error::Pkcs11(value, function) => Trouble::Failed(format!("{function} says {value:?}")),
        other => Trouble::Failed(other.to_string()),
    }
}
