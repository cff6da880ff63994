//! The child's end: a driver may hang, crash or write where it likes, so it is loaded here only,
//! in a process that its parent ends when time is over.

use super::driver::{Driver, OpenToken};
use super::words::{Answer, Ask, Bytes, LINE_BYTES_MAX, PIN_BYTES_MAX, Trouble};
use cryptoki::types::AuthPin;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use zeroize::Zeroizing;

/// Answers the parent on standard input and output until it closes the former.
///
/// # Errors
/// Where the two can't be used, or the parent says what it never says.
pub fn serve_cards() -> io::Result<()> {
    // Whatever the parent's end: nobody is left waiting in a driver.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A driver that prints must not be taken for an answer.
    let answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    // Unbuffered, so that no copy of a PIN stays in a buffer.
    let asks = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Child { asks: BufReader::with_capacity(1, asks), answers, token: None }.serve()
}

struct Child<R, W> {
    asks: R,
    answers: W,
    token: Option<OpenToken>,
}

impl<R: BufRead, W: Write> Child<R, W> {
    fn serve(mut self) -> io::Result<()> {
        while let Some(ask) = self.next()? {
            let answer = self.answer(ask)?.unwrap_or_else(|trouble| Answer::Refused { trouble });
            let mut line = serde_json::to_string(&answer)?;
            line.push('\n');
            self.answers.write_all(line.as_bytes())?;
            self.answers.flush()?;
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Ask>> {
        let mut line = Vec::new();
        (&mut self.asks).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        match line.is_empty() {
            true => Ok(None),
            false => Ok(Some(serde_json::from_slice(&line)?)),
        }
    }

    fn answer(&mut self, ask: Ask) -> io::Result<Result<Answer, Trouble>> {
        Ok(match ask {
            Ask::List { module } => Driver::load(&module)
                .and_then(|driver| driver.readers())
                .map(|readers| Answer::Readers { readers }),
            Ask::Open { module, wanted } => {
                let opened = Driver::load(&module).and_then(|driver| driver.open(&wanted));
                opened.map(|(open, token, chain)| {
                    self.token = Some(open);
                    Answer::Opened { token, chain }
                })
            }
            Ask::Login { pin_bytes } => {
                let pin = pin_bytes.map(|length| self.pin(length)).transpose()?;
                self.token()?.login(pin.as_ref()).map(|()| Answer::Proved)
            }
            Ask::Sign { how, block } => {
                let signed = self.token()?.sign(how, &block.0);
                signed.map(|signature| Answer::Signed { signature: Bytes(signature) })
            }
        })
    }

    fn pin(&mut self, length: usize) -> io::Result<AuthPin> {
        if length > PIN_BYTES_MAX {
            return Err(strange("a PIN of this length"));
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        self.asks.read_exact(&mut bytes)?;
        let text = str::from_utf8(&bytes).map_err(|_| strange("a PIN that is no text"))?;
        Ok(AuthPin::from(Box::<str>::from(text)))
    }

    fn token(&self) -> io::Result<&OpenToken> {
        self.token.as_ref().ok_or_else(|| strange("to use a token before one is open"))
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the parent asks for {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(asks: &str) -> io::Result<String> {
        let mut answers = Vec::new();
        Child { asks: asks.as_bytes(), answers: &mut answers, token: None }.serve()?;
        Ok(String::from_utf8(answers).unwrap())
    }

    #[test]
    fn a_driver_that_is_not_there_is_an_answer_and_no_end() {
        let ask = "{\"ask\":\"list\",\"module\":\"/nowhere/at-all.so\"}\n";
        let told = answers(&ask.repeat(2)).unwrap();
        assert_eq!(told.lines().count(), 2);
        assert!(
            told.starts_with(r#"{"answer":"refused","trouble":{"absent":"no driver"#),
            "{told}"
        );
        assert_eq!(answers("").unwrap(), "");
    }

    #[test]
    fn what_no_parent_asks_ends_the_child() {
        let asks = [
            "nonsense\n".to_owned(),
            "{\"ask\":\"sign\",\"how\":\"ecdsa\",\"block\":\"\"}\n".to_owned(),
            "{\"ask\":\"login\",\"pin_bytes\":4}\n1234".to_owned(),
            "{\"ask\":\"login\",\"pin_bytes\":400}\n".to_owned() + &"1".repeat(400),
            "{\"ask\":\"login\",\"pin_bytes\":4}\n12".to_owned(),
            "x".repeat(2 << 20),
        ];
        for ask in asks {
            assert!(answers(&ask).is_err(), "{}", &ask[..ask.len().min(80)]);
        }
    }
}
