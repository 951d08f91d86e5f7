//! Which ledger a record is of. A stand-alone node that is reset begins another world: the sessions on it are of another era,
//! and nothing of the world before is settled, compared or summed up with it.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};

use crate::error::StoreError;
use crate::open::{Store, sqlite};
use crate::record::SessionNumber;

/// The sessions of the newest era, for what must not mix worlds.
pub(crate) const NEWEST_ERA: &str = "(SELECT number FROM sessions WHERE era = (SELECT max(era) FROM sessions))";

/// The last ledger that is wholly recorded, and the hash by which its chain is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLedger {
    /// Its index.
    pub index: u32,
    /// Its hash, 64 hex digits; `None` where an older version recorded it.
    pub hash: Option<String>,
}

/// What an era leaves behind: its ledger is gone, and nobody will learn what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forsaken {
    /// Signed transactions whose fate was not known.
    pub intents: usize,
    /// Offers that were not known to be gone.
    pub offers: usize,
}

/// A hash as it is stored.
pub(crate) fn hash_text(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// What the sessions before `first` had signed and not settled, and their offers that were not known to be gone: `first` is
/// the first of an era, and their ledger is not there any more.
pub(crate) fn forsake(tx: &Transaction<'_>, first: SessionNumber) -> rusqlite::Result<Forsaken> {
    // A settled ledger says that nobody need look again.
    let intents = tx.execute(
        "UPDATE intents SET state = 'unknown', settled_ledger_index = last_ledger_sequence
         WHERE session < ?1 AND (state IN ('intended', 'submitted')
             OR (state = 'unknown' AND settled_ledger_index IS NULL))",
        [first],
    )?;
    let offers = tx.execute(
        "UPDATE orders SET state = 'unknown' WHERE session < ?1 AND state IN ('pending', 'resting', 'partly_filled')",
        [first],
    )?;
    Ok(Forsaken { intents, offers })
}

impl Store {
    /// The last ledger that both the orders and the valuer have recorded, as [`Store::last_processed_ledger`], with its
    /// hash.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn last_ledger(&self) -> Result<Option<LastLedger>, StoreError> {
        self.conn
            .query_row(
                "SELECT last_ledger_index, last_ledger_hash FROM sessions WHERE last_ledger_index IS NOT NULL
                     AND era = (SELECT max(era) FROM sessions) ORDER BY number DESC LIMIT 1",
                [],
                |row| Ok(LastLedger { index: row.get(0)?, hash: row.get(1)? }),
            )
            .optional()
            .map_err(sqlite(&self.path, "reading the last processed ledger"))
    }

    /// The session that has just begun, and all after it, are of another world than those before. What those had signed and
    /// not settled, and the offers that still stood, went with their ledger: their fate is unknown for good.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn begin_era(&mut self, session: SessionNumber) -> Result<Forsaken, StoreError> {
        let failed = sqlite(&self.path, "beginning another era");
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        tx.execute("UPDATE sessions SET era = (SELECT max(era) + 1 FROM sessions) WHERE number = ?1", [session])
            .map_err(&failed)?;
        let forsaken = forsake(&tx, session).map_err(&failed)?;
        tx.commit().map_err(failed)?;
        Ok(forsaken)
    }
}
