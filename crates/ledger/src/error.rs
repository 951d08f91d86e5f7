//! What is wrong with something a node sent.

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::types::shown;

/// Largest message that is read; rippled's own answers stay far below.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// A message, an answer or a part of one that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// More than [`MAX_MESSAGE_BYTES`].
    #[error("the node sent a message of {bytes} bytes, more than {MAX_MESSAGE_BYTES}; use another node")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not a JSON object.
    #[error("the node sent something that is no JSON object ({reason}): {start:?}; check that the URL is a node's")]
    NotJson {
        /// The parser's words.
        reason: String,
        /// Its first characters.
        start: String,
    },
    /// A required field is absent.
    #[error("the node's {what} has no field {field}; use a node that speaks the ledger's API")]
    Missing {
        /// What it is missing from.
        what: &'static str,
        /// Its name.
        field: String,
    },
    /// A field has another type or is out of range.
    #[error("the node's {what} has a wrong field {field}: {reason}; use a node that speaks the ledger's API")]
    Wrong {
        /// Where it stands.
        what: &'static str,
        /// Its name.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

/// Decodes text straight into a type; an error names the field.
pub(crate) fn from_text<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, ProtocolError> {
    serde_json::from_str(text).map_err(|e| describe(text, what, &e))
}

/// Decodes a value into a type; an error names the field.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value, what: &'static str) -> Result<T, ProtocolError> {
    match T::deserialize(value) {
        Ok(decoded) => Ok(decoded),
        // Values carry no positions, so the name of the field is found by reading the same value as text.
        Err(e) => from_text(&value.to_string(), what).map_err(|named| match named {
            ProtocolError::NotJson { .. } => ProtocolError::Wrong { what, field: String::new(), reason: e.to_string() },
            named => named,
        }),
    }
}

pub(crate) fn describe(text: &str, what: &'static str, e: &serde_json::Error) -> ProtocolError {
    let reason = e.to_string();
    if !e.is_data() {
        return ProtocolError::NotJson { reason, start: shown(text) };
    }
    if let Some(field) = reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return ProtocolError::Missing { what, field: field.to_string() };
    }
    ProtocolError::Wrong { what, field: field_before(text, e.line(), e.column()), reason }
}

/// The name of the last object key that begins before a position; empty when there is none.
fn field_before(text: &str, line: usize, column: usize) -> String {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>() + column;
    let (mut key, mut string, mut start, mut escaped) = ("", None, None, false);
    for (at, b) in text.bytes().enumerate().take(before) {
        match (start, b) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(from), b'"') => {
                string = text.get(from..at);
                start = None;
            }
            (None, b'"') => start = Some(at + 1),
            (None, b':') => key = string.unwrap_or(key),
            _ => {}
        }
    }
    shown(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        count: u32,
    }

    #[test]
    fn errors_name_the_field() {
        let error = |text: &str| from_text::<Outer>(text, "answer").unwrap_err();
        assert_eq!(error(r#"{"inner":{}}"#), ProtocolError::Missing { what: "answer", field: "count".to_string() });
        for wrong in [r#"{"a":{"b":1},"inner":{"x":":\"q","count":"7"}}"#, "{\n\"inner\":{\n\"count\":-1}}"] {
            assert!(matches!(error(wrong), ProtocolError::Wrong { field, .. } if field == "count"), "{wrong}");
            let value: Value = serde_json::from_str(wrong).unwrap();
            let error = from_value::<Outer>(&value, "answer").unwrap_err();
            assert!(matches!(error, ProtocolError::Wrong { field, .. } if field == "count"), "{wrong}");
        }
        assert!(matches!(error("{\"inner\""), ProtocolError::NotJson { .. }));
        let good: Outer = from_text(r#"{"inner":{"count":3}}"#, "answer").unwrap();
        assert_eq!(good.inner.count, 3);
    }
}
