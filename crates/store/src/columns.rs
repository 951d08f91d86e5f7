//! How values are written in columns and read back: times, decimals, drops, words.

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use neo_market::{Dec, Drops, Reading, Side};
use rusqlite::types::Type;
use rusqlite::{Error, Row};
use thiserror::Error as ThisError;

/// A time as stored: RFC 3339, UTC, milliseconds. Of fixed width, so that text order is time order.
///
/// Written by hand: of all that is done for a row, this would take the writer the longest.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    let (Ok(year), nanos) = (u32::try_from(at.year()), at.nanosecond()) else { return slow_time(at) };
    if year > 9_999 || nanos >= 1_000_000_000 {
        return slow_time(at);
    }
    let mut text = String::with_capacity(24);
    let parts = [
        (year, 4, '-'),
        (at.month(), 2, '-'),
        (at.day(), 2, 'T'),
        (at.hour(), 2, ':'),
        (at.minute(), 2, ':'),
        (at.second(), 2, '.'),
        (nanos / 1_000_000, 3, 'Z'),
    ];
    for (number, digits, end) in parts {
        for power in (0..digits).rev() {
            text.push(char::from_digit(number / 10_u32.pow(power) % 10, 10).unwrap_or('0'));
        }
        text.push(end);
    }
    text
}

/// Years of more digits and leap seconds.
fn slow_time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A decimal as stored.
pub(crate) fn dec(value: Dec) -> String {
    value.to_string()
}

/// A decimal that may be unknown.
pub(crate) fn dec_opt(value: Option<Dec>) -> Option<String> {
    value.map(dec)
}

/// A time that may be unknown.
pub(crate) fn time_opt(at: Option<DateTime<Utc>>) -> Option<String> {
    at.map(time)
}

/// A count as stored; counts beyond 2^63 do not happen and are stored as the largest integer.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A stored value that this version cannot read.
#[derive(Debug, ThisError)]
#[error("column {column} holds {value:?}, which is not {wanted}")]
struct Unreadable {
    column: &'static str,
    value: String,
    wanted: &'static str,
}

fn unreadable(row: &Row<'_>, column: &'static str, value: String, wanted: &'static str) -> Error {
    let error = Unreadable { column, value: value.chars().take(80).collect(), wanted };
    match row.as_ref().column_index(column) {
        Ok(index) => Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)),
        Err(error) => error,
    }
}

/// Reads columns by name, with errors that name the column and the value.
pub(crate) trait Columns {
    fn time(&self, column: &'static str) -> Result<DateTime<Utc>, Error>;
    fn time_opt(&self, column: &'static str) -> Result<Option<DateTime<Utc>>, Error>;
    fn dec(&self, column: &'static str) -> Result<Dec, Error>;
    fn dec_opt(&self, column: &'static str) -> Result<Option<Dec>, Error>;
    fn drops(&self, column: &'static str) -> Result<Drops, Error>;
    fn side(&self, column: &'static str) -> Result<Side, Error>;
    fn word<T>(&self, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, Error>;
    fn word_opt<T>(&self, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Error>;
    fn readings_opt(&self, column: &'static str) -> Result<Option<Vec<Reading>>, Error>;
    fn count(&self, column: &'static str) -> Result<u64, Error>;
    /// A number of all 64 bits, which INTEGER cannot hold and which is stored as text.
    fn number_opt(&self, column: &'static str) -> Result<Option<u64>, Error>;
}

impl Columns for Row<'_> {
    fn time(&self, column: &'static str) -> Result<DateTime<Utc>, Error> {
        parse_time(self, column, self.get(column)?)
    }

    fn time_opt(&self, column: &'static str) -> Result<Option<DateTime<Utc>>, Error> {
        self.get::<_, Option<String>>(column)?.map(|text| parse_time(self, column, text)).transpose()
    }

    fn dec(&self, column: &'static str) -> Result<Dec, Error> {
        parse_dec(self, column, self.get(column)?)
    }

    fn dec_opt(&self, column: &'static str) -> Result<Option<Dec>, Error> {
        self.get::<_, Option<String>>(column)?.map(|text| parse_dec(self, column, text)).transpose()
    }

    fn drops(&self, column: &'static str) -> Result<Drops, Error> {
        self.get(column).map(Drops::new)
    }

    fn side(&self, column: &'static str) -> Result<Side, Error> {
        self.word(column, |word| Side::BOTH.into_iter().find(|side| side.as_str() == word))
    }

    fn word<T>(&self, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, Error> {
        parse_word(self, column, self.get(column)?, parse)
    }

    fn word_opt<T>(&self, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        self.get::<_, Option<String>>(column)?.map(|text| parse_word(self, column, text, parse)).transpose()
    }

    fn readings_opt(&self, column: &'static str) -> Result<Option<Vec<Reading>>, Error> {
        let Some(text) = self.get::<_, Option<String>>(column)? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(readings) => Ok(Some(readings)),
            Err(_) => Err(unreadable(self, column, text, "a list of prices with their ages and weights")),
        }
    }

    fn count(&self, column: &'static str) -> Result<u64, Error> {
        let value: i64 = self.get(column)?;
        u64::try_from(value).map_err(|_| unreadable(self, column, value.to_string(), "a count"))
    }

    fn number_opt(&self, column: &'static str) -> Result<Option<u64>, Error> {
        let Some(text) = self.get::<_, Option<String>>(column)? else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(unreadable(self, column, text, "a whole number")),
        }
    }
}

fn parse_word<T>(row: &Row<'_>, column: &'static str, text: String, parse: fn(&str) -> Option<T>) -> Result<T, Error> {
    parse(&text).ok_or_else(|| unreadable(row, column, text, "a word that this version knows"))
}

fn parse_time(row: &Row<'_>, column: &'static str, text: String) -> Result<DateTime<Utc>, Error> {
    match DateTime::parse_from_rfc3339(&text) {
        Ok(at) => Ok(at.with_timezone(&Utc)),
        Err(_) => Err(unreadable(row, column, text, "a time such as 2026-04-18T19:21:19.123Z")),
    }
}

fn parse_dec(row: &Row<'_>, column: &'static str, text: String) -> Result<Dec, Error> {
    match text.parse() {
        Ok(value) => Ok(value),
        Err(_) => Err(unreadable(row, column, text, "a decimal such as 2.4013")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_time_is_written_as_rfc_3339(ms in -99_999_999_999_999_i64..999_999_999_999_999) {
            let at = DateTime::from_timestamp_millis(ms).unwrap();
            proptest::prop_assert_eq!(time(at), slow_time(at));
        }
    }

    #[test]
    fn a_leap_second_and_absurd_years_are_written_too() {
        let leap = DateTime::from_timestamp(1_483_228_799, 1_500_000_000).unwrap();
        for at in [leap, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::UNIX_EPOCH] {
            assert_eq!(time(at), slow_time(at));
        }
    }
}
