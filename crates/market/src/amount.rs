//! XRP in drops.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decimal::{AmountError, Dec, Rounding};

/// Drops in one XRP.
pub const DROPS_PER_XRP: i64 = 1_000_000;

/// An amount of XRP, or a change of one, in drops (a millionth of an XRP). Serialised as a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Drops(i64);

#[expect(clippy::should_implement_trait, reason = "the operators cannot return the error that these do")]
impl Drops {
    /// No XRP.
    pub const ZERO: Drops = Drops(0);

    /// So many drops.
    #[must_use]
    pub const fn new(drops: i64) -> Drops {
        Drops(drops)
    }

    /// The number of drops.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Sum.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn add(self, rhs: Drops) -> Result<Drops, AmountError> {
        self.0.checked_add(rhs.0).map(Drops).ok_or(AmountError::Overflow { operation: "adding drops" })
    }

    /// Difference.
    ///
    /// # Errors
    /// [`AmountError::Overflow`].
    pub fn sub(self, rhs: Drops) -> Result<Drops, AmountError> {
        self.0.checked_sub(rhs.0).map(Drops).ok_or(AmountError::Overflow { operation: "subtracting drops" })
    }

    /// The same amount in XRP; exact.
    ///
    /// # Errors
    /// None in practice: every 64-bit number of drops fits.
    pub fn to_xrp(self) -> Result<Dec, AmountError> {
        Dec::from_parts(self.0, -6)
    }

    /// An amount of XRP in whole drops, rounded as told.
    ///
    /// # Errors
    /// [`AmountError::Inexact`] when the amount does not fit 64 bits of drops.
    pub fn from_xrp(xrp: Dec, rounding: Rounding) -> Result<Drops, AmountError> {
        let drops = xrp.mul(Dec::from_i64(DROPS_PER_XRP), rounding)?.round_places(0, rounding)?;
        drops.to_i64().map(Drops)
    }
}

impl fmt::Display for Drops {
    /// In XRP, without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_xrp() {
            Ok(xrp) => fmt::Display::fmt(&xrp, f),
            Err(_) => write!(f, "{} drops", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xrp_and_drops_convert_both_ways() {
        assert_eq!(Drops::new(1_500_000).to_xrp().unwrap(), "1.5".parse().unwrap());
        assert_eq!(Drops::from_xrp("1.0000009".parse().unwrap(), Rounding::Down).unwrap(), Drops::new(1_000_000));
        assert_eq!(Drops::from_xrp("1.0000001".parse().unwrap(), Rounding::Up).unwrap(), Drops::new(1_000_001));
        assert_eq!(Drops::new(-1).to_string(), "-0.000001");
        assert!(Drops::from_xrp("1e30".parse().unwrap(), Rounding::Down).is_err());
        assert!(Drops::new(i64::MAX).add(Drops::new(1)).is_err());
    }
}
