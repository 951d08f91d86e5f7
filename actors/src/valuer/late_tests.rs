//! A transaction that is told of after its ledger: its flow is recorded with its hash, and the balances add up again.

use neo_ledger::own::AccountAfter;
use neo_ledger::types::Hash;
use neo_market::MarketView;

use super::mark_tests::{d, update};
use super::*;

fn deposit(ledger_index: u32, token: &str) -> OwnTransaction {
    OwnTransaction {
        hash: Hash([5; 32]),
        ledger_index,
        transaction_index: 0,
        ours: false,
        close_time: None,
        kind: "Payment".to_string(),
        sequence: 9,
        offer_sequence: None,
        fee: Drops::ZERO,
        result: "tesSUCCESS".to_string(),
        xrp_change: Drops::ZERO,
        token_change: d(token),
        after: AccountAfter::default(),
        fills: Vec::new(),
        offers: Vec::new(),
    }
}

fn fill() -> own::FilledOffer {
    let (xrp, token) = (Drops::ZERO, Dec::zero());
    own::FilledOffer { offer_sequence: 4, taker: false, side: Side::Bid, xrp, token, price: d("2") }
}

fn ledger(index: u32, rlusd: &str, transactions: Vec<OwnTransaction>) -> LedgerUpdate {
    let view = MarketView { ledger_index: index, ..MarketView::default() };
    let mut update = update(view, &Default::default(), &Default::default());
    (update.account.rlusd, update.transactions) = (d(rlusd), transactions);
    update
}

fn flows(core: &mut ValuerCore, update: &LedgerUpdate) -> Vec<(FlowCause, u32, String, bool)> {
    let flow = |record: Record| match record {
        Record::Flow(flow) => Some((flow.cause, flow.ledger_index, flow.rlusd.to_string(), flow.tx_hash.is_some())),
        _ => None,
    };
    core.on(update, DateTime::UNIX_EPOCH).unwrap().into_iter().filter_map(flow).collect()
}

#[test]
fn a_transaction_that_comes_after_its_ledger_is_recorded_once_and_in_its_own() {
    let mut core = ValuerCore::new();
    assert!(flows(&mut core, &ledger(7, "100", vec![])).is_empty());
    // The balance is told with its ledger, the transaction with the next.
    assert_eq!(flows(&mut core, &ledger(8, "103", vec![])), [(FlowCause::Unexplained, 8, "3".into(), false)]);
    let late = flows(&mut core, &ledger(9, "103", vec![deposit(8, "3")]));
    let expected = [(FlowCause::Deposit, 8, "3".into(), true), (FlowCause::Unexplained, 9, "-3".into(), false)];
    assert_eq!(late, expected);
    assert!(flows(&mut core, &ledger(10, "103", vec![deposit(8, "3")])).is_empty(), "told again, it is known");
}

/// A picture of a ledger that was told of already brings what its first telling lacked.
#[test]
fn what_comes_with_the_same_ledger_again_is_recorded_and_the_ledger_is_not_valued_twice() {
    let mut core = ValuerCore::new();
    assert!(flows(&mut core, &ledger(7, "100", vec![])).is_empty());
    assert_eq!(flows(&mut core, &ledger(8, "103", vec![])), [(FlowCause::Unexplained, 8, "3".into(), false)]);
    let again = ledger(8, "103", vec![OwnTransaction { fee: Drops::new(10), fills: vec![fill()], ..deposit(7, "3") }]);
    let records = core.on(&again, DateTime::UNIX_EPOCH).unwrap();
    let count = |is: fn(&Record) -> bool| records.iter().filter(|record| is(record)).count();
    assert_eq!(count(|record| matches!(record, Record::Flow(flow) if flow.cause == FlowCause::Fee)), 1);
    assert_eq!(count(|record| matches!(record, Record::Valuation(_) | Record::LedgerProcessed { .. })), 0);
    // Ledger 8 is the first after the fill, and it is here.
    let seen = |record: &Record| matches!(record, Record::MarkOut(m) if m.ledger_index == 8 && m.ledgers == 1);
    assert_eq!(count(seen), 1);
    assert!(core.on(&again, DateTime::UNIX_EPOCH).unwrap().is_empty(), "told a third time, it is known");
    assert!(flows(&mut core, &ledger(9, "103", vec![])).is_empty());
}
