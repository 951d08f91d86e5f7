//! A sequence of transactions of any fields against a small world, without signatures: no panic, and no XRP from nothing.
//!
//! Each transaction is JSON on a line of its own; account names A to D stand for accounts of the world, I for the issuer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use neo_ledger::{Address, Hash, LedgerTime, sha512_half};
use neo_sim::apply::tx::{Signer, Tx};
use neo_sim::ledger::Chain;
use neo_sim::{Node, Scenario};
use serde_json::{Value, json};

fn world() -> Chain {
    thread_local! {
        static FRESH: Chain = {
            let node = Node::new(&Scenario::default(), 1).expect("a world");
            Chain::new(node.scenario().rules(), node.validated_state().clone(), 10, LedgerTime(1_000))
        };
    }
    FRESH.with(Chain::clone)
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut chain = world();
    let accounts: Vec<Address> = chain.open().accounts().map(|(account, _)| account).collect();
    for (at, line) in text.lines().take(16).enumerate() {
        let mut named = line.to_string();
        for (name, account) in ["\"@A\"", "\"@B\"", "\"@C\"", "\"@D\"", "\"@I\""].iter().zip(&accounts) {
            named = named.replace(name, &format!("\"{account}\""));
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(&named) else { continue };
        let account: Option<Address> = fields.get("Account").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let sequence = account.and_then(|account| chain.open().account(account)).map_or(1, |root| root.sequence);
        fields.entry("Sequence").or_insert(json!(sequence));
        fields.entry("Fee").or_insert(json!("10"));
        let hash: Hash = sha512_half(&[&[at as u8], named.as_bytes()]);
        let Ok(tx) = Tx::parse(Value::Object(fields), hash, Signer::Simulation) else { continue };
        chain.submit(tx, at % 3 == 0);
    }
    chain.close(7, LedgerTime(2_000));
    let drops: i64 = chain.validated().accounts().map(|(_, root)| root.balance).sum();
    assert!(drops <= chain.header().total_drops, "XRP from nothing");
});
