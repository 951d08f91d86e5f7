//! What may be opened, what is refused, and what opening repairs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;

use chrono::{DateTime, Utc};
use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::{Identity, LockError, Reader, Store, StoreError, schema};

fn refused(place: &Place) -> StoreError {
    Store::open(&place.path, &identity(), &options(), at(0)).expect_err("it is refused")
}

fn number(conn: &rusqlite::Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_new_file_is_marked_as_ours_and_holds_no_money_as_real() {
    let place = Place::new();
    drop(place.open());
    let conn = place.sql();
    assert_eq!(number(&conn, "PRAGMA application_id"), schema::APPLICATION_ID);
    assert_eq!(number(&conn, "PRAGMA user_version"), schema::VERSION);
    assert_eq!(conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)).unwrap(), "wal");
    let not_strict = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict
                      AND name NOT LIKE 'sqlite_%'";
    assert_eq!(number(&conn, not_strict), 0);
    let not_exact = "SELECT count(*) FROM pragma_table_list t, pragma_table_info(t.name) c
                     WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
                     AND c.type NOT IN ('INTEGER', 'TEXT')";
    assert_eq!(number(&conn, not_exact), 0);
    for table in schema::SEQUENCED {
        assert_eq!(number(&conn, &format!("SELECT count(seq) FROM {table}")), 0);
    }
    for view in ["session_list", "fills_plot", "valuations_plot"] {
        assert_eq!(number(&conn, &format!("SELECT count(*) FROM {view}")), 0);
    }
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_was() {
    let place = Place::new();
    fs::create_dir_all(place.path.parent().unwrap()).unwrap();

    let text = "these are notes, and they are longer than a header of SQLite, which has a hundred bytes ".repeat(20);
    fs::write(&place.path, &text).unwrap();
    assert!(matches!(refused(&place), StoreError::NotADatabase { .. }));
    assert_eq!(fs::read_to_string(&place.path).unwrap(), text);
    fs::remove_file(&place.path).unwrap();

    place.sql().execute_batch("CREATE TABLE theirs (a); PRAGMA application_id = 7").unwrap();
    let before = fs::read(&place.path).unwrap();
    let error = refused(&place);
    assert!(matches!(error, StoreError::NotOurs { application_id: 7, .. }), "{error}");
    assert!(error.to_string().contains("--db"), "{error}");
    assert_eq!(fs::read(&place.path).unwrap(), before);
    assert!(matches!(Reader::open(&place.path), Err(StoreError::NotOurs { .. })));
    fs::remove_file(&place.path).unwrap();

    fs::create_dir(&place.path).unwrap();
    assert!(matches!(refused(&place), StoreError::IsAFolder { .. }));
    assert!(matches!(Reader::open(&place.path), Err(StoreError::IsAFolder { .. })));
}

#[test]
fn a_newer_schema_is_refused() {
    let place = Place::new();
    drop(place.open());
    place.sql().pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    let error = refused(&place);
    assert!(matches!(error, StoreError::NewerSchema { .. }), "{error}");
    assert!(matches!(Reader::open(&place.path), Err(StoreError::NewerSchema { .. })));
}

#[test]
fn another_identity_is_refused_with_the_field_that_differs() {
    let place = Place::new();
    drop(place.open());
    let others = [
        ("mode", Identity { mode: Mode::Live, ..identity() }),
        ("network", Identity { network: "mainnet".into(), ..identity() }),
        ("account", Identity { account: "rOther".into(), ..identity() }),
    ];
    for (wanted, other) in others {
        match Store::open(&place.path, &other, &options(), at(0)) {
            Err(StoreError::OtherIdentity { field, .. }) => assert_eq!(field, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
    drop(place.open());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Store::open(&file.join("neo.db"), &identity(), &options(), at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn a_damaged_file_is_refused() {
    let place = Place::new();
    let running = place.start();
    for n in 1..400 {
        running.writer.record(Record::Intent(intent(n))).unwrap();
    }
    running.close(clean_end(), vec![]).unwrap();
    running.seal();
    let mut bytes = fs::read(&place.path).unwrap();
    // Every page but the first three: the header stays readable.
    for byte in bytes.iter_mut().skip(3 * 4096) {
        *byte = 0xA5;
    }
    fs::write(&place.path, bytes).unwrap();
    let error = refused(&place);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("neo run --repair --db"), "{error}");
}

#[test]
fn a_second_engine_is_refused_with_the_process_id_of_the_first() {
    let place = Place::new();
    let running = place.start();
    match refused(&place) {
        StoreError::Locked(LockError::Held { pid, holder, .. }) => {
            assert_eq!(pid, Some(std::process::id()));
            assert!(holder.contains("sim"), "{holder}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(
        Reader::open(&place.path).unwrap().session(None).unwrap().ended_at,
        None,
        "the live session is untouched"
    );
    running.seal();
    drop(place.open());
}

fn later() -> DateTime<Utc> {
    at(150)
}

#[test]
fn the_session_of_a_killed_engine_is_closed_from_its_last_durable_record() {
    let place = Place::new();
    let mut options = options();
    options.clock = later;
    let running = place.start_with(&options);
    let records = [
        Record::SessionOpened(SessionOpened { ledger_index: 5, close_time: at(1), starting_value_rlusd: None }),
        Record::Valuation(snapshot(SnapshotKind::Opening, 5, 100, "1", Some("10.5"))),
        Record::Valuation(snapshot(SnapshotKind::Ledger, 6, 100, "1", Some("11.25"))),
        processed(Processor::Orders, 9),
        processed(Processor::Valuer, 9),
        processed(Processor::Valuer, 8),
        Record::Intent(intent(1)),
        Record::Order(order(1)),
        Record::Order(order(2)),
        Record::OrderEvent(event(2, OrderState::Filled, 0)),
    ];
    for record in records {
        running.writer.record(record).unwrap();
    }
    let first = running.session;
    running.vanish();

    let mut store = place.open();
    assert_eq!(store.recovered(), [first]);
    assert_eq!(store.last_processed_ledger().unwrap(), Some(9));
    let open = store.open_orders().unwrap();
    assert_eq!(open.iter().map(|order| order.offer_sequence).collect::<Vec<_>>(), [1]);
    assert_eq!((open[0].price, open[0].level, open[0].state), (dec("2.4013"), 2, OrderState::Pending));
    assert_eq!(store.unsettled_intents().unwrap()[0].intent, intent(1));
    let second = store.begin_session(&new_session(at(300))).unwrap();
    let again = store.begin_session(&new_session(at(301)));
    assert!(matches!(again, Err(StoreError::SessionOpen { number }) if number == second), "{again:?}");
    drop(store);

    let reader = Reader::open(&place.path).unwrap();
    let row = reader.session(Some(first)).unwrap();
    assert_eq!(row.ended_at, Some(later()), "the time of its last commit");
    assert_eq!(row.ended_at_source, Some(EndedAtSource::Recovered));
    assert_eq!(row.end_reason, Some(EndReason::Crash));
    assert_eq!(row.ending_value_rlusd, Some(dec("11.25")));
    assert_eq!((row.ending_ledger_index, row.ending_close_time), (Some(9), Some(closed_at(9))));
    assert_eq!(row.seed, Some(u64::MAX));
    assert!(row.end_detail.unwrap().contains("\"ending_value_ledger_index\":6"));
    assert_eq!(reader.session(None).unwrap().resumed_from, Some(first));
    drop(reader);

    // The second one never wrote a thing: it is closed too, its value unknown with the reason.
    assert_eq!(place.open().recovered(), [second]);
    let row = Reader::open(&place.path).unwrap().session(Some(second)).unwrap();
    assert_eq!(row.ended_at, Some(at(300)));
    assert_eq!(row.ending_value_rlusd, None);
    assert!(row.ending_value_reason.unwrap().contains("before it had recorded"));
    assert_eq!(row.ending_ledger_index, None);
    assert_eq!(place.open().recovered(), [] as [i64; 0], "recovery happens once");
}

#[test]
fn the_last_balances_are_those_of_the_last_whole_ledger() {
    let place = Place::new();
    assert_eq!(place.open().last_balances().unwrap(), None);
    let running = place.start();
    let of = |index, xrp, rlusd| Record::Valuation(snapshot(SnapshotKind::Ledger, index, xrp, rlusd, None));
    running.durably(vec![of(5, 100, "7.5"), processed(Processor::Orders, 5), processed(Processor::Valuer, 5)]).unwrap();
    // The orders had not recorded what moved these.
    running.durably(vec![of(6, 90, "9"), processed(Processor::Valuer, 6)]).unwrap();
    running.vanish();
    assert_eq!(place.open().last_balances().unwrap(), Some((neo_market::Drops::new(100), "7.5".parse().unwrap())));
}

#[test]
fn gap_repair_starts_where_the_slower_of_the_two_had_come_to() {
    let place = Place::new();
    let earlier = place.start();
    earlier.durably(vec![processed(Processor::Orders, 5), processed(Processor::Valuer, 5)]).unwrap();
    earlier.vanish();
    // Killed in its first ledger, when the orders had recorded theirs: that ledger is to be repaired.
    let running = place.start();
    running.durably(vec![Record::Fill(fill(6, Side::Bid, 5, "12")), processed(Processor::Orders, 6)]).unwrap();
    running.vanish();
    assert_eq!(place.open().last_processed_ledger().unwrap(), Some(5));
    // Killed between the two's rows of ledger 12.
    let running = place.start();
    running.durably(vec![processed(Processor::Orders, 11)]).unwrap();
    let fee = || Record::Flow(flow(11, FlowCause::Fee, -10, "0"));
    running.durably(vec![fee(), processed(Processor::Valuer, 11)]).unwrap();
    let traded = || Record::Fill(fill(12, Side::Ask, 5, "12"));
    running.durably(vec![traded(), processed(Processor::Orders, 12)]).unwrap();
    let killed = running.session;
    running.vanish();
    let store = place.open();
    assert_eq!(store.last_processed_ledger().unwrap(), Some(11));
    drop(store);
    let row = Reader::open(&place.path).unwrap().session(Some(killed)).unwrap();
    assert_eq!((row.ending_ledger_index, row.ending_close_time), (Some(11), Some(closed_at(11))));

    // The repair records again what is there, and what is not.
    let running = place.start();
    let missed = || Record::Flow(flow(12, FlowCause::Fee, -10, "0"));
    running.durably(vec![traded(), processed(Processor::Orders, 12)]).unwrap();
    running.durably(vec![fee(), missed(), processed(Processor::Valuer, 12)]).unwrap();
    let reader = Reader::open(&place.path).unwrap();
    let ledgers = |session| reader.flows(session).unwrap().iter().map(|row| row.record.ledger_index).collect();
    let (before, repaired): (Vec<u32>, Vec<u32>) = (ledgers(killed), ledgers(running.session));
    assert_eq!((before, repaired), (vec![11], vec![12]));
    assert_eq!((reader.fills(killed).unwrap().len(), reader.fills(running.session).unwrap().len()), (1, 0));
    drop(reader);
    running.vanish();
    assert_eq!(place.open().last_processed_ledger().unwrap(), Some(12));
}

#[test]
fn a_last_snapshot_without_a_price_leaves_the_value_unknown_with_its_reason() {
    let place = Place::new();
    let running = place.start();
    running.writer.record(Record::Valuation(snapshot(SnapshotKind::Opening, 5, 1, "1", None))).unwrap();
    running.vanish();
    drop(place.open());
    let row = Reader::open(&place.path).unwrap().session(None).unwrap();
    assert_eq!(row.ending_value_rlusd, None);
    assert!(row.ending_value_reason.unwrap().contains("the book is empty"));
    assert_eq!((row.ending_ledger_index, row.ending_close_time), (Some(5), Some(at(10))));
}

#[test]
fn the_next_start_knows_what_was_settled_from_a_ledger_on_and_what_was_not() {
    let place = Place::new();
    let running = place.start();
    let told = |n: u32, state, ledger_index| {
        let (tx_hash, recorded_at) = (hash(n), at(2));
        Record::IntentUpdate(IntentUpdate { tx_hash, state, engine_result: None, ledger_index, recorded_at })
    };
    let mut records: Vec<_> = (1..=6).map(|n| Record::Intent(intent(n))).collect();
    records.extend([
        told(1, IntentState::Validated, Some(6)),
        told(2, IntentState::Validated, Some(7)),
        told(3, IntentState::Dead, Some(9)),
        told(4, IntentState::Submitted, None),
        // What a session could not learn is learnt by the next; what no node's history tells stays unknown.
        told(5, IntentState::Unknown, None),
        told(6, IntentState::Unknown, Some(9)),
    ]);
    running.durably(records).unwrap();
    running.vanish();
    let store = place.open();
    let settled = |since| {
        let mut hashes = store.settled_since(since).unwrap();
        hashes.sort();
        hashes
    };
    assert_eq!(settled(7), [hash(2), hash(3), hash(6)]);
    assert_eq!(settled(8), [hash(3), hash(6)]);
    assert!(settled(10).is_empty());
    let open: Vec<_> = store.unsettled_intents().unwrap().into_iter().map(|row| row.intent.tx_hash).collect();
    assert_eq!(open, [hash(4), hash(5)]);
}

#[test]
fn the_fees_of_the_last_day_before_the_newest_are_read_over_all_sessions() {
    let place = Place::new();
    assert_eq!(place.open().fees_of_last_day().unwrap(), []);
    let fee = |n: u32, hours: i64| {
        let close_time = at(0) + chrono::Duration::hours(hours);
        Record::Flow(Flow { close_time, ..flow(n, FlowCause::Fee, -i64::from(n), "0") })
    };
    let running = place.start();
    running.durably(vec![fee(11, 0), fee(12, 24)]).unwrap();
    running.vanish();
    let running = place.start();
    // A deposit, however late, is no fee and moves no day.
    let late = Flow { close_time: at(0) + chrono::Duration::hours(99), ..flow(15, FlowCause::Deposit, 9, "0") };
    running.durably(vec![fee(13, 25), fee(14, 48), Record::Flow(late)]).unwrap();
    running.vanish();
    let fees: Vec<i64> = place.open().fees_of_last_day().unwrap().iter().map(|paid| paid.fee.get()).collect();
    assert_eq!(fees, [13, 14], "a fee that is a day old to the second is over");
}
