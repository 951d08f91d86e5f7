//! Reading a damaged table row by row: from the first row until something is broken, from the last row backwards until
//! something is broken, and then the middle in halves, so that one broken page costs the rows on it and no others.

use std::collections::VecDeque;

use rusqlite::{Connection, Row};

/// Looks into a damaged middle of one table before it is given up.
const PROBES_MAX: u32 = 200_000;
/// Ranges that could not be read and are told one by one.
const RANGES_TOLD: usize = 8;

/// A table and the whole number that its rows are in order of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    /// Constants for columns that reading expects and the table does not have.
    pub(super) constants: &'static str,
}

/// What could not be read of a table.
#[derive(Debug, Default)]
pub(super) struct Unread {
    ranges: Vec<(i64, i64)>,
    probes: u32,
    gave_up: bool,
    error: Option<String>,
}

impl Unread {
    /// Ranges in order, neighbours as one.
    fn ordered(&self) -> Vec<(i64, i64)> {
        let mut all = self.ranges.clone();
        all.sort_unstable();
        let mut ordered: Vec<(i64, i64)> = Vec::new();
        for (low, high) in all {
            match ordered.last_mut() {
                Some(last) if last.1.saturating_add(1) >= low => last.1 = last.1.max(high),
                _ => ordered.push((low, high)),
            }
        }
        ordered
    }

    /// In words; `None` when everything was read.
    pub(super) fn in_words(&self, key: &str) -> Option<String> {
        let error = self.error.as_ref()?;
        let ranges = self.ordered();
        let mut told: Vec<String> = ranges
            .iter()
            .take(RANGES_TOLD)
            .map(|(low, high)| if low == high { format!("{low}") } else { format!("{low} to {high}") })
            .collect();
        if let Some(more @ 1..) = ranges.len().checked_sub(RANGES_TOLD) {
            told.push(format!("and {more} more ranges"));
        }
        let given_up = if self.gave_up { "; the search in the middle was given up" } else { "" };
        if told.is_empty() {
            return Some(format!("damaged ({error}), but every row was read"));
        }
        Some(format!("{key} {} could not be read ({error}){given_up}", told.join(", ")))
    }
}

/// Gives `sink` every row with a key from `low` to `high` that can be read. A row may be given twice where keys are not
/// unique. An error of `sink` ends the reading.
pub(super) fn read<E>(
    conn: &Connection,
    table: Table,
    low: i64,
    high: i64,
    sink: &mut dyn FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<Unread, E> {
    let mut unread = Unread::default();
    // The widest ranges first: should the search be given up, then with small pieces left and not with half a table.
    let mut ranges = VecDeque::from([(low, high)]);
    while let Some((low, high)) = ranges.pop_front() {
        if low > high {
            continue;
        }
        if unread.probes >= PROBES_MAX {
            unread.gave_up = true;
            unread.ranges.push((low, high));
            continue;
        }
        unread.probes += 1;
        let up = scan(conn, table, low, high, true, sink)?;
        let Some(error) = up.error else { continue };
        unread.error.get_or_insert(error);
        let low = up.last.map_or(low, |last| last.saturating_add(1));
        let down = scan(conn, table, low, high, false, sink)?;
        let high = down.last.map_or(high, |last| last.saturating_sub(1));
        if low >= high || down.error.is_none() {
            if low <= high && down.error.is_some() {
                unread.ranges.push((low, high));
            }
            continue;
        }
        let middle = low.saturating_add(high.saturating_sub(low) / 2);
        ranges.push_back((low, middle));
        ranges.push_back((middle.saturating_add(1), high));
    }
    Ok(unread)
}

struct Scan {
    /// The last key that was given.
    last: Option<i64>,
    /// Why it ended before its end.
    error: Option<String>,
}

fn scan<E>(
    conn: &Connection,
    table: Table,
    low: i64,
    high: i64,
    up: bool,
    sink: &mut dyn FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<Scan, E> {
    let Table { name, key, constants } = table;
    let order = if up { "ASC" } else { "DESC" };
    // By the table itself: its indexes may be broken where it is not.
    let sql = format!(
        "SELECT *{constants}, {key} AS salvage_key FROM {name} NOT INDEXED
         WHERE {key} BETWEEN ?1 AND ?2 ORDER BY {key} {order}"
    );
    let mut scan = Scan { last: None, error: None };
    let mut statement = match conn.prepare_cached(&sql) {
        Ok(statement) => statement,
        Err(error) => return Ok(Scan { last: None, error: Some(error.to_string()) }),
    };
    let mut rows = match statement.query((low, high)) {
        Ok(rows) => rows,
        Err(error) => return Ok(Scan { last: None, error: Some(error.to_string()) }),
    };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(scan),
            Err(error) => {
                scan.error = Some(error.to_string());
                return Ok(scan);
            }
        };
        let key = match row.get::<_, i64>("salvage_key") {
            Ok(key) if in_order(scan.last, key, up) && (low..=high).contains(&key) => key,
            Ok(key) => {
                scan.error = Some(format!("row {key} is out of order"));
                return Ok(scan);
            }
            Err(error) => {
                scan.error = Some(error.to_string());
                return Ok(scan);
            }
        };
        sink(row)?;
        scan.last = Some(key);
    }
}

/// In a broken tree a walk may come by the same page again.
fn in_order(last: Option<i64>, key: i64, up: bool) -> bool {
    last.is_none_or(|last| if up { key >= last } else { key <= last })
}
