//! What was thinned out: each removed row is named, so that a hole of its own is told from a loss.

use rusqlite::Connection;

use super::{Check, Report, text};
use crate::thin::numbers;

/// One hour that was thinned out.
#[derive(Clone, Debug)]
struct Range {
    first: i64,
    last: i64,
    at: String,
}

/// All that was thinned out of a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Thinned {
    ranges: Vec<Range>,
    /// The numbers of the removed rows, ascending.
    numbers: Vec<i64>,
}

/// Reads them; a row that names no numbers is told and explains nothing.
pub(super) fn read(conn: &Connection, report: &mut Report) -> rusqlite::Result<Thinned> {
    let sql = "SELECT first_seq, last_seq, rows_removed, session, steps, thinned_at FROM thinned ORDER BY first_seq";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut thinned = Thinned::default();
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        let Some(named) = numbers(first, last, row.get(2)?, &text(row, 4)?) else {
            let text = format!(
                "what was thinned out from row {first} to row {last} cannot be read: the row of `thinned` was changed; \
                 compare it with the newest backup"
            );
            report.error(Check::Thinned, Some(row.get(3)?), text);
            continue;
        };
        thinned.numbers.extend(named);
        thinned.ranges.push(Range { first, last, at: text(row, 5)? });
    }
    thinned.numbers.sort_unstable();
    for pair in thinned.numbers.windows(2) {
        if pair[0] == pair[1] {
            let text = format!("row {} was thinned out twice: a row of `thinned` was changed or added", pair[0]);
            report.error(Check::Thinned, None, text);
        }
    }
    Ok(thinned)
}

impl Thinned {
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.numbers.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn has(&self, seq: i64) -> bool {
        self.numbers.binary_search(&seq).is_ok()
    }

    /// The first number after `seq` that was thinned out.
    pub(super) fn next_after(&self, seq: i64) -> Option<i64> {
        self.numbers.get(self.numbers.partition_point(|number| *number <= seq)).copied()
    }

    /// When the snapshots around a number were thinned out, if they were.
    pub(super) fn around(&self, seq: i64) -> Option<&str> {
        self.ranges.iter().find(|range| range.first <= seq && seq <= range.last).map(|range| range.at.as_str())
    }

    pub(super) fn tell(&self, report: &mut Report) {
        let Some(last) = self.ranges.iter().map(|range| range.at.as_str()).max() else { return };
        let text = format!(
            "{} old snapshots were thinned out, in {} parts, at {last} for the last time; `[store] snapshots_keep_days` \
             says when",
            self.numbers.len(),
            self.ranges.len()
        );
        report.note(Check::Thinned, None, text);
    }
}
