//! The crate against real ledger data and recordings of a real node, where they are at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // tests may fail loudly

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use neo_ledger::message::parse;
use neo_ledger::{
    Address, Amount, Asset, Book, Hash, Keypair, LedgerTime, Message, OfferChangeKind, Removal, Token, Transaction,
    ValidatedTransaction, codec, hex, own_transaction,
};
use neo_market::{Dec, Drops, Rounding, Side};
use serde_json::{Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures");

/// The folder of recordings, or a line that says the test did nothing.
fn fixtures(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(FIXTURES);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("{test}: skipped, no recordings at {FIXTURES}");
    None
}

fn read_json(folder: &std::path::Path, path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join(path)).unwrap()).unwrap()
}

/// The same value with amounts, hex and numbers in one form.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(o) if o.len() == 3 && o.contains_key("value") && o.contains_key("issuer") => {
            let mut o = o.clone();
            let number: Dec = o["value"].as_str().unwrap().parse().unwrap();
            o.insert("value".into(), Value::from(number.to_string()));
            Value::Object(o)
        }
        Value::Object(o) => o.iter().map(|(k, v)| (k.clone(), normal(v))).collect(),
        Value::Array(a) => a.iter().map(normal).collect(),
        Value::String(s) if s.len() > 16 && hex::decode(s).is_some() => Value::from(s.to_uppercase()),
        other => other.clone(),
    }
}

#[test]
fn official_codec_fixtures_encode_and_decode() {
    let Some(folder) = fixtures("codec") else { return };
    let all = read_json(&folder, "codec/codec-fixtures.json");
    let mut count = 0;
    for group in ["accountState", "transactions"] {
        for case in all[group].as_array().unwrap() {
            let binary = case["binary"].as_str().unwrap();
            assert_eq!(hex::encode_upper(&codec::encode(&case["json"]).unwrap()), binary, "{group}");
            assert_eq!(normal(&codec::decode(binary).unwrap()), normal(&case["json"]), "{group}");
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn every_cut_of_real_blobs_is_handled() {
    let Some(folder) = fixtures("cuts") else { return };
    let all = read_json(&folder, "codec/codec-fixtures.json");
    for case in all["transactions"].as_array().unwrap() {
        let binary = case["binary"].as_str().unwrap();
        for length in 0..binary.len() {
            match codec::decode(&binary[..length]) {
                // A cut between two fields leaves a shorter but well-formed object.
                Ok(value) => assert_ne!(normal(&value), normal(&case["json"])),
                Err(e) => assert!(!e.to_string().contains("panicked"), "{e} in {binary} at {length}"),
            }
        }
    }
}

#[test]
fn signing_vectors_give_the_published_blobs() {
    let Some(folder) = fixtures("keys") else { return };
    let mut typed = 0;
    for case in read_json(&folder, "keys/signing-vectors.json").as_array().unwrap() {
        let keys = Keypair::from_seed(case["seed"].as_str().unwrap()).unwrap();
        assert_eq!(keys.address().to_string(), case["address"].as_str().unwrap());
        assert_eq!(keys.public_key(), case["public_key"].as_str().unwrap());
        let blob = case["signed_blob"].as_str().unwrap();
        assert_eq!(codec::transaction_hash(blob).unwrap().to_string(), case["hash"].as_str().unwrap());
        let unsigned = &case["tx_unsigned"];
        let signed = keys.sign_json(unsigned).unwrap();
        assert_eq!(signed.blob, blob);
        assert_eq!(codec::verify(&codec::decode(blob).unwrap()).unwrap(), keys.address());
        // Types without fields that we do not write give the same blob from the typed transaction.
        let known = ["Memos", "DestinationTag"].iter().all(|field| unsigned.get(*field).is_none());
        if known && unsigned.get("Flags") != Some(&json!(0)) {
            let tx = Transaction::from_json(unsigned).unwrap();
            assert_eq!(keys.sign(&tx).unwrap(), signed);
            typed += 1;
        }
    }
    assert!(typed >= 15, "{typed} typed");
}

#[test]
fn all_stream_messages_of_a_real_node_parse() {
    let Some(folder) = fixtures("streams") else { return };
    let (mut ledgers, mut transactions) = (0, 0);
    for run in ["trading60_a", "trading15_api1"] {
        let text = std::fs::read_to_string(folder.join(format!("api/rippled/streams/{run}.jsonl"))).unwrap();
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            if event["dir"] != "recv" {
                continue;
            }
            let message = event["msg"].to_string();
            match parse(&message).unwrap() {
                Message::LedgerClosed(ledger) => {
                    assert_eq!(ledger.reserve_inc, Drops::new(200_000));
                    ledgers += 1;
                }
                Message::Transaction(tx) => {
                    let entry = ValidatedTransaction::from_account_tx(&event["msg"]).unwrap();
                    assert_eq!(tx.transaction, entry);
                    transactions += 1;
                }
                Message::Response(response) => {
                    assert!(response.id.is_some());
                    assert_eq!(response.result.is_ok(), event["msg"]["status"] == "success");
                }
                Message::Other { .. } => {}
            }
        }
    }
    assert_eq!((ledgers, transactions), (75, 533));
}

#[test]
fn recorded_answers_have_their_typed_results() {
    use neo_ledger::result::*;
    let Some(folder) = fixtures("results") else { return };
    let mut read = BTreeMap::new();
    for command in [
        "account_info",
        "account_lines",
        "account_offers",
        "server_info",
        "submit",
        "fee",
        "account_tx",
        "tx",
        "book_offers",
    ] {
        for version in [1, 2] {
            for case in
                read_json(&folder, &format!("api/rippled/requests/{command}.v{version}.json")).as_array().unwrap()
            {
                let text = case["response"].to_string();
                let Message::Response(response) = parse(&text).unwrap() else { panic!("{text}") };
                let Ok(result) = response.result else { continue };
                // Binary answers hold no JSON to read, and version 1 of `tx` mixes the transaction into the result.
                if case["request"]["binary"] == true || (command, version) == ("tx", 1) {
                    continue;
                }
                let outcome = match command {
                    "account_info" => AccountInfo::from_value(&result).map(drop),
                    "account_lines" => AccountLines::from_value(&result).map(drop),
                    "account_offers" => AccountOffers::from_value(&result).map(drop),
                    "server_info" => ServerInfo::from_value(&result).map(drop),
                    "submit" => SubmitResult::from_value(&result).map(drop),
                    "fee" => FeeResult::from_value(&result).map(drop),
                    "account_tx" => AccountTx::from_value(&result).map(drop),
                    "tx" => TxResult::from_value(&result).map(drop),
                    _ => BookOffers::from_value(&result).map(drop),
                };
                let name = &case["name"];
                outcome.unwrap_or_else(|e| panic!("{command} v{version} {name}: {e}"));
                *read.entry(command).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(read.len(), 9, "{read:?}");
}

/// True for the lines of `real_tx` that are whole transactions; some upstream tests keep fragments only.
fn whole(case: &Value) -> bool {
    case["hash_verified_from_tx_json"] == true && case["meta"]["AffectedNodes"].is_array()
}

fn entry(tx: &Value, meta: &Value, hash: &str, ledger_index: u64) -> ValidatedTransaction {
    let mut tx = tx.clone();
    // Some collections write these in a way of their own, which no node does.
    for field in ["date", "hash", "ledger_index"] {
        tx.as_object_mut().unwrap().remove(field);
    }
    let entry = json!({"tx_json": tx, "meta": meta, "hash": hash, "ledger_index": ledger_index, "validated": true});
    ValidatedTransaction::from_account_tx(&entry).unwrap()
}

/// Every account with tokens of issuers it trades in, from a transaction's expected balance changes.
fn expected_changes(value: &Value) -> Vec<(Address, Value)> {
    match value {
        Value::Array(all) => {
            all.iter().map(|one| (one["account"].as_str().unwrap().parse().unwrap(), one["balances"].clone())).collect()
        }
        Value::Object(all) => all.iter().map(|(account, b)| (account.parse().unwrap(), b.clone())).collect(),
        _ => Vec::new(),
    }
}

fn dummy_token() -> Token {
    Token { currency: "ZZZ".parse().unwrap(), issuer: Address([9; 20]) }
}

#[test]
fn balance_changes_of_real_transactions_are_the_published_ones() {
    let Some(folder) = fixtures("real_tx") else { return };
    let text = std::fs::read_to_string(folder.join("real_tx/real_tx.jsonl")).unwrap();
    let (mut xrp, mut tokens) = (0, 0);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if !whole(&case) {
            continue;
        }
        let hash = case["hash"].as_str().unwrap().to_string();
        let tx = entry(&case["tx"], &case["meta"], &hash, case["ledger_index"].as_u64().unwrap_or(1));
        for (account, balances) in expected_changes(&case["expected"]["balance_changes"]) {
            for balance in balances.as_array().unwrap() {
                let value: Dec = balance["value"].as_str().unwrap().parse().unwrap();
                if balance["currency"] == "XRP" {
                    let own = own_transaction(&tx, account, dummy_token(), None).unwrap().unwrap();
                    assert_eq!(own.xrp_change.to_xrp().unwrap(), value, "{hash} {account}");
                    xrp += 1;
                    continue;
                }
                let peer = balance["issuer"].as_str().or(balance["counterparty"].as_str()).unwrap();
                let token = Token {
                    currency: balance["currency"].as_str().unwrap().parse().unwrap(),
                    issuer: peer.parse().unwrap(),
                };
                let own = own_transaction(&tx, account, token, None).unwrap().unwrap();
                assert_eq!(own.token_change, value, "{hash} {account} {token}");
                tokens += 1;
            }
        }
    }
    println!("{xrp} XRP changes, {tokens} token changes");
    assert!(xrp > 1000 && tokens > 1000, "{xrp} {tokens}");
}

/// The pair of an expected fill or removal as token, when one side of it is XRP.
fn pair_token(a: &Value, b: &Value) -> Option<Token> {
    let amounts: [Amount; 2] = [serde_json::from_value(a.clone()).ok()?, serde_json::from_value(b.clone()).ok()?];
    match [amounts[0].asset(), amounts[1].asset()] {
        [Asset::Xrp, Asset::Token(token)] | [Asset::Token(token), Asset::Xrp] => Some(token),
        _ => None,
    }
}

/// Owner, token and side of an expected offer, when one side of it is XRP.
fn offer_of(tx: &ValidatedTransaction, expected: &Value) -> Option<(Address, Token, Side)> {
    let owner: Address = expected["owner"].as_str()?.parse().ok()?;
    let of_it = |n: &&neo_ledger::meta::Node| {
        n.entry == neo_ledger::meta::Entry::Offer
            && n.fields.account == Some(owner)
            && n.fields.sequence.map(u64::from) == expected["sequence"].as_u64()
    };
    let node = tx.meta.nodes.iter().find(of_it)?;
    match (node.fields.taker_gets?.asset(), node.fields.taker_pays?.asset()) {
        (Asset::Xrp, Asset::Token(token)) => Some((owner, token, Side::Ask)),
        (Asset::Token(token), Asset::Xrp) => Some((owner, token, Side::Bid)),
        _ => None,
    }
}

/// Checks the fills and removals of one recorded transaction; counts what was compared.
fn check_expected(tx: &ValidatedTransaction, expected: &Value, close: Option<LedgerTime>, counts: &mut [usize; 3]) {
    for fill in expected["maker_fills"].as_array().into_iter().flatten() {
        let sequence = fill["sequence"].as_u64().unwrap();
        let Some((account, token, side)) = offer_of(tx, fill) else { continue };
        let own = own_transaction(tx, account, token, close).unwrap().unwrap();
        let number = |field: &str| fill[field]["value"].as_str().unwrap().parse::<Dec>().unwrap();
        let (sold, bought) = (number("maker_sold"), number("maker_bought"));
        let (xrp, value) = if side == Side::Ask { (sold, bought) } else { (bought, sold) };
        let xrp = Drops::from_xrp(xrp, Rounding::Down).unwrap();
        if xrp.get() == 0 && value.is_zero() {
            continue;
        }
        let found = own.fills.iter().find(|f| u64::from(f.offer_sequence) == sequence && !f.taker);
        let found = found.unwrap_or_else(|| panic!("{} {sequence}: {:?}", tx.hash, own.fills));
        assert_eq!((found.side, found.xrp), (side, xrp), "{}", tx.hash);
        // The last fill of a transaction carries the balance's rounding.
        let off = found.token.sub(value).unwrap().abs();
        let bound = value.abs().mul("1e-9".parse().unwrap(), Rounding::Up).unwrap().max("1e-6".parse().unwrap());
        assert!(off <= bound, "{}: {} instead of {value}", tx.hash, found.token);
        let change = own.offers.iter().find(|o| u64::from(o.sequence) == sequence).unwrap().kind;
        let wanted = match fill["kind"].as_str().unwrap() {
            "partial" => OfferChangeKind::Modified,
            "full" => OfferChangeKind::Removed(Removal::Filled),
            _ => OfferChangeKind::Removed(Removal::Unfunded),
        };
        assert_eq!(change, wanted, "{} {sequence} {fill}", tx.hash);
        counts[0] += 1;
    }
    for removed in expected["removed_offers"].as_array().into_iter().flatten() {
        let Some((account, token, _)) = offer_of(tx, removed) else { continue };
        let own = own_transaction(tx, account, token, close).unwrap().unwrap();
        let sequence = removed["sequence"].as_u64().unwrap();
        let change = own.offers.iter().find(|o| u64::from(o.sequence) == sequence).unwrap().kind;
        let wanted = match removed["kind"].as_str().unwrap() {
            "cancelled_by_offercancel" => Removal::Cancelled,
            "replaced_by_offersequence" => Removal::Replaced,
            "self_cross_removed" => Removal::SelfCrossed,
            "expired" => Removal::Expired,
            "unfunded_or_unusable_removed" => Removal::Unfunded,
            _ => Removal::Other,
        };
        counts[1] += 1;
        if change != OfferChangeKind::Removed(wanted) {
            println!("{} {} {sequence}: {change:?}, expected {}", tx.hash, tx.kind, removed["kind"]);
            counts[2] += 1;
        }
    }
}

#[test]
fn fills_and_removals_of_real_transactions_are_the_published_ones() {
    let Some(folder) = fixtures("real_tx fills") else { return };
    let text = std::fs::read_to_string(folder.join("real_tx/real_tx.jsonl")).unwrap();
    let mut counts = [0; 3];
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if !whole(&case) {
            continue;
        }
        let hash = case["hash"].as_str().unwrap().to_string();
        let tx = entry(&case["tx"], &case["meta"], &hash, case["ledger_index"].as_u64().unwrap_or(1));
        let close = case["close_time"].as_u64().and_then(|t| u32::try_from(t).ok()).map(LedgerTime);
        check_expected(&tx, &case["expected"], close, &mut counts);
    }
    println!("{counts:?}: fills, removals, removals told differently");
    assert!(counts[0] > 80 && counts[1] > 1000 && counts[2] == 0, "{counts:?}");
}

/// The recorded suites of a real node.
fn suites(folder: &std::path::Path) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder.join("dex_sequences")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        if name.starts_with("rippled_") && name.ends_with(".json") {
            all.push((name, serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The validated transactions of a suite, each with its expectations and the parent's close time.
fn steps(suite: &Value) -> Vec<(ValidatedTransaction, Value, Option<LedgerTime>)> {
    let mut all = Vec::new();
    for step in suite["steps"].as_array().unwrap() {
        if step["op"] == "submit" && step["applied"] == true && step["meta"]["AffectedNodes"].is_array() {
            let hash = step["hash"].as_str().unwrap();
            let tx = entry(&step["tx_json"], &step["meta"], hash, step["ledger_index"].as_u64().unwrap());
            let close = step["parent_close_time"].as_u64().and_then(|t| u32::try_from(t).ok()).map(LedgerTime);
            all.push((tx, step["expected"].clone(), close));
        }
    }
    all
}

#[test]
fn fills_of_recorded_suites_match_and_add_up_to_the_balances() {
    let Some(folder) = fixtures("suites") else { return };
    let (mut counts, mut exact, mut residual) = ([0; 3], 0, 0);
    for (_, suite) in suites(&folder) {
        for (tx, expected, close) in steps(&suite) {
            check_expected(&tx, &expected, close, &mut counts);
            let mut tokens = BTreeSet::new();
            for node in &tx.meta.nodes {
                if let (Some(a), Some(b)) = (node.fields.taker_gets, node.fields.taker_pays)
                    && let [Asset::Xrp, Asset::Token(t)] | [Asset::Token(t), Asset::Xrp] = [a.asset(), b.asset()]
                    && let Some(account) = node.fields.account
                {
                    tokens.insert((account, t));
                    tokens.insert((tx.account, t));
                }
            }
            for (account, token) in tokens {
                let own = own_transaction(&tx, account, token, close).unwrap();
                let Some(own) = own.filter(|own| !own.fills.is_empty()) else { continue };
                let (mut xrp, mut value) = (-own.fee.get(), Dec::zero());
                for fill in &own.fills {
                    assert!(fill.xrp.get() >= 0 && !fill.token.is_negative() && fill.price.is_positive());
                    let sign = if fill.side == Side::Bid { 1 } else { -1 };
                    xrp += sign * fill.xrp.get();
                    value = if sign > 0 { value.sub(fill.token) } else { value.add(fill.token) }.unwrap();
                }
                if xrp == own.xrp_change.get() && value == own.token_change {
                    exact += 1;
                } else {
                    residual += 1;
                }
            }
        }
    }
    println!("{counts:?}; {exact} transactions add up exactly, {residual} leave a residual");
    assert!(counts[0] > 100 && counts[2] == 0, "{counts:?}");
    // Residuals are transfer fees, our own payments, and bridged trades that pay a second pair from one balance.
    assert!(exact > 10 * residual, "{exact} {residual}");
}

#[test]
fn a_book_kept_by_metadata_ends_with_the_ledgers_offers() {
    let Some(folder) = fixtures("books") else { return };
    let (mut books, mut offers) = (0, 0);
    for (name, suite) in suites(&folder) {
        // Some suites leave the metadata of their set-up out; those place no offers.
        let mut wanted: BTreeMap<Token, BTreeMap<Hash, (Amount, Amount)>> = BTreeMap::new();
        for offer in suite["final_state"]["Offer"].as_array().into_iter().flatten() {
            let Some(token) = pair_token(&offer["TakerGets"], &offer["TakerPays"]) else { continue };
            let owner: Address = offer["Account"].as_str().unwrap().parse().unwrap();
            let sequence = u32::try_from(offer["Sequence"].as_u64().unwrap()).unwrap();
            let index = neo_ledger::types::offer_index(owner, sequence);
            let amounts = (
                serde_json::from_value(offer["TakerGets"].clone()).unwrap(),
                serde_json::from_value(offer["TakerPays"].clone()).unwrap(),
            );
            wanted.entry(token).or_default().insert(index, amounts);
        }
        for (token, wanted) in wanted {
            let mut book = Book::new(token, Address([0; 20]));
            for (tx, _, _) in steps(&suite) {
                book.apply(&tx).unwrap();
            }
            assert_eq!(book.len(), wanted.len(), "{name} {token}");
            let view = book.view(1, 1000, LedgerTime(0), Drops::ZERO).unwrap();
            let total: i64 = view.bids.iter().chain(&view.asks).map(|l| l.size.get()).sum();
            let sum: i64 = wanted.values().map(|(a, b)| a.drops().or(b.drops()).unwrap().get()).sum();
            assert_eq!(total, sum, "{name} {token}");
            assert!(view.bids.windows(2).all(|w| w[0].price > w[1].price), "{name} {view:?}");
            assert!(view.asks.windows(2).all(|w| w[0].price < w[1].price), "{name} {view:?}");
            books += 1;
            offers += wanted.len();
        }
    }
    println!("{books} books, {offers} offers");
    assert!(books > 20 && offers > 100, "{books} {offers}");
}

#[test]
fn real_books_and_their_funds_are_read() {
    let Some(folder) = fixtures("book_offers") else { return };
    let cases = read_json(&folder, "api/rippled/requests/book_offers.v2.json");
    let find = |name: &str| {
        let case = cases.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap();
        case["response"]["result"]["offers"].as_array().unwrap().clone()
    };
    let (asks, bids) = (find("asks"), find("bids"));
    let token = pair_token(&asks[0]["TakerGets"], &asks[0]["TakerPays"]).unwrap();
    let mut book = Book::new(token, Address([0; 20]));
    book.reset(28, &asks, &bids).unwrap();
    let view = book.view(28, 100, LedgerTime(0), Drops::new(1)).unwrap();
    for (offers, levels, gets_xrp) in [(&asks, &view.asks, true), (&bids, &view.bids, false)] {
        // What the node says is funded: the amount itself unless it states another.
        let mut wanted: Vec<(Dec, i64)> = Vec::new();
        for offer in offers {
            let (full, funded) =
                if gets_xrp { ("TakerGets", "taker_gets_funded") } else { ("TakerPays", "taker_pays_funded") };
            let size: i64 = offer.get(funded).unwrap_or(&offer[full]).as_str().unwrap().parse().unwrap();
            let quality: Dec = offer["quality"].as_str().unwrap().parse().unwrap();
            let million = Dec::from_i64(1_000_000);
            let price = if gets_xrp {
                quality.mul(million, Rounding::HalfEven).unwrap()
            } else {
                million.div(quality, Rounding::HalfEven).unwrap().round_digits(16, Rounding::HalfEven).unwrap()
            };
            match wanted.last_mut() {
                Some(last) if last.0 == price => last.1 += size,
                _ => wanted.push((price, size)),
            }
        }
        wanted.retain(|(_, size)| *size > 0);
        assert_eq!(levels.len(), wanted.len());
        for (level, (price, size)) in levels.iter().zip(&wanted) {
            assert_eq!(level.price, *price);
            // The node rounds funded amounts of the other asset its own way.
            assert!((level.size.get() - size).abs() <= 1, "{level:?} {size}");
        }
    }
    assert!(book.reset(28, &bids, &asks).is_err(), "sides swapped");
    assert!(!book.is_empty(), "a failed reset leaves the book alone");
}
