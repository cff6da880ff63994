//! How commands get hold of a card, and of its PIN

use crate::args::CardArgs;
use crate::signals::asked_at_terminal;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use warifu_consent::card::{Access, Card, CardError, Pin, Token};
use warifu_vault::{Class, Failure};
use zeroize::Zeroizing;

/// How long a card may take for one answer, where nobody says.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest file whose first line is a PIN, in bytes.
const PIN_FILE_BYTES_MAX: usize = 4096;

/// Where a PIN comes from.
#[derive(Clone)]
enum Source {
    File(PathBuf),
    Terminal,
}

/// Gets hold of the card that a command names.
///
/// # Errors
/// Where none is named, or it is not there or not fit.
pub(in crate::commands) fn open(args: &CardArgs) -> Result<Box<dyn Card>, Failure> {
    let Some(card) = &args.card else {
        return Err(Failure::new(Class::Usage, "card-unnamed", "no card is named")
            .next("name it with --card; `warifu card list` lists those in reach"));
    };
    let file = args.pin_file.clone().or_else(|| args.pin_fd.map(descriptor));
    let file = file.or_else(|| card.pin_file().map(Path::to_owned));
    let source = file.map_or(Source::Terminal, Source::File);
    let timeout = args.card_timeout.map_or(TIMEOUT, Duration::from_secs);
    let access = Access {
        may_spend_last_try: args.last_try,
        pin: Box::new(move |token| pin(&source, token)),
        ..unasked(timeout)?
    };
    card.open(access).map_err(Failure::from)
}

/// Access without a PIN: for looking only.
pub(super) fn unasked(timeout: Duration) -> Result<Access, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(
            Class::Card,
            "card-failed",
            "this program can't be started for a card's driver",
        )
        .because(error)
    })?;
    Ok(Access {
        helper: (program, vec!["card-helper".to_owned()]),
        timeout,
        may_spend_last_try: false,
        pin: Box::new(|_| Err(CardError::NoPin("it is only looked at".to_owned()))),
    })
}

/// The file that is a descriptor of this process.
fn descriptor(number: u16) -> PathBuf {
    PathBuf::from(format!("/dev/fd/{number}"))
}

fn pin(source: &Source, token: &Token) -> Result<Pin, CardError> {
    match source {
        Source::File(path) => first_line(path),
        Source::Terminal => {
            let left = match token.tries_left() {
                None => String::new(),
                Some(1) => " (1 try is left)".to_owned(),
                Some(left) => format!(" ({left} tries are left)"),
            };
            let label: String = token.label.chars().filter(|c| !c.is_control()).collect();
            let question = format!("PIN of {label}{left}: ");
            let asked = asked_at_terminal(|| rpassword::prompt_password(question));
            let text = asked.map_err(|error| match error.kind() {
                ErrorKind::Interrupted => {
                    CardError::NoPin("it was not typed to its end".to_owned())
                }
                _ => CardError::NoPin(format!("there is no terminal to ask at ({error})")),
            })?;
            Pin::new(Zeroizing::new(text))
        }
    }
}

/// The first line of a file, which is read whole into a buffer that never moves.
fn first_line(path: &Path) -> Result<Pin, CardError> {
    let unread = |error| CardError::NoPin(format!("{} can't be read: {error}", path.display()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(PIN_FILE_BYTES_MAX));
    let file = File::open(path).map_err(unread)?;
    file.take(PIN_FILE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(unread)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = str::from_utf8(line)
        .map_err(|_| CardError::NoPin(format!("{} holds no text", path.display())))?;
    Pin::new(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_first_line_and_never_empty() {
        let folder = std::env::temp_dir().join(format!("warifu-pin-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("pin");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            first_line(&path)
        };
        for good in [&b"1234"[..], b"1234\n", b"1234\r\nnote\n"] {
            assert!(read(good).is_ok(), "{good:?}");
        }
        for bad in [&b""[..], b"\n1234", b"\xff\n", &[b'1'; 256]] {
            assert!(matches!(read(bad), Err(CardError::NoPin(_))), "{bad:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(first_line(&path), Err(CardError::NoPin(_))));
    }
}
