//! `neo recover`: what a killed engine left open is closed from its last durable record of any table, once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::recover::recover;
use neo_store::{LockError, Recovery, StoreError};

fn again(place: &Place) -> Vec<Recovery> {
    recover(&place.path, &options(), at(9_000)).unwrap()
}

#[test]
fn the_end_is_the_time_of_the_last_record_of_any_table() {
    type Make = fn(chrono::DateTime<chrono::Utc>) -> Record;
    let kinds: [(&str, Make); 8] = [
        ("intents", |at| Record::Intent(Intent { recorded_at: at, ..intent(1) })),
        ("orders", |at| Record::Order(Order { recorded_at: at, ..order(1) })),
        ("order_events", |at| Record::OrderEvent(OrderEvent { recorded_at: at, ..event(1, OrderState::Resting, 5) })),
        ("fills", |at| Record::Fill(Fill { recorded_at: at, ..fill(1, Side::Bid, 5, "12") })),
        ("flows", |at| Record::Flow(Flow { recorded_at: at, ..flow(1, FlowCause::Fee, -10, "0") })),
        ("valuation_snapshots", |at| {
            let snapshot = snapshot(SnapshotKind::Opening, 5, 100, "1", Some("10.5"));
            Record::Valuation(ValuationSnapshot { recorded_at: at, ..snapshot })
        }),
        ("faults", |at| Record::Fault(Fault { recorded_at: at, ..fault("x") })),
        ("intents", |_| {
            Record::IntentUpdate(IntentUpdate {
                tx_hash: hash(1),
                state: IntentState::Submitted,
                engine_result: None,
                ledger_index: None,
                recorded_at: at(777),
            })
        }),
    ];
    for (table, make) in kinds {
        let place = Place::new();
        let running = place.start();
        running.durably(vec![Record::Intent(intent(1))]).unwrap();
        // Later than the writer's own clock, which stands at 100.
        running.durably(vec![make(at(777))]).unwrap();
        running.vanish();
        if table == "intents" {
            // Recorded once: the second intent of that hash adds nothing.
            place.sql().execute("UPDATE intents SET updated_at = ?1", ["2026-04-18T19:34:16.123Z"]).unwrap();
        }
        let recovered = again(&place);
        let Recovery { before, after, .. } = &recovered[0];
        assert_eq!((before.ended_at, before.ended_at_source), (None, None));
        assert_eq!(after.ended_at, Some(at(777)), "{table}");
        assert_eq!(after.ended_at_source, Some(EndedAtSource::Recovered));
        assert_eq!(after.end_reason, Some(EndReason::Crash));
        assert!(after.end_detail.as_ref().unwrap().contains(table), "{:?}", after.end_detail);
        assert_eq!(after.ending_value_rlusd.is_none(), after.ending_value_reason.is_some());
        assert_eq!(again(&place), [], "once");
    }
}

#[test]
fn a_checkpoint_is_a_sign_of_life_too() {
    let place = Place::new();
    let running = place.start();
    running.checkpoint();
    running.vanish();
    place.sql().execute("UPDATE checkpoints SET recorded_at = '2026-04-18T19:34:16.123Z'", []).unwrap();
    assert_eq!(again(&place)[0].after.ended_at, Some(at(777)));
}

#[test]
fn a_later_session_that_learns_a_fate_is_no_sign_of_life_of_the_earlier() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Intent(intent(1))]).unwrap();
    running.vanish();
    let running = place.start();
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    let sql = place.sql();
    sql.execute("UPDATE intents SET updated_at = '2026-04-18T19:34:16.123Z'", []).unwrap();
    sql.execute("UPDATE sessions SET ended_at = NULL, ended_at_source = NULL, end_reason = NULL WHERE number = 1", [])
        .unwrap();
    drop(sql);
    assert_eq!(again(&place)[0].after.ended_at, Some(at(100)));
}

#[test]
fn a_living_engine_is_left_alone_and_what_is_no_record_is_refused() {
    let place = Place::new();
    let missing = recover(&place.path, &options(), at(0)).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert!(!exists(&place.path) && !exists(&place.beside(".lock")));
    let running = place.start();
    let error = recover(&place.path, &options(), at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Locked(LockError::Held { .. })), "{error}");
    running.seal();
    assert_eq!(again(&place).len(), 1);
    assert!(!exists(&place.wal()), "one file");
    std::fs::write(&place.path, "").unwrap();
    assert!(matches!(recover(&place.path, &options(), at(0)), Err(StoreError::NoSessions { .. })));
}
