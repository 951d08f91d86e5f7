//! secp256k1, with tables that are made once for the process.

use std::sync::LazyLock;

use secp256k1::ecdsa::Signature;
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};

use crate::types::sha512_half;

static CURVE: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// The signature of a message in DER: deterministic and low-S, as the ledger demands (RFC 6979; xrpl.org, "Transaction
/// Malleability").
pub(crate) fn sign(message: &[u8], secret: &SecretKey) -> Vec<u8> {
    let digest = Message::from_digest(sha512_half(&[message]).0);
    CURVE.sign_ecdsa(&digest, secret).serialize_der().to_vec()
}

/// True when the signature (DER) is of the message by this public key.
pub(crate) fn is_valid(message: &[u8], signature: &[u8], public: &[u8; 33]) -> bool {
    let digest = Message::from_digest(sha512_half(&[message]).0);
    match (Signature::from_der(signature), PublicKey::from_slice(public)) {
        (Ok(signature), Ok(public)) => CURVE.verify_ecdsa(&digest, &signature, &public).is_ok(),
        _ => false,
    }
}
