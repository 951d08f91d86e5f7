//! The lines of the two files. Columns are found by their names; what is not understood is named with line and column.

use chrono::DateTime;
use neo_market::{Dec, Drops, Rounding, Side};
use thiserror::Error;

/// Columns of a file of trades.
const TRADES: [&str; 4] = ["time", "side", "price", "size"];
/// Columns of a file of quotes.
const QUOTES: [&str; 5] = ["time", "bid", "bid_size", "ask", "ask_size"];
/// The first moment that a ledger's clock can tell: 2000-01-01 UTC, in milliseconds since 1970.
const EPOCH_MS: i64 = 946_684_800_000;
/// A moment beyond which a ledger's clock overflows.
const END_MS: i64 = EPOCH_MS + 4_000_000_000_000;

/// Why a file of trades or quotes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CsvError {
    /// A column is missing.
    #[error("line 1: there is no column {column:?}; the first line names the columns: {wanted}")]
    Column {
        /// Which.
        column: &'static str,
        /// All that are needed.
        wanted: String,
    },
    /// A field cannot be used.
    #[error("line {line}, column {column}: {value:?}; {fix}")]
    Field {
        /// The line, counted from 1.
        line: usize,
        /// The column's name.
        column: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it must be.
        fix: String,
    },
    /// There is nothing to trade with.
    #[error("there is no trade in the file; give one with at least one line after the first")]
    NoTrade,
    /// It is longer than what can be held.
    #[error("it spans {days} days, more than 92; split it")]
    TooLong {
        /// How long it is.
        days: i64,
    },
    /// A time or price that no ledger has.
    #[error("a time or a price of it is none that a ledger can hold; see `neo replay --help` for the columns' units")]
    TooEarly,
}

impl CsvError {
    fn field(line: usize, column: &'static str, value: &str, fix: impl Into<String>) -> CsvError {
        CsvError::Field { line, column, value: value.chars().take(60).collect(), fix: fix.into() }
    }

    pub(super) fn amount(line: usize, column: &'static str, value: Dec, error: &neo_market::AmountError) -> CsvError {
        CsvError::field(line, column, &value.to_string(), format!("with its size it is no amount of a ledger: {error}"))
    }
}

/// A trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trade {
    pub(super) line: usize,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Of the offers that were taken: a buyer takes asks.
    pub(super) side: Side,
    pub(super) price: Dec,
    pub(super) drops: i64,
}

/// The best prices, each with its size in drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) line: usize,
    pub(super) at_ms: i64,
    pub(super) bid: (Dec, i64),
    pub(super) ask: (Dec, i64),
}

/// True when a line names the columns of trades.
pub(super) fn names_trades(line: &str) -> bool {
    Columns::find(line, &TRADES).is_ok()
}

/// Where each wanted column is.
struct Columns {
    places: Vec<(&'static str, usize)>,
}

impl Columns {
    fn find(header: &str, wanted: &[&'static str]) -> Result<Columns, CsvError> {
        let header = header.trim_start_matches('\u{feff}').trim_end();
        let names: Vec<&str> = header.split(',').map(unquoted).collect();
        let place = |name: &&'static str| {
            let at = names.iter().position(|there| there == name);
            at.map(|at| (*name, at)).ok_or_else(|| CsvError::Column { column: name, wanted: wanted.join(",") })
        };
        Ok(Columns { places: wanted.iter().map(place).collect::<Result<_, _>>()? })
    }
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
}

/// One line's fields, by name.
struct Row<'a> {
    line: usize,
    columns: &'a Columns,
    fields: Vec<&'a str>,
}

impl Row<'_> {
    fn text(&self, column: &'static str) -> Result<&str, CsvError> {
        let place = self.columns.places.iter().find(|(name, _)| *name == column).map(|(_, at)| *at);
        let field = place.and_then(|at| self.fields.get(at));
        field.copied().ok_or_else(|| {
            let (fields, line) = (self.fields.len(), self.line);
            CsvError::field(line, column, "", format!("the line has {fields} fields and ends before this one"))
        })
    }

    /// Milliseconds since 1970 as a whole number, or RFC 3339.
    fn time(&self) -> Result<i64, CsvError> {
        let text = self.text("time")?;
        let fix = "write milliseconds since 1970 UTC, or 2026-04-18T10:00:00.250Z";
        let at = match text.parse::<i64>() {
            Ok(at) => at,
            Err(_) => match DateTime::parse_from_rfc3339(text) {
                Ok(at) => at.timestamp_millis(),
                Err(_) => return Err(CsvError::field(self.line, "time", text, fix)),
            },
        };
        if !(EPOCH_MS..END_MS).contains(&at) {
            let fix = format!("a ledger's time begins with the year 2000 and ends in 2126; {fix}");
            return Err(CsvError::field(self.line, "time", text, fix));
        }
        Ok(at)
    }

    fn price(&self, column: &'static str) -> Result<Dec, CsvError> {
        let text = self.text(column)?;
        let fix = "write RLUSD for one XRP, a decimal above 0 and below 1000000 of at most 12 digits, such as 2.4013";
        let wrong = || CsvError::field(self.line, column, text, fix);
        let price: Dec = text.parse().map_err(|_| wrong())?;
        let rounded = price.round_digits(12, Rounding::Down).map_err(|_| wrong())?;
        let possible = price.is_positive() && price < Dec::from_i64(1_000_000) && rounded == price;
        if possible { Ok(price) } else { Err(wrong()) }
    }

    fn drops(&self, column: &'static str) -> Result<i64, CsvError> {
        let text = self.text(column)?;
        let fix = "write XRP, above 0, at most 1000000000, with at most 6 places (a drop), such as 37.5";
        let wrong = || CsvError::field(self.line, column, text, fix);
        let xrp: Dec = text.parse().map_err(|_| wrong())?;
        let drops = Drops::from_xrp(xrp, Rounding::Down).map_err(|_| wrong())?;
        let possible =
            xrp <= Dec::from_i64(1_000_000_000) && drops.get() > 0 && drops.to_xrp().is_ok_and(|back| back == xrp);
        if possible { Ok(drops.get()) } else { Err(wrong()) }
    }
}

/// Each line after the header as `read` understands it. Times must not go back.
fn each<T>(
    text: &str,
    wanted: &[&'static str],
    read: impl Fn(&Row<'_>) -> Result<(i64, T), CsvError>,
) -> Result<Vec<T>, CsvError> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let columns = Columns::find(lines.next().map_or("", |(_, line)| line), wanted)?;
    let mut all = Vec::new();
    let mut last = i64::MIN;
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let row = Row { line, columns: &columns, fields: text.split(',').map(unquoted).collect() };
        let (at, one) = read(&row)?;
        if at < last {
            return Err(CsvError::field(
                line,
                "time",
                row.text("time")?,
                "times must not go back; sort the file by time",
            ));
        }
        last = at;
        all.push(one);
    }
    Ok(all)
}

pub(super) fn trades(text: &str) -> Result<Vec<Trade>, CsvError> {
    each(text, &TRADES, |row| {
        let side = match row.text("side")? {
            word if word.eq_ignore_ascii_case("buy") => Side::Ask,
            word if word.eq_ignore_ascii_case("sell") => Side::Bid,
            word => {
                let fix = "write what the taker did with XRP: buy or sell";
                return Err(CsvError::field(row.line, "side", word, fix));
            }
        };
        let (at_ms, price, drops) = (row.time()?, row.price("price")?, row.drops("size")?);
        Ok((at_ms, Trade { line: row.line, at_ms, side, price, drops }))
    })
}

pub(super) fn quotes(text: &str) -> Result<Vec<Quote>, CsvError> {
    each(text, &QUOTES, |row| {
        let at_ms = row.time()?;
        let (bid, ask) = ((row.price("bid")?, row.drops("bid_size")?), (row.price("ask")?, row.drops("ask_size")?));
        if bid.0 >= ask.0 {
            let fix = "the ask is not above the bid of its line: leave crossed moments out";
            return Err(CsvError::field(row.line, "ask", &ask.0.to_string(), fix));
        }
        Ok((at_ms, Quote { line: row.line, at_ms, bid, ask }))
    })
}
