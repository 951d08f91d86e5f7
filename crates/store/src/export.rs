//! Rows as they are stored, for those who analyse elsewhere: every column under the table's own name.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Error, Row, Statement, params};

use crate::error::StoreError;
use crate::open::sqlite;
use crate::read::{Reader, check_row, query};
use crate::record::SessionNumber;

/// Rows of one page: a page is a read transaction, and short, so that checkpoints are not kept waiting by a slow pipe.
const PAGE_ROWS: u32 = 1_000;

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportTable {
    /// What traded.
    Fills,
    /// The offers as placed, and what became of them.
    Orders,
    /// Valuation snapshots.
    Valuations,
    /// Changes of balances that are no fills.
    Flows,
    /// What was not quoted, and why.
    Refusals,
    /// Triggers that tripped.
    Trips,
    /// The middle some ledgers after each fill.
    MarkOuts,
}

impl ExportTable {
    /// The table's name in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ExportTable::Fills => "fills",
            ExportTable::Orders => "orders",
            ExportTable::Valuations => "valuation_snapshots",
            ExportTable::Flows => "flows",
            ExportTable::Refusals => "refusals",
            ExportTable::Trips => "trips",
            ExportTable::MarkOuts => "markouts",
        }
    }

    /// The column whose order is that in which the rows were recorded.
    const fn key(self) -> &'static str {
        match self {
            ExportTable::MarkOuts => "id",
            ExportTable::Fills
            | ExportTable::Orders
            | ExportTable::Valuations
            | ExportTable::Flows
            | ExportTable::Refusals
            | ExportTable::Trips => "seq",
        }
    }
}

/// A stored value. Decimals and times are text; money is never a float, so there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Unknown, or there is none.
    Null,
    /// A whole number: drops, sequence numbers, ledger indexes.
    Integer(i64),
    /// A decimal, a time (RFC 3339, UTC), a word or a text.
    Text(String),
}

/// Rows of a table, page by page, in the order they were recorded. What is recorded after the start is left out.
#[derive(Debug)]
pub struct Export<'a> {
    reader: &'a Reader,
    table: ExportTable,
    session: Option<SessionNumber>,
    /// The sequence numbers that are still to be read: those above the one and up to the other.
    after: i64,
    last: i64,
}

impl Reader {
    /// The columns of a table, in its order.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn export_columns(&self, table: ExportTable) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT * FROM {} LIMIT 0", table.name());
        let names = |statement: Statement<'_>| statement.column_names().map(ToString::to_string).collect();
        self.conn.prepare(&sql).map(names).map_err(sqlite(&self.path, "reading the columns to export"))
    }

    /// The rows of a session, or of all, as far as they are recorded now.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn export(&self, table: ExportTable, session: Option<SessionNumber>) -> Result<Export<'_>, StoreError> {
        let sql = format!("SELECT coalesce(max({}), 0) FROM {}", table.key(), table.name());
        let last = self.conn.query_row(&sql, [], |row| row.get(0));
        let last = last.map_err(sqlite(&self.path, "reading how much there is to export"))?;
        Ok(Export { reader: self, table, session, after: 0, last })
    }
}

impl Export<'_> {
    /// The next rows; empty when there are no more.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`], also for a value that this version cannot read: it is not passed on.
    pub fn page(&mut self) -> Result<Vec<Vec<Cell>>, StoreError> {
        let key = self.table.key();
        let sql = format!(
            "SELECT * FROM {} WHERE {key} > ?1 AND {key} <= ?2 AND (?3 IS NULL OR session = ?3) ORDER BY {key} LIMIT ?4",
            self.table.name()
        );
        let range = params![self.after, self.last, self.session, PAGE_ROWS];
        let name = self.table.name();
        let rows = query(&self.reader.conn, &sql, range, |row| {
            check_row(name, row)?;
            Ok((row.get::<_, i64>(key)?, cells(row)?))
        })
        .map_err(sqlite(&self.reader.path, "reading rows to export"))?;
        self.after = rows.last().map_or(self.last, |(seq, _)| *seq);
        Ok(rows.into_iter().map(|(_, cells)| cells).collect())
    }
}

fn cells(row: &Row<'_>) -> rusqlite::Result<Vec<Cell>> {
    let cell = |column: usize| match row.get_ref(column)? {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Integer(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Cell::Text(text.to_string())),
            Err(error) => Err(Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))),
        },
        other => Err(Error::InvalidColumnType(column, format!("column {column}"), other.data_type())),
    };
    (0..row.as_ref().column_count()).map(cell).collect()
}
