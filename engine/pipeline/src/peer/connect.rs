//! Opening a connection: public hellos, then one sealed confirmation each way.

use super::leases::AnswerKey;
use super::{LinkSpent, Peer, PeerError, PeerSettings, SendKey};
use std::collections::VecDeque;
use std::sync::Arc;
use warifu_backend::Transport;
use warifu_core::{Direction, End, KeyRange, LinkId, PoolId};
use warifu_kernels::Isa;
use warifu_keystore::{Confirmation, KeyError, KeyStore};
use warifu_link::body::{Confirm, Confirmed};
use warifu_link::hello::{
    AnswerKind, CLIENT_HELLO_BYTES, ClientHello, HelloEcho, HelloRefusal, Marks, Nonce,
    SERVER_HELLO_BYTES, ServerHello,
};
use warifu_link::{GRANT_STEP_BYTES, Message, Op, Session, Status, aligned_grant};

/// Answer key offered before the site has proved itself: enough for its confirmation.
const FIRST_OFFER_BYTES: u64 = 4096;

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
        let client = ClientHello { link, nonce, marks };
        let server = exchange_hellos(transport.as_mut(), &client)?;
        let granted = server.granted;
        let lease = keys
            .accept(pool, Direction::AToB, granted, Confirmation::Unconfirmed)
            .map_err(|error| match error {
                KeyError::AlreadyUsed { range, .. } => PeerError::GrantedUsed { range },
                error => error.into(),
            })?;
        let echo = HelloEcho::of(&client, &server);
        // What this end knows to be free is free, unless the other end knows more.
        let theirs = server.marks.b_to_a;
        let at_least = if theirs > marks.b_to_a { theirs } else { 0 };
        let offered = offer(&keys, pool, FIRST_OFFER_BYTES, at_least)?;
        let mut session = Session::new(isa, link, End::A, echo.session());
        session.granted(Direction::AToB, granted)?;
        session.granted(Direction::BToA, offered)?;
        let answers = keys.granted(pool, Direction::BToA, offered)?;
        let mut peer = Self {
            transport,
            keys,
            pool,
            isa,
            session,
            send_key: SendKey::of(lease),
            answers,
            answer_key: AnswerKey::of(offered),
            settings,
            next_request: 0,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            spent: LinkSpent::default(),
        };
        peer.confirm(&echo, offered)?;
        Ok(peer)
    }

    fn confirm(&mut self, echo: &HelloEcho, offered: KeyRange) -> Result<(), PeerError> {
        let confirm = Confirm {
            echo: *echo,
            epoch: self.keys.epoch(self.pool)?,
            incarnation: self.keys.incarnation(),
            offered,
            wanted_bytes: self.settings.first_lease_bytes,
        };
        let mut body = Vec::new();
        confirm.encode(&mut body);
        self.send_request(Message::request(Op::Confirm, 0), &body, 0, FIRST_OFFER_BYTES / 2)?;
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
        let (mine, theirs) = (echo.client_marks.a_to_b, echo.server_marks.a_to_b);
        self.keys.confirm(self.pool, Direction::AToB, echo.marks().a_to_b)?;
        self.keys.confirm(self.pool, Direction::BToA, echo.marks().b_to_a)?;
        if theirs < mine {
            return Err(PeerError::SiteRolledBack { remembers: theirs, granted: mine });
        }
        self.send_key.confirm()?;
        self.answers.confirm()?;
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

/// Grants the other end `bytes` of its sending direction, on the grants' step.
pub(super) fn offer(
    keys: &KeyStore,
    pool: PoolId,
    bytes: u64,
    at_least: u64,
) -> Result<KeyRange, PeerError> {
    let range = keys.grant(pool, Direction::BToA, bytes + GRANT_STEP_BYTES - 1, at_least)?;
    Ok(aligned_grant(range))
}
