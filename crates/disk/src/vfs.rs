//! The VFS: finds the disk of a file, opens and deletes.
#![allow(unsafe_code, reason = "SQLite's C interface for file systems")]

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::ffi;

use crate::disk::State;
use crate::fault::How;
use crate::file;
use crate::log::{Change, Kind};
use crate::lower;

const NAME: &CStr = c"neo-disk";

/// Whether SQLite took it.
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// Makes the VFS the default of this process, once.
pub(crate) fn install() -> io::Result<()> {
    if *INSTALLED.get_or_init(|| register().is_some()) {
        return Ok(());
    }
    Err(io::Error::other("SQLite has no default VFS, or takes no other"))
}

fn register() -> Option<()> {
    // SAFETY: asks for the default; initialises SQLite if need be.
    let real = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    // SAFETY: null or a VFS that SQLite keeps for ever.
    let template = unsafe { real.as_ref() }?;
    let ours = ffi::sqlite3_vfs {
        // Version 2: the functions of version 3 replace system calls of the real one by name.
        iVersion: template.iVersion.min(2),
        szOsFile: template.szOsFile.checked_add(file::size())?,
        pNext: std::ptr::null_mut(),
        zName: NAME.as_ptr(),
        pAppData: real.cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        // The others are given the wrong VFS and do not look at it: time, sleep, randomness, extensions.
        ..*template
    };
    let ours = Box::leak(Box::new(ours));
    // SAFETY: `ours` is complete and lives for ever.
    let registered = unsafe { ffi::sqlite3_vfs_register(ours, 1) };
    // SAFETY: the function has the form that SQLite calls it with.
    let heard = unsafe { ffi::sqlite3_auto_extension(Some(lower::on_connection)) };
    (registered == ffi::SQLITE_OK && heard == ffi::SQLITE_OK).then_some(())
}

/// The VFS that ours stands on, as it was found when ours was made.
///
/// # Safety
/// `vfs` must be ours.
unsafe fn real<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a mut ffi::sqlite3_vfs {
    // SAFETY: ours keeps it in its application data; it is never freed. SQLite itself changes it through such pointers.
    unsafe { &mut *(*vfs).pAppData.cast::<ffi::sqlite3_vfs>() }
}

/// SQLite's name of a file as a path.
///
/// # Safety
/// `name` must be null or end with a zero, and live while the path is used.
unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    // SQLite's names are UTF-8 wherever ours are.
    name.to_str().ok().map(|name| Path::new(OsStr::new(name)))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    out: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with our VFS.
    let real = unsafe { real(vfs) };
    let Some(real_open) = real.xOpen else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: SQLite's name of a file lives as long as the file is open.
    let disk = unsafe { path(name) }.and_then(|path| Some((State::of(path)?, Arc::<Path>::from(path))));
    let Some((state, path)) = disk else {
        // SAFETY: passed through as it came; the room behind `out` is larger than the real one needs.
        return unsafe { real_open(real, name, out, flags, out_flags) };
    };
    // SAFETY: `out` is room for a file of ours that is not open: SQLite must see no methods if it stays so.
    unsafe { (*out).pMethods = std::ptr::null() };
    let mut disk = state.lock();
    let mut flags = flags;
    match disk.refuses(Kind::Open) {
        // As the VFS for Unix does: it is opened for reading, if it can be.
        Some(How::ReadOnly) if flags & ffi::SQLITE_OPEN_READWRITE != 0 => {
            flags = flags & !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE) | ffi::SQLITE_OPEN_READONLY;
        }
        Some(how) => return how.code(Kind::Open),
        None => {}
    }
    // SAFETY: as for `real_open`.
    let is_new = flags & ffi::SQLITE_OPEN_CREATE != 0 && unsafe { !exists(real, name) };
    // SAFETY: `out` has room for our part and, behind it, the real one's.
    let code = unsafe {
        file::open(out, &state, &path, |file, out_flags| real_open(real, name, file, flags, out_flags), out_flags)
    };
    if code == ffi::SQLITE_OK && is_new {
        let journal = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
        disk.write_down(&path, || Change::Created { journal: flags & journal != 0 });
    }
    code
}

/// # Safety
/// `name` must be SQLite's name of a file.
unsafe fn exists(real: &mut ffi::sqlite3_vfs, name: *const c_char) -> bool {
    let Some(real_access) = real.xAccess else { return false };
    let mut there = 0;
    // SAFETY: the caller's promise; `there` outlives the call.
    let code = unsafe { real_access(real, name, ffi::SQLITE_ACCESS_EXISTS, &raw mut there) };
    code == ffi::SQLITE_OK && there != 0
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite calls this with our VFS.
    let real = unsafe { real(vfs) };
    let Some(real_delete) = real.xDelete else { return ffi::SQLITE_IOERR_DELETE };
    // SAFETY: the name lives as long as this call.
    let disk = unsafe { path(name) }.and_then(|path| Some((State::of(path)?, Arc::<Path>::from(path))));
    let Some((state, path)) = disk else {
        // SAFETY: passed through as it came.
        return unsafe { real_delete(real, name, sync_folder) };
    };
    let mut disk = state.lock();
    if let Some(how) = disk.refuses(Kind::Delete) {
        return how.code(Kind::Delete);
    }
    let really = if disk.no_real_syncs { 0 } else { sync_folder };
    // SAFETY: passed through as it came.
    let code = unsafe { real_delete(real, name, really) };
    if code == ffi::SQLITE_OK {
        disk.write_down(&path, || Change::Deleted { synced: sync_folder != 0 });
    }
    code
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite calls this with our VFS.
    let real = unsafe { real(vfs) };
    let Some(real_access) = real.xAccess else { return ffi::SQLITE_IOERR_ACCESS };
    // SAFETY: passed through as it came.
    unsafe { real_access(real, name, flags, out) }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite calls this with our VFS.
    let real = unsafe { real(vfs) };
    let Some(real_full_pathname) = real.xFullPathname else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: passed through as it came.
    unsafe { real_full_pathname(real, name, size, out) }
}
