//! Sealed frames, handshake and peer messages, without I/O, clock or randomness.
//!
//! [`hello`] opens a connection in public, a [`Session`] seals and opens the frames that follow,
//! [`Message`] and [`body`] are what is said in them. The bytes are those of section 9 of
//! `engine/core/FORMAT.md`; pads come in as values and are consumed.
//!
//! # What a forger can do
//! A frame's tag is `m + poly(r, header || ciphertext)` over GF(2^128), `r` and `m` 16 bytes each
//! of the link's key. Header and ciphertext are told apart by their blocks: the header is four
//! whole blocks and states the length of the ciphertext, whose last block is zero-filled. Let a
//! genuine frame `M` with tag `t` be seen; a forger offers `M' != M` with `t'` under the same `r`
//! and `m`. It passes only if
//!
//! ```text
//! poly(r, M) + poly(r, M') = t + t'
//! ```
//!
//! whose left side is a polynomial in `r` that is not zero, has no constant term, and a degree of
//! at most the number of blocks, `4 + ceil(P / 16) <= 4 + 69,632`. So at most 69,636 of the 2^128
//! values of `r` satisfy it, and since the uniform `m` hides `poly(r, M)`, `t` says nothing of `r`:
//! a try succeeds with probability at most 69,636 / 2^128, below 2^-111, whatever the forger can
//! compute. Where no genuine frame used that `r` and `m`, the probability is 2^-128.
//!
//! # Why a frame may not start anywhere
//! That holds only while `r` and `m` were never anything else. Frames say much that is known
//! (a header, the nonces, zeros), so whoever holds back a frame knows the key stream under it. If
//! a receiver let the next frame start inside the range of the one held back, `r` and `m` would be
//! known stream, and any tag could be made. Therefore a receiver takes a frame only where the
//! frame before it in that grant ended, or at the start of a grant, and no frame crosses from one
//! grant into another ([`Session::granted`]). The first grant is named by a public hello that a
//! forger may alter, so both ends know where grants can start: at multiples of
//! [`GRANT_STEP_BYTES`], and the only frame sent before the peer is authenticated is shorter.

#![forbid(unsafe_code)]

pub mod body;
mod error;
mod fields;
mod grants;
pub mod header;
pub mod hello;
pub mod message;
pub mod session;

pub use error::{FrameError, MessageError};
pub use grants::{GRANT_STEP_BYTES, GRANTS_MAX, TAILS_KEPT_SEALING, aligned_grant};
pub use header::{
    FRAME_HEADER_BYTES, FRAME_KEY_BYTES, FrameHeader, KEPT_BYTES_MAX, PAYLOAD_BYTES_MAX, TAG_BYTES,
};
pub use hello::SessionId;
pub use message::{MESSAGE_HEADER_BYTES, Message, Op, ShareClass, Status};
pub use session::{Session, key_bytes_needed, key_bytes_of};
