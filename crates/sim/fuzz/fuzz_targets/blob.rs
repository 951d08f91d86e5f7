//! Any bytes as a transaction's blob: decoded or refused, and what was decoded encodes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use neo_ledger::{codec, hex};

fuzz_target!(|bytes: &[u8]| {
    let blob = hex::encode_upper(bytes);
    if let Ok(json) = codec::decode(&blob) {
        let encoded = codec::encode(&json);
        let verified = codec::verify(&json);
        std::hint::black_box((encoded.is_ok(), verified.is_ok()));
    }
    std::hint::black_box(codec::transaction_hash(&blob).is_ok());
});
