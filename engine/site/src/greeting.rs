//! The site's half of the handshake (FORMAT.md section 9).

use crate::desk::BODY_OFFSET;
use crate::server::{Site, SiteError};
use warifu_buffers::{Block, Bytes};
use warifu_core::{Direction, End, Kept, KeyRange, LinkId, PoolId};
use warifu_keystore::{Confirmation, GrantedKey, KeyError, PoolKind};
use warifu_link::body::{Confirm, Confirmed, failure_text};
use warifu_link::hello::{
    CLIENT_HELLO_BYTES, ClientHello, HELLO_GRANT_BYTES, HelloEcho, HelloRefusal, Marks, PoolEnds,
    RefusalReason, ServerHello,
};
use warifu_link::{
    FRAME_HEADER_BYTES, FrameHeader, Message, Op, Session, Status, TAG_BYTES, key_bytes_needed,
};
use warifu_pipeline::peer::{SendKey, grant_for_hello, grant_for_lease};

/// A piece so long will do for the key that is granted with a confirmation, in bytes: it is there
/// to ask for more.
const FIRST_LEASE_BYTES_MIN: u64 = 2 << 10;

/// A connection whose other end has proved to hold the link's key.
pub(crate) struct Greeted {
    pub(crate) link: LinkId,
    pub(crate) session: Session,
    /// The gateway's key, opened here.
    pub(crate) incoming: GrantedKey,
    /// The site's key for its answers.
    pub(crate) answers: SendKey,
}

/// A connection whose hellos were exchanged and that has proved nothing yet.
pub(crate) struct Greeting {
    link: LinkId,
    session: Session,
    incoming: GrantedKey,
    echo: HelloEcho,
}

/// How a hello is answered.
pub(crate) enum Welcome {
    Offered(Vec<u8>, Box<Greeting>),
    Declined(Vec<u8>, SiteError),
}

/// Answers the client's hello; what it costs the site is one small grant.
pub(crate) fn greet(site: &Site, hello: &[u8; CLIENT_HELLO_BYTES]) -> Result<Welcome, SiteError> {
    let client = ClientHello::decode(hello)?;
    let server = match offer(site, &client)? {
        Ok(server) => server,
        Err(reason) => {
            let refusal = HelloRefusal { link: client.link, nonce: client.nonce, reason };
            let declined = SiteError::Declined { link: client.link, reason };
            return Ok(Welcome::Declined(refusal.encode().to_vec(), declined));
        }
    };
    let echo = HelloEcho::of(&client, &server);
    let mut session = Session::new(site.isa(), client.link, End::B, echo.session());
    session.granted(Direction::AToB, server.granted)?;
    let pool = PoolId::from(client.link);
    let incoming = site.keys().granted(pool, Direction::AToB, server.granted)?;
    let greeting = Greeting { link: client.link, session, incoming, echo };
    Ok(Welcome::Offered(server.encode().to_vec(), Box::new(greeting)))
}

/// The hello that answers `client`, or why there is none.
fn offer(
    site: &Site,
    client: &ClientHello,
) -> Result<Result<ServerHello, RefusalReason>, SiteError> {
    let (keys, pool) = (site.keys(), PoolId::from(client.link));
    let status = match keys.pool_status(pool) {
        Ok(status) if status.kind == PoolKind::Link(End::B) => status,
        Ok(_) | Err(KeyError::NoPool { .. }) => return Ok(Err(RefusalReason::UnknownLink)),
        Err(error) => return Err(error.into()),
    };
    if !site.hello_limit().admit(client.link, site.clock().elapsed()) {
        return Ok(Err(RefusalReason::TooManyUnconfirmed));
    }
    let marks = Marks {
        a_to_b: keys.mark(pool, Direction::AToB)?,
        b_to_a: keys.mark(pool, Direction::BToA)?,
    };
    let at_least = marks.higher(client.marks).a_to_b;
    let end = |direction| status.direction(direction).map_or(0, |side| side.bytes_total);
    let ends = PoolEnds { a_to_b: end(Direction::AToB), b_to_a: end(Direction::BToA) };
    if at_least > ends.a_to_b {
        return Ok(Err(RefusalReason::MarksBeyondPool));
    }
    let (direction, place) = (Direction::AToB, (at_least, ends.a_to_b));
    let granted = match grant_for_hello(keys, pool, direction, HELLO_GRANT_BYTES, place)? {
        Some(granted) => granted,
        None => return Ok(Err(RefusalReason::NoKeyLeft)),
    };
    Ok(Ok(ServerHello { link: client.link, nonce: site.nonce()?, marks, granted, ends }))
}

impl Greeting {
    /// The header of the frame that is to come, if `first` begins it.
    pub(crate) fn expect(
        &self,
        first: &[u8; FRAME_HEADER_BYTES],
    ) -> Result<FrameHeader, SiteError> {
        Ok(self.session.expect(first)?)
    }

    /// Takes the frame that proves the client, and proves this end by the answer. An older copy of
    /// the gateway is told so, and not greeted.
    pub(crate) fn confirm(
        self,
        site: &Site,
        frame: Block,
    ) -> Result<(Block, Result<Greeted, SiteError>), SiteError> {
        let Self { link, mut session, mut incoming, echo } = self;
        let (keys, pool) = (site.keys(), PoolId::from(link));
        let opened = open(&mut session, &mut incoming, frame)?;
        if opened.message.op != Op::Confirm {
            return Err(SiteError::Protocol("the first frame is no confirmation"));
        }
        let confirm = Confirm::decode(opened.body())?;
        if confirm.echo != echo {
            return Err(SiteError::Protocol("it repeats other hellos than were exchanged"));
        }
        site.hello_limit().proved(link);
        let known = match keys.peer_seen(pool, confirm.incarnation, confirm.epoch) {
            Err(error @ KeyError::PeerRolledBack { .. }) => Err(error),
            // A ledger that fails here accuses nobody there.
            known => Ok(known?),
        };
        keys.confirm(pool, Direction::AToB, echo.marks().a_to_b)?;
        keys.confirm(pool, Direction::BToA, echo.marks().b_to_a)?;
        incoming.confirm()?;
        let authenticated = Confirmation::Authenticated;
        let lease = keys.accept(pool, Direction::BToA, confirm.offered, authenticated)?;
        if lease.left() != confirm.offered.len() {
            return Err(SiteError::Protocol("the key offered is partly burned here"));
        }
        session.granted(Direction::BToA, confirm.offered)?;
        let mut answers = SendKey::of(lease);
        let granted = match known {
            Ok(()) => grant(site, pool, (confirm.wanted_bytes, FIRST_LEASE_BYTES_MIN), 0)?,
            Err(_) => KeyRange::between(0, 0),
        };
        if !granted.is_empty() {
            session.granted(Direction::AToB, granted)?;
            incoming.extend(granted)?;
        }
        let (reply, body) = verdict(site, pool, &opened.message, &echo, (&known, granted))?;
        let pad = answers.take(key_bytes_needed(body.len(), 0))?;
        let (answer, _) = session.seal_message(pad, &reply, &body, 0)?;
        let greeted = Greeted { link, session, incoming, answers };
        Ok((answer, known.map(|()| greeted).map_err(SiteError::from)))
    }
}

/// The answer to a confirmation: welcome, or that a later opening of the same vault was seen.
fn verdict(
    site: &Site,
    pool: PoolId,
    asked: &Message,
    echo: &HelloEcho,
    (known, granted): (&Result<(), KeyError>, KeyRange),
) -> Result<(Message, Vec<u8>), SiteError> {
    let mut body = Vec::new();
    let keys = site.keys();
    match known {
        Ok(()) => {
            let (epoch, incarnation) = (keys.epoch(pool)?, keys.incarnation());
            Confirmed { echo: *echo, epoch, incarnation, granted }.encode(&mut body);
            Ok((asked.answer(Status::Done), body))
        }
        Err(error) => {
            let text = error.to_string();
            body.extend_from_slice(failure_text(&text).as_bytes());
            let mut answer = asked.answer(Status::Key);
            if let KeyError::PeerRolledBack { highest, .. } = error {
                answer.argument0 = *highest;
            }
            Ok((answer, body))
        }
    }
}

/// Grants the gateway up to `bytes` at or above `floor`; empty where nothing is left or wanted. A
/// piece that has `enough` will do.
pub(crate) fn grant(
    site: &Site,
    pool: PoolId,
    sizes: (u64, u64),
    floor: u64,
) -> Result<KeyRange, SiteError> {
    let granted = match sizes {
        (0, _) => None,
        _ => grant_for_lease(site.keys(), pool, Direction::AToB, sizes, (floor, u64::MAX))?,
    };
    Ok(granted.unwrap_or(KeyRange::between(0, 0)))
}

/// A frame in the clear.
pub(crate) struct Opened {
    pub(crate) message: Message,
    /// The frame's buffer; the body stands at [`BODY_OFFSET`].
    pub(crate) frame: Block,
    /// The key that both ends keep.
    pub(crate) kept: Kept,
}

impl Opened {
    /// What follows the message header.
    pub(crate) fn body(&self) -> &[u8] {
        &self.frame[BODY_OFFSET..self.frame.len() - TAG_BYTES]
    }

    /// The body, handed on without being copied.
    pub(crate) fn into_body(self) -> Bytes {
        let body = BODY_OFFSET..self.frame.len() - TAG_BYTES;
        self.frame.into_bytes().slice(body)
    }
}

/// Opens a whole frame in its own buffer.
pub(crate) fn open(
    session: &mut Session,
    incoming: &mut GrantedKey,
    mut frame: Block,
) -> Result<Opened, SiteError> {
    let first = frame.first_chunk().ok_or(SiteError::Protocol("a frame is cut short"))?;
    let header = session.expect(first)?;
    let pad = incoming.open(header.key_range())?;
    let (message, kept) = session.open(&header, pad, &mut frame)?;
    Ok(Opened { message, frame, kept })
}
