//! A ledger is told of when its transactions leave our account and our line as that ledger states them, and not before.

use serde_json::{Value, json};

use super::tests::{Bench, account, closed, hash, payment, stream, token};
use super::*;

/// The line of our account that holds `balance`, changed last by the transaction of this letter.
fn line(balance: &str, txn: char) -> Value {
    json!({"balance": balance, "limit": "500", "limit_peer": "0", "txn": hash(txn)})
}

/// Somebody's payment of the token to us: it touches nothing of ours but the line.
fn token_payment(index: u32, id: char, before: (&str, char), after: &str) -> Value {
    let amount = |of: Address, value: &str| json!({"currency": token().currency, "issuer": of, "value": value});
    json!({
        "ledger_index": index, "validated": true, "hash": hash(id), "engine_result": "tesSUCCESS",
        "tx_json": {"TransactionType": "Payment", "Account": Address([3; 20]).to_string(), "Fee": "10", "Sequence": 5},
        "meta": {"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": [{"ModifiedNode": {
            "LedgerEntryType": "RippleState", "LedgerIndex": hash('7'), "PreviousTxnID": hash(before.1),
            "FinalFields": {"Flags": 65_536, "Balance": amount(Address([0; 20]), after),
                "LowLimit": amount(account(), "500"), "HighLimit": amount(token().issuer, "0")},
            "PreviousFields": {"Balance": amount(Address([0; 20]), before.0)}}}]}
    })
}

/// Live at ledger 100 with 7 of the token.
fn with_a_line() -> Bench {
    let mut bench = Bench::new(None);
    bench.node.lines = vec![line("7", 'D')];
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live());
    bench
}

/// The ledgers and hashes that were told, in order.
fn told(bench: &Bench) -> Vec<(u32, Vec<(u32, String)>)> {
    let own = |update: &LedgerUpdate| {
        update.transactions.iter().map(|own| (own.ledger_index, own.hash.to_string())).collect::<Vec<_>>()
    };
    bench.updates.iter().map(|update| (update.ledger.index, own(update))).collect()
}

fn rlusd(bench: &Bench) -> String {
    bench.updates.last().unwrap().account.rlusd.to_string()
}

#[test]
fn a_payment_of_the_token_that_comes_after_its_ledger_is_read_before_the_ledger_is_told() {
    let mut bench = with_a_line();
    let paid = token_payment(101, 'E', ("7", 'D'), "9");
    (bench.node.index, bench.node.lines) = (101, vec![line("9", 'E')]);
    bench.node.history = vec![paid.clone()];
    // The root is as it was: the line alone tells that something is missing.
    bench.hear(&closed(101));
    assert_eq!(told(&bench).last().unwrap(), &(101, vec![(101, hash('E'))]));
    assert_eq!(rlusd(&bench), "9");
    // The stream brings it at last: told already.
    bench.hear(&stream(paid));
    bench.node.index = 102;
    bench.hear(&closed(102));
    assert_eq!(told(&bench).last().unwrap(), &(102, vec![]));
}

#[test]
fn a_payment_of_the_token_that_came_in_time_needs_no_fresh_picture() {
    let mut bench = with_a_line();
    bench.hear(&stream(token_payment(101, 'E', ("7", 'D'), "9")));
    (bench.node.index, bench.node.lines) = (101, vec![line("9", 'E')]);
    let asked = bench.asked.len();
    bench.hear(&closed(101));
    assert_eq!(told(&bench).last().unwrap(), &(101, vec![(101, hash('E'))]));
    assert!(!bench.asked[asked..].iter().any(|text| text.contains("account_tx")), "{:?}", &bench.asked[asked..]);
}

#[test]
fn of_two_payments_of_the_token_the_missing_first_one_is_noticed() {
    let mut bench = with_a_line();
    let first = token_payment(101, 'E', ("7", 'D'), "9");
    let mut second = token_payment(101, 'F', ("9", 'E'), "12");
    second["meta"]["TransactionIndex"] = json!(1);
    (bench.node.index, bench.node.lines) = (101, vec![line("12", 'F')]);
    bench.node.history = vec![first, second.clone()];
    bench.hear(&stream(second));
    bench.hear(&closed(101));
    assert_eq!(told(&bench).last().unwrap(), &(101, vec![(101, hash('E')), (101, hash('F'))]));
}

/// Messages in the order in which a node with several workers may send them: the answers for ledger 101 are of that ledger,
/// and come when 102 is validated there already.
#[test]
fn a_ledger_is_proven_by_its_own_state_and_not_by_a_later_ones() {
    let mut bench = with_a_line();
    bench.node.index = 102;
    bench.node.lines = vec![line("9", 'E')];
    let asked = bench.core.on(FeedInput::Text(&closed(101).to_string()), 10).unwrap();
    let indexes: Vec<Value> = asked
        .iter()
        .filter_map(|effect| if let FeedEffect::Send(text) = effect { Some(text) } else { None })
        .map(|text| serde_json::from_str::<Value>(text).unwrap())
        .filter(|request| ["account_info", "ledger_entry"].contains(&request["command"].as_str().unwrap()))
        .filter(|request| request["account"] != json!(token().issuer))
        .map(|request| request["ledger_index"].clone())
        .collect();
    assert_eq!(indexes, [json!(101), json!(101)]);
}

#[test]
fn a_ledger_that_the_node_has_told_of_and_does_not_have_yet_is_asked_for_again() {
    let mut bench = with_a_line();
    // The stream is ahead of what answers.
    bench.hear(&closed(101));
    assert_eq!(bench.updates.len(), 1);
    bench.on(FeedInput::Tick, 200);
    assert_eq!(bench.updates.len(), 1);
    bench.node.index = 101;
    bench.on(FeedInput::Tick, 400);
    assert_eq!(told(&bench).last().unwrap(), &(101, vec![]));
    // Never having it is no way to answer.
    bench.hear(&closed(102));
    bench.on(FeedInput::Tick, 9_000);
    assert!(!bench.left());
    bench.on(FeedInput::Tick, 10_300);
    assert!(bench.left());
}

#[test]
fn the_next_ledger_proves_one_that_could_not_be_asked_about() {
    let mut bench = with_a_line();
    bench.hear(&closed(101));
    bench.hear(&stream(payment(101, 'E', 50_000_000)));
    (bench.node.index, bench.node.balance, bench.node.root) = (102, 50_000_005, 'E');
    bench.hear(&closed(102));
    assert_eq!(told(&bench).last().unwrap(), &(102, vec![(101, hash('E'))]));
    assert!(!bench.left());
}

#[test]
fn a_line_that_appears_and_goes_is_followed() {
    let mut bench = Bench::live(None);
    let amount = |of: Address, value: &str| json!({"currency": token().currency, "issuer": of, "value": value});
    let mut made = token_payment(101, 'E', ("0", 'D'), "0");
    let fields = json!({"Flags": 65_536, "Balance": amount(Address([0; 20]), "0"), "LowLimit": amount(account(), "500"),
        "HighLimit": amount(token().issuer, "0")});
    made["meta"]["AffectedNodes"] =
        json!([{"CreatedNode": {"LedgerEntryType": "RippleState", "LedgerIndex": hash('7'), "NewFields": fields}}]);
    bench.hear(&stream(made));
    (bench.node.index, bench.node.lines) = (101, vec![line("0", 'E')]);
    let asked = bench.asked.len();
    bench.hear(&closed(101));
    let mut gone = token_payment(102, 'F', ("0", 'E'), "0");
    let mut node = gone["meta"]["AffectedNodes"][0]["ModifiedNode"].take();
    node.as_object_mut().unwrap().remove("PreviousTxnID");
    gone["meta"]["AffectedNodes"] = json!([{ "DeletedNode": node }]);
    bench.hear(&stream(gone));
    (bench.node.index, bench.node.lines) = (102, vec![]);
    bench.hear(&closed(102));
    assert_eq!(told(&bench).last().unwrap(), &(102, vec![(102, hash('F'))]));
    assert!(!bench.asked[asked..].iter().any(|text| text.contains("account_tx")));
}

#[test]
fn where_nothing_can_be_missing_the_line_is_not_asked_for() {
    let mut bench = with_a_line();
    bench.core.config.looks = Looks::EXACT;
    bench.hear(&stream(token_payment(101, 'E', ("7", 'D'), "9")));
    bench.node.index = 101;
    let asked = bench.asked.len();
    bench.hear(&closed(101));
    assert_eq!((told(&bench).len(), rlusd(&bench).as_str()), (2, "9"));
    assert!(!bench.asked[asked..].iter().any(|text| text.contains("ledger_entry")));
}

/// A transaction that no proof could miss (it left root and line as they were), after its ledger was told of.
#[test]
fn what_comes_after_its_ledger_was_told_is_told_with_the_next() {
    let mut bench = with_a_line();
    bench.core.config.looks = Looks::EXACT;
    bench.node.index = 101;
    bench.hear(&closed(101));
    bench.hear(&stream(token_payment(101, 'E', ("7", 'D'), "9")));
    bench.node.index = 102;
    bench.hear(&closed(102));
    assert_eq!(told(&bench)[1..], [(101, vec![]), (102, vec![(101, hash('E'))])]);
    bench.node.index = 103;
    bench.hear(&closed(103));
    assert_eq!(told(&bench).last().unwrap(), &(103, vec![]), "once");
}

/// The second node takes over while its newest ledger's transactions are still being saved there.
#[test]
fn a_picture_is_not_whole_before_its_history_reaches_its_ledger() {
    let mut bench = with_a_line();
    bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
    (bench.node.index, bench.node.balance, bench.node.root) = (103, 50_000_005, 'E');
    bench.node.history_upto = Some(102);
    bench.on(FeedInput::Tick, 5_000);
    bench.on(FeedInput::Connected, 5_001);
    assert_eq!(bench.updates.len(), 1, "ledger 103 may hold a transaction of ours");
    bench.node.history_upto = Some(103);
    bench.node.history = vec![payment(103, 'E', 50_000_000)];
    bench.on(FeedInput::Tick, 5_250);
    assert_eq!(told(&bench).last().unwrap(), &(103, vec![(103, hash('E'))]));
    assert_eq!(bench.updates.last().unwrap().history_lost, None);
}

#[test]
fn a_history_with_a_hole_is_read_again_and_told_as_a_hole_if_it_stays() {
    for found in [true, false] {
        let mut bench = with_a_line();
        bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 100);
        (bench.node.index, bench.node.balance, bench.node.root) = (103, 50_000_005, 'E');
        bench.on(FeedInput::Tick, 5_000);
        bench.on(FeedInput::Connected, 5_001);
        assert_eq!(bench.updates.len(), 1, "the account's last transaction is missing");
        if found {
            bench.node.history = vec![payment(103, 'E', 50_000_000)];
        }
        for now_ms in [5_250, 5_500, 5_750] {
            bench.on(FeedInput::Tick, now_ms);
        }
        let update = bench.updates.last().unwrap();
        assert_eq!((update.ledger.index, update.transactions.len()), (103, usize::from(found)));
        assert_eq!(update.history_lost.is_none(), found);
    }
}

/// A script closes a ledger between any two of our requests.
#[test]
fn a_picture_is_completed_while_somebody_closes_ledgers_in_between() {
    let mut bench = Bench::new(Some(100));
    bench.on(FeedInput::Tick, 0);
    bench.closes_between = 40;
    bench.on(FeedInput::Connected, 1);
    assert!(bench.core.is_live());
    let first = bench.updates.first().unwrap();
    assert!((100..112).contains(&first.ledger.index), "{}", first.ledger.index);
    // The ledgers that closed meanwhile are told of, each once and upwards.
    let indexes: Vec<u32> = bench.updates.iter().map(|update| update.ledger.index).collect();
    assert!(indexes.is_sorted_by(|a, b| a < b), "{indexes:?}");
    assert_eq!(indexes.last(), Some(&bench.node.index));
    // The same for an audit.
    bench.on(FeedInput::ListAgain, 20);
    bench.closes_between = 40;
    bench.node.index += 1;
    let index = bench.node.index;
    bench.hear(&closed(index));
    assert!(bench.updates.iter().skip(indexes.len()).any(|update| update.offers.is_some()));
    assert_eq!(bench.updates.last().unwrap().ledger.index, bench.node.index);
}

/// An offer of ours without its Sequence: whose it is cannot be told.
fn broken(index: u32, id: char) -> Value {
    let mut broken = payment(index, id, 50_000_000);
    let offer = json!({"ModifiedNode": {"LedgerEntryType": "Offer", "LedgerIndex": hash('7'), "FinalFields": {
        "Account": account().to_string(), "TakerGets": "5", "TakerPays": {"currency": token().currency.to_string(),
        "issuer": token().issuer.to_string(), "value": "1"}}, "PreviousFields": {"TakerGets": "9"}}});
    broken["meta"]["AffectedNodes"].as_array_mut().unwrap().push(offer);
    broken
}

/// The ledger was proven with it, and was not told: the next picture may not take it for told.
#[test]
fn a_transaction_that_was_not_understood_is_missed_where_the_next_history_lacks_it() {
    for (audit, picture) in [(false, false), (true, false), (false, true)] {
        let mut bench = with_a_line();
        if audit {
            bench.on(FeedInput::ListAgain, 5);
        }
        (bench.node.index, bench.node.balance, bench.node.root) = (101, 50_000_005, 'E');
        if picture {
            bench.on(FeedInput::Disconnected(Parting::Lost, "cut"), 6);
            bench.node.history = vec![broken(101, 'E')];
            bench.on(FeedInput::Tick, 5_000);
            bench.on(FeedInput::Connected, 5_001);
            bench.node.history.clear();
        } else {
            bench.hear(&stream(broken(101, 'E')));
            bench.hear(&closed(101));
        }
        assert!(bench.left() && bench.updates.len() == 1);
        bench.on(FeedInput::Disconnected(Parting::Unfit, "not understood"), 5_002);
        bench.on(FeedInput::Tick, 100_000);
        bench.on(FeedInput::Connected, 100_001);
        assert_eq!(bench.updates.len(), 1, "the payment is missing: {audit} {picture}");
        for now_ms in [100_250, 100_500, 100_750] {
            bench.on(FeedInput::Tick, now_ms);
        }
        assert!(bench.updates.last().unwrap().history_lost.is_some(), "and that is told");
    }
}

/// After a restart nothing is proven yet that the history could be joined to.
#[test]
fn after_a_restart_the_history_must_reach_the_picture_too() {
    let mut bench = Bench::new(Some(90));
    bench.node.history_upto = Some(99);
    bench.on(FeedInput::Tick, 0);
    bench.on(FeedInput::Connected, 1);
    assert!(bench.updates.is_empty(), "ledger 100 may hold a transaction of ours");
    bench.node.history_upto = Some(100);
    bench.node.history = vec![payment(100, 'A', 49_999_995)];
    bench.on(FeedInput::Tick, 250);
    assert_eq!(told(&bench), [(100, vec![(100, hash('A'))])]);
}
