//! Values of unknown dialects: sessions' ids, money, and whole rows kept as they were.

use neo_market::Dec;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde_json::{Map, Number, Value as Json};

/// A session's id, however it is stored: 12, '12', 12.0 and 'S12' are the same session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    pub(crate) fn of(value: ValueRef<'_>) -> Option<Key> {
        match value {
            ValueRef::Integer(number) => Some(Key::Number(number)),
            ValueRef::Real(number) => number.to_string().parse().ok().map(Key::Number),
            ValueRef::Text(bytes) => {
                let text = String::from_utf8_lossy(bytes).trim().to_string();
                let digits = text.strip_prefix(['S', 's']).unwrap_or(&text);
                if text.is_empty() {
                    return None;
                }
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Some(Key::Text(text));
                }
                Some(digits.parse().map_or(Key::Text(text), Key::Number))
            }
            ValueRef::Null | ValueRef::Blob(_) => None,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Number(number) => write!(f, "S{number}"),
            Key::Text(text) => f.write_str(text),
        }
    }
}

/// An amount of the old database as decimal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Money {
    /// The digits.
    pub(crate) value: Dec,
    /// It was REAL: these are the shortest digits that give the same double, not necessarily the true amount.
    pub(crate) converted: bool,
}

impl Money {
    /// The amount, or why it is unknown.
    pub(crate) fn of(value: ValueRef<'_>) -> Result<Money, String> {
        let parsed = |text: &str, converted| match text.trim().parse() {
            Ok(value) => Ok(Money { value, converted }),
            Err(_) => Err(format!("the old record has {text:?}, which is no amount")),
        };
        match value {
            ValueRef::Null => Err("the old record has none".to_string()),
            ValueRef::Integer(number) => Ok(Money { value: Dec::from_i64(number), converted: false }),
            ValueRef::Real(number) => parsed(&number.to_string(), true),
            ValueRef::Text(bytes) if bytes.trim_ascii().is_empty() => Err("the old record has none".to_string()),
            ValueRef::Text(bytes) => parsed(&String::from_utf8_lossy(bytes), false),
            ValueRef::Blob(_) => Err("the old record has a BLOB, which is no amount".to_string()),
        }
    }
}

/// A value as JSON. What JSON cannot hold is an object that says what it was.
pub(crate) fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => {
            Number::from_f64(number).map_or_else(|| serde_json::json!({ "real": number.to_string() }), Json::Number)
        }
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({ "text": hex(bytes) }),
        },
        ValueRef::Blob(bytes) => serde_json::json!({ "blob": hex(bytes) }),
    }
}

/// A whole row as one JSON object, in the order of its columns' names.
pub(crate) fn row_json(row: &Row<'_>) -> rusqlite::Result<String> {
    let columns = row.as_ref().column_names();
    let mut object = Map::new();
    for (index, name) in columns.into_iter().enumerate() {
        object.insert(name.to_string(), json(row.get_ref(index)?));
    }
    Ok(Json::Object(object).to_string())
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_the_same_however_its_id_is_stored() {
        let key = Some(Key::Number(12));
        assert_eq!(Key::of(ValueRef::Integer(12)), key);
        assert_eq!(Key::of(ValueRef::Real(12.0)), key);
        for text in ["12", "S12", "s12", " S12 "] {
            assert_eq!(Key::of(ValueRef::Text(text.as_bytes())), key, "{text}");
        }
        assert_eq!(Key::of(ValueRef::Text(b"8f3c-1")), Some(Key::Text("8f3c-1".to_string())));
        assert_eq!((Key::of(ValueRef::Text(b"")), Key::of(ValueRef::Null)), (None, None));
        assert_eq!(Key::of(ValueRef::Real(12.5)), None);
    }

    #[test]
    fn a_double_becomes_its_shortest_digits_and_is_marked() {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        for number in [0.1 + 0.2, 1234.56, 100.0, 2.4013, 1e-7, 98765432.123456] {
            let money = Money::of(ValueRef::Real(number)).unwrap();
            assert!(money.converted);
            assert_eq!(money.value.to_string().parse::<f64>().unwrap().to_bits(), number.to_bits());
            // SQLite prints up to 17 digits; ours are not more (leading zeros apart), and both give the same number.
            let theirs: String = sqlite.query_row("SELECT quote(?1)", [number], |row| row.get(0)).unwrap();
            assert_eq!(theirs.parse::<f64>().unwrap().to_bits(), number.to_bits());
            let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
            assert!(digits(&number.to_string()) <= digits(&theirs).max(8), "{number} {theirs}");
        }
        let text = Money::of(ValueRef::Text(b"1234.560")).unwrap();
        assert_eq!((text.value.to_string().as_str(), text.converted), ("1234.56", false));
        assert_eq!(Money::of(ValueRef::Integer(7)).unwrap().value.to_string(), "7");
        for none in [ValueRef::Null, ValueRef::Real(f64::INFINITY), ValueRef::Text(b"n/a"), ValueRef::Blob(b"1")] {
            assert!(Money::of(none).is_err(), "{none:?}");
        }
    }
}
