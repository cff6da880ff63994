//! `warifu_plugin.h` as Rust types. The header is the source of truth and explains each member; a
//! test compiles it and compares every size and offset.

#![forbid(unsafe_code)]

use std::ffi::{c_char, c_void};

/// The version of the interface.
pub const ABI: u32 = 1;

/// Longest name of a share, in bytes, without the zero at its end.
pub const NAME_MAX: usize = 128;

/// Symbol of [`About`].
pub const ABOUT_SYMBOL: &str = "warifu_plugin_about";

/// Symbol of [`Functions`].
pub const FUNCTIONS_SYMBOL: &str = "warifu_plugin_functions";

/// Two puts of one name can't both succeed.
pub const CREATE_ONLY: u64 = 1 << 0;

/// What was acknowledged survives loss of power.
pub const DURABLE: u64 = 1 << 1;

/// What a function answers: numbers, as nobody can be kept from answering others.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// Nothing of this name.
    pub const NOT_FOUND: i32 = 1;
    /// Something of this name.
    pub const EXISTS: i32 = 2;
    /// No room.
    pub const NO_SPACE: i32 = 3;
    /// The operator has to grant it.
    pub const DENIED: i32 = 4;
    /// Not now; nothing was done.
    pub const UNAVAILABLE: i32 = 5;
    /// It may have happened or not.
    pub const UNKNOWN: i32 = 6;
    /// More than is ever taken.
    pub const LIMIT: i32 = 7;
    /// What is kept is not what was put.
    pub const DAMAGED: i32 = 8;
    /// The range ends beyond the end.
    pub const TRUNCATED: i32 = 9;
    /// Anything else.
    pub const FAILED: i32 = 10;
}

/// `struct warifu_about`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Its own size, in bytes.
    pub struct_size: u32,
    /// [`ABI`].
    pub abi: u32,
    /// [`CREATE_ONLY`], [`DURABLE`].
    pub capabilities: u64,
    /// Text ended by a zero.
    pub name: [u8; 32],
    /// Text ended by a zero.
    pub version: [u8; 32],
}

/// `struct warifu_setting`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Text ended by a zero.
    pub name: *const c_char,
    /// Text ended by a zero.
    pub value: *const c_char,
}

/// `struct warifu_call`.
#[repr(C)]
#[derive(Debug)]
pub struct Call {
    /// Its own size, in bytes.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Of the monotonic clock, in nanoseconds.
    pub deadline_ns: u64,
    /// Not zero once nobody waits.
    pub cancelled: *const u32,
    /// Where a failure may be told.
    pub message: *mut c_char,
    /// Bytes there.
    pub message_size: u64,
}

/// `struct warifu_entry`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Length of the object, in bytes.
    pub bytes: u64,
    /// Text ended by a zero.
    pub name: [u8; NAME_MAX + 8],
}

/// `struct warifu_functions`: what the table of a plugin holds, which may leave any out.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Functions {
    /// Its own size, in bytes.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Opens a store.
    pub open: Option<unsafe extern "C" fn(*mut Call, *const Setting, u64, *mut *mut c_void) -> i32>,
    /// Ends a store.
    pub close: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Begins to put an object.
    pub put_begin: Option<
        unsafe extern "C" fn(*mut Call, *mut c_void, *const c_char, u64, *mut *mut c_void) -> i32,
    >,
    /// Takes the next bytes.
    pub put_write: Option<unsafe extern "C" fn(*mut Call, *mut c_void, *const c_void, u64) -> i32>,
    /// Publishes it.
    pub put_finish: Option<unsafe extern "C" fn(*mut Call, *mut c_void) -> i32>,
    /// Forgets it.
    pub put_abort: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Reads a range.
    pub read: Option<
        unsafe extern "C" fn(*mut Call, *mut c_void, *const c_char, u64, *mut c_void, u64) -> i32,
    >,
    /// Tells a length.
    pub length:
        Option<unsafe extern "C" fn(*mut Call, *mut c_void, *const c_char, *mut u64) -> i32>,
    /// Lists a page.
    pub list: Option<
        unsafe extern "C" fn(
            *mut Call,
            *mut c_void,
            *const c_char,
            *mut Entry,
            u64,
            *mut u64,
        ) -> i32,
    >,
    /// Removes an object.
    pub remove: Option<unsafe extern "C" fn(*mut Call, *mut c_void, *const c_char) -> i32>,
    /// Tells the room that is left.
    pub room: Option<unsafe extern "C" fn(*mut Call, *mut c_void, *mut u64) -> i32>,
}
