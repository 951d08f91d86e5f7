//! Databases as the predecessor may have written them, in several dialects.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;

/// How a database is written.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub name: &'static str,
    /// `WAL` or `DELETE`.
    pub journal: &'static str,
    /// Ids are `S12` instead of 12.
    pub text_ids: bool,
    pub form: Form,
    /// The columns of fills: session and time.
    pub fills: (&'static str, &'static str),
    /// The columns of snapshots: session and time.
    pub snapshots: (&'static str, &'static str),
    /// `started_at` is there.
    pub has_start: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Form {
    IsoZulu,
    IsoMicros,
    IsoSpace,
    IsoOffset,
    Seconds,
    Millis,
    RealSeconds,
}

pub const DIALECTS: [Dialect; 7] = [
    Dialect {
        name: "wal, integer ids, ISO Z",
        journal: "WAL",
        text_ids: false,
        form: Form::IsoZulu,
        fills: ("session_id", "created_at"),
        snapshots: ("session_id", "timestamp"),
        has_start: true,
    },
    Dialect {
        name: "python isoformat",
        journal: "DELETE",
        text_ids: false,
        form: Form::IsoMicros,
        fills: ("session", "filled_at"),
        snapshots: ("session", "ts"),
        has_start: true,
    },
    Dialect {
        name: "CURRENT_TIMESTAMP, text ids",
        journal: "DELETE",
        text_ids: true,
        form: Form::IsoSpace,
        fills: ("session_number", "ts"),
        snapshots: ("session_number", "created_at"),
        has_start: true,
    },
    Dialect {
        name: "offset",
        journal: "WAL",
        text_ids: true,
        form: Form::IsoOffset,
        fills: ("session_id", "executed_at"),
        snapshots: ("sid", "timestamp"),
        has_start: false,
    },
    Dialect {
        name: "seconds",
        journal: "DELETE",
        text_ids: false,
        form: Form::Seconds,
        fills: ("session_id", "ts"),
        snapshots: ("session_id", "ts"),
        has_start: true,
    },
    Dialect {
        name: "milliseconds",
        journal: "WAL",
        text_ids: false,
        form: Form::Millis,
        fills: ("sessionId", "createdAt"),
        snapshots: ("sessionId", "timestamp_ms"),
        has_start: false,
    },
    Dialect {
        name: "seconds as a double",
        journal: "DELETE",
        text_ids: false,
        form: Form::RealSeconds,
        fills: ("session_id", "time"),
        snapshots: ("session_id", "time"),
        has_start: true,
    },
];

/// The first session's start, seconds since 1970: 2026-04-18T00:00:00Z. Sessions begin an hour apart.
pub const START: i64 = 1_776_470_400;

impl Form {
    /// A time so many seconds and 250 ms after 2026-04-18T00:00:00Z, as this form has it.
    pub fn value(self, seconds: i64) -> Value {
        let at = START + seconds;
        let clock = |day: char| {
            format!(
                "2026-04-{:02}{day}{:02}:{:02}:{:02}",
                18 + seconds / 86_400,
                seconds / 3_600 % 24,
                seconds / 60 % 60,
                seconds % 60
            )
        };
        match self {
            Form::IsoZulu => Value::Text(format!("{}.250Z", clock('T'))),
            Form::IsoMicros => Value::Text(format!("{}.250000", clock('T'))),
            Form::IsoSpace => Value::Text(clock(' ')),
            Form::IsoOffset => Value::Text(format!("{}.250+00:00", clock('T'))),
            Form::Seconds => Value::Integer(at),
            Form::Millis => Value::Integer(at * 1_000 + 250),
            Form::RealSeconds => Value::Real(at as f64 + 0.25),
        }
    }
}

impl Dialect {
    fn id(&self, number: i64) -> Value {
        if self.text_ids { Value::Text(format!("S{number}")) } else { Value::Integer(number) }
    }

    /// 38 sessions. S3 has no record, S5 has an end of its own, S7 has snapshots only. Each other one has two fills and
    /// a snapshot, of which the snapshot, 300 seconds after the start, is the latest; in odd ones a fill, at 400.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("old arb.db");
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update_and_check(None, "journal_mode", self.journal, |_| Ok(())).unwrap();
        let id = if self.text_ids { "TEXT" } else { "INTEGER" };
        let start = if self.has_start { "started_at, " } else { "" };
        let ((fs, ft), (vs, vt)) = (self.fills, self.snapshots);
        conn.execute_batch(&format!(
            "CREATE TABLE sessions (id {id} PRIMARY KEY, {start} ended_at, starting_value REAL, ending_value REAL, note TEXT);
             CREATE TABLE fills (id INTEGER PRIMARY KEY, {fs}, {ft}, side TEXT, xrp_amount REAL, price REAL, tx_hash TEXT);
             CREATE TABLE valuation_snapshots (id INTEGER PRIMARY KEY, {vs}, {vt}, total_value_rlusd REAL);
             CREATE TABLE touched (what TEXT);
             CREATE TRIGGER touch AFTER UPDATE ON sessions BEGIN INSERT INTO touched VALUES ('updated'); END;"
        ))
        .unwrap();
        for number in 1..=38_i64 {
            let begin = (number - 1) * 3_600;
            conn.execute("INSERT INTO sessions (id, starting_value) VALUES (?1, 1000.1)", [self.id(number)]).unwrap();
            if self.has_start {
                let values = (self.form.value(begin), self.id(number));
                conn.execute("UPDATE sessions SET started_at = ?1 WHERE id = ?2", values).unwrap();
            }
            if number == 3 {
                continue;
            }
            let last = if number % 2 == 1 { 400 } else { 200 };
            for at in [100, last].into_iter().filter(|_| number != 7) {
                let sql = format!(
                    "INSERT INTO fills ({fs}, {ft}, side, xrp_amount, price, tx_hash)
                    VALUES (?1, ?2, 'sell', 12.5, 2.4013, 'AB')"
                );
                conn.execute(&sql, (self.id(number), self.form.value(begin + at))).unwrap();
            }
            let sql =
                format!("INSERT INTO valuation_snapshots ({vs}, {vt}, total_value_rlusd) VALUES (?1, ?2, 1000.3)");
            conn.execute(&sql, (self.id(number), self.form.value(begin + 300))).unwrap();
        }
        let end = (self.form.value(4 * 3_600 + 900), self.id(5));
        conn.execute("UPDATE sessions SET ended_at = ?1, ending_value = 1000.30000000000001 WHERE id = ?2", end)
            .unwrap();
        conn.execute("DELETE FROM touched", []).unwrap();
        conn.close().unwrap();
        path
    }

    /// `ended_at` that a session must have after backfilling.
    pub fn end(&self, number: i64) -> Value {
        let begin = (number - 1) * 3_600;
        match number {
            3 => Value::Null,
            5 => self.form.value(begin + 900),
            7 => self.form.value(begin + 300),
            odd if odd % 2 == 1 => self.form.value(begin + 400),
            _ => self.form.value(begin + 300),
        }
    }
}

/// All of the database but `sessions.ended_at` and `neo_backfill`, as text.
pub fn rest_of(path: &Path) -> String {
    let conn = Connection::open(path).unwrap();
    let mut text = String::new();
    let mut dump = |sql: &str| {
        let mut statement = conn.prepare(sql).unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_string).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (index, name) in names.iter().enumerate().filter(|(_, name)| *name != "ended_at") {
                text.push_str(&format!("{name}={:?} ", row.get::<_, Value>(index).unwrap()));
            }
            text.push('\n');
        }
    };
    dump("SELECT type, name, sql FROM sqlite_schema WHERE name <> 'neo_backfill'");
    for table in ["sessions", "fills", "valuation_snapshots", "touched"] {
        dump(&format!("SELECT * FROM {table} ORDER BY rowid"));
    }
    dump("PRAGMA user_version");
    dump("PRAGMA journal_mode");
    text
}

pub fn values(path: &Path, sql: &str) -> Vec<Value> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}
