//! The rows that `thinned` names, for who mends a record.

use rusqlite::{Connection, Row, params};

use super::numbers::{numbers, steps};
use crate::read::query;
use crate::schema::SEQUENCED;

const COLUMNS: &str = "first_seq, last_seq, rows_removed, steps";

fn named(row: &Row<'_>) -> rusqlite::Result<Option<Vec<i64>>> {
    let steps: String = row.get("steps")?;
    Ok(numbers(row.get("first_seq")?, row.get("last_seq")?, row.get("rows_removed")?, &steps))
}

/// The numbers of all rows that were thinned out, ascending. What cannot be read names nothing.
pub(crate) fn all_numbers(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    let rows = query(conn, &format!("SELECT {COLUMNS} FROM thinned"), [], named)?;
    let mut numbers: Vec<i64> = rows.into_iter().flatten().flatten().collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether a salvaged row of `thinned` names what it says.
pub(crate) fn check_row(row: &Row<'_>) -> rusqlite::Result<()> {
    match named(row)? {
        Some(_) => Ok(()),
        None => Err(rusqlite::Error::InvalidQuery),
    }
}

/// Of rows that a backup from before has brought back, `thinned` does not say that they are gone. They stay: nothing of a
/// backup is removed because a damaged file says so.
pub(crate) fn leave_out_present(conn: &Connection) -> rusqlite::Result<()> {
    let rows = query(conn, &format!("SELECT {COLUMNS} FROM thinned ORDER BY first_seq"), [], |row| {
        Ok((row.get::<_, i64>("first_seq")?, named(row)?))
    })?;
    let present = SEQUENCED.map(|table| format!("SELECT 1 FROM {table} WHERE seq = ?1")).join(" UNION ALL ");
    let mut present = conn.prepare(&present)?;
    for (key, named) in rows {
        let named = named.unwrap_or_default();
        let mut gone = Vec::new();
        for seq in &named {
            if !present.exists([seq])? {
                gone.push(*seq);
            }
        }
        if gone.len() == named.len() {
            continue;
        }
        match (gone.first(), gone.last()) {
            (Some(first), Some(last)) => conn.execute(
                "UPDATE thinned SET first_seq = ?2, last_seq = ?3, rows_removed = ?4, steps = ?5 WHERE first_seq = ?1",
                params![key, first, last, i64::try_from(gone.len()).unwrap_or(i64::MAX), steps(&gone)],
            )?,
            _ => conn.execute("DELETE FROM thinned WHERE first_seq = ?1", [key])?,
        };
    }
    Ok(())
}
