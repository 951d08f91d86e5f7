//! The price of a snapshot is what its sources make it.

use neo_market::decimal::LEDGER_DIGITS;
use neo_market::{AmountError, Dec, Reading, Rounding};
use rusqlite::Connection;

use super::{Check, Report};
use crate::record::SessionNumber;

/// Sources that can be read, whose weights are one, and a price that lies between those that count.
pub(super) fn check(conn: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let sql = "SELECT seq, session, mark_price, mark_sources FROM valuation_snapshots
               WHERE mark_sources IS NOT NULL ORDER BY seq";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, session): (i64, SessionNumber) = (row.get(0)?, row.get(1)?);
        let (mark, sources): (Option<String>, String) = (row.get(2)?, row.get(3)?);
        if let Err(wrong) = sources_of(mark.as_deref(), &sources) {
            let text = format!("mark_sources of snapshot {seq}: {wrong}; a column was changed");
            report.error(Check::Values, Some(session), text);
        }
    }
    Ok(())
}

fn sources_of(mark: Option<&str>, sources: &str) -> Result<(), String> {
    let readings: Vec<Reading> = serde_json::from_str(sources).map_err(|error| format!("not understood: {error}"))?;
    let Some(mark) = mark else { return Err("there are sources and no price".to_string()) };
    // What is no decimal is told by another check.
    let Ok(mark) = mark.parse::<Dec>() else { return Ok(()) };
    let (sum, range) = sum_and_range(&readings).map_err(|error| error.to_string())?;
    if sum != Dec::one() {
        return Err(format!("the weights sum to {sum}, not to 1"));
    }
    match range {
        Some((low, high)) if low <= mark && mark <= high => Ok(()),
        _ => Err(format!("the price {mark} is not between those that count")),
    }
}

/// The sum of the weights, and the lowest and the highest price that counts, to the digits of a price.
fn sum_and_range(readings: &[Reading]) -> Result<(Dec, Option<(Dec, Dec)>), AmountError> {
    let (mut sum, mut range) = (Dec::zero(), None);
    for reading in readings {
        sum = sum.add(reading.weight)?;
        if reading.weight.is_positive() {
            let price = reading.price.round_digits(LEDGER_DIGITS, Rounding::HalfEven)?;
            range = Some(range.map_or((price, price), |(low, high): (Dec, Dec)| (low.min(price), high.max(price))));
        }
    }
    Ok((sum, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_do_not_make_the_price_are_told() {
        let reading = |price: &str, weight: &str| {
            format!(r#"{{"source":"book_mid","price":"{price}","age_ledgers":0,"weight":"{weight}"}}"#)
        };
        let of = |mark, readings: &[String]| sources_of(mark, &format!("[{}]", readings.join(",")));
        // The half of an odd last digit is a seventeenth.
        assert_eq!(of(Some("2.400000000000002"), &[reading("2.4000000000000015", "1")]), Ok(()));
        assert_eq!(of(Some("2.45"), &[reading("2.4", "0.5"), reading("2.5", "0.5"), reading("9", "0")]), Ok(()));
        for (mark, readings) in [
            (Some("2.5"), vec![reading("2.4", "1"), reading("2.5", "0")]),
            (Some("2.4"), vec![reading("2.4", "0.9")]),
            (Some("2.4"), vec![reading("2.4", "1"), reading("2.4", "1")]),
            (Some("2.4"), vec![]),
            (None, vec![reading("2.4", "1")]),
            (Some("2.4"), vec![reading("2,4", "1")]),
        ] {
            assert!(of(mark, &readings).is_err(), "{mark:?} {readings:?}");
        }
    }
}
