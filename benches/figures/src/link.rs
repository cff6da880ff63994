//! A link: frames sealed at one end and opened at the other, beside plain TCP.

use crate::clock::{Took, timed};
use crate::pace::{Duel, rate};
use crate::plain::made_up;
use crate::report::{Clock, Figure, Taken};
use crate::scratch::Scratch;
use crate::{BenchError, Limit, Pace, Spread};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use warifu_backend::Transport;
use warifu_buffers::Block;
use warifu_core::{Direction, End, LinkId, ObjectId, OpenPad, PoolId, SealPad, SiteName, XCoord};
use warifu_kernels::Isa;
use warifu_keystore::{
    Confirmation, Directory, Drive, Generator, GrantedKey, KeyStore, Lease, OsEntropy,
};
use warifu_link::{
    FRAME_HEADER_BYTES, GRANT_STEP_BYTES, MESSAGE_HEADER_BYTES, Message, Op, Session, SessionId,
    TAG_BYTES, aligned_grant, key_bytes_needed,
};
use warifu_remote::{TcpTransport, Timeouts};

/// What of a link is measured.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// Content of the frames of each round, in bytes: 2 MiB to 1 GiB.
    pub bytes: u64,
    /// With these kernels.
    pub isa: Isa,
}

const BYTES: std::ops::RangeInclusive<u64> = (2 << 20)..=(1 << 30);

/// Content of a frame: a chunk.
const BODY_BYTES: usize = 1 << 20;

/// Key that both ends keep of it: the blind block.
const KEPT_BYTES: usize = 16;

/// The contents of frames stand so far apart in what they are cut from.
const WORD_BYTES: usize = 8;

const BODY_AT: usize = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES;
const FRAME_BYTES: usize = BODY_AT + BODY_BYTES + TAG_BYTES;

/// The figures, what each is divided by, and the clock of both.
const FIGURES: [(&str, &str, Clock); 3] = [
    ("seal", "memcpy of the content, from memory", Clock::Thread),
    ("open", "memcpy of the content, from memory", Clock::Thread),
    ("frames", "plain TCP of the same buffers", Clock::Wall),
];

/// Measures `seal` and `open` on one thread with their pads at hand, and `frames` from end to end
/// over loopback TCP: a thread at either end, pads taken from key stores in memory as they are
/// needed, and both stores closed within the time, which ends when all key is durably destroyed.
///
/// # Errors
/// Where an end refuses, or what was opened is not what was sealed.
pub fn link(settings: &LinkSettings, pace: Pace<'_>) -> Result<Taken, BenchError> {
    pace.check()?;
    if !BYTES.contains(&settings.bytes) {
        let (least, most) = (*BYTES.start(), *BYTES.end());
        return Err(BenchError::Setting { what: "the content of a round, in bytes,", least, most });
    }
    let count = settings.bytes.div_ceil(BODY_BYTES as u64) as usize;
    let contents = Contents::new(count);
    // Touched, so that no time goes into giving the process its memory.
    let mut copy = vec![1; count * BODY_BYTES];
    let mut duels = FIGURES.map(|_| Duel::default());
    let mut processor = Vec::new();
    for round in 0..pace.rounds {
        pace.go_on()?;
        let mut frames = contents.frames()?;
        let [seal, open, tcp] = &mut duels;
        let ends = Ends::new(count, settings.isa)?;
        local(ends, round, &contents, &mut frames, &mut copy, (seal, open))?;
        let ends = Ends::new(count, settings.isa)?;
        let mut frames = contents.frames()?;
        let mut arrived: Vec<Block> = (0..count).map(|_| Block::zeroed(FRAME_BYTES)).collect();
        let context = &mut (&mut frames, &mut arrived);
        let own = |(frames, arrived): &mut (&mut Vec<Block>, &mut Vec<Block>)| {
            let took = ends.carry(frames, arrived)?;
            contents.check_sealed(frames)?;
            contents.check(arrived)?;
            processor.push(took.process_s * 1e9 / (count * BODY_BYTES) as f64);
            Ok::<_, BenchError>(rate((count * BODY_BYTES) as u64, took.wall_s))
        };
        tcp.round(round, context, own, |(frames, arrived)| {
            Ok(rate((count * BODY_BYTES) as u64, plain(frames, arrived)?))
        })?;
    }
    Ok(told(&duels, &processor, count, settings.isa, pace.rounds))
}

fn told(duels: &[Duel; 3], processor: &[f64], count: usize, isa: Isa, rounds: usize) -> Taken {
    let mut taken = Taken::default();
    for (limit, of, rates) in [
        ("memcpy", "bytes copied", &duels[0].other),
        ("plain tcp", "bytes of content", &duels[2].other),
    ] {
        let at = if limit == "memcpy" { "dram" } else { "loopback" };
        taken.limits.push(Limit {
            bench: "link".to_owned(),
            limit: limit.to_owned(),
            at: at.to_owned(),
            of: of.to_owned(),
            g_per_s: Spread::of(rates).in_giga(),
        });
    }
    taken.figures.extend(FIGURES.iter().zip(duels).map(|((name, by, clock), duel)| Figure {
        bench: "link".to_owned(),
        figure: (*name).to_owned(),
        at: if *clock == Clock::Wall { "loopback" } else { "dram" }.to_owned(),
        isa: isa.name().to_owned(),
        of: "bytes of content".to_owned(),
        bytes: (count * BODY_BYTES) as u64,
        rounds,
        clock: *clock,
        gb_per_s: duel.rate().in_giga(),
        divided_by: (*by).to_owned(),
        ratio: duel.ratio(),
        roof: None,
        latency: None,
        processor_s_per_gb: (*clock == Clock::Wall).then(|| Spread::of(processor).median),
        copied_bytes: None,
    }));
    taken
}

/// What the frames of a round hold, each something else.
struct Contents {
    /// The content of a frame begins a word further on than that of the frame before.
    bytes: Vec<u8>,
    count: usize,
}

impl Contents {
    fn new(count: usize) -> Self {
        Self { bytes: made_up(BODY_BYTES + count * WORD_BYTES, 5), count }
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|number| &self.bytes[number * WORD_BYTES..][..BODY_BYTES])
    }

    /// Frames with message and content in the clear.
    fn frames(&self) -> Result<Vec<Block>, BenchError> {
        let message = Message {
            object: ObjectId::from_bytes([7; 16]),
            x: XCoord::new(1),
            argument0: BODY_BYTES as u64,
            ..Message::request(Op::Store, 1)
        };
        let head = message.encode(BODY_BYTES).map_err(warifu_link::FrameError::from)?;
        let frame = |content: &[u8]| {
            let mut frame = Block::zeroed(FRAME_BYTES);
            frame[FRAME_HEADER_BYTES..BODY_AT].copy_from_slice(&head);
            frame[BODY_AT..BODY_AT + BODY_BYTES].copy_from_slice(content);
            frame
        };
        Ok(self.all().map(frame).collect())
    }

    /// Refuses frames that hold anything but their own content.
    fn check(&self, frames: &[Block]) -> Result<(), BenchError> {
        let is_right = |(frame, content): (&Block, &[u8])| body(frame) == content;
        match frames.len() == self.count && frames.iter().zip(self.all()).all(is_right) {
            true => Ok(()),
            false => Err(BenchError::wrong("a link")),
        }
    }

    /// Refuses frames of which any 64 bytes of content still stand in the clear.
    fn check_sealed(&self, frames: &[Block]) -> Result<(), BenchError> {
        let is_sealed = |(frame, content): (&Block, &[u8])| {
            let mut blocks = body(frame).chunks(64).zip(content.chunks(64));
            blocks.all(|(sealed, clear)| sealed != clear)
        };
        match frames.len() == self.count && frames.iter().zip(self.all()).all(is_sealed) {
            true => Ok(()),
            false => Err(BenchError::wrong("a sealed frame")),
        }
    }
}

fn body(frame: &Block) -> &[u8] {
    &frame[BODY_AT..BODY_AT + BODY_BYTES]
}

/// Seals and opens in place, with all pads at hand, each in turn with a copy of the content.
fn local(
    mut ends: Ends,
    round: usize,
    contents: &Contents,
    frames: &mut [Block],
    copy: &mut [u8],
    (seal, open): (&mut Duel, &mut Duel),
) -> Result<(), BenchError> {
    let (count, bytes) = (frames.len(), copy.len() as u64);
    let Flow { mut lease, mut granted, mut sealing, mut opening } = ends.flow(count)?;
    let copied = |context: &mut (&mut [Block], &mut [u8])| {
        Ok::<_, BenchError>(rate(bytes, copied_s(context.0, context.1)))
    };
    let pads = seal_pads(&mut lease, count)?;
    let context = &mut (&mut *frames, copy);
    let own = |(frames, _): &mut (&mut [Block], &mut [u8])| {
        let (sealed, took) = timed(|| {
            pads.into_iter()
                .zip(&mut **frames)
                .try_for_each(|(pad, frame)| sealing.seal(pad, KEPT_BYTES, frame).map(drop))
        });
        sealed?;
        Ok(rate(bytes, took.thread_s))
    };
    seal.round(round, context, own, copied)?;
    contents.check_sealed(context.0)?;
    let pads = open_pads(&mut granted, context.0)?;
    let own = |(frames, _): &mut (&mut [Block], &mut [u8])| {
        let (opened, took) = timed(|| {
            pads.into_iter().zip(&mut **frames).try_for_each(|(pad, frame)| {
                let header = opening.expect(&head(frame))?;
                opening.open(&header, pad, frame).map(drop)
            })
        });
        opened?;
        Ok(rate(bytes, took.thread_s))
    };
    open.round(round, context, own, copied)?;
    contents.check(context.0)
}

/// Seconds that copying the content of all frames takes.
fn copied_s(frames: &[Block], target: &mut [u8]) -> f64 {
    let ((), took) = timed(|| {
        for (frame, part) in frames.iter().zip(target.chunks_exact_mut(BODY_BYTES)) {
            part.copy_from_slice(body(frame));
        }
    });
    black_box(target);
    took.thread_s
}

fn head(frame: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
    let mut head = [0; FRAME_HEADER_BYTES];
    head.copy_from_slice(&frame[..FRAME_HEADER_BYTES]);
    head
}

/// Both ends of a link, whose key stores lie in memory.
struct Ends {
    gateway: KeyStore,
    site: KeyStore,
    link: LinkId,
    isa: Isa,
    scratch: Scratch,
}

/// One session of both ends, with key for its frames from gateway to site.
struct Flow {
    lease: Lease,
    granted: GrantedKey,
    sealing: Session,
    opening: Session,
}

/// Key that a frame takes.
fn key_bytes() -> u64 {
    key_bytes_needed(BODY_BYTES, KEPT_BYTES)
}

impl Ends {
    /// New ones, with key for one flow of `count` frames.
    fn new(count: usize, isa: Isa) -> Result<Self, BenchError> {
        let bytes = count as u64 * key_bytes() + 2 * GRANT_STEP_BYTES;
        let scratch = Scratch::in_memory(6 * bytes + (64 << 20))?;
        let failed = BenchError::io("make a folder for the bench");
        let store = |name: &str| {
            let folder = scratch.path(name);
            std::fs::create_dir(&folder).map_err(&failed)?;
            Ok::<_, BenchError>(KeyStore::create(
                Arc::new(Directory::new(folder)),
                Arc::new(OsEntropy),
            )?)
        };
        let (gateway, site) = (store("gateway")?, store("site")?);
        let name = |text: &str| {
            text.parse::<SiteName>().map_err(|_| BenchError::wrong("the name of a site"))
        };
        let (own, peer) = (name("gateway")?, name("site")?);
        let link = LinkId::from_bytes(*gateway.draw_pool_id()?.bytes());
        let mut generator = Generator::new(Arc::new(OsEntropy));
        let drive = scratch.path("drive");
        gateway.courier(link, &own, &peer, bytes, &mut generator, &drive, &mut |_| ())?;
        site.import_drive(&Drive::read(&drive)?, &peer)?;
        Ok(Self { gateway, site, link, isa, scratch })
    }

    /// A new session, in which the site grants key for `count` frames and the gateway accepts it.
    fn flow(&mut self, count: usize) -> Result<Flow, BenchError> {
        let (pool, direction) = (PoolId::from(self.link), Direction::AToB);
        let bytes = count as u64 * key_bytes() + GRANT_STEP_BYTES;
        let granted =
            self.site.grant(pool, direction, bytes, self.gateway.mark(pool, direction)?)?;
        let range = aligned_grant(granted);
        let confirmation = Confirmation::Authenticated;
        let lease = self.gateway.accept(pool, direction, range, confirmation)?;
        let granted = self.site.granted(pool, direction, range)?;
        let session = |end| {
            let id = SessionId::from_bytes([1; 16]);
            let mut session = Session::new(self.isa, self.link, end, id);
            session.granted(direction, range).map(|()| session)
        };
        Ok(Flow { lease, granted, sealing: session(End::A)?, opening: session(End::B)? })
    }

    /// Carries all frames over loopback TCP, sealed here and opened there, and closes both stores.
    fn carry(mut self, frames: &mut [Block], arrived: &mut [Block]) -> Result<Took, BenchError> {
        let Flow { mut lease, mut granted, mut sealing, mut opening } = self.flow(frames.len())?;
        let (here, there) = connection()?;
        let mut here = TcpTransport::from_stream(here, Timeouts::default())?;
        let mut there = TcpTransport::from_stream(there, Timeouts::default())?;
        let send = move || {
            frames.iter_mut().try_for_each(|frame| {
                sealing.seal(lease.take(key_bytes())?, KEPT_BYTES, frame)?;
                here.send(&[&frame[..]])?;
                Ok(())
            })
        };
        let receive = move || {
            arrived.iter_mut().try_for_each(|frame| {
                there.receive(&mut frame[..FRAME_HEADER_BYTES])?;
                let header = opening.expect(&head(frame))?;
                let pad = granted.open(header.key_range())?;
                there.receive(&mut frame[FRAME_HEADER_BYTES..])?;
                opening.open(&header, pad, frame)?;
                Ok(())
            })
        };
        // The scratch folder goes outside the time.
        let Self { gateway, site, scratch: _scratch, .. } = self;
        let (outcome, took) = timed(|| both(send, receive).map(|()| drop((gateway, site))));
        outcome.map(|()| took)
    }
}

fn seal_pads(lease: &mut Lease, count: usize) -> Result<Vec<SealPad>, BenchError> {
    (0..count).map(|_| Ok(lease.take(key_bytes())?)).collect()
}

/// The pads of frames that are sealed. Only the session knows their headers to be right.
fn open_pads(granted: &mut GrantedKey, frames: &[Block]) -> Result<Vec<OpenPad>, BenchError> {
    let pad = |frame: &Block| {
        let header = warifu_link::FrameHeader::decode(&head(frame))?;
        Ok(granted.open(header.key_range())?)
    };
    frames.iter().map(pad).collect()
}

/// Seconds that the same buffers take over plain TCP.
fn plain(frames: &[Block], arrived: &mut [Block]) -> Result<f64, BenchError> {
    let (mut here, mut there) = connection()?;
    let failed = || BenchError::io("send over loopback TCP");
    let send = move || frames.iter().try_for_each(|frame| here.write_all(frame).map_err(failed()));
    let receive =
        move || arrived.iter_mut().try_for_each(|frame| there.read_exact(frame).map_err(failed()));
    let (outcome, took) = timed(|| both(send, receive));
    outcome.map(|()| took.wall_s)
}

/// Two ends of a TCP connection of this machine with itself.
fn connection() -> Result<(TcpStream, TcpStream), BenchError> {
    let connect = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let here = TcpStream::connect(listener.local_addr()?)?;
        let (there, _) = listener.accept()?;
        here.set_nodelay(true)?;
        Ok((here, there))
    };
    connect().map_err(BenchError::io("connect over loopback TCP"))
}

/// Does both at once, one on a thread of its own. Each owns its end of the connection, so where one
/// fails, the other's peer is gone and it ends too.
fn both(
    first: impl FnOnce() -> Result<(), BenchError> + Send,
    second: impl FnOnce() -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        let first = first.join().map_err(|_| BenchError::wrong("a thread of a link"));
        match (first.and_then(|first| first), second) {
            // Who lost its peer only says so.
            (Err(BenchError::Transport(_) | BenchError::Io { .. }), Err(second)) => Err(second),
            (first, second) => first.and(second),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_the_clear_swapped_lost_or_changed_are_noticed() {
        let contents = Contents::new(3);
        let mut frames = contents.frames().unwrap();
        assert!(contents.check(&frames).is_ok() && contents.check(&frames[..2]).is_err());
        assert!(contents.check_sealed(&frames).is_err());
        frames.swap(0, 1);
        assert!(contents.check(&frames).is_err());
        frames.swap(0, 1);
        frames.iter_mut().for_each(|frame| frame.iter_mut().for_each(|byte| *byte ^= 1));
        assert!(contents.check(&frames).is_err() && contents.check_sealed(&frames).is_ok());
        frames[2][BODY_AT + 64..][..64].iter_mut().for_each(|byte| *byte ^= 1);
        assert!(contents.check_sealed(&frames).is_err());
    }
}
