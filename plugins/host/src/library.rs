//! The calls into a library, each checked on its way back. All `unsafe` of this crate is here.

#![allow(unsafe_code, reason = "architecture: plugins/host calls what a library exports")]

use crate::about::{About, AboutError};
use crate::workers::Watch;
use std::ffi::{CString, c_char, c_void};
use std::io;
use std::mem::{offset_of, size_of};
use std::path::Path;
use std::sync::Arc;
use warifu_backend::{Entry, Error, ShareName};
use warifu_buffers::{Block, Bytes};
use warifu_plugin_abi::Setting;
use warifu_plugin_abi::{Call, Entry as RawEntry, FUNCTIONS_SYMBOL, Functions, NAME_MAX, status};

/// Objects that are listed by one call.
const PAGE: usize = 256;

/// Room for what a plugin says of a failure, in bytes.
const MESSAGE_BYTES: usize = 256;

/// A library that is loaded, for as long as the process lives.
#[derive(Clone, Copy)]
pub(crate) struct Plugin {
    functions: Functions,
}

/// A store of a plugin. It is closed when no call is using it any more.
pub(crate) struct Opened {
    plugin: Plugin,
    store: *mut c_void,
}

// SAFETY: ABI.md asks of every function that many threads may call it for one store.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(close) = self.plugin.functions.close {
            // SAFETY: `open` gave this store, and the last handle goes: no call is using it.
            unsafe { close(self.store) }
        }
    }
}

/// An object that is being put; abandoned unless it is finished.
pub(crate) struct Put {
    opened: Arc<Opened>,
    put: *mut c_void,
}

// SAFETY: ABI.md says that one call at a time uses a put, on whatever thread; it is moved, never
// shared.
unsafe impl Send for Put {}

impl Drop for Put {
    fn drop(&mut self) {
        if let Some(abort) = self.opened.plugin.functions.put_abort
            && !self.put.is_null()
        {
            // SAFETY: `put_begin` gave it, and `finish` took away what it ends.
            unsafe { abort(self.put) }
        }
    }
}

impl Plugin {
    /// Loads the library. Its initialisers run here, and not before its `About` was found fit.
    pub(crate) fn load(path: &Path) -> Result<(Self, About), Error> {
        let what = "loading a plugin";
        let about = About::read(path).map_err(|error| match error {
            AboutError::Unreadable { source, .. } => Error::Other { what, source },
            error => Error::Other { what, source: io::Error::other(error) },
        })?;
        let failed = |error| Error::Other { what, source: io::Error::other(error) };
        // SAFETY: the operator named this library as a plugin, so its initialisers may run.
        let library = unsafe { libloading::Library::new(path) }.map_err(failed)?;
        // SAFETY: ABI.md says what stands under this name; its size is looked at first.
        let table = unsafe { library.get::<*const Functions>(FUNCTIONS_SYMBOL.as_bytes()) };
        let table = *table.map_err(failed)?;
        if !table.is_aligned() {
            return Err(broken(what, "its table of functions is not aligned"));
        }
        // SAFETY: the symbol is there, and every version of the table begins with its size.
        let struct_size = unsafe { (*table).struct_size };
        if (struct_size as usize) < size_of::<Functions>() {
            return Err(broken(what, "its table of functions is too short"));
        }
        // SAFETY: the table is at least as long as ours, constant, and never unloaded (below).
        let functions = unsafe { *table };
        std::mem::forget(library);
        let is_whole = functions.open.is_some()
            && functions.close.is_some()
            && functions.put_begin.is_some()
            && functions.put_write.is_some()
            && functions.put_finish.is_some()
            && functions.put_abort.is_some()
            && functions.read.is_some()
            && functions.length.is_some()
            && functions.list.is_some()
            && functions.remove.is_some();
        if !is_whole {
            return Err(broken(what, "its table of functions has a hole"));
        }
        Ok((Self { functions }, about))
    }

    /// Opens a store.
    pub(crate) fn open(
        self,
        settings: &[(CString, CString)],
        watch: &Watch,
    ) -> Result<Opened, Error> {
        let what = "opening a plugin's store";
        let settings: Vec<Setting> = settings
            .iter()
            .map(|(name, value)| Setting { name: name.as_ptr(), value: value.as_ptr() })
            .collect();
        let mut store = std::ptr::null_mut();
        let open = self.functions.open.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            // SAFETY: every pointer is valid for the call, as ABI.md promises to the plugin.
            unsafe { open(call, settings.as_ptr(), settings.len() as u64, &raw mut store) }
        })?;
        if store.is_null() {
            return Err(broken(what, "it opened no store"));
        }
        Ok(Opened { plugin: self, store })
    }
}

impl Opened {
    /// Begins to put an object of `bytes` bytes.
    pub(crate) fn put(
        self: &Arc<Self>,
        name: &ShareName,
        bytes: u64,
        watch: &Watch,
    ) -> Result<Put, Error> {
        let what = "beginning to put a share";
        let (name, mut put) = (c_name(name), std::ptr::null_mut());
        let begin = self.plugin.functions.put_begin.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            // SAFETY: the store is open, every pointer valid for the call.
            unsafe { begin(call, self.store, name.as_ptr(), bytes, &raw mut put) }
        })?;
        if put.is_null() {
            return Err(broken(what, "it began nothing"));
        }
        Ok(Put { opened: Arc::clone(self), put })
    }

    /// Reads `bytes` bytes from `offset` on.
    pub(crate) fn read(
        &self,
        name: &ShareName,
        offset: u64,
        bytes: usize,
        watch: &Watch,
    ) -> Result<Block, Error> {
        let what = "reading a share";
        let (name, mut target) = (c_name(name), Block::zeroed(bytes));
        let read = self.plugin.functions.read.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            let (place, bytes) = (target.as_mut_ptr().cast(), bytes as u64);
            // SAFETY: the target is as long as said, and owned here until the call returns.
            unsafe { read(call, self.store, name.as_ptr(), offset, place, bytes) }
        })?;
        Ok(target)
    }

    /// The length of an object, in bytes.
    pub(crate) fn length(&self, name: &ShareName, watch: &Watch) -> Result<u64, Error> {
        let what = "asking for a share";
        let (name, mut bytes) = (c_name(name), 0);
        let length = self.plugin.functions.length.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            // SAFETY: the store is open, every pointer valid for the call.
            unsafe { length(call, self.store, name.as_ptr(), &raw mut bytes) }
        })?;
        Ok(bytes)
    }

    /// The objects behind `after`, one page of them; an empty one where there are no more.
    pub(crate) fn page(
        &self,
        after: Option<&ShareName>,
        watch: &Watch,
    ) -> Result<(Vec<Entry>, bool), Error> {
        let what = "listing shares";
        let start = after.map_or_else(CString::default, c_name);
        let mut raw = vec![RawEntry { bytes: 0, name: [0; NAME_MAX + 8] }; PAGE];
        let mut count = 0;
        let list = self.plugin.functions.list.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            let (entries, capacity) = (raw.as_mut_ptr(), PAGE as u64);
            // SAFETY: there is room for as many entries as said.
            unsafe { list(call, self.store, start.as_ptr(), entries, capacity, &raw mut count) }
        })?;
        let filled = usize::try_from(count).ok().and_then(|count| raw.get(..count));
        let filled = filled.ok_or_else(|| broken(what, "it lists more than it has room for"))?;
        let mut page: Vec<Entry> = Vec::with_capacity(filled.len());
        for entry in filled {
            let name = entry_name(entry).ok_or_else(|| broken(what, "it lists what is no name"))?;
            let before = page.last().map(|entry| &entry.name).or(after);
            if before.is_some_and(|before| *before >= name) {
                return Err(broken(what, "its names do not ascend"));
            }
            page.push(Entry { name, bytes: entry.bytes });
        }
        Ok((page, filled.len() < PAGE))
    }

    /// Removes an object.
    pub(crate) fn remove(&self, name: &ShareName, watch: &Watch) -> Result<(), Error> {
        let what = "deleting a share";
        let name = c_name(name);
        let remove = self.plugin.functions.remove.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            // SAFETY: the store is open, every pointer valid for the call.
            unsafe { remove(call, self.store, name.as_ptr()) }
        })
    }

    /// Bytes that can still be put, where the plugin tells.
    pub(crate) fn room(&self, watch: &Watch) -> Result<Option<u64>, Error> {
        let Some(room) = self.plugin.functions.room else { return Ok(None) };
        let mut bytes = 0;
        call("asking for room", watch, |call| {
            // SAFETY: the store is open, every pointer valid for the call.
            unsafe { room(call, self.store, &raw mut bytes) }
        })?;
        Ok(Some(bytes))
    }
}

impl Put {
    /// Takes the next piece.
    pub(crate) fn write(&mut self, piece: &Bytes, watch: &Watch) -> Result<(), Error> {
        let what = "putting a share";
        let write = self.opened.plugin.functions.put_write.ok_or_else(|| hole(what))?;
        call(what, watch, |call| {
            // SAFETY: the piece is as long as said, and held here until the call returns.
            unsafe { write(call, self.put, piece.as_ptr().cast(), piece.len() as u64) }
        })
    }

    /// Publishes it.
    pub(crate) fn finish(mut self, watch: &Watch) -> Result<(), Error> {
        let what = "publishing a share";
        let finish = self.opened.plugin.functions.put_finish.ok_or_else(|| hole(what))?;
        // From here on it is the plugin's, whatever it answers.
        let put = std::mem::replace(&mut self.put, std::ptr::null_mut());
        call(what, watch, |call| {
            // SAFETY: `put_begin` gave it, and nothing uses it after this.
            unsafe { finish(call, put) }
        })
    }
}

/// Calls, and sorts what came back.
fn call(
    what: &'static str,
    watch: &Watch,
    function: impl FnOnce(*mut Call) -> i32,
) -> Result<(), Error> {
    let mut message = [0_u8; MESSAGE_BYTES];
    let mut call = Call {
        struct_size: size_of::<Call>() as u32,
        reserved: 0,
        deadline_ns: watch.deadline_ns,
        cancelled: watch.cancelled.as_ptr().cast_const(),
        message: message.as_mut_ptr().cast::<c_char>(),
        message_size: MESSAGE_BYTES as u64,
    };
    let status = function(&raw mut call);
    if status == status::OK {
        return Ok(());
    }
    let end = message.iter().position(|byte| *byte == 0).unwrap_or(MESSAGE_BYTES);
    let said: String = String::from_utf8_lossy(&message[..end])
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    Err(sorted(what, status, &said))
}

/// What the caller can do about a status.
fn sorted(what: &'static str, status: i32, said: &str) -> Error {
    let source = || {
        let said = if said.is_empty() { "it says no more" } else { said };
        io::Error::other(format!("the plugin: {said}"))
    };
    match status {
        status::NOT_FOUND => Error::NotFound,
        status::EXISTS => Error::AlreadyExists,
        status::NO_SPACE => Error::NoSpace,
        status::DENIED => Error::PermissionDenied { what, source: source() },
        status::UNAVAILABLE => Error::Unavailable { what, source: source() },
        status::UNKNOWN => Error::Unknown { what, source: source() },
        status::LIMIT => Error::Limit { what: "more than the plugin ever takes" },
        status::DAMAGED => Error::Damaged { what: "the plugin says so" },
        // The caller knows the range and asks for the length.
        status::TRUNCATED => Error::Truncated { offset: 0, wanted_bytes: 0, held_bytes: 0 },
        status::FAILED => Error::Other { what, source: source() },
        _ => broken(what, "it answered a status that there is not"),
    }
}

/// What a plugin did against ABI.md.
pub(crate) fn broken(what: &'static str, how: &'static str) -> Error {
    Error::Other { what, source: io::Error::other(format!("the plugin breaks the ABI: {how}")) }
}

fn hole(what: &'static str) -> Error {
    broken(what, "its table of functions has a hole")
}

fn c_name(name: &ShareName) -> CString {
    // A share's name holds no zero, so nothing is lost.
    CString::new(name.as_str()).unwrap_or_default()
}

fn entry_name(entry: &RawEntry) -> Option<ShareName> {
    let end = entry.name.iter().position(|byte| *byte == 0)?;
    ShareName::new(str::from_utf8(&entry.name[..end]).ok()?).ok()
}

const _: () = assert!(offset_of!(Functions, struct_size) == 0, "it is looked at before the rest");
