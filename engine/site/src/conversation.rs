//! One connection from its hello to its end, without any I/O: bytes in, an answer out.

use crate::desk::{BODY_OFFSET, Desk};
use crate::greeting::{Greeting, Welcome, greet};
use crate::server::{Place, Site, SiteError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use warifu_backend::Transport;
use warifu_buffers::Block;
use warifu_link::FRAME_HEADER_BYTES;
use warifu_link::hello::CLIENT_HELLO_BYTES;

/// How long a connection may take to prove itself.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// How long a proved connection may be silent.
const IDLE: Duration = Duration::from_secs(1800);

/// What the site says to what it was told.
pub struct Turn {
    /// The bytes of the answer: a hello, or one frame.
    pub answer: Block,
    /// Present where the conversation is over with this answer, and why if not by the gateway's
    /// own wish.
    pub end: Option<Result<(), SiteError>>,
}

/// A connection as the site sees it. It reads nothing, writes nothing and does not wait: whoever
/// holds the connection brings the bytes and takes the answers. After an error, or a turn that
/// ends it, it is of no use.
pub struct Conversation {
    site: Arc<Site>,
    stage: Stage,
}

enum Stage {
    Hello { _place: Place },
    Greeting { greeting: Box<Greeting>, _place: Place },
    Desk { desk: Box<Desk>, _places: [Place; 2] },
    Over,
}

impl Conversation {
    /// A connection that was just made.
    ///
    /// # Errors
    /// Where too many have not proved themselves yet.
    pub fn new(site: Arc<Site>) -> Result<Self, SiteError> {
        let stage = Stage::Hello { _place: site.unproved_place()? };
        Ok(Self { site, stage })
    }

    /// The gateway's hello, which comes first.
    ///
    /// # Errors
    /// Where it is none, or the key store fails. Nothing is answered then.
    pub fn hello(&mut self, hello: &[u8; CLIENT_HELLO_BYTES]) -> Result<Turn, SiteError> {
        let Stage::Hello { _place } = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Err(SiteError::Protocol("a hello comes first and once"));
        };
        let (answer, end) = match greet(&self.site, hello)? {
            Welcome::Declined(answer, why) => (answer, Some(Err(why))),
            Welcome::Offered(answer, greeting) => {
                self.stage = Stage::Greeting { greeting, _place };
                (answer, None)
            }
        };
        // A hello is public, and no payload: its copy does not count as one.
        let mut block = Block::zeroed(answer.len());
        block.copy_from_slice(&answer);
        Ok(Turn { answer: block, end })
    }

    /// How many bytes the frame has that begins with `first`, if it may come next.
    ///
    /// # Errors
    /// Where no such frame is expected. Nothing is changed.
    pub fn frame_bytes(&self, first: &[u8; FRAME_HEADER_BYTES]) -> Result<usize, SiteError> {
        let header = match &self.stage {
            Stage::Greeting { greeting, .. } => greeting.expect(first)?,
            Stage::Desk { desk, .. } => desk.expect(first)?,
            Stage::Hello { .. } | Stage::Over => return Err(not_now()),
        };
        Ok(header.frame_bytes())
    }

    /// One whole frame.
    ///
    /// # Errors
    /// Where it is forged, replayed or out of order, or the key store fails. Nothing is answered
    /// then; a request that can't be fulfilled is answered, and no error.
    pub fn frame(&mut self, frame: Block) -> Result<Turn, SiteError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Greeting { greeting, _place } => {
                let (answer, greeted) = greeting.confirm(&self.site, frame)?;
                let end = match greeted {
                    Err(why) => Some(Err(why)),
                    Ok(greeted) => {
                        let places = self.site.proved_places(greeted.link)?;
                        let desk = Box::new(Desk::new(self.site.clone(), greeted));
                        self.stage = Stage::Desk { desk, _places: places };
                        None
                    }
                };
                Ok(Turn { answer, end })
            }
            Stage::Desk { mut desk, _places } => {
                let (answer, is_released) = desk.serve(frame)?;
                if is_released {
                    return Ok(Turn { answer, end: Some(Ok(())) });
                }
                self.stage = Stage::Desk { desk, _places };
                Ok(Turn { answer, end: None })
            }
            Stage::Hello { .. } | Stage::Over => Err(not_now()),
        }
    }

    fn is_proved(&self) -> bool {
        matches!(self.stage, Stage::Desk { .. })
    }
}

fn not_now() -> SiteError {
    SiteError::Protocol("no frame is expected now")
}

impl Site {
    /// Serves one connection until it ends. Unused key goes back where the gateway ends cleanly.
    ///
    /// # Errors
    /// Where it does not end cleanly. Nothing that was acknowledged is lost by that.
    pub fn serve(self: &Arc<Self>, mut transport: Box<dyn Transport>) -> Result<(), SiteError> {
        let mut conversation = Conversation::new(self.clone())?;
        transport.set_deadline(Some(Instant::now() + GREETING_PATIENCE));
        let mut hello = [0; CLIENT_HELLO_BYTES];
        transport.receive(&mut hello)?;
        let mut turn = conversation.hello(&hello)?;
        loop {
            transport.send(&[&turn.answer])?;
            if let Some(end) = turn.end {
                return end;
            }
            if conversation.is_proved() {
                transport.set_deadline(Some(Instant::now() + IDLE));
            }
            let mut first = [0; FRAME_HEADER_BYTES];
            transport.receive(&mut first)?;
            // A chunk's content goes to the store from where it arrives.
            let bytes = conversation.frame_bytes(&first)?;
            let mut frame = Block::aligned_at(bytes, BODY_OFFSET);
            frame[..FRAME_HEADER_BYTES].copy_from_slice(&first);
            transport.receive(&mut frame[FRAME_HEADER_BYTES..])?;
            turn = conversation.frame(frame)?;
        }
    }
}
