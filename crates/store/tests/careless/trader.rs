//! A record as a trader's sessions leave it: whole, true, and large enough to have pages of every type.

use neo_market::{Balances, Dec, Drops, Side};
use neo_store::record::*;

use crate::common::*;

/// Trades of each session.
const TRADES: u32 = 120;

/// Two closed sessions of trades whose books balance, with a long backtrace and a table that was dropped again.
pub fn record() -> Place {
    let place = Place::new();
    let mut book = Book { xrp: Drops::new(1_000_000_000), rlusd: dec("5000"), ledger_index: 10 };
    for session in 1..=2 {
        trade(&place, session, &mut book);
    }
    leave_free_pages(&place);
    place
}

struct Book {
    xrp: Drops,
    rlusd: Dec,
    ledger_index: u32,
}

fn trade(place: &Place, number: i64, book: &mut Book) {
    let mut store = place.open();
    let session = store.begin_session(&new_session(at(1_000 * number))).unwrap();
    let (writer, thread) = store.start_writer(session).unwrap();
    let running = Running { writer, thread, session };
    let opening = book.snapshot(SnapshotKind::Opening);
    let opened = SessionOpened {
        ledger_index: book.ledger_index,
        close_time: at(2),
        starting_value_rlusd: opening.total_value_rlusd,
    };
    running.durably(vec![Record::Valuation(opening), Record::SessionOpened(opened)]).unwrap();
    for n in 0..TRADES {
        running.durably(book.trade(if n % 3 == 0 { Side::Ask } else { Side::Bid })).unwrap();
        if n == TRADES / 2 {
            let backtrace = Some("at a place in the engine\n".repeat(800));
            running.durably(vec![Record::Fault(Fault { backtrace, ..fault("it panicked") })]).unwrap();
        }
    }
    let closing = book.snapshot(SnapshotKind::Closing);
    let ending_value_rlusd = closing.total_value_rlusd.ok_or_else(|| "no price".to_string());
    let last = book.ledger_index;
    let marks = [processed(Processor::Orders, last), processed(Processor::Valuer, last)];
    running.durably([vec![Record::Valuation(closing)], marks.to_vec()].concat()).unwrap();
    let end = SessionEnd { ended_at: at(1_000 * number + 500), ending_value_rlusd, ..clean_end() };
    running.close(end, vec![stage(Stage::Flush)]).unwrap();
    running.seal();
}

impl Book {
    /// One transaction of one trade, its fee, and the snapshot after it.
    fn trade(&mut self, side: Side) -> Vec<Record> {
        self.ledger_index += 1;
        let n = self.ledger_index;
        let (xrp, rlusd) = (Drops::new(1_000_000 + i64::from(n)), dec("2.400000000000001"));
        let fee = Drops::new(-10);
        (self.xrp, self.rlusd) = match side {
            Side::Bid => (self.xrp.add(xrp).unwrap(), self.rlusd.sub(rlusd).unwrap()),
            Side::Ask => (self.xrp.sub(xrp).unwrap(), self.rlusd.add(rlusd).unwrap()),
        };
        self.xrp = self.xrp.add(fee).unwrap();
        let settled = IntentUpdate {
            tx_hash: hash(n),
            state: IntentState::Validated,
            engine_result: Some("tesSUCCESS".into()),
            ledger_index: Some(n),
            recorded_at: at(5),
        };
        vec![
            Record::Intent(Intent { blob: "12000722000000002400".repeat(15), ..intent(n) }),
            Record::Order(Order { side, ..order(n) }),
            Record::IntentUpdate(settled),
            Record::Fill(Fill { rlusd, ..fill(n, side, xrp.get(), "0") }),
            Record::OrderEvent(event(n, OrderState::Filled, 0)),
            Record::Flow(flow(n, FlowCause::Fee, fee.get(), "0")),
            Record::Valuation(self.snapshot(SnapshotKind::Ledger)),
        ]
    }

    fn snapshot(&self, kind: SnapshotKind) -> ValuationSnapshot {
        let mut snapshot = snapshot(kind, self.ledger_index, self.xrp.get(), "0", Some("0"));
        snapshot.rlusd = self.rlusd;
        let balances = Balances { xrp: snapshot.xrp, rlusd: snapshot.rlusd, reserve: snapshot.reserve };
        snapshot.total_value_rlusd = neo_market::value(&balances, snapshot.mark_price).unwrap();
        snapshot
    }
}

/// Pages that hold nothing, as rows leave them that were deleted.
fn leave_free_pages(place: &Place) {
    let conn = place.sql();
    conn.execute_batch(
        "CREATE TABLE filler (a BLOB) STRICT; INSERT INTO filler VALUES (randomblob(2000000)); DROP TABLE filler;",
    )
    .unwrap();
    conn.close().unwrap();
}
