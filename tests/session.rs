//! The main job: a whole session of the real binary on a real tape, from start to close.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;

use std::collections::BTreeSet;

use engine::{Engine, stderr, stdout};
use neo_ledger::keys::Keypair;
use neo_sim::{Node, Scenario};
use neo_store::record::{EndReason, EndedAtSource, SnapshotKind, Stage, StageOutcome};

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/trades.csv");

#[test]
fn a_real_tape_over_a_thousand_ledgers_ends_closed_filled_and_balanced() {
    let engine = Engine::new();
    let run = engine.neo("run", &["--tape", TAPE, "--for", "3960s", "--speed", "max", "--seed", "7"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert!(engine.is_one_file(), "a -wal or -shm was left");

    let record = engine.record();
    let session = record.session(None).unwrap();
    assert_eq!(session.number, 1);
    assert_eq!(session.ended_at_source, Some(EndedAtSource::Clean));
    assert_eq!(session.end_reason, Some(EndReason::Elapsed));
    assert!(session.ended_at.is_some() && session.ending_value_rlusd.is_some(), "{session:?}");
    assert_eq!(session.end_detail, None);
    let ledgers = session.ending_ledger_index.unwrap() - session.starting_ledger_index.unwrap();
    assert!(ledgers >= 1_000, "{ledgers} ledgers");

    let stages = record.stop_stages(1).unwrap();
    assert_eq!(stages.len(), Stage::ALL.len(), "{stages:?}");
    assert!(stages.iter().all(|row| row.outcome == StageOutcome::Done), "{stages:?}");

    let fills = record.fills(1).unwrap();
    assert!(fills.len() >= 100, "{} fills", fills.len());
    let keys: BTreeSet<_> = fills
        .iter()
        .map(|fill| (fill.record.tx_hash.clone(), fill.record.offer_sequence, fill.record.role.as_str()))
        .collect();
    assert_eq!(keys.len(), fills.len(), "a fill is recorded twice");

    let verify = engine.neo("verify", &["--json"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stdout(&verify));
    assert!(stdout(&verify).contains(r#""verdict":"ok""#), "{}", stdout(&verify));

    let books = record.reconcile(1).unwrap();
    assert!(books.adds_up(), "{books:?}");
    assert!(books.flows_xrp.get() == 0 && books.flows_rlusd.is_zero(), "only fills and fees: {books:?}");

    // The world itself, not what the engine says of it.
    let state = std::fs::read(engine.db().with_extension("ledger").join("state.json")).unwrap();
    let world = Node::load(&state, &Scenario { tape: Some(TAPE.into()), ..Scenario::default() }).unwrap();
    let account = Keypair::from_seed(&neo_sim::maker_seed()).unwrap().address();
    let valuations = record.valuations(1).unwrap();
    let closing = valuations.iter().map(|row| &row.record).find(|row| row.kind == SnapshotKind::Closing).unwrap();
    let balances = world.balances(account).unwrap().unwrap();
    assert_eq!((closing.xrp, closing.rlusd), (balances.xrp, balances.rlusd));
    // Every transaction of the world that traded with us is in the record, and no other.
    let traded: BTreeSet<String> = history_of(world, account).into_iter().collect();
    let recorded: BTreeSet<String> = fills.iter().map(|fill| fill.record.tx_hash.clone()).collect();
    assert_eq!(traded, recorded);
    let state = std::fs::read(engine.db().with_extension("ledger").join("state.json")).unwrap();
    let world = Node::load(&state, &Scenario { tape: Some(TAPE.into()), ..Scenario::default() }).unwrap();
    assert_eq!(world.validated_state().offers_of(account).count(), 0, "an offer of ours is left on the ledger");

    let report = engine.neo("report", &["latest"]);
    assert_eq!(report.status.code(), Some(0), "{}", stdout(&report));
}

/// Hashes of the transactions that changed our RLUSD, asked of the world over its own API, marker by marker.
fn history_of(mut world: Node, account: neo_ledger::Address) -> Vec<String> {
    let token = Scenario::default().token();
    let connection = world.connect();
    let (mut hashes, mut marker) = (Vec::new(), None);
    loop {
        let request = neo_ledger::request::account_tx(1, account, 6, None, marker.as_ref(), true);
        let answer = world.request(connection, &request).pop().unwrap().text;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let page = neo_ledger::result::AccountTx::from_value(&answer["result"]).unwrap();
        for transaction in &page.transactions {
            let lines = transaction.meta.nodes.iter().filter_map(|node| node.line_balance(account, token));
            if lines.into_iter().any(|line| line.before.is_some_and(|before| before != line.now)) {
                hashes.push(transaction.hash.to_string());
            }
        }
        match page.marker {
            Some(next) => marker = Some(next),
            None => return hashes,
        }
    }
}

#[test]
fn at_most_speed_the_result_depends_on_the_seed_alone() {
    let session = |seed: &str| {
        let engine = Engine::new();
        let run = engine.neo("run", &["--for", "10m", "--speed", "max", "--seed", seed]);
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
        let record = engine.record();
        let fills: Vec<_> = record
            .fills(1)
            .unwrap()
            .into_iter()
            .map(|fill| {
                (
                    fill.record.tx_hash,
                    fill.record.offer_sequence,
                    fill.record.xrp,
                    fill.record.rlusd,
                    fill.record.ledger_index,
                )
            })
            .collect();
        (record.session(None).unwrap().ending_value_rlusd, fills)
    };
    let (one, two) = (session("11"), session("11"));
    assert_eq!(one, two);
    assert_ne!(one, session("12"));
}

#[test]
fn the_next_session_goes_on_in_the_same_world_with_the_next_number() {
    let engine = Engine::new();
    for _ in 0..2 {
        let run = engine.neo("run", &["--for", "2m", "--speed", "max"]);
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    }
    let sessions = engine.record().sessions().unwrap();
    assert_eq!(sessions.iter().map(|row| row.number).collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
    let (first, second) = (engine.record().session(Some(1)).unwrap(), engine.record().session(Some(2)).unwrap());
    assert!(second.starting_ledger_index >= first.ending_ledger_index, "{first:?} {second:?}");
    assert_eq!(second.resumed_from, None);
}

#[test]
fn a_fresh_world_begins_a_new_record_and_sets_the_old_one_aside() {
    let engine = Engine::new();
    let session = |more: &[&str]| {
        let mut arguments = vec!["--for", "1m", "--speed", "max"];
        arguments.extend(more);
        engine.neo("run", &arguments)
    };
    assert_eq!(session(&[]).status.code(), Some(0));
    let before = std::fs::read(engine.db()).unwrap();
    let unasked = session(&["--fresh"]);
    assert_eq!(unasked.status.code(), Some(1), "nobody could be asked");
    assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
    assert_eq!(std::fs::read(engine.db()).unwrap(), before);
    let fresh = session(&["--fresh", "--yes"]);
    assert_eq!(fresh.status.code(), Some(0), "{}", stderr(&fresh));
    assert_eq!(engine.record().sessions().unwrap().len(), 1);
    let aside: Vec<_> = std::fs::read_dir(engine.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "db") && *path != engine.db())
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read(&aside[0]).unwrap(), before, "the old record is kept as it was");
}

#[test]
fn without_for_a_session_ends_with_its_tape() {
    let engine = Engine::new();
    let tape = engine.folder().join("short.csv");
    let lines: Vec<String> = std::fs::read_to_string(TAPE).unwrap().lines().take(60).map(str::to_string).collect();
    std::fs::write(&tape, lines.join("\n")).unwrap();
    let run = engine.neo("run", &["--tape", tape.to_str().unwrap(), "--speed", "max"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    assert_eq!(engine.record().session(None).unwrap().end_reason, Some(EndReason::Elapsed));
}

#[test]
fn json_output_is_one_object_a_line_and_nothing_else() {
    let engine = Engine::new();
    let run = engine.neo("run", &["--for", "2m", "--speed", "max", "--json"]);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let events: Vec<serde_json::Value> =
        stdout(&run).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(events.first().unwrap()["event"], "session_started");
    assert_eq!(events.last().unwrap()["event"], "session_closed");
    assert_eq!(events.last().unwrap()["exit_code"], 0);
    assert_eq!(events.iter().filter(|event| event["event"] == "stage").count(), 8);
}
