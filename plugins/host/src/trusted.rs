//! A plugin in this process.

use crate::library::{Opened, Plugin, broken};
use crate::wire::asked_only;
use crate::workers::{Watch, Workers};
use crate::{About, PluginConfig};
use std::ffi::CString;
use std::sync::Arc;
use warifu_backend::{Contents, Entry, Error, Objects, ObjectsCapability, ShareName};
use warifu_buffers::Block;

/// Bytes of a piece of an object that is put.
const PIECE_BYTES: u64 = 1 << 20;

/// The objects of a plugin that runs in this process: what it spoils, it spoils here.
pub struct Trusted {
    opened: Arc<Opened>,
    workers: Workers,
    about: About,
}

impl Trusted {
    /// Loads the plugin and opens its store.
    ///
    /// # Errors
    /// Where the file is no plugin, or the plugin opens no store.
    pub fn open(config: &PluginConfig) -> Result<Self, Error> {
        let (plugin, about) = Plugin::load(&config.library)?;
        let workers = Workers::new(config.patience);
        let text = |text: &String| CString::new(text.as_str());
        let settings = config.settings.iter().map(|(name, value)| Ok((text(name)?, text(value)?)));
        let settings: Result<Vec<_>, std::ffi::NulError> = settings.collect();
        let what = "opening a plugin's store";
        let settings = settings.map_err(|_| Error::Other {
            what,
            source: std::io::Error::other("a setting holds a zero"),
        })?;
        let opened = workers.run(what, move |watch| plugin.open(&settings, &watch))??;
        Ok(Self { opened: Arc::new(opened), workers, about })
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce(&Arc<Opened>, &Watch) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let opened = Arc::clone(&self.opened);
        self.workers.run(what, move |watch| call(&opened, &watch))?
    }

    fn truncated(&self, name: &ShareName, offset: u64, wanted_bytes: u64) -> Error {
        match self.len(name) {
            Ok(held_bytes)
                if offset.checked_add(wanted_bytes).is_none_or(|end| end > held_bytes) =>
            {
                Error::Truncated { offset, wanted_bytes, held_bytes }
            }
            Ok(_) => broken("reading a share", "it takes a range for too long that is not"),
            Err(error) => error,
        }
    }
}

impl Objects for Trusted {
    fn capability(&self) -> ObjectsCapability {
        let About { create_only, durable, .. } = self.about;
        ObjectsCapability { create_only, durable }
    }

    fn put(&self, name: &ShareName, bytes: u64, contents: &mut Contents<'_>) -> Result<(), Error> {
        let named = name.clone();
        let begun = self.call("beginning to put a share", move |opened, watch| {
            opened.put(&named, bytes, watch)
        });
        // It was not finished, so that nothing of it can have been published.
        let mut put = begun.map_err(not_published)?;
        let mut at = 0;
        while at < bytes {
            let mut piece = Block::zeroed(PIECE_BYTES.min(bytes - at) as usize);
            contents(at, &mut piece)?;
            at += piece.len() as u64;
            let piece = piece.into_bytes();
            let written = self.call("putting a share", move |_, watch| {
                put.write(&piece, watch)?;
                Ok(put)
            });
            put = written.map_err(not_published)?;
        }
        self.call("publishing a share", move |_, watch| put.finish(watch))
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        let (named, bytes) = (name.clone(), target.len());
        let read = self.call("reading a share", move |opened, watch| {
            opened.read(&named, offset, bytes, watch)
        });
        match read {
            Ok(block) => target.copy_from_slice(&block),
            Err(Error::Truncated { .. }) => {
                return Err(self.truncated(name, offset, bytes as u64));
            }
            Err(error) => return Err(asked_only(error)),
        }
        Ok(())
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        let named = name.clone();
        let length = move |opened: &Arc<Opened>, watch: &Watch| opened.length(&named, watch);
        self.call("asking for a share", length).map_err(asked_only)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.name.clone());
            let page =
                move |opened: &Arc<Opened>, watch: &Watch| opened.page(after.as_ref(), watch);
            let (page, is_last) = self.call("listing shares", page).map_err(asked_only)?;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        let named = name.clone();
        self.call("deleting a share", move |opened, watch| opened.remove(&named, watch))
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        let room = |opened: &Arc<Opened>, watch: &Watch| opened.room(watch);
        self.call("asking for room", room).map_err(asked_only)
    }
}

/// A call before the one that publishes leaves nothing in doubt.
fn not_published(error: Error) -> Error {
    match error {
        Error::NotFound | Error::Truncated { .. } => {
            broken("putting a share", "it answered what has no sense here")
        }
        error => asked_only(error),
    }
}
