//! The judge of the wire: no byte of key ever masks two messages, and no plaintext passes.

use std::collections::BTreeMap;
use warifu_core::{Direction, LinkId};
use warifu_link::{FRAME_HEADER_BYTES, FrameHeader};

/// Stands in every object that is stored, and must stand nowhere else.
pub(crate) const MARK: &[u8; 24] = b"plaintext of one person!";

/// Start of a range to its end and the hash of the frame that used it.
type Used = BTreeMap<u64, (u64, [u8; 32])>;

/// All that was ever sealed, as anybody who listens could know it.
#[derive(Default)]
pub(crate) struct Judge {
    used: BTreeMap<(LinkId, Direction), Used>,
}

impl Judge {
    /// Looks at what an honest end sends.
    ///
    /// # Errors
    /// What was broken.
    pub(crate) fn see(&mut self, message: &[u8], direction: Direction) -> Result<(), String> {
        if message.windows(MARK.len()).any(|part| part == MARK) {
            return Err("SECRECY: plaintext on the wire".to_owned());
        }
        let Some(first) = message.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(()) };
        // Hellos are no frames, and take no key.
        let Ok(header) = FrameHeader::decode(first) else { return Ok(()) };
        if header.direction != direction {
            return Err(format!("a frame of {direction:?} says that it is not"));
        }
        let hash = *blake3::hash(message).as_bytes();
        let used = self.used.entry((header.link, direction)).or_default();
        let range = header.key_range();
        let (start, end) = (range.start(), range.end());
        let before = used.range(..end).next_back();
        match before {
            Some((_, (known_end, known))) if *known_end > start && *known != hash => {
                Err(format!("ONCE: {range} of {} {direction:?} masks two messages", header.link))
            }
            Some((_, (known_end, _))) if *known_end > start => Ok(()),
            _ => {
                used.insert(start, (end, hash));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_link::hello::SessionId;

    fn frame(key_start: u64, payload_bytes: u32, filling: u8) -> Vec<u8> {
        let header = FrameHeader {
            link: LinkId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            direction: Direction::AToB,
            sequence: 0,
            key_start,
            payload_bytes,
            kept_bytes: 0,
            is_open: false,
        };
        let mut frame = header.encode().to_vec();
        frame.resize(header.frame_bytes(), filling);
        frame
    }

    #[test]
    fn it_sees_a_second_use_and_forgives_a_repeat() {
        let mut judge = Judge::default();
        let mut see = |message: &[u8]| judge.see(message, Direction::AToB);
        see(&frame(512, 100, 7)).unwrap();
        see(&frame(512, 100, 7)).unwrap();
        see(&frame(512 + 132, 100, 8)).unwrap();
        see(&frame(100, 200, 8)).unwrap();
        assert!(see(&frame(512, 100, 8)).unwrap_err().starts_with("ONCE"));
        assert!(see(&frame(416, 64, 1)).is_ok());
        assert!(see(&frame(420, 64, 2)).unwrap_err().starts_with("ONCE"));
        assert!(see(&frame(600, 64, 1)).unwrap_err().starts_with("ONCE"));
        assert!(see(&frame(0, 1000, 1)).unwrap_err().starts_with("ONCE"));
        let mut leak = frame(5000, 200, 0);
        leak[100..100 + MARK.len()].copy_from_slice(MARK);
        assert!(see(&leak).unwrap_err().starts_with("SECRECY"));
    }
}
