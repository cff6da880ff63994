//! Answers the requests of one connection, one by one.

mod helping;
mod keeping;
mod keys;
mod pairing;
mod persons;
mod present;
mod refusal;
mod releasing;
mod shares;
mod work;

use crate::greeting::{Greeted, Opened, open};
use crate::server::{Site, SiteError};
use std::sync::Arc;
use warifu_backend::Error as StoreError;
use warifu_buffers::Block;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_link::body::failure_text;
use warifu_link::{
    FRAME_HEADER_BYTES, FrameHeader, MESSAGE_HEADER_BYTES, Message, Op, Status, TAG_BYTES,
    key_bytes_needed,
};
use warifu_pipeline::share::ShareError;

/// Where the body stands in an opened frame.
pub(crate) const BODY_OFFSET: usize = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES;

/// A request that was refused: how, and in what words.
pub(crate) struct Declined {
    status: Status,
    text: String,
}

impl Declined {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

/// What a request is answered with: the header's arguments and the body.
#[derive(Default)]
struct Answer {
    attempt: u32,
    argument0: u64,
    argument1: u64,
    body: Vec<u8>,
    content: Option<Content>,
}

/// A chunk on its way back, ready in a frame's buffer.
struct Content {
    frame: Block,
}

/// One connection being served.
pub(crate) struct Desk {
    site: Arc<Site>,
    greeted: Greeted,
    connection: u64,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.site.works().connection_ended(self.connection, self.site.clock().elapsed());
        self.site.drafts().settle_held_by(self.connection);
        self.site.drafts().let_go(self.greeted.link, self.connection);
    }
}

impl Desk {
    pub(crate) fn new(site: Arc<Site>, greeted: Greeted) -> Self {
        let connection = site.number_connection();
        site.drafts().opened(greeted.link, connection);
        Self { site, greeted, connection }
    }

    /// The header of the frame that is to come, if `first` begins it.
    pub(crate) fn expect(
        &self,
        first: &[u8; FRAME_HEADER_BYTES],
    ) -> Result<FrameHeader, SiteError> {
        Ok(self.greeted.session.expect(first)?)
    }

    /// Answers one request; says whether the gateway has released its key and ends with it.
    pub(crate) fn serve(&mut self, frame: Block) -> Result<(Block, bool), SiteError> {
        let Greeted { session, incoming, .. } = &mut self.greeted;
        let opened = open(session, incoming, frame)?;
        let asked = opened.message;
        tracing::debug!(
            connection = self.connection,
            op = ?asked.op,
            object = %asked.object,
            x = asked.x.map(warifu_core::XCoord::get),
            index = asked.index,
            "asked"
        );
        let answer = match asked.op {
            Op::Release => return Ok((self.release(&opened)?, true)),
            Op::Lease => self.lease(&asked, opened.body())?,
            _ => self.answer(opened),
        };
        Ok((self.reply(&asked, answer)?, false))
    }

    /// The frame of an answer.
    fn reply(
        &mut self,
        asked: &Message,
        answer: Result<Answer, Declined>,
    ) -> Result<Block, SiteError> {
        let Greeted { session, answers, .. } = &mut self.greeted;
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
        message.argument1 = answer.argument1;
        message.attempt = answer.attempt.max(asked.attempt);
        if let Some(Content { mut frame }) = answer.content {
            let body_bytes = frame.len() - BODY_OFFSET - TAG_BYTES;
            frame[FRAME_HEADER_BYTES..BODY_OFFSET].copy_from_slice(&message.encode(body_bytes)?);
            let pad = answers.take(key_bytes_needed(body_bytes, 0))?;
            session.seal(pad, 0, &mut frame)?;
            return Ok(frame);
        }
        let pad = answers.take(key_bytes_needed(answer.body.len(), 0))?;
        let (frame, _) = session.seal_message(pad, &message, &answer.body, 0)?;
        Ok(frame)
    }

    fn answer(&self, opened: Opened) -> Result<Answer, Declined> {
        let message = opened.message;
        match message.op {
            Op::Begin => self.begin(&message),
            Op::Store => self.store(opened),
            Op::Keep => self.keep(opened),
            Op::Commit => self.commit(&message, opened.body()),
            Op::Read => self.read(&message),
            Op::Stat => self.stat(&message),
            Op::Discard => self.discard(&message),
            Op::Ping => self.ping(),
            Op::Witness => self.witness(&message, opened.body()),
            Op::Offer => self.offer(&message, opened.body()),
            Op::Compare => self.compare(&opened),
            Op::Adopt => self.adopt(&message, opened.body()),
            Op::Withdraw => self.withdraw(&message),
            Op::Bind => self.bind(opened.body()),
            Op::Own => self.own(&message, opened.body()),
            Op::Challenge => self.challenge(&message),
            Op::Present => self.present(&message, opened.body()),
            Op::Find => self.found(&message, opened.body()),
            Op::Revoke => self.revoke(opened.body()),
            Op::Contact => self.contact(&message, opened.body()),
            Op::Forget => self.forget(&message, opened.body()),
            Op::Hold => self.hold(&message, opened.body()),
            Op::Expect => self.expect_contributions(&opened),
            Op::Work => self.take_part(&message, opened.body()),
            Op::Blind => self.blind(&opened),
            Op::Contribute => self.contributed(&opened),
            Op::Proceed => self.proceed(&message, opened.body()),
            Op::Collect => self.hand_over(&message),
            Op::Confirm | Op::Lease | Op::Release => {
                Err(Declined::new(Status::BadRequest, "not at this point of a session"))
            }
        }
    }

    fn ping(&self) -> Result<Answer, Declined> {
        let room = self.site.store().room_bytes().map_err(|error| declined(error.into()))?;
        let body = self.site.name().as_str().as_bytes().to_vec();
        let argument1 = u64::from(self.site.enforces());
        Ok(Answer { argument0: room.unwrap_or(u64::MAX), argument1, body, ..Answer::default() })
    }
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
    Declined::new(status, with_causes(&error))
}

/// An error in words, with all that caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

const _: () =
    assert!(CHUNK_BYTES as usize + 16 + MESSAGE_HEADER_BYTES <= warifu_link::PAYLOAD_BYTES_MAX);
