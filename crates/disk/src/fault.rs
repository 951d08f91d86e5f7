//! Operations that the disk refuses.

use std::ffi::c_int;

use rusqlite::ffi;

use crate::log::Kind;

/// What is refused, from when, for how long and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Operations of these kinds are counted and refused.
    pub kinds: Vec<Kind>,
    /// How many of them succeed first.
    pub after: u64,
    /// For how long.
    pub lasting: Lasting,
    /// What the disk answers.
    pub how: How,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// One operation.
    Once,
    /// So many operations in a row.
    Times(u64),
    /// Until [`crate::Disk::recover`].
    UntilRecovered,
}

/// What a refused operation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// No space is left (ENOSPC).
    Full,
    /// As [`How::Full`], and half of what a write should have written is there.
    Short,
    /// The disk is broken (EIO).
    Broken,
    /// The file system became read-only, as Linux does after errors.
    ReadOnly,
}

impl How {
    /// Each of them.
    pub const ALL: [How; 4] = [How::Full, How::Short, How::Broken, How::ReadOnly];

    /// True when an operation of this kind can be refused so: a full disk is read without trouble.
    #[must_use]
    pub fn concerns(self, kind: Kind) -> bool {
        match self {
            How::Broken => true,
            How::Short => kind == Kind::Write,
            How::Full => !matches!(kind, Kind::Read | Kind::Delete),
            How::ReadOnly => kind != Kind::Read,
        }
    }

    /// SQLite's code for it, as its own VFS for Unix would answer.
    pub(crate) fn code(self, kind: Kind) -> c_int {
        match (self, kind) {
            (_, Kind::Open) => ffi::SQLITE_CANTOPEN,
            (_, Kind::Read) => ffi::SQLITE_IOERR_READ,
            (How::Full | How::Short, Kind::Write | Kind::Truncate) => ffi::SQLITE_FULL,
            (How::ReadOnly, Kind::Write | Kind::Truncate) => ffi::SQLITE_READONLY,
            (How::Broken, Kind::Write) => ffi::SQLITE_IOERR_WRITE,
            (How::Broken, Kind::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
            (_, Kind::Sync) => ffi::SQLITE_IOERR_FSYNC,
            (_, Kind::Delete) => ffi::SQLITE_IOERR_DELETE,
            (How::Full | How::Short, Kind::Map) => ffi::SQLITE_IOERR_SHMSIZE,
            (How::Broken, Kind::Map) => ffi::SQLITE_IOERR_SHMMAP,
            (How::ReadOnly, Kind::Map) => ffi::SQLITE_READONLY_CANTINIT,
        }
    }
}

/// A fault with what it has counted.
#[derive(Debug)]
pub(crate) struct Armed {
    fault: Fault,
    seen: u64,
    refused: u64,
}

impl Armed {
    pub(crate) fn new(fault: Fault) -> Armed {
        Armed { fault, seen: 0, refused: 0 }
    }

    /// Counts an operation; how it is refused, if it is.
    pub(crate) fn strikes(&mut self, kind: Kind) -> Option<How> {
        if !self.fault.kinds.contains(&kind) || !self.fault.how.concerns(kind) {
            return None;
        }
        self.seen = self.seen.saturating_add(1);
        let limit = match self.fault.lasting {
            Lasting::Once => 1,
            Lasting::Times(times) => times,
            Lasting::UntilRecovered => u64::MAX,
        };
        if self.seen <= self.fault.after || self.refused >= limit {
            return None;
        }
        self.refused = self.refused.saturating_add(1);
        Some(self.fault.how)
    }
}
