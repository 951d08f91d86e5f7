//! Refusals and trips in the record: one row for what stands, ends that are written into it, and what a loss is counted from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use chrono::{DateTime, Utc};
use common::*;
use neo_market::{ClearedBy, Drops, Side, Trigger, TripAction};
use neo_store::backup::{Retention, take};
use neo_store::record::*;
use neo_store::{Cell, ExportTable, Reader, WorthRow, verify};

fn refusal(side: Option<Side>, level: Option<u8>, first: u32, last: u32, count: u64) -> Refusal {
    Refusal {
        side,
        level,
        kind: "no_reserve".into(),
        reason: "one more offer needs a reserve of 0.2 XRP".into(),
        first_ledger_index: first,
        first_close_time: closed_at(first),
        last_ledger_index: last,
        last_close_time: closed_at(last),
        count,
        recorded_at: at(20),
    }
}

fn trip(trigger: Trigger, action: TripAction, ledger_index: u32) -> TripRow {
    TripRow {
        trigger,
        action,
        reason: "figures".into(),
        ledger_index,
        close_time: closed_at(ledger_index),
        cleared: None,
        recorded_at: at(21),
    }
}

fn cleared(trigger: Trigger, ledger_index: u32, by: ClearedBy) -> Record {
    let cleared = TripCleared { ledger_index, close_time: closed_at(ledger_index), by };
    Record::TripCleared { trigger, cleared }
}

#[test]
fn a_standing_refusal_is_one_row_whose_end_and_count_move_on() {
    let place = Place::new();
    let running = place.start();
    let bid = |last, count| Record::Refusal(refusal(Some(Side::Bid), Some(0), 7, last, count));
    let records = vec![
        bid(7, 1),
        Record::Refusal(refusal(Some(Side::Ask), Some(0), 7, 7, 1)),
        Record::Refusal(refusal(None, None, 7, 7, 1)),
        bid(263, 257),
        bid(300, 294),
        Record::Refusal(refusal(Some(Side::Bid), Some(0), 400, 400, 1)),
    ];
    assert_eq!(running.durably(records).unwrap(), 4, "an update takes no number");
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    let reader = Reader::open(&place.path).unwrap();
    let rows: Vec<Refusal> = reader.refusals(1).unwrap().into_iter().map(|row| row.record).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], refusal(Some(Side::Bid), Some(0), 7, 300, 294));
    assert_eq!(rows[2], refusal(None, None, 7, 7, 1));
    let page = reader.export(ExportTable::Refusals, Some(1)).unwrap().page().unwrap();
    assert!(page[0].contains(&Cell::Integer(294)) && page.len() == 4, "{page:?}");
    drop(reader);
    let found = verify(&place.path).unwrap().findings;
    assert!(found.iter().all(|finding| finding.severity == neo_store::verify::Severity::Note), "{found:?}");
}

#[test]
fn a_latch_is_cleared_by_a_later_session_and_an_old_pause_is_not() {
    let place = Place::new();
    let running = place.start();
    running
        .durably(vec![
            Record::Trip(trip(Trigger::Drawdown, TripAction::Latch, 10)),
            Record::Trip(trip(Trigger::Rejects, TripAction::Pause, 11)),
            cleared(Trigger::Rejects, 12, ClearedBy::Itself),
            Record::Trip(trip(Trigger::Rejects, TripAction::Pause, 13)),
        ])
        .unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    let mut store = place.open();
    assert_eq!(store.standing_latches().unwrap(), [Trigger::Drawdown]);
    let second = store.begin_session(&new_session(at(100))).unwrap();
    let (writer, thread) = store.start_writer(second).unwrap();
    let running = Running { writer, thread, session: second };
    running
        .durably(vec![
            Record::Trip(trip(Trigger::Rejects, TripAction::Pause, 20)),
            cleared(Trigger::Rejects, 21, ClearedBy::Itself),
            cleared(Trigger::Drawdown, 22, ClearedBy::Operator),
        ])
        .unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    let reader = Reader::open(&place.path).unwrap();
    let ends = |session| -> Vec<Option<u32>> {
        let rows = reader.trips(session).unwrap();
        rows.iter().map(|row| row.record.cleared.map(|cleared| cleared.ledger_index)).collect()
    };
    assert_eq!((ends(1), ends(2)), (vec![Some(22), Some(12), None], vec![Some(21)]));
    drop(reader);
    assert_eq!(place.open().standing_latches().unwrap(), []);
}

fn held(ledger_index: u32, close_time: DateTime<Utc>, rlusd: &str, age: u32) -> Record {
    let snapshot = snapshot(SnapshotKind::Ledger, ledger_index, 1_000_000, rlusd, Some("1"));
    // Another source's price is the mark: a loss is counted at the middle all the same.
    let (best_bid, best_ask, mark_price) = (Some(dec("2.39")), Some(dec("2.41")), Some(dec("2.5")));
    let (best_bid, best_ask) = if age == 0 { (best_bid, best_ask) } else { (best_bid, None) };
    let snapshot = ValuationSnapshot { close_time, mark_age_ledgers: age, best_bid, best_ask, ..snapshot };
    Record::Valuation(ValuationSnapshot { mark_price, ..snapshot })
}

fn worths(place: &Place, days: u32) -> Vec<String> {
    let mut rows = Vec::new();
    place
        .open()
        .worth_history(days, |row| {
            rows.push(match row {
                WorthRow::Flow { rlusd, .. } => format!("flow {rlusd}"),
                WorthRow::Held { rlusd, xrp, mark, .. } => {
                    assert_eq!((xrp, mark), (Drops::new(1_000_000), dec("2.4")));
                    format!("held {rlusd}")
                }
            });
        })
        .unwrap();
    rows
}

#[test]
fn what_a_loss_is_counted_from_is_read_back_and_ends_where_the_operator_resumed() {
    let place = Place::new();
    assert_eq!(worths(&place, 2), [""; 0]);
    let day = |n: i64, s: i64| at(n * 86_400 + s);
    let running = place.start();
    let flow = |n, close_time, cause, rlusd| Record::Flow(Flow { close_time, ..flow(n, cause, 0, rlusd) });
    running
        .durably(vec![
            held(1, day(0, 0), "1", 0),
            held(2, day(1, 0), "2", 0),
            flow(3, day(1, 4), FlowCause::Deposit, "3"),
            flow(4, day(1, 4), FlowCause::Fee, "4"),
            held(3, day(1, 4), "5", 0),
            held(4, day(1, 8), "6", 1),
            Record::Trip(trip(Trigger::DayLoss, TripAction::Latch, 5)),
            held(5, day(2, 0), "7", 0),
        ])
        .unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    assert_eq!(worths(&place, 2), ["held 2", "flow 3", "held 5", "held 7"], "an old price is none, a fee is a loss");
    assert_eq!(worths(&place, 1), ["held 7"]);
    let mut store = place.open();
    let second = store.begin_session(&new_session(at(100))).unwrap();
    let (writer, thread) = store.start_writer(second).unwrap();
    let running = Running { writer, thread, session: second };
    let by = ClearedBy::Operator;
    let resumed = TripCleared { ledger_index: 6, close_time: day(2, 4), by };
    running
        .durably(vec![
            held(6, day(2, 4), "8", 0),
            Record::TripCleared { trigger: Trigger::DayLoss, cleared: resumed },
            held(7, day(2, 8), "9", 0),
        ])
        .unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    assert_eq!(worths(&place, 7), ["held 9"]);
}

/// Signed, and settled in a ledger: without a result it died.
fn settled(n: u32, ledger_index: u32, result: Option<&str>) -> Vec<Record> {
    let update = IntentUpdate {
        tx_hash: hash(n),
        state: if result.is_some() { IntentState::Validated } else { IntentState::Dead },
        engine_result: result.map(str::to_string),
        ledger_index: Some(ledger_index),
        recorded_at: closed_at(ledger_index),
    };
    vec![Record::Intent(intent(n)), Record::IntentUpdate(update)]
}

fn shown(ledger_index: u32) -> Record {
    let at = closed_at(ledger_index);
    let snapshot = snapshot(SnapshotKind::Ledger, ledger_index, 1, "1", None);
    Record::Valuation(ValuationSnapshot { close_time: at, recorded_at: at, ..snapshot })
}

fn ledgers(place: &Place, window_s: u32) -> Vec<i64> {
    let rejects = place.open().rejects(window_s).unwrap();
    rejects.into_iter().map(|close_time| (close_time - at(0)).num_seconds() / 4).collect()
}

#[test]
fn what_failed_or_died_lately_is_read_back_with_its_ledgers_time_and_ends_where_the_operator_resumed() {
    let place = Place::new();
    assert_eq!(ledgers(&place, 300), [0; 0]);
    let running = place.start();
    let mut records: Vec<Record> = [10, 11, 12, 14, 20].map(shown).into();
    records.extend(settled(1, 10, Some("tecUNFUNDED_OFFER")));
    records.extend(settled(2, 11, None));
    records.extend(settled(3, 12, Some("tesSUCCESS")));
    // Nobody recorded ledger 13: the one before it is the nearest. 21 is newer than any that was valued.
    records.extend(settled(4, 13, None));
    records.extend(settled(5, 21, Some("tecKILLED")));
    records.push(Record::Intent(intent(6)));
    running.durably(records).unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    assert_eq!(ledgers(&place, 300), [10, 11, 12, 20]);
    // Of 20 it is 36 s to 11: what is as old as the window is gone.
    assert_eq!((ledgers(&place, 37), ledgers(&place, 36)), (vec![11, 12, 20], vec![12, 20]));

    let mut store = place.open();
    let second = store.begin_session(&new_session(at(100))).unwrap();
    let (writer, thread) = store.start_writer(second).unwrap();
    let running = Running { writer, thread, session: second };
    running
        .durably(vec![
            Record::Trip(trip(Trigger::Rejects, TripAction::Latch, 11)),
            cleared(Trigger::Rejects, 12, ClearedBy::Operator),
            Record::Trip(trip(Trigger::Rejects, TripAction::Pause, 20)),
            cleared(Trigger::Rejects, 21, ClearedBy::Itself),
        ])
        .unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    assert_eq!(ledgers(&place, 300), [20]);
    assert_eq!(place.open().resumed_from(Trigger::Rejects).unwrap(), Some(closed_at(12)));
    assert_eq!(place.open().resumed_from(Trigger::Fees).unwrap(), None);
}

#[test]
fn another_world_with_the_same_numbers_has_no_part_in_what_failed_lately() {
    let place = Place::new();
    let running = place.start();
    let mut records = vec![shown(30), shown(31)];
    records.extend(settled(1, 31, None));
    let later = |record| match record {
        Record::Valuation(snapshot) => Record::Valuation(ValuationSnapshot { recorded_at: closed_at(40), ..snapshot }),
        other => other,
    };
    records.extend([later(shown(25)), later(shown(31))]);
    let Record::IntentUpdate(update) = settled(2, 31, None).remove(1) else { panic!("an update") };
    records.extend([
        Record::Intent(intent(2)),
        Record::IntentUpdate(IntentUpdate { recorded_at: closed_at(40), ledger_index: Some(25), ..update }),
    ]);
    running.durably(records).unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    assert_eq!(ledgers(&place, 300), [25]);
}

#[test]
fn a_backup_from_before_these_tables_is_a_good_one() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Fault(fault("x"))]).unwrap();
    running.close(clean_end(), Vec::new()).unwrap();
    running.seal();
    let conn = place.sql();
    // These tables came with version 6, the mark-outs with 7.
    conn.execute_batch(BEFORE_ERAS).unwrap();
    conn.execute_batch("DROP TABLE refusals; DROP TABLE trips; PRAGMA user_version = 5").unwrap();
    conn.close().unwrap();
    let taken = take(&place.path, &Retention::default(), at(0), &mut |_| {}).unwrap();
    assert_eq!(taken.contents.last_seq, 2, "the fault and the last checkpoint: {taken:?}");
    drop(place.open());
    assert_eq!(Reader::open(&place.path).unwrap().trips(1).unwrap(), []);
}
