//! Differences of amounts, to the last digit: what a fill moved can have more digits than an amount.

/// Digits before the point: the ledger's largest value has 96.
const WHOLE: i64 = 100;
/// Digits after the point: the smallest value's last is the 96th.
const DIGITS: usize = 200;

/// A number that is not negative, as digits from the highest down.
#[derive(Clone, PartialEq, Eq)]
pub struct Exact([u8; DIGITS]);

impl Exact {
    /// Reads `12.5` or `1250000000000000e-14`, times ten to the `shift`. `None` for what is no such number.
    pub fn parse(text: &str, shift: i64) -> Option<Exact> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let first = WHOLE.checked_sub(exponent.checked_add(shift)?)?.checked_sub(i64::try_from(whole.len()).ok()?)?;
        let mut digits = [0; DIGITS];
        for (place, byte) in (first..).zip(whole.bytes().chain(fraction.bytes())) {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            if digit != 0 {
                *digits.get_mut(usize::try_from(place).ok()?)? = digit;
            }
        }
        Some(Exact(digits))
    }

    /// This less `other`; `None` when other is more.
    pub fn less(&self, other: &Exact) -> Option<Exact> {
        let mut digits = [0; DIGITS];
        let mut borrow = 0;
        for ((to, a), b) in digits.iter_mut().zip(self.0).zip(other.0).rev() {
            let (a, b) = (a + 10, b + borrow);
            *to = (a - b) % 10;
            borrow = u8::from(a - b < 10);
        }
        (borrow == 0).then_some(Exact(digits))
    }

    /// As plain decimal text.
    pub fn text(&self) -> String {
        let digits: String = self.0.iter().map(|digit| char::from(b'0' + digit)).collect();
        let (whole, fraction) = digits.split_at(usize::try_from(WHOLE).unwrap_or_default());
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let whole = if whole.is_empty() { "0" } else { whole };
        if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn less(a: &str, b: &str) -> Option<String> {
        Some(Exact::parse(a, 0)?.less(&Exact::parse(b, 0)?)?.text())
    }

    #[test]
    fn differences_keep_every_digit() {
        assert_eq!(less("100", "0.25").as_deref(), Some("99.75"));
        assert_eq!(less("1000000000000000e-10", "1000000000000000e-96").map(|text| text.len()), Some(87));
        assert_eq!(less("5", "5").as_deref(), Some("0"));
        assert_eq!(less("5", "6"), None);
        assert_eq!(Exact::parse("1500000", -6).map(|n| n.text()).as_deref(), Some("1.5"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["-1", "1x", "1e999", "1e-999", "e"] {
            assert!(Exact::parse(text, 0).is_none_or(|n| n.text() == "0"), "{text}");
        }
    }
}
