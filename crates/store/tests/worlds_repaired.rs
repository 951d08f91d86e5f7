//! A record of two worlds that broke: each is mended by its own rows, and only of the newest is anything fetched again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::*;
use neo_market::Side;
use neo_store::backup::{Retention, take};
use neo_store::record::*;
use neo_store::repair::{Outcome, Repaired, Whose, repair};
use neo_store::verify::{Check, Severity};
use neo_store::{schema, verify};

const PAGE: usize = 4_096;

fn begin(place: &Place, another_world: bool) -> Running {
    let mut store = place.open();
    let number = store.begin_session(&new_session(at(0))).unwrap();
    if another_world {
        store.begin_era(number).unwrap();
    }
    let (writer, thread) = store.start_writer(number).unwrap();
    Running { writer, thread, session: number }
}

fn end(running: Running) {
    let end = SessionEnd { ending_value_rlusd: Err("no price".into()), ..clean_end() };
    running.close(end, vec![stage(Stage::Flush)]).unwrap();
    running.seal();
}

/// What the account holds after ledger `n`: every world begins with ledger 10, 1,000 XRP and 5,000 RLUSD.
fn valued(kind: SnapshotKind, n: u32) -> Record {
    let traded = i64::from(n) - 10;
    let rlusd = dec("5000").sub(dec(&format!("{}.{:04}", traded * 24 / 10_000, traded * 24 % 10_000))).unwrap();
    let snapshot = snapshot(kind, n, 1_000_000_000 + traded * 990, "0", None);
    Record::Valuation(ValuationSnapshot { rlusd, ..snapshot })
}

/// Hash for hash and number for number the same in every world.
fn ledger(n: u32) -> Vec<Record> {
    vec![
        Record::OrderEvent(OrderEvent { ledger_index: n, ..event(n, OrderState::Filled, 0) }),
        Record::Fill(fill(n, Side::Bid, 1_000, "0.0024")),
        processed(Processor::Orders, n),
        Record::Order(Order { side: Side::Bid, ledger_index: n, ..order(n + 1) }),
        Record::Flow(flow(n, FlowCause::Fee, -10, "0")),
        valued(SnapshotKind::Ledger, n),
        processed(Processor::Valuer, n),
    ]
}

/// The ledgers after `from` up to `to` in a session of their own.
fn session(place: &Place, from: u32, to: u32, another_world: bool) {
    let running = begin(place, another_world);
    let opened = SessionOpened { ledger_index: from, close_time: at(1), starting_value_rlusd: None };
    let mut records = vec![valued(SnapshotKind::Opening, from), Record::SessionOpened(opened)];
    if from == 10 {
        records.push(Record::Order(Order { side: Side::Bid, ledger_index: 10, ..order(11) }));
    }
    records.extend([processed(Processor::Orders, from), processed(Processor::Valuer, from)]);
    records.extend((from + 1..=to).flat_map(ledger));
    records.push(valued(SnapshotKind::Closing, to));
    for part in records.chunks(200) {
        running.durably(part.to_vec()).unwrap();
    }
    end(running);
}

fn back_up(place: &Place) {
    take(&place.path, &Retention::default(), at(0), &mut |_| {}).unwrap();
}

/// Zeros in the place of the root pages of tables.
fn broken(place: &Place, tables: &[&str]) {
    let sql = place.sql();
    let root = |table: &&str| -> i64 {
        sql.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0)).unwrap()
    };
    let roots: Vec<usize> = tables.iter().map(|table| usize::try_from(root(table)).unwrap()).collect();
    sql.close().unwrap();
    let mut bytes = fs::read(&place.path).unwrap();
    for page in roots {
        bytes[(page - 1) * PAGE..page * PAGE].fill(0);
    }
    fs::write(&place.path, bytes).unwrap();
}

/// With those tables' root pages broken.
fn mended(place: &Place, tables: &[&str]) -> Repaired {
    broken(place, tables);
    match repair(&place.path, &Whose::Only(identity()), at(5_000), &mut |_| {}).unwrap() {
        Outcome::Repaired(done) => *done,
        Outcome::Sound { .. } => panic!("it was not damaged"),
    }
}

/// What weighs more than a note; the sessions here all begin at one moment, which is told.
fn weighs(place: &Place) -> Vec<String> {
    let findings = verify(&place.path).unwrap().findings;
    let weighs = findings.into_iter().filter(|one| one.severity != Severity::Note && one.check != Check::Sessions);
    weighs.map(|one| format!("{:?} {}", one.check, one.text)).collect()
}

fn texts(place: &Place, sql: &str) -> Vec<String> {
    let conn = place.sql();
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_lost_session_is_of_the_era_that_its_rows_are_of() {
    let place = Place::new();
    session(&place, 10, 40, false);
    back_up(&place);
    session(&place, 10, 30, true);
    // Nothing that this one recorded knows an era.
    let running = begin(&place, false);
    running.durably(vec![Record::Fault(fault("x"))]).unwrap();
    end(running);
    let done = mended(&place, &["sessions"]);
    assert_eq!(done.sessions_from_records, [2, 3]);
    assert_eq!(texts(&place, "SELECT number || ' ' || era FROM sessions ORDER BY 1"), ["1 0", "2 1", "3 1"]);
    assert_eq!(weighs(&place), [""; 0]);
}

#[test]
fn an_era_that_cannot_be_is_not_taken_over() {
    let place = Place::new();
    session(&place, 10, 40, false);
    session(&place, 10, 30, true);
    session(&place, 30, 40, false);
    back_up(&place);
    session(&place, 40, 50, false);
    let sql = place.sql();
    sql.execute_batch("UPDATE fills SET era = -7 WHERE session = 4; UPDATE flows SET era = 0 WHERE session = 4")
        .unwrap();
    sql.close().unwrap();
    let done = mended(&place, &["sessions"]);
    assert_eq!(done.sessions_from_records, [4]);
    assert_eq!(texts(&place, "SELECT era || '' FROM sessions ORDER BY number"), ["0", "1", "1", "1"]);
}

/// Era 0: offer 52 is filled after the backup; 50, 51 and 53 stand, and 60 is signed, when the world ends. The next one has an
/// offer 50 of its own and an event of another 51.
fn forsaken() -> Place {
    let place = Place::new();
    let running = begin(&place, false);
    let mut records: Vec<Record> = [50, 51, 52, 53].map(|n| Record::Order(order(n))).into();
    records.extend([50, 51, 52, 53].map(|n| Record::OrderEvent(event(n, OrderState::Resting, 25_000_000))));
    records.push(Record::Intent(intent(60)));
    running.durably(records).unwrap();
    end(running);
    back_up(&place);
    let running = begin(&place, false);
    running
        .durably(vec![Record::OrderEvent(OrderEvent { ledger_index: 70, ..event(52, OrderState::Filled, 0) })])
        .unwrap();
    end(running);
    let running = begin(&place, true);
    let cancelled = |n| Record::OrderEvent(OrderEvent { ledger_index: 80, ..event(n, OrderState::Cancelled, 0) });
    let of_its_own = Order { tx_hash: hash(500), ..order(50) };
    running.durably(vec![Record::Order(of_its_own), cancelled(50), cancelled(51)]).unwrap();
    end(running);
    place
}

const OFFERS: &str = "SELECT session || ' ' || offer_sequence || ' ' || state FROM orders ORDER BY seq";
const INTENTS: &str = "SELECT tx_hash || ' ' || state || ' ' || settled_ledger_index FROM intents ORDER BY seq";

#[test]
fn a_repair_does_not_bring_back_what_another_era_left_behind() {
    let old = ["1 50 unknown", "1 51 unknown", "1 52 filled", "1 53 unknown"];
    // The orders can be read, or they are as the backup has them.
    for (tables, offers) in
        [(&["checkpoints"][..], [&old[..], &["3 50 cancelled"]].concat()), (&["orders", "intents"], old.to_vec())]
    {
        let place = forsaken();
        mended(&place, tables);
        assert_eq!(texts(&place, OFFERS), offers, "{tables:?}");
        assert_eq!(texts(&place, INTENTS), [format!("{} unknown 64", hash(60))], "{tables:?}");
        let told = weighs(&place).into_iter().filter(|text| text.starts_with("Orders") || text.starts_with("Intents"));
        assert_eq!(told.collect::<Vec<_>>(), [""; 0], "{tables:?}");
        let store = place.open();
        assert!(store.open_orders().unwrap().is_empty() && store.unsettled_intents().unwrap().is_empty());
    }
}

/// Without those rows, which the repair is to find missing.
fn without(place: &Place, table: &str, which: &str) {
    let sql = place.sql();
    assert!(sql.execute(&format!("DELETE FROM {table} WHERE {which}"), []).unwrap() > 0);
    sql.close().unwrap();
}

fn refetch_to(place: &Place) -> Option<u32> {
    place.sql().query_row("SELECT refetch_to_ledger FROM repairs", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_hole_in_the_world_before_is_not_fetched_from_this_one() {
    let place = Place::new();
    session(&place, 10, 300, false);
    session(&place, 10, 60, true);
    without(&place, "fills", "session = 1 AND ledger_index IN (20, 299, 300)");
    let done = mended(&place, &["faults"]);
    assert!(!done.gaps.is_empty());
    assert_eq!((done.refetch_from_ledger, refetch_to(&place)), (None, Some(60)));
    let of_fills: Vec<_> =
        done.gaps.iter().filter(|gap| gap.after_ledger == Some(19)).map(|gap| gap.to_ledger).collect();
    assert_eq!(of_fills, [Some(21)]);
    assert_eq!(place.open().refetch_from().unwrap(), None);
    assert_eq!(weighs(&place), [""; 0]);
}

#[test]
fn a_hole_in_the_newest_world_is_fetched_by_its_own_numbers() {
    let place = Place::new();
    session(&place, 10, 300, false);
    session(&place, 10, 60, true);
    session(&place, 60, 90, false);
    without(&place, "fills", "session = 2 AND ledger_index = 50");
    let done = mended(&place, &["faults"]);
    assert_eq!((done.missing_rows, done.refetch_from_ledger, refetch_to(&place)), (1, Some(49), Some(90)));
    assert_eq!((done.gaps[0].after_ledger, done.gaps[0].to_ledger), (Some(49), Some(51)));
    let mut store = place.open();
    assert_eq!(store.refetch_from().unwrap(), Some(49));
    // Once its world is gone, too, nobody has it.
    let number = store.begin_session(&new_session(at(0))).unwrap();
    store.begin_era(number).unwrap();
    assert_eq!(store.refetch_from().unwrap(), None);
}

#[test]
fn a_hole_from_one_world_into_the_next_is_fetched_from_its_beginning() {
    let place = Place::new();
    session(&place, 10, 300, false);
    session(&place, 10, 60, true);
    let sql = place.sql();
    let around = "SELECT (SELECT max(seq) - 6 FROM valuation_snapshots WHERE session = 1),
                      (SELECT seq FROM order_events WHERE session = 2 AND ledger_index = 12)";
    let around: (i64, i64) = sql.query_row(around, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for table in schema::SEQUENCED {
        sql.execute(&format!("DELETE FROM {table} WHERE seq BETWEEN ?1 AND ?2"), around).unwrap();
    }
    sql.close().unwrap();
    let done = mended(&place, &["faults"]);
    assert_eq!((done.gaps.len(), done.refetch_from_ledger), (1, Some(10)), "{:?}", done.gaps);
    assert_eq!((done.gaps[0].after_ledger, done.gaps[0].to_ledger), (Some(10), Some(300)), "what both worlds lack");
    let errors = verify(&place.path).unwrap().findings.into_iter().filter(|one| one.severity == Severity::Error);
    assert_eq!(errors.map(|one| one.text).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_lost_end_of_the_newest_world_is_fetched_although_another_was_longer() {
    let tables: Vec<&str> = schema::SEQUENCED.into_iter().chain(["meta"]).collect();
    let place = Place::new();
    session(&place, 10, 300, false);
    session(&place, 10, 40, true);
    back_up(&place);
    session(&place, 40, 70, false);
    let done = mended(&place, &tables);
    assert_eq!((done.refetch_from_ledger, refetch_to(&place)), (Some(39), Some(70)), "a fill is no end of its ledger");
    // Nothing of the newest world but its session.
    let place = Place::new();
    session(&place, 10, 300, false);
    back_up(&place);
    session(&place, 10, 40, true);
    let done = mended(&place, &tables);
    assert_eq!((done.refetch_from_ledger, refetch_to(&place)), (Some(10), Some(40)));
}

#[test]
fn what_was_signed_in_the_world_before_is_not_fetched_again() {
    let place = forsaken();
    assert_eq!(mended(&place, &["checkpoints"]).refetch_from_ledger, None);
}
