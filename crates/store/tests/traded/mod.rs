//! Two sessions of some hours, a snapshot a ledger, with fills, fees and a deposit here and there.
#![allow(dead_code, reason = "each test file uses a part of this")]

use chrono::{DateTime, TimeDelta, Utc};
use neo_market::Side;
use neo_store::record::*;
use neo_store::verify::{Check, Severity};
use neo_store::{Options, Reader, Reconciliation, Thinned, verify};

use crate::common::*;

/// The last ledger; one closes every four seconds.
pub const LEDGERS: u32 = 2_000;
/// The last ledger of the first session.
const CUT: u32 = 1_200;
pub const FILLS: [u32; 5] = [17, 55, 56, 1_190, 1_407];
pub const DEPOSIT: i64 = 700;

/// The moment at which what was recorded before that ledger is older than a day.
pub fn after(ledger: u32) -> DateTime<Utc> {
    recorded(ledger) + TimeDelta::days(1)
}

pub fn recorded(ledger: u32) -> DateTime<Utc> {
    closed_at(ledger)
}

pub fn thinning_options(keep_days: u32) -> Options {
    fn late() -> DateTime<Utc> {
        after(LEDGERS + 1_000)
    }
    Options { snapshots_keep_days: keep_days, ..Options::new(late) }
}

pub fn thin(place: &Place) -> Thinned {
    let mut store = place.open_with(&thinning_options(1));
    let done = store.thin(None).unwrap();
    store.close().unwrap();
    done
}

/// As [`thin`], at a moment: `Options` take a clock that is a plain function.
pub fn thin_at(place: &Place, now: DateTime<Utc>) -> Thinned {
    use std::cell::Cell;
    thread_local!(static NOW: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) });
    NOW.set(now);
    let options = Options { snapshots_keep_days: 1, ..Options::new(|| NOW.get()) };
    let mut store = place.open_with(&options);
    let done = store.thin(None).unwrap();
    store.close().unwrap();
    done
}

/// The record of both sessions.
pub fn traded() -> Place {
    let place = Place::new();
    trade(&place, CUT, LEDGERS);
    place
}

/// A session up to the ledger `cut`, and another up to `last`.
pub fn trade(place: &Place, cut: u32, last: u32) {
    let mut world = World { xrp: 100_000_000, rlusd: dec("500") };
    world.session(place, 1, cut);
    world.session(place, cut + 1, last);
    let found = verify(&place.path).unwrap();
    assert_eq!(found.findings, []);
}

struct World {
    xrp: i64,
    rlusd: neo_market::Dec,
}

impl World {
    fn session(&mut self, place: &Place, first: u32, last: u32) {
        let mut store = place.open();
        let session = store.begin_session(&new_session(recorded(first))).unwrap();
        let (writer, thread) = store.start_writer(session).unwrap();
        let running = Running { writer, thread, session };
        let opening = self.value();
        let (close_time, starting_value_rlusd) = (closed_at(first), Some(opening));
        running
            .durably(vec![Record::SessionOpened(SessionOpened {
                ledger_index: first,
                close_time,
                starting_value_rlusd,
            })])
            .unwrap();
        let mut records = Vec::new();
        for ledger in first..=last {
            records.extend(
                self.ledger(ledger, if ledger == first { SnapshotKind::Opening } else { SnapshotKind::Ledger }),
            );
        }
        records.push(self.snapshot(last, SnapshotKind::Closing));
        records.extend([processed(Processor::Orders, last), processed(Processor::Valuer, last)]);
        for part in records.chunks(400) {
            running.durably(part.to_vec()).unwrap();
        }
        let ended_at = recorded(last) + TimeDelta::seconds(1);
        let end = SessionEnd { ended_at, ending_value_rlusd: Ok(self.value()), ..clean_end() };
        running.close(end, vec![stage(Stage::Flush)]).unwrap();
        running.seal();
    }

    /// What the opening snapshot has is not counted again: nothing trades in a session's first ledger.
    fn ledger(&mut self, ledger: u32, kind: SnapshotKind) -> Vec<Record> {
        let mut records = Vec::new();
        let when = recorded(ledger);
        if ledger.is_multiple_of(5) {
            let settled = IntentUpdate {
                tx_hash: hash(ledger),
                state: IntentState::Validated,
                engine_result: None,
                ledger_index: Some(ledger),
                recorded_at: when,
            };
            records.push(Record::Intent(Intent { recorded_at: when, ..intent(ledger) }));
            records.push(Record::IntentUpdate(settled));
            records.push(Record::Flow(Flow { recorded_at: when, ..flow(ledger, FlowCause::Fee, -10, "0") }));
            self.xrp -= 10;
        }
        if FILLS.contains(&ledger) {
            let order = Order { side: Side::Bid, recorded_at: when, ..order(ledger) };
            records.push(Record::Order(order));
            records.push(Record::Fill(Fill { recorded_at: when, ..fill(ledger, Side::Bid, 1_000_000, "2.4") }));
            records.push(Record::OrderEvent(OrderEvent { recorded_at: when, ..event(ledger, OrderState::Filled, 0) }));
            self.xrp += 1_000_000;
            self.rlusd = self.rlusd.sub(dec("2.4")).unwrap();
        }
        if i64::from(ledger) == DEPOSIT {
            let deposit = Flow { tx_hash: Some(hash(90_000)), ..flow(ledger, FlowCause::Deposit, 5, "0") };
            records.push(Record::Flow(Flow { recorded_at: when, ..deposit }));
            self.xrp += 5;
        }
        records.push(self.snapshot(ledger, kind));
        records
    }

    fn value(&self) -> neo_market::Dec {
        self.priced(1, SnapshotKind::Ledger).total_value_rlusd.unwrap()
    }

    fn priced(&self, ledger: u32, kind: SnapshotKind) -> ValuationSnapshot {
        let mut row = snapshot(kind, ledger, self.xrp, "0", Some("0"));
        row.rlusd = self.rlusd;
        let balances = neo_market::Balances { xrp: row.xrp, rlusd: row.rlusd, reserve: row.reserve };
        row.total_value_rlusd = neo_market::value(&balances, row.mark_price).unwrap();
        ValuationSnapshot { close_time: closed_at(ledger), recorded_at: recorded(ledger), ..row }
    }

    fn snapshot(&self, ledger: u32, kind: SnapshotKind) -> Record {
        Record::Valuation(self.priced(ledger, kind))
    }
}

/// A row of `valuation_snapshots`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: i64,
    pub session: i64,
    pub kind: String,
    pub ledger: i64,
    pub close_time: String,
}

impl Row {
    pub fn minute(&self) -> (i64, &str) {
        (self.session, &self.close_time[..16])
    }

    pub fn hour(&self) -> (i64, &str) {
        (self.session, &self.close_time[..13])
    }
}

pub fn snapshots(place: &Place) -> Vec<Row> {
    let conn = place.sql();
    let sql = "SELECT seq, session, kind, ledger_index, close_time FROM valuation_snapshots ORDER BY seq";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok(Row {
                seq: row.get(0)?,
                session: row.get(1)?,
                kind: row.get(2)?,
                ledger: row.get(3)?,
                close_time: row.get(4)?,
            })
        })
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

pub fn thinned_rows(place: &Place) -> i64 {
    place.sql().query_row("SELECT coalesce(sum(rows_removed), 0) FROM thinned", [], |row| row.get(0)).unwrap()
}

type Span = (Option<neo_market::Drops>, Option<neo_market::Drops>, Option<neo_market::Dec>, Option<neo_market::Dec>);

/// What a session's report says of values: its rows, its books, and the span of its inventory.
pub fn results(place: &Place) -> Vec<(neo_store::SessionRow, Reconciliation, Span)> {
    let reader = Reader::open(&place.path).unwrap();
    let one = |session: neo_store::SessionRow| {
        let rows = reader.valuations(session.number).unwrap();
        let (xrp, rlusd) = (|| rows.iter().map(|row| row.record.xrp), || rows.iter().map(|row| row.record.rlusd));
        let span = (xrp().min(), xrp().max(), rlusd().min(), rlusd().max());
        let books = reader.reconcile(session.number).unwrap();
        assert!(books.adds_up());
        (session, books, span)
    };
    reader.sessions().unwrap().into_iter().map(one).collect()
}

pub fn sql(place: &Place, text: &str) {
    let conn = place.sql();
    conn.execute_batch(text).unwrap();
    conn.close().unwrap();
}

/// The file alone, in a place of its own.
pub fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    std::fs::create_dir_all(copy.path.parent().unwrap()).unwrap();
    std::fs::copy(&place.path, &copy.path).unwrap();
    copy
}

pub fn errors(place: &Place) -> Vec<(Check, String)> {
    let found = verify(&place.path).unwrap();
    let errors = found.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| (finding.check, finding.text)).collect()
}
