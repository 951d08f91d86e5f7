//! An open file: our part, and behind it in the same memory the real one.
#![allow(unsafe_code, reason = "SQLite's C interface for files")]

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use rusqlite::ffi;

use crate::SECTOR;
use crate::disk::State;
use crate::fault::How;
use crate::log::{Change, Kind};
use crate::lower;

/// Our part. SQLite sees the first field; the real file begins where this ends.
// SQLite aligns such room to 8 bytes; two pointers keep what follows aligned so.
#[repr(C, align(8))]
struct Part {
    methods: *const ffi::sqlite3_io_methods,
    open: *mut Open,
}

/// What we know of it; from opening to closing.
struct Open {
    state: Arc<State>,
    path: Arc<Path>,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

/// Room that our part takes.
pub(crate) fn size() -> c_int {
    // A handful of bytes.
    c_int::try_from(size_of::<Part>()).unwrap_or(c_int::MAX)
}

/// The real file behind ours.
///
/// # Safety
/// `file` must be the beginning of room for a file of ours.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the room is at least our part and the real file long.
    unsafe { file.cast::<u8>().add(size_of::<Part>()).cast() }
}

/// Makes a file of ours around the one that `open_real` opens.
///
/// # Safety
/// `out` must be room for a file of ours, `out_flags` null or a place for the flags.
pub(crate) unsafe fn open(
    out: *mut ffi::sqlite3_file,
    state: &Arc<State>,
    path: &Arc<Path>,
    open_real: impl FnOnce(*mut ffi::sqlite3_file, *mut c_int) -> c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promise. The real VFS expects zeros, as SQLite gives them.
    let inner = unsafe { real(out) };
    let code = open_real(inner, out_flags);
    if code != ffi::SQLITE_OK {
        return code;
    }
    let open = Box::into_raw(Box::new(Open { state: Arc::clone(state), path: Arc::clone(path) }));
    // SAFETY: `out` begins with room for our part.
    unsafe { out.cast::<Part>().write(Part { methods: &raw const METHODS, open }) };
    code
}

/// Our part and the real file's methods, or an error of SQLite's where the real file has none.
///
/// # Safety
/// `file` must be an open file of ours.
unsafe fn parts<'a>(
    file: *mut ffi::sqlite3_file,
) -> (&'a Open, *mut ffi::sqlite3_file, Option<&'a ffi::sqlite3_io_methods>) {
    // SAFETY: the caller's promise; what we know lives until the file is closed, methods for ever.
    unsafe {
        let inner = real(file);
        (&*(*file.cast::<Part>()).open, inner, (*inner).pMethods.as_ref())
    }
}

/// Calls a method of the real file, or gives `$missing` where it has none.
macro_rules! pass {
    ($file:expr, $method:ident, $missing:expr $(, $argument:expr)*) => {{
        // SAFETY: SQLite calls the methods with an open file of ours.
        let (_, inner, methods) = unsafe { parts($file) };
        match methods.and_then(|methods| methods.$method) {
            // SAFETY: the arguments are passed through as they came.
            Some(method) => unsafe { method(inner $(, $argument)*) },
            None => $missing,
        }
    }};
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let code = pass!(file, xClose, ffi::SQLITE_OK);
    // SAFETY: SQLite closes an open file once and does not use it afterwards, whatever the answer.
    unsafe {
        let part = file.cast::<Part>();
        drop(Box::from_raw((*part).open));
        (*part).methods = std::ptr::null();
    }
    code
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls the methods with an open file of ours.
    let (open, ..) = unsafe { parts(file) };
    let refused = open.state.lock().refuses(Kind::Read);
    match refused {
        Some(how) => how.code(Kind::Read),
        None => pass!(file, xRead, ffi::SQLITE_IOERR_READ, out, amount, offset),
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite calls the methods with an open file of ours.
    let (open, ..) = unsafe { parts(file) };
    let mut disk = open.state.lock();
    let (amount, refused) = match disk.refuses(Kind::Write) {
        Some(How::Short) => (amount / 2, Some(How::Short.code(Kind::Write))),
        Some(how) => return how.code(Kind::Write),
        None => (amount, None),
    };
    let code = pass!(file, xWrite, ffi::SQLITE_IOERR_WRITE, bytes, amount, offset);
    if code == ffi::SQLITE_OK {
        // SAFETY: SQLite hands over at least so many bytes.
        let written = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(amount).unwrap_or(0)) };
        let offset = u64::try_from(offset).unwrap_or(0);
        disk.write_down(&open.path, || Change::Write { offset, bytes: written.into() });
    }
    refused.unwrap_or(code)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite calls the methods with an open file of ours.
    let (open, ..) = unsafe { parts(file) };
    let mut disk = open.state.lock();
    if let Some(how) = disk.refuses(Kind::Truncate) {
        return how.code(Kind::Truncate);
    }
    let code = pass!(file, xTruncate, ffi::SQLITE_IOERR_TRUNCATE, size);
    if code == ffi::SQLITE_OK {
        disk.write_down(&open.path, || Change::Truncate { size: u64::try_from(size).unwrap_or(0) });
    }
    code
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls the methods with an open file of ours.
    let (open, ..) = unsafe { parts(file) };
    let mut disk = open.state.lock();
    if let Some(how) = disk.refuses(Kind::Sync) {
        disk.write_down(&open.path, || Change::SyncFailed);
        return how.code(Kind::Sync);
    }
    let code = if disk.no_real_syncs { ffi::SQLITE_OK } else { pass!(file, xSync, ffi::SQLITE_IOERR_FSYNC, flags) };
    disk.write_down(&open.path, || if code == ffi::SQLITE_OK { Change::Sync } else { Change::SyncFailed });
    code
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    pass!(file, xFileSize, ffi::SQLITE_IOERR_FSTAT, out)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass!(file, xLock, ffi::SQLITE_IOERR_LOCK, level)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass!(file, xUnlock, ffi::SQLITE_IOERR_UNLOCK, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    pass!(file, xCheckReservedLock, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK, out)
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, control: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: SQLite calls the methods with an open file of ours.
    let (open, ..) = unsafe { parts(file) };
    if control == ffi::SQLITE_FCNTL_PRAGMA {
        let level = open.state.lock().lowered;
        // SAFETY: the argument is what SQLite hands over with this control.
        if let Some(answer) = level.and_then(|level| unsafe { lower::on_pragma(level, argument) }) {
            return answer;
        }
    }
    pass!(file, xFileControl, ffi::SQLITE_NOTFOUND, control, argument)
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    c_int::try_from(SECTOR).unwrap_or(0)
}

/// Nothing is promised: no atomic writes, no order, and a write may spoil the rest of its sector.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite calls the methods with an open file of ours.
    let (open, ..) = unsafe { parts(file) };
    let refused = open.state.lock().refuses(Kind::Map);
    match refused {
        Some(how) => how.code(Kind::Map),
        None => pass!(file, xShmMap, ffi::SQLITE_IOERR_SHMMAP, region, size, extend, out),
    }
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    pass!(file, xShmLock, ffi::SQLITE_IOERR_SHMLOCK, offset, n, flags)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    pass!(file, xShmBarrier, ());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    pass!(file, xShmUnmap, ffi::SQLITE_OK, delete)
}

unsafe extern "C" fn fetch(file: *mut ffi::sqlite3_file, offset: i64, amount: c_int, out: *mut *mut c_void) -> c_int {
    pass!(file, xFetch, ffi::SQLITE_IOERR_MMAP, offset, amount, out)
}

unsafe extern "C" fn unfetch(file: *mut ffi::sqlite3_file, offset: i64, page: *mut c_void) -> c_int {
    pass!(file, xUnfetch, ffi::SQLITE_OK, offset, page)
}
