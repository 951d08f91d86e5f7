//! Less durability than was asked for: the control that shows what `synchronous=FULL` is worth.
//!
//! Each new connection on a lowered disk is given the level by an automatic extension, before its owner has it. When the
//! owner then asks for another, SQLite offers the pragma to the VFS first, and the VFS answers in its place.
#![allow(unsafe_code, reason = "callbacks of SQLite's C interface")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use rusqlite::ffi;

use crate::disk::State;

/// A setting of `PRAGMA synchronous` below FULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The log is synced at checkpoints only.
    Normal,
    /// Nothing is synced.
    Off,
}

impl Level {
    fn pragma(self) -> &'static CStr {
        match self {
            Level::Normal => c"PRAGMA synchronous = NORMAL",
            Level::Off => c"PRAGMA synchronous = OFF",
        }
    }

    fn is(self, argument: &CStr) -> bool {
        let name: &[u8] = match self {
            Level::Normal => b"NORMAL",
            Level::Off => b"OFF",
        };
        argument.to_bytes().eq_ignore_ascii_case(name)
    }
}

/// Sees each new connection.
///
/// # Safety
/// For SQLite only, which calls it with an open connection.
pub(crate) unsafe extern "C" fn on_connection(
    db: *mut ffi::sqlite3,
    _error: *mut *mut c_char,
    _api: *const ffi::sqlite3_api_routines,
) -> c_int {
    // SAFETY: the connection is open, so its name is a string of SQLite's or null (in memory).
    let name = unsafe { ffi::sqlite3_db_filename(db, c"main".as_ptr()) };
    if name.is_null() {
        return ffi::SQLITE_OK;
    }
    // SAFETY: not null, ends with a zero, and lives as long as the connection.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let level = State::of(Path::new(&name)).and_then(|state| state.lock().lowered);
    match level {
        // SAFETY: the connection is open and the statement ends with a zero.
        Some(level) => unsafe {
            ffi::sqlite3_exec(db, level.pragma().as_ptr(), None, ptr::null_mut(), ptr::null_mut())
        },
        None => ffi::SQLITE_OK,
    }
}

/// Answers `PRAGMA synchronous` in SQLite's place; `None` for everything else.
///
/// # Safety
/// `argument` must be what SQLite hands over with `SQLITE_FCNTL_PRAGMA`.
pub(crate) unsafe fn on_pragma(level: Level, argument: *mut c_void) -> Option<c_int> {
    let parts = argument.cast::<*mut c_char>();
    // SAFETY: with this control SQLite passes an array of strings: room for an answer, the name, the value or null.
    let (name, value) = unsafe { (CStr::from_ptr(*parts.add(1)), *parts.add(2)) };
    if !name.to_bytes().eq_ignore_ascii_case(b"synchronous") {
        return None;
    }
    if value.is_null() {
        // SAFETY: the first place takes a string of SQLite's allocator, which SQLite frees.
        unsafe { *parts = ffi::sqlite3_mprintf(c"2".as_ptr()) };
        return Some(ffi::SQLITE_OK);
    }
    // SAFETY: not null, and ends with a zero.
    let value = unsafe { CStr::from_ptr(value) };
    // Our own pragma goes through; the owner's is swallowed.
    if level.is(value) { None } else { Some(ffi::SQLITE_OK) }
}
