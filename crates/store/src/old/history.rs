//! The old sessions and the latest record of each: what both backfilling and importing rest on.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};

use crate::old::error::OldError;
use crate::old::layout::{Layout, Records, Sessions, quote};
use crate::old::open::sqlite;
use crate::old::times::{Form, Moment, Zone, read};
use crate::old::values::{Key, row_json};

/// A session of the old database.
#[derive(Clone, Debug)]
pub(crate) struct OldSession {
    /// Its id as stored.
    pub(crate) id: Value,
    /// Its id as records refer to it; `None` where it has none.
    pub(crate) key: Option<Key>,
    /// Its number, from the id or from the column that was mapped.
    pub(crate) number: Option<i64>,
    pub(crate) started_at: Option<Moment>,
    /// `ended_at` as stored.
    pub(crate) ended_at: Value,
    pub(crate) starting_value: Value,
    pub(crate) ending_value: Value,
    /// The whole row as JSON.
    pub(crate) row: String,
}

impl OldSession {
    /// True when no end is written; an empty text is none.
    pub(crate) fn is_open(&self) -> bool {
        match &self.ended_at {
            Value::Null => true,
            Value::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }
}

/// What the fills and snapshots of one session say of its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// The earliest record.
    pub(crate) first: Option<Moment>,
    /// The latest record and the column that it is from.
    pub(crate) last: Option<(Moment, String)>,
    /// Records whose time cannot be read.
    pub(crate) unreadable: u64,
}

/// Reads all sessions, in the order of their ids.
///
/// # Errors
/// [`OldError::Number`] when two have the same id.
pub(crate) fn sessions(
    conn: &Connection,
    path: &Path,
    layout: &Sessions,
    zone: Zone,
) -> Result<Vec<OldSession>, OldError> {
    let failed = sqlite(path, "reading the old sessions");
    let sql = format!("SELECT * FROM {}", quote(&layout.table));
    let mut statement = conn.prepare(&sql).map_err(&failed)?;
    let rows = statement.query_map([], |row| session(row, layout, zone)).map_err(&failed)?;
    let mut sessions = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(&failed)?;
    sessions.sort_by(|a, b| a.key.cmp(&b.key));
    let twice = sessions.windows(2).find_map(|pair| match pair {
        [a, b] if a.key.is_some() && a.key == b.key => a.key.clone(),
        _ => None,
    });
    match twice {
        None => Ok(sessions),
        Some(key) => Err(OldError::Number {
            path: path.to_path_buf(),
            detail: format!("two sessions have the id {key}; nothing was changed: give one of them another id"),
        }),
    }
}

fn session(row: &Row<'_>, layout: &Sessions, zone: Zone) -> rusqlite::Result<OldSession> {
    let id = row.get_ref(layout.id.as_str())?;
    let key = Key::of(id);
    let value = |column: &Option<String>| match column {
        Some(column) => row.get_ref(column.as_str()),
        None => Ok(ValueRef::Null),
    };
    let number = match &layout.number {
        Some(column) => Key::of(row.get_ref(column.as_str())?),
        None => key.clone(),
    };
    Ok(OldSession {
        id: owned(id),
        key,
        number: match number {
            Some(Key::Number(number)) if number > 0 => Some(number),
            _ => None,
        },
        started_at: read(value(&layout.started_at)?, zone),
        ended_at: owned(value(&layout.ended_at)?),
        starting_value: owned(value(&layout.starting_value)?),
        ending_value: owned(value(&layout.ending_value)?),
        row: row_json(row)?,
    })
}

/// A value that outlives its row. Text that is no UTF-8 keeps its readable part: it is no time and no amount anyway.
pub(crate) fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

/// The traces of all sessions, by the key that records give. Records without one are under `None`.
pub(crate) fn traces(
    conn: &Connection,
    path: &Path,
    layout: &Layout,
    zone: Zone,
) -> Result<BTreeMap<Option<Key>, Trace>, OldError> {
    let mut traces = BTreeMap::new();
    for records in [&layout.fills, &layout.valuations].into_iter().flatten() {
        trace(conn, records, zone, &mut traces).map_err(sqlite(path, "reading the old records"))?;
    }
    Ok(traces)
}

fn trace(
    conn: &Connection,
    records: &Records,
    zone: Zone,
    traces: &mut BTreeMap<Option<Key>, Trace>,
) -> rusqlite::Result<()> {
    let source = records.source();
    let (session, time, table) = (quote(&records.session), quote(&records.time), quote(&records.table));
    let mut statement = conn.prepare(&format!("SELECT {session}, {time} FROM {table}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let trace: &mut Trace = traces.entry(Key::of(row.get_ref(0)?)).or_default();
        let Some(moment) = read(row.get_ref(1)?, zone) else {
            trace.unreadable += 1;
            continue;
        };
        if trace.first.is_none_or(|first| moment.at < first.at) {
            trace.first = Some(moment);
        }
        if trace.last.as_ref().is_none_or(|(last, _)| moment.at > last.at) {
            trace.last = Some((moment, source.clone()));
        }
    }
    Ok(())
}

/// When a session ended, as its records tell.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Its latest record, and the column that it is from.
    At(Moment, String),
    /// It has no record.
    NoRecord,
    /// Its records contradict themselves; the reason.
    Unclear(String),
}

/// The end of a session: its latest fill or snapshot.
pub(crate) fn end_of(session: &OldSession, trace: Option<&Trace>) -> End {
    let Some(trace) = trace else { return End::NoRecord };
    if trace.unreadable > 0 {
        return End::Unclear(format!("{} of its records have a time that cannot be read", trace.unreadable));
    }
    let Some((last, source)) = &trace.last else { return End::NoRecord };
    // To the second: forms of other precision cut off what they cannot show.
    if session.started_at.is_some_and(|start| last.at.timestamp() < start.at.timestamp()) {
        let start = session.started_at.map_or(last.at, |start| start.at);
        return End::Unclear(format!(
            "its latest record ({}) is older than its start ({start}); are times without a zone not in UTC? say \
             --map zone=+02:00",
            last.at
        ));
    }
    End::At(*last, source.clone())
}

/// The form of a column: the most frequent one, and of equals the one of the latest session.
pub(crate) fn form_of(values: impl Iterator<Item = Value>, zone: Zone) -> Option<Form> {
    let mut seen: Vec<(Form, usize)> = Vec::new();
    for moment in values.filter_map(|value| read(ValueRef::from(&value), zone)) {
        let count = seen.iter().position(|(form, _)| *form == moment.form).map_or(0, |at| seen.remove(at).1);
        // The form seen last stands last, where `max_by_key` looks first.
        seen.push((moment.form, count + 1));
    }
    seen.into_iter().max_by_key(|(_, count)| *count).map(|(form, _)| form)
}

/// A time for people and for the record.
pub(crate) fn utc(at: DateTime<Utc>) -> String {
    crate::columns::time(at)
}
