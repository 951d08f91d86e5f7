//! What the record has that the backup does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::backup::{BackupError, Contents, contents, immutable};
use crate::columns::Columns;
use crate::read::query;
use crate::record::SessionNumber;
use crate::schema;
use crate::untouched::{self, Unopened, remove_scratch};

/// The record that a backup takes the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Present {
    /// There is none.
    Missing,
    /// It cannot be read, so what is lost cannot be told.
    Malformed {
        /// What was found.
        detail: String,
    },
    /// It can be read.
    Readable {
        /// What is in it.
        contents: Box<Contents>,
        /// What of it the backup does not have.
        lost: Lost,
    },
}

/// What a record has that the backup does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// True when the backup is of another record: one that was begun at another time. Then everything is counted.
    pub another_record: bool,
    /// Sessions that began after the backup.
    pub sessions: Vec<SessionNumber>,
    /// Sessions that the backup knows, but not to their end.
    pub cut_sessions: Vec<SessionNumber>,
    /// Rows after the backup.
    pub rows: u64,
    /// Those rows by table; tables that lose nothing are left out.
    pub rows_by_table: BTreeMap<&'static str, u64>,
}

impl Lost {
    /// True when the backup has everything.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.sessions.is_empty() && self.cut_sessions.is_empty() && self.rows == 0
    }
}

/// Compares the record at `db` with the backup, whose copy at rest is at `copy`. Of the record nothing is changed.
pub(super) fn compare(db: &Path, backup: &Contents, copy: &Path) -> Result<Present, BackupError> {
    if !db.exists() {
        return Ok(Present::Missing);
    }
    let opened = untouched::open(db).map_err(|error| match error {
        Unopened::Sqlite(error) => malformed(error),
        Unopened::System(error) => Unread::Backup(error),
    });
    let compared = opened.and_then(|conn| {
        let detail: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(malformed)?;
        if detail != "ok" {
            return Err(Unread::Malformed(detail));
        }
        let contents = contents(&conn).map_err(malformed)?;
        let lost = lost(&conn, &contents, backup, copy).map_err(malformed)?;
        Ok(Present::Readable { contents: Box::new(contents), lost })
    });
    remove_scratch(db)?;
    match compared {
        Ok(present) => Ok(present),
        Err(Unread::Malformed(detail)) => Ok(Present::Malformed { detail }),
        Err(Unread::Backup(error)) => Err(error),
    }
}

enum Unread {
    Malformed(String),
    Backup(BackupError),
}

fn malformed(error: rusqlite::Error) -> Unread {
    Unread::Malformed(error.to_string())
}

fn lost(conn: &Connection, present: &Contents, backup: &Contents, copy: &Path) -> rusqlite::Result<Lost> {
    let another_record = present.created_at != backup.created_at;
    let (seq, session) =
        if another_record { (0, 0) } else { (backup.last_seq, backup.last_session.unwrap_or_default()) };
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let mut lost = Lost { another_record, ..Lost::default() };
    let mut touched: BTreeSet<SessionNumber> = BTreeSet::new();
    for table in schema::sequenced_in(conn)? {
        let sql = format!("SELECT count(*) AS rows FROM {table} WHERE seq > ?1");
        let rows = conn.query_row(&sql, [seq], |row| row.count("rows"))?;
        if rows > 0 {
            lost.rows_by_table.insert(table, rows);
            lost.rows = lost.rows.saturating_add(rows);
            touched.extend(query(
                conn,
                &format!("SELECT DISTINCT session FROM {table} WHERE seq > ?1"),
                [seq],
                |row| row.get::<_, SessionNumber>(0),
            )?);
        }
    }
    let numbers = |conn: &Connection, sql: &str, value: i64| query(conn, sql, [value], |row| row.get(0));
    lost.sessions = numbers(conn, "SELECT number FROM sessions WHERE number > ?1 ORDER BY number", session)?;
    if !another_record {
        // A session that is open in the backup and ended in the record loses its end.
        let open = "SELECT number FROM sessions WHERE ended_at IS NULL AND number <= ?1";
        let ended = "SELECT number FROM sessions WHERE ended_at IS NOT NULL AND number <= ?1";
        let ended: BTreeSet<SessionNumber> = numbers(conn, ended, session)?.into_iter().collect();
        let open_in_backup: Vec<SessionNumber> = numbers(&immutable(copy)?, open, session)?;
        touched.extend(open_in_backup.into_iter().filter(|number| ended.contains(number)));
    }
    lost.cut_sessions = touched.into_iter().filter(|number| !lost.sessions.contains(number)).collect();
    Ok(lost)
}
