//! What no stream tells is asked for: a pool that is new, liquidity that went without a word, when a ledger closed.

use neo_ledger::own::{OfferChangeKind, Removal};
use serde_json::{Value, json};

use super::market_tests::{d, last, listed, next, pool, rlusd, start};
use super::tests::{Bench, account, closed, hash, payment, stream};
use super::*;

const THEM: Address = Address([8; 20]);

fn asks(bench: &Bench) -> Vec<String> {
    last(bench).view.asks.iter().map(|level| level.price.to_string()).collect()
}

#[test]
fn a_pool_that_is_made_while_we_run_is_known_with_its_ledger() {
    let mut bench = start(|bench| bench.core.config.looks = Looks::OWN_NODE);
    assert_eq!(last(&bench).view.amm, None);
    bench.node.pool = Ok(pool(101, "1000000000", "2404"));
    next(&mut bench, 101);
    assert_eq!(last(&bench).view.amm.map(|pool| pool.ledger_index), Some(101));
    // Public nodes are asked every few ledgers.
    let mut bench = start(|bench| bench.core.config.looks = Looks::public(0));
    bench.node.pool = Ok(pool(101, "1000000000", "2404"));
    for index in 101..104 {
        next(&mut bench, index);
        assert_eq!(last(&bench).view.amm, None, "{index}");
    }
    bench.node.pool = Ok(pool(104, "1000000000", "2404"));
    next(&mut bench, 104);
    assert!(last(&bench).view.amm.is_some());
}

#[test]
fn liquidity_that_went_without_a_word_is_gone_with_the_next_ledger_of_ones_own_node() {
    let offer = |owner, price: &str| listed(Address([owner; 20]), 1, json!("100000000"), rlusd(price));
    for (looks, gone_at) in [(Looks::OWN_NODE, 101), (Looks::public(4), 104), (Looks::EXACT, 1_000)] {
        let mut bench = start(|bench| {
            bench.node.book[0] = vec![offer(8, "240"), offer(6, "250")];
            bench.core.config.looks = looks;
        });
        assert_eq!(asks(&bench), ["2.4", "2.5"]);
        bench.node.book[0].remove(0);
        for index in 101..106 {
            next(&mut bench, index);
            let expected: &[&str] = if index < gone_at { &["2.4", "2.5"] } else { &["2.5"] };
            assert_eq!(asks(&bench), expected, "{looks:?} at {index}");
        }
    }
}

/// What the book costs on a public node is asked only where there is room for it.
#[test]
fn a_public_node_is_not_asked_for_the_book_beyond_the_budget() {
    let mut bench = start(|bench| {
        bench.core.config.looks = Looks::public(1);
        bench.core.config.is_public = true;
    });
    let books = |bench: &Bench| bench.asked.iter().filter(|text| text.contains("book_offers")).count();
    let before = books(&bench);
    for index in 101..131 {
        bench.node.index = index;
        bench.hear(&closed(index));
    }
    assert_eq!(bench.updates.len(), 31, "every ledger is told of");
    assert!((books(&bench) - before) / 2 < 8, "{}", books(&bench) - before);
}

/// The requests among some effects.
pub(super) fn requests(effects: &[FeedEffect]) -> Vec<Value> {
    let text = |effect: &FeedEffect| match effect {
        FeedEffect::Send(text) => Some(serde_json::from_str(text).unwrap()),
        _ => None,
    };
    effects.iter().filter_map(text).collect()
}

fn no_ledger(request: &Value) -> Value {
    json!({"id": request["id"], "type": "response", "status": "error", "error": "lgrNotFound"})
}

#[test]
fn a_book_that_the_node_cannot_tell_of_holds_no_ledger_up() {
    for book_last in [false, true] {
        let mut bench = start(|bench| bench.core.config.looks = Looks::OWN_NODE);
        bench.node.index = 101;
        let effects = bench.core.on(FeedInput::Text(&closed(101).to_string()), 10).unwrap();
        let is_book = |request: &Value| request["command"] == "book_offers";
        let mut requests = requests(&effects);
        requests.sort_by_key(|request| is_book(request) == book_last);
        for request in requests {
            let answer = if is_book(&request) { no_ledger(&request) } else { bench.node.answer(&request) };
            bench.hear(&answer);
        }
        assert_eq!(last(&bench).ledger.index, 101, "the book's answers come last: {book_last}");
    }
}

/// A message was lost while a picture was read: what strangers did in that ledger is on no stream any more.
#[test]
fn a_ledger_that_was_missed_while_a_picture_was_read_costs_a_reading_of_the_book() {
    for (missed, refused) in [(false, false), (true, false), (true, true)] {
        let mut bench = Bench::live(None);
        let books = |bench: &Bench, from: usize, at: u32| {
            let asked = bench.asked[from..].iter().filter(|text| text.contains("book_offers"));
            asked.filter(|text| text.contains(&at.to_string())).count()
        };
        let picture = requests(&bench.core.on(FeedInput::Text(&closed(104).to_string()), 10).unwrap());
        assert!(picture.len() > 5);
        if !missed {
            bench.hear(&closed(105));
        }
        bench.hear(&closed(106));
        bench.node.index = if refused { 104 } else { 106 };
        let from = bench.asked.len();
        for request in picture {
            let answer = bench.node.answer(&request);
            bench.hear(&answer);
        }
        assert!(bench.core.is_live());
        assert_eq!(books(&bench, from, 106), if missed { 2 } else { 0 });
        assert_eq!(last(&bench).ledger.index, if refused { 104 } else { 106 });
        // Until it was read.
        let from = bench.asked.len();
        next(&mut bench, 107);
        assert_eq!(books(&bench, from, 107), if refused { 2 } else { 0 });
        let from = bench.asked.len();
        next(&mut bench, 108);
        assert_eq!(books(&bench, from, 108), 0);
    }
}

/// Our offer of 9 XRP at 2.5, gone by somebody's payment, as the stream and the history show it.
fn removed(index: u32, id: char, expiration: u32) -> Value {
    let mut gone = payment(index, id, 50_000_000);
    gone["tx_json"]["date"] = closed(index)["ledger_time"].clone();
    let fields = json!({"Account": account(), "Sequence": 3, "TakerGets": "9000000", "TakerPays": rlusd("22.5"),
        "Expiration": expiration});
    gone["meta"]["AffectedNodes"].as_array_mut().unwrap().push(json!({"DeletedNode": {
        "LedgerEntryType": "Offer", "LedgerIndex": hash('6'), "FinalFields": fields}}));
    gone
}

fn removals(bench: &Bench) -> Vec<Removal> {
    let changes = last(bench).transactions.iter().flat_map(|own| &own.offers);
    let removal = |kind| if let OfferChangeKind::Removed(removal) = kind { Some(removal) } else { None };
    changes.filter_map(|change| removal(change.kind)).collect()
}

/// Ledger 101 closes while an audit reads ledger 100; 102 removes the offer, which had expired by the close of 101 but not of
/// 100.
#[test]
fn an_offer_that_expired_in_between_has_expired() {
    let close = |index: u32| u32::try_from(closed(index)["ledger_time"].as_u64().unwrap()).unwrap();
    for (expiration, expected) in [(close(101), Removal::Expired), (close(101) + 1, Removal::Unfunded)] {
        // Over ledgers that the stream told of.
        let mut bench = Bench::live(None);
        let effects = bench.core.on(FeedInput::Text(&closed(101).to_string()), 10).unwrap();
        assert!(!effects.is_empty(), "unanswered: 101 is not told of by itself");
        bench.hear(&stream(removed(102, 'E', expiration)));
        (bench.node.index, bench.node.balance, bench.node.root) = (102, 50_000_005, 'E');
        bench.hear(&closed(102));
        assert_eq!((last(&bench).ledger.index, removals(&bench)), (102, vec![expected]), "{expiration}");
        // Over a gap: the node is asked when the ledger before closed.
        let mut bench = Bench::live(None);
        bench.node.history = vec![removed(102, 'E', expiration)];
        (bench.node.index, bench.node.balance, bench.node.root) = (104, 50_000_005, 'E');
        bench.hear(&closed(104));
        assert_eq!((last(&bench).ledger.index, removals(&bench)), (104, vec![expected]), "{expiration}");
        // After a restart.
        let mut bench = Bench::new(Some(90));
        bench.node.history = vec![removed(95, 'A', close(94) + expiration - close(101))];
        bench.on(FeedInput::Tick, 0);
        bench.on(FeedInput::Connected, 1);
        assert_eq!(removals(&bench), [expected], "{expiration}");
    }
}

#[test]
fn a_price_that_a_trade_passed_over_is_doubted_on_a_public_node() {
    let offer = |owner, sequence, price: &str| listed(owner, sequence, json!("100000000"), rlusd(price));
    let mut bench = Bench::new(None);
    bench.core.config.is_public = true;
    bench.core.book = Book::new(bench.core.config.token, account()).doubting(true);
    bench.node.book[0] =
        vec![offer(THEM, 1, "240"), offer(Address([6; 20]), 2, "250"), offer(Address([5; 20]), 3, "260")];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert_eq!(asks(&bench).len(), 3);
    let taken = neo_ledger::types::offer_index(Address([6; 20]), 2);
    let trade = json!({
        "ledger_index": 101, "validated": true, "hash": hash('E'), "engine_result": "tesSUCCESS",
        "tx_json": {"TransactionType": "OfferCreate", "Account": Address([5; 20]), "Fee": "10", "Sequence": 5},
        "meta": {"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": [{"ModifiedNode": {
            "LedgerEntryType": "Offer", "LedgerIndex": taken, "PreviousFields": {"TakerGets": "100000000",
            "TakerPays": rlusd("250")}, "FinalFields": {"Account": Address([6; 20]), "Sequence": 2, "TakerGets": "40000000",
            "TakerPays": rlusd("100")}}}]}});
    bench.hear(&stream(trade));
    next(&mut bench, 101);
    assert_eq!(asks(&bench), ["2.5", "2.6"], "2.4 was passed over");
    assert_eq!(last(&bench).view.asks[0].price, d("2.5"));
}
