//! Why a backup was not taken, not trusted or not restored.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::StoreError;
use crate::lock::LockError;

/// Why a backup was not taken, not trusted or not restored. Unless it says otherwise the record is as it was.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The record cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An engine has the record.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Another backup of the same record does not end.
    #[error("another backup of this record is being taken ({holder}); wait for it to end, then try again")]
    Running {
        /// Who says so.
        holder: String,
    },
    /// A lock of another program kept the copy from being made.
    #[error("{path} stayed locked by another program; close that program, then try again")]
    Busy {
        /// The record.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{doing} failed at {path}: {source}; check free space and permissions there, then try again")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{doing} failed at {path}: {source}; check the disk's free space and health, then try again")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file is not a whole backup of a record.
    #[error("{path} is not a whole backup ({detail}); `neo backup --list` shows the others")]
    NotWhole {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is not the one whose SHA-256 was written down.
    #[error(
        "{path} was changed after it was taken (SHA-256 is {found}, {expected} was written down); \
         `neo backup --list` shows the others"
    )]
    Sha256 {
        /// The file.
        path: PathBuf,
        /// What was written down.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A backup in the backups' folder has no SHA-256 beside it.
    #[error(
        "{path} has no .sha256 beside it, so it may have been changed; if you trust it, copy it elsewhere and \
         restore it by that path"
    )]
    NoSha256 {
        /// The file.
        path: PathBuf,
    },
    /// There is no backup at all.
    #[error("there is no backup of {db} in {folder}; take one with `neo backup`")]
    None {
        /// The record.
        db: PathBuf,
        /// Where backups would be.
        folder: PathBuf,
    },
    /// There is no such backup.
    #[error(
        "there is no backup {asked:?}, neither in {folder} nor as a file; `neo backup --list` shows those there are"
    )]
    NoSuch {
        /// What was asked for.
        asked: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The backup holds another account's records.
    #[error("the backup holds the records of {found}, and {db} those of {wanted}; name the right record with --db")]
    OtherIdentity {
        /// The record.
        db: PathBuf,
        /// Whose the backup is.
        found: String,
        /// Whose the record is.
        wanted: String,
    },
    /// The path of the record cannot be replaced.
    #[error("{path} cannot be replaced: {reason}")]
    Target {
        /// The record.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The record was replaced, and what is there now is not what was put there.
    #[error(
        "{path} was replaced, but does not hold what was written ({detail}): the disk may be failing; \
         the former record is untouched in {set_aside}, and `neo restore` puts it back before it tries again"
    )]
    Replaced {
        /// The record.
        path: PathBuf,
        /// Where the former one is.
        set_aside: PathBuf,
        /// What was found.
        detail: String,
    },
}
