//! The process of a plugin: it answers whoever started it, until that one goes.

use crate::wire::{Failure, Message, receive, send};
use crate::{PluginConfig, Trusted};
use crossbeam_channel::{Sender, unbounded};
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use warifu_backend::{Error, Objects};
use warifu_buffers::Block;

/// Answers over `stream` until its other end is closed.
///
/// # Errors
/// Where the other end breaks off or speaks something else.
pub fn serve(stream: UnixStream) -> io::Result<()> {
    let answers = Arc::new(Mutex::new(stream.try_clone()?));
    let Some((request, Message::Open { library, patience_s, settings })) = receive(&stream)? else {
        return Err(io::Error::other("a plugin's process is first told which plugin it runs"));
    };
    let config = PluginConfig {
        settings,
        patience: Duration::from_secs(patience_s),
        ..PluginConfig::new(library)
    };
    let plugin = match Trusted::open(&config) {
        Ok(plugin) => Arc::new(plugin),
        Err(error) => return answer(&answers, request, &Message::Failed(Failure::of(&error))),
    };
    let capability = plugin.capability();
    let (create_only, durable) = (capability.create_only, capability.durable);
    answer(&answers, request, &Message::Opened { create_only, durable })?;

    // Where the pieces go of each put that is under way.
    let pieces = Arc::new(Mutex::new(HashMap::<u64, Sender<Message>>::new()));
    while let Some((request, message)) = receive(&stream)? {
        if matches!(message, Message::Piece(_) | Message::NoPiece) {
            // Where nobody waits for it, the put has failed already.
            if let Some(wanted) = locked(&pieces).get(&request) {
                let _ = wanted.send(message);
            }
            continue;
        }
        let (wanted, given) = unbounded();
        if matches!(message, Message::Put { .. }) {
            locked(&pieces).insert(request, wanted);
        }
        let (plugin, answers) = (Arc::clone(&plugin), Arc::clone(&answers));
        let pieces = Arc::clone(&pieces);
        std::thread::spawn(move || {
            let done = carry_out(&*plugin, message, |offset, bytes| {
                answer(&answers, request, &Message::Need { offset, bytes })?;
                Ok(given.recv().ok())
            });
            locked(&pieces).remove(&request);
            // Where this fails, the other end is gone, and so will this process be.
            let _ = answer(&answers, request, &done);
        });
    }
    Ok(())
}

fn answer(to: &Mutex<UnixStream>, request: u64, message: &Message) -> io::Result<()> {
    send(&*locked(to), request, message)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what is asked; `need` gets a piece of what is put.
fn carry_out(
    objects: &dyn Objects,
    message: Message,
    need: impl Fn(u64, u64) -> io::Result<Option<Message>>,
) -> Message {
    let outcome = match message {
        Message::Put { name, bytes } => objects
            .put(&name, bytes, &mut |offset, target| {
                let what = "getting a piece of what is put";
                match need(offset, target.len() as u64) {
                    Ok(Some(Message::Piece(piece))) if piece.len() == target.len() => {
                        target.copy_from_slice(&piece);
                        Ok(())
                    }
                    Ok(_) => Err(Error::Other { what, source: io::Error::other("there is none") }),
                    Err(source) => Err(Error::Other { what, source }),
                }
            })
            .map(|()| Message::Done),
        Message::Read { name, offset, bytes } => {
            let mut target = Block::zeroed(bytes as usize);
            let read = objects.read_at(&name, offset, &mut target);
            read.map(|()| Message::Data(target.into_bytes()))
        }
        Message::Len { name } => objects.len(&name).map(|bytes| Message::Number(Some(bytes))),
        Message::List => objects.list().map(Message::Entries),
        Message::Delete { name } => objects.delete(&name).map(|()| Message::Done),
        Message::Room => objects.room_bytes().map(Message::Number),
        _ => Err(Error::Other {
            what: "answering a request",
            source: io::Error::other("that is none"),
        }),
    };
    outcome.unwrap_or_else(|error| Message::Failed(Failure::of(&error)))
}
