//! What a ledger's update says of the market: the book without us and dust, the pool, the trades, the reference.

use neo_market::reference::{Age, PriceSource, Source};
use neo_market::{AmmView, Dec, LastTrade, NoReference, OutsideReading};
use serde_json::{Value, json};

use super::tests::{Bench, account, closed, hash, stream, token};
use super::*;

const POOL: Address = Address([7; 20]);
const THEM: Address = Address([8; 20]);

pub(super) fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

pub(super) fn rlusd(value: &str) -> Value {
    json!({"currency": token().currency, "issuer": token().issuer, "value": value})
}

pub(super) fn pool(ledger_index: u32, xrp: &str, rlusd_held: &str) -> Value {
    json!({"amm": {"account": POOL, "amount": xrp, "amount2": rlusd(rlusd_held), "trading_fee": 500,
        "asset2_frozen": false}, "ledger_index": ledger_index, "validated": true})
}

fn view(ledger_index: u32, xrp: i64, token: &str) -> AmmView {
    AmmView { ledger_index, xrp: Drops::new(xrp), token: d(token), trading_fee: 500 }
}

/// Somebody's offer in `book_offers`: an ask sells the XRP.
pub(super) fn listed(owner: Address, sequence: u32, gets: Value, pays: Value) -> Value {
    let funds = gets.get("value").unwrap_or(&gets).clone();
    json!({"Account": owner, "Sequence": sequence, "TakerGets": gets, "TakerPays": pays, "owner_funds": funds})
}

/// A book around 2.4: ours nearer to the middle, dust nearer still.
fn book(bench: &mut Bench) {
    let asks = vec![
        listed(Address([6; 20]), 1, json!("1000"), rlusd("0.002401")),
        listed(account(), 9, json!("50000000"), rlusd("120.1")),
        listed(THEM, 1, json!("100000000"), rlusd("241")),
    ];
    let bids = vec![
        listed(Address([6; 20]), 2, rlusd("0.0023999"), json!("1000")),
        listed(account(), 8, rlusd("119.9"), json!("50000000")),
        listed(THEM, 2, rlusd("239"), json!("100000000")),
    ];
    bench.node.book = [asks, bids];
    bench.core.config.dust = Drops::new(1_000_000);
}

pub(super) fn start(prepare: impl FnOnce(&mut Bench)) -> Bench {
    let mut bench = Bench::new(None);
    prepare(&mut bench);
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live());
    bench
}

pub(super) fn last(bench: &Bench) -> &LedgerUpdate {
    bench.updates.last().unwrap()
}

pub(super) fn next(bench: &mut Bench, index: u32) {
    bench.node.index = index;
    bench.hear(&closed(index));
    assert_eq!(last(bench).ledger.index, index);
}

#[test]
fn neither_our_own_offers_nor_dust_make_a_price() {
    for source in [PriceSource::Mid, PriceSource::Microprice, PriceSource::DepthWeighted] {
        let bench = start(|bench| {
            book(bench);
            bench.core.config.price.source = source;
        });
        let reference = last(&bench).reference.as_ref().unwrap();
        assert_eq!(reference.price, d("2.4"), "{source:?}");
    }
    let bench = start(book);
    let view = &last(&bench).view;
    assert_eq!((view.bids.len(), view.best(neo_market::Side::Bid)), (1, Some(d("2.39"))));
}

#[test]
fn the_pool_is_told_of_with_the_ledger_that_it_was_read_at() {
    let mut bench = start(|bench| {
        book(bench);
        bench.node.pool = Ok(pool(100, "1000000000", "2404"));
    });
    assert_eq!(last(&bench).view.amm, Some(view(100, 1_000_000_000, "2404")));
    let amm = last(&bench).reference.as_ref().unwrap().readings[1];
    assert_eq!((amm.source, amm.price, amm.age), (Source::Amm, d("2.404"), Age::Ledgers(0)));
    bench.node.pool = Ok(pool(101, "1001000000", "2401.6"));
    next(&mut bench, 101);
    assert_eq!(last(&bench).view.amm, Some(view(101, 1_001_000_000, "2401.6")));
    // An answer of a later ledger is not this one's.
    bench.node.pool = Ok(pool(103, "5", "5"));
    next(&mut bench, 102);
    assert_eq!(last(&bench).view.amm.unwrap().ledger_index, 101);
    let amm = last(&bench).reference.as_ref().unwrap().readings[1];
    assert_eq!((amm.source, amm.age), (Source::Amm, Age::Ledgers(1)));
    next(&mut bench, 103);
    assert_eq!(last(&bench).view.amm, Some(view(103, 5, "5")));
}

#[test]
fn the_pools_transactions_are_subscribed_to_once_a_connection() {
    let mut bench = start(|bench| bench.node.pool = Ok(pool(100, "1000000000", "2404")));
    let asked = |bench: &Bench| bench.asked.iter().filter(|text| text.contains(&POOL.to_string())).count();
    next(&mut bench, 101);
    assert_eq!(asked(&bench), 1);
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 20);
    bench.on(FeedInput::Tick, 60_000);
    bench.on(FeedInput::Connected, 60_001);
    assert_eq!(asked(&bench), 2);
}

#[test]
fn a_node_without_the_pool_is_asked_again_with_the_next_picture_only() {
    for error in ["actNotFound", "unknownCmd"] {
        let mut bench = start(|bench| bench.node.pool = Err(error));
        let asked = |bench: &Bench| bench.asked.iter().filter(|text| text.contains("amm_info")).count();
        next(&mut bench, 101);
        next(&mut bench, 102);
        assert_eq!((asked(&bench), bench.left()), (1, false), "{error}");
        assert_eq!(last(&bench).view.amm, None);
        // The account's root moved unseen: everything is read afresh, the pool with it.
        bench.node.pool = Ok(pool(103, "1000000000", "2404"));
        bench.node.root = 'B';
        bench.node.history = vec![super::tests::payment(103, 'B', 50_000_000)];
        next(&mut bench, 103);
        assert!(last(&bench).view.amm.is_some());
    }
}

#[test]
fn what_is_not_understood_of_the_pool_costs_no_ledger() {
    let mut bench = start(|bench| bench.node.pool = Ok(json!({"amm": {}, "ledger_index": 100})));
    next(&mut bench, 101);
    assert!(!bench.left());
    assert!(bench.others.iter().any(|effect| matches!(effect, FeedEffect::Warn(why) if why.contains("amm_info"))));
}

/// Somebody takes `xrp` drops of an ask for so much.
fn trade(index: u32, id: char, owner: Address, xrp: u64, paid: (&str, &str)) -> Value {
    json!({
        "ledger_index": index, "validated": true, "hash": hash(id), "engine_result": "tesSUCCESS",
        "tx_json": {"TransactionType": "OfferCreate", "Account": Address([9; 20]), "Fee": "10", "Sequence": 3},
        "meta": {"TransactionIndex": u32::from(id), "TransactionResult": "tesSUCCESS", "AffectedNodes": [
            {"ModifiedNode": {"LedgerEntryType": "Offer", "LedgerIndex": hash('6'),
                "FinalFields": {"Account": owner, "Sequence": 3, "TakerGets": "1", "TakerPays": rlusd(paid.1)},
                "PreviousFields": {"TakerGets": (xrp + 1).to_string(), "TakerPays": rlusd(paid.0)}}}]}
    })
}

#[test]
fn the_last_trade_is_what_strangers_paid_one_another() {
    let mut bench = start(book);
    assert_eq!(last(&bench).view.last_trade, None);
    bench.hear(&stream(trade(101, 'D', THEM, 2_000_000, ("10", "5.2"))));
    bench.hear(&stream(trade(101, 'E', account(), 2_000_000, ("10", "1"))));
    next(&mut bench, 101);
    assert_eq!(last(&bench).view.last_trade, Some(LastTrade { price: d("2.4"), ledger_index: 101 }));
    // A drop at any price is dust.
    bench.hear(&stream(trade(102, 'F', THEM, 1, ("10", "1"))));
    next(&mut bench, 102);
    assert_eq!(last(&bench).view.last_trade, Some(LastTrade { price: d("2.4"), ledger_index: 101 }));
    let trade = last(&bench).reference.as_ref().unwrap().readings[1];
    assert_eq!((trade.source, trade.age, trade.price), (Source::LastTrade, Age::Ledgers(1), d("2.4")));
}

#[test]
fn an_outside_price_ages_from_when_it_was_heard() {
    let mut bench = start(|bench| {
        book(bench);
        bench.core.config.price.outside_required = true;
    });
    assert!(matches!(last(&bench).reference, Err(NoReference::OutsideMissing { .. })));
    let reading = Some(OutsideReading { price: d("2.401"), age_s: 4 });
    bench.core.hear_outside(OutsideNews { reading, heard_ms: 5, problem: None });
    next(&mut bench, 101);
    let reference = last(&bench).reference.as_ref().unwrap();
    assert_eq!(reference.readings[1].age, Age::Seconds(4));
    bench.core.hear_outside(OutsideNews { reading, heard_ms: 0, problem: Some("torn".into()) });
    bench.node.index = 102;
    bench.on(FeedInput::Text(&closed(102).to_string()), 26_999);
    assert_eq!(last(&bench).reference.as_ref().unwrap().readings[1].age, Age::Seconds(30));
    bench.node.index = 103;
    bench.on(FeedInput::Text(&closed(103).to_string()), 27_000);
    let Err(old) = &last(&bench).reference else { panic!("it is 31 s old") };
    assert_eq!(*old, NoReference::OutsideTooOld { age_s: 31, max_s: 30, why: "torn".into() });
}
