//! The numbers of the rows: all tables together must have 1, 2, 3, ... up to the watermark, each once.

use rusqlite::{Connection, OptionalExtension};

use super::repairs::Repairs;
use super::thinned::Thinned;
use super::{Check, Report, text};
use crate::schema::SEQUENCED;

/// Checks the numbers and gives the watermark.
pub(super) fn check(
    conn: &Connection,
    repairs: &Repairs,
    thinned: &Thinned,
    report: &mut Report,
) -> rusqlite::Result<u64> {
    let durable: Option<i64> =
        conn.query_row("SELECT durable_seq FROM meta WHERE id = 1", [], |row| row.get(0)).optional()?;
    let known = Known { repairs, thinned };
    let last = walk(conn, known, report)?;
    match durable {
        None => report.error(
            Check::Sequence,
            None,
            String::from("`meta` has no row; something other than the engine removed it: restore the newest backup"),
        ),
        Some(durable) if durable > last => missing(known, report, last.saturating_add(1), durable),
        Some(durable) if durable < last => report.error(
            Check::Sequence,
            None,
            format!(
                "rows go up to {last}, the watermark says {durable}; something other than the engine added rows: \
                 compare with the newest backup"
            ),
        ),
        Some(_) => {}
    }
    Ok(u64::try_from(durable.unwrap_or(0)).unwrap_or(0))
}

/// Holes that are no news.
#[derive(Clone, Copy)]
struct Known<'a> {
    repairs: &'a Repairs,
    thinned: &'a Thinned,
}

/// Goes through all numbers in order and gives the highest.
fn walk(conn: &Connection, known: Known<'_>, report: &mut Report) -> rusqlite::Result<i64> {
    let tables = SEQUENCED.map(|table| format!("SELECT seq, '{table}' FROM {table}"));
    let mut statement = conn.prepare(&format!("{} ORDER BY 1", tables.join(" UNION ALL ")))?;
    let mut rows = statement.query([])?;
    let (mut last, mut last_table) = (0_i64, String::new());
    while let Some(row) = rows.next()? {
        let (seq, table) = (row.get::<_, i64>(0)?, text(row, 1)?);
        if seq < 1 {
            let text = format!("a row of {table} has the number {seq}; the engine begins with 1: it is a foreign row");
            report.error(Check::Sequence, None, text);
            continue;
        }
        if seq == last {
            let text =
                format!("number {seq} is there twice, in {last_table} and {table}; one of them is a foreign row");
            report.error(Check::Sequence, None, text);
        } else if seq > last.saturating_add(1) {
            missing(known, report, last.saturating_add(1), seq.saturating_sub(1));
        }
        if known.thinned.has(seq) {
            let text = format!(
                "row {seq} of {table} is there although it was thinned out; something other than the engine added it, or \
                 changed a row of `thinned`"
            );
            report.error(Check::Sequence, None, text);
        }
        (last, last_table) = (seq, table);
    }
    Ok(last)
}

fn missing(known: Known<'_>, report: &mut Report, first: i64, last: i64) {
    let Known { repairs, thinned } = known;
    let mut next = first;
    while next <= last {
        if thinned.has(next) {
            next = next.saturating_add(1);
            continue;
        }
        let (end, repair) = repairs.first_part(next, last);
        let end = thinned.next_after(next).map_or(end, |removed| end.min(removed.saturating_sub(1)));
        let which = if next == end { format!("row {next} is") } else { format!("rows {next} to {end} are") };
        match (repair, thinned.around(next)) {
            (Some(repair), _) => {
                let text = format!("{which} missing: lost to the damage that repair {repair} mended");
                report.note(Check::Sequence, None, text);
            }
            (None, Some(at)) => {
                let text = format!(
                    "{which} missing and not among those that were thinned out around there at {at}: deleted by hand or \
                     lost; look for them in the newest backup that has them"
                );
                report.error(Check::Sequence, None, text);
            }
            (None, None) => {
                let text = format!(
                    "{which} missing although they were recorded; look for them in the newest backup that has them"
                );
                report.error(Check::Sequence, None, text);
            }
        }
        next = end.saturating_add(1);
    }
}
