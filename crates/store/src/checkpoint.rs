//! Writing the WAL back, on the writer's own connection.
//!
//! PASSIVE first: it does most of the work without holding anybody up. Then TRUNCATE under a short busy time-out,
//! because it holds the writer still while it waits for readers. The answer is read as a row: `execute_batch` and
//! `pragma_update` report success even when a reader kept the checkpoint from finishing.
//!
//! SQLite cannot write back a part of the WAL, and the writer stands still while it writes. So the writer makes a PASSIVE
//! pass of its own whenever a few megabytes have gathered ([`Passes`]), and what is left for the timer's is small.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use crate::open::BUSY_TIMEOUT_WRITER;
use crate::record::{Checkpoint, CheckpointCause};
use crate::writer::wal_bytes;

/// Only answers.
const NOOP: &str = "PRAGMA wal_checkpoint(NOOP)";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
/// How long TRUNCATE waits for readers.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);
/// SQLite's header of each frame in the WAL.
const FRAME_HEADER: u64 = 24;

/// How much of the WAL may wait to be written back before the writer does it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassLimits {
    /// While nothing waits in the queue.
    pub idle_bytes: u64,
    /// At any time.
    pub busy_bytes: u64,
}

impl Default for PassLimits {
    fn default() -> PassLimits {
        PassLimits { idle_bytes: 4 << 20, busy_bytes: 32 << 20 }
    }
}

/// When the writer makes a pass. What a reader keeps from being written back is not tried again with every commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passes {
    limits: PassLimits,
    /// What the last pass could not write back.
    left_bytes: u64,
}

impl Passes {
    pub(crate) fn new(limits: PassLimits) -> Passes {
        Passes { limits, left_bytes: 0 }
    }

    /// Whether a pass is due with this much not written back.
    pub(crate) fn due(&mut self, behind_bytes: u64, idle: bool) -> bool {
        self.left_bytes = self.left_bytes.min(behind_bytes);
        let limit = if idle { self.limits.idle_bytes } else { self.limits.busy_bytes };
        behind_bytes - self.left_bytes >= limit
    }

    /// A pass left this much.
    pub(crate) fn made(&mut self, left_bytes: u64) {
        self.left_bytes = left_bytes;
    }
}

/// SQLite's answer to `wal_checkpoint`.
struct Answer {
    busy: bool,
    wal_frames: i64,
    checkpointed_frames: i64,
}

impl Answer {
    fn behind_frames(&self) -> u64 {
        u64::try_from(self.wal_frames.saturating_sub(self.checkpointed_frames)).unwrap_or(0)
    }
}

/// What a checkpoint needs to tell of itself.
pub(crate) struct Account<'a> {
    pub(crate) wal_path: &'a Path,
    pub(crate) clock: fn() -> DateTime<Utc>,
    pub(crate) monotonic_us: fn() -> u64,
}

impl Account<'_> {
    /// Runs a checkpoint and tells what it did; it is not recorded yet. The timer's leaves TRUNCATE for later when the
    /// PASSIVE pass has shown that a reader is in the way: waiting for it would hold the writer up for nothing.
    pub(crate) fn run(&self, conn: &Connection, cause: CheckpointCause) -> rusqlite::Result<Checkpoint> {
        self.tell(cause, || {
            let passive = ask(conn, PASSIVE)?;
            if cause == CheckpointCause::Timer && passive.behind_frames() > 0 {
                return Ok(Answer { busy: true, ..passive });
            }
            let truncate = with_short_timeout(conn, || ask(conn, TRUNCATE))?;
            // After success TRUNCATE counts the frames of an empty WAL; those of PASSIVE are the ones written back.
            let done = Answer { busy: false, checkpointed_frames: passive.wal_frames, ..passive };
            Ok(if truncate.busy { truncate } else { done })
        })
    }

    /// The writer's own pass.
    pub(crate) fn pass(&self, conn: &Connection) -> rusqlite::Result<Checkpoint> {
        self.tell(CheckpointCause::Size, || {
            let passive = ask(conn, PASSIVE)?;
            Ok(Answer { busy: passive.busy || passive.behind_frames() > 0, ..passive })
        })
    }

    /// How the WAL stands, changing nothing.
    pub(crate) fn look(&self, conn: &Connection, cause: CheckpointCause) -> rusqlite::Result<Checkpoint> {
        self.tell(cause, || ask(conn, NOOP))
    }

    fn tell(
        &self,
        cause: CheckpointCause,
        work: impl FnOnce() -> rusqlite::Result<Answer>,
    ) -> rusqlite::Result<Checkpoint> {
        let wal_bytes = wal_bytes(self.wal_path);
        let started_us = (self.monotonic_us)();
        let answer = work()?;
        Ok(Checkpoint {
            cause,
            busy: answer.busy,
            wal_frames: answer.wal_frames,
            checkpointed_frames: answer.checkpointed_frames,
            wal_bytes,
            pause_us: (self.monotonic_us)().saturating_sub(started_us),
            recorded_at: (self.clock)(),
        })
    }
}

/// Bytes of the WAL that are not written back.
pub(crate) fn behind_bytes(conn: &Connection, page_bytes: u64) -> rusqlite::Result<u64> {
    Ok(ask(conn, NOOP)?.behind_frames().saturating_mul(page_bytes.saturating_add(FRAME_HEADER)))
}

/// Writes back what can be, before a session's first commit. A reader in the way is no reason not to begin.
pub(crate) fn fold(conn: &Connection) -> rusqlite::Result<()> {
    let answer = ask(conn, PASSIVE)?;
    if answer.behind_frames() > 0 {
        tracing::warn!(frames = answer.behind_frames(), "a reader keeps the write-ahead log from being written back");
    }
    Ok(())
}

/// TRUNCATE alone; true when a reader kept it from finishing.
pub(crate) fn truncate_again(conn: &Connection) -> rusqlite::Result<bool> {
    with_short_timeout(conn, || ask(conn, TRUNCATE)).map(|answer| answer.busy)
}

fn ask(conn: &Connection, pragma: &'static str) -> rusqlite::Result<Answer> {
    conn.prepare_cached(pragma)?.query_row([], |row| {
        let busy: i64 = row.get(0)?;
        Ok(Answer { busy: busy != 0, wal_frames: row.get(1)?, checkpointed_frames: row.get(2)? })
    })
}

fn with_short_timeout<T>(conn: &Connection, run: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let result = run();
    conn.busy_timeout(BUSY_TIMEOUT_WRITER)?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn passes() -> Passes {
        Passes::new(PassLimits { idle_bytes: 4 * MB, busy_bytes: 32 * MB })
    }

    #[test]
    fn a_pass_is_made_early_when_nobody_waits_and_late_when_somebody_does() {
        assert!(!passes().due(4 * MB - 1, true));
        assert!(passes().due(4 * MB, true));
        assert!(!passes().due(32 * MB - 1, false));
        assert!(passes().due(32 * MB, false));
    }

    #[test]
    fn what_a_reader_keeps_is_tried_again_only_when_as_much_again_has_gathered() {
        let mut passes = passes();
        passes.made(6 * MB);
        assert!(!passes.due(6 * MB, true));
        assert!(!passes.due(9 * MB, true));
        assert!(passes.due(10 * MB, true));
        // Somebody else's checkpoint took it all: the count begins anew.
        assert!(!passes.due(0, true));
        assert!(passes.due(4 * MB, true));
    }
}
