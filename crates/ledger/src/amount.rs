//! Amounts as the ledger writes them: drops of XRP, or the value of a token.

use std::fmt;

use neo_market::{Dec, Drops};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::types::{Address, Asset, Currency, ParseError, Token, shown};

/// Most drops there can be: 100 billion XRP (rippled, `STAmount::cMaxNativeN`).
pub const MAX_DROPS: i64 = 100_000_000_000_000_000;
/// Smallest exponent of a 16-digit token mantissa (rippled, `STAmount::cMinOffset`).
const MIN_EXPONENT: i32 = -96;
/// Largest exponent of a 16-digit token mantissa (rippled, `STAmount::cMaxOffset`).
const MAX_EXPONENT: i32 = 80;
/// Exponents for which rippled prints a plain decimal (rippled, `STAmount::getText`).
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i32> = -25..=-5;

/// An amount of XRP or of a token. Its JSON is the ledger's: a string of drops, or `{currency, issuer, value}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// XRP in drops.
    Xrp(Drops),
    /// So much of a token.
    Token {
        /// How much; negative only on trust lines.
        value: Dec,
        /// Of what.
        token: Token,
    },
}

impl Amount {
    /// What it is an amount of.
    #[must_use]
    pub const fn asset(&self) -> Asset {
        match self {
            Amount::Xrp(_) => Asset::Xrp,
            Amount::Token { token, .. } => Asset::Token(*token),
        }
    }

    /// True for nothing of whatever it is.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Amount::Xrp(drops) => drops.get() == 0,
            Amount::Token { value, .. } => value.is_zero(),
        }
    }

    /// The drops, when it is XRP.
    #[must_use]
    pub const fn drops(&self) -> Option<Drops> {
        match self {
            Amount::Xrp(drops) => Some(*drops),
            Amount::Token { .. } => None,
        }
    }

    /// The value, when it is of this token.
    #[must_use]
    pub fn value_of(&self, token: Token) -> Option<Dec> {
        match self {
            Amount::Token { value, token: own } if *own == token => Some(*value),
            _ => None,
        }
    }
}

/// Reads drops from the ledger's text.
///
/// # Errors
/// [`ParseError::Drops`] unless it is a whole number from 0 to [`MAX_DROPS`].
pub fn parse_drops(text: &str) -> Result<Drops, ParseError> {
    let refuse = || ParseError::Drops { text: shown(text) };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse());
    }
    let drops: i64 = text.parse().map_err(|_| refuse())?;
    if drops > MAX_DROPS { Err(refuse()) } else { Ok(Drops::new(drops)) }
}

/// Reads a token's value from the ledger's text, plain or scientific.
///
/// # Errors
/// [`ParseError::TokenValue`] when it is no number, has more than 16 digits, or is out of the ledger's range.
pub fn parse_token_value(text: &str) -> Result<Dec, ParseError> {
    let refuse = |reason: String| ParseError::TokenValue { text: shown(text), reason };
    let value: Dec = text.parse().map_err(|e: neo_market::AmountError| refuse(e.to_string()))?;
    let (_, exponent) = value.to_ledger_parts().map_err(|e| refuse(e.to_string()))?;
    if value.is_zero() {
        // Below what a decimal holds is below what the ledger holds as well: only a written zero is zero.
        let digits = text.split(['e', 'E']).next().unwrap_or(text);
        return if digits.bytes().any(|b| matches!(b, b'1'..=b'9')) {
            Err(refuse("it is too small".to_string()))
        } else {
            Ok(value)
        };
    }
    if exponent < MIN_EXPONENT {
        return Err(refuse("it is too small".to_string()));
    }
    if exponent > MAX_EXPONENT {
        return Err(refuse("it is too large".to_string()));
    }
    Ok(value)
}

/// A token's value as rippled prints it: plain between about 1e-10 and 1e11, else the 16-digit mantissa and exponent.
///
/// # Errors
/// [`ParseError::TokenValue`] when the ledger cannot hold the value.
pub fn format_token_value(value: Dec) -> Result<String, ParseError> {
    let refuse = |reason: String| ParseError::TokenValue { text: shown(&value.to_string()), reason };
    let (mantissa, exponent) = value.to_ledger_parts().map_err(|e| refuse(e.to_string()))?;
    if mantissa == 0 {
        return Ok("0".to_string());
    }
    if !(MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
        return Err(refuse(format!("its exponent is {exponent}")));
    }
    if exponent == 0 || PLAIN_EXPONENTS.contains(&exponent) {
        return Ok(value.to_string());
    }
    Ok(format!("{mantissa}e{exponent}"))
}

/// Serde for a field that holds drops as text, the way ledger messages write XRP: `#[serde(with = "drops_text")]`.
pub mod drops_text {
    use super::*;

    /// Writes the drops as a string.
    ///
    /// # Errors
    /// When there cannot be so many drops, or fewer than none.
    pub fn serialize<S: Serializer>(drops: &Drops, serializer: S) -> Result<S::Ok, S::Error> {
        let text = drops.get().to_string();
        parse_drops(&text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }

    /// Reads drops from a string.
    ///
    /// # Errors
    /// When it is no string or [`parse_drops`] refuses it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Drops, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Drops;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string of drops")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Drops, E> {
                parse_drops(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Amount::Xrp(drops) => drops_text::serialize(drops, serializer),
            Amount::Token { value, token } => {
                let text = format_token_value(*value).map_err(serde::ser::Error::custom)?;
                let mut map = serializer.serialize_struct("Amount", 3)?;
                map.serialize_field("currency", &token.currency)?;
                map.serialize_field("issuer", &token.issuer)?;
                map.serialize_field("value", &text)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        match AnyAmount::deserialize(deserializer)? {
            AnyAmount::Known(Amount::Xrp(drops)) if drops.get() < 0 => {
                Err(de::Error::custom(ParseError::Drops { text: drops.get().to_string() }))
            }
            AnyAmount::Known(amount) => Ok(amount),
            AnyAmount::MultiPurposeToken => Err(de::Error::custom(
                "an amount of a multi-purpose token, which is neither XRP nor a trust-line token",
            )),
        }
    }
}

/// An amount as metadata of strangers may hold it: multi-purpose tokens are told apart, everything else is checked.
/// Drops may be negative: old ledgers hold offers that a rounding fault of their time left so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyAmount {
    Known(Amount),
    MultiPurposeToken,
}

impl<'de> Deserialize<'de> for AnyAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyAmount, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Currency,
    Issuer,
    Value,
    MptIssuanceId,
    #[serde(other)]
    Other,
}

/// A token value read from JSON text.
struct Value(Dec);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token value as a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                parse_token_value(text).map(Value).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Visitor<'de> for AmountVisitor {
    type Value = AnyAmount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount: a string of drops or an object of currency, issuer and value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AnyAmount, E> {
        let drops = match text.strip_prefix('-') {
            None => parse_drops(text),
            Some(digits) => parse_drops(digits).map(|drops| Drops::new(drops.get().saturating_neg())),
        };
        drops.map(|drops| AnyAmount::Known(Amount::Xrp(drops))).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyAmount, A::Error> {
        let (mut currency, mut issuer, mut value) = (None::<Currency>, None::<Address>, None::<Dec>);
        let mut multi_purpose = false;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Currency => currency = Some(map.next_value()?),
                Key::Issuer => issuer = Some(map.next_value()?),
                Key::Value => value = Some(map.next_value::<Value>()?.0),
                Key::MptIssuanceId => {
                    multi_purpose = true;
                    map.next_value::<de::IgnoredAny>()?;
                }
                Key::Other => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        if multi_purpose {
            return Ok(AnyAmount::MultiPurposeToken);
        }
        let currency = currency.ok_or_else(|| de::Error::missing_field("currency"))?;
        let issuer = issuer.ok_or_else(|| de::Error::missing_field("issuer"))?;
        let value = value.ok_or_else(|| de::Error::missing_field("value"))?;
        Ok(AnyAmount::Known(Amount::Token { value, token: Token { currency, issuer } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str) -> String {
        format!(r#"{{"currency":"USD","issuer":"rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De","value":"{value}"}}"#)
    }

    #[test]
    fn json_round_trips_as_rippled_prints_it() {
        let values = ["0", "1", "-2.5", "0.0000000001", "1000000000000000e-26", "99999999999", "1000000000000000e-4"];
        for value in values.into_iter().chain(["9999999999999999e80", "-1000000000000000e-96", "9999999999999999"]) {
            let text = token(value);
            let amount: Amount = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&amount).unwrap(), text);
        }
        let drops: Amount = serde_json::from_str("\"100000000000000000\"").unwrap();
        assert_eq!(drops, Amount::Xrp(Drops::new(MAX_DROPS)));
        assert_eq!(serde_json::to_string(&drops).unwrap(), "\"100000000000000000\"");
    }

    #[test]
    fn what_the_ledger_cannot_hold_is_refused() {
        for value in ["", "NaN", "1e97", "1e-82", "1e-400", "12345678901234567", "1e9999999999"] {
            assert!(serde_json::from_str::<Amount>(&token(value)).is_err(), "{value:?}");
        }
        for drops in ["\"\"", "\"-1\"", "\"1.5\"", "\"1e3\"", "\"100000000000000001\"", "5", "null", "[]", "{}"] {
            assert!(serde_json::from_str::<Amount>(drops).is_err(), "{drops}");
        }
        let mpt = r#"{"mpt_issuance_id":"00","value":"5"}"#;
        assert!(serde_json::from_str::<Amount>(mpt).is_err());
        assert_eq!(serde_json::from_str::<AnyAmount>(mpt).unwrap(), AnyAmount::MultiPurposeToken);
        assert!(format_token_value("1.0000000000000000001".parse().unwrap()).is_err());
    }
}
