//! Group commit: what is acknowledged is durable, one bad row costs itself only, the queue is bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::{QueueError, Reader, WriteError, WriterFault, schema};

/// Every sequence number of the file, sorted.
fn numbers(place: &Place) -> Vec<i64> {
    let union = schema::SEQUENCED.map(|table| format!("SELECT seq FROM {table}")).join(" UNION ALL ");
    let conn = place.sql();
    let mut statement = conn.prepare(&format!("SELECT seq FROM ({union}) ORDER BY seq")).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn acknowledgements_come_in_order_and_only_after_the_rows_are_durable() {
    let place = Place::new();
    let running = place.start();
    let (tell, told) = channel();
    for n in 1..=300_u32 {
        let (tell, path) = (tell.clone(), place.path.clone());
        let ack = move |result: Result<u64, WriteError>| {
            // Another connection sees the row inside the acknowledgement: it was committed before.
            let conn = rusqlite::Connection::open(path).unwrap();
            let sql = "SELECT count(*) FROM intents WHERE tx_hash = ?1";
            let seen: i64 = conn.query_row(sql, [hash(n)], |row| row.get(0)).unwrap();
            tell.send((n, seen, result.unwrap())).unwrap();
        };
        running.writer.record_durably(vec![Record::Intent(intent(n)), Record::Order(order(n))], Box::new(ack)).unwrap();
    }
    let mut durable_before = 0;
    for n in 1..=300 {
        let (told_n, seen, durable) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((told_n, seen), (n, 1));
        assert!(durable >= u64::from(2 * n) && durable >= durable_before);
        durable_before = durable;
    }
    assert_eq!(running.writer.durable(), 600);
    assert_eq!(numbers(&place), (1..=600).collect::<Vec<_>>());
    running.seal();
}

#[test]
fn a_poison_row_costs_its_own_message_only() {
    let place = Place::new();
    let faults = Arc::new(Mutex::new(Vec::new()));
    let mut options = options();
    let heard = Arc::clone(&faults);
    options.on_fault = Some(Arc::new(move |fault| heard.lock().unwrap().push(fault)));
    let running = place.start_with(&options);
    let release = hold(&running.writer);
    let poison = || Record::Fill(fill(2, Side::Bid, -1, "1"));
    running.writer.record(Record::Fill(fill(1, Side::Bid, 10, "1"))).unwrap();
    running.writer.record(poison()).unwrap();
    let (ack1, answer1) = ack();
    running.writer.record_durably(vec![Record::Fill(fill(3, Side::Bid, 10, "1")), poison()], ack1).unwrap();
    let (ack2, answer2) = ack();
    running.writer.record_durably(vec![Record::Fill(fill(4, Side::Ask, 10, "1"))], ack2).unwrap();
    let (ack3, answer3) = ack();
    let unknown = IntentUpdate {
        tx_hash: hash(77),
        state: IntentState::Dead,
        engine_result: None,
        ledger_index: None,
        recorded_at: at(1),
    };
    running.writer.record_durably(vec![Record::IntentUpdate(unknown)], ack3).unwrap();
    drop(release);

    let refused = answer1.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(matches!(&refused, WriteError::Refused { record: "fill", error } if error.contains("CHECK")), "{refused}");
    answer2.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(answer3.recv_timeout(PATIENCE).unwrap().unwrap_err().to_string().contains(&hash(77)));
    let reader = Reader::open(&place.path).unwrap();
    let offers: Vec<_> = reader.fills(running.session).unwrap().iter().map(|row| row.record.offer_sequence).collect();
    assert_eq!(offers, [1, 4], "all of a durable group or none of it");
    let rows = reader.faults(running.session).unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.record.actor == "writer"));
    assert_eq!(numbers(&place), (1..=5).collect::<Vec<_>>());
    assert!(matches!(faults.lock().unwrap().as_slice(), [WriterFault::Refused { .. }, ..]));
    drop(reader);
    running.seal();
}

#[test]
fn a_full_queue_refuses_class_a_and_drops_and_counts_class_b() {
    let place = Place::new();
    let mut options = options();
    options.queue_capacity = 16;
    let running = place.start_with(&options);
    let release = hold(&running.writer);
    for n in 0..14 {
        running.writer.record(Record::Fill(fill(n, Side::Bid, 1, "1"))).unwrap();
    }
    for n in 0..5 {
        let b = snapshot(SnapshotKind::Ledger, n, 1, "1", None);
        assert_eq!(b.kind, SnapshotKind::Ledger);
        running.writer.record(Record::Valuation(b)).unwrap();
    }
    assert_eq!((running.writer.queued(), running.writer.coalesced()), (14, 5));
    // An opening or closing snapshot is class A.
    running.writer.record(Record::Valuation(snapshot(SnapshotKind::Opening, 1, 1, "1", None))).unwrap();
    running.writer.record(Record::Fill(fill(20, Side::Bid, 1, "1"))).unwrap();
    let full = running.writer.record(Record::Fill(fill(21, Side::Bid, 1, "1")));
    assert_eq!(full, Err(QueueError::Full { capacity: 16 }));
    // The session can be closed even so.
    let (ack, answer) = ack();
    running.writer.close_session(clean_end(), vec![stage(Stage::Quiesce)], ack).unwrap();
    drop(release);
    answer.recv_timeout(PATIENCE).unwrap().unwrap();
    let reader = Reader::open(&place.path).unwrap();
    let row = reader.session(None).unwrap();
    assert_eq!((row.fills, row.coalesced_rows, row.ended_at), (15, 5, Some(at(200))));
    assert_eq!(reader.valuations(running.session).unwrap().len(), 1);
    drop(reader);
    running.seal();
}

#[test]
fn a_refused_message_is_not_acknowledged_as_well() {
    let place = Place::new();
    let mut options = options();
    options.queue_capacity = 1;
    let running = place.start_with(&options);
    let release = hold(&running.writer);
    let mut answers = Vec::new();
    let refused = loop {
        let (ack, answer) = ack();
        if let Err(error) = running.writer.flush(ack) {
            break (error, answer);
        }
        answers.push(answer);
    };
    assert_eq!(refused.0, QueueError::Full { capacity: 1 });
    assert!(refused.1.try_recv().is_err());
    drop(release);
    for answer in answers {
        answer.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    running.seal();
}

#[test]
fn after_the_seal_everything_is_refused() {
    let place = Place::new();
    let running = place.start();
    let writer = running.writer.clone();
    running.seal();
    assert_eq!(writer.record(Record::Fault(fault("late"))), Err(QueueError::Gone));
    let (ack, answer) = ack();
    assert_eq!(writer.flush(ack), Err(QueueError::Gone));
    assert!(answer.try_recv().is_err());
    let (reply, _answer) = reply();
    assert_eq!(writer.checkpoint(CheckpointCause::Timer, reply), Err(QueueError::Gone));
}

#[test]
fn a_replay_adds_nothing() {
    let place = Place::new();
    let records = || {
        vec![
            Record::Intent(intent(1)),
            Record::Order(order(1)),
            Record::OrderEvent(event(1, OrderState::Resting, 25_000_000)),
            Record::Fill(fill(1, Side::Ask, 5, "12.5")),
            Record::Flow(flow(1, FlowCause::Fee, -10, "0")),
        ]
    };
    let running = place.start();
    assert_eq!(running.durably(records()), Ok(5));
    assert_eq!(running.durably(records()), Ok(5));
    // Another role, another cause, another state are other facts.
    let mut taker = fill(1, Side::Ask, 5, "12.5");
    taker.role = Role::Taker;
    assert_eq!(running.durably(vec![Record::Fill(taker)]), Ok(6));
    assert_eq!(running.durably(vec![Record::Flow(flow(1, FlowCause::Deposit, 10, "0"))]), Ok(7));
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    // The watermark outlives the engine (the seal's checkpoint row is number 8), and so does what is there.
    let running = place.start();
    assert_eq!(running.writer.durable(), 8);
    assert_eq!(running.durably(records()), Ok(8));
    assert_eq!(running.durably(vec![Record::Fill(fill(2, Side::Ask, 5, "12.5"))]), Ok(9));
    assert_eq!(Reader::open(&place.path).unwrap().durable_seq().unwrap(), 9);
    running.seal();
    assert_eq!(numbers(&place), (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_ledger_is_processed_when_both_the_orders_and_the_valuer_say_so() {
    let place = Place::new();
    let running = place.start();
    let last = || {
        let row = Reader::open(&place.path).unwrap().session(None).unwrap();
        assert_eq!(row.last_close_time, row.last_ledger_index.map(closed_at));
        row.last_ledger_index
    };
    let mark = |by, ledger_index| {
        running.durably(vec![processed(by, ledger_index)]).unwrap();
        last()
    };
    assert_eq!(mark(Processor::Orders, 10), None);
    assert_eq!(mark(Processor::Valuer, 12), Some(10), "the mark of an earlier commit is kept");
    assert_eq!(mark(Processor::Valuer, 9), Some(10), "an older mark takes nothing back");
    assert_eq!(mark(Processor::Orders, 11), Some(11));
    assert_eq!(mark(Processor::Orders, 14), Some(12));
    // A group that is refused takes its mark with it.
    let poison = Record::Fill(fill(2, Side::Bid, -1, "1"));
    running.durably(vec![processed(Processor::Valuer, 14), poison]).unwrap_err();
    running.checkpoint();
    assert_eq!(last(), Some(12));
    assert_eq!(mark(Processor::Valuer, 13), Some(13));
    running.close(clean_end(), vec![]).unwrap();
    running.seal();

    // What one says in a new session is not held against what the other said in an old one.
    let running = place.start();
    running.durably(vec![processed(Processor::Valuer, 20)]).unwrap();
    assert_eq!(last(), None);
    running.seal();
    assert_eq!(place.open().last_processed_ledger().unwrap(), Some(13));
}

#[test]
fn a_settled_intent_stays_settled_and_an_order_follows_its_events() {
    let place = Place::new();
    let running = place.start();
    let update = |state, engine_result: &str, ledger_index| {
        Record::IntentUpdate(IntentUpdate {
            tx_hash: hash(1),
            state,
            engine_result: Some(engine_result.into()),
            ledger_index,
            recorded_at: at(30),
        })
    };
    let records = vec![
        Record::Intent(intent(1)),
        Record::Order(order(1)),
        update(IntentState::Submitted, "terQUEUED", None),
        update(IntentState::Validated, "tesSUCCESS", Some(40)),
        update(IntentState::Submitted, "tefALREADY", None),
        Record::OrderEvent(event(1, OrderState::PartlyFilled, 7)),
    ];
    running.durably(records).unwrap();
    let reader = Reader::open(&place.path).unwrap();
    let intents = reader.intents(running.session).unwrap();
    assert_eq!(intents[0].state, IntentState::Validated);
    assert_eq!((intents[0].engine_result.as_deref(), intents[0].settled_ledger_index), (Some("tesSUCCESS"), Some(40)));
    let orders = reader.orders(running.session).unwrap();
    assert_eq!((orders[0].state, orders[0].remaining.get()), (OrderState::PartlyFilled, 7));
    assert_eq!(orders[0].order, order(1));
    drop(reader);
    running.seal();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 12, ..Default::default() })]

    /// Whatever comes, in whatever grouping: each good fill is there once, numbers have no gap, every ack is given.
    #[test]
    fn any_mixture_is_stored_once_and_without_gaps(
        messages in proptest::collection::vec(proptest::collection::vec((0_u32..40, -1_i64..5), 0..5), 1..60),
        batch_rows in 1_usize..9,
    ) {
        let place = Place::new();
        let mut options = options();
        options.batch_rows = batch_rows;
        let running = place.start_with(&options);
        let mut expected = std::collections::BTreeSet::new();
        let mut answers = Vec::new();
        for message in &messages {
            let records = message.iter().map(|(n, drops)| Record::Fill(fill(*n, Side::Bid, *drops, "1"))).collect();
            let (ack, answer) = ack();
            running.writer.record_durably(records, ack).unwrap();
            // A negative amount is refused and takes its whole message with it.
            let mut trial = expected.clone();
            let good = message.iter().all(|(n, drops)| *drops >= 0 && { trial.insert(*n); true });
            if good {
                expected = trial;
            }
            answers.push((good, answer));
        }
        for (good, answer) in answers {
            proptest::prop_assert_eq!(answer.recv_timeout(PATIENCE).unwrap().is_ok(), good);
        }
        let fills = Reader::open(&place.path).unwrap().fills(running.session).unwrap();
        let mut stored: Vec<_> = fills.iter().map(|row| row.record.offer_sequence).collect();
        stored.sort_unstable();
        proptest::prop_assert_eq!(stored, expected.into_iter().collect::<Vec<_>>());
        running.seal();
        let all = numbers(&place);
        let last = all.len() as i64;
        proptest::prop_assert_eq!(all, (1..=last).collect::<Vec<_>>());
    }
}

#[test]
fn the_offer_of_a_dead_transaction_never_rested_even_where_its_number_is_used_again() {
    let place = Place::new();
    let running = place.start();
    let mut dead = order(5);
    dead.tx_hash = hash(500);
    let signed = Intent { tx_hash: hash(500), ..intent(5) };
    running.durably(vec![Record::Intent(signed), Record::Order(dead)]).unwrap();
    running.durably(vec![Record::Intent(intent(5)), Record::Order(order(5))]).unwrap();
    running.durably(vec![Record::OrderEvent(event(5, OrderState::Resting, 25_000_000))]).unwrap();
    for n in [5, 500] {
        let buried = IntentUpdate {
            tx_hash: hash(n),
            state: IntentState::Dead,
            engine_result: None,
            ledger_index: Some(9),
            recorded_at: at(9),
        };
        running.durably(vec![Record::IntentUpdate(buried)]).unwrap();
    }
    let states: Vec<_> = {
        let reader = neo_store::Reader::open(&place.path).unwrap();
        reader.orders(running.session).unwrap().iter().map(|row| (row.state, row.remaining.get())).collect()
    };
    // What rested is left alone: only the ledger says that it is gone.
    assert_eq!(states, [(OrderState::Failed, 0), (OrderState::Resting, 25_000_000)]);
    running.seal();
}
