//! A store in a temporary folder, records to put into it, and acknowledgements to wait for.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod child;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use neo_market::reference::{Age, Reading, Source};
use neo_market::{Dec, Drops, Side};
use neo_store::record::*;
use neo_store::{Ack, CheckpointReply, Identity, Options, Store, WriteError, Writer, WriterThread};

/// Longer than anything here takes, so that a lost reply fails the test instead of hanging it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// On Windows a lock has its holder's name in a file beside it, because a locked file cannot be read.
pub fn is_holders_name(name: &str) -> bool {
    cfg!(windows) && name.ends_with(".lock.pid")
}

pub struct Place {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("neo-sim.db");
        Place { _folder: folder, path }
    }

    pub fn wal(&self) -> PathBuf {
        self.beside("-wal")
    }

    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    pub fn open(&self) -> Store {
        self.open_with(&options())
    }

    pub fn open_with(&self, options: &Options) -> Store {
        Store::open(&self.path, &identity(), options, at(0)).unwrap()
    }

    pub fn start(&self) -> Running {
        self.start_with(&options())
    }

    pub fn start_with(&self, options: &Options) -> Running {
        let mut store = self.open_with(options);
        let session = store.begin_session(&new_session(at(0))).unwrap();
        let (writer, thread) = store.start_writer(session).unwrap();
        Running { writer, thread, session }
    }

    /// A second connection, as another process would have it.
    pub fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }
}

pub struct Running {
    pub writer: Writer,
    pub thread: WriterThread,
    pub session: SessionNumber,
}

impl Running {
    pub fn flush(&self) -> u64 {
        let (ack, answer) = ack();
        self.writer.flush(ack).unwrap();
        answer.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    pub fn durably(&self, records: Vec<Record>) -> Result<u64, WriteError> {
        let (ack, answer) = ack();
        self.writer.record_durably(records, ack).unwrap();
        answer.recv_timeout(PATIENCE).unwrap()
    }

    pub fn checkpoint(&self) -> Checkpoint {
        let (reply, answer) = reply();
        self.writer.checkpoint(CheckpointCause::Timer, reply).unwrap();
        answer.recv_timeout(PATIENCE).unwrap().unwrap()
    }

    pub fn close(&self, end: SessionEnd, stages: Vec<StopStage>) -> Result<u64, WriteError> {
        let (ack, answer) = ack();
        self.writer.close_session(end, stages, ack).unwrap();
        answer.recv_timeout(PATIENCE).unwrap()
    }

    pub fn seal(self) -> Checkpoint {
        let (reply, answer) = reply();
        self.writer.seal(reply).unwrap();
        let checkpoint = answer.recv_timeout(PATIENCE).unwrap().unwrap();
        self.thread.join(PATIENCE).unwrap();
        assert!(!self.writer.is_alive());
        checkpoint
    }

    /// The thread ends without closing the session, as when the process was killed, but keeps what is durable.
    pub fn vanish(self) {
        drop(self.writer);
        self.thread.join(PATIENCE).unwrap();
    }
}

pub fn ack() -> (Ack, Receiver<Result<u64, WriteError>>) {
    let (tell, answer) = channel();
    (Box::new(move |result| tell.send(result).unwrap()), answer)
}

pub fn reply() -> (CheckpointReply, Receiver<Result<Checkpoint, WriteError>>) {
    let (tell, answer) = channel();
    (Box::new(move |result| tell.send(result).unwrap()), answer)
}

/// Holds the writer's thread inside an acknowledgement until the returned sender is used or dropped.
pub fn hold(writer: &Writer) -> std::sync::mpsc::Sender<()> {
    let (release, wait) = channel::<()>();
    let (entered, inside) = channel();
    writer
        .flush(Box::new(move |_| {
            entered.send(()).unwrap();
            // Dropping the sender releases as well.
            if wait.recv_timeout(PATIENCE).is_err() {}
        }))
        .unwrap();
    inside.recv_timeout(PATIENCE).unwrap();
    release
}

pub fn options() -> Options {
    Options::new(clock)
}

/// A clock that stands still: nothing here may depend on how long it takes.
pub fn clock() -> DateTime<Utc> {
    at(100)
}

pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-04-18T19:21:19.123Z").unwrap().to_utc() + TimeDelta::seconds(seconds)
}

pub fn identity() -> Identity {
    Identity { mode: Mode::Sim, network: "sim".into(), account: "rN7n7otQDd6FczFgLdSqtcsAUxDkw6fzRH".into() }
}

pub fn new_session(started_at: DateTime<Utc>) -> NewSession {
    NewSession {
        started_at,
        config: "mode = \"sim\"".into(),
        config_hash: "00".repeat(32),
        version: "0.1.0".into(),
        seed: Some(u64::MAX),
    }
}

pub fn clean_end() -> SessionEnd {
    SessionEnd {
        ended_at: at(200),
        ended_at_source: EndedAtSource::Clean,
        ending_value_rlusd: Ok(dec("1234.5")),
        end_ledger_index: Some(90),
        end_close_time: Some(at(199)),
        end_reason: EndReason::Elapsed,
        end_detail: None,
    }
}

pub fn stage(stage: Stage) -> StopStage {
    StopStage { stage, outcome: StageOutcome::Done, ms: 7, error: None }
}

pub fn dec(text: &str) -> Dec {
    text.parse().unwrap()
}

pub fn hash(n: u32) -> String {
    format!("{n:064X}")
}

pub fn intent(n: u32) -> Intent {
    Intent {
        tx_hash: hash(n),
        purpose: Purpose::Replace,
        sequence: n,
        offer_sequence: Some(n.saturating_sub(1)),
        last_ledger_sequence: n + 4,
        fee: Drops::new(10),
        blob: "1200".into(),
        ledger_index: n,
        recorded_at: at(1),
    }
}

pub fn order(n: u32) -> Order {
    Order {
        offer_sequence: n,
        tx_hash: hash(n),
        side: Side::Ask,
        level: 2,
        price: dec("2.4013"),
        size: Drops::new(25_000_000),
        rlusd: dec("60.0325"),
        mid_price: Some(dec("2.4")),
        replaces: None,
        expiration: Some(at(60)),
        ledger_index: n,
        close_time: at(2),
        recorded_at: at(3),
    }
}

pub fn event(n: u32, state: OrderState, remaining: i64) -> OrderEvent {
    OrderEvent {
        offer_sequence: n,
        state,
        remaining: Drops::new(remaining),
        tx_hash: Some(hash(n)),
        detail: None,
        ledger_index: n + 1,
        close_time: at(4),
        recorded_at: at(5),
    }
}

pub fn fill(n: u32, side: Side, drops: i64, rlusd: &str) -> Fill {
    Fill {
        tx_hash: hash(n),
        offer_sequence: n,
        role: Role::Maker,
        side,
        xrp: Drops::new(drops),
        rlusd: dec(rlusd),
        price: dec("2.400000000000001"),
        mid_price: None,
        ledger_index: n,
        transaction_index: 3,
        close_time: at(6),
        recorded_at: at(7),
    }
}

pub fn flow(n: u32, cause: FlowCause, drops: i64, rlusd: &str) -> Flow {
    Flow {
        tx_hash: Some(hash(n)),
        cause,
        xrp: Drops::new(drops),
        rlusd: dec(rlusd),
        detail: Some("a word".into()),
        ledger_index: n,
        close_time: at(8),
        recorded_at: at(9),
    }
}

/// The middle of the book, which alone makes the mark.
pub fn mark_reading(price: &str) -> Reading {
    Reading { source: Source::BookMid, price: dec(price), age: Age::Ledgers(0), weight: dec("1") }
}

pub fn snapshot(
    kind: SnapshotKind,
    ledger_index: u32,
    drops: i64,
    rlusd: &str,
    total: Option<&str>,
) -> ValuationSnapshot {
    ValuationSnapshot {
        kind,
        ledger_index,
        close_time: at(10),
        total_value_rlusd: total.map(dec),
        xrp: Drops::new(drops),
        reserve: Drops::new(1_200_000),
        rlusd: dec(rlusd),
        mark_price: total.map(|_| dec("2.4")),
        mark_source: if total.is_some() { "book_mid".into() } else { "the book is empty".into() },
        mark_age_ledgers: 0,
        mark_sources: total.map(|_| vec![mark_reading("2.4")]),
        best_bid: Some(dec("2.39")),
        best_ask: None,
        our_bid: None,
        our_ask: Some(dec("2.41")),
        recorded_at: at(11),
    }
}

pub fn processed(by: Processor, ledger_index: u32) -> Record {
    Record::LedgerProcessed { ledger_index, ledger_hash: None, close_time: closed_at(ledger_index), by }
}

/// The close time of a ledger that [`processed`] marks.
pub fn closed_at(ledger_index: u32) -> DateTime<Utc> {
    at(4 * i64::from(ledger_index))
}

pub fn fault(cause: &str) -> Fault {
    Fault {
        actor: "feed".into(),
        cause: cause.into(),
        backtrace: None,
        action: "restarted".into(),
        recorded_at: at(12),
    }
}

/// Undoes the step of the eras (version 8), for records of the versions before; the mark-outs have to go as a whole.
pub const BEFORE_ERAS: &str = "
    DROP VIEW session_list; DROP VIEW fills_plot;
    CREATE TABLE fills_before AS SELECT seq, session, tx_hash, offer_sequence, role, side, xrp_drops, rlusd, price, mid_price,
        ledger_index, transaction_index, close_time, recorded_at FROM fills;
    CREATE TABLE flows_before AS SELECT seq, session, tx_hash, cause, xrp_drops, rlusd, detail, ledger_index, close_time,
        recorded_at FROM flows;
    DROP TABLE fills; DROP TABLE flows; DROP TABLE markouts;
    ALTER TABLE fills_before RENAME TO fills; ALTER TABLE flows_before RENAME TO flows;
    DROP INDEX order_events_once;
    ALTER TABLE order_events DROP COLUMN era;
    CREATE UNIQUE INDEX order_events_once
        ON order_events (offer_sequence, ledger_index, state, coalesce(tx_hash, ''));
    ALTER TABLE sessions DROP COLUMN era; ALTER TABLE sessions DROP COLUMN last_ledger_hash;
    CREATE VIEW session_list AS SELECT number FROM sessions; CREATE VIEW fills_plot AS SELECT seq FROM fills;";

pub fn exists(path: &Path) -> bool {
    std::fs::exists(path).unwrap()
}
