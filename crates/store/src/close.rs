//! The last resort: closing a session over a connection of its own, while the writer hangs or after it died.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use crate::apply::{ApplyError, Marks, Processed, Rows, end_session, stop_stage};
use crate::columns::count;
use crate::error::StoreError;
use crate::open::{check_library, check_ownership, sqlite};
use crate::record::{Fault, SessionEnd, SessionNumber, StopStage};
use crate::schema;

/// How long it waits for the writer's transaction: a stop has seconds, not minutes.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Closes `session` unless it is closed; true when this call did it. Durable on return. It never checkpoints, not even
/// when it is the last to close the file, so that the writer stays the only one that does.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::NoSuchSession`], and [`StoreError::Sqlite`] when the writer held the file for
/// longer than half a second.
pub fn close_directly(
    path: &Path,
    session: SessionNumber,
    end: &SessionEnd,
    stages: &[StopStage],
) -> Result<bool, StoreError> {
    let failed = sqlite(path, "closing the session directly");
    let mut conn = connect(path)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let closed = end_session(&tx, session, end).map_err(&failed)?;
    if closed {
        for stage in stages {
            stop_stage(&tx, session, stage).map_err(&failed)?;
        }
    } else {
        ended(&tx, path, session)?;
    }
    tx.commit().map_err(&failed)?;
    conn.close().map_err(|(_, error)| failed(error))?;
    Ok(closed)
}

/// True when `session` has an `ended_at`.
///
/// # Errors
/// As [`close_directly`].
pub fn is_closed(path: &Path, session: SessionNumber) -> Result<bool, StoreError> {
    let conn = connect(path)?;
    let closed = ended(&conn, path, session)?;
    conn.close().map_err(|(_, error)| sqlite(path, "closing the connection")(error))?;
    Ok(closed)
}

/// Adds to a closed session what could only be known after the writer was gone: the outcomes of the last stages, and
/// with them the detail of the end. True when the session is closed; nothing is written while it is not.
///
/// Meant for when the writer has ended: this connection is then the only one, so its close may checkpoint and leave one
/// file, unless `keep_wal` says that something else owns checkpoints.
///
/// # Errors
/// As [`close_directly`].
pub fn amend_end(
    path: &Path,
    session: SessionNumber,
    stages: &[StopStage],
    end_detail: Option<&str>,
    keep_wal: bool,
) -> Result<bool, StoreError> {
    let failed = sqlite(path, "amending the session's end");
    let mut conn = connect(path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal).map_err(&failed)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let closed = ended(&tx, path, session)?;
    if closed {
        for stage in stages {
            stop_stage(&tx, session, stage).map_err(&failed)?;
        }
        tx.execute("UPDATE sessions SET end_detail = ?2 WHERE number = ?1", (session, end_detail)).map_err(&failed)?;
    }
    tx.commit().map_err(&failed)?;
    conn.close().map_err(|(_, error)| failed(error))?;
    Ok(closed)
}

/// Adds faults that the writer could not take any more. Durable on return. For when the writer has ended or will never
/// go on: the rows take the next numbers.
///
/// # Errors
/// As [`close_directly`].
pub fn add_faults(path: &Path, session: SessionNumber, faults: &[Fault]) -> Result<(), StoreError> {
    let failed = sqlite(path, "adding faults");
    let mut conn = connect(path)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    ended(&tx, path, session)?;
    insert_faults(&tx, session, faults).map_err(&failed)?;
    tx.commit().map_err(&failed)?;
    conn.close().map_err(|(_, error)| failed(error))
}

/// The rows take the numbers after the watermark, which moves with them.
pub(crate) fn insert_faults(tx: &Transaction<'_>, session: SessionNumber, faults: &[Fault]) -> rusqlite::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let seq: i64 = tx.query_row("SELECT durable_seq FROM meta WHERE id = 1", [], |row| row.get(0))?;
    let marks = Marks { seq: u64::try_from(seq).unwrap_or(0), processed: Processed::default() };
    let mut rows = Rows::new(tx, session, marks);
    for fault in faults {
        rows.fault(fault).map_err(|error| match error {
            ApplyError::Sqlite(error) => error,
            ApplyError::Refused(reason) => rusqlite::Error::ToSqlConversionFailure(reason.into()),
        })?;
    }
    let seq = count(rows.marks.seq);
    drop(rows);
    tx.execute("UPDATE meta SET durable_seq = ?1 WHERE id = 1", [seq])?;
    Ok(())
}

fn ended(conn: &Connection, path: &Path, number: SessionNumber) -> Result<bool, StoreError> {
    conn.query_row("SELECT ended_at IS NOT NULL FROM sessions WHERE number = ?1", [number], |row| row.get(0))
        .optional()
        .map_err(sqlite(path, "reading whether the session is closed"))?
        .ok_or_else(|| StoreError::NoSuchSession { path: path.to_path_buf(), number })
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    check_library()?;
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_path_buf() });
    }
    let failed = sqlite(path, "opening the file");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(&failed)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&failed)?;
    let version = check_ownership(&conn, path)?;
    if version != schema::VERSION {
        return Err(StoreError::OlderSchema { path: path.to_path_buf(), found: version, known: schema::VERSION });
    }
    conn.pragma_update(None, "synchronous", "FULL").map_err(&failed)?;
    conn.pragma_update(None, "foreign_keys", "ON").map_err(&failed)?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(())).map_err(&failed)?;
    Ok(conn)
}
