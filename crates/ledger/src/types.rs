//! The ledger's small types: addresses, currencies, assets, hashes, times.
//!
//! All are `Copy`, compare by value and read and print the text that a node uses.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha512};
use thiserror::Error;
use xrpl::core::addresscodec::decode_classic_address;

pub use crate::amount::{Amount, drops_text, format_token_value, parse_drops, parse_token_value};
use crate::{base58, hex};

/// Seconds from 1970-01-01 to the ledger's epoch, 2000-01-01 (xrpl.org, "Specifying Time").
pub const RIPPLE_EPOCH_UNIX_S: i64 = 946_684_800;
/// Characters of the longest classic address (xrpl.org, "Addresses": 25 to 35).
const MAX_ADDRESS_CHARS: usize = 35;
/// Characters of the shortest classic address.
const MIN_ADDRESS_CHARS: usize = 25;
/// Characters shown of a text that was refused.
const SHOWN_CHARS: usize = 64;

/// Why a text is none of the ledger's types.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Not a classic address, or its checksum does not match.
    #[error("{text:?} is not a classic address: {reason}; copy it again, it begins with r")]
    Address {
        /// What was given, shortened.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a currency code.
    #[error("{text:?} is not a token's currency; write three characters like USD, or 40 hex digits")]
    Currency {
        /// What was given, shortened.
        text: String,
    },
    /// Not a 256-bit hash.
    #[error("{text:?} is not a hash; write 64 hex digits")]
    Hash {
        /// What was given, shortened.
        text: String,
    },
    /// Not a number of drops.
    #[error("{text:?} is not an amount of XRP in drops; write a whole number from 0 to 100000000000000000")]
    Drops {
        /// What was given, shortened.
        text: String,
    },
    /// Not a token's value that the ledger can hold.
    #[error("{text:?} is not a token value: {reason}; the ledger holds 16 digits with exponents from -96 to 80")]
    TokenValue {
        /// What was given, shortened.
        text: String,
        /// What is wrong.
        reason: String,
    },
}

pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// Reads a type from a JSON string through its `FromStr`, without a copy of the text.
pub(crate) fn deserialize_text<'de, D, T>(deserializer: D, what: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = ParseError>,
{
    struct Text<T>(&'static str, std::marker::PhantomData<T>);
    impl<T: FromStr<Err = ParseError>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(what, std::marker::PhantomData))
}

macro_rules! serde_as_text {
    ($type:ty, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize_text(deserializer, $what)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

/// An account's 160-bit id. Ordered by its bytes, which decides the low and the high account of a trust line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 20]);

serde_as_text!(Address, "a classic address");

impl fmt::Display for Address {
    /// The classic address (base58 with checksum).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base58::encode_account(&self.0))
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Address, ParseError> {
        let refuse = |reason: String| ParseError::Address { text: shown(text), reason };
        // The codec panics on some shorter texts, so the length is checked before.
        if !(MIN_ADDRESS_CHARS..=MAX_ADDRESS_CHARS).contains(&text.len()) {
            return Err(refuse(format!("it has {} characters instead of 25 to 35", text.len())));
        }
        if let Some(account) = base58::decode_account(text) {
            return Ok(Address(account));
        }
        let bytes = decode_classic_address(text).map_err(|e| refuse(e.to_string()))?;
        <[u8; 20]>::try_from(bytes)
            .map(Address)
            .map_err(|b| refuse(format!("it holds {} bytes instead of 20", b.len())))
    }
}

/// A token's 160-bit currency code; never XRP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(pub [u8; 20]);

impl Currency {
    /// RLUSD, `524C555344000000000000000000000000000000`.
    pub const RLUSD: Currency = Currency([0x52, 0x4C, 0x55, 0x53, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// The three characters of a standard code, when this is one (xrpl.org, "Currency Codes").
    fn standard_code(&self) -> Option<&str> {
        let (head, rest) = self.0.split_at_checked(12)?;
        let (code, tail) = rest.split_at_checked(3)?;
        let standard = head.iter().chain(tail).all(|b| *b == 0) && code.iter().all(|b| is_code_character(*b));
        std::str::from_utf8(code).ok().filter(|code| standard && *code != "XRP")
    }
}

serde_as_text!(Currency, "a currency code");

fn is_code_character(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"?!@#$%^&*<>(){}[]|".contains(&b)
}

impl fmt::Display for Currency {
    /// The three-character code, or 40 upper-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standard_code() {
            Some(code) => f.pad(code),
            None => hex::write_upper(f, &self.0),
        }
    }
}

impl FromStr for Currency {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Currency, ParseError> {
        let refuse = || ParseError::Currency { text: shown(text) };
        let bytes = match text.as_bytes() {
            [a, b, c] => {
                let mut bytes = [0; 20];
                for (to, from) in bytes.iter_mut().skip(12).zip([*a, *b, *c]) {
                    *to = from;
                }
                Some(bytes).filter(|_| text != "XRP" && text.bytes().all(is_code_character))
            }
            _ => hex::decode_array(text),
        };
        // All zeros is XRP itself, which is no token.
        bytes.filter(|b| b != &[0; 20]).map(Currency).ok_or_else(refuse)
    }
}

/// A token: a currency of one issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The currency code.
    pub currency: Currency,
    /// The account whose obligation it is.
    pub issuer: Address,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.currency, self.issuer)
    }
}

/// One side of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asset {
    /// XRP.
    Xrp,
    /// A token.
    Token(Token),
}

impl Serialize for Asset {
    /// As requests name it: `{"currency":"XRP"}` or `{"currency":..., "issuer":...}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self {
            Asset::Token(token) => token.serialize(serializer),
            Asset::Xrp => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("currency", "XRP")?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Asset, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            currency: String,
            issuer: Option<Address>,
        }
        let raw = Raw::deserialize(deserializer)?;
        match (raw.currency.as_str(), raw.issuer) {
            ("XRP", None) => Ok(Asset::Xrp),
            ("XRP", Some(_)) => Err(de::Error::custom("XRP has no issuer; leave the field issuer out")),
            (code, Some(issuer)) => {
                Ok(Asset::Token(Token { currency: code.parse().map_err(de::Error::custom)?, issuer }))
            }
            (_, None) => Err(de::Error::missing_field("issuer")),
        }
    }
}

/// A 256-bit hash: of a transaction, a ledger, or a ledger entry's index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

serde_as_text!(Hash, "a hash of 64 hex digits");

impl fmt::Display for Hash {
    /// 64 upper-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write_upper(f, &self.0)
    }
}

impl FromStr for Hash {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Hash, ParseError> {
        hex::decode_array(text).map(Hash).ok_or_else(|| ParseError::Hash { text: shown(text) })
    }
}

/// The first half of SHA-512 over the parts, one after another (xrpl.org, "Hash Prefixes").
#[must_use]
pub fn sha512_half(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha512::new();
    for part in parts {
        hasher.update(part);
    }
    let mut half = [0; 32];
    for (to, from) in half.iter_mut().zip(hasher.finalize()) {
        *to = from;
    }
    Hash(half)
}

/// The ledger index of an offer: SHA-512Half of 0x006F, the owner and the sequence (xrpl.org, "Offer").
#[must_use]
pub fn offer_index(owner: Address, sequence: u32) -> Hash {
    sha512_half(&[&[0x00, 0x6F], &owner.0, &sequence.to_be_bytes()])
}

/// A time of the ledger: seconds since 2000-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LedgerTime(pub u32);

impl LedgerTime {
    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn to_unix_s(self) -> i64 {
        self.0 as i64 + RIPPLE_EPOCH_UNIX_S
    }

    /// From seconds since 1970-01-01 UTC; `None` before 2000 and after the ledger's 32 bits end (2136).
    #[must_use]
    pub fn from_unix_s(unix_s: i64) -> Option<LedgerTime> {
        u32::try_from(unix_s.checked_sub(RIPPLE_EPOCH_UNIX_S)?).ok().map(LedgerTime)
    }

    /// So many seconds later; stops at the last time the ledger can write.
    #[must_use]
    pub const fn plus_s(self, seconds: u32) -> LedgerTime {
        LedgerTime(self.0.saturating_add(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De";

    #[test]
    fn addresses_convert_both_ways_and_check_their_sum() {
        let address: Address = ISSUER.parse().unwrap();
        assert_eq!(hex::encode_upper(&address.0), "E5E961C6A025C9404AA7B662DD1DF975BE75D13E");
        assert_eq!(address.to_string(), ISSUER);
        assert_eq!(Address([0; 20]).to_string(), "rrrrrrrrrrrrrrrrrrrrrhoLvTp");
        let off_by_one = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5Df";
        for text in ["", "r", off_by_one, "0000000000000000000000000000", &"r".repeat(35), &"é".repeat(14)] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn currencies_print_as_a_node_prints_them() {
        for text in ["USD", "usd", "$<>", "524C555344000000000000000000000000000000"] {
            assert_eq!(text.parse::<Currency>().unwrap().to_string(), text);
        }
        assert_eq!("524C555344000000000000000000000000000000".parse(), Ok(Currency::RLUSD));
        assert_eq!("0000000000000000000000005553440000000000".parse::<Currency>().unwrap().to_string(), "USD");
        // A liquidity token's code whose bytes happen to spell letters stays hex.
        let lp = "03AABBCCDDEEFF00112233445553444455667788";
        assert_eq!(lp.parse::<Currency>().unwrap().to_string(), lp);
        // The bytes of "XRP" are no standard code.
        let fake = "0000000000000000000000005852500000000000";
        assert_eq!(fake.parse::<Currency>().unwrap().to_string(), fake);
        for text in ["XRP", "US", "U D", "", "ÄÖ", "0000000000000000000000000000000000000000"] {
            assert!(text.parse::<Currency>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn assets_are_json_as_requests_name_them() {
        let token = Token { currency: Currency::RLUSD, issuer: ISSUER.parse().unwrap() };
        for asset in [Asset::Xrp, Asset::Token(token)] {
            let text = serde_json::to_string(&asset).unwrap();
            assert_eq!(serde_json::from_str::<Asset>(&text).unwrap(), asset, "{text}");
        }
        assert!(serde_json::from_str::<Asset>(r#"{"currency":"USD"}"#).unwrap_err().to_string().contains("issuer"));
    }

    #[test]
    fn times_count_from_the_year_2000() {
        assert_eq!(LedgerTime(0).to_unix_s(), 946_684_800);
        assert_eq!(LedgerTime::from_unix_s(946_684_801), Some(LedgerTime(1)));
        assert_eq!(LedgerTime::from_unix_s(946_684_799), None);
        assert_eq!(LedgerTime(u32::MAX).plus_s(1), LedgerTime(u32::MAX));
    }

    #[test]
    fn hashes_are_the_first_half_of_sha512() {
        assert_eq!(sha512_half(&[b"a", b"bc"]), sha512_half(&[b"abc"]));
        let known = "DDAF35A193617ABACC417349AE20413112E6FA4E89A97EA20A9EEEE64B55D39A";
        assert_eq!(sha512_half(&[b"abc"]).to_string(), known);
        assert_eq!(known.parse(), Ok(sha512_half(&[b"abc"])));
        assert!("DDAF".parse::<Hash>().is_err());
    }
}
