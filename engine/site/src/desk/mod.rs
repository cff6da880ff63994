//! Answers the requests of one connection, one by one.

mod keys;
mod shares;

use crate::greeting::{Greeted, receive_keeping};
use crate::server::{Site, SiteError};
use std::time::{Duration, Instant};
use warifu_backend::Error as StoreError;
use warifu_buffers::{Block, Bytes};
use warifu_core::Kept;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_link::body::failure_text;
use warifu_link::{
    FRAME_HEADER_BYTES, MESSAGE_HEADER_BYTES, Message, Op, Status, TAG_BYTES, key_bytes_needed,
};
use warifu_pipeline::share::ShareError;

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
            let frame = frame.into_bytes();
            let body = frame.slice(BODY_OFFSET..frame.len() - TAG_BYTES);
            let answer = match message.op {
                Op::Lease => self.lease(&message, &body)?,
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

    fn answer(&self, message: &Message, body: Bytes, kept: &Kept) -> Result<Answer, Declined> {
        match message.op {
            Op::Begin => self.begin(message),
            Op::Store => self.store(message, body, kept),
            Op::Keep => self.keep(message, kept),
            Op::Commit => self.commit(message, &body),
            Op::Read => self.read(message),
            Op::Stat => self.stat(message),
            Op::Discard => self.discard(message),
            Op::Ping => self.ping(),
            Op::Witness => self.witness(message, &body),
            Op::Confirm | Op::Lease | Op::Release => {
                Err(Declined::new(Status::BadRequest, "not at this point of a session"))
            }
        }
    }

    fn ping(&self) -> Result<Answer, Declined> {
        let room = self.site.store().room_bytes().map_err(|error| declined(error.into()))?;
        let body = self.site.name().as_str().as_bytes().to_vec();
        Ok(Answer { argument0: room.unwrap_or(u64::MAX), body, ..Answer::default() })
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
