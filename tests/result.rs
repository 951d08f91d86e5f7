//! `neo report` of a session of the engine's cores on the simulated ledger, with a withdrawal and a deposit that nobody
//! announced: the parts of the result add up to the last digit, and the mark-outs are the ledger's middles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod engine;
mod runner;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use engine::{Engine, stderr, stdout};
use neo_ledger::keys::{Algorithm, Keypair};
use neo_ledger::tx::{Body, Transaction};
use neo_ledger::types::Amount;
use neo_market::{Dec, Drops, Rounding};
use neo_sim::{Node, Scenario};
use neo_store::record::*;
use neo_store::{Identity, Options, Store};
use runner::Runner;
use serde_json::Value;

const MAX_STEPS: u64 = 3_000_000;

fn now() -> DateTime<Utc> {
    "2027-01-15T08:00:00Z".parse().unwrap()
}

fn maker() -> Keypair {
    Keypair::from_seed(&neo_sim::maker_seed()).unwrap()
}

/// A payment of XRP, signed outside the engine.
fn paid(node: &Node, from: &Keypair, to: &Keypair, drops: i64) -> String {
    let transaction = Transaction {
        account: from.address(),
        sequence: node.validated_state().account(from.address()).unwrap().sequence,
        ticket_sequence: None,
        fee: Drops::new(10),
        flags: 0,
        last_ledger_sequence: Some(node.ledger_index() + 10),
        network_id: node.scenario().network_id,
        body: Body::Payment { destination: to.address(), amount: Amount::Xrp(Drops::new(drops)), send_max: None },
    };
    from.sign(&transaction).unwrap().blob
}

fn until(runner: &mut Runner, enough: impl Fn(&Runner) -> bool) {
    for _ in 0..MAX_STEPS {
        runner.step();
        if enough(runner) && runner.orders.quotes().len() == 4 && runner.orders.in_flight() == 0 {
            return;
        }
    }
    panic!("the engine does not come so far");
}

fn fills(runner: &Runner) -> usize {
    runner.records.iter().filter(|record| matches!(record, Record::Fill(_))).count()
}

/// A session with fills before, between and after a withdrawal of 500 XRP and a deposit of 123.456789; and its closing
/// value.
fn traded() -> (Vec<Record>, Dec) {
    let mut runner = Runner::new(&Scenario::default(), 4, 1_800);
    let other = Keypair::from_entropy([5; 16], Algorithm::Ed25519).unwrap();
    until(&mut runner, |runner| fills(runner) >= 3);
    let out = paid(&runner.node, &maker(), &other, 500_000_000);
    assert!(runner.submit_elsewhere(&out).contains("tesSUCCESS"));
    let has_come = |runner: &Runner| runner.node.validated_state().account(other.address()).is_some();
    until(&mut runner, |runner| has_come(runner) && fills(runner) >= 6);
    let back = paid(&runner.node, &other, &maker(), 123_456_789);
    assert!(runner.submit_elsewhere(&back).contains("tesSUCCESS"));
    assert!(runner.run(MAX_STEPS), "not flat");
    let (records, closing) = runner.valuer.close(now()).unwrap();
    runner.records.extend(records);
    (runner.records, closing.total_value_rlusd.unwrap())
}

/// Puts what the cores recorded into a record, as a session that was closed in order.
fn stored(engine: &Engine, records: &[Record], ending: Dec) {
    let identity = Identity { mode: Mode::Sim, network: "sim-1".into(), account: maker().address().to_string() };
    let mut store = Store::open(&engine.db(), &identity, &Options::new(now), now()).unwrap();
    let new = NewSession {
        started_at: now(),
        config: String::new(),
        config_hash: "h".into(),
        version: "0".into(),
        seed: None,
    };
    let session = store.begin_session(&new).unwrap();
    let (writer, thread) = store.start_writer(session).unwrap();
    let patience = std::time::Duration::from_secs(60);
    let durable = |send: &dyn Fn(neo_store::Ack)| {
        let (tell, answer) = std::sync::mpsc::channel();
        send(Box::new(move |result| tell.send(result).unwrap()));
        answer.recv_timeout(patience).unwrap().unwrap();
    };
    for part in records.chunks(400) {
        durable(&|ack| writer.record_durably(part.to_vec(), ack).unwrap());
    }
    let end = SessionEnd {
        ended_at: now() + TimeDelta::hours(1),
        ended_at_source: EndedAtSource::Clean,
        ending_value_rlusd: Ok(ending),
        end_ledger_index: None,
        end_close_time: None,
        end_reason: EndReason::Elapsed,
        end_detail: None,
    };
    let stages = [Stage::Quiesce, Stage::Settle, Stage::Cancel, Stage::Value, Stage::Flush];
    let done = |stage| StopStage { stage, outcome: StageOutcome::Done, ms: 1, error: None };
    durable(&|ack| writer.close_session(end.clone(), stages.map(done).to_vec(), ack).unwrap());
    drop(writer);
    thread.join(patience).unwrap();
}

fn figure(of: &Value, name: &str) -> Dec {
    of[name].as_str().unwrap_or_else(|| panic!("{name} of {of}")).parse().unwrap()
}

fn sum(of: &Value, names: &[&str]) -> Dec {
    names.iter().fold(Dec::zero(), |sum, name| sum.add_exact(figure(of, name)).unwrap())
}

fn report(engine: &Engine, which: &str, code: i32) -> Value {
    let report = engine.neo("report", &[which, "--json"]);
    assert_eq!(report.status.code(), Some(code), "{}{}", stdout(&report), stderr(&report));
    serde_json::from_str(&stdout(&report)).unwrap()
}

const PARTS: [&str; 6] =
    ["starting_value_rlusd", "spread_rlusd", "inventory_rlusd", "fees_rlusd", "flows_rlusd", "unexplained_rlusd"];

#[test]
fn a_session_with_a_deposit_and_a_withdrawal_adds_up_to_the_last_digit_and_a_changed_row_is_seen() {
    let (records, ending) = traded();
    let engine = Engine::new();
    stored(&engine, &records, ending);
    let told = report(&engine, "latest", 0);
    let result = &told["result"];
    assert_eq!(sum(result, &PARTS), figure(result, "ending_value_rlusd"), "{result}");
    for same in ["starting_value_rlusd", "ending_value_rlusd"] {
        assert_eq!(told[same], result[same], "the parts lead from the ledger's state to the ledger's state");
    }
    assert_eq!(figure(result, "ending_value_rlusd"), ending);
    let trading = figure(result, "trading_rlusd");
    assert_eq!(sum(result, &["spread_rlusd", "inventory_rlusd"]), trading);
    for method in ["fifo", "average_cost"] {
        assert_eq!(sum(&result[method], &["realised_rlusd", "unrealised_rlusd"]), trading, "{result}");
    }
    assert_eq!(sum(result, &["holding_value_rlusd", "versus_holding_rlusd"]), ending);
    assert!(!figure(result, "spread_rlusd").is_zero() && figure(result, "fees_rlusd").is_negative(), "{result}");
    assert!(figure(result, "unexplained_rlusd").is_zero() && result["unknown"].as_object().unwrap().is_empty());
    assert_eq!(figure(result, "flows_rlusd"), flows_at_their_ledgers(&records));

    let verify = engine.neo("verify", &["--json"]);
    let findings: Value = serde_json::from_str(&stdout(&verify)).unwrap();
    let of = |findings: &Value, check: &str| {
        findings["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check).count()
    };
    assert_eq!((of(&findings, "results"), of(&findings, "mark_outs")), (0, 0), "{findings}");
    let text = stdout(&engine.neo("report", &["latest"]));
    assert!(text.contains("it adds up: yes, to the last digit"), "{text}");

    let sql = rusqlite::Connection::open(engine.db()).unwrap();
    sql.execute_batch("UPDATE fills SET xrp_drops = xrp_drops + 1 WHERE seq = (SELECT max(seq) FROM fills)").unwrap();
    drop(sql);
    let broken = report(&engine, "latest", 1);
    assert!(!figure(&broken["result"], "difference_rlusd").is_zero());
    let findings: Value = serde_json::from_str(&stdout(&engine.neo("verify", &["--json"]))).unwrap();
    assert_eq!(of(&findings, "results"), 1, "{findings}");
}

/// XRP that came or went, at the price of the snapshot of that ledger: by hand, from the records.
fn flows_at_their_ledgers(records: &[Record]) -> Dec {
    let mark = |ledger: u32| {
        let of = |record: &Record| match record {
            Record::Valuation(snapshot) if snapshot.ledger_index == ledger => snapshot.mark_price,
            _ => None,
        };
        records.iter().find_map(of).unwrap()
    };
    let mut moved = Vec::new();
    for record in records {
        if let Record::Flow(flow) = record
            && flow.cause != FlowCause::Fee
        {
            moved.push(flow.xrp.get());
        }
    }
    assert_eq!(moved, [-500_000_000, 123_456_789]);
    records.iter().fold(Dec::zero(), |sum, record| match record {
        Record::Flow(flow) if flow.cause != FlowCause::Fee => {
            let worth = flow.xrp.to_xrp().unwrap().mul_exact(mark(flow.ledger_index)).unwrap();
            sum.add_exact(worth).unwrap()
        }
        _ => sum,
    })
}

#[test]
fn mark_outs_are_the_middles_of_the_ledgers_after_also_by_a_valuer_that_took_over() {
    let mut runner = Runner::new(&Scenario::default(), 4, 900);
    until(&mut runner, |runner| fills(runner) >= 4);
    runner.replace_valuer();
    assert!(runner.run(MAX_STEPS), "not flat");
    let (records, closing) = runner.valuer.close(now()).unwrap();
    runner.records.extend(records);
    let engine = Engine::new();
    stored(&engine, &runner.records, closing.total_value_rlusd.unwrap());

    let mut mids = BTreeMap::new();
    for record in &runner.records {
        if let Record::Valuation(snapshot) = record {
            let (bid, ask) = (snapshot.best_bid.unwrap(), snapshot.best_ask.unwrap());
            let mid = bid.add(ask).unwrap().div(Dec::from_i64(2), Rounding::HalfEven).unwrap();
            mids.insert(snapshot.ledger_index, mid.round_digits(16, Rounding::HalfEven).unwrap());
        }
    }
    let reader = engine.record();
    let stored = reader.mark_outs(1).unwrap();
    let fills = reader.fills(1).unwrap();
    assert_eq!(stored.len(), fills.len() * 3);
    let mut known = 0;
    for fill in fills.iter().map(|row| &row.record) {
        for ledgers in [1, 5, 30] {
            let is_it = |m: &&MarkOut| m.tx_hash == fill.tx_hash && m.offer_sequence == fill.offer_sequence;
            let row = stored.iter().filter(is_it).find(|m| m.ledgers == ledgers).unwrap();
            assert_eq!(row.ledger_index, fill.ledger_index + ledgers);
            match mids.get(&row.ledger_index) {
                Some(mid) => assert_eq!(row.mid_price, Ok(*mid), "{row:?}"),
                None => assert!(row.mid_price.as_ref().unwrap_err().contains("the session ended"), "{row:?}"),
            }
            known += usize::from(row.mid_price.is_ok());
        }
    }
    assert!(known > fills.len(), "{known} of {}", stored.len());

    let told = report(&engine, "S1..S1", 0);
    assert_eq!(told["total"]["difference_rlusd"], "0");
    let counted: u64 = told["mark_outs"].as_array().unwrap().iter().map(|of| of["fills"].as_u64().unwrap()).sum();
    assert_eq!(usize::try_from(counted).unwrap(), known);
    let exported = engine.neo("export", &["markouts", "--session", "S1"]);
    assert_eq!(stdout(&exported).lines().count(), stored.len() + 1, "{}", stderr(&exported));
}

#[test]
fn the_sums_of_several_sessions_lead_from_the_first_to_the_last_value() {
    let engine = Engine::new();
    for _ in 1..=3 {
        let run = engine.neo("run", &["--for", "10m", "--speed", "max"]);
        assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    }
    let told = report(&engine, "all", 0);
    let sessions = told["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    let total = &told["total"];
    let parts = sum(total, &PARTS).add_exact(figure(&told, "between_sessions_rlusd")).unwrap();
    assert_eq!(parts, figure(total, "ending_value_rlusd"), "{told}");
    let of = |at: usize, name: &str| figure(&sessions[at]["result"], name);
    assert_eq!(of(0, "starting_value_rlusd"), figure(total, "starting_value_rlusd"));
    assert_eq!(of(2, "ending_value_rlusd"), figure(total, "ending_value_rlusd"));
    assert_eq!(report(&engine, "S1,S3", 0)["sessions"].as_array().unwrap().len(), 2);
    let text = stdout(&engine.neo("report", &["S1..S3"]));
    assert!(text.contains("it adds up: yes") && text.contains("mark-outs after"), "{text}");
    let wrong = engine.neo("report", &["S8..S9"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("neo sessions"), "{}", stderr(&wrong));
}
