//! The transactions of a market maker, which this crate encodes and decodes itself.
//!
//! The codec's crate compiles regular expressions for each address and each amount: that is nearly all of the time that
//! signing took. Here is the part of the format that flat transactions need: numbers, amounts, blobs, accounts. Whatever
//! is not exactly of that form (another field, another type, a number in another spelling) is `None` and goes to the
//! crate, and so does every error, so that what is refused is refused in its words. A test holds both against each other.
//!
//! Source: xrpl.org, "Binary Format", and the field codes of `definitions.json`.

use serde_json::{Map, Value};

use super::tokens;
use crate::amount::{MAX_DROPS, parse_drops};
use crate::hex;
use crate::types::{Address, Currency};

/// What a field holds, by its type code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The transaction type, by its name.
    Type,
    Number,
    Amount,
    Blob,
    Account,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Kind::Type => 1,
            Kind::Number => 2,
            Kind::Amount => 6,
            Kind::Blob => 7,
            Kind::Account => 8,
        }
    }
}

/// The signature: it is not signed itself.
const SIGNATURE: &str = "TxnSignature";

/// Name, type and field code, in the order of the binary form.
const FIELDS: [(&str, Kind, u8); 25] = [
    ("TransactionType", Kind::Type, 2),
    ("NetworkID", Kind::Number, 1),
    ("Flags", Kind::Number, 2),
    ("SourceTag", Kind::Number, 3),
    ("Sequence", Kind::Number, 4),
    ("Expiration", Kind::Number, 10),
    ("DestinationTag", Kind::Number, 14),
    ("QualityIn", Kind::Number, 20),
    ("QualityOut", Kind::Number, 21),
    ("OfferSequence", Kind::Number, 25),
    ("LastLedgerSequence", Kind::Number, 27),
    ("SetFlag", Kind::Number, 33),
    ("ClearFlag", Kind::Number, 34),
    ("TicketCount", Kind::Number, 40),
    ("TicketSequence", Kind::Number, 41),
    ("Amount", Kind::Amount, 1),
    ("LimitAmount", Kind::Amount, 3),
    ("TakerPays", Kind::Amount, 4),
    ("TakerGets", Kind::Amount, 5),
    ("Fee", Kind::Amount, 8),
    ("SendMax", Kind::Amount, 9),
    ("SigningPubKey", Kind::Blob, 3),
    (SIGNATURE, Kind::Blob, 4),
    ("Account", Kind::Account, 1),
    ("Destination", Kind::Account, 3),
];

/// The transaction types, with their numbers.
const TYPES: [(&str, u16); 6] =
    [("Payment", 0), ("AccountSet", 3), ("OfferCreate", 7), ("OfferCancel", 8), ("TicketCreate", 10), ("TrustSet", 20)];

/// Longest blob whose length is one byte.
const SHORT_BYTES: usize = 192;
/// The bit of an XRP amount that is not negative.
const POSITIVE: u64 = 1 << 62;
/// The bits of an amount that say what it is.
const KIND_BITS: u64 = 0b111 << 61;

/// The binary form; with `for_signing` without the signature.
pub(super) fn encode(json: &Value, for_signing: bool) -> Option<Vec<u8>> {
    let object = json.as_object()?;
    let mut bytes = Vec::with_capacity(256);
    let mut written = 0;
    for (name, kind, field) in FIELDS {
        let Some(value) = object.get(name) else { continue };
        written += 1;
        if for_signing && name == SIGNATURE {
            // It has to be one, as the crate wants it.
            blob(value)?;
            continue;
        }
        match field {
            0..16 => bytes.push(kind.code() << 4 | field),
            _ => bytes.extend([kind.code() << 4, field]),
        }
        put(kind, value, &mut bytes)?;
    }
    (written == object.len()).then_some(bytes)
}

fn put(kind: Kind, value: &Value, bytes: &mut Vec<u8>) -> Option<()> {
    match kind {
        Kind::Type => {
            let name = value.as_str()?;
            let (_, number) = TYPES.iter().find(|(known, _)| *known == name)?;
            bytes.extend(number.to_be_bytes());
        }
        Kind::Number => bytes.extend(u32::try_from(value.as_u64()?).ok()?.to_be_bytes()),
        Kind::Amount => match value {
            Value::String(text) => bytes.extend((POSITIVE | drops(text)?).to_be_bytes()),
            _ => bytes.extend(token(value)?),
        },
        Kind::Blob => {
            let blob = blob(value)?;
            bytes.push(u8::try_from(blob.len()).ok()?);
            bytes.extend(blob);
        }
        Kind::Account => {
            let Address(account) = value.as_str()?.parse().ok()?;
            bytes.push(20);
            bytes.extend(account);
        }
    }
    Some(())
}

fn blob(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?).filter(|blob| (1..=SHORT_BYTES).contains(&blob.len()))
}

fn drops(text: &str) -> Option<u64> {
    if text.len() > 1 && text.starts_with('0') {
        return None;
    }
    u64::try_from(parse_drops(text).ok()?.get()).ok()
}

fn token(value: &Value) -> Option<[u8; tokens::TOKEN_BYTES]> {
    let object = value.as_object().filter(|object| object.len() == 3)?;
    let text = |key: &str| object.get(key)?.as_str();
    let (currency, issuer) = (text("currency")?.parse::<Currency>().ok()?, text("issuer")?.parse::<Address>().ok()?);
    let value = crate::amount::parse_token_value(text("value")?).ok()?;
    tokens::written(value, currency, issuer).ok()
}

/// The JSON of a blob whose frame was checked.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let (mut rest, mut object) = (bytes, Map::new());
    let mut known = FIELDS.iter();
    while !rest.is_empty() {
        let [header] = take(&mut rest)?;
        let (kind, mut field) = (header >> 4, header & 15);
        if field == 0 {
            [field] = take(&mut rest)?;
        }
        let (name, kind, _) = known.find(|(_, known, number)| (known.code(), *number) == (kind, field))?;
        object.insert((*name).to_string(), get(*kind, &mut rest)?);
    }
    Some(Value::Object(object))
}

fn get(kind: Kind, rest: &mut &[u8]) -> Option<Value> {
    Some(match kind {
        Kind::Type => {
            let number = u16::from_be_bytes(take(rest)?);
            Value::from(TYPES.iter().find(|(_, known)| *known == number)?.0)
        }
        Kind::Number => Value::from(u32::from_be_bytes(take(rest)?)),
        Kind::Amount => {
            let number = u64::from_be_bytes(take(rest)?);
            if number >> 63 == 1 {
                let (currency, issuer) = (Currency(take(rest)?), Address(take(rest)?));
                let value = tokens::value_of(number)?;
                serde_json::json!({ "currency": currency, "issuer": issuer, "value": value })
            } else if number & KIND_BITS == POSITIVE {
                let drops = i64::try_from(number & !KIND_BITS).ok().filter(|drops| *drops <= MAX_DROPS)?;
                Value::from(drops.to_string())
            } else {
                return None;
            }
        }
        Kind::Blob => {
            let [length] = take(rest)?;
            let length = Some(usize::from(length)).filter(|length| (1..=SHORT_BYTES).contains(length))?;
            let (blob, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Value::from(hex::encode_upper(blob))
        }
        Kind::Account => {
            let [20] = take(rest)? else { return None };
            Value::from(Address(take(rest)?).to_string())
        }
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use xrpl::core::binarycodec;

    use super::super::{decode_by_crate, with_tokens};
    use super::*;

    fn account() -> impl Strategy<Value = Value> {
        any::<[u8; 20]>().prop_map(|bytes| json!(Address(bytes)))
    }

    fn amount() -> impl Strategy<Value = Value> {
        let drops = prop_oneof![Just(0), 0..=MAX_DROPS].prop_map(|drops| json!(drops.to_string()));
        let code = prop_oneof![
            any::<[u8; 20]>().prop_map(|code| hex::encode_upper(&code)),
            "[A-Z0-9]{3}".prop_filter("it is a token", |code| code != "XRP"),
        ];
        let token = (code, account(), -9_999_999_999_999_999_i64..=9_999_999_999_999_999, -40_i32..40).prop_map(
            |(currency, issuer, mantissa, exponent)| {
                json!({ "currency": currency, "issuer": issuer, "value": format!("{mantissa}e{exponent}") })
            },
        );
        prop_oneof![drops, token]
    }

    fn value(kind: Kind) -> BoxedStrategy<Value> {
        match kind {
            Kind::Type => proptest::sample::select(TYPES.map(|(name, _)| json!(name)).to_vec()).boxed(),
            Kind::Number => prop_oneof![Just(0), Just(u32::MAX), any::<u32>()].prop_map(|n| json!(n)).boxed(),
            Kind::Amount => amount().boxed(),
            Kind::Blob => proptest::collection::vec(any::<u8>(), 1..=SHORT_BYTES)
                .prop_map(|bytes| json!(hex::encode_upper(&bytes)))
                .boxed(),
            Kind::Account => account().boxed(),
        }
    }

    /// Any of the fields, each there or not.
    fn transaction() -> impl Strategy<Value = Value> {
        let fields: Vec<_> = FIELDS.iter().map(|(_, kind, _)| proptest::option::of(value(*kind))).collect();
        fields.prop_map(|values| {
            let there =
                FIELDS.iter().zip(values).filter_map(|((name, _, _), value)| Some(((*name).to_string(), value?)));
            Value::Object(there.collect())
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_here_is_what_the_crate_encodes(tx in transaction()) {
            let here = encode(&tx, false);
            prop_assert!(here.is_some(), "{tx} is of these fields alone");
            prop_assert_eq!(here.clone(), with_tokens(&tx, binarycodec::encode).ok());
            let mut prefixed = b"STX\0".to_vec();
            prefixed.extend(encode(&tx, true).unwrap());
            prop_assert_eq!(prefixed, with_tokens(&tx, binarycodec::encode_for_signing).unwrap());
        }

        #[test]
        fn what_is_decoded_here_is_what_the_crate_decodes(tx in transaction()) {
            let bytes = encode(&tx, false).unwrap();
            prop_assume!(!bytes.is_empty());
            let here = decode(&bytes);
            prop_assert!(here.is_some(), "{tx}");
            prop_assert_eq!(here, decode_by_crate(&bytes).ok());
        }

        #[test]
        fn bytes_that_are_not_of_this_form_are_read_the_same_or_left_to_the_crate(
            tx in transaction(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = encode(&tx, false).unwrap();
            prop_assume!(!bytes.is_empty());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if super::super::frame::check(&bytes).is_ok() && let Some(here) = decode(&bytes) {
                prop_assert_eq!(Some(here), decode_by_crate(&bytes).ok());
            }
        }
    }

    #[test]
    fn what_is_not_of_this_form_is_left_to_the_crate() {
        let whole = json!({ "TransactionType": "OfferCancel", "Fee": "10", "Sequence": 5, "SigningPubKey": "AB" });
        assert!(encode(&whole, false).is_some());
        for (field, value) in [
            ("TransactionType", json!("AMMBid")),
            ("Fee", json!("010")),
            ("Fee", json!("-1")),
            ("Fee", json!(10)),
            ("Fee", json!({ "value": "1", "currency": "USD" })),
            ("Sequence", json!("5")),
            ("Sequence", json!(-5)),
            ("Sequence", json!(4_294_967_296_u64)),
            ("SigningPubKey", json!("")),
            ("SigningPubKey", json!("A")),
            ("Account", json!("r")),
            ("hash", json!("00")),
            ("Memos", json!([])),
        ] {
            let mut other = whole.clone();
            other[field] = value;
            assert_eq!(encode(&other, false), None, "{field}: {other}");
        }
    }
}
