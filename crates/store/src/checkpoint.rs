//! Writing the WAL back, on the writer's own connection.
//!
//! PASSIVE first: it does most of the work without holding anybody up. Then TRUNCATE under a short busy time-out,
//! because it holds the writer still while it waits for readers. The answer is read as a row: `execute_batch` and
//! `pragma_update` report success even when a reader kept the checkpoint from finishing.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use crate::open::BUSY_TIMEOUT_WRITER;
use crate::record::{Checkpoint, CheckpointCause};
use crate::writer::wal_bytes;

/// How long TRUNCATE waits for readers.
const BUSY_TIMEOUT: Duration = Duration::from_millis(100);

/// SQLite's answer to `wal_checkpoint`.
struct Answer {
    busy: bool,
    wal_frames: i64,
    checkpointed_frames: i64,
}

/// Runs a checkpoint and tells what it did; it is not recorded yet.
pub(crate) fn run(
    conn: &Connection,
    wal_path: &Path,
    cause: CheckpointCause,
    clock: fn() -> DateTime<Utc>,
) -> rusqlite::Result<Checkpoint> {
    let wal_bytes = wal_bytes(wal_path);
    let started = clock();
    let passive = ask(conn, "PASSIVE")?;
    let truncate = with_short_timeout(conn, || ask(conn, "TRUNCATE"))?;
    let recorded_at = clock();
    let pause = recorded_at.signed_duration_since(started).num_microseconds().unwrap_or(0);
    // After success TRUNCATE counts the frames of an empty WAL; those of PASSIVE are the ones that were written back.
    let answer = if truncate.busy {
        truncate
    } else {
        Answer { busy: false, wal_frames: passive.wal_frames, checkpointed_frames: passive.wal_frames }
    };
    Ok(Checkpoint {
        cause,
        busy: answer.busy,
        wal_frames: answer.wal_frames,
        checkpointed_frames: answer.checkpointed_frames,
        wal_bytes,
        pause_us: u64::try_from(pause).unwrap_or(0),
        recorded_at,
    })
}

/// TRUNCATE alone; true when a reader kept it from finishing.
pub(crate) fn truncate_again(conn: &Connection) -> rusqlite::Result<bool> {
    with_short_timeout(conn, || ask(conn, "TRUNCATE")).map(|answer| answer.busy)
}

fn ask(conn: &Connection, mode: &str) -> rusqlite::Result<Answer> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
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
