//! Salvaged rows over the backup's, by rules that invent nothing.
//!
//! The backup was verified; the damaged file was not. So a row that both have is the backup's, except where the table
//! lets a row change and the salvaged one is the later: a session by its `last_seen_at`, a signed transaction by its
//! `updated_at` (one that a ledger settled stays settled), an offer while the backup has it open and the salvaged one
//! has no more left. What never changes must be the same in both, else the backup's stands and the difference is
//! counted. A row that the tables' constraints or this version's words refuse is counted and left out.

use std::collections::{BTreeMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::Serialize;

use super::salvage::{self, Table};
use crate::read::{check_row, query};
use crate::schema::SEQUENCED;

/// What became of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableAccount {
    /// Its name.
    pub table: &'static str,
    /// Rows that the backup has.
    pub from_backup: u64,
    /// Rows of the damaged file that could be read.
    pub read: u64,
    /// Of those, added: the backup does not have them.
    pub added: u64,
    /// Of those, later states of the backup's rows.
    pub updated: u64,
    /// Of those, different from the backup's row without being a later state of it: the backup's stands.
    pub conflicting: u64,
    /// Of those, refused: what is in them cannot be true.
    pub refused: u64,
    /// What could not be read, in words; `None` when nothing was in the way.
    pub unread: Option<String>,
}

/// Tables in the order in which they refer to each other.
pub(super) const TABLES: [Table; 20] = [
    table("sessions", "number"),
    table("stop_stages", "session"),
    table("intents", "seq"),
    table("orders", "seq"),
    table("order_events", "seq"),
    table("fills", "seq"),
    table("flows", "seq"),
    table("valuation_snapshots", "seq"),
    table("checkpoints", "seq"),
    table("faults", "seq"),
    table("refusals", "seq"),
    table("trips", "seq"),
    table("imported_sessions", "number"),
    table("imported_fills", "rowid"),
    table("imported_valuations", "rowid"),
    table("repairs", "id"),
    table("repair_tables", "repair"),
    table("repair_gaps", "first_seq"),
    table("thinned", "first_seq"),
    table("markouts", "id"),
];

const fn table(name: &'static str, key: &'static str) -> Table {
    Table { name, key, constants: "" }
}

/// What names a row, and what of it may change.
struct Rules {
    id: &'static [&'static str],
    mutable: &'static [&'static str],
}

fn rules(table: &str) -> Rules {
    match table {
        "sessions" => Rules {
            id: &["number"],
            mutable: &[
                "last_seen_at",
                "starting_ledger_index",
                "starting_close_time",
                "starting_value_rlusd",
                "last_ledger_index",
                "last_close_time",
                "last_ledger_hash",
                "era",
                "coalesced_rows",
                "ended_at",
                "ended_at_source",
                "ending_ledger_index",
                "ending_close_time",
                "ending_value_rlusd",
                "ending_value_reason",
                "end_reason",
                "end_detail",
            ],
        },
        "stop_stages" => Rules { id: &["session", "stage"], mutable: &[] },
        "intents" => Rules { id: &["seq"], mutable: &["state", "engine_result", "settled_ledger_index", "updated_at"] },
        "orders" => Rules { id: &["seq"], mutable: &["state", "remaining_drops"] },
        "refusals" => Rules { id: &["seq"], mutable: &["last_ledger_index", "last_close_time", "count"] },
        "trips" => Rules { id: &["seq"], mutable: &["cleared_ledger_index", "cleared_close_time", "cleared_by"] },
        "imported_sessions" => Rules { id: &["number"], mutable: &[] },
        "imported_fills" | "imported_valuations" => Rules { id: &["key"], mutable: &[] },
        "repairs" => Rules { id: &["id"], mutable: &[] },
        "repair_tables" => Rules { id: &["repair", "table_name"], mutable: &[] },
        "markouts" => Rules { id: &["tx_hash", "offer_sequence", "role", "ledgers", "era"], mutable: &[] },
        "repair_gaps" | "thinned" => Rules { id: &["first_seq"], mutable: &[] },
        _ => Rules { id: &["seq"], mutable: &[] },
    }
}

/// A row by the names of its columns.
type Fields = BTreeMap<String, Value>;

/// Takes salvaged rows into the record that is being put together.
pub(super) struct Merge<'a> {
    target: &'a Connection,
    /// Numbers that rows of the target have.
    used: HashSet<i64>,
    /// The damaged file's watermark, where it could be read: no row of it has a higher number.
    watermark: Option<i64>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(target: &'a Connection, watermark: Option<i64>) -> rusqlite::Result<Merge<'a>> {
        let mut used = HashSet::new();
        for table in SEQUENCED {
            used.extend(query(target, &format!("SELECT seq FROM {table}"), [], |row| row.get::<_, i64>(0))?);
        }
        Ok(Merge { target, used, watermark })
    }

    /// Reads one table of the damaged file and merges it. `watch` is told how many rows were read.
    pub(super) fn table(
        &mut self,
        source: &Connection,
        table: Table,
        high: i64,
        watch: &mut dyn FnMut(u64),
    ) -> rusqlite::Result<TableAccount> {
        let name = table.name;
        let mut account = self.untouched(table)?;
        if !has(source, name)? {
            return Ok(account);
        }
        let table = Table { constants: constants(source, name)?, ..table };
        let columns: Vec<String> =
            query(self.target, "SELECT name FROM pragma_table_info(?1) ORDER BY cid", [name], |row| row.get(0))?;
        let unread = salvage::read(source, table, 1, high, &mut |row| {
            account.read += 1;
            if account.read % 1_000 == 0 {
                watch(account.read);
            }
            self.row(name, &columns, row, &mut account)
        })?;
        account.unread = unread.in_words(table.key);
        Ok(account)
    }

    /// A table that nothing is salvaged of.
    pub(super) fn untouched(&self, table: Table) -> rusqlite::Result<TableAccount> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let from_backup: i64 = self.target.query_row(&sql, [], |row| row.get(0))?;
        let from_backup = u64::try_from(from_backup).unwrap_or(0);
        Ok(TableAccount { table: table.name, from_backup, ..TableAccount::default() })
    }

    fn row(
        &mut self,
        table: &str,
        columns: &[String],
        row: &Row<'_>,
        account: &mut TableAccount,
    ) -> rusqlite::Result<()> {
        let is_sequenced = SEQUENCED.contains(&table);
        let fields = fields_of(row, columns);
        let (Ok(()), Ok(fields)) = (check_row(table, row), fields) else {
            account.refused += 1;
            return Ok(());
        };
        let seq = match fields.get("seq") {
            Some(Value::Integer(seq)) => *seq,
            _ => 0,
        };
        if is_sequenced && (seq < 1 || self.watermark.is_some_and(|watermark| seq > watermark)) {
            account.refused += 1;
            return Ok(());
        }
        if let Some(present) = self.present(table, columns, &fields)? {
            if present == fields {
                return Ok(());
            }
            if is_later(table, &present, &fields) && self.update(table, &fields)? {
                account.updated += 1;
            } else {
                account.conflicting += 1;
            }
        } else if is_sequenced && self.used.contains(&seq) {
            // The number is that of a row of another table: the salvaged one is not what it says.
            account.refused += 1;
        } else if self.insert(table, &fields)? {
            if is_sequenced {
                self.used.insert(seq);
            }
            account.added += 1;
        } else {
            account.refused += 1;
        }
        Ok(())
    }

    fn present(&self, table: &str, columns: &[String], fields: &Fields) -> rusqlite::Result<Option<Fields>> {
        let id = rules(table).id;
        // A file of an older version knows one era.
        let equals = |(n, column): (usize, &&str)| match *column {
            "era" => format!("era = coalesce(?{}, 0)", n + 1),
            column => format!("{column} = ?{}", n + 1),
        };
        let test: Vec<String> = id.iter().enumerate().map(equals).collect();
        let mut statement =
            self.target.prepare_cached(&format!("SELECT * FROM {table} WHERE {}", test.join(" AND ")))?;
        let values = id.iter().map(|column| fields.get(*column).cloned().unwrap_or(Value::Null));
        let mut rows = statement.query(params_from_iter(values))?;
        match rows.next()? {
            // Of a file of an older version: what it does not have is not compared.
            Some(row) => {
                let mut present = fields_of(row, columns)?;
                present.retain(|column, _| fields.contains_key(column));
                Ok(Some(present))
            }
            None => Ok(None),
        }
    }

    /// False when the tables' constraints refuse the row.
    fn insert(&self, table: &str, fields: &Fields) -> rusqlite::Result<bool> {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let marks: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), marks.join(", "));
        accepted(self.target.prepare_cached(&sql)?.execute(params_from_iter(fields.values())))
    }

    fn update(&self, table: &str, fields: &Fields) -> rusqlite::Result<bool> {
        let rules = rules(table);
        // What a file of an older version does not have stays as it is.
        let mutable: Vec<&str> = rules.mutable.iter().copied().filter(|column| fields.contains_key(*column)).collect();
        let columns: Vec<&str> = mutable.iter().chain(rules.id).copied().collect();
        let part = |columns: &[&str], from: usize, between: &str| {
            let parts: Vec<String> =
                columns.iter().enumerate().map(|(n, column)| format!("{column} = ?{}", n + from)).collect();
            parts.join(between)
        };
        let set = part(&mutable, 1, ", ");
        let test = part(rules.id, mutable.len() + 1, " AND ");
        let values = columns.iter().map(|column| fields.get(*column).cloned().unwrap_or(Value::Null));
        let sql = format!("UPDATE {table} SET {set} WHERE {test}");
        accepted(self.target.prepare_cached(&sql)?.execute(params_from_iter(values)))
    }
}

/// True when the salvaged row is a later state of the one that the backup has.
fn is_later(table: &str, present: &Fields, salvaged: &Fields) -> bool {
    let mutable = rules(table).mutable;
    let fixed_differ = salvaged
        .iter()
        .any(|(column, value)| !mutable.contains(&column.as_str()) && present.get(column) != Some(value));
    if fixed_differ {
        return false;
    }
    let text = |fields: &Fields, column: &str| match fields.get(column) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let number = |fields: &Fields, column: &str| match fields.get(column) {
        Some(Value::Integer(number)) => *number,
        _ => 0,
    };
    match table {
        // Times are text of one width.
        "sessions" => {
            let ended_before = !text(present, "ended_at").is_empty();
            let ended = !text(salvaged, "ended_at").is_empty();
            text(salvaged, "last_seen_at") >= text(present, "last_seen_at") && (ended || !ended_before)
        }
        "intents" => {
            let settled = |fields: &Fields| ["validated", "dead"].contains(&text(fields, "state").as_str());
            text(salvaged, "updated_at") >= text(present, "updated_at") && (settled(salvaged) || !settled(present))
        }
        "orders" => {
            let open = ["pending", "resting", "partly_filled", "unknown"].contains(&text(present, "state").as_str());
            open && number(salvaged, "remaining_drops") <= number(present, "remaining_drops")
        }
        "refusals" => number(salvaged, "count") >= number(present, "count"),
        "trips" => text(present, "cleared_by").is_empty(),
        _ => false,
    }
}

fn fields_of(row: &Row<'_>, columns: &[String]) -> rusqlite::Result<Fields> {
    let mut fields = Fields::new();
    for column in columns {
        match row.get::<_, Value>(column.as_str()) {
            Ok(value) => fields.insert(column.clone(), value),
            // Text that is no text, or a column that an older version does not have.
            Err(rusqlite::Error::InvalidColumnName(_)) => continue,
            Err(error) => return Err(error),
        };
    }
    Ok(fields)
}

/// A session is read with the number of its fills, and with a word of whether it is history, which the first version
/// does not have.
fn constants(source: &Connection, table: &str) -> rusqlite::Result<&'static str> {
    if table != "sessions" {
        return Ok("");
    }
    let imported = "SELECT 1 FROM pragma_table_info('sessions') WHERE name = 'imported'";
    Ok(if source.prepare(imported)?.exists([])? { ", 0 AS fills" } else { ", 0 AS fills, 0 AS imported" })
}

pub(super) fn has(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    conn.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([table])
}

/// A row that the constraints refuse is no failure of the repair; a disk that does is.
fn accepted(result: rusqlite::Result<usize>) -> rusqlite::Result<bool> {
    match result {
        Ok(changed) => Ok(changed > 0),
        Err(error) if !crate::apply::is_storage(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
