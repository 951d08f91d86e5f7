//! What can go wrong, in words that name the value and the next step.

use std::path::PathBuf;

use neo_market::AmountError;
use thiserror::Error;

use crate::lock::LockError;
use crate::mend;
use crate::record::SessionNumber;

/// Why the database could not be opened, read or changed outside the writer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The SQLite library can corrupt a WAL database (the WAL-reset bug, fixed in 3.51.3).
    #[error("SQLite {found} is in use, and versions before 3.51.3 can corrupt the file; build with the bundled SQLite")]
    SqliteTooOld {
        /// The library's version.
        found: String,
    },
    /// The path names a folder.
    #[error("{path} is a folder; name a file in it, for example {path}/neo-sim.db")]
    IsAFolder {
        /// The path given.
        path: PathBuf,
    },
    /// The file would lie on another machine.
    #[error(
        "{path} is on the network share {share}, where SQLite's locks and syncs cannot be trusted; choose a file on a \
         local disk with --db, in a folder that no program synchronises"
    )]
    OnAShare {
        /// The file.
        path: PathBuf,
        /// The share.
        share: String,
    },
    /// The folder of the file does not exist and cannot be made.
    #[error("the folder {path} cannot be created: {source}; create it, or choose another file with --db")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file or its folder cannot be written.
    #[error(
        "{path} cannot be written ({reason}); give this user write permission on the file and its folder, \
         or choose another file with --db"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What is known.
        reason: String,
    },
    /// There is no such file.
    #[error("{path} does not exist; check the path given with --db, or start a session with `neo run` to create it")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is no SQLite database.
    #[error(
        "{path} is not a SQLite database; it was left untouched: choose another file with --db. If it was a record of \
         this engine once, its first page is damaged: {}",
        mend::commands(path)
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a SQLite database of another program.
    #[error(
        "{path} belongs to another program (application_id {application_id:#010x}, expected 0x4e454f31); \
         it was left untouched: choose another file with --db"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Its application id.
        application_id: i64,
    },
    /// The file was written by a newer engine.
    #[error("{path} has schema version {found}, this engine knows up to {known}; use the newer engine that wrote it")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// The newest that this engine knows.
        known: i64,
    },
    /// The file was written by an older engine, and reading does not migrate.
    #[error("{path} has schema version {found}, this engine reads {known}; open it once with `neo run` to migrate it")]
    OlderSchema {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// What this engine reads.
        known: i64,
    },
    /// The file holds the records of another mode, network or account.
    #[error("{path} holds the records of {field} {found:?}, not {wanted:?}; choose another file with --db")]
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// `mode`, `network` or `account`.
        field: &'static str,
        /// What the file holds.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The structure of the file is broken.
    #[error("{path} is damaged ({detail}); it was left as it is. {}", mend::commands(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The `-wal` beside the file is not its own, or would be dropped in part.
    #[error("the -wal of {path} must not be replayed: {detail}. Both were left as they are. {}", mend::commands(path))]
    StrayWal {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file or its `-wal` cannot be read.
    #[error("{path} or its -wal cannot be read: {source}; check the permissions and the disk, then try again")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting that durability rests on was not accepted.
    #[error(
        "{path}: PRAGMA {name} is {found} but must be {wanted}; is the file on a network drive? move it to a local one"
    )]
    Pragma {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// What SQLite read back.
        found: String,
    },
    /// Another engine has the file.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A session is already open in this file.
    #[error("session S{number} is still open; close it before another begins")]
    SessionOpen {
        /// The open session.
        number: SessionNumber,
    },
    /// There is no such session.
    #[error("there is no session S{number} in {path}; `neo sessions` lists those that exist")]
    NoSuchSession {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        number: SessionNumber,
    },
    /// The file holds no session at all.
    #[error("{path} holds no session yet; start one with `neo run`")]
    NoSessions {
        /// The file.
        path: PathBuf,
    },
    /// A session has no snapshot of the kind that is needed.
    #[error("session S{number} has no {kind} snapshot, so its balances cannot be reconciled")]
    NoSnapshot {
        /// The session.
        number: SessionNumber,
        /// `opening` or `closing`.
        kind: &'static str,
    },
    /// The writer's thread could not be started.
    #[error("the writer's thread could not be started: {source}; free memory or raise the limit of threads")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
    /// A sum of recorded amounts left the range.
    #[error("the recorded amounts do not add up: {0}; look for an absurd amount in fills and flows")]
    Amount(#[from] AmountError),
    /// A restore was cut short while the files were being exchanged.
    #[error(
        "a restore or repair of {path} was cut short, and {path} must not be used until it is settled: run it again \
         (`neo restore` or `neo recover --repair`, with --db {path}); nothing is lost, the former files are beside it \
         or in {set_aside}"
    )]
    RestoreUnfinished {
        /// The record.
        path: PathBuf,
        /// Where the former files are, as far as they were moved.
        set_aside: PathBuf,
    },
    /// The backup that goes before a migration was not taken.
    #[error("the tables were not migrated, because no backup could be taken before it: {0}")]
    BackupFirst(#[from] Box<crate::backup::BackupError>),
    /// SQLite refused.
    #[error("{path}: {doing} failed: {source}; check the disk's free space and health, then try again")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// True for what `--repair` mends: damage, and a `-wal` that must not be replayed.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, StoreError::Damaged { .. } | StoreError::StrayWal { .. } | StoreError::NotADatabase { .. })
    }
}

/// Why a record could not be queued. The record was not taken, and its acknowledgement is not called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// The queue is full: the disk is slower than the engine. Stop quoting until it drains.
    #[error("the writer's queue is full ({capacity} records): the disk does not keep up; stop quoting until it drains")]
    Full {
        /// How many it holds.
        capacity: usize,
    },
    /// The writer has ended.
    #[error("the writer has ended; end the session and start the engine again")]
    Gone,
}

/// Why a record that was queued is not durable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The row itself was refused; everything else in its batch was kept.
    #[error("the {record} was refused by the database: {error}; it is in `faults`, and is not recorded otherwise")]
    Refused {
        /// Which kind of record.
        record: &'static str,
        /// What SQLite said.
        error: String,
    },
    /// The disk refused; what was queued was still not durable when the writer had to end.
    #[error("the database could not be written: {error}; free disk space or check the disk, then start again")]
    Storage {
        /// What SQLite said.
        error: String,
    },
    /// A checkpoint was asked for while a replicator owns them.
    #[error("store.checkpoint is \"external\": the replicator checkpoints, and the engine does not")]
    NotOurCheckpoint,
    /// The session was already closed, by the watchdog or by hand; its first end stands.
    #[error("session S{session} is already closed; its first end stands")]
    AlreadyClosed {
        /// The session.
        session: SessionNumber,
    },
    /// The writer ended before it came to this.
    #[error("the writer ended before this was written; it is not durable")]
    Gone,
}
