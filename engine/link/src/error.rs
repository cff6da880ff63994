//! Why a frame or a message is refused.

use crate::fields::Short;
use warifu_core::KeyRange;

/// Why a frame is not sealed, or not taken. After any of these the session is over: the caller
/// drops it and the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Not a frame at all.
    #[error("not a frame: its first four bytes are not WFRM")]
    BadMagic,
    /// A version that this end does not speak.
    #[error("frame version {version} is not known, only 1")]
    BadVersion {
        /// The version stated.
        version: u8,
    },
    /// A field has a value that the format does not admit.
    #[error("the frame header's field {field:?} has a value that is not allowed")]
    Malformed {
        /// The field, named as in the format.
        field: &'static str,
    },
    /// The frame belongs to another link.
    #[error("the frame names another link")]
    WrongLink,
    /// The frame belongs to another session of this link.
    #[error("the frame names another session")]
    WrongSession,
    /// The frame says to come from this very end.
    #[error("the frame has this end's own direction: it was reflected")]
    Reflected,
    /// A frame with this sequence number has been taken already.
    #[error("frame {sequence} was taken before, {expected} is next: it was replayed")]
    Replayed {
        /// The number stated.
        sequence: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// Frames between the last one and this one are missing.
    #[error("frame {sequence} came where {expected} is next: frames were dropped or reordered")]
    Skipped {
        /// The number stated.
        sequence: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// The range starts where no frame may start, or does not lie in one grant.
    #[error("key range {range} does not continue a grant of this session")]
    KeyStart {
        /// The range of the frame.
        range: KeyRange,
    },
    /// A grant that starts off the step, overlaps another, or is one too many.
    #[error("a grant of {range} is refused: {reason}")]
    Grant {
        /// The range granted.
        range: KeyRange,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The pad handed in is not the one for this frame.
    #[error("the pad covers {got}, the frame needs {needed}")]
    WrongPad {
        /// What the pad covers.
        got: KeyRange,
        /// What the frame needs.
        needed: KeyRange,
    },
    /// The buffer is not as long as the frame.
    #[error("a frame of {expected} bytes is given as {got}")]
    Length {
        /// Bytes given.
        got: usize,
        /// Bytes that header and limits ask for.
        expected: usize,
    },
    /// The tag is wrong: somebody without the key made or changed this frame.
    #[error("the frame's tag is wrong: it was forged or damaged on its way")]
    Forged,
    /// The tag is right and the message in it is not.
    #[error("the message in the frame is refused")]
    Message(#[from] MessageError),
}

impl From<Short> for FrameError {
    fn from(_: Short) -> Self {
        Self::Malformed { field: "length" }
    }
}

/// Why a message header or a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A request that this end does not know.
    #[error("operation {op} is not known")]
    UnknownOp {
        /// The number stated, the bit of an answer included.
        op: u16,
    },
    /// A field has a value that the format does not admit.
    #[error("the message's field {field:?} has a value that is not allowed")]
    Malformed {
        /// The field, named as in the format.
        field: &'static str,
    },
    /// Only an offer of key goes unmasked, and it always does.
    #[error("a message whose payload must {}be masked", if *.is_open { "" } else { "not " })]
    Masking {
        /// Whether it stood in the clear.
        is_open: bool,
    },
    /// End A asks, end B answers; this is the other way round.
    #[error("a request came from end B, or an answer from end A")]
    WrongWay,
    /// The length of the body stated is not the length carried.
    #[error("the message states a body of {stated} bytes and carries {carried}")]
    BodyBytes {
        /// Bytes stated.
        stated: usize,
        /// Bytes carried.
        carried: usize,
    },
    /// No such message has a body of this length.
    #[error("{what} cannot be {bytes} bytes long")]
    Size {
        /// Which message or body.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The frame keeps another amount of key than its message says.
    #[error("the frame keeps {kept} bytes of key, its message needs {needed}")]
    KeptBytes {
        /// Bytes kept.
        kept: u64,
        /// Bytes that the message needs.
        needed: u64,
    },
}

impl From<Short> for MessageError {
    fn from(_: Short) -> Self {
        Self::Malformed { field: "length" }
    }
}
