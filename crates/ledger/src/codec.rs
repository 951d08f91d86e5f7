//! The ledger's binary format: transactions to blobs and back, hashes, signatures.
//!
//! The format itself is another crate's work. This module is the only one that names it, and guards what is known of
//! it: its decoder panics on input that is cut off, so a blob's frame is checked before it is decoded.

mod flat;
mod frame;
mod tokens;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use thiserror::Error;
use xrpl::core::binarycodec;
use xrpl::core::keypairs::utils::get_account_id;
use xrpl::core::keypairs::{CryptoImplementation, Ed25519};

use crate::types::{Address, Hash, sha512_half, shown};
use crate::{curve, hex};

/// Prefix of a signed transaction before hashing, "TXN" (xrpl.org, "Hash Prefixes").
const TRANSACTION_PREFIX: [u8; 4] = *b"TXN\0";
/// Prefix of a transaction before it is signed, "STX" (the same page).
const SIGNING_PREFIX: [u8; 4] = *b"STX\0";
/// Largest blob that is decoded; a node refuses transactions far below it.
const MAX_BLOB_BYTES: usize = 1 << 20;

/// Why a value has no blob or a blob no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The text is no hex.
    #[error("the blob is not hexadecimal: it begins with {start:?}; send the signed transaction as hex digits")]
    NotHex {
        /// Its first characters.
        start: String,
    },
    /// The blob is larger than any transaction.
    #[error("the blob has {bytes} bytes, more than {MAX_BLOB_BYTES}; no transaction is so large")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The fields do not fit into each other.
    #[error("the blob is malformed at byte {offset}: {reason}; encode the transaction again")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The codec refused a value.
    #[error("the transaction's fields do not encode or decode: {reason}")]
    Refused {
        /// The codec's words.
        reason: String,
    },
    /// A signature field is absent or no text.
    #[error("the transaction has no text field {field}; sign it first")]
    NotSigned {
        /// The field.
        field: &'static str,
    },
    /// The signature is not of this transaction by this key.
    #[error("the signature does not match the transaction and its SigningPubKey {key}; sign it again")]
    BadSignature {
        /// The public key.
        key: String,
    },
}

/// Runs the codec; a panic of it becomes an error. What is known to make it panic is kept away from it beforehand.
fn guarded<T>(call: impl FnOnce() -> xrpl::core::exceptions::XRPLCoreResult<T>) -> Result<T, CodecError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| CodecError::Refused { reason: e.to_string() }),
        Err(_) => Err(CodecError::Refused { reason: "the codec panicked on it".to_string() }),
    }
}

fn from_codec_hex(text: &str) -> Result<Vec<u8>, CodecError> {
    hex::decode(text).ok_or_else(|| CodecError::Refused { reason: "the codec did not write hex".to_string() })
}

/// The binary form of a transaction's JSON. Fields that the ledger does not know are left out.
///
/// # Errors
/// [`CodecError::Refused`] when a field's value does not encode.
pub fn encode(json: &Value) -> Result<Vec<u8>, CodecError> {
    if let Some(bytes) = flat::encode(json, false) {
        return Ok(bytes);
    }
    with_tokens(json, binarycodec::encode)
}

/// Runs an encoder with the token amounts taken out and put back.
fn with_tokens(
    json: &Value,
    encoder: impl FnOnce(&Value) -> xrpl::core::exceptions::XRPLCoreResult<String>,
) -> Result<Vec<u8>, CodecError> {
    let (mut json, mut places) = (json.clone(), Vec::new());
    tokens::take_out(&mut json, &mut places)?;
    let mut bytes = from_codec_hex(&guarded(|| encoder(&json))?)?;
    tokens::put_back(&mut bytes, &places)?;
    Ok(bytes)
}

/// The bytes that are signed: the prefix "STX" and the fields without the signature.
///
/// # Errors
/// [`CodecError::Refused`] when a field's value does not encode.
pub fn encode_for_signing(json: &Value) -> Result<Vec<u8>, CodecError> {
    if let Some(bytes) = flat::encode(json, true) {
        return Ok([SIGNING_PREFIX.as_slice(), &bytes].concat());
    }
    with_tokens(json, binarycodec::encode_for_signing)
}

/// The JSON of a blob in hex from anyone: cut-off, nested or oversized blobs are errors.
///
/// # Errors
/// [`CodecError::NotHex`], [`CodecError::TooLarge`], [`CodecError::Malformed`], [`CodecError::Refused`].
pub fn decode(blob: &str) -> Result<Value, CodecError> {
    let bytes = blob_bytes(blob)?;
    let offsets = frame::check(&bytes)?;
    match flat::decode(&bytes) {
        Some(json) => Ok(json),
        None => decode_framed(bytes, &offsets),
    }
}

fn decode_framed(mut bytes: Vec<u8>, offsets: &[usize]) -> Result<Value, CodecError> {
    let said = tokens::cover(&mut bytes, offsets)?;
    let mut json = guarded(|| binarycodec::decode(&hex::encode_upper(&bytes)))?;
    tokens::uncover(&mut json, &said);
    Ok(json)
}

#[cfg(test)]
fn decode_by_crate(bytes: &[u8]) -> Result<Value, CodecError> {
    decode_framed(bytes.to_vec(), &frame::check(bytes)?)
}

/// The hash by which the ledger knows a signed transaction.
///
/// # Errors
/// [`CodecError::NotHex`], [`CodecError::TooLarge`].
pub fn transaction_hash(blob: &str) -> Result<Hash, CodecError> {
    Ok(sha512_half(&[&TRANSACTION_PREFIX, &blob_bytes(blob)?]))
}

fn blob_bytes(blob: &str) -> Result<Vec<u8>, CodecError> {
    if blob.len() / 2 > MAX_BLOB_BYTES {
        return Err(CodecError::TooLarge { bytes: blob.len() / 2 });
    }
    hex::decode(blob).ok_or_else(|| CodecError::NotHex { start: shown(blob) })
}

/// Checks the signature of a signed transaction's JSON and says which account the signing key belongs to.
///
/// It does not say that this account may sign for the transaction's `Account`: compare the two.
///
/// # Errors
/// [`CodecError::NotSigned`], [`CodecError::BadSignature`], [`CodecError::Refused`].
pub fn verify(json: &Value) -> Result<Address, CodecError> {
    let (key, signature) = signature_fields(json)?;
    let message = encode_for_signing(json)?;
    if signature_is_valid(&message, signature, key) {
        address_of_key(key).ok_or_else(|| CodecError::BadSignature { key: shown(key) })
    } else {
        Err(CodecError::BadSignature { key: shown(key) })
    }
}

/// The account that the signing key of a signed transaction belongs to. Whether the signature is right is not looked at.
///
/// # Errors
/// [`CodecError::NotSigned`], [`CodecError::BadSignature`] where the key is none.
pub fn signer(json: &Value) -> Result<Address, CodecError> {
    let (key, _) = signature_fields(json)?;
    address_of_key(key).ok_or_else(|| CodecError::BadSignature { key: shown(key) })
}

fn signature_fields(json: &Value) -> Result<(&str, &str), CodecError> {
    let text = |field: &'static str| {
        json.get(field).and_then(Value::as_str).filter(|t| !t.is_empty()).ok_or(CodecError::NotSigned { field })
    };
    Ok((text("SigningPubKey")?, text("TxnSignature")?))
}

/// True when the signature (hex) is of the message by the public key (33 bytes in hex), in either algorithm.
pub(crate) fn signature_is_valid(message: &[u8], signature: &str, key: &str) -> bool {
    let Some(key_bytes) = hex::decode_array::<33>(key) else { return false };
    // Longer than any signature of either algorithm; keeps junk away from the codec.
    let Some(signature_bytes) = Some(signature).filter(|text| text.len() <= 160).and_then(hex::decode) else {
        return false;
    };
    match key_bytes {
        // The same belt as for the decoder: a panic in there means that it is no signature.
        [0xED, ..] => {
            catch_unwind(AssertUnwindSafe(|| Ed25519.is_valid_message(message, signature, key))).unwrap_or(false)
        }
        _ => curve::is_valid(message, &signature_bytes, &key_bytes),
    }
}

/// The account of a public key in hex: RIPEMD-160 of SHA-256 (xrpl.org, "Account ID and Address").
pub(crate) fn address_of_key(key: &str) -> Option<Address> {
    Some(Address(get_account_id(&hex::decode_array::<33>(key)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An OfferCancel signed with a throw-away key.
    fn signed() -> (Value, String) {
        let tx = crate::tx::Transaction {
            account: "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh".parse().unwrap(),
            sequence: 1,
            ticket_sequence: None,
            fee: neo_market::Drops::new(10),
            flags: 0,
            last_ledger_sequence: Some(20),
            network_id: 0,
            body: crate::tx::Body::OfferCancel { offer_sequence: 9 },
        };
        let keys = crate::keys::Keypair::from_entropy([7; 16], crate::keys::Algorithm::Ed25519).unwrap();
        let blob = keys.sign(&crate::tx::Transaction { account: keys.address(), ..tx }).unwrap().blob;
        (decode(&blob).unwrap(), blob)
    }

    #[test]
    fn every_cut_of_a_blob_is_an_error_and_not_a_panic() {
        let (_, blob) = signed();
        let whole = decode(&blob).unwrap();
        for length in 0..blob.len() {
            let cut = blob.get(..length).unwrap();
            // A cut between two fields leaves a shorter but well-formed object.
            match decode(cut) {
                Ok(value) => assert_ne!(value, whole),
                Err(e) => assert!(!e.to_string().contains("panicked"), "{e}"),
            }
        }
        for junk in ["ZZ", "é", "0", "FF", "00", "0000", "E1", "F9EAEAEAEA", "8114", "73FF", "61D0", "0112", "1200"] {
            assert!(decode(junk).is_err(), "{junk}");
        }
        assert!(matches!(decode(&"00".repeat(MAX_BLOB_BYTES + 1)), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn every_token_amount_that_the_ledger_holds_encodes_and_decodes() {
        let lp = "03AABBCCDDEEFF00112233445553444455667788";
        for (value, currency, bytes) in [
            ("9999999999999999e80", "USD", "EC6386F26FC0FFFF"),
            ("1e-81", "USD", "C0438D7EA4C68000"),
            ("-1.5e-7", "$<>", "92C5543DF729C000"),
            ("0", "usd", "8000000000000000"),
            ("1.000000000000001", lp, "D4838D7EA4C68001"),
        ] {
            let amount = json!({"currency": currency, "issuer": "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", "value": value});
            let tx = json!({"TransactionType": "TrustSet", "LimitAmount": amount, "SendMax": amount});
            let blob = hex::encode_upper(&encode(&tx).unwrap());
            assert!(blob.contains(&format!("63{bytes}")) && blob.contains(&format!("69{bytes}")), "{value}: {blob}");
            let back = decode(&blob).unwrap();
            for field in ["LimitAmount", "SendMax"] {
                let read = |json: &Value| serde_json::from_value::<crate::Amount>(json.clone()).unwrap();
                assert_eq!(read(&back[field]), read(&amount));
                assert_eq!(back[field]["currency"], currency);
            }
        }
        let tx = json!({"TransactionType": "TrustSet", "LimitAmount":
            {"currency": "USD", "issuer": "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", "value": "1.2345678901234567"}});
        assert!(encode(&tx).is_err(), "17 digits");
        let amount = json!({"currency": "USD", "issuer": "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", "value": "1"});
        let unknown = json!({"TransactionType": "Payment", "DeliverMax": amount});
        assert_eq!(encode(&unknown).unwrap(), [0x12, 0, 0], "a field that the ledger does not know is left out");
    }

    #[test]
    fn a_changed_transaction_fails_its_signature() {
        let (good, _) = signed();
        assert_eq!(verify(&good).unwrap().to_string(), good["Account"].as_str().unwrap());
        for (field, value) in [("Sequence", json!(2)), ("TxnSignature", json!("00")), ("SigningPubKey", json!("ED"))] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(matches!(verify(&bad), Err(CodecError::BadSignature { .. })), "{field}");
        }
        let mut unsigned = good;
        unsigned.as_object_mut().unwrap().remove("TxnSignature");
        assert_eq!(verify(&unsigned), Err(CodecError::NotSigned { field: "TxnSignature" }));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            if let Err(e) = decode(&hex::encode_upper(&bytes)) {
                proptest::prop_assert!(!e.to_string().contains("panicked"), "{}", e);
            }
        }

        #[test]
        fn a_blob_with_one_byte_changed_never_panics(at in 0_usize..180, byte in 0_u8..) {
            let (_, blob) = signed();
            let mut bytes = hex::decode(&blob).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            match decode(&hex::encode_upper(&bytes)) {
                Ok(value) => {
                    proptest::prop_assert!(verify(&value).is_err() || hex::encode_upper(&bytes) == blob);
                }
                Err(e) => proptest::prop_assert!(!e.to_string().contains("panicked"), "{}", e),
            }
        }
    }
}
