//! A tape of real trades: CSV with the header `t_ms,price,qty_xrp,notional_usd,taker_side`.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The header line of a tape.
pub const HEADER: &str = "t_ms,price,qty_xrp,notional_usd,taker_side";
/// Largest tape that is read.
const MAX_BYTES: u64 = 1 << 30;
/// Largest price and quantity that make sense.
const MAX_NUMBER: f64 = 1e9;

/// Why a tape cannot be used.
#[derive(Debug, Error)]
pub enum TapeError {
    /// The file cannot be read.
    #[error("cannot read the tape {path}: {source}; give a readable CSV file")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("the tape {path} has {bytes} bytes, more than {MAX_BYTES}; split it")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The header is another one.
    #[error("line 1 of the tape is {found:?}; it must be {HEADER:?}")]
    Header {
        /// What stands there, shortened.
        found: String,
    },
    /// A field cannot be used.
    #[error("line {line} of the tape: {field} is {value:?}; {fix}")]
    Field {
        /// The line, counted from 1.
        line: usize,
        /// The field's name.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it must be.
        fix: &'static str,
    },
    /// There is no trade in it.
    #[error("the tape holds no trade; give one with at least one line after the header")]
    Empty,
}

/// A trade. Its numbers drive the market's participants; what they send is rounded to the ledger's amounts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade {
    /// Milliseconds since the tape's start.
    pub t_ms: u64,
    /// Price in RLUSD for one XRP.
    pub price: f64,
    /// Quantity of XRP.
    pub qty_xrp: f64,
    /// True when the taker bought XRP.
    pub taker_buys: bool,
}

/// A whole tape, ordered by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tape {
    trades: Vec<Trade>,
}

impl Tape {
    /// Reads a file.
    ///
    /// # Errors
    /// [`TapeError`] naming the file, or the line and the field.
    pub fn read(path: &Path) -> Result<Tape, TapeError> {
        let failed = |source| TapeError::Read { path: path.to_path_buf(), source };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > MAX_BYTES {
            return Err(TapeError::TooLarge { path: path.to_path_buf(), bytes });
        }
        Tape::parse(&std::fs::read_to_string(path).map_err(failed)?)
    }

    /// Reads the text of a tape. Times must not go back.
    ///
    /// # Errors
    /// [`TapeError`] naming line and field.
    pub fn parse(text: &str) -> Result<Tape, TapeError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
        let header = lines.next().map_or("", |(_, line)| line);
        if header.trim_start_matches('\u{feff}') != HEADER {
            return Err(TapeError::Header { found: header.chars().take(80).collect() });
        }
        let mut trades: Vec<Trade> = Vec::new();
        for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
            let trade = parse_line(line, text)?;
            if trades.last().is_some_and(|last| last.t_ms > trade.t_ms) {
                let value = trade.t_ms.to_string();
                return Err(TapeError::Field { line, field: "t_ms", value, fix: "times must not go back" });
            }
            trades.push(trade);
        }
        if trades.is_empty() { Err(TapeError::Empty) } else { Ok(Tape { trades }) }
    }

    /// The time of the last trade.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        self.trades.last().map_or(0, |trade| trade.t_ms)
    }

    /// The first trade's price.
    #[must_use]
    pub fn first_price(&self) -> Option<f64> {
        self.trades.first().map(|trade| trade.price)
    }

    /// Number of trades.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trades.len()
    }

    /// True without trades.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trades.is_empty()
    }

    /// Trades from `from_ms` (included) to `to_ms` (excluded).
    pub fn between(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = Trade> {
        let first = self.trades.partition_point(|trade| trade.t_ms < from_ms);
        self.trades.iter().skip(first).take_while(move |trade| trade.t_ms < to_ms).copied()
    }
}

fn parse_line(line: usize, text: &str) -> Result<Trade, TapeError> {
    let mut fields = text.split(',').map(str::trim);
    let mut next = |field: &'static str| {
        let missing = || TapeError::Field { line, field, value: String::new(), fix: "a line has five fields" };
        fields.next().ok_or_else(missing)
    };
    let t_ms = next("t_ms")?;
    let price = next("price")?;
    let qty_xrp = next("qty_xrp")?;
    // What the trade was worth elsewhere is not needed, but a broken line is better found than skipped.
    let notional_usd = next("notional_usd")?;
    let taker_side = next("taker_side")?;
    let refuse = |field, value: &str, fix| {
        let value = value.chars().take(40).collect();
        TapeError::Field { line, field, value, fix }
    };
    if let Some(more) = fields.next() {
        return Err(refuse("taker_side", more, "a line has five fields"));
    }
    let positive = |field, value: &str| {
        let number = value.parse::<f64>().ok().filter(|n| *n > 0.0 && *n <= MAX_NUMBER);
        number.ok_or_else(|| refuse(field, value, "it must be a number above 0, at most 1e9"))
    };
    positive("notional_usd", notional_usd)?;
    Ok(Trade {
        t_ms: t_ms.parse().map_err(|_| refuse("t_ms", t_ms, "it must be whole milliseconds from 0"))?,
        price: positive("price", price)?,
        qty_xrp: positive("qty_xrp", qty_xrp)?,
        taker_buys: match taker_side {
            "buy" => true,
            "sell" => false,
            other => return Err(refuse("taker_side", other, "it must be buy or sell")),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trades_are_found_by_time() {
        let tape =
            Tape::parse(&format!("{HEADER}\n0,2.5,10,25,sell\n3900,2.6,1,2.6,buy\r\n8000,2.7,1,2.7,buy\n")).unwrap();
        assert_eq!((tape.len(), tape.duration_ms(), tape.first_price()), (3, 8000, Some(2.5)));
        let prices = |from, to| tape.between(from, to).map(|trade| trade.price).collect::<Vec<_>>();
        assert_eq!(prices(0, 3900), [2.5]);
        assert_eq!(prices(3900, 8001), [2.6, 2.7]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (line, name) in [
            ("x,2.5,10,25,sell", "t_ms"),
            ("0,-1,10,25,sell", "price"),
            ("0,NaN,10,25,sell", "price"),
            ("0,2.5,inf,25,sell", "qty_xrp"),
            ("0,2.5,10,,sell", "notional_usd"),
            ("0,2.5,10,25,hold", "taker_side"),
            ("0,2.5,10,25", "taker_side"),
            ("0,2.5,10,25,buy,1", "taker_side"),
        ] {
            let error = Tape::parse(&format!("{HEADER}\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("line 2"), "{error}");
        }
        assert!(matches!(Tape::parse("a,b\n"), Err(TapeError::Header { .. })));
        assert!(matches!(Tape::parse(HEADER), Err(TapeError::Empty)));
        let back = format!("{HEADER}\n5,1,1,1,buy\n4,1,1,1,buy\n");
        assert!(Tape::parse(&back).unwrap_err().to_string().contains("line 3"));
    }
}
