//! From a source's text to a price and its age, or to what is wrong with it. Pure: the time is passed in.

use chrono::DateTime;
use neo_market::decimal::LEDGER_DIGITS;
use neo_market::reference::OutsideConfig;
use neo_market::{Dec, OutsideReading, Rounding};
use serde_json::Value;

/// Clocks of two programs on one machine agree to this; a price from farther ahead would never grow old.
const AHEAD_MAX_S: i64 = 60;
/// A price is at least this power of ten below one and at most as far above.
const PRICE_PLACES: i32 = 12;

/// The price in `text`, as old as its own time says; without one as old as what was written at `written_s`, else new. Times
/// are Unix seconds.
///
/// # Errors
/// In words, what is wrong with the text.
pub fn parse(text: &str, config: &OutsideConfig, written_s: Option<i64>, now_s: i64) -> Result<OutsideReading, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON ({error})"))?;
    let found = value.pointer(&config.price).ok_or_else(|| format!("it has nothing at {:?}", config.price))?;
    let price = price_of(found).ok_or_else(|| format!("{} is no price", shown(found)))?;
    let at_s = match &config.time {
        None => written_s.unwrap_or(now_s),
        Some(pointer) => {
            let found = value.pointer(pointer).ok_or_else(|| format!("it has nothing at {pointer:?}"))?;
            time_of(found).ok_or_else(|| format!("{} is no time; write Unix seconds or RFC 3339", shown(found)))?
        }
    };
    let ahead_s = at_s.saturating_sub(now_s);
    if ahead_s > AHEAD_MAX_S {
        return Err(format!("its time is {ahead_s} s ahead of this machine's clock"));
    }
    let age_s = u64::try_from(now_s.saturating_sub(at_s)).unwrap_or(0);
    Ok(OutsideReading { price, age_s })
}

/// A number, or a text of one; by its digits, never by a float.
fn price_of(value: &Value) -> Option<Dec> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let Ok(exact) = text.parse::<Dec>() else { return None };
    let Ok(price) = exact.round_digits(LEDGER_DIGITS, Rounding::HalfEven) else { return None };
    // Beyond this no XRP was ever worth, and arithmetic with it loses its digits.
    let (Ok(least), Ok(most)) = (Dec::from_parts(1, -PRICE_PLACES), Dec::from_parts(1, PRICE_PLACES)) else {
        return None;
    };
    (least <= price && price <= most).then_some(price)
}

fn time_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(&number.to_string())),
        Value::String(text) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Some(time.timestamp()),
            Err(_) => whole(text),
        },
        _ => None,
    }
}

/// The whole seconds of a decimal.
fn whole(text: &str) -> Option<i64> {
    let Ok(exact) = text.parse::<Dec>() else { return None };
    let Ok(seconds) = exact.round_places(0, Rounding::Down).and_then(Dec::to_i64) else { return None };
    Some(seconds)
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    fn config(price: &str, time: Option<&str>) -> OutsideConfig {
        OutsideConfig { price: price.to_string(), time: time.map(ToString::to_string), ..OutsideConfig::default() }
    }

    fn of(text: &str, config: &OutsideConfig, written_s: Option<i64>) -> Result<(String, u64), String> {
        parse(text, config, written_s, NOW_S).map(|reading| (reading.price.to_string(), reading.age_s))
    }

    #[test]
    fn prices_are_numbers_or_texts_at_their_pointer() {
        let plain = config("/price", None);
        for text in [r#"{"price": 2.4012}"#, r#"{"price": "2.4012", "more": [1]}"#] {
            assert_eq!(of(text, &plain, None), Ok(("2.4012".into(), 0)), "{text}");
        }
        assert_eq!(of(r#"{"a": {"b": [1, "2.5"]}}"#, &config("/a/b/1", None), None), Ok(("2.5".into(), 0)));
        assert_eq!(of("2.5", &config("", None), None), Ok(("2.5".into(), 0)));
        assert_eq!(of(r#"{"price": "2.40000000000000049"}"#, &plain, None), Ok(("2.4".into(), 0)), "sixteen digits");
    }

    #[test]
    fn a_price_is_as_old_as_its_time_says_else_as_its_file() {
        let timed = config("/price", Some("/at"));
        let text = |at: &str| format!(r#"{{"price": 2.4, "at": {at}}}"#);
        for (at, age_s) in [
            ("1799999990", 10),
            ("1799999990.75", 10),
            (r#""1799999990""#, 10),
            (r#""2027-01-15T07:59:00Z""#, 60),
            (r#""2027-01-15T09:59:30+02:00""#, 30),
            ("1800000060", 0),
            ("0", 1_800_000_000),
        ] {
            assert_eq!(of(&text(at), &timed, Some(0)), Ok(("2.4".into(), age_s)), "{at}");
        }
        assert_eq!(of(r#"{"price": 2.4}"#, &config("/price", None), Some(NOW_S - 7)), Ok(("2.4".into(), 7)));
        let ahead = of(&text("1800000061"), &timed, None).unwrap_err();
        assert!(ahead.contains("61 s ahead"), "{ahead}");
        for at in ["null", "true", r#""yesterday""#, "1e300"] {
            assert!(of(&text(at), &timed, None).unwrap_err().contains("is no time"), "{at}");
        }
        assert!(of(r#"{"price": 2.4}"#, &timed, None).unwrap_err().contains("/at"));
    }

    #[test]
    fn what_is_torn_or_absurd_is_no_price() {
        let plain = config("/price", None);
        for text in ["", "{", r#"{"price": 2."#, "\u{0}", "price=2.4"] {
            assert!(of(text, &plain, None).unwrap_err().contains("no JSON"), "{text}");
        }
        assert!(of("[2.4]", &plain, None).unwrap_err().contains("nothing at"));
        for price in ["0", "-2.4", "null", r#""NaN""#, r#""2,4""#, "{}", "1e-300", "1e300", r#""""#] {
            let text = format!(r#"{{"price": {price}}}"#);
            assert!(of(&text, &plain, None).unwrap_err().contains("is no price"), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,80}", time in ".{0,20}") {
            let timed = config("/price", Some("/at"));
            drop(of(&text, &timed, None));
            let object = serde_json::json!({"price": text, "at": time}).to_string();
            drop(of(&object, &timed, Some(i64::MIN)));
            drop(of(&object, &config("/price", None), Some(i64::MIN)));
        }
    }
}
