//! Any bytes as a WebSocket message and as the body of a POST: every one is answered, with JSON.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use neo_sim::{Node, Scenario};

thread_local! {
    static NODE: RefCell<Option<Node>> = const { RefCell::new(None) };
}

/// The codec behind `neo_ledger::codec` panics on some blobs, which is caught there; libFuzzer's hook would end the run at
/// such a panic. One that nobody catches ends it all the same.
fn let_caught_panics_pass() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| ())));
}

fuzz_target!(|bytes: &[u8]| {
    let_caught_panics_pass();
    NODE.with_borrow_mut(|slot| {
        let node = slot.get_or_insert_with(|| Node::new(&Scenario::default(), 1).expect("a world"));
        let id = node.connect();
        if let Ok(text) = std::str::from_utf8(bytes) {
            let outgoing = node.request(id, text);
            let answer = outgoing.last().expect("an answer");
            let _: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        }
        let (_, reply) = node.post(bytes);
        assert!(reply.status == 200 || reply.status >= 400);
        node.disconnect(id);
        // A fresh world now and then, so that what one input did does not hide in another.
        if node.ledger_index() > 500 {
            *slot = None;
        }
    });
});
