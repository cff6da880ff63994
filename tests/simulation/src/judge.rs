//! The judge of the wire: no byte of key ever masks two messages, no plaintext passes, and no
//! attempt at a slot has two contents. For the last it has the key, as no one else has.

use std::collections::{BTreeMap, BTreeSet};
use warifu_core::{Direction, LinkId, ObjectId, XCoord};
use warifu_link::header::FRAME_KEY_BYTES;
use warifu_link::{FRAME_HEADER_BYTES, FrameHeader, Message, Op, ShareClass};

/// Stands in every object that is stored, and must stand nowhere else.
pub(crate) const MARK: &[u8; 24] = b"plaintext of one person!";

/// Start of a range to its end and the hash of the frame that used it.
type Used = BTreeMap<u64, (u64, [u8; 32])>;

/// A share's slot, and an attempt at it.
type Attempt = (ObjectId, Option<XCoord>, ShareClass, u64, u32);

/// All that was ever sealed, as anybody who listens could know it.
#[derive(Default)]
pub(crate) struct Judge {
    used: BTreeMap<(LinkId, Direction), Used>,
    /// Key towards sites: first position to key.
    keys: BTreeMap<(LinkId, u64), Vec<u8>>,
    contents: BTreeMap<Attempt, [u8; 32]>,
    is_blind_to_attempts: bool,
    /// Chunks that were sent since the last look, by object.
    chunks: BTreeSet<(ObjectId, u64)>,
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
                self.see_attempt(&header, message)
            }
        }
    }

    /// Learns key with which a gateway will seal, from the courier's drive or from its own file
    /// before any of it is used.
    pub(crate) fn learn(&mut self, segment: &[u8]) {
        let number = |at: usize| segment.get(at..)?.first_chunk().map(|it| u64::from_le_bytes(*it));
        let link = segment.get(32..).and_then(<[u8]>::first_chunk).copied();
        let (Some(link), Some(base), Some(key)) = (link, number(48), segment.get(4096..)) else {
            return;
        };
        if segment[10] == Direction::AToB.to_byte() {
            // What was learnt at first is whole; later some of it may be erased.
            let known = self.keys.entry((LinkId::from_bytes(link), base));
            let _learnt = known.or_insert_with(|| key.to_vec());
        }
    }

    /// From now on there are two of a gateway, and both may go on with one backup: sites refuse one
    /// of them.
    pub(crate) fn forgive_attempts(&mut self) {
        self.is_blind_to_attempts = true;
    }

    /// Chunks of an object that were sent since this was asked last.
    pub(crate) fn chunks_sent(&mut self, object: ObjectId) -> u64 {
        let of_it = |one: &&(ObjectId, u64)| one.0 == object;
        let sent = self.chunks.iter().filter(of_it).count();
        self.chunks.clear();
        sent as u64
    }

    /// What is to be stored under an attempt is always the same.
    fn see_attempt(&mut self, header: &FrameHeader, message: &[u8]) -> Result<(), String> {
        let Some(payload) = self.open(header, message) else { return Ok(()) };
        let Some(first) = payload.first_chunk() else { return Ok(()) };
        let Ok((asked, _)) = Message::decode(first) else {
            return Err("a gateway sent a frame without sense".to_owned());
        };
        let content = match asked.op {
            Op::Store => *blake3::hash(&payload[first.len()..]).as_bytes(),
            Op::Keep => {
                let at = header.key_start + (FRAME_KEY_BYTES + payload.len()) as u64;
                let kept = self.key(header.link, at, asked.argument0);
                // Over the border of two segments it is not looked at.
                let Some(kept) = kept else { return Ok(()) };
                *blake3::hash(kept).as_bytes()
            }
            _ => return Ok(()),
        };
        if asked.class == ShareClass::Data {
            self.chunks.insert((asked.object, asked.index));
        }
        let attempt = (asked.object, asked.x, asked.class, asked.index, asked.attempt);
        let known = *self.contents.entry(attempt).or_insert(content);
        match known == content || self.is_blind_to_attempts {
            true => Ok(()),
            false => Err(format!("ATTEMPTS: {attempt:?} has two contents")),
        }
    }

    /// The payload of a frame towards a site.
    fn open(&self, header: &FrameHeader, message: &[u8]) -> Option<Vec<u8>> {
        let payload = message.get(FRAME_HEADER_BYTES..)?.get(..header.payload_bytes as usize)?;
        let at = header.key_start + FRAME_KEY_BYTES as u64;
        let key = self.key(header.link, at, payload.len() as u64);
        let key = key.filter(|_| header.direction == Direction::AToB)?;
        Some(payload.iter().zip(key).map(|(byte, mask)| byte ^ mask).collect())
    }

    /// Key towards a site; `None` where it lies in two segments, or in none.
    fn key(&self, link: LinkId, at: u64, bytes: u64) -> Option<&[u8]> {
        let ((_, base), key) = self.keys.range((link, 0)..=(link, at)).next_back()?;
        key.get(usize::try_from(at - base).ok()?..)?.get(..usize::try_from(bytes).ok()?)
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
    fn it_sees_a_second_content_of_one_attempt() {
        let mut segment = vec![0; 4096];
        segment[32..48].fill(1);
        segment.extend((0..9000_u32).map(|at| (at * 7 % 251) as u8));
        let mut judge = Judge::default();
        judge.learn(&segment);
        let key = segment.split_off(4096);
        let sealed = |key_start: usize, attempt, content: [u8; 40]| {
            let asked = Message { attempt, argument0: 40, ..Message::request(Op::Store, 1) };
            let mut clear = asked.encode(content.len()).unwrap().to_vec();
            clear.extend(content);
            let mut sealed = frame(key_start as u64, 104, 0);
            let mask = &key[key_start + FRAME_KEY_BYTES..];
            for ((target, byte), mask) in
                sealed[FRAME_HEADER_BYTES..].iter_mut().zip(&clear).zip(mask)
            {
                *target = byte ^ mask;
            }
            sealed
        };
        let mut see = |message: &[u8]| judge.see(message, Direction::AToB);
        see(&sealed(512, 3, [1; 40])).unwrap();
        see(&sealed(1024, 3, [1; 40])).unwrap();
        see(&sealed(2048, 4, [2; 40])).unwrap();
        assert!(see(&sealed(4096, 3, [2; 40])).unwrap_err().starts_with("ATTEMPTS"));
        assert_eq!(judge.chunks_sent(ObjectId::from_bytes([0; 16])), 1);
        assert_eq!(judge.chunks_sent(ObjectId::from_bytes([0; 16])), 0);
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
