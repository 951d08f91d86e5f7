//! Beginning a session, and what an engine must know of the sessions before it.

use neo_market::{Dec, Drops};
use rusqlite::{OptionalExtension, TransactionBehavior, params};

use crate::columns::{Columns, time};
use crate::error::StoreError;
use crate::open::{Store, sqlite};
use crate::read::{intent_row, query};
use crate::record::{NewSession, OrderState, SessionNumber};
use crate::rows::{IntentRow, OpenOrder, RecordedFee};

/// A repair whose hole is still to be fetched. The first session after it that recorded a whole ledger has fetched, or
/// was told that there is nothing to fetch: its first update carries the whole history. Once another era has begun, nobody
/// has that history any more.
pub(crate) const REFETCH_WAITS: &str = "refetch_from_ledger IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM sessions WHERE number > coalesce(repairs.last_session, 0) AND imported = 0
        AND (last_ledger_index IS NOT NULL
            OR era > (SELECT coalesce(max(era), 0) FROM sessions AS s WHERE s.number <= repairs.last_session)))";

impl Store {
    /// Records a new session, open, under the next number. It names the session before it where that one did not end as
    /// asked: killed, at whatever time since it was closed for it, or ended by a fault or by a stop that hung.
    ///
    /// # Errors
    /// [`StoreError::SessionOpen`] when one is open already, [`StoreError::Sqlite`].
    pub fn begin_session(&mut self, session: &NewSession) -> Result<SessionNumber, StoreError> {
        let failed = sqlite(&self.path, "beginning a session");
        // A transaction of its own: a row that RETURNING gives is not committed yet, and the statement's end, which
        // would commit it, tells nobody of an error.
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let open: Option<SessionNumber> = tx
            .query_row("SELECT number FROM sessions WHERE ended_at IS NULL AND imported = 0", [], |row| row.get(0))
            .optional()
            .map_err(&failed)?;
        if let Some(number) = open {
            return Err(StoreError::SessionOpen { number });
        }
        let number = tx
            .query_row(
                "INSERT INTO sessions (number, mode, network, account, started_at, last_seen_at, config, config_hash,
                     version, seed, era, resumed_from)
                 VALUES ((SELECT coalesce(max(number), 0) + 1 FROM sessions), ?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8,
                     (SELECT coalesce(max(era), 0) FROM sessions),
                     (SELECT number FROM sessions
                      WHERE number = (SELECT max(number) FROM sessions WHERE imported = 0)
                          AND end_reason IN ('crash', 'fault', 'deadline')))
                 RETURNING number",
                params![
                    self.identity.mode.as_str(),
                    self.identity.network,
                    self.identity.account,
                    time(session.started_at),
                    session.config,
                    session.config_hash,
                    session.version,
                    session.seed.map(|seed| seed.to_string())
                ],
                |row| row.get(0),
            )
            .map_err(&failed)?;
        tx.commit().map_err(failed)?;
        Ok(number)
    }

    /// The last ledger that both the orders and the valuer have recorded, in the latest session where both recorded
    /// any: gap repair starts from it. One of them may have recorded more; recording that again adds nothing.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn last_processed_ledger(&self) -> Result<Option<u32>, StoreError> {
        self.conn
            .query_row(
                "SELECT last_ledger_index FROM sessions WHERE last_ledger_index IS NOT NULL
                     AND era = (SELECT max(era) FROM sessions) ORDER BY number DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .map_err(sqlite(&self.path, "reading the last processed ledger"))
    }

    /// What the account held after the last ledger that is wholly recorded, as its newest snapshot says; `None` where
    /// there is none.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn last_balances(&self) -> Result<Option<(Drops, Dec)>, StoreError> {
        let rows = query(
            &self.conn,
            "SELECT xrp_drops, rlusd FROM valuation_snapshots JOIN sessions
             ON session = number AND ledger_index <= last_ledger_index AND imported = 0
             ORDER BY session DESC, valuation_snapshots.seq DESC LIMIT 1",
            [],
            |row| Ok((row.drops("xrp_drops")?, row.dec("rlusd")?)),
        );
        let rows = rows.map_err(sqlite(&self.path, "reading the last balances"))?;
        Ok(rows.into_iter().next())
    }

    /// The ledger before the first hole that a repair left and no session has fetched the history of since; `None` when
    /// nothing waits. Fetching again what is there adds nothing.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn refetch_from(&self) -> Result<Option<u32>, StoreError> {
        let sql = format!("SELECT min(refetch_from_ledger) FROM repairs WHERE {REFETCH_WAITS}");
        self.conn
            .query_row(&sql, [], |row| row.get(0))
            .map_err(sqlite(&self.path, "reading what repairs left to fetch"))
    }

    /// Offers that are not known to be gone, oldest first: they may still be on the ledger.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn open_orders(&self) -> Result<Vec<OpenOrder>, StoreError> {
        query(
            &self.conn,
            "SELECT session, offer_sequence, tx_hash, side, level, price, size_drops, remaining_drops,
                 expiration, ledger_index, state
             FROM orders WHERE state IN ('pending', 'resting', 'partly_filled', 'unknown')
                 AND session IN (SELECT number FROM sessions WHERE era = (SELECT max(era) FROM sessions)) ORDER BY seq",
            [],
            |row| {
                Ok(OpenOrder {
                    session: row.get("session")?,
                    offer_sequence: row.get("offer_sequence")?,
                    tx_hash: row.get("tx_hash")?,
                    side: row.side("side")?,
                    level: row.get("level")?,
                    price: row.dec("price")?,
                    size: row.drops("size_drops")?,
                    remaining: row.drops("remaining_drops")?,
                    expiration: row.time_opt("expiration")?,
                    ledger_index: row.get("ledger_index")?,
                    state: row.word("state", OrderState::from_word)?,
                })
            },
        )
        .map_err(sqlite(&self.path, "reading the open orders"))
    }

    /// Hashes of the transactions whose fate was settled by `ledger_index` or a later ledger. History that is read
    /// again from there shows them once more, and they must not be taken for a stranger's.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn settled_since(&self, ledger_index: u32) -> Result<Vec<String>, StoreError> {
        query(
            &self.conn,
            "SELECT tx_hash FROM intents WHERE state IN ('validated', 'dead', 'unknown') AND settled_ledger_index >= ?1
                 AND session IN (SELECT number FROM sessions WHERE era = (SELECT max(era) FROM sessions))",
            [ledger_index],
            |row| row.get(0),
        )
        .map_err(sqlite(&self.path, "reading the settled intents"))
    }

    /// Fees of the 24 hours of ledger time before the newest fee in the record, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn fees_of_last_day(&self) -> Result<Vec<RecordedFee>, StoreError> {
        query(
            &self.conn,
            "SELECT tx_hash, close_time, -xrp_drops AS fee_drops FROM flows
             WHERE cause = 'fee' AND tx_hash IS NOT NULL AND era = (SELECT max(era) FROM sessions) AND close_time > (
                 SELECT strftime('%Y-%m-%dT%H:%M:%fZ', max(close_time), '-1 day') FROM flows WHERE cause = 'fee'
                     AND era = (SELECT max(era) FROM sessions))
             ORDER BY seq",
            [],
            |row| {
                let (close_time, fee) = (row.time("close_time")?, row.drops("fee_drops")?);
                Ok(RecordedFee { tx_hash: row.get("tx_hash")?, close_time, fee })
            },
        )
        .map_err(sqlite(&self.path, "reading the fees of the last day"))
    }

    /// Signed transactions whose fate is not known, oldest first; without those whose ledgers no node has any more.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn unsettled_intents(&self) -> Result<Vec<IntentRow>, StoreError> {
        query(
            &self.conn,
            "SELECT * FROM intents WHERE state IN ('intended', 'submitted', 'unknown')
                 AND NOT (state = 'unknown' AND settled_ledger_index IS NOT NULL) ORDER BY seq",
            [],
            intent_row,
        )
        .map_err(sqlite(&self.path, "reading the unsettled intents"))
    }
}
