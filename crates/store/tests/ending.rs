//! Checkpoints, the close of a session on every path, and the seal that leaves one file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::{Reader, StoreError, WriteError, close_directly, is_closed};

#[test]
fn a_checkpoint_empties_the_wal_and_is_recorded() {
    let place = Place::new();
    let running = place.start();
    for n in 1..200 {
        running.writer.record(Record::Intent(intent(n))).unwrap();
    }
    running.flush();
    let before = running.writer.wal_bytes();
    assert!(before > 0);
    let done = running.checkpoint();
    assert_eq!((done.busy, done.wal_bytes), (false, before));
    assert!(done.wal_frames > 0 && done.checkpointed_frames == done.wal_frames, "{done:?}");
    assert!(running.writer.wal_bytes() < before, "only the checkpoint's own row is left in it");
    let reader = Reader::open(&place.path).unwrap();
    let rows = reader.checkpoints(running.session).unwrap();
    assert_eq!(rows.iter().map(|row| &row.record).collect::<Vec<_>>(), [&done]);
    assert_eq!(reader.intents(running.session).unwrap().len(), 199);
    drop(reader);
    running.seal();
}

#[test]
fn a_checkpoint_that_a_reader_keeps_busy_says_so_and_loses_nothing() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Intent(intent(1))]).unwrap();
    let conn = place.sql();
    conn.execute_batch("BEGIN; SELECT count(*) FROM intents").unwrap();
    running.durably(vec![Record::Intent(intent(2))]).unwrap();
    let busy = running.checkpoint();
    assert!(busy.busy, "{busy:?}");
    assert!(busy.checkpointed_frames < busy.wal_frames, "{busy:?}");
    running.durably(vec![Record::Intent(intent(3))]).unwrap();
    conn.execute_batch("COMMIT").unwrap();
    assert!(!running.checkpoint().busy);
    drop(conn);
    let reader = Reader::open(&place.path).unwrap();
    let rows = reader.checkpoints(running.session).unwrap();
    assert_eq!(rows.iter().map(|row| row.record.busy).collect::<Vec<_>>(), [true, false]);
    assert_eq!(reader.intents(running.session).unwrap().len(), 3);
    drop(reader);
    running.seal();
}

#[test]
fn the_whole_stop_leaves_a_closed_session_and_one_file() {
    let place = Place::new();
    let running = place.start();
    let session = running.session;
    running.writer.record(Record::Fill(fill(1, Side::Bid, 5, "12"))).unwrap();
    running.close(clean_end(), Stage::ALL[..5].iter().copied().map(stage).collect()).unwrap();
    running.writer.add_stop_stage(stage(Stage::Close)).unwrap();
    let failed = StopStage {
        stage: Stage::Checkpoint,
        outcome: StageOutcome::Failed,
        ms: 100,
        error: Some("a reader held it".into()),
    };
    running.writer.add_stop_stage(failed.clone()).unwrap();
    let sealed = running.seal();
    assert_eq!((sealed.cause, sealed.busy), (CheckpointCause::Seal, false));
    assert!(exists(&place.path) && !exists(&place.wal()) && !exists(&place.beside("-shm")));

    let reader = Reader::open(&place.path).unwrap();
    let row = reader.session(None).unwrap();
    assert_eq!(row.number, session);
    assert_eq!((row.ended_at, row.ended_at_source), (Some(at(200)), Some(EndedAtSource::Clean)));
    assert_eq!((row.ending_value_rlusd, row.ending_value_reason), (Some(dec("1234.5")), None));
    assert_eq!((row.ending_ledger_index, row.ending_close_time), (Some(90), Some(at(199))));
    assert_eq!((row.end_reason, row.end_detail, row.fills), (Some(EndReason::Elapsed), None, 1));
    let stages = reader.stop_stages(session).unwrap();
    assert_eq!(stages.iter().map(|stage| stage.stage).collect::<Vec<_>>(), Stage::ALL[..7]);
    assert_eq!(stages[5], failed);
    assert_eq!(reader.checkpoints(session).unwrap()[0].record.cause, CheckpointCause::Seal);
    drop(reader);
    assert!(!exists(&place.wal()) && !exists(&place.beside("-shm")), "reading leaves nothing behind either");
    assert!(is_closed(&place.path, session).unwrap());
    assert!(place.open().recovered().is_empty());
}

#[test]
fn the_seal_writes_what_was_queued_before_it() {
    let place = Place::new();
    let running = place.start();
    let session = running.session;
    let release = hold(&running.writer);
    for n in 0..5_000 {
        running.writer.record(Record::Fill(fill(n, Side::Bid, 1, "1"))).unwrap();
    }
    let (reply, answer) = reply();
    running.writer.seal(reply).unwrap();
    drop(release);
    answer.recv_timeout(PATIENCE).unwrap().unwrap();
    running.thread.join(PATIENCE).unwrap();
    assert_eq!(Reader::open(&place.path).unwrap().session(Some(session)).unwrap().fills, 5_000);
}

#[test]
fn a_seal_beside_a_reader_leaves_an_empty_wal_and_says_so_when_it_was_busy() {
    let place = Place::new();
    let running = place.start();
    running.durably(vec![Record::Intent(intent(1))]).unwrap();
    let conn = place.sql();
    conn.execute_batch("BEGIN; SELECT count(*) FROM intents").unwrap();
    assert!(running.seal().busy);
    conn.execute_batch("COMMIT").unwrap();
    drop(conn);

    let running = place.start();
    let conn = place.sql();
    conn.query_row("SELECT count(*) FROM intents", [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(!running.seal().busy);
    assert_eq!(std::fs::metadata(place.wal()).unwrap().len(), 0);
}

#[test]
fn the_first_end_stands_whoever_wrote_it() {
    let place = Place::new();
    let running = place.start();
    let session = running.session;
    running.durably(vec![Record::Intent(intent(1))]).unwrap();
    assert!(!is_closed(&place.path, session).unwrap());
    let watchdog = SessionEnd {
        ended_at: at(190),
        ended_at_source: EndedAtSource::Watchdog,
        ending_value_rlusd: Err("the writer hung".into()),
        end_ledger_index: None,
        end_close_time: None,
        end_reason: EndReason::Deadline,
        end_detail: Some("{}".into()),
    };
    let stages = [stage(Stage::Value)];
    // While the writer is alive, and held up between its transactions.
    let release = hold(&running.writer);
    assert!(close_directly(&place.path, session, &watchdog, &stages).unwrap());
    assert!(!close_directly(&place.path, session, &clean_end(), &stages).unwrap(), "once only");
    drop(release);
    assert!(is_closed(&place.path, session).unwrap());
    assert_eq!(running.close(clean_end(), vec![stage(Stage::Flush)]), Err(WriteError::AlreadyClosed { session }));
    running.seal();
    let reader = Reader::open(&place.path).unwrap();
    let row = reader.session(None).unwrap();
    assert_eq!((row.ended_at, row.ended_at_source), (Some(at(190)), Some(EndedAtSource::Watchdog)));
    assert_eq!((row.ending_value_rlusd, row.ending_value_reason.as_deref()), (None, Some("the writer hung")));
    assert_eq!(reader.stop_stages(session).unwrap().len(), 2);
}

#[test]
fn closing_directly_after_the_writer_died_never_checkpoints() {
    let place = Place::new();
    let running = place.start();
    let session = running.session;
    running.durably(vec![Record::Intent(intent(1))]).unwrap();
    // A copy of the file and its WAL is what a killed engine leaves.
    let killed = Place::new();
    std::fs::create_dir_all(killed.path.parent().unwrap()).unwrap();
    std::fs::copy(&place.path, &killed.path).unwrap();
    std::fs::copy(place.wal(), killed.wal()).unwrap();
    running.seal();

    assert!(close_directly(&killed.path, session, &clean_end(), &[]).unwrap());
    assert!(std::fs::metadata(killed.wal()).unwrap().len() > 0, "the WAL was left to the writer");
    let reader = Reader::open(&killed.path).unwrap();
    assert_eq!(reader.session(None).unwrap().ended_at, Some(at(200)));
    assert_eq!(reader.intents(session).unwrap().len(), 1);
    drop(reader);
    assert!(std::fs::metadata(killed.wal()).unwrap().len() > 0, "reading did not checkpoint either");
    assert!(killed.open().recovered().is_empty());
}

#[test]
fn closing_what_is_not_there_is_a_clear_error() {
    let place = Place::new();
    let missing = close_directly(&place.path, 1, &clean_end(), &[]).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert!(matches!(Reader::open(&place.path), Err(StoreError::Missing { .. })));
    drop(place.open());
    let unknown = close_directly(&place.path, 7, &clean_end(), &[]).unwrap_err();
    assert!(unknown.to_string().contains("S7"), "{unknown}");
    assert!(matches!(is_closed(&place.path, 7), Err(StoreError::NoSuchSession { .. })));
    assert!(matches!(Reader::open(&place.path).unwrap().session(None), Err(StoreError::NoSessions { .. })));
}
