//! Reading beside a running engine, or after it: a connection that never writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row};

use crate::columns::Columns;
use crate::error::StoreError;
use crate::lock::with_suffix;
use crate::open::{Identity, check_library, check_ownership, sqlite};
use crate::record::{
    Checkpoint, CheckpointCause, EndReason, EndedAtSource, Fault, Fill, Flow, FlowCause, Intent, IntentState, Mode,
    Order, OrderEvent, OrderState, Purpose, Role, SessionNumber, SnapshotKind, Stage, StageOutcome, StopStage,
    ValuationSnapshot,
};
use crate::risk;
use crate::rows::{FaultRow, IntentRow, OrderRow, Recorded, SessionRow};
use crate::schema;

/// How long a read waits while a checkpoint or a recovery of the WAL holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the records. Each call is one short read transaction, so that checkpoints are not kept waiting.
#[derive(Debug)]
pub struct Reader {
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
}

impl Reader {
    /// Opens an existing file for reading, whether an engine runs, has ended or was killed.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and as for [`crate::Store::open`] when the file is not ours or of another version.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        check_library()?;
        check_there(path)?;
        let conn = connect(path)?;
        let version = check_ownership(&conn, path)?;
        if version != schema::VERSION {
            return Err(StoreError::OlderSchema { path: path.to_path_buf(), found: version, known: schema::VERSION });
        }
        Ok(Reader { conn, path: path.to_path_buf() })
    }

    /// Whose records an existing file holds, of whatever schema version; `None` for a file that has none yet.
    ///
    /// # Errors
    /// As for [`Reader::open`].
    pub fn identity_of(path: &Path) -> Result<Option<Identity>, StoreError> {
        check_library()?;
        let conn = connect(path)?;
        if check_ownership(&conn, path)? == 0 {
            return Ok(None);
        }
        conn.query_row("SELECT mode, network, account FROM meta WHERE id = 1", [], |row| {
            let (network, account) = (row.get("network")?, row.get("account")?);
            Ok(Identity { mode: row.word("mode", Mode::from_word)?, network, account })
        })
        .optional()
        .map_err(sqlite(path, "reading whose records the file holds"))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sequence number up to which records were durable when this was read.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn durable_seq(&self) -> Result<u64, StoreError> {
        self.conn
            .query_row("SELECT durable_seq FROM meta WHERE id = 1", [], |row| row.count("durable_seq"))
            .map_err(sqlite(&self.path, "reading the watermark"))
    }

    /// All sessions, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        query(&self.conn, &format!("{SELECT_SESSION} ORDER BY number"), [], session_row)
            .map_err(sqlite(&self.path, "reading the sessions"))
    }

    /// One session; the latest for `None`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSession`], [`StoreError::NoSessions`], [`StoreError::Sqlite`].
    pub fn session(&self, number: Option<SessionNumber>) -> Result<SessionRow, StoreError> {
        let sql = format!("{SELECT_SESSION} WHERE number = coalesce(?1, (SELECT max(number) FROM sessions))");
        self.conn
            .query_row(&sql, [number], session_row)
            .optional()
            .map_err(sqlite(&self.path, "reading the session"))?
            .ok_or_else(|| match number {
                Some(number) => StoreError::NoSuchSession { path: self.path.clone(), number },
                None => StoreError::NoSessions { path: self.path.clone() },
            })
    }

    /// A session's stop stages in the order they run.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn stop_stages(&self, number: SessionNumber) -> Result<Vec<StopStage>, StoreError> {
        let mut stages = self.of_session("stop_stages", "stage", number, |row| {
            Ok(StopStage {
                stage: row.word("stage", Stage::from_word)?,
                outcome: row.word("outcome", StageOutcome::from_word)?,
                ms: row.count("ms")?,
                error: row.get("error")?,
            })
        })?;
        stages.sort_by_key(|stage| Stage::ALL.iter().position(|known| *known == stage.stage));
        Ok(stages)
    }

    /// A session's signed transactions, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn intents(&self, number: SessionNumber) -> Result<Vec<IntentRow>, StoreError> {
        self.of_session("intents", "seq", number, intent_row)
    }

    /// A session's offers, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn orders(&self, number: SessionNumber) -> Result<Vec<OrderRow>, StoreError> {
        self.of_session("orders", "seq", number, order_row)
    }

    /// What happened to offers in a session, in the order it was recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn order_events(&self, number: SessionNumber) -> Result<Vec<Recorded<OrderEvent>>, StoreError> {
        self.of_session("order_events", "seq", number, |row| recorded(row, order_event))
    }

    /// A session's fills, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn fills(&self, number: SessionNumber) -> Result<Vec<Recorded<Fill>>, StoreError> {
        self.of_session("fills", "seq", number, |row| recorded(row, fill))
    }

    /// A session's flows, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn flows(&self, number: SessionNumber) -> Result<Vec<Recorded<Flow>>, StoreError> {
        self.of_session("flows", "seq", number, |row| recorded(row, flow))
    }

    /// A session's valuation snapshots, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn valuations(&self, number: SessionNumber) -> Result<Vec<Recorded<ValuationSnapshot>>, StoreError> {
        self.of_session("valuation_snapshots", "seq", number, |row| recorded(row, valuation))
    }

    /// A session's last valuation snapshot.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn last_valuation(&self, number: SessionNumber) -> Result<Option<ValuationSnapshot>, StoreError> {
        let sql = "SELECT * FROM valuation_snapshots WHERE session = ?1 ORDER BY seq DESC LIMIT 1";
        self.conn
            .query_row(sql, [number], valuation)
            .optional()
            .map_err(sqlite(&self.path, "reading a session's last snapshot"))
    }

    /// A session's offers that rest on the ledger, as far as the record knows.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn resting_orders(&self, number: SessionNumber) -> Result<Vec<OrderRow>, StoreError> {
        let sql = "SELECT * FROM orders WHERE session = ?1 AND state IN ('resting', 'partly_filled') ORDER BY seq";
        query(&self.conn, sql, [number], order_row).map_err(sqlite(&self.path, "reading a session's resting offers"))
    }

    /// A session's checkpoints, in the order they were made.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn checkpoints(&self, number: SessionNumber) -> Result<Vec<Recorded<Checkpoint>>, StoreError> {
        self.of_session("checkpoints", "seq", number, |row| recorded(row, checkpoint))
    }

    /// A session's faults, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn faults(&self, number: SessionNumber) -> Result<Vec<FaultRow>, StoreError> {
        self.of_session("faults", "seq", number, |row| recorded(row, fault))
    }

    pub(crate) fn of_session<T>(
        &self,
        table: &str,
        order: &str,
        number: SessionNumber,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let sql = format!("SELECT * FROM {table} WHERE session = ?1 ORDER BY {order}");
        query(&self.conn, &sql, [number], read).map_err(sqlite(&self.path, "reading a session's records"))
    }
}

fn check_there(path: &Path) -> Result<(), StoreError> {
    crate::restore::refuse_unfinished(path)?;
    if path.is_dir() {
        return Err(StoreError::IsAFolder { path: path.to_path_buf() });
    }
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_path_buf() });
    }
    Ok(())
}

/// A connection that a backup copies from: as [`Reader::open`], also for a file of an older version.
pub(crate) fn open_for_backup(path: &Path) -> Result<Connection, StoreError> {
    check_library()?;
    check_there(path)?;
    let conn = connect(path)?;
    if check_ownership(&conn, path)? == 0 {
        return Err(StoreError::NoSessions { path: path.to_path_buf() });
    }
    Ok(conn)
}

/// Connects without a trace. Beside a `-wal` (an engine runs, or was killed) strictly read-only. A file at rest has
/// none, and SQLite must make one to read it: then a connection that may write to the file, but is told not to run any
/// statement that does, because only such a one removes it again when it closes.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = sqlite(path, "opening the file for reading");
    let at_rest = !with_suffix(path, "-wal").exists();
    let mode = if at_rest { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&failed)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    conn.pragma_update(None, "query_only", "ON").map_err(&failed)?;
    if at_rest && !may_write_beside(&conn) && !with_suffix(path, "-wal").exists() {
        return crate::backup::immutable(path).map_err(failed);
    }
    Ok(conn)
}

/// False in a folder that this user or nobody may write: there SQLite can make no `-wal`, and a file at rest needs none.
fn may_write_beside(conn: &Connection) -> bool {
    let probe = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    !matches!(
        probe.map_err(|error| error.sqlite_error_code()),
        Err(Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied))
    )
}

/// All rows of a query.
pub(crate) fn query<T>(
    conn: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare(sql)?.query_map(values, read)?.collect()
}

pub(crate) const SELECT_SESSION: &str = "SELECT *, (SELECT count(*) FROM fills WHERE fills.session = sessions.number)
        + (SELECT count(*) FROM imported_fills WHERE imported_fills.session = sessions.number) AS fills
    FROM sessions";

pub(crate) fn session_row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        number: row.get("number")?,
        mode: row.word("mode", Mode::from_word)?,
        network: row.get("network")?,
        account: row.get("account")?,
        started_at: row.time("started_at")?,
        last_seen_at: row.time("last_seen_at")?,
        starting_ledger_index: row.get("starting_ledger_index")?,
        starting_close_time: row.time_opt("starting_close_time")?,
        starting_value_rlusd: row.dec_opt("starting_value_rlusd")?,
        last_ledger_index: row.get("last_ledger_index")?,
        last_close_time: row.time_opt("last_close_time")?,
        coalesced_rows: row.count("coalesced_rows")?,
        ended_at: row.time_opt("ended_at")?,
        ended_at_source: row.word_opt("ended_at_source", EndedAtSource::from_word)?,
        ending_ledger_index: row.get("ending_ledger_index")?,
        ending_close_time: row.time_opt("ending_close_time")?,
        ending_value_rlusd: row.dec_opt("ending_value_rlusd")?,
        ending_value_reason: row.get("ending_value_reason")?,
        end_reason: row.word_opt("end_reason", EndReason::from_word)?,
        end_detail: row.get("end_detail")?,
        config: row.get("config")?,
        config_hash: row.get("config_hash")?,
        version: row.get("version")?,
        seed: row.number_opt("seed")?,
        resumed_from: row.get("resumed_from")?,
        fills: row.count("fills")?,
        imported: row.get("imported")?,
    })
}

/// Whether this version understands a row of a table: every number, time, amount and word in it.
pub(crate) fn check_row(table: &str, row: &Row<'_>) -> rusqlite::Result<()> {
    match table {
        "sessions" => session_row(row).map(drop),
        "intents" => intent_row(row).map(drop),
        "orders" => order_row(row).map(drop),
        "order_events" => order_event(row).map(drop),
        "fills" => fill(row).map(drop),
        "flows" => flow(row).map(drop),
        "valuation_snapshots" => valuation(row).map(drop),
        "checkpoints" => checkpoint(row).map(drop),
        "faults" => fault(row).map(drop),
        "refusals" => risk::refusal(row).map(drop),
        "trips" => risk::trip(row).map(drop),
        "markouts" => crate::mark_outs::mark_out(row).map(drop),
        "thinned" => crate::thin::check_row(row),
        _ => Ok(()),
    }
}

pub(crate) fn recorded<T>(row: &Row<'_>, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Recorded<T>> {
    Ok(Recorded { seq: row.count("seq")?, session: row.get("session")?, record: read(row)? })
}

pub(crate) fn intent_row(row: &Row<'_>) -> rusqlite::Result<IntentRow> {
    Ok(IntentRow {
        seq: row.count("seq")?,
        session: row.get("session")?,
        intent: Intent {
            tx_hash: row.get("tx_hash")?,
            purpose: row.word("purpose", Purpose::from_word)?,
            sequence: row.get("sequence")?,
            offer_sequence: row.get("offer_sequence")?,
            last_ledger_sequence: row.get("last_ledger_sequence")?,
            fee: row.drops("fee_drops")?,
            blob: row.get("blob")?,
            ledger_index: row.get("ledger_index")?,
            recorded_at: row.time("recorded_at")?,
        },
        state: row.word("state", IntentState::from_word)?,
        engine_result: row.get("engine_result")?,
        settled_ledger_index: row.get("settled_ledger_index")?,
        updated_at: row.time("updated_at")?,
    })
}

fn order_row(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    Ok(OrderRow {
        seq: row.count("seq")?,
        session: row.get("session")?,
        order: Order {
            offer_sequence: row.get("offer_sequence")?,
            tx_hash: row.get("tx_hash")?,
            side: row.side("side")?,
            level: row.get("level")?,
            price: row.dec("price")?,
            size: row.drops("size_drops")?,
            rlusd: row.dec("rlusd")?,
            mid_price: row.dec_opt("mid_price")?,
            replaces: row.get("replaces")?,
            expiration: row.time_opt("expiration")?,
            ledger_index: row.get("ledger_index")?,
            close_time: row.time("close_time")?,
            recorded_at: row.time("recorded_at")?,
        },
        state: row.word("state", OrderState::from_word)?,
        remaining: row.drops("remaining_drops")?,
    })
}

fn order_event(row: &Row<'_>) -> rusqlite::Result<OrderEvent> {
    Ok(OrderEvent {
        offer_sequence: row.get("offer_sequence")?,
        state: row.word("state", OrderState::from_word)?,
        remaining: row.drops("remaining_drops")?,
        tx_hash: row.get("tx_hash")?,
        detail: row.get("detail")?,
        ledger_index: row.get("ledger_index")?,
        close_time: row.time("close_time")?,
        recorded_at: row.time("recorded_at")?,
    })
}

fn fill(row: &Row<'_>) -> rusqlite::Result<Fill> {
    Ok(Fill {
        tx_hash: row.get("tx_hash")?,
        offer_sequence: row.get("offer_sequence")?,
        role: row.word("role", Role::from_word)?,
        side: row.side("side")?,
        xrp: row.drops("xrp_drops")?,
        rlusd: row.dec("rlusd")?,
        price: row.dec("price")?,
        mid_price: row.dec_opt("mid_price")?,
        ledger_index: row.get("ledger_index")?,
        transaction_index: row.get("transaction_index")?,
        close_time: row.time("close_time")?,
        recorded_at: row.time("recorded_at")?,
    })
}

fn flow(row: &Row<'_>) -> rusqlite::Result<Flow> {
    Ok(Flow {
        tx_hash: row.get("tx_hash")?,
        cause: row.word("cause", FlowCause::from_word)?,
        xrp: row.drops("xrp_drops")?,
        rlusd: row.dec("rlusd")?,
        detail: row.get("detail")?,
        ledger_index: row.get("ledger_index")?,
        close_time: row.time("close_time")?,
        recorded_at: row.time("recorded_at")?,
    })
}

fn valuation(row: &Row<'_>) -> rusqlite::Result<ValuationSnapshot> {
    Ok(ValuationSnapshot {
        kind: row.word("kind", SnapshotKind::from_word)?,
        ledger_index: row.get("ledger_index")?,
        close_time: row.time("close_time")?,
        total_value_rlusd: row.dec_opt("total_value_rlusd")?,
        xrp: row.drops("xrp_drops")?,
        reserve: row.drops("reserve_drops")?,
        rlusd: row.dec("rlusd")?,
        mark_price: row.dec_opt("mark_price")?,
        mark_source: row.get("mark_source")?,
        mark_age_ledgers: row.get("mark_age_ledgers")?,
        mark_sources: row.readings_opt("mark_sources")?,
        best_bid: row.dec_opt("best_bid")?,
        best_ask: row.dec_opt("best_ask")?,
        our_bid: row.dec_opt("our_bid")?,
        our_ask: row.dec_opt("our_ask")?,
        recorded_at: row.time("recorded_at")?,
    })
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    Ok(Checkpoint {
        cause: row.word("cause", CheckpointCause::from_word)?,
        busy: row.get("busy")?,
        wal_frames: row.get("wal_frames")?,
        checkpointed_frames: row.get("checkpointed_frames")?,
        wal_bytes: row.count("wal_bytes")?,
        pause_us: row.count("pause_us")?,
        recorded_at: row.time("recorded_at")?,
    })
}

fn fault(row: &Row<'_>) -> rusqlite::Result<Fault> {
    Ok(Fault {
        actor: row.get("actor")?,
        cause: row.get("cause")?,
        backtrace: row.get("backtrace")?,
        action: row.get("action")?,
        recorded_at: row.time("recorded_at")?,
    })
}
