//! Answers the requests of one connection, one by one.

use crate::drafts::{share_name, writer};
use crate::greeting::{Greeted, grant, receive_keeping};
use crate::server::{Site, SiteError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use warifu_backend::{Error as StoreError, ShareName};
use warifu_buffers::Block;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::share_file::{CapsuleShape, parse_share_file_name};
use warifu_core::sharing::chunk_hash;
use warifu_core::{Direction, Geometry, Kept, KeyRange, PoolId, Role, SiteName, Threshold};
use warifu_kernels::PolyHash;
use warifu_keystore::{Confirmation, KeyError, PoolKind, PoolStatus};
use warifu_link::body::{
    Commit, Grant, RANGE_BYTES, Release, SHARE_STATS_MAX, ShareStat, Witness, failure_text,
};
use warifu_link::{
    FRAME_HEADER_BYTES, MESSAGE_HEADER_BYTES, Message, Op, ShareClass, Status, TAG_BYTES,
    key_bytes_needed,
};
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::peer::{RELEASED_RUNS_MAX, ShareAddress};
use warifu_pipeline::share::{CommitOrder, Draft, ShareError, ShareReader};

/// Where the body stands in an opened frame.
pub(crate) const BODY_OFFSET: usize = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES;

/// How long a proved connection may be silent.
const IDLE: Duration = Duration::from_secs(1800);

/// A request that was refused: how, and in what words.
struct Declined {
    status: Status,
    text: String,
}

impl Declined {
    fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

/// What a request is answered with: the header's arguments and the body.
#[derive(Default)]
struct Answer {
    attempt: u32,
    argument0: u64,
    body: Vec<u8>,
    content: Option<Content>,
}

/// A chunk on its way back, ready in a frame's buffer.
struct Content {
    frame: Block,
}

/// One connection being served.
pub(crate) struct Desk<'a> {
    site: &'a Site,
    greeted: Greeted,
    connection: u64,
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        self.site.drafts().let_go(self.connection);
    }
}

impl<'a> Desk<'a> {
    pub(crate) fn new(site: &'a Site, greeted: Greeted) -> Self {
        Self { site, greeted, connection: site.number_connection() }
    }

    /// Serves until the gateway releases its key or goes away.
    pub(crate) fn work(mut self) -> Result<(), SiteError> {
        loop {
            self.greeted.transport.set_deadline(Some(Instant::now() + IDLE));
            let Greeted { transport, session, incoming, .. } = &mut self.greeted;
            let (message, frame, kept) = receive_keeping(transport.as_mut(), session, incoming)?;
            if message.op == Op::Release {
                return self.release(&message, &frame);
            }
            let body = &frame[BODY_OFFSET..frame.len() - TAG_BYTES];
            let answer = match message.op {
                Op::Lease => self.lease(&message, body)?,
                _ => self.answer(&message, body, &kept),
            };
            self.reply(&message, answer)?;
        }
    }

    fn reply(
        &mut self,
        asked: &Message,
        answer: Result<Answer, Declined>,
    ) -> Result<(), SiteError> {
        let Greeted { transport, session, answers, .. } = &mut self.greeted;
        let (status, answer) = match answer {
            Ok(answer) => (Status::Done, answer),
            Err(Declined { status, text }) => {
                tracing::info!(op = ?asked.op, ?status, text, "declined");
                let body = failure_text(&text).as_bytes().to_vec();
                (status, Answer { body, ..Answer::default() })
            }
        };
        let mut message = asked.answer(status);
        message.argument0 = answer.argument0;
        message.attempt = answer.attempt.max(asked.attempt);
        if let Some(Content { mut frame }) = answer.content {
            let body_bytes = frame.len() - BODY_OFFSET - TAG_BYTES;
            frame[FRAME_HEADER_BYTES..BODY_OFFSET].copy_from_slice(&message.encode(body_bytes)?);
            let pad = answers.take(key_bytes_needed(body_bytes, 0))?;
            session.seal(pad, 0, &mut frame)?;
            return Ok(transport.send(&[&frame])?);
        }
        let pad = answers.take(key_bytes_needed(answer.body.len(), 0))?;
        let (frame, _) = session.seal_message(pad, &message, &answer.body, 0)?;
        Ok(transport.send(&[&frame])?)
    }

    fn answer(&self, message: &Message, body: &[u8], kept: &Kept) -> Result<Answer, Declined> {
        match message.op {
            Op::Begin => self.begin(message),
            Op::Store => self.store(message, body, kept),
            Op::Keep => self.keep(message, kept),
            Op::Commit => self.commit(message, body),
            Op::Read => self.read(message),
            Op::Stat => self.stat(message),
            Op::Discard => self.discard(message),
            Op::Ping => self.ping(),
            Op::Witness => self.witness(message, body),
            Op::Confirm | Op::Lease | Op::Release => {
                Err(Declined::new(Status::BadRequest, "not at this point of a session"))
            }
        }
    }

    fn begin(&self, message: &Message) -> Result<Answer, Declined> {
        let address = address(message)?;
        let bad = || Declined::new(Status::BadRequest, "scheme or role is not possible");
        let scheme = message.argument0.to_le_bytes();
        let threshold =
            Threshold::new(u32::from(scheme[0]), u32::from(scheme[1])).map_err(|_| bad())?;
        let role = Role::from_byte(scheme[2]).ok_or_else(bad)?;
        if scheme[3..] != [0; 5] {
            return Err(bad());
        }
        let link = self.greeted.link;
        let draft =
            Draft { object: address.object, x: address.x, threshold, role, link: Some(link) };
        let draft = self.site.drafts().begin(self.site.store(), link, address, draft);
        let draft = draft.map_err(declined)?.ok_or_else(|| {
            Declined::new(Status::Limit, "this link has too many unfinished shares here")
        })?;
        self.site.drafts().hold(link, address, self.connection);
        let held = writer(&draft).as_ref().map_or(0, |writer| {
            let mut held = 0;
            while writer.written().contains_key(&Slot { class: ShareClass::Data, index: held }) {
                held += 1;
            }
            held
        });
        Ok(Answer { argument0: held, ..Answer::default() })
    }

    fn store(&self, message: &Message, body: &[u8], kept: &Kept) -> Result<Answer, Declined> {
        let mut blind = [0; 16];
        if message.class != ShareClass::Capsule {
            blind.copy_from_slice(kept);
        }
        self.put(message, &blind, body)?;
        Ok(Answer::default())
    }

    /// Keeps a range of the link's key as a share, and proves by a hash under fresh key that it is
    /// the same range that the gateway has.
    fn keep(&self, message: &Message, kept: &Kept) -> Result<Answer, Declined> {
        let (content, rest) = kept.split_at(kept.len() - 32);
        let (mut blind, mut receipt_key) = ([0; 16], [0; 16]);
        blind.copy_from_slice(&rest[..16]);
        receipt_key.copy_from_slice(&rest[16..]);
        self.put(message, &blind, content)?;
        let receipt = PolyHash::new(self.site.isa(), &receipt_key);
        let body = chunk_hash(&receipt, content, &blind).to_vec();
        Ok(Answer { body, ..Answer::default() })
    }

    fn put(&self, message: &Message, blind: &[u8; 16], content: &[u8]) -> Result<(), Declined> {
        let draft = self.site.drafts().find(self.greeted.link, address(message)?);
        let draft = draft.ok_or_else(no_draft)?;
        let slot = Slot { class: message.class, index: message.index };
        let mut writer = writer(&draft);
        let writer = writer.as_mut().ok_or_else(no_draft)?;
        writer.put(slot, message.attempt, blind, content).map_err(declined)
    }

    fn commit(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let bad = |_| Declined::new(Status::BadRequest, "the commit makes no sense");
        let commit = Commit::decode(body).map_err(bad)?;
        let geometry = Geometry::new(message.argument0)
            .map_err(|error| Declined::new(Status::BadRequest, error.to_string()))?;
        let masks = u32::try_from(message.argument1)
            .map_err(|_| Declined::new(Status::BadRequest, "too many masks"))?;
        let capsule = CapsuleShape::new(commit.head_bytes, &geometry, masks);
        let capsule =
            capsule.map_err(|error| Declined::new(Status::BadRequest, error.to_string()))?;
        if capsule.verdict_bytes != commit.verdict_bytes {
            return Err(Declined::new(Status::BadRequest, "a verdict has another length"));
        }
        let attempts: BTreeMap<Slot, u32> = commit
            .attempts
            .iter()
            .map(|named| (slot_of(geometry, named.chunk), named.attempt))
            .collect();
        let order = CommitOrder { geometry, masks, capsule, attempts: &attempts };
        let address = address(message)?;
        // The lock is held until the share is durable: a commit that is asked again waits for this
        // one, and then finds the share.
        let drafts = self.site.drafts();
        match drafts.find(self.greeted.link, address) {
            Some(draft) => match writer(&draft).take() {
                Some(writer) => writer.commit(&order).map_err(declined)?,
                None => self.committed_before(address, &order)?,
            },
            None => self.committed_before(address, &order)?,
        }
        drop(drafts.close(self.greeted.link, address));
        tracing::info!(object = %address.object, x = %address.x, "a share is durable");
        Ok(Answer::default())
    }

    /// A commit that is asked again, after its receipt was lost, is confirmed if it is the same.
    fn committed_before(
        &self,
        address: ShareAddress,
        order: &CommitOrder<'_>,
    ) -> Result<(), Declined> {
        let name = share_name(address).map_err(declined)?;
        let reader = self.open_own(&name)?;
        let header = reader.header();
        let same = header.geometry == order.geometry
            && header.masks == order.masks
            && header.capsule == order.capsule;
        if same { Ok(()) } else { Err(no_draft()) }
    }

    fn read(&self, message: &Message) -> Result<Answer, Declined> {
        let name = share_name(address(message)?).map_err(declined)?;
        let reader = self.open_own(&name)?;
        if message.class == ShareClass::Capsule {
            let bytes = usize::try_from(message.argument1).unwrap_or(usize::MAX);
            if bytes > CHUNK_BYTES as usize {
                return Err(Declined::new(Status::BadRequest, "at most 1 MiB at a time"));
            }
            let mut frame = Block::zeroed(BODY_OFFSET + bytes + TAG_BYTES);
            let part = &mut frame[BODY_OFFSET..BODY_OFFSET + bytes];
            reader.capsule(message.argument0, part).map_err(declined)?;
            return Ok(Answer { content: Some(Content { frame }), ..Answer::default() });
        }
        let slot = Slot { class: message.class, index: message.index };
        let bytes = reader.slot_bytes(slot).map_err(declined)?;
        let mut frame = Block::zeroed(BODY_OFFSET + 16 + bytes + TAG_BYTES);
        let content = BODY_OFFSET + 16;
        let read = reader.chunk(slot, &mut frame[content..]).map_err(declined)?;
        frame[BODY_OFFSET..content].copy_from_slice(&read.blind);
        let content = Some(Content { frame });
        Ok(Answer { attempt: read.attempt, argument0: bytes as u64, content, ..Answer::default() })
    }

    /// A committed share that came over this very link; others' are as if they were not there.
    fn open_own(&self, name: &ShareName) -> Result<ShareReader<'_>, Declined> {
        let reader = ShareReader::open(self.site.store(), name).map_err(declined)?;
        match reader.header().link == Some(self.greeted.link) {
            true => Ok(reader),
            false => Err(Declined::new(Status::NoSuchShare, "no such share of this link")),
        }
    }

    fn stat(&self, message: &Message) -> Result<Answer, Declined> {
        let all = message.object.bytes() == &[0; 16];
        let mut body = Vec::new();
        let entries = self.site.store().list().map_err(|error| declined(error.into()))?;
        for entry in entries {
            let Some((object, _)) = parse_share_file_name(entry.name.as_str()) else { continue };
            if !all && object != message.object {
                continue;
            }
            let reader = match self.open_own(&entry.name) {
                Ok(reader) => reader,
                Err(Declined { status: Status::NoSuchShare, .. }) => continue,
                // What can't be read is not the same as what is not there.
                Err(declined) if !all => return Err(declined),
                Err(_) => continue,
            };
            let header = reader.header();
            let stat = ShareStat {
                object,
                x: header.x,
                threshold: header.threshold,
                computed: header.role == Role::Computed,
                committed: true,
                payload_bytes: header.geometry.payload_bytes(),
                masks: header.masks,
                head_bytes: header.capsule.head_bytes,
                verdict_bytes: header.capsule.verdict_bytes,
            };
            stat.encode(&mut body);
            if body.len() / warifu_link::body::SHARE_STAT_BYTES >= SHARE_STATS_MAX.min(256) {
                break;
            }
        }
        Ok(Answer { body, ..Answer::default() })
    }

    /// Throws a share away that its gateway never listed, whether it was completed or not.
    fn discard(&self, message: &Message) -> Result<Answer, Declined> {
        let address = address(message)?;
        if self.site.drafts().is_held(self.greeted.link, address, self.connection) {
            return Err(Declined::new(Status::Refused, "a running backup works on this share"));
        }
        if let Some(writer) = self.site.drafts().close(self.greeted.link, address) {
            writer.abandon().map_err(declined)?;
            return Ok(Answer::default());
        }
        let name = share_name(address).map_err(declined)?;
        match self.open_own(&name) {
            Ok(_) => self.site.store().delete(&name).map_err(|error| declined(error.into()))?,
            Err(Declined { status: Status::NoSuchShare, .. }) => {
                let draft = Draft::abandon_left(self.site.store(), &name, self.greeted.link);
                draft.map_err(declined)?;
            }
            Err(declined) => return Err(declined),
        }
        Ok(Answer::default())
    }

    fn ping(&self) -> Result<Answer, Declined> {
        let room = self.site.store().room_bytes().map_err(|error| declined(error.into()))?;
        let body = self.site.name().as_str().as_bytes().to_vec();
        Ok(Answer { argument0: room.unwrap_or(u64::MAX), body, ..Answer::default() })
    }

    /// Grants positions of the gateway's own random pool, each once.
    fn witness(&self, message: &Message, body: &[u8]) -> Result<Answer, Declined> {
        let bad = |_| Declined::new(Status::BadRequest, "the witness request makes no sense");
        let witness = Witness::decode(body).map_err(bad)?;
        let pool = PoolId::from_bytes(*message.object.bytes());
        let keys = self.site.keys();
        let key = |error: KeyError| Declined::new(Status::Key, error.to_string());
        if !self.witnesses(pool)? {
            match keys.create_pool(pool, PoolKind::Witness, self.gateway()?) {
                // Another connection of the same gateway was faster.
                Err(KeyError::PoolExists { .. }) if self.witnesses(pool)? => {}
                created => created.map_err(key)?,
            }
        }
        let range = keys
            .grant_within(pool, message.argument0, message.argument1, witness.pool_end)
            .map_err(key)?;
        let mut body = Vec::new();
        Grant { range }.encode(&mut body);
        Ok(Answer { body, ..Answer::default() })
    }

    /// Whether this site witnesses `pool` for this very gateway. One pool for each gateway, and
    /// none of another's: an identifier is no secret.
    fn witnesses(&self, pool: PoolId) -> Result<bool, Declined> {
        let gateway = self.gateway()?;
        let unreadable = |error: KeyError| Declined::new(Status::Io, error.to_string());
        let pools = self.site.keys().pools().map_err(unreadable)?;
        let is_same = |status: &PoolStatus| status.pool == pool;
        let is_own =
            |status: &PoolStatus| status.kind == PoolKind::Witness && status.peer == gateway;
        if let Some(known) = pools.iter().find(|status| is_same(status)) {
            return match is_own(known) {
                true => Ok(true),
                false => Err(Declined::new(Status::Refused, "that pool is not yours")),
            };
        }
        match pools.iter().any(is_own) {
            true => Err(Declined::new(Status::Refused, "another pool of yours is witnessed here")),
            false => Ok(false),
        }
    }

    /// The name of the gateway at the other end of the link.
    fn gateway(&self) -> Result<Option<SiteName>, Declined> {
        let status = self.site.keys().pool_status(self.greeted.link.into());
        let status = status.map_err(|error| Declined::new(Status::Key, error.to_string()))?;
        Ok(status.peer)
    }

    /// More key for both ends.
    fn lease(
        &mut self,
        message: &Message,
        body: &[u8],
    ) -> Result<Result<Answer, Declined>, SiteError> {
        let pool = PoolId::from(self.greeted.link);
        let offered = Grant::decode(body)?.range;
        if !offered.is_empty() {
            let confirmed = Confirmation::Authenticated;
            match self.site.keys().accept(pool, Direction::BToA, offered, confirmed) {
                Ok(lease) if lease.left() == offered.len() => {
                    self.greeted.session.granted(Direction::BToA, offered)?;
                    self.greeted.answers.push(lease);
                }
                Ok(_) | Err(KeyError::GrantBurned { .. }) => {
                    return Ok(Err(Declined::new(Status::Key, "the key offered is burned here")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let granted = grant(self.site, pool, message.argument0, message.argument1)?;
        if !granted.is_empty() {
            self.greeted.session.granted(Direction::AToB, granted)?;
            self.greeted.incoming.extend(granted)?;
        }
        let mut body = Vec::new();
        Grant { range: granted }.encode(&mut body);
        Ok(Ok(Answer { body, ..Answer::default() }))
    }

    /// The gateway ends cleanly: what either end did not use is free again, durably.
    fn release(&mut self, message: &Message, frame: &Block) -> Result<(), SiteError> {
        let pool = PoolId::from(self.greeted.link);
        let release = Release::decode(&frame[BODY_OFFSET..frame.len() - TAG_BYTES])?;
        let unused: Vec<KeyRange> = release.unused.iter().collect();
        self.site.keys().regain(pool, Direction::AToB, &unused)?;
        let longest = key_bytes_needed(RELEASED_RUNS_MAX * RANGE_BYTES, 0);
        let pad = self.greeted.answers.take(longest)?;
        let unused = self.greeted.answers.release(RELEASED_RUNS_MAX)?;
        let mut body = Vec::new();
        Release { unused }.encode(&mut body);
        let pad = pad.shortened(key_bytes_needed(body.len(), 0));
        let answer = message.answer(Status::Done);
        let (frame, _) = self.greeted.session.seal_message(pad, &answer, &body, 0)?;
        Ok(self.greeted.transport.send(&[&frame])?)
    }
}

fn address(message: &Message) -> Result<ShareAddress, Declined> {
    let x = message.x.ok_or_else(|| Declined::new(Status::BadRequest, "x is 0"))?;
    Ok(ShareAddress { object: message.object, x })
}

fn slot_of(geometry: Geometry, chunk: u64) -> Slot {
    match chunk.checked_sub(geometry.chunk_count()) {
        None => Slot { class: ShareClass::Data, index: chunk },
        Some(index) => Slot { class: ShareClass::Mask, index },
    }
}

fn no_draft() -> Declined {
    Declined::new(Status::NoSuchShare, "no such share is being written over this link")
}

/// The status and words for a failure of the store.
fn declined(error: ShareError) -> Declined {
    let status = match &error {
        ShareError::Store(StoreError::AlreadyExists) => Status::ExistsAlready,
        ShareError::Store(StoreError::NotFound) => Status::NoSuchShare,
        ShareError::Store(StoreError::NoSpace) => Status::NoSpace,
        ShareError::Store(StoreError::Damaged { .. } | StoreError::Truncated { .. })
        | ShareError::Damaged(_)
        | ShareError::OtherShare { .. } => Status::Damaged,
        ShareError::Store(StoreError::Limit { .. }) => Status::Limit,
        ShareError::Store(_) => Status::Io,
        ShareError::NoSuchSlot { .. } => Status::NoSuchShare,
        ShareError::WrongAttempt { .. } | ShareError::Misfit { .. } => Status::BadRequest,
        ShareError::OtherOwner => Status::Refused,
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    Declined::new(status, text)
}

const _: () =
    assert!(CHUNK_BYTES as usize + 16 + MESSAGE_HEADER_BYTES <= warifu_link::PAYLOAD_BYTES_MAX);
