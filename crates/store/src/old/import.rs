//! Taking an old database into our record as history.
//!
//! Its sessions keep their numbers, so that `neo sessions` begins with S1 and the next session follows the last old one.
//! They are rows of `sessions` with `imported = 1`; their fills and valuations go into tables of their own, because the
//! old record does not have what our tables demand (transaction hash, offer, ledger): what is not known is NULL with a
//! reason. Each row is kept whole beside what was understood of it.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::columns::{Columns, time};
use crate::error::StoreError;
use crate::lock::with_suffix;
use crate::old::error::OldError;
use crate::old::history::{End, OldSession, Trace, end_of, sessions, traces};
use crate::old::layout::{BACKFILL_TABLE, Layout, Purpose, Records, discover, quote};
use crate::old::mapping::Mapping;
use crate::old::open::{Intention, open, sqlite};
use crate::old::times::{Zone, read};
use crate::old::values::{Key, Money, hex, row_json};
use crate::open::Store;
use crate::read::{Reader, query};
use crate::record::{EndReason, EndedAtSource, SessionNumber};

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The old database.
    pub file: PathBuf,
    /// SHA-256 of its file, and of its `-wal` after it where there is one, hex.
    pub sha256: String,
    /// The record.
    pub record: PathBuf,
    /// Sessions that were added.
    pub added: Vec<SessionNumber>,
    /// Sessions that an earlier import had added.
    pub already: Vec<SessionNumber>,
    /// Sessions that were left out, each with the reason.
    pub left_out: Vec<String>,
    /// Fills that were added.
    pub fills: u64,
    /// Valuations that were added.
    pub valuations: u64,
    /// Fills and valuations added that belong to no session of the old database.
    pub strays: u64,
    /// Amounts that were REAL and were converted to decimal text.
    pub converted: u64,
    /// Sessions added whose end is not known.
    pub without_end: Vec<SessionNumber>,
    /// The number that the next session gets.
    pub next: SessionNumber,
}

/// Where a session of the record comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedSession {
    /// The old database, as it was named when it was imported.
    pub source_file: String,
    /// SHA-256 of that file, hex.
    pub source_sha256: String,
    /// Real time of the import.
    pub imported_at: DateTime<Utc>,
    /// Its fills.
    pub fills: u64,
    /// Its valuations.
    pub valuations: u64,
    /// What is not known, with the reason.
    pub unknown: Json,
    /// Its amounts that were REAL and were converted to decimal text.
    pub converted: Json,
}

impl Store {
    /// Takes the sessions, fills and valuations of an old database into this record, in one transaction. What an
    /// earlier import took is not taken again. `now` is the real time.
    ///
    /// # Errors
    /// A variant of [`OldError`]; neither file is changed then. [`OldError::Overlap`] when the record has sessions of
    /// its own with the old numbers.
    pub fn import_old(&mut self, old: &Path, mapping: &Mapping, now: DateTime<Utc>) -> Result<Imported, OldError> {
        // Before any connection of ours is open: closing a handle on the file drops SQLite's locks on it.
        let sha256 = digest(old)?;
        let conn = open(old, Intention::Look)?;
        let layout = discover(&conn, old, mapping, Purpose::Import)?;
        let zone = mapping.zone();
        let old_sessions = sessions(&conn, old, &layout.sessions, zone)?;
        let traces = traces(&conn, old, &layout, zone)?;
        let source = Source { old, sha256: &sha256, layout: &layout, zone, now };
        let backfilled = backfilled(&conn, &layout).map_err(sqlite(old, "reading what was backfilled"))?;
        let mut done = Imported {
            file: old.to_path_buf(),
            sha256: sha256.clone(),
            record: self.path.clone(),
            added: Vec::new(),
            already: Vec::new(),
            left_out: Vec::new(),
            fills: 0,
            valuations: 0,
            strays: 0,
            converted: 0,
            without_end: Vec::new(),
            next: 0,
        };
        let path = self.path.clone();
        let failed = move |error| OldError::Record(crate::open::sqlite(&path, "importing")(error));
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let histories: Vec<_> = old_sessions
            .iter()
            .filter_map(|session| match source.history(session, &traces, &backfilled) {
                Ok(history) => Some(history),
                Err(reason) => {
                    done.left_out.push(reason);
                    None
                }
            })
            .collect();
        source.add_sessions(&tx, &self.path, &histories, &mut done)?;
        let numbers = histories.iter().filter_map(|history| Some((history.key.clone()?, history.number))).collect();
        source.add_records(&conn, &tx, &numbers, &mut done).map_err(&failed)?;
        done.next =
            tx.query_row("SELECT coalesce(max(number), 0) + 1 FROM sessions", [], |row| row.get(0)).map_err(&failed)?;
        tx.commit().map_err(failed)?;
        conn.close().map_err(|(_, error)| sqlite(old, "closing the file")(error))?;
        Ok(done)
    }
}

impl Reader {
    /// Where a session was imported from; `None` for a session of this engine.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn imported(&self, number: SessionNumber) -> Result<Option<ImportedSession>, StoreError> {
        let sql = "SELECT source_file, source_sha256, imported_at, unknown, converted,
                (SELECT count(*) FROM imported_fills WHERE session = ?1) AS fills,
                (SELECT count(*) FROM imported_valuations WHERE session = ?1) AS valuations
            FROM imported_sessions WHERE number = ?1";
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Json::String(text));
        self.conn
            .query_row(sql, [number], |row| {
                Ok(ImportedSession {
                    source_file: row.get("source_file")?,
                    source_sha256: row.get("source_sha256")?,
                    imported_at: row.time("imported_at")?,
                    fills: row.count("fills")?,
                    valuations: row.count("valuations")?,
                    unknown: json(row.get("unknown")?),
                    converted: json(row.get("converted")?),
                })
            })
            .optional()
            .map_err(crate::open::sqlite(&self.path, "reading where the session is from"))
    }
}

/// One import: from where, read how.
struct Source<'a> {
    old: &'a Path,
    sha256: &'a str,
    layout: &'a Layout,
    zone: Zone,
    now: DateTime<Utc>,
}

/// An old session in our terms.
struct History {
    number: SessionNumber,
    key: Option<Key>,
    started_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    ended_at: Option<(DateTime<Utc>, EndedAtSource)>,
    starting_value: Option<String>,
    ending_value: Option<String>,
    unknown: BTreeMap<String, String>,
    converted: Vec<&'static str>,
    row: String,
}

impl Source<'_> {
    /// The session in our terms, or why it must be left out.
    fn history(
        &self,
        session: &OldSession,
        traces: &BTreeMap<Option<Key>, Trace>,
        backfilled: &[Key],
    ) -> Result<History, String> {
        let name = session.key.as_ref().map_or_else(|| "a session without an id".to_string(), Key::to_string);
        let number = session.number.ok_or_else(|| {
            format!(
                "{name}: its id is no number; name the column that numbers sessions with --map sessions.number=COLUMN"
            )
        })?;
        let trace = traces.get(&session.key).filter(|_| session.key.is_some());
        let mut unknown = self.absent();
        let first = trace.and_then(|trace| trace.first);
        let started_at = match (session.started_at, first) {
            (Some(start), _) => start.at,
            (None, Some(first)) => {
                unknown.insert("started_at".to_string(), "not in the old record; its first record is used".to_string());
                first.at
            }
            (None, None) => {
                return Err(format!("{name}: it has no start and no record, so there is nothing to import"));
            }
        };
        let ended_at = match self.end(session, trace, backfilled) {
            Ok(end) => Some(end),
            Err(reason) => {
                unknown.insert("ended_at".to_string(), reason);
                None
            }
        };
        let mut converted = Vec::new();
        let mut amount = |name: &'static str, value: &Value| match Money::of(ValueRef::from(value)) {
            Ok(money) => {
                if money.converted {
                    converted.push(name);
                }
                Some(money.value.to_string())
            }
            Err(reason) => {
                unknown.insert(name.to_string(), reason);
                None
            }
        };
        let starting_value = amount("starting_value", &session.starting_value);
        let ending_value = amount("ending_value", &session.ending_value);
        let last = trace.and_then(|trace| trace.last.as_ref()).map(|(moment, _)| moment.at);
        let ends = ended_at.map(|(at, _)| at);
        let last_seen_at = [ends, last].into_iter().flatten().fold(started_at, DateTime::max);
        let (key, row) = (session.key.clone(), session.row.clone());
        Ok(History {
            number,
            key,
            started_at,
            last_seen_at,
            ended_at,
            starting_value,
            ending_value,
            unknown,
            converted,
            row,
        })
    }

    /// Its end and where it is from, or why it is not known.
    fn end(
        &self,
        session: &OldSession,
        trace: Option<&Trace>,
        backfilled: &[Key],
    ) -> Result<(DateTime<Utc>, EndedAtSource), String> {
        if session.is_open() {
            return match end_of(session, trace) {
                End::At(moment, _) => Ok((moment.at, EndedAtSource::Backfilled)),
                End::NoRecord => Err("not in the old record, and no fill or snapshot tells it".to_string()),
                End::Unclear(reason) => Err(reason),
            };
        }
        let marked = session.key.as_ref().is_some_and(|key| backfilled.contains(key));
        let source = if marked { EndedAtSource::Backfilled } else { EndedAtSource::Imported };
        match read(ValueRef::from(&session.ended_at), self.zone) {
            Some(moment) => Ok((moment.at, source)),
            None => Err(format!("the old record has {:?}, which is no time", session.ended_at)),
        }
    }

    /// What no session, fill or valuation of this database tells.
    fn absent(&self) -> BTreeMap<String, String> {
        let fills = ["side", "xrp", "rlusd", "price", "tx_hash", "ledger_index"].map(|what| ("fills", what));
        let valuations = [("valuation_snapshots", "total_value")];
        fills
            .into_iter()
            .chain(valuations)
            .filter(|(role, what)| {
                let records = if *role == "fills" { &self.layout.fills } else { &self.layout.valuations };
                let has = |what: &str| records.as_ref().is_none_or(|records| records.more.contains_key(what));
                !(has(what) || *what == "xrp" && has("drops"))
            })
            .map(|(role, what)| (format!("{role}.{what}"), "the old table has no column known as it".to_string()))
            .collect()
    }

    fn add_sessions(
        &self,
        tx: &Transaction<'_>,
        record: &Path,
        histories: &[History],
        done: &mut Imported,
    ) -> Result<(), OldError> {
        let failed = |error| OldError::Record(crate::open::sqlite(record, "importing sessions")(error));
        let mut taken = Vec::new();
        for history in histories {
            match self.present(tx, history).map_err(failed)? {
                Presence::Absent => {
                    if done.added.contains(&history.number) {
                        return Err(OldError::Number {
                            path: self.old.to_path_buf(),
                            detail: format!("two sessions have the number {}; nothing was changed", history.number),
                        });
                    }
                    self.add_session(tx, history).map_err(failed)?;
                    done.added.push(history.number);
                    done.converted += history.converted.len() as u64;
                    if history.ended_at.is_none() {
                        done.without_end.push(history.number);
                    }
                }
                Presence::Imported if done.added.contains(&history.number) => taken.push(history.number),
                Presence::Imported => done.already.push(history.number),
                Presence::Taken => taken.push(history.number),
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        Err(OldError::Overlap {
            record: record.to_path_buf(),
            old: self.old.to_path_buf(),
            numbers: taken.iter().map(|number| format!("S{number}")).collect(),
        })
    }

    /// Whether the record has this number, and whether from this very session.
    fn present(&self, tx: &Transaction<'_>, history: &History) -> rusqlite::Result<Presence> {
        let sql = "SELECT s.started_at, i.source_id FROM sessions s
            LEFT JOIN imported_sessions i ON i.number = s.number WHERE s.number = ?1";
        let found: Option<(String, Option<String>)> =
            tx.query_row(sql, [history.number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        Ok(match found {
            None => Presence::Absent,
            Some((start, Some(id))) if start == time(history.started_at) && id == source_id(history) => {
                Presence::Imported
            }
            Some(_) => Presence::Taken,
        })
    }

    fn add_session(&self, tx: &Transaction<'_>, history: &History) -> rusqlite::Result<()> {
        let (mode, network, account): (String, String, String) =
            tx.query_row("SELECT mode, network, account FROM meta WHERE id = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let reason = history.unknown.get("ending_value");
        let detail = json!({ "imported": "from an older record; how and why it ended is not known" });
        tx.prepare_cached(
            "INSERT INTO sessions (number, mode, network, account, started_at, last_seen_at, starting_value_rlusd,
                 ended_at, ended_at_source, ending_value_rlusd, ending_value_reason, end_reason, end_detail, config,
                 config_hash, version, imported)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, '', '', 'not known', 1)",
        )?
        .execute(params![
            history.number,
            mode,
            network,
            account,
            time(history.started_at),
            time(history.last_seen_at),
            history.starting_value,
            history.ended_at.map(|(at, _)| time(at)),
            history.ended_at.map(|(_, source)| source.as_str()),
            history.ending_value,
            reason,
            history.ended_at.map(|_| EndReason::Unknown.as_str()),
            detail.to_string(),
        ])?;
        tx.prepare_cached(
            "INSERT INTO imported_sessions (number, source_file, source_sha256, source_id, imported_at, unknown,
                 converted, source_row)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            history.number,
            self.old.display().to_string(),
            self.sha256,
            source_id(history),
            time(self.now),
            json!(history.unknown).to_string(),
            json!(history.converted).to_string(),
            history.row,
        ])?;
        Ok(())
    }

    fn add_records(
        &self,
        conn: &Connection,
        tx: &Transaction<'_>,
        numbers: &BTreeMap<Key, SessionNumber>,
        done: &mut Imported,
    ) -> rusqlite::Result<()> {
        if let Some(fills) = &self.layout.fills {
            let sql = "INSERT INTO imported_fills (key, session, at, unknown, converted, source_row, side, xrp, rlusd,
                    price, tx_hash, ledger_index)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (key) DO NOTHING";
            self.add(conn, tx, fills, sql, numbers, done, |row, read| {
                let xrp = if fills.more.contains_key("xrp") { read.money(row, "xrp")? } else { read.drops(row)? };
                Ok(vec![
                    read.text(row, "side")?,
                    xrp,
                    read.money(row, "rlusd")?,
                    read.money(row, "price")?,
                    read.text(row, "tx_hash")?,
                    read.integer(row, "ledger_index")?,
                ])
            })?;
        }
        if let Some(valuations) = &self.layout.valuations {
            let sql = "INSERT INTO imported_valuations (key, session, at, unknown, converted, source_row,
                    total_value_rlusd)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO NOTHING";
            self.add(conn, tx, valuations, sql, numbers, done, |row, read| Ok(vec![read.money(row, "total_value")?]))?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one loop for both kinds of records")]
    fn add(
        &self,
        conn: &Connection,
        tx: &Transaction<'_>,
        records: &Records,
        insert: &str,
        numbers: &BTreeMap<Key, SessionNumber>,
        done: &mut Imported,
        further: impl Fn(&Row<'_>, &mut Fields<'_>) -> rusqlite::Result<Vec<Value>>,
    ) -> rusqlite::Result<()> {
        let mut insert = tx.prepare(insert)?;
        let mut statement = conn.prepare(&format!("SELECT * FROM {}", quote(&records.table)))?;
        let mut seen: HashMap<String, u64> = HashMap::new();
        let is_fill = self.layout.fills.as_ref().is_some_and(|fills| fills.table == records.table);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut fields = Fields { records, unknown: BTreeMap::new(), converted: Vec::new() };
            let session = Key::of(row.get_ref(records.session.as_str())?).and_then(|key| numbers.get(&key).copied());
            let at = read(row.get_ref(records.time.as_str())?, self.zone).map(|moment| time(moment.at));
            if at.is_none() {
                fields.unknown.insert("at", "its time cannot be read".to_string());
            }
            if session.is_none() {
                fields.unknown.insert("session", "it belongs to no session that was imported".to_string());
            }
            let values = further(row, &mut fields)?;
            let source_row = row_json(row)?;
            // Two rows that are the same to the last column are two rows: their place among their like tells them apart.
            let like = seen.entry(source_row.clone()).or_default();
            *like += 1;
            let key = hex(&Sha256::digest(format!("{}\n{like}\n{source_row}", records.table)));
            let unknown = (!fields.unknown.is_empty()).then(|| json!(fields.unknown).to_string());
            let converted = (!fields.converted.is_empty()).then(|| json!(fields.converted).to_string());
            let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
            let mut all = vec![
                Value::Text(key),
                session.map_or(Value::Null, Value::Integer),
                text(at),
                text(unknown),
                text(converted),
                Value::Text(source_row),
            ];
            all.extend(values);
            let added = insert.execute(rusqlite::params_from_iter(all))? as u64;
            *(if is_fill { &mut done.fills } else { &mut done.valuations }) += added;
            if added > 0 {
                done.strays += u64::from(session.is_none());
                done.converted += fields.converted.len() as u64;
            }
        }
        Ok(())
    }
}

/// Whether the record has a session.
enum Presence {
    Absent,
    /// From an import of the same session.
    Imported,
    /// The number is another session's.
    Taken,
}

/// What is read from one row, and what could not be.
struct Fields<'a> {
    records: &'a Records,
    unknown: BTreeMap<&'static str, String>,
    converted: Vec<&'static str>,
}

impl Fields<'_> {
    fn value<'r>(&self, row: &'r Row<'_>, what: &str) -> rusqlite::Result<Option<ValueRef<'r>>> {
        self.records.more.get(what).map(|column| row.get_ref(column.as_str())).transpose()
    }

    fn money(&mut self, row: &Row<'_>, what: &'static str) -> rusqlite::Result<Value> {
        let Some(value) = self.value(row, what)? else { return Ok(Value::Null) };
        Ok(self.amount(what, Money::of(value)))
    }

    /// Drops as XRP: six places, exactly.
    fn drops(&mut self, row: &Row<'_>) -> rusqlite::Result<Value> {
        let Some(value) = self.value(row, "drops")? else { return Ok(Value::Null) };
        let xrp = Money::of(value).and_then(|drops| {
            let million = neo_market::Dec::from_i64(1_000_000);
            let value = drops.value.div(million, neo_market::Rounding::HalfEven).map_err(|error| error.to_string())?;
            Ok(Money { value, ..drops })
        });
        Ok(self.amount("xrp", xrp))
    }

    fn amount(&mut self, what: &'static str, money: Result<Money, String>) -> Value {
        match money {
            Ok(money) => {
                if money.converted {
                    self.converted.push(what);
                }
                Value::Text(money.value.to_string())
            }
            Err(reason) => {
                self.unknown.insert(what, reason);
                Value::Null
            }
        }
    }

    fn text(&mut self, row: &Row<'_>, what: &'static str) -> rusqlite::Result<Value> {
        Ok(match self.value(row, what)? {
            None => Value::Null,
            Some(ValueRef::Text(bytes)) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            Some(ValueRef::Integer(number)) => Value::Text(number.to_string()),
            Some(_) => self.not_known(what, "the old record has none"),
        })
    }

    fn integer(&mut self, row: &Row<'_>, what: &'static str) -> rusqlite::Result<Value> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().parse::<i64>();
        Ok(match self.value(row, what)? {
            None => Value::Null,
            Some(ValueRef::Integer(number)) => Value::Integer(number),
            Some(ValueRef::Text(bytes)) => match text(bytes) {
                Ok(number) => Value::Integer(number),
                Err(_) => self.not_known(what, "the old record has no whole number"),
            },
            Some(_) => self.not_known(what, "the old record has none"),
        })
    }

    fn not_known(&mut self, what: &'static str, reason: &str) -> Value {
        self.unknown.insert(what, reason.to_string());
        Value::Null
    }
}

fn source_id(history: &History) -> String {
    history.key.as_ref().map_or_else(String::new, Key::to_string)
}

/// The sessions whose `ended_at` was set by backfilling.
fn backfilled(conn: &Connection, layout: &Layout) -> rusqlite::Result<Vec<Key>> {
    if !layout.backfilled {
        return Ok(Vec::new());
    }
    let keys =
        query(conn, &format!("SELECT session_id FROM {BACKFILL_TABLE}"), [], |row| Ok(Key::of(row.get_ref(0)?)))?;
    Ok(keys.into_iter().flatten().collect())
}

/// SHA-256 of the file, and of its `-wal` after it.
fn digest(path: &Path) -> Result<String, OldError> {
    let mut hasher = Sha256::new();
    for file in [path.to_path_buf(), with_suffix(path, "-wal")] {
        let io = |source| OldError::Io { path: file.clone(), source };
        let mut reader = match std::fs::File::open(&file) {
            Ok(reader) => reader,
            // A missing database is told by opening it; a missing `-wal` is the rule.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io(error)),
        };
        if reader.metadata().map_err(io)?.is_dir() {
            return Err(OldError::NotAFile { path: file });
        }
        let mut buffer = vec![0_u8; 1 << 16];
        loop {
            let read = reader.read(&mut buffer).map_err(io)?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
    }
    Ok(hex(&hasher.finalize()))
}
