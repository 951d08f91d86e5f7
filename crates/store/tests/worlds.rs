//! A record that has seen two worlds: a node that was reset begins its ledger anew, and each world's rows are its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use neo_market::{ClearedBy, Side, Trigger, TripAction};
use neo_store::record::*;
use neo_store::verify::Severity;
use neo_store::{Forsaken, LastLedger, Reader, verify};

/// Session `n` begins 1,000 seconds after the one before.
fn start(place: &Place, n: i64, another_world: bool) -> (Running, Forsaken) {
    let mut store = place.open();
    let session = store.begin_session(&new_session(at(1_000 * n))).unwrap();
    let forsaken = if another_world { store.begin_era(session).unwrap() } else { Forsaken::default() };
    let (writer, thread) = store.start_writer(session).unwrap();
    (Running { writer, thread, session }, forsaken)
}

fn finish(running: Running, value: &str) {
    let ended_at = at(1_000 * running.session + 500);
    let end = SessionEnd { ended_at, ending_value_rlusd: Ok(dec(value)), ..clean_end() };
    running.close(end, vec![stage(Stage::Flush)]).unwrap();
    running.seal();
}

fn valued(kind: SnapshotKind, ledger_index: u32, drops: i64, rlusd: &str) -> Record {
    let mut snapshot = snapshot(kind, ledger_index, drops, rlusd, Some("0"));
    let balances = neo_market::Balances { xrp: snapshot.xrp, rlusd: snapshot.rlusd, reserve: snapshot.reserve };
    snapshot.total_value_rlusd = neo_market::value(&balances, snapshot.mark_price).unwrap();
    Record::Valuation(snapshot)
}

fn opened(ledger_index: u32, value: &str) -> Record {
    let (close_time, starting_value_rlusd) = (at(2), Some(dec(value)));
    Record::SessionOpened(SessionOpened { ledger_index, close_time, starting_value_rlusd })
}

fn of_chain(by: Processor, ledger_index: u32, letter: u8) -> Record {
    let ledger_hash = Some([letter; 32]);
    Record::LedgerProcessed { ledger_index, ledger_hash, close_time: closed_at(ledger_index), by }
}

/// A deposit of 5 drops and a bid of 2 XRP that is filled, the same hash for hash in every world, from 100 XRP and 500 RLUSD
/// on; `from` is the ledger that the session begins with.
fn a_day(from: u32, letter: u8) -> Vec<Record> {
    let settled = IntentUpdate {
        tx_hash: hash(5),
        state: IntentState::Validated,
        engine_result: Some("tesSUCCESS".into()),
        ledger_index: Some(from + 2),
        recorded_at: at(5),
    };
    let in_ledger = from + 2;
    let fill = Fill { ledger_index: in_ledger, ..fill(5, Side::Bid, 2_000_000, "4.8") };
    let mark_out = |ledgers: u32| {
        Record::MarkOut(MarkOut {
            tx_hash: hash(5),
            offer_sequence: 5,
            role: Role::Maker,
            ledgers,
            ledger_index: in_ledger + ledgers,
            mid_price: Ok(dec("2.4")),
        })
    };
    vec![
        valued(SnapshotKind::Opening, from, 100_000_000, "500"),
        opened(from, "740"),
        Record::Intent(intent(5)),
        Record::Order(Order { side: Side::Bid, ..order(5) }),
        Record::IntentUpdate(settled),
        Record::Fill(fill),
        Record::OrderEvent(OrderEvent { ledger_index: 8, ..event(5, OrderState::Filled, 0) }),
        Record::Flow(Flow { ledger_index: in_ledger, ..flow(4, FlowCause::Deposit, 5, "0") }),
        mark_out(1),
        valued(SnapshotKind::Closing, in_ledger, 102_000_005, "495.2"),
        of_chain(Processor::Orders, in_ledger, letter),
        of_chain(Processor::Valuer, in_ledger, letter),
    ]
}

const VALUE: &str = "740.000012";

#[test]
fn what_happens_again_in_another_world_is_recorded_again_and_verifies() {
    // The other world begins above, at and below the last ledger of the first.
    for from in [400, 7, 2] {
        let place = Place::new();
        let (running, _) = start(&place, 1, false);
        running.durably(a_day(5, 0xAA)).unwrap();
        finish(running, VALUE);
        let (running, forsaken) = start(&place, 2, true);
        assert_eq!(forsaken, Forsaken::default());
        running.durably(a_day(from, 0xBB)).unwrap();
        finish(running, VALUE);
        let reader = Reader::open(&place.path).unwrap();
        for session in [1, 2] {
            assert_eq!(reader.fills(session).unwrap().len(), 1, "{from}: S{session}");
            assert_eq!(reader.flows(session).unwrap().len(), 1, "{from}: S{session}");
            assert_eq!(reader.mark_outs(session).unwrap().len(), 3, "{from}: S{session}");
            assert!(reader.reconcile(session).unwrap().adds_up(), "{from}: S{session}");
        }
        let verification = verify(&place.path).unwrap();
        let wrong: Vec<_> = verification.findings.iter().filter(|found| found.severity != Severity::Note).collect();
        assert!(wrong.is_empty(), "{from}: {wrong:#?}");
        let told = verification.findings.iter().any(|found| found.text.contains("begun its world anew"));
        assert!(told, "{:#?}", verification.findings);
    }
}

#[test]
fn the_same_transaction_again_in_one_world_is_one_row() {
    let place = Place::new();
    let (running, _) = start(&place, 1, false);
    running.durably(a_day(5, 0xAA)).unwrap();
    finish(running, VALUE);
    let (running, _) = start(&place, 2, false);
    let again = a_day(5, 0xAA).into_iter().filter(|record| !matches!(record, Record::Valuation(_)));
    running.durably(again.collect()).unwrap();
    running.vanish();
    let reader = Reader::open(&place.path).unwrap();
    assert_eq!((reader.fills(2).unwrap().len(), reader.flows(2).unwrap().len()), (0, 0));
}

#[test]
fn a_new_era_begins_without_anything_of_the_one_before() {
    let place = Place::new();
    let (running, _) = start(&place, 1, false);
    let mut records = a_day(5, 0xAA);
    // Signed and not settled, one of them before it was sent; and an offer that stands.
    records.extend([Record::Intent(intent(20)), Record::Intent(intent(21)), Record::Order(order(20))]);
    records.push(Record::OrderEvent(event(20, OrderState::Resting, 25_000_000)));
    running.durably(records).unwrap();
    finish(running, VALUE);
    {
        let store = place.open();
        let last = LastLedger { index: 7, hash: Some("AA".repeat(32)) };
        assert_eq!((store.last_ledger().unwrap(), store.last_processed_ledger().unwrap()), (Some(last), Some(7)));
        assert_eq!((store.unsettled_intents().unwrap().len(), store.open_orders().unwrap().len()), (2, 1));
    }
    let (running, forsaken) = start(&place, 2, true);
    assert_eq!(forsaken, Forsaken { intents: 2, offers: 1 });
    // The new world counts its numbers again: what happens to an offer of that number is not the old one's.
    running.durably(vec![Record::OrderEvent(event(20, OrderState::Cancelled, 0))]).unwrap();
    running.vanish();
    let store = place.open();
    assert_eq!((store.last_ledger().unwrap(), store.last_processed_ledger().unwrap()), (None, None));
    assert!(store.unsettled_intents().unwrap().is_empty() && store.open_orders().unwrap().is_empty());
    assert!(store.settled_since(0).unwrap().is_empty() && store.fees_of_last_day().unwrap().is_empty());
    let mut read = 0;
    store.worth_history(7, |_| read += 1).unwrap();
    assert_eq!(read, 0, "a loss is not counted from another world's value");
    drop(store);
    let state = "SELECT state FROM orders WHERE offer_sequence = 20";
    let state: String = place.sql().query_row(state, [], |row| row.get(0)).unwrap();
    assert_eq!(state, "unknown", "its ledger is gone");
    let verification = verify(&place.path).unwrap();
    assert!(verification.findings.iter().all(|found| found.severity != Severity::Error), "{verification:#?}");
}

/// The ledger as the valuer records it: it closes, and is recorded, `seconds` after the beginning of all.
fn shown(ledger_index: u32, seconds: i64) -> Record {
    let (close_time, recorded_at, best_ask) = (at(seconds), at(seconds), Some(dec("2.41")));
    let snapshot = snapshot(SnapshotKind::Ledger, ledger_index, 1_000_000, "1", None);
    Record::Valuation(ValuationSnapshot { close_time, recorded_at, best_ask, ..snapshot })
}

/// Signed, and dead by that ledger.
fn dead(n: u32, ledger_index: u32, seconds: i64) -> [Record; 2] {
    let update = IntentUpdate {
        tx_hash: hash(n),
        state: IntentState::Dead,
        engine_result: None,
        ledger_index: Some(ledger_index),
        recorded_at: at(seconds),
    };
    [Record::Intent(intent(n)), Record::IntentUpdate(update)]
}

#[test]
fn what_failed_in_the_world_before_counts_for_nothing_in_another() {
    let place = Place::new();
    let (running, _) = start(&place, 1, false);
    let mut records = vec![shown(19, 100), shown(20, 104)];
    records.extend(dead(1, 20, 104));
    // By a clock that ran ahead, of a ledger whose number the other world has.
    records.extend(dead(2, 400, 200));
    running.durably(records).unwrap();
    finish(running, VALUE);
    assert_eq!(place.open().rejects(300).unwrap().len(), 2);
    start(&place, 2, true).0.vanish();
    assert!(place.open().rejects(300).unwrap().is_empty(), "no ledger of this world is recorded");
    // The other world begins above the end of the one before, seconds later.
    let (running, _) = start(&place, 3, false);
    let mut records = vec![shown(400, 110), shown(401, 114)];
    records.extend(dead(3, 401, 114));
    running.durably(records).unwrap();
    running.vanish();
    assert_eq!(place.open().rejects(300).unwrap(), [at(114)]);
}

#[test]
fn where_the_operator_resumed_in_the_world_before_ends_nothing_in_another() {
    let place = Place::new();
    let (running, _) = start(&place, 1, false);
    let mut records = vec![shown(20, 9_000)];
    for trigger in [Trigger::DayLoss, Trigger::Rejects, Trigger::Fees] {
        let close_time = at(9_000);
        let (reason, recorded_at) = (String::from("figures"), at(21));
        let trip = TripRow {
            trigger,
            action: TripAction::Latch,
            reason,
            ledger_index: 20,
            close_time,
            cleared: None,
            recorded_at,
        };
        let cleared = TripCleared { ledger_index: 21, close_time: at(9_004), by: ClearedBy::Operator };
        records.extend([Record::Trip(trip), Record::TripCleared { trigger, cleared }]);
    }
    running.durably(records).unwrap();
    finish(running, VALUE);
    assert_eq!(place.open().resumed_from(Trigger::Fees).unwrap(), Some(at(9_004)));
    // The clock of the other world is hours behind.
    let (running, _) = start(&place, 2, true);
    let mut records = vec![shown(3, 100), shown(4, 104)];
    records.extend(dead(1, 4, 104));
    running.durably(records).unwrap();
    running.vanish();
    let store = place.open();
    for trigger in [Trigger::DayLoss, Trigger::Rejects, Trigger::Fees] {
        assert_eq!(store.resumed_from(trigger).unwrap(), None, "{trigger:?}");
    }
    assert_eq!(store.rejects(300).unwrap(), [at(104)]);
    let mut read = 0;
    store.worth_history(7, |_| read += 1).unwrap();
    assert_eq!(read, 2, "a loss is counted from all of this world");
}
