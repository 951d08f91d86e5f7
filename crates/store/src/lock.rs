//! One engine for a file, one engine for an account: locks that die with their process.
//!
//! The lock is the operating system's, on a file of its own; the database itself is never opened for it, because
//! closing any handle on a database file drops SQLite's own POSIX locks (sqlite.org/howtocorrupt.html, section 2.2).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Longest holder text that is read back: the file is ours, but anything may be in it.
const HOLDER_BYTES_MAX: u64 = 4096;

/// A held lock. It is released when this is dropped or when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    // Held for its lock only.
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error(
        "{path} is held by process {}{}; stop that engine first (`neo stop`)",
        pid.map_or_else(|| String::from("(unknown)"), |pid| pid.to_string()),
        if holder.is_empty() { String::new() } else { format!(" ({holder})") }
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder's process id; `None` when the file does not tell.
        pid: Option<u32>,
        /// What the holder said of itself.
        holder: String,
    },
    /// The lock file cannot be made, locked or written.
    #[error("the lock file {path} cannot be used: {source}; check the permissions of its folder")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at `path` without waiting, making the file if need be, and writes our process id and `holder`
    /// (one line: who we are) into it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's process id, [`LockError::Io`].
    pub fn acquire(path: &Path, holder: &str) -> Result<Lock, LockError> {
        let io = |source| LockError::Io { path: path.to_path_buf(), source };
        // Not truncated on opening: until the lock is ours the text is another's.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path)),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let text = format!("{}\n{}\n", std::process::id(), holder.replace(['\n', '\r'], " "));
        if cfg!(windows) {
            std::fs::write(holder_path(path), text).map_err(io)?;
        } else {
            file.set_len(0).map_err(io)?;
            (&file).write_all(text.as_bytes()).map_err(io)?;
        }
        Ok(Lock { path: path.to_path_buf(), _file: file })
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The lock file of a database: its name with `.lock` added.
#[must_use]
pub fn lock_path(database: &Path) -> PathBuf {
    with_suffix(database, ".lock")
}

/// True while a process holds the lock at `path`. Nothing is written, and a file that is not there is not made; for the
/// moment of asking, the lock is shared.
///
/// # Errors
/// [`LockError::Io`].
pub fn is_held(path: &Path) -> Result<bool, LockError> {
    let io = |source| LockError::Io { path: path.to_path_buf(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// The path with text added to its last part.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where the holder's text is. A locked file cannot be read by others on Windows, so there it has a file of its own.
fn holder_path(path: &Path) -> PathBuf {
    if cfg!(windows) { with_suffix(path, ".pid") } else { path.to_path_buf() }
}

fn held(path: &Path) -> LockError {
    let (pid, holder) = match read_holder(&holder_path(path)) {
        Ok(text) => {
            let mut lines = text.lines();
            // A file that does not begin with a number is not our text: shown as it is, without a process id.
            match lines.next().unwrap_or_default().trim().parse() {
                Ok(pid) => (Some(pid), lines.next().unwrap_or_default().to_string()),
                Err(_) => (None, text.chars().take(80).collect()),
            }
        }
        Err(error) => (None, format!("its name cannot be read: {error}")),
    };
    LockError::Held { path: path.to_path_buf(), pid, holder }
}

fn read_holder(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(HOLDER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
