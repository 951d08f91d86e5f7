//! Where the price was after each fill: one row for each number of ledgers, whatever becomes of the session.

use rusqlite::{Connection, Row, params};

use crate::columns::{Columns, dec};
use crate::error::StoreError;
use crate::read::Reader;
use crate::record::{MarkOut, Role, SessionNumber};

/// What a session's end leaves unmeasured.
const ENDED: &str = "the session ended before that ledger was valued";
/// What a repair could not read.
const LOST: &str = "lost to the damage that a repair mended";

/// Stores one; what is there already stays.
pub(crate) fn insert(conn: &Connection, session: SessionNumber, m: &MarkOut) -> rusqlite::Result<()> {
    let (mid, reason) = match &m.mid_price {
        Ok(mid) => (Some(dec(*mid)), None),
        Err(reason) => (None, Some(reason.as_str())),
    };
    conn.prepare_cached(
        "INSERT INTO markouts (session, tx_hash, offer_sequence, role, ledgers, ledger_index, mid_price, reason, era)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT era FROM sessions WHERE number = ?1))
         ON CONFLICT (tx_hash, offer_sequence, role, ledgers, era) DO NOTHING",
    )?
    .execute(params![
        session,
        m.tx_hash,
        m.offer_sequence,
        m.role.as_str(),
        m.ledgers,
        m.ledger_index,
        mid,
        reason
    ])?;
    Ok(())
}

/// The session ends: what its fills still wait for will not be measured.
pub(crate) fn end(conn: &Connection, session: SessionNumber) -> rusqlite::Result<()> {
    fill_in(conn, "SELECT ?2", ENDED, session)
}

/// The same for every closed session, after a repair that may have lost some.
pub(crate) fn after_repair(conn: &Connection) -> rusqlite::Result<()> {
    let closed = "SELECT number FROM sessions WHERE ended_at IS NOT NULL AND ?2 = 0";
    fill_in(conn, closed, LOST, 0)
}

/// Rows with a reason for all that has none, of the fills of these sessions.
fn fill_in(conn: &Connection, sessions: &str, reason: &str, number: SessionNumber) -> rusqlite::Result<()> {
    let horizons: Vec<String> =
        neo_market::result::mark_out::HORIZONS_LEDGERS.iter().map(|ledgers| format!("({ledgers})")).collect();
    let sql = format!(
        "WITH after (ledgers) AS (VALUES {})
         INSERT INTO markouts (session, tx_hash, offer_sequence, role, ledgers, ledger_index, reason, era)
         SELECT session, tx_hash, offer_sequence, role, ledgers, ledger_index + ledgers, ?1, era
         FROM fills CROSS JOIN after
         WHERE session IN ({sessions}) AND NOT EXISTS (SELECT 1 FROM markouts AS m WHERE m.tx_hash = fills.tx_hash
             AND m.offer_sequence = fills.offer_sequence AND m.role = fills.role AND m.ledgers = after.ledgers
             AND m.era = fills.era)
         ORDER BY seq, ledgers",
        horizons.join(", ")
    );
    conn.execute(&sql, params![reason, number])?;
    Ok(())
}

pub(crate) fn mark_out(row: &Row<'_>) -> rusqlite::Result<MarkOut> {
    let mid = row.dec_opt("mid_price")?;
    let reason: Option<String> = row.get("reason")?;
    Ok(MarkOut {
        tx_hash: row.get("tx_hash")?,
        offer_sequence: row.get("offer_sequence")?,
        role: row.word("role", Role::from_word)?,
        ledgers: row.get("ledgers")?,
        ledger_index: row.get("ledger_index")?,
        mid_price: mid.ok_or_else(|| reason.unwrap_or_else(|| "no reason is recorded".to_string())),
    })
}

impl Reader {
    /// The mark-outs of a session's fills, in the order they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn mark_outs(&self, number: SessionNumber) -> Result<Vec<MarkOut>, StoreError> {
        self.of_session("markouts", "id", number, mark_out)
    }
}
