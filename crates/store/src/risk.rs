//! Refusals and trips read back, and what a loss is counted from over restarts.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use neo_market::{ClearedBy, Dec, Drops, Rounding, Side, Trigger, TripAction};
use rusqlite::{OptionalExtension, Row, params};

use crate::columns::Columns;
use crate::error::StoreError;
use crate::open::{Store, sqlite};
use crate::read::{Reader, query, recorded};
use crate::record::{Refusal, SessionNumber, TripCleared, TripRow};
use crate::rows::Recorded;
use crate::world::NEWEST_ERA;

/// What the account's value is remembered by, in the order it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorthRow {
    /// A deposit or, below zero, a withdrawal.
    Flow {
        /// The transaction; `None` where none is known.
        tx_hash: Option<String>,
        /// XRP, signed.
        xrp: Drops,
        /// RLUSD, signed.
        rlusd: Dec,
    },
    /// The account at a ledger whose middle price was known.
    Held {
        /// That ledger's close time.
        close_time: DateTime<Utc>,
        /// All XRP.
        xrp: Drops,
        /// RLUSD.
        rlusd: Dec,
        /// RLUSD for one XRP.
        mark: Dec,
    },
}

impl Reader {
    /// What a session did not quote, in the order it began.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn refusals(&self, number: SessionNumber) -> Result<Vec<Recorded<Refusal>>, StoreError> {
        self.of_session("refusals", "seq", number, |row| recorded(row, refusal))
    }

    /// The triggers that tripped in a session, in the order they did.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn trips(&self, number: SessionNumber) -> Result<Vec<Recorded<TripRow>>, StoreError> {
        self.of_session("trips", "seq", number, |row| recorded(row, trip))
    }
}

impl Store {
    /// Triggers whose latch nobody has been seen to end: `neo resume` without an engine leaves it to the next session to
    /// say so.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn standing_latches(&self) -> Result<Vec<Trigger>, StoreError> {
        let sql = "SELECT DISTINCT trigger FROM trips WHERE cleared_by IS NULL AND action <> 'pause' ORDER BY trigger";
        query(&self.conn, sql, [], |row| row.word("trigger", Trigger::from_word))
            .map_err(sqlite(&self.path, "reading the triggers that are latched"))
    }

    /// When the operator last ended what this trigger did in the newest era, in ledger time; `None` where nobody did. The
    /// clock of an older era says nothing here.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn resumed_from(&self, trigger: Trigger) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = format!(
            "SELECT cleared_close_time FROM trips WHERE cleared_by = ?1 AND trigger = ?2 AND session IN {NEWEST_ERA}
             ORDER BY cleared_close_time DESC LIMIT 1"
        );
        let by = ClearedBy::Operator.as_str();
        let times = query(&self.conn, &sql, [by, trigger.as_str()], |row| row.time("cleared_close_time"));
        let times = times.map_err(sqlite(&self.path, "reading when the operator resumed"))?;
        Ok(times.first().copied())
    }

    /// Transactions of ours that failed or died within `window_s` seconds of ledger time before the newest ledger in the
    /// record, each with its ledger's close time; what the operator has resumed from since is none of them. They are what a
    /// restart within the window goes on counting from.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn rejects(&self, window_s: u32) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let failed = sqlite(&self.path, "reading the transactions that failed");
        let Some(ledgers) = self.newest_ledgers(window_s).map_err(&failed)? else { return Ok(Vec::new()) };
        let resumed = self.resumed_from(Trigger::Rejects)?;
        // An intent knows its ledger by number, and numbers of another simulated world may be the same ones: the time of
        // recording keeps those apart.
        let sql = format!(
            "SELECT settled_ledger_index FROM intents WHERE settled_ledger_index >= ?1 AND updated_at >= ?2
                 AND (state = 'dead' OR state = 'validated' AND engine_result <> 'tesSUCCESS')
                 AND session IN {NEWEST_ERA} ORDER BY seq"
        );
        let since = crate::columns::time(ledgers.recorded_from);
        let settled = query(&self.conn, &sql, params![ledgers.first, since], |row| row.get::<_, u32>(0));
        let time_of = |index: u32| ledgers.close_times.range(..=index).next_back().map(|(_, at)| *at);
        let times = settled.map_err(failed)?.into_iter().filter_map(time_of);
        Ok(times.filter(|at| resumed.is_none_or(|resumed| *at > resumed)).collect())
    }

    /// The ledgers of the last `window_s` seconds; `None` in an era without a snapshot. A snapshot is taken of each.
    fn newest_ledgers(&self, window_s: u32) -> rusqlite::Result<Option<Ledgers>> {
        let of_era = format!("SELECT coalesce(min(number), 0) FROM sessions WHERE number IN {NEWEST_ERA}");
        let of_era: SessionNumber = self.conn.query_row(&of_era, [], |row| row.get(0))?;
        let sql = "SELECT session, ledger_index, close_time, recorded_at FROM valuation_snapshots ORDER BY seq DESC";
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut found: Option<(DateTime<Utc>, Ledgers)> = None;
        while let Some(row) = rows.next()? {
            // An era may end with a lower number than the next one begins with.
            if row.get::<_, SessionNumber>("session")? < of_era {
                break;
            }
            let (index, close_time) = (row.get("ledger_index")?, row.time("close_time")?);
            let (newest, ledgers) = found.get_or_insert_with(|| {
                let close_times = BTreeMap::new();
                (close_time, Ledgers { first: index, recorded_from: DateTime::<Utc>::MAX_UTC, close_times })
            });
            // A number that goes up on the way back is another world's.
            if close_time + TimeDelta::seconds(i64::from(window_s)) <= *newest || index > ledgers.first {
                break;
            }
            ledgers.first = index;
            ledgers.recorded_from = ledgers.recorded_from.min(row.time("recorded_at")?);
            ledgers.close_times.insert(index, close_time);
        }
        Ok(found.map(|(_, ledgers)| ledgers))
    }

    /// The values of the last `days` days (UTC) of ledger time, as far as a loss is counted from them: what was before an
    /// operator resumed from a loss is none of it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a row that this version cannot read.
    pub fn worth_history(&self, days: u32, mut each: impl FnMut(WorthRow)) -> Result<(), StoreError> {
        let failed = sqlite(&self.path, "reading what the account was worth");
        let losses = Trigger::ALL.into_iter().filter(|trigger| trigger.is_loss()).map(Trigger::as_str);
        let losses: Vec<String> = losses.map(|word| format!("'{word}'")).collect();
        let resumed = format!(
            "SELECT max(cleared_close_time) FROM trips
             WHERE cleared_by = '{}' AND trigger IN ({}) AND session IN {NEWEST_ERA}",
            ClearedBy::Operator.as_str(),
            losses.join(", ")
        );
        let resumed: Option<String> = self.conn.query_row(&resumed, [], |row| row.get(0)).map_err(&failed)?;
        let begin: Option<Option<String>> = self
            .conn
            .query_row(
                "SELECT strftime('%Y-%m-%dT00:00:00.000Z', close_time, ?1) FROM valuation_snapshots
                 WHERE session >= (SELECT min(number) FROM sessions WHERE era = (SELECT max(era) FROM sessions))
                 ORDER BY seq DESC LIMIT 1",
                [format!("-{} days", days.saturating_sub(1))],
                |row| row.get(0),
            )
            .optional()
            .map_err(&failed)?;
        let Some(begin) = begin.flatten() else { return Ok(()) };
        // Weeks of rows from before are not even looked at: the newest of them is found from behind.
        let before = "SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM valuation_snapshots
                      WHERE close_time < ?1 OR close_time <= ?2 ORDER BY seq DESC LIMIT 1)";
        let before: i64 = self.conn.query_row(before, params![begin, resumed], |row| row.get(0)).map_err(&failed)?;
        let rows =
            "SELECT seq, close_time, xrp_drops, rlusd, best_bid, best_ask, NULL AS tx_hash FROM valuation_snapshots
                    WHERE seq > ?3 AND close_time >= ?1 AND (?2 IS NULL OR close_time > ?2)
                        AND best_bid IS NOT NULL AND best_ask IS NOT NULL
                        AND session >= (SELECT min(number) FROM sessions WHERE era = (SELECT max(era) FROM sessions))
                    UNION ALL SELECT seq, close_time, xrp_drops, rlusd, NULL, NULL, tx_hash FROM flows
                    WHERE seq > ?3 AND close_time >= ?1 AND (?2 IS NULL OR close_time > ?2) AND cause IN ('deposit', 'withdrawal')
                        AND session >= (SELECT min(number) FROM sessions WHERE era = (SELECT max(era) FROM sessions))
                    ORDER BY seq";
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.conn.prepare(rows)?;
            let mut rows = statement.query(params![begin, resumed, before])?;
            while let Some(row) = rows.next()? {
                each(worth(row)?);
            }
            Ok(())
        };
        read().map_err(failed)
    }
}

/// Ledgers of one world, without a break between them that matters.
struct Ledgers {
    first: u32,
    /// When the snapshot of the first was recorded, in real time.
    recorded_from: DateTime<Utc>,
    close_times: BTreeMap<u32, DateTime<Utc>>,
}

fn worth(row: &Row<'_>) -> rusqlite::Result<WorthRow> {
    let (xrp, rlusd) = (row.drops("xrp_drops")?, row.dec("rlusd")?);
    // The middle, as in a session: the mark may be another source's price, and the step between the two is no loss.
    let middle = |bid: Dec, ask: Dec| bid.add(ask)?.div(Dec::from_i64(2), Rounding::HalfEven);
    Ok(match (row.dec_opt("best_bid")?, row.dec_opt("best_ask")?) {
        (Some(bid), Some(ask)) => {
            let mark = middle(bid, ask).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
            })?;
            WorthRow::Held { close_time: row.time("close_time")?, xrp, rlusd, mark }
        }
        _ => WorthRow::Flow { tx_hash: row.get("tx_hash")?, xrp, rlusd },
    })
}

pub(crate) fn refusal(row: &Row<'_>) -> rusqlite::Result<Refusal> {
    let side = |word: &str| Side::BOTH.into_iter().find(|side| side.as_str() == word);
    Ok(Refusal {
        side: row.word_opt("side", side)?,
        level: row.get("level")?,
        kind: row.get("kind")?,
        reason: row.get("reason")?,
        first_ledger_index: row.get("first_ledger_index")?,
        first_close_time: row.time("first_close_time")?,
        last_ledger_index: row.get("last_ledger_index")?,
        last_close_time: row.time("last_close_time")?,
        count: row.count("count")?,
        recorded_at: row.time("recorded_at")?,
    })
}

pub(crate) fn trip(row: &Row<'_>) -> rusqlite::Result<TripRow> {
    let by = row.word_opt("cleared_by", ClearedBy::from_word)?;
    let at: Option<u32> = row.get("cleared_ledger_index")?;
    let time = row.time_opt("cleared_close_time")?;
    let cleared = match (by, at, time) {
        (Some(by), Some(ledger_index), Some(close_time)) => Some(TripCleared { ledger_index, close_time, by }),
        // The table's constraints keep them together.
        _ => None,
    };
    Ok(TripRow {
        trigger: row.word("trigger", Trigger::from_word)?,
        action: row.word("action", TripAction::from_word)?,
        reason: row.get("reason")?,
        ledger_index: row.get("ledger_index")?,
        close_time: row.time("close_time")?,
        cleared,
        recorded_at: row.time("recorded_at")?,
    })
}
