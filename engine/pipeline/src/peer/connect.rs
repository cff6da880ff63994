//! Opening a connection: public hellos, then one sealed confirmation each way.

use super::leases::{AnswerKey, grant_for_hello, grant_for_lease};
use super::{LinkSpent, Peer, PeerError, PeerSettings, SendKey};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warifu_backend::Transport;
use warifu_core::{Direction, End, KeyRange, LinkId, PoolId};
use warifu_kernels::Isa;
use warifu_keystore::{Confirmation, KeyError, KeyStore};
use warifu_link::body::{Confirm, Confirmed};
use warifu_link::hello::{
    AnswerKind, CLIENT_HELLO_BYTES, ClientHello, HelloEcho, HelloRefusal, Marks, Nonce,
    SERVER_HELLO_BYTES, ServerHello,
};
use warifu_link::message::FAILURE_BYTES_MAX;
use warifu_link::{Message, Op, Session, Status, key_bytes_needed};

/// How long a site may take to answer a hello.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

impl Peer {
    /// Speaks the handshake over `transport` as end A of `link`.
    ///
    /// Both ends go on above the higher of both marks. What the hellos say is believed only once
    /// a frame under key that both hold repeats it.
    ///
    /// # Errors
    /// Where the site refuses, can't prove itself, or either key store was rolled back.
    pub fn connect(
        mut transport: Box<dyn Transport>,
        keys: Arc<KeyStore>,
        link: LinkId,
        nonce: Nonce,
        isa: Isa,
        settings: PeerSettings,
    ) -> Result<Self, PeerError> {
        let pool = PoolId::from(link);
        let marks = Marks {
            a_to_b: keys.mark(pool, Direction::AToB)?,
            b_to_a: keys.mark(pool, Direction::BToA)?,
        };
        // What the site itself has confirmed before; a hello tells more, which it need not know.
        let status = keys.pool_status(pool)?;
        let confirmed_mark = status.direction(Direction::AToB).map_or(0, |side| side.mark);
        let client = ClientHello { link, nonce, marks };
        transport.set_deadline(Some(Instant::now() + GREETING_PATIENCE));
        let server = exchange_hellos(transport.as_mut(), &client)?;
        let granted = server.granted;
        let lease = keys
            .accept(pool, Direction::AToB, granted, Confirmation::Unconfirmed)
            .map_err(|error| match error {
                KeyError::AlreadyUsed { range, .. } => PeerError::HelloGrantUsed { range },
                error => error.into(),
            })?;
        let echo = HelloEcho::of(&client, &server);
        let place = (echo.marks().b_to_a, echo.server_ends.b_to_a);
        let offered = first_offer(&keys, pool, settings.first_answer_bytes, place)?;
        let mut session = Session::new(isa, link, End::A, echo.session());
        session.granted(Direction::AToB, granted)?;
        session.granted(Direction::BToA, offered)?;
        let answers = keys.granted(pool, Direction::BToA, offered)?;
        let mut peer = Self {
            transport,
            keys,
            pool,
            session,
            send_key: SendKey::of(lease),
            answers,
            answer_key: AnswerKey::of(offered),
            settings,
            expected_bytes: u64::MAX,
            expected_answer_bytes: u64::MAX,
            lease_floor: 0,
            offer_floor: 0,
            ends: echo.server_ends,
            next_request: 0,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            spent: LinkSpent::default(),
            is_dry: false,
            is_broken: false,
        };
        peer.confirm(&echo, offered, confirmed_mark)?;
        Ok(peer)
    }

    fn confirm(
        &mut self,
        echo: &HelloEcho,
        offered: KeyRange,
        confirmed_mark: u64,
    ) -> Result<(), PeerError> {
        let confirm = Confirm {
            echo: *echo,
            epoch: self.keys.epoch(self.pool)?,
            incarnation: self.keys.incarnation(),
            offered,
            wanted_bytes: self.settings.first_lease_bytes,
        };
        let mut body = Vec::new();
        confirm.encode(&mut body);
        let answer = key_bytes_needed(FAILURE_BYTES_MAX, 0);
        self.send_request(Message::request(Op::Confirm, 0), &body, 0, answer)?;
        let reply = self.receive_any()?;
        if reply.message.status == Status::Key {
            let known = reply.message.argument0;
            return Err(match self.keys.own_epoch_superseded(self.pool, known) {
                Ok(_) => PeerError::Superseded,
                Err(KeyError::RolledBack { known, .. }) => PeerError::OwnRollback { known },
                Err(error) => error.into(),
            });
        }
        reply.check(Op::Confirm)?;
        let confirmed = Confirmed::decode(reply.body())?;
        if confirmed.echo != *echo {
            return Err(PeerError::Unexpected("it repeats other hellos than were exchanged"));
        }
        self.keys.peer_seen(self.pool, confirmed.incarnation, confirmed.epoch)?;
        let remembers = echo.server_marks.a_to_b;
        self.keys.confirm(self.pool, Direction::AToB, echo.marks().a_to_b)?;
        self.keys.confirm(self.pool, Direction::BToA, echo.marks().b_to_a)?;
        if remembers < confirmed_mark {
            return Err(PeerError::SiteRolledBack { remembers, granted: confirmed_mark });
        }
        self.send_key.confirm()?;
        self.answers.confirm()?;
        self.is_dry = confirmed.granted.is_empty();
        self.take_grant(confirmed.granted)
    }
}

fn exchange_hellos(
    transport: &mut dyn Transport,
    client: &ClientHello,
) -> Result<ServerHello, PeerError> {
    transport.send(&[&client.encode()])?;
    let mut bytes = [0; SERVER_HELLO_BYTES];
    let mut first = [0; CLIENT_HELLO_BYTES];
    transport.receive(&mut first)?;
    if AnswerKind::of(&first)? == AnswerKind::Refusal {
        let refusal = HelloRefusal::decode(&first)?;
        refusal.answers(client)?;
        return Err(PeerError::HelloRefused { reason: refusal.reason });
    }
    bytes[..CLIENT_HELLO_BYTES].copy_from_slice(&first);
    transport.receive(&mut bytes[CLIENT_HELLO_BYTES..])?;
    let server = ServerHello::decode(&bytes)?;
    server.answers(client)?;
    Ok(server)
}

/// Key for the site's own confirmation, above all that either end knows to be taken, and below the
/// end of the site's key as its hello tells it: the site has not proved itself yet.
fn first_offer(
    keys: &KeyStore,
    pool: PoolId,
    bytes: u64,
    (mark, end): (u64, u64),
) -> Result<KeyRange, PeerError> {
    let direction = Direction::BToA;
    let offered = grant_for_hello(keys, pool, direction, bytes, (mark, end))?;
    Ok(offered.ok_or(KeyError::Empty { pool, direction, left: 0 })?)
}

/// Grants the site up to `bytes` at or above a floor and below the end of its key, for its answers,
/// of which none is longer than `enough` allows for.
pub(super) fn offer(
    keys: &KeyStore,
    pool: PoolId,
    sizes: (u64, u64),
    place: (u64, u64),
) -> Result<KeyRange, PeerError> {
    let direction = Direction::BToA;
    let offered = grant_for_lease(keys, pool, direction, sizes, place)?;
    let left = 0;
    Ok(offered.ok_or(KeyError::Empty { pool, direction, left })?)
}
