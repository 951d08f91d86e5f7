//! Turning records into rows inside an open transaction.

use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection, ErrorCode, params};
use thiserror::Error;

use crate::columns::{count, dec, dec_opt, time, time_opt};
use crate::record::{
    Checkpoint, Fault, Fill, Flow, Intent, IntentState, IntentUpdate, Order, OrderEvent, OrderState, Processor, Record,
    Refusal, SessionEnd, SessionNumber, SessionOpened, StopStage, TripCleared, TripRow, ValuationSnapshot,
};

/// Why a record did not become a row.
#[derive(Debug, Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Refused(String),
}

impl ApplyError {
    /// True when the disk or the file is at fault, so that the same record may succeed later; false when the record
    /// itself can never be stored.
    pub(crate) fn is_storage(&self) -> bool {
        match self {
            ApplyError::Sqlite(error) => is_storage(error),
            ApplyError::Refused(_) => false,
        }
    }
}

/// True for errors of the disk, the file or its locks, as opposed to errors of one row.
pub(crate) fn is_storage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport
                | ErrorCode::OperationInterrupted
        )
    )
}

/// A ledger that was marked, with its close time and its hash.
pub(crate) type Mark = (u32, DateTime<Utc>, Option<[u8; 32]>);

/// The newest mark of each processor in the session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Processed {
    orders: Option<Mark>,
    valuer: Option<Mark>,
}

impl Processed {
    /// A mark older than the newest of the same processor changes nothing.
    fn mark(&mut self, by: Processor, mark: Mark) {
        let newest = match by {
            Processor::Orders => &mut self.orders,
            Processor::Valuer => &mut self.valuer,
        };
        if newest.is_none_or(|(index, ..)| index < mark.0) {
            *newest = Some(mark);
        }
    }

    /// The last ledger that is wholly recorded: the smaller mark. `None` until both have marked one, because an engine
    /// killed before may have recorded one half only.
    pub(crate) fn by_all(&self) -> Option<Mark> {
        let (orders, valuer) = (self.orders?, self.valuer?);
        Some(if valuer.0 < orders.0 { valuer } else { orders })
    }
}

/// What a transaction changes beside its rows; taken back with the transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// The sequence number of the last row.
    pub(crate) seq: u64,
    /// How far each processor's records go.
    pub(crate) processed: Processed,
}

/// The word for a kind of record, for errors.
pub(crate) fn kind(record: &Record) -> &'static str {
    match record {
        Record::SessionOpened(_) => "session opening",
        Record::Intent(_) => "intent",
        Record::IntentUpdate(_) => "intent update",
        Record::Order(_) => "order",
        Record::OrderEvent(_) => "order event",
        Record::Fill(_) => "fill",
        Record::Flow(_) => "flow",
        Record::MarkOut(_) => "mark-out",
        Record::Valuation(_) => "valuation snapshot",
        Record::Fault(_) => "fault",
        Record::Refusal(_) => "refusal",
        Record::Trip(_) => "trip",
        Record::TripCleared { .. } => "end of a trip",
        Record::LedgerProcessed { .. } => "processed ledger",
    }
}

/// One transaction's view of the tables: a session's rows get their numbers here.
pub(crate) struct Rows<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) session: SessionNumber,
    pub(crate) marks: Marks,
    /// The INSERTs of this transaction: looking each up in the connection's cache costs more than to run some of them.
    inserts: Vec<(&'static str, CachedStatement<'a>)>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(conn: &'a Connection, session: SessionNumber, marks: Marks) -> Rows<'a> {
        Rows { conn, session, marks, inserts: Vec::new() }
    }

    /// Stores one record. A record that is already there adds nothing and takes no number.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), ApplyError> {
        match record {
            Record::SessionOpened(opened) => self.session_opened(opened),
            Record::Intent(intent) => self.intent(intent),
            Record::IntentUpdate(update) => self.intent_update(update),
            Record::Order(order) => self.order(order),
            Record::OrderEvent(event) => self.order_event(event),
            Record::Fill(fill) => self.fill(fill),
            Record::Flow(flow) => self.flow(flow),
            Record::MarkOut(mark_out) => Ok(crate::mark_outs::insert(self.conn, self.session, mark_out)?),
            Record::Valuation(snapshot) => self.valuation(snapshot),
            Record::Fault(fault) => self.fault(fault),
            Record::Refusal(refusal) => self.refusal(refusal),
            Record::Trip(trip) => self.trip(trip),
            Record::TripCleared { trigger, cleared } => self.trip_cleared(*trigger, cleared),
            Record::LedgerProcessed { ledger_index, ledger_hash, close_time, by } => {
                self.marks.processed.mark(*by, (*ledger_index, *close_time, *ledger_hash));
                Ok(())
            }
        }
    }

    /// Runs an INSERT whose first two parameters are the sequence number and the session; true when a row was added.
    fn insert(&mut self, sql: &'static str, values: &[&dyn rusqlite::ToSql]) -> Result<bool, ApplyError> {
        let (seq, session) = (self.marks.seq.saturating_add(1), self.session);
        let statement = self.statement(sql)?;
        statement.raw_bind_parameter(1, count(seq))?;
        statement.raw_bind_parameter(2, session)?;
        for (parameter, value) in (3_usize..).zip(values) {
            statement.raw_bind_parameter(parameter, value)?;
        }
        let added = statement.raw_execute()? > 0;
        if added {
            self.marks.seq = seq;
        }
        Ok(added)
    }

    /// A literal has one address: comparing that is enough, and a text that has two is prepared twice.
    fn statement(&mut self, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let known = self.inserts.iter().position(|(known, _)| std::ptr::eq(*known, sql));
        let at = known.unwrap_or(self.inserts.len());
        if known.is_none() {
            self.inserts.push((sql, self.conn.prepare_cached(sql)?));
        }
        Ok(&mut self.inserts[at].1)
    }

    fn session_opened(&mut self, opened: &SessionOpened) -> Result<(), ApplyError> {
        self.conn
            .prepare_cached(
                "UPDATE sessions SET starting_ledger_index = ?2, starting_close_time = ?3, starting_value_rlusd = ?4
                 WHERE number = ?1 AND starting_ledger_index IS NULL",
            )?
            .execute(params![
                self.session,
                opened.ledger_index,
                time(opened.close_time),
                dec_opt(opened.starting_value_rlusd)
            ])?;
        Ok(())
    }

    fn intent(&mut self, i: &Intent) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO intents (seq, session, tx_hash, purpose, sequence, offer_sequence, last_ledger_sequence,
                 fee_drops, blob, ledger_index, recorded_at, state, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?11) ON CONFLICT (tx_hash) DO NOTHING",
            params![
                i.tx_hash,
                i.purpose.as_str(),
                i.sequence,
                i.offer_sequence,
                i.last_ledger_sequence,
                i.fee.get(),
                i.blob,
                i.ledger_index,
                time(i.recorded_at),
                IntentState::Intended.as_str()
            ],
        )?;
        Ok(())
    }

    /// What a validated ledger settled stays settled, whatever a late answer of the node says.
    fn intent_update(&mut self, u: &IntentUpdate) -> Result<(), ApplyError> {
        let settles = matches!(u.state, IntentState::Validated | IntentState::Dead);
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE intents SET state = ?2, engine_result = coalesce(?3, engine_result),
                     settled_ledger_index = coalesce(?4, settled_ledger_index), updated_at = ?5
                 WHERE tx_hash = ?1 AND (?6 OR state NOT IN ('validated', 'dead'))",
            )?
            .execute(params![
                u.tx_hash,
                u.state.as_str(),
                u.engine_result,
                u.ledger_index,
                time(u.recorded_at),
                settles
            ])?;
        let known = "SELECT 1 FROM intents WHERE tx_hash = ?1";
        if changed == 0 && !self.conn.prepare_cached(known)?.exists([&u.tx_hash])? {
            return Err(ApplyError::Refused(format!("no intent has tx_hash {}; record it first", u.tx_hash)));
        }
        if u.state == IntentState::Dead {
            self.never_placed(&u.tx_hash)?;
        }
        Ok(())
    }

    /// The offer of a dead transaction never rested. By its hash: the session that learns it of an earlier session's
    /// transaction does not know the offer, and its number may be another offer's by now.
    fn never_placed(&mut self, tx_hash: &str) -> Result<(), ApplyError> {
        self.conn
            .prepare_cached(
                "UPDATE orders SET state = ?2, remaining_drops = 0
                 WHERE tx_hash = ?1 AND state IN ('pending', 'unknown')",
            )?
            .execute(params![tx_hash, OrderState::Failed.as_str()])?;
        Ok(())
    }

    fn order(&mut self, o: &Order) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO orders (seq, session, offer_sequence, tx_hash, side, level, price, size_drops, rlusd,
                 mid_price, replaces, expiration, ledger_index, close_time, recorded_at, state, remaining_drops)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?8)
             ON CONFLICT (tx_hash) DO NOTHING",
            params![
                o.offer_sequence,
                o.tx_hash,
                o.side.as_str(),
                o.level,
                dec(o.price),
                o.size.get(),
                dec(o.rlusd),
                dec_opt(o.mid_price),
                o.replaces,
                time_opt(o.expiration),
                o.ledger_index,
                time(o.close_time),
                time(o.recorded_at),
                OrderState::Pending.as_str()
            ],
        )?;
        Ok(())
    }

    /// The event is kept even for an offer that we have no order for: it is what the ledger proves.
    fn order_event(&mut self, e: &OrderEvent) -> Result<(), ApplyError> {
        let added = self.insert(
            "INSERT INTO order_events (seq, session, offer_sequence, state, remaining_drops, tx_hash, detail,
                 ledger_index, close_time, recorded_at, era)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT era FROM sessions WHERE number = ?2))
             ON CONFLICT (offer_sequence, ledger_index, state, coalesce(tx_hash, ''), era) DO NOTHING",
            params![
                e.offer_sequence,
                e.state.as_str(),
                e.remaining.get(),
                e.tx_hash,
                e.detail,
                e.ledger_index,
                time(e.close_time),
                time(e.recorded_at)
            ],
        )?;
        if added {
            // The newest order of that number, in this world: another one counts its sequences from the start again. An
            // event that comes late, from history that a repair fetched again, does not undo what came after it.
            self.conn
                .prepare_cached(
                    "UPDATE orders SET state = ?2, remaining_drops = ?3
                     WHERE seq = (SELECT max(seq) FROM orders WHERE offer_sequence = ?1)
                         AND (SELECT era FROM sessions WHERE number = orders.session)
                             = (SELECT era FROM sessions WHERE number = ?5)
                         AND NOT EXISTS (SELECT 1 FROM order_events AS later
                             WHERE later.offer_sequence = ?1 AND later.ledger_index > ?4 AND later.seq > orders.seq)",
                )?
                .execute(params![
                    e.offer_sequence,
                    e.state.as_str(),
                    e.remaining.get(),
                    e.ledger_index,
                    self.session
                ])?;
        }
        Ok(())
    }

    fn fill(&mut self, f: &Fill) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO fills (seq, session, tx_hash, offer_sequence, role, side, xrp_drops, rlusd, price, mid_price,
                 ledger_index, transaction_index, close_time, recorded_at, era)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, (SELECT era FROM sessions WHERE number = ?2))
             ON CONFLICT (tx_hash, offer_sequence, role, era) DO NOTHING",
            params![
                f.tx_hash,
                f.offer_sequence,
                f.role.as_str(),
                f.side.as_str(),
                f.xrp.get(),
                dec(f.rlusd),
                dec(f.price),
                dec_opt(f.mid_price),
                f.ledger_index,
                f.transaction_index,
                time(f.close_time),
                time(f.recorded_at)
            ],
        )?;
        Ok(())
    }

    fn flow(&mut self, f: &Flow) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO flows (seq, session, tx_hash, cause, xrp_drops, rlusd, detail, ledger_index, close_time,
                 recorded_at, era)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT era FROM sessions WHERE number = ?2))
             ON CONFLICT (tx_hash, cause, era) DO NOTHING",
            params![
                f.tx_hash,
                f.cause.as_str(),
                f.xrp.get(),
                dec(f.rlusd),
                f.detail,
                f.ledger_index,
                time(f.close_time),
                time(f.recorded_at)
            ],
        )?;
        Ok(())
    }

    fn valuation(&mut self, v: &ValuationSnapshot) -> Result<(), ApplyError> {
        let sources = v
            .mark_sources
            .as_ref()
            .map(serde_json::to_string)
            .transpose()
            .map_err(|error| ApplyError::Refused(error.to_string()))?;
        self.insert(
            "INSERT INTO valuation_snapshots (seq, session, kind, ledger_index, close_time, total_value_rlusd,
                 xrp_drops, reserve_drops, rlusd, mark_price, mark_source, mark_age_ledgers, best_bid, best_ask,
                 our_bid, our_ask, recorded_at, mark_sources)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            params![
                v.kind.as_str(),
                v.ledger_index,
                time(v.close_time),
                dec_opt(v.total_value_rlusd),
                v.xrp.get(),
                v.reserve.get(),
                dec(v.rlusd),
                dec_opt(v.mark_price),
                v.mark_source,
                v.mark_age_ledgers,
                dec_opt(v.best_bid),
                dec_opt(v.best_ask),
                dec_opt(v.our_bid),
                dec_opt(v.our_ask),
                time(v.recorded_at),
                sources
            ],
        )?;
        Ok(())
    }

    pub(crate) fn fault(&mut self, f: &Fault) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO faults (seq, session, actor, cause, backtrace, action, recorded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![f.actor, f.cause, f.backtrace, f.action, time(f.recorded_at)],
        )?;
        Ok(())
    }

    /// The row that stands moves on; the first word of a refusal makes it.
    fn refusal(&mut self, r: &Refusal) -> Result<(), ApplyError> {
        let side = r.side.map(neo_market::Side::as_str);
        let moved = self
            .conn
            .prepare_cached(
                "UPDATE refusals SET last_ledger_index = ?6, last_close_time = ?7, count = ?8
                 WHERE session = ?1 AND kind = ?2 AND first_ledger_index = ?3
                     AND coalesce(side, '') = coalesce(?4, '') AND coalesce(level, -1) = coalesce(?5, -1)",
            )?
            .execute(params![
                self.session,
                r.kind,
                r.first_ledger_index,
                side,
                r.level,
                r.last_ledger_index,
                time(r.last_close_time),
                count(r.count)
            ])?;
        if moved > 0 {
            return Ok(());
        }
        self.insert(
            "INSERT INTO refusals (seq, session, side, level, kind, reason, first_ledger_index, first_close_time,
                 last_ledger_index, last_close_time, count, recorded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                side,
                r.level,
                r.kind,
                r.reason,
                r.first_ledger_index,
                time(r.first_close_time),
                r.last_ledger_index,
                time(r.last_close_time),
                count(r.count),
                time(r.recorded_at)
            ],
        )?;
        Ok(())
    }

    fn trip(&mut self, t: &TripRow) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO trips (seq, session, trigger, action, reason, ledger_index, close_time, cleared_ledger_index,
                 cleared_close_time, cleared_by, recorded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                t.trigger.as_str(),
                t.action.as_str(),
                t.reason,
                t.ledger_index,
                time(t.close_time),
                t.cleared.map(|cleared| cleared.ledger_index),
                t.cleared.map(|cleared| time(cleared.close_time)),
                t.cleared.map(|cleared| cleared.by.as_str()),
                time(t.recorded_at)
            ],
        )?;
        Ok(())
    }

    /// A pause of an earlier session ended with it and stays as it is.
    fn trip_cleared(&mut self, trigger: neo_market::Trigger, cleared: &TripCleared) -> Result<(), ApplyError> {
        self.conn
            .prepare_cached(
                "UPDATE trips SET cleared_ledger_index = ?3, cleared_close_time = ?4, cleared_by = ?5
                 WHERE trigger = ?2 AND cleared_by IS NULL AND (session = ?1 OR action <> 'pause')",
            )?
            .execute(params![
                self.session,
                trigger.as_str(),
                cleared.ledger_index,
                time(cleared.close_time),
                cleared.by.as_str()
            ])?;
        Ok(())
    }

    pub(crate) fn checkpoint(&mut self, c: &Checkpoint) -> Result<(), ApplyError> {
        self.insert(
            "INSERT INTO checkpoints (seq, session, cause, busy, wal_frames, checkpointed_frames, wal_bytes, pause_us,
                 recorded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                c.cause.as_str(),
                c.busy,
                c.wal_frames,
                c.checkpointed_frames,
                count(c.wal_bytes),
                count(c.pause_us),
                time(c.recorded_at)
            ],
        )?;
        Ok(())
    }
}

/// Closes a session that is open, and says of its mark-outs that are not measured that they will not be; false when it was closed before, and then its first end stands.
pub(crate) fn end_session(conn: &Connection, session: SessionNumber, end: &SessionEnd) -> rusqlite::Result<bool> {
    let (value, reason) = match &end.ending_value_rlusd {
        Ok(value) => (Some(dec(*value)), None),
        Err(reason) => (None, Some(reason.as_str())),
    };
    let changed = conn
        .prepare_cached(
            "UPDATE sessions SET ended_at = ?2, ended_at_source = ?3, ending_ledger_index = ?4, ending_close_time = ?5,
                 ending_value_rlusd = ?6, ending_value_reason = ?7, end_reason = ?8, end_detail = ?9
             WHERE number = ?1 AND ended_at IS NULL",
        )?
        .execute(params![
            session,
            time(end.ended_at),
            end.ended_at_source.as_str(),
            end.end_ledger_index,
            time_opt(end.end_close_time),
            value,
            reason,
            end.end_reason.as_str(),
            end.end_detail
        ])?;
    if changed > 0 {
        crate::mark_outs::end(conn, session)?;
    }
    Ok(changed > 0)
}

/// Stores a stop stage's outcome; a later word on the same stage replaces the earlier one.
pub(crate) fn stop_stage(conn: &Connection, session: SessionNumber, stage: &StopStage) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO stop_stages (session, stage, outcome, ms, error) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (session, stage) DO UPDATE SET outcome = excluded.outcome, ms = excluded.ms,
             error = excluded.error",
    )?
    .execute(params![session, stage.stage.as_str(), stage.outcome.as_str(), count(stage.ms), stage.error])?;
    Ok(())
}
