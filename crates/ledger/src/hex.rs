//! Hexadecimal text, upper case as the ledger prints it.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Writes bytes in upper-case hex.
///
/// # Errors
/// Only those of the formatter.
pub(crate) fn write_upper(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.pad(&encode_upper(bytes))
}

/// Bytes as upper-case hex.
#[must_use]
pub fn encode_upper(bytes: &[u8]) -> String {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |b| char::from(*b));
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// The bytes of hex text in either case; `None` when a character is no hex digit or one is left over.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

/// Exactly `N` bytes of hex text.
#[must_use]
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (to, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *to = byte(pair)?;
    }
    Some(out)
}

fn byte(pair: &[u8]) -> Option<u8> {
    match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text_convert_both_ways() {
        assert_eq!(encode_upper(&[0, 0x9A, 0xFF]), "009AFF");
        assert_eq!(decode("009aFf"), Some(vec![0, 0x9A, 0xFF]));
        assert_eq!(decode_array::<2>("0102"), Some([1, 2]));
    }

    #[test]
    fn what_is_no_hex_is_refused() {
        for text in ["0", "0g", "é0", "0 "] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert_eq!(decode_array::<2>("010203"), None);
    }
}
