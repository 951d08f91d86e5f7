//! Every way to ask for a stop closes the session, whichever stage of the stop fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(unix)]

mod engine;

use engine::{Engine, stderr, stdout};
use neo_store::record::{EndReason, EndedAtSource, Purpose, Stage, StageOutcome};

// Faults are injected into debug builds only.
#[cfg(debug_assertions)]
#[test]
fn whichever_stop_stage_fails_ended_at_is_written_and_the_failure_is_told() {
    for stage in Stage::ALL {
        let engine = Engine::new();
        let run = engine
            .with_db("run", &["--for", "1m", "--speed", "max"])
            .env("NEO_FAIL", format!("stage:error:{stage}"))
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(1), "{stage}: {}", stderr(&run));
        let session = engine.record().session(None).unwrap();
        assert!(session.ended_at.is_some(), "{stage}: ended_at is NULL");
        let source = if stage == Stage::Close { EndedAtSource::Watchdog } else { EndedAtSource::Clean };
        assert_eq!(session.ended_at_source, Some(source), "{stage}");
        assert_eq!(session.end_reason, Some(EndReason::Elapsed), "{stage}");

        let stages = engine.record().stop_stages(session.number).unwrap();
        let failed: Vec<Stage> =
            stages.iter().filter(|row| row.outcome == StageOutcome::Failed).map(|row| row.stage).collect();
        assert_eq!(failed, [stage], "{stages:?}");
        assert_eq!(stages.len(), 8, "{stages:?}");
        let detail = session.end_detail.unwrap_or_default();
        assert!(detail.contains(stage.as_str()), "{stage}: end_detail is {detail:?}");
        let log = stderr(&run);
        let told = log
            .lines()
            .any(|line| line.contains("ERROR") && line.contains("injected") && line.contains(stage.as_str()));
        assert!(told, "{stage}: {log}");
        let report = engine.neo("report", &["latest"]);
        assert_eq!(report.status.code(), Some(1), "{stage}: {}", stdout(&report));
    }
}

fn stopped_by(ask: impl FnOnce(&Engine, &engine::Running<'_>)) -> (Engine, i32) {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    ask(&engine, &running);
    let code = running.wait();
    (engine, code)
}

fn assert_clean(engine: &Engine, code: i32, reason: EndReason) {
    let session = engine.record().session(None).unwrap();
    assert_eq!(code, 0, "{}", engine.stderr());
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
    assert_eq!(session.end_reason, Some(reason));
    assert!(session.ending_value_rlusd.is_some());
    assert!(engine.is_one_file());
    let stages = engine.record().stop_stages(session.number).unwrap();
    assert!(stages.iter().all(|row| row.outcome == StageOutcome::Done), "{stages:?}");
}

#[test]
fn sigint_closes_the_session() {
    let (engine, code) = stopped_by(|_, running| running.signal("INT"));
    assert_clean(&engine, code, EndReason::Signal);
}

#[test]
fn sigterm_closes_the_session() {
    let (engine, code) = stopped_by(|_, running| running.signal("TERM"));
    assert_clean(&engine, code, EndReason::Signal);
}

#[test]
fn neo_stop_closes_the_session_and_exits_with_its_outcome() {
    let (engine, code) = stopped_by(|engine, _| {
        let stop = engine.neo("stop", &["--json"]);
        assert_eq!(stop.status.code(), Some(0), "{}{}", stdout(&stop), stderr(&stop));
    });
    assert_clean(&engine, code, EndReason::StopCommand);
    let nobody = engine.neo("stop", &[]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("no engine is running"), "{}", stderr(&nobody));
}

#[test]
fn a_second_request_hurries_and_the_session_is_still_closed() {
    // At real speed the cancels cannot be seen gone before the next ledger, almost four seconds later.
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "1"]);
    running.until_it_quotes();
    running.signal("INT");
    running.signal("TERM");
    let code = running.wait();
    let session = engine.record().session(None).unwrap();
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean), "{}", engine.stderr());
    assert_eq!(code, 1, "offers were left: {}", engine.stderr());
    let detail = session.end_detail.unwrap();
    assert!(detail.contains("\"urgent\":true"), "{detail}");
    let cancels = engine.record().intents(session.number).unwrap();
    let unsent =
        cancels.iter().filter(|row| row.intent.purpose == Purpose::Cancel && row.engine_result.is_none()).count();
    assert_eq!(unsent, 0, "a cancel did not leave: {}", engine.stderr());
    assert!(cancels.iter().any(|row| row.intent.purpose == Purpose::Cancel));
    let stages = engine.record().stop_stages(session.number).unwrap();
    let skipped: Vec<Stage> =
        stages.iter().filter(|row| row.outcome == StageOutcome::Skipped).map(|row| row.stage).collect();
    assert!(skipped.contains(&Stage::Cancel), "{stages:?}");
    assert!(engine.is_one_file());
}

#[test]
fn a_world_that_dies_ends_the_session_with_a_fault() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20", "--set", "feed.outage_ms=1000"]);
    running.until_it_quotes();
    engine.kill_world();
    assert_eq!(running.wait(), 70, "{}", engine.stderr());
    let session = engine.record().session(None).unwrap();
    assert_eq!((session.end_reason, session.ended_at_source), (Some(EndReason::Fault), Some(EndedAtSource::Clean)));
    assert!(session.end_detail.unwrap().contains("no node was reached"));
}

#[test]
fn a_killed_engine_leaves_its_world_running_and_the_next_start_closes_and_goes_on() {
    let engine = Engine::new();
    let mut running = engine.start(&["--speed", "20"]);
    running.until_it_quotes();
    running.signal("KILL");
    running.wait();
    let run = engine.neo("run", &["--for", "1m", "--speed", "20"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let killed = engine.record().session(Some(1)).unwrap();
    assert_eq!(killed.ended_at_source, Some(EndedAtSource::Recovered));
    assert_eq!(killed.end_reason, Some(EndReason::Crash));
    let next = engine.record().session(Some(2)).unwrap();
    assert_eq!(next.resumed_from, Some(1));
    assert!(stderr(&run).contains("still runs"), "the world was found again: {}", stderr(&run));
    let books = engine.record().reconcile(2).unwrap();
    assert!(books.difference_xrp.get() == 0 && books.difference_rlusd.is_zero(), "{books:?}");
}
