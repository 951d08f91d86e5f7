//! Traps of reading the ledger's messages into which other market makers fell, a test each. TRAPS.md lists them all.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests may panic")]

use neo_ledger::meta::own_transaction;
use neo_ledger::result::{AccountInfo, AccountLines, AccountTx};
use neo_ledger::{Address, Book, LedgerTime, OfferChangeKind, OwnTransaction, Removal, Token, ValidatedTransaction};
use neo_market::{Dec, Drops, Side};
use serde_json::{Value, json};

const US: &str = "r37nCkmn4uDXessTksXo4UA2ZL22xHzPeK";
const THEM: &str = "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh";
const ISSUER: &str = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De";
const OTHER_ISSUER: &str = "rhub8VRN55s94qWKDv6jmDy1pUykJzF3wq";
const RLUSD: &str = "524C555344000000000000000000000000000000";

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn token() -> Token {
    Token { currency: RLUSD.parse().unwrap(), issuer: address(ISSUER) }
}

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn rlusd(value: &str) -> Value {
    json!({ "currency": RLUSD, "issuer": ISSUER, "value": value })
}

fn root(account: &str, now: &str, before: Option<&str>) -> Value {
    let mut node = json!({ "LedgerEntryType": "AccountRoot", "LedgerIndex": "AA".repeat(32),
        "FinalFields": { "Account": account, "Balance": now, "Sequence": 9, "OwnerCount": 1 } });
    if let Some(before) = before {
        node["PreviousFields"] = json!({ "Balance": before });
    }
    json!({ "ModifiedNode": node })
}

/// A trust line to `issuer`, which holds `now` of ours; we are its low account or its high one.
fn line(code: &str, issuer: &str, now: &str, before: &str, low: bool) -> Value {
    let amount = |value: &str, issuer: &str| json!({ "currency": code, "issuer": issuer, "value": value });
    let (low_account, high_account) = if low { (US, issuer) } else { (issuer, US) };
    let neutral = "rrrrrrrrrrrrrrrrrrrrBZbvji";
    json!({ "ModifiedNode": { "LedgerEntryType": "RippleState", "LedgerIndex": "BB".repeat(32),
        "FinalFields": { "Balance": amount(now, neutral), "LowLimit": amount("0", low_account),
            "HighLimit": amount("0", high_account) },
        "PreviousFields": { "Balance": amount(before, neutral) } } })
}

/// An ask of ours: what it sells and buys now and, where it changed, before.
fn ask(action: &str, sequence: u32, now: (&str, &str), before: Value) -> Value {
    let fields = if action == "CreatedNode" { "NewFields" } else { "FinalFields" };
    json!({ action: { "LedgerEntryType": "Offer", "LedgerIndex": format!("{sequence:064X}"), "PreviousFields": before,
        fields: { "Account": US, "Sequence": sequence, "TakerGets": now.0, "TakerPays": rlusd(now.1) } } })
}

fn entry(sender: &str, kind: &str, result: &str, nodes: &[Value]) -> Value {
    json!({ "validated": true, "ledger_index": 9, "hash": "CC".repeat(32),
        "tx_json": { "Account": sender, "TransactionType": kind, "Sequence": 8, "Fee": "12", "TakerGets": "100000000",
            "TakerPays": rlusd("999") },
        "meta": { "TransactionIndex": 0, "TransactionResult": result, "AffectedNodes": nodes } })
}

fn tx(sender: &str, kind: &str, result: &str, nodes: &[Value]) -> ValidatedTransaction {
    ValidatedTransaction::from_account_tx(&entry(sender, kind, result, nodes)).unwrap()
}

fn own(tx: &ValidatedTransaction) -> OwnTransaction {
    own_transaction(tx, address(US), token(), Some(LedgerTime(1))).unwrap().unwrap()
}

#[test]
fn d5_our_fee_alone_is_no_fill() {
    let read = own(&tx(US, "OfferCreate", "tesSUCCESS", &[root(US, "988", Some("1000"))]));
    assert_eq!((read.xrp_change, read.fee), (Drops::new(-12), Drops::new(12)));
    assert!(read.fills.is_empty(), "{:?}", read.fills);
}

#[test]
fn d6_a_token_that_moves_without_our_offer_is_no_fill() {
    let nodes = [line(RLUSD, ISSUER, "150", "100", true)];
    let read = own(&tx(THEM, "Payment", "tesSUCCESS", &nodes));
    assert_eq!((read.token_change, read.fills.len()), (d("50"), 0));
    // Our own payment moves token and fee, and is no fill either.
    let nodes = [line(RLUSD, ISSUER, "50", "100", true), root(US, "988", Some("1000"))];
    assert!(own(&tx(US, "Payment", "tesSUCCESS", &nodes)).fills.is_empty());
}

#[test]
fn d7_the_fee_is_no_part_of_what_we_took() {
    let nodes = [root(US, "3988", Some("1000")), line(RLUSD, ISSUER, "99.99", "100", true)];
    let read = own(&tx(US, "OfferCreate", "tesSUCCESS", &nodes));
    let fill = read.fills.first().unwrap();
    assert_eq!((fill.xrp, fill.token, fill.side, fill.taker), (Drops::new(3000), d("0.01"), Side::Bid, true));
}

#[test]
fn d8_what_was_asked_for_is_never_what_was_traded() {
    // The transaction asks for 100 XRP against 999; it rests whole.
    let nodes = [root(US, "988", Some("1000")), ask("CreatedNode", 8, ("100000000", "999"), json!({}))];
    let read = own(&tx(US, "OfferCreate", "tesSUCCESS", &nodes));
    assert!(read.fills.is_empty());
    assert_eq!(read.offers.first().unwrap().kind, OfferChangeKind::Created);
}

#[test]
fn d9_a_fill_whose_other_side_rounds_to_nothing_is_a_fill() {
    let nodes = [ask("ModifiedNode", 5, ("999", "1"), json!({ "TakerGets": "1000" })), root(US, "999", Some("1000"))];
    let read = own(&tx(THEM, "OfferCreate", "tesSUCCESS", &nodes));
    let fill = read.fills.first().unwrap();
    assert_eq!((fill.offer_sequence, fill.xrp, fill.token), (5, Drops::new(1), Dec::zero()));
}

#[test]
fn d9_an_offer_that_dies_with_a_remainder_was_not_filled_whole() {
    let before = json!({ "TakerGets": "1000", "TakerPays": rlusd("10") });
    let nodes = [
        ask("DeletedNode", 5, ("400", "4"), before),
        root(US, "400", Some("1000")),
        line(RLUSD, ISSUER, "6", "0", true),
    ];
    let read = own(&tx(THEM, "OfferCreate", "tesSUCCESS", &nodes));
    assert_eq!(read.offers.first().unwrap().kind, OfferChangeKind::Removed(Removal::Unfunded));
    assert_eq!(read.fills.first().unwrap().xrp, Drops::new(600));
}

#[test]
fn d10_a_page_of_history_says_that_there_are_more() {
    let page = json!({ "ledger_index_min": 2, "ledger_index_max": 9, "marker": { "ledger": 5, "seq": 1 },
        "transactions": [entry(THEM, "Payment", "tesSUCCESS", &[])] });
    let read = AccountTx::from_value(&page).unwrap();
    assert_eq!((read.transactions.len(), read.marker), (1, Some(json!({ "ledger": 5, "seq": 1 }))));
}

#[test]
fn d11_transactions_of_any_type_that_move_our_balance_are_seen() {
    let kinds = ["Clawback", "CheckCash", "AMMWithdraw", "AMMClawback", "EscrowFinish", "Batch", "TypeOfTheFuture"];
    for kind in kinds {
        let read = own(&tx(THEM, kind, "tesSUCCESS", &[line(RLUSD, ISSUER, "60", "100", true)]));
        assert_eq!((read.token_change, read.kind.as_str(), read.fills.len()), (d("-40"), kind, 0));
    }
}

#[test]
fn d15_the_owner_count_is_the_ledgers_and_lines_have_pages() {
    let info = json!({ "ledger_index": 9, "validated": true, "account_data": { "Account": US, "Balance": "5",
        "Sequence": 2, "OwnerCount": 250, "Flags": 0, "PreviousTxnID": "00".repeat(32) } });
    assert_eq!(AccountInfo::from_value(&info).unwrap().owner_count, 250);
    let lines = json!({ "ledger_index": 9, "lines": [], "marker": "next" });
    assert_eq!(AccountLines::from_value(&lines).unwrap().marker, Some(json!("next")));
}

#[test]
fn d20_offers_of_one_price_are_summed_and_an_owners_funds_are_spread_over_them() {
    let offer = |account: &str, sequence: u32, funds: Option<&str>| {
        let mut offer =
            json!({ "Account": account, "Sequence": sequence, "TakerGets": "1000000", "TakerPays": rlusd("2") });
        if let Some(funds) = funds {
            offer["owner_funds"] = json!(funds);
        }
        offer
    };
    let mut book = Book::new(token(), address(US));
    let asks = [
        offer(THEM, 1, Some("1500000")),
        offer(THEM, 2, None),
        offer(OTHER_ISSUER, 3, Some("9000000")),
        offer(US, 4, Some("9000000")),
    ];
    book.reset(9, &asks, &[]).unwrap();
    let view = book.view(9, 10, LedgerTime(0), Drops::new(1)).unwrap();
    let sizes: Vec<i64> = view.asks.iter().map(|level| level.size.get()).collect();
    assert_eq!(sizes, [2_500_000], "1.5 of the first owner, 1 of the second, none of ours");
}

#[test]
fn d20_what_the_node_calls_funded_goes_before_the_owners_balance() {
    // An issuer that takes 25 % for each transfer: of 100 the owner can deliver 80.
    let bid = |sequence: u32, funds: Option<&str>, funded: Option<(&str, &str)>| {
        let mut bid =
            json!({ "Account": THEM, "Sequence": sequence, "TakerGets": rlusd("60"), "TakerPays": "30000000" });
        if let Some(funds) = funds {
            bid["owner_funds"] = json!(funds);
        }
        if let Some((gets, pays)) = funded {
            bid["taker_gets_funded"] = rlusd(gets);
            bid["taker_pays_funded"] = json!(pays);
        }
        bid
    };
    let mut book = Book::new(token(), address(US));
    book.reset(9, &[], &[bid(1, Some("100"), None), bid(2, None, Some(("20", "10000000")))]).unwrap();
    let view = book.view(9, 10, LedgerTime(0), Drops::new(1)).unwrap();
    assert_eq!(view.bids.iter().map(|level| level.size.get()).sum::<i64>(), 40_000_000);
}

#[test]
fn d21_the_fee_is_told_apart_and_small_fills_keep_every_digit() {
    let before = json!({ "TakerGets": "1000", "TakerPays": rlusd("0.000000001000001") });
    let nodes = [
        ask("ModifiedNode", 5, ("999", "0.000000001"), before),
        root(US, "999", Some("1000")),
        line(RLUSD, ISSUER, "0.000000000000001", "0", true),
    ];
    let read = own(&tx(THEM, "OfferCreate", "tesSUCCESS", &nodes));
    let fill = read.fills.first().unwrap();
    assert_eq!((fill.xrp, fill.token, fill.price), (Drops::new(1), d("1e-15"), d("1e-9")));
    assert_eq!(read.fee, Drops::ZERO, "it was not ours to pay");
}

#[test]
fn d24_tokens_of_one_code_and_two_issuers_are_two() {
    let nodes = [line(RLUSD, OTHER_ISSUER, "900", "100", true), line(RLUSD, ISSUER, "7", "5", true)];
    let read = own(&tx(THEM, "Payment", "tesSUCCESS", &nodes));
    assert_eq!((read.token_change, read.after.token), (d("2"), Some(d("7"))));
}

#[test]
fn a_failed_transaction_that_removes_our_offer_fills_nothing() {
    let nodes = [ask("DeletedNode", 5, ("1000", "10"), json!({}))];
    let read = own(&tx(THEM, "OfferCreate", "tecKILLED", &nodes));
    assert!(read.fills.is_empty());
    assert!(matches!(read.offers.first().unwrap().kind, OfferChangeKind::Removed(_)));
}

#[test]
fn a_line_has_its_sign_from_the_side_that_we_are() {
    for (low, now, before) in [(true, "7", "5"), (false, "-7", "-5")] {
        let read = own(&tx(THEM, "Payment", "tesSUCCESS", &[line(RLUSD, ISSUER, now, before, low)]));
        assert_eq!((read.token_change, read.after.token), (d("2"), Some(d("7"))), "low: {low}");
    }
}

#[test]
fn somebody_elses_payment_through_our_offer_is_our_fill() {
    let before = json!({ "TakerGets": "1000", "TakerPays": rlusd("10") });
    let nodes = [
        ask("ModifiedNode", 5, ("500", "5"), before),
        root(US, "500", Some("1000")),
        line(RLUSD, ISSUER, "5", "0", true),
    ];
    let read = own(&tx(THEM, "Payment", "tesSUCCESS", &nodes));
    let fill = read.fills.first().unwrap();
    assert_eq!((fill.offer_sequence, fill.taker, fill.xrp, fill.token), (5, false, Drops::new(500), d("5")));
}

#[test]
fn a_transaction_that_is_not_validated_is_not_final() {
    for validated in [json!(false), Value::Null] {
        let mut entry = entry(THEM, "Payment", "tesSUCCESS", &[]);
        entry["validated"] = validated;
        assert!(ValidatedTransaction::from_account_tx(&entry).is_err());
    }
}
