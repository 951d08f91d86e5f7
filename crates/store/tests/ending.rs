//! Checkpoints, the close of a session on every path, and the seal that leaves one file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use chrono::{DateTime, Utc};
use common::*;
use neo_market::Side;
use neo_store::record::*;
use neo_store::{Reader, SessionRow, StopNote, StoreError, WriteError, close_directly, is_closed};

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

fn fault() -> Fault {
    Fault {
        actor: "writer thread".to_string(),
        cause: "gone".to_string(),
        backtrace: Some("frames".to_string()),
        action: "the session ends".to_string(),
        recorded_at: at(1_000),
    }
}

fn note(session: SessionNumber, started_at: DateTime<Utc>, ended_at: Option<DateTime<Utc>>) -> StopNote {
    StopNote {
        session,
        started_at,
        ended_at,
        stage: Some(Stage::Flush),
        end_reason: EndReason::Deadline,
        cause: Some("the stop stage flush hung".to_string()),
        unrecorded: vec!["AB".repeat(32)],
        faults: vec![fault()],
    }
}

/// A session that nobody closed, and its row after the next start.
fn next_start_after(leave: impl FnOnce(&Place, SessionNumber)) -> (Place, SessionRow) {
    let place = Place::new();
    let mut store = place.open();
    let session = store.begin_session(&new_session(at(0))).unwrap();
    drop(store);
    leave(&place, session);
    assert_eq!(place.open().recovered(), [session]);
    let row = Reader::open(&place.path).unwrap().session(Some(session)).unwrap();
    (place, row)
}

#[test]
fn a_stop_note_becomes_the_sessions_end_and_is_removed_after_it() {
    let (place, row) =
        next_start_after(|place, session| note(session, at(0), Some(at(7_000))).write(&place.path).unwrap());
    assert_eq!(row.ended_at_source, Some(EndedAtSource::StopNote));
    assert_eq!((row.ended_at, row.end_reason), (Some(at(7_000)), Some(EndReason::Deadline)));
    let detail = row.end_detail.unwrap();
    assert!(detail.contains("\"hung_stage\":\"flush\"") && detail.contains(&"AB".repeat(32)), "{detail}");
    assert!(!place.beside(".stop-note").exists());
    let faults = Reader::open(&place.path).unwrap().faults(row.number).unwrap();
    assert_eq!(faults.iter().map(|row| &row.record).collect::<Vec<_>>(), [&fault()]);
}

#[test]
fn a_note_without_an_end_tells_what_was_sent_and_the_records_tell_the_end() {
    let (place, row) = next_start_after(|place, session| note(session, at(0), None).write(&place.path).unwrap());
    assert_eq!((row.ended_at_source, row.end_reason), (Some(EndedAtSource::Recovered), Some(EndReason::Crash)));
    assert!(row.end_detail.unwrap().contains(&"AB".repeat(32)));
    assert!(!place.beside(".stop-note").exists());
}

#[test]
fn a_note_of_another_database_and_a_torn_one_say_nothing_and_are_set_aside() {
    let leave: [fn(&Place, SessionNumber); 3] = [
        |place, session| note(session, at(-1), Some(at(7_000))).write(&place.path).unwrap(),
        |place, session| note(session + 1, at(0), Some(at(7_000))).write(&place.path).unwrap(),
        |place, session| {
            note(session, at(0), Some(at(7_000))).write(&place.path).unwrap();
            let whole = std::fs::read(place.beside(".stop-note")).unwrap();
            std::fs::write(place.beside(".stop-note"), &whole[..whole.len() / 2]).unwrap();
        },
    ];
    for leave in leave {
        let (place, row) = next_start_after(leave);
        assert_eq!((row.ended_at_source, row.end_reason), (Some(EndedAtSource::Recovered), Some(EndReason::Crash)));
        assert!(!place.beside(".stop-note").exists() && place.beside(".stop-note.ignored").exists());
    }
}

#[test]
fn a_note_of_a_session_that_was_closed_after_all_is_removed_and_changes_nothing() {
    let place = Place::new();
    let mut store = place.open();
    let session = store.begin_session(&new_session(at(0))).unwrap();
    drop(store);
    note(session, at(0), Some(at(7_000))).write(&place.path).unwrap();
    assert!(close_directly(&place.path, session, &clean_end(), &[]).unwrap());
    drop(place.open());
    assert!(!place.beside(".stop-note").exists() && !place.beside(".stop-note.ignored").exists());
    let row = Reader::open(&place.path).unwrap().session(Some(session)).unwrap();
    assert_eq!(row.ended_at, Some(clean_end().ended_at));
}

#[test]
fn faults_that_the_writer_could_not_take_get_the_next_numbers() {
    let place = Place::new();
    let mut store = place.open();
    let session = store.begin_session(&new_session(at(0))).unwrap();
    drop(store);
    for _ in 0..2 {
        neo_store::close::add_faults(&place.path, session, &[fault()]).unwrap();
    }
    let reader = Reader::open(&place.path).unwrap();
    let numbers: Vec<u64> = reader.faults(session).unwrap().iter().map(|row| row.seq).collect();
    assert_eq!((numbers, reader.durable_seq().unwrap()), (vec![1, 2], 2));
}
