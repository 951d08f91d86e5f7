//! What the account is worth.

use crate::{AmountError, Balances, Dec, Rounding};

/// `total_value_rlusd`: the RLUSD plus all XRP, the reserve included, at `mark` (RLUSD for one XRP).
///
/// Without a mark the value is unknown, `None`, never 0. Exact up to the 34 digits of [`Dec`], which hold every balance
/// at a mark of 16 digits.
///
/// # Errors
/// [`AmountError::Overflow`] when the mark is absurd.
pub fn value(balances: &Balances, mark: Option<Dec>) -> Result<Option<Dec>, AmountError> {
    let Some(mark) = mark else { return Ok(None) };
    let xrp_value = balances.xrp.to_xrp()?.mul(mark, Rounding::HalfEven)?;
    balances.rlusd.add(xrp_value).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Drops;

    fn balances() -> Balances {
        let rlusd = "123.456789012345".parse().unwrap();
        Balances { xrp: Drops::new(10_000_000_001), reserve: Drops::new(1_000_000), rlusd }
    }

    #[test]
    fn the_value_is_exact_to_the_last_digit() {
        let mark = "2.400000000000001".parse().unwrap();
        // 10000.000001 * 2.400000000000001 + 123.456789012345
        let expected = "24123.456791412355000000001".parse().unwrap();
        assert_eq!(value(&balances(), Some(mark)).unwrap(), Some(expected));
    }

    #[test]
    fn without_a_mark_the_value_is_unknown_not_zero() {
        assert_eq!(value(&balances(), None).unwrap(), None);
    }
}
