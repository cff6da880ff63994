//! What of the hellos is proved later.

use super::{ClientHello, Marks, Nonce, PoolEnds, ServerHello, SessionId};

/// What the confirming frames repeat of the hellos. A frame that carries the echo of what its
/// receiver sent and got proves that both hellos arrived as they were sent, and now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelloEcho {
    /// The client's nonce.
    pub client_nonce: Nonce,
    /// The server's nonce.
    pub server_nonce: Nonce,
    /// The client's marks.
    pub client_marks: Marks,
    /// The server's marks.
    pub server_marks: Marks,
    /// Where the server's key ends.
    pub server_ends: PoolEnds,
}

impl HelloEcho {
    /// The echo of two hellos.
    #[must_use]
    pub const fn of(client: &ClientHello, server: &ServerHello) -> Self {
        Self {
            client_nonce: client.nonce,
            server_nonce: server.nonce,
            client_marks: client.marks,
            server_marks: server.marks,
            server_ends: server.ends,
        }
    }

    /// The session that the two nonces name.
    #[must_use]
    pub fn session(&self) -> SessionId {
        SessionId::from_nonces(&self.client_nonce, &self.server_nonce)
    }

    /// The higher of both ends' marks in each direction: below it nothing is used any more.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.client_marks.higher(self.server_marks)
    }
}
