//! Reading imported history back.

use chrono::{DateTime, Utc};
use neo_market::{Dec, Side};
use rusqlite::OptionalExtension as _;
use serde_json::Value as Json;

use crate::columns::Columns as _;
use crate::error::StoreError;
use crate::read::{Reader, query};
use crate::record::SessionNumber;

/// A fill of an old database, as far as it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFill {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Our side; `None` where the old record does not tell, or in words of its own.
    pub side: Option<Side>,
    /// RLUSD for one XRP.
    pub price: Option<Dec>,
    /// XRP traded.
    pub xrp: Option<Dec>,
}

impl Reader {
    /// The fills of an imported session.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn imported_fills(&self, number: SessionNumber) -> Result<Vec<ImportedFill>, StoreError> {
        let sql = "SELECT * FROM imported_fills WHERE session = ?1 ORDER BY key";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(ImportedFill {
                at: row.time_opt("at")?,
                side: row.get::<_, Option<String>>("side")?.as_deref().and_then(side_of),
                price: row.dec_opt("price")?,
                xrp: row.dec_opt("xrp")?,
            })
        };
        query(&self.conn, sql, [number], read)
            .map_err(crate::open::sqlite(&self.path, "reading the fills of an imported session"))
    }

    /// The row of an imported session as the old database had it; `None` for a session of this engine.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn imported_row(&self, number: SessionNumber) -> Result<Option<Json>, StoreError> {
        let sql = "SELECT source_row FROM imported_sessions WHERE number = ?1";
        let text: Option<String> = self
            .conn
            .query_row(sql, [number], |row| row.get(0))
            .optional()
            .map_err(crate::open::sqlite(&self.path, "reading an imported session"))?;
        Ok(text.map(|text| serde_json::from_str(&text).unwrap_or(Json::String(text))))
    }
}

/// The words that old databases have for a side.
fn side_of(word: &str) -> Option<Side> {
    match word.trim().to_ascii_lowercase().as_str() {
        "bid" | "buy" | "b" => Some(Side::Bid),
        "ask" | "sell" | "s" | "offer" => Some(Side::Ask),
        _ => None,
    }
}
