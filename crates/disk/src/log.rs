//! What happened to the files, in order.

use std::path::Path;
use std::sync::Arc;

/// A kind of operation, as SQLite asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A file is opened, or made.
    Open,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// What was written is made durable.
    Sync,
    /// A file is cut, or made longer.
    Truncate,
    /// A file is deleted.
    Delete,
    /// The memory that connections share (`-shm`) is mapped.
    Map,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] =
        [Kind::Open, Kind::Read, Kind::Write, Kind::Sync, Kind::Truncate, Kind::Delete, Kind::Map];
}

/// An operation that changed a file, or made its changes durable.
#[derive(Clone, Debug)]
pub struct Op {
    /// The file.
    pub file: Arc<Path>,
    /// What was done to it.
    pub change: Change,
}

/// What was done to a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// The file was made. SQLite syncs the folder of a `journal` (or `-wal`) with the first sync of that file.
    Created {
        /// True for a rollback journal and for a `-wal`.
        journal: bool,
    },
    /// Bytes were handed over. A write that was cut short is here with the bytes that went.
    Write {
        /// Where in the file.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The file was given this size.
    Truncate {
        /// In bytes.
        size: u64,
    },
    /// Everything before is durable.
    Sync,
    /// A sync failed: what was pending may be dropped, and later syncs do not bring it back (as on Linux, where pages
    /// count as clean after a failed fsync).
    SyncFailed,
    /// The file was deleted.
    Deleted {
        /// True when SQLite asked that the deletion be durable at once.
        synced: bool,
    },
}
