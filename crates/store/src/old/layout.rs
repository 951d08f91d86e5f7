//! Which tables and columns of an old database are what: by name, by `--map`, and never by guess.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use crate::old::error::OldError;
use crate::old::mapping::Mapping;
use crate::old::open::sqlite;
use crate::read::query;

/// The table that backfilling adds.
pub(crate) const BACKFILL_TABLE: &str = "neo_backfill";

const TIME: &[&str] = &[
    "filled_at",
    "fill_time",
    "executed_at",
    "traded_at",
    "taken_at",
    "valued_at",
    "snapshot_at",
    "snapshot_time",
    "created_at",
    "created",
    "recorded_at",
    "inserted_at",
    "occurred_at",
    "logged_at",
    "event_time",
    "timestamp",
    "timestamp_ms",
    "ts",
    "ts_ms",
    "time",
    "datetime",
    "at",
    "close_time",
];
const SESSION: &[&str] = &["session_id", "session", "session_number", "session_no", "session_num", "sid"];

/// A table of the database.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// Columns that refer to another table, with that table's name.
    references: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    primary_key: bool,
}

/// The sessions: which column is what.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(crate) table: String,
    pub(crate) id: String,
    /// The column that numbers them, where it is not the id.
    pub(crate) number: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) ended_at: Option<String>,
    pub(crate) starting_value: Option<String>,
    pub(crate) ending_value: Option<String>,
}

/// A table of records that belong to sessions.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) table: String,
    pub(crate) session: String,
    pub(crate) time: String,
    /// Further columns by their role, `side` and its like.
    pub(crate) more: BTreeMap<&'static str, String>,
}

impl Records {
    /// `fills.filled_at`.
    pub(crate) fn source(&self) -> String {
        format!("{}.{}", self.table, self.time)
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) sessions: Sessions,
    pub(crate) fills: Option<Records>,
    pub(crate) valuations: Option<Records>,
    /// The table [`BACKFILL_TABLE`] is there.
    pub(crate) backfilled: bool,
}

/// What the database is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Backfill,
    Import,
}

/// A name as SQL takes it.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// All tables of the database's own.
pub(crate) fn tables(conn: &Connection) -> rusqlite::Result<Vec<Table>> {
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let names: Vec<String> = query(conn, sql, [], |row| row.get(0))?;
    names
        .into_iter()
        .map(|name| {
            let columns = query(conn, "SELECT name, pk FROM pragma_table_xinfo(?1)", [&name], |row| {
                Ok(Column { name: row.get(0)?, primary_key: row.get::<_, i64>(1)? > 0 })
            })?;
            let sql = "SELECT \"from\", \"table\" FROM pragma_foreign_key_list(?1)";
            let references = query(conn, sql, [&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Table { name, columns, references })
        })
        .collect()
}

/// Finds out which table and column is what.
///
/// # Errors
/// [`OldError::Unclear`] with everything that is missing or could be two things.
pub(crate) fn discover(
    conn: &Connection,
    path: &Path,
    mapping: &Mapping,
    purpose: Purpose,
) -> Result<Layout, OldError> {
    let all = tables(conn).map_err(sqlite(path, "reading the tables"))?;
    let mut search = Search { tables: &all, mapping, problems: Vec::new() };
    let sessions = search.sessions(purpose);
    let sessions_table = sessions.as_ref().map_or("sessions", |sessions| sessions.table.as_str());
    let fills = search.records("fills", &["fills", "fill", "trades", "executions"], sessions_table, purpose);
    let names = ["valuation_snapshots", "valuation_snapshot", "valuations", "snapshots"];
    let valuations = search.records("valuation_snapshots", &names, sessions_table, purpose);
    let problems = search.problems;
    match sessions {
        Some(sessions) if problems.is_empty() => {
            let backfilled = all.iter().any(|table| table.name.eq_ignore_ascii_case(BACKFILL_TABLE));
            Ok(Layout { sessions, fills, valuations, backfilled })
        }
        _ => Err(OldError::Unclear { path: path.to_path_buf(), problems, tables: all.iter().map(describe).collect() }),
    }
}

fn describe(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    format!("{}({})", table.name, columns.join(", "))
}

/// Names that differ in case and underscores only are the same: `endedAt` is `ended_at`.
fn same(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| *c != '_').collect::<String>().to_lowercase();
    plain(a) == plain(b)
}

/// How much a column is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Without it nothing can be done.
    Must,
    /// It may be missing, but not be two.
    May,
    /// It helps; what is unclear is left.
    Helps,
}

struct Search<'a> {
    tables: &'a [Table],
    mapping: &'a Mapping,
    problems: Vec<String>,
}

impl<'a> Search<'a> {
    fn sessions(&mut self, purpose: Purpose) -> Option<Sessions> {
        let table = self.table("sessions", &["sessions", "session", "trading_sessions"])?;
        let (importing, helps) = match purpose {
            Purpose::Backfill => (Need::Helps, Need::Helps),
            Purpose::Import => (Need::May, Need::May),
        };
        let id = self.session_id(table);
        let started = ["started_at", "start_time", "start_ts", "started", "start"];
        let ended = ["ended_at", "end_time", "end_ts", "ended", "stopped_at"];
        let starting = ["starting_value", "start_value", "starting_value_rlusd", "start_value_rlusd"];
        let ending = ["ending_value", "end_value", "ending_value_rlusd", "end_value_rlusd"];
        let started_at = self.column("sessions.started_at", table, &started, helps);
        let end_need = if purpose == Purpose::Backfill { Need::Must } else { Need::May };
        let ended_at = self.column("sessions.ended_at", table, &ended, end_need);
        let starting_value = self.column("sessions.starting_value", table, &starting, importing);
        let ending_value = self.column("sessions.ending_value", table, &ending, importing);
        // Only where it is said: an id that is a number is the number.
        let number = self.column("sessions.number", table, &[], Need::Helps);
        Some(Sessions {
            table: table.name.clone(),
            id: id?,
            number,
            started_at,
            ended_at,
            starting_value,
            ending_value,
        })
    }

    /// The id is the one column with such a name, or else the primary key.
    fn session_id(&mut self, table: &'a Table) -> Option<String> {
        let names = ["id", "session_id", "session_number", "number", "session", "sid", "name"];
        let fit = |column: &&Column| names.iter().any(|name| same(name, &column.name));
        let keys: Vec<_> = table.columns.iter().filter(|column| column.primary_key).collect();
        match keys.as_slice() {
            [key] if self.mapping.get("sessions.id").is_none() && fit(key) => Some(key.name.clone()),
            _ => self.column("sessions.id", table, &names, Need::Must),
        }
    }

    fn records(&mut self, role: &'static str, names: &[&str], sessions: &str, purpose: Purpose) -> Option<Records> {
        if self.mapping.get(role).is_some_and(|name| name.eq_ignore_ascii_case("none")) {
            return None;
        }
        let table = self.table(role, names)?;
        let session = self.record_session(role, table, sessions);
        let time = self.column(key_of(role, "time"), table, TIME, Need::Must);
        let mut more = BTreeMap::new();
        for (what, names) in further(role).iter().filter(|_| purpose == Purpose::Import) {
            if let Some(column) = self.column(key_of(role, what), table, names, Need::May) {
                more.insert(*what, column);
            }
        }
        Some(Records { table: table.name.clone(), session: session?, time: time?, more })
    }

    /// The column that refers to the sessions, by foreign key or by name.
    fn record_session(&mut self, role: &'static str, table: &'a Table, sessions: &str) -> Option<String> {
        let key = key_of(role, "session");
        let mut refers = table.references.iter().filter(|(_, to)| to.eq_ignore_ascii_case(sessions));
        match (refers.next(), refers.next()) {
            (Some((from, _)), None) if self.mapping.get(key).is_none() => Some(from.clone()),
            _ => self.column(key, table, SESSION, Need::Must),
        }
    }

    fn table(&mut self, role: &'static str, names: &[&str]) -> Option<&'a Table> {
        let named = |name: &str| self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name));
        if let Some(mapped) = self.mapping.get(role) {
            let found = named(mapped);
            if found.is_none() {
                self.problems.push(format!("--map {role}={mapped}: there is no such table"));
            }
            return found;
        }
        // The name that the predecessor is known to have used goes before others.
        if let Some(table) = names.first().and_then(|name| named(name)) {
            return Some(table);
        }
        let found: Vec<_> = names.iter().filter_map(|name| named(name)).collect();
        let none = if role == "sessions" { "" } else { ", or with none if it has no such table" };
        match found.as_slice() {
            [table] => Some(table),
            [] => {
                self.problems.push(format!("no table {role}; name it with --map {role}=TABLE{none}"));
                None
            }
            several => {
                let several: Vec<_> = several.iter().map(|table| table.name.as_str()).collect();
                self.problems
                    .push(format!("{role} could be {}; say which with --map {role}=TABLE", several.join(" or ")));
                None
            }
        }
    }

    fn column(&mut self, key: &'static str, table: &Table, names: &[&str], need: Need) -> Option<String> {
        if let Some(mapped) = self.mapping.get(key) {
            let found = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(mapped));
            if found.is_none() {
                self.problems.push(format!("--map {key}={mapped}: table {} has no such column", table.name));
            }
            return found.map(|column| column.name.clone());
        }
        let fit = |column: &&Column| names.iter().any(|name| same(name, &column.name));
        let found: Vec<_> = table.columns.iter().filter(fit).map(|column| column.name.as_str()).collect();
        match (found.as_slice(), need) {
            ([column], _) => Some((*column).to_string()),
            ([], Need::Must) => {
                self.problems
                    .push(format!("no column of {} is known as {key}; name it with --map {key}=COLUMN", table.name));
                None
            }
            ([], _) | (_, Need::Helps) => None,
            (several, _) => {
                let several = several.join(" or ");
                self.problems.push(format!("{key} could be {several}; say which with --map {key}=COLUMN"));
                None
            }
        }
    }
}

/// The name under which a column can be mapped.
fn key_of(role: &'static str, what: &str) -> &'static str {
    let known = |key: &&str| key.split_once('.') == Some((role, what));
    crate::old::mapping::KEYS.into_iter().find(|key| known(key)).unwrap_or(role)
}

/// Columns that importing takes, by role. Only names that tell the unit: a bare `amount` is XRP, drops or RLUSD.
fn further(role: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match role {
        "fills" => &[
            ("side", &["side", "direction"]),
            ("xrp", &["xrp", "xrp_amount", "amount_xrp", "size_xrp", "qty_xrp", "quantity_xrp", "xrp_qty"]),
            ("drops", &["drops", "xrp_drops", "amount_drops", "size_drops"]),
            ("rlusd", &["rlusd", "rlusd_amount", "amount_rlusd", "value_rlusd", "notional_rlusd"]),
            ("price", &["price", "fill_price", "price_rlusd"]),
            ("tx_hash", &["tx_hash", "hash", "transaction_hash", "txid"]),
            ("ledger_index", &["ledger_index", "ledger", "ledger_seq", "ledger_sequence"]),
        ],
        _ => &[("total_value", &["total_value_rlusd", "total_value"])],
    }
}
