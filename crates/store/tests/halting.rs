//! What halts quoting: a full queue, a commit that hangs. And who writes the WAL back, how often, and who never does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use neo_market::Side;
use neo_store::checkpoint::PassLimits;
use neo_store::record::*;
use neo_store::{Halt, Options, Reader, Refused, WriteError};

#[test]
fn a_full_queue_halts_quoting_and_gives_the_record_back() {
    let place = Place::new();
    let options = Options { queue_capacity: 2, ..options() };
    let running = place.start_with(&options);
    let release = hold(&running.writer);
    for n in 0..2 {
        running.writer.offer(Box::new(Record::Fill(fill(n, Side::Bid, 1, "1")))).unwrap();
    }
    assert_eq!(running.writer.halted(), None, "a queue that is just full has refused nothing");
    // A dropped snapshot between two ledgers is no reason.
    running.writer.offer(Box::new(Record::Valuation(snapshot(SnapshotKind::Ledger, 1, 1, "1", None)))).unwrap();
    assert_eq!(running.writer.halted(), None);
    let back = running.writer.offer(Box::new(Record::Fill(fill(2, Side::Bid, 1, "1")))).unwrap_err();
    let Refused::Full { capacity: 2, item } = back else { panic!("{back:?}") };
    assert_eq!(running.writer.halted(), Some(&Halt::QueueFull { capacity: 2 }));
    drop(release);
    running.flush();
    running.writer.offer(item).unwrap();
    assert_eq!(running.flush(), 3);
    assert!(running.writer.halted().is_some(), "what was halted once stays so");
    running.seal();
}

static NOW_US: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_commit_that_hangs_halts_quoting_while_it_does() {
    let place = Place::new();
    let mut options = options();
    options.monotonic_us = || NOW_US.load(Ordering::SeqCst);
    options.commit_limit_ms = 700;
    let running = place.start_with(&options);
    running.durably(vec![Record::Intent(intent(1))]).unwrap();
    NOW_US.fetch_add(1_000_000_000, Ordering::SeqCst);
    assert_eq!(running.writer.halted(), None, "a writer that rests is not slow");
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (ack, answer) = ack();
    running.writer.record_durably(vec![Record::Intent(intent(2))], ack).unwrap();
    // The thread waits for the lock now, or soon; time passes only here.
    while running.writer.halted().is_none() {
        NOW_US.fetch_add(800_000, Ordering::SeqCst);
        std::thread::yield_now();
    }
    assert!(matches!(running.writer.halted(), Some(Halt::Slow { limit_ms: 700, .. })), "{:?}", running.writer.halted());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Ok(2), "it is kept and written all the same");
    running.seal();
}

/// Some megabytes of small commits, and the largest WAL that was seen.
fn written(running: &Running, commits: u32) -> u64 {
    let mut largest = 0;
    for n in 0..commits {
        running.durably(vec![Record::Fill(fill(n, Side::Bid, 1, "1"))]).unwrap();
        largest = largest.max(running.writer.wal_bytes());
    }
    largest
}

const KB: u64 = 1 << 10;

#[test]
fn the_writer_keeps_the_wal_small_by_itself_and_says_how() {
    let place = Place::new();
    // Whether the queue is ever idle is for the scheduler to say; the other limit holds always.
    let limits = PassLimits { idle_bytes: 128 * KB, busy_bytes: 256 * KB };
    let running = place.start_with(&Options { passes: limits, ..options() });
    let largest = written(&running, 100);
    assert!(largest < 512 * KB, "{largest}");
    let done = running.checkpoint();
    assert!(!done.busy && done.wal_bytes < 512 * KB, "{done:?}");
    let rows = Reader::open(&place.path).unwrap().checkpoints(running.session).unwrap();
    let by_size: Vec<_> = rows.iter().filter(|row| row.record.cause == CheckpointCause::Size).collect();
    assert!(by_size.len() >= 3, "{rows:?}");
    assert!(by_size.iter().all(|row| !row.record.busy), "nobody was in the way: {rows:?}");
    running.seal();

    let unlimited = Place::new();
    let limits = PassLimits { idle_bytes: 1 << 30, busy_bytes: 1 << 30 };
    let running = unlimited.start_with(&Options { passes: limits, ..options() });
    assert!(written(&running, 100) > 1_000 * KB, "the control: this much was to be written back");
    running.seal();
}

#[test]
fn a_reader_in_the_way_costs_a_pass_now_and_then_and_not_one_a_commit() {
    let place = Place::new();
    let limits = PassLimits { idle_bytes: 128 * KB, busy_bytes: 1 << 30 };
    let running = place.start_with(&Options { passes: limits, ..options() });
    let other = place.sql();
    other.execute_batch("BEGIN; SELECT count(*) FROM intents").unwrap();
    written(&running, 100);
    let rows = Reader::open(&place.path).unwrap().checkpoints(running.session).unwrap();
    assert!((2..30).contains(&rows.len()), "{}", rows.len());
    assert!(rows.iter().all(|row| row.record.busy));
    // The timer's checkpoint does not wait for that reader either.
    assert!(running.checkpoint().busy);
    other.execute_batch("COMMIT").unwrap();
    assert!(!running.checkpoint().busy);
    drop(other);
    running.seal();
}

#[test]
fn a_replicators_wal_is_left_alone_by_every_end_and_every_start() {
    let place = Place::new();
    let limits = PassLimits { idle_bytes: 1, busy_bytes: 1 };
    let options = Options { checkpoints: CheckpointOwner::External, passes: limits, ..options() };
    let wal = || std::fs::metadata(place.wal()).map_or(0, |metadata| metadata.len());
    let running = place.start_with(&options);
    written(&running, 20);
    let (reply, answer) = reply();
    running.writer.checkpoint(CheckpointCause::Timer, reply).unwrap();
    assert_eq!(answer.recv_timeout(PATIENCE).unwrap(), Err(WriteError::NotOurCheckpoint));
    let session = running.session;
    let sealed = running.seal();
    assert!(!sealed.busy && sealed.wal_frames > 0 && sealed.checkpointed_frames == 0, "{sealed:?}");
    let left = wal();
    assert!(left > 0);
    // Opening closes the session that was left open, in the WAL; and lets it lie.
    assert_eq!(place.open_with(&options).recovered(), [session]);
    assert!(wal() > left);
    // So does the last word on a session.
    let left = wal();
    let detail = Some("{}");
    assert!(neo_store::close::amend_end(&place.path, session, &[stage(Stage::Seal)], detail, true).unwrap());
    assert!(wal() > left);
    let reader = Reader::open(&place.path).unwrap();
    assert!(reader.checkpoints(session).unwrap().is_empty());
    assert_eq!(reader.fills(session).unwrap().len(), 20);
    drop(reader);
    assert!(wal() > left, "reading lets it lie too");
    // The control: our own checkpoints write it back before the first commit, and leave one file.
    let running = place.start();
    let other = place.sql();
    let frames = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (in_wal, written_back) = other.query_row("PRAGMA wal_checkpoint(NOOP)", [], frames).unwrap();
    assert!(in_wal > 0 && in_wal == written_back, "{in_wal} {written_back}");
    drop(other);
    running.seal();
    assert_eq!(wal(), 0);
}
