//! Amounts of tokens, which this crate encodes and decodes itself.
//!
//! The codec counts the characters of an exponent as digits, and so refuses values that the ledger holds: all below
//! 1e-6 and many large ones, a trust line's largest limit among them. It refuses currency codes of other characters than
//! capitals and digits, and reads some codes of 20 bytes as three letters. So it is given stand-ins of the same length,
//! each unlike any other, and the real 48 bytes take their place afterwards.

use serde_json::Value;

use super::CodecError;
use crate::amount::{format_token_value, parse_token_value};
use crate::types::{Address, Currency};
use neo_market::Dec;

/// Bytes of an amount of a token.
pub(super) const TOKEN_BYTES: usize = 48;
/// The bit that tells a token from XRP (xrpl.org, "Token Amount Format").
const NOT_XRP: u64 = 1 << 63;
/// The bit of positive values.
const POSITIVE: u64 = 1 << 62;
/// What is added to an exponent before it is written.
const EXPONENT_BIAS: i64 = 97;
const MANTISSA_BITS: u32 = 54;
/// Mantissa of a stand-in without its number.
const STAND_IN: u64 = 1_000_000_000_000_000;

/// A stand-in and the bytes that belong in its place.
pub(super) struct Place {
    stand_in: [u8; TOKEN_BYTES],
    real: [u8; TOKEN_BYTES],
}

fn refused(reason: String) -> CodecError {
    CodecError::Refused { reason }
}

fn bytes_of(mantissa: u64, exponent: i64, negative: bool, currency: Currency, issuer: Address) -> [u8; TOKEN_BYTES] {
    let biased = u64::try_from(exponent.saturating_add(EXPONENT_BIAS)).unwrap_or_default();
    let sign = if negative { 0 } else { POSITIVE };
    let number = if mantissa == 0 { NOT_XRP } else { NOT_XRP | sign | biased << MANTISSA_BITS | mantissa };
    let mut bytes = [0; TOKEN_BYTES];
    let all = number.to_be_bytes().into_iter().chain(currency.0).chain(issuer.0);
    for (to, from) in bytes.iter_mut().zip(all) {
        *to = from;
    }
    bytes
}

fn stand_in(number: u64, issuer: Address) -> [u8; TOKEN_BYTES] {
    bytes_of(STAND_IN + number, -15, false, Currency::RLUSD, issuer)
}

fn stand_in_text(number: u64) -> String {
    format!("1.{number:015}")
}

/// Puts stand-ins for the token amounts of a JSON, and writes every currency code in hex.
pub(super) fn take_out(json: &mut Value, places: &mut Vec<Place>) -> Result<(), CodecError> {
    match json {
        Value::Array(all) => all.iter_mut().try_for_each(|value| take_out(value, places)),
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let currency = text("currency").and_then(|code| code.parse::<Currency>().ok());
            let issuer = text("issuer").and_then(|issuer| issuer.parse::<Address>().ok());
            if let (Some(currency), Some(issuer), Some(value)) = (currency, issuer, text("value")) {
                let value = parse_token_value(value).map_err(|e| refused(e.to_string()))?;
                let number = u64::try_from(places.len()).unwrap_or(u64::MAX).saturating_add(1);
                places.push(Place { stand_in: stand_in(number, issuer), real: written(value, currency, issuer)? });
                object.insert("value".to_string(), Value::from(stand_in_text(number)));
                object.insert("currency".to_string(), Value::from(Currency::RLUSD.to_string()));
                return Ok(());
            }
            if let Some(currency) = currency {
                object.insert("currency".to_string(), Value::from(crate::hex::encode_upper(&currency.0)));
            }
            object.values_mut().try_for_each(|value| take_out(value, places))
        }
        _ => Ok(()),
    }
}

/// The 48 bytes of an amount.
pub(super) fn written(value: Dec, currency: Currency, issuer: Address) -> Result<[u8; TOKEN_BYTES], CodecError> {
    let (mantissa, exponent) = value.to_ledger_parts().map_err(|e| refused(e.to_string()))?;
    Ok(bytes_of(mantissa.unsigned_abs(), i64::from(exponent), mantissa < 0, currency, issuer))
}

/// Puts the real bytes in the stand-ins' places.
pub(super) fn put_back(bytes: &mut [u8], places: &[Place]) -> Result<(), CodecError> {
    for place in places {
        let mut found =
            (0..bytes.len()).filter(|at| bytes.get(*at..at + TOKEN_BYTES) == Some(place.stand_in.as_slice()));
        let at = match (found.next(), found.next()) {
            (Some(at), None) => at,
            // The amount of a field that the ledger does not know is left out with its field.
            (None, _) => continue,
            (Some(_), Some(_)) => {
                let reason = "an amount of a token came out of the codec twice; change its value";
                return Err(refused(reason.to_string()));
            }
        };
        if let Some(here) = bytes.get_mut(at..at + TOKEN_BYTES) {
            here.copy_from_slice(&place.real);
        }
    }
    Ok(())
}

/// What a token amount in a blob says.
pub(super) struct Said {
    value: String,
    currency: String,
}

/// Puts stand-ins for the token amounts of a blob that begin at these places.
pub(super) fn cover(bytes: &mut [u8], offsets: &[usize]) -> Result<Vec<Said>, CodecError> {
    let mut all = Vec::with_capacity(offsets.len());
    for (number, offset) in (1..).zip(offsets) {
        let wrong = |reason| CodecError::Malformed { offset: *offset, reason };
        let here = bytes.get_mut(*offset..offset + TOKEN_BYTES).ok_or_else(|| wrong("an amount is cut off"))?;
        let (head, rest) = here.split_at(8);
        let (code, issuer) = rest.split_at(20);
        let number_bytes = <[u8; 8]>::try_from(head).map_err(|_| wrong("an amount is cut off"))?;
        let currency = Currency(<[u8; 20]>::try_from(code).map_err(|_| wrong("an amount is cut off"))?);
        let issuer = Address(<[u8; 20]>::try_from(issuer).map_err(|_| wrong("an amount is cut off"))?);
        let value =
            value_of(u64::from_be_bytes(number_bytes)).ok_or_else(|| wrong("a token's value is out of range"))?;
        all.push(Said { value, currency: currency.to_string() });
        here.copy_from_slice(&stand_in(number, issuer));
    }
    Ok(all)
}

/// The text of a value's eight bytes; `None` for one that the ledger does not hold.
pub(super) fn value_of(number: u64) -> Option<String> {
    let mantissa = i64::try_from(number & ((1 << MANTISSA_BITS) - 1)).ok()?;
    if mantissa == 0 {
        return (number == NOT_XRP).then(|| "0".to_string());
    }
    let exponent = i32::try_from(number >> MANTISSA_BITS & 0xFF).ok()? - i32::try_from(EXPONENT_BIAS).ok()?;
    let value = Dec::from_parts(if number & POSITIVE == 0 { -mantissa } else { mantissa }, exponent).ok()?;
    format_token_value(value).ok()
}

/// Puts what was said in the stand-ins' places.
pub(super) fn uncover(json: &mut Value, said: &[Said]) {
    match json {
        Value::Array(all) => all.iter_mut().for_each(|value| uncover(value, said)),
        Value::Object(object) => {
            let number = object.get("value").and_then(Value::as_str).and_then(number_of);
            match number.and_then(|number| said.get(number)) {
                Some(said) if object.contains_key("currency") => {
                    object.insert("value".to_string(), Value::from(said.value.clone()));
                    object.insert("currency".to_string(), Value::from(said.currency.clone()));
                }
                _ => object.values_mut().for_each(|value| uncover(value, said)),
            }
        }
        _ => {}
    }
}

/// The place in the list of a stand-in's text; its zeros at the end are not written.
fn number_of(text: &str) -> Option<usize> {
    let digits = format!("{:0<15}", text.strip_prefix("1.")?);
    digits.parse::<usize>().ok()?.checked_sub(1)
}
