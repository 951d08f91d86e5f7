//! Any bytes as a transaction's blob: decoded or refused, and what was decoded encodes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use neo_ledger::{codec, hex};

/// The codec behind `neo_ledger::codec` panics on some blobs, which is caught there; libFuzzer's hook would end the run at
/// such a panic. One that nobody catches ends it all the same.
fn let_caught_panics_pass() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| ())));
}

fuzz_target!(|bytes: &[u8]| {
    let_caught_panics_pass();
    let blob = hex::encode_upper(bytes);
    if let Ok(json) = codec::decode(&blob) {
        let encoded = codec::encode(&json);
        let verified = codec::verify(&json);
        std::hint::black_box((encoded.is_ok(), verified.is_ok()));
    }
    std::hint::black_box(codec::transaction_hash(&blob).is_ok());
});
