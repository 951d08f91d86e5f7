//! What was recorded is read back to the last digit, and adds up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use neo_market::{Drops, Side};
use neo_store::record::*;
use neo_store::{Reader, Reconciliation, StoreError};

#[test]
fn every_record_is_read_back_as_it_was() {
    let place = Place::new();
    let running = place.start();
    let session = running.session;
    let mut extreme = fill(3, Side::Ask, i64::MAX, "9999999999999999e80");
    extreme.price = dec("1000000000000000e-96");
    let mut unexplained = flow(4, FlowCause::Unexplained, -1, "-0.000001");
    unexplained.tx_hash = None;
    let unpriced = snapshot(SnapshotKind::Ledger, 7, 5, "1", None);
    let records = vec![
        Record::SessionOpened(SessionOpened {
            ledger_index: 4,
            close_time: at(2),
            starting_value_rlusd: Some(dec("99.5")),
        }),
        Record::Intent(intent(1)),
        Record::Order(order(1)),
        Record::OrderEvent(event(1, OrderState::Resting, 3)),
        Record::Fill(extreme.clone()),
        Record::Flow(unexplained.clone()),
        Record::Flow(unexplained.clone()),
        Record::Valuation(unpriced.clone()),
        Record::Fault(fault("it's \"quoted\"; DROP TABLE fills")),
        processed(Processor::Orders, 9),
        processed(Processor::Valuer, 9),
    ];
    running.durably(records).unwrap();
    let reader = Reader::open(&place.path).unwrap();
    assert_eq!(reader.intents(session).unwrap()[0].intent, intent(1));
    assert_eq!(reader.orders(session).unwrap()[0].order, order(1));
    assert_eq!(reader.order_events(session).unwrap()[0].record, event(1, OrderState::Resting, 3));
    assert_eq!(reader.fills(session).unwrap()[0].record, extreme);
    let flows = reader.flows(session).unwrap();
    assert_eq!(flows.iter().map(|row| &row.record).collect::<Vec<_>>(), [&unexplained, &unexplained]);
    assert_eq!(reader.valuations(session).unwrap()[0].record, unpriced);
    assert_eq!(reader.faults(session).unwrap()[0].record, fault("it's \"quoted\"; DROP TABLE fills"));
    let row = reader.session(Some(session)).unwrap();
    assert_eq!((row.starting_ledger_index, row.starting_value_rlusd), (Some(4), Some(dec("99.5"))));
    assert_eq!((row.last_ledger_index, row.last_close_time), (Some(9), Some(closed_at(9))));
    assert_eq!(row.ended_at, None);
    assert_eq!(reader.sessions().unwrap(), [row]);
    assert!(matches!(reader.session(Some(99)), Err(StoreError::NoSuchSession { number: 99, .. })));
    assert_eq!(
        place.sql().query_row("SELECT close_time FROM fills", [], |row| row.get::<_, String>(0)).unwrap(),
        "2026-04-18T19:21:25.123Z"
    );
    drop(reader);
    running.seal();
}

#[test]
fn a_value_that_cannot_be_read_is_named() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Fill(fill(1, Side::Bid, 5, "12"))]).unwrap();
    place.sql().execute("UPDATE fills SET rlusd = '12,5'", []).unwrap();
    let error = Reader::open(&place.path).unwrap().fills(running.session).unwrap_err().to_string();
    assert!(error.contains("rlusd") && error.contains("12,5"), "{error}");
    running.seal();
}

#[test]
fn a_reader_opens_before_the_first_session_and_beside_an_engine() {
    let place = Place::new();
    drop(place.open());
    let reader = Reader::open(&place.path).unwrap();
    assert_eq!(reader.sessions().unwrap(), []);
    drop(reader);
    let running = place.start();
    running.flush();
    assert_eq!(Reader::open(&place.path).unwrap().sessions().unwrap().len(), 1);
    running.seal();
}

#[test]
fn fills_fees_and_flows_add_up_to_the_last_drop_and_digit() {
    let place = Place::new();
    let running = place.start();
    let records = vec![
        Record::Valuation(snapshot(SnapshotKind::Opening, 10, 1_000_000_000, "500.5", None)),
        // Found by gap repair: the opening balances have it already.
        Record::Fill(fill(10, Side::Bid, 77, "7.7")),
        Record::Fill(fill(11, Side::Bid, 3_000_001, "7.200000000000001")),
        Record::Fill(fill(12, Side::Ask, 1_000_000, "2.41")),
        Record::Flow(flow(12, FlowCause::Fee, -12, "0")),
        Record::Flow(flow(13, FlowCause::Deposit, 500, "1.25")),
        Record::Flow(flow(14, FlowCause::Withdrawal, -100, "-0.05")),
        Record::Valuation(snapshot(SnapshotKind::Ledger, 12, 1, "1", None)),
    ];
    running.durably(records).unwrap();
    let no_closing = Reader::open(&place.path).unwrap().reconcile(running.session).unwrap_err();
    assert!(matches!(no_closing, StoreError::NoSnapshot { kind: "closing", .. }), "{no_closing}");

    let closing = |xrp, rlusd| Record::Valuation(snapshot(SnapshotKind::Closing, 14, xrp, rlusd, None));
    running.durably(vec![closing(1_002_000_389, "496.909999999999999")]).unwrap();
    let r = Reader::open(&place.path).unwrap().reconcile(running.session).unwrap();
    assert!(r.adds_up(), "{r:?}");
    for broken in [
        Reconciliation { unexplained_count: 1, ..r.clone() },
        Reconciliation { difference_xrp: Drops::new(1), ..r.clone() },
        Reconciliation { difference_rlusd: dec("0.1"), ..r.clone() },
    ] {
        assert!(!broken.adds_up(), "{broken:?}");
    }
    assert_eq!((r.xrp_change_drops.get(), r.rlusd_change), (2_000_389, dec("-3.590000000000001")));
    assert_eq!((r.fills_xrp.get(), r.fills_rlusd), (2_000_001, dec("-4.790000000000001")));
    assert_eq!((r.fees_xrp.get(), r.flows_xrp.get(), r.flows_rlusd), (-12, 400, dec("1.2")));
    assert_eq!((r.outside, r.unexplained_count, r.unexplained_xrp.get()), (1, 0, 0));

    // One drop and one last digit less are seen.
    running.durably(vec![closing(1_002_000_388, "496.909999999999998")]).unwrap();
    let r = Reader::open(&place.path).unwrap().reconcile(running.session).unwrap();
    assert!(!r.adds_up());
    assert_eq!((r.difference_xrp, r.difference_rlusd), (Drops::new(-1), dec("-0.000000000000001")));
    running.seal();
}

#[test]
fn an_unexplained_flow_explains_nothing() {
    let place = Place::new();
    let running = place.start();
    // A bid filled at ledger 12 and its fill was lost: the account's balances tell that something happened.
    let mut unexplained = flow(12, FlowCause::Unexplained, 1_000_000, "-2.41");
    unexplained.tx_hash = None;
    let records = vec![
        Record::Valuation(snapshot(SnapshotKind::Opening, 10, 5_000_000, "500", None)),
        Record::Flow(flow(11, FlowCause::Deposit, 30, "1.5")),
        Record::Flow(flow(12, FlowCause::Withdrawal, -10, "-0.5")),
        Record::Flow(unexplained.clone()),
        Record::Flow(Flow { xrp: Drops::new(-1), rlusd: dec("0.000001"), ledger_index: 13, ..unexplained.clone() }),
        // The closing balances do not have this one.
        Record::Flow(Flow { ledger_index: 15, ..unexplained }),
        Record::Valuation(snapshot(SnapshotKind::Closing, 14, 6_000_019, "498.590001", None)),
    ];
    running.durably(records).unwrap();
    let r = Reader::open(&place.path).unwrap().reconcile(running.session).unwrap();
    assert!(!r.adds_up(), "{r:?}");
    assert_eq!((r.difference_xrp, r.difference_rlusd), (Drops::new(999_999), dec("-2.409999")));
    assert_eq!((r.unexplained_xrp, r.unexplained_rlusd), (Drops::new(999_999), dec("-2.409999")));
    assert_eq!((r.unexplained_count, r.outside), (2, 1));
    assert_eq!((r.flows_xrp, r.flows_rlusd), (Drops::new(20), dec("1")));
    running.seal();
}
