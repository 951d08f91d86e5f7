//! Runs recorded transaction sequences against the transaction engine and compares every step.
//!
//! `cargo run -p neo-sim --example conformance -- DIR [PREFIX]`: all `*.json` of DIR (whose name begins with PREFIX)
//! except indexes. A step that is not modelled is taken from the recording.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

use std::collections::BTreeMap;

use neo_ledger::{Address, Asset, Hash, LedgerTime, Token};
use neo_sim::amendment::Amendments;
use neo_sim::amm::Amm;
use neo_sim::amount::{Quality, TokenValue, Value};
use neo_sim::apply::tx::{Body, Signer, Tx};
use neo_sim::apply::{Context, Rules, apply};
use neo_sim::keylet;
use neo_sim::state::{AccountRoot, Book, Entry, Key, LineKey, Mark, Offer, OfferKey, State, TrustLine};
use neo_sim::ter::Ter;
use serde_json::Value as Json;

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    out_of_scope: usize,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("the directory of the recorded sequences");
    let prefix = args.next().unwrap_or_default();
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut by_type: BTreeMap<String, Count> = BTreeMap::new();
    let (mut files, mut clean) = (0, 0);
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        if !name.ends_with(".json") || name.starts_with("index") || !name.starts_with(&prefix) {
            continue;
        }
        let file: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        files += 1;
        clean += usize::from(run(&name, &file, &mut by_type));
    }
    for (kind, count) in &by_type {
        println!("{kind}: {} passed, {} failed, {} out of scope", count.passed, count.failed, count.out_of_scope);
    }
    let failed: usize = by_type.values().map(|count| count.failed).sum();
    println!("{clean} of {files} files without a failure");
    std::process::exit(i32::from(failed > 0));
}

fn run(name: &str, file: &Json, by_type: &mut BTreeMap<String, Count>) -> bool {
    let env = &file["env"];
    let number = |field: &str| env[field].as_i64().or_else(|| env[field].as_str()?.parse().ok()).unwrap();
    let rules = Rules {
        network_id: 0,
        base_fee_drops: number("base_fee"),
        reserve_base_drops: number("reserve_base"),
        reserve_inc_drops: number("reserve_increment"),
        amendments: Amendments::default(),
    };
    let mut state = State::default();
    let mut keys: BTreeMap<Hash, Key> = BTreeMap::new();
    let mut clean = true;
    for (number, step) in file["steps"].as_array().unwrap().iter().enumerate() {
        state.commit();
        if step["op"] != "submit" {
            play(&mut state, &mut keys, &step["state_changes"]);
            continue;
        }
        if step["replay"] == false || step["engine_result"].is_null() {
            continue;
        }
        let kind = step["tx_json"]["TransactionType"].as_str().unwrap_or("?").to_string();
        let count = by_type.entry(kind).or_default();
        match check(&mut state, &mut keys, step, &rules) {
            Verdict::Passed => count.passed += 1,
            Verdict::OutOfScope => count.out_of_scope += 1,
            Verdict::Failed(why) => {
                count.failed += 1;
                clean = false;
                println!("{name} step {number}: {why}");
            }
        }
    }
    clean
}

enum Verdict {
    Passed,
    OutOfScope,
    Failed(String),
}

fn check(state: &mut State, keys: &mut BTreeMap<Hash, Key>, step: &Json, rules: &Rules) -> Verdict {
    let mut expected = state.clone();
    play(&mut expected, keys, &step["state_changes"]);
    let Ok(tx) = Tx::parse(step["tx_json"].clone(), Hash([7; 32]), Signer::Simulation) else {
        *state = expected;
        return Verdict::OutOfScope;
    };
    let supported = !matches!(tx.body, Body::Unsupported | Body::Payment { complex: true, .. })
        && tx.preflight() != Ter::TEM_DISABLED
        && !tx.has_ticket;
    if !supported {
        *state = expected;
        return Verdict::OutOfScope;
    }
    let context = Context {
        rules,
        ledger_index: u32::try_from(step["ledger_index"].as_u64().unwrap()).unwrap(),
        parent_close_time: LedgerTime(u32::try_from(step["parent_close_time"].as_u64().unwrap()).unwrap()),
        open: step["applied"] != true,
        retry: false,
        fail_hard: false,
        transaction_index: 0,
        pool_account: None,
    };
    let applied = apply(state, &tx, &context);
    let result = step["engine_result"].as_str().unwrap();
    let mut why = String::new();
    if applied.result.token != result {
        why = format!("result {} instead of {result}", applied.result.token);
    } else {
        let touched = state.touched(Mark::default()).into_iter().chain(expected.touched(Mark::default()));
        for key in touched {
            let (ours, theirs) = (bare(state.entry(key)), bare(expected.entry(key)));
            if ours != theirs {
                why = format!("{key:?}\n   ours   {ours:?}\n   theirs {theirs:?}");
            }
        }
    }
    if why.is_empty() {
        for key in state.touched(Mark::default()) {
            if let Key::Offer(offer) = key {
                keys.insert(keylet::offer(offer), key);
            }
        }
        return Verdict::Passed;
    }
    *state = expected;
    Verdict::Failed(why)
}

/// An entry without what is not compared.
fn bare(entry: Option<Entry>) -> Option<Entry> {
    match entry? {
        Entry::Account(root) => Some(Entry::Account(AccountRoot { previous: None, ..root })),
        Entry::Line(line) => Some(Entry::Line(TrustLine { previous: None, ..line })),
        Entry::Offer(offer) => Some(Entry::Offer(Offer { previous: None, order: 0, ..offer })),
        Entry::Amm(amm) => Some(Entry::Amm(Amm { previous: None, ..amm })),
    }
}

/// Applies recorded changes of state.
fn play(state: &mut State, keys: &mut BTreeMap<Hash, Key>, changes: &Json) {
    for change in changes.as_array().into_iter().flatten() {
        let index: Hash = change["index"].as_str().unwrap().parse().unwrap();
        match change["kind"].as_str().unwrap() {
            "created" => {
                if let Some((key, entry)) = entry_of(&change["entry"], state) {
                    keys.insert(index, key);
                    state.put(key, Some(entry));
                }
            }
            "deleted" => {
                if let Some(key) = keys.get(&index) {
                    state.put(*key, None);
                }
            }
            _ => {
                let Some(key) = keys.get(&index).copied() else { continue };
                if let Some(mut entry) = state.entry(key) {
                    merge(&mut entry, key, &change["new"]);
                    state.put(key, Some(entry));
                }
            }
        }
    }
}

fn amount(json: &Json) -> Option<(Value, Asset)> {
    let amount: neo_ledger::Amount = serde_json::from_value(json.clone()).ok()?;
    Value::from_amount(&amount).ok()
}

fn token(json: &Json) -> Option<(TokenValue, Token)> {
    match amount(json)? {
        (Value::Token(value), Asset::Token(token)) => Some((value, token)),
        _ => None,
    }
}

fn entry_of(json: &Json, state: &mut State) -> Option<(Key, Entry)> {
    let address = || json["Account"].as_str()?.parse::<Address>().ok();
    let number = |field: &str| json[field].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    match json["LedgerEntryType"].as_str()? {
        "AccountRoot" => {
            let root = AccountRoot {
                balance: json["Balance"].as_str()?.parse().ok()?,
                sequence: number("Sequence"),
                owner_count: number("OwnerCount"),
                flags: number("Flags"),
                tick_size: u8::try_from(number("TickSize")).ok()?,
                transfer_rate: number("TransferRate"),
                amm_id: json["AMMID"].as_str().and_then(|id| id.parse().ok()),
                previous: None,
            };
            Some((Key::Account(address()?), Entry::Account(root)))
        }
        "RippleState" => {
            let ((low_limit, low), (high_limit, high)) = (token(&json["LowLimit"])?, token(&json["HighLimit"])?);
            let key = LineKey { low: low.issuer, high: high.issuer, currency: low.currency };
            let balance = token(&json["Balance"])?.0;
            let line = TrustLine { balance, low_limit, high_limit, flags: number("Flags"), previous: None };
            Some((Key::Line(key), Entry::Line(line)))
        }
        "Offer" => {
            let ((taker_gets, gets), (taker_pays, pays)) = (amount(&json["TakerGets"])?, amount(&json["TakerPays"])?);
            let directory: Hash = json["BookDirectory"].as_str()?.parse().ok()?;
            let mut quality = [0; 8];
            quality.copy_from_slice(&directory.0[24..]);
            let offer = Offer {
                book: Book { pays, gets },
                taker_pays,
                taker_gets,
                quality: Quality(u64::from_be_bytes(quality)),
                order: state.take_order(),
                flags: number("Flags"),
                expiration: json["Expiration"].as_u64().and_then(|n| u32::try_from(n).ok()).map(LedgerTime),
                previous: None,
            };
            let sequence = number("Sequence");
            Some((Key::Offer(OfferKey { account: address()?, sequence }), Entry::Offer(offer)))
        }
        _ => None,
    }
}

fn merge(entry: &mut Entry, _key: Key, new: &Json) {
    let number = |field: &str| new.get(field).map(|v| v.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0));
    match entry {
        Entry::Account(root) => {
            if let Some(balance) = new["Balance"].as_str() {
                root.balance = balance.parse().unwrap();
            }
            root.sequence = number("Sequence").unwrap_or(root.sequence);
            root.owner_count = number("OwnerCount").unwrap_or(root.owner_count);
            root.flags = number("Flags").unwrap_or(root.flags);
            root.transfer_rate = number("TransferRate").unwrap_or(root.transfer_rate);
            root.tick_size = number("TickSize").map_or(root.tick_size, |size| u8::try_from(size).unwrap());
        }
        Entry::Line(line) => {
            line.balance = token(&new["Balance"]).map_or(line.balance, |(value, _)| value);
            line.low_limit = token(&new["LowLimit"]).map_or(line.low_limit, |(value, _)| value);
            line.high_limit = token(&new["HighLimit"]).map_or(line.high_limit, |(value, _)| value);
            line.flags = number("Flags").unwrap_or(line.flags);
        }
        Entry::Offer(offer) => {
            offer.taker_gets = amount(&new["TakerGets"]).map_or(offer.taker_gets, |(value, _)| value);
            offer.taker_pays = amount(&new["TakerPays"]).map_or(offer.taker_pays, |(value, _)| value);
        }
        Entry::Amm(_) => {}
    }
}
